"""A real Prometheus scrapes a real node by the example that we give, with the alerts loaded."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import urllib.parse
import urllib.request

from tests.support import eventually, free_port, running, write_tree
from tests.support_packaging import METRICS, PACKAGING, metrics_in, needs


def test_metrics_are_those_of_the_readme(tmp_path):
    """Whatever a node says stands in the table."""
    with running(tmp_path, workers=1) as node:
        status, text = node.admin("GET", "/metrics")
    said = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}

    assert status == 200
    assert metrics_in(*said) <= METRICS
    assert metrics_in(*said) >= {"edge_generation", "edge_requests_total", "edge_connections"}


@needs("prometheus")
def test_a_prometheus_has_what_the_node_counts(tmp_path):
    """`up` is 1, and requests are as many as were made, by class; no alert fires."""
    with running(tmp_path / "node", workers=2) as node:
        node.deploy(write_tree(tmp_path / "site", {"index.html": "<p>hello"}))
        for _ in range(7):
            assert node.get("/")[0] == 200
        assert node.get("/nothing")[0] == 404
        with prometheus(tmp_path / "prometheus", node.admin_port) as address:
            eventually(lambda: seen(address) == WELL)


WELL = {"counted": {"2xx": 7.0, "4xx": 1.0}, "up": {"edge": 1.0}, "alerts": {}, "missing": []}
"""What is to be seen of that node: at one moment, for a scrape may be late and is made up for."""


SEEN = {
    "edge_bytes_downloaded_total",
    "edge_cache_requests_total",
    "edge_connections",
    "edge_generation",
    "edge_requests_total",
    "edge_time_to_first_byte_seconds",
}
"""What any node has that has answered something."""


def seen(address):
    """What a Prometheus knows now."""
    asked = 'sum by (class) (edge_requests_total{app="site",branch="main"})'
    return {
        "counted": value(address, asked, "class"),
        "up": value(address, "up", "job"),
        "alerts": value(address, "ALERTS", "alertname"),
        "missing": [each for each in SEEN if not value(address, number_of(each), "")],
    }


def number_of(metric):
    """How many series there are of a metric; a histogram by its count."""
    return f'count({{__name__=~"{metric}(_count)?"}})'


@contextlib.contextmanager
def prometheus(folder, port):
    """One that scrapes that port every 2 s and nothing else; its address."""
    folder.mkdir()
    text = (PACKAGING / "prometheus.yml").read_text()
    text = text.replace("127.0.0.1:9901", f"127.0.0.1:{port}")
    text = text.replace("scrape_interval: 15s", "scrape_interval: 2s").replace("15s", "200ms")
    (folder / "prometheus.yml").write_text(text)
    shutil.copy(PACKAGING / "prometheus-rules.yml", folder)
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        yield address
    finally:
        process.kill()
        process.wait()


def value(address, query, label):
    """Values by a label; empty while there is nothing, or nobody to ask."""
    url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
    except OSError:
        return {}
    return {each["metric"].get(label, ""): float(each["value"][1]) for each in found}
