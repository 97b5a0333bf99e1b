"""/proc/interrupts and /proc/softirqs: counts by CPU, a line for each source.

The form, from kernel/irq/proc.c, arch/*/kernel/irq.c and fs/proc/softirqs.c:

    text    = header {line}                       each ends with a newline
    header  = {"CPU" number}                      interrupts: the CPUs on line; softirqs: all that are possible.
                                                  Ascending, with gaps; CPU 0 need not be among them
    line    = label ":" counts [text]
    label   = number                              an interrupt: as many counts as there are columns, then a text
            | word                                of the architecture (`NMI`, `IPI0`, `I/O`): as many counts as
                                                  there are columns, or a single one for the machine (`ERR`, `MIS`)
    text    = chip [hwirq] ["-" flow | "Level" | "Edge"] ["  " names]    of an interrupt
    chip    = words (`IO-APIC`, `GICv3`, `RISC-V INTC`, `IR-PCI-MSIX-0000:02:00.0`, `None`, `-`)
    names   = what its drivers call it: any characters; several drivers are joined by ", ". Only of a chip without a
              hwirq (`None`, `xen-dyn`) a name that is a number, or begins with a dash, cannot be told from the fields

A line with another number of counts was printed while a CPU came or went: the whole text is refused, to be read again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from ..unreadable import NotUnderstoodError

_CPU = re.compile(r"CPU([0-9]+)")
# Fields are parted by a space or more, the names by two or more. Without a domain the hwirq is blank (Xen).
_TEXT = re.compile(
    r"(?P<chip>\S++(?: +\S++)*?)"
    r"(?: +(?P<hwirq>[0-9]+)(?=[ -]|$))?(?: +(?P<level>Level {3}|Edge {4}))?"
    r"(?:(?<=[ 0-9])-(?P<flow>\S+)| +-(?P<blank>\S+))?"
    r"(?: *|  +(?P<names>\S.*?) *)"
)


@dataclass(frozen=True)
class Source:
    """A line. `counts` go with the table's CPUs; a line for the whole machine has none, and a `total` instead."""

    label: str
    counts: tuple[int, ...]
    total: int
    text: str

    @property
    def number(self) -> int | None:
        """The interrupt's number, None for a line of the architecture's own."""
        return int(self.label) if self.label.isdecimal() else None

    @property
    def names(self) -> str:
        """What the drivers call it, empty where none has asked for it."""
        return _fields(self.text)[1]

    @property
    def chip(self) -> str:
        """The controller that it comes from."""
        return _fields(self.text)[0]


@lru_cache(4096)
def _fields(text: str) -> tuple[str, str]:
    """Return chip and names: the text of a line stays the same from one reading to the next."""
    found = _TEXT.fullmatch(text)
    return (found["chip"], found["names"] or "") if found is not None else ("", "")


@dataclass(frozen=True)
class CounterTable:
    """All of a text: the CPUs of its columns and its lines."""

    cpus: tuple[int, ...]
    sources: tuple[Source, ...]


def read_interrupt_table(text: str, where: str = "/proc/interrupts") -> CounterTable:
    """Return the lines of /proc/interrupts. Raises NotUnderstoodError."""
    cpus, lines = _header(text, where)
    columns, sources = len(cpus), []
    for line in lines:
        label, words = _line(line, columns, where)
        counts, rest = words[:columns], words[columns] if len(words) > columns else ""
        if len(words) == 1 and columns > 1 and not label.isdecimal() and words[0].isdecimal():
            sources.append(Source(label, (), int(words[0]), ""))  # of the whole machine, such as ERR
            continue
        if len(counts) < columns or not all(map(str.isdecimal, counts)) or rest.partition(" ")[0].isdecimal():
            raise NotUnderstoodError(
                "not a count for each CPU", where=where, found=line, expected=f"{columns} counts, then a text"
            )
        if label.isdecimal() and not rest:
            raise NotUnderstoodError(
                "an interrupt without its controller",
                where=where,
                found=line,
                expected="a text behind the counts",
            )
        numbers = tuple(map(int, counts))
        sources.append(Source(label, numbers, sum(numbers), rest))
    return CounterTable(cpus, _each_once(sources, where))


def read_softirq_table(text: str, where: str = "/proc/softirqs") -> CounterTable:
    """Return the lines of /proc/softirqs. Raises NotUnderstoodError."""
    cpus, lines = _header(text, where)
    sources = []
    for line in lines:
        label, words = _line(line, len(cpus), where)
        if len(words) != len(cpus) or not all(map(str.isdecimal, words)):
            raise NotUnderstoodError(
                "not a count for each CPU", where=where, found=line, expected=f"{len(cpus)} counts"
            )
        numbers = tuple(map(int, words))
        sources.append(Source(label, numbers, sum(numbers), ""))
    return CounterTable(cpus, _each_once(sources, where))


def _header(text: str, where: str) -> tuple[tuple[int, ...], list[str]]:
    head, newline, rest = text.partition("\n")
    columns = [_CPU.fullmatch(word) for word in head.split()]
    cpus = tuple(int(found[1]) for found in columns if found is not None)
    if not cpus or len(cpus) != len(columns) or any(b <= a for a, b in pairwise(cpus)):
        raise NotUnderstoodError(
            "no line of CPUs", where=where, found=head, expected="CPU0 CPU1 …, ascending"
        )
    if not newline or (rest and not rest.endswith("\n")):
        raise NotUnderstoodError("cut off", where=where, found=text[-40:], expected="a newline at the end")
    return cpus, rest[:-1].split("\n") if rest else []


def _line(line: str, columns: int, where: str) -> tuple[str, list[str]]:
    """Return a line's label and its counts, and behind them what is left as one word."""
    label, colon, rest = line.partition(":")
    label, words = label.strip(), rest.split(None, columns)
    if not colon or not label or not words:
        raise NotUnderstoodError("not a line of counts", where=where, found=line, expected="LABEL: COUNTS")
    return label, words


def _each_once(sources: list[Source], where: str) -> tuple[Source, ...]:
    if len({source.label for source in sources}) != len(sources):
        labels = sorted(source.label for source in sources)
        twice = next(label for label, other in pairwise(labels) if label == other)
        raise NotUnderstoodError("a line twice", where=where, found=twice, expected="each source once")
    return tuple(sources)
