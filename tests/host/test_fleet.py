"""A fleet goes batch by batch and stops at the first host that fails: the keywords of site.yml, on a play of ours."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]


def reached(folder: Path, *words: str) -> set[str]:
    """Run a play on three hosts, of which b fails, and return which of them got as far as its last task."""
    play = yaml.safe_load((ROOT / "site.yml").read_text())[-1]
    # What is tested: how site.yml goes through a fleet. What it does on a host is another matter.
    batches = {name: play[name] for name in ("serial", "max_fail_percentage")}
    tasks = [
        {
            "name": "Fail on b",
            "ansible.builtin.fail": {"msg": "b is ill"},
            "when": "inventory_hostname == 'b'",
        },
        {"name": "Say", "ansible.builtin.debug": {"msg": "reached {{ inventory_hostname }}"}},
    ]
    playbook = folder / "play.yml"
    playbook.write_text(
        json.dumps([{"hosts": "quietcore", "gather_facts": False, **batches, "tasks": tasks}])
    )
    inventory = folder / "hosts.yml"
    inventory.write_text("quietcore: {hosts: {a: , b: , c: }, vars: {ansible_connection: local}}\n")
    environment = {**os.environ, "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_FORCE_COLOR": "0"}
    command = ["ansible-playbook", "-i", str(inventory), str(playbook), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, cwd=folder, timeout=100
    )
    assert done.returncode == 2, done.stdout + done.stderr
    return set(re.findall(r"reached (\w)", done.stdout))


@pytest.mark.parametrize(
    ("batches", "expected"),
    [("1", {"a"}), ('[1, "100%"]', {"a"}), ("2", set())],
)
def test_no_batch_begins_after_a_host_has_failed(tmp_path: Path, batches: str, expected: set[str]) -> None:
    assert reached(tmp_path, "-e", f'{{"quietcore_serial": {batches}}}') == expected


def test_without_batches_all_hosts_are_one(tmp_path: Path) -> None:
    assert reached(tmp_path) == set()
