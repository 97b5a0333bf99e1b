#!/usr/bin/env python3
"""Train the feed handler of the pgo preset on recordings: what runs here is what the compiler then optimises.

Each input is verified once and replayed flat out some times, through parser, rules, books and ring: the Binance
recording, the windowed inputs derived from it, and Bybit's. Exit status: 0 trained; 3 it could not be; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from feed_plan import BINANCE, inputs
from run import ROOT, data_folder

LEAST_PROFILES = 10
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


def main(words: list[str] | None = None) -> int:
    """Run it over everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", type=Path, default=ROOT / "build/native/pgo", help="folder of the build")
    parser.add_argument("--loops", type=int, default=5, help="replays of each input (default 5)")
    arguments = parser.parse_args(words)
    binary = arguments.build / "bin/quietcore-feed"
    data = data_folder()
    if not (data / BINANCE).exists():
        print(f"pgo: no recordings in {data}: set QUIETCORE_DATA to their folder", file=sys.stderr)
        return 3
    recordings = [("binance-usdm", data / BINANCE)]
    recordings += [("bybit-linear", path) for path in inputs(data, ROOT / "build/bench/data").values()]
    feed = f"pgo-train-{os.getpid()}"
    began = time.monotonic()
    try:
        for venue, path in recordings:
            print(f"training on {path.name}", flush=True)
            subprocess.run([binary, "verify", "--venue", venue, path], check=True, stdout=subprocess.DEVNULL)
            subprocess.run(
                [
                    *(binary, "replay", "--feed", feed, "--venue", venue),
                    *("--speed", "max", "--loop", str(arguments.loops), path),
                ],
                check=True,
            )
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"pgo: the training run failed: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("\npgo: interrupted", file=sys.stderr)
        return 130
    finally:
        for left in SHARED_MEMORY.glob(f"quietcore.{feed}*"):
            left.unlink()
    profiles = list((arguments.build / "profile").glob("*.gcda"))
    if len(profiles) < LEAST_PROFILES:
        print(
            f"pgo: {len(profiles)} profiles in {arguments.build}/profile, expected {LEAST_PROFILES} or more; remedy: "
            "configure with -DQUIETCORE_PGO=train and build again",
            file=sys.stderr,
        )
        return 3
    print(f"{len(profiles)} profiles of {len(recordings)} recordings in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
