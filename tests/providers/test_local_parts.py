"""The local provider's own arithmetic: DES, the layout message, names on the desktop, what it refuses and reports."""

import struct
import uuid
from pathlib import Path

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from hypothesis import given
from hypothesis import strategies as st

from instances.errors import ProviderError
from instances.providers.base import Mount
from instances.providers.labels import labels
from instances.providers.local import limits, provider, sockets
from instances.providers.local.places import Place
from instances.providers.local.processes import last_run
from instances.providers.local.sandbox import checked
from instances.providers.session import des, screens
from instances.states import Phase
from tests.providers.conftest import Machine

KEYS = st.binary(min_size=8, max_size=8)


@given(KEYS, st.binary(min_size=8, max_size=8).map(lambda block: block * 2))
def test_des_is_des_with_each_bytes_bits_reversed_as_vnc_has_it(key: bytes, data: bytes) -> None:
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    reference = Cipher(TripleDES(turned * 3), modes.ECB()).encryptor()
    encrypted = des.encrypt(key, data)
    assert encrypted == reference.update(data) + reference.finalize()
    assert des.decrypt(key, encrypted) == data


def test_screens_stand_side_by_side_with_their_upper_edges_in_line() -> None:
    message = screens.layout([(1280, 1024), (1600, 900)])
    assert struct.unpack_from(">BxHHBx", message) == (251, 2880, 1024, 2)
    assert struct.unpack_from(">IHHHHI", message, 8) == (0, 0, 0, 1280, 1024, 0)
    assert struct.unpack_from(">IHHHHI", message, 24) == (1, 1280, 0, 1600, 900, 0)


def mount(target: str, *, writable: bool = False) -> Mount:
    return Mount("/source", target, writable)


def test_links_on_the_desktop_say_whose_data_and_whether_it_can_be_written() -> None:
    raw, processed = (f"/data/visitor/hc-4321/id11/20261120/{name}" for name in ("RAW_DATA", "PROCESSED_DATA"))
    assert labels((mount(raw), mount(processed, writable=True))) == {
        raw: "HC-4321 raw (read only)",
        processed: "HC-4321 processed",
    }


def test_two_experiments_of_a_proposal_are_told_apart_by_their_dates() -> None:
    first, second = (f"/data/visitor/hc-4321/id11/{date}/RAW_DATA" for date in ("20261120", "20261127"))
    named = labels((mount(first), mount(second)))
    assert named[first] == "HC-4321 20261120 raw (read only)" and named[second] == "HC-4321 20261127 raw (read only)"


def test_folders_of_the_same_name_elsewhere_get_different_links() -> None:
    named = labels((mount("/asap3/a/raw"), mount("/asap3/b/x/raw"), mount("/asap3/c/x/raw")))
    assert len(set(named.values())) == 3


def test_outer_folders_are_mounted_before_inner_ones_and_the_same_once(tmp_path: Path) -> None:
    source = tmp_path.resolve()
    given_mounts = [Mount(str(source), target, writable) for target, writable in (("/d/x/y", False), ("/d/x", False))]
    found = checked((*given_mounts, Mount(str(source), "/d/x", True)))
    assert [(m.target, m.writable) for m in found] == [("/d/x", True), ("/d/x/y", False)]


def test_two_sources_for_one_target_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    source = tmp_path.resolve()
    with pytest.raises(ProviderError, match="Two folders"):
        checked((Mount(str(source), "/d/x", True), Mount(str(source / "other"), "/d/x", True)))


@pytest.mark.parametrize("name", ["../x", "", "0" * 31, "G" * 32, "0" * 32 + "/", "ABCDEF" + "0" * 26])
def test_an_id_that_could_be_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProviderError):
        Place(tmp_path, name)


def test_what_is_waiting_is_said_in_a_sentence(machine: Machine) -> None:
    spec = machine.spec(mounts=machine.mounts("hc-4321") + machine.mounts("mx-99"))
    assert provider._mounting(spec) == "6 folders of HC-4321 and MX-99, 4 of them writable"
    assert provider._mounting(machine.spec(mounts=())) == "Your home, no experiment's data"


def test_last_words_are_the_last_line_that_says_something(machine: Machine) -> None:
    place = Place(machine.folder, uuid.uuid4().hex)
    place.path.mkdir(parents=True)
    place.log.write_text("first\n[E 2026-11-23 00:56:06.260 ServerApp] No space left on device\n\n   \n")
    assert place.last_words() == "No space left on device"


def test_a_folder_that_a_crash_left_empty_is_stopped_and_may_be_started_or_deleted(machine: Machine) -> None:
    spec = machine.spec()
    machine.place(spec.id).path.mkdir()
    seen = machine.provider.observe(spec.id)
    assert (seen.phase, seen.generation) == (Phase.STOPPED, 0)
    machine.run(spec)
    machine.place(other := uuid.uuid4().hex).path.mkdir()
    machine.provider.delete(other)
    assert machine.provider.observe(other).phase is Phase.ABSENT


def test_instances_of_another_deployment_are_not_ours(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    machine.provider.deployment = "somebody-else"
    assert machine.provider.observe_all() == []
    for act in (machine.provider.stop, machine.provider.delete):
        with pytest.raises(ProviderError, match="another deployment"):
            act(spec.id)
    machine.provider.deployment = "tests"
    assert [found.id for found in machine.provider.observe_all()] == [spec.id]


def test_a_machine_without_control_groups_says_so(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    monkeypatch.setattr(limits, "hierarchies", dict)
    notes = machine.provider.capacity().notes
    assert "Limits on memory are not enforced on this machine." in notes
    spec = machine.run(machine.spec())
    run = last_run(machine.place(spec.id))
    assert run and "visa-portal" not in Path(f"/proc/{run.outer.pid}/cgroup").read_text()


def test_an_image_that_lacks_its_programs_is_not_offered(machine: Machine) -> None:
    machine.provider.jupyter = machine.folder / "nothing-here"
    capacity = machine.provider.capacity()
    assert capacity.images == {"desktop"}
    assert any("JupyterLab is not installed" in note for note in capacity.notes)
    with pytest.raises(ProviderError, match="not installed"):
        machine.ensure(machine.spec("jupyter"))


def test_commands_of_the_jupyter_environment_run_inside(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    assert "jupyterlab" in machine.inside(spec, "jupyter --version").stdout
    assert machine.inside(spec, "python -c 'import h5py, silx; print(1)'").stdout == "1\n"


def test_an_app_that_is_not_there_does_not_answer(machine: Machine) -> None:
    place = machine.place(uuid.uuid4().hex)
    assert not sockets.secure(place, "desktop", 0)
    assert not sockets.answers(place, "desktop", "")
