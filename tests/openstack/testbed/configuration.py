"""Which port is whose, and the services' configuration files."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from tests.catalogues.rabbit import free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ENVIRONMENT = ROOT / ".environments/openstack"
"""The Python environment that the services run in."""
PASSWORD = "testbed"
APIS = {
    "keystone": ("identity", "/v3"),
    "glance": ("image", ""),
    "placement": ("placement", ""),
    "neutron": ("network", ""),
    "nova": ("compute", "/v2.1"),
}
"""Each service's API: its type in the catalogue and its path."""


@dataclass
class Layout:
    """One running testbed: its folder and its ports."""

    folder: Path
    rabbit: str
    """Where the message broker is."""
    database_port: int = field(default_factory=free_port)
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in APIS})

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}{APIS[service][1]}"

    @property
    def clouds_file(self) -> Path:
        return self.folder / "clouds.yaml"

    @property
    def start_file(self) -> Path:
        """SQL that MariaDB runs at each start."""
        return self.folder / "start.sql"

    @property
    def environment(self) -> dict[str, str]:
        """Of every process."""
        folders = {f"OS_{name.upper()}_CONFIG_DIR": str(self.folder / "etc" / name) for name in APIS}
        return folders | {
            "PATH": f"{ENVIRONMENT}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": f"{HERE / 'plugins'}:{self.folder / 'plugins'}",
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
            "TESTBED_GUESTS": str(self.folder / "guests"),
            "TESTBED_FAULTS": str(self.folder / "faults.json"),
        }

    def write(self) -> None:
        """All configuration files, for the ports of this run."""
        for name in ("etc", "guests", "log", "locks", "images/staging", "images/tasks", "neutron", "nova"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name, file in (("glance", "glance-api.conf"), ("keystone", None), ("placement", None), ("neutron", None)):
            self._write(f"{name}/{file or f'{name}.conf'}", self._service(name))
        nova = self._service("nova", placement="placement", neutron="neutron", service_user="nova")
        self._write("nova/nova.conf", nova)
        shutil.copy(ENVIRONMENT / "etc/nova/api-paste.ini", self.folder / "etc/nova")
        # Nova looks for hypervisors in this package only.
        hypervisors = next(ENVIRONMENT.glob("lib/*/site-packages/nova/virt"))
        shutil.copy(HERE / "plugins/testbed_guests.py", hypervisors)
        # nova-compute refuses to start where it is told of the databases.
        self._write("nova-compute/nova.conf", _without(nova, "[database]", "[api_database]"))
        plugin = self.folder / "plugins/testbed_ports-1.dist-info"
        plugin.mkdir(parents=True, exist_ok=True)
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: testbed-ports\nVersion: 1\n")
        entry = "[neutron.ml2.mechanism_drivers]\ntestbed = testbed_ports:Driver\n"
        (plugin / "entry_points.txt").write_text(entry)

    def _write(self, name: str, text: str) -> None:
        file = self.folder / "etc" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def _service(self, name: str, **others: str) -> str:
        """The service's own part, how it checks tokens, and the accounts that it uses towards `others`."""
        text = self._fill(f"{name}.conf")
        if name == "keystone":
            return text
        tokens = f"www_authenticate_uri = {self.url('keystone')}\ntoken_cache_time = 10\n"
        text += "[keystone_authtoken]\n" + tokens + self._fill("credentials.conf", user=name)
        others = others or ({"nova": "nova"} if name == "neutron" else {})
        for section, user in others.items():
            text += f"[{section}]\n" + self._fill("credentials.conf", user=user)
        return text + ("send_service_user_token = true\n" if "service_user" in others else "")

    def _fill(self, template: str, **more: str) -> str:
        return Template((HERE / "etc" / template).read_text()).substitute(
            folder=self.folder,
            packages=ENVIRONMENT,
            database=f"mysql+pymysql://testbed:{PASSWORD}@127.0.0.1:{self.database_port}",
            rabbit=self.rabbit,
            **{name: str(port) for name, port in self.ports.items()},
            **more,
        )


def _without(text: str, *sections: str) -> str:
    kept, skipping = [], False
    for line in text.splitlines(keepends=True):
        if line.startswith("["):
            skipping = line.strip() in sections
        if not skipping:
            kept.append(line)
    return "".join(kept)


def installed() -> None:
    """Raises where something is missing, and says what."""
    if not (ENVIRONMENT / ".stamp").exists() or not Path("/usr/sbin/mariadbd").exists():
        raise RuntimeError("The OpenStack testbed is not installed: run `scripts/install openstack`.")
