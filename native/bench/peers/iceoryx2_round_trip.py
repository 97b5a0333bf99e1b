"""iceoryx2, by its Python interface: 64 bytes there and back between two processes that spin."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from typing import Any

import iceoryx2

BATCH = 200
STOP = (1 << 64) - 1
LOOKS_UNTIL_ALONE = 1_000_000
"""Of the answering process: after so many without a message it looks whether the other one is still there."""


class Line(ctypes.Structure):
    """As large as a tick."""

    _fields_ = (("words", ctypes.c_uint64 * 8),)


class End:
    """One end of two services, one for each direction."""

    def __init__(self, name: str, outward: str, inward: str) -> None:
        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        self._node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
        self._line = Line()
        self._subscriber = self._service(f"{name}/{inward}").subscriber_builder().create()
        self._publisher = self._service(f"{name}/{outward}").publisher_builder().create()

    def _service(self, name: str) -> Any:
        builder = self._node.service_builder(iceoryx2.ServiceName.new(name))
        return builder.publish_subscribe(Line).open_or_create()

    def send(self, number: int) -> None:
        """Send a line."""
        self._line.words[0] = number
        self._publisher.loan_uninit().write_payload(self._line).send()

    def receive(self) -> int | None:
        """Return the number of the next line, None where there is none."""
        sample = self._subscriber.receive()
        return None if sample is None else int(sample.payload().contents.words[0])


def answer(name: str) -> None:
    """Send everything back, to the last message or the other process's end."""
    end = End(name, "back", "there")
    parent = os.getppid()
    print("ready", flush=True)
    looks = 0
    while True:
        number = end.receive()
        if number is None:
            looks += 1
            if looks % LOOKS_UNTIL_ALONE == 0 and os.getppid() != parent:
                return
            continue
        if number == STOP:
            return
        end.send(number)


def ask(end: End, number: int) -> None:
    """Send a line and wait for it."""
    end.send(number)
    while (came := end.receive()) is None:
        pass
    if came != number:
        raise RuntimeError(f"line {came} came back, not {number}")


def serve() -> None:
    """Answer `CASE INPUT SECONDS` lines with round trips until the input ends."""
    name = f"quietcore-bench-{os.getpid()}"
    cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    other = subprocess.Popen([sys.executable, __file__, name], stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(other.pid, {max(set(range(os.cpu_count() or 1)) - {cpu})})
    assert other.stdout is not None
    other.stdout.readline()
    end = End(name, "there", "back")
    ask(end, 0)
    other.send_signal(signal.SIGSTOP)
    print(json.dumps({"ready": True, "version": f"iceoryx2 {version('iceoryx2')} (Python)"}), flush=True)
    number = 0
    for request in sys.stdin:
        seconds = float(request.split()[2])
        other.send_signal(signal.SIGCONT)  # between blocks it leaves its CPU to the others
        for _ in range(BATCH):  # warm
            ask(end, 0)
        begin = time.perf_counter()
        done = 0
        while (elapsed := time.perf_counter() - begin) < seconds or done == 0:
            for _ in range(BATCH):
                ask(end, number)
                number += 1
            done += BATCH
        other.send_signal(signal.SIGSTOP)
        print(json.dumps({"operations": done, "seconds": elapsed}), flush=True)
    other.send_signal(signal.SIGCONT)
    end.send(STOP)
    other.wait(timeout=10)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        answer(sys.argv[1])
    else:
        serve()
