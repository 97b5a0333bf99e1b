"""Plays one life of a pipeline, in a process of its own with mounts of its own; says each outcome as a line of JSON.

Started by `python -m tests.chaos`; reads what to play as JSON from standard input.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.chaos import private_machine, recovery
from tests.chaos.attack import Attack
from tests.chaos.attacks import ATTACKS
from tests.chaos.part import Broken
from tests.chaos.pipeline import Pipeline

from quietcore.errors import QuietcoreError

COULD_NOT = 3


def play(p: Pipeline, attack: Attack, key: str) -> None:
    """Play an attack and hold everything against the books; raise Broken."""
    chance = random.Random(key)
    start = recovery.before(p)
    attack.play(p, chance)
    recovery.hold(p, attack, chance, start)


def problem(p: Pipeline, attack: Attack, key: str) -> str:
    """Play an attack; return what did not hold, "" where everything did."""
    try:
        play(p, attack, key)
    except Broken as error:
        # What a process said while it died tells more than that something is missing.
        deaths = [f"the {part.name} ended: {death}" for part in p.parts if (death := part.death())]
        return "; ".join([str(error), *deaths])
    except (QuietcoreError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def outcomes(turns: list[tuple[str, str]], folder: Path, seed: int, bug: str) -> Iterator[dict[str, Any]]:
    """Play them one after the other; after one that did not hold the rest gets another pipeline."""
    left = list(turns)
    number = 0
    while left:
        number += 1
        home = folder / f"pipeline-{number}"
        broken = False
        with contextlib.ExitStack() as stack:
            p = stack.enter_context(Pipeline(home, seed, bug))
            while left and not broken:
                name, key = left.pop(0)
                began = time.monotonic()
                what = problem(p, ATTACKS[name], key)
                broken = bool(what)
                seconds = round(time.monotonic() - began, 2)
                yield {
                    "attack": name,
                    "chance": key,
                    "held": not what,
                    "what": what,
                    "seconds": seconds,
                    "logs": str(home / "logs"),
                }
        if not broken:
            shutil.rmtree(home, ignore_errors=True)


def end(number: int, frame: object) -> None:
    """End in order: the processes of the pipeline first."""
    raise SystemExit(128 + number)


def main() -> int:
    """Play what standard input says."""
    signal.signal(signal.SIGTERM, end)
    wish = json.load(sys.stdin)
    try:
        private_machine.separate()
    except OSError as error:
        print(json.dumps({"error": f"no mounts of its own: {error}"}), flush=True)
        return COULD_NOT
    try:
        for outcome in outcomes(wish["turns"], Path(wish["folder"]), wish["seed"], wish["bug"]):
            print(json.dumps(outcome), flush=True)
    except QuietcoreError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return COULD_NOT
    return 0


if __name__ == "__main__":
    sys.exit(main())
