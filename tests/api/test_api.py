"""/api/v1/: what scripts see, and how they are refused."""

import json
import secrets
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from auth.models import ApiToken, User
from auth.scopes import Scope
from auth.services.tokens import create_token
from instances.models import Instance, Quota
from instances.quotas import Scope as Quotas
from instances.states import State
from tests.facility import Facility, instance


@pytest.fixture
def facility(db: None) -> Facility:
    from tests import facility as facilities

    return facilities.build()


class Api:
    def __init__(self, user: User) -> None:
        _, secret = create_token(acting_user=user, name=secrets.token_hex(4), scopes=Scope)
        self.client = Client(headers={"authorization": f"Bearer {secret}"}, enforce_csrf_checks=True)

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        return self.client.generic(
            method, f"/api/v1/{path}", data="" if body is None else json.dumps(body), content_type="application/json"
        )


def ask(facility: Facility, **changes: Any) -> dict[str, Any]:
    return {"experiments": [facility.running.pk], "environment": "desktop", "flavour": "s"} | changes


def test_the_schema_is_valid_openapi_and_names_every_route(client: Client, facility: Facility) -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    validate_schema(schema)
    assert {path.removeprefix("/api/v1/") for path in schema["paths"]} == {
        "instances/{id}/members/",
        "instances/{id}/members/{user}/",
        "instances/{id}/candidates/",
        "instances/{id}/requests/",
        "requests/{id}/answer/",
        "requests/{id}/withdraw/",
        "audit/",
        "roles/",
        "environments/",
        "flavours/",
        "quotas/",
        "experiments/",
        "experiments/{id}/",
        "instances/",
        "instances/{id}/",
        "instances/{id}/start/",
        "instances/{id}/stop/",
        "instances/{id}/restart/",
        "instances/{id}/events/",
        "instances/{id}/connections/",
        "instances/{id}/extend/",
        "instances/{id}/keep/",
        "instances/{id}/extensions/",
        "extensions/",
        "extensions/{id}/withdraw/",
    }
    client.force_login(facility.ada)
    assert client.get("/api/v1/schema/").status_code == 200


def test_an_instance_is_launched_listed_renamed_stopped_and_deleted(facility: Facility) -> None:
    api = Api(facility.ada)
    made = api("POST", "instances/", ask(facility, name="Rings", display={"layout": "dual"}))
    assert made.status_code == 201 and made.json()["state"] == "queued"
    path = f"instances/{made.json()['id']}/"
    assert [row["id"] for row in api("GET", "instances/").json()["results"]] == [made.json()["id"]]
    assert api("PATCH", path, {"notes": "second try"}).json()["notes"] == "second try"
    assert api("POST", f"{path}stop/").json()["state"] == "stopping"
    assert api("DELETE", path).status_code == 202
    steps = api("GET", f"{path}events/").json()["results"]
    assert [event["after"] or event["step"] for event in steps] == ["queued", "stopping", "deleting"]


def test_experiments_carry_the_grants_with_their_reasons(facility: Facility) -> None:
    rows = Api(facility.ada)("GET", "experiments/").json()["results"]
    assert [row["proposal"] for row in rows] == ["hc-1", "es-3"]
    assert "principal investigator of HC-1" in rows[0]["because"]
    assert {grant["mode"] for grant in rows[1]["grants"]} == {"read"}
    assert Api(facility.ada)("GET", f"experiments/{facility.other.pk}/").status_code == 404


def test_flavours_and_environments_are_listed_with_availability(facility: Facility) -> None:
    api = Api(facility.ada)
    assert [row["slug"] for row in api("GET", "environments/").json()["results"]] == ["desktop", "jupyter"]
    flavours = {row["slug"]: row for row in api("GET", "flavours/").json()}
    assert flavours["s"]["available"] and not flavours["gpu.a40"]["available"] and flavours["gpu.a40"]["because"]


def test_errors_are_problem_json_with_a_sentence_for_each_field(facility: Facility) -> None:
    api = Api(facility.ada)
    refused = api("POST", "instances/", ask(facility, flavour="gpu.a40"))
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.status_code == 422 and "A40" in refused.json()["errors"]["flavour"]
    malformed = api("POST", "instances/", {"experiments": "all"})
    assert malformed.status_code == 400 and set(malformed.json()["errors"]) >= {"experiments", "environment"}
    assert not Instance.objects.exists()


@pytest.mark.parametrize("method_and_tail", ["GET ", "PATCH ", "DELETE ", "POST start/", "POST stop/", "POST restart/"])
def test_somebody_else_s_instance_is_404_by_every_route(facility: Facility, method_and_tail: str) -> None:
    method, tail = method_and_tail.split(" ")
    row = instance(facility, facility.ada)
    missing = Api(facility.bob)(method, f"instances/{row.pk}/{tail}", {})
    assert missing.status_code == 404
    unknown = Api(facility.bob)(method, f"instances/{uuid.uuid4()}/{tail}", {})
    assert missing.json() == unknown.json()


def test_somebody_else_s_events_and_connections_are_404(facility: Facility) -> None:
    row = instance(facility, facility.ada)
    assert Api(facility.bob)("GET", f"instances/{row.pk}/events/").status_code == 404
    assert Api(facility.bob)("POST", f"instances/{row.pk}/connections/", {"app": "desktop"}).status_code == 404


def test_a_connection_gives_a_ticket_that_is_in_no_url(facility: Facility) -> None:
    row = instance(facility, facility.ada)
    seat = Api(facility.ada)("POST", f"instances/{row.pk}/connections/", {"app": "desktop", "mode": "control"}).json()
    assert seat["url"].endswith("/desktop") and seat["ticket"] not in seat["url"]
    conflict = Api(facility.ada)(
        "POST", f"instances/{instance(facility, facility.ada, State.STOPPED).pk}/connections/", {"app": "desktop"}
    )
    assert conflict.status_code == 409


def test_the_person_with_nothing_is_told_why(facility: Facility) -> None:
    refused = Api(facility.eve)("POST", "instances/", ask(facility))
    assert refused.status_code == 403 and "You take part in no experiment" in refused.json()["detail"]


@pytest.mark.parametrize("change", [{"revoked": timezone.now()}, {"expires": timezone.now() - timedelta(seconds=1)}])
def test_a_revoked_or_expired_token_opens_nothing(facility: Facility, change: dict[str, Any]) -> None:
    api = Api(facility.ada)
    assert api("GET", "instances/").status_code == 200
    ApiToken.objects.update(**change)
    refused = api("GET", "instances/")
    assert refused.status_code == 401 and refused.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_blocked_person_s_token_opens_nothing(facility: Facility) -> None:
    api = Api(facility.ada)
    User.objects.filter(pk=facility.ada.pk).update(is_active=False)
    assert api("GET", "instances/").status_code == 401


def test_a_session_without_the_csrf_token_changes_nothing(facility: Facility) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(facility.ada)
    row = instance(facility, facility.ada)
    assert client.post(f"/api/v1/instances/{row.pk}/stop/").status_code == 403
    assert client.get("/api/v1/instances/").status_code == 200


def test_without_a_login_everything_is_401(client: Client, db: None) -> None:
    for path in ("environments", "flavours", "experiments", "instances"):
        assert client.get(f"/api/v1/{path}/").status_code == 401


def test_a_token_s_secret_is_kept_nowhere(facility: Facility) -> None:
    token, secret = create_token(acting_user=facility.ada, name="x", scopes=Scope)
    assert secret not in str(ApiToken.objects.values().get(pk=token.pk))


def test_quotas_tell_limits_use_and_rest_of_one_s_own_and_of_one_s_experiments(facility: Facility) -> None:
    Quota.objects.create(scope=Quotas.PERSON, instances=3, gpus={"A40": 1}, because="test")
    Quota.objects.create(scope=Quotas.PROPOSAL, cores=8, because="test")
    instance(facility, facility.ada)
    api = Api(facility.ada)
    own = {"scope": "person", "holder": "Your quota"} | {
        "limits": [
            {"resource": "instances", "limit": 3, "used": 1, "rest": 2},
            {"resource": "gpu:A40", "limit": 1, "used": 0, "rest": 1},
        ]
    }
    assert api("GET", "quotas/").json() == [own]
    found = api("GET", f"quotas/?experiment={facility.running.pk}&experiment={facility.other.pk}").json()
    assert [entry["holder"] for entry in found] == ["Your quota", "The quota of HC-1"]


def test_an_instance_in_line_tells_its_position_and_a_flavour_how_long_the_line_is(facility: Facility) -> None:
    for _ in range(8):
        instance(facility, facility.bob)
    api = Api(facility.ada)
    made = api("POST", "instances/", ask(facility))
    assert (made.status_code, made.json()["queue"]) == (201, {"position": 1, "of": 1})
    api("POST", "instances/", ask(facility))
    listed = api("GET", "instances/").json()["results"]
    assert sorted(entry["queue"]["position"] for entry in listed) == [1, 2]
    flavour = next(entry for entry in api("GET", "flavours/").json() if entry["slug"] == "s")
    assert (flavour["available"], flavour["position"], flavour["next_end"]) == (True, 3, None)
    assert api("GET", f"instances/{instance(facility, facility.ada).pk}/").json()["queue"] is None


def test_a_launch_beyond_the_quota_is_a_problem_that_says_who_can_change_it(facility: Facility) -> None:
    Quota.objects.create(scope=Quotas.PERSON, instances=0, because="test")
    answer = Api(facility.ada)("POST", "instances/", ask(facility))
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.status_code in (400, 422) and "administrators of this portal can change it" in answer.content.decode()


def test_whoever_looks_after_it_asks_and_the_owner_answers(facility: Facility) -> None:
    row = instance(facility, facility.ada)
    owner, asker = Api(facility.ada), Api(facility.sci)
    refused = asker("POST", f"instances/{row.pk}/requests/", {"reason": "hm"})
    assert refused.status_code == 400 and "reason" in refused.json()["errors"]
    made = asker("POST", f"instances/{row.pk}/requests/", {"reason": "The detector is off."})
    assert made.status_code == 201 and made.json()["capacity"] == "instrument_scientist"
    assert Api(facility.bob)("GET", f"instances/{row.pk}/requests/").status_code == 404
    which = f"requests/{made.json()['id']}/"
    assert asker("POST", f"{which}answer/", {"answer": "control"}).status_code == 403
    assert [one["id"] for one in owner("GET", f"instances/{row.pk}/requests/").json()] == [made.json()["id"]]
    answered = owner("POST", f"{which}answer/", {"answer": "watch", "minutes": 120})
    assert (answered.status_code, answered.json()["answer"]) == (200, "watch")
    assert asker("POST", f"{which}withdraw/").status_code == 404
    assert [one["role"] for one in owner("GET", f"instances/{row.pk}/members/").json()] == ["viewer"]
