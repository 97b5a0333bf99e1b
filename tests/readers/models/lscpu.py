"""lscpu's tables of machines that are known, as util-linux from 2.30 to 2.41 prints them.

Formats: sys-utils/lscpu.c and libsmartcols' JSON. What is not known of a CPU that is off line is a bare dash up to 2.40
(util-linux issues 3430 and 3758), "-" later, null in old versions; numbers and booleans are texts before 2.33.
"""

from __future__ import annotations

import json
import random
from typing import Any

from tests.readers.campaign import Damage, Reader

from quietcore.host.texts.lscpu import read_json, read_parsable, read_table
from quietcore.host.unreadable import NotUnderstoodError

Row = dict[str, Any]


def machine(chance: random.Random) -> list[Row]:
    """Return each CPU with what is known of it: some off line, numbers with gaps, SMT or not."""
    threads, cores, sockets = chance.choice((1, 2)), chance.choice((1, 2, 4)), chance.choice((1, 2))
    without_nodes, of_socket = chance.random() < 0.2, chance.random() < 0.5
    rows: list[Row] = []
    number = chance.choice((0, 0, 4))
    for thread in range(threads):
        for socket in range(sockets):
            for core in range(cores):
                row: Row = {
                    "cpu": number,
                    "online": True,
                    "core": core if of_socket else socket * cores + core,
                }
                row["socket"] = socket
                if not without_nodes:
                    row["node"] = (
                        socket * chance.choice((1, 1, 8))
                        if thread == 0
                        else rows[socket * cores + core]["node"]
                    )
                rows.append(row)
                number += chance.choice((1, 1, 1, 2))
    for row in rows[1:]:
        if chance.random() < 0.2:
            row["online"] = False
    return rows


def _known(row: Row) -> Row:
    return row if row["online"] else {"cpu": row["cpu"], "online": False}


def table(chance: random.Random) -> tuple[str, list[Row]]:
    rows = machine(chance)
    version = chance.choice(("2.30", "2.33", "2.38", "2.41"))
    lines = []
    for row in rows:
        cells: list[str] = []
        for name in ("cpu", "core", "socket", "node", "online"):
            value = _known(row).get(name)
            if value is None:
                text = {"2.30": "null", "2.33": "null", "2.38": "-", "2.41": '"-"'}[version]
            elif name == "online":
                text = json.dumps("yes" if value else "no") if version == "2.30" else json.dumps(value)
            else:
                text = f'"{value}"' if version == "2.30" else str(value)
            cells.append(f'         "{name}": {text}')
        if version == "2.38":
            cells.append('         "modelname": "Odd - CPU, -"')
        lines.append("{\n" + ",\n".join(cells) + "\n      }")
    text = '{\n   "cpus": [\n      ' + ",".join(lines) + "\n   ]\n}\n"
    return text, [_known(row) for row in rows]


def read(text: str) -> list[Row]:
    try:
        value = read_json(text)
    except ValueError:
        raise NotUnderstoodError("no JSON", where="lscpu", found=text, expected="JSON") from None
    return read_table(value["cpus"] if isinstance(value, dict) else [], "lscpu")


def parsable(chance: random.Random) -> tuple[str, list[Row]]:
    rows = machine(chance)
    text = "# The following is the parsable format, which can be fed to other\n# programs. "
    text += "Each different item in every column has an unique ID\n# starting usually from zero.\n"
    caches = chance.choice((",,L1d,L1i,L2,L3", ""))
    text += f"# {chance.choice(('CPU,Core,Socket,Node,Online', 'CPU,Core,Socket,Node,Online'))}{caches}\n"
    for row in rows:
        known = _known(row)
        cells = [str(known.get(name, "")) for name in ("cpu", "core", "socket", "node")]
        text += ",".join([*cells, "Y" if row["online"] else "N"]) + (",,0,0,0,0" if caches else "") + "\n"
    return text, [_known(row) for row in rows]


def dash_is_zero(text: str) -> list[Row]:
    return read(text.replace(": -", ": 0").replace(': "-"', ": 0").replace("null", "0"))


def off_is_on(text: str) -> list[Row]:
    return [{**row, "online": True} for row in read(text)]


def core_gone(chance: random.Random, text: str) -> str:
    """A running CPU has no core."""
    rows = text.split("{")
    places = [place for place, row in enumerate(rows) if '"online": true' in row or '"online": "yes"' in row]
    place = chance.choice(places)
    rows[place] = "\n".join(
        line.partition(":")[0] + ": null," if '"core"' in line else line for line in rows[place].split("\n")
    )
    return "{".join(rows)


def half_of_the_nodes(chance: random.Random, text: str) -> str | None:
    rows = text.split("{")
    places = [place for place, row in enumerate(rows) if '"online": true' in row or '"online": "yes"' in row]
    if len(places) < 2 or any(word in rows[places[0]] for word in ("null", ": -", '"-"')):
        return None
    rows[places[0]] = "\n".join(
        line.partition(":")[0] + ": null," if '"node"' in line else line
        for line in rows[places[0]].split("\n")
    )
    return "{".join(rows)


def wrong_number(chance: random.Random, text: str) -> str:
    return text.replace('"cpu": ', f'"cpu": {chance.choice(("-1", "true", "1.5", "[]"))}, "was": ', 1)


def line_short(chance: random.Random, text: str) -> str:
    lines = text[:-1].split("\n")
    row = chance.choice([row for row, line in enumerate(lines) if not line.startswith("#")])
    lines[row] = lines[row].partition(",")[0]
    return "\n".join(lines) + "\n"


READERS: list[Reader] = [
    Reader(
        "lscpu -J -e",
        table,
        read,
        {
            "a running CPU without a core": Damage(core_gone, NotUnderstoodError),
            "nodes of some only": Damage(half_of_the_nodes, NotUnderstoodError),
            "a number that is none": Damage(wrong_number, NotUnderstoodError),
            "cut off": Damage(lambda c, text: text[: c.randrange(20, len(text) - 6)], NotUnderstoodError),
        },
        {"what is not known is 0": dash_is_zero, "all are on line": off_is_on},
    ),
    Reader(
        "lscpu -p",
        parsable,
        lambda text: read_parsable(text, "lscpu"),
        {
            "a line cut short": Damage(line_short, NotUnderstoodError),
            "no names of columns": Damage(
                lambda c, text: text[text.index("# CPU") :].partition("\n")[2], NotUnderstoodError
            ),
            "no CPU": Damage(
                lambda c, text: "".join(f"{x}\n" for x in text.split("\n") if x[:1] == "#"),
                NotUnderstoodError,
            ),
        },
        {"the last CPU lost": lambda text: read_parsable(text, "lscpu")[:-1]},
    ),
]
