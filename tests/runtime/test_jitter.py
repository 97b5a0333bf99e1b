"""The jitter meter: a disturbed core is found with the right cause, and an undisturbed one is not accused of it."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietcore.bridge.cycles import trustworthy
from quietcore.cli.jitter import judge, nanoseconds
from quietcore.cli.main import main
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.host.texts.counter_tables import read_interrupt_table
from quietcore.host.texts.cpu_times import read_cpu_times
from quietcore.host.unreadable import NotUnderstoodError
from quietcore.jitter import cores
from quietcore.jitter.attribution import (
    CONTEXT_SWITCH,
    INTERRUPT,
    PAGE_FAULT,
    SOFTIRQ,
    UNEXPLAINED,
    Core,
    competitors,
    new_pauses,
)
from quietcore.jitter.counters import Counts, Task, by_cpu
from quietcore.jitter.detector import FAULTED, LOG, OTHER, SWITCHED
from quietcore.jitter.meter import Meter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the meter reads Linux's counters")

SECONDS = 0.4
MADV_DONTNEED = 4
# linux/membarrier.h; the system call has the same number on no two architectures.
MEMBARRIER_CALL = {"x86_64": 324, "aarch64": 283}
PRIVATE_EXPEDITED, REGISTER_PRIVATE_EXPEDITED = 1 << 3, 1 << 4


def core() -> int:
    return max(os.sched_getaffinity(0))


def cause(report: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in report["causes"] if entry["cause"] == name)
    return found


def measured(
    disturb: contextlib.AbstractContextManager[object] | None = None, threshold_ns: int = 1000
) -> dict[str, Any]:
    with disturb or contextlib.nullcontext():
        return Meter([core()], SECONDS, threshold_ns).measure()["cores"][0]  # type: ignore[no-any-return]


@contextlib.contextmanager
def competitor() -> Iterator[int]:
    program = f"import os\nos.sched_setaffinity(0, {{{core()}}})\nprint(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.mark.machine_code
def test_a_competing_process_is_found_by_name() -> None:
    with competitor() as pid:
        report = measured()
    switches = cause(report, CONTEXT_SWITCH)
    assert switches["count"] > 0
    assert report["causes"][0] is switches or switches["lost_ns"] > 0.2 * report["lost_ns"]
    assert any(f"({pid})" in source["name"] for source in switches["sources"])
    control = cause(measured(), CONTEXT_SWITCH)
    assert not any(f"({pid})" in source["name"] for source in control["sources"])


class Repeated:
    """Does something again and again in a thread of this process, on another core where there is one."""

    def __init__(self, action: Any) -> None:
        self._action, self._stop = action, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.done = 0

    def _run(self) -> None:
        others = os.sched_getaffinity(0) - {core()}
        if others:
            os.sched_setaffinity(0, others)
        while not self._stop.is_set():
            self._action()
            self.done += 1

    def __enter__(self) -> Repeated:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.machine_code
def test_a_page_fault_storm_is_found() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for disturbed in (True, False):
        meter = Meter([core()], SECONDS, 200)
        memory = meter.detectors[0].memory
        place, size = ctypes.c_void_p(memory.ctypes.data), ctypes.c_size_t(memory.nbytes)
        assert memory.ctypes.data % mmap.PAGESIZE == 0

        def take_away(place: Any = place, size: Any = size) -> None:
            assert libc.madvise(place, size, MADV_DONTNEED) == 0
            time.sleep(0.0005)

        with Repeated(take_away) if disturbed else contextlib.nullcontext():
            report = meter.measure()["cores"][0]
        faults = cause(report, PAGE_FAULT)
        if disturbed:
            assert report["kernel"]["page_faults"] > 50
            assert faults["count"] > 50
            assert faults["p99"] >= 200
        else:
            assert report["kernel"]["page_faults"] < 5
            assert faults["count"] < 5


def membarrier(command: int) -> int:
    call = MEMBARRIER_CALL.get(os.uname().machine)
    if call is None:
        pytest.skip(f"the number of membarrier(2) on {os.uname().machine} is not known to this test")
    return int(ctypes.CDLL(None, use_errno=True).syscall(call, command, 0, 0))


@pytest.mark.machine_code
def test_interrupts_from_another_core_are_found() -> None:
    """membarrier(2) interrupts every core that runs a thread of this process."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one CPU: nobody is there to interrupt it")
    if membarrier(REGISTER_PRIVATE_EXPEDITED) != 0:
        pytest.skip("this kernel has no expedited membarrier")

    def calls(report: dict[str, Any]) -> int:
        return sum(n for name, n in report["kernel"]["interrupts"].items() if name.startswith("CAL"))

    with Repeated(lambda: membarrier(PRIVATE_EXPEDITED)) as storm:
        report = measured(threshold_ns=200)
    control = measured(threshold_ns=200)
    assert storm.done > 100
    assert calls(report) > 100
    assert calls(report) > 3 * calls(control)
    named = [
        source
        for name in (INTERRUPT, SOFTIRQ)
        for source in cause(report, name)["sources"]
        if "CAL" in source["name"]
    ]
    assert sum(source["count"] for source in named) > 50
    assert sum(
        source["count"] for source in cause(control, INTERRUPT)["sources"] if "CAL" in source["name"]
    ) < (0.5 * sum(source["count"] for source in named))


def sources_of_interrupts() -> Iterator[tuple[str, Path, int]]:
    """Yield (begin of an interrupt's name, file whose reading raises it, flags to open it)."""
    repository = Path(__file__).resolve()
    device = repository.stat().st_dev
    disk = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/device")
    if disk.exists():
        yield f"{disk.resolve().name}-req", repository, os.O_RDONLY | os.O_DIRECT
    if Path("/dev/hwrng").exists():
        for entropy in Path("/sys/bus/virtio/drivers/virtio_rng").glob("virtio*"):
            yield f"{entropy.name}-input", Path("/dev/hwrng"), os.O_RDONLY


def movable_interrupt() -> tuple[Path, int]:
    """Return the affinity of an interrupt that we may move, and a descriptor whose reading raises it, else skip."""
    refused = ["no disk or entropy device with an interrupt of its own"]
    for begin, file, flags in sources_of_interrupts():
        for line in Path("/proc/interrupts").read_text().splitlines():
            words = line.split()
            if not words or not words[-1].startswith(begin):
                continue
            place = Path("/proc/irq") / words[0].rstrip(":") / "smp_affinity_list"
            try:
                place.write_text(place.read_text())
                return place, os.open(file, flags)
            except OSError as error:
                refused.append(f"{words[-1]}: {error.strerror}")
    pytest.skip("no interrupt may be moved here: " + "; ".join(refused))


@contextlib.contextmanager
def at(place: Path, cpu: int) -> Iterator[None]:
    before = place.read_text()
    place.write_text(str(cpu))
    try:
        yield
    finally:
        place.write_text(before)


@pytest.mark.machine_code
def test_an_interrupt_moved_onto_the_core_is_found() -> None:
    others = sorted(os.sched_getaffinity(0) - {core()})
    if not others:
        pytest.skip("one CPU: an interrupt has nowhere to come from")
    place, handle = movable_interrupt()
    number = place.parent.name
    block = mmap.mmap(-1, 4096)

    def read() -> None:
        os.readv(handle, [memoryview(block)[:64]] if handle_is_entropy else [block])
        if not handle_is_entropy:
            os.lseek(handle, 0, os.SEEK_SET)

    handle_is_entropy = os.fstat(handle).st_rdev != 0

    def own(report: dict[str, Any]) -> int:
        counts = report["kernel"]["interrupts"].items()
        return sum(count for name, count in counts if name.split()[0] == number)

    try:
        with at(place, core()), Repeated(read):
            here = Meter([core()], 1.0, 1000).measure()["cores"][0]
        with at(place, others[0]), Repeated(read):
            elsewhere = Meter([core()], 1.0, 1000).measure()["cores"][0]
    finally:
        os.close(handle)
    assert own(here) > 5
    assert own(elsewhere) < own(here) / 5
    found = [
        source
        for name in (INTERRUPT, SOFTIRQ)
        for source in cause(here, name)["sources"]
        if f"{number} " in source["name"]
    ]
    assert sum(source["count"] for source in found) > 0


COUNTS = Counts({3: {}}, {3: {}}, {3: 0})


def test_windows_are_shared_out_by_the_counts() -> None:
    judged = Core(3)
    pauses = np.array(
        [[1, 9000, SWITCHED], [2, 700, FAULTED], [3, 4000, OTHER], [4, 2000, OTHER], [5, 1000, OTHER]],
        dtype=np.int64,
    )
    judged.window(COUNTS, Counts({3: {"LOC": 2}}, {3: {"TIMER": 1}}, {3: 10}), pauses)
    assert judged.counts == {CONTEXT_SWITCH: 1, PAGE_FAULT: 1, SOFTIRQ: 1, INTERRUPT: 1, UNEXPLAINED: 1}
    assert judged.lost_ns == {
        CONTEXT_SWITCH: 9000,
        PAGE_FAULT: 700,
        SOFTIRQ: 4000,
        INTERRUPT: 2000,
        UNEXPLAINED: 1000,
    }
    assert [astuple(share) for share in judged.sources(INTERRUPT)] == [("LOC", 1.0, 2000.0)]
    assert {share.name for share in judged.sources(SOFTIRQ)} == {"TIMER", "after interrupt LOC"}
    assert judged.steal_ns == 10
    assert judged.pauses_in_order()[:, 1].tolist() == [9000, 700, 4000, 2000, 1000]


def test_nothing_counted_stays_unexplained() -> None:
    judged = Core(3)
    judged.window(COUNTS, COUNTS, np.array([[1, 5000, OTHER]], dtype=np.int64))
    assert judged.counts[UNEXPLAINED] == 1
    assert judged.counts[INTERRUPT] == 0


def test_a_log_that_overflowed_says_so() -> None:
    pauses, lost = new_pauses(LOG + 10, 5, np.zeros((LOG, 3), dtype=np.int64))
    assert len(pauses) == LOG
    assert lost == 5


def test_competitors_are_those_that_ran_there() -> None:
    before = {1: Task("a", 3, 100), 2: Task("b", 3, 100), 4: Task("us", 3, 0)}
    after = {
        1: Task("a", 3, 600),
        2: Task("b", 3, 100),
        3: Task("c", 2, 50),
        4: Task("us", 3, 9),
        5: Task("d", 3, 7),
    }
    assert competitors(3, before, after, {4}) == [(1, "a", 500), (5, "d", 7)]


def test_tables_of_the_kernel() -> None:
    text = """           CPU0       CPU2
  36:         10         20   PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
 LOC:          3          4   Local timer interrupts
 ERR:          0
"""
    assert by_cpu(read_interrupt_table(text)) == {
        0: {"36 virtio1-req.0": 10, "LOC Local timer interrupts": 3},
        2: {"36 virtio1-req.0": 20, "LOC Local timer interrupts": 4},
    }
    with pytest.raises(NotUnderstoodError, match="no line of CPUs"):
        read_interrupt_table("")
    times = read_cpu_times("cpu  9 9 9 9 9 9 9 9 9 9\ncpu1 1 2 3 4 5 6 7 8 0 0\nintr 5\n")
    assert {cpu: time.steal for cpu, time in times.items()} == {1: 8}


def test_the_time_stamp_counter_is_not_trusted_blindly() -> None:
    good = "flags\t: fpu constant_tsc nonstop_tsc"
    assert trustworthy(good, "tsc\n")
    assert not trustworthy(good, "hpet\n")
    assert not trustworthy("flags\t: fpu constant_tsc", "tsc")
    assert not trustworthy("Features : fp asimd", "arch_sys_counter")


def test_a_core_that_is_not_there_is_named() -> None:
    with pytest.raises(QuietcoreError, match="CPU 1000"):
        Meter([1000], 0.1, 1000).measure()
    assert len(os.sched_getaffinity(0)) >= 1


def test_the_affinity_of_the_caller_is_put_back() -> None:
    before = os.sched_getaffinity(0)
    Meter([core()], 0.05, 1000).measure()
    assert os.sched_getaffinity(0) == before


ENDLESS = """
import os
from quietcore.jitter.meter import Meter
meter = Meter([max(os.sched_getaffinity(0))], 600.0, 1000)
begin = meter.start
def start():
    begin()
    print("started", flush=True)
meter.start = start
print(meter.measure()["cores"][0]["seconds"], flush=True)
"""


def test_the_keyboard_ends_it_early() -> None:
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(0.2)  # something shall have been measured
        process.send_signal(signal.SIGINT)
        assert 0 < float(process.stdout.readline()) < 500
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("text", "value"), [("500", 500), ("1us", 1000), ("2.5 µs", 2500), ("3ms", 3_000_000)]
)
def test_durations(text: str, value: int) -> None:
    assert nanoseconds(text) == value


def test_bounds_are_judged() -> None:
    def one(interruptions: int, p99: int, most: int) -> dict[str, Any]:
        return {"cores": [{"interruptions": interruptions, "p99": p99, "max": most}]}

    assert judge(one(500, 40_000, 90_000), 50_000) is ExitCode.OK
    assert judge(one(500, 60_000, 90_000), 50_000) is ExitCode.FOUND
    assert judge(one(5, 60_000, 60_000), 50_000) is ExitCode.UNKNOWN
    assert judge(one(5, 60_000, 40_000), 50_000) is ExitCode.OK


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "jitter",
        "--cpus",
        str(core()),
        "--seconds",
        "0.05",
        "--with",
        "osnoise",
        "--with",
        "cyclictest",
    ]
    assert main(words) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "interruptions of 1000 ns and longer" in shown
    assert "osnoise" in shown
    assert "cyclictest" in shown
    assert main(["jitter", "--cpus", "9999"]) == ExitCode.USAGE
    assert "no such CPU: --cpus; found 9999" in capsys.readouterr().err


def test_cores_by_wish_by_plan_and_without(tmp_path: Path) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    plan = tmp_path / "plan.json"
    assert cores.chosen_cores("all", plan) == allowed
    assert cores.chosen_cores(str(allowed[0]), plan) == allowed[:1]
    assert cores.chosen_cores(None, plan) == (allowed[1:] or allowed), "no plan: the first is left alone"
    plan.write_text('{"sets": {"feed": [3], "strategy": [4], "gateway": ["5", 3], "irq": [0]}}')
    assert cores.chosen_cores(None, plan) == [3, 4, 5]
    plan.write_text('{"sets": {"feed": [3]}}')
    with pytest.raises(QuietcoreError, match=r"core plan cannot be used.*--cpus"):
        cores.chosen_cores(None, plan)
    with pytest.raises(QuietcoreError, match=r"no such CPU.*found 9999"):
        cores.chosen_cores("9999", plan)


@pytest.mark.parametrize(
    ("said", "flag", "found"), [("kvm", False, "kvm"), ("none", True, "hypervisor"), ("none", False, None)]
)
def test_virtualisation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, flag: bool, found: str | None
) -> None:
    monkeypatch.setattr(cores, "hypervisor_flag", lambda: flag)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cores.virtualisation() == ("hypervisor" if flag else None), "without the program, the CPU tells"
    program = tmp_path / "systemd-detect-virt"
    program.write_text(f"#!/bin/sh\n[ $1 = --vm ] && echo {said}\n")
    program.chmod(0o755)
    assert cores.virtualisation() == found


def test_what_the_cpu_says_of_a_hypervisor(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    assert not cores.hypervisor_flag(cpuinfo)
    cpuinfo.write_text("processor : 0\nflags : fpu tsc\n")
    assert not cores.hypervisor_flag(cpuinfo)
    cpuinfo.write_text("processor : 0\nflags : fpu hypervisor tsc\n")
    assert cores.hypervisor_flag(cpuinfo)
