"""The page about oneself: what it shows, to whom, and ending other sessions from it."""

from typing import Any

import pytest
from django.utils import timezone

from auth.access import Role
from auth.digests import session_digest
from auth.models import AuditEvent, RoleGrant, User
from auth.oidc.demo_provider.people import Person
from tests import facility as facilities

from .independent import Visitor
from .test_linking import post

pytestmark = pytest.mark.django_db(transaction=True)


def test_other_sessions_end_when_one_says_so(
    double: Visitor, people: dict[str, Person], stranger: Any, heard: Any
) -> None:
    double.sign_in(people["Inês"])
    stranger.sign_in(people["Inês"])
    page = double.http.get(f"{double.portal}/account/").text
    assert page.count("An unknown browser") == 2
    assert "Sign out everywhere else" in page
    ended = stranger.session
    assert post(double, "/account/sessions/end/").status_code == 302
    assert (double.is_signed_in, stranger.is_signed_in) == (True, False)
    assert heard()[0]["session"] == session_digest(ended)
    assert AuditEvent.objects.get(action="session.end").detail == {"sessions": 1}
    assert "1 other session ended." in double.http.get(f"{double.portal}/account/").text


def test_the_page_of_one_s_account_is_for_people_who_are_signed_in(double: Visitor) -> None:
    for path in ("", "link/", "link/start/", "link/confirm/", "confirm/", "confirm/start/", "identities/1/unlink/"):
        answer = double.http.get(f"{double.portal}/account/{path}")
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (302, "/sign-in/"), path


def test_roles_say_where_they_come_from(double: Visitor, people: dict[str, Person]) -> None:
    facility = facilities.build()
    double.sign_in(people["Inês"])
    me = User.objects.get(sub=people["Inês"].sub)
    until = timezone.now() + timezone.timedelta(days=9)
    for role, source in [
        (Role.AUDITOR, f"person:{facility.ivy.pk}"),
        (Role.IT_SUPPORT, "catalogue:icat"),
        (Role.INSTRUMENT_CONTROL, "claim:x"),
    ]:
        RoleGrant.objects.create(user=me, role=role, because=f"why {role}", source=source, until=until)
    RoleGrant.objects.create(user=me, role=Role.ADMINISTRATOR, because="past", source="x", until=timezone.now())
    page = double.http.get(f"{double.portal}/account/").text
    for shown in ("Given by Ivy Operator", "catalogue (icat)", "your groups at MyAccessID", "why auditor"):
        assert shown in page
    assert "Administrator" not in page
