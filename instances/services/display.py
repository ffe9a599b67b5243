"""Screens and keyboard, as chosen by a person and as stored with the instance."""

from typing import Any, TypedDict

from instances.errors import Invalid

RESOLUTIONS = [(1280, 720), (1280, 1024), (1600, 900), (1920, 1080), (1920, 1200), (2560, 1440), (3840, 2160)]
KEYBOARDS = [
    ("us", "English (US)"),
    ("gb", "English (UK)"),
    ("fr", "French"),
    ("de", "German"),
    ("ch", "Swiss German"),
    ("ch(fr)", "Swiss French"),
    ("it", "Italian"),
    ("es", "Spanish"),
    ("se", "Swedish"),
    ("dk", "Danish"),
    ("no", "Norwegian"),
    ("fi", "Finnish"),
    ("pt", "Portuguese"),
    ("pl", "Polish"),
    ("cz", "Czech"),
    ("hu", "Hungarian"),
    ("be", "Belgian"),
    ("jp", "Japanese"),
]
SMALLEST, LARGEST = 480, 8192


class Size(TypedDict):
    width: int
    height: int


class Display(TypedDict):
    layout: str
    fit: bool
    screens: list[Size]
    keyboard: str


DEFAULT: Display = {"layout": "single", "fit": True, "screens": [{"width": 1920, "height": 1080}], "keyboard": "us"}


def validated(chosen: dict[str, Any]) -> Display:
    """`chosen` with defaults filled in and one size for each screen; Invalid names the field `display`."""
    layout = chosen.get("layout") or DEFAULT["layout"]
    if layout not in ("single", "dual"):
        raise Invalid({"display": "Choose a single screen or a dual screen."})
    keyboard = chosen.get("keyboard") or DEFAULT["keyboard"]
    if keyboard not in dict(KEYBOARDS):
        raise Invalid({"display": "Choose a keyboard layout from the list."})
    count = 2 if layout == "dual" else 1
    sizes = chosen.get("screens") or []
    if not isinstance(sizes, list) or len(sizes) > 2:
        raise Invalid({"display": "Give one size for each screen, at most two."})
    screens = [_size(size) for size in sizes] or list(DEFAULT["screens"])
    screens = (screens + screens[-1:] * count)[:count]
    return {"layout": layout, "fit": bool(chosen.get("fit", True)), "screens": screens, "keyboard": keyboard}


def _size(size: Any) -> Size:
    try:
        width, height = int(size["width"]), int(size["height"])
    except (TypeError, KeyError, ValueError):
        raise Invalid({"display": "A screen's size is a width and a height in pixels."}) from None
    if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
        raise Invalid({"display": f"A screen is between {SMALLEST} and {LARGEST} pixels wide and high."})
    return {"width": width, "height": height}
