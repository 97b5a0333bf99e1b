#!/usr/bin/env python3
"""Run the fuzzers for some seconds each, from messages of the recordings where they are there.

Usage: run.py [SECONDS]      (default 20; the corpus grows in build/fuzz/corpus and is used again)

Exit status: 0 nothing found; 1 a finding, which is left in build/fuzz; 2 not built.
"""

from __future__ import annotations

import gzip
import itertools
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARIES = ROOT / "build/native/fuzz/bin"
OUT = ROOT / "build/fuzz"
RECORDINGS = {
    "fuzz_bybit": "bybit-linear-xrpusdt-ob500-20241201.jsonl",
    "fuzz_binance": "binance-usdm-btcusdt-20240808.gz",
    "fuzz_attach": None,
}


def seed(corpus: Path, recording: str | None) -> None:
    """Put a hundred recorded messages of moderate size into the corpus."""
    corpus.mkdir(parents=True, exist_ok=True)
    folder = Path(os.environ.get("QUIETCORE_DATA", ROOT.parent / "shared/data"))
    if recording is None or not (folder / recording).exists():
        return
    path = folder / recording
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        short = (line.rstrip(b"\n") for line in lines if len(line) < 4000)
        for number, line in enumerate(itertools.islice(short, 100)):
            message = line if line.startswith(b"{") else line.split(b" ", 1)[1]
            (corpus / f"recorded-{number}").write_bytes(message)


def main(words: list[str]) -> int:
    """Run each fuzzer."""
    seconds = int(words[0]) if words else 20
    for name, recording in RECORDINGS.items():
        binary = BINARIES / name
        if not binary.exists():
            print(f"fuzz: {binary} is not there; remedy: make fuzz", file=sys.stderr)
            return 2
        corpus = OUT / "corpus" / name
        seed(corpus, recording)
        print(f"== {name}: {seconds} s", flush=True)
        command = [str(binary), f"-max_total_time={seconds}", "-max_len=8192", "-print_final_stats=1"]
        done = subprocess.run(
            [*command, f"-artifact_prefix={OUT}/{name}-", str(corpus)],
            capture_output=True,
            text=True,
            check=False,
        )
        stats = [line for line in done.stderr.splitlines() if line.startswith("stat::")]
        print("\n".join(stats[:2]), flush=True)
        if done.returncode != 0:
            print(done.stderr[-4000:], file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
