"""A store of two workers against the plainest there is: whatever is asked, changed, dropped."""

from __future__ import annotations

import itertools

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.site.keys import label_of_app, label_of_tag
from tests.support_origin import Talk, originating
from tests.support_proxied import broker_of, get, proxied
from tests.support_siblings import Pair

LIFETIMES = {
    "/fresh": ("Cache-Control: max-age=60", 60),
    "/checked": ("Cache-Control: no-cache", 0),
    "/private": ("Cache-Control: private, max-age=60", None),
    "/varying": ("Cache-Control: max-age=60\r\nVary: Accept-Language", 60),
}
"""What the origin says of a path, and seconds that it is fresh; None where it is not stored."""

SLOTS = st.sampled_from([0, 1])
PATHS = st.sampled_from(list(LIFETIMES))
LANGUAGES = st.sampled_from(["de", "fr"])
STEPS = st.one_of(
    st.tuples(st.just("get"), SLOTS, PATHS, LANGUAGES),
    st.tuples(st.just("get"), SLOTS, PATHS, LANGUAGES),
    st.tuples(st.just("get"), SLOTS, PATHS, LANGUAGES),
    st.tuples(st.just("change"), PATHS),
    st.tuples(st.just("pass"), st.sampled_from([7, 25, 61])),
    st.tuples(st.just("break"), st.booleans()),
    st.tuples(st.just("post"), SLOTS, PATHS),
    st.tuples(st.just("drop"), SLOTS, PATHS),
    st.tuples(st.just("drop all"), SLOTS),
    st.tuples(st.just("clear")),
)


class Stored(msgspec.Struct):
    """What the model has of a path."""

    content: bytes
    at: int


class Model:
    """The origin, and what a store would say in front of it."""

    def __init__(self) -> None:
        self.now = 0
        self.asked = 0
        self.is_broken = False
        self.versions = dict.fromkeys(LIFETIMES, 0)
        self.stored: dict[tuple[str, str], Stored] = {}

    def content(self, path: str, language: str) -> bytes:
        """What is there now."""
        return f"{path} {language} {self.versions[path]}".encode()

    def script(self, talk: Talk) -> None:
        """The origin's answer."""
        path = talk.target
        talk.read()
        if self.is_broken:
            talk.answer(b"broken", 503)
            return
        content = self.content(path, language_of(path, talk.fields.get("accept-language", "")))
        etag = f'"{content.decode().replace(" ", "-")}"'
        lines = (LIFETIMES[path][0], f"ETag: {etag}", f"Cache-Tag: {path}")
        if talk.fields.get("if-none-match") == etag:
            talk.send("\r\n".join(["HTTP/1.1 304 X", *lines, "", ""]).encode())
        else:
            talk.answer(content, 200, *lines)

    def get(self, path: str, language: str) -> tuple[int, bytes, int]:
        """Status and content of an answer, and how often the origin is asked for it."""
        language = language_of(path, language)
        found, seconds = self.stored.get((path, language)), LIFETIMES[path][1]
        if found is not None and self.now - found.at < (seconds or 0):
            return 200, found.content, 0
        if self.is_broken:  # no-cache is never served unasked (RFC 9111 §5.2.2.4)
            is_lost = found is None or path == "/checked"
            return (503, b"broken", 1) if is_lost else (200, found.content, 1)
        content = self.content(path, language)
        if seconds is not None:
            self.stored[path, language] = Stored(content, self.now)
        return 200, content, 1

    def forget(self, path: str = "") -> None:
        """Everything of a path, or of all."""
        for key in [key for key in self.stored if path in ("", key[0])]:
            del self.stored[key]


def language_of(path: str, language: str) -> str:
    """Where it makes a difference."""
    return language if path == "/varying" else ""


@pytest.fixture(scope="module")
def origin():
    """An origin for all examples."""
    with originating() as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory, origin):
    """A state folder for all of them."""
    return proxied(tmp_path_factory.mktemp("storing"), origin)


async def play(pair: Pair, model: Model, step: tuple) -> None:
    """One step at the store and at the model."""
    match step:
        case ("get", slot, path, language):
            answer = await get(pair.sites[slot], f"/o{path}", accept_language=language)
            status, content, asked = model.get(path, language)
            assert (answer.status, answer.content, model.asked) == (status, content, asked), step
        case ("change", path):
            model.versions[path] += 1
        case ("pass", seconds):
            model.now += seconds
            pair.pass_time(seconds)
        case ("break", is_broken):
            model.is_broken = is_broken
        case ("post", slot, path):
            await get(pair.sites[slot], f"/o{path}", method="POST")
            if not model.is_broken:
                model.forget(path)
        case ("drop", slot, path):
            await pair.sites[slot].worker._siblings.drop([label_of_tag(path.encode())])
            model.forget(path)
        case ("drop all", slot):
            await pair.sites[slot].worker._siblings.drop([label_of_app("site")])
            model.forget()
        case _:
            for site in pair.sites:
                broker_of(site).clear()
            model.forget()


async def run(site, origin, steps: list[tuple]) -> None:
    """All steps, with two workers that know nothing."""
    model = Model()

    def script(talk: Talk) -> None:
        model.asked += 1
        model.script(talk)

    for path in LIFETIMES:
        origin.on(path, script)
    pair = await Pair(site, origin).open()
    try:
        for step in steps:
            model.asked = 0
            await play(pair, model, step)
    finally:
        await pair.close()


@settings(deadline=None, max_examples=60)
@given(steps=st.lists(STEPS, max_size=30))
def test_a_store_is_what_the_plainest_one_is(site, origin, steps):
    """Contents, statuses, and how often the origin is asked; whichever worker is."""
    uvloop.run(run(site, origin, steps))


@pytest.mark.parametrize("slots", [(0, 0, 0), (1, 1, 1), (0, 1, 1), (1, 0, 0), (0, 1, 0)], ids=str)
def test_the_first_good_answer_behind_an_error_is_stored(site, origin, slots):
    """Whichever worker gets it; the origin is not asked once more than there is need."""
    broken, first, second = slots
    steps: list[tuple] = [("break", True), ("get", broken, "/fresh", "de"), ("break", False)]
    steps += [("get", first, "/fresh", "de"), ("get", second, "/fresh", "de")]
    uvloop.run(run(site, origin, steps))


PAIRS = list(itertools.product([0, 1], repeat=3))


@pytest.mark.parametrize("slots", PAIRS, ids=str)
@pytest.mark.parametrize("path", LIFETIMES)
def test_what_is_changed_and_dropped_is_new_everywhere(site, origin, path, slots):
    """The shortest story that goes wrong where a copy is forgotten."""
    first, dropping, last = slots
    steps: list[tuple] = [("get", first, path, "de"), ("get", 1 - first, path, "de")] * 2
    steps += [("change", path), ("drop", dropping, path), ("get", last, path, "de")]
    uvloop.run(run(site, origin, steps))
