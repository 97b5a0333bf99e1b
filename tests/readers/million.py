"""Give readers a million inputs each, or any other number, and say what they came to.

    python -m tests.readers.million [NAME…] [--module STEM] [--inputs 1000000] [--seed 1]

Without a name: all. `QUIETCORE_PART` of `QUIETCORE_PARTS` plays that share of the inputs; the figures go, as JSON,
to the file that `QUIETCORE_FIGURES` names. Exit code 0 where every reader was right, 1 at the first wrong one, 2 usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.readers.campaign import MODELS, WrongError, caught, discovered, play

STEP = 50_000


def main() -> int:
    """Play the inputs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*")
    parser.add_argument(
        "--module", help=f"every reader of one file of {MODELS.name}, by its name without .py"
    )
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    readers = discovered()
    unknown = sorted(set(chosen.name) - set(readers))
    if unknown or chosen.inputs < 1:
        parser.error(
            f"no reader {', '.join(unknown)}; known: {', '.join(readers)}"
            if unknown
            else "--inputs: 1 or more"
        )
    names = chosen.name or list(readers)
    if chosen.module is not None:
        module = __import__(f"tests.readers.models.{chosen.module}", fromlist=["READERS"])
        names = [reader.name for reader in module.READERS]
    part, parts = (
        int(os.environ.get(f"QUIETCORE_PART{end}", default)) for end, default in (("", 0), ("S", 1))
    )
    share = range(chosen.inputs * part // parts, chosen.inputs * (part + 1) // parts)
    figures: dict[str, Any] = {}
    for name in names:
        began = time.monotonic()
        legal, damaged = 0, 0
        try:
            for first in range(share.start, share.stop, STEP):
                tally = play(readers[name], range(first, min(first + STEP, share.stop)), chosen.seed)
                legal, damaged = legal + tally.legal, damaged + tally.damaged.total()
                print(f"{name}: {legal + damaged:,} of {len(share):,}", file=sys.stderr, flush=True)
        except WrongError as error:
            print(f"WRONG: {error}", file=sys.stderr)
            return 1
        planted = {bug: caught(readers[name], bug, chosen.seed) for bug in readers[name].planted}
        figures[name] = {"legal": legal, "damaged": damaged, "planted caught after": planted}
        print(
            f"{name}: {legal:,} legal and {damaged:,} damaged in {time.monotonic() - began:.0f} s, 0 wrong",
            flush=True,
        )
        if not all(planted.values()):
            print(f"MISSED: {name}: {[bug for bug, after in planted.items() if not after]}", file=sys.stderr)
            return 1
    if "QUIETCORE_FIGURES" in os.environ:
        Path(os.environ["QUIETCORE_FIGURES"]).write_text(json.dumps(figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
