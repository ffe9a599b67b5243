from django.apps import AppConfig
from django.core.checks import register


class AuthConfig(AppConfig):
    name = "auth"
    label = "visa_auth"  # "auth" is Django's own
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "People, roles and beam time"

    def ready(self) -> None:
        from auth import checks, permissions  # noqa: F401  (importing checks registers them)

        register(permissions.check)
