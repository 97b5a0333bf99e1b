"""`quietcore pin`: what it finds, moves, reads back, and says of what refuses."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from tests.host.fake_host import BOUND, KERNEL, FakeHost

from quietcore.cli.main import main
from quietcore.errors import QuietcoreError
from quietcore.host.cli import pin as command
from quietcore.host.machine import PLAN, Machine
from quietcore.host.pinning import find, pin

SETS = {"housekeeping": [0, 1], "irq": [2], "feed": [3], "strategy": [4], "gateway": [5]}
FEED = "/quietcore.slice/quietcore-feed@demo.service"


@pytest.fixture
def planned(host: FakeHost) -> FakeHost:
    host.put(PLAN, json.dumps({"version": 1, "sets": SETS, "isolated": [3, 4, 5]}))
    host.process(700, "quietcore-feed", FEED, "0-5")
    host.process(700, "quietcore-log", FEED, "0-5", tid=701)
    return host


def run(host: FakeHost, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    code = command.run(parser.parse_args(words), host.machine())
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["700"],
        ["--unit", "quietcore-feed@*.service"],
        ["--name", "quietcore-feed"],
        ["--name", "quiet*", "700"],
    ],
)
def test_all_threads_are_pinned_and_read_back(
    planned: FakeHost, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, out = run(planned, capsys, *words, "--set", "feed", "--json")
    value = json.loads(out)
    assert (code, value["exit"], value["missing"]) == (0, 0, [])
    assert [(line["tid"], line["before"], line["after"], line["result"]) for line in value["threads"]] == [
        (700, "0-5", "3", "pinned"),
        (701, "0-5", "3", "pinned"),
    ]
    assert [planned.allowed(tid) for tid in (1, 700, 701)] == ["0-5", "3", "3"]
    code, out = run(planned, capsys, *words, "--set", "feed")
    assert code == 0
    assert "already there" in out
    assert "2 threads, 0 refused" in out


def test_check_and_show_move_nothing(planned: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert "would be pinned" in run(planned, capsys, "700", "--cpus", "3-4", "--check")[1]
    assert "as it is" in run(planned, capsys, "700", "--show")[1]
    assert planned.allowed(700) == "0-5"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (
            ["700", "--cpus", "9"],
            "CPU 9 does not exist or is off line: --cpus; found 9; expected CPUs out of 0-5",
        ),
        (["700", "--cpus", "x"], "not a list of CPUs"),
        (["700", "--cpus", ""], "no CPU: --cpus"),
        (["--set", "feed"], "nothing to pin"),
    ],
)
def test_wrong_usage_moves_nothing(
    planned: FakeHost, capsys: pytest.CaptureFixture[str], words: list[str], what: str
) -> None:
    with pytest.raises(QuietcoreError, match=what) as caught:
        run(planned, capsys, *words)
    assert caught.value.code == 2
    assert planned.allowed(700) == "0-5"


def test_no_plan_is_said(planned: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    planned.put(PLAN, "{}")
    with pytest.raises(QuietcoreError, match="not a core plan"):
        run(planned, capsys, "700", "--set", "feed")
    planned.drop(PLAN)
    with pytest.raises(QuietcoreError, match=r"there is no core plan.*run site\.yml, or name --cpus"):
        run(planned, capsys, "700", "--set", "feed")


def test_what_matches_nothing_is_found_missing(planned: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(planned, capsys, "4711", "--unit", "x.service", "--name", "y", "--cpus", "0")
    assert code == 1
    for what in ("not found: process 4711", "not found: unit x.service", "not found: name y"):
        assert what in out


def test_what_refuses_says_why(planned: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    planned.process(31, "ksoftirqd/3", "/", "3", KERNEL | BOUND)
    planned.stubborn = {700}
    planned.put(f"/sys/fs/cgroup{FEED}/cpuset.cpus.effective", "0-2\n")
    code, out = run(planned, capsys, "31", "700", "701", "--cpus", "4", "--json")
    value = json.loads(out)
    reasons = {line["tid"]: (line["result"], line["reason"]) for line in value["threads"]}
    assert code == 1
    assert reasons[31] == ("refused", "a thread of the kernel that stays on its CPU")
    assert reasons[700] == ("refused", f"its control group {FEED} has the CPUs 0-2 only")
    assert reasons[701][0] == "pinned"


def test_a_thread_that_is_moved_back_is_refused(planned: FakeHost) -> None:
    machine = planned.machine()
    move = machine.set_affinity

    def back(tid: int, cpus: frozenset[int]) -> None:
        move(tid, frozenset({0}))

    machine.set_affinity = back  # type: ignore[method-assign]
    threads, _ = find(machine, [700], [], [])
    lines = pin(machine, threads, frozenset({4}))
    assert {(line.result, line.after) for line in lines} == {("refused", "0")}
    assert "something moved it again" in lines[0].reason


def test_a_thread_that_ended_is_no_failure(planned: FakeHost) -> None:
    threads, _ = find(planned.machine(), [700], [], [])
    shutil.rmtree(planned.root / "proc/700")
    assert {line.result for line in pin(planned.machine(), threads, frozenset({4}))} == {"ended"}


def test_a_guest_on_an_isolated_cpu_is_remarked(
    planned: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "note: sshd may run on isolated CPUs" in run(planned, capsys, "300", "--set", "feed")[1]
    assert "note:" not in run(planned, capsys, "700", "--set", "feed")[1]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_real_process(sleeper: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]) -> None:
    last = max(os.sched_getaffinity(0))
    assert main(["pin", str(sleeper.pid), "--cpus", str(last)]) == 0
    assert os.sched_getaffinity(sleeper.pid) == {last}
    assert "pinned" in capsys.readouterr().out
    assert main(["pin", str(sleeper.pid), "--cpus", "65000"]) == 2
    assert "CPU 65000 does not exist" in capsys.readouterr().err
    assert os.sched_getaffinity(sleeper.pid) == {last}


def test_a_copied_tree_has_no_threads_to_move(planned: FakeHost) -> None:
    machine = Machine(planned.root)
    threads, _ = find(machine, [700], [], [])
    assert {line.reason for line in pin(machine, threads, frozenset({4}))} == {"Read-only file system"}
