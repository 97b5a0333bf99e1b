"""The kernel's log of boots that are known, as /dev/kmsg, dmesg, the journal and syslog show it.

Formats: kernel/printk/printk.c, init/main.c (print_unknown_bootoptions), kernel/rcu/tree_nocb.h.
"""

from __future__ import annotations

import random

from tests.readers.campaign import Damage, Reader
from tests.readers.models.cpu_list import printed, some_cpus

from quietcore.host.kernel_log import BootMessages, extract, message_of
from quietcore.host.machine import UnreadableError

Truth = tuple[tuple[str, ...], str | None]
Lines = list[str]
WORDS = ("kthread_cpus=0-1", "quietcore.trial=ab12", "BOOT_IMAGE=/vmlinuz", "splash", "odd", "a=b=c", "x=\\y")
OTHERS = (
    "x86/fpu: Supporting XSAVE feature 0x001: 'x87 floating point registers'",
    "systemd[1]: app said: Linux version 1 is old",
    "audit: say=Unknown kernel command line parameters",
    "note: Offload RCU callbacks from CPUs: 9.",
    "Memory: 12K/34K available",
)


def boot(chance: random.Random) -> tuple[Lines, Truth]:
    unknown = tuple(chance.sample(WORDS, chance.randrange(4)))
    cpus = some_cpus(chance) if chance.random() < 0.5 else None
    lines = [
        f"Linux version 6.{chance.randrange(1, 19)}.0-28-amd64 (debian-kernel@lists.debian.org) (gcc-12)"
    ]
    lines += [f"{chance.choice(('Command line', 'Kernel command line'))}: BOOT_IMAGE=/vmlinuz quiet"]
    if unknown:
        lines.append(
            f'Unknown kernel command line parameters "{" ".join(unknown)}", will be passed to user space.'
            if chance.random() < 0.8
            else f"Unknown command line parameters: {' '.join(unknown)}"
        )
    if cpus is not None:
        lines.append(f"rcu: \tOffload RCU callbacks from CPUs: {printed(cpus) or '(none)'}.")
    for other in chance.sample(OTHERS, chance.randrange(4)):
        lines.insert(chance.randrange(2, len(lines) + 1), other)
    return lines, (unknown, None if cpus is None else printed(cpus))


def render(chance: random.Random) -> tuple[str, Truth]:
    form = chance.choice(("kmsg", "dmesg", "journal", "syslog"))
    lines, truth = boot(chance)
    if form == "syslog" and chance.random() < 0.5:  # the boot before is in the same file
        lines = boot(chance)[0] + lines
    if form == "kmsg":
        found = []
        for number, line in enumerate(lines):
            text = "".join(f"\\x{ord(c):02x}" if c in "\t\\" else c for c in line)
            found.append(f"{chance.choice((5, 6, 30))},{number},{number * 17},-;{text}")
        return "kmsg\n" + "\n".join(found) + "\n", truth
    start = {
        "dmesg": "[    0.{:06d}] ",
        "journal": "",
        "syslog": "Nov 30 11:24:0{} host kernel: [   12.{:06d}] ",
    }[form]
    return f"{form}\n" + "\n".join(
        start.format(number, number) + line for number, line in enumerate(lines)
    ) + "\n", truth


def read(text: str) -> Truth:
    form, _, rest = text.partition("\n")
    lines = rest.split("\n")
    found: BootMessages = extract(map(message_of, lines) if form == "kmsg" else lines, form)
    return found.unknown, found.offloaded


def anywhere(text: str) -> Truth:
    """Take a boot to begin wherever its words are."""
    return read(text[: text.index("\n") + 1] + text[max(text.rindex("Linux version"), 0) :])


def cut_is_whole(text: str) -> Truth:
    try:
        return read(text)
    except UnreadableError:
        return (), None


def without_beginning(chance: random.Random, text: str) -> str:
    form, _, rest = text.partition("\n")
    return f"{form}\n" + "\n".join(
        line for line in rest.split("\n") if "debian-kernel" not in line and "ommand line: BOOT" not in line
    )


def cut_line(chance: random.Random, text: str) -> str | None:
    end = text.rfind('", will be passed')
    return None if end < 0 else text[:end] + text[text.index("\n", end) :]


READERS: list[Reader] = [
    Reader(
        "kernel log",
        render,
        read,
        {
            "without its beginning": Damage(without_beginning, UnreadableError),
            "the unknown parameters cut off": Damage(cut_line, UnreadableError),
            "nothing": Damage(lambda chance, text: "dmesg\n", UnreadableError),
        },
        {"a boot begins wherever its words are": anywhere, "what is cut off is whole": cut_is_whole},
    )
]
