"""Simulate a venue on this machine.

Speaks Bybit v5 (public and private stream, instruments, order entry) and Binance USD-M futures (combined
streams, depth snapshot, exchange information) on one port. Replays a recording's own frames, or generates a
seeded session; every frame reaches each subscriber exactly once and in order, whatever the speed. Replaying
begins at the first complete subscription, or with --hold at `POST /sim/start`; `GET /sim/state` tells where
it is (loopback only). Orders are Bybit v5 orders and match against the replayed book; test key `sim-key`,
secret `sim-secret`.

What the venue documents and the simulator does not do is refused by name; parameters that the venue does not know are
ignored as the venue ignores them, and counted with missing paths and refused topics under "requests" of the state.

Faults happen on command: `POST /sim/faults` with {"fault": NAME, "count": N} or {"fault": NAME, "seconds": S} (and
"account": KEY, or "clear": true) arms one for the next N requests it can happen to, or for all within S seconds.
Names: timeout, lost, duplicate-fill, fill-before-acknowledgement, cancel-and-fill-cross, disconnect, rate-limit,
clock-skew, restart, reject-post-only, wrong-key, bad-signature, no-permission, wrong-address, expired-key,
server-error, query-rate-limit, address-rate-limit, too-many-requests, banned, forbidden, bad-gateway,
handshake-403, handshake-429, handshake-451, stream-error, mute-stream, odd-status, reject-later, accept-used-id,
empty-restart.
`POST /sim/restart?seconds=S` breaks every connection; what is final then stands in the order history alone, with
`&empty=true` nothing stands anywhere. `POST /sim/executions` with {"type": "AdlTrade", "symbol": S, "side": "Buy",
"qty": Q, "price": P} executes what no order caused, `POST /sim/position-mode` with {"hedge": true} switches the mode.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from pathlib import Path

import uvloop

from quietcore import loop_errors, stop_signals
from quietcore.errors import ExitCode, QuietcoreError
from quietcore.sim.authentication import Credentials
from quietcore.sim.generate import PUSH_MS
from quietcore.sim.notify import notify
from quietcore.sim.pacing import Pacer
from quietcore.sim.rate_limits import Rates
from quietcore.sim.server import Address, Running, running, tls_context
from quietcore.sim.source import Source, generated, recorded
from quietcore.sim.venue import Venue


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    source = parser.add_argument_group("what is played")
    which = source.add_mutually_exclusive_group()
    which.add_argument("--recording", type=Path, metavar="FILE", help="replay this recording (plain or gzip)")
    which.add_argument("--generate", action="store_true", help="generate a session (the default)")
    source.add_argument("--venue", help="whose recording it is (default: seen from its first lines)")
    source.add_argument("--seed", type=int, default=1, help="seed of the generated session (default 1)")
    source.add_argument("--symbols", type=int, default=3, metavar="N", help="its symbols (default 3)")
    source.add_argument(
        "--depth",
        type=int,
        default=50,
        choices=sorted(PUSH_MS),
        help="levels a side of its books (default 50)",
    )
    source.add_argument("--messages", type=int, metavar="N", help="its length (default: without end)")
    source.add_argument(
        "--loop", type=int, default=1, metavar="N", help="play N times, 0 for ever (default 1)"
    )

    pace = parser.add_argument_group("how fast").add_mutually_exclusive_group()
    pace.add_argument("--speed", default="1", help="multiple of the recorded speed, or max (default 1)")
    pace.add_argument("--rate", type=float, metavar="MSGS_PER_S", help="messages per second instead")

    serving = parser.add_argument_group("how it is served")
    serving.add_argument("--listen", default="127.0.0.1:8760", metavar="HOST:PORT", help="port 0: a free one")
    serving.add_argument("--tls-cert", type=Path, metavar="FILE", help="serve https and wss with this chain")
    serving.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key")
    serving.add_argument("--hold", action="store_true", help="begin only at POST /sim/start")
    serving.add_argument(
        "--delay",
        type=int,
        default=0,
        metavar="MS",
        help="hold each WebSocket message back so long, as a venue's distance would (default 0)",
    )
    serving.add_argument(
        "--no-restamp", action="store_true", help="leave the recorded venue times as they are"
    )
    serving.add_argument("--api-key", default="sim-key", help="API key that may trade (default sim-key)")
    serving.add_argument("--api-secret-file", type=Path, metavar="FILE", help="file with its secret")
    serving.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="KEY=SECRETFILE",
        help="another account that may trade, any number of times",
    )
    limits = parser.add_argument_group("what it allows (0: any number)")
    limits.add_argument(
        "--order-rate", type=int, default=10, metavar="N", help="order requests a second by kind (default 10)"
    )
    limits.add_argument(
        "--query-rate", type=int, default=50, metavar="N", help="queries a second by path (default 50)"
    )
    limits.add_argument(
        "--address-limit",
        type=int,
        default=600,
        metavar="N",
        help="HTTP requests of one address in five seconds, else 403 for ten minutes (default 600)",
    )
    limits.add_argument(
        "--institutional", action="store_true", help="accounts may arm the cancel at their disconnection"
    )
    parser.add_argument("--json", action="store_true", help="say everything in JSON, one object a line")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="quietcore sim: %(message)s", stream=sys.stderr)
    pacer = _pacer(arguments)
    credentials = _accounts(arguments)
    rates = Rates(_count(arguments, "order_rate"), _count(arguments, "query_rate"))
    address_limit = _count(arguments, "address_limit")
    address = Address.parse(arguments.listen)
    tls = tls_context(arguments.tls_cert, arguments.tls_key)
    if arguments.loop < 0:
        raise QuietcoreError(
            "not a number of passes", where="--loop", found=arguments.loop, expected="0 or more"
        )
    source = _source(arguments)

    async def serve() -> int:
        venue = Venue(
            source,
            pacer,
            credentials,
            hold=arguments.hold,
            restamp=not arguments.no_restamp,
            loops=arguments.loop or None,
            rates=rates,
            address_limit=address_limit,
            institutional=arguments.institutional,
            delay_ms=_count(arguments, "delay"),
        )
        stop = asyncio.Event()
        loop_errors.tell(
            asyncio.get_running_loop(),
            lambda line: print(f"quietcore sim: {line}", file=sys.stderr, flush=True),
        )
        with stop_signals.heard(stop.set):
            async with running(venue, address, tls) as simulator:
                _say_ready(simulator, as_json=arguments.json)
                notify("READY=1")
                stopping = asyncio.create_task(stop.wait())
                await asyncio.wait({simulator.replay, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if simulator.replay.done():
                    simulator.replay.result()  # a recording that broke off ends the simulator, with its one line
                    if not arguments.json:
                        print("quietcore sim: everything was sent; still serving", flush=True)
                    await stopping
                stopping.cancel()
                notify("STOPPING=1")
                _say_end(venue, as_json=arguments.json)
        return ExitCode.OK

    return uvloop.run(serve())


def _pacer(arguments: argparse.Namespace) -> Pacer:
    try:
        if arguments.rate is not None:
            return Pacer(rate=arguments.rate)
        if arguments.speed == "max":
            return Pacer()
        return Pacer(speed=float(arguments.speed))
    except ValueError as error:
        found = arguments.rate if arguments.rate is not None else arguments.speed
        raise QuietcoreError(
            "not a pace",
            where="--rate" if arguments.rate is not None else "--speed",
            found=found,
            expected="a positive number (--speed also takes max)",
        ) from error


def _count(arguments: argparse.Namespace, name: str) -> int:
    value: int = getattr(arguments, name)
    if value < 0:
        option = "--" + name.replace("_", "-")
        raise QuietcoreError("not a count", where=option, found=value, expected="0 or more")
    return value


def _accounts(arguments: argparse.Namespace) -> list[Credentials]:
    """Return the accounts; raise QuietcoreError."""
    accounts = [Credentials(arguments.api_key, _secret(arguments.api_secret_file))]
    for text in arguments.account:
        key, equals, path = text.partition("=")
        if not key or not equals or not path:
            raise QuietcoreError("not an account", where="--account", found=text, expected="KEY=SECRETFILE")
        if any(key == one.key for one in accounts):
            raise QuietcoreError("key is there already", where="--account", found=key)
        accounts.append(Credentials(key, _secret(Path(path))))
    return accounts


def _secret(path: Path | None) -> str:
    if path is None:
        return "sim-secret"
    try:
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise QuietcoreError("cannot read the secret", where=str(path), found=error) from error
    if not secret:
        raise QuietcoreError("the secret is empty", where=str(path), expected="one line")
    return secret


def _source(arguments: argparse.Namespace) -> Source:
    if arguments.recording is not None:
        return recorded(arguments.recording, arguments.venue)
    for name, least in (("symbols", 1), ("messages", 1)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise QuietcoreError(
                "not a number of them", where=f"--{name}", found=value, expected=f"{least} or more"
            )
    return generated(arguments.seed, arguments.symbols, arguments.depth, arguments.messages)


def _say_ready(simulator: Running, *, as_json: bool) -> None:
    source = simulator.venue.source
    if as_json:
        ready = {
            "listening": {"host": simulator.address.host, "port": simulator.address.port},
            "rest": simulator.http,
            "websocket": simulator.websocket,
            "source": source.title,
            "venue": source.venue,
            "symbols": list(source.instruments),
            "instruments": {
                symbol: {"tick": f"{one.tick:f}", "lot": f"{one.lot:f}", "price": source.prices[symbol]}
                for symbol, one in source.instruments.items()
            },
            "total": source.total,
        }
        print(json.dumps(ready), flush=True)
        return
    count = len(source.instruments)
    total = "endless" if source.total is None else f"{source.total} messages"
    print(f"quietcore sim: {source.title}: {source.venue}, {count} symbol{'s' * (count > 1)}, {total}")
    print(f"quietcore sim: listening on {simulator.http} and {simulator.websocket}", flush=True)


def _say_end(venue: Venue, *, as_json: bool) -> None:
    state = venue.state()
    if as_json:
        print(json.dumps(state), flush=True)
        return
    orders = state["orders"]
    print(
        f"quietcore sim: {state['frames']} frames played, {state['delivered']} delivered, "
        f"{state['frames_per_second']:.0f} a second; {orders['accepted']} orders, {orders['fills']} fills",
        flush=True,
    )
