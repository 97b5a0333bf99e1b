"""Market data out of shared memory, without a copy.

`SharedMemoryBridge` is the front for Python programs; `follow.py` is what compiled loops build on. The
names are imported when they are asked for: listing feeds needs no compiler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quietcore.bridge.shared_memory import Batch, BookState, Ladder, SharedMemoryBridge, Stats

__all__ = ["Batch", "BookState", "Ladder", "SharedMemoryBridge", "Stats"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from quietcore.bridge import shared_memory

        return getattr(shared_memory, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
