"""The venue's secret is on the host sealed, and in the processes that use it: nobody else can read it there."""

from __future__ import annotations

import hashlib
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests import secret_search

from quietcore import vhost

# Seconds; but an emulated host on a busy machine takes its time.
pytestmark = [pytest.mark.virtual_host, pytest.mark.timeout(300)]

# Runs on the host behind the text of secret_search. A word is planted there as the secret is unsealed there: neither
# is on any command line of ours. Left out are the packages of others, which are the same on every host.
LOOK = textwrap.dedent(
    """
    import hashlib, json, secrets

    FOLDERS = (
        "/dev/shm", "/etc", "/home", "/opt/quietcore/machine-code", "/opt/quietcore/releases", "/root", "/srv", "/tmp",
        "/run/quietcore", "/run/quietcore-gate", "/run/quietcore-guard", "/var/cache/quietcore", "/var/crash",
        "/var/lib/quietcore", "/var/lib/systemd", "/var/log", "/var/spool", "/var/tmp",
    )


    def unsealed(name):
        file = f"/etc/quietcore/credentials/{name}.cred"
        command = ["systemd-creds", "decrypt", f"--name={name}", file, "-"]
        return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()


    secret, word = unsealed("api_secret"), secrets.token_hex(20)
    file = Path("/var/log/quietcore-planted.log")
    file.write_bytes(base64.b64encode(b"who:" + word.encode()))
    subprocess.run(["systemd-cat", "--identifier=quietcore-planted"], input=word.encode(), check=True)
    subprocess.run(["journalctl", "--sync"], check=True)
    showing = subprocess.Popen(["/bin/sh", "-c", "read _", word], stdin=subprocess.PIPE, env={"PLANTED": word})
    try:
        places = [*map(Path, FOLDERS), *Path("/").glob("core*")]
        found = [*in_files(places, [secret, word]), *in_processes([secret, word]), *in_journal([secret, word])]
    finally:
        file.unlink()
        showing.communicate(bytes([10]))
    print(json.dumps({
        "secret": hashlib.sha256(secret.encode()).hexdigest(),
        "same": unsealed("simulator_api_secret") == secret,
        "found": [place for which, place in found if which == secret],
        "planted": [place for which, place in found if which == word],
    }))
    """
)


@pytest.fixture(scope="module")
def looked(booted_host: vhost.Info) -> dict[str, Any]:
    program = Path(secret_search.__file__).read_text(encoding="utf-8") + LOOK
    done = booted_host.exec("python3 -", input_text=program, timeout=240)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_is_looked_for_is_the_secret_in_use(looked: dict[str, Any], inventory: dict[str, Any]) -> None:
    assert looked["secret"] == hashlib.sha256(inventory["runtime_api_secret"].encode()).hexdigest()
    assert looked["same"], "the simulator has another: the runtime could not trade"


def test_no_file_log_release_process_or_journal_has_it(looked: dict[str, Any]) -> None:
    assert looked["found"] == []


def test_a_word_that_was_planted_is_found(looked: dict[str, Any]) -> None:
    """The control: the same search, of a word that lies where the secret must not."""
    expected = {"/var/log/quietcore-planted.log", "cmdline of sh", "environ of sh", "journal"}
    assert expected <= set(looked["planted"]), looked["planted"]
