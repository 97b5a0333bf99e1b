"""The README's lines for one's own host, followed on the throw-away host as if it were one."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from quietcore import vhost

REPOSITORY = Path(__file__).resolve().parents[2]
RECAP = re.compile(r"^trader1 +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


def adopting_lines() -> list[str]:
    """The shell lines of the README's section, comments gone."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    match = re.search(r"<!-- adopt: a test runs these lines -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert match, "the README has no block to follow"
    return [re.sub(r"\s+#.*", "", line) for line in match[1].splitlines()]


def test_it_is_ten_lines_at_most() -> None:
    assert 5 <= len(adopting_lines()) <= 10


@pytest.mark.mutates_host
@pytest.mark.slow
# Five plays of the whole site: minutes each, and twice that where another emulated host runs beside. `make proof` runs
# them (readme-lines): as a part of `make test` they were a third of it.
@pytest.mark.timeout(3600)
def test_the_lines_work_on_a_host(booted_host: vhost.Info, inventory: dict[str, Any], tmp_path: Path) -> None:
    """Plan, check and diff, apply, apply with reboot: on a host that is already so, nothing changes."""
    mine = tmp_path / "mine"
    script = "\n".join(adopting_lines())
    assert "192.0.2.10" in script
    # The host of the example becomes this one; what only a virtual host needs goes where an owner's settings go.
    script = script.replace("inventory/mine", str(mine)).replace(
        "192.0.2.10",
        f"{inventory['ansible_host']}, ansible_ssh_common_args: '{inventory['ansible_ssh_common_args']}'",
    )
    # The build is there, as the rest of the tests needs it too.
    script = script.replace("make build\n", "")
    settings = {name: value for name, value in inventory.items() if not name.startswith("ansible_")}
    settings.pop("quietcore_reboot_ok")
    (mine / "group_vars").mkdir(parents=True)
    (mine / "group_vars/quietcore.yml").write_text(json.dumps(settings))
    # Molecule, which may have started these tests, asks for colours: they would stand between the figures.
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "F feed   S strategy" in done.stdout, "the plan was not shown"
    recaps = [tuple(map(int, found)) for found in RECAP.findall(done.stdout)]
    assert len(recaps) == 4, done.stdout[-3000:]
    for _, changed, unreachable, failed in recaps:
        assert (changed, unreachable, failed) == (0, 0, 0), done.stdout[-6000:]
