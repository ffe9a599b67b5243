"""What keeps a one-machine portal running, and what it says when it cannot."""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import environ
import pytest
from django.core import mail
from django.core.management.base import CommandError

from instances.models import Environment, Flavour
from instances.services.options import flavour_choices
from tests.facility import person
from tests.portal import free_ports, until
from visa.machine import catalogue
from visa.machine.configuration import Machine, kept_secret
from visa.machine.supervisor import Supervisor
from visa.management.commands.up import only_one


def test_a_busy_port_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISA_OIDC_ISSUER", raising=False)
    machine = Machine(free_ports(), tmp_path)
    machine.check_ports()
    with (
        socket.create_server(("127.0.0.1", machine.port + 1)),
        pytest.raises(CommandError, match=rf"Port {machine.port + 1} \(for the broker\).*--port"),
    ):
        machine.check_ports()


def test_two_portals_never_share_a_folder(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(CommandError, match="already"), only_one(tmp_path):
        pass


def test_a_secret_is_made_once_and_readable_by_us_alone(tmp_path: Path) -> None:
    first = kept_secret(tmp_path / "key")
    assert first == kept_secret(tmp_path / "key") and len(first) == 64
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_configured_identity_provider_turns_the_demo_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISA_OIDC_ISSUER", "https://proxy.acc.myaccessid.org")
    machine = Machine(8000, tmp_path)
    assert not machine.has_demo
    assert machine.environment("postgresql://x")["VISA_OIDC_ISSUER"] == "https://proxy.acc.myaccessid.org"


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(dict(os.environ), tmp_path)


def test_a_dead_process_is_started_again_and_a_stubborn_one_killed(supervisor: Supervisor) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
    supervisor.start("deaf", [sys.executable, "-c", deaf])
    (child,) = supervisor.children
    first = child.pid
    assert first
    os.kill(first, signal.SIGKILL)

    def again() -> bool:
        supervisor.tend()
        return child.pid not in (None, first)

    until(again, what="the process to be started again", seconds=10)
    until(lambda: child.log.read_text().count("up") >= 1, what="it to ignore SIGTERM", seconds=10)
    second = child.pid
    assert second and int((supervisor.logs / "deaf.pid").read_text()) == second
    supervisor.stop(patience=0.5)
    assert not Path(f"/proc/{second}").exists()


def test_the_demo_s_mails_are_files_one_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.delenv("VISA_EMAIL_URL", raising=False)
    monkeypatch.delenv("VISA_OIDC_ISSUER", raising=False)
    machine = Machine(8000, tmp_path / "with a + and 100%")
    found = environ.Env.email_url_config(machine.environment("postgresql://x")["VISA_EMAIL_URL"])
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = found["EMAIL_BACKEND"], found["EMAIL_FILE_PATH"]
    mail.send_mail("Ready", "It is “ready”.", None, ["alice@example.org"])
    (written,) = machine.mail.iterdir()
    assert "Subject: Ready" in written.read_text() and "It is “ready”." in written.read_text()


@pytest.mark.django_db
def test_a_machine_offers_what_fits_it_and_names_why_the_rest_is_not_there() -> None:
    catalogue.load()
    catalogue.load()
    assert list(Environment.objects.values_list("slug", flat=True)) == ["desktop", "jupyter"]
    assert Flavour.objects.count() == 11
    reasons = {
        choice.flavour.slug: choice.because for choice in flavour_choices([], acting_user=person("ada", "Ada Lind"))
    }
    assert "no configured cloud has A16 GPUs" in reasons["gpu.a16"]
    assert "not reported" in reasons["local.half"]
