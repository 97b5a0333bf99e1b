"""Boot loader specification entries (type 1), and the parameters in our GRUB drop-in."""

from __future__ import annotations

import random

from tests.readers.campaign import Damage, Reader

from quietcore.host.boot_entries import BootEntry, read_entry
from quietcore.host.boot_loader import drop_in_content
from quietcore.host.grub_defaults import VARIABLE, words_in
from quietcore.host.machine import UnreadableError
from quietcore.host.settings import Setting

_NAME = "abc-5.14.0-503.el9.x86_64"
_WORDS = (
    "root=/dev/vda2",
    "ro",
    "$tuned_params",
    "console=ttyS0,115200",
    'dyndbg="file a +p"',
    "rd.lvm.lv=a/b",
)


def render_entry(chance: random.Random) -> tuple[str, BootEntry]:
    """Return a file as installers and people write them, and the entry."""
    title = chance.choice(("Red Hat Enterprise Linux (5.14.0) 9.4", "x", "a  b"))
    options = chance.choice((" ", "  ", "\t")).join(chance.choices(_WORDS, k=chance.randrange(1, 6)))
    lines = [("title", title), ("linux", "/vmlinuz-5.14.0"), ("options", options), ("version", "5.14.0")]
    lines += [("initrd", "/initramfs.img"), ("initrd", "$tuned_initrd"), ("grub_users", "$grub_users")]
    chance.shuffle(lines)
    text = ""
    for key, value in lines:
        text += chance.choice(("", "", "# note\n", "\n", "  # options x\n"))
        text += f"{chance.choice(('', ' ', chr(9)))}{key}{chance.choice((' ', chr(9), '   ', ' ' + chr(9)))}{value}\n"
    return text, BootEntry(_NAME, title, options)


def read(text: str) -> BootEntry | None:
    """Read a file."""
    return read_entry(_NAME, text)


def _by_blank(text: str) -> BootEntry | None:
    """Keys parted by a blank alone, as a reader did that knew no tabs."""
    found = dict(line.strip().partition(" ")[::2] for line in text.splitlines() if not line.startswith("#"))
    return BootEntry(_NAME, found.get("title", ""), found.get("options", "")) if "linux" in found else None


def _more_options(chance: random.Random, text: str) -> str:
    return text + "options quiet\n"


def _no_kernel(chance: random.Random, text: str) -> str:
    return text.replace("linux", "linus")


def render_drop_in(chance: random.Random) -> tuple[str, list[str]]:
    """Return our drop-in's content for some parameters, and those."""
    names = chance.sample(
        ("isolcpus", "nohz_full", "pci", "hugepages", "quiet", "a.b"), chance.randrange(1, 6)
    )
    values = ["".join(chance.choices("ab,;:=/@+-.019", k=chance.randrange(6))) for _ in names]
    why = chance.choice(("why", 'it\'s "so"'))
    settings = [Setting(f"boot.{name}", "kernel_parameter", "boot_params", name, "", why) for name in names]
    content = drop_in_content(settings, values, saved=chance.random() < 0.5)
    assert content is not None
    return content, [f"{name}={value}" if value else name for name, value in zip(names, values, strict=True)]


def _cut_line(chance: random.Random, content: str) -> str | None:
    """Cut a line of a parameter short, the last of the file; what stood before stays."""
    lines = content.splitlines()
    ours = [number for number, line in enumerate(lines) if line.startswith(VARIABLE)]
    line = lines[ours[0]]
    return line[: chance.randrange(len(VARIABLE) + 2, len(line))]


def _quote_that_does_not_end(chance: random.Random, content: str) -> str:
    """Leave a quote open in a line of the variable."""
    return f'{VARIABLE}="${VARIABLE} isolcpus=\'{chance.randrange(9)}"\n'


def _another_form(chance: random.Random, content: str) -> str:
    """Set the variable in another way than ours."""
    return chance.choice((f'{VARIABLE}="quiet splash"\n', f"{VARIABLE}='a b'\n", f"export {VARIABLE}=x\n"))


def _by_words(content: str) -> list[str]:
    lines = (line for line in content.splitlines() if line and not line.startswith("#"))
    return [word for line in lines for word in line.rstrip('"').split()[1:]]


READERS = [
    Reader(
        "boot entry",
        render_entry,
        read,
        {
            "two lines of options": Damage(_more_options, UnreadableError),
            "no kernel": Damage(_no_kernel, lambda found: found is None),
        },
        {"keys parted by blanks": _by_blank},
    ),
    Reader(
        "GRUB drop-in",
        render_drop_in,
        words_in,
        {
            "a line that is cut": Damage(_cut_line, lambda found: found == []),
            "a quote that does not end": Damage(_quote_that_does_not_end, lambda found: found == []),
            "another form": Damage(_another_form, lambda found: found == []),
        },
        {"quotes kept": _by_words},
    ),
]
