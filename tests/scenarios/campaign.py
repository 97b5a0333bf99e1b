"""Play many scenarios and say what they came to.

    python -m tests.scenarios.campaign [--count 10000] [--first 0] [--jobs N] [--json]

With QUIETCORE_PARTS in the environment it plays part QUIETCORE_PART (from 0) of so many; planted bugs are the first
part's. Exit code 0 where every invariant held in every scenario, each fault happened at least 200 times for each
10,000, and every planted bug was caught; else 1. A failure names its seed: `--first SEED --count 1` plays it again.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tests.scenarios.planted import PLANTED
from tests.scenarios.story import FAULTS, Outcome, Parts, play

from quietcore.sim.faults import Fault
from quietcore.strategy.risk import REASON_NAMES

PER_10_000 = 200
COUNTED = (
    *("orders", "fills", "kills", "guard_fired", "kill_switch", "uncertain"),
    *("by_socket", "by_rest", "fell_back", "switches"),
    *("refused_starts", "hedge_starts", "forgotten", "moved", "started_again", "pages"),
)
OWN = Parts()  # nothing planted
PLANTED_MOST = 400  # scenarios in which a planted bug must show itself


def one(seed: int) -> Outcome:
    """Play one scenario in a worker."""
    logging.disable(logging.CRITICAL)
    return played(seed)


def played(seed: int, parts: Parts = OWN) -> Outcome:
    """Play one scenario; what it raises is what broke: an exception may not travel to another process, and end it."""
    try:
        return play(seed, parts)
    except Exception as error:
        outcome = Outcome(seed)
        outcome.broken = "".join(traceback.format_exception(error, limit=-6))
        return outcome


def summary(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Add up."""
    faults: Counter[Fault] = Counter()
    refused: Counter[int] = Counter()
    totals: Counter[str] = Counter()
    broken = []
    for outcome in outcomes:
        totals["scenarios"] += 1
        for name in COUNTED:
            totals[name] += getattr(outcome, name)
        faults.update(outcome.faults)
        refused.update(outcome.refused)
        if outcome.broken:
            broken.append({"seed": outcome.seed, "what": outcome.broken})
    return {
        **totals,
        "faults": {fault.value: faults[fault] for fault in FAULTS},
        "refused": {REASON_NAMES[reason]: count for reason, count in sorted(refused.items())},
        "broken": broken,
    }


def caught(parts: Parts, most: int = PLANTED_MOST) -> tuple[int, str]:
    """Return in which scenario a planted bug showed itself, and how; (0, "") where in none."""
    logging.disable(logging.CRITICAL)
    for seed in range(most):
        outcome = played(seed, parts)
        if outcome.broken:
            return seed + 1, outcome.broken
    return 0, ""


def share(first: int, count: int, environment: Mapping[str, str]) -> tuple[int, range]:
    """Return which part of the campaign to play, from 0, and its seeds."""
    part, parts = int(environment.get("QUIETCORE_PART", "0")), int(environment.get("QUIETCORE_PARTS", "1"))
    return part, range(first + count * part // parts, first + count * (part + 1) // parts)


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=max(1, (multiprocessing.cpu_count() or 2) // 2))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    began = time.monotonic()
    part, seeds = share(arguments.first, arguments.count, os.environ)
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        found = summary(pool.imap_unordered(one, seeds, chunksize=20))
        names = list(PLANTED) if arguments.count >= PER_10_000 and not part else []
        planted = dict(zip(names, pool.map(caught, [PLANTED[name] for name in names]), strict=True))
    found["planted"] = {name: {"scenarios": number, "as": text} for name, (number, text) in planted.items()}
    found["seconds"] = round(time.monotonic() - began, 1)
    least = PER_10_000 * len(seeds) // 10_000
    rare = [name for name, count in found["faults"].items() if count < least]
    missed = [name for name, (number, _) in planted.items() if not number]
    good = not found["broken"] and not rare and not missed
    if arguments.json:
        print(json.dumps({**found, "ok": good}))
        return 0 if good else 1
    for name, value in found.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, count in value.items():
                if isinstance(count, dict):
                    count = (
                        f"caught in scenario {count['scenarios']}: {count['as']}" if count["as"] else "MISSED"
                    )
                print(f"  {key:<40} {count}")
        elif name != "broken":
            print(f"{name:<42} {value}")
    for failure in found["broken"][:20]:
        print(f"BROKEN: seed {failure['seed']}: {failure['what']}")
    for name in rare:
        print(f"RARE: {name}: fewer than {least}")
    print("every invariant held" if good else f"{len(found['broken'])} scenarios broke an invariant")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
