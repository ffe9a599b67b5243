"""What an API token may be used for. One table: the API asks it, and the pages, the schema and the docs show it. Pure.

An operation is a method and an address below /api/v1/, with `{id}` for whatever varies in it. What has no scope here
is refused for every token; a browser's session needs none. A scope never gives what its person may not do.
"""

import re
from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    ENVIRONMENTS_READ = "environments:read"
    EXPERIMENTS_READ = "experiments:read"
    INSTANCES_READ = "instances:read"
    INSTANCES_LAUNCH = "instances:launch"
    INSTANCES_CONTROL = "instances:control"
    INSTANCES_DELETE = "instances:delete"
    INSTANCES_CONNECT = "instances:connect"
    INSTANCES_SHARE = "instances:share"
    QUOTAS_READ = "quotas:read"
    ROLES_READ = "roles:read"
    AUDIT_READ = "audit:read"

    @property
    def description(self) -> str:
        return _DESCRIPTIONS[self]

    @property
    def operations(self) -> tuple[str, ...]:
        return tuple(operation for operation, scope in OPERATIONS.items() if scope is self)

    @property
    def for_staff(self) -> bool:
        """Of use to administrators, IT support and auditors only."""
        return self in _FOR_STAFF


_DESCRIPTIONS = {
    Scope.ENVIRONMENTS_READ: "See which environments and which hardware can be launched.",
    Scope.EXPERIMENTS_READ: "See your experiments, and which of their data you may use and why.",
    Scope.INSTANCES_READ: "See your instances and what happened to them.",
    Scope.INSTANCES_LAUNCH: "Launch instances in your name.",
    Scope.INSTANCES_CONTROL: "Start, stop, restart, rename and extend your instances.",
    Scope.INSTANCES_DELETE: "Delete your instances for good.",
    Scope.INSTANCES_CONNECT: "Open your desktops and JupyterLabs, with the data in them.",
    Scope.INSTANCES_SHARE: "Let people into your instances, and end it; ask to be let into others.",
    Scope.QUOTAS_READ: "See your quotas and how much of them is in use.",
    Scope.ROLES_READ: "See who holds which role at the facility.",
    Scope.AUDIT_READ: "Read the audit trail.",
}
_FOR_STAFF = frozenset({Scope.ROLES_READ, Scope.AUDIT_READ})

OPERATIONS: dict[str, Scope] = {
    "GET environments/": Scope.ENVIRONMENTS_READ,
    "GET flavours/": Scope.ENVIRONMENTS_READ,
    "GET experiments/": Scope.EXPERIMENTS_READ,
    "GET experiments/{id}/": Scope.EXPERIMENTS_READ,
    "GET instances/": Scope.INSTANCES_READ,
    "GET instances/{id}/": Scope.INSTANCES_READ,
    "GET instances/{id}/events/": Scope.INSTANCES_READ,
    "GET instances/{id}/members/": Scope.INSTANCES_READ,
    "POST instances/": Scope.INSTANCES_LAUNCH,
    "PATCH instances/{id}/": Scope.INSTANCES_CONTROL,
    "POST instances/{id}/start/": Scope.INSTANCES_CONTROL,
    "POST instances/{id}/stop/": Scope.INSTANCES_CONTROL,
    "POST instances/{id}/restart/": Scope.INSTANCES_CONTROL,
    "POST instances/{id}/extend/": Scope.INSTANCES_CONTROL,
    "POST instances/{id}/keep/": Scope.INSTANCES_CONTROL,
    "POST instances/{id}/extensions/": Scope.INSTANCES_CONTROL,
    "GET extensions/": Scope.INSTANCES_READ,
    "POST extensions/{id}/withdraw/": Scope.INSTANCES_CONTROL,
    "DELETE instances/{id}/": Scope.INSTANCES_DELETE,
    "POST instances/{id}/connections/": Scope.INSTANCES_CONNECT,
    "GET instances/{id}/candidates/": Scope.INSTANCES_SHARE,
    "POST instances/{id}/members/": Scope.INSTANCES_SHARE,
    "DELETE instances/{id}/members/{id}/": Scope.INSTANCES_SHARE,
    "GET instances/{id}/requests/": Scope.INSTANCES_SHARE,
    "POST instances/{id}/requests/": Scope.INSTANCES_SHARE,
    "POST requests/{id}/answer/": Scope.INSTANCES_SHARE,
    "POST requests/{id}/withdraw/": Scope.INSTANCES_SHARE,
    "GET quotas/": Scope.QUOTAS_READ,
    "GET roles/": Scope.ROLES_READ,
    "GET audit/": Scope.AUDIT_READ,
}
EVERYDAY = tuple(scope for scope in Scope if scope not in _FOR_STAFF)
"""What a person's own scripts need."""
ROOT = "api/v1/"


def operation(method: str, address: str) -> str:
    """`method` at `address`, a route of Django's or a path of the schema's, as the table names it."""
    below = address.lstrip("/").removeprefix(ROOT)
    return f"{'GET' if method.upper() == 'HEAD' else method.upper()} {re.sub(r'<[^>]*>|{[^}]*}', '{id}', below)}"


def needed_for(method: str, address: str) -> Scope | None:
    """None: no token reaches it."""
    return OPERATIONS.get(operation(method, address))


def known(names: Iterable[str]) -> tuple[Scope, ...]:
    """Those of `names` that are scopes today, each once, in the table's order; others give nothing."""
    given = set(names)
    return tuple(scope for scope in Scope if scope in given)
