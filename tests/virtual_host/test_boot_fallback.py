"""Boots with new parameters that fail end with the host back on its old command line, without help from outside.

Needs a host that is not tuned yet: `quietcore vhost up --name NAME`, QUIETCORE_VHOST=NAME, pytest -m mutates_host.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.virtual_host.boots import boot_id, reboot, wait_for_another_boot

from quietcore import vhost
from quietcore.vhost import lifecycle

# Not among `make test`: it takes apart a host of its own, for many minutes.
pytestmark = [pytest.mark.mutates_host, pytest.mark.slow, pytest.mark.timeout(1200)]

REPOSITORY = Path(__file__).resolve().parents[2]
QUIETCORE = "/usr/local/sbin/quietcore"
MARK = "quietcore.trial="
ARMED = "armed"
MINUTES = 4


def play(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the site's part that matters here; no reboot."""
    command = ["ansible-playbook", "-i", "inventory/virtual", "site.yml", "-e", "quietcore_reboot_ok=false"]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")}
    wish = json.dumps({"boot_params_confirm_minutes": MINUTES})
    return subprocess.run(
        [*command, "-e", wish, *words],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def old(booted_host: vhost.Info) -> str:
    """The command line before anything was tuned, without what names the kernel."""
    line = booted_host.exec("cat /proc/cmdline", timeout=60).stdout.strip()
    assert "isolcpus" not in line, "the host is tuned already: make a new one"
    return line


@pytest.fixture(scope="module")
def armed(booted_host: vhost.Info, old: str) -> Iterator[vhost.Info]:
    """The host with its new parameters configured and its next boot on trial, kept as a snapshot."""
    done = play("--tags", "host_state,boot_params")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    stage = json.loads(booted_host.exec(f"{QUIETCORE} boot --json", timeout=100).stdout)
    assert stage["stage"] == "armed"
    vhost.snapshot(ARMED, progress=vhost.Progress(quiet=True))
    yield booted_host
    lifecycle.forget(ARMED)


@pytest.fixture
def host(armed: vhost.Info) -> vhost.Info:
    vhost.restore(ARMED, progress=vhost.Progress(quiet=True))
    return armed


def assert_back(host: vhost.Info, before: str, old: str) -> str:
    """The host is on its old command line; returns why it says it fell back."""
    line = wait_for_another_boot(host, before, without=MARK)
    assert line == old
    done = host.exec(f"{QUIETCORE} boot --json", timeout=100, check=False)
    assert done.returncode == 1, done.stdout
    value = json.loads(done.stdout)
    assert value["stage"] == "fell back"
    # It stays there: nothing tries again by itself.
    assert "next_entry=quietcore" not in host.exec("grub-editenv - list", timeout=60).stdout
    return str(value["reason"])


def put(host: vhost.Info, path: str, text: str) -> None:
    host.exec(f"mkdir -p {Path(path).parent} && printf '%s\\n' '{text}' > {path}", timeout=60)


def test_a_missing_root_falls_back(host: vhost.Info, old: str) -> None:
    host.exec(f"sed -i '/{MARK}/s,root=[^ ]*,root=/dev/nowhere,' /boot/grub/grub.cfg", timeout=60)
    assert "root=/dev/nowhere" in host.exec(f"grep {MARK} /boot/grub/grub.cfg", timeout=60).stdout
    reason = assert_back(host, reboot(host), old)
    assert "left no word" in reason


def test_emergency_mode_falls_back(host: vhost.Info, old: str) -> None:
    """As a file system that is missing does it: local-fs.target fails."""
    put(
        host,
        "/etc/systemd/system/breaks-here.service",
        "[Unit]\nDefaultDependencies=no\nBefore=local-fs.target\nConditionKernelCommandLine=quietcore.trial\n"
        "[Service]\nType=oneshot\nExecStart=/bin/false\n",
    )
    put(
        host,
        "/etc/systemd/system/local-fs.target.d/breaks.conf",
        "[Unit]\nRequires=breaks-here.service\nAfter=breaks-here.service\n",
    )
    reason = assert_back(host, reboot(host), old)
    assert "emergency mode" in reason
    assert "breaks-here.service" in reason


def test_a_boot_without_sshd_falls_back_and_the_play_says_so(host: vhost.Info, old: str) -> None:
    put(
        host,
        "/etc/systemd/system/ssh.service.d/breaks.conf",
        "[Unit]\nConditionKernelCommandLine=!quietcore.trial\n",
    )
    reason = assert_back(host, reboot(host), old)
    assert "sshd does not answer" in reason
    done = play("--tags", "boot_params")
    assert done.returncode == 2
    assert "fell back" in done.stdout
    assert "sshd does not answer" in done.stdout
    assert "remedy" in done.stdout


def test_a_healthy_boot_is_confirmed_and_stays(host: vhost.Info) -> None:
    line = wait_for_another_boot(host, reboot(host))
    assert MARK in line
    assert "isolcpus=managed_irq,domain,3-5" in line.split()
    done = host.exec(f"{QUIETCORE} boot wait", timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("confirmed")
    line = wait_for_another_boot(host, reboot(host))
    assert MARK not in line
    assert "panic=10" not in line.split()
    assert "isolcpus=managed_irq,domain,3-5" in line.split()
    assert boot_id(host)
