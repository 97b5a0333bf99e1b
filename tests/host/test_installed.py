"""Which copy of the library a task's modules come from: the host's own only where it is the same to the byte."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from quietcore.installed import prefer_installed

PACKAGE = Path(__file__).resolve().parents[2] / "runtime/quietcore"
SENT = [
    "__init__.py",
    "installed.py",
    "errors.py",
    "host/__init__.py",
    "host/cpulist.py",
    "host/unreadable.py",
]
TASK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from ansible.module_utils.quietcore.installed import prefer_installed
print(prefer_installed(Path(sys.argv[2])))
from ansible.module_utils.quietcore.host import cpulist
print(cpulist.__file__)
print(cpulist.parse_cpu_list("0-2"))
"""


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """What Ansible would send."""
    archive = tmp_path / "sent.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for folder in ("ansible", "ansible/module_utils"):
            file.writestr(f"{folder}/__init__.py", "")
        for name in SENT:
            file.write(PACKAGE / name, f"ansible/module_utils/quietcore/{name}")
    return archive


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """What the host has: more than a task needs, and not what only tasks need."""
    folder = tmp_path / "host/quietcore"
    shutil.copytree(PACKAGE / "host", folder / "host", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "errors.py"):
        shutil.copy(PACKAGE / name, folder)
    return folder


def run(sent: Path, installed: Path) -> tuple[str, Path]:
    command = [sys.executable, "-c", TASK, str(sent), str(installed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={})
    used, where, cpus = done.stdout.splitlines()
    assert cpus == "frozenset({0, 1, 2})"
    return used, Path(where)


def test_the_same_is_used_and_keeps_its_bytecode(sent: Path, installed: Path) -> None:
    assert run(sent, installed) == ("True", installed / "host/cpulist.py")
    assert list((installed / "host/__pycache__").glob("cpulist.*.pyc"))


@pytest.mark.parametrize("name", [name for name in SENT if name != "installed.py"])
@pytest.mark.parametrize("how", ["another", "gone"])
def test_what_differs_is_not_used(sent: Path, installed: Path, name: str, how: str) -> None:
    if how == "gone":
        (installed / name).unlink()
    else:
        (installed / name).write_text((installed / name).read_text() + "\n")
    assert run(sent, installed) == ("False", sent / "ansible/module_utils/quietcore/host/cpulist.py")


def test_a_host_without_it(sent: Path, tmp_path: Path) -> None:
    assert run(sent, tmp_path / "nothing")[0] == "False"


def test_nothing_is_changed_where_the_package_is_no_zip_file(installed: Path) -> None:
    assert prefer_installed(installed) is False
