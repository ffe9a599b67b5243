from django.urls import URLPattern, URLResolver, include, path

from . import health, metrics

urlpatterns: list[URLPattern | URLResolver] = [
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("health/clouds", health.clouds),
    path("metrics", metrics.metrics),
    path("api/v1/", include("instances.api.urls")),
    path("", include("auth.urls")),
    path("", include("instances.urls")),
]

handler400 = "instances.views.errors.bad_request"
handler403 = "instances.views.errors.permission_denied"
handler404 = "instances.views.errors.not_found"
handler500 = "instances.views.errors.server_error"
