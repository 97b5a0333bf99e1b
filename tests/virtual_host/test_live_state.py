"""The readers of the kernel's text, on text as this kind of host prints it, good and bad."""

from tests.virtual_host.live_state import Interrupt, boot_values, cpu_list, interrupts, threads


def test_cpu_lists() -> None:
    assert cpu_list("\n") == set()
    assert cpu_list("0\n") == {0}
    assert cpu_list("0,2-5,9") == {0, 2, 3, 4, 5, 9}


def test_boot_values_keep_repetitions() -> None:
    values = boot_values(
        "BOOT_IMAGE=/boot/vmlinuz ro console=tty0 console=ttyS0,115200 isolcpus=domain,3-5\n"
    )
    assert values["console"] == ["tty0", "ttyS0,115200"]
    assert values["ro"] == [""]


def test_threads_have_their_unit_and_names_with_spaces() -> None:
    found = threads("unit quietcore-feed@sim.service\n10 10 3 3 quietcore-feed\n10 11 0-2 1 a b c\n")
    assert [(t.unit, t.tid, set(t.allowed), t.last_cpu, t.name) for t in found] == [
        ("quietcore-feed@sim.service", 10, {3}, 3, "quietcore-feed"),
        ("quietcore-feed@sim.service", 11, {0, 1, 2}, 1, "a b c"),
    ]


def test_interrupts_with_and_without_effective_cpu() -> None:
    found = interrupts("28 0 3 3 virtio0-req.3,\n33 1 0-2  virtio1-output.0,\n")
    assert found == [
        Interrupt(28, "virtio0-req.3", frozenset({3}), frozenset({3}), False),
        Interrupt(33, "virtio1-output.0", frozenset({0, 1, 2}), frozenset(), True),
    ]
