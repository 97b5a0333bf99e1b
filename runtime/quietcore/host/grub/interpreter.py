"""What GRUB does when it reads a configuration: words, statements, functions, contexts.

Source: grub-core/script/execute.c and argv.c and normal/main.c of GRUB 2.06.

    words     a variable outside quotes is split at blanks; a word that comes to nothing is gone, a quoted one stays
    result    of each command: 0, or GRUB's error number; `$?` and conditions see it; after an error GRUB goes on
    name=…    a command of that form that GRUB does not know sets the variable
    ! word …  inverts a result; `if` and loops look at the last command of their condition
    function  known commands come first; `$1`… are its words, `return` leaves it, `break` and `continue` take a count
    submenu, configfile   see exported variables only, and leave no trace in the others

A command whose result depends on hardware (`loadfont`, `hwmatch`, …) is tried both ways where a condition looks at it,
see `boot.py`. Commands that neither `commands` nor this module knows, and globs such as `/boot/*`, are refused where
they are executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .cannot_tell import CannotTellError
from .disk import Disk
from .lexer import QUOTED, TEXT, VARIABLE, Source
from .numbers import SPACES
from .parser import Block, Command, For, Function, If, Simple, Statement, While, Word, parse
from .variables import Variables

FAILED, BAD_ARGUMENT = 1, 18  # GRUB's numbers of errors
_STEPS = 100_000
_DEPTH = 60
_UNESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ACTIVE = re.compile(r"(?:^|[^\\])(?:\\\\)*[*?]")
# Their result is no matter of the configuration, and they change nothing that decides what boots.
_OF_THE_MACHINE = frozenset(
    (
        *("insmod", "rmmod", "loadfont", "terminal_input", "terminal_output", "terminfo", "terminal"),
        *("serial", "background_image", "background_color", "play", "sleep", "clear", "cls", "keymap"),
        *("password", "password_pbkdf2", "hwmatch", "fwsetup", "gptsync", "videoinfo", "lsmod", "lspci"),
        *("date", "cpuid", "smbios", "rdmsr", "drivemap", "nativedisk", "cryptomount", "acpi", "outb"),
        *("loopback", "list_env", "ls", "cat", "help", "badram", "cutmem"),
    )
)


class Result(int):
    """A command's result that depends on the machine; `place` names it."""

    place: str

    def __new__(cls, place: str) -> Result:
        """Make the result of a command at a place."""
        found = super().__new__(cls, 0)
        found.place = place
        return found


@dataclass(frozen=True)
class Entry:
    """An entry of the menu; `words` are its title and further words, which its block sees as `$1`…"""

    title: str
    identifier: str
    words: tuple[str, ...]
    block: Block
    source: Source
    submenu: bool
    restricted: bool
    where: str


@dataclass
class Loaded:
    """The kernel that the next `boot` starts. `appended` of the words come from variables at the end of the command."""

    command: Simple
    kernel: str
    words: tuple[str, ...]
    appended: int
    initial: tuple[str, ...] = ()
    initial_command: Simple | None = None
    missing: tuple[str, ...] = ()  # initial RAM disks that are not there


class BootedError(Exception):
    """GRUB leaves for the kernel."""


Handler = Callable[["Interpreter", list[str], Simple], int]


@dataclass
class Interpreter:
    """One run. `assumed` gives results of commands of the machine that are not 0; `asked` collects which mattered."""

    disk: Disk
    commands: Mapping[str, Handler]
    variables: Variables = field(default_factory=Variables)
    assumed: Mapping[str, bool] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    functions: dict[str, tuple[Command, ...]] = field(default_factory=dict)
    menus: list[list[Entry] | None] = field(default_factory=lambda: [None])
    loaded: Loaded | None = None
    nothing_loaded: str = ""  # why the last `linux` failed
    notes: list[str] = field(default_factory=list)
    show_menu: Callable[[Interpreter, list[Entry]], None] | None = None
    parsed: dict[Source, tuple[Statement, ...]] = field(default_factory=dict)

    scope: list[str] | None = None
    result: int = 0
    loops: int = 0
    breaks: int = 0
    again: bool = False
    returning: bool = False
    _steps: int = 0
    _depth: int = 0

    # --- reading -------------------------------------------------------------------------------------------------

    def read(self, path: str, source: Source | None = None) -> bool:
        """Read a configuration into the menu of this context; false where there is none."""
        if self.menus[-1] is None:
            self.menus[-1] = []
        if source is None:
            text = self.disk.read(self.full(path))
            if text is None:
                return False
            source = Source(path, text)
        saved = [(name, self.variables.get(name)) for name in ("config_file", "config_directory")]
        file = self.full(path)
        for name, value in (("config_file", file), ("config_directory", file.rpartition("/")[0])):
            self.variables.set(name, value)
            self.variables.export(name)
        self.enter(source.name)
        if source not in self.parsed:
            self.parsed[source] = parse(source)
        for statement in self.parsed[source]:
            if isinstance(statement, Function):
                self.functions[statement.name] = statement.body
            else:
                self._execute(statement)
        self._depth -= 1
        for name, earlier in saved:
            if earlier is None:
                self.variables.unset(name)
            else:
                self.variables.set(name, earlier)
        return True

    def full(self, path: str) -> str:
        """Return a path with its device."""
        return path if path.startswith("(") else f"({self.variables.get('root') or ''}){path}"

    def run_block(self, block: Block, words: Sequence[str]) -> None:
        """Execute an entry's commands with its words as `$1`…"""
        scope, self.scope = self.scope, list(words)
        self.enter("menuentry")
        for command in block.commands:
            self._execute(command)
        self._depth -= 1
        self.scope = scope

    def open(self) -> None:
        """Begin an inner context."""
        self.variables.open()
        self.menus.append(None)

    def close(self) -> None:
        """Leave the inner context."""
        self.variables.close()
        self.menus.pop()

    def enter(self, name: str) -> None:
        """Go one level deeper. Raises CannotTellError where functions or files never end."""
        self._depth += 1
        if self._depth > _DEPTH:
            raise CannotTellError(f"more than {_DEPTH} levels of functions and files", name)

    # --- words ---------------------------------------------------------------------------------------------------

    def expand(self, words: Iterable[Word], where: str) -> list[str]:
        """Return a command's words as GRUB gives them to it."""
        found: list[str] = []
        for word in words:
            found += self.expanded(word, where)
        return found

    def expanded(self, word: Word, where: str) -> list[str]:
        """Return what a single word comes to: none, one or several. Raises CannotTellError for a glob."""
        if len(word) == 1 and word[0].kind == TEXT and "\\" not in word[0].text:
            text = word[0].text
            if ("*" in text or "?" in text) and text[0] in "/(*":
                raise CannotTellError(f"the glob {text}", where)
            return [text]
        found: list[str | None] = [None]
        active = False
        for part in word:
            if part.kind == TEXT:
                active |= _ACTIVE.search(part.text) is not None
                found[-1] = (found[-1] or "") + _UNESCAPE.sub(r"\1", part.text)
            elif part.kind == QUOTED:
                found[-1] = (found[-1] or "") + part.text
            else:
                values = self._values(part.text, split=part.kind == VARIABLE)
                active |= part.kind == VARIABLE and any("*" in value or "?" in value for value in values)
                for index, value in enumerate(values):
                    if index and found[-1] is not None:
                        found.append(None)
                    found[-1] = (found[-1] or "") + value
        texts = [text for text in found if text is not None]
        if active and any(text[:1] in ("/", "(", "*") for text in texts):
            raise CannotTellError(f"the glob {' '.join(texts)}", where)
        return texts

    def _values(self, name: str, split: bool) -> list[str]:
        """Return what a variable gives: several words where it is split, none where it is empty."""
        scope = self.scope
        if name == "?":
            return [str(int(self.settled(self.result)))]
        if name not in ("#", "*", "@") and not name[0].isdigit():
            value = self.variables.get(name)
            if not value:
                return []
            return _split(value) if split else [value]
        if scope is None:
            return []
        if name == "#":
            return [str(len(scope))]
        if name in ("*", "@"):
            if split:
                return [piece for word in scope for piece in _split(word)]
            return list(scope) if name == "@" else ([" ".join(scope)] if scope else [])
        index = int(name)
        if not 0 < index <= len(scope):
            return []
        return _split(scope[index - 1]) if split else [scope[index - 1]]

    # --- statements ----------------------------------------------------------------------------------------------

    def _execute(self, command: Command) -> int:
        self._steps += 1
        if self._steps > _STEPS:
            raise CannotTellError(f"more than {_STEPS} commands", "the configuration")
        if isinstance(command, Simple):
            result = self._simple(command)
        elif isinstance(command, If):
            result = self._if(command)
        elif isinstance(command, For):
            result = self._for(command)
        else:
            result = self._while(command)
        self.result = result
        return result

    def _list(self, commands: Sequence[Command]) -> int:
        result = 0
        for command in commands:
            if self.breaks:
                break
            result = self._execute(command)
            if self.returning:
                break
        self.result = result
        return result

    def settled(self, result: int) -> int:
        """Return a result that a condition looks at: one of the machine is as it is assumed in this run."""
        if not isinstance(result, Result):
            return result
        if result.place not in self.asked:
            self.asked.append(result.place)
        return 0 if self.assumed.get(result.place, True) else FAILED

    def _if(self, command: If) -> int:
        result = self._list(command.condition)
        if self.returning:
            return result
        if self.settled(self.result) == 0:
            return self._list(command.then)
        return self._list(command.other) if command.other else 0

    def _for(self, command: For) -> int:
        words = self.expand(command.words, "a for loop")
        self.loops += 1
        result = 0
        for word in words:
            if self.again and self.breaks == 1:
                self.breaks = 0
            if not self.breaks:
                self.variables.set(command.name, word)
                result = self._list(command.body)
                if self.returning:
                    break
        self.breaks = max(self.breaks - 1, 0)
        self.loops -= 1
        return result

    def _while(self, command: While) -> int:
        self.loops += 1
        while True:
            result = self.settled(self._list(command.condition))
            if self.returning or (result == 0) == command.until:
                break
            result = self._list(command.body)
            if self.returning:
                break
            if self.breaks == 1 and self.again:
                self.breaks = 0
            if self.breaks:
                break
        self.breaks = max(self.breaks - 1, 0)
        self.loops -= 1
        return result

    def _simple(self, command: Simple) -> int:
        where = command.source.at(command.line)
        words = self.expand(command.words, where)
        if not words:
            return 0
        inverted = words[0] == "!"
        if inverted:
            words = words[1:]
            if not words:
                return BAD_ARGUMENT
        name, rest = words[0], words[1:]
        if command.block is not None and name not in ("menuentry", "submenu"):
            rest.append(
                f"{{{command.block.text}}}"
            )  # `a{b}` is a word and a block, and a block is a word too
        handler = self.commands.get(name)
        if handler is not None:
            result = handler(self, rest, command)
        elif name in _OF_THE_MACHINE:
            result = Result(f"{where}: {name}")
            if name == "hwmatch":  # what it found decides too
                found = self.settled(Result(f"{where}: what hwmatch finds"))
                self.variables.set("match", str(found), where)
        elif name in self.functions:
            result = self._call(name, rest)
        elif "=" in name:
            variable, _, value = name.partition("=")
            self._assign(variable, value, where)
            result = 0
        else:
            raise CannotTellError(f"the command {name}", where)
        if inverted:
            settled = self.settled(result)
            return FAILED if settled == 0 else 0
        return result

    def _assign(self, name: str, value: str, where: str) -> None:
        if name == "?":
            self.result = 0
        if name[:1].isdigit() or name in ("#", "*", "@"):
            return
        self.variables.set(name, value, where)

    def _call(self, name: str, words: list[str]) -> int:
        self.enter(name)
        scope, loops = self.scope, self.loops
        self.scope, self.loops = words, 0
        result = self._list(self.functions[name])
        self.returning = False
        self.scope, self.loops = scope, loops
        self._depth -= 1
        return result

    def refusing(self, command: Simple) -> Callable[[str], CannotTellError]:
        """Return what makes a refusal that names the command's place."""
        return lambda what: CannotTellError(what, command.source.at(command.line))


def _split(value: str) -> list[str]:
    """Return a value's words; blanks at its ends part nothing, so that `a$x` with a blank first is one word."""
    return [piece for piece in re.split(f"[{SPACES}]+", value) if piece]
