"""The running throw-away host, reached over ssh: QUIETCORE_VHOST names it, `demo` by default."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quietcore import vhost
from quietcore.errors import QuietcoreError

REPOSITORY = Path(__file__).resolve().parents[2]
Sh = Callable[[str], str]


@pytest.fixture(scope="session")
def booted_host() -> vhost.Info:
    """The host; absent, the tests are skipped, or fail where QUIETCORE_REQUIRE_VHOST=1 demands it."""
    try:
        info = vhost.require_up()
        info.exec("true", timeout=60)
    except QuietcoreError as error:
        if os.environ.get("QUIETCORE_REQUIRE_VHOST") == "1":
            pytest.fail(f"QUIETCORE_REQUIRE_VHOST=1, but: {error}", pytrace=False)
        pytest.skip(f"{error} (QUIETCORE_REQUIRE_VHOST=1 makes this a failure)")
    return info


@pytest.fixture(scope="session")
def sh(booted_host: vhost.Info) -> Sh:
    """Runs a shell command on the host and returns its output; the test fails where the command does."""

    def run(command: str) -> str:
        return booted_host.exec(command, timeout=100).stdout

    return run


@pytest.fixture(scope="session")
def plan(sh: Sh) -> dict[str, Any]:
    """The core plan as it lies on the host."""
    found: dict[str, Any] = json.loads(sh("cat /etc/quietcore/plan.json"))
    return found


@pytest.fixture(scope="session")
def inventory(booted_host: vhost.Info) -> dict[str, Any]:
    """The inventory's variables for the host; where connection and secrets are templates, what they come to."""
    if shutil.which("ansible-inventory") is None:
        pytest.fail(
            "ansible-inventory is not on PATH; put the virtual environment's bin there", pytrace=False
        )
    command = ["ansible-inventory", "-i", str(REPOSITORY / "inventory" / "virtual"), "--host", "virtual"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    variables: dict[str, Any] = json.loads(done.stdout)
    found = {name: value for name, value in variables.items() if not name.startswith("quietcore_vhost_")}
    connection = {
        "ansible_host": booted_host.host,
        "ansible_port": booted_host.port,
        "ansible_ssh_common_args": f'-F "{booted_host.ssh_config}"',
    }
    secret = hashlib.sha256(booted_host.places.identity.read_bytes().rstrip()).hexdigest()
    return found | connection | {"runtime_api_secret": secret, "simulator_api_secret": secret}
