"""What a facility has in its cloud before the portal comes: images, flavours, a network, a credential."""

import json

import yaml

from .configuration import PASSWORD, Layout
from .schema import connect

NETWORK = "127.77.0.0/16"
"""Every address of it is this machine's own, so that a stand-in can play the guest that has it."""
FLAVOURS = {
    "small": (2, 2048, {}),
    "large": (4, 8192, {}),
    "a40": (4, 8192, {"resources:VGPU": "1"}),
    "a16": (4, 8192, {"pci_passthrough:alias": "a16:1"}),
    "a40-many": (4, 8192, {"resources:VGPU": "999"}),
}


def publish(layout: Layout) -> None:
    """Once; all of it is kept."""
    admin = connect(layout, "admin", "visa")
    for name in ("desktop", "jupyter"):
        admin.image.create_image(
            name=name, container_format="bare", disk_format="raw", data=b"\0" * 65536, visibility="public"
        )
    for name, (cores, memory_mb, specs) in FLAVOURS.items():
        flavour = admin.compute.create_flavor(name=name, vcpus=cores, ram=memory_mb, disk=10)
        if specs:
            admin.compute.create_flavor_extra_specs(flavour, specs)
    member = connect(layout, "visa", "visa")
    network = member.network.create_network(name="visa")
    member.network.create_subnet(
        network_id=network.id, name="visa", ip_version=4, cidr=NETWORK, enable_dhcp=False, gateway_ip=None
    )
    credential = member.identity.create_application_credential(user=member.current_user_id, name="portal")
    kept = {"application_credential_id": credential.id, "application_credential_secret": credential.secret}
    (layout.folder / "credential.json").write_text(json.dumps(kept))


def write_clouds(layout: Layout) -> None:
    """clouds.yaml, for the ports of this run."""
    credential = json.loads((layout.folder / "credential.json").read_text())
    administrator = {
        "username": "admin",
        "password": PASSWORD,
        "project_name": "visa",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    place = {"auth_url": layout.url("keystone")}
    clouds = {
        "testbed": {"auth_type": "v3applicationcredential", "auth": place | credential, "region_name": "RegionOne"},
        "testbed-admin": {"auth": place | administrator, "region_name": "RegionOne"},
    }
    layout.clouds_file.write_text(yaml.safe_dump({"clouds": clouds}))
