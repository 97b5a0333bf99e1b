"""The command `test`, also written `[ … ]`. Source: grub-core/commands/test.c of GRUB 2.06.

    expression  terms from left to right; `-o` parts alternatives, `-a` and nothing at all both mean "and"
    term        A = B, A == B, A != B, A < B, A <= B, A > B, A >= B     as texts, byte by byte
                A -eq B, -ne, -lt, -le, -gt, -ge                        as numbers in a C int; no number is 0
                A -plt B, A -pgt B                                      as numbers after what both begin with
                -e FILE, -f FILE, -d FILE, -s FILE                      -s: a file that is not empty
                -n TEXT, -z TEXT, TEXT                                  TEXT alone: not empty
                ( expression )      ! term

Signs stand in quotes, since `<`, `>` and `|` end a word. Three words are tried first, so `! = x` compares. `-nt` and
`-ot` (times of files) are refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .numbers import number, signed

_TEXTS: dict[str, Callable[[bytes, bytes], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": operator.eq,
    "-ne": operator.ne,
    "-lt": operator.lt,
    "-le": operator.le,
    "-gt": operator.gt,
    "-ge": operator.ge,
}
FILE_TESTS = ("-d", "-e", "-f", "-s")


@dataclass
class Condition:
    """One evaluation; `file` answers a file test (operator, path), `refuse` raises for what is outside the grammar."""

    words: Sequence[str]
    file: Callable[[str, str], bool]
    refuse: Callable[[str], Exception]
    _at: int = 0

    def holds(self) -> bool:
        """Return the expression's value."""
        alternatives, conjunction, inverted = False, True, False

        def take(value: bool, count: int) -> None:
            nonlocal conjunction, inverted
            conjunction = conjunction and value != inverted
            inverted = False
            self._at += count

        while self._at < len(self.words):
            left = len(self.words) - self._at
            word = self.words[self._at]
            if left > 2:
                value = self._compared(word, self.words[self._at + 1], self.words[self._at + 2])
                if value is not None:
                    take(value, 3)
                    continue
            if left > 1:
                operand = self.words[self._at + 1]
                if word in FILE_TESTS:
                    take(self.file(word, operand), 2)
                    continue
                if word in ("-n", "-z"):
                    take((operand != "") == (word == "-n"), 2)
                    continue
            if word == ")":
                self._at += 1
                break
            if word == "(":
                self._at += 1
                take(self.holds(), 0)
            elif word == "!":
                inverted = not inverted
                self._at += 1
            elif word == "-a":
                self._at += 1
            elif word == "-o":
                alternatives, conjunction = alternatives or conjunction, True
                self._at += 1
            else:
                take(word != "", 1)
        return alternatives or conjunction

    def _compared(self, first: str, sign: str, second: str) -> bool | None:
        if sign in _TEXTS:
            return _TEXTS[sign](first.encode("latin-1"), second.encode("latin-1"))
        if sign in _NUMBERS:
            return _NUMBERS[sign](signed(first), signed(second))
        if sign in ("-pgt", "-plt"):
            common = _common(first, second)
            values = [number(text[common:]) for text in (first, second)]
            one, two = (0 if value is None else value.value for value in values)
            return one > two if sign == "-pgt" else one < two
        if sign[:3] in ("-nt", "-ot"):
            raise self.refuse(f"a comparison of files' times ({sign})")
        return None


def _common(first: str, second: str) -> int:
    """Return how much both begin with, digits at its end not counted."""
    common = 0
    while common < min(len(first), len(second)) and first[common] == second[common]:
        common += 1
    common -= 1
    while common > 0 and first[common] in "0123456789":
        common -= 1
    return common + 1
