"""The demo's catalogue with real dates: `{-2d}` and `{+3d 08:00}` count from the day on which it is first rendered."""

import json
import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.db import transaction

from auth import audit
from auth.models import User

TEMPLATES = Path(__file__).with_name("catalogue")
RELATIVE = re.compile(r"\{([+-]\d+)d(?: (\d\d):(\d\d))?\}")


def catalogue(work: Path, *, now: datetime | None = None) -> Path:
    """The folder under `work` that holds the rendered tables; rendered again only when something changed."""
    folder, stamp = work / "catalogue", work / "rendered.json"
    templates = {file.name: file.read_text(encoding="utf-8") for file in sorted(TEMPLATES.glob("*.csv"))}
    before = json.loads(stamp.read_text()) if stamp.exists() else {}
    issuer = settings.OIDC["issuer"]
    at = before.get("at") or (now or datetime.now(UTC)).isoformat()
    this = {"at": at, "issuer": issuer, "templates": sha256(json.dumps(templates).encode()).hexdigest()}
    if this != before:
        if before.get("issuer", issuer) != issuer:
            _move_people(before["issuer"], issuer)
        folder.mkdir(parents=True, exist_ok=True)
        for name, template in templates.items():
            _write(folder / name, filled(template, at=datetime.fromisoformat(at), issuer=issuer))
        _write(stamp, json.dumps(this))
    return folder


def filled(template: str, *, at: datetime, issuer: str) -> str:
    def absolute(found: re.Match[str]) -> str:
        day = at.astimezone(UTC) + timedelta(days=int(found[1]))
        if found[2] is None:
            return f"{day:%Y-%m-%d}"
        return f"{day:%Y-%m-%d}T{found[2]}:{found[3]}:00+00:00"

    return RELATIVE.sub(absolute, template).replace("{issuer}", issuer)


def _move_people(old: str, new: str) -> None:
    """The demo provider is named after its port. On another port it is still the same one, with the same people."""
    subs = re.findall(r"[0-9a-f]{64}@demo\.localhost", (TEMPLATES / "people.csv").read_text(encoding="utf-8"))
    with transaction.atomic():
        moved = User.objects.filter(iss=old, sub__in=subs)
        taken = User.objects.filter(iss=new, sub__in=subs).values("sub")
        number = moved.exclude(sub__in=taken).update(iss=new)
        if number:
            audit.record("demo.move", "catalogue:demo", actor=None, because=f"{old} is {new} now", detail={"n": number})


def _write(file: Path, text: str) -> None:
    half = file.with_name(f".{file.name}.new")
    half.write_text(text, encoding="utf-8")
    half.rename(file)
