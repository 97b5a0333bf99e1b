"""Network cards: set as far as they offer, told where they do not, and never without a way back under a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.host.fake_card import ADDRESS, FakeCard, answer
from tests.host.fake_host import FakeHost
from tests.host.promises import Setting, setting

from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import apply_all, promise, revert
from quietcore.host.findings import Finding, Verdict, is_listed
from quietcore.host.way_back import carries_a_connection

FILE = "/etc/systemd/network/10-quietcore-eth0.link"


def part(name: str, **wanted: Any) -> Setting:
    words = {word.replace("_", "-"): value for word, value in wanted.items()}
    return setting(f"network.eth0.{name}", "network_card", f"eth0:{name}", words)


RING = part("ring", rx=4096, tx=4096)
SETTINGS = [
    setting("network.eth0.link", "network_link", "eth0", FILE),
    part("channels", combined=1),
    RING,
    part("coalesce", adaptive_rx="off", adaptive_tx=False, rx_usecs=0, tx_usecs=0),
    part("offload", lro="off", gro="off"),
    part("rss", equal=1),
]


@pytest.fixture
def card(host: FakeHost) -> FakeCard:
    return FakeCard(host)


def found(card: FakeCard, name: str) -> Finding:
    return next(finding for finding in audit(card.host.machine()) if finding.id == name)


def test_everything_is_set_and_comes_back(card: FakeCard) -> None:
    before = (dict(card.ring), dict(card.channels), dict(card.coalesce), dict(card.offload), card.equal)
    assert not promise(card.host.machine(), "network", SETTINGS).failures
    assert card.ring == {"rx": "4096", "tx": "4096"}
    assert (card.channels, card.equal) == ({"combined": "1"}, 1)
    assert card.coalesce == {"adaptive-rx": "off", "adaptive-tx": "off", "rx-usecs": "0", "tx-usecs": "0"}
    assert card.offload == {"gro": "off", "lro": "off"}
    again = promise(card.host.machine(), "network", SETTINGS)
    assert ([change.target for change in again.changes], again.failures) == ([], [])
    assert all(not finding.failed for finding in audit(card.host.machine()))
    lines = card.host.get(FILE).splitlines()
    assert lines[1:4] == ["[Match]", f"PermanentMACAddress={ADDRESS}", ""]
    assert lines[5].startswith("NamePolicy=keep")
    assert lines[8:] == [
        "CombinedChannels=1",
        "RxBufferSize=4096",
        "TxBufferSize=4096",
        "UseAdaptiveRxCoalesce=no",
        "UseAdaptiveTxCoalesce=no",
        "RxCoalesceSec=0us",
        "TxCoalesceSec=0us",
        "GenericReceiveOffload=no",
        "LargeReceiveOffload=no",
    ]
    assert not revert(card.host.machine()).failures
    assert (card.ring, card.channels, card.coalesce, card.offload, card.equal) == before
    assert not (card.host.root / FILE.lstrip("/")).exists()


def test_what_is_changed_later_comes_back_too(card: FakeCard) -> None:
    promise(card.host.machine(), "network", [part("ring", rx=1024)])
    promise(card.host.machine(), "network", [part("ring", rx=1024, tx=1024)])
    revert(card.host.machine())
    assert card.ring == {"rx": "512", "tx": "512"}


def test_the_card_bounds_what_is_wanted(card: FakeCard) -> None:
    card.most = 1024
    assert not promise(card.host.machine(), "network", SETTINGS).failures
    assert card.ring == {"rx": "1024", "tx": "1024"}
    finding = found(card, "network.eth0.ring")
    assert (finding.verdict, finding.cause) == (Verdict.OK, "rx 1024 is the most; tx 1024 is the most")
    assert "RxBufferSize=1024" in card.host.get(FILE)


def test_what_the_driver_keeps_fixed_is_told(card: FakeCard) -> None:
    assert not promise(card.host.machine(), "network", [part("offload", gro="off", gso="off")]).failures
    assert found(card, "network.eth0.offload").cause == "the driver does not offer gso"
    outcome = promise(card.host.machine(), "network", [{**part("offload", gso="off"), "required": False}])
    assert not outcome.failures
    assert found(card, "network.eth0.offload").verdict is Verdict.UNSUPPORTED


@pytest.mark.parametrize(
    ("breaks", "verdict", "cause"),
    [
        (lambda card: card.ring.update(rx="256"), Verdict.DRIFT, "changed by hand"),
        (
            lambda card: card.bind("virtio_net"),
            Verdict.UNSUPPORTED,
            "eth0 is a virtio interface (virtio_net)",
        ),
        (lambda card: card.unsupported.add("-g"), Verdict.UNSUPPORTED, "Operation not supported"),
        (lambda card: card.fails.add("-g"), Verdict.MISSING, "Invalid argument"),
        (
            lambda card: card.host.programs.update(ethtool=lambda words: answer(127)),
            Verdict.MISSING,
            "ethtool is not installed",
        ),
    ],
)
def test_each_verdict_has_its_cause(
    card: FakeCard, breaks: Callable[[FakeCard], object], verdict: Verdict, cause: str
) -> None:
    promise(card.host.machine(), "network", [RING])
    breaks(card)
    finding = found(card, "network.eth0.ring")
    assert finding.verdict is verdict
    assert cause in finding.cause


def test_a_name_that_is_no_card_is_unsupported(card: FakeCard) -> None:
    card.host.put("/sys/class/net/dummy0/address", ADDRESS + "\n")
    wanted = [{**setting("n", "network_card", "dummy0:ring", {"rx": 1}), "required": False}]
    assert not promise(card.host.machine(), "network", wanted).failures
    assert found(card, "n").cause == "dummy0 is no network card: no driver stands behind it"


def test_a_virtual_card_gets_no_file(card: FakeCard) -> None:
    card.bind("virtio_net")
    outcome = promise(card.host.machine(), "network", [{**item, "required": False} for item in SETTINGS])
    assert (outcome.failures, card.sets) == ([], [])
    assert not (card.host.root / FILE.lstrip("/")).exists()
    assert found(card, "network.eth0.link").verdict is Verdict.UNSUPPORTED


def test_another_file_that_counts_is_named(card: FakeCard) -> None:
    promise(card.host.machine(), "network", SETTINGS)
    card.host.programs["udevadm"] = lambda words: answer(
        0, "ID_NET_LINK_FILE=/etc/systemd/network/05-other.link\n"
    )
    finding = found(card, "network.eth0.link")
    assert (finding.verdict, finding.found) == (Verdict.OVERRIDDEN, "/etc/systemd/network/05-other.link")


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (part("ring", rx=0), "rx 0 would stop the card"),
        (part("ring", mini=1), "unknown word of ring"),
        (part("coalesce", adaptive_rx=1), "not a value of adaptive-rx"),
        (part("ring", rx="many"), "not a value of rx"),
        (setting("n", "network_card", "eth0:colour", {"rx": 1}), "not a part"),
        (setting("n", "network_card", "-K:ring", {"rx": 1}), "not a part"),
        (setting("n", "network_card", "../x:ring", {"rx": 1}), "not a part"),
        (setting("n", "network_link", "eth0", "/etc/passwd"), "not a file for an interface"),
    ],
)
def test_what_can_never_be_right_is_refused(card: FakeCard, bad: Setting, what: str) -> None:
    with pytest.raises(QuietcoreError, match=what):
        promise(card.host.machine(), "network", [bad])


def test_under_a_connection_the_way_back_is_armed_first(card: FakeCard) -> None:
    card.connect()
    assert carries_a_connection(card.host.machine(), "eth0")
    promise(card.host.machine(), "network", SETTINGS)
    calls = [
        call
        for call in card.host.calls
        if call[0] == "systemd-run" or call[1] in ("-G", "-L", "-C", "-K", "-X")
    ]
    assert calls[0][0] == "systemd-run"
    assert calls[0][-4:] == ("/usr/local/sbin/quietcore", "revert", "--role", "network")
    assert [call[0] for call in calls].count("systemd-run") == 1
    assert len(calls) > 4


def test_without_a_way_back_a_connection_is_left_alone(card: FakeCard) -> None:
    card.connect()
    card.host.programs["systemd-run"] = lambda words: answer(1, err="Failed to start transient timer unit\n")
    (failure,) = promise(card.host.machine(), "network", [RING]).failures
    assert "no timed way back" in failure
    assert "Failed to start transient timer" in failure
    assert card.sets == []
    card.host.drop("/usr/local/sbin/quietcore")
    (failure,) = promise(card.host.machine(), "network", [RING]).failures
    assert "/usr/local/sbin/quietcore is not there" in failure


def test_check_mode_arms_nothing(card: FakeCard) -> None:
    card.connect()
    assert promise(card.host.machine(), "network", [RING], check=True).changed
    assert (card.sets, "quietcore-way-back.timer" in card.host.units) == ([], False)


def test_the_way_back_itself_needs_none(card: FakeCard) -> None:
    card.connect()
    promise(card.host.machine(), "network", [RING])
    del card.host.units["quietcore-way-back.timer"]
    revert(card.host.machine(), ["network"])
    assert card.ring["rx"] == "512"
    assert "quietcore-way-back.timer" not in card.host.units


def test_who_is_connected_through_what_stands_on_the_card(card: FakeCard) -> None:
    card.connect()
    machine = card.host.machine()
    card.host.programs["ip"] = lambda words: answer(0, "3: bond0    inet 192.0.2.10/24 scope global bond0\n")
    assert not carries_a_connection(machine, "eth0")
    (card.host.root / "sys/class/net/eth0/upper_bond0").mkdir()
    assert carries_a_connection(machine, "eth0")
    card.host.put(
        "/proc/net/tcp", "  sl\n   0: 00000000:0016 00000000:0000 0A\n   1: 0A0200C0:C001 010200C0:01BB 01\n"
    )
    assert not carries_a_connection(machine, "eth0"), "an outgoing connection"
    listening, connected = f"{'0' * 32}:0016 0:0 0A", "0000000000000000FFFF00000A0200C0:0016 0:0 01"
    card.host.put("/proc/net/tcp6", f"  sl\n   0: {listening}\n   1: {connected}\n")
    assert carries_a_connection(machine, "eth0"), "an address of version 4 on a socket of version 6"
    card.host.programs["ip"] = lambda words: answer(1)
    assert carries_a_connection(machine, "eth0"), "nobody can tell"


def test_a_pattern_lists_what_a_kind_of_host_lacks() -> None:
    assert is_listed("network.eth0.ring", ["cpu_power.governor", "network.*"])
    assert not is_listed("real_time.fair_server", ["cpu_power.governor", "network.*"])


def test_at_boot_nobody_is_connected(card: FakeCard) -> None:
    promise(card.host.machine(), "network", SETTINGS)
    card.ring["rx"] = "512"
    assert not apply_all(card.host.machine(), live_only=True).failures
    assert card.ring["rx"] == "4096"
    assert "quietcore-way-back.timer" not in card.host.units


def test_a_card_without_combined_queues_gets_as_many_of_each_kind(card: FakeCard) -> None:
    card.channels = {"rx": "4", "tx": "4"}
    settings = [SETTINGS[0], part("channels", combined=2)]
    assert not promise(card.host.machine(), "network", settings).failures
    assert card.channels == {"rx": "2", "tx": "2"}
    finding = found(card, "network.eth0.channels")
    assert (finding.verdict, finding.found) == (Verdict.OK, "rx 2, tx 2")
    assert finding.cause == "the driver does not offer combined: rx and tx instead"
    assert {"RxChannels=2", "TxChannels=2"} <= set(card.host.get(FILE).splitlines())
    card.channels["rx"] = "4"
    assert found(card, "network.eth0.channels").verdict is Verdict.DRIFT
    revert(card.host.machine())
    assert card.channels == {"rx": "4", "tx": "4"}


def test_more_queues_than_the_card_has_are_bounded_for_each_kind(card: FakeCard) -> None:
    card.channels = {"rx": "1", "tx": "1"}
    assert not promise(card.host.machine(), "network", [part("channels", combined=9)]).failures
    assert card.channels == {"rx": "4", "tx": "4"}
    assert "rx 4 is the most; tx 4 is the most" in found(card, "network.eth0.channels").cause


def test_combined_queues_are_not_left_beside_others(card: FakeCard) -> None:
    """A driver such as bnxt offers both kinds, and refuses them side by side."""
    card.channels = {"rx": "4", "tx": "4", "combined": "0"}
    settings = [SETTINGS[0], part("channels", combined=2)]
    assert not promise(card.host.machine(), "network", settings).failures
    assert card.sets == [("-L", "eth0", "combined", "2", "rx", "0", "tx", "0")]
    assert found(card, "network.eth0.channels").verdict is Verdict.OK
    assert "CombinedChannels=2" in card.host.get(FILE).splitlines()
    assert "Channels=0" not in card.host.get(FILE)
    revert(card.host.machine())
    assert card.channels == {"rx": "4", "tx": "4", "combined": "0"}


def test_a_card_without_an_address_of_its_own_is_set_live_alone(card: FakeCard) -> None:
    """Such as a virtual function: no file can name it, so nothing is said to hold at boot."""
    shown = card.ethtool
    none = "Permanent address: not set\n"
    card.host.programs["ethtool"] = lambda words: answer(0, none) if words[1] == "-P" else shown(words)
    link = {**SETTINGS[0], "required": False}
    assert not promise(card.host.machine(), "network", [link, RING]).failures
    assert card.ring == {"rx": "4096", "tx": "4096"}
    finding = found(card, "network.eth0.link")
    assert (finding.verdict, finding.cause) == (Verdict.UNSUPPORTED, "eth0 has no permanent address")


@pytest.mark.parametrize("option", ["-g", "-l", "-c", "-k", "-x"])
def test_an_answer_of_another_form_is_not_believed(card: FakeCard, option: str) -> None:
    names = {"-g": "ring", "-l": "channels", "-c": "coalesce", "-k": "offload", "-x": "rss"}
    promise(card.host.machine(), "network", SETTINGS)
    shown = card.ethtool
    card.host.programs["ethtool"] = lambda words: (
        answer(0, shown(words).stdout[:60]) if words[1] == option else shown(words)
    )
    finding = found(card, f"network.eth0.{names[option]}")
    assert (finding.verdict, finding.readable) == (Verdict.MISSING, False)
