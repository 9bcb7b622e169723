"""Counting over all processes of a real node, whoever of them is killed."""

from __future__ import annotations

import json
import os
import signal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.control.counting import EVERY, Counting
from edge.control.metrics import Metrics
from edge.site.places import Places
from tests.support import Node, eventually, running, write_tree
from tests.support_logs import entries_of

HOST = "main.site.edge.localhost"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node with two workers and one page."""
    folder = tmp_path_factory.mktemp("counting")
    with running(folder) as found:
        found.deploy(write_tree(folder / "dist", {"index.html": "hello"}))
        yield found


def scrape(node: Node) -> dict[tuple[str, ...], float]:
    """Value by name and labels."""
    status, text = node.admin("GET", "/metrics")
    assert status == 200
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def answers(node: Node) -> float:
    """2xx of the site."""
    return scrape(node).get(("edge_requests_total", "site", "main", "2xx"), 0)


def ask(node: Node, times: int) -> None:
    """So many requests, each on a connection of its own."""
    for _ in range(times):
        assert node.get("/")[0] == 200


def test_a_scrape_is_exact_over_all_workers(node):
    """The very next one, without waiting for anything."""
    before = answers(node)
    for times in (1, 7, 20):
        ask(node, times)
        before += times
        assert answers(node) == before


def test_a_killed_worker_takes_nothing_that_was_told(node):
    """Its sums stay, and its end is counted."""
    ask(node, 10)
    before = answers(node)
    restarts = scrape(node)["edge_worker_restarts_total",]
    victim = node.pids("worker")[0]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(node.pids("worker")) == 2 and victim not in node.pids("worker"))
    eventually(node.is_ready)

    assert answers(node) == before
    assert scrape(node)["edge_worker_restarts_total",] == restarts + 1
    ask(node, 5)
    assert answers(node) == before + 5


def test_a_killed_worker_takes_what_nobody_asked_for_within_a_second(node):
    """It is asked that often, whether or not anybody scrapes."""
    before = answers(node)
    file = node.folder / "var" / "run" / "counters.json"
    ask(node, 10)
    for _ in range(2):  # the first may have been asked for before
        told = file.stat().st_mtime_ns
        eventually(lambda told=told: file.stat().st_mtime_ns > told)
    for victim in node.pids("worker"):
        os.kill(victim, signal.SIGKILL)
    eventually(node.is_ready)

    assert answers(node) == before + 10
    assert EVERY <= 1.0


def test_a_killed_control_goes_on_counting(node):
    """The workers tell the next one what is new since."""
    ask(node, 3)
    before = answers(node)
    file = node.folder / "var" / "run" / "counters.json"
    eventually(lambda: file.exists() and sum_of(file) == before, 15)
    victim = node.pids("control")[0]
    os.kill(victim, signal.SIGKILL)
    ask(node, 4)
    eventually(lambda: node.pids("control") not in ([], [victim]) and node.is_ready())

    assert answers(node) == before + 4


def sum_of(file) -> float:
    """2xx of the site, as they are kept."""
    kept = json.loads(file.read_text())
    return sum(row[2] for names, row in kept["branches"] if names == ["site", "main"])


def test_the_log_has_a_line_for_each_request(node):
    """Of all workers, in one file, with the identifiers that the answers had."""
    seen = {node.get(f"/?line={number}")[1]["X-Request-Id"] for number in range(40)}
    file = node.folder / "var" / "log" / "access.jsonl"

    def written() -> set[str]:
        return {e["id"] for e in entries_of(file) if (e["query"] or "").startswith("line=")}

    assert len(seen) == 40
    eventually(lambda: written() == seen)


def test_a_log_that_was_moved_away_is_begun_anew(node):
    """SIGUSR1, as logrotate sends it after moving the file."""
    file = node.folder / "var" / "log" / "access.jsonl"
    node.get("/?before")
    eventually(lambda: "before" in file.read_text())
    file.rename(file.with_name("moved.jsonl"))
    for pid in node.pids("worker"):
        os.kill(pid, signal.SIGUSR1)
    node.get("/?after")

    eventually(lambda: file.exists() and "after" in file.read_text())


def test_deployments_and_reloads_are_counted(node):
    """With what became of them."""
    before = scrape(node)
    node.deploy(node.folder / "dist")
    node.edge("reload")
    after = scrape(node)

    for name in (("edge_deployments_total", "site", "main", "succeeded"),
                 ("edge_reloads_total", "succeeded")):  # fmt: skip
        assert after[name] == before.get(name, 0) + 1
    assert after["edge_generation",] > before["edge_generation",]


def test_what_is_open_is_told(node):
    """Connections by listener, and what the cache holds."""
    ask(node, 2)
    found = scrape(node)

    assert found["edge_connections", "https"] == 0
    assert found["edge_connections", "http"] >= 0
    assert found["edge_cache_bytes",] > 0


def test_a_torn_document_costs_the_sums_alone(tmp_path, caplog):
    """Counting begins anew, and says so."""
    places = Places(tmp_path)
    places.run.mkdir(parents=True)
    (places.run / "counters.json").write_text("{")
    counting = Counting(places, Metrics(), lambda: 7)

    assert b"edge_generation 7\n" in counting.encode()
    assert "counting begins anew" in caplog.text
    assert [each.requests for each in counting.minutes(None)] == [0]
