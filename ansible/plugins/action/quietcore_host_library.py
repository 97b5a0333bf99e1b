"""Reads the host part of the library on the controller and hands it to the module, in one transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

# The package as it lies beside the roles; resolved, because roles reach this file through a symbolic link.
PACKAGE = Path(__file__).resolve().parents[3] / "runtime" / "quietcore"
PARTS = ("__init__.py", "__main__.py", "errors.py", "shortage.py", "cli/__init__.py", "cli/main.py", "host")


def library_files(package: Path = PACKAGE) -> dict[str, str]:
    """Return the files of the host part by their path below the folder that holds the package."""
    paths: list[Path] = []
    for part in PARTS:
        place = package / part
        paths += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return {str(path.relative_to(package.parent)): path.read_text(encoding="utf-8") for path in paths}


class ActionModule(ActionBase):
    """Adds the files to the module's arguments."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module with the files of the controller's checkout."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get("state", "present") == "present":
            arguments["files"] = library_files()
        result.update(
            self._execute_module(
                module_name="quietcore_host_library", module_args=arguments, task_vars=task_vars
            )
        )
        # The content would only fill the log: the paths that changed are in the result.
        result.get("invocation", {}).get("module_args", {}).pop("files", None)
        return result
