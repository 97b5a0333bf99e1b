"""A plug-in of pytest, `-p tests.uncompiled`: compiled functions run as the Python that they are written in.

Machine code leaves no trace of its lines; run so, coverage.py sees which of them the tests reach. What differs between
the two is made up for here: integers are int64 and wrap, the fields of a record are its attributes, and what exists as
machine code only, such as a load with acquire, is done by ctypes. An interpreter runs one thread at a time, which keeps
what those promise among its own threads; between processes it relies on x86, which keeps the order of stores.

Only this process is uncompiled, not the commands that a test starts. Tests marked `machine_code` are left out: they
measure speed, count compilations, read the code itself, or need millions of steps.

It must be loaded before anything of quietcore is, which `-p` does.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numba.extending
import numpy as np
import pytest

if "quietcore" in sys.modules:
    raise RuntimeError("compiled functions are there already: load the plug-in by `-p tests.uncompiled`")
if platform.machine() not in ("x86_64", "AMD64"):
    raise RuntimeError(f"{platform.machine()}: stores of plain Python have no order here, expected x86-64")

LIBRARY = ctypes.CDLL(None, use_errno=True)
RUSAGE_THREAD = 1
EIGHT = ctypes.c_double * 8


def as_signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def load(address: int) -> int:
    return as_signed(ctypes.c_uint64.from_address(address).value)


def load_u32(address: int) -> int:
    return ctypes.c_uint32.from_address(address).value


def store(address: int, value: int) -> None:
    ctypes.c_uint64.from_address(address).value = value & (1 << 64) - 1


def give_way() -> None:
    time.sleep(0)


def raise_event(descriptor: int) -> int:
    try:
        os.eventfd_write(descriptor, 1)
    except OSError:
        return -1
    return 8


def thread_usage(address: int) -> None:
    LIBRARY.getrusage(RUSAGE_THREAD, ctypes.c_void_p(address))


def scan_block(source: int, target: int, scale: float, decay: float, carry: float) -> float:
    values, results = EIGHT.from_address(source), EIGHT.from_address(target)
    for i in range(8):
        carry = decay * carry + scale * values[i]
        results[i] = carry
    return carry


# By the names of the intrinsics.
STAND_INS: dict[str, Callable[..., Any]] = {
    "load_acquire": load,
    "load_relaxed": load,
    "load_u32": load_u32,
    "store_release": store,
    "store_relaxed": store,
    "fence_acquire": lambda: None,
    "fence_release": lambda: None,
    "pause": give_way,
    "now_ns": time.clock_gettime_ns,
    "nap": lambda nanoseconds: time.sleep(nanoseconds / 1e9),
    "raise_event": raise_event,
    "bit_length": lambda value: 64 if value < 0 else value.bit_length(),
    "time_stamp": time.monotonic_ns,
    "thread_usage": thread_usage,
    "scan_block": scan_block,
}


class Row:
    """One record: its fields are its attributes, as compiled code has them."""

    __slots__ = ("_record",)

    def __init__(self, record: np.void) -> None:
        object.__setattr__(self, "_record", record)

    def __getattr__(self, name: str) -> Any:
        return inward(self._record[name])

    def __setattr__(self, name: str, value: Any) -> None:
        self._record[name] = value

    __getitem__ = __getattr__
    __setitem__ = __setattr__


class Rows(np.ndarray[Any, Any]):
    """An array of records, each of which is a Row."""

    def __getitem__(self, place: Any) -> Any:
        return inward(super().__getitem__(place))


def inward(value: Any) -> Any:
    """Return what compiled code takes a value for."""
    kind = type(value)
    if kind is int:
        return np.int64(value)
    if kind is float:
        return np.float64(value)
    if kind is np.void:
        return Row(value)
    if kind is np.ndarray and value.dtype.names:
        return value.view(Rows)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return kind(*map(inward, value))
    return value


def outward(value: Any) -> Any:
    """Return what a caller in Python gets for it."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is tuple:
        return tuple(map(outward, value))
    return value


class Uncompiled:
    """Stands in for a compiled function: what it was made of, with what is asked of numba's dispatcher."""

    inside = threading.local()

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function

    def __call__(self, *given: Any) -> Any:
        if getattr(self.inside, "compiled", False):
            # Tuples were taken in by the outermost.
            return self.py_func(*[value if isinstance(value, tuple) else inward(value) for value in given])
        self.inside.compiled = True
        try:
            return outward(self.py_func(*map(inward, given)))
        finally:
            self.inside.compiled = False

    def compile(self, _signature: object) -> None:
        """Do nothing."""


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Stand in for numba's decorator of that name."""
    name = function.__name__
    if name not in STAND_INS:
        raise RuntimeError(
            f"intrinsic {name} of {function.__module__}: say in tests/uncompiled.py what it does"
        )
    doing = STAND_INS[name]
    return lambda *given: inward(doing(*map(outward, given)))


setattr(numba.extending, "intrinsic", intrinsic)  # noqa: B010 -- both are declared with other types

from quietcore.bridge import compiled  # noqa: E402 -- only now


def made(function: Callable[..., Any], **_options: object) -> Uncompiled:
    return Uncompiled(function)


setattr(compiled, "_made", made)  # noqa: B010


def pytest_configure(config: pytest.Config) -> None:
    # What wraps or is divided by 0 here does so in compiled code, without a word.
    for words in (
        "overflow encountered in scalar",
        "divide by zero encountered",
        "invalid value encountered",
    ):
        config.addinivalue_line("filterwarnings", f"ignore:{words}:RuntimeWarning")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.get_closest_marker("machine_code")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("machine_code")]
