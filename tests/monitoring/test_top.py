"""`quietcore top`: what stands on the screen at 80×24, in Textual's own pilot and in a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.monitoring.scene import Scene, environment
from tests.runtime.conftest import MakeWriter

from quietcore.bridge import layout
from quietcore.cli.main import main
from quietcore.monitoring.cores import CoreWatch
from quietcore.monitoring.lines import WIDTH, core_lines, feed_lines, number, short, state_lines
from quietcore.monitoring.rates import rates
from quietcore.monitoring.screen import Screen
from quietcore.monitoring.snapshot import Observer, Sources

NOTHING: dict[str, Any] = {"feeds": {}, "orders": None, "fills": None, "ticks_read": None}


@pytest.fixture
def scene(tmp_path: Path, feed: str) -> Scene:
    made = Scene(tmp_path, feed)
    plan = {"sets": {"housekeeping": [0], "feed": [1]}, "isolated": [1]}
    made.plan_path.write_text(json.dumps(plan))
    return made


@pytest.fixture
def observer(scene: Scene) -> Iterator[Observer]:
    files = (scene.status_path, scene.guard_path, scene.kill_path, (scene.audit_folder,), scene.plan_path)
    made = Observer(Sources((scene.feed,), *files), with_cores=True)
    yield made
    made.close()


def shown(screen: Screen) -> list[str]:
    """Return the screen's lines as they stand there."""
    # Textual draws lines of segments; their text is what a terminal shows.
    return ["".join(segment.text for segment in strip) for strip in screen.screen._compositor.render_strips()]


def test_the_screen_says_what_the_look_says(
    make_writer: MakeWriter, scene: Scene, observer: Observer
) -> None:
    writer = make_writer(symbols=("BTCUSDT", "ETHUSDT"))
    writer.message([(649_899, 6811)], [(649_900, 3423)])
    writer.message([(20, 1)], [(21, 1)], symbol=1, state=layout.STATE_STALE)
    scene.status["ticks"]["dropped"] = 12
    scene.beat()
    scene.audit(passed=False)
    observer.look()

    async def story() -> None:
        screen = Screen(observer, 0.1)
        async with screen.run_test(size=(80, 24)) as pilot:
            async with asyncio.timeout(60):
                parts = (
                    *("runtime alive", "sim BTCUSDT", "kill switch off", "1 drift", "guard armed"),
                    *("sysctl.vm.swap", "housekeeping", "published → read", "dropped 12", "open 1"),
                    *("64989.9 × 6.811", "64990.0 × 3.423", "alive ", "1 of 2", "STALE", "quit"),
                )
                text = ""
                while not all(part in text for part in parts):
                    writer.beat()
                    scene.beat()
                    await pilot.pause(0.05)
                    page = shown(screen)
                    text = "\n".join(page)
                assert len(page) == 24
                assert all(len(line) == 80 for line in page)
                assert text.index("ETHUSDT") < text.index("BTCUSDT   "), "what is not LIVE comes first"
                scene.kill_path.write_text("by hand\n")
                while "KILLED: by hand" not in "\n".join(shown(screen)):
                    await pilot.pause(0.05)
                await pilot.press("p")
                looks = screen.looks
                await pilot.pause(0.5)
                assert screen.looks <= looks + 1, "paused"
                await pilot.press("p")
                while screen.looks <= looks + 1:
                    await pilot.pause(0.05)
                await pilot.press("q")
        assert screen.return_code == 0

    asyncio.run(story())


def terminal(words: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    """Run a command in a pseudo-terminal of 80×24."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "quietcore", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment(), "TERM": "xterm-256color", "LANG": "C.UTF-8"},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    return process, ours


def read_until(handle: int, part: str, seconds: float) -> str:
    text, end = "", time.monotonic() + seconds
    while part not in text:
        assert time.monotonic() < end, text
        if select.select([handle], [], [], 0.2)[0]:
            with contextlib.suppress(OSError):
                # Without what moves the cursor and colours.
                text += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(handle, 65536).decode(errors="replace"))
    return text


@pytest.mark.parametrize("ending", ["q", "\x03", "SIGTERM"])
def test_in_a_real_terminal(make_writer: MakeWriter, scene: Scene, ending: str) -> None:
    """It draws, ends when told, and leaves the terminal as it was."""
    make_writer().message([(100, 5)], [(101, 7)])
    process, handle = terminal(["top", *scene.options(), "--interval", "0.2"])
    try:
        before = termios.tcgetattr(handle)
        read_until(handle, "published → read", 60)
        if ending == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        else:
            os.write(handle, ending.encode())
        end = time.monotonic() + 20
        while process.poll() is None:
            assert time.monotonic() < end
            with contextlib.suppress(OSError):
                if select.select([handle], [], [], 0.1)[0]:
                    os.read(handle, 65536)
        assert process.returncode == 0
        assert termios.tcgetattr(handle)[3] & termios.ECHO == before[3] & termios.ECHO != 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(handle)


def test_without_a_terminal_and_as_json(
    make_writer: MakeWriter, scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    make_writer()
    assert main(["top", *scene.options()]) == 2
    assert "no terminal" in capfd.readouterr().err
    assert main(["top", *scene.options(), "--interval", "0.01"]) == 2
    assert "expected 0.1 to 3600 seconds" in capfd.readouterr().err
    assert main(["top", *scene.options(), "--interval", "0.1", "--json"]) == 0
    look = json.loads(capfd.readouterr().out)
    assert look["feeds"][scene.feed]["producer"] == "alive"
    assert look["rates"]["feeds"][scene.feed]["ticks"] == 0
    assert {core["cpu"] for core in look["cores"]} >= {0}


def test_rates_are_of_one_producer_and_one_run() -> None:
    def look(
        at: float, published: int, epoch: int = 1, started: float = 5.0, sent: int = 0
    ) -> dict[str, Any]:
        feed = {"published": published, "epoch": epoch, "statistics": {"messages": published // 2}}
        status = {
            **{"started": started, "written": at, "orders": {"sent": sent}, "fills": sent},
            **{"ticks": {"read": published}},
        }
        return {"time": at, "feeds": {"f": feed}, "runtime": status}

    assert rates(None, look(1, 5)) == NOTHING
    found = rates(look(1, 100), look(3, 300, sent=4))
    assert found["feeds"]["f"] == {"ticks": 100, "messages": 50}
    assert (found["orders"], found["ticks_read"]) == (2, 100)
    assert rates(look(1, 100), look(3, 300, epoch=2))["feeds"] == {}
    assert rates(look(1, 100), look(3, 300, started=6.0))["orders"] is None
    assert rates(look(1, 300), look(3, 100))["feeds"]["f"]["ticks"] is None, "counted anew"
    assert rates({**look(1, 1), "runtime": None, "feeds": {"f": {"error": "x"}}}, look(2, 2)) == NOTHING


def stat(pid: int, name: str, ticks: int, cpu: int) -> str:
    fields = ["S", *["0"] * 10, str(ticks), "0", *["0"] * 23, str(cpu), *["0"] * 13]
    return f"{pid} ({name}) " + " ".join(fields)


def test_cores_tell_who_ran_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree in the kernel's formats, looked at twice: the intruder on the isolated CPU is seen."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"sets": {"housekeeping": [0], "feed": [1], "irq": [0]}, "isolated": [1]}))
    proc = tmp_path / "proc"

    def write(used: dict[tuple[int, str], tuple[int, int]], busy: list[int]) -> None:
        for (pid, name), (ticks, cpu) in used.items():
            task = proc / f"{pid}/task/{pid}"
            task.mkdir(parents=True, exist_ok=True)
            (task / "stat").write_text(stat(pid, name, ticks, cpu))
        rows = [f"cpu{cpu} {ticks} 0 0 {1000 - ticks} 0 0 0 0 0 0" for cpu, ticks in enumerate(busy)]
        (proc / "stat").write_text("\n".join(["cpu 0 0 0 0 0 0 0 0 0 0", *rows, "intr 0\n"]))

    feed, intruder, sleeper = (10, "feed:sim"), (11, "a) b"), (12, "sleeper")
    write({feed: (100, 1), intruder: (5, 0), sleeper: (7, 1)}, [0, 0])
    watch = CoreWatch(plan, proc, least_seconds=0)
    seconds = iter((1.0, 2.0, 3.0))
    monkeypatch.setattr("quietcore.monitoring.cores.time.monotonic", lambda: next(seconds))
    first = watch.look()
    assert [core["busy"] for core in first] == [None, None]
    write({feed: (190, 1), intruder: (15, 1), sleeper: (7, 1)}, [0, 0])
    (proc / "stat").write_text(
        "cpu 0 0 0 0 0 0 0 0\ncpu0 100 0 0 1900 0 0 0 0\ncpu1 1000 0 0 1000 0 0 0 0\nintr 0\n"
    )
    housekeeping, isolated = watch.look()
    assert (housekeeping["role"], isolated["role"]) == ("housekeeping, irq", "feed")
    assert (housekeeping["busy"], isolated["busy"]) == (0.1, 1.0)
    assert [(entry["name"], entry["share"]) for entry in isolated["ran"]] == [
        ("feed:sim", 0.9),
        ("a) b", 0.1),
    ]
    text = core_lines([housekeeping, isolated])
    assert any("red" in str(span.style) for span in text.spans), "two on an isolated core stand out"
    plan.unlink()
    assert {core["role"] for core in CoreWatch(plan, proc).look()} == {""}


def test_figures_keep_their_width() -> None:
    for value in (0, 999, 1000, 9_999, 99_999, 999_999, 10**6, 10**9, 10**12, 3.6e12):
        assert len(short(value)) <= 8
        assert len(number(value)) <= 6
    assert (short(1500), short(25_000_000), short(None)) == ("1.50 µs", "25.0 ms", "–")
    assert (number(950), number(12_345), number(None)) == ("950", "12.3k", "–")


def test_lines_are_never_wider_than_the_terminal(scene: Scene, observer: Observer) -> None:
    scene.kill_path.write_text("a reason that goes on " * 20)
    scene.audit(passed=False)
    look = observer.look()
    feeds = {"f" * 31: {"error": "words " * 40}}
    for text in (state_lines(look), feed_lines(feeds, NOTHING), state_lines({**look, "audit": None})):
        assert all(len(line) <= WIDTH for line in text.plain.splitlines())
