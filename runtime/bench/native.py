"""The references in C++: built once into build/bench, loaded into this process."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

from quietcore.errors import ExitCode, QuietcoreError

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("drain.cpp")
SHARED = ROOT / "build/bench/libdrain.so"


def load() -> ctypes.CDLL:
    """Build where the source is newer, and load."""
    compiler = shutil.which("g++-12") or shutil.which("g++")
    if compiler is None:
        raise QuietcoreError("no C++ compiler", expected="g++", remedy="make setup", code=ExitCode.UNKNOWN)
    sources = [SOURCE, ROOT / "native/src/ring_reader.cpp", ROOT / "native/include/quietcore/ring_reader.hpp"]
    if not SHARED.exists() or SHARED.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        SHARED.parent.mkdir(parents=True, exist_ok=True)
        options = ["-std=c++20", "-O3", "-march=native", "-DNDEBUG", "-fPIC", "-shared"]
        includes = [f"-I{ROOT / 'native/include'}", f"-I{ROOT / 'native'}"]
        done = subprocess.run(
            [compiler, *options, *includes, str(SOURCE), "-o", str(SHARED)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise QuietcoreError(
                "reference cannot be built",
                where=str(SOURCE),
                found=done.stderr[-400:],
                code=ExitCode.UNKNOWN,
            )
    library = ctypes.CDLL(str(SHARED))
    number = ctypes.c_uint64
    library.drain.argtypes = [number] * 4
    library.drain.restype = ctypes.c_int64
    for name, words in (("ping", 3), ("pong", 3), ("ping_ticks", 5)):
        function = getattr(library, name)
        function.argtypes, function.restype = [number] * words, None
    return library
