"""
The other suites of Http11Probe: compliance and malformed input, by its names (see `http1_probe`).

Not here: truncated requests (`http1_truncated`), and what is asked of a response and not of the
wire (`test_http1` looks at the fields of these answers).
"""

from __future__ import annotations

from tests.conformance.http1_probe import (
    BARE_CR,
    BARE_LF,
    COLON,
    CONTROL,
    FIVE,
    FOLD,
    HELLO,
    LENGTH,
    UPGRADE,
)
from tests.support_cases import HOST, Case, chunked, declined, get, post, refused, served

LINE = "9112 §3: an invalid request line is 400"
VERSION = "9112 §2.3: HTTP/DIGIT.DIGIT, exactly"
NAME = "9110 §5.1: a name is a token"
ONE_HOST = "9112 §3.2: exactly one Host, and a valid one, else 400"
NO_UPGRADE = "9110 §7.8: an upgrade may be ignored, and is without an origin that wants it"


def method(name: bytes, *lines: bytes, status: int = 405, content: bytes = b"") -> Case:
    """A method that files do not have."""
    sent = name + get(*lines)[3:] + content
    return served(sent, "9110 §9.1, §15.5.6", status)


def upgrade(*lines: bytes, version: bytes = b"HTTP/1.1", closes: bool = False) -> Case:
    """An upgrade that files do not know."""
    return served(get(*lines, version=version), NO_UPGRADE, closes=closes)


COMPLIANCE = {
    "COMP-BASELINE": served(get(), "9112 §2.1"),
    "RFC9112-2.2-BARE-LF-REQUEST-LINE": refused(b"GET / HTTP/1.1\n" + HOST + b"\r\n", BARE_LF),
    "RFC9112-2.2-BARE-LF-HEADER": refused(
        b"GET / HTTP/1.1\r\nHost: a.test\nX-Test: value\r\n\r\n", BARE_LF
    ),
    "RFC9112-5.1-OBS-FOLD": refused(get(b"X-Test: value\r\n continued"), FOLD),
    "RFC9110-5.6.2-SP-BEFORE-COLON": refused(get(b"X-Test : value"), COLON),
    "RFC9112-3-MULTI-SP-REQUEST-LINE": refused(b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", LINE),
    "RFC9112-7.1-MISSING-HOST": refused(b"GET / HTTP/1.1\r\n\r\n", ONE_HOST),
    "RFC9112-2.3-INVALID-VERSION": refused(get(version=b"HTTP/9.9"), "9110 §15.6.6", 505),
    "RFC9112-5-EMPTY-HEADER-NAME": refused(get(b": empty-name"), NAME),
    "RFC9112-3-CR-ONLY-LINE-ENDING": refused(b"GET / HTTP/1.1\r" + HOST + b"\r\n", BARE_CR),
    "RFC9112-3-MISSING-TARGET": refused(b"GET HTTP/1.1\r\n" + HOST + b"\r\n", LINE),
    "RFC9112-3.2-FRAGMENT-IN-TARGET": refused(get(target=b"/path#frag"), LINE),
    "RFC9112-5-INVALID-HEADER-NAME": refused(get(b"Bad[Name: value"), NAME),
    "RFC9112-5-HEADER-NO-COLON": refused(get(b"NoColonHere"), "9112 §5"),
    "RFC9110-5.4-DUPLICATE-HOST": refused(get(b"Host: other.example.com"), ONE_HOST),
    "RFC9112-6.1-CL-NON-NUMERIC": refused(post(b"Content-Length: abc"), LENGTH),
    "RFC9112-6.1-CL-PLUS-SIGN": refused(post(b"Content-Length: +5", content=HELLO), LENGTH),
    "COMP-WHITESPACE-BEFORE-HEADERS": refused(
        b"GET / HTTP/1.1\r\n \r\n" + HOST + b"\r\n", "9112 §2.2"
    ),
    "COMP-DUPLICATE-HOST-SAME": refused(get(b"Host: a.test"), ONE_HOST),
    "COMP-HOST-WITH-USERINFO": declined(b"GET / HTTP/1.1\r\nHost: user@a.test\r\n\r\n", ONE_HOST),
    "COMP-HOST-WITH-PATH": declined(b"GET / HTTP/1.1\r\nHost: a.test/path\r\n\r\n", ONE_HOST),
    "COMP-ASTERISK-WITH-GET": refused(get(target=b"*"), "9112 §3.2.4: OPTIONS alone"),
    "COMP-OPTIONS-STAR": served(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", "9112 §3.2.4", 204),
    "COMP-UNKNOWN-TE-501": refused(post(b"Transfer-Encoding: gzip"), "9112 §6.1", 501),
    "COMP-LEADING-CRLF": refused(
        b"\r\n\r\n" + get(), "9112 §2.2: at least one empty line is ignored; we ignore one"
    ),
    "COMP-ABSOLUTE-FORM": served(get(target=b"http://a.test/"), "9112 §3.2.2"),
    "COMP-METHOD-CASE": method(b"get"),
    "COMP-POST-CL-BODY": served(post(FIVE, content=HELLO), "9112 §6.3", content=HELLO),
    "COMP-POST-CL-ZERO": served(post(b"Content-Length: 0"), "9112 §6.3", content=b""),
    "COMP-POST-NO-CL-NO-TE": served(post(), "9112 §6.3: zero", content=b""),
    "COMP-CHUNKED-BODY": served(chunked(b"5\r\nhello\r\n0\r\n\r\n"), "9112 §7.1", content=HELLO),
    "COMP-CHUNKED-MULTI": served(
        chunked(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "9112 §7.1", content=b"hello world"
    ),
    "COMP-CHUNKED-EMPTY": served(chunked(b"0\r\n\r\n"), "9112 §7.1", content=b""),
    "COMP-UPGRADE-POST": served(post(*UPGRADE), NO_UPGRADE, content=b""),
    "COMP-UPGRADE-MISSING-CONN": upgrade(*UPGRADE[1:]),
    "COMP-UPGRADE-UNKNOWN": upgrade(UPGRADE[0], b"Upgrade: totally-made-up/1.0"),
    "COMP-METHOD-CONNECT": refused(
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", "9110 §9.3.6", 405
    ),
    "COMP-EXPECT-UNKNOWN": served(
        get(b"Expect: 200-ok"), "9110 §10.1.1: 417 is a MAY; an origin may know it"
    ),
    "COMP-GET-WITH-CL-BODY": served(get(FIVE) + HELLO, "9110 §9.3.1"),
    "COMP-CHUNKED-EXTENSION": served(
        chunked(b"5;ext=value\r\nhello\r\n0\r\n\r\n"), "9112 §7.1.1", content=HELLO
    ),
    "COMP-UPGRADE-INVALID-VER": upgrade(*UPGRADE[:2], b"Sec-WebSocket-Version: 99", UPGRADE[3]),
    "COMP-METHOD-TRACE": method(b"TRACE"),
    "COMP-HOST-EMPTY-VALUE": declined(b"GET / HTTP/1.1\r\nHost: \r\n\r\n", "9110 §4.2.1: no host"),
    "COMP-REQUEST-LINE-TAB": refused(b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", LINE),
    "COMP-VERSION-MISSING-MINOR": refused(get(version=b"HTTP/1"), VERSION),
    "COMP-VERSION-LEADING-ZEROS": refused(get(version=b"HTTP/01.01"), VERSION),
    "COMP-VERSION-WHITESPACE": refused(get(version=b"HTTP/ 1.1"), VERSION),
    "COMP-CONNECTION-CLOSE": served(get(b"Connection: close"), "9112 §9.6", closes=True),
    "COMP-HTTP10-DEFAULT-CLOSE": served(get(version=b"HTTP/1.0"), "9112 §9.3", closes=True),
    "COMP-HTTP10-NO-HOST": refused(
        b"GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 needs none; without one there is no site to answer"
    ),
    "COMP-HTTP12-VERSION": served(get(version=b"HTTP/1.2"), "9110 §2.5: as the highest we know"),
    "COMP-TRACE-WITH-BODY": method(b"TRACE", FIVE, content=HELLO),
    "COMP-CHUNKED-TRAILER-VALID": served(
        chunked(b"5\r\nhello\r\n0\r\nX-Checksum: abc\r\n\r\n"), "9112 §7.1.2", content=HELLO
    ),
    "COMP-CHUNKED-HEX-UPPERCASE": served(
        chunked(b"A\r\nhelloworld\r\n0\r\n\r\n"), "9112 §7.1", content=b"helloworld"
    ),
    "COMP-RANGE-POST": served(
        post(FIVE, b"Range: bytes=0-10", content=HELLO), "9110 §14.2: GET alone", content=HELLO
    ),
    "COMP-UPGRADE-HTTP10": upgrade(*UPGRADE, version=b"HTTP/1.0", closes=True),
    "COMP-HEAD-NO-BODY": served(b"HEAD" + get()[3:], "9110 §9.3.2"),
    "COMP-UNKNOWN-METHOD": method(b"FOOBAR"),
    "COMP-405-ALLOW": method(b"DELETE"),
    "COMP-DATE-HEADER": served(get(), "9110 §6.6.1"),
    "COMP-DATE-FORMAT": served(get(), "9110 §5.6.7"),
    "COMP-NO-1XX-HTTP10": served(
        post(b"Expect: 100-continue", FIVE, content=HELLO, version=b"HTTP/1.0"),
        "9110 §15.2",
        content=HELLO,
        closes=True,
    ),
    "COMP-NO-CL-IN-204": method(b"OPTIONS", status=204),
    "COMP-OPTIONS-ALLOW": method(b"OPTIONS", status=204),
    "COMP-CONTENT-TYPE": served(get(), "9110 §8.3"),
    "COMP-VERSION-CASE": refused(get(version=b"http/1.1"), VERSION),
    "COMP-LONG-URL-OK": served(get(target=b"/" + b"a" * 7900), "9112 §3: 8000 octets", 404),
    "COMP-SPACE-IN-TARGET": refused(get(target=b"/pa th"), LINE),
    "COMP-DUPLICATE-CT": served(
        post(FIVE, b"Content-Type: text/plain", b"Content-Type: text/html", content=HELLO),
        "9110 §5.3: the origin's to judge",
        content=HELLO,
    ),
    "COMP-TRACE-SENSITIVE": method(b"TRACE", b"Authorization: Bearer secret-token-123"),
    "COMP-RANGE-INVALID": served(get(b"Range: bytes=abc-xyz"), "9110 §14.2: ignored"),
    "COMP-ACCEPT-NONSENSE": served(get(b"Accept: application/x-nonsense"), "9110 §12.4.1"),
    "COMP-POST-UNSUPPORTED-CT": served(
        post(FIVE, b"Content-Type: application/x-nonsense", content=HELLO),
        "9110 §15.5.16: the origin's to judge",
        content=HELLO,
    ),
}  # fmt: skip

MALFORMED = {
    "MAL-BINARY-GARBAGE": refused(bytes(range(255, 127, -1)) * 2 + b"\r\n\r\n", LINE),
    "MAL-LONG-URL": refused(get(target=b"/" + b"A" * 100_000), "9112 §3", 414),
    "MAL-LONG-HEADER-VALUE": refused(get(b"X-Big: " + b"B" * 100_000), "6585 §5", 431),
    "MAL-MANY-HEADERS": refused(get(*(b"X-H-%d: v" % n for n in range(10_000))), "6585 §5", 431),
    "MAL-NUL-IN-URL": refused(get(target=b"/\0test"), LINE),
    "MAL-CONTROL-CHARS-HEADER": refused(get(b"X-Test: abc\x07\x08\x0bdef"), CONTROL),
    "MAL-LONG-HEADER-NAME": refused(get(b"A" * 100_000 + b": val"), "6585 §5", 431),
    "MAL-LONG-METHOD": refused(b"A" * 100_000 + get()[3:], "no request line comes of it"),
    "MAL-NON-ASCII-HEADER-NAME": refused(get(b"X-T\xc3\xabst: value"), NAME),
    "MAL-NON-ASCII-URL": refused(get(target=b"/caf\xc3\xa9"), LINE),
    "MAL-CL-OVERFLOW": refused(post(b"Content-Length: 99999999999999999999"), LENGTH),
    "MAL-WHITESPACE-ONLY-LINE": refused(b"   \r\n\r\n", LINE),
}  # fmt: skip
