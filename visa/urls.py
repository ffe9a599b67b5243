from django.urls import URLPattern, URLResolver, include, path

from . import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("api/v1/", include("instances.api.urls")),
    path("", include("auth.urls")),
    path("", include("instances.urls")),
]
