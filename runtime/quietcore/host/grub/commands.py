"""GRUB's commands that matter for a boot: variables, menus, files, the environment block, kernels.

Source: grub-core/commands/{menuentry,loadenv,configfile,search_wrap,regexp}.c and kern/corecmd.c of GRUB 2.06.

A `linux` whose kernel is not there loads nothing; an `initrd` that is not there leaves the kernel without one. `search`
sets its variable to a device of that name, see `disk`. Regular expressions are those that POSIX and Python read alike.
"""

from __future__ import annotations

import re

from .conditions import Condition
from .environment_block import BrokenBlockError, changed, variables
from .interpreter import BAD_ARGUMENT, FAILED, BootedError, Entry, Handler, Interpreter, Loaded, Result
from .lexer import VARIABLE
from .numbers import number
from .options import parted
from .parser import Simple

NOT_FOUND, BAD_FILE_TYPE, BAD_NUMBER, INVALID = 5, 4, 10, 17  # GRUB's numbers of errors
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


def _set(run: Interpreter, words: list[str], command: Simple) -> int:
    if not words:
        return 0
    name, equals, value = words[0].partition("=")
    if not equals:
        return BAD_ARGUMENT
    run.variables.set(name, value, command.source.at(command.line))
    return 0


def _unset(run: Interpreter, words: list[str], _: Simple) -> int:
    if not words:
        return BAD_ARGUMENT
    run.variables.unset(words[0])
    return 0


def _export(run: Interpreter, words: list[str], _: Simple) -> int:
    for word in words:
        run.variables.export(word)
    return 0 if words else BAD_ARGUMENT


def _zero(run: Interpreter, _words: list[str], _command: Simple) -> int:
    return 0


def _false(run: Interpreter, _words: list[str], _command: Simple) -> int:
    return FAILED


def _test(run: Interpreter, words: list[str], command: Simple) -> int:
    if words and words[-1] == "]":
        words = words[:-1]

    def file(sign: str, path: str) -> bool:
        kind = run.disk.kind(run.full(path))
        if kind is None:
            place = f"{command.source.at(command.line)}: {sign} {path}"
            return run.settled(Result(place)) == 0
        return {
            "-e": kind != "",
            "-d": kind == "folder",
            "-f": kind in ("file", "empty"),
            "-s": kind == "file",
        }[sign]

    return 0 if Condition(words, file, run.refusing(command)).holds() else FAILED


def _break(run: Interpreter, words: list[str], _: Simple) -> int:
    return _leave(run, words, again=False)


def _continue_command(run: Interpreter, words: list[str], _: Simple) -> int:
    return _leave(run, words, again=True)


def _leave(run: Interpreter, words: list[str], again: bool) -> int:
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
    run.again, run.breaks = again, min(count, run.loops)
    return 0


def _shift(run: Interpreter, words: list[str], _: Simple) -> int:
    if run.scope is None:
        return 0
    found = number(words[0]) if words else None
    count = 1 if not words else (found.value if found is not None else 0)
    if len(words) > 1 or (found is not None and found.rest) or count > len(run.scope):
        return BAD_ARGUMENT
    run.scope = run.scope[count:]
    return 0


def _setparams(run: Interpreter, words: list[str], _: Simple) -> int:
    if run.scope is None:
        return INVALID
    run.scope = list(words)
    return 0


def _return_command(run: Interpreter, words: list[str], _: Simple) -> int:
    if run.scope is None or len(words) > 1:
        return BAD_ARGUMENT
    if not words:
        run.returning = True
        return run.result
    found = number(words[0])
    if found is None:
        return BAD_NUMBER
    if found.rest:
        return BAD_ARGUMENT
    run.returning = True
    return found.as_int


def _menuentry(run: Interpreter, words: list[str], command: Simple) -> int:
    name = run.expand(command.words[:1], "menuentry")[0]
    options, rest = parted(words, _MENUENTRY_OPTIONS, run.refusing(command), dashes=True)
    if "source" in options:
        raise run.refusing(command)("menuentry --source")
    if command.block is None or not rest:
        return BAD_ARGUMENT
    menu = run.menus[-1]
    if menu is None:
        raise run.refusing(command)("an entry without a menu")
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


def _environment(run: Interpreter, words: list[str], command: Simple) -> tuple[str, list[str]]:
    known, short = {"file": True, "skip-sig": False}, {"f": "file", "s": "skip-sig"}
    options, names = parted(words, known, run.refusing(command), short)
    file = options["file"][-1] if "file" in options else f"{run.variables.get('prefix') or ''}/grubenv"
    return run.full(file), names


def _load_env(run: Interpreter, words: list[str], command: Simple) -> int:
    file, names = _environment(run, words, command)
    text = run.disk.read(file)
    if text is None:
        return NOT_FOUND
    try:
        found = variables(text)
    except BrokenBlockError as error:
        run.notes.append(f"{file}: {error}")
        return BAD_FILE_TYPE
    for name, value in found.items():
        if not names or name in names:
            run.variables.set(name, value, file)
    return 0


def _save_env(run: Interpreter, words: list[str], command: Simple) -> int:
    file, names = _environment(run, words, command)
    if not names:
        return BAD_ARGUMENT
    text = run.disk.read(file)
    if text is None:
        return NOT_FOUND
    try:
        for name in names:
            text = changed(text, name, run.variables.get(name))
    except BrokenBlockError as error:
        run.notes.append(f"GRUB cannot write {file}: {error}")
        return BAD_ARGUMENT
    run.disk.write(file, text)
    return 0


def _source(run: Interpreter, words: list[str], command: Simple) -> int:
    if len(words) != 1:
        return BAD_ARGUMENT
    run.read(words[0])  # a file that is not there is printed as an error, and the result is 0
    return 0


def _configfile(run: Interpreter, words: list[str], command: Simple) -> int:
    if not words:
        return BAD_ARGUMENT
    run.open()
    run.read(words[0])
    menu = run.menus[-1]
    if menu and run.show_menu is not None:
        run.show_menu(run, menu)
    run.close()
    return 0


def _search(run: Interpreter, words: list[str], command: Simple) -> int:
    """Set the variable to a device of that name: what is found is taken to be the file system that GRUB is on."""
    words = ["--set=root" if word in ("-s", "--set") else word for word in words]
    options, rest = parted(words, _SEARCH_OPTIONS, run.refusing(command), _SEARCH_LETTERS)
    if not rest:
        return BAD_ARGUMENT
    for name in options.get("set", ()):
        run.variables.set(name, f"search {rest[0]}", command.source.at(command.line))
    return 0


def _regexp(run: Interpreter, words: list[str], command: Simple) -> int:
    options, rest = parted(words, {"set": True}, run.refusing(command), {"s": "set"})
    if len(rest) != 2:
        return BAD_ARGUMENT
    pattern, text = rest
    if re.search(r"\\[A-Za-z0-9<>]|\[\[?[:.=]|\{|\(\?|[*+?][*+?]", pattern) or (options and "|" in pattern):
        raise run.refusing(command)(f"the regular expression {pattern}")
    match = re.search(pattern, text)
    if match is None:
        return FAILED
    for option in options.get("set", ()):
        index, colon, name = option.partition(":")
        group, name = (int(index), name) if colon and index.isdigit() else (1, option)
        if group <= (match.re.groups):
            run.variables.set(name, match.group(group) or "", command.source.at(command.line))
    return 0


def _linux(run: Interpreter, words: list[str], command: Simple) -> int:
    where = command.source.at(command.line)
    run.loaded = None
    if not words:
        run.nothing_loaded = f"{where}: linux without a kernel"
        return BAD_ARGUMENT
    if run.disk.kind(run.full(words[0])) not in ("file", None):
        run.nothing_loaded = f"{where}: {words[0]} is not there"
        return NOT_FOUND
    appended = 0
    for word in reversed(command.words[2:]):
        if not word or word[0].kind != VARIABLE:
            break
        appended += len(run.expanded(word, where))
    run.loaded = Loaded(command, words[0], tuple(words[1:]), appended)
    return 0


def _initrd(run: Interpreter, words: list[str], command: Simple) -> int:
    if not words:
        return BAD_ARGUMENT
    if run.loaded is None:
        return BAD_ARGUMENT
    paths = [word.rpartition(":")[2] if word.startswith("newc:") else word for word in words]
    missing = tuple(path for path in paths if run.disk.kind(run.full(path)) not in ("file", "empty", None))
    run.loaded.missing = missing
    if missing:
        return NOT_FOUND
    run.loaded.initial, run.loaded.initial_command = tuple(words), command
    return 0


def _boot(run: Interpreter, _words: list[str], _command: Simple) -> int:
    if run.loaded is None:
        return BAD_ARGUMENT
    raise BootedError


COMMANDS: dict[str, Handler] = {
    "set": _set,
    "unset": _unset,
    "export": _export,
    "true": _zero,
    "echo": _zero,
    "false": _false,
    "test": _test,
    "[": _test,
    "break": _break,
    "continue": _continue_command,
    "shift": _shift,
    "setparams": _setparams,
    "return": _return_command,
    "menuentry": _menuentry,
    "submenu": _menuentry,
    "load_env": _load_env,
    "save_env": _save_env,
    "source": _source,
    ".": _source,
    "configfile": _configfile,
    "search": _search,
    "search.fs_uuid": _search,
    "search.fs_label": _search,
    "search.file": _search,
    "regexp": _regexp,
    "boot": _boot,
    **dict.fromkeys(_KERNELS, _linux),
    **dict.fromkeys(_INITIALS, _initrd),
}
