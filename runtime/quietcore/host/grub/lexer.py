"""The words and signs of GRUB's configuration language.

Source: grub-core/script/yylex.l, lexer.c and normal/main.c of GRUB 2.06.

    text      lines; a carriage return is dropped, and so is a line whose first character is `#`
    blank     spaces and tabs part words
    comment   `#` where a word could begin, up to the end of the line
    sign      newline  ;  {  }       and, in no rule of the parser:  ||  &&  ;;  |  &  <  >
    word      one or more of
                a character other than { } | & $ ; < > blank newline ' " \\
                '…'   everything literal; it may span lines
                "…"   \\$ \\" \\\\ give the second character, backslash and newline give nothing, any other backslash
                      stays; $NAME and ${NAME} are replaced and not split; it may span lines
                \\c    the character c; backslash and newline give nothing
                $NAME ${NAME} $0… ${0…} $? $# $* $@ and their forms in braces: replaced, and split at blanks
    reserved  case do done elif else esac fi for if in select then until while function, as whole words

`$"…"` is a translated text: what it gives depends on GRUB's locale, so it is refused. `$'…'` does not exist, and a `$`
before anything else is an error for GRUB as it is here. Words with a NUL are refused.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .cannot_tell import CannotTellError

TEXT, QUOTED, VARIABLE, QUOTED_VARIABLE = "text", "quoted", "variable", "quoted variable"
RESERVED = frozenset(
    (
        *("case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in"),
        *("select", "then", "until", "while", "function"),
    )
)
NEWLINE, WORD, NAME, END = "newline", "word", "name", "end"

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE = rf"\$(?:{_NAME}|\{{{_NAME}\}}|[0-9]+|\{{[0-9]+\}}|[?#*@]|\{{[?#*@]\}})"
_TOKEN = re.compile(
    r"(?P<blank>[ \t]+)|(?P<newline>\n)|(?P<comment>#[^\n]*)|(?P<plain>[^{}|&$;<> \t\n'\"\\]+(?=[ \t\n;]))"
    rf"|(?P<word>(?:[^{{}}|&$;<> \t\n'\"\\]|\"(?:\\[\s\S]|[^\\\"])*\"|'[^']*'|\\[\s\S]|{_VARIABLE})+)"
    r"|(?P<sign>\|\||&&|;;|[|&;<>{}])"
)
_PIECE = re.compile(
    r"(?P<joined>\\\n)|(?P<escaped>\\.)|'(?P<single>[^']*)'|\"(?P<double>(?:\\[\s\S]|[^\\\"])*)\""
    rf"|(?P<variable>{_VARIABLE})|(?P<text>[^\"'$\\]+)"
)
_INSIDE = re.compile(
    rf"(?P<joined>\\\n)|\\(?P<escaped>[$\\\"])|(?P<variable>{_VARIABLE})|(?P<text>[^\"$\\]+|\\)"
)
_WHOLE_NAME = re.compile(_NAME)


class Part(NamedTuple):
    """A piece of a word: literal text (backslashes still in it), quoted text, or a variable's name."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a sign; `start` and `end` are offsets in the source's text, `line` is counted from 1."""

    kind: str
    start: int
    end: int
    line: int
    parts: tuple[Part, ...] = ()
    text: str = ""


class Source:
    """A configuration as GRUB reads it, and where its lines stand in the file."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        if "\0" in text:
            raise CannotTellError("a NUL", name)
        kept = [
            (number, line)
            for number, line in enumerate(text.replace("\r", "").split("\n"), 1)
            if not line.startswith("#")
        ]
        if kept and not kept[-1][1]:
            kept.pop()
        self.text = "".join(f"{line}\n" for _, line in kept)
        self._numbers = [number for number, _ in kept]
        self._starts: list[int] = []
        offset = 0
        for _, line in kept:
            self._starts.append(offset)
            offset += len(line) + 1

    def line_of(self, offset: int) -> int:
        """Return the number of the line, counted from 1, that an offset of the text lies in."""
        index = bisect_right(self._starts, offset) - 1
        return self._numbers[index] if index >= 0 else 1

    def at(self, line: int) -> str:
        """Return a place as messages name it."""
        return f"{self.name}: line {line}"


def tokens(source: Source) -> Iterator[Token]:
    """Yield the source's words and signs, and END at last. Raises CannotTellError for what is no word."""
    text, position = source.text, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _no_word(source, position)
        start, position, group = position, match.end(), match.lastgroup
        if group in ("blank", "comment"):
            continue
        line = source.line_of(start)
        if group == "newline":
            yield Token(NEWLINE, start, position, line)
        elif group == "sign":
            yield Token(match[0], start, position, line)
        else:
            word = match[0]
            kind = word if word in RESERVED else NAME if _WHOLE_NAME.fullmatch(word) else WORD
            parts = (Part(TEXT, word),) if group == "plain" else _parts(source, word, line)
            yield Token(kind, start, position, line, parts, word)
    yield Token(END, position, position, source.line_of(max(position - 1, 0)))


def _no_word(source: Source, position: int) -> CannotTellError:
    text, where = source.text, source.at(source.line_of(position))
    if text.startswith('$"', position):
        return CannotTellError('a translated text ($"…")', where)
    if text[position] in "'\"":
        return CannotTellError("a quote that is not closed", where)
    return CannotTellError(f"{text[position : position + 12]!r} is no word", where)


def _parts(source: Source, word: str, line: int) -> tuple[Part, ...]:
    found: list[Part] = []
    literal = ""
    for match in _PIECE.finditer(word):
        group = match.lastgroup
        if group == "joined":
            continue
        if group in ("text", "escaped"):
            literal += match[0]
            continue
        if literal:
            found.append(Part(TEXT, literal))
            literal = ""
        if group == "single":
            found.append(Part(QUOTED, match["single"]))
        elif group == "double":
            found += _inside(source, match["double"], line)
        else:
            found.append(Part(VARIABLE, match[0].lstrip("$").strip("{}")))
    if literal:
        found.append(Part(TEXT, literal))
    return tuple(found)


def _inside(source: Source, text: str, line: int) -> Iterator[Part]:
    """Yield the pieces of a text in double quotes; an empty one still makes a word."""
    literal, position = "", 0
    while position < len(text):
        match = _INSIDE.match(text, position)
        if match is None:
            raise CannotTellError(f"{text[position : position + 12]!r} in double quotes", source.at(line))
        position = match.end()
        if match.lastgroup == "variable":
            yield Part(QUOTED, literal)
            literal = ""
            yield Part(QUOTED_VARIABLE, match[0].lstrip("$").strip("{}"))
        elif match.lastgroup != "joined":
            literal += match[match.lastgroup or 0]
    yield Part(QUOTED, literal)
