"""Answers of origins as clients get them: what is taken off, put on, and led back."""

from __future__ import annotations

import pytest

from edge.http.message import response_pairs
from edge.node.dressing import Dress, for_one
from edge.node.inquiry import Supply
from edge.site.envelope import Envelope, Sharing
from edge.site.plan import Forward, compile_plan
from edge.site.rule import Rule

DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
TO = "http://origin.test/v1"


class FakeBranch:
    """What a dress asks of a branch."""

    def __init__(self) -> None:
        self.plan = compile_plan([Rule(source="/api/<*>", target=f"{TO}/<*>", status=200)])


def dress(
    *custom: tuple[bytes, bytes], sharing: Sharing = Sharing.ALL, noindex: bool = False
) -> Dress:
    """What a rule puts on its answers."""
    envelope = Envelope(custom, sharing, lifetime=600, cap=600, noindex=noindex)
    return Dress(FakeBranch(), envelope, Forward((f"{TO}/x",), 0), b"http://a.test")  # type: ignore[arg-type]


def supply(*lines: tuple[bytes, bytes], status: int = 200, content: object = b"hello") -> Supply:
    """An answer of an origin."""
    return Supply(status=status, lines=list(lines), handling=b"edge; hit", content=content)  # type: ignore[arg-type]


def test_tags_are_for_the_cache_alone():
    """And what is stored stays as it is."""
    lines = [(b"a", b"1"), (b"cache-tag", b"x"), (b"surrogate-key", b"y")]
    before = list(lines)

    assert dress().lines(200, lines, 0) == [(b"a", b"1")]
    assert lines == before


def test_what_needs_no_change_is_another_list_all_the_same():
    """More is put behind it."""
    lines = [(b"a", b"1")]
    found = dress().lines(200, lines, 0)

    assert (found, found is lines) == (lines, False)


@pytest.mark.parametrize("name", [b"location", b"content-location"])
def test_urls_lead_back(name):
    """By the rule that led there."""
    lines = [(name, b"http://origin.test/v1/y?z")]
    assert dress().lines(302, lines, 0) == [(name, b"http://a.test/api/y?z")]


def test_the_operators_fields_are_on_it():
    """In lower case; crawlers are told to stay away with them or without."""
    robots = (b"x-robots-tag", b"noindex")
    assert dress(noindex=True).lines(200, [(b"a", b"1")], 0) == [(b"a", b"1"), robots]
    found = dress((b"X-Team", b"blue"), noindex=True).lines(200, [(b"x-team", b"red")], 0)
    assert sorted(found) == [robots, (b"x-team", b"blue")]


def test_what_is_for_one_client_is_for_no_shared_cache():
    """Whatever its origin says of them."""
    lines = [(b"cache-control", b"public, max-age=5"), (b"cdn-cache-control", b"max-age=9")]

    assert for_one(lines) == [(b"cache-control", b"private, max-age=5")]
    assert dress(sharing=Sharing.ONE).lines(200, lines, 0) == for_one(lines)


@pytest.mark.parametrize(
    ("lines", "more", "block"),
    [
        ([], [(b"content-length", b"5"), (b"date", DATE[6:-2])], DATE + b"\r\n"),
        ([(b"content-length", b"5"), (b"date", b"x")], [], b"\r\n"),
    ],
)
def test_an_answer_says_its_length_and_its_date_once(lines, more, block):
    """Its origin's, or ours."""
    found = dress().response(supply(*lines), DATE)

    assert response_pairs(found) == [*lines, (b"cache-status", b"edge; hit"), *more]
    assert (found.block, found.is_unframed, found.content) == (block, False, b"hello")


def test_content_that_still_comes_without_a_length_is_unframed():
    """Whoever sends it frames it."""
    assert dress().response(supply(content=object()), DATE).is_unframed
    assert (
        not dress().response(supply((b"content-length", b"5"), content=object()), DATE).is_unframed
    )
    assert not dress().response(supply(status=304, content=None), DATE).is_unframed


def test_it_counts_for_its_rule():
    """Once a call."""
    found = dress()
    found.count()
    found.count()

    assert found.branch.plan.hits == {0: 2}
