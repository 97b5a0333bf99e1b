"""What the roles' variables become: rendered by Ansible itself, then promised on the fake host."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from tests.host.fake_host import FakeHost

from quietcore.errors import QuietcoreError
from quietcore.host.converge import loosen, promise

ROOT = Path(__file__).resolve().parents[2]
ROLES = ["real_time"]
LISTS = {
    "housekeeping": "0-1",
    "irq": "2",
    "feed": "3",
    "strategy": "4",
    "gateway": "5",
    "isolated": "3-5",
    "not_isolated": "0-2",
}
PLAN = {"core_plan_result": {"lists": LISTS, "topology": {"interface": "eth0"}, "sets": {"gateway": [5]}}}

Render = dict[str, list[dict[str, Any]]]


def render(folder: Path, roles: list[str], **variables: Any) -> Render:
    """Return each role's settings as its task hands them to the module. Raises AssertionError with Ansible's words."""
    plays: list[dict[str, Any]] = []
    for role in roles:
        files = [str(ROOT / "roles" / role / part / "main.yml") for part in ("defaults", "vars")]
        copy = {"content": f"{{{{ __{role}_settings | to_json }}}}", "dest": str(folder / f"{role}.json")}
        plays.append(
            {
                "hosts": "localhost",
                "connection": "local",
                "gather_facts": False,
                "vars_files": files,
                "tasks": [{"name": "Render", "ansible.builtin.copy": {**copy, "mode": "0600"}}],
            }
        )
    playbook = folder / "render.yml"
    playbook.write_text(yaml.safe_dump(plays))
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "home"),
    }
    extra = json.dumps({**PLAN, **variables})
    command = ["ansible-playbook", "-i", "localhost,", "-e", extra, str(playbook)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return {role: json.loads((folder / f"{role}.json").read_text()) for role in roles}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Render:
    return render(tmp_path_factory.mktemp("render"), ROLES)


@pytest.fixture
def debian(host: FakeHost) -> FakeHost:
    """The fake host with what a Debian server has and these roles look at."""
    host.put("/etc/pam.d/sshd", "session required pam_limits.so\n")
    return host


@pytest.mark.parametrize("role", ROLES)
def test_defaults_converge_and_stay(rendered: Render, debian: FakeHost, role: str) -> None:
    settings = loosen(rendered[role], False, [])
    outcome = promise(debian.machine(), role, settings)
    assert not outcome.failures
    again = promise(debian.machine(), role, settings)
    assert (again.changed, again.failures) == (False, [])


def test_priorities_reach_the_units(tmp_path: Path, debian: FakeHost) -> None:
    given = {"real_time_priorities": {"quietcore-feed@.service": 10}, "real_time_memlock": "65536"}
    settings = render(tmp_path, ["real_time"], **given)["real_time"]
    promise(debian.machine(), "real_time", loosen(settings, False, []))
    text = debian.get("/etc/systemd/system/quietcore-feed@.service.d/50-quietcore-real-time.conf")
    assert text.splitlines()[1:] == [
        "[Service]",
        "LimitMEMLOCK=65536K",
        "LimitNOFILE=65536",
        "LimitRTPRIO=49",
        "CPUSchedulingPolicy=fifo",
        "CPUSchedulingPriority=10",
    ]
    assert "@quietcore - memlock 65536\n" in debian.get("/etc/security/limits.d/zz-quietcore.conf") + "\n"


def test_a_priority_that_stops_kernel_threads_is_refused(tmp_path: Path, debian: FakeHost) -> None:
    given = {"real_time_priorities": {"quietcore-feed@.service": 99}}
    settings = render(tmp_path, ["real_time"], **given)["real_time"]
    with pytest.raises(QuietcoreError, match=r"priority 99 is refused.*migration and watchdogs at 99"):
        promise(debian.machine(), "real_time", loosen(settings, False, []))
