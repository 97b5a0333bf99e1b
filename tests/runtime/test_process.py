"""What is asked of the kernel: verified where it is granted, warned about with the right remedy where not."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from quietcore.errors import QuietcoreError
from quietcore.execution import process

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"


def test_cpu_from_the_plan(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"version": 1, "sets": {"strategy": [4], "gateway": [5, 6], "feed": []}}))
    assert process.planned_cpu("plan", "strategy", plan) == 4
    assert process.planned_cpu("plan", "gateway", plan) == 5
    assert process.planned_cpu(3, "gateway", plan) == 3
    assert process.planned_cpu(-1, "gateway", tmp_path / "none") == -1
    with pytest.raises(QuietcoreError, match=r"no CPU for: .*sets\.feed"):
        process.planned_cpu("plan", "feed", plan)
    with pytest.raises(QuietcoreError, match=r"damaged.*expected sets\.irq"):
        process.planned_cpu("plan", "irq", plan)
    with pytest.raises(QuietcoreError, match=r"plan is missing: .*none.*remedy: make the plan"):
        process.planned_cpu("plan", "gateway", tmp_path / "none")
    plan.write_text("{")
    with pytest.raises(QuietcoreError, match="damaged"):
        process.planned_cpu("plan", "gateway", plan)


def test_the_two_refusals_of_a_memory_lock_have_different_remedies() -> None:
    permission, room = process.lock_refusal(errno.EPERM), process.lock_refusal(errno.ENOMEM)
    assert "EPERM" in permission
    assert "CAP_IPC_LOCK" in permission
    assert "ENOMEM" in room
    assert "LimitMEMLOCK" in room
    assert "CAP_IPC_LOCK" not in room


PROGRAM = """
import ctypes, resource, sys
from quietcore.execution import process
limit = int(sys.argv[1])
if limit >= 0:
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(24, 14, 0, 0, 0) == 0  # PR_CAPBSET_DROP, CAP_IPC_LOCK
    libc.setresuid(65534, 65534, 65534)
warnings = []
kib = process.lock_memory(warnings.append)
print(kib, process.locked_kib())
print("\\n".join(warnings))
"""


def lock_in_a_process(limit: int) -> tuple[list[str], list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(limit)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        timeout=60,
        check=True,
    )
    first, *rest = done.stdout.splitlines()
    return first.split(), [line for line in rest if line]


def test_lock_is_verified() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if os.geteuid() != 0 and soft != resource.RLIM_INFINITY:
        pytest.skip("this user may not lock memory without limit")
    (kib, read_back), warnings = lock_in_a_process(-1)
    assert int(kib) == int(read_back) > 1000
    assert warnings == []


@pytest.mark.parametrize(("limit", "name"), [(0, "EPERM"), (64 * 1024, "ENOMEM")])
def test_a_refused_lock_is_a_warning(limit: int, name: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody who may not")
    (kib, read_back), warnings = lock_in_a_process(limit)
    assert (kib, read_back) == ("0", "0")
    assert len(warnings) == 1
    assert name in warnings[0]


def test_threads_as_the_kernel_sees_them() -> None:
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        process.name_thread("some-thread")
        inside.set()
        leave.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    try:
        found = {info.tid: info for info in process.threads()}
        assert thread.native_id is not None
        info = found[thread.native_id]
        assert info.name == "some-thread"
        assert info.cpu in range(os.cpu_count() or 1)
        assert os.getpid() in found
    finally:
        leave.set()
        thread.join()


def test_notify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not process.notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert process.notify("READY=1")
        assert listener.recv(100) == b"READY=1"
