"""GRUB configurations in which a trial would not fall back: refused before anything is armed, the file at fault named,
and the old parameters boot, also where the candidate panics.

Needs a host that is not tuned yet: `quietcore vhost up --name NAME`, QUIETCORE_VHOST=NAME, pytest -m mutates_host.
"""

import json

import pytest
from tests.virtual_host.boots import reboot, wait_for_another_boot
from tests.virtual_host.test_boot_fallback import MARK, QUIETCORE, play

from quietcore import vhost

pytestmark = [pytest.mark.mutates_host, pytest.mark.slow, pytest.mark.timeout(7200)]

LATER = "/etc/default/grub.d/zzz-later.cfg"
LAST = "/etc/grub.d/95_last"
MKCONFIG = "/usr/sbin/grub-mkconfig"
PANIC = f"sed -i '/{MARK}/s,root=,init=/bin/false root=,' /boot/grub/grub.cfg"
# Ways in which another file has the last word: how it comes and goes, and what the refusal names.
SHAPES = {
    "a later drop-in sets GRUB_DEFAULT": (
        f"echo GRUB_DEFAULT=0 > {LATER}",
        f"rm {LATER}",
        f"{LATER}: line 1 sets GRUB_DEFAULT=0",
    ),
    "a script at the menu's end sets default": (
        f"printf '#!/bin/sh\\necho \"set default=0\"\\n' > {LAST} && chmod 755 {LAST}",
        f"rm {LAST}",
        f"{LAST} sets default=0",
    ),
    "a later drop-in sets the parameters anew": (
        f"echo 'GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"' > {LATER}",
        f"rm {LATER}",
        f"{LATER}: line 1 sets GRUB_CMDLINE_LINUX_DEFAULT=",
    ),
    "the folder of drop-ins is ignored": (
        f"sed -i.kept 's,default/grub.d/,default/no-such-folder/,g' {MKCONFIG}",
        f"mv {MKCONFIG}.kept {MKCONFIG}",
        f"{MKCONFIG} does not read /etc/default/grub.d",
    ),
}


def state(host: vhost.Info) -> str:
    """What decides the next boots: the menu, GRUB's environment, our files."""
    looked = "sha256sum /boot/grub/grub.cfg; grub-editenv - list; ls /etc/grub.d /etc/default/grub.d"
    return host.exec(looked, timeout=200).stdout


@pytest.fixture(scope="module")
def old(booted_host: vhost.Info) -> str:
    """The command line before anything was tuned."""
    line = booted_host.exec("cat /proc/cmdline", timeout=60).stdout.strip()
    assert "isolcpus" not in line, "the host is tuned already: make a new one"
    return line


@pytest.fixture(scope="module")
def refused(booted_host: vhost.Info, old: str) -> dict[str, str]:
    """Each shape tried, the first by the play: what is said of it; then a boot, which is the old one."""
    said: dict[str, str] = {}
    for number, (name, (come, go, _)) in enumerate(SHAPES.items()):
        booted_host.exec(come, timeout=60)
        before = state(booted_host)
        if number == 0:
            done = play("--tags", "host_state,boot_params")
            assert done.returncode == 2, done.stdout[-3000:]
            said[name] = done.stdout.replace('\\"', '"')
        else:
            answer = booted_host.exec(f"{QUIETCORE} apply", timeout=600, check=False)
            assert answer.returncode != 0, answer.stdout
            said[name] = answer.stdout + answer.stderr
        assert state(booted_host) == before, f"{name}: as it was"
        stage = json.loads(booted_host.exec(f"{QUIETCORE} boot --json", timeout=200).stdout)["stage"]
        assert stage == "none"
        print(f"{name}: refused", flush=True)
        booted_host.exec(go, timeout=60)
    booted_host.exec(PANIC, timeout=60)  # whatever could still boot a candidate would panic
    assert wait_for_another_boot(booted_host, reboot(booted_host), seconds=2400) == old
    print(f"the boot after the refusals: {old}", flush=True)
    return said


@pytest.mark.parametrize("shape", SHAPES)
def test_a_trial_that_would_not_fall_back_is_refused(refused: dict[str, str], shape: str) -> None:
    assert SHAPES[shape][2] in refused[shape], refused[shape][-3000:]


def fell_back(host: vhost.Info, before: str) -> str:
    """Wait for the boot after a candidate that panics; returns its command line. Nobody calls it confirmed."""
    line = wait_for_another_boot(host, before, without=MARK, seconds=2400)
    stage = json.loads(host.exec(f"{QUIETCORE} boot --json", timeout=200, check=False).stdout)
    assert stage["stage"] == "fell back"
    print(f"after the panic: {line}", flush=True)
    return line


def test_a_panic_of_the_candidate_boots_the_old_parameters(
    booted_host: vhost.Info, refused: dict[str, str], old: str
) -> None:
    answer = booted_host.exec(f"{QUIETCORE} apply", timeout=600, check=False)
    assert json.loads(booted_host.exec(f"{QUIETCORE} boot --json", timeout=200).stdout)["stage"] == "armed", (
        answer.stdout
    )
    booted_host.exec(PANIC, timeout=60)
    assert fell_back(booted_host, reboot(booted_host)) == old


def test_new_parameters_that_boot_after_a_panic_are_not_called_confirmed(
    booted_host: vhost.Info, refused: dict[str, str]
) -> None:
    """The default is changed once the trial is armed: nobody can refuse that, but nobody calls it confirmed."""
    booted_host.exec(f"grub-mkconfig -o /boot/grub/grub.cfg; {QUIETCORE} boot retry", timeout=600)
    booted_host.exec(f"{SHAPES['a later drop-in sets GRUB_DEFAULT'][0]}; update-grub; {PANIC}", timeout=600)
    assert "isolcpus" in fell_back(booted_host, reboot(booted_host)), "GRUB's default has the new parameters"
