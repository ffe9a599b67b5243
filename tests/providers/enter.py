"""Run a command among the processes of a sandbox: `python3 enter.py PID COMMAND...`, as root or as who started it.

nsenter cannot do it without root: bubblewrap's mounts belong to a user namespace above the one that its processes are
in, so that one has to be joined first.
"""

import ctypes
import fcntl
import os
import sys
from pathlib import Path

NS_GET_USERNS = 0xB701


def enter(pid: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    files = {
        name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in ("mnt", "pid", "net", "ipc", "uts", "user")
    }
    innermost, ours = files.pop("user"), Path("/proc/self/ns/user").stat()
    for namespace in (fcntl.ioctl(files["mnt"], NS_GET_USERNS), *files.values(), innermost):
        if not os.path.samestat(os.fstat(namespace), ours) and libc.setns(namespace, 0):
            sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    enter(sys.argv[1])
    os.chdir("/")
    child = os.fork()  # the process namespace holds for children only
    if not child:
        os.execvp(sys.argv[2], sys.argv[2:])
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
