"""What a machine is told at its first boot: cloud-init's own schema takes it, and no name breaks out of its place."""

import configparser
import json
import re
import ssl
import subprocess
from base64 import b64decode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import jsonschema
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.errors import ProviderError
from instances.providers.base import Account, Mount, Screen, Spec
from instances.providers.openstack import userdata
from instances.providers.openstack.site import Machine, Site, SiteError, Storage, read
from instances.providers.secrets import derived
from instances.providers.session import des

SCHEMA = Path(__file__).resolve().parents[2] / ".environments/cloud-init.json"
SPEC = Spec(
    id="0123456789abcdef" * 2,
    deployment="tests",
    generation=3,
    name="Grains",
    owner=Account("alice", "Alice Lind", 24001, 24001, (34001, 24001)),
    image="desktop",
    apps=("desktop", "jupyter"),
    cores=4,
    memory_mb=8192,
    mounts=(
        Mount("/facility/visitor/hc-1/id11/20261120/RAW_DATA", "/data/visitor/hc-1/id11/20261120/RAW_DATA", False),
        Mount("/facility/visitor/hc-1/id11/20261120/SCRIPTS", "/data/visitor/hc-1/id11/20261120/SCRIPTS", True),
    ),
    screens=(Screen(1920, 1080), Screen(1280, 1024)),
    keyboard="ch(fr)",
    labels={"environment": "desktop", "proposals": "HC-1", "instruments": "ID11"},
)
NFS = Storage(PurePosixPath("/facility"), "nfs", "nfs.example.org:/export", ("vers=4.2",))
SITE = Site(storage=(NFS,))
SECRETS = derived("key of the deployment", SPEC.id, SPEC.generation)


def told(spec: Spec = SPEC, site: Site = SITE) -> dict[str, Any]:
    text = userdata.render(spec, SECRETS, site, portal="https://visa.example.org")
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)


def files(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in config["write_files"]}


def unit(config: dict[str, Any], name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(files(config)[f"/etc/systemd/system/{name}.service"]["content"])
    return parser


@pytest.fixture(scope="session")
def schema() -> Any:
    """That of Debian's cloud-init; scripts/install lays it there."""
    return jsonschema.Draft4Validator(json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize(
    ("spec", "site"),
    [
        (SPEC, SITE),
        (replace(SPEC, apps=("jupyter",), mounts=()), Site()),
        (SPEC, replace(SITE, homes=PurePosixPath("/facility/homes"), brokers=("10.1.0.0/16", "fd00::/8"))),
        (SPEC, replace(SITE, environments={"desktop": Machine(foreign=True, boot_command="/etc/visa/boot.sh")})),
        (SPEC, replace(SITE, vendor={"packages": ["vim"], "ntp": {"servers": ["ntp.example.org"]}})),
    ],
    ids=["both apps", "no data", "homes and brokers", "an image of VISA", "vendor data"],
)
def test_cloud_init_s_own_schema_takes_it(schema: Any, spec: Spec, site: Site) -> None:
    assert [error.message for error in schema.iter_errors(told(spec, site))] == []


names = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


@settings(deadline=None, max_examples=40)
@given(name=names, title=names)
def test_no_name_breaks_out_of_its_place(name: str, title: str) -> None:
    config = told(replace(SPEC, name=title, owner=replace(SPEC.owner, name=name)))
    plain = told()
    (person,) = config["users"]
    assert not set(person.pop("gecos")) & set(":,\n\r\0\x7f\x85")
    plain["users"][0].pop("gecos")
    assert config == plain


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, owner=replace(SPEC.owner, username="alice\nExecStart=/bin/sh")),
        replace(SPEC, owner=replace(SPEC.owner, username="root", uid=0)),
        replace(SPEC, owner=replace(SPEC.owner, groups=(27,))),
        replace(SPEC, keyboard="us\nVISA_PORT=22"),
        replace(SPEC, mounts=(Mount("/facility/visitor/a b", "/data/a", False),)),
        replace(SPEC, mounts=(Mount("/facility/visitor/../../etc", "/data/a", False),)),
        replace(SPEC, mounts=(Mount("/elsewhere/visitor", "/data/a", False),)),
        replace(SPEC, mounts=(Mount("/facility/a", "/data/a", False), Mount("/facility/b", "/data/a", True))),
        replace(SPEC, mounts=tuple(Mount(f"/facility/{n:0200}", f"/data/{n:0200}", False) for n in range(100))),
    ],
)
def test_what_no_machine_can_be_told_is_refused_for_good(spec: Spec) -> None:
    with pytest.raises(ProviderError) as refused:
        told(spec)
    assert not refused.value.retry


def test_the_person_has_the_facility_s_numbers_and_no_way_to_more() -> None:
    config = told()
    assert [command[3:] for command in config["bootcmd"]] == [
        ["groupadd", "--gid", "24001", "alice"],
        ["groupadd", "--gid", "34001", "data34001"],
    ]
    (person,) = config["users"]
    assert (person["uid"], person["primary_group"], person["groups"]) == (24001, "alice", ["data34001"])
    assert person["lock_passwd"] and "sudo" not in person and not config["ssh_pwauth"]


def test_grants_become_mounts_of_exactly_their_folders() -> None:
    ceph = Storage(
        PurePosixPath("/facility/visitor/hc-1/id11"), "cephfs", "mon1,mon2:/volumes/id11", (), "visa", "KEY=="
    )
    lustre = Storage(PurePosixPath("/scratch"), "lustre", "10.0.0.1@tcp:10.0.0.2@tcp:/lfs")
    more = replace(SPEC, mounts=(*SPEC.mounts, Mount("/scratch/hc-1", "/data/scratch", True)))
    assert told()["mounts"] == [
        [
            "nfs.example.org:/export/visitor/hc-1/id11/20261120/RAW_DATA",
            "/data/visitor/hc-1/id11/20261120/RAW_DATA",
            *("nfs", "ro,nosuid,nodev,_netdev,nofail,vers=4.2", "0", "0"),
        ],
        [
            "nfs.example.org:/export/visitor/hc-1/id11/20261120/SCRIPTS",
            "/data/visitor/hc-1/id11/20261120/SCRIPTS",
            *("nfs", "rw,nosuid,nodev,_netdev,nofail,vers=4.2", "0", "0"),
        ],
    ]
    config = told(more, replace(SITE, storage=(NFS, ceph, lustre)))
    scratch, raw, _ = config["mounts"]
    assert scratch[0] == "10.0.0.1@tcp:10.0.0.2@tcp:/lfs/hc-1" and scratch[2] == "lustre"
    assert raw[0] == "mon1,mon2:/volumes/id11/20261120/RAW_DATA", "the innermost storage holds it"
    assert raw[2:4] == ["ceph", "ro,nosuid,nodev,_netdev,nofail,name=visa,secretfile=/etc/visa/ceph-visa"]
    key = files(config)["/etc/visa/ceph-visa"]
    assert (key["content"], key["permissions"], key["owner"]) == ("KEY==", "0600", "root:root")


def test_what_is_secret_lies_in_files_of_root_s_alone() -> None:
    hidden = b64decode(files(told())["/etc/visa/desktop.password"]["content"])
    assert des.decrypt(des.FILE_KEY, hidden).rstrip(b"\0").decode() == SECRETS.desktop
    for path, file in files(told()).items():
        secret = any(text in file["content"] for text in (SECRETS.boot, SECRETS.private_key.strip(), SECRETS.desktop))
        if secret or path.endswith("password"):
            assert (file["permissions"], file["owner"]) == ("0600", "root:root"), path
    whole = userdata.render(SPEC, SECRETS, SITE, portal="https://visa.example.org")
    assert SECRETS.jupyter not in whole, "the machine knows only its hash"
    assert sha256(SECRETS.jupyter.encode()).hexdigest() in whole


def test_nothing_that_holds_a_secret_runs_as_the_person() -> None:
    config = told()
    for path in files(config):
        if path.endswith(".service"):
            service = unit(config, PurePosixPath(path).stem)["Service"]
            assert service["User"] in ("root", "visa") or "LoadCredential" not in service, path
            assert service["User"] != "alice" or unit(config, PurePosixPath(path).stem)["Unit"]["Requires"]


def test_apps_answer_on_the_ports_of_their_environment() -> None:
    site = replace(SITE, environments={"desktop": Machine(ports={"desktop": 5999, "jupyter": 9000})})
    config = told(site=site)
    assert (
        "VISA_PORT=5999\nVISA_SCREENS=1920x1080,1280x1024\nVISA_KEYBOARD=ch(fr)\n"
        in files(config)["/etc/visa/desktop.env"]["content"]
    )
    assert "accept = :::9000\n" in files(config)["/etc/visa/jupyter-tls.conf"]["content"]
    assert json.loads(files(config)["/etc/visa/guest.json"]["content"])["apps"] == {"desktop": 5999, "jupyter": 9000}
    assert site.port("desktop", "desktop") == 5999 and site.port("other", "desktop") == 5901


def test_nftables_takes_the_firewall_and_the_person_is_kept_from_the_metadata_service(tmp_path: Path) -> None:
    """In a network of its own: the person's way is refused, root's is not."""
    rules = tmp_path / "firewall.nft"
    site = replace(SITE, brokers=("10.1.0.0/16", "fd00::/8"))
    rules.write_text(files(told(site=site))["/etc/visa/firewall.nft"]["content"])
    script = f"""
ip link set lo up && ip addr add 169.254.169.254/32 dev lo || exit 9
nft -f {rules} && nft -f {rules} || exit 8
/usr/bin/python3 -m http.server --bind 169.254.169.254 80 >/dev/null 2>&1 & server=$!
ask() {{ /usr/bin/python3 -c "import socket; socket.create_connection(('169.254.169.254', 80), 5)" 2>/dev/null; }}
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do ask && break; sleep 0.1; done
ask; echo "root $?"
setpriv --reuid 24001 --regid 24001 --clear-groups /usr/bin/python3 -c "
import socket
try:
    socket.create_connection(('169.254.169.254', 80), 5)
    print('person 0')
except ConnectionRefusedError:
    print('person refused')
"
kill $server
nft list ruleset
"""
    done = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("root 0\nperson refused\n"), done.stdout + done.stderr
    assert "ip saddr != 10.1.0.0/16" in done.stdout and "ip6 saddr != fd00::/8" in done.stdout


def test_the_facility_s_vendor_data_is_added_and_takes_nothing_away() -> None:
    theirs = {"ssh_pwauth": True, "runcmd": ["echo hello"], "ntp": {"enabled": True}, "users": [{"name": "admin"}]}
    config = told(site=replace(SITE, vendor=theirs))
    assert config["ssh_pwauth"] is False
    assert config["runcmd"][-1] == "echo hello" and config["runcmd"][:-1] == told()["runcmd"]
    assert [person["name"] for person in config["users"]] == ["alice", "admin"]
    assert config["ntp"] == {"enabled": True}


def test_an_image_of_visa_gets_what_visa_tells_it_and_none_of_our_units() -> None:
    machine = Machine(ports={"guacd": 4822, "pam": 8999, "jupyter": 8888}, foreign=True, boot_command="/root/boot.sh")
    site = replace(SITE, environments={"desktop": machine}, pam_public_key="MFww")
    config = told(site=site)
    assert config["runcmd"] == ["/root/boot.sh"]
    assert "write_files" not in config and config["mounts"]
    assert site.port("desktop", "guacd") == 4822
    assert userdata.metadata(SPEC, site) == {
        "id": SPEC.id,
        "uid": SPEC.id,
        "owner": "alice",
        "screenWidth": "3200",
        "screenHeight": "1080",
        "keyboardLayout": "ch(fr)",
        "instruments": "ID11",
        "proposals": "HC-1",
        "pamPublicKey": "MFww",
    }


def test_another_grant_changes_the_digest_and_another_start_does_not() -> None:
    same = userdata.digest(SPEC, SITE)
    assert userdata.digest(replace(SPEC, generation=9, name="other"), SITE) == same
    assert userdata.digest(replace(SPEC, mounts=SPEC.mounts[:1]), SITE) != same
    assert userdata.digest(replace(SPEC, owner=replace(SPEC.owner, groups=())), SITE) != same


def test_secrets_come_out_the_same_everywhere_and_differ_between_instances_and_deployments() -> None:
    again = derived.__wrapped__("key of the deployment", SPEC.id, SPEC.generation)
    assert again == SECRETS, "the certificate too, to the last byte"
    others = [derived("key of the deployment", "f" * 32, 3), derived("another key", SPEC.id, 3)]
    for name in ("desktop", "jupyter", "boot", "private_key", "fingerprint"):
        assert len({getattr(secrets, name) for secrets in [SECRETS, *others]}) == 3, name
    later = derived("key of the deployment", SPEC.id, 4)
    assert later.boot != SECRETS.boot and later.fingerprint == SECRETS.fingerprint
    assert len(SECRETS.desktop) == 8 and "PRIVATE" not in repr(SECRETS) and SECRETS.jupyter not in repr(SECRETS)


def test_the_certificate_is_one_that_tls_takes(tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_text(SECRETS.private_key + SECRETS.certificate)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "both.pem")
    found = x509.load_pem_x509_certificate(SECRETS.certificate.encode())
    assert sha256(found.public_bytes(Encoding.DER)).hexdigest() == SECRETS.fingerprint
    assert found.verify_directly_issued_by(found) is None


SETTINGS = {
    "storage": [{"path": "/facility", "kind": "cephfs", "source": "mon1:/v", "user": "visa", "key_file": "ceph.key"}],
    "homes": "/facility/homes",
    "brokers": ["10.1.0.0/16"],
    "environments": {"old": {"visa_image": True, "ports": {"guacd": 4822}, "boot_command": "/root/boot.sh"}},
    "vendor_data": "vendor.yaml",
}


def test_the_site_s_file_says_where_things_are(tmp_path: Path) -> None:
    (tmp_path / "ceph.key").write_text("KEY==\n")
    (tmp_path / "vendor.yaml").write_text("#cloud-config\npackages: [vim]\n")
    (tmp_path / "site.json").write_text(json.dumps(SETTINGS))
    site = read(tmp_path / "site.json")
    assert site.storage[0].key == "KEY==" and "KEY" not in repr(site)
    assert site.foreign("old") and not site.foreign("desktop") and site.port("old", "guacd") == 4822
    assert site.homes == PurePosixPath("/facility/homes") and site.vendor == {"packages": ["vim"]}


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"storages": []}, "no setting 'storages'"),
        ({"homes": "/elsewhere"}, "lies in no storage"),
        ({"brokers": ["10.1.0.1/16"]}, "host bits"),
        ({"storage": [{"path": "/f", "kind": "smb", "source": "a:/b"}]}, "kind is nfs, cephfs or lustre"),
        ({"storage": [{"path": "/f", "kind": "nfs", "source": "a:/b c"}]}, "is not possible"),
        ({"storage": [{"path": "/f", "kind": "nfs", "source": "a:/b", "options": ["ro\nx"]}]}, "is not possible"),
        ({"environments": {"x": {"ports": {"desktop": 70000}}}}, "no port that exists"),
        ({"vendor_data": "none.yaml"}, "none.yaml"),
    ],
)
def test_a_mistake_in_the_site_s_file_is_named(tmp_path: Path, change: dict[str, Any], because: str) -> None:
    (tmp_path / "site.json").write_text(json.dumps(change))
    with pytest.raises(SiteError, match=re.escape(because)):
        read(tmp_path / "site.json")
