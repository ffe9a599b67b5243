"""What each of several broker processes begins with: it is a new interpreter that knows nothing yet."""

from typing import Any

import django


def application() -> Any:
    """A Broker, once Django is set up."""
    django.setup()
    from . import server

    server.be_silent_about_urls()
    return server.Broker()
