#!/usr/bin/python
"""Ansible module: unpack a content-named archive on the target, beside and renamed, so that it is whole or absent."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: quietcore_unpack
short_description: Unpack an archive named by its content into a folder that is whole or absent
description:
  - Unpacks a .tar.gz that lies on the target into a new folder beside O(dest), checks its SHA-256 on the way, and
    renames the folder into place. Does nothing where O(dest) exists, because its name tells its content.
options:
  src: {description: "The archive, on the target.", type: path, required: true}
  dest: {description: "The folder to make.", type: path, required: true}
  sha256: {description: "Expected hash of the archive, hexadecimal.", type: str, required: true}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author: The Quietcore authors
"""
EXAMPLES = r"""
- name: Unpack the release
  quietcore_unpack:
    src: /opt/quietcore/incoming/release.tar.gz
    dest: /opt/quietcore/releases/0.1.0-1a2b3c4d5e6f
    sha256: "{{ release.archive_sha256 }}"
"""
RETURN = r"""
dest: {description: The folder., type: str, returned: always}
"""

import hashlib
import os
import shutil
import tarfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


class UnpackError(Exception):
    """The archive is not what was expected; nothing was left behind."""


def make_folders(folder: str) -> None:
    """Make a folder and those above it, each 0755 whatever the umask is: services of other users read what is there."""
    if os.path.isdir(folder):
        return
    make_folders(os.path.dirname(folder))
    os.mkdir(folder)
    Path(folder).chmod(0o755)


def unpack(src: str, dest: str, sha256: str) -> None:
    """Unpack ``src`` to ``dest`` by way of a folder beside it; raise UnpackError for a wrong hash or a bad archive."""
    with open(src, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != sha256:
        raise UnpackError(
            f"archive damaged: {src}; found sha256 {digest.hexdigest()}; expected {sha256}; remedy: run the play again"
        )
    beside = dest + ".new"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        make_folders(beside)
        with tarfile.open(src, "r:gz") as tar:
            # Filters came with Python 3.11.4, and Debian 12 has 3.11.2; the hash says that the archive is ours.
            if hasattr(tarfile, "tar_filter"):
                tar.extractall(beside, filter="tar")
            else:
                tar.extractall(beside)
        Path(beside).chmod(0o755)
        # A folder under its name counts as whole: its files have to be on the disk before a power cut can meet it.
        os.sync()
        os.rename(beside, dest)
        os.sync()
    except (OSError, tarfile.TarError) as error:
        raise UnpackError(f"cannot unpack {src} to {dest}: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "sha256": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    src, dest = module.params["src"], module.params["dest"]
    if os.path.isdir(dest):
        module.exit_json(changed=False, dest=dest)
    if not module.check_mode:
        try:
            unpack(src, dest, module.params["sha256"])
        except UnpackError as error:
            module.fail_json(msg=str(error), dest=dest)
    module.exit_json(
        changed=True,
        dest=dest,
        diff={"before": "", "after": f"{dest}/\n", "before_header": dest, "after_header": dest},
    )


if __name__ == "__main__":
    main()
