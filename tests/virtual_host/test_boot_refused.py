"""GRUB configurations in which a trial would not fall back: refused before anything is armed, the file at fault named,
and the old parameters boot, also where the candidate panics.

Needs a host that is not tuned yet: `quietcore vhost up --name NAME`, QUIETCORE_VHOST=NAME, pytest -m mutates_host.
"""

import json
from collections.abc import Iterator

import pytest
from tests.virtual_host.boots import reboot, wait_for_another_boot
from tests.virtual_host.test_boot_fallback import MARK, QUIETCORE, play

from quietcore import vhost
from quietcore.vhost import lifecycle

pytestmark = [pytest.mark.mutates_host, pytest.mark.slow, pytest.mark.timeout(7200)]

UNTUNED = "untuned"
LATER = "/etc/default/grub.d/zzz-later.cfg"
# Each is a way in which another file has the last word, and what the refusal names.
SHAPES = {
    "a later drop-in sets GRUB_DEFAULT": (
        f"echo GRUB_DEFAULT=0 > {LATER}",
        f"{LATER}: line 1 sets GRUB_DEFAULT=0",
    ),
    "a script at the menu's end sets default": (
        "printf '#!/bin/sh\\necho \"set default=0\"\\n' > /etc/grub.d/95_last && chmod 755 /etc/grub.d/95_last",
        "/etc/grub.d/95_last sets default=0",
    ),
    "a later drop-in sets the parameters anew": (
        f"echo 'GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"' > {LATER}",
        f"{LATER}: line 1 sets GRUB_CMDLINE_LINUX_DEFAULT=",
    ),
}
IGNORED = "the folder of drop-ins is ignored"
SHAPES[IGNORED] = (
    "sed -i 's,default/grub.d/,default/no-such-folder/,g' /usr/sbin/grub-mkconfig",
    "/usr/sbin/grub-mkconfig does not read /etc/default/grub.d",
)


@pytest.fixture(scope="module")
def old(booted_host: vhost.Info) -> str:
    line = booted_host.exec("cat /proc/cmdline", timeout=60).stdout.strip()
    assert "isolcpus" not in line, "the host is tuned already: make a new one"
    return line


@pytest.fixture(scope="module")
def untuned(booted_host: vhost.Info, old: str) -> Iterator[vhost.Info]:
    vhost.snapshot(UNTUNED, progress=vhost.Progress(quiet=True))
    yield booted_host
    lifecycle.forget(UNTUNED)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_trial_that_would_not_fall_back_is_refused(untuned: vhost.Info, old: str, shape: str) -> None:
    vhost.restore(UNTUNED, progress=vhost.Progress(quiet=True))
    change, named = SHAPES[shape]
    untuned.exec(change, timeout=60)
    if shape != IGNORED:
        untuned.exec("update-grub", timeout=300)
    menu = untuned.exec("cat /boot/grub/grub.cfg", timeout=60).stdout
    done = play("--tags", "host_state,boot_params")
    assert done.returncode == 2, done.stdout[-3000:]
    assert named in done.stdout.replace('\\"', '"'), done.stdout[-3000:]
    assert untuned.exec("cat /boot/grub/grub.cfg", timeout=60).stdout == menu, "the menu is as it was"
    assert (
        "quietcore"
        not in untuned.exec("grub-editenv - list; ls /etc/grub.d /etc/default/grub.d", timeout=60).stdout
    )
    # Whatever could still boot a candidate would panic.
    untuned.exec(f"sed -i '/{MARK}/s,root=,init=/bin/false root=,' /boot/grub/grub.cfg", timeout=60)
    line = wait_for_another_boot(untuned, reboot(untuned), seconds=1200)
    assert line == old
    print(f"{shape}: refused, and the old parameters booted: {line}")


def test_new_parameters_that_boot_after_a_panic_are_not_called_confirmed(
    untuned: vhost.Info, old: str
) -> None:
    """The default is changed once the trial is armed: nobody can refuse that, but nobody calls it confirmed."""
    vhost.restore(UNTUNED, progress=vhost.Progress(quiet=True))
    done = play("--tags", "host_state,boot_params")
    assert done.returncode == 0, done.stdout[-3000:]
    untuned.exec(f"echo GRUB_DEFAULT=0 > {LATER}; update-grub", timeout=300)
    untuned.exec(f"sed -i '/{MARK}/s,root=,init=/bin/false root=,' /boot/grub/grub.cfg", timeout=60)
    line = wait_for_another_boot(untuned, reboot(untuned), without=MARK, seconds=1800)
    assert "isolcpus" in line, "GRUB's default has the new parameters"
    stage = json.loads(untuned.exec(f"{QUIETCORE} boot --json", timeout=100, check=False).stdout)
    assert stage["stage"] == "fell back"


def test_a_panic_of_the_candidate_boots_the_old_parameters(untuned: vhost.Info, old: str) -> None:
    vhost.restore(UNTUNED, progress=vhost.Progress(quiet=True))
    done = play("--tags", "host_state,boot_params")
    assert done.returncode == 0, done.stdout[-3000:]
    untuned.exec(f"sed -i '/{MARK}/s,root=,init=/bin/false root=,' /boot/grub/grub.cfg", timeout=60)
    line = wait_for_another_boot(untuned, reboot(untuned), without=MARK, seconds=1800)
    assert line == old
    stage = json.loads(untuned.exec(f"{QUIETCORE} boot --json", timeout=100, check=False).stdout)
    assert stage["stage"] == "fell back"
