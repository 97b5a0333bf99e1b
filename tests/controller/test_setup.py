"""The controller's set-up names what it would install and refuses what it cannot do."""

import os
import shutil
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
    assert (
        "unknown group bulid; known: python, build, host, test, browser, unpacked, containers, arm64, coverage"
        in done.stderr
    )


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


def in_copy(folder: Path, *groups: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up's package steps in a checkout of its own; the virtual environment is not made."""
    copy = folder / "checkout/ansible/controller"
    copy.mkdir(parents=True)
    for name in ("setup.py", "packages.toml"):
        shutil.copy(SETUP.with_name(name), copy)
    code = f"import sys; sys.path.insert(0, {str(copy)!r}); import setup; setup.make_venv = lambda: None; "
    code += f"sys.exit(setup.main({list(groups)!r}))"
    # As on a machine without them: only what the steps call is to be found.
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("sh", "cp", "tar", "dpkg-deb", "rm", "env"):
        found = shutil.which(name)
        if found and not (programs / name).exists():
            (programs / name).symlink_to(found)
    path = f"{folder}:{programs}"
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )


def test_a_browser_that_the_distribution_has_not_is_left_out(tmp_path: Path) -> None:
    fake(tmp_path, "dpkg-query", "exit 1")
    fake(tmp_path, "apt-get", "exit 1")
    fake(tmp_path, "apt-cache", "echo 'Package: chromium'; echo 'Description: Transitional package, snap'")
    done = in_copy(tmp_path, "browser")
    assert done.returncode == 0, done.stderr
    assert "chromium: not offered by this distribution" in done.stdout
    fake(tmp_path, "apt-cache", "echo 'Package: chromium'")
    done = subprocess.run(
        [sys.executable, SETUP, "--dry-run", "browser"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert "chromium  " in done.stdout


def test_prometheus_is_unpacked_and_never_installed(tmp_path: Path) -> None:
    """A package that apt-get gives is taken apart below build/tools; apt-get is asked for nothing else."""
    package = tmp_path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN/control").write_text(
        "Package: prometheus\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: x\n"
    )
    tool = package / "usr/bin/prometheus"
    tool.parent.mkdir(parents=True)
    tool.write_text("tool")
    archive = tmp_path / "prometheus_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", package, archive], check=True, capture_output=True)
    calls = tmp_path / "calls"
    fake(tmp_path, "apt-get", f'echo "$@" >> {calls}; test "$1" = download && cp {archive} .')
    done = in_copy(tmp_path, "unpacked")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checkout/build/tools/usr/bin/prometheus").read_text() == "tool"
    assert calls.read_text() == "download -q prometheus\n"
    assert not list((tmp_path / "checkout/build/tools").glob("*.deb"))
    fake(tmp_path, "apt-get", "exit 100")
    shutil.rmtree(tmp_path / "checkout")
    done = in_copy(tmp_path, "unpacked")
    assert done.returncode == 0
    assert "cannot be had, its tests are skipped" in done.stdout
