"""100,000 menus executed by GRUB and by the evaluator: `python -m tests.host.grub.campaign`, a part of them at a time.

The seeds follow from QUIETCORE_PART of QUIETCORE_PARTS; figures go as JSON to the file that QUIETCORE_FIGURES names.
Exit code 0: not one differs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.host.grub.comparison import differences
from tests.host.grub.emulator import execute
from tests.host.grub.menus import case

MENUS = int(os.environ.get("QUIETCORE_GRUB_PROOF_MENUS", "100000"))
FIRST = 1_000_000  # seeds of `make test` lie below
BATCH = 250


def main() -> int:
    """Play the part and return the exit code."""
    part, parts = int(os.environ.get("QUIETCORE_PART", "0")), int(os.environ.get("QUIETCORE_PARTS", "1"))
    count = MENUS // parts
    start = FIRST + part * count
    wrong, booted = [], 0
    for seed in range(start, start + count, BATCH):
        cases = [case(number) for number in range(seed, min(seed + BATCH, start + count))]
        answers = execute(cases)
        booted += sum(answer.out is not None for answer in answers)
        wrong += [f"seeds from {seed}: {found}" for found in differences(cases, answers)]
    figures = {"menus": count, "booted": booted, "different": len(wrong)}
    if "QUIETCORE_FIGURES" in os.environ:
        Path(os.environ["QUIETCORE_FIGURES"]).write_text(json.dumps(figures) + "\n", encoding="utf-8")
    print(json.dumps(figures), *wrong[:1], sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
