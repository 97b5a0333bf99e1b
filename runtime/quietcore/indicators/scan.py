"""The linear recurrence y[i] = decay · y[i-1] + scale · x[i] over a series: what most whole-series forms are made of.

Its plain form waits for each result before it begins the next. With AVX2 and FMA eight values at a time are
summed within vectors, and only one operation in eight waits. Without them the plain form is used.
"""

# ruff: noqa: D103 -- the typed half below documents what the compiled half does

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import llvmlite.binding
import numba.core.config

from quietcore.bridge.compiled import fused

BLOCK: Final = 8


def compiles_for_avx2() -> bool:
    """Return whether numba compiles for a CPU with AVX2 and FMA: the one it was told of, else this one."""
    config: Any = numba.core.config  # its names are made at run time
    name, features = config.CPU_NAME, config.CPU_FEATURES
    if name in (None, "host") and not features:
        here: Any = llvmlite.binding.get_host_cpu_features()
        return bool(here.get("avx2")) and bool(here.get("fma"))
    wanted = (features or "").split(",")
    return ("+avx2" in wanted and "+fma" in wanted) or (name or "") in ("x86-64-v3", "x86-64-v4")


VECTORS: Final = compiles_for_avx2()


if TYPE_CHECKING:

    def scan_block(source: int, target: int, scale: float, decay: float, carry: float) -> float:
        """Do eight steps from address to address; return the last result."""

else:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    DOUBLE, I32 = ir.DoubleType(), ir.IntType(32)
    FOUR = ir.VectorType(DOUBLE, 4)

    @intrinsic
    def scan_block(typing_context, source, target, scale, decay, carry):
        def build(context, builder, signature, arguments):
            source, target, scale, decay, carry = arguments
            zero = ir.Constant(FOUR, [0.0] * 4)

            def times(a, b):
                return builder.fmul(a, b, flags=("contract",))

            def plus(a, b):
                return builder.fadd(a, b, flags=("contract",))

            def spread(value):
                first = builder.insert_element(ir.Constant(FOUR, ir.Undefined), value, I32(0))
                return pick(first, first, 0, 0, 0, 0)

            def pick(a, b, *places):
                return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, 4), list(places)))

            def load(offset):
                place = builder.inttoptr(builder.add(source, source.type(offset)), FOUR.as_pointer())
                value = builder.load(place)
                value.align = 8
                return value

            def store(value, offset):
                place = builder.inttoptr(builder.add(target, target.type(offset)), FOUR.as_pointer())
                builder.store(value, place, align=8)

            second = times(decay, decay)
            fourth = times(second, second)
            powers = ir.Constant(FOUR, ir.Undefined)
            for place, power in enumerate((decay, second, times(second, decay), fourth)):
                powers = builder.insert_element(powers, power, I32(place))
            decays, seconds, fourths, scales = map(spread, (decay, second, fourth, scale))

            def within(value):
                value = times(value, scales)
                value = plus(value, times(pick(zero, value, 0, 4, 5, 6), decays))
                return plus(value, times(pick(zero, value, 0, 0, 4, 5), seconds))

            low, high = within(load(0)), within(load(32))
            high = plus(high, times(pick(low, low, 3, 3, 3, 3), powers))
            carries = spread(carry)
            store(plus(low, times(powers, carries)), 0)
            store(plus(high, times(times(powers, fourths), carries)), 32)
            last = builder.extract_element(high, I32(3))
            return plus(last, times(times(fourth, fourth), carry))

        return types.float64(types.int64, types.int64, types.float64, types.float64, types.float64), build


@fused
def scan_plain(values: Any, scale: float, decay: float, start: float, out: Any) -> float:
    """Do the recurrence one value after the other; return the last result."""
    y = start
    for i in range(values.shape[0]):
        y = decay * y + scale * values[i]
        out[i] = y
    return y


@fused
def scan_vectors(values: Any, scale: float, decay: float, start: float, out: Any) -> float:
    """Do it eight at a time. Both arrays must be contiguous, which their types tell; they may be the same."""
    y = start
    source, target = values.ctypes.data, out.ctypes.data
    whole = values.shape[0] - values.shape[0] % BLOCK
    for i in range(0, whole, BLOCK):
        y = scan_block(source + 8 * i, target + 8 * i, scale, decay, y)
    for i in range(whole, values.shape[0]):
        y = decay * y + scale * values[i]
        out[i] = y
    return y


scan = scan_vectors if VECTORS else scan_plain
