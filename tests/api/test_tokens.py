"""API tokens: each does what its scopes name, never more than its person may, and nothing once it is over."""

import json
import re
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from rest_framework.permissions import AllowAny

from auth.access import Role
from auth.models import ApiToken, AuditEvent, Participation, RoleGrant, User
from auth.scopes import EVERYDAY, OPERATIONS, ROOT, Scope, known, needed_for, operation
from auth.services.tokens import AT_ONCE, TokenRefused, create_token, revoke_token
from instances.api.permissions import HasScope
from instances.states import State
from tests.facility import Facility, instance

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def facility(db: None) -> Facility:
    from tests import facility as facilities

    return facilities.build()


def script(user: User, *scopes: Scope, name: str = "test") -> Client:
    _, secret = create_token(acting_user=user, name=name, scopes=scopes)
    return Client(headers={"authorization": f"Bearer {secret}"}, enforce_csrf_checks=True)


def ask(client: Client, method: str, path: str, body: Any = None) -> Any:
    data = "" if body is None else json.dumps(body)
    return client.generic(method, f"/api/v1/{path}", data=data, content_type="application/json")


def routes() -> dict[str, Any]:
    """Every operation of the API that is really routed, with its view class."""
    found: dict[str, Any] = {}

    def walk(patterns: list[URLPattern | URLResolver], above: str) -> None:
        for pattern in patterns:
            address = above + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                walk(pattern.url_patterns, address)
            elif address.startswith(ROOT):
                view = pattern.callback
                methods = getattr(view, "actions", None) or {
                    m: m for m in view.cls.http_method_names if hasattr(view.cls, m) and m != "options"
                }
                for method in methods:
                    found[operation(method, address)] = view.cls

    walk(get_resolver().url_patterns, "")
    return found


def test_every_operation_has_a_scope_and_asks_for_it() -> None:
    found = routes()
    assert len(found) >= 15
    for name, view in found.items():
        if name == "GET schema/":
            assert view.permission_classes == [AllowAny]  # the description itself is public
            continue
        assert name in OPERATIONS, f"{name} has no scope: no token will ever reach it"
        assert HasScope in view.permission_classes, name
    assert set(OPERATIONS) == set(found) - {"GET schema/"}, "the table names what does not exist"


def test_what_has_no_scope_is_refused(facility: Facility, monkeypatch: pytest.MonkeyPatch) -> None:
    client = script(facility.ada, *Scope)
    assert ask(client, "GET", "flavours/").status_code == 200
    monkeypatch.delitem(OPERATIONS, "GET flavours/")
    refused = ask(client, "GET", "flavours/")
    assert refused.status_code == 403 and refused.json()["needed_scope"] is None
    session = Client()
    session.force_login(facility.ada)
    assert session.get("/api/v1/flavours/").status_code == 200


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_wants_its_own_scope_and_no_other(name: str, facility: Facility) -> None:
    method, _, path = name.partition(" ")
    row = instance(facility, facility.ivy, State.READY)
    row.experiments.clear()  # whose data Ivy has no part in
    key = str(facility.running.pk) if path.startswith(("experiments", "extensions", "requests")) else str(row.pk)
    needed = OPERATIONS[name]
    without = script(facility.ivy, *(scope for scope in Scope if scope is not needed), name="without")
    refused = ask(without, method, path.replace("{id}", key), {})
    problem = refused.json()
    assert refused.status_code == 403 and refused.headers["content-type"] == "application/problem+json"
    assert needed.value in problem["detail"] and problem["needed_scope"] == needed.value
    assert set(problem["token_scopes"]) == set(Scope) - {needed}
    assert f'scope="{needed.value}"' in refused.headers["WWW-Authenticate"]
    allowed = ask(script(facility.ivy, needed, name="with"), method, path.replace("{id}", key), {})
    assert allowed.status_code not in (401, 403), allowed.content


def test_an_unknown_method_is_405_and_not_a_matter_of_scopes(facility: Facility) -> None:
    assert ask(script(facility.ada, Scope.INSTANCES_READ), "PUT", "instances/", {}).status_code == 405


def test_a_token_never_does_more_than_its_person_may_now(facility: Facility) -> None:
    client = script(facility.bob, *Scope)
    assert len(ask(client, "GET", "experiments/").json()["results"]) == 2
    assert ask(client, "GET", "audit/").status_code == ask(client, "GET", "roles/").status_code == 403
    foreign = instance(facility, facility.ada)
    assert ask(client, "DELETE", f"instances/{foreign.pk}/").status_code == 404
    Participation.objects.filter(user=facility.bob).delete()
    assert len(ask(client, "GET", "experiments/").json()["results"]) == 1
    RoleGrant.objects.create(user=facility.bob, role=Role.AUDITOR, because="x", source="test")
    assert ask(client, "GET", "audit/").status_code == 200
    assert AuditEvent.objects.get(action="audit.search").actor_id == facility.bob.pk
    RoleGrant.objects.filter(user=facility.bob).update(until=timezone.now())
    assert ask(client, "GET", "audit/").status_code == 403


def test_roles_and_the_trail_are_read_in_pages(facility: Facility) -> None:
    client = script(facility.aud, *Scope)
    roles = ask(client, "GET", "roles/?role=administrator").json()["results"]
    assert [row["person"] for row in roles] == ["ivy"]
    page = ask(client, "GET", "audit/?action=token.create").json()
    assert page["results"][0]["detail"]["scopes"] == [scope.value for scope in Scope]
    wrong = ask(client, "GET", "audit/?since=yesterday")
    assert wrong.status_code == 422 and set(wrong.json()["errors"]) == {"since"}


@pytest.mark.parametrize("change", [{"revoked": timezone.now()}, {"expires": timezone.now()}, {"digest": "0" * 64}])
def test_a_token_that_is_over_is_401_at_once(facility: Facility, change: dict[str, Any]) -> None:
    client = script(facility.ada, *EVERYDAY)
    assert ask(client, "GET", "instances/").status_code == 200
    ApiToken.objects.update(**change)
    refused = ask(client, "GET", "instances/")
    assert refused.status_code == 401 and refused.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("which", ["own", "main account", "other identity"])
def test_a_token_of_somebody_blocked_is_401_whichever_identity_is_blocked(facility: Facility, which: str) -> None:
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ada)
    owner = facility.ada if which == "other identity" else facility.bob
    client = script(owner, *EVERYDAY)
    assert ask(client, "GET", "instances/").status_code == 200
    User.objects.filter(pk=(facility.ada if which == "main account" else facility.bob).pk).update(is_active=False)
    assert ask(client, "GET", "instances/").status_code == 401


def test_the_last_use_is_noted_with_its_address(facility: Facility) -> None:
    client = script(facility.ada, *EVERYDAY)
    ask(client, "GET", "instances/")
    token = ApiToken.objects.get()
    assert token.last_used and (token.last_address, token.last_used.date()) == ("127.0.0.1", timezone.now().date())
    client.get("/api/v1/instances/", REMOTE_ADDR="2001:db8::7")
    moved = ApiToken.objects.get()
    assert moved.last_address == "2001:db8::7" and moved.last_used and moved.last_used > token.last_used
    client.get("/api/v1/instances/", REMOTE_ADDR="2001:db8::7")
    assert ApiToken.objects.get().last_used == moved.last_used
    client.get("/api/v1/instances/", REMOTE_ADDR="")
    assert ApiToken.objects.get().last_address is None


def test_a_token_opens_no_page_and_makes_no_token(facility: Facility) -> None:
    client = script(facility.ada, *Scope)
    for address in ("/account/tokens/", "/account/tokens/new/", "/administration/"):
        assert client.get(address).status_code == 302
    client.handler.enforce_csrf_checks = False
    answer = client.post("/account/tokens/new/", {"name": "more", "scopes": "instances:read", "expires": "2030-01-01"})
    assert answer.status_code == 302 and ApiToken.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"scopes": []}, "scopes"),
        ({"expires": timezone.now() - timedelta(seconds=1)}, "expires"),
        ({"expires": timezone.now() + timedelta(days=367)}, "expires"),
    ],
)
def test_a_token_needs_a_name_something_to_do_and_an_end(facility: Facility, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(TokenRefused) as raised:
        create_token(**{"acting_user": facility.ada, "name": "x", "scopes": EVERYDAY} | wrong)
    assert set(raised.value.fields) == {field} and not ApiToken.objects.exists()


def test_a_token_ends_after_90_days_unless_another_end_is_chosen(facility: Facility, settings: Any) -> None:
    token, _ = create_token(acting_user=facility.ada, name="x", scopes=EVERYDAY)
    assert (token.expires - token.created).days in (89, 90)
    settings.TOKEN_DAYS_MAX = 7
    short, _ = create_token(acting_user=facility.ada, name="y", scopes=EVERYDAY)
    assert (short.expires - short.created).days in (6, 7)
    with pytest.raises(TokenRefused, match="7 days"):
        create_token(acting_user=facility.ada, name="z", scopes=EVERYDAY, expires=timezone.now() + timedelta(days=9))


def test_names_are_told_apart_and_there_are_at_most_20(facility: Facility) -> None:
    for n in range(AT_ONCE):
        token, _ = create_token(acting_user=facility.ada, name=f"n{n}", scopes=EVERYDAY)
    with pytest.raises(TokenRefused, match="already"):
        create_token(acting_user=facility.ada, name="N3", scopes=EVERYDAY)
    with pytest.raises(TokenRefused, match="20 tokens"):
        create_token(acting_user=facility.ada, name="one more", scopes=EVERYDAY)
    revoke_token(token.pk, acting_user=facility.ada)
    create_token(acting_user=facility.ada, name=token.name, scopes=EVERYDAY)


@pytest.mark.django_db(transaction=True)
def test_a_form_that_is_sent_twice_at_once_makes_one_token(facility: Facility) -> None:
    together, made = threading.Barrier(4), []

    def make() -> None:
        together.wait()
        try:
            made.append(create_token(acting_user=facility.ada, name="same", scopes=EVERYDAY))
        except TokenRefused:
            pass
        finally:
            connections.close_all()

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == ApiToken.objects.count() == 1


def test_making_and_revoking_leave_rows_without_the_secret(facility: Facility) -> None:
    token, secret = create_token(acting_user=facility.ada, name="x", scopes=[Scope.INSTANCES_READ])
    revoke_token(token.pk, acting_user=facility.ada)
    revoke_token(token.pk, acting_user=facility.ada)
    rows = list(AuditEvent.objects.order_by("seq"))
    assert [row.action for row in rows] == ["token.create", "token.revoke"]
    assert rows[0].detail["scopes"] == ["instances:read"]
    kept = str([list(model.objects.values()) for model in (ApiToken, AuditEvent)])
    assert secret not in kept and secret[9:] not in kept
    with pytest.raises(ApiToken.DoesNotExist):
        revoke_token(token.pk, acting_user=facility.bob)


def test_the_command_takes_scopes_and_days(facility: Facility, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_token", "ada", "--scope", "instances:read", "--scope", "experiments:read", "--days", "3")
    token = ApiToken.objects.get()
    assert token.granted == (Scope.EXPERIMENTS_READ, Scope.INSTANCES_READ)
    assert (token.expires - timezone.now()).days in (2, 3)
    call_command("create_token", "ada")
    assert ApiToken.objects.order_by("pk").last().granted == EVERYDAY
    with pytest.raises(CommandError, match="365 days"):
        call_command("create_token", "ada", "--days", "400")
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("create_token", "ada", "--scope", "everything")
    assert len(capsys.readouterr().out.split()) == 2


def test_tokens_of_before_keep_what_they_could_do(facility: Facility) -> None:
    from importlib import import_module

    from django.apps import apps

    token, _ = create_token(acting_user=facility.ada, name="x", scopes=EVERYDAY)
    ApiToken.objects.update(scopes=[])
    import_module("auth.migrations.0007_tokens_and_trail").keep_what_they_could(apps, None)
    token.refresh_from_db()
    assert set(token.granted) == set(EVERYDAY) - {Scope.QUOTAS_READ, Scope.INSTANCES_SHARE}  # which came later


def test_scopes_that_are_no_more_give_nothing() -> None:
    assert known(["instances:read", "everything", "instances:read"]) == (Scope.INSTANCES_READ,)
    assert needed_for("HEAD", "/api/v1/instances/{id}/") is needed_for("get", "api/v1/instances/<uuid:pk>/")
    assert needed_for("GET", "/api/v2/instances/") is None


def test_the_schema_shows_the_scope_of_each_operation(db: None) -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    shown = {
        operation(method, path): described["x-scope"]
        for path, methods in schema["paths"].items()
        for method, described in methods.items()
    }
    assert shown == {name: scope.value for name, scope in OPERATIONS.items()}
    assert "Scope: `instances:launch`" in schema["paths"]["/api/v1/instances/"]["post"]["description"]


def test_the_documentation_says_what_the_table_says() -> None:
    rows = re.findall(r"^\| `([a-z:]+)` \| ([^|]+) \| ([^|]+) \|$", (DOCS / "reference/scopes.md").read_text(), re.M)
    assert {scope: (text, tuple(re.findall(r"`([^`]+)`", calls))) for scope, text, calls in rows} == {
        scope.value: (scope.description, scope.operations) for scope in Scope
    }
