"""Measures blocks of the runtime's loop when told to, as quietcore-bench does for native/bench/run.py.

One request a line, `CASE INPUT SECONDS`: loop-measured or loop-unmeasured over the order book messages in the file
INPUT, `-` for messages of one trade each. One line of JSON for each answer: operations are ticks.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CASES = {"loop-measured": True, "loop-unmeasured": False}


def main() -> int:
    """Answer until the input ends."""
    sys.path[:0] = [str(ROOT), str(ROOT / "runtime")]
    from bench.loop_cost import LoopRun

    print(json.dumps({"ready": True, "version": "runtime"}), flush=True)
    source, run = "", None
    with ExitStack() as stack:
        for line in sys.stdin:
            case, wanted, seconds = line.split()
            if run is None or wanted != source:
                stack.pop_all().close()
                run = stack.enter_context(LoopRun(None if wanted == "-" else Path(wanted)))
                source = wanted
            ns = run.block(measured=CASES[case], seconds=float(seconds))
            answer = {"operations": run.ticks, "seconds": ns * run.ticks * 1e-9, "messages": run.messages}
            print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
