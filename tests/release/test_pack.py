"""Releases: named by content, refused where they would not start, whole or absent on the target."""

import importlib.util
import json
import secrets
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from tests.secret_search import in_files

from quietcore.cli.main import main
from quietcore.errors import QuietcoreError
from quietcore.release import archive, native, pack, packages
from quietcore.release.strategy import wish_of
from quietcore.release.target import Target
from quietcore.strategy.scaffold import files

ROOT = Path(__file__).resolve().parents[2]
HERE = Target.here()


def unpack(tar: tarfile.TarFile, folder: Path) -> None:
    """As the module quietcore_unpack does: Debian 12's Python has no filters yet."""
    if hasattr(tarfile, "tar_filter"):
        tar.extractall(folder, filter="tar")
    else:
        tar.extractall(folder)


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    """A small dynamically linked program of this machine's own."""
    source = tmp_path / "program.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("here"); return 0; }\n')
    program = tmp_path / "quietcore-feed"
    subprocess.run(["cc", "-o", program, source], check=True)
    return program


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the third-party packages out: they come from the package index, which has a test of its own."""

    def install(_lock: Path, _target: Target, into: Path) -> None:
        into.mkdir()
        (into / "a.py").write_text("A = 1\n")

    monkeypatch.setattr(packages, "install", install)


@pytest.mark.usefixtures("no_packages")
def test_same_content_is_packed_once(executable: Path, tmp_path: Path) -> None:
    first = pack.pack(ROOT, executable, HERE, "x86-64-v2", tmp_path / "out")
    second = pack.pack(ROOT, executable, HERE, "x86-64-v2", tmp_path / "out")
    assert first.built
    assert not second.built
    assert first.version == second.version
    executable.write_bytes(executable.read_bytes() + b"\n")
    assert pack.pack(ROOT, executable, HERE, "x86-64-v2", tmp_path / "out").version != first.version


@pytest.mark.usefixtures("no_packages")
def test_the_command_packs_and_says_what(
    executable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["release", "pack", "--feed", str(executable), "--out", str(tmp_path / "out")]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["built"]
    assert Path(found["archive"]).is_file()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"release {found['version']} for {HERE}: already packed" in said
    assert found["machine_code_archive"] in said
    assert main([*words, "--python", "9"]) == 2
    assert main([*words, "--feed", str(tmp_path / "nothing")]) == 2
    assert "make build" in capsys.readouterr().err


@pytest.mark.usefixtures("no_packages")
def test_two_at_a_time_wait_for_each_other(executable: Path, tmp_path: Path) -> None:
    """Plays of two inventories share a checkout and its folder of releases."""
    out = tmp_path / "out"
    words = (ROOT, executable, HERE, "x86-64-v2", out)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(pack.pack, *words), pool.submit(pack.pack, *words)
    assert first.result().archive_sha256 == second.result().archive_sha256
    assert sorted((first.result().built, second.result().built)) == [False, True]
    assert not list(out.glob("*.new"))


@pytest.mark.usefixtures("no_packages")
def test_release_holds_what_a_target_runs(executable: Path, tmp_path: Path) -> None:
    release = pack.pack(ROOT, executable, HERE, "x86-64-v2", tmp_path / "out")
    with tarfile.open(release.archive) as tar:
        names = set(tar.getnames())
        assert {
            "bin/quietcore-feed",
            "bin/quietcore",
            "manifest.json",
            "lib/python/quietcore/__init__.py",
        } <= names
        assert not [n for n in names if "/vhost/" in n or "/release/" in n]
        assert {m.uid for m in tar.getmembers()} == {0}
        assert not [m.name for m in tar.getmembers() if m.mode & 0o022]
        unpack(tar, tmp_path / "unpacked")
    manifest = json.loads((tmp_path / "unpacked/manifest.json").read_text())
    for name, expected in manifest["files"].items():
        assert archive.sha256(tmp_path / "unpacked" / name) == expected, name
    assert not list((tmp_path / "out").glob("*.new")), "a half-written archive stayed"


@pytest.mark.usefixtures("no_packages")
def test_a_strategy_of_ones_own_is_tried_and_packed(executable: Path, tmp_path: Path) -> None:
    for name, text in files("own", python=False).items():
        (tmp_path / name).write_text(text)
    path = tmp_path / "own.py"
    wish = wish_of(str(path), '{"span": 20}')
    release = pack.pack(ROOT, executable, HERE, "x86-64-v2", tmp_path / "out", wish)
    assert release.strategy == "lib/strategies/own.py"
    with tarfile.open(release.archive) as tar:
        member = tar.extractfile("lib/strategies/own.py")
        assert member is not None
        assert member.read() == path.read_bytes()
    shipped = pack.pack(ROOT, executable, HERE, "x86-64-v2", tmp_path / "out")
    assert (shipped.strategy, shipped.version != release.version) == ("", True)
    with pytest.raises(QuietcoreError, match=r"unknown key: strategy\.parameters\.spam"):
        pack.pack(ROOT, executable, HERE, "x86-64-v2", tmp_path / "out", wish_of(str(path), '{"spam": 1}'))
    path.write_text(path.read_text().replace("return 1\n", "return 5\n"))
    with pytest.raises(QuietcoreError, match="neither 0 nor 1"):
        pack.pack(ROOT, executable, HERE, "x86-64-v2", tmp_path / "out", wish)


@pytest.mark.usefixtures("no_packages")
def test_no_release_holds_the_key(executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither from the packer's environment, nor from files beside the strategy; one in it would be found."""
    key = secrets.token_hex(20)
    for name, text in files("own", python=False).items():
        (tmp_path / name).write_text(text)
    for name in ("key", "secret", ".env", "runtime.toml"):
        (tmp_path / name).write_text(f"QUIETCORE_API_KEY={key}\n")
    monkeypatch.setenv("QUIETCORE_API_KEY", key)
    monkeypatch.setenv("QUIETCORE_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("QUIETCORE_API_SECRET_FILE", str(tmp_path / "secret"))
    path, out = tmp_path / "own.py", tmp_path / "out"
    release = pack.pack(ROOT, executable, HERE, "x86-64-v2", out, wish_of(str(path), '{"span": 20}'))
    assert {release.archive, release.packages_archive} <= {str(place) for place in out.iterdir()}
    assert list(in_files([out], [key])) == []
    path.write_text(f"{path.read_text()}\nKEY = {key!r}\n")
    planted = pack.pack(ROOT, executable, HERE, "x86-64-v2", out, wish_of(str(path), '{"span": 20}'))
    assert (key, planted.archive) in set(in_files([out], [key]))


@pytest.mark.parametrize("text", ["[1]", '{"a": "b"}', '{"a": true}', "{"])
def test_parameters_that_are_none(text: str) -> None:
    with pytest.raises(QuietcoreError, match="--parameters"):
        wish_of("crossing", text)


def test_newer_glibc_is_refused_with_the_reason(executable: Path, tmp_path: Path) -> None:
    needed = native.needed_glibc([executable])
    assert needed >= (2, 2)
    old = Target(HERE.machine, HERE.python, (needed[0], needed[1] - 1))
    with pytest.raises(QuietcoreError, match=rf"needs glibc {needed[0]}\.{needed[1]}; expected at most"):
        native.collect(executable, tmp_path / "tree", old)


def test_missing_executable_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(QuietcoreError, match="make build"):
        native.collect(tmp_path / "nothing", tmp_path / "tree", HERE)


def test_glibc_itself_is_never_brought_along(executable: Path) -> None:
    brought = [path.name for path in native.libraries(Path(sys.executable).resolve())]
    assert not [name for name in brought if name.startswith(("libc.so", "ld-linux", "libm.so"))]
    assert native.libraries(executable) == []


def test_platform_tags_follow_the_target() -> None:
    assert Target.parse("x86_64", "3.11", "2.36").platform_tags()[0] == "manylinux_2_28_x86_64"
    assert Target.parse("x86_64", "3.11.2", "2.17").platform_tags() == [
        "manylinux_2_17_x86_64",
        "manylinux_2_12_x86_64",
        "manylinux_2_5_x86_64",
        "manylinux2014_x86_64",
    ]
    with pytest.raises(QuietcoreError, match="--glibc"):
        Target.parse("x86_64", "3.11", "musl")


def unpack_module() -> ModuleType:
    path = ROOT / "ansible/plugins/modules/quietcore_unpack.py"
    spec = importlib.util.spec_from_file_location("quietcore_unpack", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_unpack_is_whole_or_absent(tmp_path: Path) -> None:
    module = unpack_module()
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/x").write_text("x")
    (tree / "bin/y").write_bytes(bytes(range(256)) * 100)
    packed = tmp_path / "a.tar.gz"
    archive.write_archive(tree, packed)
    good = archive.sha256(packed)
    dest = tmp_path / "releases/1"
    with pytest.raises(module.UnpackError, match="expected 00"):
        module.unpack(str(packed), str(dest), "00")
    truncated = tmp_path / "b.tar.gz"
    truncated.write_bytes(packed.read_bytes()[:100])
    with pytest.raises((module.UnpackError, EOFError)):
        module.unpack(str(truncated), str(dest), archive.sha256(truncated))
    assert not dest.exists()
    assert not Path(f"{dest}.new").exists()
    module.unpack(str(packed), str(dest), good)
    assert (dest / "bin/x").read_text() == "x"


def test_archives_are_reproducible(tmp_path: Path) -> None:
    for name in ("one", "two"):
        tree = tmp_path / name
        tree.mkdir()
        (tree / "file").write_text("content")
    shutil.copystat(tmp_path / "one/file", tmp_path / "two/file")
    archive.write_archive(tmp_path / "one", tmp_path / "1.tar.gz")
    archive.write_archive(tmp_path / "two", tmp_path / "2.tar.gz")
    assert archive.sha256(tmp_path / "1.tar.gz") == archive.sha256(tmp_path / "2.tar.gz")
    assert archive.content_hash(tmp_path / "one") == archive.content_hash(tmp_path / "two")


@pytest.mark.usefixtures("no_packages")
def test_the_command_finds_its_own_release_and_packages_and_nothing_else(
    executable: Path, tmp_path: Path
) -> None:
    interpreter = Path(f"/usr/bin/python{HERE.python[0]}.{HERE.python[1]}")
    if not interpreter.exists():
        pytest.skip(f"{interpreter} is not installed: this machine's Python is another one")
    release = pack.pack(ROOT, executable, HERE, "x86-64-v2", tmp_path / "out")
    folder = tmp_path / "root/releases" / release.version
    with tarfile.open(release.archive) as tar:
        unpack(tar, folder)
    with tarfile.open(release.packages_archive) as tar:
        unpack(tar, tmp_path / "root/packages" / release.packages)
    # Compiled files of a release are not checked against their source.
    shutil.rmtree(folder / "lib/python/quietcore/__pycache__")
    (folder / "lib/python/quietcore/__main__.py").write_text(
        "import sys, a, quietcore; print(sys.path, a.A, quietcore.__file__)"
    )
    (tmp_path / "root/current").symlink_to(f"releases/{release.version}")
    shown = subprocess.run(
        [tmp_path / "root/current/bin/quietcore"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert f"1 {folder}/lib/python/quietcore/__init__.py" in shown
    assert "site-packages" not in shown
    assert "dist-packages" not in shown


def test_of_programs_only_those_that_are_called_are_packed(tmp_path: Path) -> None:
    for name in ("bin/py-spy", "bin/pygmentize", "numba/tests/x.py", "numba/core/x.py", "share/man/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    packages.prune(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"bin/py-spy", "numba/core/x.py"}
