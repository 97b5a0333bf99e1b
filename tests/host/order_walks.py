"""Walks through start states, wanted states and failures of a kernel whose values depend on each other.

Each walk promises, promises again and reverts; wherever it failed or was cut off in between, it ends where it began.
`python -m tests.host.order_walks COUNT` walks more of them, and is a long proof: QUIETCORE_PART of QUIETCORE_PARTS
chooses the seeds, QUIETCORE_FIGURES names the file for the figures.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.host.coupled_kernel import (
    CPU,
    CPUS,
    GOVERNORS,
    LEVELS,
    PREFERENCES,
    CoupledKernel,
    CoupledMachine,
    Dialect,
    State,
    draw_state,
)
from tests.host.promises import setting

from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import promise, revert
from quietcore.host.journal import Journal
from quietcore.host.machine import JOURNAL
from quietcore.host.topology import Cpu, Topology

ERRORS = (errno.ENOSPC, errno.EBUSY, errno.EAGAIN, errno.EIO, errno.EPERM, errno.EINVAL)
FAILURES = ("none", "none", "killed", "power cut", "journal's disk full", "refused")
TOPOLOGY = Topology(
    cpus=tuple(Cpu(number, number % 2) for number in range(CPUS)),
    memory_kib=1 << 20,
    node_memory_kib=(1 << 19,) * 2,
)


class CutError(BaseException):
    """The process ends here, whatever it was doing."""


class Steps:
    """Counts writes, and ends the process before one of them."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.taken = 0
        self.disk_full = False

    def __call__(self, where: str) -> None:
        self.taken += 1
        if self.left is None:
            return
        if self.left == 0:
            if self.disk_full:
                raise QuietcoreError("the journal cannot be written, so nothing is changed", where=where)
            raise CutError(where)
        self.left -= 1


def draw_wishes(rng: random.Random, state: State) -> dict[str, list[dict[str, Any]]]:
    """Return what two roles promise; most of it can hold together, some of it cannot."""
    cpus = rng.choice(("0-3", "2-3", "1,3", "1"))
    running = {"options": {"cpus": cpus}}
    governor = rng.choice(GOVERNORS)
    least, most = sorted((rng.randint(1, LEVELS), rng.randint(1, LEVELS)))
    power = [
        setting("p.governor", "per_cpu", "cpufreq/scaling_governor", governor, **running),
        setting(
            "p.preference",
            "per_cpu",
            "cpufreq/energy_performance_preference",
            "performance" if governor == "performance" else rng.choice(PREFERENCES),
            **running,
        ),
        setting("p.min", "per_cpu", "cpufreq/scaling_min_freq", str(least), **running),
        setting("p.max", "per_cpu", "cpufreq/scaling_max_freq", str(most), **running),
        setting("p.turbo", "turbo", "turbo", rng.choice(("on", "off"))),
        setting(
            "p.latency", "per_cpu", "power/pm_qos_resume_latency_us", rng.choice(("0", "2", "n/a")), **running
        ),
        setting("p.off", "per_cpu", "online", "0", options={"cpus": rng.choice(("2", "3", "2-3"))}),
    ]
    period = rng.choice((400_000, 1_000_000, 3_000_000))
    watchdogs = rng.choice(("00", "01", "11"))  # on together with either: "10" is refused
    real_time = [
        setting("k.period", "sysctl", "kernel.sched_rt_period_us", str(period)),
        setting("k.runtime", "sysctl", "kernel.sched_rt_runtime_us", str(period * rng.randint(1, 9) // 10)),
    ]
    kernel = [
        setting("k.rounds", "sysctl", "kernel.rounds", str(rng.randint(1, 40))),
        setting("k.swap", "sysctl", "vm.swappiness", str(rng.randint(0, 100))),
        setting("k.dirty", "sysctl", *rng.choice((("vm.dirty_bytes", "8192000"), ("vm.dirty_ratio", "7")))),
        setting(
            "k.background",
            "sysctl",
            *rng.choice((("vm.dirty_background_bytes", "4096000"), ("vm.dirty_background_ratio", "3"))),
        ),
        setting("k.nmi", "sysctl", "kernel.nmi_watchdog", watchdogs[0]),
        setting("k.watchdog", "sysctl", "kernel.watchdog", watchdogs[1]),
        setting("k.forward", "sysctl", "net.ipv4.ip_forward", rng.choice("01")),
        setting("k.forward_here", "sysctl", "net.ipv4.conf.eth0.forwarding", rng.choice("01")),
        setting("k.absent", "sysctl", "kernel.not_in_this_one", "1", required=False),
        setting(
            "k.transparent",
            "value",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            rng.choice(("never", "madvise")),
        ),
        setting("k.pages", "huge_pages", "2048", rng.choice((30, 64, 120, {"0": 20, "1": 50}, {"1": 90}))),
        setting("k.interrupts", "interrupts", "all", rng.choice(("0-1", "0", "1,3"))),
    ]
    card = [
        setting("c.channels", "network_card", "eth0:channels", {"combined": rng.choice((1, 2, 4, 8))}),
        setting("c.ring", "network_card", "eth0:ring", {"rx": rng.choice((300, 512, 4096))}),
        setting("c.times", "network_card", "eth0:coalesce", {"rx-usecs": rng.choice((0, 8))}),
    ]
    if rng.random() < 0.5:
        card.append(setting("c.table", "network_card", "eth0:rss", {"equal": card[0]["wanted"]["combined"]}))
    chosen = {
        "cpu_power": [item for item in power if rng.random() < 0.6],
        "sysctl": [item for item in kernel if rng.random() < 0.5] + (real_time if rng.random() < 0.5 else []),
        "network": [item for item in card if rng.random() < 0.6],
    }
    for settings in chosen.values():
        if rng.random() < 0.3:
            rng.shuffle(settings)
    roles = list(chosen)
    rng.shuffle(roles)
    return {role: chosen[role] for role in roles if chosen[role]}


class Walk:
    """One walk, by its seed. `trace` says what it did; it raises AssertionError where it does not end well."""

    def __init__(self, seed: int, root: Path) -> None:
        self.rng = rng = random.Random(seed)
        self.seed, self.root = seed, root
        self.kernel = CoupledKernel(Dialect.draw(rng), draw_state(rng))
        self.before = copy.deepcopy(self.kernel.state)
        self.steps = Steps()
        self.wishes = draw_wishes(rng, self.kernel.state)
        self.failure = rng.choice(FAILURES)
        self.trace: list[str] = []
        driver = root / "sys/class/net/eth0/device"
        driver.mkdir(parents=True)
        (root / "sys/bus/pci/drivers/ixgbe").mkdir(parents=True)
        (driver / "driver").symlink_to(root / "sys/bus/pci/drivers/ixgbe")

    def machine(self) -> CoupledMachine:
        return CoupledMachine(self.root, self.kernel, TOPOLOGY, self.steps)

    def play(self) -> str:
        """Walk, and return what kind of failure came in between."""
        for number, (role, settings) in enumerate(self.wishes.items()):
            if number == 0 and self.failure == "refused":
                self.refuse_some()
            cut = number == 0 and self.failure not in ("none", "refused") and self.interrupted(role, settings)
            if cut and self.rng.random() < 0.4:
                break
            self.promise_twice(role, settings)
            self.kernel.refusing.clear()
        self.undo()
        return self.failure

    def refuse_some(self) -> None:
        state = self.kernel.state
        paths = [
            *(f"/proc/irq/{number}/smp_affinity_list" for number in state.interrupts),
            *(path for path in state.values),
            *(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor" for cpu in range(CPUS)),
            *(f"{CPU}/cpu{cpu}/power/pm_qos_resume_latency_us" for cpu in range(CPUS)),
        ]
        for path in self.rng.sample(paths, self.rng.randint(1, 4)):
            self.kernel.refusing[path] = self.rng.choice(ERRORS)

    def interrupted(self, role: str, settings: list[dict[str, Any]]) -> bool:
        """Promise, and be cut off at some step; tell whether it was."""
        self.steps.disk_full = self.failure == "journal's disk full"
        self.steps.left = self.rng.randint(0, 40)
        try:
            with torn_journal(self.steps, self.rng):
                promise(self.machine(), role, settings)
            return False
        except CutError as error:
            self.trace.append(f"{self.failure} before {error}")
        except QuietcoreError as error:
            if "journal cannot be written" not in str(error):
                raise
            self.trace.append("the journal's disk is full")
        finally:
            self.steps.left = None
        if self.failure == "power cut":
            self.kernel.boot(copy.deepcopy(self.before))
        return True

    def promise_twice(self, role: str, settings: list[dict[str, Any]]) -> None:
        outcome = promise(self.machine(), role, settings)
        self.trace.append(f"{role}: {len(outcome.changes)} changed, {len(outcome.failures)} failed")
        held, journal = copy.deepcopy(self.kernel.state), self.journal()
        for finding in outcome.findings:
            if finding.failed:
                assert finding.cause, f"{finding.id} failed without a cause"
        again = promise(self.machine(), role, settings)
        assert not again.changed, f"the second run changed {again.changes}"
        assert self.kernel.state == held, "the second run left another state"
        more = self.journal().removeprefix(journal)
        assert not more, f"the second run wrote to the journal: {more}"
        told = {item.id: (item.verdict, item.cause) for item in audit(self.machine()) if item.role == role}
        ours = {item.id: (item.verdict, item.cause) for item in again.findings}
        assert told == ours, "the audit tells it otherwise than the run"
        if self.failure != "refused" and not outcome.failures:
            self.everything_holds(settings)

    def everything_holds(self, settings: list[dict[str, Any]]) -> None:
        """Read what was wanted from the kernel itself, where its reading is plain."""
        for item in settings:
            name, wanted = item["name"], str(item["wanted"])
            if item["kind"] == "sysctl" and item["id"] != "k.absent":
                found = self.kernel.read("/proc/sys/" + name.replace(".", "/"))
                assert found == wanted, f"{name} is {found}, and nobody said so"
            elif item["kind"] == "per_cpu" and name != "online":
                for cpu in map(
                    int, item["options"]["cpus"].replace("0-3", "0,1,2,3").replace("2-3", "2,3").split(",")
                ):
                    found = self.kernel.read(f"{CPU}/cpu{cpu}/{name}")
                    assert found == wanted, f"CPU {cpu}: {name} is {found}, and nobody said so"

    def journal(self) -> str:
        path = self.root / JOURNAL.lstrip("/")
        return path.read_text() if path.exists() else ""

    def undo(self) -> None:
        """Take all of it back, role by role or at once, cut off or not."""
        roles = sorted({entry.role for entry in Journal(self.machine()).open_targets().values()} - {"*"})
        if self.rng.random() < 0.3:
            self.steps.disk_full = False
            self.steps.left = self.rng.randint(0, 30)
            with contextlib.suppress(CutError), torn_journal(self.steps, self.rng):
                revert(self.machine())
            self.steps.left = None
        elif self.rng.random() < 0.5:
            self.rng.shuffle(roles)
            for role in roles[:-1]:
                revert(self.machine(), [role])
        outcome = revert(self.machine())
        assert not outcome.failures, outcome.failures
        assert self.kernel.state == self.before, differences(self.before, self.kernel.state)
        assert not Journal(self.machine()).open_targets()
        assert not revert(self.machine()).changed
        left = [
            path for path in self.root.rglob("*") if path.is_file() and "var/lib/quietcore" not in str(path)
        ]
        assert not left, left


def differences(before: State, after: State) -> str:
    """Return what is not as it was."""
    found = []
    for name, was in before.__dict__.items():
        now = getattr(after, name)
        if was != now and name != "configured":
            pairs = (
                {key: (was[key], now[key]) for key in was if was[key] != now[key]}
                if isinstance(was, dict)
                else (was, now)
            )
            found.append(f"{name}: {pairs}")
    return "; ".join(found)


@contextlib.contextmanager
def torn_journal(steps: Steps, rng: random.Random) -> Iterator[None]:
    """Count each writing of the journal as a step; one that is cut off may leave a part of its lines."""
    original = Journal.append

    def counted(self: Journal, entries: Any) -> None:
        rows = list(entries)
        try:
            steps("journal")
        except CutError:
            path = self._path
            if path.exists() and rows:
                whole = path.read_bytes()
                original(self, rows)
                added = path.read_bytes()[len(whole) :]
                path.write_bytes(whole + added[: rng.randrange(len(added))])
            raise
        original(self, rows)

    Journal.append = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Journal.append = original  # type: ignore[method-assign]


def walk(seed: int) -> str:
    """Play one walk in a folder of its own, and return its kind. Raises AssertionError naming the seed."""
    root = Path(tempfile.mkdtemp(prefix="quietcore-order-", dir="/dev/shm"))
    played = Walk(seed, root)
    try:
        return played.play()
    except Exception as error:
        told = "; ".join([f"{played.kernel.dialect}", *played.trace])
        raise AssertionError(f"walk {seed} ({played.failure}): {error!r}; {told}; {played.wishes}") from error
    finally:
        shutil.rmtree(root)


def main() -> int:
    """Walk this part's seeds."""
    count = int(sys.argv[1])
    part, parts = int(os.environ.get("QUIETCORE_PART", "0")), int(os.environ.get("QUIETCORE_PARTS", "1"))
    kinds = Counter(walk(seed) for seed in range(part, count, parts))
    figures = {"walks": sum(kinds.values()), "failed": 0, "kinds": dict(sorted(kinds.items()))}
    print(json.dumps(figures))
    path = os.environ.get("QUIETCORE_FIGURES")
    if path:
        Path(path).write_text(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
