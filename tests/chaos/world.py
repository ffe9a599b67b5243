"""A facility with many people of one team, whose only cloud is the faulty one."""

from django.core.management import call_command

from auth.data import Part
from auth.models import Participation, User
from instances.models import Cloud
from tests import facility
from tests.facility import person

CAPACITY = {
    "cores": 100_000,
    "memory_mb": 400_000_000,
    "gpus": {},
    "shared_cores": True,
    "images": ["desktop", "jupyter"],
    "notes": [],
}


def world(settings: dict[str, str], people: int, **cloud: float) -> tuple[list[User], int]:
    """The people, and the experiment that all of them take part in; `cloud` sets what else its row has."""
    call_command("migrate", interactive=False, verbosity=0)
    built = facility.build()
    Cloud.objects.filter(pk=built.cloud.pk).update(
        **{"name": "faulty", "title": "The faulty cloud", "kind": "faulty", "settings": settings},
        **{"capacity": CAPACITY, "rate": 40, "burst": 60, "concurrency": 16} | cloud,
    )
    users = [person(f"user{n}", f"User {n}") for n in range(people)]
    Participation.objects.bulk_create(
        Participation(user=user, experiment=built.running, part=Part.PARTICIPANT) for user in users
    )
    return users, built.running.pk
