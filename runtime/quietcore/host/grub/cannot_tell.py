"""The one answer where the evaluator does not know what GRUB would do."""

from __future__ import annotations

from ...errors import ExitCode, QuietcoreError


class CannotTellError(QuietcoreError):
    """A part of a configuration that is outside the grammar, named; nothing is guessed in its place."""

    def __init__(self, what: str, where: str, found: object = None) -> None:
        super().__init__(
            f"cannot tell what GRUB makes of this: {what}",
            where=where,
            found=found,
            remedy="take it out of GRUB's configuration, or configure the boot without a trial",
            code=ExitCode.UNKNOWN,
        )
        self.reason = what
