"""The comparison of two states finds what differs, and lets pass only what the list names."""

import re
import tomllib

from tests.virtual_host.test_undo_round_trip import MAY_DIFFER, compare

BEFORE = {"sysctl": {"vm.swappiness": "60", "fs.file-nr": "1"}, "etc": {"/etc/hosts": "a", "/etc/x": "b"}}


def test_a_difference_is_found() -> None:
    for kind, name, value in (
        ("sysctl", "vm.swappiness", "0"),
        ("etc", "/etc/hosts", "c"),
        ("etc", "/etc/new", "d"),
    ):
        after = {**BEFORE, kind: {**BEFORE[kind], name: value}}
        found = compare(BEFORE, after, "playbook")
        assert [line.split(": ")[1] for line in found.unexpected] == [name]
    gone = {**BEFORE, "etc": {"/etc/hosts": "a"}}
    assert compare(BEFORE, gone, "playbook").unexpected == ["etc: /etc/x: 'b' → None"]


def test_what_may_differ_is_counted_by_its_reason() -> None:
    after = {**BEFORE, "sysctl": {**BEFORE["sysctl"], "fs.file-nr": "2"}}
    found = compare(BEFORE, after, "playbook")
    assert not found.unexpected
    assert list(found.allowed.values()) == [1]
    assert "4 items: 3 identical" in str(found)


def test_a_rule_for_one_way_of_undo_does_not_hold_for_the_other() -> None:
    after = {**BEFORE, "own folders": {"/opt/quietcore/host/x.py": "c"}}
    assert not compare(BEFORE, after, "command").unexpected
    assert compare(BEFORE, after, "playbook").unexpected


def test_a_rule_for_one_change_does_not_hold_for_another() -> None:
    """The kernel gives the TSC up; it never goes back to it by itself, so that would be ours."""
    name = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    tsc, hpet = ({"cpus": {name: source}} for source in ("tsc", "hpet"))
    assert not compare(tsc, hpet, "playbook").unexpected
    assert compare(hpet, tsc, "playbook").unexpected
    assert compare(tsc, {"cpus": {}}, "playbook").unexpected


def test_every_rule_says_why_and_names_nothing_that_we_set() -> None:
    set_by_us = ["vm.swappiness", "net.core.rmem_max", "kernel.timer_migration", "vm.stat_interval"]
    files = [
        "/etc/sysctl.d/zz-quietcore.conf",
        "/etc/grub.d/42_quietcore",
        "/boot/grub/grub.cfg",
        "/etc/passwd",
    ]
    for rule in tomllib.loads(MAY_DIFFER.read_text(encoding="utf-8"))["difference"]:
        assert len(rule["why"]) > 10
        assert not [name for name in set_by_us + files if re.fullmatch(rule["name"], name)], rule
