"""A file of our own, with exactly this content and mode."""

from __future__ import annotations

from typing import Any

from ...errors import QuietcoreError
from ..findings import Finding, Verdict
from ..machine import Machine, UnreadableError
from ..settings import Setting
from ..targets import read_target
from .base import APPLY, Change, Context, Kind, cannot_tell, refuse, report


class FileKind(Kind):
    """`name` is the path, `wanted` the content, `options.mode` the mode (0644)."""

    name = "file"
    applied = "written beside and renamed"

    def effective(self, setting: Setting) -> str:
        """Return where the effective value is read."""
        return setting.name

    def check(self, setting: Setting, machine: Machine) -> None:
        """Refuse relative paths and content that is no text."""
        if not setting.name.startswith("/") or "/../" in setting.name or not isinstance(setting.wanted, str):
            raise refuse(setting, "not a file", "an absolute path, and its content as text", setting.name)

    def judge(self, setting: Setting, context: Context) -> Finding:
        """Compare content and mode with those wanted."""
        wanted = _wanted(setting)
        text = f"{len(str(setting.wanted))} characters, mode {wanted['mode']}"
        try:
            found = read_target(context.machine, f"file:{setting.name}")
        except UnreadableError as error:
            return cannot_tell(setting, error)
        if found is None:
            return report(setting, Verdict.MISSING, "no such file", "it was removed", APPLY, text)
        if found == wanted:
            return report(setting, Verdict.OK, "as written", wanted=text)
        differs = "content" if found["content"] != wanted["content"] else f"mode {found['mode']}"
        return report(
            setting, Verdict.DRIFT, f"other {differs}", "edited by hand or by another program", APPLY, text
        )

    def changes(self, setting: Setting, context: Context) -> list[Change]:
        """Return the file, where it is another one."""
        target = f"file:{setting.name}"
        try:
            found = read_target(context.machine, target)
        except UnreadableError as error:
            raise QuietcoreError(
                "cannot be read, so it is not replaced", where=setting.name, found=str(error)
            ) from None
        wanted = _wanted(setting)
        return [] if found == wanted else [Change(target, found, wanted)]

    def owns(self, setting: Setting, target: str) -> bool:
        """Tell whether the target is the file, or a folder that was made for it."""
        kind, _, address = target.partition(":")
        return target == f"file:{setting.name}" or (
            kind == "folder" and setting.name.startswith(f"{address}/")
        )


def _wanted(setting: Setting) -> dict[str, Any]:
    return {"content": setting.wanted, "mode": str(setting.options.get("mode", "0644"))}
