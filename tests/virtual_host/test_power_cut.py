"""The power goes while GRUB's menu is written, and the disk is full while things are put back: nothing is left half.

Needs a host that is not tuned yet: `quietcore vhost up --name NAME`, QUIETCORE_VHOST=NAME, pytest -m mutates_host.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from tests.virtual_host.boots import boot_id, wait_for_another_boot

from quietcore import vhost
from quietcore.errors import QuietcoreError
from quietcore.vhost.monitor import Monitor

# Not among `make test`: it takes apart a host of its own, for many minutes.
pytestmark = [pytest.mark.mutates_host, pytest.mark.slow, pytest.mark.timeout(1200)]

REPOSITORY = Path(__file__).resolve().parents[2]
QUIETCORE = "/usr/local/sbin/quietcore"
ROLES = "host_state,boot_params"


def play() -> "subprocess.Popen[str]":
    command = ["ansible-playbook", "-i", "inventory/virtual", "site.yml", "--tags", ROLES]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")}
    return subprocess.Popen(
        [*command, "-e", "quietcore_reboot_ok=false"],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until_the_menu_is_written(host: vhost.Info, running: "subprocess.Popen[str]") -> None:
    # One connection that looks often: grub-mkconfig takes a few seconds only.
    look = "for i in $(seq 3000); do pgrep -f /usr/sbin/[g]rub-mkconfig >/dev/null && exit 0; sleep 0.1; done; exit 1"
    host.exec(look, timeout=400)
    assert running.poll() is None, "the play had ended before the cut"


def test_power_cut_while_the_menu_is_written(booted_host: vhost.Info) -> None:
    host = booted_host
    old = host.exec("cat /proc/cmdline", timeout=60).stdout.strip()
    assert "isolcpus" not in old, "the host is tuned already: make a new one"
    before = boot_id(host)
    running = play()
    try:
        wait_until_the_menu_is_written(host, running)
        with Monitor(host.places.folder) as monitor:
            monitor.command("system_reset")  # what was not on the disk is gone
    finally:
        running.terminate()
        running.communicate()
    line = wait_for_another_boot(host, before)
    assert line == old, "neither half a menu nor parameters that nobody watches"
    host.exec("grub-script-check /boot/grub/grub.cfg", timeout=60)
    leftovers = host.exec("ls -A /boot/grub /etc/grub.d /etc/default/grub.d", timeout=60).stdout
    assert ".42_quietcore" not in leftovers, "a file that was being written"
    done = play()
    said, _ = done.communicate(timeout=600)
    assert done.returncode == 0, said[-4000:]
    stage = json.loads(host.exec(f"{QUIETCORE} boot --json", timeout=100).stdout)
    assert stage["stage"] == "armed", "the next run finished the work"


def test_full_disk_while_things_are_put_back(booted_host: vhost.Info) -> None:
    """After the test above: the trial is armed. Undo on a full disk fails with the reason; with room it finishes."""
    host = booted_host
    host.exec("cp /boot/grub/grub.cfg /run/menu; sync", timeout=100)
    host.exec("head -c 100G /dev/zero > /root/fills-the-disk || true; sync; df / | tail -1", timeout=300)
    # What undo frees by removing files is taken at once.
    host.exec(
        "systemd-run --quiet --unit=fills-the-disk "
        "sh -c 'while sleep 0.02; do head -c 1M /dev/zero >> /root/fills-the-disk; done'",
        timeout=60,
    )
    try:
        done = host.exec(f"{QUIETCORE} revert --role boot_params", timeout=300, check=False)
        assert done.returncode != 0, done.stdout
        assert "No space left" in done.stdout + done.stderr, done.stdout + done.stderr
        host.exec("grub-script-check /boot/grub/grub.cfg", timeout=60)
    finally:
        host.exec("systemctl stop fills-the-disk; rm -f /root/fills-the-disk; sync", timeout=200)
    done = host.exec(f"{QUIETCORE} revert --role boot_params", timeout=300)
    assert " 0 failed" in done.stdout
    assert "isolcpus" not in host.exec("cat /boot/grub/grub.cfg", timeout=60).stdout
    assert not host.exec("grub-editenv - list", timeout=60).stdout.strip()


def test_the_tool_killed_in_the_middle_is_finished_by_the_next_run(booted_host: vhost.Info) -> None:
    """After the tests above: apply is killed by signal 9 while GRUB's menu is written."""
    host = booted_host
    done = play()
    said, _ = done.communicate(timeout=600)
    assert done.returncode == 0, said[-4000:]
    host.exec(
        f"echo '# somebody edited it' >> /etc/default/grub.d/zz-quietcore.cfg; rm /boot/grub/grub.cfg; "
        f"setsid {QUIETCORE} apply >/run/apply.log 2>&1 & pid=$!; "
        "for i in $(seq 600); do pgrep -f /usr/sbin/[g]rub-mkconfig >/dev/null && break; sleep 0.1; done; "
        "kill -9 -- -$pid; sleep 1; pkill -9 -f /usr/sbin/[g]rub-mkconfig; true",
        timeout=300,
    )
    deadline = time.monotonic() + 200
    while True:
        try:
            applied = host.exec(f"{QUIETCORE} apply", timeout=200)
            break
        except QuietcoreError:
            assert time.monotonic() < deadline
            time.sleep(2)  # what was killed may still hold the lock for a moment
    assert " 0 failed" in applied.stdout
    host.exec("grub-script-check /boot/grub/grub.cfg", timeout=60)
    assert "quietcore-candidate" in host.exec("cat /boot/grub/grub.cfg", timeout=60).stdout
