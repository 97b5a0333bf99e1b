"""`quietcore profile`: stacks are counted right, drawn right, and taken from real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from quietcore.cli.main import main
from quietcore.profiling.flame import WIDTH, boxes, draw
from quietcore.profiling.stacks import Share, parse_folded, parse_perf_script, shares

STACKS = Counter({("main", "work", "sort"): 6, ("main", "work"): 3, ("main", "<rest>"): 1})
SPIN = """
import time
def burn_the_core(until):
    while time.monotonic() < until:
        sum(range(500))
print("ready", flush=True)
burn_the_core(time.monotonic() + 60)
"""
PERF_SCRIPT = """quietcore-feed
\t    55d0 parse_depth (/opt/feed)
\t    55d1 main (/opt/feed)

quietcore-feed
\t    55d0 parse_depth (/opt/feed)
\t    55d1 main (/opt/feed)

quietcore-feed
\tffffffff81 [unknown]
"""


def test_shares_count_a_frame_once_a_stack() -> None:
    assert shares(STACKS)[:2] == [Share("sort", 6, 6), Share("work", 3, 9)]
    assert Share("main", 0, 10) in shares(STACKS)
    assert shares(Counter({("f", "f", "f"): 4})) == [Share("f", 4, 4)]


def test_what_the_samplers_write_is_read() -> None:
    assert parse_folded("main (a.py:1);work (a.py:2) 6\nno count\n\n") == {
        ("main (a.py:1)", "work (a.py:2)"): 6
    }
    found = parse_perf_script(PERF_SCRIPT)
    assert found[("quietcore-feed", "main (/opt/feed)", "parse_depth (/opt/feed)")] == 2
    assert found.total() == 3


def test_boxes_stand_on_those_that_called_them() -> None:
    found = {(box.frame, box.depth): box for box in boxes(STACKS)}
    assert found["all", 0].size == found["main", 1].size == 10
    work, sort, rest = found["work", 2], found["sort", 3], found["<rest>", 2]
    assert (work.size, sort.size, rest.size) == (9, 6, 1)
    assert work.start <= sort.start
    assert sort.start + sort.size <= work.start + work.size
    assert {*range(rest.start, rest.start + 1)}.isdisjoint(range(work.start, work.start + work.size))


def test_the_graph_is_sound_xml_and_bounded() -> None:
    text = draw(STACKS, "a <title> & more", "samples")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    root = ET.fromstring(text)
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(box.get("x", "0")) + float(box.get("width", "0")) <= WIDTH + 0.01
    titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "sort: 6 samples, 60.0%" in titles
    assert "<rest>: 1 samples, 10.0%" in titles
    ET.fromstring(draw(Counter(), "nothing", "samples"))


@pytest.fixture
def spinning() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process.pid
    process.kill()
    process.communicate()


def test_a_python_process_is_seen_at_work(
    spinning: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = tmp_path / "flame.svg"
    words = ["profile", "cpu", "--pid", str(spinning), "--seconds", "1", "--output", str(graph), "--json"]
    code = main(words)
    out, err = capsys.readouterr()
    if code == 3 and ("not installed" in err or "ermission" in err):
        pytest.skip(f"this machine does not allow it: {err}")
    assert code == 0, err
    found = json.loads(out)
    assert found["all"] > 5
    burning = [frame for frame in found["frames"] if "burn_the_core" in frame["frame"]]
    assert burning
    assert max(frame["total"] for frame in burning) > 0.8 * found["all"]
    assert "burn_the_core" in graph.read_text()


def fake_perf(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    path = folder / "perf"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_perf_is_asked_and_its_refusal_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stacks").write_text(PERF_SCRIPT)
    fake_perf(
        tmp_path, monkeypatch, f'echo "$@" >> {tmp_path}/asked; test $1 = record || cat {tmp_path}/stacks'
    )
    assert main(["profile", "perf", "--pid", "77", "--seconds", "1"]) == 0
    assert "parse_depth" in capsys.readouterr().out
    assert "-p 77" in (tmp_path / "asked").read_text()
    fake_perf(tmp_path, monkeypatch, "echo 'Access to performance monitoring is limited' >&2; exit 255")
    assert main(["profile", "perf", "--pid", "77"]) == 3
    assert "is limited" in (error := capsys.readouterr().err)
    assert "perf_event_paranoid" in error


def test_memory_of_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = tmp_path / "memory.svg"
    words = [
        "profile",
        "memory",
        "--output",
        str(graph),
        "--",
        "run",
        "--config",
        str(tmp_path / "none.toml"),
    ]
    assert main(words) == 2, "the command's own exit code"
    out = capsys.readouterr().out
    assert "bytes" in out
    assert "peak" in out
    assert " bytes, " in graph.read_text()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["cpu"], "expected one of --pid and --unit"),
        (["cpu", "--pid", "1", "--unit", "x"], "expected one of --pid and --unit"),
        (["cpu", "--pid", "1", "--seconds", "0"], "expected 0.5 to 3600 seconds"),
        (["cpu", "--unit", "quietcore-nothing@*.service"], "not one process"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *words]) in (2, 3)
    assert part in capsys.readouterr().err


def test_memory_of_a_command_that_does_not_end_by_itself() -> None:
    words = ["profile", "memory", "--seconds", "3", "--", "sim", "--listen", "127.0.0.1:0", "--generate"]
    done = subprocess.run(
        [sys.executable, "-m", "quietcore", *words], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "peak" in done.stdout
