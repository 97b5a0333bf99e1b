"""What a run without a change costs a fleet: a host that changed, failed or is missing is never such a run."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RECAP = """
PLAY RECAP *********************************************************************
fleet-01                   : ok=64   changed=0    unreachable=0    failed=0    skipped=21   rescued=0    ignored=0
fleet-02                   : ok=63   changed=1    unreachable=0    failed=0    skipped=21   rescued=0    ignored=0
fleet-03                   : ok=9    changed=0    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
localhost                  : ok=1    changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
"""


@pytest.fixture(scope="module")
def cost() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("fleet_cost", str(REPOSITORY / "tests/fleet-cost"))
    spec = importlib.util.spec_from_loader("fleet_cost", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def test_a_host_that_changed_stopped_early_or_is_missing_is_told(cost: ModuleType) -> None:
    wrong = cost.not_converged(cost.recap(RECAP), cost.names(4))
    assert [line.split(":")[0] for line in wrong] == ["fleet-02", "fleet-03", "fleet-04"]
    assert "changed=1" in wrong[0]
    assert wrong[2] == "fleet-04: not in the recap"
    assert cost.not_converged(cost.recap(RECAP), cost.names(1)) == []


def test_targets_are_judged_by_the_better_run_and_only_where_they_were_measured(cost: ModuleType) -> None:
    one, twenty = cost.Cost(1, 20, 30.0), cost.Cost(20, 20, 241.0)
    assert list(cost.verdicts([one]).values()) == [True]
    assert list(cost.verdicts([one, twenty]).values()) == [True, False]
    assert list(cost.verdicts([one, twenty, cost.Cost(20, 20, 239.0)]).values()) == [True, True]
    assert list(cost.verdicts([cost.Cost(1, 20, 61.0)]).values()) == [False]
    assert cost.verdicts([twenty]) == {}


def test_inventory_gives_each_container_its_own_port(cost: ModuleType) -> None:
    hosts = json.loads(cost.inventory(cost.names(2), Path("config")))["quietcore"]["children"]["fleet"][
        "hosts"
    ]
    ports = {name: values["ansible_port"] for name, values in hosts.items()}
    assert ports == {"fleet-01": cost.FIRST_PORT, "fleet-02": cost.FIRST_PORT + 1}


def test_a_container_lacks_what_its_virtual_host_lacks_and_the_trial_of_a_boot(cost: ModuleType) -> None:
    """Host variables take the place of a group's, they are not joined with them."""
    fleet = json.loads(cost.inventory(cost.names(1), Path("config")))["quietcore"]["children"]["fleet"]
    lacking = fleet["hosts"]["fleet-01"]["quietcore_expected_unsupported"]
    assert lacking[-1] == "boot_params.fallback"
    assert {"boot_params.watchdog", "network.*"} <= set(lacking)
