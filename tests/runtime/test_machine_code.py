"""Machine code: found where it was moved to, not for other sources or another CPU level; and what it must not hold."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.errors import TypingError

from quietcore.bridge.compiled import compiled, lean
from quietcore.strategy import risk
from quietcore.strategy.arena import OrderArena

RUNTIME = Path(__file__).resolve().parents[2] / "runtime/quietcore"
CALL = """
from quietcore.histogram import bucket_of
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


def optimised(function: Any, given: tuple[Any, ...], **options: Any) -> str:
    """Compile anew, past the cache (which keeps machine code only), and return the optimised LLVM."""
    dispatcher = numba.jit(**{**function.targetoptions, **options})(function.py_func)
    dispatcher.compile(tuple(map(numba.typeof, given)))
    return "\n".join(dispatcher.inspect_llvm().values())


@pytest.mark.machine_code
def test_the_check_of_an_order_counts_no_references() -> None:
    bounds = risk.Risk(
        account=0,
        emitted=np.zeros(risk.EMITTED_WORDS, dtype=np.int64),
        rate=risk.new_rate(10),
        limits=risk.limits(max_position=1, max_open_orders=1, max_order_rate=10, price_band=0.01),
        arena=OrderArena(8).slots,
    )
    given = (bounds, 1, 100, 1, 200, 0)
    assert "NRT_" not in optimised(risk.check_order, given)
    assert "NRT_incref" in optimised(risk.check_order, given, _nrt=True), "the control: compiled as usual"


@pytest.mark.machine_code
def test_what_counts_no_references_cannot_make_an_array() -> None:
    @compiled
    def makes(length: int) -> int:
        return len(np.zeros(length))

    @lean
    def would_make(length: int) -> int:
        return len(np.zeros(length))

    assert makes(3) == 3
    with pytest.raises(TypingError, match=r"zeros"):
        would_make(3)
