"""A machine's console as people may read it: no control characters, no secrets, not too much. Pure."""

import re
from collections.abc import Iterable

LIMIT = 16_000
"""Characters; the end is what counts."""
HIDDEN = "[hidden]"
# CSI and OSC sequences, other escapes, then what no text holds; ECMA-48.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_KEYS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S)


def readable(shown: str, secrets: Iterable[str] = ()) -> str:
    """The last LIMIT characters, from the beginning of a line; `secrets` and private keys are hidden."""
    text = _ESCAPES.sub("", shown).replace("\r\n", "\n").replace("\r", "\n")
    text = _KEYS.sub(HIDDEN, _CONTROLS.sub("", text))
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
    if len(text) <= LIMIT:
        return text
    kept = text[-LIMIT:]
    return kept.partition("\n")[2] or kept
