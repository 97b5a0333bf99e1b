"""The matrix of scenarios says FAILED of what failed, goes on, and takes up where it was stopped."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("matrix", str(REPOSITORY / "tests/matrix"))
    spec = importlib.util.spec_from_loader("matrix", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    # A molecule of which one scenario fails; it writes down whom it was asked for.
    program = tmp_path / "bin/molecule"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$QUIETCORE_RELEASE $3 $QUIETCORE_MOLECULE_VHOST" >>{tmp_path}/asked\n[ "$3" != sysctl ]\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return module


def run(matrix: ModuleType, tmp_path: Path, before: list[dict[str, Any]], jobs: int = 2) -> Any:
    asked = [matrix.Run("bookworm", name) for name in ("irq_affinity", "sysctl", "topology")]
    made = matrix.Matrix(asked, "abc", before, tmp_path / "matrix.json")
    for number in range(jobs):
        made.work(number)
    return made


def test_one_that_fails_is_named_and_the_others_are_run(matrix: ModuleType, tmp_path: Path) -> None:
    made = run(matrix, tmp_path, [])
    assert made.failed() == [matrix.Run("bookworm", "sysctl")]
    report = json.loads((tmp_path / "matrix.json").read_text())
    assert report["commit"] == "abc"
    assert [(result["scenario"], result["passed"]) for result in report["results"]] == [
        ("irq_affinity", True),
        ("sysctl", False),
        ("topology", True),
    ]
    assert (tmp_path / "asked").read_text().splitlines()[0] == "bookworm irq_affinity matrix-0"


def test_it_goes_on_with_what_has_not_passed_at_this_commit(matrix: ModuleType, tmp_path: Path) -> None:
    run(matrix, tmp_path, [])
    (tmp_path / "asked").unlink()
    before = matrix.passed_before(tmp_path / "matrix.json", "abc")
    made = run(matrix, tmp_path, before)
    assert (tmp_path / "asked").read_text().split()[1::3] == ["sysctl"]
    assert made.failed() == [matrix.Run("bookworm", "sysctl")]
    assert matrix.passed_before(tmp_path / "matrix.json", "another") == []
    assert matrix.passed_before(tmp_path / "absent.json", "abc") == []


def test_every_role_has_a_scenario(matrix: ModuleType) -> None:
    roles = {path.name for path in (REPOSITORY / "roles").iterdir() if path.is_dir()}
    assert set(matrix.scenarios()) == roles | {"default", "topology"}


def unread(scenario: str, readers: str) -> set[str]:
    """The variables of a scenario's environment that nothing reads."""
    return {
        name
        for name in re.findall(r"^    (QUIETCORE_\w+):", scenario, re.MULTILINE)
        if not re.search(rf"[\"']{name}[\"']", readers)
    }


def test_what_a_scenario_asks_for_by_environment_is_read() -> None:
    folders = ("molecule/shared", "inventory/virtual", "runtime/quietcore/vhost", "tests/virtual_host")
    listed = subprocess.run(
        ["git", "ls-files", *folders], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    readers = "".join((REPOSITORY / name).read_text(encoding="utf-8") for name in listed.stdout.split())
    for path in sorted((REPOSITORY / "molecule").glob("*/molecule.yml")):
        assert not unread(path.read_text(encoding="utf-8"), readers), path


def test_a_variable_that_nothing_reads_is_found() -> None:
    scenario = "  env:\n    QUIETCORE_SHAPE: --cpus 12\n    QUIETCORE_COLD: '1'\n"
    assert unread(scenario, "{{ lookup('env', 'QUIETCORE_COLD') }}") == {"QUIETCORE_SHAPE"}
