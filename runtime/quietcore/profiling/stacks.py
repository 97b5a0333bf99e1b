"""Folded stacks, outermost frame first, each with how often (or how many bytes) it was seen."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

Stacks = Counter[tuple[str, ...]]


class Share(NamedTuple):
    """A frame: what it had itself, and with all that it called."""

    frame: str
    own: int
    total: int


def parse_folded(text: str) -> Stacks:
    """Return the stacks of lines ``outer;inner COUNT``; lines of another form are left out."""
    found: Stacks = Counter()
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        if frames and count.isdecimal():
            found[tuple(frames.split(";"))] += int(count)
    return found


def parse_perf_script(text: str) -> Stacks:
    """Return the stacks of `perf script -F comm,ip,sym`: a line with the name, then frames from the inside out."""
    found: Stacks = Counter()
    name, frames = "", list[str]()
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if name:
                found[(name, *reversed(frames))] += 1
            name, frames = "", []
        elif not line[0].isspace():
            name = line.strip()
        else:
            frames.append(line.strip().partition(" ")[2] or "[unknown]")
    return found


def shares(stacks: Stacks) -> list[Share]:
    """Return every frame, those with the most of their own first; one that calls itself counts once a stack."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for frames, count in stacks.items():
        own[frames[-1]] += count
        for frame in set(frames):
            total[frame] += count
    found = [Share(frame, own[frame], count) for frame, count in total.items()]
    return sorted(found, key=lambda share: (-share.own, -share.total, share.frame))
