"""The tables of roles/README.md: complete, fresh, and failing where they are not."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from quietcore.host.catalogue import FACTS, fact_of
from quietcore.host.kinds import KINDS
from quietcore.host.refusals import (
    KERNEL_PARAMETERS,
    SYSCTL,
    Refusal,
    kernel_parameter_refusal,
    sysctl_refusal,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def generator() -> ModuleType:
    path = ROOT / "ansible/controller/catalogue.py"
    spec = importlib.util.spec_from_file_location("quietcore_catalogue", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_fresh(generator: ModuleType) -> None:
    assert generator.main(["--check"]) == 0


def test_a_stale_table_is_found_and_written(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    fresh = (ROOT / "roles/README.md").read_text()
    readme.write_text(re.sub(r"^\| `sysctl\.vm\.swappiness`.*\n", "", fresh, flags=re.MULTILINE))
    assert readme.read_text() != fresh
    monkeypatch.setattr(generator, "README", readme)
    assert generator.main(["--check"]) == 1
    assert "is not fresh; remedy: run ansible/controller/catalogue.py" in capsys.readouterr().err
    assert generator.main([]) == 0
    assert readme.read_text() == fresh
    readme.write_text("# Roles\n")
    with pytest.raises(SystemExit, match="no place for settings"):
        generator.main(["--check"])


def test_every_promise_of_every_role_is_in_the_table(generator: ModuleType, tmp_path: Path) -> None:
    table = (ROOT / "roles/README.md").read_text().split("<!-- end of settings -->")[0]
    ids = {setting.id for setting in generator.promised()}
    assert ids == set(re.findall(r"^\| `([a-z_]+\.[\w.]+)` \|", table, re.MULTILINE))
    # Those of a role that nobody thought of are found too.
    shutil.copytree(ROOT / "roles/sysctl", tmp_path / "roles/sysctl", symlinks=True)
    (tmp_path / "roles/new/vars").mkdir(parents=True)
    (tmp_path / "roles/new/vars/main.yml").write_text(
        "x:\n  - {id: new.one, kind: magic, name: '{{ y }}/z'}\n"
    )
    found = {setting.id: setting for setting in generator.promised(tmp_path)}
    assert found["new.one"].name == "…/z"
    with pytest.raises(SystemExit, match=r"nothing is known of new.one \(magic …/z\); remedy: add a fact"):
        generator.settings_table(list(found.values()))


def test_every_kind_says_how_it_is_applied_and_has_facts() -> None:
    for name, kind in KINDS.items():
        assert kind.applied, name
        assert fact_of(name, "anything") or any(fact.kind == name for fact in FACTS), name
    assert {fact.kind for fact in FACTS} == set(KINDS)
    for position, fact in enumerate(FACTS):
        earlier = [other for other in FACTS[:position] if other.kind == fact.kind]
        assert all(other.names != "*" for other in earlier), f"{fact.kind} {fact.names} is never reached"


@pytest.mark.parametrize("refusal", [*SYSCTL, *KERNEL_PARAMETERS], ids=lambda item: item.label)
def test_what_the_table_says_is_refused_is_refused(refusal: Refusal) -> None:
    """The label is what a reader types: each name in it is refused, with the value in it."""
    judge = sysctl_refusal if refusal in SYSCTL else kernel_parameter_refusal
    parts = re.findall(r"`([^`]+)`", refusal.label)
    prefix = parts[0].rpartition(".")[0] if refusal in SYSCTL else ""
    assert parts
    for part in parts:
        name, _, value = part.replace(" ", "").partition("=")
        full = name if "." in name or not prefix else f"{prefix}.{name}"
        assert judge(full, value) == (refusal.reason, refusal.instead)
        if refusal.value is not None:
            assert judge(full, "1000") is None
