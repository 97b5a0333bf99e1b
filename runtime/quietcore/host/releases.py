"""Releases on the target: which is in use, which was before, whether one starts here, and switching by one rename.

`current` and `previous` below /opt/quietcore are symbolic links to releases/VERSION.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ExitCode, QuietcoreError
from .machine import AbsentError, Machine, UnreadableError, sync_folder

ROOT = "/opt/quietcore"
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Releases:
    """What is installed, newest first, and what the two links say ("" where there is none)."""

    versions: tuple[str, ...]
    current: str
    previous: str


def read_releases(machine: Machine) -> Releases:
    """Return what is installed."""
    folder = machine.path(f"{ROOT}/releases")
    there = [path for path in folder.iterdir() if _is_release(path)] if folder.is_dir() else []
    there.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return Releases(tuple(path.name for path in there), _link(machine, "current"), _link(machine, "previous"))


def _is_release(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.name.endswith(".new")


def _link(machine: Machine, name: str) -> str:
    path = machine.path(f"{ROOT}/{name}")
    return Path(os.readlink(path)).name if path.is_symlink() else ""  # noqa: PTH115 - as it stands, relative


def chosen(releases: Releases, version: str | None) -> str:
    """Return the release to switch to: the one named, or (None) the previous one. Raises QuietcoreError."""
    if version is None and not releases.previous:
        raise QuietcoreError(
            "there is no previous release to switch back to",
            where=f"{ROOT}/previous",
            expected=_known(releases),
            remedy="name a release",
        )
    name = version or releases.previous
    if name not in releases.versions or not _VERSION.fullmatch(name):
        raise QuietcoreError(
            "no such release on this host", where=f"{ROOT}/releases", found=name, expected=_known(releases)
        )
    return name


def _known(releases: Releases) -> str:
    return ", ".join(releases.versions) or "none is installed: run site.yml on this host"


def check_starts(machine: Machine, version: str) -> str:
    """Return what the release's feed handler says of itself. Raises QuietcoreError where it does not start here.

    A binary of a newer system fails in the loader, which names the symbol version that is lacking.
    """
    folder = f"{ROOT}/releases/{version}"
    needed = str(_manifest(machine, version).get("glibc_needed", ""))
    found = _libc(machine)
    if needed and found and _numbers(needed) > _numbers(found):
        raise _not_here(version, f"it needs glibc {needed}, this host has {found}")
    program = f"{folder}/bin/quietcore-feed"
    try:
        done = machine.run(str(machine.path(program)), "--version")
    except OSError as error:  # another architecture, not executable
        raise _not_here(version, str(error.strerror)) from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()) or _ended(done.returncode)
        raise _not_here(version, said)
    return done.stdout.strip()


def _ended(status: int) -> str:
    if status == -4:
        return "it was built for a CPU with more instructions than this one's (illegal instruction)"
    return f"exit status {status}"


def _not_here(version: str, found: str) -> QuietcoreError:
    return QuietcoreError(
        "the release does not start on this host, so nothing is switched",
        where=f"{ROOT}/releases/{version}/bin/quietcore-feed",
        found=found,
        expected="a feed handler built for this release of the system, or an older one",
        remedy="build on a controller of the target's release",
        code=ExitCode.FOUND,
    )


def _manifest(machine: Machine, version: str) -> dict[str, Any]:
    try:
        value = json.loads(machine.read(f"{ROOT}/releases/{version}/manifest.json"))
    except (AbsentError, UnreadableError, ValueError) as error:
        raise QuietcoreError(
            "the release is not whole",
            where=f"{ROOT}/releases/{version}/manifest.json",
            found=str(error),
            remedy="remove its folder and run site.yml again",
        ) from None
    return value if isinstance(value, dict) else {}


def _libc(machine: Machine) -> str:
    words = machine.run("getconf", "GNU_LIBC_VERSION").stdout.split()
    return words[-1] if words else ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def switch(machine: Machine, version: str) -> None:
    """Make a release the current one, and the one so far the previous one; no moment is without a current one."""
    releases = read_releases(machine)
    if releases.current == version:
        return
    wanted = {"current": version}
    if releases.current:
        wanted["previous"] = releases.current
    links = {name: machine.path(f"{ROOT}/{name}") for name in wanted}
    # What a full disk could refuse comes first: with both links made, two renames are left, which need no room.
    for name, link in links.items():
        beside = link.with_name(f".{name}.new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(f"releases/{wanted[name]}")
    for name, link in links.items():
        link.with_name(f".{name}.new").replace(link)
        sync_folder(link.parent)


def stale(machine: Machine, wanted: str) -> list[str]:
    """Return what is in use no more once `wanted` is the current release: releases and packages.

    The release before it stays. Machine code is left alone: units name it.
    """
    releases = read_releases(machine)
    before = releases.previous if releases.current == wanted else releases.current
    kept = [version for version in (wanted, before) if version in releases.versions]
    found = [f"{ROOT}/releases/{version}" for version in releases.versions if version not in kept]
    used = {str(_manifest(machine, version).get("packages", "")) for version in kept}
    folder = machine.path(f"{ROOT}/packages")
    if all(used) and folder.is_dir():
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name not in used)
        found += [f"{ROOT}/packages/{name}" for name in names]
    return found


def prune(machine: Machine, paths: list[str]) -> None:
    """Remove what `stale` found: renamed first, so that half a release never looks like one."""
    for path in paths:
        target = machine.path(path)
        doomed = target.with_name(f"{target.name}.new")
        shutil.rmtree(doomed, ignore_errors=True)
        target.replace(doomed)
        shutil.rmtree(doomed)
