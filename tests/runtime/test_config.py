"""The configuration: what is wrong is named by file, key and expectation; nothing wrong is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from quietcore import config
from quietcore.cli.run import confirm_live
from quietcore.errors import ExitCode, QuietcoreError

GOOD = """
mode = "sim"
feed = "demo"
symbol = "BTCUSDT"
wait = "nap"
strategy_cpu = "plan"
gateway_cpu = -1
[venue]
name = "bybit-linear"
rest = "http://127.0.0.1:8760"
private_websocket = "ws://127.0.0.1:8760"
tls_ca = ""
[strategy]
name = "crossing"
[strategy.parameters]
fast = 20
slow = 80
[risk]
order_size = "0.001"
max_position = "0.01"
max_open_orders = 4
max_order_rate = 10
price_band = 0.01
"""


def load(folder: Path, text: str) -> config.RuntimeConfig:
    path = folder / "runtime.toml"
    path.write_text(text)
    return config.load(path)


def test_the_documented_example(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD)
    assert (settings.feed, settings.risk.order_size, settings.gateway_cpu) == ("demo", "0.001", -1)


def test_defaults(tmp_path: Path) -> None:
    text = """
mode = "sim"
feed = "demo"
venue = {name = "v", rest = "http://h", private_websocket = "ws://h"}
risk = {order_size = "1", max_position = "2"}
"""
    settings = load(tmp_path, text)
    assert (settings.symbol, settings.wait, settings.strategy_cpu) == ("", "nap", "plan")
    assert (settings.strategy.name, settings.strategy.path, settings.strategy.parameters) == (
        "crossing",
        "",
        {},
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'symbol = "BTCUSDT"',
            "colour = 1",
            r"unknown key: .*runtime\.toml: colour; expected one of feed",
        ),
        (
            'name = "crossing"',
            "quick = 20",
            r"unknown key: .*: strategy\.quick; expected one of name, path, parameters",
        ),
        ("price_band", "price_bnd", r"unknown key: .*: risk\.price_bnd; expected one of order_size"),
        ('name = "bybit-linear"', "", r"missing key: .*: venue\.name"),
        ('feed = "demo"', "", r"missing key: .*: feed"),
        (
            'order_size = "0.001"',
            "order_size = 0.001",
            r"type: .*risk\.order_size; found float; expected str",
        ),
        ("fast = 20", 'fast = "20"', r"wrong type: .*strategy\.parameters.*; found str; expected int"),
        ("fast = 20", "fast = true", r"wrong type: .*strategy\.parameters.*; found bool; expected int"),
        ("gateway_cpu = -1", "gateway_cpu = 1.5", r"wrong type: .*gateway_cpu; found float"),
        ('mode = "sim"', 'mode = "live"', "mode live is not allowed: .*: allow_live; found false"),
        ("http://127.0.0.1:8760", "https://api.bybit.com", r"venue\.rest.*expected a simulator"),
        (
            'mode = "sim"\nfeed = "demo"',
            'mode = "testnet"\nallow_live = true\nfeed = 3',
            r"wrong type: .*: feed",
        ),
        ("[venue]\n", '[degrade]\naction = "pause"\n[venue]\n', r"degrade\.action; found 'pause'"),
        ("[venue]\n", "[degrade]\nshare = 0.0\n[venue]\n", r"degrade\.share"),
        ("[venue]\n", "[guard]\ntimeout = 0.0\n[venue]\n", r"guard\.timeout"),
        ("[venue]\n", "[guard]\ndisconnect_cancel = 2\n[venue]\n", r"guard\.disconnect_cancel"),
        ("[venue]\n", "[scout]\ntop_n = 0\n[venue]\n", r"scout\.top_n; found 0; expected 1 to 100"),
        ("[venue]\n", "[scout]\ncheck_interval = 0.0\n[venue]\n", r"scout\.check_interval"),
        ("[venue]\n", "[scout]\nswitch_interval = inf\n[venue]\n", r"scout\.switch_interval"),
        ("[venue]\n", '[scout]\npolicy = "best"\n[venue]\n', r"scout\.policy; found 'best'; expected hyst"),
        ("[venue]\n", "[scout]\nevery = 1\n[venue]\n", r"unknown key: .*scout\.every"),
        (
            "[venue]\n",
            '[venue]\norder_websocket = "http://h"\n',
            r"venue\.order_websocket; .*ws:// or wss://",
        ),
        (
            "[venue]\n",
            '[venue]\norder_websocket = "wss://stream.bybit.com"\n',
            r"venue\.order_websocket.*expected a simulator",
        ),
        ('wait = "nap"', 'wait = "nap"\ngateway_wait = "no"', r"gateway_wait; found 'no'; .*or empty"),
        ('wait = "nap"', 'wait = "nap"\nfeed_timeout = nan', r"feed_timeout; found nan; expected 0 to 3600"),
        ("price_band", 'max_loss = "-1"\nprice_band', r"risk\.max_loss"),
        ("price_band", "max_book_age = -1.0\nprice_band", r"risk\.max_book_age"),
        ('mode = "sim"', 'mode = "simm"', "bad value: .*: mode; found 'simm'"),
        ('wait = "nap"', 'wait = "sleep"', "bad value: .*: wait; found 'sleep'; expected nap or spin"),
        (
            "gateway_cpu = -1",
            "gateway_cpu = -2",
            "bad value: .*gateway_cpu; found -2; expected .plan., a",
        ),
        ("gateway_cpu = -1", 'gateway_cpu = "all"', "bad value: .*gateway_cpu; found 'all'"),
        ("http://127", "ws://127", r"bad value: .*venue\.rest; .*http://"),
        (":8760", ":8760/v5", r"bad value: .*venue\.rest; .*without a path"),
        ('"0.001"', '"many"', r"bad value: .*risk\.order_size; found 'many'; expected a positive decimal"),
        ('"0.001"', '"-1"', r"bad value: .*risk\.order_size"),
        ('"0.001"', '"NaN"', r"bad value: .*risk\.order_size"),
        ('"0.01"', '"Infinity"', r"bad value: .*risk\.max_position"),
        ('"0.001"', '"0.02"', r"bad value: .*risk\.order_size; .*at most risk\.max_position"),
        ("max_open_orders = 4", "max_open_orders = 0", r"bad value: .*risk\.max_open_orders"),
        ("max_order_rate = 10", "max_order_rate = 0", r"bad value: .*risk\.max_order_rate"),
        ("price_band = 0.01", "price_band = nan", r"bad value: .*risk\.price_band; found nan"),
        ("price_band = 0.01", "price_band = 1.0", r"bad value: .*risk\.price_band"),
        ("[risk]", "[risk", "configuration is not TOML"),
        ("[venue]", "[[venue]]", "wrong type: .*venue; found array; expected table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(QuietcoreError, match=expected) as raised:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert raised.value.code is ExitCode.USAGE
    assert str(tmp_path / "runtime.toml") in raised.value.message()
    assert "\n" not in raised.value.message()


def test_missing_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(QuietcoreError, match="configuration is missing"):
        config.load(tmp_path / "none.toml")
    with pytest.raises(QuietcoreError, match="cannot be read"):
        config.load(tmp_path)
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(QuietcoreError, match="cannot be read"):
        config.load(tmp_path / "bad.toml")


def test_credentials_of_systemd_or_files(tmp_path: Path) -> None:
    for name in ("api_key", "api_secret"):
        (tmp_path / name).write_text(f"{name}-value\n")
    files = {
        "QUIETCORE_API_KEY_FILE": str(tmp_path / "api_key"),
        "QUIETCORE_API_SECRET_FILE": str(tmp_path / "api_secret"),
    }
    for environment in ({"CREDENTIALS_DIRECTORY": str(tmp_path)}, files):
        found = config.credentials(environment)
        assert (found.key, found.secret) == ("api_key-value", b"api_secret-value")
    other = tmp_path / "empty"
    other.mkdir()
    assert config.credentials({"CREDENTIALS_DIRECTORY": str(other), **files}).key == "api_key-value"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "no credential: api_key"),
        ({"QUIETCORE_API_KEY_FILE": "/nonexistent/key"}, "cannot be read: api_key: /nonexistent/key"),
        ({"CREDENTIALS_DIRECTORY": "/nonexistent"}, "cannot be read: api_key"),
        ({"QUIETCORE_API_KEY_FILE": "/dev/null"}, "credential is empty: api_key"),
    ],
)
def test_credentials_that_are_not_there(environment: dict[str, str], expected: str) -> None:
    with pytest.raises(QuietcoreError, match=expected) as raised:
        config.credentials(environment)
    assert raised.value.code is ExitCode.USAGE


def mode(name: str, host: str, extra: str = "") -> str:
    text = GOOD.replace('mode = "sim"', f'mode = "{name}"\n{extra}')
    return text.replace("http://127.0.0.1:8760", f"https://{host}").replace(
        "ws://127.0.0.1:8760", f"wss://{host}"
    )


def test_modes_and_where_their_orders_may_go(tmp_path: Path) -> None:
    assert load(tmp_path, mode("testnet", "api-testnet.bybit.com")).mode == "testnet"
    assert load(tmp_path, mode("sim", "10.0.0.5:8760")).mode == "sim"
    assert load(tmp_path, mode("sim", "simulator")).mode == "sim"
    for name, host in (("testnet", "api.bybit.com"), ("sim", "api.bybit.com"), ("sim", "8.8.8.8")):
        with pytest.raises(QuietcoreError, match=r"venue\.rest"):
            load(tmp_path, mode(name, host))
    with pytest.raises(QuietcoreError, match="mode live is not allowed"):
        load(tmp_path, mode("live", "api.bybit.com"))
    live = load(tmp_path, mode("live", "api.bybit.com", "allow_live = true"))
    sentence = config.live_sentence(live)
    assert sentence == "real orders: BTCUSDT of demo on bybit-linear"
    confirm_live(sentence, sentence)
    for wrong in (None, "", "yes", sentence.upper()):
        with pytest.raises(QuietcoreError, match="real orders are not confirmed"):
            confirm_live(sentence, wrong)


def test_paper_is_the_default_and_needs_no_venue(tmp_path: Path) -> None:
    text = 'feed = "demo"\nrisk = {order_size = "1", max_position = "2"}\n'
    assert load(tmp_path, text).mode == "paper"
    assert load(tmp_path, 'mode = "replay"\n' + text).mode == "replay"
