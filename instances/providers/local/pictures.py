"""Draws the session's wallpaper, Debye-Scherrer rings in the dark, and the mark of its menu, all by arithmetic.

Run it with `python -m instances.providers.local.pictures` after a change; the pictures are kept with the code.
"""

from pathlib import Path

import numpy
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 1920, 1080
TOP, BOTTOM, GLOW = (17, 27, 44), (9, 14, 24), (64, 122, 201)
RINGS = (0.16, 0.27, 0.315, 0.445, 0.52, 0.545, 0.63, 0.69, 0.765, 0.85, 0.90)
STRENGTHS = (0.9, 1.0, 0.55, 0.7, 0.6, 0.3, 0.35, 0.45, 0.25, 0.22, 0.15)


def wallpaper() -> Image.Image:
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH].astype(numpy.float32)
    down = (y / HEIGHT)[..., None]
    picture = numpy.array(TOP) * (1 - down) + numpy.array(BOTTOM) * down
    centre_x, centre_y = 0.74 * WIDTH, 0.62 * HEIGHT
    radius = numpy.hypot(x - centre_x, y - centre_y) / HEIGHT
    light = 0.20 * numpy.exp(-((radius / 0.30) ** 2))
    for ring, strength in zip(RINGS, STRENGTHS, strict=True):
        light += 0.10 * strength * numpy.exp(-(((radius - ring) / 0.0035) ** 2))
        light += 0.045 * strength * numpy.exp(-(((radius - ring) / 0.018) ** 2))
    picture = picture + light[..., None] * numpy.array(GLOW)
    return Image.fromarray(numpy.clip(picture + 0.5, 0, 255).astype(numpy.uint8))


def menu() -> Image.Image:
    """Nine dots, drawn large and made small so that their edges are smooth."""
    picture = Image.new("RGBA", (480, 480))
    pen = ImageDraw.Draw(picture)
    for column in (70, 200, 330):
        for row in (70, 200, 330):
            pen.rounded_rectangle((column, row, column + 80, row + 80), 24, fill=(215, 222, 233, 255))
    return picture.resize((48, 48), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    session = Path(__file__).parents[1] / "session"
    wallpaper().save(session / "wallpaper.png", optimize=True)
    menu().save(session / "menu.png", optimize=True)
