"""The reader of promises tells a unit that runs from one that is only enabled; no role's are left unbroken."""

from pathlib import Path

import pytest
from tests.virtual_host.promises import holds
from tests.virtual_host.test_audit_findings import MUTATIONS, NOTHING_TO_BREAK

ROLES = Path(__file__).resolve().parents[2] / "roles"


def test_every_role_is_broken_or_says_why_not() -> None:
    broken = {mutation.setting.partition(".")[0] for mutation in MUTATIONS}
    assert broken | set(NOTHING_TO_BREAK) == {path.name for path in ROLES.iterdir() if path.is_dir()}
    assert not broken & set(NOTHING_TO_BREAK)


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
