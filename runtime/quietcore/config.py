"""The runtime's configuration: TOML, validated before anything starts; credentials are never in it."""

from __future__ import annotations

import ipaddress
import math
import os
import re
import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from quietcore.errors import QuietcoreError
from quietcore.venues.interface import Credentials

# replay and paper fill orders within this process; sim, testnet and live send them to venue.rest.
MODES = ("replay", "sim", "paper", "testnet", "live")
ORDERING_MODES = ("sim", "testnet", "live")
WAITS = ("nap", "spin")
ACTIONS = ("reduce", "stop")
POLICIES = ("hysteresis", "always")


class VenueConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """[venue]: where orders go. Scheme and host only; the venue's module adds its paths.

    ``order_websocket``: orders go by it while it is up, else by ``rest``; empty: by ``rest`` alone.
    """

    name: str
    rest: str
    private_websocket: str
    order_websocket: str = ""
    tls_ca: str = ""


class StrategyConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """[strategy]: one that ships, by name, or the file at ``path``; parameters as it declares them."""

    name: str = "crossing"
    path: str = ""
    parameters: dict[str, int | float] = {}


class RiskConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """[risk]: sizes as decimal strings in the instrument's unit; the band as a share of the mid price."""

    order_size: str
    max_position: str
    max_open_orders: int = 4
    max_order_rate: int = 10
    price_band: float = 0.01
    max_order_size: str = ""  # empty: no limit but the position's
    max_notional: str = ""  # of one order, in the quote coin
    max_loss: str = ""  # since the start, in the quote coin; then orders may only reduce the position
    max_book_age: float = 0.0  # seconds since the book's last message, 0: any


class GuardConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """[guard]: seconds without a heartbeat until everything is cancelled; the venue's own switch, 0: not armed."""

    timeout: float = 2.0
    disconnect_cancel: int = 0


class DegradeConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """[degrade]: limits of one period (a second), 0 for none, and what is done where they are passed.

    ``action``: "reduce" orders the ``share`` of each size, "stop" only what reduces the position; until
    ``recover_after`` periods in a row were well.
    """

    max_latency_us: float = 0.0  # p99 from published to read
    max_drops: int = 0  # ticks lost by the strategy
    action: str = "stop"
    share: float = 0.5
    recover_after: int = 5


class ScoutConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """[scout]: measure the venue's endpoints while trading, and go over to the fastest.

    In mode sim those of [venue] are measured, else those of the account's ``region``. Intervals in seconds;
    ``history``: a file, empty for none.
    """

    enabled: bool = False
    region: str = "global"
    policy: str = "hysteresis"
    check_interval: float = 10.0
    switch_interval: float = 60.0
    top_n: int = 5
    history: str = ""


class RuntimeConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The whole file. ``allow_live``: the inventory's flag, without which mode live is refused.

    ``gateway_cpu``, ``gateway_wait``: of the venue's event loop; without ``gateway_wait`` it waits as ``wait`` says.
    ``feed_timeout``: seconds within which the feed's shared memory must be there.
    """

    feed: str
    risk: RiskConfig
    mode: str = "paper"
    allow_live: bool = False
    venue: VenueConfig = VenueConfig("", "", "")
    degrade: DegradeConfig = DegradeConfig()
    strategy: StrategyConfig = StrategyConfig()
    feed_timeout: float = 30.0
    symbol: str = ""
    wait: str = "nap"
    plan: str = "/etc/quietcore/plan.json"
    guard: GuardConfig = GuardConfig()
    kill_file: str = "/var/lib/quietcore/runtime/kill"
    strategy_cpu: str | int = "plan"
    gateway_cpu: str | int = "plan"
    gateway_wait: str = ""
    scout: ScoutConfig = ScoutConfig()


def load(path: Path) -> RuntimeConfig:
    """Read and validate; every fault names file, key and expectation (exit 2)."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise QuietcoreError(
            "configuration is missing", where=str(path), remedy="name another with --config"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise QuietcoreError("configuration cannot be read", where=str(path), found=str(error)) from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise QuietcoreError("configuration is not TOML", where=str(path), found=str(error)) from error
    try:
        config = msgspec.convert(data, RuntimeConfig, strict=True)
    except msgspec.ValidationError as error:
        raise explain(path, str(error)) from error
    check(path, config)
    return config


def explain(path: Path, message: str) -> QuietcoreError:
    """Turn msgspec's message into one that names file, key and expectation."""
    text, _, place = message.partition(" - at `$")
    table = place.rstrip("`").lstrip(".")
    if match := re.fullmatch(r"Object contains unknown field `(.*)`", text):
        key = f"{table}.{match[1]}" if table else match[1]
        kinds: dict[str, Any] = {
            "": RuntimeConfig,
            "venue": VenueConfig,
            "strategy": StrategyConfig,
            "risk": RiskConfig,
            "guard": GuardConfig,
            "degrade": DegradeConfig,
            "scout": ScoutConfig,
        }
        kind = kinds[table]
        return QuietcoreError(
            "unknown key", where=f"{path}: {key}", expected=f"one of {', '.join(kind.__struct_fields__)}"
        )
    if match := re.fullmatch(r"Object missing required field `(.*)`", text):
        key = f"{table}.{match[1]}" if table else match[1]
        return QuietcoreError("missing key", where=f"{path}: {key}", remedy="add it")
    if match := re.fullmatch(r"Expected `(.*)`, got `(.*)`", text):
        expected = match[1].replace("object", "table")
        return QuietcoreError("wrong type", where=f"{path}: {table}", found=match[2], expected=expected)
    return QuietcoreError("bad value", where=f"{path}: {table}", found=text)


def check(path: Path, config: RuntimeConfig) -> None:
    """Raise where a value of the right type is not a possible one."""

    def demand(holds: bool, key: str, found: object, expected: str) -> None:
        if not holds:
            raise QuietcoreError("bad value", where=f"{path}: {key}", found=repr(found), expected=expected)

    demand(config.mode in MODES, "mode", config.mode, " or ".join(MODES))
    demand(config.wait in WAITS, "wait", config.wait, " or ".join(WAITS))
    fits = config.gateway_wait in ("", *WAITS)
    demand(fits, "gateway_wait", config.gateway_wait, f"{' or '.join(WAITS)}, or empty")
    demand(bool(config.feed), "feed", config.feed, "a feed's name")
    demand(0 <= config.feed_timeout <= 3600, "feed_timeout", config.feed_timeout, "0 to 3600 seconds")
    for key in ("strategy_cpu", "gateway_cpu"):
        wish = getattr(config, key)
        fits = wish == "plan" or (isinstance(wish, int) and -1 <= wish < 8192)
        demand(fits, key, wish, '"plan", a CPU number, or -1')
    if config.mode in ORDERING_MODES:
        check_venue(path, config)
    scout = config.scout
    demand(scout.policy in POLICIES, "scout.policy", scout.policy, " or ".join(POLICIES))
    for key in ("check_interval", "switch_interval"):
        value = getattr(scout, key)
        demand(0 < value <= 86_400, f"scout.{key}", value, "more than 0, at most 86400 seconds")
    demand(1 <= scout.top_n <= 100, "scout.top_n", scout.top_n, "1 to 100")
    degrade = config.degrade
    demand(degrade.action in ACTIONS, "degrade.action", degrade.action, " or ".join(ACTIONS))
    latency = degrade.max_latency_us
    demand(math.isfinite(latency) and latency >= 0, "degrade.max_latency_us", latency, "0 or more")
    demand(degrade.max_drops >= 0, "degrade.max_drops", degrade.max_drops, "0 or more")
    demand(0 < degrade.share <= 1, "degrade.share", degrade.share, "above 0, at most 1")
    demand(degrade.recover_after >= 1, "degrade.recover_after", degrade.recover_after, "1 or more seconds")
    risk = config.risk
    for key in ("order_size", "max_position"):
        value = getattr(risk, key)
        demand(is_positive(value), f"risk.{key}", value, "a positive decimal number")
    fits = Decimal(risk.order_size) <= Decimal(risk.max_position)
    demand(fits, "risk.order_size", risk.order_size, f"at most risk.max_position ({risk.max_position})")
    demand(1 <= risk.max_open_orders <= 1000, "risk.max_open_orders", risk.max_open_orders, "1 to 1000")
    demand(1 <= risk.max_order_rate <= 1000, "risk.max_order_rate", risk.max_order_rate, "1 to 1000 a second")
    for key in ("max_order_size", "max_notional", "max_loss"):
        value = getattr(risk, key)
        demand(not value or is_positive(value), f"risk.{key}", value, "a positive decimal number, or empty")
    age = risk.max_book_age
    demand(math.isfinite(age) and 0 <= age <= 3600, "risk.max_book_age", age, "0 to 3600 seconds")
    guard = config.guard
    demand(0.2 <= guard.timeout <= 3600, "guard.timeout", guard.timeout, "0.2 to 3600 seconds")
    window = guard.disconnect_cancel
    demand(window == 0 or 3 <= window <= 300, "guard.disconnect_cancel", window, "0, or 3 to 300 seconds")
    demand(bool(config.kill_file), "kill_file", config.kill_file, "a path")
    band = risk.price_band
    demand(math.isfinite(band) and 0 < band < 1, "risk.price_band", band, "above 0 and below 1")


def check_venue(path: Path, config: RuntimeConfig) -> None:
    """Raise where orders would go to a place that the mode does not allow, or nowhere."""
    schemes = {"rest": ("http://", "https://"), "private_websocket": ("ws://", "wss://")}
    if config.venue.order_websocket:
        schemes["order_websocket"] = schemes["private_websocket"]
    for key, allowed in schemes.items():
        url: str = getattr(config.venue, key)
        host = url.partition("://")[2].rstrip("/")
        name = host.rpartition(":")[0] or host

        def refuse(expected: str, key: str = key, url: str = url) -> QuietcoreError:
            return QuietcoreError(
                "bad value", where=f"{path}: venue.{key}", found=repr(url), expected=expected
            )

        if not url.startswith(allowed) or not host or "/" in host:
            raise refuse(f"{' or '.join(allowed)} and a host, without a path")
        near = is_near(name.strip("[]"))
        if config.mode == "sim" and not near:
            raise refuse("a simulator: this machine, a private address or a name without a dot (mode sim)")
        if config.mode == "testnet" and not near and "testnet" not in name:
            raise refuse('a host with "testnet" in its name (mode testnet)')
    if config.mode == "live" and not config.allow_live:
        raise QuietcoreError(
            "mode live is not allowed",
            where=f"{path}: allow_live",
            found="false",
            remedy="set runtime_allow_live: true in the inventory, if real orders are meant",
        )


def is_near(host: str) -> bool:
    """Return whether a host is this machine or one of a private network, by its name alone."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host
    return address.is_loopback or address.is_private


def live_sentence(config: RuntimeConfig) -> str:
    """Return what somebody must type before real orders go out."""
    return f"real orders: {config.symbol or 'first symbol'} of {config.feed} on {config.venue.name}"


def is_positive(text: str) -> bool:
    """Return whether ``text`` is a positive, finite decimal number."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return False
    return value.is_finite() and value > 0


def credentials(environment: os._Environ[str] | dict[str, str] = os.environ) -> Credentials:
    """Read the API key and secret: systemd's credentials, else the files that the environment names.

    Neither value appears in an error.
    """
    folder = environment.get("CREDENTIALS_DIRECTORY", "")
    values = []
    for name in ("api_key", "api_secret"):
        variable = f"QUIETCORE_{name.upper()}_FILE"
        path = Path(folder) / name if folder else Path(environment.get(variable, ""))
        if folder and not path.exists() and environment.get(variable):
            path = Path(environment[variable])
        remedy = f"systemd: LoadCredential={name}:FILE; elsewhere: {variable}=FILE"
        if path == Path():
            raise QuietcoreError("no credential", where=name, remedy=remedy)
        try:
            value = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            found = error.strerror if isinstance(error, OSError) else "not ASCII"
            raise QuietcoreError(
                "credential cannot be read", where=f"{name}: {path}", found=found, remedy=remedy
            ) from None
        if not value:
            raise QuietcoreError("credential is empty", where=f"{name}: {path}", remedy=remedy)
        values.append(value)
    return Credentials(values[0], values[1].encode())
