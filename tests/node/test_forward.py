"""Requests to origins and their answers, by a worker on a real state folder, over real sockets."""

from __future__ import annotations

import asyncio

import bcrypt
import pytest
import uvloop

from edge.errors import MalformedRequest, RequestTimedOut
from edge.http.message import Request, Response
from edge.node.content import Inflow, discard
from edge.node.errand import SMALL
from edge.node.health import FAILURES, RETRY_RESERVE
from edge.node.tasks import spawn
from tests.support import free_port
from tests.support_origin import Talk, echo, raw, saying
from tests.support_serving import HOST, Answer, Site, request
from tests.support_wire import until

OK = b"HTTP/1.1 200 OK\r\n"
HASH = bcrypt.hashpw(b"wonderland", bcrypt.gensalt(4)).decode()
SWITCH = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"
UPGRADE = {"connection": "Upgrade", "upgrade": "chat"}


@pytest.fixture(scope="module")
def dead():
    """A port where nobody listens."""
    return free_port()


@pytest.fixture(scope="module")
def built(tmp_path_factory, origin, dead):
    """An app whose rules lead to the origin; tests work on copies."""
    allow = f'proxy: {{allow: ["127.0.0.1:{origin.port}", "127.0.0.1:{dead}"]}}\n'
    site = Site(tmp_path_factory.mktemp("forward"), edge_yml=allow)
    to = f"http://127.0.0.1:{origin.port}"
    site.write_rules(
        ("/o/<*>", f"{to}/<*>", "200"),
        ("/api/<*>", f"{to}/v1/<*>", "200"),
        ("/us/<*>", f"{to}/<*>", "200", "<US>"),
        ("/us/<*>", f"{to}/elsewhere/<*>", "200"),
        ("/dead/<*>", f"http://127.0.0.1:{dead}/<*>", "200"),
        {"source": "/two/<*>", "target": [f"http://127.0.0.1:{dead}/<*>", f"{to}/b/<*>"],
         "status": "200"},
        ("/late/us/<*>", f"{to}/<*>", "fallback", "<US>"),
        ("/late/<*>", f"{to}/<*>", "fallback"),
        {"source": f"https://api.{HOST}", "target": to, "status": "200"},
    )  # fmt: skip
    site.write(
        "customHttp.yml",
        "customHeaders: [{pattern: '/api/**', headers: [{key: X-Team, value: blue}]}]",
    )
    site.deploy({"index.html": "home", "late/here.txt": "a file"})
    uvloop.run(site.start())
    return site


@pytest.fixture
async def site(built):
    """A worker that serves it; afterwards nobody has a connection or waits for one."""
    yield built
    await quiet(built)


async def quiet(site: Site) -> None:
    """Nothing is under way any more; then the worker knows no origin."""
    known = site.worker._origins.known
    for each in known.values():
        assert (each.busy, each.outstanding, each.health.probing) == (set(), 0, False)
    await until(lambda: not [t for t in asyncio.all_tasks() if t.get_name() == "upload"])
    site.worker._origins.close()
    known.clear()


@pytest.fixture
def path(request, origin):
    """A path that no other test uses."""
    return "/" + request.node.name.replace("[", "/").replace("]", "").replace(" ", "-")


def pool(site: Site, port: int):
    """What the worker knows of the origin at a port."""
    (found,) = [o for k, o in site.worker._origins.known.items() if k.port == port]
    return found


def posting(target: str, *chunks: bytes, ends: bool = True, **options: str) -> Request:
    """A request with content that is here, but for its end perhaps."""
    asked = request(target, method=options.pop("method", "POST"), **options)
    asked.ends = False
    asked.content = Inflow(lambda _: None)
    for chunk in chunks:
        asked.content.feed(chunk)
    if ends:
        asked.content.finish()
    return asked


async def begin(site: Site, asked: Request) -> Response:
    """The response, its content not read yet."""
    answer = site.worker._handler.respond(asked)
    return answer if isinstance(answer, Response) else await answer


def reason(answer: Answer) -> str:
    """What Proxy-Status says."""
    assert answer.fields["cache-control"] == "no-store"
    page = answer.fields["proxy-status"].removeprefix("edge; error=")
    assert page.replace("_", " ").encode() in answer.content
    return page


# There and back


async def test_a_request_goes_to_the_origin_and_its_answer_comes_back(site, origin, path):
    """Framed anew, with who asks, and without what is of one connection only."""
    origin.on(path, echo)
    answer = await site.ask(
        f"/o{path}?a=%20b&c", Accept="text/html", Connection="X-Own, keep-alive", X_Own="1",
        Keep_Alive="timeout=5", X_Forwarded_For="203.0.113.9", Cookie="a=b",
    )  # fmt: skip
    line, *lines = answer.content.decode().partition("\n\n")[0].split("\n")
    name = site.worker._forwarder.gateway.name.decode()
    forwarded = f"for=192.0.2.1;host={HOST};proto=http"

    assert answer.status == 200
    assert line == f"GET {path}?a=%20b&c"
    assert sorted(lines) == sorted(
        [
            f"host: 127.0.0.1:{origin.port}", "accept: text/html", "cookie: a=b",
            "accept-encoding: identity",
            "x-forwarded-for: 192.0.2.1", f"x-forwarded-host: {HOST}", "x-forwarded-proto: http",
            f"forwarded: {forwarded}", f"via: 1.1 {name}", f"cdn-loop: {name}",
        ]
    )  # fmt: skip
    assert answer.fields["via"] == "1.1 edge"
    assert answer.fields["cache-status"].startswith("edge; fwd=")


METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"]


@pytest.mark.parametrize("method", METHODS)
async def test_any_method_is_passed_on(site, origin, path, method):
    """405 is for files."""
    origin.on(path, echo)
    answer = await site.ask(f"/o{path}", method=method)

    assert answer.content.decode().startswith(f"{method} {path}\n")


PASSED = {
    "whole": (saying(b"hello"), b"hello", False),
    "empty": (saying(b""), b"", False),
    "of unknown length": (raw(OK + b"\r\nhello"), b"hello", None),
    "in chunks": (
        raw(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), b"hello", False,
    ),
    "an error": (saying(b"oh", 500), b"oh", False),
    "as large as goes out in one piece": (saying(b"x" * SMALL), b"x" * SMALL, None),
    "larger": (saying(b"x" * 4 * SMALL), b"x" * 4 * SMALL, True),
}  # fmt: skip


@pytest.mark.parametrize("case", PASSED.values(), ids=PASSED.keys())
async def test_content_comes_as_it_is(site, origin, path, case):
    """With its length, where that is known before the first byte goes out."""
    script, content, is_streamed = case
    origin.on(path, script)
    answer = await site.ask(f"/o{path}")

    assert answer.content == content
    assert is_streamed in (None, answer.streamed)
    if not answer.streamed:
        assert answer.fields["content-length"] == str(len(content))
    assert "transfer-encoding" not in answer.fields


@pytest.mark.parametrize("status", [200, 204, 304, 404])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_answers_without_content_are_over_with_their_head(site, origin, path, status, method):
    """Their connection is free at once, whatever length they state."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: 5\r\nX-A: b\r\n\r\n".encode()
    content = b"" if method == "HEAD" or status in (204, 304) else b"hello"
    origin.on(path, raw(head + content, then=lambda _: None))
    answer = await site.ask(f"/o{path}", method=method)

    assert (answer.status, answer.content, answer.fields["x-a"]) == (status, content, "b")
    assert answer.fields.get("content-length") == (None if status == 204 else "5")
    assert len(pool(site, origin.port)._idle) == 1


async def test_trailers_stand_behind_the_content(site, origin, path):
    """Those that may; they need a stream to stand behind."""
    trailers = b'X-Sum: 1\r\nSet-Cookie: a\r\nETag: "a"\r\n'
    origin.on(path, raw(CHUNKS + b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n"))
    response = await begin(site, request(f"/o{path}"))
    assert response.is_unframed
    content = b"".join([chunk async for chunk in response.content])

    assert content == b"hello"
    assert response.trailers == [(b"x-sum", b"1"), (b"etag", b'"a"')]


CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"


async def test_the_origins_date_and_reason_stay(site, origin, path):
    """A date is made where it has none."""
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    origin.on(path, saying(b"", 200, f"Date: {date}"))
    assert (await site.ask(f"/o{path}")).fields["date"] == date
    origin.on(path, saying(b""))
    assert (await site.ask(f"/o{path}")).fields["date"].endswith(" GMT")


# Content of requests


async def test_content_with_a_length_has_it_at_the_origin(site, origin, path):
    """And its bytes in order."""
    origin.on(path, echo)
    asked = posting(f"/o{path}", b"hel", b"lo", content_length="5")
    answer = await site.answer(asked)

    assert answer.content.endswith(b"\n\nhello")
    assert b"\ncontent-length: 5\n" in answer.content
    assert b"transfer-encoding" not in answer.content


@pytest.mark.parametrize("version", [b"1.1", b"2"])
async def test_content_without_a_length_goes_in_chunks_with_its_trailers(
    site, origin, path, version
):
    """Those that may stand there."""
    origin.on(path, echo)
    asked = posting(f"/o{path}", b"hel", b"lo", ends=False, trailer="x-sum")
    asked.version = version
    asked.content.finish([(b"X-Sum", b"1"), (b"Authorization", b"x")])
    answer = await site.answer(asked)

    assert answer.content.endswith(b"\n\nhello")
    assert b"\ntransfer-encoding: chunked\ntrailer: x-sum\n" in answer.content
    assert origin.of(path)[0].trailers == [b"x-sum: 1"]


async def test_trailers_behind_a_length_have_no_room(site, origin, path):
    """HTTP/2 has both; the content arrives all the same."""
    origin.on(path, echo)
    asked = posting(f"/o{path}", b"hello", ends=False, content_length="5")
    asked.content.finish([(b"x-sum", b"1")])

    assert (await site.answer(asked)).content.endswith(b"\n\nhello")


async def test_an_answer_may_come_before_the_content_is_sent(site, origin, path):
    """The connection is not used again, and the rest is not sent."""
    origin.on(path, lambda talk: (talk.answer(b"no", 403), talk.until_closed()))
    asked = posting(f"/o{path}", b"x", ends=False)
    answer = await site.answer(asked)

    assert (answer.status, answer.content) == (403, b"no")
    await (await origin.wait_for(path)).over()
    assert not pool(site, origin.port)._idle


async def test_both_directions_go_on_at_once(site, origin, path):
    """An answer that needs more of the content than there was when it began."""

    def script(talk: Talk) -> None:
        talk.send(CHUNKS)
        for piece in talk.pieces():
            talk.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        talk.send(b"0\r\n\r\n")

    origin.on(path, script)
    asked = posting(f"/o{path}", b"0", ends=False)
    response = await begin(site, asked)
    content = aiter(response.content)
    for number in range(5):
        assert await anext(content) == b"%d" % number
        asked.content.feed(b"%d" % (number + 1))
    asked.content.finish()
    assert [chunk async for chunk in content] == [b"5"]
    await discard(response.content)


BROKEN = {
    "the client went away": MalformedRequest("the client went away"),
    "the client stopped": RequestTimedOut("the content stopped coming"),
}


@pytest.mark.parametrize("error", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("length", ["9", ""], ids=["length", "chunks"])
async def test_content_that_breaks_off_has_no_end_at_the_origin(site, origin, path, error, length):
    """It never sees a whole request; the client, if it is there, gets its own error."""
    origin.on(path, lambda talk: talk.read())
    fields = {"content_length": length} if length else {}
    asked = posting(f"/o{path}", b"hello", ends=False, **fields)
    answering = spawn(site.answer(asked), "answer")
    talk = await origin.wait_for(path)
    asked.content.fail(error)

    assert (await answering).status == error.status
    assert not (await talk.over()).is_whole
    assert pool(site, origin.port).health.failures == 0


@pytest.mark.parametrize("chunks", [[b"hell"], [b"hello", b"o"]], ids=["short", "long"])
async def test_content_that_is_not_as_long_as_it_said_has_no_end(site, origin, path, chunks):
    """HTTP/2 can lie about it, if nobody looks."""
    origin.on(path, lambda talk: (talk.read(), talk.until_closed()))
    answer = await site.answer(posting(f"/o{path}", *chunks, content_length="5"))

    assert (answer.status, reason(answer)) == (500, "proxy_internal_error")
    talk = await (await origin.wait_for(path)).over()
    assert talk.content in (b"", b"hello")


async def test_a_defect_in_content_is_no_hang(site, origin, path, caplog):
    """Whatever it raises is logged, and the request ends."""
    origin.on(path, lambda talk: talk.read())

    class Defect:
        def __aiter__(self):
            raise ZeroDivisionError

    asked = posting(f"/o{path}", content_length="5")
    asked.content = Defect()
    answer = await site.answer(asked)

    assert reason(answer) == "proxy_internal_error"
    await until(lambda: "ZeroDivisionError" in caplog.text)


# Limits of content


@pytest.fixture
async def narrow(built, tmp_path):
    """The same with `limits.body` of five bytes."""
    found = built.copy_to(tmp_path)
    (tmp_path / "edge.yml").write_text(built.edge_yml + "limits: {body: 5}\n")
    found.changes.reload()
    yield await found.start()
    await quiet(found)


async def test_content_that_says_it_is_too_large_is_refused_unread(narrow, origin, path):
    """413, and nobody is asked."""
    answer = await narrow.answer(posting(f"/o{path}", b"hello!", content_length="6"))
    huge = await narrow.answer(posting(f"/o{path}", content_length="9" * 5000))

    assert (answer.status, huge.status, origin.of(path)) == (413, 413, [])


async def test_content_of_unknown_length_is_counted(narrow, origin, path):
    """The origin never sees a whole request; up to the limit it does."""
    origin.on(path, echo)
    fits = await narrow.answer(posting(f"/o{path}", b"hel", b"lo"))
    too_much = await narrow.answer(posting(f"/o{path}", b"hel", b"lo", b"!"))

    assert (fits.status, too_much.status) == (200, 413)
    assert b"limit" not in too_much.content.lower() or b"5 bytes" in too_much.content
    assert not (await (await origin.wait_for(path, 2)).over()).is_whole


# Again


def once_only(talk: Talk) -> None:
    """The first request of a connection is answered, the next one ends it without a word."""
    talk.read()
    numbers = [other.connection for other in talk.origin.talks if other.number == talk.number]
    if len(numbers) > 1:
        talk.close()
    else:
        talk.answer(b"hello")


async def test_a_get_is_sent_again_where_an_idle_connection_had_ended(site, origin, path):
    """On a new one, once."""
    origin.on(path, once_only)
    for _ in range(2):
        assert (await site.ask(f"/o{path}")).content == b"hello"

    assert len(origin.of(path)) == 3
    assert len({talk.number for talk in origin.of(path)}) == 2


@pytest.mark.parametrize("method", ["POST", "PATCH", "BREW"])
async def test_what_could_do_harm_is_never_sent_twice(site, origin, path, method):
    """The origin may have done it before it went silent."""
    origin.on(path, once_only)
    assert (await site.ask(f"/o{path}")).status == 200
    answer = await site.ask(f"/o{path}", method=method)

    assert (answer.status, reason(answer)) == (502, "connection_terminated")
    assert [talk.method for talk in origin.of(path)] == ["GET", method]


async def test_content_is_never_sent_twice(site, origin, path):
    """Nor kept in case it had to be."""
    origin.on(path, once_only)
    assert (await site.ask(f"/o{path}")).status == 200
    answer = await site.answer(posting(f"/o{path}", b"hello", method="PUT", content_length="5"))

    assert answer.status == 502
    assert len(origin.of(path)) == 2


UNREPEATED = {
    "a new connection": (raw(), "connection_terminated"),
    "a word": (raw(b"HTTP/1.1 2"), "http_response_incomplete"),
    "an interim response": (
        raw(b"HTTP/1.1 103 Early Hints\r\n\r\n"), "http_response_incomplete",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("script", "kind"), UNREPEATED.values(), ids=UNREPEATED.keys())
async def test_a_request_that_may_have_arrived_is_not_sent_again(site, origin, path, script, kind):
    """A GET neither: the origin fails it, and would fail it again."""
    warm = path + "/warm"
    origin.on(path, script)
    if kind != "connection_terminated":
        origin.on(warm, saying(b""))
        await site.ask(f"/o{warm}")
    answer = await site.ask(f"/o{path}")

    assert (answer.status, reason(answer)) == (502, kind)
    assert len(origin.of(path)) == 1


async def test_retries_have_a_budget(site, origin, path):
    """A tenth of the requests, when the reserve is spent."""
    origin.on(path, once_only)
    await site.ask(f"/o{path}")
    pool(site, origin.port).health.retries = 0.0
    assert (await site.ask(f"/o{path}")).status == 502
    await site.ask(f"/o{path}")
    pool(site, origin.port).health.retries = RETRY_RESERVE

    assert (await site.ask(f"/o{path}")).status == 200


async def test_a_dead_target_is_passed_over(site, origin, dead):
    """Nothing had been sent to it, so a POST goes on to the other one too; with its content."""
    origin.on("/b/x", echo)
    for _ in range(3):
        assert b"GET /b/x\n" in (await site.ask("/two/x")).content
        answer = await site.answer(posting("/two/x", b"hello", content_length="5"))
        assert answer.content.endswith(b"\n\nhello")
    assert pool(site, dead).health.is_open(site.clock.now)
    failures = pool(site, dead).health.failures
    await site.ask("/two/x")

    assert pool(site, dead).health.failures == failures == FAILURES


async def test_a_dead_origin_is_left_alone(site, dead):
    """502 while it is tried, then 503 with a time, and the log says which one."""
    answers = [await site.ask("/dead/x") for _ in range(FAILURES + 1)]

    assert [answer.status for answer in answers] == [502] * FAILURES + [503]
    assert {reason(answer) for answer in answers[:-1]} == {"connection_refused"}
    assert reason(answers[-1]) == "destination_unavailable"
    assert answers[-1].fields["retry-after"] == "5"


# Interim responses and tunnels


async def test_interim_responses_are_passed_on(site, origin, path):
    """But for 100, which is our own to send."""
    interim = [
        b"HTTP/1.1 100 X\r\n\r\n",
        b"HTTP/1.1 103 X\r\nLink: </a>\r\nConnection: a\r\nA: b\r\n\r\n",
    ]
    origin.on(path, raw(*interim, OK + b"Content-Length: 0\r\n\r\n"))
    asked, informed = request(f"/o{path}"), []
    asked.inform = lambda status, fields: informed.append((status, fields))

    assert (await site.answer(asked)).status == 200
    assert informed == [(103, [(b"link", b"</a>"), (b"via", b"1.1 edge")])]


async def test_101_makes_a_tunnel(site, origin, path):
    """With the fields of an answer; bytes behind it are the first."""
    origin.on(path, lambda talk: (talk.send(SWITCH + b"raw"), talk.until_closed()))
    response = await begin(site, request(f"/o{path}", **UPGRADE))
    assert response.head.status == 101
    assert b"upgrade: chat\r\n" in response.head.lines
    assert response.tunnel is response.content
    assert await anext(aiter(response.content)) == b"raw"
    await discard(response.content)
    await (await origin.wait_for(path)).over()


@pytest.mark.parametrize("status", [200, 426, 403])
async def test_an_origin_may_refuse_an_upgrade(site, origin, path, status):
    """What it says instead is an answer like any other."""
    origin.on(path, saying(b"no", status, "Upgrade: other"))
    answer = await site.ask(f"/o{path}", **UPGRADE)

    assert (answer.status, answer.content, answer.streamed) == (status, b"no", False)
    assert "upgrade" not in answer.fields


NO_TUNNEL = {
    "nobody asked": ({}, SWITCH),
    "it does not say which": (UPGRADE, b"HTTP/1.1 101 X\r\n\r\n"),
    "another was asked": (UPGRADE, SWITCH.replace(b"chat", b"h2c")),
}


@pytest.mark.parametrize(("fields", "switch"), NO_TUNNEL.values(), ids=NO_TUNNEL.keys())
async def test_a_tunnel_that_was_not_asked_for_is_refused(site, origin, path, fields, switch):
    """What came through it would be read as answers, or as requests that nobody judged."""
    origin.on(path, lambda talk: (talk.send(switch + OK), talk.until_closed()))
    answer = await asyncio.wait_for(site.ask(f"/o{path}", **fields), 10)

    assert answer.status == 502
    assert reason(answer) in ("http_protocol_error", "http_upgrade_failed")
    await (await origin.wait_for(path)).over()


# Clients that go away


async def cancelled(task: asyncio.Task) -> None:
    """End a task, as a connection does whose client went away."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_client_that_goes_away_takes_its_request_along(site, origin, path):
    """While the head is waited for."""
    origin.on(path, lambda talk: talk.until_closed())
    answering = spawn(site.ask(f"/o{path}"), "answer")
    talk = await origin.wait_for(path)
    await cancelled(answering)

    await talk.over()


async def test_a_client_that_goes_away_while_it_sends_takes_its_request_along(site, origin, path):
    """The upload ends with it."""
    origin.on(path, lambda talk: talk.read())
    answering = spawn(site.answer(posting(f"/o{path}", b"x", ends=False)), "answer")
    talk = await origin.wait_for(path)
    await cancelled(answering)

    assert not (await talk.over()).is_whole


async def test_content_that_nobody_reads_on_is_let_go(site, origin, path):
    """In the middle, and before its beginning."""
    origin.on(
        path, lambda talk: (talk.send(OK + b"Content-Length: 9\r\n\r\nx"), talk.until_closed())
    )
    for number, reads in enumerate((True, False), 1):
        response = await begin(site, request(f"/o{path}"))
        if reads:
            assert await anext(aiter(response.content)) == b"x"
        await discard(response.content)
        await (await origin.wait_for(path, number)).over()


async def test_a_client_that_goes_away_while_it_waits_leaves_the_queue(
    built, tmp_path, origin, path
):
    """Those behind it have their turn."""
    found = built.copy_to(tmp_path)
    limits = "limits: {origin_connections: 1}\n"
    (tmp_path / "edge.yml").write_text(built.edge_yml + limits)
    found.changes.reload()
    await found.start()
    origin.on(path, lambda talk: (talk.wait(), talk.answer(b"hello")))
    tasks = [spawn(found.ask(f"/o{path}?{number}"), "answer") for number in range(3)]
    talk = await origin.wait_for(path)
    await until(lambda: pool(found, origin.port).outstanding == 3)
    await cancelled(tasks[1])
    talk.go.set()
    (await origin.wait_for(path, 2)).go.set()

    assert [(await tasks[number]).content for number in (0, 2)] == [b"hello", b"hello"]
    await quiet(found)


# What is put on answers


async def test_custom_fields_are_on_proxied_answers(site, origin):
    """The operator's word is the last one."""
    origin.on("/v1/x", saying(b"hello", 200, "X-Team: red", "X-Own: 1"))
    answer = await site.ask("/api/x")

    assert (answer.fields["x-team"], answer.fields["x-own"]) == ("blue", "1")


LOCATIONS = {
    ("/api/x", "/login"): "/login",
    ("/api/x", "{origin}/v1/a?b#c"): "http://{host}/api/a?b#c",
    ("/api/x", "{origin}/other"): "http://{host}/other",
    ("/api/x", "https://elsewhere.test/v1/a"): "https://elsewhere.test/v1/a",
    ("/o/v1/x", "{origin}/v1/a"): "http://{host}/o/v1/a",
    ("/two/x", "{origin}/b/y"): "http://{host}/two/y",
    ("/late/x", "{origin}/y"): "http://{host}/late/y",
}


@pytest.mark.parametrize(("case", "expected"), LOCATIONS.items(), ids=str)
async def test_a_location_leads_back_through_its_rule(site, origin, case, expected):
    """Where it is the origin's own; anything else stays."""
    target, location = case
    names = {"origin": f"http://127.0.0.1:{origin.port}", "host": HOST}
    script = saying(b"", 302, "Location: " + location.format(**names))
    for path in ("/v1/x", "/b/x", "/x"):
        origin.on(path, script)

    assert (await site.ask(target)).fields["location"] == expected.format(**names)


async def test_an_answer_that_a_country_decided_is_for_one(site, origin, path):
    """No shared cache may keep it, whatever the origin says, by whichever field."""
    origin.on(
        f"/elsewhere{path}",
        saying(b"", 200, 'Cache-Control: public, private="a, b", s-maxage=600, max-age=60',
               "Cache-Control: no-transform",
               "CDN-Cache-Control: max-age=600", "Surrogate-Control: max-age=600",
               "Edge-Cache-Control: max-age=600", "Vary: Accept"),
    )  # fmt: skip
    fields = (await site.ask(f"/us{path}")).fields

    assert set(fields["cache-control"].split(", ")) == {"max-age=60", "no-transform", "private"}
    assert not [name for name in fields if name.endswith(("-cache-control", "surrogate-control"))]


@pytest.mark.parametrize("target", ["/late/us/x", "/late/x"])
async def test_a_country_may_decide_where_no_file_is(site, origin, target):
    """Then its answer is for one as well."""
    origin.on("/x", saying(b"", 200, "Cache-Control: public, max-age=60"))
    origin.on("/us/x", saying(b"", 200, "Cache-Control: public, max-age=60"))
    control = (await site.ask(target)).fields["cache-control"]

    assert ("private" in control) == ("/us/" in target)


async def test_files_come_before_a_fallback(site, origin):
    """Which takes any method."""
    origin.on("/here.txt", echo)
    origin.on("/gone.txt", echo)
    assert (await site.ask("/late/here.txt")).content == b"a file"
    assert (await site.ask("/late/here.txt", method="POST")).status == 405
    for method in ("GET", "POST"):
        answer = await site.ask("/late/gone.txt", method=method)
        assert answer.content.startswith(f"{method} /gone.txt\n".encode())


# Who may go where


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, origin):
    """A branch with a password, some of its paths without."""
    site = Site(
        tmp_path_factory.mktemp("guarded"),
        f"access: {{users: {{alice: '{HASH}'}}, exempt: ['/open/*']}}",
        f'proxy: {{allow: ["127.0.0.1:{origin.port}"]}}\n',
    )
    site.write_rules(("/<*>", f"http://127.0.0.1:{origin.port}/guarded/<*>", "200"))
    site.deploy({"index.html": "home"})
    uvloop.run(site.start())
    return site


CREDENTIALS = {
    ("/x", "Basic YWxpY2U6d29uZGVybGFuZA=="): None,
    ("/open/x", "Basic YWxpY2U6d29uZGVybGFuZA=="): None,
    ("/open/x", "Bearer abc"): "Bearer abc",
    ("/open/x", ""): None,
}


@pytest.mark.parametrize(("case", "expected"), CREDENTIALS.items(), ids=str)
async def test_credentials_that_the_edge_verified_stay_here(guarded, origin, case, expected):
    """On exempt paths a browser sends them too; a token is the origin's own business there."""
    target, value = case
    origin.on(f"/guarded{target}", saying(b"", 200, "Cache-Control: public, max-age=60"))
    guarded.worker._broker.clear()
    answer = await guarded.ask(target, **({"authorization": value} if value else {}))

    assert answer.status == 200
    assert origin.of(f"/guarded{target}")[-1].fields.get("authorization") == expected
    assert ("private" in answer.fields["cache-control"]) == (target == "/x")
    await quiet(guarded)


async def test_without_the_password_nobody_is_asked(guarded, origin):
    """401 comes first."""
    assert (await guarded.ask("/secret")).status == 401
    assert (await guarded.ask("/secret", authorization="Bearer abc")).status == 401

    assert origin.of("/guarded/secret") == []


async def test_a_loop_is_cut(site, origin, path):
    """A request that was here is 508, and says nothing of the origin."""
    origin.on(path, saying(b""))
    await site.ask(f"/o{path}")
    name = site.worker._forwarder.gateway.name.decode()
    for _ in range(FAILURES + 1):
        answer = await site.ask(f"/o{path}", cdn_loop=f"other, {name}")
        assert (answer.status, reason(answer)) == (508, "proxy_loop_detected")

    assert len(origin.of(path)) == 1
    assert (await site.ask(f"/o{path}")).status == 200


async def test_a_deployments_own_rules_reach_no_private_address(built, tmp_path, origin, path):
    """Though the operator allows it to the app folder."""
    site = built.copy_to(tmp_path)
    rule = (
        f'[{{"source": "/o/<*>", "target": "http://127.0.0.1:{origin.port}/<*>", "status": "200"}}]'
    )
    site.deploy({"index.html": "home", "redirects.json": rule})
    await site.start()
    answer = await site.ask(f"/o{path}")

    assert (answer.status, reason(answer)) == (502, "destination_ip_prohibited")
    assert origin.of(path) == []


# Patience


PATIENCE = {
    "text/event-stream; charset=utf-8": 3600.0,
    "Text/Event-Stream": 3600.0,
    "text/html": 60.0,
}


@pytest.mark.parametrize(("kind", "seconds"), PATIENCE.items())
async def test_events_may_be_rare(site, origin, path, kind, seconds):
    """An event stream is quiet as long as a tunnel may be."""
    head = OK + b"Content-Type: %b\r\n\r\nx" % kind.encode()
    origin.on(path, lambda talk: (talk.send(head), talk.until_closed()))
    response = await begin(site, request(f"/o{path}"))
    content = aiter(response.content)
    assert await anext(content) == b"x"
    reading = spawn(anext(content), "next")
    (connection,) = pool(site, origin.port).busy
    await until(lambda: connection._reading is not None)

    assert connection._patience == (seconds, "connection_read_timeout")
    await cancelled(reading)
    await discard(response.content)


async def test_every_request_to_an_origin_is_counted(site, origin, path, dead):
    """By the app, the origin, and what came of it."""
    origin.on(path, saying(b"", 201))
    counted = site.worker._counters.origins
    before = dict(counted)
    await site.ask(f"/o{path}")
    await site.ask("/dead/x")
    new = {names: count - before.get(names, 0) for names, count in counted.items()}
    found = {names: count for names, count in new.items() if count}

    assert [(app, result) for app, _, result in found] == [
        ("site", "2xx"),
        ("site", "connection_refused"),
    ]
    assert {origin for _, origin, _ in found} == {
        f"http://127.0.0.1:{origin.port}",
        f"http://127.0.0.1:{dead}",
    }


async def test_an_answer_that_breaks_off_is_logged(site, origin, path, caplog):
    """The client only sees that some is missing."""
    origin.on(path, raw(OK + b"Content-Length: 9\r\n\r\nhello"))
    response = await begin(site, request(f"/o{path}"))
    with pytest.raises(Exception, match="closed") as caught:
        _ = [chunk async for chunk in response.content]
    await discard(response.content)
    site.worker._handler._unanswered_told = 0
    site.worker._service.refuse(caught.value)

    assert "http_response_incomplete" in caplog.text
