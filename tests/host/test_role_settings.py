"""What the roles' variables become: rendered by Ansible itself, then promised on the fake host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from tests.host.fake_card import FakeCard, answer
from tests.host.fake_host import FakeHost

from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import apply_all, loosen, promise, revert

UPGRADES = "/usr/bin/unattended-upgrade"
ROOT = Path(__file__).resolve().parents[2]
# In the order of site.yml.
ROLES = ["boot_params", "isolation", "real_time", "network", "time_sync", "daily_life"]
LISTS = {
    "housekeeping": "0-1",
    "irq": "2",
    "feed": "3",
    "strategy": "4",
    "gateway": "5",
    "isolated": "3-5",
    "not_isolated": "0-2",
}
CARD = {"interface": "eth0", "cards": [{"name": "eth0", "node": -1}]}
PLAN = {"core_plan_result": {"lists": LISTS, "topology": CARD, "sets": {"irq": [2]}}}

Render = dict[str, list[dict[str, Any]]]


def render(folder: Path, roles: list[str], **variables: Any) -> Render:
    """Return each role's settings as its task hands them to the module. Raises AssertionError with Ansible's words."""
    plays: list[dict[str, Any]] = []
    for role in roles:
        # A lookup finds a role's templates below its playbook's folder.
        templates = ROOT / "roles" / role / "templates"
        if templates.is_dir():
            shutil.copytree(templates, folder / "templates", dirs_exist_ok=True)
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


@pytest.fixture
def debian(host: FakeHost) -> FakeHost:
    """The fake host with what a Debian server has and these roles look at."""
    host.put("/etc/pam.d/sshd", "session required pam_limits.so\n")
    host.put("/etc/sysctl.d/README.sysctl", "")
    host.put("/etc/grub.d/README", "")
    host.put("/etc/security/limits.d/README", "")
    host.put("/etc/systemd/network/.keep", "")
    FakeCard(host)
    host.put(UPGRADES, "")
    host.put("/etc/apt/apt.conf.d/50unattended-upgrades", "")
    host.programs["apt-config"] = lambda words: answer(0, "false\n")
    host.put("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n")
    host.put("/sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet\n")
    return host


@pytest.mark.parametrize("isolation", ["boot", "partition"])
def test_defaults_converge_hold_after_a_boot_and_come_back(
    tmp_path: Path, debian: FakeHost, isolation: str
) -> None:
    rendered = render(tmp_path, ROLES, quietcore_isolation=isolation)
    before = etc(debian)
    for role in ROLES:
        assert not promise(debian.machine(), role, loosen(rendered[role], False, [])).failures
    debian.boot()
    apply_all(debian.machine(), live_only=True)
    for role in ROLES:
        again = promise(debian.machine(), role, loosen(rendered[role], False, []))
        assert ([change.target for change in again.changes], again.failures) == ([], []), role
        assert not again.reboot_required
    assert [finding for finding in audit(debian.machine()) if finding.failed] == []
    assert not revert(debian.machine()).failures
    assert etc(debian) == before


def etc(host: FakeHost) -> dict[str, str]:
    """Return every file and folder below /etc: undo leaves neither."""
    paths = sorted((host.root / "etc").rglob("*"))
    return {
        str(path.relative_to(host.root)): path.read_text() if path.is_file() else "folder" for path in paths
    }


@pytest.mark.parametrize("service", ["chrony", "ptp"])
def test_one_daemon_sets_the_clock(tmp_path: Path, debian: FakeHost, service: str) -> None:
    given = {
        "time_sync_service": service,
        "time_sync_servers": ["192.0.2.1"],
        "time_sync_hardware_timestamps": ["*"],
    }
    settings = loosen(render(tmp_path, ["time_sync"], **given)["time_sync"], False, [])
    daemons = {"chrony": ["chrony.service"], "ptp": ["ptp4l@eth0.service", "phc2sys@eth0.service"]}
    for unit in {"chrony.service", "systemd-timesyncd.service", *daemons[service]}:
        debian.units[unit] = {"enabled": unit not in daemons[service], "active": unit not in daemons[service]}
    outcome = promise(debian.machine(), "time_sync", settings)
    assert not outcome.failures
    running = {unit for unit, state in debian.units.items() if state["active"] and state["enabled"]}
    assert running == {*daemons[service], "irqbalance.service", "quietcore-timestamping.service"}
    drop_in = debian.get(f"/etc/systemd/system/{daemons[service][0]}.d/50-quietcore-time-sync.conf")
    assert drop_in.endswith("[Service]\nCPUAffinity=0-1")
    if service == "chrony":
        assert debian.get("/etc/chrony/sources.d/quietcore.sources").splitlines()[1:] == [
            "server 192.0.2.1 iburst"
        ]
        assert debian.get("/etc/chrony/conf.d/quietcore.conf").splitlines()[1:] == ["hwtimestamp *"]
    again = promise(debian.machine(), "time_sync", settings)
    assert ([change.target for change in again.changes], again.failures) == ([], [])


def test_upgrades_are_told_what_to_leave_alone(tmp_path: Path, debian: FakeHost) -> None:
    given = {"daily_life_upgrade_blocklist": ["linux-image", "libc6"]}
    settings = loosen(render(tmp_path, ["daily_life"], **given)["daily_life"], False, [])
    promise(debian.machine(), "daily_life", settings)
    assert debian.get("/etc/apt/apt.conf.d/zz-quietcore.conf").splitlines()[1:] == [
        'Unattended-Upgrade::Automatic-Reboot "false";',
        'Unattended-Upgrade::Package-Blacklist:: "linux-image";',
        'Unattended-Upgrade::Package-Blacklist:: "libc6";',
    ]


def test_a_misspelt_way_of_isolation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="partitoin"):
        render(tmp_path, ["boot_params"], quietcore_isolation="partitoin")


def test_a_gateway_outside_the_partition_is_refused(tmp_path: Path, debian: FakeHost) -> None:
    lists = {**LISTS, "gateway": "0-1", "isolated": "3-4"}
    plan = {
        "core_plan_result": {**PLAN["core_plan_result"], "lists": lists},
        "quietcore_isolation": "partition",
    }
    settings = render(tmp_path, ["isolation"], **plan)["isolation"]
    with pytest.raises(QuietcoreError, match=r"quietcore-runtime\.service could not start in the partition"):
        promise(debian.machine(), "isolation", loosen(settings, False, []))


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
