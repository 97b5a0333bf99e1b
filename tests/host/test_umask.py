"""Folders and files get their documented mode whatever umask the process has: services of other users read them."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import os
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import HOST, SYSCTL, setting

from quietcore.host.converge import promise, revert
from quietcore.host.machine import make_folders

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "ansible/plugins/modules"
UMASKS = (0o077, 0o027, 0o022, 0o000)


@pytest.fixture(params=UMASKS, ids=[f"{umask:03o}" for umask in UMASKS])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, MODULES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.usefixtures("umask")
def test_what_a_run_makes_can_be_read_by_services(host: FakeHost) -> None:
    wanted = [*HOST, setting("own", "file", "/etc/far/below/x.conf", "x\n"), SYSCTL[0]]
    promise(host.machine(), "host_state", wanted)
    shown = {
        path: mode(host.root / path)
        for path in (
            "etc/quietcore",
            "etc/quietcore/host.d",
            "etc/quietcore/host.d/host_state.json",
            "etc/far",
            "etc/far/below",
            "etc/far/below/x.conf",
            "etc/sysctl.d",
            "etc/sysctl.d/zz-quietcore.conf",
            "var/lib/quietcore",
            "var/lib/quietcore/journal.jsonl",
            "var/lib/quietcore/lock",
        )
    }
    files = ("x.conf", "zz-quietcore.conf", "host_state.json")
    private = ("journal.jsonl", "lock")
    assert shown == {
        path: "0600" if path.endswith(private) else "0644" if path.endswith(files) else "0755"
        for path in shown
    }
    assert {path.name for path in host.root.rglob(".*")} == {".keep"}, "something half made was left"
    revert(host.machine())
    assert not (host.root / "etc/far").exists()


@pytest.mark.parametrize("path", ["etc/quietcore", "etc/quietcore/host.d", "var/lib/quietcore"])
def test_folders_of_an_earlier_run_are_opened_again(host: FakeHost, path: str) -> None:
    promise(host.machine(), "sysctl", SYSCTL)
    (host.root / path).chmod(0o700)
    promise(host.machine(), "sysctl", SYSCTL)
    assert mode(host.root / path) == "0755"


@pytest.mark.usefixtures("umask")
def test_a_folder_made_by_two_at_once_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def slower(self: Path, target: Path) -> Path:
        target.mkdir()
        (target / "theirs").touch()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", slower)
    make_folders(tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


@pytest.mark.usefixtures("umask")
def test_an_unpacked_release_can_be_read(tmp_path: Path) -> None:
    source = tmp_path / "source/lib/python"
    source.mkdir(parents=True)
    (source / "x.py").write_text("")
    archive = tmp_path / "release.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in (source.parent, source, source / "x.py"):
            entry = tar.gettarinfo(path, str(path.relative_to(tmp_path / "source")))
            entry.mode = 0o644 if path.is_file() else 0o755
            tar.addfile(entry, io.BytesIO(b""))
    release = tmp_path / "opt/quietcore/releases/1"
    module("quietcore_unpack").unpack(
        str(archive), str(release), hashlib.sha256(archive.read_bytes()).hexdigest()
    )
    folders = [release, *release.parents[:3], release / "lib", release / "lib/python"]
    assert {path.name: mode(path) for path in folders} == dict.fromkeys(
        [path.name for path in folders], "0755"
    )
    assert mode(release / "lib/python/x.py") == "0644"


@pytest.mark.usefixtures("umask")
def test_the_library_on_the_host_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "opt/quietcore/host/quietcore/errors.py"
    module("quietcore_host_library").write(path, "x = 1\n")
    assert mode(path) == "0644"
    assert {mode(folder) for folder in path.parents[:4]} == {"0755"}


@pytest.mark.usefixtures("umask")
def test_credentials_stay_closed_in_a_folder_whose_parent_is_open(tmp_path: Path) -> None:
    folder = tmp_path / "etc/quietcore/credentials"
    module("quietcore_credentials").bring(folder, {"key": "secret"}, False, lambda verb, name, data: data)
    assert (mode(folder.parent), mode(folder), mode(folder / "key.cred")) == ("0755", "0700", "0600")


# What makes a folder or a file with a mode that the umask has a say in, and the places that set the mode themselves.
MAKERS = {"mkdir", "makedirs", "write_text", "write_bytes", "touch", "copytree"}
SET_THEIR_OWN = {
    "quietcore_unpack.py: make_folders",
    "quietcore_host_library.py: make_folders",
    "quietcore_credentials.py: bring",
    "gate.py: _write",
    "boot_loader.py: put_menu_back",  # takes the mode of the menu whose place it gets
}


def test_nothing_else_makes_files_or_folders() -> None:
    """A new place that makes one has to give it its mode, and to stand above: by that somebody has thought of it."""
    found: set[str] = set()
    for path in [*(ROOT / "runtime/quietcore/host").rglob("*.py"), *MODULES.glob("*.py")]:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in MAKERS
                ):
                    found.add(f"{path.name}: {function.name}")
    assert found == SET_THEIR_OWN
