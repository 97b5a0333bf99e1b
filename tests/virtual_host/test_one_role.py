"""A role alone on the throw-away host: what it promised holds, read by plain shell, and the audit says the same."""

import json
import os
from typing import Any

import pytest
from tests.virtual_host.conftest import REPOSITORY, Sh
from tests.virtual_host.live_state import cpu_list
from tests.virtual_host.promises import Promise, holds, promised

from quietcore import vhost

pytestmark = pytest.mark.one_role

ROLE = os.environ.get("QUIETCORE_ROLE", "")
# What runs after the role: active units, by role. That of host_state is enabled, and begins at the next boot.
UNITS = {
    "simulator": ["quietcore-sim.service"],
    "feed_handler": ["quietcore-feed@sim.service"],
    "monitoring": ["quietcore-metrics.service", "quietcore-audit.timer"],
    "runtime": ["quietcore-feed@sim.service", "quietcore-runtime.service"],
}


@pytest.fixture(scope="module")
def promises(sh: Sh) -> list[Promise]:
    if not ROLE:
        pytest.fail("QUIETCORE_ROLE names no role: run `molecule test -s ROLE`", pytrace=False)
    return promised(ROLE, sh)


def test_the_audit_passes_what_the_role_promised(
    promises: list[Promise], inventory: dict[str, Any], sh: Sh
) -> None:
    found = json.loads(sh("/usr/local/sbin/quietcore audit --json"))["findings"]
    verdicts = {line["id"]: line["verdict"] for line in found if line["id"].split(".")[0] == ROLE}
    assert set(verdicts) == {promise["id"] for promise in promises}
    expected = set(inventory["quietcore_expected_unsupported"])
    wrong = {name: verdict for name, verdict in verdicts.items() if verdict != "ok" and name not in expected}
    assert not wrong


def test_what_was_promised_holds_when_read_by_plain_shell(promises: list[Promise], sh: Sh) -> None:
    if not promises:
        pytest.skip(f"{ROLE} promises no setting")
    read = {promise["id"]: holds(promise, sh) for promise in promises}
    differ = {name: pair for name, pair in read.items() if pair and pair[0] != pair[1]}
    assert not differ
    print(f"{ROLE}: {sum(pair is not None for pair in read.values())} of {len(read)} read by plain shell")


@pytest.mark.parametrize("unit", UNITS.get(ROLE, []))
def test_its_units_run(unit: str, sh: Sh) -> None:
    shown = sh(f"systemctl show --property=ActiveState,NRestarts {unit}").split()
    # A timer has no count of restarts.
    assert sorted(shown) == ["ActiveState=active", *(["NRestarts=0"] if unit.endswith(".service") else [])]


def test_boot_isolation_is_in_the_kernel(plan: dict[str, Any], sh: Sh) -> None:
    if ROLE != "boot_params":
        pytest.skip("only boot_params isolates CPUs")
    assert cpu_list(sh("cat /sys/devices/system/cpu/isolated")) == set(plan["isolated"])
    assert cpu_list(sh("cat /sys/devices/system/cpu/nohz_full")) == set(plan["isolated"])


def test_huge_pages_are_in_the_kernel(inventory: dict[str, Any], sh: Sh) -> None:
    if ROLE != "huge_pages":
        pytest.skip("only huge_pages reserves them")
    assert int(sh("cat /proc/sys/vm/nr_hugepages")) == inventory["huge_pages_count"]


def test_the_report_says_why_its_figures_are_not_to_be_quoted(booted_host: vhost.Info) -> None:
    if ROLE != "measure":
        pytest.skip("only measure reports")
    folder = REPOSITORY / "build/measure/virtual"
    for name in ("before.json", "after.json", "report.png"):
        # The clocks of host and controller agree to some seconds.
        assert (folder / name).stat().st_mtime > booted_host.ssh_config.stat().st_mtime - 60, (
            f"{name} is of an earlier host"
        )
    report = (folder / "report.html").read_text(encoding="utf-8")
    expected = "not to be quoted: measured on an emulated machine"
    assert (expected in report) == (booted_host.accelerator == "tcg")


def test_system_is_running(sh: Sh) -> None:
    assert sh("systemctl is-system-running --wait || systemctl --failed").strip() == "running"
