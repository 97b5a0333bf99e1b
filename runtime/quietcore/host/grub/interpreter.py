"""What GRUB does when it reads a configuration: statements, functions, contexts, and commands that matter for a boot.

Source: grub-core/script/execute.c, argv.c, commands/{menuentry,loadenv,configfile}.c and kern/corecmd.c of GRUB 2.06.

    words     a variable outside quotes is split at blanks; a word that comes to nothing is gone, a quoted one stays
    result    of each command: 0, or GRUB's error number; `$?` and conditions see it; after an error GRUB goes on
    name=…    a command of that form that GRUB does not know sets the variable
    ! word …  inverts a result; `if` and loops look at the last command of their condition
    function  known commands come first; `$1`… are its words, `return` leaves it, `break` and `continue` take a count
    submenu, configfile   see exported variables only, and leave no trace in the others

A command whose result depends on hardware (`loadfont`, `hwmatch`, …) is tried both ways where a condition looks at it,
see `boot.py`. Commands that are not in `_COMMANDS`, and globs such as `/boot/*`, are refused where they are executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .cannot_tell import CannotTellError
from .conditions import Condition
from .disk import Disk
from .environment_block import BrokenBlockError, changed, variables
from .lexer import QUOTED, TEXT, VARIABLE, Source
from .numbers import SPACES, number
from .options import parted
from .parser import Block, Command, For, Function, If, Simple, Statement, While, Word, parse
from .variables import Variables

FAILED, NOT_FOUND, BAD_NUMBER, INVALID, BAD_ARGUMENT = 1, 5, 10, 17, 18
BAD_FILE_TYPE = 4
_STEPS = 100_000
_DEPTH = 60
_UNESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ACTIVE = re.compile(r"(?:^|[^\\])(?:\\\\)*[*?]")
_KERNELS = ("linux", "linuxefi", "linux16")
_INITIALS = ("initrd", "initrdefi", "initrd16")
_MENUENTRY_OPTIONS = {
    "class": True,
    "users": True,
    "hotkey": True,
    "source": True,
    "id": True,
    "unrestricted": False,
}
_SEARCH_OPTIONS = {
    **{"set": True, "hint": True, "hint-ieee1275": True, "hint-bios": True, "hint-baremetal": True},
    **{"hint-efi": True, "hint-arc": True, "file": False, "label": False, "fs-uuid": False},
    **{"no-floppy": False, "efidisk-only": False, "cryptodisk-only": False},
}
_SEARCH_LETTERS = {"f": "file", "l": "label", "u": "fs-uuid", "n": "no-floppy", "h": "hint"}
# Their result is no matter of the configuration, and they change nothing that decides what boots.
_OF_THE_MACHINE = frozenset(
    (
        *("insmod", "rmmod", "loadfont", "terminal_input", "terminal_output", "terminfo", "terminal"),
        *("serial", "background_image", "background_color", "play", "sleep", "clear", "cls", "keymap"),
        *("password", "password_pbkdf2", "hwmatch", "fwsetup", "gptsync", "videoinfo", "lsmod", "lspci"),
        *("date", "cpuid", "smbios", "rdmsr", "drivemap", "nativedisk", "cryptomount", "acpi", "outb"),
        *("loopback", "list_env", "ls", "cat", "help"),
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
    root: str
    initial: tuple[str, ...] = ()
    initial_command: Simple | None = None
    missing: tuple[str, ...] = ()  # initial RAM disks that are not there


class BootedError(Exception):
    """GRUB leaves for the kernel."""


@dataclass
class Interpreter:
    """One run. `assumed` gives results of commands of the machine that are not 0; `asked` collects which mattered."""

    disk: Disk
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

    _scope: list[str] | None = None
    _result: int = 0
    _loops: int = 0
    _breaks: int = 0
    _continue: bool = False
    _return: bool = False
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
        self._enter(source.name)
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
        scope, self._scope = self._scope, list(words)
        self._enter("menuentry")
        for command in block.commands:
            self._execute(command)
        self._depth -= 1
        self._scope = scope

    def open(self) -> None:
        """Begin an inner context."""
        self.variables.open()
        self.menus.append(None)

    def close(self) -> None:
        """Leave the inner context."""
        self.variables.close()
        self.menus.pop()

    def _enter(self, name: str) -> None:
        self._depth += 1
        if self._depth > _DEPTH:
            raise CannotTellError(f"more than {_DEPTH} levels of functions and files", name)

    # --- words ---------------------------------------------------------------------------------------------------

    def expand(self, words: Iterable[Word], where: str) -> list[str]:
        """Return a command's words as GRUB gives them to it."""
        found: list[str] = []
        for word in words:
            found += self._expanded(word, where)
        return found

    def _expanded(self, word: Word, where: str) -> list[str]:
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
        scope = self._scope
        if name == "?":
            return [str(int(self._settled(self._result)))]
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
        self._result = result
        return result

    def _list(self, commands: Sequence[Command]) -> int:
        result = 0
        for command in commands:
            if self._breaks:
                break
            result = self._execute(command)
            if self._return:
                break
        self._result = result
        return result

    def _settled(self, result: int) -> int:
        """Return a result that a condition looks at: one of the machine is as it is assumed in this run."""
        if not isinstance(result, Result):
            return result
        if result.place not in self.asked:
            self.asked.append(result.place)
        return 0 if self.assumed.get(result.place, True) else FAILED

    def _if(self, command: If) -> int:
        result = self._list(command.condition)
        if self._return:
            return result
        if self._settled(self._result) == 0:
            return self._list(command.then)
        return self._list(command.other) if command.other else 0

    def _for(self, command: For) -> int:
        words = self.expand(command.words, "a for loop")
        self._loops += 1
        result = 0
        for word in words:
            if self._continue and self._breaks == 1:
                self._breaks = 0
            if not self._breaks:
                self.variables.set(command.name, word)
                result = self._list(command.body)
                if self._return:
                    break
        self._breaks = max(self._breaks - 1, 0)
        self._loops -= 1
        return result

    def _while(self, command: While) -> int:
        self._loops += 1
        while True:
            result = self._settled(self._list(command.condition))
            if self._return or (result == 0) == command.until:
                break
            result = self._list(command.body)
            if self._return:
                break
            if self._breaks == 1 and self._continue:
                self._breaks = 0
            if self._breaks:
                break
        self._breaks = max(self._breaks - 1, 0)
        self._loops -= 1
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
        handler = _COMMANDS.get(name)
        if handler is not None:
            result = handler(self, rest, command)
        elif name in _OF_THE_MACHINE:
            result = Result(f"{where}: {name}")
            if name == "hwmatch":
                self.variables.set("match", "0", where)
        elif name in self.functions:
            result = self._call(name, rest)
        elif "=" in name:
            variable, _, value = name.partition("=")
            self._assign(variable, value, where)
            result = 0
        else:
            raise CannotTellError(f"the command {name}", where)
        if inverted:
            settled = self._settled(result)
            return FAILED if settled == 0 else 0
        return result

    def _assign(self, name: str, value: str, where: str) -> None:
        if name == "?":
            self._result = 0
        if name[:1].isdigit() or name in ("#", "*", "@"):
            return
        self.variables.set(name, value, where)

    def _call(self, name: str, words: list[str]) -> int:
        self._enter(name)
        scope, loops = self._scope, self._loops
        self._scope, self._loops = words, 0
        result = self._list(self.functions[name])
        self._return = False
        self._scope, self._loops = scope, loops
        self._depth -= 1
        return result

    # --- commands ------------------------------------------------------------------------------------------------

    def refusing(self, command: Simple) -> Callable[[str], CannotTellError]:
        """Return what makes a refusal that names the command's place."""
        return lambda what: CannotTellError(what, command.source.at(command.line))

    def _set(self, words: list[str], command: Simple) -> int:
        if not words:
            return 0
        name, equals, value = words[0].partition("=")
        if not equals:
            return BAD_ARGUMENT
        self.variables.set(name, value, command.source.at(command.line))
        return 0

    def _unset(self, words: list[str], _: Simple) -> int:
        if not words:
            return BAD_ARGUMENT
        self.variables.unset(words[0])
        return 0

    def _export(self, words: list[str], _: Simple) -> int:
        for word in words:
            self.variables.export(word)
        return 0 if words else BAD_ARGUMENT

    def _zero(self, _words: list[str], _command: Simple) -> int:
        return 0

    def _false(self, _words: list[str], _command: Simple) -> int:
        return FAILED

    def _test(self, words: list[str], command: Simple) -> int:
        if words and words[-1] == "]":
            words = words[:-1]

        def file(sign: str, path: str) -> bool:
            kind = self.disk.kind(self.full(path))
            if kind is None:
                place = f"{command.source.at(command.line)}: {sign} {path}"
                return self._settled(Result(place)) == 0
            return {
                "-e": kind != "",
                "-d": kind == "folder",
                "-f": kind in ("file", "empty"),
                "-s": kind == "file",
            }[sign]

        return 0 if Condition(words, file, self.refusing(command)).holds() else FAILED

    def _break(self, words: list[str], _: Simple) -> int:
        return self._leave(words, again=False)

    def _continue_command(self, words: list[str], _: Simple) -> int:
        return self._leave(words, again=True)

    def _leave(self, words: list[str], again: bool) -> int:
        """Leave as many loops as the word says (1), or begin the outermost of them again."""
        count = 1
        if len(words) > 1:
            return BAD_ARGUMENT
        if words:
            found = number(words[0])
            if found is None:
                return BAD_NUMBER
            if found.rest or found.value == 0:
                return BAD_ARGUMENT
            count = found.value
        self._continue, self._breaks = again, min(count, self._loops)
        return 0

    def _shift(self, words: list[str], _: Simple) -> int:
        if self._scope is None:
            return 0
        found = number(words[0]) if words else None
        count = 1 if not words else (found.value if found is not None else 0)
        if len(words) > 1 or (found is not None and found.rest) or count > len(self._scope):
            return BAD_ARGUMENT
        self._scope = self._scope[count:]
        return 0

    def _setparams(self, words: list[str], _: Simple) -> int:
        if self._scope is None:
            return INVALID
        self._scope = list(words)
        return 0

    def _return_command(self, words: list[str], _: Simple) -> int:
        if self._scope is None or len(words) > 1:
            return BAD_ARGUMENT
        if not words:
            self._return = True
            return self._result
        found = number(words[0])
        if found is None:
            return BAD_NUMBER
        if found.rest:
            return BAD_ARGUMENT
        self._return = True
        return found.as_int

    def _menuentry(self, words: list[str], command: Simple) -> int:
        name = self.expand(command.words[:1], "menuentry")[0]
        options, rest = parted(words, _MENUENTRY_OPTIONS, self.refusing(command), dashes=True)
        if "source" in options:
            raise self.refusing(command)("menuentry --source")
        if command.block is None or not rest:
            return BAD_ARGUMENT
        menu = self.menus[-1]
        if menu is None:
            raise self.refusing(command)("an entry without a menu")
        menu.append(
            Entry(
                title=rest[0],
                identifier=options["id"][-1] if "id" in options else rest[0],
                words=tuple(rest),
                block=command.block,
                source=command.source,
                submenu=name == "submenu",
                restricted="unrestricted" not in options or "users" in options,
                where=command.source.at(command.line),
            )
        )
        return 0

    def _environment(self, words: list[str], command: Simple) -> tuple[str, list[str]]:
        known, short = {"file": True, "skip-sig": False}, {"f": "file", "s": "skip-sig"}
        options, names = parted(words, known, self.refusing(command), short)
        file = options["file"][-1] if "file" in options else f"{self.variables.get('prefix') or ''}/grubenv"
        return self.full(file), names

    def _load_env(self, words: list[str], command: Simple) -> int:
        file, names = self._environment(words, command)
        text = self.disk.read(file)
        if text is None:
            return NOT_FOUND
        try:
            found = variables(text)
        except BrokenBlockError as error:
            self.notes.append(f"{file}: {error}")
            return BAD_FILE_TYPE
        for name, value in found.items():
            if not names or name in names:
                self.variables.set(name, value, file)
        return 0

    def _save_env(self, words: list[str], command: Simple) -> int:
        file, names = self._environment(words, command)
        if not names:
            return BAD_ARGUMENT
        text = self.disk.read(file)
        if text is None:
            return NOT_FOUND
        try:
            for name in names:
                text = changed(text, name, self.variables.get(name))
        except BrokenBlockError as error:
            self.notes.append(f"GRUB cannot write {file}: {error}")
            return BAD_ARGUMENT
        self.disk.write(file, text)
        return 0

    def _source(self, words: list[str], command: Simple) -> int:
        if len(words) != 1:
            return BAD_ARGUMENT
        self.read(words[0])  # a file that is not there is printed as an error, and the result is 0
        return 0

    def _configfile(self, words: list[str], command: Simple) -> int:
        if not words:
            return BAD_ARGUMENT
        self.open()
        self.read(words[0])
        menu = self.menus[-1]
        if menu and self.show_menu is not None:
            self.show_menu(self, menu)
        self.close()
        return 0

    def _search(self, words: list[str], command: Simple) -> int:
        """Set the variable to a device of that name: what is found is taken to be the file system that GRUB is on."""
        words = ["--set=root" if word in ("-s", "--set") else word for word in words]
        options, rest = parted(words, _SEARCH_OPTIONS, self.refusing(command), _SEARCH_LETTERS)
        if not rest:
            return BAD_ARGUMENT
        for name in options.get("set", ()):
            self.variables.set(name, f"search {rest[0]}", command.source.at(command.line))
        return 0

    def _regexp(self, words: list[str], command: Simple) -> int:
        options, rest = parted(words, {"set": True}, self.refusing(command), {"s": "set"})
        if len(rest) != 2:
            return BAD_ARGUMENT
        pattern, text = rest
        if re.search(r"\\[A-Za-z0-9<>]|\[\[?[:.=]|\{|\(\?|[*+?][*+?]", pattern) or (
            options and "|" in pattern
        ):
            raise self.refusing(command)(f"the regular expression {pattern}")
        match = re.search(pattern, text)
        if match is None:
            return FAILED
        for option in options.get("set", ()):
            index, colon, name = option.partition(":")
            group, name = (int(index), name) if colon and index.isdigit() else (1, option)
            if group <= (match.re.groups):
                self.variables.set(name, match.group(group) or "", command.source.at(command.line))
        return 0

    def _linux(self, words: list[str], command: Simple) -> int:
        where = command.source.at(command.line)
        self.loaded = None
        if not words:
            self.nothing_loaded = f"{where}: linux without a kernel"
            return BAD_ARGUMENT
        if self.disk.kind(self.full(words[0])) not in ("file", None):
            self.nothing_loaded = f"{where}: {words[0]} is not there"
            return NOT_FOUND
        appended = 0
        for word in reversed(command.words[2:]):
            if not word or word[0].kind != VARIABLE:
                break
            appended += len(self._expanded(word, where))
        root = self.variables.get("root") or ""
        self.loaded = Loaded(command, words[0], tuple(words[1:]), appended, root)
        return 0

    def _initrd(self, words: list[str], command: Simple) -> int:
        if not words:
            return BAD_ARGUMENT
        if self.loaded is None:
            return BAD_ARGUMENT
        paths = [word.rpartition(":")[2] if word.startswith("newc:") else word for word in words]
        missing = tuple(
            path for path in paths if self.disk.kind(self.full(path)) not in ("file", "empty", None)
        )
        self.loaded.missing = missing
        if missing:
            return NOT_FOUND
        self.loaded.initial, self.loaded.initial_command = tuple(words), command
        return 0

    def _boot(self, _words: list[str], _command: Simple) -> int:
        if self.loaded is None:
            return BAD_ARGUMENT
        raise BootedError


def _split(value: str) -> list[str]:
    """Return a value's words; blanks at its ends part nothing, so that `a$x` with a blank first is one word."""
    return [piece for piece in re.split(f"[{SPACES}]+", value) if piece]


Handler = Callable[[Interpreter, list[str], Simple], int]
_COMMANDS: dict[str, Handler] = {
    "set": Interpreter._set,
    "unset": Interpreter._unset,
    "export": Interpreter._export,
    "true": Interpreter._zero,
    "echo": Interpreter._zero,
    "false": Interpreter._false,
    "test": Interpreter._test,
    "[": Interpreter._test,
    "break": Interpreter._break,
    "continue": Interpreter._continue_command,
    "shift": Interpreter._shift,
    "setparams": Interpreter._setparams,
    "return": Interpreter._return_command,
    "menuentry": Interpreter._menuentry,
    "submenu": Interpreter._menuentry,
    "load_env": Interpreter._load_env,
    "save_env": Interpreter._save_env,
    "source": Interpreter._source,
    ".": Interpreter._source,
    "configfile": Interpreter._configfile,
    "search": Interpreter._search,
    "search.fs_uuid": Interpreter._search,
    "search.fs_label": Interpreter._search,
    "search.file": Interpreter._search,
    "regexp": Interpreter._regexp,
    "boot": Interpreter._boot,
    **dict.fromkeys(_KERNELS, Interpreter._linux),
    **dict.fromkeys(_INITIALS, Interpreter._initrd),
}
