"""Making the portal's beam time rows say what a catalogue says: one transaction, one audit row, all or nothing.

Accounts are never removed: whoever is gone from the catalogue loses their parts and the roles that it gave. What an
instance still refers to is kept and closed.
"""

from typing import Any

from django.db import connection, transaction
from django.db.models import Model

from auth import audit, bus, models, usernames
from auth.access import Actor
from auth.data import Part

from .base import Catalogue, PersonKey, Source
from .diff import Diff, Fields

Rows = dict[Any, Fields]
BEAM_TIME = ("instrument", "proposal", "experiment", "participation")


def sync(source: Source, *, dry_run: bool = False, force: bool = False, actor: Actor | None = None) -> Diff:
    """Read `source` and apply what differs. CatalogueError, CatalogueUnavailable and MassRemoval change nothing."""
    catalogue = source.read()
    with transaction.atomic():
        with connection.cursor() as cursor:  # two at once would both add what is new
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('visa_auth_catalogue'))")
        diff = _compare(catalogue, origin := f"catalogue:{source.name}")
        if not force:
            diff.check((*BEAM_TIME, "role"))
        if diff and not dry_run:
            _apply(diff, catalogue, origin)
            _tell_those_who_lost(diff)
            audit.record("catalogue.sync", origin, actor=actor, because="forced" if force else "", detail=_detail(diff))
    return diff


def _compare(catalogue: Catalogue, origin: str) -> Diff:
    diff = Diff()
    diff.empty = [
        kind
        for kind, rows in zip(
            BEAM_TIME,
            (catalogue.instruments, catalogue.proposals, catalogue.experiments, catalogue.participations),
            strict=True,
        )
        if not rows
    ]
    people = {person.key: f"{person.name} ({person.key.sub})" for person in catalogue.people}
    want = _wanted(catalogue)
    have = _known(catalogue, origin)
    _keep_what_is_used(have, want, diff)
    _spare_who_signed_in(have, want)
    for kind in ("instrument", "person", "proposal", "experiment"):
        diff.compare(kind, have[kind], want[kind], people if kind == "person" else {})
    labels = {key: " ".join([people.get(key[0], key[0].sub), *map(str, key[1:])]) for key in _links(have, want)}
    for kind in ("participation", "role"):
        diff.compare(kind, have[kind], want[kind], labels)
    return diff


def _wanted(catalogue: Catalogue) -> dict[str, Rows]:
    return {
        "instrument": {row.code: {"name": row.name, "folder": row.folder} for row in catalogue.instruments},
        "person": {
            row.key: {"name": row.name, "email": row.email, "affiliation": row.affiliation} for row in catalogue.people
        },
        "proposal": {
            row.code: {
                "title": row.title,
                "abstract": row.abstract,
                "proprietary": row.proprietary,
                "released": row.released,
                "doi": row.doi,
            }
            for row in catalogue.proposals
        },
        "experiment": {
            row.key: {
                "proposal": row.proposal,
                "instrument": row.instrument,
                "title": row.title,
                "start": row.start,
                "end": row.end,
            }
            for row in catalogue.experiments
        },
        "participation": {(row.person, row.part.value, row.experiment): {} for row in catalogue.participations},
        "role": {
            (row.person, row.role.value, row.instrument): {"because": row.because, "until": row.until}
            | ({"since": row.since} if row.since else {})
            for row in catalogue.roles
        },
    }


def _known(catalogue: Catalogue, origin: str) -> dict[str, Rows]:
    """The same shapes from the database. Of people only those whom the catalogue names."""
    named = {person.key for person in catalogue.people}
    users = models.User.objects.filter(iss__in={key.iss for key in named}).values(*_PERSON, "last_login")
    experiments = models.Experiment.objects.values(*_EXPERIMENT)
    parts = models.Participation.objects.values_list("user__iss", "user__sub", "part", "experiment__key")
    roles = models.RoleGrant.objects.filter(source=origin).values(*_ROLE)
    return {
        "instrument": {row.pop("code"): row for row in models.Instrument.objects.values(*_INSTRUMENT)},
        "person": {key: row for row in users if (key := PersonKey(row.pop("iss"), row.pop("sub"))) in named},
        "proposal": {row.pop("code"): row for row in models.Proposal.objects.values(*_PROPOSAL)},
        "experiment": {
            row.pop("key"): {
                "proposal": row.pop("proposal__code"),
                "instrument": row.pop("instrument__code"),
                **row,
            }
            for row in experiments
        },
        "participation": {(PersonKey(iss, sub), part, key): {} for iss, sub, part, key in parts},
        "role": {
            (
                PersonKey(row.pop("user__iss"), row.pop("user__sub")),
                row.pop("role"),
                row.pop("instrument__code") or "",
            ): row
            for row in roles
        },
    }


_INSTRUMENT = ("code", "name", "folder")
_PERSON = ("iss", "sub", "name", "email", "affiliation")
_PROPOSAL = ("code", "title", "abstract", "proprietary", "released", "doi")
_EXPERIMENT = ("key", "proposal__code", "instrument__code", "title", "start", "end")
_ROLE = ("user__iss", "user__sub", "role", "instrument__code", "because", "since", "until")


def _keep_what_is_used(have: dict[str, Rows], want: dict[str, Rows], diff: Diff) -> None:
    """An experiment of some instance stays when the catalogue drops it, with its proposal, which is closed."""
    gone = [key for key in have["experiment"] if key not in want["experiment"]]
    for key in sorted(_referred_to(models.Experiment, "key", gone)):
        want["experiment"][key] = row = have["experiment"][key]
        want["instrument"].setdefault(row["instrument"], have["instrument"][row["instrument"]])
        want["proposal"].setdefault(row["proposal"], {"released": None})
        diff.kept.append(f"experiment {key}: instances refer to it")


def _referred_to(model: type[Model], key: str, keys: list[str]) -> set[str]:
    """Those of `keys` whose rows something outside this app refers to, whatever that is."""
    used: set[str] = set()
    for relation in model._meta.related_objects:
        if relation.related_model._meta.app_label != model._meta.app_label:
            rows = model._default_manager.filter(**{f"{key}__in": keys, f"{relation.name}__isnull": False})
            used.update(rows.values_list(key, flat=True))
    return used


def _spare_who_signed_in(have: dict[str, Rows], want: dict[str, Rows]) -> None:
    """Once somebody has signed in, their provider knows better how they are called and reached."""
    for key, row in have["person"].items():
        if row["last_login"] is not None:
            want["person"][key] = {}


def _links(have: dict[str, Rows], want: dict[str, Rows]) -> set[tuple[PersonKey, str, str]]:
    return {key for rows in (have, want) for kind in ("participation", "role") for key in rows[kind]}


def _apply(diff: Diff, catalogue: Catalogue, origin: str) -> None:
    """Additions from the ground up, removals from the top down."""
    wishes = {person.key: person.username for person in catalogue.people}
    for change in diff.of("instrument", "add", "change"):
        models.Instrument.objects.update_or_create(code=change.key, defaults=change.after)
    for change in diff.of("person", "add", "change"):
        _write_person(change.key, change.after or {}, wishes.get(change.key, ""))
    for change in diff.of("proposal", "add", "change"):
        models.Proposal.objects.update_or_create(code=change.key, defaults=change.after)
    _write_experiments(diff)
    _write_links(diff, origin)
    for kind, model, key in (
        ("experiment", models.Experiment, "key"),
        ("proposal", models.Proposal, "code"),
        ("instrument", models.Instrument, "code"),
    ):
        model._default_manager.filter(**{f"{key}__in": [change.key for change in diff.of(kind, "remove")]}).delete()


def _write_person(key: PersonKey, fields: Fields, wish: str) -> None:
    if models.User.objects.filter(iss=key.iss, sub=key.sub).update(**fields):
        return
    username = usernames.free(wish or usernames.suggestion(name=fields["name"]))
    user = models.User(iss=key.iss, sub=key.sub, username=username, **fields)
    user.set_unusable_password()
    user.save(force_insert=True)


def _write_experiments(diff: Diff) -> None:
    proposals = dict(models.Proposal.objects.values_list("code", "pk"))
    instruments = dict(models.Instrument.objects.values_list("code", "pk"))
    for change in diff.of("experiment", "add", "change"):
        fields = dict(change.after or {})
        fields["proposal_id"] = proposals[fields.pop("proposal")]
        fields["instrument_id"] = instruments[fields.pop("instrument")]
        models.Experiment.objects.update_or_create(key=change.key, defaults=fields)


def _write_links(diff: Diff, origin: str) -> None:
    users = {PersonKey(iss, sub): pk for pk, iss, sub in models.User.objects.values_list("pk", "iss", "sub")}
    experiments = dict(models.Experiment.objects.values_list("key", "pk"))
    instruments = dict(models.Instrument.objects.values_list("code", "pk"))
    new = []
    for change in diff.of("participation", "add", "remove"):
        person, part, experiment = change.key
        link = {
            "user_id": users[person],
            "part": Part(part),
            "experiment_id": experiments[experiment],
            "source": origin,
        }
        if change.after is None:
            models.Participation.objects.filter(**link).delete()
        else:
            new.append(models.Participation(**link))
    models.Participation.objects.bulk_create(new, batch_size=1000)
    for change in diff.of("role", "add", "change", "remove"):
        person, role, instrument = change.key
        grant = {"user_id": users[person], "role": role, "source": origin, "instrument_id": instruments.get(instrument)}
        if change.after is None:
            models.RoleGrant.objects.filter(**grant).delete()
        else:
            models.RoleGrant.objects.update_or_create(**grant, defaults=change.after)


def _tell_those_who_lost(diff: Diff) -> None:
    """Live connections of theirs are closed; whoever may still come in comes in again."""
    lost = {change.key[0] for kind in ("participation", "role") for change in diff.of(kind, "remove")}
    for key in lost:
        for pk in models.User.objects.filter(iss=key.iss, sub=key.sub).values_list("pk", flat=True):
            bus.announce("close", user=pk, reason="your access has changed")


def _detail(diff: Diff) -> dict[str, Any]:
    """Who may see what is spelt out; of the rest the numbers."""
    access = [str(change) for kind in ("participation", "role") for change in diff.of(kind, "add", "change", "remove")]
    return {"counts": diff.counts, "access": access, "kept": diff.kept}
