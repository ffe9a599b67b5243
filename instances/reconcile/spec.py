"""From an instance's row to what a provider is told to run."""

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from auth.data import DataGrant
from instances.errors import ProviderError
from instances.models import Instance
from instances.providers.base import Account, Screen, Spec
from instances.services import grants as data
from instances.services.visibility import experiments_of


def spec_of(instance: Instance) -> Spec:
    """What the provider is to run: grants derived at this moment, never those of an earlier start."""
    experiments = experiments_of(instance)
    granted = _entitled_now(instance)
    owner = instance.owner
    actor = owner.seen_as or owner.as_actor()  # as its rights were just looked at
    codes = {
        "proposals": {e.proposal.code for e in experiments},
        "instruments": {e.instrument.code for e in experiments},
    }
    return Spec(
        id=instance.key,
        deployment=settings.DEPLOYMENT,
        generation=instance.generation,
        name=instance.name,
        owner=Account(owner.username, owner.name, owner.uid, owner.uid, data.groups(granted, experiments)),
        image=instance.environment.image,
        apps=tuple(instance.environment.apps),
        cores=instance.flavour.cores,
        memory_mb=instance.flavour.memory_mb,
        gpu_model=instance.flavour.gpu_model,
        gpu_count=instance.flavour.gpu_count,
        flavour=instance.flavour.offers.filter(cloud=instance.cloud).values_list("name", flat=True).first() or "",
        mounts=data.mounts(granted),
        screens=tuple(Screen(s["width"], s["height"]) for s in instance.display["screens"]),
        keyboard=instance.display["keyboard"],
        labels={
            "owner": owner.username,
            "environment": instance.environment.slug,
            "flavour": instance.flavour.slug,
            "experiments": ",".join(str(pk) for pk in sorted(e.pk for e in experiments)),
            "roles": ",".join(sorted(actor.roles)),
            # What machines made for VISA are told.
            **{name: ",".join(sorted(found)) for name, found in codes.items()},
        },
    )


def _entitled_now(instance: Instance) -> list[DataGrant]:
    """The grants to mount, written down under the row's lock: whoever ends a right sees them, or we see the end."""
    with transaction.atomic():
        Instance.objects.select_for_update().values_list("pk").get(pk=instance.pk)
        entitled = data.entitlements(instance, at=timezone.now())
        granted = data.granted_by(entitled)
        if entitled and not granted:
            raise ProviderError(" ".join(dict.fromkeys(one.because for one in entitled.values())), retry=False)
        columns = data.columns(granted)
        if any(getattr(instance, name) != value for name, value in columns.items()):
            Instance.objects.filter(pk=instance.pk).update(**columns)
    return granted
