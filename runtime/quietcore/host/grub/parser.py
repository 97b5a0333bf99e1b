"""The statements of GRUB's configuration language.

Source: grub-core/script/parser.y of GRUB 2.06. `newlines` is any number of newlines; `part` is one `;` or newline, and
any newlines after it.

    script    newlines { (command | function) (";" | newline) newlines }
    function  "function" NAME newlines "{" commands part "}"
    command   simple | if | for | while | until
    simple    WORD { WORD | reserved } [ "{" commands [part] "}" ]
    if        "if" commands part "then" commands part
              { "elif" commands part "then" commands part } [ "else" commands part ] "fi"
    for       "for" NAME "in" { WORD | reserved } part "do" commands part "done"
    while     ("while" | "until") commands part "do" commands part "done"
    commands  newlines command { part command }

So an empty branch, an empty block, `a ; ; b`, `&&`, `||`, `|`, `&`, `<`, `>`, `case` and `select` are errors. For GRUB
such a line is gone and the next one is read; here the whole configuration is refused, as by `grub-script-check`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .cannot_tell import CannotTellError
from .lexer import END, NAME, NEWLINE, RESERVED, WORD, Part, Source, Token, tokens

Word = tuple[Part, ...]
_MEANINGS = {"&&": "and", "||": "or", "|": "a pipe", "&": "a background command", "<": "a redirection"}


@dataclass(frozen=True, slots=True)
class Block:
    """Commands in braces, and the text between them."""

    commands: tuple[Command, ...]
    text: str
    offset: int  # of the text, in the source


@dataclass(frozen=True, slots=True)
class Simple:
    """A command with its words, and a block where one follows them."""

    words: tuple[Word, ...]
    block: Block | None
    source: Source
    line: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class If:
    """Each condition with what is done where it holds; `other` where none does."""

    condition: tuple[Command, ...]
    then: tuple[Command, ...]
    other: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class For:
    """A loop over words."""

    name: str
    words: tuple[Word, ...]
    body: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class While:
    """A loop while a condition holds, or until it does."""

    condition: tuple[Command, ...]
    body: tuple[Command, ...]
    until: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A function is known from where it stands, whatever is executed around it."""

    name: str
    body: tuple[Command, ...]


Command = Simple | If | For | While
Statement = Simple | If | For | While | Function


def parse(source: Source) -> tuple[Statement, ...]:
    """Return the statements of a configuration. Raises CannotTellError for what is outside the grammar."""
    return _Parser(source).script()


class _Parser:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._tokens = list(tokens(source))
        self._at = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _expect(self, *kinds: str) -> Token:
        if self._next.kind not in kinds:
            raise self._unexpected(" or ".join(kinds))
        return self._take()

    def _unexpected(self, wanted: str) -> CannotTellError:
        token = self._next
        shown = token.text or _MEANINGS.get(token.kind, token.kind)
        what = f"{token.kind} ({shown})" if shown != token.kind else token.kind
        return CannotTellError(f"{what} where {wanted} is wanted", self._source.at(token.line))

    def _newlines(self) -> None:
        while self._next.kind == NEWLINE:
            self._at += 1

    def _part(self) -> None:
        self._expect(";", NEWLINE)
        self._newlines()

    def script(self) -> tuple[Statement, ...]:
        found: list[Statement] = []
        self._newlines()
        while self._next.kind != END:
            found.append(self._function() if self._next.kind == "function" else self._command())
            self._part()
        return tuple(found)

    def _function(self) -> Function:
        self._take()
        name = self._expect(NAME).text
        self._newlines()
        self._expect("{")
        body = self._commands("}")
        self._expect("}")
        return Function(name, body)

    def _commands(self, *ends: str) -> tuple[Command, ...]:
        """Return commands up to a sign or reserved word, the part before it taken."""
        self._newlines()
        found = [self._command()]
        self._part()
        while self._next.kind not in ends:
            found.append(self._command())
            self._part()
        return tuple(found)

    def _command(self) -> Command:
        kind = self._next.kind
        if kind in (WORD, NAME):
            return self._simple()
        if kind == "if":
            self._take()
            found = self._if()
            self._expect("fi")
            return found
        if kind == "for":
            return self._for()
        if kind in ("while", "until"):
            self._take()
            condition = self._commands("do")
            self._expect("do")
            body = self._commands("done")
            self._expect("done")
            return While(condition, body, kind == "until")
        raise self._unexpected("a command")

    def _words(self) -> list[Token]:
        found: list[Token] = []
        while self._next.kind in (WORD, NAME) or self._next.kind in RESERVED:
            found.append(self._take())
        return found

    def _simple(self) -> Simple:
        words = self._words()
        block = self._block() if self._next.kind == "{" else None
        end = self._tokens[self._at - 1].end
        parts = tuple(word.parts for word in words)
        return Simple(parts, block, self._source, words[0].line, words[0].start, end)

    def _block(self) -> Block:
        start = self._take().end
        self._newlines()
        commands = [self._command()]
        while True:
            parted = self._next.kind in (";", NEWLINE)
            if parted:
                self._part()
            if self._next.kind == "}":
                end = self._take().start
                return Block(tuple(commands), self._source.text[start:end], start)
            if not parted:
                raise self._unexpected("; or newline or }")
            commands.append(self._command())

    def _if(self) -> If:
        condition = self._commands("then")
        self._expect("then")
        then = self._commands("fi", "else", "elif")
        other: tuple[Command, ...] = ()
        if self._next.kind == "elif":
            self._take()
            other = (self._if(),)
        elif self._next.kind == "else":
            self._take()
            other = self._commands("fi")
        return If(condition, then, other)

    def _for(self) -> For:
        self._take()
        name = self._expect(NAME).text
        self._expect("in")
        words = tuple(word.parts for word in self._words())
        self._part()
        self._expect("do")
        body = self._commands("done")
        self._expect("done")
        return For(name, words, body)
