"""The host's own copy of this library, used in place of the one that came with a task.

Ansible sends a module and what it imports as a zip file. Python keeps no bytecode of a zip file's members, so each task
compiles thousands of lines anew: more work than all else that most tasks do. The library that the role `host_state`
installs keeps its bytecode. It is used only where every file that came is there, the same to the byte.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from zipimport import zipimporter

INSTALLED = Path("/opt/quietcore/host/quietcore")


def is_same(archive: str, package: str, installed: Path) -> bool:
    """Return whether each member of ``package`` in a zip file is a file of ``installed``, the same to the byte."""
    folder = package.replace(".", "/") + "/"
    with zipfile.ZipFile(archive) as sent:
        members = [name for name in sent.namelist() if name.startswith(folder) and name.endswith(".py")]
        try:
            return bool(members) and all(
                (installed / name.removeprefix(folder)).read_bytes() == sent.read(name)
                for name in members
                if name != folder + Path(__file__).name
            )
        except OSError:
            return False


def prefer_installed(installed: Path = INSTALLED) -> bool:
    """Have this package's other modules imported from ``installed``, if they are the same; return whether they are.

    Call it before they are imported. Does nothing where the package did not come in a zip file.
    """
    package = sys.modules[__package__]
    loader = getattr(package, "__loader__", None)
    if not isinstance(loader, zipimporter) or not is_same(loader.archive, __package__, installed):
        return False
    package.__path__ = [str(installed)]
    return True
