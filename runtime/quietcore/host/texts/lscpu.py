"""`lscpu -J`, `lscpu -J -e=…` and `lscpu -p=…`: CPUs as util-linux 2.30 to 2.41 print them.

The forms, from sys-utils/lscpu.c and libsmartcols:

    -J -e=LIST    {"cpus": [row, …]}; a row has the columns of the list in small letters. What is not known of a CPU, as
                  all but `cpu` and `online` of one that is off line, is `-` without quotes up to 2.40 (no JSON), "-"
                  after it, and null in old versions. Numbers and booleans are texts before 2.33 (`"online": "yes"`)
    -p=LIST       comments that start with `#`, the last of them names the columns; then a line for each CPU, parted by
                  commas; what is not known is empty, `online` is Y or N. Two commas in the names part the caches
    -J            {"lscpu": [{"field": …, "data": …, "children": […]}, …]}: a summary, without the cores of the CPUs
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..cpulist import kernel_cpu_list
from ..unreadable import NotUnderstoodError

_BARE_DASH = re.compile(r'"(?:[^"\\]|\\.)*"|(?<=[:\s])-(?=\s*[,}\]])')
_UNKNOWN = (None, "", "-")
_ONLINE = {
    True: True,
    "yes": True,
    "Y": True,
    "true": True,
    False: False,
    "no": False,
    "N": False,
    "false": False,
}

Row = dict[str, Any]


def read_json(text: str) -> Any:
    """Return JSON, a bare dash being null. Raises ValueError or RecursionError as json.loads does."""
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(_BARE_DASH.sub(lambda found: "null" if found[0] == "-" else found[0], text))


def read_table(rows: list[Any], where: str) -> list[Row]:
    """Return the rows of `-J -e=…`: `cpu`, `online`, and what is known of `core`, `socket`, `node`, `book`, `drawer`.

    Raises NotUnderstoodError, also for a running CPU without a core, and where a column is known of some only.
    """
    found = [_row(row, where) for row in rows]
    running = [row for row in found if row["online"]]
    for name in ("core", "socket", "node", "book", "drawer"):
        lacking = [row["cpu"] for row in running if name not in row]
        if lacking and (name == "core" or len(lacking) < len(running)):
            raise NotUnderstoodError(
                f"a row of lscpu without {name}", where=where, found=f"CPU {lacking[0]}", expected="a number"
            )
    return found


def read_parsable(text: str, where: str) -> list[Row]:
    """Return the rows of `-p`, as `read_table` does. Raises NotUnderstoodError."""
    comments = [line for line in text.split("\n") if line.startswith("#")]
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    names = [name.strip().lower() for name in comments[-1].lstrip("# ").split(",")] if comments else []
    if "cpu" not in names or "core" not in names or not lines:
        raise NotUnderstoodError(
            "no columns", where=where, found=text[:60], expected="# CPU,Core,Socket,Node,…"
        )
    rows: list[Any] = []
    for line in lines:
        values = line.split(",")
        if len(values) != len(names):
            raise NotUnderstoodError("not a CPU of lscpu", where=where, found=line, expected=comments[-1])
        rows.append(dict(zip(names, values, strict=True)))
    return read_table(rows, where)


def _row(row: Any, where: str) -> Row:
    if not isinstance(row, Mapping) or row.get("cpu") in _UNKNOWN:
        raise NotUnderstoodError(
            "a row of lscpu without cpu", where=where, found=row, expected='"cpu": NUMBER'
        )
    online = row.get("online", True)
    if not isinstance(online, (bool, str)) or online not in _ONLINE:
        raise NotUnderstoodError("not a state of a CPU", where=where, found=row, expected="yes or no")
    found: Row = {"cpu": _number(row["cpu"], row, where), "online": _ONLINE[online]}
    for name in ("core", "socket", "node", "book", "drawer"):
        if row.get(name) not in _UNKNOWN:
            found[name] = _number(row[name], row, where)
    return found


def _number(value: Any, row: Any, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    raise NotUnderstoodError("not a number in a row of lscpu", where=where, found=row, expected="0 or more")


def read_summary(rows: list[Any], where: str) -> tuple[str, list[Row]]:
    """Return the threads of a core as printed (empty: not told), and the CPUs with their nodes.

    Raises NotUnderstoodError.
    """
    fields: dict[str, str] = {}

    def collect(items: Any) -> None:
        for item in items if isinstance(items, list) else ():
            if not isinstance(item, Mapping) or not isinstance(item.get("field"), str):
                raise NotUnderstoodError(
                    "not a field of lscpu", where=where, found=item, expected="field and data"
                )
            fields[item["field"].rstrip(":")] = str(item.get("data") or "")
            collect(item.get("children"))

    collect(rows)
    running = kernel_cpu_list(fields.get("On-line CPU(s) list", ""), where)
    node_of: dict[int, int] = {}
    for name, text in fields.items():
        match = re.fullmatch(r"NUMA node([0-9]+) CPU\(s\)", name)
        if match is not None and text not in ("", "-"):
            node_of.update(dict.fromkeys(kernel_cpu_list(text, where), int(match[1])))
    lost = running - set(node_of)
    if node_of and lost:
        raise NotUnderstoodError(
            "a running CPU in no memory node",
            where=where,
            found=f"CPU {min(lost)}",
            expected="NUMA nodeN CPU(s)",
        )
    off = kernel_cpu_list(fields.get("Off-line CPU(s) list", ""), where)
    cpus: list[Row] = [{"cpu": cpu, "online": True, "node": node_of.get(cpu, 0)} for cpu in sorted(running)]
    cpus += [{"cpu": cpu, "online": False} for cpu in sorted(off)]
    return fields.get("Thread(s) per core", ""), cpus
