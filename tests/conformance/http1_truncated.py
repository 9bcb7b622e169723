"""
Requests whose sender ends before they do (RFC 9112 §8): never answered as if they were whole.

Half a head gets no answer, half a content 400 where the node reads it; an origin gets no end of it.
"""

from __future__ import annotations

from tests.conformance.http1_probe import CHUNKED
from tests.support_cases import HOST, Case, chunked, get, post

HEAD = "9112 §8: an incomplete request may be closed without an answer"
CONTENT = "9112 §8: shorter than its length, or without its last chunk"


def head(sent: bytes) -> Case:
    """Half a head."""
    return Case(sent, (), HEAD, closes=True)


def content(sent: bytes, status: int = 400) -> Case:
    """A head whose content breaks off."""
    return Case(sent, (status,), CONTENT, closes=True, is_begun=True)


TRUNCATED = {
    "MAL-EMPTY-REQUEST": head(b""),
    "MAL-INCOMPLETE-REQUEST": head(get(b"X-Test: value")[:-4]),
    "RFC9112-2.3-HTTP09-REQUEST": head(b"GET /\r\n"),
    "COMP-POST-CL-UNDERSEND": content(post(b"Content-Length: 10", content=b"hello")),
    "COMP-CHUNKED-NO-FINAL": content(chunked(b"5\r\nhello\r\n")),
    "a method": head(b"GET"),
    "a request line": head(b"GET / HTTP/1.1\r\n"),
    "all but the last LF": head(get()[:-1]),
    "all but the empty line": head(get()[:-2]),
    "bare CR for the empty line": head(b"GET / HTTP/1.1\r\n" + HOST + b"\r\r\n"),
    "half a preface": head(b"PRI * HTTP/2.0\r\n\r\nSM"),
    "an empty line": head(b"\r\n"),
    "a good one and a half": Case(get() + b"GET /x", (200,), HEAD, closes=True),
    "no content": content(post(b"Content-Length: 5")),
    "one byte short": content(post(b"Content-Length: 6", content=b"hello")),
    "no chunk": content(post(CHUNKED)),
    "half a size": content(chunked(b"5")),
    "half a line": content(chunked(b"5\r")),
    "no data": content(chunked(b"5\r\n")),
    "half the data": content(chunked(b"5\r\nhe")),
    "no CRLF": content(chunked(b"5\r\nhello")),
    "half a CRLF": content(chunked(b"5\r\nhello\r")),
    "half the last chunk": content(chunked(b"5\r\nhello\r\n0\r\n")),
    "no last LF": content(chunked(b"5\r\nhello\r\n0\r\n\r")),
    "half a trailer": content(chunked(b"5\r\nhello\r\n0\r\nX: y\r\n")),
    "bare CR at the end": content(chunked(b"5\r\nhello\r\n0\r\n\rX")),
    "two bytes at the end": content(chunked(b"5\r\nhello\r\n0\r\nXX")),
    "2**32 + 5": content(chunked(b"100000005\r\nhello\r\n0\r\n\r\n")),
    "2**63": content(chunked(b"8000000000000000\r\nhello\r\n0\r\n\r\n")),
    "2**64 - 1": content(chunked(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n")),
    "of a file": content(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nhello", 405),
}
