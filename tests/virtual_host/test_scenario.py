"""Inventory and Molecule scenario say so when there is nothing to work on, instead of looking green."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    shutil.which("ansible-playbook") is None, reason="ansible-playbook is not on PATH"
)


def ansible(*words: str, state: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment |= {"QUIETCORE_VHOST_DIR": str(state), "QUIETCORE_VHOST": "absent"}
    return subprocess.run(
        words,
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_inventory_names_the_command_when_the_host_is_not_up(tmp_path: Path) -> None:
    done = ansible(
        "ansible", "-i", "inventory/virtual", "quietcore", "-m", "ansible.builtin.ping", state=tmp_path
    )
    assert done.returncode != 0
    assert "the virtual host absent is not up" in done.stdout + done.stderr
    assert "remedy: quietcore vhost up --name absent" in done.stdout + done.stderr


@pytest.mark.parametrize("playbook", ["prepare", "converge"])
def test_empty_group_fails(playbook: str, tmp_path: Path) -> None:
    done = ansible("ansible-playbook", "-i", "localhost,", f"molecule/shared/{playbook}.yml", state=tmp_path)
    assert done.returncode == 2
    assert "the group quietcore is empty" in done.stdout


@pytest.mark.parametrize(
    ("scenario", "more"), [("default", []), ("topology", []), ("shared", ["side_effect", "cleanup"])]
)
def test_scenarios_check_before_they_converge_and_look_for_idempotence(
    scenario: str, more: list[str]
) -> None:
    text = (REPOSITORY / "molecule" / scenario / "molecule.yml").read_text()
    sequence = next(line for line in text.splitlines() if "test_sequence:" in line)
    steps = sequence.partition("[")[2].rstrip("]").split(", ")
    expected = [
        "destroy",
        "create",
        "prepare",
        "check",
        "converge",
        "idempotence",
        "verify",
        *more,
        "destroy",
    ]
    assert steps == expected


def test_what_a_tag_brings_goes_with_its_role() -> None:
    """site.yml says what a tag brings, in order; the undo of a role's scenario takes them away, the last first."""
    plays = yaml.safe_load((REPOSITORY / "site.yml").read_text())
    tuned = [
        (role["role"], role["tags"])
        for play in plays
        for role in play.get("roles", [])
        if role["role"] != "core_plan"
    ]
    assert len(tuned) == 12
    deployed = [
        (task["ansible.builtin.import_role"]["name"], task["tags"])
        for task in plays[-1]["tasks"]
        if task["name"].startswith("Deploy ")
    ]
    assert len(deployed) == 5
    each = tuned + deployed
    brought = {role: [other for other, tags in reversed(each) if role in tags] for role, _ in each}
    plays = yaml.safe_load((REPOSITORY / "molecule/shared/undo_role.yml").read_text())
    told = plays[0]["vars"]["brought"]
    # What needs no other is undone by its own tag.
    assert told == {role: others for role, others in brought.items() if others != [role]}
