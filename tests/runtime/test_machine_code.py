"""Machine code that was compiled in one place is found in another, and not for other sources or another CPU level."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUNTIME = Path(__file__).resolve().parents[2] / "runtime/quietcore"
CALL = """
from quietcore.observe.histogram import bucket_of
bucket_of(5)
print(sum(bucket_of.stats.cache_hits.values()), sum(bucket_of.stats.cache_misses.values()))
"""


def hits_and_misses(place: Path, kept: Path, level: str = "x86-64-v2") -> str:
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(kept),
        "NUMBA_CPU_NAME": level,
        "NUMBA_CPU_FEATURES": "",
        "PYTHONPATH": str(place),
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", CALL],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=place,
    )
    return done.stdout.strip()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the CPU levels of this test are those of x86-64")
def test_it_moves_with_the_release(tmp_path: Path) -> None:
    first, second, kept = tmp_path / "first", tmp_path / "second", tmp_path / "kept"
    shutil.copytree(RUNTIME, first / "quietcore", ignore=shutil.ignore_patterns("__pycache__"))
    # Without copystat: the files of a release carry other times than those of the checkout.
    shutil.copytree(first / "quietcore", second / "quietcore", copy_function=shutil.copyfile)
    assert hits_and_misses(first, kept) == "0 1"
    moved = tmp_path / "moved"
    shutil.copytree(kept, moved)
    shutil.rmtree(kept)
    assert hits_and_misses(second, moved) == "1 0"
    assert hits_and_misses(second, moved, "x86-64-v3") == "0 1"
    source = second / "quietcore/bridge/ring.py"
    source.write_text(source.read_text() + "\n# another source\n")
    assert hits_and_misses(second, moved) == "0 1"
