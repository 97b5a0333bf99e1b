"""A file of our own for a program that may not be installed: needed only where it is."""

from __future__ import annotations

from ..findings import Finding, Verdict
from ..machine import Machine
from ..settings import Setting
from .base import Change, Context, refuse, report
from .file import FileKind


class DropInKind(FileKind):
    """As `file`; `options.of` is a path that is there where the program is."""

    name = "drop_in"
    applied = "written beside and renamed, where its program is installed"

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse what is no file, or of no program."""
        super().check(setting, machine)
        if not str(setting.options.get("of", "")).startswith("/"):
            raise refuse(
                setting, "not a file of a program", "options.of: a path of the program", setting.name
            )

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare content and mode where the program is there."""
        if not context.machine.exists(str(setting.options["of"])):
            return report(setting, Verdict.OK, "not installed", wanted="as written, where it is installed")
        return super().judge(setting, context)

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the file, where it is another one and the program is there."""
        if not context.machine.exists(str(setting.options["of"])):
            return []
        return super().changes(setting, context)
