"""A unit of the pipeline does not start where a promise is broken, and its status shows which; mended, it starts.

Needs the host that site.yml made: pytest -m mutates_host, with QUIETCORE_VHOST naming it.
"""

import json
import time
from collections.abc import Iterator

import pytest
from tests.virtual_host.conftest import Sh

# Not among `make test`: it takes apart a host of its own, for many minutes.
pytestmark = [pytest.mark.mutates_host, pytest.mark.slow, pytest.mark.timeout(400)]

APPLY = "/usr/local/sbin/quietcore apply --live"
UNITS = ["quietcore-feed@sim.service", "quietcore-runtime.service"]


@pytest.fixture
def stopped(sh: Sh) -> Iterator[None]:
    sh(f"systemctl stop {' '.join(UNITS)}")
    yield
    sh(f"{APPLY}; systemctl reset-failed; systemctl start {' '.join(UNITS)}")


def state(sh: Sh, unit: str) -> dict[str, str]:
    text = sh(f"systemctl show --property=ActiveState,Result,MainPID {unit}")
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize("unit", UNITS)
def test_unit_does_not_start_on_a_broken_promise(unit: str, sh: Sh) -> None:
    sh("echo 30 > /proc/sys/vm/swappiness")
    # The exit code is in the output, because the fixture takes any other than 0 for a failure of the command.
    said = sh(f"code=0; systemctl start {unit} 2>&1 || code=$?; echo exit $code")
    assert said.strip().splitlines()[-1] != "exit 0", said
    assert state(sh, unit)["MainPID"] == "0"
    for seconds in (0, 3):  # between two attempts, too
        status = sh(f"sleep {seconds}; systemctl status --full {unit} || true")
        (line,) = [line.strip() for line in status.splitlines() if line.strip().startswith("Status:")]
        assert "sysctl.vm.swappiness: drift: found 30, wanted 0" in line
        assert "remedy: quietcore apply" in line
    assert "sysctl.vm.swappiness: drift: found 30" in sh(f"journalctl --unit={unit} --since=-2min --no-pager")
    audit = json.loads(sh("/usr/local/sbin/quietcore audit --failed --json || true"))
    assert [line["id"] for line in audit["findings"]] == ["sysctl.vm.swappiness"]
    assert audit["findings"][0]["cause"]
    # Restart=always: once the promise holds again, it starts by itself or when told.
    sh(f"{APPLY}; systemctl reset-failed; systemctl start {unit}")
    until = time.monotonic() + 200
    while state(sh, unit)["ActiveState"] != "active":
        assert time.monotonic() < until, sh(f"systemctl status --full {unit} || true")
        time.sleep(2)  # between two looks


def test_gate_has_no_privilege_that_it_does_not_need(sh: Sh) -> None:
    unit = "quietcore-gate.service"
    text = sh(f"systemctl show --property=CapabilityBoundingSet,NoNewPrivileges,ProtectSystem {unit}")
    found = dict(line.split("=", 1) for line in text.splitlines())
    assert found["CapabilityBoundingSet"].split() == [
        "cap_dac_read_search",
        "cap_sys_nice",
        "cap_syslog",
    ]
    assert found["NoNewPrivileges"] == "yes"
    assert found["ProtectSystem"] == "strict"
