"""What differs between a staged catalogue and the portal's rows, as temporary tables `diff_<kind>`. Set by set, in SQL.

Each has `verb` (add, change, remove), the row's key and `id`, and `what`, the change in words. Only rows of the
catalogue's own are changed or removed; `origin` is its name among sources. Without `whole`, nothing is said about
proposals outside said_scope, and no instrument or role is removed.
"""
# ruff: noqa: S608  # statements are put together from this module's own words; what a catalogue says is never in one

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.db.models import Model

from auth import models

from .base import CatalogueError, OutOfScope
from .diff import MOST_LINES, Diff

KINDS = ("instrument", "person", "proposal", "experiment", "participation", "role")
MOST_PROBLEMS = 50


@contextmanager
def compared(origin: str, *, whole: bool, whole_roles: bool) -> Iterator[Diff]:
    """The diff, with its tables for the time of the block; CatalogueError when it speaks about what is another's."""
    given = {"origin": origin, "whole": whole, "whole_roles": whole_roles}
    _refuse(given)
    for kind in KINDS:
        run(f"CREATE TEMPORARY TABLE diff_{kind} ON COMMIT DROP AS {DIFFERENCES[kind]}", given)
    diff = Diff()
    diff.kept = _keep_experiments(given)
    _keep_proposals()
    diff.kept += _keep_instruments(given)
    for kind in KINDS:
        for verb, number in run(f"SELECT verb, count(*) FROM diff_{kind} GROUP BY verb ORDER BY verb"):
            diff.counts[f"{kind}.{verb}"] = number
        diff.lines += [line for (line,) in run(f"{LINES[kind]} LIMIT {MOST_LINES}")]
        diff.known[kind] = run(KNOWN[kind], given)[0][0] if kind in KNOWN else 0
        if not run(f"SELECT EXISTS (SELECT FROM said_{kind})")[0][0]:
            diff.empty.append(kind)
    yield diff
    run(f"DROP TABLE {', '.join(f'diff_{kind}' for kind in KINDS)}")


def run(sql: str, given: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return cursor.fetchall() if cursor.description else []


def removed(kind: str) -> list[int]:
    return [pk for (pk,) in run(f"SELECT id FROM diff_{kind} WHERE verb = 'remove'")]


def _refuse(given: dict[str, Any]) -> None:
    problems = [line for (line,) in run(CONFLICTS, given)]
    if problems:
        raise CatalogueError([*problems[:MOST_PROBLEMS], *(["…"] if len(problems) > MOST_PROBLEMS else [])])
    if not given["whole"] and (outside := [line for (line,) in run(OUTSIDE, given)]):
        raise OutOfScope(outside[:MOST_PROBLEMS])


CONFLICTS = """
SELECT format('proposal %%s belongs to %%s, and %%s says it is its own', h.code, h.source, %(origin)s)
FROM visa_auth_proposal h JOIN said_proposal s USING (code) WHERE h.source NOT IN ('', %(origin)s)
UNION ALL
SELECT format('experiment %%s belongs to %%s, and %%s says it is its own', h.key, h.source, %(origin)s)
FROM visa_auth_experiment h JOIN said_experiment s USING (key) WHERE h.source NOT IN ('', %(origin)s)
UNION ALL
SELECT format('instrument %%s belongs to %%s with the folder %%s, and %%s gives it the folder %%s',
  h.code, h.source, h.folder, %(origin)s, s.folder)
FROM visa_auth_instrument h JOIN said_instrument s USING (code)
WHERE h.source NOT IN ('', %(origin)s) AND h.folder <> s.folder
UNION ALL
SELECT format('experiment %%s is of proposal %%s, which %%s does not name', s.key, s.proposal, %(origin)s)
FROM said_experiment s WHERE NOT EXISTS (SELECT FROM said_proposal p WHERE p.code = s.proposal)
UNION ALL
SELECT format('experiment %%s is on instrument %%s, which %%s does not name', s.key, s.instrument, %(origin)s)
FROM said_experiment s WHERE NOT EXISTS (SELECT FROM said_instrument i WHERE i.code = s.instrument)
UNION ALL
SELECT DISTINCT format('experiment %%s: somebody takes part in it, but there is none', s.experiment)
FROM said_participation s WHERE NOT EXISTS (SELECT FROM said_experiment e WHERE e.key = s.experiment)
  AND NOT EXISTS (SELECT FROM visa_auth_experiment e WHERE e.key = s.experiment AND e.source NOT IN ('', %(origin)s))
UNION ALL
SELECT format('a role is on instrument %%s, which %%s does not name', s.instrument, %(origin)s)
FROM said_role s WHERE s.instrument <> '' AND NOT EXISTS (SELECT FROM said_instrument i WHERE i.code = s.instrument)
"""
OUTSIDE = """
SELECT format('proposal %%s was not asked for', code) FROM said_proposal
WHERE code NOT IN (SELECT code FROM said_scope)
UNION ALL
SELECT format('experiment %%s is one of %%s, of which nothing is said', h.key, p.code)
FROM visa_auth_experiment h JOIN visa_auth_proposal p ON p.id = h.proposal_id
WHERE p.code NOT IN (SELECT code FROM said_scope)
  AND (h.key IN (SELECT key FROM said_experiment) OR h.key IN (SELECT experiment FROM said_participation))
"""


def _what(*fields: str) -> str:
    """SQL for `title Old -> New, …` of those that differ between h and s."""
    shown = (
        f"CASE WHEN h.{f} IS DISTINCT FROM s.{f} THEN format('{f.strip(chr(34))} %%s -> %%s',"
        f" coalesce(left(h.{f}::text, 200), 'None'), coalesce(left(s.{f}::text, 200), 'None')) END"
        for f in fields
    )
    return f"concat_ws(', ', {', '.join(shown)})"


def _differ(*fields: str) -> str:
    return f"({', '.join(f'h.{f}' for f in fields)}) IS DISTINCT FROM ({', '.join(f's.{f}' for f in fields)})"


VERB = "CASE WHEN h.id IS NULL THEN 'add' WHEN s.code IS NULL THEN 'remove' ELSE 'change' END AS verb"
OWN = "CASE WHEN s.code IS NULL THEN '' WHEN h.source = '' THEN 'it is now of ' || %(origin)s ELSE '' END"
PROPOSAL = ("title", "abstract", "proprietary", "released", "doi")
EXPERIMENT = ("proposal", "instrument", "title", "start", '"end"')
RELEASE = ("proprietary", "released", "doi")

DIFFERENCES = {
    "instrument": f"""
SELECT {VERB}, coalesce(h.code, s.code) AS code, h.id, h.folder IS DISTINCT FROM s.folder AS rights,
  NULL::text AS heir, coalesce(nullif({_what("name", "folder")}, ''), {OWN}) AS what
FROM (SELECT * FROM visa_auth_instrument
  WHERE (%(whole)s AND source = %(origin)s) OR code IN (SELECT code FROM said_instrument)) h
FULL JOIN said_instrument s USING (code)
WHERE h.id IS NULL OR (h.source IN ('', %(origin)s)
  AND (s.code IS NULL OR h.source = '' OR {_differ("name", "folder")}))
""",
    "person": f"""
SELECT CASE WHEN h.id IS NULL THEN 'add' ELSE 'change' END AS verb, s.n, h.id,
  format('%%s (%%s)', s.name, s.sub) AS label, {_what("name", "email", "affiliation")} AS what
FROM said_person s LEFT JOIN visa_auth_user h ON h.id = s.id
WHERE h.id IS NULL OR (
  -- Once somebody has signed in, their provider knows better how they are called and reached.
  h.last_login IS NULL AND {_differ("name", "email", "affiliation")}
  -- Two catalogues that call somebody differently would change it for ever: the first in the alphabet has its way.
  AND NOT EXISTS (SELECT FROM visa_auth_participation p
    WHERE p.user_id = h.id AND p.source <> '' AND p.source < %(origin)s)
  AND NOT EXISTS (SELECT FROM visa_auth_rolegrant r
    WHERE r.user_id = h.id AND r.source LIKE 'catalogue:%%' AND r.source < %(origin)s))
""",
    "proposal": f"""
SELECT {VERB}, coalesce(h.code, s.code) AS code, h.id, {_differ(*RELEASE)} AS rights, false AS closed,
  coalesce(nullif({_what(*PROPOSAL)}, ''), {OWN}) AS what
FROM (SELECT * FROM visa_auth_proposal WHERE code IN (SELECT code FROM said_proposal)
  OR (source = %(origin)s AND (%(whole)s OR code IN (SELECT code FROM said_scope)))) h
FULL JOIN said_proposal s USING (code)
WHERE h.id IS NULL OR s.code IS NULL OR h.source = '' OR {_differ(*PROPOSAL)}
""",
    "experiment": f"""
SELECT {VERB.replace("s.code", "s.key")}, coalesce(h.key, s.key) AS key, h.id, h.proposal_id, h.instrument_id,
  {_differ("proposal", "instrument", "start", '"end"')} AS rights,
  s.proposal, s.instrument, coalesce(nullif({_what(*EXPERIMENT)}, ''), {OWN.replace("s.code", "s.key")}) AS what
FROM (SELECT e.*, p.code AS proposal, i.code AS instrument FROM visa_auth_experiment e
  JOIN visa_auth_proposal p ON p.id = e.proposal_id JOIN visa_auth_instrument i ON i.id = e.instrument_id
  WHERE e.key IN (SELECT key FROM said_experiment)
    OR (e.source = %(origin)s AND (%(whole)s OR p.code IN (SELECT code FROM said_scope)))) h
FULL JOIN said_experiment s USING (key)
WHERE h.id IS NULL OR s.key IS NULL OR h.source = '' OR {_differ(*EXPERIMENT)}
""",
    "participation": """
SELECT CASE WHEN h.id IS NULL THEN 'add' ELSE 'remove' END AS verb, coalesce(h.key, s.key) AS key, h.id, h.user_id,
  h.experiment_id, s.n, coalesce(h.part, s.part) AS part
FROM (SELECT a.id, a.user_id, a.experiment_id, e.key, a.part FROM visa_auth_participation a
  JOIN visa_auth_experiment e ON e.id = a.experiment_id
  WHERE a.source = %(origin)s AND (%(whole)s OR e.proposal_id IN (
    SELECT p.id FROM visa_auth_proposal p JOIN said_scope USING (code)))) h
FULL JOIN (SELECT DISTINCT p.experiment AS key, p.n, p.part, w.id FROM said_participation p
  JOIN said_person w USING (n)) s
ON h.user_id = s.id AND h.key = s.key AND h.part = s.part
WHERE h.id IS NULL OR s.n IS NULL
""",
    "role": f"""
SELECT CASE WHEN h.id IS NULL THEN 'add' WHEN s.n IS NULL THEN 'remove' ELSE 'change' END AS verb, h.id, h.user_id, s.n,
  coalesce(h.role, s.role) AS role, coalesce(h.code, s.instrument) AS code,
  h.until IS DISTINCT FROM s.until AS other_end, {_what("because", "until")} AS what
FROM (SELECT g.*, coalesce(i.code, '') AS code FROM visa_auth_rolegrant g
  LEFT JOIN visa_auth_instrument i ON i.id = g.instrument_id
  WHERE g.source = %(origin)s AND g.experiment_id IS NULL) h
FULL JOIN (SELECT r.*, w.id FROM said_role r JOIN said_person w USING (n)) s
ON h.user_id = s.id AND h.role = s.role AND h.code = s.instrument
WHERE h.id IS NULL OR (s.n IS NULL AND (%(whole)s OR %(whole_roles)s))
  OR (s.n IS NOT NULL AND ({_differ("because", "until")} OR h.since IS DISTINCT FROM coalesce(s.since, h.since)))
""",
}
KNOWN = {
    kind: f"SELECT count(*) FROM visa_auth_{table} WHERE source = %(origin)s"
    for kind, table in (
        ("instrument", "instrument"),
        ("proposal", "proposal"),
        ("experiment", "experiment"),
        ("participation", "participation"),
        ("role", "rolegrant"),
    )
}
_LINE = "SELECT format('%s {} %s', verb, {}) || CASE WHEN verb = 'change' THEN ': ' || what ELSE '' END FROM diff_{} "
_WHO = "LEFT JOIN said_person w ON w.n = d.n LEFT JOIN visa_auth_user u ON u.id = d.user_id"
_NAME = "format('%s (%s)', coalesce(u.name, w.name), coalesce(u.sub, w.sub))"
LINES = {
    "instrument": _LINE.format("instrument", "code", "instrument ORDER BY code"),
    "person": _LINE.format("person", "label", "person ORDER BY n"),
    "proposal": _LINE.format("proposal", "code", "proposal ORDER BY code"),
    "experiment": _LINE.format("experiment", "key", "experiment ORDER BY key"),
    "participation": f"SELECT format('%s participation %s %s %s', verb, {_NAME}, d.part, d.key)"
    f" FROM diff_participation d {_WHO} ORDER BY d.key, d.verb, d.part, coalesce(u.sub, w.sub)",
    "role": f"SELECT concat_ws(' ', verb, 'role', {_NAME}, d.role, nullif(d.code, ''))"
    f" || CASE WHEN verb = 'change' THEN ': ' || what ELSE '' END FROM diff_role d {_WHO} ORDER BY 1",
}


def _keep_experiments(given: dict[str, Any]) -> list[str]:
    """Those of some instance, and those on which somebody else's parts and roles hang."""
    used = _referred_to(
        models.Experiment, [pk for (pk,) in run("SELECT id FROM diff_experiment WHERE verb = 'remove'")]
    )
    shared = {pk for (pk,) in run(SHARED, given)} - used
    found = []
    for because, ids in (("instances refer to it", used), ("parts or roles from elsewhere hang on it", shared)):
        sql = "DELETE FROM diff_experiment WHERE id = ANY(%(ids)s) RETURNING key"
        found += sorted(f"experiment {key}: {because}" for (key,) in run(sql, {"ids": list(ids)}))
    return found


SHARED = """
SELECT id FROM diff_experiment d WHERE verb = 'remove' AND (
  EXISTS (SELECT FROM visa_auth_participation p WHERE p.experiment_id = d.id AND p.source <> %(origin)s)
  OR EXISTS (SELECT FROM visa_auth_rolegrant g WHERE g.experiment_id = d.id AND g.source <> %(origin)s))
"""


def _keep_proposals() -> None:
    """A proposal stays as long as an experiment of it does, or anything else that refers to it; it is closed."""
    used = _referred_to(models.Proposal, removed("proposal")) | {pk for (pk,) in run(LEFT_OF.format("proposal"))}
    run(CLOSE, {"ids": list(used)})
    run("DELETE FROM diff_proposal WHERE id = ANY(%(ids)s) AND verb = 'remove'", {"ids": list(used)})


LEFT_OF = """
SELECT d.id FROM diff_{0} d WHERE d.verb = 'remove' AND EXISTS (
  SELECT FROM visa_auth_experiment e LEFT JOIN diff_experiment x ON x.id = e.id
  WHERE e.{0}_id = d.id AND x.verb IS DISTINCT FROM 'remove' AND (x.id IS NULL OR x.{0} = d.code))
"""
CLOSE = """
UPDATE diff_proposal d SET verb = 'change', closed = true, rights = true,
  what = format('released %%s -> None', h.released)
FROM visa_auth_proposal h WHERE h.id = d.id AND d.id = ANY(%(ids)s) AND h.released IS NOT NULL
"""


def _keep_instruments(given: dict[str, Any]) -> list[str]:
    """An instrument that others use too becomes theirs."""
    used = _referred_to(
        models.Instrument, [pk for (pk,) in run("SELECT id FROM diff_instrument WHERE verb = 'remove'")]
    )
    used |= {pk for (pk,) in run(LEFT_OF.format("instrument"))} | {pk for (pk,) in run(ROLES_ON)}
    heirs = dict(run(HEIRS, given | {"ids": list(used)}))
    run("DELETE FROM diff_instrument WHERE id = ANY(%(ids)s)", {"ids": list(used - heirs.keys())})
    for pk, heir in heirs.items():
        run(HAND_OVER, {"id": pk, "heir": heir, "what": f"source {given['origin']} -> {heir}"})
    names = run("SELECT code FROM visa_auth_instrument WHERE id = ANY(%(ids)s)", {"ids": list(used - heirs.keys())})
    return [f"instrument {code}: experiments or roles refer to it" for (code,) in sorted(names)]


ROLES_ON = """
SELECT d.id FROM diff_instrument d WHERE d.verb = 'remove' AND EXISTS (
  SELECT FROM visa_auth_rolegrant g LEFT JOIN diff_role x ON x.id = g.id
  WHERE g.instrument_id = d.id AND x.verb IS DISTINCT FROM 'remove')
"""
HAND_OVER = """
UPDATE diff_instrument SET verb = 'change', rights = false, heir = %(heir)s, what = %(what)s WHERE id = %(id)s
"""
HEIRS = """
SELECT instrument_id, min(source) FROM visa_auth_experiment
WHERE instrument_id = ANY(%(ids)s) AND source NOT IN ('', %(origin)s) GROUP BY instrument_id
"""


def _referred_to(model: type[Model], ids: list[int]) -> set[int]:
    """Those of `ids` whose rows something outside this app refers to, whatever that is."""
    used: set[int] = set()
    for relation in model._meta.related_objects if ids else ():
        if relation.related_model._meta.app_label != model._meta.app_label:
            rows = model._default_manager.filter(**{"pk__in": ids, f"{relation.name}__isnull": False})
            used.update(rows.values_list("pk", flat=True))
    return used
