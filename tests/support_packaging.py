"""What tests of `packaging/` share: the metrics that there are, programs that may be missing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"

METRICS = {
    "edge_acme_orders_total",
    "edge_bytes_downloaded_total",
    "edge_bytes_uploaded_total",
    "edge_cache_bytes",
    "edge_cache_requests_total",
    "edge_certificate_not_after_seconds",
    "edge_connections",
    "edge_deployments_total",
    "edge_generation",
    "edge_handshakes_total",
    "edge_log_dropped_total",
    "edge_origin_requests_total",
    "edge_refused_total",
    "edge_reloads_total",
    "edge_requests_total",
    "edge_rule_hits_total",
    "edge_time_to_first_byte_seconds",
    "edge_worker_restarts_total",
}
"""Their names, as the contract fixes them."""


def metrics_in(*expressions: str) -> set[str]:
    """The metrics that expressions ask for; a histogram by its own name."""
    found = set()
    for each in expressions:
        bare = re.sub(r'"[^"]*"', "", each)
        found |= set(re.findall(r"\bedge_[a-z_]+", bare))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def needs(program: str) -> pytest.MarkDecorator:
    """Tests that ask a program need it; CI has all of `.ci/packages.txt`."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")
