"""Tables for a terminal of any width, without a library."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None, least: int = 12
) -> str:
    """Return rows as aligned columns; the widest are wrapped to fit `width` (the terminal's)."""
    room = width or max(60, shutil.get_terminal_size((120, 40)).columns)
    widths = [max([len(name), *(len(row[column]) for row in rows)]) for column, name in enumerate(header)]
    while sum(widths) + 2 * (len(widths) - 1) > room and max(widths) > least:
        widths[widths.index(max(widths))] -= 1
    lines: list[str] = []
    for row in [header, ["─" * wide for wide in widths], *rows]:
        cells = [
            textwrap.wrap(cell, wide, break_on_hyphens=False) or [""]
            for cell, wide in zip(row, widths, strict=True)
        ]
        for number in range(max(map(len, cells))):
            parts = [
                (cell[number] if number < len(cell) else "").ljust(wide)
                for cell, wide in zip(cells, widths, strict=True)
            ]
            lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
