from django.apps import AppConfig


class AuthConfig(AppConfig):
    name = "auth"
    label = "visa_auth"  # "auth" is Django's own
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "People, roles and beam time"

    def ready(self) -> None:
        from . import checks  # noqa: F401  (importing it registers them)
