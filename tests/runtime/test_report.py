"""The status as tables: no number is cut, however narrow the terminal is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from quietcore.observe.report import hops_table, symbols_table
from quietcore.observe.status import HOP_TITLES

HOP = {"count": 1_234_567, "p50": 1_092_400, "p99": 20_500_000, "max": 145_400_000, "not_comparable": 98_765}
BOOK = {
    "state": "LIVE",
    "bid": [7_141_980, 159_000],
    "ask": [7_142_790, 3_000],
    "tick": [1, 2],
    "lot": [1, 3],
    "books": 1_469_000,
    "ladder_hash": "0123456789abcdef",
}


def printed(table: object, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [50, 60, 80, 100])
def test_no_number_is_cut(width: int) -> None:
    hops = printed(hops_table({"hops": dict.fromkeys(HOP_TITLES, HOP)}), width)
    books = printed(symbols_table({"1000PEPEUSDT": BOOK}), width)
    assert "…" not in hops + books
    for text in (hops, books):
        # A cell that is folded has its digits in the same column, line below line.
        cells = [
            [cell.strip() for cell in row.split("│")[1:-1]] for row in text.splitlines() if row[:1] == "│"
        ]
        joined = ["".join(column) for column in zip(*cells, strict=True)]
        wanted = (
            ("1092.4µs", "1,234,567")
            if text is hops
            else ("71419.80×159.000", "1,469,000", "0123456789abcdef")
        )
        for number in wanted:
            assert any(number in column.replace(" ", "") for column in joined), (number, text)
