#!/usr/bin/env python3
"""Write the C++ header and the numpy dtypes of the shared-memory segment from shared_memory.toml.

Usage: generate.py [--check]      (--check changes nothing and exits 1 where a generated file is out of date)

Standard library only. The layout hash in the header of a segment is the first eight bytes, little-endian, of
the SHA-256 of the schema's canonical JSON without its prose, so a comment does not make a segment unreadable.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCHEMA = HERE / "shared_memory.toml"
HPP = ROOT / "native/include/quietcore/shared_memory.hpp"
PY = ROOT / "runtime/quietcore/bridge/layout.py"
NOTE = "Generated from native/schema/shared_memory.toml by native/schema/generate.py: do not edit."

SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i32": 4, "i64": 8, "char": 1}
CPP = {
    "u8": "std::uint8_t",
    "u16": "std::uint16_t",
    "u32": "std::uint32_t",
    "u64": "std::uint64_t",
    "i32": "std::int32_t",
    "i64": "std::int64_t",
    "char": "char",
}
NUMPY = {"u8": "u1", "u16": "<u2", "u32": "<u4", "u64": "<u8", "i32": "<i4", "i64": "<i8"}


def parse_type(text: str) -> tuple[str, int]:
    """Split ``u8[16]`` into its scalar and its count."""
    match = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", text)
    if match is None or match[1] not in SIZES:
        raise SystemExit(f"{SCHEMA.name}: unknown type {text!r}; known: {', '.join(SIZES)}")
    return match[1], int(match[2] or 1)


def offsets(struct: dict[str, Any]) -> list[tuple[str, str, int, int, str]]:
    """Return (name, scalar, count, offset, doc) of each field; refuse hidden padding and a wrong size."""
    rows = []
    at = 0
    for name, kind, doc in struct["fields"]:
        scalar, count = parse_type(kind)
        if at % SIZES[scalar]:
            raise SystemExit(
                f"{SCHEMA.name}: {struct['name']}.{name} at {at} is not aligned to {SIZES[scalar]}"
            )
        rows.append((name, scalar, count, at, doc))
        at += SIZES[scalar] * count
    if at != struct["size"]:
        raise SystemExit(f"{SCHEMA.name}: {struct['name']} is {at} bytes, its size says {struct['size']}")
    return rows


def layout_hash(schema: dict[str, Any]) -> int:
    """Return the hash that segments carry."""
    bare = {
        "version": schema["schema"]["version"],
        "enums": [[e["name"], [v[:2] for v in e["values"]]] for e in schema["enum"]],
        "structs": [[s["name"], s["size"], [f[:2] for f in s["fields"]]] for s in schema["struct"]],
    }
    digest = hashlib.sha256(json.dumps(bare, separators=(",", ":")).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def cpp(schema: dict[str, Any]) -> str:
    """Return the C++ header."""
    out = [
        f"// {NOTE}",
        "#pragma once",
        "",
        "#include <cstddef>",
        "#include <cstdint>",
        "",
        "namespace quietcore::shm {",
        "",
        f"inline constexpr std::uint32_t kVersion = {schema['schema']['version']};",
        f"inline constexpr std::uint64_t kMagic = {schema['schema']['magic']:#018x}ULL;",
        f"inline constexpr std::uint64_t kSchemaHash = {layout_hash(schema):#018x}ULL;",
        "",
    ]
    for enum in schema["enum"]:
        flags = enum["name"] == "Flag"
        base = "std::uint16_t" if flags else "std::uint8_t"
        out += [f"/// {enum['doc']}", f"enum class {enum['name']} : {base} {{"]
        out += [f"  {name} = {value}, ///< {doc}" for name, value, doc in enum["values"]]
        out += ["};", ""]
    for struct in schema["struct"]:
        out += [f"/// {struct['doc']}", f"struct {struct['name']} {{"]
        rows = offsets(struct)
        for name, scalar, count, _, doc in rows:
            array = f"[{count}]" if count > 1 else ""
            out.append(f"  {CPP[scalar]} {name}{array};" + (f" ///< {doc}" if doc else ""))
        out += ["};", f"static_assert(sizeof({struct['name']}) == {struct['size']});"]
        out += [f"static_assert(offsetof({struct['name']}, {name}) == {at});" for name, _, _, at, _ in rows]
        out.append("")
    out += ["} // namespace quietcore::shm", ""]
    return "\n".join(out)


def python(schema: dict[str, Any]) -> str:
    """Return the Python module."""
    out = [
        f'"""Layout of a feed\'s shared-memory segment.\n\n{NOTE}\n"""',
        "",
        "from typing import Final",
        "",
        "import numpy as np",
        "",
        f"VERSION: Final = {schema['schema']['version']}",
        f"MAGIC: Final = {schema['schema']['magic']:#018x}",
        f"SCHEMA_HASH: Final = {layout_hash(schema):#018x}",
    ]
    for enum in schema["enum"]:
        out += ["", f"# {enum['name']}: {enum['doc']}"]
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum["name"]).upper()
        out += [f"{prefix}_{name}: Final = {value}  # {doc}" for name, value, doc in enum["values"]]
    for struct in schema["struct"]:
        out += ["", f"# {struct['doc']}", f"{struct['name'].upper()}: Final = np.dtype(", "    ["]
        for name, scalar, count, at, doc in offsets(struct):
            if scalar == "char":
                entry = f'("{name}", "S{count}")'
            elif count > 1:
                entry = f'("{name}", "{NUMPY[scalar]}", ({count},))'
            else:
                entry = f'("{name}", "{NUMPY[scalar]}")'
            out.append(f"        {entry},  # {at}" + (f": {doc}" if doc else ""))
        out += ["    ]", ")", f"assert {struct['name'].upper()}.itemsize == {struct['size']}"]
    out.append("")
    return "\n".join(out)


def main(arguments: list[str]) -> int:
    """Write, or with --check compare, both files."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    schema = tomllib.loads(SCHEMA.read_text())
    stale = []
    for path, text in ((HPP, cpp(schema)), (PY, python(schema))):
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path)
        if not arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(path.suffix + ".new")
            beside.write_text(text)
            beside.replace(path)
    for path in stale:
        print(
            f"{path.relative_to(ROOT)}: {'out of date, run native/schema/generate.py' if arguments else 'written'}"
        )
    return 1 if arguments and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
