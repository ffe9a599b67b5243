"""Writing the differences, set by set: additions from the ground up, removals from the top down.

Login names that a catalogue wishes for are given as far as they are free, Unix ids as unix_ids left them; the others
are the portal's own.
"""

from typing import Any

from django.contrib.auth.hashers import make_password

from auth import models, unix, usernames

from .compare import removed, run
from .staging import RECOGNISE, fill

CHUNK = 1000


def apply(origin: str) -> None:
    given = {"origin": origin}
    run(INSTRUMENTS, given)
    run(CHANGED_INSTRUMENTS, given)
    _add_people()
    run(CHANGED_PEOPLE)
    _add_proposals(origin)
    run(CHANGED_PROPOSALS, given)
    run(CLOSED_PROPOSALS)
    for sql in (EXPERIMENTS, CHANGED_EXPERIMENTS, PARTICIPATIONS, ROLES, CHANGED_ROLES):
        run(sql, given)
    run("DELETE FROM visa_auth_participation WHERE id IN (SELECT id FROM diff_participation WHERE verb = 'remove')")
    run("DELETE FROM visa_auth_rolegrant WHERE id IN (SELECT id FROM diff_role WHERE verb = 'remove')")
    _remove("experiment", models.Experiment.objects)
    _remove("proposal", models.Proposal.objects)
    _remove("instrument", models.Instrument.objects)


def _add_people() -> None:
    new = run(NEW_PEOPLE)
    names = usernames.free_many([wish or usernames.suggestion(name=name) for _, name, wish, _ in new])
    local = iter(unix.free_uids(sum(uid is None for *_, uid in new)))
    password = make_password(None)  # nobody has one; it says only that
    run("CREATE TEMPORARY TABLE new_person (n int, username text, uid bigint) ON COMMIT DROP")
    fill(
        "new_person",
        ((n, name, next(local) if uid is None else uid) for (n, *_, uid), name in zip(new, names, strict=True)),
    )
    run(PEOPLE, {"password": password})
    run("DROP TABLE new_person")
    run(RECOGNISE)


def _add_proposals(origin: str) -> None:
    new = run(NEW_PROPOSALS)
    local = iter(unix.free_gids(sum(gid is None for _, gid in new)))
    run("CREATE TEMPORARY TABLE new_proposal (code text, gid bigint) ON COMMIT DROP")
    fill("new_proposal", ((code, next(local) if gid is None else gid) for code, gid in new))
    run(PROPOSALS, {"origin": origin})
    run("DROP TABLE new_proposal")


def _remove(kind: str, rows: Any) -> None:
    """Through the models, so that whatever else hangs on them goes as they say."""
    ids = removed(kind)
    for first in range(0, len(ids), CHUNK):
        rows.filter(pk__in=ids[first : first + CHUNK]).delete()


NEW_PEOPLE = """
SELECT s.n, s.name, s.username, s.uid FROM said_person s JOIN diff_person d USING (n) WHERE d.verb = 'add' ORDER BY s.n
"""
PEOPLE = """
INSERT INTO visa_auth_user
  (iss, sub, name, email, affiliation, username, uid, password, is_active, preferences, joined)
SELECT s.iss, s.sub, s.name, s.email, s.affiliation, f.username, f.uid, %(password)s, true, '{}', now()
FROM said_person s JOIN new_person f USING (n) ORDER BY s.n
-- Somebody may be signing in for the first time at this moment.
ON CONFLICT (iss, sub) DO NOTHING
"""
CHANGED_PEOPLE = """
UPDATE visa_auth_user u SET name = s.name, email = s.email, affiliation = s.affiliation
FROM said_person s JOIN diff_person d USING (n) WHERE d.verb = 'change' AND u.id = s.id
"""
INSTRUMENTS = """
INSERT INTO visa_auth_instrument (code, name, folder, source)
SELECT s.code, s.name, s.folder, %(origin)s FROM said_instrument s JOIN diff_instrument d USING (code)
WHERE d.verb = 'add' ORDER BY s.code
"""
CHANGED_INSTRUMENTS = """
UPDATE visa_auth_instrument i
SET name = coalesce(s.name, i.name), folder = coalesce(s.folder, i.folder), source = coalesce(d.heir, %(origin)s)
FROM diff_instrument d LEFT JOIN said_instrument s USING (code) WHERE d.verb = 'change' AND i.id = d.id
"""
NEW_PROPOSALS = """
SELECT s.code, s.gid FROM said_proposal s JOIN diff_proposal d USING (code) WHERE d.verb = 'add' ORDER BY s.code
"""
PROPOSALS = """
INSERT INTO visa_auth_proposal (code, title, abstract, proprietary, released, doi, gid, source)
SELECT s.code, s.title, s.abstract, s.proprietary, s.released, s.doi, f.gid, %(origin)s
FROM said_proposal s JOIN new_proposal f USING (code) ORDER BY s.code
"""
CHANGED_PROPOSALS = """
UPDATE visa_auth_proposal p SET title = s.title, abstract = s.abstract, proprietary = s.proprietary,
  released = s.released, doi = s.doi, source = %(origin)s
FROM said_proposal s JOIN diff_proposal d USING (code) WHERE d.verb = 'change' AND p.id = d.id
"""
CLOSED_PROPOSALS = """
UPDATE visa_auth_proposal p SET released = NULL FROM diff_proposal d WHERE d.closed AND p.id = d.id
"""
EXPERIMENTS = """
INSERT INTO visa_auth_experiment (key, proposal_id, instrument_id, title, start, "end", source)
SELECT s.key, p.id, i.id, s.title, s.start, s."end", %(origin)s
FROM said_experiment s JOIN diff_experiment d USING (key)
JOIN visa_auth_proposal p ON p.code = s.proposal JOIN visa_auth_instrument i ON i.code = s.instrument
WHERE d.verb = 'add' ORDER BY s.key
"""
CHANGED_EXPERIMENTS = """
UPDATE visa_auth_experiment e SET proposal_id = p.id, instrument_id = i.id, title = s.title, start = s.start,
  "end" = s."end", source = %(origin)s
FROM said_experiment s JOIN diff_experiment d USING (key)
JOIN visa_auth_proposal p ON p.code = s.proposal JOIN visa_auth_instrument i ON i.code = s.instrument
WHERE d.verb = 'change' AND e.id = d.id
"""
PARTICIPATIONS = """
INSERT INTO visa_auth_participation (user_id, experiment_id, part, source)
SELECT w.id, e.id, d.part, %(origin)s FROM diff_participation d
JOIN said_person w USING (n) JOIN visa_auth_experiment e ON e.key = d.key WHERE d.verb = 'add' ORDER BY e.id
"""
ROLES = """
INSERT INTO visa_auth_rolegrant (user_id, role, instrument_id, because, source, since, until)
SELECT w.id, s.role, i.id, s.because, %(origin)s, coalesce(s.since, now()), s.until
FROM diff_role d JOIN said_role s ON s.n = d.n AND s.role = d.role AND s.instrument = d.code
JOIN said_person w ON w.n = s.n LEFT JOIN visa_auth_instrument i ON i.code = s.instrument WHERE d.verb = 'add'
"""
CHANGED_ROLES = """
UPDATE visa_auth_rolegrant g SET because = s.because, since = coalesce(s.since, g.since), until = s.until,
  ended = CASE WHEN d.other_end THEN NULL ELSE g.ended END
FROM diff_role d JOIN said_role s ON s.n = d.n AND s.role = d.role AND s.instrument = d.code
WHERE d.verb = 'change' AND g.id = d.id
"""
