#!/usr/bin/env python3
"""Install what the controller is missing: system packages, then the virtual environment.

Usage: setup.py [--dry-run] GROUP…        GROUP: python build host test browser unpacked containers arm64 coverage
                                         (see packages.toml)

Names every system package before it installs it; uses sudo for that step alone where it is not run by root.
The virtual environment `.venv` is made from requirements-dev.lock, every file checked against its hash, and
made again only when that lock or the interpreter changes. Standard library only; needs Python 3.11 or newer.

Exit codes: 0 ok, 2 something is missing that it may not or cannot install, 3 an installation failed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit(
        f"setup: Python 3.11 or newer is needed, this is {platform.python_version()}; run make with PYTHON=python3.12"
    )

import tomllib

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = Path(__file__).with_name("packages.toml")
LOCK = ROOT / "requirements-dev.lock"
VENV = ROOT / ".venv"
TOOLS = ROOT / "build/tools"
# Groups that are more than a list of packages to install.
OPTIONAL, UNPACKED = "browser", "unpacked"


def say(text: str) -> None:
    """Print a progress line at once, also into a pipe."""
    print(f"setup: {text}", flush=True)


class SetupError(Exception):
    """Nothing more can be done here; the message says what the user can do."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def wanted_packages(groups: list[str]) -> dict[str, str]:
    """Return the packages of the groups with their purposes."""
    known = tomllib.loads(PACKAGES.read_text())
    unknown = sorted(set(groups) - set(known))
    if unknown:
        raise SetupError(f"unknown group {', '.join(unknown)}; known: {', '.join(known)}")
    wanted: dict[str, str] = {}
    for group in groups:
        wanted |= known[group]
    if "python3-venv" in wanted and has_ensurepip():
        # An interpreter that was not packaged by the distribution brings its own.
        del wanted["python3-venv"]
    return wanted


def has_ensurepip() -> bool:
    """Tell whether this interpreter can put pip into a new virtual environment."""
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        return False
    return True


def missing_packages(wanted: dict[str, str]) -> dict[str, str]:
    """Return those of the packages that dpkg does not list as installed."""
    if not wanted:
        return {}
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *wanted]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return {name: why for name, why in wanted.items() if name not in installed}


def install_packages(groups: list[str], dry_run: bool) -> None:
    """Name, then install the missing system packages of the groups."""
    wanted = wanted_packages([group for group in groups if group != UNPACKED])
    if not wanted:
        return
    if shutil.which("apt-get") is None or shutil.which("dpkg-query") is None:
        if platform.system() != "Linux":
            raise SetupError(
                f"{platform.system()} is no controller for this step; use Debian 12 or 13 or Ubuntu (see README.md)"
            )
        say(f"no apt-get here; these are expected to be installed: {' '.join(wanted)}")
        return
    missing = missing_packages(wanted)
    for name in missing_packages(wanted_packages([OPTIONAL])) if OPTIONAL in groups else ():
        if not offered(name):
            say(f"{name}: not offered by this distribution; {missing.pop(name)} are skipped")
    if not missing:
        return
    say(f"{len(missing)} system packages are missing and will be installed:")
    for name, why in missing.items():
        say(f"  {name:<22} {why}")
    if dry_run:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    if sudo and shutil.which("sudo") is None:
        raise SetupError(f"neither root nor sudo here; as root, run: apt-get install {' '.join(missing)}")
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run([*sudo, *environment, "apt-get", "update", "-q"], "apt-get update")
    run(
        [*sudo, *environment, "apt-get", "install", "-q", "-y", "--no-install-recommends", *missing],
        f"apt-get install of {len(missing)} packages",
    )


def offered(name: str) -> bool:
    """Tell whether the distribution has a package of this name, and not only a word that leads elsewhere."""
    shown = subprocess.run(["apt-cache", "show", name], capture_output=True, text=True, check=False).stdout
    return "Package:" in shown and "snap" not in shown.lower()


def unpack_tools(dry_run: bool) -> None:
    """Unpack into build/tools what is not to be installed; what cannot be fetched is said, and is no error."""
    for name, why in wanted_packages([UNPACKED]).items():
        if shutil.which(name) or (TOOLS / "usr/bin" / name).exists():
            continue
        say(f"{name} is unpacked into {TOOLS.relative_to(ROOT)}: {why}")
        if dry_run:
            continue
        TOOLS.mkdir(parents=True, exist_ok=True)
        try:
            run(["apt-get", "download", "-q", name], f"apt-get download {name}", TOOLS)
            for archive in TOOLS.glob(f"{name}_*.deb"):
                run(["dpkg-deb", "--extract", str(archive), str(TOOLS)], f"unpacking {name}")
                archive.unlink()
        except (SetupError, OSError) as error:
            say(f"{name} cannot be had, its tests are skipped: {str(error).splitlines()[0]}")


def run(command: list[str], what: str, folder: Path = ROOT) -> None:
    """Run a long step: its output goes to build/log/, its progress here; on failure show the end of the output."""
    log = ROOT / "build/log" / (what.split(" of ")[0].replace(" ", "-") + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
        while True:
            try:
                status = process.wait(timeout=15)
                break
            except subprocess.TimeoutExpired:
                say(f"{what}: {time.monotonic() - start:.0f} s")
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                raise
    if status:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise SetupError(f"{what} failed with status {status}; the end of {log}:\n{tail}", 3)
    say(f"{what}: done in {time.monotonic() - start:.0f} s")


def make_venv() -> None:
    """Make or renew .venv, and install this project into it as an editable package."""
    key = hashlib.sha256()
    for part in (
        LOCK.read_bytes(),
        (ROOT / "pyproject.toml").read_bytes(),
        sys.version.encode(),
        str(VENV).encode(),
    ):
        key.update(hashlib.sha256(part).digest())
    stamp = VENV / "quietcore-setup"
    if stamp.exists() and stamp.read_text() == key.hexdigest():
        return
    if VENV.exists():
        say("the lock changed: the virtual environment is made again")
        shutil.rmtree(VENV)
    say(f"virtual environment with Python {platform.python_version()} in .venv")
    # An activated virtual environment may be the very one that was just removed: ask the interpreter beneath it.
    interpreter = getattr(sys, "_base_executable", sys.executable)
    run([interpreter, "-m", "venv", str(VENV)], "venv")
    pip = [
        str(VENV / "bin/python"),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--progress-bar=off",
    ]
    run(
        [*pip, "--require-hashes", "--only-binary=:all:", "-r", str(LOCK)],
        "pip install of the locked packages",
    )
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], "pip install of quietcore")
    stamp.write_text(key.hexdigest())


def main(arguments: list[str]) -> int:
    """Set up the groups named in the arguments."""
    dry_run = "--dry-run" in arguments
    groups = [word for word in arguments if word != "--dry-run"]
    if not groups or any(word.startswith("-") for word in groups):
        print(__doc__)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    try:
        install_packages(groups, dry_run)
        if UNPACKED in groups:
            unpack_tools(dry_run)
        if not dry_run:
            make_venv()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("setup: interrupted; run it again, it goes on where it was", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
