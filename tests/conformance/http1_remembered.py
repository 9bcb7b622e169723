"""
Requests of which every line was seen before, in a combination that was not.

A node that knows request lines and field lines by heart has to know of each pair of them where its
message ends. Each step is sent alone, once the one before is answered; the last ones are the case.
"""

from __future__ import annotations

from tests.conformance.http1_probe import CHUNKED, FIVE, HELLO, SMUGGLED
from tests.support_cases import HOST, Case, chunked, get, post, refused, served

FRAMED = "9112 §6.3: the fields frame, whatever the request line"
FILE = served(get(), "9112 §2.1")
CLOSE = b"Connection: close"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
HIDDEN = b"Content-Length: %d" % len(SMUGGLED)


def uploaded(*lines: bytes, content: bytes = HELLO) -> Case:
    """An upload by whose field lines the node comes to know them."""
    return served(post(*lines, content=content), FRAMED, content=HELLO)


REMEMBERED = {
    "a GET with the length of a POST": (
        FILE, FILE, uploaded(FIVE), served(get(FIVE) + HELLO, FRAMED),
    ),
    "a GET that hides a GET": (
        FILE, FILE, served(post(HIDDEN, content=SMUGGLED), FRAMED),
        served(get(HIDDEN) + SMUGGLED, FRAMED), FILE,
    ),
    "a GET in the chunks of a POST": (
        FILE, FILE, served(chunked(CHUNKS), FRAMED),
        served(get(CHUNKED) + CHUNKS, FRAMED, closes=True),
    ),
    "the length again, of a file": (FILE, uploaded(FIVE), *[served(get(FIVE) + HELLO, FRAMED)] * 3),
    "a POST with the lines of a GET": (FILE, FILE, served(post(), FRAMED), FILE),
    "a POST of the file": (
        FILE, FILE, served(b"POST" + get()[3:], "9110 §15.5.6", 405), FILE,
    ),
    "the method in other letters": (
        FILE, FILE, served(b"get" + get()[3:], "9110 §9.1", 405), FILE,
    ),
    "1.0 with the lines of 1.1": (FILE, FILE, served(get(version=b"HTTP/1.0"), "9112 §9.3",
                                                     closes=True)),
    "close, and the same without": (FILE, FILE, served(get(CLOSE), "9112 §9.6", closes=True)),
    "two framings that are known": (
        FILE, uploaded(FIVE), served(chunked(CHUNKS), FRAMED),
        refused(post(CHUNKED, FIVE, content=CHUNKS), "9112 §6.1"),
    ),
    "a line of the known ones folded": (FILE, FILE, refused(get(b"X: y\r\n z"), "9112 §5.2")),
    "the known lines twice": (FILE, FILE, refused(get(HOST[:-2]), "9112 §3.2")),
    "the known request line twice": (
        FILE, FILE, refused(b"GET / HTTP/1.1\r\n" + get(), "9112 §5"),
    ),
    "the known lines behind a bare LF": (
        FILE, FILE, refused(b"GET / HTTP/1.1\n" + HOST + b"\r\n", "9112 §2.2"),
    ),
    "the known request of a file with something behind": (FILE, FILE, Case(
        get() + b"X" + get(), (200, 405), "9112 §9.3.2: XGET")),
    "the known request, and an empty line": (
        FILE, FILE, served(b"\r\n" + get(), "9112 §2.2"), FILE,
    ),
    "a NUL behind the known request": (FILE, FILE, Case(
        get() + b"\0" + get(), (200, 400), "9112 §3", closes=True)),
    "another host by the known request line": (
        FILE, FILE, served(get().replace(b"a.test", b"b.test"), "9110 §7.2", 404), FILE,
    ),
}  # fmt: skip
