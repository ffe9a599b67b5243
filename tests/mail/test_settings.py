"""What the environment says about mail, as every process reads it."""

import json
import os
import subprocess
import sys

import pytest

SHOWN = """
import json, visa.settings as s
print(json.dumps([s.SENDS_MAIL, s.EMAIL_HOST, s.EMAIL_PORT, s.EMAIL_HOST_USER, s.EMAIL_HOST_PASSWORD, s.EMAIL_USE_TLS,
                  s.EMAIL_USE_SSL, s.DEFAULT_FROM_EMAIL]))
"""


def read(**environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VISA_")}
    command = [sys.executable, "-c", SHOWN]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("url", "tls", "ssl"), [("smtp://", False, False), ("smtp+tls://", True, False), ("smtp+ssl://", False, True)]
)
def test_an_address_says_where_as_whom_and_how(url: str, tls: bool, ssl: bool) -> None:
    told = read(
        VISA_EMAIL_URL=f"{url}portal:p%40ss@mail.example.org:587",
        VISA_PORTAL_URL="https://visa.example.org",
        VISA_FACILITY_NAME="Example Light Source",
    )
    sender = "Example Light Source <visa@visa.example.org>"
    assert json.loads(told.stdout) == [True, "mail.example.org", 587, "portal", "p@ss", tls, ssl, sender]


def test_without_an_address_nothing_is_sent() -> None:
    assert json.loads(read().stdout)[0] is False


@pytest.mark.parametrize("wrong", [{"VISA_EMAIL_URL": "mailto:me"}, {"VISA_DIGEST_HOUR": "24"}])
def test_what_makes_no_sense_keeps_the_portal_from_starting(wrong: dict[str, str]) -> None:
    assert read(**wrong).returncode != 0
