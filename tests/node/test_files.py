"""A file as a response: codings, conditions, ranges, ages, performance mode, damage."""

from __future__ import annotations

import asyncio
import email
import gzip
import os
import random
import re
import string

import brotli
import pytest
import zstandard

from edge.http.fields import format_http_date, parse_http_date
from edge.node.blobs import Blobs
from tests.support_serving import Answer, Site

WORDS = " ".join("".join(random.Random(n).choices("abcdef", k=5)) for n in range(2000))
NOISE = random.Random(3).randbytes(5000)
LARGE = random.Random(4).randbytes(100_000)
LARGE_TEXT = "".join(random.Random(5).choices(string.ascii_letters, k=150_000))
TREE = {
    "index.html": WORDS,
    "noise.bin": NOISE,
    "empty.txt": "",
    "large.bin": LARGE,
    "large.txt": LARGE_TEXT,
    "404.html": "lost " * 100,
}
SMALL_MAXIMUM = "cache: {max_object: 64KiB}"

DECODERS = {
    None: lambda content: content,
    "br": brotli.decompress,
    "gzip": gzip.decompress,
    "zstd": lambda content: zstandard.ZstdDecompressor().decompressobj().decompress(content),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """`TREE`, deployed once; tests work on copies."""
    site = Site(tmp_path_factory.mktemp("files"), edge_yml=SMALL_MAXIMUM)
    site.deploy(TREE)
    return site


@pytest.fixture
async def site(built, tmp_path):
    """A worker that serves `TREE`, streaming what is larger than 64 KiB."""
    return await built.copy_to(tmp_path).start()


def decode(answer: Answer) -> bytes:
    """The file of an answer."""
    return DECODERS[answer.fields.get("content-encoding")](answer.content)


# Heads

CACHE_STATUS = re.compile(
    r"edge; (?:hit; ttl=[0-9]+|fwd=(?:uri-miss|stale)(?:; stored)?|fwd=bypass; detail=max-object)"
)


@pytest.mark.parametrize("path", ["index.html", "noise.bin", "empty.txt", "large.bin", "large.txt"])
async def test_a_file_is_whole_and_its_head_is_right(site, path):
    """Every field that the contract promises is there, and Content-Length counts the content."""
    for verdict in ("fwd", "hit"):
        answer = await site.ask("/" + path)
        expected = TREE[path] if isinstance(TREE[path], bytes) else TREE[path].encode()
        assert (answer.status, answer.content) == (200, expected)
        fields = answer.fields
        assert int(fields["content-length"]) == len(expected)
        assert fields["cache-control"] == "public, max-age=0, s-maxage=600"
        assert re.fullmatch(r'"[0-9a-f]{32}"', fields["etag"])
        assert fields["accept-ranges"] == "bytes"
        assert fields["server"] == "edge"
        assert CACHE_STATUS.fullmatch(fields["cache-status"])
        assert answer.streamed == path.startswith("large")
        if not answer.streamed:
            assert verdict in fields["cache-status"]
            assert ("age" in fields) == (verdict == "hit")
        written, said = (parse_http_date(fields[n].encode()) for n in ("last-modified", "date"))
        assert written is not None
        assert said is not None
        assert written <= said


async def test_large_files_never_enter_the_cache(site):
    """A file over `max_object` is streamed each time, says so, and takes no memory."""
    for _ in range(2):
        answer = await site.ask("/large.bin")
        assert answer.fields["cache-status"] == "edge; fwd=bypass; detail=max-object"
        assert "age" not in answer.fields
    assert site.worker.status()["cache"]["bytes"] == 0


async def test_many_who_ask_for_a_cold_file_have_one_copy(site, monkeypatch):
    """The first one stores it, which the others then hit; memory holds it once."""
    monkeypatch.setattr(Blobs, "read_now", lambda *_: None)  # as where the page cache has it not
    answers = await asyncio.gather(*(site.ask("/noise.bin") for _ in range(20)))
    verdicts = [each.fields["cache-status"].partition(";")[2][:4] for each in answers]

    assert {each.content for each in answers} == {NOISE}
    assert sorted(verdicts) == [" fwd"] + [" hit"] * 19
    assert len(site.worker._cache) == 1


# Codings

ACCEPTED = [
    (None, None),
    ("", None),
    ("br", "br"),
    ("gzip, deflate, br, zstd", "br"),
    ("gzip", "gzip"),
    ("zstd", "zstd"),
    ("gzip;q=1, br;q=0.5", "gzip"),
    ("br;q=0.1, zstd;q=0.2, gzip;q=0.15", "zstd"),
    ("br;q=0, gzip;q=0, zstd;q=0", None),
    ("*", "br"),
    ("*;q=0.5, br;q=0", "zstd"),
    ("identity", None),
    ("identity;q=1, br;q=0.5", None),
    ("identity;q=0", None),
    ("identity;q=0, gzip", "gzip"),
    ("*;q=0", None),
    ("deflate, compress", None),
    ("BR", "br"),
    ("x-gzip", "gzip"),
    ("br;q=nonsense", None),
    (", ,", None),
    ("gzip" + ", x" * 200, "gzip"),
]


@pytest.mark.parametrize(("accepted", "coding"), ACCEPTED)
async def test_the_coding_is_the_one_the_client_likes_best(site, accepted, coding):
    """The best coding by weight is sent, with Vary; decoded it is the file."""
    fields = {} if accepted is None else {"accept_encoding": accepted}
    for _ in range(2):
        answer = await site.ask("/", **fields)
        assert answer.fields.get("content-encoding") == coding
        assert answer.fields["vary"] == "Accept-Encoding"
        assert int(answer.fields["content-length"]) == len(answer.content)
        assert decode(answer) == WORDS.encode()


async def test_other_bytes_of_the_same_size_have_another_etag(tmp_path):
    """Whatever the time of their deployment: what was asked about is not what is there now."""
    site = Site(tmp_path)
    site.deploy({"a.bin": "aaaa"})
    await site.start()
    before = (await site.ask("/a.bin")).fields
    site.deploy({"a.bin": "bbbb"})
    await site.follow()
    asked = {"if_none_match": before["etag"], "if_modified_since": before["last-modified"]}
    after = await site.ask("/a.bin", **asked)

    assert (after.status, after.content) == (200, b"bbbb")
    assert after.fields["etag"] != before["etag"]


async def test_every_variant_has_an_etag_of_its_own(site):
    """The strong ETag tells codings apart, and is the same at every request."""
    tags = [
        (await site.ask("/", accept_encoding=coding)).fields["etag"]
        for coding in ("identity", "br", "gzip", "zstd") * 2
    ]
    assert len(set(tags)) == 4
    assert tags[:4] == tags[4:]


async def test_a_file_without_codings_does_not_vary(site):
    """What has one variant says nothing of Accept-Encoding."""
    answer = await site.ask("/noise.bin", accept_encoding="br")
    assert answer.content == NOISE
    assert not {"vary", "content-encoding"} & set(answer.fields)


async def test_a_large_file_is_streamed_in_its_coding(site):
    """Codings of files over `max_object` are streamed too."""
    answer = await site.ask("/large.txt", accept_encoding="zstd")
    assert answer.streamed
    assert decode(answer) == LARGE_TEXT.encode()
    assert int(answer.fields["content-length"]) == len(answer.content) < len(LARGE_TEXT)


async def test_preferences_are_remembered_within_a_bound(site, monkeypatch):
    """Odd values of Accept-Encoding fill no memory, and keep no browser's from being remembered."""
    monkeypatch.setattr("edge.node.files.PREFERENCES", 10)
    for number in range(100):
        await site.ask("/", accept_encoding=f"br;q=0.{number}, x{number}")
        await site.ask("/", accept_encoding=f"br, {'x' * 200}{number}")
    await site.ask("/", accept_encoding="br, gzip")
    preferences = site.worker._files._preferences
    assert len(preferences) <= 10
    assert b"br, gzip" in preferences


# Conditions


async def validators(site: Site, path: str = "/", **fields: str) -> tuple[str, str]:
    """ETag and Last-Modified of a file."""
    found = (await site.ask(path, **fields)).fields
    return found["etag"], found["last-modified"]


def shifted(date: str, seconds: int) -> str:
    """A date some seconds later."""
    return format_http_date(parse_http_date(date.encode()) + seconds).decode()


CONDITIONS = [
    ({"if_none_match": "{etag}"}, 304),
    ({"if_none_match": "W/{etag}"}, 304),
    ({"if_none_match": '"x", {etag}'}, 304),
    ({"if_none_match": "*"}, 304),
    ({"if_none_match": '"x"'}, 200),
    ({"if_none_match": '"x"', "if_modified_since": "{date}"}, 200),
    ({"if_modified_since": "{date}"}, 304),
    ({"if_modified_since": "{after}"}, 304),
    ({"if_modified_since": "{before}"}, 200),
    ({"if_modified_since": "yesterday"}, 200),
    ({"if_match": "{etag}"}, 200),
    ({"if_match": "*"}, 200),
    ({"if_match": '"x"'}, 412),
    ({"if_match": "W/{etag}"}, 412),
    ({"if_match": "{etag}", "if_none_match": "{etag}"}, 304),
    ({"if_match": '"x"', "if_none_match": "{etag}"}, 412),
    ({"if_unmodified_since": "{date}"}, 200),
    ({"if_unmodified_since": "{before}"}, 412),
    ({"if_unmodified_since": "{before}", "if_match": "{etag}"}, 200),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/large.bin"], ids=["stored", "streamed"])
@pytest.mark.parametrize(
    ("conditions", "status"), CONDITIONS, ids=[" ".join(c[0].values()) for c in CONDITIONS]
)
async def test_conditions_decide_the_status(site, path, method, conditions, status):
    """Preconditions are evaluated as RFC 9110 §13.2.2 says, for stored and streamed files alike."""
    etag, date = await validators(site, path)
    names = {"etag": etag, "date": date, "before": shifted(date, -1), "after": shifted(date, 9)}
    fields = {name: value.format(**names) for name, value in conditions.items()}
    for _ in range(2):
        answer = await site.ask(path, method=method, **fields)
        assert answer.status == status
        if method == "HEAD" or status == 304:
            assert answer.content == b""


async def test_304_has_the_fields_of_200_and_no_length(site):
    """What a cache updates is there (RFC 9110 §15.4.5); what describes content is not."""
    for coding in ("identity", "br"):
        whole = (await site.ask("/", accept_encoding=coding)).fields
        whole = (await site.ask("/", accept_encoding=coding)).fields
        answer = await site.ask("/", accept_encoding=coding, if_none_match=whole["etag"])
        assert answer.status == 304
        same = ("etag", "vary", "cache-control", "date", "age", "cache-status", "x-edge-deployment")
        assert {name: answer.fields[name] for name in same} == {name: whole[name] for name in same}
        assert not {"content-length", "content-type", "content-encoding"} & set(answer.fields)


async def test_a_condition_on_a_miss_stores_the_file(site):
    """A first request with a condition fills the cache for the next one."""
    sibling = await site.sibling()
    etag, _ = await validators(site)
    assert (await sibling.ask("/", if_none_match=etag)).status == 304
    assert "hit" in (await sibling.ask("/")).fields["cache-status"]


async def test_conditions_on_another_variant_do_not_match(site):
    """A tag of the br variant says nothing about the gzip variant."""
    etag, _ = await validators(site, accept_encoding="br")
    assert (await site.ask("/", accept_encoding="gzip", if_none_match=etag)).status == 200


async def test_a_404_page_ignores_conditions_and_ranges(site):
    """Conditions are about the file that is not there: the page comes whole, with 404."""
    answer = await site.ask("/lost")
    for fields in (
        {"if_none_match": answer.fields["etag"]},
        {"if_none_match": "*"},
        {"if_match": '"x"'},
        {"if_modified_since": answer.fields["date"]},
        {"range": "bytes=0-3"},
    ):
        again = await site.ask("/lost", **fields)
        assert (again.status, again.content) == (404, TREE["404.html"].encode())


# Ranges

SINGLE = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-99", 0, 100),
    ("bytes=100-", 100, None),
    ("bytes=-7", -7, None),
    ("bytes=-999999999", 0, None),
    ("bytes=10-999999999999999999999999", 10, None),
    ("BYTES=1-2", 1, 3),
    ("bytes= 1-2 , 3-4", 1, 5),
    ("bytes=0-,", 0, None),
]


@pytest.mark.parametrize("coding", ["identity", "br", "gzip", "zstd"])
@pytest.mark.parametrize("path", ["/", "/large.txt"], ids=["stored", "streamed"])
@pytest.mark.parametrize("case", SINGLE, ids=[case[0] for case in SINGLE])
async def test_a_range_is_exactly_its_bytes(site, path, coding, case):
    """206 has the bytes asked for of the variant, with Content-Range and the fields of 200."""
    value, start, stop = case
    whole = await site.ask(path, accept_encoding=coding)
    answer = await site.ask(path, accept_encoding=coding, range=value)
    expected = whole.content[start:stop]
    first = start if start >= 0 else len(whole.content) + start
    assert (answer.status, answer.content) == (206, expected)
    assert int(answer.fields["content-length"]) == len(expected)
    last = first + len(expected) - 1
    assert answer.fields["content-range"] == f"bytes {first}-{last}/{len(whole.content)}"
    same = set(whole.fields) - {"content-length", "age", "cache-status"}
    assert {name: answer.fields[name] for name in same} == {
        name: whole.fields[name] for name in same
    }


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("path", ["/", "/large.txt"], ids=["stored", "streamed"])
async def test_several_ranges_come_in_parts(site, path, coding):
    """A multipart answer frames each part with its own range; Content-Length counts it all."""
    whole = await site.ask(path, accept_encoding=coding)
    size = len(whole.content)
    answer = await site.ask(path, accept_encoding=coding, range="bytes=0-9, 20-29, -5")
    assert answer.status == 206
    assert int(answer.fields["content-length"]) == len(answer.content)
    assert "content-range" not in answer.fields
    kind = answer.fields["content-type"]
    boundary = re.fullmatch(r"multipart/byteranges; boundary=([0-9a-f]{24})", kind)[1].encode()
    *parts, last = answer.content.split(b"--" + boundary)[1:]
    assert last == b"--\r\n"
    spans = [(0, 10), (20, 30), (size - 5, size)]
    for part, (start, stop) in zip(parts, spans, strict=True):
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = email.message_from_bytes(head)
        assert fields["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert fields["Content-Type"] == whole.fields["content-type"]
        assert content == whole.content[start:stop] + b"\r\n"


IGNORED = [
    "bytes=5-2", "bytes=", "bytes=a-b", "bytes=--5", "bytes=1", "items=0-1", "bytes 0-1",
    "bytes=0-1;2-3", "bytes=+1-2", "bytes=1_0-20", "bytes=" + "0-1," * 16 + "0-1",
    "bytes=0-,0-,0-",
]  # fmt: skip


@pytest.mark.parametrize("value", IGNORED)
async def test_a_range_that_is_none_is_ignored(site, value):
    """Malformed, foreign, excessive and overlapping ranges get the whole file."""
    answer = await site.ask("/noise.bin", range=value)
    assert (answer.status, answer.content) == (200, NOISE)


async def test_sixteen_ranges_are_served_and_seventeen_are_not(site):
    """The most parts of an answer are sixteen."""
    for count, status in ((16, 206), (17, 200)):
        value = "bytes=" + ",".join(f"{n * 10}-{n * 10 + 1}" for n in range(count))
        assert (await site.ask("/noise.bin", range=value)).status == status


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/noise.bin", "bytes=5000-"),
        ("/noise.bin", "bytes=5000-6000, 7000-"),
        ("/noise.bin", "bytes=-0"),
        ("/empty.txt", "bytes=0-0"),
        ("/large.bin", "bytes=100000-"),
    ],
)
async def test_a_range_behind_the_end_cannot_be_satisfied(site, path, value):
    """416 says how long the file is; its page has the length that it says."""
    answer = await site.ask(path, range=value)
    size = len(TREE[path[1:]])
    assert answer.status == 416
    assert answer.fields["content-range"] == f"bytes */{size}"
    assert int(answer.fields["content-length"]) == len(answer.content) > 0
    head = await site.ask(path, range=value, method="HEAD")
    assert (head.status, head.content) == (200, b""), "Range means something to GET alone"


IF_RANGE = [
    ("{etag}", 206),
    ("{date}", 206),
    ("W/{etag}", 200),
    ('"x"', 200),
    ("{before}", 200),
    ("{after}", 200),
    ("nonsense", 200),
]


@pytest.mark.parametrize("path", ["/noise.bin", "/large.bin"], ids=["stored", "streamed"])
@pytest.mark.parametrize(("value", "status"), IF_RANGE)
async def test_if_range_takes_the_part_only_of_the_same_file(site, path, value, status):
    """A part is sent only if the validator is exactly the file's, else the whole."""
    etag, date = await validators(site, path)
    names = {"etag": etag, "date": date, "before": shifted(date, -1), "after": shifted(date, 1)}
    answer = await site.ask(path, range="bytes=0-9", if_range=value.format(**names))
    assert answer.status == status
    assert len(answer.content) == (10 if status == 206 else len(TREE[path[1:]]))


async def test_conditions_come_before_ranges(site):
    """304 and 412 win over 206 (RFC 9110 §13.2.2)."""
    etag, _ = await validators(site)
    assert (await site.ask("/", range="bytes=0-9", if_none_match=etag)).status == 304
    assert (await site.ask("/", range="bytes=0-9", if_match='"x"')).status == 412


# Damage


@pytest.mark.parametrize("damage", ["missing", "short"])
@pytest.mark.parametrize("path", ["noise.bin", "large.bin"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_damage_is_503_before_a_byte_is_sent(site, caplog, damage, path, method):
    """A blob that is gone or too short fails its own requests, streamed ones included."""
    for blob in site.places.blobs.rglob("*"):
        if blob.is_file() and blob.read_bytes() == TREE[path]:
            blob.unlink() if damage == "missing" else os.truncate(blob, 10)
    answer = await site.ask("/" + path, method=method)
    assert answer.status == 503
    assert bool(answer.content) == (method == "GET")
    assert "StoreError" in caplog.text
    assert (await site.ask("/")).status == 200
    assert site.worker._cache.size == sum(stored.cost for stored in site.worker._cache._queue)
