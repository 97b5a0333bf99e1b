"""Shortages that an event loop meets are one line each; a fault of ours keeps its traceback."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest
import uvloop

from quietcore import loop_errors


def meet(*errors: BaseException, make: object = uvloop.new_event_loop) -> list[str]:
    """Let a loop's callbacks raise errors; return what was said."""
    said: list[str] = []
    loop = make()  # type: ignore[operator]

    def fail(error: BaseException) -> None:
        raise error

    async def work() -> None:
        for error in errors:
            loop.call_soon(fail, error)
        await asyncio.sleep(0.01)

    try:
        loop_errors.tell(loop, said.append)
        loop.run_until_complete(work())
    finally:
        loop.close()
    return said


@pytest.mark.parametrize("make", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_shortage_is_one_line_and_the_loop_goes_on(make: object, caplog: pytest.LogCaptureFixture) -> None:
    said = meet(MemoryError(), OSError(errno.EMFILE, "Too many open files"), make=make)
    assert len(said) == 2
    assert "not enough memory; remedy" in said[0]
    assert "EMFILE" in said[1]
    assert all("\n" not in line and line.startswith("event loop: Exception in callback") for line in said)
    assert caplog.records == []


def test_the_same_one_is_not_told_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    assert len(meet(*[MemoryError() for _ in range(50)])) == 1


def test_a_fault_of_ours_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert meet(KeyError("x"), ConnectionResetError(errno.ECONNRESET, "reset")) == []
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
