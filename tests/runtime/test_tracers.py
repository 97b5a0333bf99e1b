"""Other instruments: their output is read as the kernel writes it, and where they are absent the reason is said."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from quietcore.jitter import tracers
from quietcore.jitter.table import instrument_lines
from quietcore.jitter.tracers import AbsentError

HEAD = "# tracer: x\n#           TASK-PID      CPU# ||||   TIMESTAMP    IN US\n"
OSNOISE = HEAD + (
    "  <...>-859     [003] ....    81.637220: 1000000        190  99.98100       9 "
    "    18      0   1007     18      1\n"
    "  <...>-859     [003] ....    82.638142: 1000000        656  99.93440      74 "
    "    23      1   1006     16      3\n"
)
TIMERLAT = HEAD + (
    "          <idle>-0       [000] d.h1    54.029328: #1     context    irq timer_latency       932 ns\n"
    "           <...>-867     [000] ....    54.029339: #1     context thread timer_latency     11700 ns\n"
    "           <...>-867     [000] ....    54.030339: #2     context thread timer_latency      1700 ns\n"
)
HWLAT = (
    HEAD
    + "           <...>-1729    [001] d...   678.473449: #1      inner/outer(us):   11/12    ts:1581527483.3 count:9\n"
)


def test_osnoise() -> None:
    found = tracers.parse_osnoise(OSNOISE.splitlines())
    assert found == {
        3: {
            "runtime_ns": 2_000_000_000,
            "noise_ns": 846_000,
            "longest_ns": 74_000,
            "hardware": 41,
            "nmi": 1,
            "interrupt": 2013,
            "softirq": 34,
            "thread": 4,
        }
    }


def test_timerlat() -> None:
    found = tracers.parse_timerlat(TIMERLAT.splitlines())
    assert found[0]["irq"] == {"count": 1, "mean_ns": 932.0, "max_ns": 932}
    assert found[0]["thread"] == {"count": 2, "mean_ns": 6700.0, "max_ns": 11700}


def test_hwlat() -> None:
    assert tracers.parse_hwlat(HWLAT.splitlines()) == {1: {"count": 1, "max_ns": 12_000}}


def tracefs(folder: Path, offered: str = "hwlat osnoise function nop\n") -> Path:
    (folder / "instances").mkdir(parents=True)
    (folder / "osnoise").mkdir()
    (folder / "osnoise/cpus").write_text("0-7\n")
    (folder / "available_tracers").write_text(offered)
    return folder


def test_no_tracefs_is_said(tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match="not mounted"):
        tracers.trace("osnoise", [1], 0, [tmp_path])


def test_no_tracer_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        AbsentError, match=r"no timerlat tracer .CONFIG_TIMERLAT_TRACER.; it has: hwlat osnoise"
    ):
        tracers.trace("timerlat", [1], 0, [tracefs(tmp_path / "t")])


def test_a_measurement_beside_ours_is_left_alone(tmp_path: Path) -> None:
    folder = tracefs(tmp_path / "t")
    (folder / "instances" / tracers.INSTANCE).mkdir()
    with pytest.raises(AbsentError, match="another measurement"):
        tracers.trace("osnoise", [1], 0, [folder])


def test_a_trace_puts_the_settings_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tracefs(tmp_path / "t")
    instance = folder / "instances" / tracers.INSTANCE
    seen = []

    def meanwhile(seconds: float) -> None:
        seen.append(
            ((folder / "osnoise/cpus").read_text(), (instance / "current_tracer").read_text(), seconds)
        )
        (instance / "trace").write_text(OSNOISE)

    monkeypatch.setattr(time, "sleep", meanwhile)
    found = tracers.trace("osnoise", [3, 4], 2.0, [folder])
    assert seen == [("3-4", "osnoise", 2.0)]
    assert found["cpus"]["3"]["interrupt"] == 2013
    assert (instance / "current_tracer").read_text() == "nop"
    assert (folder / "osnoise/cpus").read_text() == "0-7"


def test_cyclictest_figures() -> None:
    report = {"thread": {"0": {"cpu": 2, "cycles": 1000, "min": 1, "avg": 3.5, "max": 77}}}
    found = tracers.parse_cyclictest(report)
    assert found == {"cpus": {"2": {"count": 1000, "min_ns": 1000, "mean_ns": 3500.0, "max_ns": 77_000}}}
    assert instrument_lines("cyclictest", found) == [
        "cyclictest: CPU 2: 77.0 µs at most, 3500 ns on average, of 1,000"
    ]


def test_an_absent_one_is_a_line_of_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    found = tracers.instruments([1], 0.1, ["cyclictest"])
    assert instrument_lines("cyclictest", found["cyclictest"]) == [
        "cyclictest: not here: cyclictest is not installed; remedy: apt-get install rt-tests"
    ]


def test_each_instrument_has_a_line() -> None:
    for name, text in (("osnoise", OSNOISE), ("timerlat", TIMERLAT), ("hwlat", HWLAT)):
        found = tracers.PARSERS[name](text.splitlines())
        lines = instrument_lines(name, {"cpus": {str(cpu): figures for cpu, figures in found.items()}})
        assert len(lines) == 1
        assert lines[0].startswith(f"{name}: CPU ")
