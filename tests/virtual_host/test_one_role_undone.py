"""A role alone, undone: plain system tools say of the host what they said before, but for a checked-in list."""

import json
import os
from pathlib import Path

import pytest
from tests.virtual_host.test_undo_round_trip import compare, state

from quietcore import vhost

ROLE = os.environ.get("QUIETCORE_ROLE", "")


def kept(host: vhost.Info) -> Path:
    return host.folder / "state-before.json"


@pytest.mark.before_role
def test_the_state_before_is_kept(booted_host: vhost.Info) -> None:
    before = state(booted_host)
    assert sum(map(len, before.values())) > 1000, "too little to prove anything"
    kept(booted_host).write_text(json.dumps(before), encoding="utf-8")


@pytest.mark.role_undone
@pytest.mark.timeout(600)
def test_the_host_is_as_it_was(booted_host: vhost.Info, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads(kept(booted_host).read_text(encoding="utf-8"))
    compared = compare(before, state(booted_host), "playbook")
    with capsys.disabled():
        print(f"\n{ROLE} applied and undone: {compared}")
    assert not compared.unexpected, str(compared)
