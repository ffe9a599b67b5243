"""What went wrong is said in words, with a reference that stands in the log, and with nothing from inside."""

import logging
import re

import pytest
from django.test import Client, override_settings

from instances.models import Instance
from tests.facility import Facility

from .conftest import As

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.pages.broken_urls")]


@pytest.mark.parametrize(
    ("address", "status", "sentence"),
    [
        ("/no-such-page/", 404, "There is nothing here"),
        ("/refuses/", 403, "Because it is Sunday."),
        ("/breaks/", 500, "Your instances keep running"),
    ],
)
def test_an_error_page_has_a_reference_that_stands_in_the_log(
    address: str, status: int, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer = Client(raise_request_exception=False, headers={"host": "localhost"}).get(address)
    page = answer.content.decode()
    assert answer.status_code == status
    assert sentence in page
    found = re.search(r"<code>([0-9a-f]{8})</code>", page)
    assert found
    assert found[1] in caplog.text
    assert "a secret" not in page


@override_settings(CSRF_FAILURE_VIEW="instances.views.errors.csrf_failure")
def test_a_form_that_grew_old_is_explained_and_does_nothing(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.ada)
    client.handler.enforce_csrf_checks = True
    answer = client.post("/new/", {"experiments": facility.running.pk})
    assert answer.status_code == 403
    assert "This page was open for too long" in answer.content.decode()
    assert not Instance.objects.exists()
