"""A snapshot takes the running host back, and its clock to the present."""

import time

import pytest

from quietcore import vhost
from quietcore.vhost import lifecycle

pytestmark = [pytest.mark.virtual_host, pytest.mark.slow, pytest.mark.timeout(300)]


def test_host_goes_back_and_its_clock_does_not(booted_host: vhost.Info) -> None:
    tag = "tested"
    quiet = vhost.Progress(quiet=True)
    vhost.snapshot(tag, progress=quiet)
    try:
        assert tag in lifecycle.snapshot_names()
        booted_host.exec("touch /run/after-the-snapshot /root/after-the-snapshot && sync")
        vhost.restore(tag, progress=quiet)
        there = booted_host.exec("ls /run/after-the-snapshot /root/after-the-snapshot", check=False)
        assert there.returncode == 2, there.stdout
        before = time.time()
        guest = float(booted_host.exec("date +%s.%N").stdout)
        # Emulated and busy, one command over ssh takes up to some seconds.
        assert before - 5 < guest < time.time() + 5
    finally:
        lifecycle.forget(tag)
    assert tag not in lifecycle.snapshot_names()
