"""Why something about a host is not known: it is not there, it cannot be read, or it is not what was expected.

None of them is ever taken for "fine": a setting that meets one is `unsupported here` or "cannot be read".
"""

from __future__ import annotations

from ..errors import ExitCode, QuietcoreError


class AbsentError(Exception):
    """The file is not there although the tree around it is: the kernel or the system does not offer it."""


class EndedError(AbsentError):
    """The process or thread that a file of /proc is about ended before it could be read."""


class UnreadableError(Exception):
    """Nobody can tell: not permitted, an input/output error, or a tree that was never copied."""


class NotUnderstoodError(QuietcoreError, UnreadableError):
    """A text of the kernel or of a tool that is not of the written form, so nothing in it is believed.

    It is both kinds of error: an audit says "cannot be read", a command ends with exit code 3.
    """

    def __init__(self, what: str, *, where: str, found: object, expected: object) -> None:
        shown = found if isinstance(found, int) else repr(str(found)[:80])
        super().__init__(what, where=where, found=shown, expected=expected, code=ExitCode.UNKNOWN)
