#!/usr/bin/python
"""Keeps the host part of Quietcore's library on a host. Called through the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: quietcore_host_library
short_description: Install the host's commands (plan, apply, audit, revert) on a host, without a release
description:
  - Copies C(quietcore.host), which needs only Python's standard library, from the controller in one transfer.
  - C(path) then holds exactly these files; bytecode is left alone.
options:
  path:
    description: Folder on the host.
    type: path
    default: /opt/quietcore/host
  state:
    description: Whether the library is there.
    type: str
    choices: [present, absent]
    default: present
  files:
    description: Content by path below C(path). Filled in by the action plugin.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author:
  - Quietcore
"""

EXAMPLES = r"""
- name: Install the host's commands
  quietcore_host_library:
    path: /opt/quietcore/host
"""

RETURN = r"""
files_changed:
  description: Paths that were written or removed.
  type: list
  elements: str
  returned: success
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def installed(path: Path) -> dict[str, str]:
    """Return the content of the files below a folder, bytecode left out."""
    return {
        str(file.relative_to(path)): file.read_text(encoding="utf-8", errors="replace")
        for file in path.rglob("*")
        if file.is_file() and file.parent.name != "__pycache__"
    }


def remove_empty(folder: Path) -> None:
    """Remove the folder above, unless a release is in it."""
    if folder.name == "quietcore" and not any(folder.iterdir()):
        folder.rmdir()


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, each 0755 whatever the umask is."""
    for path in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        path.mkdir()
        path.chmod(0o755)


def write(path: Path, content: str) -> None:
    """Write a file beside its place and rename it."""
    make_folders(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)


def line(name: str, content: str) -> str:
    """Return a file as one line of a diff: its name and what its content is known by."""
    return f"{hashlib.sha256(content.encode()).hexdigest()[:12]} {name}\n"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/opt/quietcore/host"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "files": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    path, state = Path(module.params["path"]), module.params["state"]
    wanted: dict[str, str] = module.params["files"] if state == "present" else {}
    if state == "present" and not wanted:
        module.fail_json(msg="no files were given: the action plugin quietcore_host_library was not found")
    found = installed(path)
    changed = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    gone = state == "absent" and path.is_dir()
    if not module.check_mode:
        if gone:
            shutil.rmtree(path)
            remove_empty(path.parent)
        for name in changed if state == "present" else ():
            if name in wanted:
                write(path / name, wanted[name])
            else:
                (path / name).unlink()
    lines = {
        "before": "".join(line(name, found[name]) for name in sorted(found) if name in changed),
        "after": "".join(line(name, wanted[name]) for name in sorted(wanted) if name in changed),
        "before_header": str(path),
        "after_header": str(path),
    }
    module.exit_json(changed=bool(changed or gone), files_changed=changed, diff=lines)


if __name__ == "__main__":
    main()
