"""A ring that somebody cuts short while it is mapped: a line that says so, instead of an end by SIGBUS without a word.

A read behind the end of the file raises SIGBUS in the thread that reads (mmap(2)). The handler finds the ring by the
address. A reader that wants to end in good order gets pages of zeros there, which no slot and no book can be taken
for, and is called; for every other one the process ends with exit code 3. Linux on 64 bits.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from quietcore.errors import ExitCode, QuietcoreError

SA_SIGINFO = 4
SIGNAL_SET_BYTES = 128  # sigset_t of glibc and musl
ADDRESS_OFFSET = 16  # of si_addr in siginfo_t
MAP_FIXED = 0x10

HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class SignalAction(ctypes.Structure):
    """``struct sigaction`` as the C library takes it."""

    _fields_ = [
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_byte * SIGNAL_SET_BYTES),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    ]


class Mapping(Protocol):
    """What the handler needs to know of a mapped ring."""

    base: int  # address of its first byte
    size: int  # bytes that were there when it was mapped
    truncated: bool
    when_truncated: Callable[[], None] | None

    @property
    def path(self) -> Any:
        """Where the file lies."""


_mappings: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_handler: Any = None  # ctypes' thunk, which must stay
_libc: Any = None


def truncated_error(mapping: Mapping, found: str) -> QuietcoreError:
    """Return the error for a ring that was cut short."""
    return QuietcoreError(
        "ring was cut short while it was mapped",
        where=str(mapping.path),
        found=found,
        expected=f"{mapping.size} bytes",
        remedy="restart the feed handler: it makes the ring again; nothing else may write below /dev/shm/quietcore.*",
        code=ExitCode.UNKNOWN,
    )


def shortened(mapping: Mapping) -> QuietcoreError | None:
    """Look whether the file at a ring's path is still as long as it was; needs no descriptor."""
    if mapping.truncated:
        return truncated_error(mapping, "a read behind its end")
    try:
        found = mapping.path.stat()
    except OSError:
        return None
    if (found.st_dev, found.st_ino) == getattr(mapping, "inode", None) and found.st_size < mapping.size:
        return truncated_error(mapping, f"{found.st_size} bytes")
    return None


def register(mapping: Mapping) -> None:
    """Look after a mapped ring for as long as it lives."""
    _mappings[mapping.base] = mapping
    _install()


def forget(mapping: Mapping) -> None:
    """Look no longer after a ring that is not mapped any more: its addresses will be somebody else's."""
    _mappings.pop(mapping.base, None)


def _install() -> None:
    global _handler, _libc
    if _handler is not None or sys.platform != "linux" or sys.maxsize < 1 << 32:
        return
    _libc = ctypes.CDLL(None, use_errno=True)
    _libc.mmap.restype = ctypes.c_void_p
    _libc.mmap.argtypes = [
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    ]
    _handler = HANDLER(_on_bus_error)
    action = SignalAction(handler=ctypes.cast(_handler, ctypes.c_void_p), flags=SA_SIGINFO)
    _libc.sigaction(int(signal.SIGBUS), ctypes.byref(action), None)


def _on_bus_error(number: int, information: int, context: int) -> None:
    """Run in the thread that read, in the middle of that read: nowhere else can the address be in a ring."""
    address = ctypes.c_uint64.from_address(information + ADDRESS_OFFSET).value
    for mapping in list(_mappings.values()):
        if mapping.base <= address < mapping.base + mapping.size:
            _cut_short(mapping, address)
            return
    _say(f"bus error at {address:#x}, in no ring")
    action = SignalAction()  # SIG_DFL: the same read comes again, and ends the process
    _libc.sigaction(int(signal.SIGBUS), ctypes.byref(action), None)


def _cut_short(mapping: Mapping, address: int) -> None:
    if mapping.when_truncated is None:
        _say(str(truncated_error(mapping, f"nothing at byte {address - mapping.base}")))
        os._exit(ExitCode.UNKNOWN)
    start = address & -mmap.PAGESIZE
    end = -(-(mapping.base + mapping.size) // mmap.PAGESIZE) * mmap.PAGESIZE
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED
    if _libc.mmap(start, end - start, mmap.PROT_READ, flags, -1, 0) != start:
        _say(str(truncated_error(mapping, "no memory to end in good order")))
        os._exit(ExitCode.UNKNOWN)
    if not mapping.truncated:
        mapping.truncated = True
        mapping.when_truncated()


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"quietcore: {line}\n".encode())
