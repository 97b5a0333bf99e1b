"""What an Ansible module returns of an outcome: what changed, in both forms, and how the settings stand."""

from __future__ import annotations

import json

import pytest

from quietcore.errors import QuietcoreError
from quietcore.host.findings import Finding, Verdict
from quietcore.host.kinds.base import Change
from quietcore.host.module_result import change_diff, failure_message, outcome_result
from quietcore.host.outcome import Outcome


def finding(name: str, verdict: Verdict) -> Finding:
    return Finding(name, "sysctl", verdict, wanted="1", found="0")


def test_an_outcome_with_changes() -> None:
    outcome = Outcome(
        changes=[Change("file:/etc/x.conf", None, {"content": "a = 1\n", "mode": "0644"})],
        findings=[finding("one", Verdict.OK), finding("two", Verdict.UNSUPPORTED)],
        notes=["a note"],
        reboot_required=True,
    )
    result = outcome_result(outcome)
    assert result["changed"]
    assert result["reboot_required"]
    assert result["unsupported"] == ["two"]
    assert result["notes"] == ["a note"]
    assert [line["id"] for line in result["findings"]] == ["one", "two"]
    header = {"before_header": "/etc/x.conf", "after_header": "/etc/x.conf"}
    assert result["diff"] == [{**header, "before": "", "after": "a = 1\n"}]
    json.dumps(result)  # which is how it leaves the module


def test_an_outcome_without() -> None:
    result = outcome_result(Outcome())
    assert not result["changed"]
    assert result["diff"] == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (5, "5\n"), ("on", "on\n"), ({"b": 2, "a": 1}, "a: 1\nb: 2\n"), ({"content": "x"}, "x")],
)
def test_values_as_text(value: object, text: str) -> None:
    assert change_diff(Change("sysctl:vm.x", value, value))["after"] == text


def test_of_promises_only_what_is_wanted_is_shown() -> None:
    settings = [
        {"id": "a", "wanted": 1, "why": "long"},
        {"id": "b", "wanted": "x\ny"},
        {"id": "c", "wanted": ""},
    ]
    content = {"content": json.dumps({"settings": settings})}
    shown = change_diff(Change("file:/etc/quietcore/host.d/sysctl.json", None, content))
    assert (shown["before"], shown["after"]) == ("", "a: 1\nb: 2 lines\nc: \n")


def test_a_failure_names_the_host() -> None:
    host, _, rest = failure_message(QuietcoreError("no such thing", where="here")).partition(": ")
    assert host
    assert rest.startswith("no such thing: here")
