"""Several windows, one desktop: the screens that a person's windows make together, from left to right. Pure.

A window that shows one screen says how large it is; what the desktop is told is made here, from all of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from .rfb import SET_DESKTOP_SIZE, Area

SMALLEST, LARGEST = 320, 8192
"""Pixels, of a screen in either direction."""


@dataclass(frozen=True, slots=True)
class Window:
    """One screen's window. `monitor` counts from 1, from the left."""

    seat: UUID
    monitor: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The screens by monitor. `leader` is the seat that tells the desktop: one is enough."""

    screens: Mapping[int, Area]
    leader: UUID | None = None

    @property
    def message(self) -> bytes:
        """SetDesktopSize; rfbproto, "SetDesktopSize"."""
        width = sum(area.width for area in self.screens.values())
        height = max(area.height for area in self.screens.values())
        head = bytes((SET_DESKTOP_SIZE, 0)) + _u16(width, height) + bytes((len(self.screens), 0))
        return head + b"".join(
            (monitor - 1).to_bytes(4, "big") + _u16(area.x, area.y, area.width, area.height) + bytes(4)
            for monitor, area in self.screens.items()
        )


def layout(windows: Iterable[Window]) -> Layout:
    """Of `windows` in the order in which they were opened: of two that show the same screen, the later one counts."""
    shown = {window.monitor: window for window in windows}
    screens: dict[int, Area] = {}
    x = 0
    for monitor in sorted(shown):
        width, height = _bounded(shown[monitor].width), _bounded(shown[monitor].height)
        screens[monitor] = Area(x, 0, width, height)
        x += width
    return Layout(screens, shown[min(shown)].seat if shown else None)


def _bounded(pixels: int) -> int:
    return min(max(pixels, SMALLEST), LARGEST)


def _u16(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)
