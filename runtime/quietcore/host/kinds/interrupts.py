"""Interrupts: where each one really arrives, and whether it can be moved."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...errors import QuietcoreError
from ..cpulist import format_cpu_list, kernel_cpu_list, parse_cpu_list
from ..findings import Finding, Verdict
from ..machine import AbsentError, Machine, UnreadableError
from ..settings import Setting
from ..targets import probe_immovable
from ..texts.counter_tables import Source, read_interrupt_table
from ..unreadable import NotUnderstoodError
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report

_ROUNDS = 3  # how often a text that changed while it was read is read again


@dataclass(frozen=True)
class Interrupt:
    """One interrupt that a driver has asked for. `cpus` is where it arrives, `allowed` where it may."""

    number: int
    name: str
    cpus: frozenset[int]
    allowed: frozenset[int]
    place: int = 0  # among those of the same card


def read_interrupts(machine: Machine) -> list[Interrupt]:
    """Return the numbered interrupts in use; one that its driver gives back meanwhile is left out.

    Raises AbsentError or UnreadableError, also where none is in use.
    """
    found: list[Interrupt] = []
    for source in _numbered(machine):
        try:
            found.append(_interrupt(machine, source))
        except AbsentError:
            if source.label in {later.label for later in _numbered(machine)}:
                raise
    if not found:
        raise UnreadableError("/proc/interrupts lists no interrupt in use")
    return found


def _numbered(machine: Machine) -> list[Source]:
    """Return the interrupts that are listed; while CPUs come and go the list is read again."""
    for _ in range(_ROUNDS):
        try:
            table = read_interrupt_table(machine.read_raw("/proc/interrupts"))
            break
        except NotUnderstoodError as error:
            refusal = error
    else:
        raise refusal
    return [source for source in table.sources if source.number is not None]


def _interrupt(machine: Machine, source: Source) -> Interrupt:
    """Return where an interrupt arrives. Raises AbsentError or UnreadableError."""
    folder = f"/proc/irq/{source.label}"
    allowed = kernel_cpu_list(machine.read(f"{folder}/smp_affinity_list"), f"{folder}/smp_affinity_list")
    effective = f"{folder}/effective_affinity_list"
    try:
        cpus = kernel_cpu_list(machine.read(effective), effective)
    except AbsentError:  # a kernel without effective affinity: it may arrive wherever it is allowed
        if not machine.exists(folder):
            raise
        cpus = allowed
    return Interrupt(int(source.label), source.names or "?", cpus, allowed)


def network_interrupts(machine: Machine) -> dict[int, int]:
    """Return the interrupts of network cards by number, each with its place (from 0) among those of its card.

    They are the entries of `msi_irqs` beside the card, or in the function that carries it (virtio); without any, the
    one in the function's `irq`. Numbers of a card need not be dense.
    """
    places: dict[int, int] = {}
    for link in machine.path("/sys/class/net").glob("*/device"):
        device = link.resolve()
        for folder in (device, device.parent):
            if (folder / "msi_irqs").is_dir():
                entries = (folder / "msi_irqs").iterdir()
                numbers = sorted(int(entry.name) for entry in entries if entry.name.isdecimal())
            elif (folder / "irq").is_file():
                text = (folder / "irq").read_text(encoding="utf-8", errors="replace").strip()
                numbers = [int(text)] if text.isdecimal() and int(text) else []
            else:
                continue
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
        except (AbsentError, UnreadableError, OSError) as error:
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
        except (AbsentError, UnreadableError, OSError) as error:
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
