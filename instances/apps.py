from django.apps import AppConfig


class InstancesConfig(AppConfig):
    name = "instances"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from auth import rights
        from instances.services import members
        from instances.services.rights import recheck

        rights.changed.connect(recheck, dispatch_uid="instances.recheck")
        rights.changed.connect(members.recheck, dispatch_uid="instances.members")
