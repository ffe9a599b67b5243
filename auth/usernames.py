"""Unix login names: readable inside instances, unique, and never a key. The alphabet part is pure."""

import re
import string
import unicodedata
from collections.abc import Sequence

from django.db.models import F, Func, Value

from auth.models import User

LONGEST = 24
SYSTEM_NAMES = """
root daemon bin sys sync games man lp mail news uucp proxy backup list irc gnats nobody nogroup messagebus sshd
systemd-network systemd-resolve systemd-timesync syslog postgres www-data admin administrator operator staff user users
sudo wheel adm tty disk audio video input kvm render docker jovyan visa data home tmp
"""
RESERVED = frozenset(SYSTEM_NAMES.split())
# Letters that have no decomposition into a plain one and a mark.
SPELT = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe"}
    | {"ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i"}
)


def suggestion(*, preferred: str = "", given: str = "", family: str = "", name: str = "") -> str:
    """A login name for somebody called so: `[a-z][a-z0-9-]*`, never a system's own."""
    words = name.split()
    given, family = given or " ".join(words[:1]), family or " ".join(words[1:])
    choices = [plain(preferred.partition("@")[0]), plain(plain(given)[:1] + plain(family)), plain(given), plain(name)]
    for choice in choices:
        if len(choice) >= 2 and choice not in RESERVED:
            return choice
    return "visitor"


def plain(text: str) -> str:
    """`text` in the letters of a login name, without the ones that have no counterpart; may be empty."""
    letters = unicodedata.normalize("NFKD", text.translate(SPELT)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9-]", "", letters).lstrip("-0123456789")[:LONGEST].rstrip("-")


def free(suggested: str) -> str:
    """`suggested`, or it with the lowest number that makes it free now. The unique column has the last word."""
    return free_many([suggested])[0]


def free_many(suggested: Sequence[str]) -> list[str]:
    """For each of them one of its own, as `free` gives it; earlier ones are heard first. One query."""
    stems = {suggestion.rstrip(string.digits) for suggestion in suggested}
    users = User.objects.annotate(stem=Func(F("username"), Value(string.digits), function="rtrim"))
    taken = set(users.filter(stem__in=stems).values_list("username", flat=True)) | RESERVED
    numbers: dict[str, int] = {}
    found = []
    for suggestion in suggested:
        username = suggestion
        while username in taken:
            numbers[suggestion] = numbers.get(suggestion, 1) + 1
            username = f"{suggestion}{numbers[suggestion]}"
        taken.add(username)
        found.append(username)
    return found
