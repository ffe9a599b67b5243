"""Groups become roles by whole parts, never by a piece of a longer text."""

from typing import Any

import pytest
from hypothesis import given, strategies

from auth.access import Role
from auth.oidc import mapping

STAFF = "urn:geant:example.org:group:visa:staff"


def roles(pattern: str, *held: str) -> set[Role]:
    rules = mapping.rules([{"entitlement": pattern, "role": "auditor"}])
    return {role for role, _ in mapping.given(rules, held)}


@pytest.mark.parametrize(
    ("pattern", "held", "matches"),
    [
        (STAFF, STAFF, True),
        (STAFF, f"{STAFF}#aai.example.org", True),
        (f"{STAFF}#aai.example.org", STAFF, False),
        (f"{STAFF}#aai.example.org", f"{STAFF}#evil.example", False),
        (f"{STAFF}#aai.example.org", f"{STAFF}#aai.example.org", True),
        (STAFF, f"{STAFF}:role=admin", False),
        (f"{STAFF}:role=admin", f"{STAFF}:role=admin#x", True),
        (f"{STAFF}:role=admin", STAFF, False),
        (f"{STAFF}:role=admin", f"{STAFF}:role=administrator", False),
        (STAFF, f"{STAFF}:night", False),
        (f"{STAFF}:*", f"{STAFF}:night", True),
        (f"{STAFF}:*", f"{STAFF}:night:crew", True),
        (f"{STAFF}:*", STAFF, False),
        (f"{STAFF}:*", f"{STAFF}-guests:night", False),
        (f"{STAFF}:*:role=admin", f"{STAFF}:night:role=admin", True),
        (f"{STAFF}:*:role=admin", f"{STAFF}:night", False),
        (STAFF, f"{STAFF}s", False),
        (STAFF, f"x{STAFF}", False),
        (STAFF, f"{STAFF} ", False),
        (STAFF, STAFF.replace("visa", "other:visa"), False),
        (STAFF, STAFF.replace("example.org", "evil.example"), False),
        (STAFF, STAFF.replace("urn:geant", "URN:GEANT"), True),
        (STAFF, STAFF.replace("example.org", "EXAMPLE.org"), False),
        (STAFF, STAFF.replace("staff", "Staff"), False),
        ("urn:x:group:beam team", "urn:x:group:beam team", True),
        (f"{STAFF}:*", f"{STAFF}:*", True),
        (STAFF, f"https://example.org/{STAFF}", False),
    ],
)
def test_a_pattern_and_an_entitlement(pattern: str, held: str, matches: bool) -> None:
    assert roles(pattern, held) == ({Role.AUDITOR} if matches else set())


word = strategies.text("abz-_. %", min_size=1, max_size=4)
groups = strategies.lists(word, min_size=1, max_size=4)


def urn(namespace: str, path: list[str], role: str, authority: str) -> str:
    text = f"urn:{namespace}:group:{':'.join(path)}"
    return text + (f":role={role}" if role else "") + (f"#{authority}" if authority else "")


entitlement = strategies.builds(
    urn, word, groups, strategies.sampled_from(["", "a", "ab"]), strategies.sampled_from(["", "x", "xy"])
)


@given(entitlement, entitlement)
def test_what_is_not_the_same_gives_nothing(pattern: str, held: str) -> None:
    """Without `*` the only freedom is an authority that the pattern leaves out."""
    named, _, authority = pattern.partition("#")
    same = held == pattern or (not authority and held.partition("#")[0] == named)
    assert roles(pattern, held) == ({Role.AUDITOR} if same else set())


@given(entitlement, strategies.text("ab:#=*", min_size=1, max_size=6))
def test_adding_to_a_value_never_keeps_its_role_unless_only_the_authority_is_added(value: str, more: str) -> None:
    pattern = value.partition("#")[0]
    if not more.startswith("#"):
        assert roles(pattern, pattern + more) == set()
    assert roles(pattern, more + value) == set()


@given(groups, groups)
def test_a_star_stands_for_groups_below_and_for_no_other(above: list[str], below: list[str]) -> None:
    pattern, base = urn("n", [*above, "*"], "", ""), urn("n", above, "", "")
    assert roles(pattern, urn("n", [*above, *below], "", ""))
    assert not roles(pattern, base)
    assert not roles(pattern, urn("n", [*above[:-1], above[-1] + "a", *below], "", ""))


@given(strategies.lists(entitlement, max_size=5), strategies.lists(entitlement, max_size=5))
def test_more_groups_never_take_a_role_away(some: list[str], more: list[str]) -> None:
    rules = mapping.rules([{"entitlement": value, "role": "auditor", "days": 7} for value in some[:2]])
    assert mapping.given(rules, some).keys() <= mapping.given(rules, [*some, *more]).keys()


def test_of_two_rules_for_one_role_the_longer_one_holds() -> None:
    rules = mapping.rules(
        [
            {"entitlement": STAFF, "role": "auditor", "days": 5},
            {"entitlement": f"{STAFF}:night", "role": "auditor", "days": 50},
            {"entitlement": f"{STAFF}:day", "role": "auditor", "days": 6},
        ]
    )
    found = mapping.given(rules, [STAFF, f"{STAFF}:night", f"{STAFF}:day"])
    assert [rule.days for rule in found.values()] == [50]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({}, "Entry 1: entitlement must be"),
        ({"entitlement": "staff", "role": "auditor"}, "Entry 1: entitlement must be"),
        ({"entitlement": "urn:x:group:*", "role": "auditor"}, "Entry 1: entitlement must be"),
        ({"entitlement": "urn:x:group:a:*:b", "role": "auditor"}, "Entry 1: entitlement must be"),
        ({"entitlement": STAFF, "role": "admin"}, "Entry 1: role must be one of administrator, it_support"),
        ({"entitlement": STAFF, "role": "local_contact"}, "Entry 1: role must be one of"),
        ({"entitlement": STAFF, "role": "instrument_scientist"}, "Entry 1: instrument is missing"),
        ({"entitlement": STAFF, "role": "auditor", "instrument": "id11"}, "Entry 1: instrument means nothing"),
        ({"entitlement": STAFF, "role": "instrument_control", "instrument": 7}, "Entry 1: instrument must be the code"),
        ({"entitlement": STAFF, "role": "auditor", "days": 0}, "Entry 1: days must be a whole number"),
        ({"entitlement": STAFF, "role": "auditor", "days": True}, "Entry 1: days must be a whole number"),
        ({"entitlement": STAFF, "role": "auditor", "day": 3}, "Entry 1: 'day' is no field."),
        ("x", "Entry 1 must be an object."),
    ],
    ids=str,
)
def test_a_wrong_entry_is_named_with_its_field(entry: Any, sentence: str) -> None:
    with pytest.raises(mapping.Invalid) as raised:
        mapping.rules([entry])
    assert any(problem.startswith(sentence) for problem in raised.value.problems), raised.value.problems
