#!/usr/bin/env python3
"""Write the tables of roles/README.md: every setting that the roles promise, and every recommendation refused.

Usage: ansible/controller/catalogue.py [--check]      (in the virtual environment)

Settings come from the roles' constants and defaults; how each is applied and read from its kind, the least kernel and
the source from the catalogue. --check changes nothing and ends with 1 where the file is not as it would be written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "runtime"))

from quietcore.host.catalogue import ALTERED, fact_of  # noqa: E402
from quietcore.host.kinds import KINDS  # noqa: E402
from quietcore.host.refusals import KERNEL_PARAMETERS, SYSCTL  # noqa: E402
from quietcore.host.settings import Setting  # noqa: E402

README = ROOT / "roles/README.md"
_PART = "<!-- {0}: written by ansible/controller/catalogue.py -->\n{1}<!-- end of {0} -->\n"
_TEMPLATE = re.compile(r"{{.*?}}|{%.*?%}", re.DOTALL)
# Promised by a module, not by a constant.
_BY_MODULES = [Setting("core_plan.file", "file", "core_plan", "/etc/quietcore/plan.json", "", "")]


def promised(root: Path = ROOT) -> list[Setting]:
    """Return every setting that the roles can promise, in the order of roles; templates are shown as `…`."""
    found = list(_BY_MODULES)
    for path in sorted((root / "roles").glob("*/vars/main.yml")):
        role = path.parts[-3]
        found += [_setting(role, item) for item in _items(yaml.safe_load(path.read_text(encoding="utf-8")))]
    defaults = yaml.safe_load((root / "roles/sysctl/defaults/main.yml").read_text(encoding="utf-8"))
    found += [
        Setting(f"sysctl.{key}", "sysctl", "sysctl", key, str(value), "")
        for key, value in defaults["sysctl_settings"].items()
    ]
    # A setting that is promised in one of two forms, by the inventory's choice, is one setting.
    return list({setting.id: setting for setting in sorted(found, key=lambda item: item.id)}.values())


def _items(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if {"id", "kind", "name"} <= set(value):
            yield value
        for inner in value.values():
            yield from _items(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _items(inner)


def _setting(role: str, item: dict[str, Any]) -> Setting:
    name = _TEMPLATE.sub("…", str(item["name"]))
    return Setting(item["id"], item["kind"], role, name, item.get("wanted", ""), "", options={"cpus": "N"})


def settings_table(settings: list[Setting]) -> str:
    """Return the table of settings. Raises SystemExit for one of which the catalogue knows nothing."""
    rows = []
    for setting in settings:
        kind, fact = KINDS.get(setting.kind), fact_of(setting.kind, setting.name)
        if kind is None or fact is None:
            raise SystemExit(
                f"catalogue: nothing is known of {setting.id} ({setting.kind} {setting.name}); remedy: add a fact to "
                "runtime/quietcore/host/catalogue.py"
            )
        source = f"[{_title(fact.source)}]({fact.source})" if fact.source.startswith("http") else fact.source
        rows.append(
            [f"`{setting.id}`", kind.applied, f"`{kind.effective(setting)}`", fact.kernel, source or "–"]
        )
    return _table(
        ["setting", "how it is applied", "how its effective value is read", "least kernel", "source"], rows
    )


def _title(address: str) -> str:
    return address.rpartition("/")[2].removesuffix(".html")


def refusals_table() -> str:
    """Return the table of recommendations that are refused or altered."""
    rows = [[item.label, f"refused; {item.instead}", item.reason] for item in (*SYSCTL, *KERNEL_PARAMETERS)]
    rows += [[item.recommended, item.instead, item.reason] for item in ALTERED]
    return _table(["recommended elsewhere", "here", "because"], rows)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def written(text: str) -> str:
    """Return the file's text with its tables as they are now. Raises SystemExit where it has no place for them."""
    for name, table in (("settings", settings_table(promised())), ("refusals", refusals_table())):
        part = re.compile(rf"<!-- {name}: .*?-->\n.*?<!-- end of {name} -->\n", re.DOTALL)
        if not part.search(text):
            raise SystemExit(
                f"catalogue: {README} has no place for {name}: <!-- {name}: … --> … <!-- end of {name} -->"
            )
        text = part.sub(lambda _, name=name, table=table: _PART.format(name, table), text)  # type: ignore[misc]
    return text


def main(arguments: list[str]) -> int:
    """Write the file, or say whether it is fresh."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    found = README.read_text(encoding="utf-8")
    text = written(found)
    if arguments and text != found:
        print(
            f"catalogue: {README} is not fresh; remedy: run ansible/controller/catalogue.py", file=sys.stderr
        )
        return 1
    if text != found:
        README.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
