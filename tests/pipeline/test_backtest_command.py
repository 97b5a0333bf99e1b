"""`quietcore backtest`: its reports in every form, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline import derived

from quietcore.backtest import report
from quietcore.backtest.engine import Result, Trade
from quietcore.cli.main import main
from quietcore.errors import QuietcoreError


@pytest.fixture(scope="module", params=["binance", "bybit"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = derived.binance(1, 3000) if request.param == "binance" else derived.bybit(1, 3000)
    return derived.save(lines, tmp_path_factory.mktemp("recording") / "r")


@pytest.mark.usefixtures("feed_handler")
def test_reports(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["backtest", "--recording", str(recording), "--price-band", "0.3"]
    words += ["--parameter", "fast=2", "--parameter", "slow=5"]
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    assert main([*words, "--json", "--html", str(page), "--png", str(picture)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["signals"] > 0
    assert found["orders"]["sent"] == found["signals"] - sum(found["refused"].values())
    assert len(found["fills"]) == found["orders"]["fills"]
    assert found["ticks"] > 1000
    assert any("0 ms" in line for line in found["assumptions"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "<polyline" in text
    assert "What is assumed" in text
    assert "http" not in text, "nothing from elsewhere"
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "signals" in shown
    assert "assumed:" in shown


def test_a_symbol_of_another_recording_is_refused_with_what_there_is(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", "--recording", str(recording), "--symbol", "NOPEUSDT"]) == 2
    said = capsys.readouterr().err
    assert "symbol is not in the recording: --symbol NOPEUSDT; found " in said


def test_what_it_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "none")
    for words, text in (
        (["--latency", "-1"], "bad option: --latency"),
        (["--latency", "nan"], "bad option: --latency"),
        (["--parameter", "fast"], "--parameter"),
        (["--parameter", "fast=x"], "--parameter"),
        (["--strategy", "luck"], "unknown strategy"),
    ):
        assert main(["backtest", "--recording", file, *words]) == 2
        assert text in capsys.readouterr().err
    assert main(["backtest", "--recording", file]) == 2


def test_html_shows_no_markup_of_others_and_writes_nowhere_else(tmp_path: Path) -> None:
    from decimal import Decimal

    trade = Trade(1_700_000_000_000_000_000, True, Decimal(1), Decimal(2), False, False, Decimal(0), "x")
    result = Result(
        "X", "<script>", "s", 5.0, trades=[trade] * 600, equity=[(1, Decimal(1)), (2, Decimal(3))]
    )
    path = tmp_path / "r.html"
    report.write_html(result, path)
    text = path.read_text()
    assert "<script>" not in text
    assert "and 100 more" in text
    assert report.figures(result)["fills"] == "600, of them 600 partial"
    with pytest.raises(QuietcoreError, match="cannot be written"):
        report.write_html(result, tmp_path / "nowhere" / "r.html")
