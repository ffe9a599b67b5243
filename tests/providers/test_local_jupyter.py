"""A real JupyterLab of the local provider, over its socket: files, H5Web, kernels, terminals."""

import json
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import h5py
import httpx2
import numpy
import pytest
from websockets.sync.client import unix_connect

from instances.providers.base import Endpoint, Spec
from instances.reconcile import kernels
from instances.states import Phase
from tests.portal import until
from tests.providers.conftest import Machine

RAW = "/data/visitor/hc-4321/id11/20261120/RAW_DATA"
SHOWN = "HC-4321 raw (read only)/scan.h5"


@dataclass
class Lab:
    machine: Machine
    spec: Spec
    endpoint: Endpoint
    http: httpx2.Client

    def execute(self, code: str) -> str:
        """What a cell prints, through the kernel's WebSocket."""
        kernel = self.http.post("/api/kernels", json={"name": "python3"}).raise_for_status().json()["id"]
        channels = f"ws://lab.apps.localhost/api/kernels/{kernel}/channels"
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": "s",
            "username": "",
            "version": "5",
        }
        content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
        request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        printed = ""
        authorization = {"Authorization": f"token {self.endpoint.secret}"}
        with unix_connect(self.endpoint.path, channels, additional_headers=authorization, max_size=None) as socket:
            socket.send(json.dumps(request))
            while True:
                message = json.loads(socket.recv(timeout=60))
                if message["parent_header"].get("msg_id") != header["msg_id"]:
                    continue
                printed += message["content"].get("text", "") if message["msg_type"] == "stream" else ""
                if message["msg_type"] == "error":
                    printed += "\n".join(message["content"]["traceback"])
                if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    return printed


@pytest.fixture(scope="module")
def lab(shared_machine: Machine) -> Iterator[Lab]:
    mounts = shared_machine.mounts("hc-4321")
    with h5py.File(f"{mounts[0].source}/scan.h5", "w") as file:
        file["entry/data"] = numpy.arange(12).reshape(3, 4)
    spec = shared_machine.run(shared_machine.spec("jupyter", mounts=mounts))
    endpoint = shared_machine.provider.endpoint(spec.id, "jupyter")
    with httpx2.Client(
        transport=httpx2.HTTPTransport(uds=endpoint.path),
        base_url="http://lab.apps.localhost:8001",
        headers={"Authorization": f"token {endpoint.secret}"},
        timeout=30,
    ) as client:
        yield Lab(shared_machine, spec, endpoint, client)


def test_without_the_token_it_answers_nothing(lab: Lab) -> None:
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=lab.endpoint.path), base_url="http://lab") as stranger:
        assert stranger.get("/api/contents").status_code == 403
        assert stranger.post("/api/kernels").status_code == 403
    assert len(lab.endpoint.secret) >= 40


def test_another_instance_has_another_token(lab: Lab) -> None:
    other = lab.machine.place(uuid.uuid4().hex)
    other.path.mkdir()
    assert other.secret_of("jupyter") != lab.endpoint.secret
    assert other.secret_of("jupyter") == lab.machine.place(other.id).secret_of("jupyter")


def test_the_page_is_served_at_the_root_of_its_own_origin(lab: Lab) -> None:
    page = lab.http.get("/lab")
    assert page.status_code == 200 and '"baseUrl": "/"' in page.text
    assert '"@jupyterlab/apputils-extension:announcements"' in page.text
    assert lab.endpoint.secret not in page.text


def test_it_opens_at_home_with_the_data_one_step_away(lab: Lab) -> None:
    listed = lab.http.get("/api/contents").json()["content"]
    assert {item["name"] for item in listed} == {
        "home",
        "HC-4321 raw (read only)",
        "HC-4321 processed",
        "HC-4321 scripts",
    }
    assert '"preferredPath": "/home"' in lab.http.get("/lab").text or "home" in lab.http.get("/lab").text


def test_a_notebook_is_saved_in_the_home_and_not_in_the_raw_data(lab: Lab) -> None:
    saved = lab.http.put("/api/contents/home/note.txt", json={"type": "file", "format": "text", "content": "kept"})
    assert saved.status_code == 201
    assert (lab.machine.provider.folder / "homes/alice/note.txt").read_text() == "kept"
    note = {"type": "file", "format": "text", "content": "x"}
    assert lab.http.put("/api/contents/HC-4321 raw (read only)/x.txt", json=note).status_code >= 400


def test_h5web_reads_a_real_file_of_the_experiment(lab: Lab) -> None:
    entity = lab.http.get("/h5web/meta", params={"file": SHOWN, "path": "/entry/data"})
    assert entity.status_code == 200, entity.text
    assert entity.json()["shape"] == [3, 4]
    values = lab.http.get("/h5web/data", params={"file": SHOWN, "path": "/entry/data", "format": "json"})
    assert values.json() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_cell_reads_it_with_h5py_and_its_plugins(lab: Lab) -> None:
    code = f"import h5py, hdf5plugin\nwith h5py.File('{RAW}/scan.h5') as f: print(int(f['entry/data'][()].sum()))"
    assert lab.execute(code) == "66\n"


def test_a_cell_cannot_write_raw_data_or_reach_the_network(lab: Lab) -> None:
    assert "Read-only file system" in lab.execute(f"open('{RAW}/x', 'w')")
    reach = "import socket\nsocket.create_connection(('127.0.0.1', 22), 2)"
    assert "refused" in lab.execute(reach)


def test_kernels_talk_over_sockets_in_the_runtime_folder(lab: Lab) -> None:
    lab.execute("1")
    assert "-ipc-1" in lab.machine.inside(lab.spec, "ls $JUPYTER_RUNTIME_DIR").stdout


def test_a_terminal_can_be_opened(lab: Lab) -> None:
    assert lab.http.post("/api/terminals").status_code == 200


def test_stopping_it_is_quick_and_no_failure(machine: Machine) -> None:
    spec = machine.run(machine.spec("jupyter", mounts=()))
    machine.provider.stop(spec.id)
    assert machine.provider.observe(spec.id).phase is Phase.STOPPED
    machine.run(replace(spec, generation=2))


def test_it_ends_by_itself_when_jupyter_does(machine: Machine) -> None:
    spec = machine.run(machine.spec("jupyter", mounts=()))
    subprocess.run(["kill", "-TERM", str(machine.session(spec))], check=True)
    assert "ended" in machine.wait(spec.id, Phase.STOPPED).message


def test_its_kernels_tell_the_worker_whether_they_compute_and_an_open_tab_moves_nothing(lab: Lab) -> None:
    for kernel in lab.http.get("/api/kernels").json():
        lab.http.delete(f"/api/kernels/{kernel['id']}")
    ask = partial(kernels.last_active, lab.machine.provider, lab.spec.id)
    running = threading.Thread(target=lab.execute, args=("import time; time.sleep(8)",))
    running.start()
    until(lambda: ask(now := datetime.now(UTC)) == now, what="the kernel to be busy")
    running.join()
    ended = ask(datetime.now(UTC))
    assert ended and ended > datetime.now(UTC) - timedelta(seconds=30)
    for _ in range(3):  # as JupyterLab does while nobody touches it
        for path in ("/api/kernels", "/api/sessions", "/api/terminals", "/api/status", "/api/contents/home"):
            lab.http.get(path)
        time.sleep(1)
    assert ask(datetime.now(UTC)) == ended


def test_a_server_that_does_not_answer_tells_nothing(lab: Lab) -> None:
    class Elsewhere:
        def endpoint(self, key: str, app: str) -> Endpoint:
            return replace(lab.endpoint, path="/nowhere")

    assert kernels.last_active(Elsewhere(), lab.spec.id, datetime.now(UTC)) is None  # type: ignore[arg-type]
    wrong = replace(lab.endpoint, secret="not the one")
    Elsewhere.endpoint = lambda self, key, app: wrong  # type: ignore[method-assign]
    assert kernels.last_active(Elsewhere(), lab.spec.id, datetime.now(UTC)) is None  # type: ignore[arg-type]
