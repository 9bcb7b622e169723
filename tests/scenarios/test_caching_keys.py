"""
What tells stored answers of a node of two workers apart: the key.

The property: no field that the edge adds or rewrites changes a stored answer unless it is in the
key. Its test is an origin that repeats everything it was told, and lets it be kept.
"""

from __future__ import annotations

import pytest

from tests.support_origin import Talk
from tests.support_stored import CLIENT, PROXY, Answer, Scene

FRESH = "Cache-Control: max-age=600"
FIRST = "fwd=uri-miss; stored"

# The key: host, scheme, way


async def test_hosts_are_told_apart(scene):
    """The origin is told which one it was."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.answer(talk.fields["x-forwarded-host"].encode(), 200, FRESH)

    scene.path += f"/{scene.order}"
    scene.on(script)
    hosts = ["a.test", "b.test", f"a.test:{scene.node.port}"]
    for round_number in range(3):
        for host in hosts:
            answer = await scene.ask(f"Host: {host}")
            assert answer.short == (200, host.encode(), "hit" if round_number else FIRST)

    assert (await scene.ask("Host: A.TEST")).short == (200, b"a.test", "hit")
    assert (await scene.ask("Host: a.test:9")).short == (200, b"a.test", "hit")
    assert len(scene.origin.of(scene.path)) == len(hosts)


async def test_schemes_are_told_apart_where_a_trusted_proxy_tells(scene):
    """Anybody else's word is nothing."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.answer(talk.fields["x-forwarded-proto"].encode(), 200, FRESH)

    scene.on(script)
    trusted, others = await scene.pair(PROXY), scene.visitors
    target, secure = f"/o{scene.path}", "X-Forwarded-Proto: https | X-Forwarded-For: 192.0.2.1"
    assert (await trusted[0].ask(target, secure)).short == (200, b"https", FIRST)
    assert (await trusted[1].ask(target)).short == (200, b"http", FIRST)
    for proxy, other in zip(trusted, others, strict=True):
        assert (await proxy.ask(target, secure)).short == (200, b"https", "hit")
        assert (await proxy.ask(target)).short == (200, b"http", "hit")
        assert (await other.ask(target, secure)).short == (200, b"http", "hit")
        assert (await proxy.ask(target, "X-Forwarded-Proto: ftp")).short == (200, b"http", "hit")


@pytest.mark.parametrize("name", ["Via", "CDN-Loop"])
async def test_ways_are_told_apart(scene, name):
    """An origin that tells one proxy something else tells it to that proxy's clients alone."""
    scene.on(telling(name.lower()))
    values = ["", f"{name}: 1.1 x", f"{name}: 1.1 y"]
    answers = [await scene.ask(value) for value in values]

    assert len({answer.content for answer in answers}) == 3
    assert [answer.handling for answer in answers] == [FIRST] * 3
    for _ in range(2):
        for value, answer in zip(values, answers, strict=True):
            assert (await scene.ask(value)).short == (200, answer.content, "hit")


# The key: query and cookies


def telling(*names: str):
    """An origin that says what it was told."""

    def script(talk: Talk) -> None:
        talk.read()
        told = [talk.target, *(talk.fields.get(name, "-") for name in names)]
        talk.answer("\n".join(told).encode(), 200, FRESH)

    return script


QUERIES = {
    "all": ("site", {
        "": "", "?": "?", "?a=1": "?a=1", "?a=2": "?a=2", "?a=1&b=2": "?a=1&b=2",
        "?b=2&a=1": "?b=2&a=1", "?utm=x": "?utm=x",
    }),
    "names": ("chosen", {
        "": "", "?": "", "?utm=x": "", "?page=1": "?page=1", "?page=1&utm=x": "?page=1",
        "?utm=y&page=1&z": "?page=1", "?page=2": "?page=2", "?q=a&page=1": "?q=a&page=1",
        "?q": "?q", "?pages=1": "", "?PAGE=1": "", "?page=1&page=2": "?page=1&page=2",
    }),
    "none": ("none", {"": "", "?": "", "?a=1": "", "?b": ""}),
}  # fmt: skip

HOSTS = {"site": "a.test", "chosen": "c.test", "none": "e.test"}


@pytest.mark.parametrize(("app", "table"), QUERIES.values(), ids=QUERIES.keys())
async def test_queries(scene, app, table):
    """What is not chosen does not reach the origin, and makes no difference."""
    scene.host = HOSTS[app]
    scene.path += f"/{scene.order}"
    scene.on(telling())
    known = set()
    for query, told in [*table.items(), *table.items()]:
        answer = await scene.ask(f"Host: {scene.host}", query=query)
        target = f"{scene.path}{told}"
        assert answer.short == (200, target.encode(), "hit" if target in known else FIRST)
        known.add(target)

    assert sorted(talk.target for talk in scene.asked()) == sorted(known)


async def test_the_whole_query_goes_where_nothing_is_stored(scene):
    """A change is told all of it, and drops what its chosen part is stored under."""
    scene.host = "c.test"
    scene.path += f"/{scene.order}"
    host = "Host: c.test"
    scene.on(telling())
    await scene.ask(host, query="?page=1&utm=x")
    answer = await scene.ask(host, "POST", "?page=1&utm=y")
    assert answer.content == f"{scene.path}?page=1&utm=y".encode()

    assert (await scene.ask(host, query="?page=1&utm=z")).handling == FIRST


async def test_cookies_that_are_not_chosen(scene):
    """
    The first request of an unknown URL is sent with them, and its answer not stored; once it is
    known that what comes can be stored, they stay here.
    """
    scene.on(telling("cookie"))
    told = [(await scene.ask("Cookie: a=1 | Cookie: b=2")).short for _ in range(4)]
    path = scene.path.encode()

    assert told == [
        (200, path + b"\na=1; b=2", "fwd=uri-miss; detail=cookie"),
        (200, path + b"\n-", FIRST),
        (200, path + b"\n-", "hit"),
        (200, path + b"\n-", "hit"),
    ]
    assert (await scene.ask("Cookie: a=2")).short == (200, path + b"\n-", "hit")
    assert (await scene.ask()).short == (200, path + b"\n-", "hit")


async def test_cookies_of_a_url_that_others_know(scene):
    """Somebody without any was first: they stay here from the beginning."""
    scene.on(telling("cookie"))
    first = await scene.ask()
    for _ in range(3):
        assert (await scene.ask("Cookie: a=1")).short == (200, first.content, "hit")


async def test_a_login_always_gets_its_cookies(scene):
    """Where what it answers is not to be stored; nobody waits for another's, and none is mixed."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.answer(talk.fields.get("cookie", "-").encode(), 200, "Cache-Control: no-store")

    scene.on(script)
    for number in range(8):
        answer = await scene.ask(f"Cookie: session={number}")
        assert answer.short == (
            200, b"session=%d" % number, "fwd=uri-miss; detail=no-store",
        )  # fmt: skip
    for number in range(4):
        answer = await scene.ask(f"Cookie: session={number}", "POST")
        assert answer.content == b"session=%d" % number
        assert (await scene.ask()).content == b"-"


async def test_a_page_that_becomes_private_gets_cookies_again(scene):
    """What was stored is over, and its successor is for one: it is asked with the cookie."""

    def script(talk: Talk) -> None:
        talk.read()
        is_first = scene.count <= 1
        lines = (
            ["Cache-Control: max-age=0", 'ETag: "a"'] if is_first else ["Cache-Control: private"]
        )
        talk.answer(talk.fields.get("cookie", "-").encode(), 200, *lines)

    scene.on(script)
    await scene.ask()
    for number in range(4):
        assert (await scene.ask(f"Cookie: session={number}")).content == b"session=%d" % number


COOKIES = {
    "names": ("c.test", {
        "lang=de": "lang=de",
        "lang=en": "lang=en",
        "lang=de; session=1": "lang=de",
        "session=2; lang=de": "lang=de",
        "theme=x; lang=de": "lang=de; theme=x",
        "lang=de;theme=x": "lang=de; theme=x",
        "LANG=de; lang=en": "lang=en",
    }),
    "all": ("e.test", {
        "": "-", "a=1": "a=1", "a=2": "a=2", "a=1; b=2": "a=1; b=2", "a=1;b=2": "a=1; b=2",
    }),
}  # fmt: skip


@pytest.mark.parametrize(("host", "table"), COOKIES.values(), ids=COOKIES.keys())
async def test_cookies_that_are_chosen(scene, host, table):
    """They are in the key; the others stay here as soon as the URL is known with them."""
    scene.path += f"/{scene.order}"
    scene.on(telling("cookie"))
    known = set()
    for cookie, told in [*table.items(), *table.items(), *table.items()]:
        lines = f"Host: {host}" + (f" | Cookie: {cookie}" if cookie else "")
        answer = await scene.ask(lines)
        content = f"{scene.path}\n{told}".encode()
        assert answer.short == (200, content, "hit" if told in known else FIRST)
        known.add(told)

    assert len(scene.origin.of(scene.path)) == len(known)


# The property

ALONE = {f"fwd=uri-miss; detail={reason}" for reason in ("client-address", "elsewhere")}
"""Who owns the key knows why; its sibling, told so, asks the origin itself the next time."""


def echoing(*names: str):
    """An origin that repeats what it was told of some fields; of all but Host without names."""

    def script(talk: Talk) -> None:
        talk.read()
        told = [f"{name}: {value}" for name, value in talk.lines if not names or name in names]
        talk.answer("\n".join(told).encode(), 200, "Cache-Control: max-age=60")

    return script


async def from_everywhere(scene: Scene, request: str = "") -> list[tuple[str, Answer]]:
    """What clients of four addresses get, each from both workers."""
    got = []
    for address in (CLIENT, "127.0.0.3", "127.0.0.4", "127.0.0.5"):
        pair = await scene.pair(address)
        got += [(address, await visitor.ask(f"/o{scene.path}", request)) for visitor in pair]
    return got


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", ""])
async def test_an_answer_that_repeats_the_client_is_its_own(scene, name):
    """Not stored, and why is told."""
    scene.on(echoing(*([name] if name else ())))
    for address, answer in await from_everywhere(scene):
        assert address.encode() in answer.content
        assert answer.handling in ALONE
        for other in {CLIENT, "127.0.0.3", "127.0.0.4", "127.0.0.5"} - {address}:
            assert other.encode() not in answer.content


async def test_a_field_that_repeats_the_client_is_its_own(scene):
    """As content that does."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.answer(b"hello", 200, FRESH, f"X-You: {talk.fields['x-forwarded-for']}")

    scene.on(script)
    for address, answer in await from_everywhere(scene):
        assert answer.get("x-you") == address
        assert answer.handling in ALONE


async def test_a_client_whom_a_trusted_proxy_names(scene):
    """By X-Forwarded-For; what other fields say of it does not go where it could be stored."""
    trusted = await scene.pair(PROXY)
    ways = {
        "x-forwarded-for": "X-Forwarded-For: 192.0.2.{n}",
        "forwarded": 'Forwarded: for=192.0.2.{n};proto=http;host="h{n}.test"',
        "x-real-ip": "X-Real-IP: 192.0.2.{n}",
    }
    for name, line in ways.items():

        def script(talk: Talk, name: str = name) -> None:
            talk.read()
            talk.answer(talk.fields.get(name, "nothing").encode(), 200, FRESH)

        scene.on(script, f"/{name}")
        for number in range(1, 7):
            visitor = trusted[number % 2]
            target = f"/o{scene.path}/{name}"
            answer = await visitor.ask(target, line.replace("{n}", str(number)))
            named = b"192.0.2.%d" % number
            assert (named in answer.content) == (name == "x-forwarded-for")
            assert answer.content.count(b"192.0.2.") == (name == "x-forwarded-for")


async def test_a_host_that_a_proxy_passed_on_is_nobody_elses(scene):
    """An origin that makes links of Forwarded cannot be made to point others somewhere."""
    trusted = await scene.pair(PROXY)

    def script(talk: Talk) -> None:
        talk.read()
        hosts = [part for part in talk.fields["forwarded"].split(";") if part.startswith("host=")]
        talk.answer(hosts[0].encode(), 200, FRESH)

    scene.on(script)
    target = f"/o{scene.path}"
    await trusted[0].ask(target, "Forwarded: for=unknown;host=evil.test;proto=http")
    for visitor in (*trusted, *scene.visitors):
        assert b"evil" not in (await visitor.ask(target)).content


async def test_what_is_added_is_in_the_key_or_not_in_the_answer(scene):
    """Two clients who differ in all that the edge adds or rewrites never see each other's."""
    scene.on(echoing("x-forwarded-proto", "x-forwarded-host", "via", "cdn-loop", "accept-encoding",
                     "cookie", "x-forwarded-port", "x-forwarded-server"))  # fmt: skip
    mine = [
        "X-Forwarded-Proto: mine", "X-Forwarded-Host: mine.test", "X-Forwarded-Port: 31337",
        "X-Forwarded-Server: mine", "Forwarded: for=mine;host=mine", "Cookie: mine=1",
        "Accept-Encoding: mine, gzip", "X-Real-IP: mine", "X-Original-URL: /mine",
        "Connection: X-Forwarded-Host, Via", "User-Agent: mine",
    ]  # fmt: skip
    await scene.ask()
    for line in mine:
        wish = f"{line} | Accept-Encoding: gzip" if "gzip" not in line else line
        for _ in range(2):
            content = (await scene.ask(wish)).content
            assert b"mine" not in content
            assert b"31337" not in content


UNKEYED = [
    "x-host", "x-original-host", "x-http-host-override", "x-forwarded", "x-http-method",
    "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url",
]  # fmt: skip


@pytest.mark.parametrize("spelling", ["-", "_", "."])
async def test_a_field_that_frameworks_believe_is_told_to_no_origin(scene, spelling):
    """Of what is stored, in any spelling: the method and the host are those of the key."""
    names = [name.replace("-", spelling) for name in UNKEYED]
    scene.on(echoing("user-agent", *names))
    for name in names:
        answer = await scene.ask(f"{name}: poison", query=f"?{name}")
        assert answer.short == (200, b"", "fwd=uri-miss; stored")
        assert (await scene.ask(query=f"?{name}")).short == (200, b"", "hit")


async def test_what_is_not_added_may_be_shared(scene):
    """Without Vary an origin says that a field makes no difference."""
    scene.on(echoing("user-agent"))
    assert (await scene.ask("User-Agent: a")).content == b"user-agent: a"
    for _ in range(2):
        assert (await scene.ask("User-Agent: b")).short == (200, b"user-agent: a", "hit")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_the_clients_version_is_not_in_the_answer(scene, version):
    """Via says the same for everybody."""
    scene.on(echoing("via"))
    client, _ = await scene.connect()
    client.client.send(f"GET /o{scene.path} HTTP/{version}\r\nHost: {scene.host}\r\n\r\n".encode())
    first = await client.read()

    assert first.content.startswith(b"via: 1.1 edge-")
    assert (await scene.ask()).short == (200, first.content, "hit")
