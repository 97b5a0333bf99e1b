"""The filters that turn variables into promises: what they refuse, with the variable's name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

FOLDER = Path(__file__).resolve().parents[2] / "ansible/plugins/filter"


def filter_named(name: str) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Any] = module.FilterModule().filters()[name]
    return found


@pytest.mark.parametrize(
    ("name", "arguments", "what"),
    [
        (
            "quietcore_real_time_units",
            (["a.service"], "unlimited", 1, 1, {"b.service": 5}),
            r"real_time_priorities: found b\.service; expected units of real_time_units: a\.service",
        ),
        ("quietcore_real_time_units", (["a/b"], "unlimited", 1, 1, {}), "real_time_units: found 'a/b'"),
        (
            "quietcore_pinned_units",
            (["a.timer"], "r", "0", "v", "w"),
            "v: found 'a.timer'; expected a service",
        ),
        (
            "quietcore_drop_ins",
            ({"a b.service": {}}, "r", "v", "w"),
            "v: found 'a b.service'; expected a unit",
        ),
        (
            "quietcore_drop_ins",
            (["a.service"], "r", "v", "w"),
            "v: found list; expected units with their lines",
        ),
        ("quietcore_network_cards", (["a/b"], {}, "p"), "network_interfaces: found 'a/b'"),
    ],
)
def test_what_is_wrong_is_named(name: str, arguments: tuple[Any, ...], what: str) -> None:
    with pytest.raises(AnsibleFilterError, match=what):
        filter_named(name)(*arguments)


def test_a_drop_in_has_its_sections_in_order_and_none_without_lines() -> None:
    units = {
        "a.service": {"Service": ["Slice=x.slice"], "Unit": ["After=y.service"]},
        "b.service": {"Unit": []},
    }
    (setting,) = filter_named("quietcore_drop_ins")(units, "time_sync", "v", "w")
    assert setting["name"] == "/etc/systemd/system/a.service.d/50-quietcore-time-sync.conf"
    assert setting["wanted"].splitlines()[1:] == [
        "[Unit]",
        "After=y.service",
        "",
        "[Service]",
        "Slice=x.slice",
    ]
