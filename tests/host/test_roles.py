"""Rules that every role keeps, whoever wrote it: found by looking at all folders below roles/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
HOST_ROLES = [
    "boot_params",
    "core_plan",
    "cpu_power",
    "daily_life",
    "host_state",
    "huge_pages",
    "irq_affinity",
    "isolation",
    "network",
    "real_time",
    "sysctl",
    "time_sync",
]
PLAYBOOKS = [ROOT / "site.yml", *sorted((ROOT / "ansible/playbooks").glob("*.yml"))]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.is_file() else None


def specs(role: str) -> dict[str, dict[str, Any]]:
    found = load(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"]
    options: dict[str, dict[str, Any]] = found["main"]["options"]
    return options


def tasks(path: Path) -> Iterator[dict[str, Any]]:
    """Yield every task of a task file or playbook, those in blocks too."""

    def walk(items: Any) -> Iterator[dict[str, Any]]:
        for item in items or []:
            inner = [
                item.get(key)
                for key in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers")
            ]
            if any(inner):
                for part in inner:
                    yield from walk(part)
            if "hosts" not in item:
                yield item

    yield from walk(load(path))


ALL_TASKS = [
    *PLAYBOOKS,
    *sorted(path for path in (ROOT / "roles").glob("*/tasks/*.yml")),
    *sorted(path for path in (ROOT / "roles").glob("*/handlers/*.yml")),
]


def test_the_roles_of_the_host_are_there() -> None:
    assert set(HOST_ROLES) <= set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_specification_defaults_and_readme_have_the_same_names(role: str) -> None:
    described = set(specs(role))
    # An argument that has to be given has no default.
    given = {name for name, option in specs(role).items() if option.get("required")}
    assert set(load(ROOT / "roles" / role / "defaults/main.yml") or {}) == described - given
    readme = (ROOT / "roles" / role / "README.md").read_text()
    table = set(re.findall(rf"^\| `({role}_\w+)` \|", readme, re.MULTILINE))
    assert table == described
    assert all(name.startswith(f"{role}_") for name in described)
    assert all(option.get("description") and option.get("type") for option in specs(role).values())


@pytest.mark.parametrize("role", HOST_ROLES)
def test_specification_states_the_defaults_that_hold(role: str) -> None:
    defaults = load(ROOT / "roles" / role / "defaults/main.yml")
    assert {name: option["default"] for name, option in specs(role).items()} == defaults


@pytest.mark.parametrize("role", ROLES)
def test_internal_names_begin_with_two_underscores(role: str) -> None:
    constants = load(ROOT / "roles" / role / "vars/main.yml") or {}
    assert all(name.startswith(f"__{role}_") for name in constants)


@pytest.mark.parametrize("role", HOST_ROLES)
def test_main_only_dispatches(role: str) -> None:
    allowed = {"ansible.builtin.import_tasks", "ansible.builtin.include_tasks", "ansible.builtin.assert"}
    for task in tasks(ROOT / "roles" / role / "tasks/main.yml"):
        assert allowed & set(task), task.get("name")


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_an_undo_that_revert_reaches(role: str) -> None:
    assert (ROOT / "roles" / role / "tasks/undo.yml").is_file()
    reached = {
        task["ansible.builtin.import_role"]["name"]: task.get("tags")
        for task in tasks(ROOT / "ansible/playbooks/revert.yml")
        if task.get("ansible.builtin.import_role", {}).get("tasks_from") == "undo"
    }
    assert reached.get(role) == [role]


def test_site_runs_every_role_under_its_own_tag() -> None:
    plays = load(ROOT / "site.yml")
    tagged = {item["role"]: item["tags"] for play in plays for item in play.get("roles", [])}
    tagged |= {
        task["ansible.builtin.import_role"]["name"]: task["tags"]
        for task in tasks(ROOT / "site.yml")
        if "tasks_from" not in task.get("ansible.builtin.import_role", {"tasks_from": ""})
    }
    assert set(tagged) == set(ROLES)
    assert all(role in tags for role, tags in tagged.items())
    assert [play["name"] for play in plays][1:] == ["Provision"]


FORBIDDEN_WORDS = ("ignore_errors", "|| true", "changed_when: true", "failed_when: false", "--skip-broken")


@pytest.mark.parametrize("path", ALL_TASKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_hides_a_failure(path: Path) -> None:
    text = path.read_text()
    assert not [word for word in FORBIDDEN_WORDS if word in text]
    for task in tasks(path):
        assert task.get("name"), task
        for name in ("ansible.builtin.command", "ansible.builtin.shell"):
            if name in task:
                runs = task[name]
                once = isinstance(runs, dict) and {"creates", "removes"} & set(runs)
                assert once or "changed_when" in task, task["name"]


def looks_for_hidden_failures(text: str) -> bool:
    return any(word in text for word in FORBIDDEN_WORDS)


def test_the_search_for_hidden_failures_finds_one() -> None:
    assert looks_for_hidden_failures("- name: x\n  ignore_errors: true\n")
    assert not looks_for_hidden_failures("- name: x\n  failed_when: result.rc > 1\n")


def test_nothing_reboots_but_the_gate() -> None:
    reboots = [path for path in ALL_TASKS if any("ansible.builtin.reboot" in task for task in tasks(path))]
    assert reboots == [ROOT / "roles/host_state/tasks/reboot.yml"]
    gate = [
        task for task in tasks(ROOT / "roles/host_state/tasks/reboot_gate.yml") if task["name"] == "Reboot"
    ]
    assert "quietcore_reboot_ok | default(false) | bool" in gate[0]["when"]


@pytest.mark.parametrize("role", HOST_ROLES)
def test_each_role_brings_its_modules_so_that_it_is_found_from_any_folder(role: str) -> None:
    folder = ROOT / "roles" / role
    assert (folder / "library").is_symlink()
    assert (folder / "library/quietcore_host_state.py").is_file()
    assert (folder / "module_utils/quietcore/host/converge.py").is_file()
    assert (ROOT / "ansible/playbooks/roles" / role).is_dir()


@pytest.mark.parametrize("role", [role for role in HOST_ROLES if role != "core_plan"])
def test_readme_names_every_promise(role: str) -> None:
    constants = load(ROOT / "roles" / role / "vars/main.yml")
    ids = set(re.findall(rf'"id": "({role}\.\w+)"', json.dumps(constants)))
    readme = (ROOT / "roles" / role / "README.md").read_text()
    named = set(re.findall(rf"^\| `({role}\.\w+)` \|", readme, re.MULTILINE))
    assert ids <= named
    assert named - ids <= {f"{role}.NAME", f"{role}.KEY"}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_a_scenario_of_its_own(role: str) -> None:
    scenario = ROOT / "molecule" / role / "molecule.yml"
    assert scenario.resolve() == ROOT / "molecule/shared/molecule.yml"
