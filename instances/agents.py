"""What a browser calls itself, in a few words. Pure."""

import re

_BROWSERS = (
    ("Edge", r"Edg(?:e|A|iOS)?/(\d+)"),
    ("Opera", r"OPR/(\d+)"),
    ("Firefox", r"(?:Firefox|FxiOS)/(\d+)"),
    ("Chromium", r"(?:Headless)?Chrom(?:e|ium)/(\d+)"),
    ("Safari", r"Version/(\d+)[\d.]* (?:Mobile/\w+ )?Safari/"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPad or iPhone", "iPhone|iPad"),
    ("Windows", "Windows"),
    ("macOS", "Mac OS X|Macintosh"),
    ("ChromeOS", "CrOS"),
    ("Linux", "Linux|X11"),
)


def in_words(agent: str) -> str:
    """`Firefox 140 on Linux`; the beginning of what it said where that tells nothing, and nothing for nothing."""
    browser = next((f"{name} {found[1]}" for name, pattern in _BROWSERS if (found := re.search(pattern, agent))), "")
    system = next((name for name, pattern in _SYSTEMS if re.search(pattern, agent)), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or agent[:40]
