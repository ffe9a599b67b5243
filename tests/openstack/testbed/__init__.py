"""A real OpenStack on this machine, for tests: keystone, glance, placement, neutron and nova, on loopback only.

The control plane is the real one; nova's fake hypervisor boots no guests, so `tests/openstack/guests.py` plays them.
The services come from PyPI (`requirements/openstack.txt`), MariaDB and RabbitMQ from Debian. Making the databases takes
half a minute and is done once: what is kept in `.environments/openstack/testbed` is unpacked by every start.

    .venv/bin/python -m tests.openstack.testbed     runs one until Ctrl-C and prints where its clouds.yaml is
"""
