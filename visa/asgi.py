"""The web process: Django for pages and REST, Channels for /events, and one LISTEN that feeds it."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "visa.settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import path

django_application = get_asgi_application()

from auth import permissions  # noqa: E402
from visa.events import Events  # noqa: E402
from visa.lifespan import Lifespan  # noqa: E402

permissions.table()  # nobody runs the system checks here, and with a wrong table nothing may be served

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": OriginValidator(
            AuthMiddlewareStack(URLRouter([path("events", Events.as_asgi())])), [settings.PORTAL_URL]
        ),
        "lifespan": Lifespan(),
    }
)
