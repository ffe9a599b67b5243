"""`python -m testbed_serve MODULE PORT THREADS`: an OpenStack API on loopback, in one process."""

import importlib
import sys

import waitress

module, port, threads = sys.argv[1:]
del sys.argv[1:]  # the services would take them for their own
application = importlib.import_module(module).application
waitress.serve(application, listen=f"127.0.0.1:{port}", threads=int(threads), ident=None)
