"""Variants of what a node of two workers stores: Vary (RFC 9111 §4.1), and Accept-Encoding."""

from __future__ import annotations

import itertools

import pytest

from tests.support_origin import Talk

FRESH = "Cache-Control: max-age=600"
FIRST = "fwd=uri-miss; stored"
OTHER = "fwd=vary-miss; stored"


async def test_variants_stand_side_by_side(scene):
    """A new one does not replace the others, whoever asks for which first."""
    scene.answers(f"{FRESH} | Vary: X-V")
    wishes = ["X-V: a", "X-V: b", "", "X-V: ", "X-V: a, b"]
    for number, wish in enumerate(wishes, 1):
        handling = FIRST if number == 1 else OTHER
        assert (await scene.ask(wish)).short == (200, b"%d" % number, handling)
    for _ in range(3):
        for number, wish in enumerate(wishes, 1):
            assert (await scene.ask(wish)).short == (200, b"%d" % number, "hit")

    assert scene.count == len(wishes)


SAME = {
    "the same": ("X-V", "X-V: a", "X-V: a"),
    "name in any case": ("x-v", "X-V: a", "x-v: a"),
    "space around": ("X-V", "X-V: a", "X-V:   a  "),
    "lines joined": ("X-V", "X-V: a | X-V: b", "X-V: a, b"),
    "what is not named": ("X-V", "X-V: a | X-W: a", "X-V: a | X-W: b"),
    "two fields in any order": ("X-V, X-W", "X-V: a | X-W: b", "X-W: b | X-V: a"),
    "languages": ("Accept-Language", "Accept-Language: de,en;q=0.5",
                  "Accept-Language: DE, en;q=0.5"),
    "media types": ("Accept", "Accept: text/html,*/*", "Accept: text/html, */*"),
}  # fmt: skip
DIFFERENT = {
    "another value": ("X-V", "X-V: a", "X-V: b"),
    "no value": ("X-V", "X-V: a", ""),
    "an empty value": ("X-V", "", "X-V: "),
    "another case": ("X-V", "X-V: a", "X-V: A"),
    "another order": ("X-V", "X-V: a, b", "X-V: b, a"),
    "one of two fields": ("X-V, X-W", "X-V: a | X-W: b", "X-V: a | X-W: c"),
    "one of two fields, on two lines": ("X-V | Vary: X-W", "X-V: a | X-W: b", "X-V: a"),
    "two fields that look alike": ("X-V, X-W", "X-V: ab | X-W: c", "X-V: a | X-W: bc"),
    "an order of languages": ("Accept-Language", "Accept-Language: de, en",
                              "Accept-Language: en, de"),
    "the User-Agent": ("User-Agent", "User-Agent: a", "User-Agent: b"),
    "the Origin": ("Origin", "Origin: http://x.test", "Origin: http://y.test"),
}  # fmt: skip


@pytest.mark.parametrize(("vary", "one", "same"), SAME.values(), ids=SAME.keys())
async def test_the_same_variant(scene, vary, one, same):
    """One request to the origin."""
    scene.answers(f"{FRESH} | Vary: {vary}")
    assert (await scene.ask(one)).short == (200, b"1", FIRST)
    for wish in (same, one, same, one):
        assert (await scene.ask(wish)).short == (200, b"1", "hit")


@pytest.mark.parametrize(("vary", "one", "two"), DIFFERENT.values(), ids=DIFFERENT.keys())
async def test_another_variant(scene, vary, one, two):
    """Each gets its own."""
    scene.answers(f"{FRESH} | Vary: {vary}")
    assert (await scene.ask(one)).short == (200, b"1", FIRST)
    assert (await scene.ask(two)).short == (200, b"2", OTHER)
    for _ in range(2):
        for wish in (one, one, two, two):
            content = b"1" if wish == one else b"2"
            assert (await scene.ask(wish)).short == (200, content, "hit")


async def test_each_variant_is_validated_by_its_own(scene):
    """And freshened alone."""
    scene.answers(
        'Cache-Control: max-age=0 | Vary: X-V | ETag: "a"',
        'Cache-Control: max-age=0 | Vary: X-V | ETag: "b"',
        f'304 | {FRESH} | Vary: X-V | ETag: "a"',
        '304 | Cache-Control: max-age=0 | Vary: X-V | ETag: "b"',
    )
    for wish in ("a", "b", "a", "b"):
        await scene.ask(f"X-V: {wish}")
    asked = [talk.fields.get("if-none-match") for talk in scene.asked()]
    assert asked == [None, None, '"a"', '"b"']
    assert (await scene.ask("X-V: a")).short == (200, b"1", "hit")
    assert (await scene.ask("X-V: b")).short[:2] == (200, b"2")


# Accept-Encoding

SPELLINGS = (
    "gzip, br", "br, gzip", "gzip,br", "GZIP, Br", "gzip;q=0.5, br", "br;q=1.0, gzip;q=0.8",
    "gzip, deflate, br", "gzip, br, identity", "br, gzip, compress;q=0.1", "x-gzip, br",
    "gzip, br, br",
)  # fmt: skip


async def test_spellings_of_accept_encoding_are_one(scene):
    """To the origin as well, which so cannot answer them differently."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.answer(talk.fields["accept-encoding"].encode(), 200, FRESH, "Vary: Accept-Encoding")

    scene.on(script)
    answers = [await scene.ask(f"Accept-Encoding: {spelling}") for spelling in SPELLINGS]
    answers += [await scene.ask("Accept-Encoding: gzip | Accept-Encoding: br")]

    assert {answer.content for answer in answers} == {b"br, gzip"}
    assert [answer.handling for answer in answers] == [FIRST, *["hit"] * len(SPELLINGS)]


CLOSED = {
    "": b"identity",
    "Accept-Encoding: ": b"identity",
    "Accept-Encoding: identity": b"identity",
    "Accept-Encoding: deflate, compress, x-own": b"identity",
    "Accept-Encoding: gzip": b"gzip",
    "Accept-Encoding: gzip, deflate": b"gzip",
    "Accept-Encoding: br": b"br",
    "Accept-Encoding: gzip, br, zstd": b"br, zstd, gzip",
    "Accept-Encoding: *": b"br, zstd, gzip",
    "Accept-Encoding: gzip;q=0, br": b"br",
    "Accept-Encoding: gzip, identity;q=0": b"gzip, identity;q=0",
}


async def test_accept_encoding_is_of_a_closed_set(scene):
    """What the origin gets is what its answer is stored by."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.answer(talk.fields["accept-encoding"].encode(), 200, FRESH, "Vary: Accept-Encoding")

    scene.on(script)
    for _ in range(3):
        for wish, normal in CLOSED.items():
            assert (await scene.ask(wish)).content == normal

    assert scene.count == len(set(CLOSED.values()))


async def test_a_coding_is_for_those_who_accept_it(scene):
    """Also where the origin does not say that it varies (nginx: `gzip_vary off`)."""

    def script(talk: Talk) -> None:
        talk.read()
        lines = [FRESH]
        if "gzip" in talk.fields["accept-encoding"]:
            lines.append("Content-Encoding: gzip")
        talk.answer(b"%d" % scene.count, 200, *lines)

    scene.on(script)
    assert (await scene.ask("Accept-Encoding: gzip")).get("content-encoding") == "gzip"
    for wishes in itertools.permutations(["Accept-Encoding: gzip", "", "Accept-Encoding: br"]):
        for wish in wishes:
            answer = await scene.ask(wish)
            if "gzip" not in wish:  # who accepts one may get none: nobody said that it varies
                assert answer.get("content-encoding") is None
