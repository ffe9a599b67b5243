"""From the groups that a provider asserts to roles, by a table that the facility configures. Pure.

An entry names a group in the form of AARC-G069, `<namespace>:group:<group>[:<subgroup>…][:role=<role>][#<authority>]`.
It is matched part by part, never as a beginning or a piece of a longer text: `…:group:visa` gives nothing to members of
`…:group:visa-guests` or of `…:group:visa:staff`. A last group `*` stands for all groups below, at whatever depth.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from auth.access import Role

from .claims import Entitlement, parse_entitlement

FIELDS = frozenset({"entitlement", "role", "instrument", "days"})
DAYS, MOST_DAYS = 30, 366
ANY = "*"


class Invalid(ValueError):
    """What is wrong with a mapping: one sentence for each entry and field, in `problems`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Rule:
    """Who has `pattern` has `role`, at `instrument` (a code) where that is said, for `days` after each sign-in."""

    pattern: Entitlement
    text: str
    role: Role
    instrument: str = ""
    days: int = DAYS

    def matches(self, held: Entitlement) -> bool:
        wanted = self.pattern
        if _namespace(wanted.namespace) != _namespace(held.namespace) or wanted.role != held.role:
            return False
        if wanted.authority and wanted.authority != held.authority:
            return False
        if wanted.groups[-1] != ANY:
            return wanted.groups == held.groups
        above = wanted.groups[:-1]
        return len(held.groups) > len(above) and held.groups[: len(above)] == above


def given(rules: Iterable[Rule], entitlements: Iterable[str]) -> dict[tuple[Role, str], Rule]:
    """The roles that `entitlements` give, each with the rule that gives it longest."""
    held = [parsed for value in entitlements if (parsed := parse_entitlement(value))]
    found: dict[tuple[Role, str], Rule] = {}
    for rule in rules:
        if any(rule.matches(entitlement) for entitlement in held):
            before = found.get((rule.role, rule.instrument))
            found[rule.role, rule.instrument] = rule if before is None or rule.days > before.days else before
    return found


def rules(document: Any) -> tuple[Rule, ...]:
    """The rules of a mapping's JSON. Invalid names every entry and field that is wrong."""
    if not isinstance(document, list):
        raise Invalid(["The mapping must be a list."])
    problems: list[str] = []
    found = [_rule(f"Entry {number}", entry, problems) for number, entry in enumerate(document, 1)]
    if problems:
        raise Invalid(problems)
    return tuple(rule for rule in found if rule)


def _rule(where: str, entry: Any, problems: list[str]) -> Rule | None:
    if not isinstance(entry, Mapping):
        problems.append(f"{where} must be an object.")
        return None
    before = len(problems)
    problems += [f"{where}: {name!r} is no field." for name in sorted(set(entry) - FIELDS)]
    text, instrument, days = entry.get("entitlement"), entry.get("instrument", ""), entry.get("days", DAYS)
    pattern = parse_entitlement(text) if isinstance(text, str) else None
    if pattern is None or ANY in pattern.groups[:-1] or pattern.groups == (ANY,):
        problems.append(
            f"{where}: entitlement must be <namespace>:group:<group>[:<subgroup>][:role=<role>][#<authority>], in which"
            " only a last subgroup may be *."
        )
    role = next((role for role in Role if role.value == entry.get("role")), None)
    if role is None or role is Role.LOCAL_CONTACT:
        usable = ", ".join(role.value for role in Role if role is not Role.LOCAL_CONTACT)
        problems.append(f"{where}: role must be one of {usable}.")
    if not isinstance(instrument, str):
        problems.append(f"{where}: instrument must be the code of one.")
    elif role is Role.INSTRUMENT_SCIENTIST and not instrument:
        problems.append(f"{where}: instrument is missing; an instrument scientist is one of an instrument.")
    elif role not in (Role.INSTRUMENT_SCIENTIST, Role.INSTRUMENT_CONTROL, None) and instrument:
        problems.append(f"{where}: instrument means nothing for this role.")
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= MOST_DAYS:
        problems.append(f"{where}: days must be a whole number from 1 to {MOST_DAYS}.")
    if len(problems) > before or pattern is None or role is None:
        return None
    return Rule(pattern, str(text), role, instrument, days)


def _namespace(value: str) -> str:
    """`urn` and what follows it are the same in whatever case (RFC 8141); the rest is not."""
    scheme, _, rest = value.partition(":")
    nid, colon, name = rest.partition(":")
    return f"{scheme.lower()}:{nid.lower()}{colon}{name}"
