"""
What is fuzzed: a target takes any bytes and fails where the node would.

A target raises nothing for what it refuses as it should. Whatever else comes out of it, a foreign
exception or a broken promise, is a finding: its bytes go into `tests/corpus/TARGET/`, where
`tests/properties/test_corpus.py` keeps them, and `bench/fuzz.py` looks for more.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import h11

from edge.control.amplify import read_amplify
from edge.control.netlify import read_netlify
from edge.control.records import Records
from edge.errors import EdgeError, OriginError, RequestError, StoreError
from edge.http import conditional, fields, freshness, tags
from edge.http.caching import Policy, response_directives
from edge.http.fields import FieldList
from edge.http.forwarding import Gateway, Passage, request_fields, response_fields
from edge.http.heads import Head
from edge.http.http1 import END, Http1, Limits
from edge.http.http1_client import End, Http1Client
from edge.http.message import Request, finish_head
from edge.http.target import decode_path, encode_path
from edge.http.targeted import targeted_directives
from edge.node.hello import Hello, NotTls, read_hello
from edge.site import logreading
from edge.site.documents import decode_app, decode_settings
from edge.site.expressions import Budget, PatternTooSlow
from edge.site.globs import compile_glob
from edge.site.headers import HeaderPlan, decode_headers
from edge.site.plan import Redirect, compile_plan
from edge.site.redirects import decode_redirects
from edge.site.subject import Subject
from tests.support_fuzz_archives import fuzz_tar, fuzz_zip
from tests.support_fuzz_wire import fuzz_http2, fuzz_wire

Target = Callable[[bytes], None]
BREAKS = set(b"\r\n\0")
LENGTH = 1000
"""Bytes of the representation that ranges are of."""


# Documents


def fuzz_documents(data: bytes) -> None:
    """Every file that operators and deployers write: a document, or mistakes that say where."""
    text = data.decode(errors="surrogateescape")
    for decode, file in ((decode_settings, "edge.yml"), (decode_app, "app.yml")):
        document, errors = decode(text, file)
        check_mistakes(document, errors)
    for file in ("redirects.json", "redirects.yml"):
        rules, errors, _ = decode_redirects(text, file)
        check_mistakes(rules, errors)
        if rules:
            compile_plan(rules)
    custom, errors = decode_headers(text, "customHttp.yml")
    check_mistakes(custom, errors)
    for entries in () if custom is None else (custom.entries_for(None) or (),):
        plan = HeaderPlan(entries)
        for line in plan.merge(range(len(entries))):
            assert not BREAKS & set(line[0] + line[1]), line


def check_mistakes(document: object, errors: list) -> None:
    """There is a document exactly where there is no mistake, and each mistake has a place."""
    assert (document is None) == bool(errors)
    assert all(error.line >= 1 and error.column >= 1 and error.message for error in errors)


def fuzz_imports(data: bytes) -> None:
    """What other hosts export: an app folder that can be read, or a refusal."""
    name, _, rest = data.partition(b"\n")
    names = {b"_redirects", b"_headers", b"netlify.toml", b"app.json"}
    file = name if name in names else b"_redirects"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / file.decode()).write_bytes(rest)
        try:
            read = read_amplify if file == b"app.json" else read_netlify
            found = read(Path(folder))
        except StoreError:
            return
    check_import(found.files)


def check_import(files: dict[str, str]) -> None:
    """What was written can be read by the node."""
    for file, text in files.items():
        if file == "redirects.json":
            assert decode_redirects(text, file)[1] == []
        elif file == "customHttp.yml":
            assert decode_headers(text, file)[1] == []
        elif file == "app.yml":
            assert decode_app(text, file)[1] == []


# Rules


def fuzz_patterns(data: bytes) -> None:
    """Source, target and request target, a line each: a decision that fits on the wire."""
    source, target, asked = [*data.split(b"\n", 2), b"", b""][:3]
    document = [{"source": text_of(source), "target": text_of(target), "status": "302"}]
    rules, _, _ = decode_redirects(json.dumps(document), "redirects.json")
    if rules is None:
        return
    plan = compile_plan(rules)
    path, _, query = asked.partition(b"?")
    try:
        budget = Budget(time.thread_time)
        subject = Subject(decode_path(path), path, query or None, "a.test", "US", budget)
        decision = plan.decide(subject)
    except (RequestError, PatternTooSlow):
        return
    if isinstance(decision, Redirect):
        check_location(decision.location, text_of(target).strip())


def text_of(data: bytes) -> str:
    """As a file of UTF-8 could have it."""
    return data.decode(errors="replace")


def check_location(location: bytes, target: str) -> None:
    """One field value; of a target without an authority, one that leads to no other host."""
    assert fields.is_field_value(location), location
    if not target.lower().startswith(("http://", "https://")):
        assert location[:1] == b"/", location
        assert location[1:2] not in {b"/", b"\\"}, location
        assert not urlsplit(location.decode("latin-1")).netloc, location


def fuzz_globs(data: bytes) -> None:
    """A glob and a path, a line each."""
    pattern, _, path = data.decode(errors="replace").partition("\n")
    try:
        globs = compile_glob(pattern)
    except ValueError as refusal:
        assert len(refusal.args) == 2, "a problem and a remedy"  # noqa: PT017 (not of codecs)
        return
    for glob in globs:
        glob.matches("/" + path)


def fuzz_paths(data: bytes) -> None:
    """A decoded path is canonical, and encoding gives it back."""
    try:
        path = decode_path(data)
    except RequestError:
        return
    assert path[0] == "/"
    assert not {".", ".."} & set(path.split("/"))
    assert not any(ord(each) < 0x20 or each == "\\" for each in path)
    assert decode_path(encode_path(path)) == path


# Field values

NAMES = [
    b"range", b"if-range", b"if-match", b"if-none-match", b"if-modified-since",
    b"if-unmodified-since", b"accept-encoding", b"cache-control", b"cdn-cache-control", b"vary",
    b"age", b"date", b"expires", b"etag", b"last-modified", b"cache-tag", b"surrogate-key",
]  # fmt: skip


def fuzz_fields(data: bytes) -> None:
    """Field lines, the first byte of each line its name: what is computed keeps its bounds."""
    lines = [
        (NAMES[line[0] % len(NAMES)], line[1:].strip(b" \t"))
        for line in data.split(b"\n")
        if line and fields.is_field_value(line[1:].strip(b" \t"))
    ]
    found = FieldList(lines)
    etag = found.get(b"etag") or b'"x"'
    for method in (b"GET", b"PUT"):
        conditional.evaluate(method, found, etag, 1_700_000_000)
    check_ranges(conditional.select_ranges(found, etag, 1_700_000_000, LENGTH) or [])
    assert set(fields.acceptable_codings(found.get(b"accept-encoding"))) <= CODINGS
    directives = response_directives(found, (b"cdn-cache-control",))
    targeted_directives(found, (b"cdn-cache-control",))
    tags.tags_of(lines)
    stored = freshness.describe(
        200, found, directives, freshness.arrival_of(found, 1.7e9, 1.7e9), Policy()
    )
    assert freshness.current_age(stored, 1.7e9) >= 0


CODINGS = {b"br", b"zstd", b"gzip", b"identity"}


def check_ranges(spans: list[tuple[int, int]]) -> None:
    """Apart, within the representation, and no more than may be asked for."""
    assert len(spans) <= 16
    assert all(0 <= start < stop <= LENGTH for start, stop in spans)
    ordered = sorted(spans)
    assert all(one[1] < two[0] for one, two in pairwise(ordered))


# Messages between us and origins

GATEWAY = Gateway(b"fuzz")
PLAIN_PATH = re.compile(rb"/[!-~]*")


def fuzz_forward(data: bytes) -> None:
    """A request that we understood is passed on as one request, which h11 reads as the same."""
    wire = Http1(Limits())
    try:
        request = wire.receive(data)
    except RequestError:
        return
    if not isinstance(request, Request) or PLAIN_PATH.fullmatch(request.target) is None:
        return  # h11 takes no other; ours are passed on as they arrived
    passage = Passage(host=b"o.test", scheme=b"http", authority=b"a.test")
    client = Http1Client()
    try:
        lines = request_fields(request, passage, GATEWAY)
        sent = client.request(request.method, request.target, lines, ends=request.ends)
    except (RequestError, OriginError):
        return
    check_forwarded(request, sent)


def check_forwarded(request: Request, sent: bytes) -> None:
    """One head, ours to the byte."""
    assert sent.count(b"\r\n\r\n") == 1
    assert sent.endswith(b"\r\n\r\n")
    assert sent.count(b"\n") == sent.count(b"\r\n") == sent.count(b"\r")
    assert b"\0" not in sent
    origin = h11.Connection(h11.SERVER)
    origin.receive_data(sent)
    read = origin.next_event()
    assert isinstance(read, h11.Request)
    assert (read.method, read.target) == (request.method, request.target)
    has_no_content = isinstance(origin.next_event(), h11.EndOfMessage)
    assert has_no_content == request.ends or (b"content-length", b"0") in read.headers


def fuzz_origin(data: bytes) -> None:
    """What an origin answers, cut at the first byte's size: events, or the origin's error."""
    size = data[0] + 1 if data else 1
    client = Http1Client()
    client.request(b"GET", b"/", [(b"host", b"o.test")], ends=True)
    events = []
    try:
        for start in range(1, len(data), size):
            events += client.receive(data[start : start + size])
        for event in events:
            if isinstance(event, Head):
                check_head(event)
    except OriginError:
        return
    assert sum(isinstance(event, End) for event in events) <= 1


def check_head(head: Head) -> None:
    """What is passed on to the client is one head."""
    lines = response_fields(head.status, head.version, head.fields)
    made = finish_head(head.status, lines).lines
    assert made.count(b"\n") == made.count(b"\r\n") == len(lines) + 1
    assert b"\0" not in made


def fuzz_http1(data: bytes) -> None:
    """The parser alone, cut at the first byte's size: the same requests as of the whole."""
    size = data[0] + 1 if data else 1
    cut = [data[start : start + size] for start in range(1, len(data), size)]
    assert read_requests([data[1:]]) == read_requests(cut)


def read_requests(pieces: list[bytes]) -> list[tuple[bytes, ...]]:
    """
    What was asked, as far as the bytes can be framed, and the status of what cannot.

    Behind content the status depends on the cut: the bytes are not kept that would tell 505.
    """
    wire, found, ended, content = Http1(Limits()), [], True, False
    try:
        for piece in pieces:
            event = wire.receive(piece) if piece else None
            while event is not None:
                if isinstance(event, Request):
                    found.append((event.method, event.target, event.authority))
                    ended = event.ends
                    content = content or not ended
                elif event is END:
                    ended = True
                if ended and wire.should_close():
                    return found  # what follows is never read
                if ended:
                    wire.start_next()
                event = wire.next()
    except RequestError as error:
        found.append((b"refused", b"" if content else b"%d" % error.status))
    return found


# The rest


def fuzz_hello(data: bytes) -> None:
    """The first bytes of a TLS connection."""
    try:
        found = read_hello(data)
    except NotTls:
        return
    assert isinstance(found, Hello) or found > len(data)


def fuzz_logs(data: bytes) -> None:
    """A log of any format, read for `edge logs`, `edge replay`; what comes out is written again."""
    for line in data.split(b"\n"):
        for read in logreading.READERS.values():
            try:
                entry = read(line)
            except ValueError:
                continue
            if entry is not None:
                assert b"\n" not in logreading.as_line(entry)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        try:
            for record in Records(Path(file.name)):
                assert record.line >= 1
        except EdgeError:
            return


TARGETS: dict[str, Target] = {
    "documents": fuzz_documents,
    "fields": fuzz_fields,
    "forward": fuzz_forward,
    "globs": fuzz_globs,
    "hello": fuzz_hello,
    "http1": fuzz_http1,
    "http2": fuzz_http2,
    "imports": fuzz_imports,
    "logs": fuzz_logs,
    "origin": fuzz_origin,
    "paths": fuzz_paths,
    "patterns": fuzz_patterns,
    "tar": fuzz_tar,
    "wire": fuzz_wire,
    "zip": fuzz_zip,
}
