"""/proc/interrupts and /proc/softirqs of machines whose counts are known.

Formats: show_interrupts() in kernel/irq/proc.c, arch_show_interrupts() of x86, arm64, riscv, powerpc and s390,
show_softirqs() in fs/proc/softirqs.c. Rendered with the kernel's own widths: `CPU%-8d`, `%10u `, ` %8s`, ` %*lu`,
`-%-8s`.
"""

from __future__ import annotations

import random
from typing import Any

from tests.readers.campaign import Damage, Reader

from quietcore.host.texts.counter_tables import CounterTable, read_interrupt_table, read_softirq_table
from quietcore.host.unreadable import NotUnderstoodError

NAMES = (
    "timer", "rtc0", "eth0-TxRx-3", "mlx5_comp0@pci:0000:03:00.0", "ehci_hcd:usb1, i801_smbus", "ACPI:Ged", "nvme0q12",
    "i2c_designware.0, idma64.0", "my  driver: two  words", "PCIe PME, aerdrv", "Level", "arm-pmu",
    "vfio-msix[0](0000:00:05.0)",
    "xhci-hcd:usb3", "virtio2-input.0", "a,b", "", "12", "3-edge", "7  eth0",
)  # fmt: skip
# Chip, and whether its lines have a number, a kind (x86 names the flow, others print Level or Edge).
CHIPS = (
    ("IO-APIC", True, "flow"), ("PCI-MSI", True, "flow"), ("IR-PCI-MSIX-0000:02:00.0", True, "flow"),
    ("GICv3", True, "level"), ("ITS-MSI", True, "level"), ("RISC-V INTC", True, "level"),
    ("SiFive PLIC", True, "level"),
    ("XICS", True, "level"), ("xen-percpu", False, "flow"), ("xen-dyn", False, "flow"), ("None", False, ""),
    ("-", False, ""), ("GIC-0", True, ""), ("dummy", False, "level"),
)  # fmt: skip
ARCHITECTURE = (
    ("NMI", "Non-maskable interrupts"), ("LOC", "Local timer interrupts"), ("RES", "Rescheduling interrupts"),
    ("MCE", "Machine check exceptions"), ("IPI0", "Rescheduling interrupts"), ("I/O", ""),
    ("CLK", "[EXT] Clock Comparator"),
    ("PIW", "Posted-interrupt wakeup event"),
)  # fmt: skip
SOFTIRQS = ("HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU")


def some_columns(chance: random.Random) -> tuple[int, ...]:
    """Return the CPUs on line: few or some, with gaps, often without CPU 0."""
    size = chance.choice((1, 2, 3, 4, 8, 12))
    first = chance.choice((0, 0, 1, 3, 120))
    cpus = tuple(cpu for cpu in range(first, first + size) if chance.random() < 0.8)
    return cpus or (first,)


def interrupts(chance: random.Random) -> tuple[str, dict[str, Any]]:
    cpus = some_columns(chance)
    numbers = sorted(chance.sample(range(1200), chance.randrange(1, 9)))
    width = chance.choice((3, 3, 4))
    lines = [" " * (width + 8) + "".join(f"CPU{cpu:<8d}" for cpu in cpus)]
    truth: dict[str, Any] = {"cpus": cpus, "rows": {}}
    for number in numbers:
        chip, domain, kind = chance.choice(CHIPS)
        # Of a chip without a domain a name that is a number is not to be told from one.
        name, counts = (
            chance.choice(NAMES if domain else NAMES[:-3]),
            [chance.choice((0, 1, 17, 4294967295)) for _ in cpus],
        )
        line = f"{number:{width}d}: " + "".join(f"{count:10d} " for count in counts) + f" {chip:>8}"
        line += f" {chance.choice((0, 5, 524288)):{width}d}" if domain else " " * (width + 1)
        if kind == "level":
            line += f" {chance.choice(('Level', 'Edge')):<8}"
        elif kind == "flow":
            line += f"-{chance.choice(('edge', 'fasteoi', 'virq', 'msi-x')):<8}"
        lines.append(line + (f"  {name}" if name else ""))
        truth["rows"][str(number)] = (tuple(counts), sum(counts), chip, name)
    for label, text in chance.sample(ARCHITECTURE, chance.randrange(4)):
        counts = [chance.randrange(1 << chance.choice((1, 32))) for _ in cpus]
        lines.append(
            f"{label:>{width}}: "
            + "".join(f"{count:10d} " for count in counts)
            + (f"  {text}" if text else "")
        )
        truth["rows"][label] = (tuple(counts), sum(counts), None, text)
    for label in chance.sample(("ERR", "MIS"), chance.randrange(3)):
        count = chance.randrange(9)
        lines.append(f"{label:>{width}}: {count:10d}")
        truth["rows"][label] = ((count,) if len(cpus) == 1 else (), count, None, "")
    return "\n".join(lines) + "\n", truth


def shown(table: CounterTable) -> dict[str, Any]:
    rows = {
        row.label: (row.counts, row.total, row.chip, row.names)
        if row.number is not None
        else (row.counts, row.total, None, row.text.strip())
        for row in table.sources
    }
    return {"cpus": table.cpus, "rows": rows}


def read(text: str) -> dict[str, Any]:
    return shown(read_interrupt_table(text))


def dense(text: str) -> dict[str, Any]:
    """Number the columns from 0."""
    found = read(text)
    return {**found, "cpus": tuple(range(len(found["cpus"])))}


def last_word(text: str) -> dict[str, Any]:
    """Take the last word for the name."""
    table = read_interrupt_table(text)
    found = shown(table)
    for row in table.sources:
        if row.number is not None:
            found["rows"][row.label] = (row.counts, row.total, row.chip, (row.text.split() or [""])[-1])
    return found


def fewer_is_fine(text: str) -> dict[str, Any]:
    """Leave out what has too few columns."""
    while True:
        try:
            return read(text)
        except NotUnderstoodError as error:
            line = next(
                (line for line in text.split("\n")[1:] if line and repr(line[:80]) == error.found), None
            )
            if line is None:
                raise
            text = text.replace(line + "\n", "", 1)


def _numbered(text: str) -> list[str]:
    return [line for line in text.split("\n")[1:] if line.partition(":")[0].strip().isdecimal()]


def column_gone(chance: random.Random, text: str) -> str | None:
    """A CPU goes off line while the text is read: the lines from here on have a column less."""
    columns = len(text.partition("\n")[0].split())
    lines = text.split("\n")
    if columns < 2:
        return None
    row = chance.choice(_numbered(text))
    start = lines.index(row)
    changed = []
    for line in lines[start:]:
        label, colon, rest = line.partition(":")
        changed.append(f"{label}:{rest[11:]}" if colon and len(rest) >= 11 * columns else line)
    return "\n".join([*lines[:start], *changed])


def column_more(chance: random.Random, text: str) -> str:
    row = chance.choice(_numbered(text))
    label, _, rest = row.partition(":")
    return text.replace(row, f"{label}: {7:10d} {rest[1:]}", 1)


def no_number(chance: random.Random, text: str) -> str:
    row = chance.choice(_numbered(text))
    label, _, rest = row.partition(":")
    return text.replace(row, f"{label}: {chance.choice(('-1', '0x2', '1.5', 'n/a')):>10} {rest[12:]}", 1)


def softirqs(chance: random.Random) -> tuple[str, dict[str, Any]]:
    cpus = some_columns(chance)
    lines = [" " * 20 + "".join(f"CPU{cpu:<8d}" for cpu in cpus)]
    rows = {}
    for label in SOFTIRQS:
        counts = tuple(chance.randrange(1 << chance.choice((1, 32))) for _ in cpus)
        lines.append(f"{label:>12}:" + "".join(f" {count:10d}" for count in counts))
        rows[label] = (counts, sum(counts), None, "")
    return "\n".join(lines) + "\n", {"cpus": cpus, "rows": rows}


def read_softirqs(text: str) -> dict[str, Any]:
    return shown(read_softirq_table(text))


def short_softirq(chance: random.Random, text: str) -> str:
    lines = text.split("\n")
    row = chance.randrange(1, len(lines) - 1)
    lines[row] = lines[row].rpartition(" ")[0].rstrip()
    return "\n".join(lines)


def last_cpu_lost(text: str) -> dict[str, Any]:
    found = read_softirqs(text)
    return {**found, "cpus": found["cpus"][:-1]}


HEADER = Damage(lambda chance, text: text.partition("\n")[2], NotUnderstoodError)
CUT = Damage(
    lambda chance, text: text[: chance.randrange(len(text) // 2, len(text) - 1)].rstrip("\n"),
    NotUnderstoodError,
)

READERS = [
    Reader(
        "/proc/interrupts",
        interrupts,
        read,
        {
            "a column that goes while it is read": Damage(column_gone, NotUnderstoodError),
            "a column that comes while it is read": Damage(column_more, NotUnderstoodError),
            "a count that is none": Damage(no_number, NotUnderstoodError),
            "no header": HEADER,
            "cut off": CUT,
            "a line twice": Damage(
                lambda chance, text: text + chance.choice(_numbered(text)) + "\n", NotUnderstoodError
            ),
            "nothing": Damage(lambda chance, text: "", NotUnderstoodError),
        },
        {
            "columns numbered from 0": dense,
            "the last word is the name": last_word,
            "short lines left out": fewer_is_fine,
        },
    ),
    Reader(
        "/proc/softirqs",
        softirqs,
        read_softirqs,
        {
            "a column too few": Damage(short_softirq, NotUnderstoodError),
            "no header": HEADER,
            "cut off": CUT,
        },
        {"the last CPU lost": last_cpu_lost},
    ),
]
