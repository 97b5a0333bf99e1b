"""The controller's set-up names what it would install and refuses what it cannot do."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / "ansible/controller/setup.py"


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": str(folder)}
    return subprocess.run(
        [sys.executable, SETUP, *arguments], capture_output=True, text=True, check=False, env=environment
    )


def test_names_each_missing_package_before_installing(tmp_path: Path) -> None:
    fake(tmp_path, "dpkg-query", "echo 'cmake installed'")
    fake(tmp_path, "apt-get", "exit 1")
    done = run(tmp_path, "--dry-run", "build")
    assert done.returncode == 0, done.stderr
    assert "libsimdjson-dev" in done.stdout
    assert "cmake " not in done.stdout


def test_without_root_or_sudo_it_says_what_to_run(tmp_path: Path) -> None:
    fake(tmp_path, "dpkg-query", "exit 1")
    fake(tmp_path, "apt-get", "exit 1")
    code = (
        "import os, runpy, sys; os.geteuid = lambda: 1000; sys.argv = ['setup.py', 'test'];"
        f"runpy.run_path({str(SETUP)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert "as root, run: apt-get install openssl" in done.stderr


def test_unknown_group_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "--dry-run", "bulid")
    assert done.returncode == 2
    assert "unknown group bulid; known: python, build, host, test, coverage" in done.stderr


def test_another_system_is_refused_clearly(tmp_path: Path) -> None:
    code = (
        "import platform, runpy, sys; platform.system = lambda: 'Darwin'; sys.argv = ['setup.py', 'host'];"
        f"runpy.run_path({str(SETUP)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert "Darwin is no controller" in done.stderr
