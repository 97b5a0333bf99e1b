"""Atomic loads and stores, fences, clocks and naps for compiled code, by address.

A plain ``while a[0] == old`` is hoisted into an endless loop by the compiler, and CPython's own loads carry
no ordering: everything that crosses a thread or a process goes through here. Addresses and values are
int64; a u64 travels as its bit pattern.
"""

# ruff: noqa: D103 -- the typed half below documents what the compiled half does

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

# The numbers are the Linux kernel's own; the names are missing from `time` on Windows, where importing must
# not fail.
CLOCK_REALTIME = 0
CLOCK_MONOTONIC = 1

if TYPE_CHECKING:

    def load_acquire(address: int) -> int:
        """Return the u64 at ``address``; nothing after it is read before it."""

    def load_relaxed(address: int) -> int:
        """Return the u64 at ``address``, whole, without ordering."""

    def load_u32(address: int) -> int:
        """Return the u32 at ``address`` with acquire ordering."""

    def store_release(address: int, value: int) -> None:
        """Store a u64; everything written before it is seen by who reads it with acquire."""

    def store_relaxed(address: int, value: int) -> None:
        """Store a u64, whole, without ordering."""

    def fence_acquire() -> None:
        """Keep every later load behind every earlier one."""

    def fence_release() -> None:
        """Keep every later store behind every earlier one."""

    def pause() -> None:
        """Tell the core that this is a spin loop."""

    def now_ns(clock: int) -> int:
        """Return clock_gettime(clock) in nanoseconds."""

    def nap(nanoseconds: int) -> None:
        """Sleep below one second (nanosleep; a signal ends it early)."""

    def raise_event(descriptor: int) -> int:
        """Add one to an eventfd; return what write(2) returned."""

    def bit_length(value: int) -> int:
        """Return the number of bits of a positive int64, 64 for a negative one."""

else:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    I32, I64 = ir.IntType(32), ir.IntType(64)
    TIMESPEC = ir.LiteralStructType([I64, I64])

    def pointer(builder: Any, address: Any, kind: Any) -> Any:
        return builder.inttoptr(address, kind.as_pointer())

    def external(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
        """Declare a C library function: resolved among the process's symbols, so code can be cached."""
        return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)

    @intrinsic
    def load_acquire(typing_context, address):
        def build(context, builder, signature, arguments):
            return builder.load_atomic(pointer(builder, arguments[0], I64), "acquire", 8)

        return types.int64(types.int64), build

    @intrinsic
    def load_relaxed(typing_context, address):
        def build(context, builder, signature, arguments):
            return builder.load_atomic(pointer(builder, arguments[0], I64), "monotonic", 8)

        return types.int64(types.int64), build

    @intrinsic
    def load_u32(typing_context, address):
        def build(context, builder, signature, arguments):
            return builder.zext(builder.load_atomic(pointer(builder, arguments[0], I32), "acquire", 4), I64)

        return types.int64(types.int64), build

    @intrinsic
    def store_release(typing_context, address, value):
        def build(context, builder, signature, arguments):
            builder.store_atomic(arguments[1], pointer(builder, arguments[0], I64), "release", 8)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), build

    @intrinsic
    def store_relaxed(typing_context, address, value):
        def build(context, builder, signature, arguments):
            builder.store_atomic(arguments[1], pointer(builder, arguments[0], I64), "monotonic", 8)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), build

    @intrinsic
    def fence_acquire(typing_context):
        def build(context, builder, signature, arguments):
            builder.fence("acquire")
            return context.get_dummy_value()

        return types.void(), build

    @intrinsic
    def fence_release(typing_context):
        def build(context, builder, signature, arguments):
            builder.fence("release")
            return context.get_dummy_value()

        return types.void(), build

    @intrinsic
    def pause(typing_context):
        def build(context, builder, signature, arguments):
            if platform.machine() in ("x86_64", "AMD64"):
                builder.call(external(builder, "llvm.x86.sse2.pause", ir.VoidType()), [])
            elif platform.machine() in ("aarch64", "arm64"):
                builder.call(external(builder, "llvm.aarch64.hint", ir.VoidType(), I32), [I32(1)])
            return context.get_dummy_value()

        return types.void(), build

    @intrinsic
    def now_ns(typing_context, clock):
        def build(context, builder, signature, arguments):
            spec = cgutils.alloca_once(builder, TIMESPEC)
            function = external(builder, "clock_gettime", I32, I32, TIMESPEC.as_pointer())
            builder.call(function, [builder.trunc(arguments[0], I32), spec])
            seconds = builder.load(builder.gep(spec, [I32(0), I32(0)]))
            rest = builder.load(builder.gep(spec, [I32(0), I32(1)]))
            return builder.add(builder.mul(seconds, I64(1_000_000_000)), rest)

        return types.int64(types.int64), build

    @intrinsic
    def nap(typing_context, nanoseconds):
        def build(context, builder, signature, arguments):
            spec = cgutils.alloca_once(builder, TIMESPEC)
            builder.store(I64(0), builder.gep(spec, [I32(0), I32(0)]))
            builder.store(arguments[0], builder.gep(spec, [I32(0), I32(1)]))
            place = TIMESPEC.as_pointer()
            function = external(builder, "nanosleep", I32, place, place)
            builder.call(function, [spec, ir.Constant(place, None)])
            return context.get_dummy_value()

        return types.void(types.int64), build

    @intrinsic
    def raise_event(typing_context, descriptor):
        def build(context, builder, signature, arguments):
            one = cgutils.alloca_once_value(builder, I64(1))
            function = external(builder, "write", I64, I32, I64.as_pointer(), I64)
            return builder.call(function, [builder.trunc(arguments[0], I32), one, I64(8)])

        return types.int64(types.int64), build

    @intrinsic
    def bit_length(typing_context, value):
        def build(context, builder, signature, arguments):
            return builder.sub(I64(64), builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0)))

        return types.int64(types.int64), build
