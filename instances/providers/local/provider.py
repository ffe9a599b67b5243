"""Instances as processes of this machine, each in a sandbox, on unix sockets, outliving every process of the portal."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path

from instances.errors import ProviderError
from instances.providers.base import Capacity, Endpoint, Found, Observed, Provider, Report, Spec, Usage
from instances.providers.labels import proposal_of
from instances.states import Phase, Progress

from . import limits, sandbox, sockets
from .furnish import furnish, home_of
from .images import IMAGES, environment, missing
from .launcher import launch
from .places import Place, listed, make, unreadable, write
from .processes import Run, end, last_run, processor_seconds

ROOT = Path(__file__).parents[3]
MEMORY_SHARE = 0.8
"""Of the machine's memory; the portal and its database keep the rest."""
FAREWELL = 4.0
"""Seconds that a session has to end by itself."""


class LocalProvider(Provider):
    """Settings: `folder` for homes and instances, `jupyter` for JupyterLab's venv, `deployment`."""

    kind = "local"
    tick = timedelta(seconds=2)
    pace = timedelta(milliseconds=100)
    patience = timedelta(minutes=2)

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        super().__init__(name, settings)
        self.folder = Path(settings["folder"]).resolve()
        self.jupyter = Path(settings.get("jupyter") or ROOT / ".environments/jupyter").resolve()
        self.deployment = settings.get("deployment", "")

    def capacity(self) -> Capacity:
        self._prepare_folder()
        lacks = missing(self.jupyter)
        notes = [*lacks.values(), *limits.unenforced()]
        if not sandbox.as_root():
            notes.append("Instances run under the portal's own account: files that they write in data folders are its.")
        trouble = _sandbox_trouble()
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
        return Capacity(
            cores=len(os.sched_getaffinity(0)),
            memory_mb=int(memory * MEMORY_SHARE),
            shared_cores=True,
            images=frozenset() if trouble else frozenset(IMAGES) - frozenset(lacks),
            notes=tuple([trouble] if trouble else notes),
        )

    def ensure(self, spec: Spec, report: Report) -> Observed:
        place = Place(self.folder, spec.id)
        self._check(spec)
        self._prepare_folder()
        try:
            make(place.path, 0o700)
            with place.locked() as lock:
                self._check_ours(place)
                run = last_run(place)
                if run is None or run.generation < spec.generation:
                    self._start(place, spec, report, lock)
            return self._observe(place)
        except OSError as error:
            raise ProviderError(f"The instance could not be prepared: {error}.", retry=True) from error

    def observe(self, instance_id: str) -> Observed:
        return self._observe(Place(self.folder, instance_id))

    def observe_all(self) -> list[Found]:
        found = []
        for instance_id in listed(self.folder / "instances"):
            place = Place(self.folder, instance_id)
            place.trim_log()
            observed = self._observe(place)
            if observed.phase is not Phase.ABSENT:
                spec = place.spec()
                found.append(Found(instance_id, observed, spec.labels if spec else {}))
        return found

    def usage(self) -> dict[str, Usage]:
        """No GPUs are offered here, so none is busy."""
        roots = {}
        for instance_id in listed(self.folder / "instances"):
            run = last_run(Place(self.folder, instance_id))
            if run and run.inner and run.alive():
                roots[instance_id] = run.inner
        seconds = processor_seconds(roots.values())
        return {instance_id: Usage(cpu_seconds=seconds[root]) for instance_id, root in roots.items() if root in seconds}

    def stop(self, instance_id: str) -> None:
        place = Place(self.folder, instance_id)
        if place.exists():
            with place.locked():
                self._check_ours(place)
                self._end(place)

    def delete(self, instance_id: str) -> None:
        place = Place(self.folder, instance_id)
        if place.exists():
            with place.locked():
                self._check_ours(place)
                self._end(place)
                try:
                    place.remove()
                except OSError as error:
                    raise unreadable(place.path, error) from error

    def console(self, instance_id: str) -> str:
        place = Place(self.folder, instance_id)
        return place.console() if place.exists() else ""

    def endpoint(self, instance_id: str, app: str) -> Endpoint:
        place = Place(self.folder, instance_id)
        spec = place.spec() if place.exists() else None
        if spec is None or app not in spec.apps:
            raise ProviderError(f"There is no {app} in this instance.", retry=False)
        if not sockets.secure(place, app, _uid(spec)):
            raise ProviderError(f"The {app} does not answer yet.", retry=True)
        return Endpoint(path=str(sockets.address(place, app)), secret=place.secret_of(app))

    def _check(self, spec: Spec) -> None:
        sandbox.check_owner(spec)
        image = IMAGES.get(spec.image)
        if image is None or not set(spec.apps) <= set(image.apps):
            raise ProviderError(f"This machine has no image “{spec.image}” for {', '.join(spec.apps)}.", retry=False)
        if trouble := _sandbox_trouble() or missing(self.jupyter).get(spec.image):
            raise ProviderError(trouble, retry=False)
        if spec.gpu_count:
            raise ProviderError("This machine offers no GPUs.", retry=False)

    def _check_ours(self, place: Place) -> None:
        spec = place.spec()
        if spec is not None and spec.deployment != self.deployment:
            raise ProviderError("This instance belongs to another deployment.", retry=False)

    def _prepare_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            make(self.folder / "instances", 0o700)
        except OSError as error:
            raise ProviderError(f"{self.folder} cannot be used: {error.strerror}.", retry=True) from error

    def _start(self, place: Place, spec: Spec, report: Report, lock: int) -> None:
        """Only under the lock. Killed anywhere in here, it leaves a start that is recorded or none at all."""
        cores = "1 core" if spec.cores == 1 else f"{spec.cores:g} cores"
        report(Progress.CREATING, f"{cores} and {spec.memory_mb / 1024:g} GB on this machine")
        self._end(place)
        place.write_spec(spec)
        report(Progress.MOUNTING, _mounting(spec))
        sandbox.checked(spec.mounts)
        home = home_of(self.folder, spec)
        image = IMAGES[spec.image]
        jupyter = self.jupyter if "jupyter" not in missing(self.jupyter) else None
        furnish(place, spec, jupyter)
        options = sandbox.arguments(place, spec, home, jupyter, environment(spec, with_python=jupyter is not None))
        options += ["--chdir", image.working_folder or f"/home/{spec.owner.username}"]
        screens = f" on {len(spec.screens)} screens" if spec.image == "desktop" and len(spec.screens) > 1 else ""
        report(Progress.STARTING, f"Starting {image.title}{screens}")
        groups = limits.prepare(place, memory_mb=spec.memory_mb, cores=spec.cores)
        launch(place, spec.generation, options, sandbox.command(spec, list(image.command)), groups, lock)

    def _end(self, place: Place) -> None:
        run = last_run(place)
        if run and run.alive():
            write(place.stopped, str(run.generation))
        if not end(place, FAREWELL):
            raise ProviderError("The instance does not end.", retry=True)
        limits.release(place)

    def _observe(self, place: Place) -> Observed:
        if not place.exists():
            return Observed(Phase.ABSENT)
        run, spec = last_run(place), place.spec()
        if spec is not None and spec.deployment != self.deployment:
            return Observed(Phase.ABSENT)
        if run is None or spec is None:
            return Observed(Phase.STOPPED, message="It has not been started yet.")
        if not run.alive():
            if run.inner:
                run.inner.signal(signal.SIGKILL)  # with it goes whatever the session left running
            return _ended(place, run)
        answering = frozenset(
            app
            for app in spec.apps
            if sockets.secure(place, app, _uid(spec)) and sockets.answers(place, app, place.secret_of(app))
        )
        if answering >= set(spec.apps):
            return Observed(Phase.RUNNING, run.generation, answering)
        return Observed(Phase.STARTING, run.generation, answering, f"Waiting for {IMAGES[spec.image].title} to answer")


def _ended(place: Place, run: Run) -> Observed:
    if not run.this_boot:
        return Observed(Phase.STOPPED, run.generation, message="The machine was restarted.")
    with suppress(FileNotFoundError):
        if place.stopped.read_text() == str(run.generation):
            return Observed(Phase.STOPPED, run.generation, message="It was stopped.")
    if run.exit_code == 0:
        return Observed(Phase.STOPPED, run.generation, message="It ended by itself.")
    if limits.out_of_memory(place):
        return Observed(Phase.FAILED, run.generation, message="It used up its memory and was ended.")
    how = "It was ended from outside" if run.exit_code is None else f"It ended with code {run.exit_code}"
    said = place.last_words()
    return Observed(Phase.FAILED, run.generation, message=f"{how}: {said}" if said else f"{how}.")


def _mounting(spec: Spec) -> str:
    """For example "6 folders of HC-4321 and MX-88, 4 of them writable"."""
    if not spec.mounts:
        return "Your home, no experiment's data"
    proposals = sorted({proposal_of(mount) for mount in spec.mounts})
    named = " and ".join([*([", ".join(proposals[:-1])] if proposals[1:] else []), proposals[-1]])
    writable = sum(mount.writable for mount in spec.mounts)
    folders = "1 folder" if len(spec.mounts) == 1 else f"{len(spec.mounts)} folders"
    return f"{folders} of {named}, {writable or 'none'} of them writable"


def _uid(spec: Spec) -> int:
    return spec.owner.uid if sandbox.as_root() else os.geteuid()


@cache
def _sandbox_trouble() -> str:
    """Why no sandbox can be made here; empty when one can."""
    if not shutil.which("bwrap"):
        return "Instances need bubblewrap, which is not installed."
    namespace = [] if sandbox.as_root() else ["--unshare-user"]
    trial = ["bwrap", *namespace, "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    done = subprocess.run(trial, capture_output=True, text=True, timeout=20)
    return f"This machine does not allow sandboxes: {done.stderr.strip()}" if done.returncode else ""
