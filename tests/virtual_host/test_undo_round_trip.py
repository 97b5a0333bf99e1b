"""Apply, reboot, undo, reboot: what plain system tools say of the host is what they said before, but for a short list.

Needs a host that is not tuned yet: `quietcore vhost up --name NAME`, QUIETCORE_VHOST=NAME, pytest -m mutates_host.
"""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from quietcore import vhost

# Not among `make test`: it takes apart a host of its own, for many minutes.
pytestmark = [pytest.mark.mutates_host, pytest.mark.slow, pytest.mark.timeout(2700)]

REPOSITORY = Path(__file__).resolve().parents[2]
MAY_DIFFER = Path(__file__).with_name("may_differ.toml")
READ = Path(__file__).with_name("whole_state.py")
QUIETCORE = "/usr/local/sbin/quietcore"
State = dict[str, dict[str, str]]


class Compared(NamedTuple):
    """How many items there were, how many differ by reason, and which differ without one."""

    items: int
    allowed: dict[str, int]
    unexpected: list[str]

    def __str__(self) -> str:
        same = self.items - sum(self.allowed.values()) - len(self.unexpected)
        rows = [f"{self.items} items: {same} identical"]
        rows += [f"  {count} differ, as they may: {why}" for why, count in self.allowed.items()]
        return "\n".join([*rows, f"  {len(self.unexpected)} differ", *self.unexpected])


def compare(before: State, after: State, way: str) -> Compared:
    """Compare two states; `way` is playbook or command."""
    rules = tomllib.loads(MAY_DIFFER.read_text(encoding="utf-8"))["difference"]
    allowed: dict[str, int] = {}
    unexpected: list[str] = []
    items = 0
    for kind in sorted(before.keys() | after.keys()):
        first, second = before.get(kind, {}), after.get(kind, {})
        for name in sorted(first.keys() | second.keys()):
            items += 1
            if first.get(name) == second.get(name):
                continue
            why = next(
                (
                    rule["why"]
                    for rule in rules
                    if re.fullmatch(rule["kind"], kind)
                    and re.fullmatch(rule["name"], name)
                    and re.fullmatch(rule.get("change", "(?s:.*)"), f"{first.get(name)} → {second.get(name)}")
                    and rule.get("only", way) == way
                ),
                None,
            )
            if why is None:
                unexpected.append(f"{kind}: {name}: {first.get(name)!r} → {second.get(name)!r}")
            else:
                allowed[why] = allowed.get(why, 0) + 1
    return Compared(items, allowed, unexpected)


def state(host: vhost.Info) -> State:
    done = host.exec("python3 -", input_text=READ.read_text(encoding="utf-8"), timeout=300)
    found: State = json.loads(done.stdout)
    empty = [kind for kind in found if not found[kind] and kind != "own folders"]
    assert not empty, f"could not be read: {', '.join(empty)}"
    return found


def play(*words: str) -> str:
    """Run a playbook on the host and return what it said."""
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")}
    command = ["ansible-playbook", "-i", "inventory/virtual", *words]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def untouched(booted_host: vhost.Info) -> State:
    """The host before anything was done to it."""
    assert booted_host.exec("test ! -e /opt/quietcore", timeout=60, check=False).returncode == 0, (
        "not a new host"
    )
    return state(booted_host)


@pytest.mark.usefixtures("untouched")
def test_undo_by_the_command_takes_the_running_values_back(booted_host: vhost.Info) -> None:
    """Without a boot between: live values, files, menu, units. irqbalance would move interrupts after us."""
    booted_host.exec("systemctl stop irqbalance", timeout=100)
    before = state(booted_host)
    roles = "core_plan,host_state,huge_pages,boot_params,cpu_power,sysctl,irq_affinity"
    play("site.yml", "--tags", roles, "-e", "quietcore_reboot_ok=false")
    tuned = compare(before, state(booted_host), "command")
    assert len(tuned.unexpected) > 30, f"this changed too little to prove anything: {tuned}"
    said = booted_host.exec(f"{QUIETCORE} revert", timeout=300).stdout
    assert " 0 failed" in said
    compared = compare(before, state(booted_host), "command")
    print(f"\n`quietcore revert`, no boot between: {compared}")
    booted_host.exec("systemctl start irqbalance", timeout=100)
    assert not compared.unexpected, str(compared)


def test_undo_by_the_playbook_takes_the_host_back(booted_host: vhost.Info, untouched: State) -> None:
    """What the command leaves, the library and the group of its files, the playbook removes."""
    before = untouched
    play("site.yml")
    values = sysctl(booted_host)
    play("ansible/playbooks/revert.yml", "--tags", "sysctl")
    assert values["vm.swappiness"] == "0"
    assert sysctl(booted_host)["vm.swappiness"] == before["sysctl"]["vm.swappiness"], "undone by its tag"
    roles = {line["role"] for line in audit(booted_host)}
    assert "sysctl" not in roles
    assert {"boot_params", "huge_pages", "irq_affinity"} <= roles
    play("ansible/playbooks/revert.yml")
    assert "isolcpus" not in booted_host.exec("cat /proc/cmdline", timeout=60).stdout
    compared = compare(before, state(booted_host), "playbook")
    print(f"\napply, reboot, undo, reboot: {compared}")
    assert not compared.unexpected, str(compared)


def sysctl(host: vhost.Info) -> dict[str, str]:
    lines = host.exec("sysctl -a 2>/dev/null", timeout=100).stdout.splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def audit(host: vhost.Info) -> list[dict[str, str]]:
    done = host.exec(f"{QUIETCORE} audit --json", timeout=100, check=False)
    found: list[dict[str, str]] = json.loads(done.stdout)["findings"]
    return found
