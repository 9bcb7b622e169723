"""Inquiries and supplies: values that travel, and what their owner can tell from them."""

from __future__ import annotations

import collections

import msgspec
import pytest
from msgspec.structs import replace

from edge.node.inquiry import Inquiry, Supply
from tests.support_store import asking


def test_an_inquiry_travels_whole():
    """Whoever owns its key asks the origin exactly what the asked one would have."""
    inquiry = asking(
        "Cookie: a=b", "X-Forwarded-For: 192.0.2.1", method=b"HEAD", is_carried=True,
        urls=("http://o.test/é?a", "http://p.test/"), cookie=b"a=b; c=\xff", clients=[b"192.0.2.1"],
    )  # fmt: skip
    assert inquiry.fields.get(b"cookie") == b"a=b"  # what is worked out does not travel
    data = msgspec.msgpack.encode(inquiry)

    assert msgspec.msgpack.decode(data, type=Inquiry) == inquiry


def test_lines_are_looked_up_by_name():
    """All of one name."""
    fields = asking("A: 1", "B: 2", "A: 3").fields

    assert fields.get(b"host") == b"o.test"
    assert fields.getall(b"a") == [b"1", b"3"]
    assert fields.get(b"c") is None


def test_another_inquiry_has_other_fields():
    """What was looked up before is not taken along."""
    inquiry = asking("Authorization: x")
    assert inquiry.fields.get(b"authorization") == b"x"

    assert replace(inquiry, lines=[]).fields.get(b"authorization") is None


def test_purges_find_its_answer():
    """By app, branch, host, target and key."""
    inquiry = asking(key=b"k", urls=("http://o.test/x", "http://p.test/y"))

    assert inquiry.labels == [
        b"app app", b"branch app main", b"host a.test", b"key k", b"target app http://o.test/x",
        b"target app http://p.test/y",
    ]  # fmt: skip
    assert inquiry.any_page == b"pages a.test"


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_an_owner_is_one_of_the_workers(workers):
    """And they have about as many each."""
    owners = collections.Counter(
        asking(urls=(f"http://o.test/{number}",)).owner(workers) for number in range(700)
    )

    assert owners.keys() == set(range(workers))
    assert min(owners.values()) > 700 / workers * 0.7


SAME = {
    "another variant": {"lines": [(b"host", b"o.test"), (b"accept-language", b"de")]},
    "another host": {"host": "b.test", "page": b"page b.test/x"},
    "another branch": {"branch": "next"},
    "another method": {"method": b"HEAD"},
    "another second target": {"urls": ("http://o.test/x", "http://p.test/y")},
    "another key": {"key": b"other"},
}


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME.keys())
def test_all_answers_of_a_url_have_one_owner(changes):
    """So that whoever drops them asks one."""
    assert asking(**changes).owner(1000) == asking().owner(1000)


@pytest.mark.parametrize("changes", [{"app": "other"}, {"urls": ("http://o.test/y",)}], ids=str)
def test_apps_and_urls_are_spread(changes):
    """By both."""
    assert asking(**changes).owner(1000) != asking().owner(1000)


def test_a_supply_has_no_trailers_of_another():
    """Each has a list of its own."""
    one, other = (Supply(status=200, lines=[], handling=b"", content=b"") for _ in range(2))
    one.trailers.append((b"a", b"b"))

    assert other.trailers == []
