"""The role `measure` as Ansible runs it, on this machine, with programs of ours for what only a host has.

The release, systemd-run and systemctl are stood in for; everything else is the role's own: when it measures, what
it hands over, what it compares and what it says.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  roles:
    - role: measure
  tasks:
    - name: After
      ansible.builtin.include_role: {name: measure, tasks_from: after}
      when: measure_enabled | bool
"""
PACK = "- {name: Pack, ansible.builtin.set_fact: {__release: {version: 1.2.3-abc}}}\n"
UNPACK = "- {name: Unpack, ansible.builtin.debug: {msg: unpacked}}\n"

ROLE_BY_ROLE = """
- hosts: localhost
  connection: local
  gather_facts: false
  pre_tasks:
    - name: Role by role
      ansible.builtin.include_role: {name: measure, tasks_from: per_role}
  roles:
    - role: measure
  tasks:
    - name: After
      ansible.builtin.include_role: {name: measure, tasks_from: after}
"""
# A role that promises something, and says in the log that it was here.
TUNES = """
- name: Promise
  ansible.builtin.copy: {{content: promised, dest: "{promises}/{role}.json", mode: "0644"}}
- name: Say so
  ansible.builtin.shell: echo role {role} >> {log}
"""

# Writes a measurement where it is told to: after, and after role two, it is half as fast again, on an emulated machine.
MEASURES = """#!{python}
import sys
sys.path.insert(0, {runtime!r})
from pathlib import Path
import numpy as np
from quietcore.compare.series import Metric, Run, write_run
words = sys.argv[1:]
label, out = words[words.index("--label") + 1], Path(words[words.index("--out") + 1])
slower = 1.5 if label in ("after", "two") else 1.0
values = np.random.default_rng(1).lognormal(7, 0.3, 3000) * slower
write_run(out, Run(label, {{"hop": Metric(rounds=[values.tolist()])}}, host={{"virtual": "qemu"}}))
with open({log!r}, "a") as log:
    print(*words, file=log)
"""
LISTS = "#!/bin/sh\ncat {}/units\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for part in ("roles/release/tasks", "bin", "host", "promises"):
        (tmp_path / part).mkdir(parents=True)
    (tmp_path / "roles/measure").symlink_to(ROOT / "roles/measure")
    (tmp_path / "runtime").symlink_to(ROOT / "runtime")
    (tmp_path / "roles/release/tasks/pack.yml").write_text(PACK)
    (tmp_path / "roles/release/tasks/unpack.yml").write_text(UNPACK)
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "units").write_text("")
    (tmp_path / "promises/core_plan.json").write_text("{}")
    measures = MEASURES.format(
        python=sys.executable, runtime=str(ROOT / "runtime"), log=str(tmp_path / "log")
    )
    for name, text in (("systemd-run", measures), ("systemctl", LISTS.format(tmp_path))):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def play(place: Path, **given: object) -> str:
    values = {
        "measure_enabled": True,
        "measure_folder": str(place / "host/measure"),
        "measure_reports": str(place / "reports"),
        "__measure_promises": str(place / "promises"),
        "ansible_python_interpreter": sys.executable,
        "measure_rounds": 7,
        **given,
    }
    (place / "values.yml").write_text(yaml.safe_dump(values))
    environment = {
        **os.environ,
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": str(place / "roles"),
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [
        "ansible-playbook",
        "-i",
        "localhost,",
        str(place / "play.yml"),
        "-e",
        f"@{place / 'values.yml'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def log(place: Path) -> list[str]:
    path = place / "log"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.timeout(300)  # two plays
def test_before_and_after_and_a_report(place: Path) -> None:
    said = play(place)
    before, after = log(place)
    assert "--slice=quietcore.slice" in before
    assert (
        "/opt/quietcore/releases/1.2.3-abc/bin/quietcore bench run jitter ring book --label before" in before
    )
    assert "--rounds 7 --seconds 1.0" in before
    assert before.endswith("host/measure/before.json")
    assert after.endswith("host/measure/after.json")
    folder = place / "reports/localhost"
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "report.html").read_text()
    reason = "not to be quoted: measured on an emulated machine (qemu without KVM)"
    assert reason in page
    assert reason in said
    assert 'class="worse"' in page
    assert said.index("worse") < said.index("report.html")

    # Again, on a host that is tuned by now: the first "before" stays; nothing is measured where the pipeline runs.
    (place / "promises/sysctl.json").write_text("{}")
    (place / "units").write_text("quietcore-feed@sim.service loaded active running x\n")
    said = play(place)
    assert len(log(place)) == 2
    assert "its pipeline runs; stop it" in said


@pytest.mark.timeout(300)  # a play of many steps
def test_role_by_role(place: Path) -> None:
    for role in ("core_plan", "host_state", "two", "three"):
        (place / f"roles/{role}/tasks").mkdir(parents=True)
        tasks = TUNES.format(role=role, promises=place / "promises", log=place / "log")
        (place / f"roles/{role}/tasks/main.yml").write_text(tasks)
    (place / "play.yml").write_text(ROLE_BY_ROLE)
    said = play(place, quietcore_measure="per_role", __measure_tuning_roles=["two", "three"])
    done = [
        line.split("--label ")[1].split()[0] if "--label" in line else line.removeprefix("role ")
        for line in log(place)
    ]
    assert done == [
        *("core_plan", "host_state", "before"),
        *("two", "two", "three", "three", "after"),
    ]
    assert log(place)[4].endswith("host/measure/steps/00-two.json")
    told = (place / "reports/localhost/steps.txt").read_text()
    changed, by_step = told.split("step by step")
    assert "two" in changed
    assert "worse" in changed
    assert "better" in changed, "after role three it is as it was"
    assert "core_plan" not in told
    for step in ("two", "three", "after", "all together"):
        assert step in by_step
    assert "takes effect only by it; report: " in said


def test_a_tuned_host_has_no_before(place: Path) -> None:
    (place / "promises/sysctl.json").write_text("{}")
    said = play(place, quietcore_isolation="partition")
    assert "it is tuned already (sysctl.json)" in said
    assert "it was not measured before" in said
    assert log(place) == []
    assert not (place / "reports").exists()


def test_the_site_measures_around_the_tuning() -> None:
    plays = yaml.safe_load((ROOT / "site.yml").read_text())
    provision = plays[-1]
    roles = [item["role"] for item in provision["roles"]]
    values = yaml.safe_load((ROOT / "roles/measure/vars/main.yml").read_text())
    assert values["__measure_tuning_roles"] == roles[3:], "role by role in the site's order"
    before = provision["pre_tasks"][0]
    assert before["ansible.builtin.include_role"] == {"name": "measure", "tasks_from": "per_role"}
    assert before["when"][0] == "quietcore_measure | default(false) | string == 'per_role'"
    assert roles[:3] == ["core_plan", "host_state", "measure"], "with the plan, before anything is tuned"
    names = [task["name"] for task in provision["tasks"]]
    gate, again, deploy = (
        names.index(name)
        for name in (
            "Stop here where a reboot is due that the inventory does not allow",
            "Measure the host again, before anything is deployed on it",
            "Deploy the release",
        )
    )
    assert gate < again < deploy
    assert provision["tasks"][again]["when"][0].startswith("quietcore_measure | default(false)")
