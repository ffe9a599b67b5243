"""What a catalogue says, as temporary tables beside the portal's own, so that the database compares set with set.

They live within the caller's transaction. `said_person.id` is the account of somebody who has one already.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from .base import Catalogue, CatalogueError, PersonKey
from .identities import canonical

TABLES = {
    "scope": "code text PRIMARY KEY",
    "instrument": "code text PRIMARY KEY, name text, folder text",
    "person": "n int PRIMARY KEY, iss text, sub text, name text, email text, affiliation text, username text,"
    " uid bigint, id bigint",
    "proposal": "code text PRIMARY KEY, title text, abstract text, proprietary bool, released date, doi text,"
    " gid bigint",
    "experiment": "key text PRIMARY KEY, proposal text, instrument text, title text, start timestamptz,"
    ' "end" timestamptz',
    "participation": "experiment text, n int, part text",
    "role": "n int, role text, instrument text, because text, since timestamptz, until timestamptz",
}


@contextmanager
def staged(catalogue: Catalogue, scope: Iterable[str] | None) -> Iterator[None]:
    """Tables said_scope, said_instrument … for the time of the block. CatalogueError when it contradicts itself."""
    with connection.cursor() as cursor:
        for name, columns in TABLES.items():
            cursor.execute(f"CREATE TEMPORARY TABLE said_{name} ({columns}) ON COMMIT DROP")
    fill("said_scope", ((code,) for code in sorted(set(scope or ()))))
    _load(catalogue)
    with connection.cursor() as cursor:
        for name in TABLES:
            cursor.execute(f"ANALYZE said_{name}")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {', '.join(f'said_{name}' for name in TABLES)}")


def fill(table: str, rows: Iterable[tuple[Any, ...]], columns: str = "") -> None:
    """COPY, row by row as they come."""
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} {columns} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _load(catalogue: Catalogue) -> None:
    number: dict[PersonKey, int] = {}
    people = []
    for person in catalogue.people:
        if (key := canonical(person.key)) not in number:
            number[key] = len(number)
            people.append((key, person))

    def who(key: PersonKey) -> int:
        if (found := number.get(key)) is None and (found := number.get(canonical(key))) is None:
            raise CatalogueError([f"{key.sub} of {key.iss} takes part, but is not among the people"])
        return found

    fill("said_instrument", {i.code: (i.code, i.name, i.folder) for i in catalogue.instruments}.values())
    fill(
        "said_person",
        (
            (n, key.iss, key.sub, p.name, p.email, p.affiliation, p.username, p.uid, None)
            for n, (key, p) in enumerate(people)
        ),
    )
    fill(
        "said_proposal",
        (
            (p.code, p.title, p.abstract, p.proprietary, p.released, p.doi, p.gid)
            for p in {p.code: p for p in catalogue.proposals}.values()
        ),
    )
    fill(
        "said_experiment",
        (
            (e.key, e.proposal, e.instrument, e.title, e.start, e.end)
            for e in {e.key: e for e in catalogue.experiments}.values()
        ),
    )
    fill("said_participation", ((p.experiment, who(p.person), p.part.value) for p in catalogue.participations))
    roles = {(who(r.person), r.role.value, r.instrument): r for r in catalogue.roles}
    fill("said_role", ((*key, r.because, r.since, r.until) for key, r in roles.items()))
    with connection.cursor() as cursor:
        cursor.execute(RECOGNISE)


RECOGNISE = """
UPDATE said_person s SET id = u.id FROM visa_auth_user u WHERE s.id IS NULL AND u.iss = s.iss AND u.sub = s.sub
"""
