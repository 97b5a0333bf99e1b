"""How the role `release` packs for a fleet, as Ansible runs it, with a packer that only says what it was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAY = """
- hosts: fleet
  gather_facts: false
  serial: "{{ batch }}"
  tasks:
    - name: Pack
      ansible.builtin.include_role: {name: release, tasks_from: pack}
    - name: Say what this host takes
      ansible.builtin.copy:
        content: "{{ __release | to_json }}"
        dest: "{{ out }}/{{ inventory_hostname }}"
        mode: "0644"
"""
PACKER = """
import json, sys
from pathlib import Path
words = sys.argv[1:]
with (Path(__file__).resolve().parents[2] / "log").open("a") as log:
    print(*words, file=log)
strategy = next(word for word in words if word.startswith("--strategy="))
if strategy == "--strategy=broken":
    sys.exit("a strategy that cannot be packed")
print(json.dumps({"version": strategy.removeprefix("--strategy=")}))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for part in ("roles", "runtime/quietcore", "out"):
        (tmp_path / part).mkdir(parents=True)
    # A copy: Ansible tells the role's folder without following links, and the packer lies beside it.
    subprocess.run(["cp", "-r", ROOT / "roles/release", tmp_path / "roles"], check=True)
    (tmp_path / "runtime/quietcore/__init__.py").write_text("")
    (tmp_path / "runtime/quietcore/__main__.py").write_text(PACKER)
    (tmp_path / "play.yml").write_text(PLAY)
    return tmp_path


def play(place: Path, strategies: dict[str, str], batch: str = "100%") -> subprocess.CompletedProcess[str]:
    common = {"ansible_connection": "local", "out": str(place / "out"), "batch": batch}
    hosts = {name: {**common, "release_strategy": strategy} for name, strategy in strategies.items()}
    (place / "hosts.json").write_text(json.dumps({"fleet": {"hosts": hosts}}))
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": str(place / "roles"),
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(place / "hosts.json")]
    command += ["-e", json.dumps({"batch": batch}), str(place / "play.yml")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def asked(place: Path) -> list[str]:
    """Return the strategies that the packer was asked for, in its log's order."""
    lines = (place / "log").read_text().splitlines()
    return [word.removeprefix("--strategy=") for line in lines for word in line.split() if "strategy" in word]


def taken(place: Path) -> dict[str, str]:
    return {path.name: json.loads(path.read_text())["version"] for path in sorted((place / "out").iterdir())}


def test_hosts_of_one_kind_share_what_the_first_of_them_has_packed(place: Path) -> None:
    wanted = {"one": "crossing", "two": "panic", "three": "crossing", "four": "crossing"}
    done = play(place, wanted)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(asked(place)) == ["crossing", "panic"]
    assert taken(place) == wanted


def test_each_batch_packs_for_itself(place: Path) -> None:
    wanted = {"one": "crossing", "two": "crossing", "three": "panic"}
    done = play(place, wanted, batch="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert asked(place) == ["crossing", "crossing", "panic"]
    assert taken(place) == wanted


def test_the_target_is_described_by_its_own_python(place: Path) -> None:
    assert play(place, {"one": "crossing"}).returncode == 0
    script = """
import os, sys
print(os.uname().machine, "%d.%d" % sys.version_info[:2], os.confstr("CS_GNU_LIBC_VERSION"))
"""
    told = subprocess.check_output(["/usr/bin/python3", "-c", script], text=True).split()
    words = (place / "log").read_text().split()
    assert f"--machine={told[0]}" in words
    assert f"--python={told[1]}" in words
    assert f"--glibc={told[-1]}" in words


def test_what_cannot_be_packed_leaves_no_host_a_release(place: Path) -> None:
    done = play(place, {"one": "broken", "two": "broken"})
    assert done.returncode != 0
    assert "a strategy that cannot be packed" in done.stdout
    assert taken(place) == {}
