"""CPU power: governors, preferences, idle states, turbo, siblings; each read back, each with its way back."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.host.cut_off import PowerCutError, cut_after
from tests.host.fake_host import FakeHost
from tests.host.promises import setting

from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import apply_all, promise, revert
from quietcore.host.findings import Finding, Verdict
from quietcore.host.plan import CorePlan, Wishes, plan_cores

CPU = "/sys/devices/system/cpu"
LATENCY = "power/pm_qos_resume_latency_us"


def wishes(cpus: str = "3-5", off: str = "", latency: object = 2) -> list[dict[str, Any]]:
    chosen = {"options": {"cpus": cpus}}
    settings = [
        setting("power.online", "per_cpu", "online", "1", **chosen),
        setting("power.governor", "per_cpu", "cpufreq/scaling_governor", "performance", **chosen),
        setting(
            "power.preference", "per_cpu", "cpufreq/energy_performance_preference", "performance", **chosen
        ),
        setting("power.idle", "idle_latency", LATENCY, latency, **chosen),
        setting("power.turbo", "turbo", "turbo", "off"),
    ]
    if off:
        settings.append(setting("power.off", "per_cpu", "online", "0", options={"cpus": off}))
    return settings


def failed(host: FakeHost) -> dict[str, Finding]:
    return {finding.id: finding for finding in audit(host.machine()) if finding.failed}


@pytest.fixture
def metal(tmp_path: Path) -> FakeHost:
    host = FakeHost(tmp_path / "root", cpus=12, threads=2)
    host.add_power()
    return host


def state(host: FakeHost) -> dict[str, str]:
    return {str(path): path.read_text() for path in sorted((host.root / "sys").rglob("*")) if path.is_file()}


def test_everything_is_set_read_back_and_comes_back(metal: FakeHost) -> None:
    before = state(metal)
    outcome = promise(metal.machine(), "cpu_power", wishes("3-5", off="9-11"))
    assert not outcome.failures
    assert metal.get(f"{CPU}/cpu3/{LATENCY}") == "2"
    assert metal.get(f"{CPU}/cpu2/{LATENCY}") == "0"
    assert metal.get(f"{CPU}/intel_pstate/no_turbo") == "1"
    assert metal.get(f"{CPU}/online") == "0-8"
    found = {finding.id: finding.found for finding in audit(metal.machine())}
    assert found["power.idle"] == "2 on 3-5: down to C1 on 3-5"
    assert found["power.turbo"] == "off"
    assert found["power.off"] == "0 on 9-11"
    assert not failed(metal)
    assert not promise(metal.machine(), "cpu_power", wishes("3-5", off="9-11")).changed
    assert not apply_all(metal.machine(), live_only=True).changed
    assert not revert(metal.machine()).failures
    assert state(metal) == before


def disable_shallow(host: FakeHost) -> None:
    for number in (0, 1):
        host.put(f"{CPU}/cpu3/cpuidle/state{number}/disable", "1\n")


BREAKS: list[tuple[str, Callable[[FakeHost], object], str, str]] = [
    (
        "governor",
        lambda h: h.put(f"{CPU}/cpu4/cpufreq/scaling_governor", "powersave\n"),
        "power.governor",
        "tuned",
    ),
    (
        "preference",
        lambda h: h.put(f"{CPU}/cpu4/cpufreq/energy_performance_preference", "power\n"),
        "power.preference",
        "power-profiles-daemon",
    ),
    ("bound", lambda h: h.put(f"{CPU}/cpu5/{LATENCY}", "0\n"), "power.idle", "changed after it was set"),
    ("turbo", lambda h: h.put(f"{CPU}/intel_pstate/no_turbo", "0\n"), "power.turbo", "was changed"),
    ("sibling back", lambda h: h.set_online(9, True), "power.off", "brought back"),
    ("planned CPU gone", lambda h: h.put(f"{CPU}/cpu3/online", "0\n"), "power.online", "taken off line"),
    (
        "shallow states disabled",
        disable_shallow,
        "power.idle",
        "is disabled",
    ),
]


@pytest.mark.parametrize(
    ("breaks", "name", "cause"), [row[1:] for row in BREAKS], ids=[row[0] for row in BREAKS]
)
def test_what_is_broken_is_found_alone(
    metal: FakeHost, breaks: Callable[[FakeHost], object], name: str, cause: str
) -> None:
    promise(metal.machine(), "cpu_power", wishes("3-5", off="9-11"))
    breaks(metal)
    found = failed(metal)
    assert set(found) == {name}
    assert found[name].verdict is Verdict.DRIFT
    assert cause in found[name].cause
    assert found[name].remedy


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("cpu4/cpufreq/scaling_governor", "power.governor"),
        ("cpu4/cpufreq/energy_performance_preference", "power.preference"),
        (f"cpu4/{LATENCY}", "power.idle"),
        ("cpu4/cpuidle/state1/latency", "power.idle"),
        ("cpuidle/current_driver", "power.idle"),
        ("intel_pstate/no_turbo", "power.turbo"),
        ("cpu9/online", "power.off"),
    ],
)
def test_what_cannot_be_read_never_passes(metal: FakeHost, path: str, name: str) -> None:
    promise(metal.machine(), "cpu_power", wishes("3-5", off="9-11"))
    metal.unreadable(f"{CPU}/{path}")
    assert {name} == set(failed(metal))
    assert not failed(metal)[name].readable


def test_a_virtual_machine_says_unsupported_of_each(host: FakeHost) -> None:
    optional = [{**item, "required": False} for item in wishes("3-5", latency="n/a")]
    assert not promise(host.machine(), "cpu_power", optional).failures
    verdicts = {finding.verdict for finding in audit(host.machine())}
    assert verdicts == {Verdict.UNSUPPORTED}
    assert all(finding.cause for finding in audit(host.machine()))
    host.put(f"{CPU}/cpuidle/current_driver", "none\n")
    assert {finding.verdict for finding in audit(host.machine())} == {Verdict.UNSUPPORTED}


def test_other_drivers_have_another_switch_for_turbo(host: FakeHost) -> None:
    host.put(f"{CPU}/cpufreq/boost", "1\n")
    promise(host.machine(), "cpu_power", [setting("t", "turbo", "turbo", "off")])
    assert host.get(f"{CPU}/cpufreq/boost") == "0"
    assert not failed(host)
    host.put(f"{CPU}/cpufreq/boost", "maybe\n")
    assert failed(host)["t"].found == f"maybe in {CPU}/cpufreq/boost"
    revert(host.machine())
    assert host.get(f"{CPU}/cpufreq/boost") == "1"


def test_polling_instead_of_idling(metal: FakeHost) -> None:
    promise(metal.machine(), "cpu_power", wishes(latency="n/a"))
    found = {finding.id: finding.found for finding in audit(metal.machine())}
    assert found["power.idle"] == "n/a on 3-5: down to POLL on 3-5"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (wishes(latency=0), "1 or more µs, or n/a"),
        (wishes(latency="deep"), "1 or more µs, or n/a"),
        (wishes(off="3,9"), "a core would be left without a CPU.*: 3,9"),
        (wishes(off="0"), "the system without CPU 0"),
        (wishes(off="12"), "unknown CPUs"),
        (
            [setting("t", "turbo", "turbo", "fast", variable="cpu_power_turbo")],
            "cpu_power_turbo; found fast; .*on or off",
        ),
        (
            [setting("o", "per_cpu", "online", "2", options={"cpus": "3"})],
            "not a state of a CPU",
        ),
        (
            [
                setting(
                    "p",
                    "per_cpu",
                    "cpufreq/energy_performance_preference",
                    "fast",
                    options={"cpus": "3-5"},
                    variable="cpu_power_energy_preference",
                )
            ],
            "CPU 3 does not offer this: cpu_power_energy_preference; found fast; expected default or performance",
        ),
    ],
)
def test_bad_wishes_are_refused_before_anything_changes(
    metal: FakeHost, wanted: list[dict[str, Any]], message: str
) -> None:
    before = state(metal)
    with pytest.raises(QuietcoreError, match=message):
        promise(metal.machine(), "cpu_power", wanted)
    assert state(metal) == before


def test_turbo_that_the_firmware_forbids_is_said(metal: FakeHost) -> None:
    metal.put(f"{CPU}/intel_pstate/no_turbo", "1\n")
    machine = metal.machine()

    def forbidden(path: str, value: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    machine.write_value = forbidden  # type: ignore[method-assign]
    (failure,) = promise(machine, "cpu_power", [setting("t", "turbo", "turbo", "on")]).failures
    assert "no_turbo: Operation not permitted" in failure
    assert "allow turbo in the firmware" in failure


@pytest.mark.timeout(300)
def test_a_run_cut_off_anywhere_is_finished_or_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Siblings off line, idle states, huge pages by node, dirty limits: each write may be the last before the dark."""
    promises = [
        *wishes("3-5", off="9-11"),
        setting("pages", "huge_pages", "2048", {"0": 64, "1": 32}),
        setting("dirty", "sysctl", "vm.dirty_bytes", "268435456"),
    ]
    for limit in range(90):
        host = FakeHost(tmp_path / str(limit), cpus=12, threads=2, nodes=2)
        host.add_power()
        host.add_nodes()
        host.put("/proc/sys/vm/dirty_bytes", "0\n")
        host.put("/proc/sys/vm/dirty_ratio", "20\n")
        before = host.files()
        cut = False
        with cut_after(limit, monkeypatch):
            try:
                promise(host.machine(), "cpu_power", promises)
            except PowerCutError:
                cut = True
        if limit % 2:
            assert not promise(host.machine(), "cpu_power", promises).failures
            assert not failed(host), limit
        else:
            assert not revert(host.machine()).failures
            assert host.files() == before, limit
        if not cut:
            return
    pytest.fail("the run never got to its end")


def planned(host: FakeHost) -> CorePlan:
    return plan_cores(host.machine().topology, Wishes(siblings_off=frozenset({"feed", "strategy"})))


def test_siblings_that_the_plan_takes_off_line_stay_planned(metal: FakeHost) -> None:
    """Plan, tune, plan again: the second plan is the first, though the kernel shows half of the cores by then."""
    plan = planned(metal)
    assert plan.lists()["siblings_off"] == "9-10"
    content = json.dumps(plan.to_json())
    promise(metal.machine(), "core_plan", [setting("plan", "file", "/etc/quietcore/plan.json", content)])
    isolated = setting(
        "boot.isolcpus", "kernel_parameter", "isolcpus", f"managed_irq,domain,{plan.lists()['isolated']}"
    )
    for _ in range(2):
        promise(metal.machine(), "boot_params", [isolated])
        promise(metal.machine(), "cpu_power", wishes(plan.lists()["isolated_running"], off="9-10"))
        assert metal.get(f"{CPU}/online") == "0-8,11"
        again = planned(metal)
        assert (again.sets, again.isolated, again.siblings_off) == (
            plan.sets,
            plan.isolated,
            plan.siblings_off,
        )
        assert json.dumps(again.to_json()) == content
    metal.boot()
    apply_all(metal.machine(), live_only=True)
    assert not failed(metal)
    revert(metal.machine())
    assert metal.get(f"{CPU}/online") == "0-11"
