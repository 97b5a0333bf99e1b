"""`make proof`: a record holds for the inputs it was made of, and for no others."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("proof", str(REPOSITORY / "tests/proof"))
    spec = importlib.util.spec_from_loader("proof", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["proof"] = module  # dataclasses look their module up
    loader.exec_module(module)
    return module


proof: Any = load()
TOML = """
[counted]
says = "it counts"
command = "echo $QUIETCORE_PART >> ran; echo '{\\"part\\": '$QUIETCORE_PART'}' > $QUIETCORE_FIGURES; test ! -e broken"
inputs = ["watched", "folder"]
parts = 3
minutes = 1

[imported]
says = "it imports"
command = "true"
imports = ["tests.of_it"]
minutes = 2
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with two proofs."""
    for name, text in {
        "tests/proofs.toml": TOML,
        "watched": "1",
        "folder/inside": "1",
        "other": "1",
        "tests/of_it.py": "from quietcore.used import thing\n",
        "runtime/quietcore/__init__.py": "",
        "runtime/quietcore/used.py": "def thing():\n    from . import deep\n    return deep\n",
        "runtime/quietcore/deep.py": "import json\n",
        "runtime/quietcore/unused.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def ran(root: Path) -> list[str]:
    return (root / "ran").read_text().split() if (root / "ran").exists() else []


def check(root: Path, *names: str) -> int:
    code: int = proof.main(["--check", *names], root)
    return code


def test_what_was_never_shown_is_stale(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(root) == 1
    assert "0 records hold, 2 are stale or missing" in capsys.readouterr().out


def test_every_part_is_recorded_with_its_figures(root: Path) -> None:
    assert proof.main([], root) == 0
    assert ran(root) == ["0", "1", "2"]
    record = json.loads((root / "tests/proofs/counted.json").read_text())
    assert [part["figures"] for part in record["parts"]] == [{"part": 0}, {"part": 1}, {"part": 2}]
    assert {"date", "seconds", "commit", "machine"} <= set(record["parts"][0])
    assert check(root) == 0


def test_what_holds_is_not_run_again_unless_asked(root: Path) -> None:
    proof.main(["counted"], root)
    assert proof.main(["counted"], root) == 0
    assert len(ran(root)) == 3
    assert proof.main(["counted", "--again"], root) == 0
    assert len(ran(root)) == 6


@pytest.mark.parametrize(
    ("name", "stale"), [("watched", 1), ("folder/inside", 1), ("folder/added", 1), ("other", 0)]
)
def test_a_change_of_an_input_makes_it_stale_another_does_not(root: Path, name: str, stale: int) -> None:
    proof.main(["counted"], root)
    (root / name).write_text("2")
    assert check(root, "counted") == stale


@pytest.mark.parametrize(("name", "stale"), [("deep", 1), ("used", 1), ("__init__", 1), ("unused", 0)])
def test_all_that_is_imported_is_an_input(root: Path, name: str, stale: int) -> None:
    proof.main(["imported"], root)
    assert check(root, "imported") == 0
    (root / f"runtime/quietcore/{name}.py").write_text("# changed\n")
    assert check(root, "imported") == stale


def test_a_changed_command_makes_it_stale(root: Path) -> None:
    proof.main(["imported"], root)
    (root / "tests/proofs.toml").write_text(TOML.replace('"true"', '"true; true"'))
    assert check(root, "imported") == 1


def test_a_part_that_fails_is_not_recorded(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "broken").touch()
    assert proof.main(["counted"], root) == 1
    assert "FAILED with status 1" in capsys.readouterr().out
    assert not (root / "tests/proofs/counted.json").exists()
    assert json.loads((root / "build/log/proof-counted-0.log").read_text()) == {"part": 0}


def test_the_other_parts_of_a_failed_proof_are_run_where_that_is_asked_for(root: Path) -> None:
    command = "echo $QUIETCORE_PART >> ran; test $QUIETCORE_PART != 1"
    lines = [
        f"command = '''{command}'''" if "echo $QUIETCORE" in line else line for line in TOML.splitlines()
    ]
    (root / "tests/proofs.toml").write_text("\n".join(lines))
    assert proof.main(["counted"], root) == 1
    assert ran(root) == ["0", "1"]
    assert proof.main(["counted", "--keep-going"], root) == 1
    assert ran(root) == ["0", "1", "1", "2"]
    assert [
        part["part"] for part in json.loads((root / "tests/proofs/counted.json").read_text())["parts"]
    ] == [0, 2]


def test_inputs_that_change_while_it_runs_are_not_recorded(root: Path) -> None:
    text = TOML.replace('command = "true"', 'command = "echo >> runtime/quietcore/deep.py"')
    (root / "tests/proofs.toml").write_text(text)
    assert proof.main(["imported"], root) == 1
    assert not (root / "tests/proofs/imported.json").exists()


def test_it_goes_on_with_the_parts_that_are_missing(root: Path) -> None:
    proof.main(["counted"], root)
    path = root / "tests/proofs/counted.json"
    record = json.loads(path.read_text())
    record["parts"].pop(1)
    path.write_text(json.dumps(record))
    assert check(root, "counted") == 1
    assert proof.main(["counted"], root) == 0
    assert ran(root) == ["0", "1", "2", "1"]


def test_an_interrupt_ends_the_part_and_keeps_those_that_ended(root: Path) -> None:
    waits = "if [ $QUIETCORE_PART = 1 ]; then touch waits; sleep 600; fi"
    command = TOML.split('command = "')[1].split('"\n')[0]
    (root / "tests/proofs.toml").write_text(TOML.replace(command, waits))
    program = (
        "import importlib.machinery, importlib.util, sys, pathlib;"
        f"loader = importlib.machinery.SourceFileLoader('proof', {str(REPOSITORY / 'tests/proof')!r});"
        "spec = importlib.util.spec_from_loader('proof', loader); module = importlib.util.module_from_spec(spec);"
        "sys.modules['proof'] = module; loader.exec_module(module);"
        f"sys.exit(module.main(['counted'], pathlib.Path({str(root)!r})))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=root, stderr=subprocess.PIPE, text=True)
    while not (root / "waits").exists():
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the parts that ended are recorded" in errors
    assert [
        part["part"] for part in json.loads((root / "tests/proofs/counted.json").read_text())["parts"]
    ] == [0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("minutes = 1", "", "[counted] lacks minutes"),
        ("parts = 3", 'parts = "3"', "parts: expected int"),
        ("parts = 3", "parts = 0", "expected 1 or more"),
        ("parts = 3", "peices = 3", "unknown key peices"),
        ('inputs = ["watched", "folder"]', "", "no inputs"),
        ('"watched"', '"absent"', "no file matches absent"),
        ("tests.of_it", "tests.absent", "no module tests.absent"),
    ],
)
def test_a_wrong_description_is_named(
    root: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    (root / "tests/proofs.toml").write_text(TOML.replace(old, new))
    assert proof.main(["--check"], root) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_name_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert proof.main(["absent"], root) == 2
    assert "no proof absent; known: counted, imported" in capsys.readouterr().err


def test_this_repositorys_own_description_can_be_followed() -> None:
    proofs = proof.described(REPOSITORY)
    assert "reader-cpu-mask" in {entry.name for entry in proofs}
    assert all(proof.files_of(REPOSITORY, entry) for entry in proofs)
