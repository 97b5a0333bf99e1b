"""What an event loop meets that no task of ours could catch: a shortage is told in one line, a fault of ours in full.

A callback of the loop's own that finds no memory is called again: it is no reason to end, and its traceback says
nothing that can be mended in the code.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from collections.abc import Callable
from typing import Any, TypeGuard

from quietcore import shortage

SHORT = frozenset({errno.ENOMEM, errno.ENOBUFS, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT})
AGAIN_SECONDS = 10.0


def tell(loop: asyncio.AbstractEventLoop, say: Callable[[str], object]) -> None:
    """Let ``say`` take one line for each shortage that the loop meets, the same one every ten seconds at most."""
    said: dict[str, float] = {}

    def handle(its: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not is_shortage(error):
            its.default_exception_handler(context)
            return
        with contextlib.suppress(MemoryError):  # there may be none for the line either
            line = f"event loop: {context.get('message') or 'an error'}: {shortage.explain(error)}"
            now = time.monotonic()
            if now - said.get(line, -AGAIN_SECONDS) >= AGAIN_SECONDS:
                said[line] = now
                say(line)

    loop.set_exception_handler(handle)


def is_shortage(error: BaseException | None) -> TypeGuard[BaseException]:
    """Return whether an error is of memory, descriptors or room, and not of the code."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in SHORT)
