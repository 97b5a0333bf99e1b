"""The reader of promises tells a unit that runs from one that is only enabled."""

import pytest
from tests.virtual_host.promises import holds


@pytest.mark.parametrize(
    ("wanted", "said", "found"),
    [
        ("on", "enabled\nactive", "on"),
        ("on", "enabled\ninactive", "enabled, inactive"),
        ("on", "disabled\nactive", "disabled, active"),
        ("on", "inactive", "not installed, inactive"),
        ("enabled", "enabled\nactivating", "enabled"),
        ("enabled", "masked\ninactive", "masked, inactive"),
        ("off", "inactive", "off"),
        ("off", "masked\ninactive", "off"),
        ("off", "disabled\nactive", "disabled, active"),
        ("off", "enabled\ninactive", "enabled, inactive"),
    ],
)
def test_the_state_of_a_unit(wanted: str, said: str, found: str) -> None:
    promise = {"id": "x", "kind": "unit", "name": "some.timer", "wanted": wanted}
    assert holds(promise, lambda command: said) == (found, wanted)
