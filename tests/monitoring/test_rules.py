"""Rules and dashboard: sound by promtool, of metrics that exist, and each alert fired once by a real Prometheus."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client import generate_latest
from tests.monitoring.scene import Scene, fetch, histogram, server, until
from tests.runtime.conftest import MakeWriter

from quietcore.bridge import layout
from quietcore.monitoring.exposition import registry
from quietcore.monitoring.snapshot import Observer, Sources

FILES = Path(__file__).resolve().parents[2] / "roles/monitoring/files"
RULES = FILES / "quietcore.rules.yml"
DASHBOARD = FILES / "quietcore.dashboard.json"
UNIT_TESTS = Path(__file__).with_name("rules.test.yml")
METRIC = re.compile(r"\b(?:quietcore[_:][a-z0-9_:]+|process_[a-z_]+)\b")


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=60)


def names_used(expression: str) -> set[str]:
    return set(METRIC.findall(expression))


@pytest.fixture
def known(make_writer: MakeWriter, tmp_path: Path, feed: str) -> set[str]:
    """Every name that the exporter gives out where everything is there, and that the rules record."""
    writer = make_writer()
    writer.message([(100, 5)], [(101, 7)])
    scene = Scene(tmp_path, feed)
    scene.audit(passed=False)
    observer = Observer(
        Sources((feed,), scene.status_path, scene.guard_path, scene.kill_path, (scene.audit_folder,)),
        with_interruptions=True,
    )
    text = generate_latest(registry(observer)).decode()
    observer.close()
    names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    # Without a receive time in the writer's books these two have no sample here; test_exporter sees them.
    names |= {"quietcore_books_oldest_live_age_seconds", "quietcore_book_age_seconds"}
    return names | {rule["record"] for rule in rules() if "record" in rule}


def test_rules_pass_promtool(promtool: Path, tmp_path: Path) -> None:
    done = run(promtool, "check", "rules", RULES)
    assert done.returncode == 0, done.stderr
    assert f"{len(rules())} rules found" in done.stdout
    broken = tmp_path / "broken.yml"
    broken.write_text(RULES.read_text().replace("> 0.001", "> > 0.001"))
    assert run(promtool, "check", "rules", broken).returncode != 0


def test_alerts_are_due_when_they_should_be(promtool: Path, tmp_path: Path) -> None:
    test = tmp_path / "rules.test.yml"
    test.write_text(UNIT_TESTS.read_text().replace("RULES", str(RULES)))
    done = run(promtool, "test", "rules", test)
    assert done.returncode == 0, done.stdout + done.stderr
    tested = set(re.findall(r"\bQuietcore\w+", UNIT_TESTS.read_text()))
    assert tested == {rule["alert"] for rule in rules() if "alert" in rule}, "every alert has its test"
    # The tests fail where a rule is another one.
    other = tmp_path / "other.yml"
    other.write_text(RULES.read_text().replace("for: 10s", "for: 12s"))
    test.write_text(UNIT_TESTS.read_text().replace("RULES", str(other)))
    assert run(promtool, "test", "rules", test).returncode != 0


def test_rules_use_metrics_that_exist_and_name_a_remedy(known: set[str]) -> None:
    for rule in rules():
        used = names_used(rule["expr"])
        assert used <= known, (rule, used - known)
        assert used or "up{" in rule["expr"]
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert {"summary", "remedy"} <= set(rule["annotations"])
    assert not names_used("rate(quietcore_feed_mesages_total[5s])") <= known, "a misspelt one is found"


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def test_dashboard_uses_metrics_that_exist(known: set[str]) -> None:
    assert len(panels()) >= 10
    for panel in panels():
        for target in panel["targets"]:
            used = names_used(target["expr"])
            assert used, panel["title"]
            assert used <= known, (panel["title"], used - known)


def test_dashboard_is_whole() -> None:
    """Panels have titles of their own, stand on the grid without overlap, and all name the chosen data source."""
    dashboard = json.loads(DASHBOARD.read_text())
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"datasource", "instance"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert len({panel["title"] for panel in panels()}) == len(panels())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all('instance=~"$instance"' in target["expr"] for target in panel["targets"]), panel["title"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Scraper:
    """A real Prometheus of this test: loopback, a folder of its own, one job that scrapes every 100 ms."""

    def __init__(self, program: Path, folder: Path, targets: list[str], rule_file: Path) -> None:
        config = {
            "global": {"scrape_interval": "100ms", "scrape_timeout": "100ms", "evaluation_interval": "200ms"},
            "rule_files": [str(rule_file)],
            "scrape_configs": [
                {"job_name": "quick", "static_configs": [{"targets": targets}]},
                # Alerts are tried on scrapes that a busy machine, too, answers in time.
                {
                    "job_name": "quietcore",
                    "scrape_interval": "500ms",
                    "scrape_timeout": "500ms",
                    "static_configs": [{"targets": targets}],
                },
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.address = f"http://127.0.0.1:{free_port()}"
        self.log = (folder / "prometheus.log").open("w+")
        command = [
            str(program),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self.address.removeprefix('http://')}",
        ]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)

    def ready(self) -> bool:
        assert self.process.poll() is None, Path(self.log.name).read_text()
        with contextlib.suppress(OSError):
            return fetch(f"{self.address}/-/ready")[0] == 200
        return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        question = urllib.parse.urlencode({"query": expression})
        status, _, body = fetch(f"{self.address}/api/v1/query?{question}")
        assert status == 200, body
        found: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return found

    def firing(self) -> set[str]:
        return {sample["metric"]["alertname"] for sample in self.query('ALERTS{alertstate="firing"}')}

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@contextlib.contextmanager
def scraper(program: Path, folder: Path, targets: list[str], rule_file: Path) -> Iterator[Scraper]:
    made = Scraper(program, folder, targets, rule_file)
    try:
        until(made.ready, 30, "Prometheus is ready")
        yield made
    finally:
        made.stop()


@contextlib.contextmanager
def two_on_one_core(cpu: int) -> Iterator[int]:
    """Two processes that both want a CPU for themselves; yield one's id."""
    spin = f"import os; os.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"
    both = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(2)]
    try:
        yield both[0].pid
    finally:
        for one in both:
            one.kill()
            one.wait()


def test_each_alert_is_fired_by_a_real_prometheus(
    prometheus: Path, make_writer: MakeWriter, tmp_path: Path, feed: str
) -> None:
    """First a host that is well, then everything breaks.

    In this copy of the rules the waits (`for`) are 1 s instead of up to 10 and are looked at five times a second;
    that the true ones hold is what promtool's tests show.
    """
    quick = tmp_path / "quick.rules.yml"
    quick.write_text(
        re.sub(r"for: \d+s", "for: 1s", RULES.read_text()).replace("interval: 1s", "interval: 200ms")
    )
    every = {rule["alert"] for rule in rules() if "alert" in rule}
    writer = make_writer()
    writer.message([(100, 5)], [(101, 7)])
    scene = Scene(tmp_path, feed)
    hops = scene.status["hops"]
    fast, slow = [50_000] * 50, [50_000_000] * 50

    def live() -> None:
        writer.beat()
        writer.statistics["messages"] += 1
        scene.beat()

    with server("metrics", *scene.options()) as (exporter, address):
        target = address.removeprefix("http://")
        with scraper(prometheus, tmp_path, [target], quick) as server_:
            hops["published_read"], hops["read_signal"] = histogram(*fast), histogram(900)

            def well() -> bool:
                live()
                return bool(server_.query("quietcore:feed_messages:rate5s > 0"))

            until(well, 30, "the recorded rate is there")

            def often() -> bool:
                live()
                seen = server_.query(f'count_over_time(quietcore_feed_up{{feed="{feed}", job="quick"}}[2s])')
                return bool(seen) and int(seen[0]["value"][1]) > 10

            until(often, 30, "ten scrapes a second, more than half of them answered in time")
            # Of a busy machine's scrapes some are late, and in this copy a second of them fires.
            assert server_.firing() <= {"QuietcoreExporterDown", "QuietcoreRuntimeSilent"}

            # Everything breaks but the exporter; the runtime writes on, so that its latencies are seen.
            hops["published_read"] = histogram(*fast, *slow)
            hops["read_signal"] = histogram(900, *slow)
            scene.status["ticks"]["dropped"] = 12
            scene.status["orders"]["uncertain"] = 1
            scene.guard(fired=1)
            scene.kill_path.write_text("test\n")
            scene.audit(passed=False)
            writer.statistics["record_dropped"] = 5
            writer.write_book(0, layout.STATE_STALE)
            fired: set[str] = set()

            def all_but_the_dead() -> bool:
                fired.update(server_.firing())
                return every - {"QuietcoreRuntimeSilent", "QuietcoreExporterDown"} <= fired

            def broken() -> bool:
                live()
                return all_but_the_dead()

            # Its strategy's thread is one of two on an isolated core, whose tick therefore goes on.
            core = max(os.sched_getaffinity(0))
            scene.plan_path.write_text(json.dumps({"sets": {"strategy": [core]}, "isolated": [core]}))
            with two_on_one_core(core) as intruded:
                scene.status["threads"][1]["tid"] = intruded
                until(broken, 40, "alerts fire while the runtime lives")

            def silent() -> bool:
                fired.update(server_.firing())
                return "QuietcoreRuntimeSilent" in fired

            until(silent, 40, "the runtime is silent")
            exporter.terminate()
            exporter.wait(20)

            def gone() -> bool:
                fired.update(server_.firing())
                return "QuietcoreExporterDown" in fired

            until(gone, 40, "the exporter is away")
            assert fired == every
