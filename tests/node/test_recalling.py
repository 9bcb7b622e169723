"""A request that is like one before is answered unparsed: with the same answer, or not at all."""

from __future__ import annotations

import asyncio
import re

import pytest

from edge.http.manner import OBJECTS
from edge.node.cache import JOIN_BELOW
from edge.node.look import WRITTEN_AT_ONCE
from tests.support_ledger import entering
from tests.support_recalling import GET, IDENTIFIER, Raw, head_of, raw_of
from tests.support_serving import HOST, Site
from tests.support_wire import until

TREE = {"index.html": "home", "a.txt": "first " * 200, "b.txt": "other"}
SIZES = [0, 1, JOIN_BELOW - 1, JOIN_BELOW, JOIN_BELOW + 1, WRITTEN_AT_ONCE]
TREE |= {f"{size}.bin": "x" * size for size in [*SIZES, WRITTEN_AT_ONCE + 1]}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """`TREE`, deployed once."""
    site = Site(tmp_path_factory.mktemp("recalling"))
    site.deploy(TREE)
    return site


@pytest.fixture
async def node(built, tmp_path):
    """The site, listening, its clock standing still."""
    site = await built.copy_to(tmp_path / "site").start()
    async with entering(site) as found:
        yield found


@pytest.fixture
async def raw(node):
    """A connection, and how many of its requests were looked at by the handler."""
    return await raw_of(node)


async def test_the_same_again_is_answered_the_same(raw):
    """But for its identifier; and nobody has looked at it."""
    known = await raw.warm()
    looked_at = raw.parsed
    again = await raw.ask()

    assert b"Cache-Status: edge; hit" in known[0]
    assert (again[0], again[2]) == (known[0], known[2])
    assert again[1] != known[1]
    assert raw.parsed == looked_at


@pytest.mark.parametrize("size", SIZES)
async def test_content_of_any_size_that_is_written_at_once(raw, size):
    """Joined to its head or not; the counters and the log have all of its bytes."""
    get = head_of(f"/{size}.bin")
    known = await raw.warm(get)
    looked_at = raw.parsed
    again = await raw.ask(get)
    entries = await raw.node.wait(4)

    assert (again[0], again[2]) == (known[0], b"x" * size)
    assert raw.parsed == looked_at
    assert len({each["bytes_out"] for each in entries[2:]}) == 1
    assert entries[3]["bytes_out"] > entries[3]["length"] == size


async def test_more_than_that_is_looked_at(raw):
    """It goes out as the client takes it."""
    get = head_of(f"/{WRITTEN_AT_ONCE + 1}.bin")
    await raw.warm(get)
    looked_at = raw.parsed

    assert len((await raw.ask(get))[2]) == WRITTEN_AT_ONCE + 1
    assert raw.parsed == looked_at + 1


async def test_a_client_that_takes_nothing_fills_no_memory(raw):
    """What is asked without reading waits, also where each request comes alone."""
    get = head_of(f"/{WRITTEN_AT_ONCE}.bin")
    await raw.warm(get)
    (connection,) = raw.node.site.worker._service.connections
    raw.client.reader._transport.pause_reading()
    for _ in range(40):
        raw.client.send(get)
        await asyncio.sleep(0)
    await until(lambda: connection.paused)

    assert connection.transport.get_write_buffer_size() <= 2 * WRITTEN_AT_ONCE
    raw.client.reader._transport.resume_reading()
    assert {len((await raw.ask(b""))[2]) for _ in range(40)} == {WRITTEN_AT_ONCE}


@pytest.mark.parametrize("path", ["/0.bin", "/a.txt"])
async def test_who_takes_other_codings_gets_what_is_right(raw, path):
    """A file without codings is known to all alike, once it was sent to one; another by coding."""
    asked = [head_of(path, f"Accept-Encoding: {codings}") for codings in ("br", "x", "zstd", "")]
    bare = [head.replace(b"Accept-Encoding: gzip\r\n", b"") for head in asked]
    other = [head.replace(path.encode(), b"/b.txt") for head in bare]
    for each in (*other, *bare[:1] * 3):
        await raw.ask(each)
    looked_at = raw.parsed
    first = [await raw.ask(each) for each in bare]
    again = [await raw.ask(each) for each in bare]
    codings = [re.findall(rb"(?i)content-encoding: (\w+)", head) for head, _, _ in first]
    every = [[b"br"], [], [b"zstd"], []]

    assert [content for _, _, content in first] == [content for _, _, content in again]
    assert codings == (every if path == "/a.txt" else [[]] * 4)
    assert (raw.parsed == looked_at) == (path == "/0.bin")


async def test_a_file_without_codings_is_another_after_a_deploy(raw):
    """Whoever asked for it before."""
    get = head_of("/1.bin")
    await raw.warm(get)
    await raw.node.site.redeploy({**TREE, "1.bin": "y"})

    assert [(await raw.ask(get))[2] for _ in range(4)] == [b"y"] * 4


async def test_another_connection_is_known_by_its_lines(raw):
    """From its first request on, and the log tells it from others."""
    known, looked_at = await raw.warm(), raw.parsed
    other = Raw(raw.node, await raw.node.client())
    first, second = await other.ask(), await other.ask()
    *_, last, one, two = await raw.node.wait(5)
    ports = [each.client.writer.get_extra_info("sockname")[1] for each in (raw, other, other)]

    assert raw.parsed == looked_at
    assert first[0] == second[0] == known[0]
    assert len({known[1], first[1], second[1]}) == 3
    assert [each["port"] for each in (last, one, two)] == ports
    assert {each["client"] for each in (last, one, two)} == {"127.0.0.1"}
    assert one.keys() == last.keys()


@pytest.mark.parametrize("is_logged", [True, False])
async def test_after_its_first_request_a_connection_is_between_two(raw, is_logged):
    """It may be silent for as long as after any other, and its next head takes its own time."""
    await raw.warm()
    if not is_logged:
        raw.node.site.worker._ledger.write_to(None)
    (old,) = raw.node.site.worker._service.connections
    other, looked_at = Raw(raw.node, await raw.node.client()), raw.parsed
    await other.ask()
    (connection,) = raw.node.site.worker._service.connections - {old}
    now = connection.touched + connection.service.header_timeout + 1
    connection.sweep(now)
    connection.clock.now = now
    other.client.send(GET[:20])
    await until(lambda: connection.touched == now)
    connection.sweep(now + 1)

    assert raw.parsed == looked_at
    assert (await other.ask(GET[20:]))[0].startswith(b"HTTP/1.1 200 ")


async def test_whose_word_a_line_is_depends_on_the_peer(tmp_path):
    """Behind a trusted proxy each request is another client's, and the log says whose."""
    site = Site(tmp_path / "site", edge_yml="clients: {trusted_proxies: [127.0.0.1]}")
    site.deploy(TREE)
    await site.start()
    clients = [f"192.0.2.{number}" for number in range(4)]
    async with entering(site) as node:
        raw = await raw_of(node)
        for client in clients:
            await raw.warm(head_of("/a.txt", f"X-Forwarded-For: {client}"))
        other, looked_at = Raw(node, await node.client()), raw.parsed
        for each, client in zip((raw, other, raw, other), clients, strict=True):
            await each.ask(head_of("/a.txt", f"X-Forwarded-For: {client}"))
        entries = (await node.wait(16))[-4:]

    assert raw.parsed == looked_at
    assert [each["client"] for each in entries] == clients
    assert [each["forwarded_for"] for each in entries] == clients
    assert len({each["port"] for each in entries}) == 2


async def test_what_stands_in_the_target_is_not_what_stands_in_host(raw):
    """An empty Host is a mistake, whatever was asked by the same lines."""
    asked = b"GET %b HTTP/1.1\r\nHost: \r\n\r\n"
    whole, answers = b"http://%b/a.txt" % HOST.encode(), []
    for target in (b"/a.txt", whole, whole, whole, b"/a.txt"):
        client = await raw.node.client()
        client.send(asked % target)
        answers.append((await client.reader.readuntil(b"\r\n"))[9:12])

    assert answers == [b"400", b"200", b"200", b"200", b"400"]


@pytest.mark.parametrize("begun", [b"P", b"PRI * HTTP/2.0\r\n", b"\r\n", b"X"])
async def test_what_came_before_it_counts(raw, begun):
    """Also what may be the beginning of something else."""
    await raw.warm()
    (old,) = raw.node.site.worker._service.connections
    other = Raw(raw.node, await raw.node.client())
    other.client.send(begun)
    (connection,) = raw.node.site.worker._service.connections - {old}
    await until(lambda: connection.received or connection._preface)
    other.client.send(GET)
    status = (await other.client.reader.readuntil(b"\r\n"))[9:12]

    assert (status == b"200") == (begun == b"\r\n")


async def test_each_is_a_line_and_a_number(raw):
    """In their order, with those that were parsed; each with its own identifier."""
    asked = [GET, GET, GET, GET.replace(b"/a", b"/nothing"), GET, GET]
    answers = [await raw.ask(each) for each in asked]
    entries = await raw.node.wait(6)
    tally = raw.node.tally()

    assert [each["id"].encode() for each in entries] == [each[1] for each in answers]
    assert [each["status"] for each in entries] == [200, 200, 200, 404, 200, 200]
    assert {each["bytes_in"] for each in entries} == {len(GET), len(asked[3])}
    assert [each["time"] for each in entries] == sorted(each["time"] for each in entries)
    assert {each["client"] for each in entries} == {"127.0.0.1"}
    assert tally.classes == [0, 0, 5, 0, 1, 0]
    assert tally.bytes_up == sum(map(len, asked))
    assert tally.bytes_down == sum(each["bytes_out"] for each in entries)
    assert sum(tally.latency) == 6


DIFFERENT = {
    "another path": GET.replace(b"/a.txt", b"/b.txt"),
    "a query": GET.replace(b"/a.txt", b"/a.txt?x"),
    "HTTP/1.0": GET.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HEAD": GET.replace(b"GET", b"HEAD"),
    "an option": GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    "a condition": GET.replace(b"\r\n\r\n", b"\r\nIf-None-Match: *\r\n\r\n"),
    "a range": GET.replace(b"\r\n\r\n", b"\r\nRange: bytes=0-2\r\n\r\n"),
    "a length": GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"),
    "no host": GET.replace(b"Host:", b"Hosts:"),
    "another host": GET.replace(b"Host: main", b"Host: test"),
    "a blank": GET.replace(b"GET ", b"GET  "),
    "a bare line feed": GET.replace(b"1.1\r\n", b"1.1\n"),
    "a fragment": GET.replace(b"/a.txt", b"/a.txt#x"),
    "absolute-form": GET.replace(b"/a.txt", f"http://{HOST}/a.txt".encode()),
}


@pytest.mark.parametrize("what", DIFFERENT)
async def test_what_differs_is_looked_at(raw, what):
    """As on a new connection, to the byte; before and after it was asked once."""
    fresh = Raw(raw.node, await raw.node.client())
    fresh.client.send(DIFFERENT[what])
    fresh.client.half_close()
    expected = IDENTIFIER.sub(b"", await fresh.client.reader.read())
    await raw.warm()
    raw.client.send(DIFFERENT[what])
    raw.client.half_close()
    found = IDENTIFIER.sub(b"", await raw.client.reader.read())

    assert fresh_of(found) == fresh_of(expected)


def fresh_of(answer: bytes) -> bytes:
    """Without what a second request of the same finds otherwise, and what half-closing adds."""
    answer = re.sub(rb"(?i)(cache-status: edge); [^\r]*", rb"\1", answer)
    return re.sub(rb"(?i)\r\n(age: 0|connection: close)(?=\r\n)", b"", answer)


@pytest.mark.parametrize("size", [1, 7, len(GET) - 1])
async def test_in_pieces_it_is_parsed(raw, size):
    """The same answer, whole, and the next one too."""
    known = await raw.warm()
    await raw.client.drip(GET, size)
    in_pieces = await raw.ask(b"")
    again = await raw.ask()

    assert in_pieces[0] == again[0] == known[0]
    assert in_pieces[2] == again[2] == known[2]


@pytest.mark.parametrize("cut", [0, 1, 30, len(GET)])
async def test_what_stands_behind_it_is_not_lost(raw, cut):
    """Two at once, or one and the beginning of another."""
    known = await raw.warm()
    raw.client.send(GET + GET[:cut])
    first = await raw.ask(b"")
    second = await raw.ask(GET[cut:])

    assert first[0] == second[0] == known[0]


async def test_the_beginning_of_a_head_is_not_forgotten(raw):
    """What follows it is the rest of that head, however like a head of its own it looks."""
    await raw.warm()
    raw.client.send(b"GET /b.txt HTTP/1.1\r\nX-Other: ")
    await until(lambda: any(each._head_since for each in raw.node.site.worker._service.connections))
    answer = await raw.ask(GET)

    assert answer[2] == b"other"


async def test_after_an_upload_it_is_parsed_again(raw):
    """Content is no head."""
    known = await raw.warm()
    upload = b"POST /a.txt HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n" % (
        HOST.encode(),
        len(GET),
    )
    refused = await raw.ask(upload + GET)
    again = await raw.ask()

    assert refused[0].startswith(b"HTTP/1.1 405 ")
    assert again[0] == known[0]


async def test_a_purge_is_obeyed_at_once(raw):
    """What is no longer stored is not recalled either."""
    await raw.warm()
    cache = raw.node.site.worker._cache
    cache.clear()
    after = await raw.ask()

    assert b"edge; fwd=uri-miss; stored" in after[0]


async def test_another_deployment_answers_at_once(raw):
    """What was remembered of the one before is not recalled."""
    await raw.warm()
    raw.node.site.deploy({**TREE, "a.txt": "second"})
    await raw.node.site.follow()
    found = [(await raw.ask())[2] for _ in range(3)]

    assert found == [b"second"] * 3


async def test_a_password_counts_at_once(raw):
    """A reload that closes the branch closes it for those who asked before."""
    await raw.warm()
    site = raw.node.site
    hashed = "$2b$04$" + "a" * 53
    site.configure(f"access: {{users: {{ann: '{hashed}'}}}}\n")
    site.changes.reload()
    await site.follow()
    answer = await raw.ask()

    assert answer[0].startswith(b"HTTP/1.1 401 ")


async def test_the_last_request_of_a_connection_says_so(raw):
    """The limit counts what is recalled."""
    service = raw.node.site.worker._service
    service.requests_per_connection = 5
    heads = [(await raw.ask())[0] for _ in range(5)]

    assert [b"Connection: close" in each for each in heads] == [False] * 4 + [True]
    assert await raw.client.reader.read() == b""


async def test_a_drain_is_told_by_the_next_answer(raw):
    """A connection that ends recalls nothing."""
    await raw.warm()
    for connection in raw.node.site.worker._service.connections:
        connection.drain()
    answer = await raw.ask()

    assert b"Connection: close" in answer[0]


async def test_a_second_later_it_is_another_second(raw):
    """Date and Age go on."""
    known = await raw.warm()
    clock = raw.node.site.worker._clock
    clock.epoch += 7
    later = await raw.ask()

    assert b"Age: 0" in known[0]
    assert b"Age: 7" in later[0]


async def test_past_its_lifetime_it_is_stale(raw):
    """What is recalled is fresh."""
    await raw.warm()
    raw.node.site.worker._clock.epoch += 601
    later = await raw.ask()

    assert b"edge; fwd=stale; stored" in later[0]


async def test_as_many_lines_as_there_are_clients(raw):
    """Memory has a bound; who comes again is known again."""
    manners = raw.node.site.worker._service.manners
    manners.asking.most = 50 * OBJECTS
    known = await raw.warm()
    for number in range(110):
        await raw.ask(GET.replace(b"gzip\r\n", b"gzip\r\nX-Number: %d\r\n" % number))

    assert 0 < len(manners.asking) <= 50
    assert (await raw.ask())[0] == known[0]


async def test_what_has_not_changed_is_said_to_be_so(raw):
    """Each time with an identifier of its own, as a 304 in the log and the counters."""
    known = await raw.warm()
    etag = re.search(rb"(?i)\r\netag: ([^\r]+)", known[0])[1]
    asked = GET.replace(b"\r\n\r\n", b"\r\nIf-None-Match: %b\r\n\r\n" % etag)
    answers = [await raw.ask(asked) for _ in range(3)]
    changed = await raw.ask(asked.replace(etag, b'"another"'))
    both = await raw.ask(asked.replace(etag, b'"another", %b' % etag))
    entries = await raw.node.wait(8)

    assert raw.parsed == 5  # two of the file, one that asks first, two that ask otherwise
    assert {each[0][:13] for each in (*answers, both)} == {b"HTTP/1.1 304 "}
    assert {each[2] for each in (*answers, both)} == {b""}
    assert len({each[0] for each in answers}) == 1
    assert len({each[1] for each in answers}) == 3
    assert (changed[0], changed[2]) == (known[0], known[2])
    assert [each["status"] for each in entries] == [200] * 3 + [304] * 3 + [200, 304]
    assert raw.node.tally().classes == [0, 0, 4, 4, 0, 0]


def validating(etag: bytes) -> bytes:
    """A browser's question whether what it has is still good."""
    return GET.replace(b"\r\n\r\n", b"\r\nIf-None-Match: %b\r\n\r\n" % etag)


def etag_of(answer: tuple[bytes, bytes, bytes]) -> bytes:
    """The entity-tag of an answer."""
    found = re.search(rb"(?i)\r\netag: ([^\r]+)", answer[0])
    assert found is not None
    return found[1]


async def test_whoever_has_a_file_is_told_so_unparsed(raw):
    """With the head that is said by who looks at it, of its second."""
    asked = validating(etag_of(await raw.warm()))
    known = await raw.warm(asked)
    looked_at = raw.parsed
    again = await raw.ask(asked)
    raw.node.site.pass_time(1)
    later = await raw.ask(asked)

    assert raw.parsed == looked_at
    assert (again[0], again[2]) == (known[0], b"")
    assert later[0] != known[0]
    assert raw.node.site.clock.date in later[0]


@pytest.mark.parametrize("also", ["Range: bytes=0-1", "If-Match: *", "If-None-Match: *"])
async def test_more_than_one_condition_is_looked_at(raw, also):
    """Each time; a date beside the tag says nothing (RFC 9110 §13.1.3)."""
    asked = validating(etag_of(await raw.warm()))
    await raw.warm(asked)
    more = asked.replace(b"\r\n\r\n", b"\r\n%b\r\n\r\n" % also.encode())
    await raw.warm(more)
    looked_at = raw.parsed
    await raw.ask(more)

    assert raw.parsed == looked_at + 1


async def test_what_is_new_is_sent_to_who_has_what_was(raw):
    """A deploy, a purge and the end of its lifetime are seen by the next question."""
    site = raw.node.site
    known = await raw.warm()
    asked = validating(etag_of(known))
    await raw.warm(asked)
    site.worker._cache.clear()
    assert (await raw.ask(asked))[0].startswith(b"HTTP/1.1 304 ")
    await raw.warm(asked)
    site.pass_time(601)
    assert b"edge; fwd=stale; stored" in (await raw.ask(asked))[0]
    await raw.warm(asked)
    await site.redeploy({"a.txt": "another"})

    assert [(await raw.ask(asked))[2] for _ in range(3)] == [b"another"] * 3


async def test_questions_about_many_files_drive_out_nothing_else(raw):
    """Each has another tag; those that ask for files are known as before."""
    manners = raw.node.site.worker._service.manners
    manners.validating.most = 50 * OBJECTS
    await raw.warm()
    for number in range(110):
        await raw.ask(validating(b'"%d"' % number))
    looked_at = raw.parsed
    await raw.ask()

    assert raw.parsed == looked_at
    assert 0 < len(manners.validating) <= 50


async def test_who_becomes_trusted_is_believed_on_open_connections(tmp_path):
    """What was said of them before is not said again."""
    site = Site(tmp_path / "site")
    site.deploy(TREE)
    await site.start()
    get = head_of("/a.txt", "X-Forwarded-For: 192.0.2.7")
    async with entering(site) as node:
        raw = await raw_of(node)
        await raw.warm(get)
        (site.folder / "edge.yml").write_text("clients: {trusted_proxies: [127.0.0.1]}\n")
        site.changes.reload()
        await site.follow()
        site.worker._ledger.write_to(node.log)
        node.log.clients = site.worker._forwarder.clients
        await raw.warm(get)
        entries = await node.wait(6)

    assert [each["client"] for each in entries] == ["127.0.0.1"] * 3 + ["192.0.2.7"] * 3
