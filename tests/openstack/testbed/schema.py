"""From nothing to an empty cloud: databases, schemas, accounts, the catalogue of services. Done once, then kept."""

import subprocess
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import openstack
from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from .configuration import APIS, ENVIRONMENT, PASSWORD, Layout
from .processes import START_WITHIN, Processes, database

DATABASES = ("keystone", "glance", "placement", "neutron", "nova_api", "nova_cell0", "nova_cell1")
TABLES = [Path("/usr/share/mysql") / f"mysql_{name}.sql" for name in ("system_tables", "system_tables_data")]
NOVA = ("nova-conductor", "nova-scheduler", "nova-compute")
CELL = "{scheme}://{username}:{password}@{hostname}:{port}"
"""Filled by nova from its configuration, so that a later start may use other ports."""


def make_database(layout: Layout) -> None:
    """MariaDB's own tables; our account and databases at its first start."""
    (layout.folder / "database").mkdir()
    lines = [
        f"CREATE USER testbed@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';",
        "GRANT ALL ON *.* TO testbed@'127.0.0.1';",
        *(f"CREATE DATABASE {name} CHARACTER SET utf8mb4;" for name in DATABASES),
    ]
    layout.start_file.write_text("\n".join(lines) + "\n")
    # Written by real hypervisors; without it a restarted nova-compute refuses to start.
    (layout.folder / "nova/compute_id").write_text(f"{uuid.uuid5(uuid.NAMESPACE_DNS, 'host1')}\n")
    script = "CREATE DATABASE mysql;\nUSE mysql;\n" + "\n".join(file.read_text() for file in TABLES)
    bootstrap = [*database(layout.folder), "--bootstrap"]
    done = subprocess.run(bootstrap, input=script, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"MariaDB's own tables could not be made: {done.stderr[-2000:]}")


def write_start(layout: Layout) -> None:
    """What MariaDB runs when it starts on kept data: the endpoints are elsewhere this time. One statement a line."""
    lines = [
        f"UPDATE keystone.endpoint, keystone.service SET endpoint.url = '{layout.url(name)}'"
        f" WHERE endpoint.service_id = service.id AND service.type = '{kind}';"
        for name, (kind, _) in APIS.items()
    ]
    layout.start_file.write_text("\n".join(lines) + "\n")


def make_schemas(layout: Layout) -> None:
    """Two at a time: nova's are as long as all others together."""
    etc = layout.folder / "etc"
    keystone = f"keystone-manage --config-file {etc}/keystone/keystone.conf"
    nova = f"nova-manage --config-file {etc}/nova/nova.conf"
    url = layout.url("keystone")
    owner = '--keystone-user "$(id -un)" --keystone-group "$(id -gn)"'
    others = [
        f"{keystone} db_sync",
        f"{keystone} fernet_setup {owner}",
        f"{keystone} credential_setup {owner}",
        f"{keystone} bootstrap --bootstrap-password {PASSWORD} --bootstrap-region-id RegionOne"
        f" --bootstrap-admin-url {url} --bootstrap-internal-url {url} --bootstrap-public-url {url}",
        f"glance-manage --config-file {etc}/glance/glance-api.conf db_sync",
        f"placement-manage --config-file {etc}/placement/placement.conf db sync",
        f"neutron-db-manage --config-file {etc}/neutron/neutron.conf upgrade heads",
    ]
    novas = [
        f"{nova} api_db sync",
        f"{nova} cell_v2 map_cell0 --database_connection '{CELL}/nova_cell0?{{query}}'",
        f"{nova} cell_v2 create_cell --name cell1 --database_connection '{CELL}/nova_cell1?{{query}}'"
        f" --transport-url '{CELL}/'",
        f"{nova} db sync",
    ]
    started = [_run(layout, "schemas", others), _run(layout, "schemas-nova", novas)]
    for process, log in started:
        if process.wait(600):
            raise RuntimeError(f"The databases could not be made: {log.read_text()[-3000:]}")


def make_accounts(layout: Layout) -> None:
    """Accounts of the services and their endpoints; the project and account that tests use."""
    identity = connect(layout, "admin", "admin").identity
    roles = {role.name: role for role in identity.roles()}
    roles["service"] = roles.get("service") or identity.create_role(name="service")
    service = identity.create_project(name="service", domain_id="default")
    for name, (kind, _) in APIS.items():
        if name == "keystone":
            continue
        user = identity.create_user(name=name, password=PASSWORD, domain_id="default", default_project_id=service.id)
        for role in ("admin", "service"):
            identity.assign_project_role_to_user(service, user, roles[role])
        entry = identity.create_service(type=kind, name=name)
        identity.create_endpoint(service_id=entry.id, interface="public", url=layout.url(name), region_id="RegionOne")
    project = identity.create_project(name="visa", domain_id="default")
    user = identity.create_user(name="visa", password=PASSWORD, domain_id="default", default_project_id=project.id)
    identity.assign_project_role_to_user(project, user, roles["member"])
    identity.assign_project_role_to_user(project, identity.find_user("admin"), roles["admin"])


def map_host(layout: Layout, processes: Processes) -> None:
    """Tell nova's cell of its one host, once that has reported itself."""
    command = ["nova-manage", "--config-file", f"{layout.folder}/etc/nova/nova.conf", "cell_v2", "discover_hosts"]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        processes.alive("nova-compute")
        done = subprocess.run(
            [f"{ENVIRONMENT}/bin/{command[0]}", *command[1:], "--verbose"],
            env=layout.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if "Creating host mapping" in done.stdout + done.stderr:
            return
        time.sleep(1)
    raise TimeoutError(f"nova-compute does not report itself: {processes.last_words('nova-compute')}")


def await_nova(layout: Layout, processes: Processes, *, since: datetime) -> None:
    """Until all of nova has reported itself `since` then: what it is asked for before that may be lost for ever.

    The kept data call services up that were when it was made. And the services find each other later than they answer
    a plain request, so their errors are waited out too.
    """
    deadline = time.monotonic() + START_WITHIN
    while waited_for := set(NOVA) - _reported(layout, since):
        for name in waited_for:
            processes.alive(name)
        if time.monotonic() > deadline:
            name = min(waited_for)
            raise TimeoutError(f"{name} does not report itself: {processes.last_words(name)}")
        time.sleep(0.5)


def _reported(layout: Layout, since: datetime) -> set[str]:
    try:
        services = list(connect(layout, "admin", "visa").compute.services())
    except (SDKException, ClientException):
        return set()
    times = {service.binary: datetime.fromisoformat(service.updated_at) for service in services if service.updated_at}
    return {binary for binary, at in times.items() if at.replace(tzinfo=UTC) >= since}


def connect(layout: Layout, username: str, project: str) -> openstack.connection.Connection:
    return openstack.connect(
        auth_url=layout.url("keystone"),
        username=username,
        password=PASSWORD,
        project_name=project,
        user_domain_id="default",
        project_domain_id="default",
        region_name="RegionOne",
        load_yaml_config=False,
        load_envvars=False,
    )


def _run(layout: Layout, name: str, commands: list[str]) -> tuple[subprocess.Popen[bytes], Path]:
    log = layout.folder / "log" / f"{name}.log"
    with log.open("ab") as file:
        script = "set -e\n" + "\n".join(commands)
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "sh", "-c", script], env=layout.environment, stdout=file, stderr=file
        )
    return process, log
