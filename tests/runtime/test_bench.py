"""`quietcore bench`: suites in rounds and in turns, reports in every form, and what the exit codes say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest

from quietcore.cli.main import main
from quietcore.compare import collect
from quietcore.compare.collect import AbsentError, Named, Taken
from quietcore.compare.series import LOWER, Metric, Run, read_run, write_run
from quietcore.errors import ExitCode, QuietcoreError

FEED_HANDLER = Path(__file__).resolve().parents[2] / "build/bin/quietcore-feed"
LAST = str(max(os.sched_getaffinity(0)))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the suites need Linux")


class Told:
    """A suite that gives what the test wants, and knows in which configuration it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.state = Path()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def measure(self, seconds: float) -> dict[str, Taken]:
        configuration = self.state.read_text() if self.state.is_file() else "none"
        self.asked.append(configuration)
        rng = np.random.default_rng(len(self.asked))
        slower = 1.5 if configuration == "B" else 1.0
        return {"hop": Taken(rng.lognormal(7, 0.3, 2000) * slower, rng.normal(1000, 10, 30) * slower)}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    suite = Told()
    monkeypatch.setattr(collect, "SUITES", {"told": Named("", ""), "other": Named("", "")})
    monkeypatch.setattr(collect, "make_suite", lambda name, cpus: suite)
    return suite


def test_two_configurations_are_measured_in_turns(
    told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told.state = tmp_path / "state"
    switches = [f"cp {tmp_path / name} {told.state}" for name in "AB"]
    for name in "AB":
        (tmp_path / name).write_text(name)
    outs = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    words = [
        "bench",
        "run",
        "told",
        "--rounds",
        "4",
        "--cpus",
        LAST,
        "--alternate",
        *switches,
        "--out",
        *outs,
    ]
    assert main(words) == ExitCode.OK
    assert told.asked == list("ABBAABBA")
    one, other = read_run(Path(outs[0])), read_run(Path(outs[1]))
    assert one.paired == other.paired != ""
    assert len(one.metrics["told: hop"].rounds) == 4
    capsys.readouterr()

    html, png = tmp_path / "r.html", tmp_path / "r.png"
    words = ["bench", "compare", *outs, "--html", str(html), "--png", str(png)]
    assert main(words) == ExitCode.FOUND
    shown = capsys.readouterr().out
    assert shown.index("worse") < shown.index("told: hop")
    text = html.read_text()
    assert "told: hop" in text
    assert 'class="worse"' in text
    assert "http" not in text
    assert png.read_bytes().startswith(b"\x89PNG")

    assert main(["bench", "compare", *outs, "--json"]) == ExitCode.FOUND
    report = json.loads(capsys.readouterr().out)
    assert report["rows"][0]["verdict"] == "worse"
    verdicts = {row["figure"]: row["verdict"] for row in report["rows"]}
    assert verdicts["p50"] == "worse"
    assert verdicts["rate"] == "better"
    assert report["rows"][0]["n"] == [8000, 8000]
    assert report["maxima"]["told: hop"][1] > 0


def test_a_run_against_itself_is_no_difference(
    told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "one.json")
    assert main(["bench", "run", "told", "--rounds", "3", "--cpus", LAST, "--out", out]) == ExitCode.OK
    assert main(["bench", "compare", out, out]) == ExitCode.OK
    assert "worse" not in capsys.readouterr().out


def test_steps_are_told_apart(told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told.state, files = tmp_path / "state", []
    for number, name in enumerate("AAB"):
        told.state.write_text(name)
        files.append(str(tmp_path / f"{number}.json"))
        label = ("before", "sysctl", "network")[number]
        words = ["bench", "run", "told", "--rounds", "4", "--cpus", LAST, "--label", label, "--out"]
        assert main([*words, files[-1]]) == ExitCode.OK
    capsys.readouterr()
    out = tmp_path / "steps.txt"
    assert main(["bench", "attribute", *files, "--out", str(out)]) == ExitCode.FOUND
    shown = capsys.readouterr().out
    assert shown == out.read_text()
    changed, by_step = shown.split("step by step")
    assert "worse" in changed
    assert "network" in changed
    assert "sysctl" not in changed
    assert "sysctl" in by_step
    assert main(["bench", "attribute", *files, "--json"]) == ExitCode.FOUND
    report = json.loads(capsys.readouterr().out)
    assert [step["name"] for step in report["steps"]] == ["sysctl", "network"]
    assert main(["bench", "attribute", *files[:2]]) == ExitCode.USAGE
    assert "too few measurements" in capsys.readouterr().err


def test_a_switch_that_fails_ends_it(told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outs = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    words = ["bench", "run", "told", "--cpus", LAST, "--alternate", "true", "false", "--out", *outs]
    assert main(words) == ExitCode.UNKNOWN
    assert "configuration cannot be changed: false; found status 1" in capsys.readouterr().err
    assert not Path(outs[0]).exists()


def test_what_is_not_here_is_said(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(name: str, cpus: Any) -> Told:
        if name == "other":
            raise AbsentError("no feed handler; remedy: make build")
        return told

    monkeypatch.setattr(collect, "make_suite", make)
    out = tmp_path / "one.json"
    assert main(["bench", "run", "--rounds", "1", "--cpus", LAST, "--out", str(out)]) == ExitCode.OK
    assert "other was not measured: no feed handler; remedy: make build" in capsys.readouterr().out
    assert (
        main(["bench", "run", "other", "--rounds", "1", "--cpus", LAST, "--out", str(out)])
        == ExitCode.UNKNOWN
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nothing", "--out", "x"], "no such suite: nothing"),
        (["run", "--rounds", "0", "--out", "x"], "--rounds"),
        (["run", "--out", "x", "y"], "found 2 files; expected 1"),
        (["run", "--alternate", "true", "true", "--out", "x"], "found 1 files; expected 2"),
        (["compare", "/nowhere/a", "/nowhere/b"], "/nowhere/a"),
    ],
)
def test_wrong_usage(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_an_emulated_host_is_not_to_be_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.random.default_rng(1).lognormal(7, 0.3, 2000).tolist()
    for name in ("before", "after"):
        run = Run(name, {"x": Metric(rounds=[values])}, host={"virtual": "qemu"})
        write_run(tmp_path / name, run)
    page = tmp_path / "page.html"
    assert (
        main(["bench", "compare", str(tmp_path / "before"), str(tmp_path / "after"), "--html", str(page)])
        == 0
    )
    assert "not to be quoted: measured on an emulated machine" in capsys.readouterr().out
    assert "not to be quoted: measured on an emulated machine" in page.read_text()


def test_the_jitter_suite() -> None:
    from quietcore.compare.suite_jitter import make

    with make([int(LAST)]) as suite:
        taken = suite.measure(0.3)[f"CPU {LAST}"]
    assert taken.better_rate == LOWER
    assert len(taken.rates) == 3
    assert sum(taken.rates) / len(taken.rates) * 0.3 == pytest.approx(len(taken.latencies), rel=0.05, abs=2)


@pytest.mark.skipif(not FEED_HANDLER.exists(), reason="the feed handler is not built: make build")
def test_the_suites_of_the_feed() -> None:
    from quietcore.compare import suite_book, suite_ring

    with suite_ring.make([int(LAST)]) as ring:
        taken = ring.measure(0.2)["tick read"]
    assert len(taken.latencies) > 500
    assert 1 < np.median(taken.latencies) < 100_000
    with suite_book.make([int(LAST)]) as book:
        rates = book.measure(0.3)["messages"].rates
    assert len(rates) > 3
    assert max(rates) > 100
    assert not list(Path("/dev/shm").glob(f"quietcore.bench-{os.getpid()}*"))


@pytest.mark.skipif(not FEED_HANDLER.exists(), reason="the feed handler is not built: make build")
def test_the_suite_of_the_pipeline() -> None:
    from quietcore.compare.suite_order import make

    with make([]) as suite:
        found: dict[str, Taken] = {}
        for _ in range(10):
            found = suite.measure(0.5)
            if len(found["read → signal"].latencies):
                break
    assert len(found["published → read"].latencies) > 0
    assert len(found["read → signal"].latencies) > 0


def test_no_feed_handler_is_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from quietcore.compare.suite_book import make

    monkeypatch.setenv("QUIETCORE_FEED", str(tmp_path / "nothing"))
    with pytest.raises(AbsentError, match="no feed handler"), make([0]):
        pass


def test_a_switch_that_is_no_command() -> None:
    with pytest.raises(QuietcoreError, match="configuration cannot be changed"):
        collect.switch_to("/nowhere/at/all")


RING_WORKER = Path(__file__).resolve().parents[2] / "runtime/bench/ring_worker.py"


def test_what_is_read_of_a_ring_while_it_is_measured_is_checked(feed: str) -> None:
    """Every word of every tick is added up: one that is wrong is no figure."""
    words = [sys.executable, str(RING_WORKER), feed]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert "numba" in json.loads(worker.stdout.readline())["version"]
        for case in ("drain", "batch"):
            worker.stdin.write(f"{case} - 0.001\n")
            worker.stdin.flush()
            answer = json.loads(worker.stdout.readline())
            assert answer["operations"] >= 65536
            assert answer["seconds"] > 0
        segment = Path(f"/dev/shm/quietcore.{feed}")
        with segment.open("r+b") as file:
            file.seek(-8, os.SEEK_END)
            file.write(bytes(8))
        out, errors = worker.communicate("drain - 0.001\n", timeout=60)
        assert worker.returncode == 3
        assert out == ""
        assert "something else than was written" in errors
        assert not segment.exists()
