"""Interrupts: where each one really arrives, and whether it can be moved."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ...errors import QuietcoreError
from ..cpulist import format_cpu_list, parse_cpu_list
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from ..targets import probe_immovable
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report

_TRIGGER = re.compile(r"(?:\d+-)?(?:edge|level|fasteoi|Edge|Level)$")


@dataclass(frozen=True)
class Interrupt:
    """One interrupt that a driver has asked for. `cpus` is where it arrives, `allowed` where it may."""

    number: int
    name: str
    cpus: frozenset[int]
    allowed: frozenset[int]
    place: int = 0  # among those of the same card


def read_interrupts(machine: Machine) -> list[Interrupt]:
    """Return the numbered interrupts in use. Raises AbsentError or UnreadableError."""
    lines = machine.read_raw("/proc/interrupts").splitlines()
    columns = len(lines[0].split()) if lines and lines[0].split()[:1] == ["CPU0"] else 0
    found: list[Interrupt] = []
    for line in lines[1:]:
        label, colon, rest = line.partition(":")
        if not colon or not label.strip().isdecimal():
            continue
        number, words = int(label), rest.split()[columns:]
        triggers = [index for index, word in enumerate(words) if _TRIGGER.search(word)]
        name = " ".join(words[triggers[0] + 1 :] if triggers else words[-1:]) or "?"
        allowed = parse_cpu_list(machine.read(f"/proc/irq/{number}/smp_affinity_list"))
        try:
            cpus = parse_cpu_list(machine.read(f"/proc/irq/{number}/effective_affinity_list"))
        except AbsentError:  # a kernel without effective affinity: it may arrive wherever it is allowed
            cpus = allowed
        found.append(Interrupt(number, name, cpus, allowed))
    if not columns or not found:
        raise UnreadableError("/proc/interrupts lists no interrupt in use")
    return found


def network_interrupts(machine: Machine) -> dict[int, int]:
    """Return the interrupts of network cards by number, each with its place (from 0) among those of its card."""
    places: dict[int, int] = {}
    for link in machine.path("/sys/class/net").glob("*/device"):
        device = link.resolve()
        for folder in (device / "msi_irqs", device.parent / "msi_irqs"):
            if folder.is_dir():
                numbers = sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal())
                places.update({number: place for place, number in enumerate(numbers)})
                break
    return places


class InterruptsKind(Kind):
    """`name` is `all` or `network`; `wanted` the list of CPUs on which those that can be moved may arrive.

    With `options.spread` each has one of these CPUs of its own: a card's queues take turns.
    """

    name = "interrupts"
    applied = "written live to each that is astray, at each boot, and by a timer"
    settles = True

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return "/proc/interrupts and /proc/irq/*/effective_affinity_list"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse unknown selections and CPUs that are not running."""
        if setting.name not in ("all", "network"):
            raise refuse(setting, "unknown selection of interrupts", "all or network", setting.name)
        cpus = parse_cpu_list(str(setting.wanted))
        online = {cpu.number for cpu in machine.topology.online()}
        if not isinstance(setting.options.get("spread", False), bool):
            raise refuse(setting, "neither spread nor not", "true or false", setting.options["spread"])
        if not cpus & online or cpus - {cpu.number for cpu in machine.topology.cpus}:
            raise refuse(setting, "unknown CPUs, or none that runs", f"CPUs out of {format_cpu_list(online)}")

    def judge(self, setting: Setting, context: Context) -> Finding:
        """See whether any movable interrupt arrives, or may arrive, elsewhere."""
        try:
            selected = _selected(setting, context.machine)
        except (AbsentError, UnreadableError, QuietcoreError) as error:
            return cannot_tell(setting, error)
        astray: list[Interrupt] = []
        fixed: list[Interrupt] = []
        reasons: list[str] = []
        for interrupt in _elsewhere(setting, selected):
            try:
                movable = probe_immovable(context.machine, interrupt.number) is None
            except UnreadableError as error:
                reasons.append(str(error))
                movable = True
            (astray if movable else fixed).append(interrupt)
        moving = _moving(setting, selected)
        notes = [] if selected else ["no network card has interrupts of its own"]
        if fixed:
            notes.append(f"{len(fixed)} cannot be moved, the kernel manages them: {_names(fixed)}")
        if moving:
            # Nothing but the device can make it come; each disturbs its CPU once more at most.
            notes.append(f"{len(moving)} will move with their next interrupt: {_names(moving)}")
        if astray:
            cause = "; ".join(["moved after they were set, or new since then", *reasons, *notes])
            return report(setting, Verdict.DRIFT, _names(astray), cause, APPLY)
        return report(
            setting, Verdict.OK, f"all {len(selected) - len(fixed)} that can be moved", "; ".join(notes)
        )

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return a write for each movable interrupt that may arrive elsewhere."""
        try:
            selected = _selected(setting, context.machine)
        except (AbsentError, UnreadableError) as error:
            raise QuietcoreError(
                "cannot be read, so nothing is moved", where="interrupts", found=str(error)
            ) from None
        changes: list[Change] = []
        for interrupt in _elsewhere(setting, selected):
            try:
                if probe_immovable(context.machine, interrupt.number) is not None:
                    continue
            except UnreadableError:
                pass  # the write itself tells why, for this one alone
            target = f"irq:{interrupt.number}:{interrupt.name}"
            wanted = format_cpu_list(_assigned(setting, interrupt))
            changes.append(Change(target, format_cpu_list(interrupt.allowed), wanted))
        return changes

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is an interrupt: whichever selection moved it, it stays away while one is
        promised.
        """
        return target.startswith("irq:")


def _assigned(setting: Setting, interrupt: Interrupt) -> frozenset[int]:
    """Return the CPUs that an interrupt belongs on."""
    cpus = sorted(parse_cpu_list(str(setting.wanted)))
    if setting.options.get("spread"):
        return frozenset({cpus[interrupt.place % len(cpus)]})
    return frozenset(cpus)


def _selected(setting: Setting, machine: Machine) -> list[Interrupt]:
    interrupts = read_interrupts(machine)
    if setting.name == "network":
        places = network_interrupts(machine)
        return [replace(item, place=places[item.number]) for item in interrupts if item.number in places]
    return interrupts


def _elsewhere(setting: Setting, interrupts: list[Interrupt]) -> list[Interrupt]:
    """Return those that are allowed to arrive on other CPUs."""
    return [item for item in interrupts if item.allowed - _assigned(setting, item)]


def _moving(setting: Setting, interrupts: list[Interrupt]) -> list[Interrupt]:
    """Return those that still arrive elsewhere: many controllers move one only when it next comes."""
    return [
        item
        for item in interrupts
        if not item.allowed - _assigned(setting, item) and item.cpus - _assigned(setting, item)
    ]


def _names(interrupts: list[Interrupt]) -> str:
    return ", ".join(
        f"{item.number} ({item.name}) on {format_cpu_list(item.cpus)}"
        + (f" of {format_cpu_list(item.allowed)}" if item.allowed != item.cpus else "")
        for item in interrupts
    )
