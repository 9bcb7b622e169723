"""The tables of HTTP/1.1 on a real node of one worker: every case, in every manner."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re

import pytest

from tests.conformance import (
    http1_framing,
    http1_garden,
    http1_heads,
    http1_hosts,
    http1_probe,
    http1_probe_compliance,
    http1_truncated,
)
from tests.conformance.http1_probe import CHUNKED
from tests.conformance.http1_remembered import REMEMBERED
from tests.support import running, write_tree
from tests.support_cases import (
    ECHO,
    HOST,
    MANNERS,
    Case,
    Reply,
    at_a_file,
    connected,
    get,
    judge,
    judge_steps,
    judge_truncated,
    labelled,
    replies_to,
)
from tests.support_recorder import Recorder, recording

TABLES: dict[str, dict[str, Case]] = {
    "Http11Probe": http1_probe.SMUGGLING
    | http1_probe.SEQUENCES
    | http1_probe_compliance.COMPLIANCE
    | http1_probe_compliance.MALFORMED,
    "HTTP Garden": http1_garden.TROPHIES,
    "request line": http1_heads.REQUEST_LINES,
    "version": http1_heads.VERSIONS,
    "target": http1_heads.TARGETS,
    "field line": http1_heads.FIELD_LINES,
    "persistence": http1_heads.PERSISTENCE,
    "Host": http1_hosts.HOSTS,
    "Content-Length": http1_framing.LENGTHS,
    "Transfer-Encoding": http1_framing.CODINGS,
    "chunk": http1_framing.CHUNKS,
    "trailer": http1_framing.TRAILERS,
    "Expect": http1_framing.EXPECTATIONS,
}
CASES = {
    f"{table}: {name}": case for table, cases in TABLES.items() for name, case in cases.items()
}
CASES |= {
    f"at a file: {name}": at_a_file(case)
    for name, case in CASES.items()
    if case.sent.startswith(b"POST " + ECHO)
}
LABELS = dict(labelled(CASES))
TRUNCATED = {
    f"truncated: {name}": case
    for name, case in labelled(http1_truncated.TRUNCATED, first=len(LABELS))
}
ASKED = http1_probe_compliance.COMPLIANCE
"""Cases of which the answers' fields are looked at, too."""

IMF_FIXDATE = re.compile(rb"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT")
FILES = {
    "index.html": "home",
    "behind.txt": "behind",
    "smuggled.txt": "smuggled",
}
ONE_WORKER = 1
"""So that what a case finds remembered is what the case before it left."""


@contextlib.contextmanager
def serving(folder, origin: int):
    """A node with files, and everything under /o/ at an origin of this machine."""
    rule = {"source": "/o/<*>", "target": f"http://127.0.0.1:{origin}/o/<*>", "status": "200"}
    app = "domains: {a.test: {subdomains: {'': main}}, bücher.test: {subdomains: {'': main}}}\n"
    write_tree(folder / "rules/site", {"app.yml": app, "redirects.json": json.dumps([rule])})
    settings = f'proxy: {{allow: ["127.0.0.1:{origin}"]}}\nlimits: {{body: 1MiB}}\n'
    with running(folder, ONE_WORKER, settings) as node:
        node.deploy(write_tree(folder / "files", FILES))
        yield node


def path_of(case: Case) -> bytes:
    """What the origin would be asked for."""
    return case.sent.partition(b" ")[2].partition(b" ")[0]


class Run:
    """All cases, sent in all manners to one node in front of a recorder."""

    def __init__(
        self,
        recorder: Recorder,
        wrong: dict[str, list[str]],
        replies: dict[str, list[Reply]],
        early: dict[bytes, list[int]],
    ) -> None:
        self.recorder = recorder
        self.wrong = wrong
        self.replies = replies
        self.early = early


EARLY = {
    b"Content-Length: 65536": b"x" * 16384,
    CHUNKED: b"4000\r\n" + b"x" * 16384 + b"\r\n",
}
"""Framings of content, and the part of it that is sent."""


async def ask_early(port: int, lines: bytes) -> list[int]:
    """The statuses of a request that is answered before its content is there, and of another."""
    head = b"POST /o/early HTTP/1.1\r\n" + HOST + lines + b"\r\n\r\n"
    statuses = []
    for sent in (head + EARLY[lines], get(target=b"/o/after")):
        async with connected(port) as wire:
            await wire.send(sent)
            await wire.read(1)
            statuses += [reply.status for reply in wire.finals()]
    return statuses


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Once for the module."""
    return asyncio.run(everything(tmp_path_factory.mktemp("node")))


async def everything(folder) -> Run:
    """Start, send, look."""
    async with recording() as recorder:
        starting = contextlib.ExitStack()
        node = await asyncio.to_thread(starting.enter_context, serving(folder, recorder.port))
        try:
            wrong = await judge(node.port, LABELS.items())
            wrong |= await judge_truncated(node.port, TRUNCATED.items())
            early = {lines: await ask_early(node.port, lines) for lines in EARLY}
            for name, steps in REMEMBERED.items():
                wrong[name] = [await judge_steps(node.port, steps) for _ in range(2)]
            replies = {name: await replies_to(node.port, case) for name, case in ASKED.items()}
        finally:
            await asyncio.to_thread(starting.close)
    return Run(recorder, wrong, replies, early)


@pytest.mark.parametrize("name", CASES)
def test_a_case_has_its_answers_however_it_is_sent(run, name):
    """The answers, their number and the end of the connection are what the RFC says."""
    assert run.wrong[name] == []


FORWARDED = [name for name, case in CASES.items() if ECHO in case.sent.partition(b"\r\n")[0]]


@pytest.mark.parametrize("name", ASKED)
def test_an_answer_has_the_fields_that_its_status_asks_for(run, name):
    """Date, Allow, Content-Type; no length in 204, nothing interim in HTTP/1.0."""
    *interim, reply = run.replies[name]
    assert not interim or b" HTTP/1.0" not in ASKED[name].sent
    assert IMF_FIXDATE.fullmatch(reply.fields[b"date"])
    assert (b"allow" in reply.fields) == (reply.status in {204, 405})
    assert (b"content-length" in reply.fields) == (reply.status != 204)
    assert b"content-type" in reply.fields or not reply.content


@pytest.mark.parametrize("name", REMEMBERED)
def test_what_is_known_by_heart_is_framed_as_it_says(run, name):
    """Every line was seen before, and not together; twice, on connections of the same worker."""
    assert run.wrong[name] == ["", ""]


@pytest.mark.parametrize("name", TRUNCATED)
def test_half_a_request_is_no_request(run, name):
    """It is answered as such or not at all, and no origin sees it end."""
    case = TRUNCATED[name]
    assert run.wrong[name] == []
    assert not [record for record in run.recorder.of(path_of(case)) if record.is_whole]


ALIASES = {b"transfer_encoding", b"content_length"}
"""What some read as the fields that frame a message."""

HOP_BY_HOP = {b"expect", b"te", b"proxy-connection", b"keep-alive"}


@pytest.mark.parametrize("name", FORWARDED)
def test_an_origin_gets_each_request_once_and_nothing_of_what_is_refused(run, name):
    """Its content as the framing says, framed anew; half of one at most where content is broken."""
    case = LABELS[name]
    records = run.recorder.of(path_of(case))
    whole = [record.content for record in records if record.is_whole]
    times = len(MANNERS) + (not case.closes) if case.content is not None else 0
    assert whole == [case.content] * times
    assert len(records) == times or case.is_begun
    names = {field.replace(b"_", b"-") for record in records for field in record.fields}
    assert not names & HOP_BY_HOP


def test_an_origin_gets_canonical_requests_alone(run):
    """No line, length or chunk that could be read in two ways, and no request but those."""
    records = run.recorder.records
    assert run.recorder.anomalies == []
    known = {ECHO, b"/o/after", *(path_of(LABELS[name]) for name in FORWARDED)}
    assert {record.target for record in records if record.is_whole} <= known
    trailers = [line.lower() for record in records for line in record.trailers]
    assert not [line for line in trailers if line.startswith((b"authorization", b"host"))]
    assert not [record.head for record in records if ALIASES & set(record.fields)]


@pytest.mark.parametrize("number", range(len(EARLY)))
def test_an_origins_connection_is_not_used_again_after_an_early_answer(run, number):
    """It still waits for content that nobody sends: the next request would be read as that."""
    early, later = run.recorder.of(b"/o/early")[number], run.recorder.of(b"/o/after")[number]
    assert list(run.early.values())[number] == [403, 200]
    assert early.connection != later.connection
    assert b"HTTP/1.1" not in early.rest
