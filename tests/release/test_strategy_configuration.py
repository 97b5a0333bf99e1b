"""What the inventory says of a strategy is what the runtime reads."""

from __future__ import annotations

import json
import ntpath
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml  # type: ignore[import-untyped]

from quietcore import config

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "roles/runtime/templates/runtime.toml.j2"
DEFAULTS = ROOT / "roles/runtime/defaults/main.yml"
# Those whose defaults are made of other variables.
VALUES = {
    "runtime_feed": "demo",
    "runtime_mode": "sim",
    "runtime_private_websocket": "ws://127.0.0.1:8760",
    "runtime_order_websocket": "ws://127.0.0.1:8760",
    "runtime_rest": "http://127.0.0.1:8760",
    "ansible_managed": "managed",
}


def rendered(folder: Path, **values: Any) -> config.RuntimeConfig:
    environment = jinja2.Environment(
        trim_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.filters |= {
        "to_json": json.dumps,
        "comment": lambda text: f"# {text}",
        "basename": ntpath.basename,
    }
    path = folder / "runtime.toml"
    path.write_text(
        environment.from_string(TEMPLATE.read_text()).render(
            {**yaml.safe_load(DEFAULTS.read_text()), **VALUES, **values}
        )
    )
    return config.load(path)


@pytest.mark.parametrize(
    ("strategy", "name", "path"),
    [
        ("crossing", "crossing", ""),
        ("panic", "panic", ""),
        ("/home/me/tide.py", "crossing", "/opt/quietcore/current/lib/strategies/tide.py"),
    ],
)
def test_strategy_of_the_inventory(tmp_path: Path, strategy: str, name: str, path: str) -> None:
    parameters = {"span": 20, "least_turn": 1.5, "small": 1e-7}
    found = rendered(tmp_path, runtime_strategy=strategy, runtime_strategy_parameters=parameters).strategy
    assert (found.name, found.path, found.parameters) == (name, path, parameters)
    assert isinstance(found.parameters["span"], int)


def test_ways_to_the_venue(tmp_path: Path) -> None:
    strategy = {"runtime_strategy": "crossing", "runtime_strategy_parameters": {}}
    plain = rendered(tmp_path, **strategy)
    assert (plain.venue.order_websocket, plain.gateway_wait, plain.scout) == (
        *("ws://127.0.0.1:8760", ""),
        config.ScoutConfig(),
    )
    wishes = {"runtime_scout": True, "runtime_scout_region": "nl", "runtime_gateway_wait": "nap"}
    found = rendered(tmp_path, **strategy, **wishes)
    assert found.gateway_wait == "nap"
    assert (found.scout.enabled, found.scout.region) == (True, "nl")
    assert found.scout.history == "/var/cache/quietcore/endpoints.jsonl"


def test_no_parameters(tmp_path: Path) -> None:
    found = rendered(tmp_path, runtime_strategy="crossing", runtime_strategy_parameters={})
    assert found.strategy.parameters == {}
