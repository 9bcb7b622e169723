"""
A collector, and one try to bring it spans: OTLP over HTTP, with the fields that it wants.

Laws: runs in a thread. Certificates are checked by the system's authorities, redirects are not
followed: spans go where the operator said. When to try again is the `exporter`'s to decide.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import urllib3

from edge.node.exporter import Refused
from edge.node.otlp import encode
from edge.node.roots import checking_context

if TYPE_CHECKING:
    from edge.node.visits import Visit
    from edge.site.settings import Tracing

TIMEOUT: Final = urllib3.Timeout(connect=5.0, read=10.0)

LONGEST: Final = 30.0
"""Seconds of a Retry-After that are waited for."""

AGAIN: Final = frozenset((429, 502, 503, 504))
"""Statuses after which a message may be sent again. Source: OTLP, "Retryable Response Codes"."""


class Collector:
    """Takes what is noted. `root` is where a relative `headers_file` starts."""

    def __init__(self, root: Path) -> None:
        self._root = root
        context = checking_context()
        self._pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT, ssl_context=context)

    def take(self, settings: Tracing, visits: list[Visit]) -> None:
        """
        One try.

        Raises:
            Refused: they were not taken.
        """
        offset = time.time() - time.monotonic()
        message = gzip.compress(encode(visits, offset, resource_of(settings.service)), 1)
        url = url_of(settings.endpoint)
        try:
            fields = headers_of(self._root, settings.headers_file) | {
                "Content-Type": "application/x-protobuf",
                "Content-Encoding": "gzip",
                "User-Agent": "edge",
            }
            answer = self._pool.request("POST", url, body=message, headers=fields, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Refused(f"{settings.endpoint}: {error}", again=True) from error
        if not 200 <= answer.status < 300:
            wait = wait_of(answer.headers.get("Retry-After", ""))
            problem = f"{settings.endpoint} answered {answer.status}"
            raise Refused(problem, again=answer.status in AGAIN, wait=wait)


def url_of(endpoint: str) -> str:
    """Where traces are taken, by the collector's address."""
    path = "/v1/traces"
    return endpoint if endpoint.endswith(path) else endpoint.rstrip("/") + path


def headers_of(root: Path, file: str | None) -> dict[str, str]:
    """
    What the file says, a line a field; read each time, so that a key can be replaced.

    Raises:
        OSError: it cannot be read.
        ValueError: a line is no field.
    """
    fields = {}
    for line in [] if file is None else (root / file).read_text().splitlines():
        name, colon, value = line.partition(":")
        if line.strip() and not (colon and name.strip()):
            raise ValueError(f"{file}: a line is not `Name: value`")
        if line.strip():
            fields[name.strip()] = value.strip()
    return fields


def wait_of(stated: str) -> float:
    """Seconds of a Retry-After; a date counts as none."""
    return min(LONGEST, float(stated)) if stated.isdecimal() else 0.0


def resource_of(service: str) -> dict[str, str]:
    """What says where spans come from."""
    return {
        "service.name": service,
        "service.version": importlib.metadata.version("edge"),
        "host.name": socket.gethostname(),
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "edge",
    }
