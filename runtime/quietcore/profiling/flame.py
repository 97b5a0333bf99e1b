"""A flame graph as one SVG file: no script, no outside asset; a frame's name and share show where the pointer rests."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from quietcore.profiling.stacks import Stacks

WIDTH, ROW, LETTER = 1200, 18, 6.6  # pixels; of a letter at 11 px
LEAST_PIXELS = 0.3


class Box(NamedTuple):
    """One frame's place: depth 0 is everything, ``start`` and ``size`` are in samples."""

    frame: str
    depth: int
    start: int
    size: int


def boxes(stacks: Stacks) -> Iterator[Box]:
    """Yield every box; stacks that begin alike share those of the beginning."""
    yield Box("all", 0, 0, stacks.total())
    yield from _level(sorted(stacks.items()), 0, 0)


def _level(stacks: list[tuple[tuple[str, ...], int]], depth: int, start: int) -> Iterator[Box]:
    at = 0
    while at < len(stacks):
        frames, _ = stacks[at]
        if len(frames) <= depth:
            start += stacks[at][1]
            at += 1
            continue
        end = at
        while end < len(stacks) and stacks[end][0][: depth + 1] == frames[: depth + 1]:
            end += 1
        count = sum(item[1] for item in stacks[at:end])
        yield Box(frames[depth], depth + 1, start, count)
        yield from _level(stacks[at:end], depth + 1, start)
        start += count
        at = end


def draw(stacks: Stacks, title: str, unit: str) -> str:
    """Return the SVG. ``unit``: what is counted ("samples", "bytes")."""
    found = list(boxes(stacks))
    everything = max(1, stacks.total())
    height = ROW * (max(box.depth for box in found) + 1) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        ' font-family="monospace" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fdfcf8"/>',
        f'<text x="{WIDTH / 2}" y="16" font-size="13" text-anchor="middle">{escape(title)}</text>',
    ]
    for frame, depth, start, count in found:
        width = WIDTH * count / everything
        if width < LEAST_PIXELS:
            continue
        x, y = WIDTH * start / everything, height - ROW * (depth + 1)
        # The same frame has the same colour in every graph.
        warmth = zlib.crc32(frame.encode()) % 90
        told = f"{frame}: {count:,} {unit}, {count / everything:.1%}"
        room = int((width - 6) / LETTER)
        shown = frame if len(frame) <= room else frame[: room - 1] + "…" if room > 3 else ""
        parts.append(
            f"<g><title>{escape(told)}</title>"
            f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{ROW - 1}" fill="rgb(240,{140 + warmth},90)"/>'
            f'<text x="{x + 3:.2f}" y="{y + 12}">{escape(shown)}</text></g>'
        )
    return "\n".join([*parts, "</svg>", ""])
