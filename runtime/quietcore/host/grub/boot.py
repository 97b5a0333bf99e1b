"""What boots: the entry that `default` names, its kernel and words, and the environment that this boot leaves.

Source: grub-core/normal/menu.c of GRUB 2.06 as Debian and Ubuntu have it.

    default   the number at the text's beginning, where it begins with one (`2 x` is 2, `0x1` is 1, `010` is 8); else
              the first entry whose title or identifier it is, up to a single `>` (`>>` stands for one in the name);
              what is beyond the menu, or no entry's name, is entry 0
    a>b       entry a, a submenu, is entered, and in it `default` is b; with nothing after it, it is not set there
    chosen    is set to the names on the way, with `>` between them
    fallback  is looked at only where a loaded kernel cannot be started; an entry that loads none ends in the menu

A timeout decides only whether somebody at the keyboard could choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .cannot_tell import CannotTellError
from .commands import COMMANDS
from .disk import DEVICE, Disk
from .interpreter import BootedError, Entry, Interpreter, Loaded
from .kernel_line import command_line
from .lexer import Source
from .numbers import number
from .parser import Statement, parse

_FEATURES = (
    *(
        "feature_chainloader_bpb",
        "feature_ntldr",
        "feature_platform_search_hint",
        "feature_default_font_path",
    ),
    *("feature_all_video_module", "feature_menuentry_id", "feature_menuentry_options", "feature_200_final"),
    *("feature_nativedisk_cmd", "feature_timeout_style"),
)
_RUNS = 40


@dataclass(frozen=True)
class Boot:
    """What a boot comes to. Words are text (UTF-8); `kernel` is empty where nothing is booted, `why` then says it."""

    path: tuple[str, ...]  # identifiers of the entries on the way, submenus first
    kernel: str
    initial: tuple[str, ...]
    words: tuple[str, ...]
    why: str = ""
    missing: tuple[str, ...] = ()  # initial RAM disks that are not there: the kernel boots without any
    default: str = ""
    default_set: str = ""  # the place of the last assignment of `default`
    blocks: tuple[tuple[str, str], ...] = ()  # environment blocks as they are afterwards

    @property
    def identifier(self) -> str:
        """The entry that was booted."""
        return self.path[-1] if self.path else ""

    @property
    def line(self) -> str:
        """The kernel's command line."""
        return command_line(self.kernel, self.words)


@dataclass(frozen=True)
class Chosen:
    """A boot with what it was made of: the entry and the commands that loaded its kernel."""

    boot: Boot
    entry: Entry | None
    loaded: Loaded | None


@dataclass
class _Menu:
    """Chooses entries without a keyboard, and remembers the way."""

    forced: tuple[int, ...] = ()  # numbers to take instead of what `default` names
    path: list[str] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)  # of each menu on the way
    entry: Entry | None = None
    default: str = ""
    default_set: str = ""

    def show(self, interpreter: Interpreter, menu: list[Entry]) -> None:
        """Execute the default entry. Raises BootedError where that boots."""
        variables = interpreter.variables
        default = variables.get("default")
        if not self.path:
            self.default, self.default_set = default or "", variables.where("default")
        level = len(self.path)
        index = entry_number(menu, default)
        if level < len(self.forced):
            index = min(self.forced[level], len(menu) - 1)
        entry = menu[index]
        self.entries.append(len(menu))
        self.path.append(entry.identifier)
        self.entry = entry
        if entry.restricted and variables.get("superusers"):
            raise CannotTellError("an entry that asks for a password", entry.where, entry.title)
        chosen = variables.get("chosen")
        if entry.submenu:
            interpreter.open()
            interpreter.menus[-1] = []
            variables.set("timeout", "0")
        name = entry.identifier.replace(">", ">>")
        variables.set("chosen", name if chosen is None else f"{chosen}>{name}")
        variables.export("chosen")
        rest = _after_sign(default or "")
        if rest:
            variables.set("default", rest)
        interpreter.run_block(entry.block, entry.words)
        if interpreter.loaded is not None:
            raise BootedError
        if entry.submenu:
            inner = interpreter.menus[-1]
            if inner:
                self.show(interpreter, inner)
            interpreter.close()


def entry_number(menu: Sequence[Entry], default: str | None) -> int:
    """Return the number of the entry that `default` names; 0 where it names none."""
    found = None if default is None else number(default)
    if found is not None:
        index = found.as_int if found.fits else -1
    else:
        index = next(
            (
                place
                for place, entry in enumerate(menu)
                if default is not None and (_names(entry.title, default) or _names(entry.identifier, default))
            ),
            -1,
        )
    return index if 0 <= index < len(menu) else 0


def _names(name: str, default: str) -> bool:
    """Tell whether `default`, up to its first single `>`, is this name; `>>` in it is a `>` of the name."""
    found, position = "", 0
    while position < len(default):
        if default[position] == ">":
            if default[position + 1 : position + 2] != ">":
                break
            position += 1
        found += default[position]
        position += 1
    return found == name


def _after_sign(default: str) -> str:
    """Return what follows the first single `>`."""
    position = 0
    while position < len(default):
        if default[position] == ">":
            if default[position + 1 : position + 2] != ">":
                return default[position + 1 :]
            position += 1
        position += 1
    return ""


Maker = Callable[[], Disk]


@dataclass(frozen=True)
class Machinery:
    """What stands around a configuration: its path as GRUB names it, its text, and what GRUB's core sets."""

    path: str
    text: str
    platform: str = "efi"
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """The folder of the configuration, with its device."""
        return f"({DEVICE}){self.path.rpartition('/')[0]}"


def evaluate(machinery: Machinery, disk: Maker) -> Chosen:
    """Return what boots. Raises CannotTellError for what is outside the grammar, or depends on the machine.

    Results of commands that depend on the machine are tried each way alone, and all the other way: where what boots
    depends on one, that one is named.
    """
    source = Source(machinery.path, machinery.text)
    parsed = {source: parse(source)}
    first, asked = _run(machinery, source, disk(), {}, parsed)
    tried: set[str] = set()
    waiting = list(asked)
    while waiting:
        place = waiting.pop(0)
        if place in tried:
            continue
        tried.add(place)
        if len(tried) > _RUNS:
            raise CannotTellError(f"more than {_RUNS} conditions that depend on the machine", machinery.path)
        alone, together = {place: False}, dict.fromkeys(tried, False)
        for assumed in (alone, together) if together != alone else (alone,):
            other, more = _run(machinery, source, disk(), assumed, parsed)
            if (other.boot.path, other.boot.line, other.boot.initial, other.boot.blocks) != (
                first.boot.path,
                first.boot.line,
                first.boot.initial,
                first.boot.blocks,
            ):
                raise CannotTellError("what boots depends on a command's result", place)
            waiting += more
    return first


def every_entry(machinery: Machinery, disk: Maker) -> Iterator[Chosen]:
    """Yield what each entry boots, those in submenus too, in the menu's order. Raises CannotTellError."""
    source = Source(machinery.path, machinery.text)
    parsed = {source: parse(source)}
    waiting: list[tuple[int, ...]] = [(0,)]
    while waiting:
        forced = waiting.pop(0)
        menu = _Menu(forced)
        chosen, _ = _run(machinery, source, disk(), {}, parsed, menu)
        if not menu.entries:
            return
        if forced[-1] + 1 < menu.entries[len(forced) - 1]:
            waiting.insert(0, (*forced[:-1], forced[-1] + 1))
        if len(menu.entries) > len(forced):
            waiting.insert(0, (*forced, 0))
            continue
        yield chosen


def _run(
    machinery: Machinery,
    source: Source,
    disk: Disk,
    assumed: Mapping[str, bool],
    parsed: dict[Source, tuple[Statement, ...]],
    menu: _Menu | None = None,
) -> tuple[Chosen, list[str]]:
    menu = menu or _Menu()
    interpreter = Interpreter(disk, COMMANDS, assumed=assumed, show_menu=menu.show, parsed=parsed)
    for name in _FEATURES:
        interpreter.variables.set(name, "y")
        interpreter.variables.export(name)
    given = {
        "root": DEVICE,
        "prefix": machinery.prefix,
        "grub_platform": machinery.platform,
        "grub_cpu": "x86_64" if machinery.platform == "efi" else "i386",
        **machinery.extra,
    }
    for name, value in given.items():
        interpreter.variables.set(name, value)
        interpreter.variables.export(name)
    booted = False
    try:
        interpreter.read(machinery.path, source)
        entries = interpreter.menus[-1]
        if entries:
            menu.show(interpreter, entries)
    except BootedError:
        booted = True
    loaded = interpreter.loaded if booted else None
    why = "" if booted else interpreter.nothing_loaded or "no entry with a Linux kernel"
    boot = Boot(
        path=tuple(map(text_of, menu.path)),
        kernel=text_of(loaded.kernel) if loaded else "",
        initial=tuple(map(text_of, loaded.initial)) if loaded else (),
        words=tuple(map(text_of, loaded.words)) if loaded else (),
        why="; ".join([text_of(why), *interpreter.notes]) if not booted else "; ".join(interpreter.notes),
        missing=tuple(map(text_of, loaded.missing)) if loaded else (),
        default=text_of(menu.default),
        default_set=text_of(menu.default_set),
        blocks=disk.written(),
    )
    return Chosen(boot, menu.entry, loaded), interpreter.asked


def text_of(word: str) -> str:
    """Return bytes that stand as latin-1 characters as the text they are."""
    return word.encode("latin-1").decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> str:
    """Return a text as the interpreter holds it: bytes as latin-1 characters."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
