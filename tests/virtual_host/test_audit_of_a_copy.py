"""What only a boot decides, broken in a copy of the tuned host that find and cp made: the audit reports just it.

Counts, too, what tests/virtual_host/test_audit_findings.py breaks on the host itself: together it is every setting.
"""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.host.copied_tree import Copy
from tests.virtual_host.conftest import Sh
from tests.virtual_host.promises import Promise, promised, roles_on
from tests.virtual_host.test_audit_findings import AUDIT, CHOSEN, ROLE, by_kind

from quietcore.host.audit import audit
from quietcore.host.findings import Finding
from quietcore.host.machine import Machine

pytestmark = [pytest.mark.side_effect, pytest.mark.timeout(600)]

COPY = Path(__file__).with_name("copy_host.sh").read_text(encoding="utf-8")
CMDLINE = "/proc/cmdline"
CPUS = "/sys/devices/system/cpu"
# What the running kernel alone tells: whether an interrupt can be moved, what GRUB lies on.
ONLY_LIVE = {"irq_affinity.all", "irq_affinity.network", "boot_params.fallback"}
# What one file proves to two promises fails for both.
BOTH = {"isolation.cpus": {"boot_params.isolcpus"}}
Break = Callable[[Copy], None]


@pytest.fixture(scope="module")
def copy(sh: Sh, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The host's files, unpacked by tar alone."""
    root = tmp_path_factory.mktemp("host")
    subprocess.run(["tar", "-C", str(root), "-xz"], input=base64.b64decode(sh(COPY)), check=True)
    return Copy(root)


@pytest.fixture(scope="module")
def promises(sh: Sh) -> dict[str, Promise]:
    """The settings that the host promised, those of QUIETCORE_ROLE where it is given."""
    roles = [role for role in roles_on(sh) if ROLE in ("", role)]
    return {promise["id"]: promise for role in roles for promise in promised(role, sh)}


@pytest.fixture(scope="module")
def live(sh: Sh) -> dict[str, str]:
    """Each setting's verdict on the host itself."""
    return {line["id"]: line["verdict"] for line in json.loads(sh(f"{AUDIT} --json"))["findings"]}


def findings(copy: Copy) -> dict[str, Finding]:
    return {finding.id: finding for finding in audit(Machine(copy.root))}


def without(name: str) -> Break:
    """Take a parameter off the command line."""

    def change(copy: Copy) -> None:
        line = copy.path(CMDLINE).read_text().split()
        words = [word for word in line if word.partition("=")[0] != name]
        assert len(words) < len(line), f"{name} is not on the command line"
        copy.put(CMDLINE, " ".join(words) + "\n")

    return change


def way(promise: Promise) -> Break | None:
    """How a setting that only a boot or the hardware decides is broken; None: it can be broken on the host."""
    if promise["kind"] == "kernel_parameter":
        return without(promise["name"])
    ways: dict[str, Break] = {
        "cpu_power.running": lambda copy: copy.put(f"{CPUS}/cpu5/online", "0\n"),
        "isolation.cpus": lambda copy: copy.put(f"{CPUS}/isolated", "3-4\n"),
    }
    return ways.get(promise["id"])


def test_the_copy_is_judged_as_the_host_is(copy: Copy, live: dict[str, str]) -> None:
    told = findings(copy)
    assert told.keys() == live.keys()
    differ = {
        name: f"{live[name]} → {finding.verdict.value}: {finding.found}; {finding.cause}"
        for name, finding in told.items()
        if finding.readable and finding.verdict.value != live[name] and name not in ONLY_LIVE
    }
    assert differ == {}


def test_each_setting_is_broken_on_the_host_or_in_its_copy(
    copy: Copy, live: dict[str, str], promises: dict[str, Promise], capsys: pytest.CaptureFixture[str]
) -> None:
    fine = {name for name in promises if live[name] == "ok"}
    by_hand = {mutation.setting for mutation in CHOSEN}
    on_the_host = {name for name in fine if name in by_hand or by_kind(promises[name]) is not None}
    before = {name for name, finding in findings(copy).items() if finding.failed}
    broken: set[str] = set()
    wrong: list[str] = []
    for name in sorted(fine - on_the_host):
        change = way(promises[name])
        if change is None:
            continue
        change(copy)
        found = findings(copy)
        copy.mend()
        told = {item for item, finding in found.items() if finding.failed} - before
        if told != {name} | BOTH.get(name, set()) or not found[name].cause or not found[name].remedy:
            wrong.append(f"{name}: {sorted(told)}: {found[name].cause}")
        broken.add(name)
    hardware = promises.keys() - fine
    detected = len(on_the_host) + len(broken) - len(wrong)
    with capsys.disabled():
        print(
            f"\nsettings {len(promises)}: mutated live {len(on_the_host)}, mutated in a copy {len(broken)}, "
            f"detected {'all' if detected == len(fine) else detected}; "
            f"hardware that this host lacks {len(hardware)}: {', '.join(sorted(hardware)) or 'none'}"
        )
    assert wrong == []
    assert fine == on_the_host | broken
    assert {live[name] for name in hardware} <= {"unsupported here"}
