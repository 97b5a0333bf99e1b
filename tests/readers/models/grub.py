"""What GRUB reads: words of its language as a kernel gets them, and its environment block.

Words are rendered in the ways in which GRUB reads them as they are (yylex.l of GRUB 2.06): bare, after a backslash, in
single and in double quotes, continued on the next line, from a variable. What the kernel's command line then says is
turned back into words.
"""

from __future__ import annotations

import random

from tests.readers.campaign import Damage, Reader

from quietcore.host.grub import CannotTellError
from quietcore.host.grub.commands import COMMANDS
from quietcore.host.grub.environment_block import SIGNATURE, SIZE, BrokenBlockError, made, variables
from quietcore.host.grub.interpreter import Interpreter
from quietcore.host.grub.kernel_line import command_line, quoted, words_of
from quietcore.host.grub.lexer import Source
from quietcore.host.grub.parser import Simple, parse

_LETTERS = "abcxyzABC0189_.,:=/@+-%"
_SIGNS = "$\\\"' ;&|<>{}#*?()[]!~^`\t"


def _word(chance: random.Random) -> str:
    letters = _LETTERS if chance.random() < 0.5 else _LETTERS + _SIGNS
    return "k" + "".join(chance.choices(letters, k=chance.randrange(8))) if chance.random() < 0.95 else ""


def _written(chance: random.Random, word: str) -> str:
    """Return a word in one of the ways of writing it, piece by piece."""
    if not word or chance.random() < 0.2:
        found = quoted(word)
        assert found is not None
        return found
    text, position = "", 0
    while position < len(word):
        piece = word[position : position + chance.randrange(1, 5)]
        position += len(piece)
        kind = chance.randrange(4)
        if kind == 0 and "'" not in piece:
            text += f"'{piece}'"
        elif kind == 1:
            text += '"' + piece.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
        elif kind == 2 and all(letter in _LETTERS for letter in piece):
            text += piece + ("\\\n" if position < len(word) and chance.random() < 0.1 else "")
        else:
            text += "".join(f"\\{letter}" for letter in piece)
    return text


def render_words(chance: random.Random) -> tuple[str, tuple[str, ...]]:
    """Return a `linux` command, and the words that the kernel is given."""
    words = tuple(_word(chance) for _ in range(chance.randrange(1, 6)))
    blank = chance.choice((" ", "\t", "  "))
    line = blank.join(["linux", "/vmlinuz", *(_written(chance, word) for word in words)])
    return line + chance.choice(("\n", " # note\n", ";\n", "")), words


class _NoDisk:
    def kind(self, path: str) -> str | None:
        return "file"

    def read(self, path: str) -> str | None:
        return None

    def write(self, path: str, text: str) -> None:
        return None

    def written(self) -> tuple[tuple[str, str], ...]:
        return ()


def read_words(text: str) -> tuple[str, ...]:
    """Read a command as GRUB does, write the kernel's command line, and take that apart again."""
    (command,) = parse(Source("grub.cfg", text))
    assert isinstance(command, Simple)
    _, kernel, *words = Interpreter(_NoDisk(), COMMANDS).expand(command.words, "grub.cfg")
    found = words_of(command_line(kernel, words, limit=1 << 20))
    return () if found is None else found[1:]


def _quoted_twice(text: str) -> tuple[str, ...]:
    return tuple(word.replace("\\", "\\\\") for word in read_words(text))


def _without_empty(text: str) -> tuple[str, ...]:
    return tuple(word for word in read_words(text) if word)


def _split_by_python(text: str) -> tuple[str, ...]:
    return tuple(text.split("#")[0].replace("'", "").replace('"', "").split()[2:])


def _open_quote(chance: random.Random, text: str) -> str | None:
    line = text.rstrip("\n;")
    return None if "#" in line or "\n" in line else f"{line} {chance.choice(chr(34) + chr(39))}"


def _with_sign(chance: random.Random, text: str) -> str | None:
    line = text.rstrip("\n;")
    sign = chance.choice(("&&", "|", "<", ">", "}", "&", "||", "$", "$'x'"))
    return None if "#" in line or "\n" in line else f"{line} {sign} true"


def render_block(chance: random.Random) -> tuple[str, dict[str, str]]:
    """Return an environment block of any size, with comments, and its variables."""
    count, size = chance.randrange(6), chance.choice((SIZE, SIZE, 512, 2048))
    names = chance.sample(
        ("saved_entry", "next_entry", "prev_saved_entry", "tuned_params", "x", "boot_success"), count
    )
    truth = {name: "".join(chance.choices("ab >12=\\\n#'\"$", k=chance.randrange(12))) for name in names}
    block = made(list(truth.items()), size)
    if chance.random() < 0.3:
        note = "# written by hand\n"
        block = SIGNATURE + note + block[len(SIGNATURE) : len(block) - len(note)]
    return block, truth


def _to_the_first_equals(block: str) -> dict[str, str]:
    lines = (line.partition("=") for line in block.splitlines() if not line.startswith("#"))
    return {key: value for key, equals, value in lines if equals}


def _other_signature(chance: random.Random, block: str) -> str:
    return chance.choice((block[1:], "", block.replace("Block", "block", 1), "\n" + block, SIGNATURE))


READERS = [
    Reader(
        "GRUB words",
        render_words,
        read_words,
        {
            "a quote that is open": Damage(_open_quote, CannotTellError),
            "a sign": Damage(_with_sign, CannotTellError),
        },
        {
            "quoted twice": _quoted_twice,
            "without empty words": _without_empty,
            "split at blanks": _split_by_python,
        },
    ),
    Reader(
        "GRUB environment block",
        render_block,
        variables,
        {"another signature": Damage(_other_signature, BrokenBlockError)},
        {"line by line": _to_the_first_equals},
    ),
]
