"""A curve as SVG, for a README: x by its logarithm, y from zero. Pure: numbers in, text out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Point = tuple[float, float]

WIDTH, HEIGHT = 640, 320

LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 50
"""Margins around the curve."""


def svg(title: str, x_name: str, y_name: str, points: Sequence[Point]) -> str:
    """
    One curve through at least one point, every point with its two numbers.

    An x of 0 stands at the left, where 1 would be.
    """
    highest = max(y for _, y in points) * 1.2 or 1.0
    placed = [(*place(point, points, highest), point) for point in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in placed)
    floor = HEIGHT - BOTTOM
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
            '<g font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            text(LEFT, 20, title, size=14),
            f'<path d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}" fill="none" stroke="#888"/>',
            f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="2"/>',
            *(mark(x, y, point) for x, y, point in placed),
            text(WIDTH / 2, HEIGHT - 8, x_name, anchor="middle"),
            text(LEFT, TOP - 6, y_name),
            "</g></svg>\n",
        ]
    )


def place(point: Point, points: Sequence[Point], highest: float) -> tuple[float, float]:
    """Where a point stands, in the picture's units."""
    logs = [math.log10(max(1.0, x)) for x, _ in points]
    low, high = min(logs), max(logs)
    share = (math.log10(max(1.0, point[0])) - low) / (high - low or 1.0)
    x = LEFT + 20 + share * (WIDTH - LEFT - RIGHT - 40)
    return x, HEIGHT - BOTTOM - point[1] / highest * (HEIGHT - BOTTOM - TOP)


def mark(x: float, y: float, point: Point) -> str:
    """A dot, its y above it and its x below the axis."""
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#06c"/>'
    below = text(x, HEIGHT - BOTTOM + 16, f"{point[0]:,g}", anchor="middle")
    return dot + text(x, y - 8, f"{point[1]:.1f}", anchor="middle") + below


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12) -> str:
    """Some words; `&` and `<` are written as they have to be."""
    safe = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{safe}</text>'
