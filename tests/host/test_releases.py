"""Releases on a host: one that does not start is refused before the switch, one command goes back, old ones go."""

from __future__ import annotations

import argparse
import errno
import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.host.fake_host import FakeHost

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.host import releases
from quietcore.host.cli import switch as command
from quietcore.host.machine import Machine

NEWER = "quietcore-feed: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by quietcore-feed)"


class Target:
    """A host with releases a, b and c; what each feed handler says is in `says`."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.says: dict[str, tuple[int, str]] = {}
        self.libc = "2.36"
        for number, version in enumerate(("a", "b", "c")):
            self.install(version, "2.34", f"p-{version}", number)

    def install(self, version: str, glibc: str, packages: str, age: int = 0) -> None:
        manifest = json.dumps({"glibc_needed": glibc, "packages": packages})
        self.host.put(f"/opt/quietcore/releases/{version}/manifest.json", manifest)
        self.host.put(f"/opt/quietcore/releases/{version}/bin/quietcore-feed", "")
        self.host.put(f"/opt/quietcore/packages/{packages}/x.py", "")
        os.utime(self.host.root / f"opt/quietcore/releases/{version}", (age, age))

    def machine(self) -> Machine:
        def run(words: object) -> subprocess.CompletedProcess[str]:
            assert isinstance(words, tuple)
            if words[0] == "getconf":
                return subprocess.CompletedProcess(words, 0, f"glibc {self.libc}\n", "")
            if words[0].endswith("quietcore-feed"):
                status, text = self.says.get(Path(words[0]).parts[-3], (0, "quietcore-feed 0.1.0"))
                return subprocess.CompletedProcess(words, status, text if status == 0 else "", text)
            self.host.calls.append(words)
            return subprocess.CompletedProcess(words, 0, "", "")

        return Machine(self.host.root, run=run)

    def switch(self, *words: str) -> int:
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        return command.switch_over(self.machine(), parser.parse_args(list(words)))

    def links(self) -> tuple[str, str]:
        found = releases.read_releases(self.machine())
        return found.current, found.previous


@pytest.fixture
def target(host: FakeHost) -> Target:
    return Target(host)


def test_switch_and_switch_back_are_one_command_each(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    target.switch("a")
    assert target.links() == ("a", "")
    target.switch("b")
    assert target.links() == ("b", "a")
    target.switch()
    assert target.links() == ("a", "b")
    assert "switched from b to a" in capsys.readouterr().out
    assert target.host.calls[-1] == ("systemctl", "try-restart", *command.UNITS)
    assert (target.host.root / "opt/quietcore/current/manifest.json").is_file()


def test_second_switch_to_the_same_does_nothing(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    target.switch("b")
    target.host.calls.clear()
    capsys.readouterr()
    target.switch("b", "--json")
    assert json.loads(capsys.readouterr().out)["changed"] is False
    assert target.host.calls == []


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [(1, NEWER, r"GLIBC_2\.38' not found"), (-4, "", "illegal instruction"), (127, "", "exit status 127")],
)
def test_a_release_that_does_not_start_here_is_refused_before_the_switch(
    target: Target, status: int, text: str, reason: str
) -> None:
    target.switch("a")
    target.says["b"] = (status, text)
    with pytest.raises(QuietcoreError, match=reason) as caught:
        target.switch("b", "--prune")
    assert caught.value.code is ExitCode.FOUND
    assert target.links() == ("a", "")
    assert (target.host.root / "opt/quietcore/releases/c").is_dir(), "nothing is removed either"


def test_a_release_that_needs_a_newer_c_library_is_refused_with_both_versions(target: Target) -> None:
    target.install("d", "2.41", "p-d")
    with pytest.raises(QuietcoreError, match=r"needs glibc 2\.41, this host has 2\.36"):
        target.switch("d")
    assert target.links() == ("", "")


def test_unknown_and_missing_releases_are_named(target: Target) -> None:
    with pytest.raises(QuietcoreError, match=r"no such release.*found x; expected c, b, a"):
        target.switch("x")
    with pytest.raises(QuietcoreError, match="no such release"):
        target.switch("../releases/a")
    with pytest.raises(QuietcoreError, match="no previous release"):
        target.switch()


def test_a_release_without_its_manifest_is_not_whole(target: Target) -> None:
    target.host.drop("/opt/quietcore/releases/b/manifest.json")
    with pytest.raises(QuietcoreError, match="not whole"):
        target.switch("b")


def test_old_releases_and_their_packages_go_and_the_previous_stays(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    target.switch("a")
    target.switch("b")
    target.switch("c", "--prune")
    there = sorted(path.name for path in (target.host.root / "opt/quietcore/releases").iterdir())
    assert there == ["b", "c"]
    assert sorted(path.name for path in (target.host.root / "opt/quietcore/packages").iterdir()) == [
        "p-b",
        "p-c",
    ]
    target.switch()
    assert target.links() == ("b", "c")
    capsys.readouterr()
    target.switch("c", "--prune", "--json")
    assert json.loads(capsys.readouterr().out)["removed"] == []


def test_check_tells_and_does_nothing(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    target.switch("a")
    target.switch("b")
    capsys.readouterr()
    target.switch("c", "--prune", "--check", "--json")
    value = json.loads(capsys.readouterr().out)
    assert value["changed"]
    assert value["removed"] == ["/opt/quietcore/releases/a", "/opt/quietcore/packages/p-a"]
    assert target.links() == ("b", "a")
    assert (target.host.root / "opt/quietcore/releases/a").is_dir()


def test_list_changes_nothing(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    target.switch("a")
    capsys.readouterr()
    assert target.switch("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["c"], ["b"], ["a", "current"]]


def test_a_disk_that_is_full_while_switching_leaves_both_links(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(host)
    releases.switch(target.machine(), "a")
    releases.switch(target.machine(), "b")
    made: list[Path] = []
    real = Path.symlink_to

    def full(self: Path, to: str) -> None:
        if made:
            raise OSError(errno.ENOSPC, "No space left on device")
        made.append(self)
        real(self, to)

    monkeypatch.setattr(Path, "symlink_to", full)
    with pytest.raises(OSError, match="No space left"):
        releases.switch(target.machine(), "c")
    monkeypatch.undo()
    found = releases.read_releases(target.machine())
    assert (found.current, found.previous) == ("b", "a")
    releases.switch(target.machine(), "c")
    found = releases.read_releases(target.machine())
    assert (found.current, found.previous) == ("c", "b")
