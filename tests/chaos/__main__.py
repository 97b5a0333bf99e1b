"""Attack the local pipeline and see what holds.

    python -m tests.chaos [--seed N] [--attacks 30] [--jobs J] [--life N] [--json]
    python -m tests.chaos --only NAME [--only NAME …] [--chance KEY] | --planted | --list

Exit code 0 where everything held (with --planted: where every planted bug was caught), 1 where something did not, 3
where the kernel gives no mounts of their own (root, or unprivileged user namespaces). A failure says what plays it
again. QUIETCORE_PART of QUIETCORE_PARTS (from 0) plays that part of the attacks, with a seed of its own;
QUIETCORE_FIGURES names a file for the outcome as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.chaos.attacks import ATTACKS
from tests.chaos.campaign import Campaign, CouldNotError, Wish
from tests.chaos.planted import PLANTED
from tests.chaos.schedule import Turn, schedule

COULD_NOT = 3
INTERRUPTED = 130


def arguments() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="from which everything follows (1)")
    parser.add_argument("--attacks", type=int, metavar="N", help="(30; with --only 1)")
    parser.add_argument("--jobs", type=int, default=2, metavar="J", help="pipelines at a time (2)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="these attacks, --attacks times (1)"
    )
    parser.add_argument("--chance", default="", metavar="KEY", help="with --only: its random choices")
    parser.add_argument("--life", type=int, metavar="N", help="only this pipeline of the campaign")
    parser.add_argument("--bug", default="", choices=["", *PLANTED], metavar="NAME", help="plant this bug")
    parser.add_argument("--planted", action="store_true", help="every planted bug must be caught")
    parser.add_argument("--list", action="store_true", help="say what attacks there are")
    parser.add_argument("--json", action="store_true", help="the outcome as one JSON object")
    return parser.parse_args()


def parted(
    seed: int, count: int, environment: os._Environ[str] | dict[str, str] = os.environ
) -> tuple[int, int]:
    """Return seed and number of attacks of the part that the environment asks for."""
    part, parts = int(environment.get("QUIETCORE_PART", "0")), int(environment.get("QUIETCORE_PARTS", "1"))
    if not 0 <= part < parts:
        raise SystemExit(f"QUIETCORE_PART {part}: expected 0 to {parts - 1}")
    share = count // parts + (part < count % parts)
    return seed if parts == 1 else seed + 1000 * (part + 1), share


def main() -> int:
    """Play a campaign."""
    wish = arguments()
    if wish.list:
        for attack in ATTACKS.values():
            print(f"{attack.case:<3} {attack.name}")
        return 0
    unknown = [name for name in wish.only if name not in ATTACKS]
    if unknown:
        print(f"no attack {unknown[0]!r}: see --list", file=sys.stderr)
        return 2
    quiet = bool(wish.json)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT is ignored in a shell's background
        signal.signal(number, signal.default_int_handler)
    try:
        if wish.planted:
            return planted(wish.seed, wish.jobs, quiet=quiet)
        return campaign(wish, quiet=quiet)
    except CouldNotError as error:
        print(f"tests.chaos: {error}", file=sys.stderr)
        return COULD_NOT
    except KeyboardInterrupt:
        print("\ntests.chaos: interrupted", file=sys.stderr)
        return INTERRUPTED


def campaign(wish: argparse.Namespace, *, quiet: bool) -> int:
    """Play attacks, say the table, and return the exit code."""
    seed, count = parted(wish.seed, wish.attacks or (1 if wish.only else 30))
    if wish.only:
        names = wish.only * count
        lives = [[Turn(name, wish.chance or f"{seed}.{number}") for number, name in enumerate(names)]]
    else:
        lives = schedule(ATTACKS, seed, count)
    chosen = range(len(lives)) if wish.life is None else [wish.life]
    with Campaign(wish.jobs, quiet=quiet) as running:
        outcomes = running.play([Wish(number, lives[number], seed + number, wish.bug) for number in chosen])
        failed = [one for one in outcomes if not one["held"]]
        figures = summary(outcomes, seed, running.seconds)
        if not failed:
            running.tidy()
    keep(figures)
    if quiet:
        print(json.dumps({**figures, "failed": failed}))
    else:
        say(figures, failed, f"--seed {seed} --attacks {count}" if not wish.only else "")
    return 1 if failed else 0


def keep(figures: dict[str, Any]) -> None:
    """Write the figures where the environment wants them."""
    path = os.environ.get("QUIETCORE_FIGURES")
    if path:
        Path(path).write_text(json.dumps(figures))


def summary(outcomes: list[dict[str, Any]], seed: int, seconds: float) -> dict[str, Any]:
    """Return what a campaign came to."""
    times, held = Counter[str](), Counter[str]()
    for one in outcomes:
        times[one["attack"]] += 1
        held[one["attack"]] += one["held"]
    return {
        "seed": seed,
        "attacks": sum(times.values()),
        "held": sum(held.values()),
        "seconds": round(seconds, 1),
        "by_attack": {name: {"times": times[name], "held": held[name]} for name in ATTACKS if times[name]},
        "by_case": {
            case: sum(times[one.name] for one in ATTACKS.values() if one.case == case)
            for case in sorted({one.case for one in ATTACKS.values()} - {""})
        },
    }


def say(figures: dict[str, Any], failed: list[dict[str, Any]], whole: str) -> None:
    """Print the table, and how to play again what failed."""
    width = max(map(len, figures["by_attack"]), default=6)
    print(f"\n{'attack':<{width}}  times  held")
    for name, row in figures["by_attack"].items():
        print(f"{name:<{width}}  {row['times']:>5}  {row['held']:>4}")
    print(f"{'all':<{width}}  {figures['attacks']:>5}  {figures['held']:>4}   in {figures['seconds']:.0f} s")
    for one in failed:
        print(f"\nBROKEN: {one['attack']}: {one['what']}\n  logs: {one['logs']}")
        print(f"  again: python -m tests.chaos --only {one['attack']!r} --chance {one['chance']}")
        if whole:
            print(f"  or, with what came before it: python -m tests.chaos {whole} --life {one['life']}")


def planted(seed: int, jobs: int, *, quiet: bool) -> int:
    """Play the attacks that must catch each planted bug; return the exit code."""
    caught: dict[str, str] = {}
    with Campaign(jobs, quiet=True) as running:
        wishes = [
            Wish(number, [Turn(name, f"{seed}.{turn}") for turn, name in enumerate(bug.attacks)], seed, key)
            for number, (key, bug) in enumerate(PLANTED.items())
        ]
        outcomes = running.play(wishes)
        for number, key in enumerate(PLANTED):
            broken = [one for one in outcomes if one["life"] == number and not one["held"]]
            caught[key] = f"{broken[0]['attack']}: {broken[0]['what']}" if broken else ""
        running.tidy()
    figures = {"planted": len(caught), "caught": sum(map(bool, caught.values())), "by": caught}
    keep(figures)
    if quiet:
        print(json.dumps(figures))
    else:
        for key, what in caught.items():
            print(f"{key}\n    {'caught by ' + what if what else 'MISSED'}")
    return 0 if all(caught.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
