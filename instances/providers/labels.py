"""What an instance calls the folders that it sees. Pure."""

from pathlib import PurePosixPath

from .base import Mount

NAMES = {"RAW_DATA": "raw", "PROCESSED_DATA": "processed", "SCRIPTS": "scripts"}


def labels(mounts: tuple[Mount, ...]) -> dict[str, str]:
    """A readable name for each target: "HC-4321 raw (read only)", with the date where it takes one to tell."""
    short = {mount.target: _label(mount, dated=False) for mount in mounts}
    taken = list(short.values())
    dated = {m.target: short[m.target] if taken.count(short[m.target]) == 1 else _label(m, dated=True) for m in mounts}
    seen: set[str] = set()
    for target, label in dated.items():
        unique, count = label, 2
        while unique in seen:
            unique, count = f"{label} {count}", count + 1
        seen.add(unique)
        dated[target] = unique
    return dated


def proposal_of(mount: Mount) -> str:
    parts = PurePosixPath(mount.target).parts
    if "visitor" in parts[:-2]:
        return parts[parts.index("visitor") + 1].upper()
    return PurePosixPath(mount.target).parent.name


def _label(mount: Mount, *, dated: bool) -> str:
    path = PurePosixPath(mount.target)
    date = f" {path.parent.name}" if dated else ""
    note = "" if mount.writable else " (read only)"
    return f"{proposal_of(mount)}{date} {NAMES.get(path.name, path.name)}{note}".strip()
