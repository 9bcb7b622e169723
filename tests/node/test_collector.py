"""One try to bring spans to a collector, over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from edge.node.collector import Collector, headers_of, url_of, wait_of
from edge.node.exporter import Refused
from edge.node.visits import Visit
from edge.site.settings import Tracing
from tests.support_origin import Authority
from tests.support_tracing import collecting

VISITS = [Visit(b"a" * 32, b"b" * 16, method=b"GET")]


async def take(folder, settings: Tracing) -> None:
    """In a thread, as it is meant to."""
    await asyncio.to_thread(Collector(folder).take, settings, VISITS)


async def test_spans_are_brought_with_the_fields_that_it_wants(tmp_path):
    """Read anew each time."""
    async with collecting() as collector:
        settings = Tracing(endpoint=f"http://127.0.0.1:{collector.port}", headers_file="key")
        for key in ("one", "two"):
            (tmp_path / "key").write_text(f"Authorization: Bearer {key}\n\nX-Scope: a\n")
            await take(tmp_path, settings)

        assert [each["authorization"] for each in collector.fields] == ["Bearer one", "Bearer two"]
        assert collector.fields[0]["content-type"] == "application/x-protobuf"
        assert collector.spans[0].resource["service.name"] == "edge"


STATUSES = {429: True, 503: True, 400: False, 401: False, 302: False, 500: False}


@pytest.mark.parametrize(("status", "again"), STATUSES.items())
async def test_what_it_does_not_take(tmp_path, status, again):
    """Whether that may change, and when; a redirect is not followed."""
    async with collecting() as collector:
        fields = {"Retry-After": "7", "Location": f"http://127.0.0.1:{collector.port}/v1/traces"}
        collector.answers = [(status, fields)]
        with pytest.raises(Refused, match=str(status)) as refused:
            await take(tmp_path, Tracing(endpoint=f"http://127.0.0.1:{collector.port}"))

        assert (refused.value.again, refused.value.wait) == (again, 7.0)
        assert len(collector.fields) == 1


async def test_nobody_listens(tmp_path):
    """That may change."""
    with pytest.raises(Refused) as refused:
        await take(tmp_path, Tracing(endpoint="http://127.0.0.1:1"))

    assert refused.value.again


async def test_certificates_are_checked(tmp_path):
    """By authorities that the machine knows; this one is none of them."""
    context = Authority(tmp_path).context("right.test")
    async with collecting(context) as collector:
        with pytest.raises(Refused, match=r"(?i)certificate verify failed"):
            await take(tmp_path, Tracing(endpoint=f"https://127.0.0.1:{collector.port}"))

        assert collector.fields == []


async def test_a_file_that_cannot_be_read(tmp_path):
    """Nothing is sent without what it says."""
    async with collecting() as collector:
        settings = Tracing(endpoint=f"http://127.0.0.1:{collector.port}", headers_file="key")
        with pytest.raises(Refused):
            await take(tmp_path, settings)
        (tmp_path / "key").write_text("secret")
        with pytest.raises(Refused, match="not `Name: value`") as refused:
            await take(tmp_path, settings)

        assert "secret" not in str(refused.value)
        assert collector.fields == []


def test_no_file_no_fields(tmp_path):
    """It is not needed."""
    assert headers_of(tmp_path, None) == {}


def test_the_path_is_added_once():
    """People write either."""
    assert url_of("http://a:4318") == url_of("http://a:4318/") == "http://a:4318/v1/traces"
    assert url_of("https://a/otlp/v1/traces") == "https://a/otlp/v1/traces"


def test_a_wait_is_bounded():
    """And a date is none."""
    assert [wait_of(each) for each in ("", "5", "999999", "Thu, 26 Nov 2026")] == [0, 5, 30, 0]
