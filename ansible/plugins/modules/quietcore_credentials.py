#!/usr/bin/python
"""Ansible module: secrets as systemd credentials, encrypted for this one host, so that no file holds them in clear."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: quietcore_credentials
short_description: Keep secrets as encrypted systemd credentials
description:
  - Writes each secret to C(/etc/quietcore/credentials/<name>.cred) by C(systemd-creds encrypt), which binds it to
    this host's key and TPM where it has one. A unit takes it with
    C(LoadCredentialEncrypted=<name>:/etc/quietcore/credentials/<name>.cred).
  - A file that decrypts to the wanted secret stays as it is; a secret changed in the inventory replaces it.
options:
  secrets: {description: "Secrets by name; for C(absent) the values do not matter.", type: dict, required: true}
  state: {description: "Whether they are there.", type: str, choices: [present, absent], default: present}
  folder: {description: "Where the files lie.", type: path, default: /etc/quietcore/credentials}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none, details: "A difference between secrets is not for a log."}
author: The Quietcore authors
"""
EXAMPLES = r"""
- name: Keep the key pair
  quietcore_credentials:
    secrets:
      api_key: "{{ vault_api_key }}"
      api_secret: "{{ vault_api_secret }}"
  no_log: true
"""
RETURN = r"""
names: {description: Names of what was (or would be) written or removed., type: list, elements: str, returned: always}
"""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# systemd refuses larger credentials.
LARGEST = 1 << 20


class CredentialError(Exception):
    """A secret could not be kept; nothing half written was left behind."""


def creds(verb: str, name: str, data: bytes) -> bytes:
    """Run `systemd-creds encrypt` or `decrypt` on data. Raises CredentialError; the message holds no secret."""
    command = ["systemd-creds", verb, f"--name={name}", "-", "-"]
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False)
    except FileNotFoundError:
        raise CredentialError(
            "no encrypted credentials on this host; where: systemd-creds; found: not installed; "
            "expected: systemd 250 or newer; remedy: update systemd"
        ) from None
    if done.returncode:
        raise CredentialError(
            f"systemd-creds cannot {verb}; where: {name}; found: {done.stderr.decode(errors='replace').strip()}; "
            "remedy: see `systemd-creds setup`"
        )
    return done.stdout


def bring(
    folder: Path,
    secrets: Mapping[str, str],
    check: bool,
    seal: Callable[[str, str, bytes], bytes] = creds,
) -> list[str]:
    """Make the folder hold these secrets and return the names of those that changed."""
    for name, secret in secrets.items():
        if not NAME.fullmatch(name):
            raise CredentialError(f"not a credential's name: {name!r}; expected letters, digits and _.-")
        if not isinstance(secret, str) or not 0 < len(secret.encode()) <= LARGEST:
            raise CredentialError(f"not a secret; where: {name}; expected: a text of 1 to {LARGEST} bytes")
    changed = [name for name, secret in secrets.items() if not _holds(folder, name, secret.encode(), seal)]
    if changed and not check:
        for path in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
            path.mkdir(mode=0o700)
            path.chmod(0o755)  # whatever the umask is: others pass through to what is theirs
        folder.chmod(0o700)
        for name in changed:
            _write(folder, name, seal("encrypt", name, secrets[name].encode()))
    return changed


def remove(folder: Path, names: Mapping[str, str], check: bool) -> list[str]:
    """Remove these credentials, and the folder where it is empty then; return the names of those that were there."""
    there = [name for name in names if (folder / f"{name}.cred").exists()]
    if not check:
        for name in there:
            (folder / f"{name}.cred").unlink()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return there


def _holds(folder: Path, name: str, secret: bytes, seal: Callable[[str, str, bytes], bytes]) -> bool:
    path = folder / f"{name}.cred"
    try:
        if path.stat().st_mode & 0o077:
            return False
        return seal("decrypt", name, path.read_bytes()) == secret
    except (FileNotFoundError, CredentialError):
        # Damaged, or sealed by another host's key: it is written again.
        return False


def _write(folder: Path, name: str, sealed: bytes) -> None:
    beside = folder / f".{name}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(sealed)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / f"{name}.cred")


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "secrets": {"type": "dict", "required": True, "no_log": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "folder": {"type": "path", "default": "/etc/quietcore/credentials"},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        if given["state"] == "absent":
            names = remove(Path(given["folder"]), given["secrets"], module.check_mode)
        else:
            names = bring(Path(given["folder"]), given["secrets"], module.check_mode)
    except (CredentialError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(names), names=names)


if __name__ == "__main__":
    main()
