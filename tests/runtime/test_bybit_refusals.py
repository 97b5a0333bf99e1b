"""What the venue refuses keeps its own code and words, has a meaning and a remedy; and its pauses are kept."""

from __future__ import annotations

import asyncio
import email.utils
import itertools
import json
import time
from typing import Any

import aiohttp
import pytest
from tests.runtime.scripted_rest import CREDENTIALS, Answer, Asked, ScriptedRest, good, listed, refused, run

from quietcore.errors import ExitCode, QuietcoreError
from quietcore.execution.guard import Guard, Pulse
from quietcore.venues.bybit import BybitHTTPClient, codes, linear
from quietcore.venues.bybit.pauses import QUESTIONS, SHUT_OUT_SECONDS, Pauses, retry_after
from quietcore.venues.bybit.private import BybitPrivateStream, handshake_trouble
from quietcore.venues.bybit.rest import BybitRest, answered_ms, explain, judge
from quietcore.venues.interface import Endpoints, Nature, RefusedError, StreamDown, UncertainError

PAGE = "<html><head><style>b{color:red}</style></head><body><h1>403 Forbidden</h1>\n<p>{}</p></body></html>"
TOO_FREQUENT = PAGE.replace("{}", "access too frequent, please try again later")


def answer(code: int, text: str = "no") -> bytes:
    return json.dumps({"retCode": code, "retMsg": text, "result": {}}).encode()


def raised(status: int, content: bytes) -> RefusedError | UncertainError:
    found: RefusedError | UncertainError | None = None
    try:
        judge(status, content, 7)
    except (RefusedError, UncertainError) as error:
        found = error
    assert found is not None
    assert found.written_ns == 7
    return found


@pytest.mark.parametrize(
    ("code", "nature", "remedy"),
    [
        (10002, Nature.ACCESS, "chrony"),
        (10003, Nature.ACCESS, "testnet or mainnet"),
        (10004, Nature.ACCESS, "check the secret"),
        (10005, Nature.ACCESS, "allow the key"),
        (10006, Nature.PASSING, "max_order_rate"),
        (10010, Nature.ACCESS, "this host's address"),
        (33004, Nature.ACCESS, "make a new key"),
        (10018, Nature.PASSING, "send less"),
        (10028, Nature.ACCESS, "unified"),
        (110007, Nature.REQUEST, "bring funds"),
        (110094, Nature.REQUEST, "raise risk.order_size"),
        (110999, Nature.REQUEST, "instrument's rules"),
    ],
)
def test_each_code_has_a_meaning_a_nature_and_a_remedy(code: int, nature: Nature, remedy: str) -> None:
    error = raised(200, answer(code, "the venue's own words"))
    assert isinstance(error, RefusedError)
    assert (error.code, error.trouble.nature) == (code, nature)
    line = error.trouble.line()
    assert line.startswith(f"{code} the venue's own words (")
    assert remedy in line


def test_every_code_of_the_table_says_something() -> None:
    for code, meaning in [*codes.CODES.items(), *codes.HTTP.items()]:
        assert meaning.text, code
        assert meaning.remedy or meaning.nature is Nature.REQUEST, code


@pytest.mark.parametrize("code", [7, 99999, 131200, -7, 10000, 10016, 170007, 2**40])
def test_a_code_that_is_not_known_leaves_the_fate_of_an_order_open(code: int) -> None:
    error = raised(200, answer(code, "odd"))
    assert isinstance(error, UncertainError)
    assert f"{code} odd" in error.trouble.line()


@pytest.mark.parametrize(
    ("status", "content", "certain", "words"),
    [
        (403, TOO_FREQUENT.encode(), True, "HTTP 403: 403 Forbidden access too frequent"),
        (401, b"", True, "HTTP 401 without a readable answer (the key is refused)"),
        (404, b"Not Found", True, "no such path"),
        (429, b"{}", True, "too many requests"),
        (451, b"<p>Unavailable</p>", True, "does not serve this place"),
        (302, b"", True, "the address has moved"),
        (408, b"", False, "did not arrive in time"),
        (500, b"", False, "HTTP 500 without a readable answer"),
        (502, b"<html>Bad Gateway</html>", False, "Bad Gateway"),
        (504, b"\xff\xfe\x00", False, "HTTP 504"),
        (200, b"", False, "HTTP 200 without a readable answer"),
        (200, b"[]", False, "HTTP 200"),
        (200, b'{"retCode":null}', False, "HTTP 200"),
        (200, b'{"retCode":true}', False, "HTTP 200"),
        (200, b"<html>" + b"x" * 100_000, False, "xxx…"),
    ],
)
def test_an_answer_that_is_no_json_is_quoted(status: int, content: bytes, certain: bool, words: str) -> None:
    error = raised(status, content)
    assert isinstance(error, RefusedError if certain else UncertainError)
    line = error.trouble.line()
    assert words in line
    assert len(line) < 500
    assert "<" not in line
    assert line.isprintable()


def test_a_null_text_of_a_refusal_is_none() -> None:
    assert "10001" in str(raised(200, b'{"retCode":10001,"retMsg":null,"result":null}'))
    assert judge(200, b'{"retCode":0,"retMsg":null,"result":null,"new":[1]}', 0) == (None, 0)


def test_start_up_errors_name_the_cause_also_of_questions_about_orders() -> None:
    async def work() -> None:
        code = [0]
        async with ScriptedRest(lambda asked: refused(code[0], "as the venue says")) as server:
            venue = linear(Endpoints(server.url, "ws://h"), CREDENTIALS)
            for code[0], what, exit_code in (
                (10002, "venue refuses the time", ExitCode.USAGE),
                (10003, "venue refuses the key", ExitCode.USAGE),
                (10010, "venue refuses the key", ExitCode.USAGE),
                (33004, "venue refuses the key", ExitCode.USAGE),
                (10024, "venue refuses access", ExitCode.USAGE),
                (10016, "venue does not answer as expected", ExitCode.UNKNOWN),
            ):
                with pytest.raises(UncertainError) as found:
                    await venue.open_orders("BTCUSDT")
                error = explain(found.value, server.url)
                assert (error.what, error.code) == (what, exit_code)
                assert f"{code[0]} as the venue says" in error.message()
                assert "remedy" in error.message()
            await venue.close()

    run(work())


# streams


def test_a_refused_stream_keeps_the_venues_words() -> None:
    for reply, words, remedy in (
        ({"success": False, "ret_msg": "error:10003, API key is invalid."}, "10003", "testnet or mainnet"),
        ({"success": False, "ret_msg": "denied"}, "denied", "chrony"),
        ({"success": False, "ret_msg": None}, "auth refused", "chrony"),
        ({"retCode": 10004, "retMsg": "error sign"}, "10004 error sign", "secret"),
        ({"retCode": 33004, "retMsg": "expired"}, "33004 expired", "new key"),
        ("no object", "auth refused", "chrony"),
    ):
        found = codes.stream_trouble("auth", reply)
        assert words in found.found
        assert remedy in found.remedy
        assert found.nature is Nature.ACCESS
    assert "allow the key" in codes.stream_trouble("subscribe", {"ret_msg": "denied"}).remedy


def test_a_refused_handshake_is_named_and_its_pause_is_kept() -> None:
    script = lambda asked: (429, "slow down", {"Retry-After": "1"})  # noqa: E731

    async def work() -> None:
        async with ScriptedRest(script) as server:
            stream = BybitPrivateStream(Endpoints("", server.url.replace("http", "ws")), CREDENTIALS)
            found: list[Any] = []
            began = time.monotonic()
            async for event in stream.events():
                found.append(event)
                if len(found) == 3:
                    break
            assert time.monotonic() - began >= 2.0
            assert all(isinstance(event, StreamDown) and "HTTP 429" in event.reason for event in found)
            assert len(server.asked) == 3

    run(work())
    assert handshake_trouble(aiohttp.ClientError("x")) is None


# pauses


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2.0),
        (" 30 ", 30.0),
        ("0", 0.0),
        ("999999999999", 3600.0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("", None),
        (email.utils.formatdate(1_000_010, usegmt=True), 10.0),
        (email.utils.formatdate(999_990, usegmt=True), 0.0),
        ("Fri, 99 Foo 99999 99:99:99 GMT", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text}, 1_000_000.0) == seconds
    assert retry_after({}, 0.0) is None


def test_what_dictates_a_pause_and_for_whom() -> None:
    now = [0.0]
    pauses = Pauses(lambda: now[0], lambda: 1_000_000.0)

    def note(status: int, code: int = 0, why: str = "", **headers: str) -> float:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return pauses.note("https://h:1", "/a", status=status, code=code, headers=names, why=why)

    def left(url: str = "wss://h:1", path: str = "/b") -> float:
        return pauses.left(url, path)[0]

    assert note(200, 110007) == note(502) == note(200, 10006) - 1.0 == 0.0
    assert left() == left(path="/a") == 0.0, (
        "where the venue names no time, the caller waits a second on its own"
    )
    assert note(200, 10006, X_Bapi_Limit_Reset_Timestamp="1000000700") == pytest.approx(0.7)
    assert left(path="/a") == pytest.approx(0.7)
    assert left() == 0.0, "a rate limit is one bucket's: too many orders delay no cancel"
    assert pauses.note("https://h:1", QUESTIONS, status=200, code=10006, headers={}, why="") == 1.0
    reset = {"X-Bapi-Limit-Reset-Timestamp": "1000005000"}
    assert pauses.note("https://o:1", "/a", status=200, code=10018, headers=reset, why="") == pytest.approx(
        5.0
    )
    now[0] = 1.0
    assert [note(429), note(429), note(403)] == [1.0, 2.0, 4.0]
    assert left() == 4.0
    assert left("https://another:1") == 0.0
    pauses.answered("https://h:1")
    assert note(429) == 1.0
    assert left() == 4.0, "a shorter one does not end a longer one"
    assert note(429, Retry_After="30") == note(503, Retry_After="30") == 30.0
    pauses.answered("https://h:1")
    refusals = 6 * [(403, 0), (200, 10018)]
    shut_out = [note(status, code, why="HTTP 403: access too frequent") for status, code in refusals]
    assert shut_out == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, *6 * [SHUT_OUT_SECONDS]]
    now[0] += SHUT_OUT_SECONDS
    assert left() == 0.0


@pytest.mark.parametrize("off", [-30.0, 0.0, 30.0])
def test_a_pause_is_as_long_as_the_venue_means_it_whatever_this_hosts_clock_says(off: float) -> None:
    venue_ms = 1_000_000_000
    pauses = Pauses(lambda: 0.0, lambda: venue_ms / 1000 + off)
    reset = {"X-Bapi-Limit-Reset-Timestamp": str(venue_ms + 700)}

    def note(code: int, answered_ms: int = 0, status: int = 200, **headers: str) -> float:
        return pauses.note(
            "https://h:1",
            "/a",
            status=status,
            code=code,
            headers={**reset, **{name.replace("_", "-"): value for name, value in headers.items()}},
            why="",
            answered_ms=answered_ms,
        )

    date = email.utils.formatdate(venue_ms / 1000, usegmt=True)
    assert note(10006, venue_ms) == pytest.approx(0.7), "REST: time of the answer"
    assert note(10006, Timenow=str(venue_ms)) == pytest.approx(0.7), "order entry: its header"
    assert note(10018, Date=date) == pytest.approx(0.7)
    later = email.utils.formatdate(venue_ms / 1000 + 20, usegmt=True)
    assert note(0, status=429, Date=date, Retry_After=later) == pytest.approx(20.0)
    assert note(10006, Timenow="soon", Date="Fri, 99 Foo") == pytest.approx(max(0.7 - off, 0.0) or 1.0)


def test_the_time_of_an_answer() -> None:
    assert answered_ms(b'{"retCode":10006,"retMsg":"","time":1672738134824}') == 1672738134824
    for content in (
        b"",
        b"<html>",
        b"[]",
        b'{"retCode":1}',
        b'{"time":"1"}',
        b'{"time":1e400}',
        b'{"time":null}',
    ):
        assert answered_ms(content) == 0


def test_one_pause_for_all_requests_to_a_host() -> None:
    """Whoever meets it: queries, cancels, orders, a program's client, and the connection after a change of host."""
    busy = [True]

    def script(asked: Asked) -> Answer | None:
        return (429, "slow down", {"Retry-After": "1"}) if busy[0] else None

    async def work() -> None:
        async with ScriptedRest(script) as server:
            venue = linear(Endpoints(server.url, "ws://h"), CREDENTIALS)
            with pytest.raises(UncertainError, match="slow down"):
                await venue.position("BTCUSDT")
            for request in (venue.cancel("BTCUSDT", "x"), venue.cancel_all("BTCUSDT")):
                with pytest.raises(RefusedError, match="not sent") as raised:
                    await request
                assert 0 < raised.value.trouble.wait <= 1.0
                assert "slow down" in raised.value.trouble.found
            with pytest.raises(UncertainError, match="not sent"):
                await venue.open_orders("BTCUSDT")
            with pytest.raises(QuietcoreError, match="wants no request"):
                await venue.switch_endpoints("ws://h", server.url)
            assert len(server.asked) == 1
            busy[0] = False
            await asyncio.sleep(1.0)
            assert await venue.open_orders("BTCUSDT") == []
            await venue.close()

    run(work())


def test_the_guard_keeps_the_pause_that_the_venue_asks_for() -> None:
    """Two seconds were asked for at each answer: two sweeps in four seconds, not one each second."""

    async def work() -> None:
        async with ScriptedRest(lambda asked: (429, "slow down", {"Retry-After": "2"})) as server:
            venue: Any = linear(Endpoints(server.url, "ws://h"), CREDENTIALS)
            said: list[str] = []
            guard = Guard(venue, lambda: Pulse.STOPPED, said.append)
            firing = asyncio.create_task(guard.fire())
            await asyncio.sleep(5.0)
            firing.cancel()
            await asyncio.gather(firing, return_exceptions=True)
            await venue.close()
            times = [one.at for one in server.asked]
            assert 2 <= len(times) <= 3
            assert all(later - earlier >= 1.99 for earlier, later in itertools.pairwise(times))
            assert any("slow down" in line for line in said)

    run(work())


def test_programs_wait_a_short_pause_and_hear_of_a_long_one() -> None:
    answers: list[Answer] = []

    def script(asked: Asked) -> Answer | None:
        return answers.pop(0) if answers else None

    async def work() -> None:
        async with ScriptedRest(script) as server, BybitHTTPClient(server.url, CREDENTIALS) as http:
            answers[:] = [(429, "slow down", {"Retry-After": "1"})]
            with pytest.raises(RefusedError, match="slow down"):
                await http.positions(symbol="X")
            assert len(server.asked) == 1
            began = time.monotonic()
            assert await http.positions(symbol="X") == [], "not sent before its time, and then answered"
            assert time.monotonic() - began > 0.5
            answers[:] = [(403, TOO_FREQUENT, {})]
            for _ in range(3):
                with pytest.raises(RefusedError, match="too frequent"):
                    await http.positions(symbol="X")
            assert len(server.asked) == 3

    run(work())


def test_a_batch_tells_each_orders_own_refusal() -> None:
    made = [{"orderId": "1", "orderLinkId": "a"}, {"orderId": "", "orderLinkId": "b"}]
    verdicts = [{"code": 0, "msg": "OK"}, {"code": 110007, "msg": "ab not enough"}]

    def script(asked: Asked) -> Answer:
        status, content, headers = good({"list": made})
        return status, {**content, "retExtInfo": {"list": verdicts}}, headers

    async def work() -> None:
        async with ScriptedRest(script) as server, BybitHTTPClient(server.url, CREDENTIALS) as http:
            rows = (await http.place_batch([{"orderLinkId": "a"}, {"orderLinkId": "b"}]))["list"]
            assert [(row["code"], row["orderLinkId"]) for row in rows] == [(0, "a"), (110007, "b")]
            assert (rows[0].get("refused"), rows[1]["refused"]) == (None, "110007 ab not enough")
        async with (
            ScriptedRest(lambda asked: good([])) as server,
            BybitHTTPClient(server.url, CREDENTIALS) as http,
        ):
            with pytest.raises(UncertainError, match="without an object"):
                await http.place_order(orderLinkId="a")

    run(work())


def test_requests_in_a_pause_are_refused_before_they_are_signed() -> None:
    async def work() -> None:
        async with ScriptedRest(lambda asked: listed()) as server:
            pauses = Pauses()
            pauses.note(server.url, "/x", status=403, code=0, headers={"Retry-After": "9"}, why="closed")
            rest = BybitRest(Endpoints(server.url, ""), CREDENTIALS, None, pauses)
            with pytest.raises(RefusedError, match="closed") as raised:
                await rest.post("/v5/order/create", {})
            assert raised.value.written_ns == 0
            assert raised.value.trouble.nature is Nature.PASSING
            await rest.close()
            assert server.asked == []

    run(work())
