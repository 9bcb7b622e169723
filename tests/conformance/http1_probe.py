"""
The cases of Http11Probe (github.com/MDA2AV/Http11Probe, suites as of February 2026), by its names.

The bytes are those that its suites describe; POSTs go to a path of the origin, as the probe wants
them echoed. What follows is decided from the RFC, and is one of what the probe counts as passed,
or as `warn` where the RFC leaves a choice and the source says which one we make.

Not here: what one connection that is not closed does in time (`http1_truncated`).
"""

from __future__ import annotations

from tests.support_cases import (
    HOST,
    Case,
    broken,
    chunked,
    declined,
    get,
    post,
    refused,
    served,
)

CHUNKED = b"Transfer-Encoding: chunked"
FIVE = b"Content-Length: 5"
HELLO = b"hello"
SMUGGLED = b"GET /smuggled.txt HTTP/1.1\r\n" + HOST + b"\r\n"
HIDDEN = b"0\r\n\r\n" + SMUGGLED
HIDDEN_LENGTH = b"Content-Length: %d" % len(HIDDEN)
PREFIX = b"GET / HTTP/1.1\r\n" + HOST
UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip

BOTH = "9112 §6.1: TE with CL ought to be handled as an error"
LENGTH = "9110 §8.6, 9112 §6.3: 1*DIGIT, else 400 and the end"
LIST = "9112 §6.3: may be rejected even where all are equal"
FINAL = "9112 §6.3: chunked has to be the final coding, else 400 and the end"
EMPTY = "9110 §5.6.1 ignores empty elements; a front that does not would not agree: refused"
CONTROL = "9110 §5.5: controls in values are invalid"
BARE_CR = "9112 §2.2: a bare CR is invalid"
BARE_LF = "9112 §2.2 may take a bare LF for a line's end; a front that does not would not agree"
SIZE = "9112 §7.1: chunk-size is 1*HEXDIG"
EXTENSION = "9112 §7.1.1"
DATA = "9112 §7.1: CRLF follows the data"
FOLD = "9112 §5.2: obs-fold is 400"
COLON = "9112 §5.1: no whitespace before the colon, 400"
IGNORED = (
    "9112 §7.1.1: extensions are ignored, ours whatever they are: no CR, LF or control is in them,"
    " and none goes further. The probe counts this as failed"
)
TRAILER = "9110 §6.5.1: not to be sent; what would frame, route or describe is refused"


def both(first: bytes, second: bytes, content: bytes = HELLO) -> Case:
    """Two lines that do not agree on the framing."""
    return refused(post(first, second, content=content), BOTH)


def trailing(line: bytes) -> Case:
    """A trailer field that is not to be believed."""
    return broken(chunked(b"5\r\nhello\r\n0\r\n%b\r\n\r\n" % line), TRAILER)


SMUGGLING = {
    "SMUG-CL-TE-BOTH": both(
        b"Content-Length: 23", CHUNKED, b"D\r\nhello-bananas\r\n0\r\n\r\n"
    ),
    "SMUG-DUPLICATE-CL": refused(post(FIVE, b"Content-Length: 10", content=b"helloworld"), LENGTH),
    "SMUG-CL-LEADING-ZEROS": served(
        post(b"Content-Length: 005", content=HELLO), "9110 §8.6: 1*DIGIT", content=HELLO
    ),
    "SMUG-TE-XCHUNKED": both(b"Transfer-Encoding: xchunked", FIVE),
    "SMUG-TE-TRAILING-SPACE": both(b"Transfer-Encoding: chunked ", FIVE),
    "SMUG-TE-SP-BEFORE-COLON": both(b"Transfer-Encoding : chunked", FIVE),
    "SMUG-CL-NEGATIVE": refused(post(b"Content-Length: -1"), LENGTH),
    "SMUG-CLTE-PIPELINE": both(b"Content-Length: 4", CHUNKED, b"0\r\n\r\n"),
    "SMUG-TECL-PIPELINE": both(CHUNKED, b"Content-Length: 30", b"0\r\n\r\n"),
    "SMUG-CL-TRAILING-SPACE": served(
        post(b"Content-Length: 5 ", content=HELLO), "9110 §5.5: OWS", content=HELLO
    ),
    "SMUG-TE-DOUBLE-CHUNKED": both(b"Transfer-Encoding: chunked, chunked", FIVE),
    "SMUG-CL-EXTRA-LEADING-SP": served(
        post(b"Content-Length:  5", content=HELLO), "9110 §5.5: OWS", content=HELLO
    ),
    "SMUG-TE-CASE-MISMATCH": both(b"Transfer-Encoding: Chunked", FIVE),
    "SMUG-CL-COMMA-DIFFERENT": refused(post(b"Content-Length: 5, 10", content=HELLO), LENGTH),
    "SMUG-TE-NOT-FINAL-CHUNKED": refused(
        post(b"Transfer-Encoding: chunked, gzip", content=b"0\r\n\r\n"), FINAL
    ),
    "SMUG-TE-HTTP10": refused(
        post(CHUNKED, FIVE, content=HELLO, version=b"HTTP/1.0"), "9112 §6.1: faulty framing"
    ),
    "SMUG-CHUNK-BARE-SEMICOLON": served(
        chunked(b"5;\r\nhello\r\n0\r\n\r\n"), IGNORED, content=HELLO
    ),
    "SMUG-CHUNK-EXT-INVALID-TOKEN": served(
        chunked(b"5;bad[=x\r\nhello\r\n0\r\n\r\n"), IGNORED, content=HELLO
    ),
    "SMUG-BARE-CR-HEADER-VALUE": refused(
        post(FIVE, b"X-Test: val\rue", content=HELLO), BARE_CR
    ),
    "SMUG-CL-OCTAL": refused(post(b"Content-Length: 0o5", content=HELLO), LENGTH),
    "SMUG-CHUNK-UNDERSCORE": broken(chunked(b"1_0\r\nhello world!!!!!\r\n0\r\n\r\n"), SIZE),
    "SMUG-TE-EMPTY-VALUE": both(b"Transfer-Encoding: ", FIVE),
    "SMUG-TE-LEADING-COMMA": both(b"Transfer-Encoding: , chunked", FIVE),
    "SMUG-TE-DUPLICATE-HEADERS": refused(
        post(CHUNKED, b"Transfer-Encoding: identity", FIVE, content=HELLO), BOTH
    ),
    "SMUG-CHUNK-HEX-PREFIX": broken(chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), SIZE),
    "SMUG-CHUNK-SIZE-PLUS": broken(chunked(b"+5\r\nhello\r\n0\r\n\r\n"), SIZE),
    "SMUG-CHUNK-SIZE-TRAILING-OWS": broken(chunked(b"5 \r\nhello\r\n0\r\n\r\n"), SIZE),
    "SMUG-CL-HEX-PREFIX": refused(post(b"Content-Length: 0x5", content=HELLO), LENGTH),
    "SMUG-CL-INTERNAL-SPACE": refused(
        post(b"Content-Length: 1 0", content=b"hello12345"), LENGTH
    ),
    "SMUG-CHUNK-LEADING-SP": broken(chunked(b" 5\r\nhello\r\n0\r\n\r\n"), SIZE),
    "SMUG-CHUNK-MISSING-TRAILING-CRLF": broken(chunked(b"5\r\nhello0\r\n\r\n"), DATA),
    "SMUG-CHUNK-EXT-LF": broken(chunked(b"5;\nhello\r\n0\r\n\r\n"), BARE_LF),
    "SMUG-CHUNK-SPILL": broken(chunked(b"5\r\nhello!!\r\n0\r\n\r\n"), DATA),
    "SMUG-CHUNK-LF-TERM": broken(chunked(b"5\r\nhello\n0\r\n\r\n"), BARE_LF),
    "SMUG-CHUNK-EXT-CTRL": broken(chunked(b"5;\0ext\r\nhello\r\n0\r\n\r\n"), EXTENSION),
    "SMUG-CHUNK-EXT-CR": broken(chunked(b"5;a\rX\r\nhello\r\n0\r\n\r\n"), BARE_CR),
    "SMUG-TE-VTAB": both(b"Transfer-Encoding: \x0bchunked", FIVE),
    "SMUG-TE-FORMFEED": both(b"Transfer-Encoding: \x0cchunked", FIVE),
    "SMUG-TE-NULL": both(b"Transfer-Encoding: chunked\0", FIVE),
    "SMUG-CHUNK-LF-TRAILER": broken(chunked(b"5\r\nhello\r\n0\r\n\n"), BARE_LF),
    "SMUG-TE-IDENTITY": both(b"Transfer-Encoding: identity", FIVE),
    "SMUG-CHUNK-NEGATIVE": broken(chunked(b"-1\r\nhello\r\n0\r\n\r\n"), SIZE),
    "SMUG-TRANSFER_ENCODING": served(
        post(b"Transfer_Encoding: chunked", FIVE, content=HELLO),
        "9110 §5.1: another name is another field",
        content=HELLO,
    ),
    "SMUG-CL-COMMA-SAME": refused(post(b"Content-Length: 5, 5", content=HELLO), LIST),
    "SMUG-CL-COMMA-TRIPLE": refused(post(b"Content-Length: 5, 5, 5", content=HELLO), LIST),
    "SMUG-CHUNKED-WITH-PARAMS": both(b"Transfer-Encoding: chunked;ext=val", FIVE),
    "SMUG-EXPECT-100-CL": served(
        post(FIVE, b"Expect: 100-continue", content=HELLO), "9110 §10.1.1", content=HELLO
    ),
    "SMUG-TRAILER-CL": trailing(b"Content-Length: 50"),
    "SMUG-TRAILER-TE": trailing(b"Transfer-Encoding: chunked"),
    "SMUG-TRAILER-HOST": trailing(b"Host: evil.example.com"),
    "SMUG-TRAILER-AUTH": served(
        chunked(b"5\r\nhello\r\n0\r\nAuthorization: Bearer evil\r\n\r\n"),
        "9110 §6.5.1: not merged",
        content=HELLO,
    ),
    "SMUG-HEAD-CL-BODY": served(
        b"HEAD / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", "9112 §6.3: it is read"
    ),
    "SMUG-OPTIONS-CL-BODY": served(
        b"OPTIONS / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", "9112 §6.3", 204
    ),
    "SMUG-CL-UNDERSCORE": refused(post(b"Content-Length: 1_0", content=b"helloworld"), LENGTH),
    "SMUG-CL-NEGATIVE-ZERO": refused(post(b"Content-Length: -0"), LENGTH),
    "SMUG-CL-DOUBLE-ZERO": served(post(b"Content-Length: 00"), "9110 §8.6: 1*DIGIT", content=b""),
    "SMUG-CL-LEADING-ZEROS-OCTAL": served(
        post(b"Content-Length: 0200", content=b"A" * 200), "9110 §8.6: decimal", content=b"A" * 200
    ),
    "SMUG-TE-OBS-FOLD": refused(
        post(b"Transfer-Encoding:\r\n chunked", FIVE, content=HELLO), FOLD
    ),
    "SMUG-TE-TRAILING-COMMA": both(b"Transfer-Encoding: chunked,", FIVE),
    "SMUG-TE-TAB-BEFORE-VALUE": both(b"Transfer-Encoding:\tchunked", FIVE),
    "SMUG-ABSOLUTE-URI-HOST-MISMATCH": refused(
        get(target=b"http://other.example.com/"),
        "9112 §3.2: Host has to be identical to the authority; §3.2.2 would let the target win",
    ),
    "SMUG-MULTIPLE-HOST-COMMA": declined(
        b"GET / HTTP/1.1\r\nHost: a.test, other.example.com\r\n\r\n", "9112 §3.2: invalid Host"
    ),
    "SMUG-CHUNK-BARE-CR-TERM": broken(chunked(b"5\rhello\r\n0\r\n\r\n"), BARE_CR),
    "SMUG-TRAILER-CONTENT-TYPE": trailing(b"Content-Type: text/evil"),
}  # fmt: skip

SEQUENCES = {
    "SMUG-CLTE-CONN-CLOSE": both(FIVE, CHUNKED, b"0\r\n\r\n"),
    "SMUG-TECL-CONN-CLOSE": both(CHUNKED, FIVE, b"0\r\n\r\n"),
    "SMUG-CLTE-DESYNC": both(b"Content-Length: 6", CHUNKED, b"0\r\n\r\nX"),
    "SMUG-CLTE-SMUGGLED-GET": both(HIDDEN_LENGTH, CHUNKED, HIDDEN),
    "SMUG-CLTE-SMUGGLED-GET-CL-PLUS": both(b"Content-Length: +%d" % len(HIDDEN), CHUNKED, HIDDEN),
    "SMUG-CLTE-SMUGGLED-GET-CL-NON-NUMERIC": both(HIDDEN_LENGTH + b"x", CHUNKED, HIDDEN),
    "SMUG-CLTE-SMUGGLED-GET-TE-OBS-FOLD": both(
        b"Transfer-Encoding:\r\n chunked", HIDDEN_LENGTH, HIDDEN
    ),
    "SMUG-CLTE-SMUGGLED-HEAD": both(HIDDEN_LENGTH, CHUNKED, HIDDEN.replace(b"GET", b"HEAD")),
    "SMUG-CLTE-SMUGGLED-GET-TE-TRAILING-SPACE": both(HIDDEN_LENGTH, CHUNKED + b" ", HIDDEN),
    "SMUG-CLTE-SMUGGLED-GET-TE-LEADING-COMMA": both(
        HIDDEN_LENGTH, b"Transfer-Encoding: , chunked", HIDDEN
    ),
    "SMUG-CLTE-SMUGGLED-GET-TE-CASE-MISMATCH": both(
        HIDDEN_LENGTH, b"Transfer-Encoding: Chunked", HIDDEN
    ),
    "SMUG-TE-DUPLICATE-HEADERS-SMUGGLED-GET": refused(
        post(CHUNKED, b"Transfer-Encoding: identity", HIDDEN_LENGTH, content=HIDDEN), BOTH
    ),
    "SMUG-TECL-SMUGGLED-GET": both(
        CHUNKED, b"Content-Length: 4", b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    ),
    "SMUG-DUPLICATE-CL-SMUGGLED-GET": refused(
        post(b"Content-Length: 4", HIDDEN_LENGTH, content=b"PING" + SMUGGLED), LENGTH
    ),
    "SMUG-GET-CL-PREFIX-DESYNC": served(
        get(b"Content-Length: %d" % len(PREFIX)) + PREFIX, "9112 §6.3: a GET's content is read"
    ),
    "SMUG-TECL-DESYNC": both(CHUNKED, b"Content-Length: 30", b"0\r\n\r\nX"),
    "SMUG-CL0-BODY-POISON": Case(
        post(b"Content-Length: 0") + b"X" + get(), (200, 405), "9112 §6.3: XGET", content=b""
    ),
    "SMUG-GET-CL-BODY-DESYNC": served(get(FIVE) + HELLO, "9112 §6.3"),
    "SMUG-OPTIONS-CL-BODY-DESYNC": served(
        b"OPTIONS / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", "9112 §6.3", 204
    ),
    "SMUG-EXPECT-100-CL-DESYNC": served(
        post(FIVE, b"Expect: 100-continue", content=HELLO), "9110 §10.1.1", content=HELLO
    ),
    "SMUG-OPTIONS-TE-OBS-FOLD": refused(
        b"OPTIONS / HTTP/1.1\r\n" + HOST
        + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\nhello", FOLD
    ),
    "SMUG-CHUNK-INVALID-SIZE-DESYNC": broken(chunked(b"+0\r\n\r\nX"), SIZE),
    "SMUG-PIPELINE-SAFE": Case(get() + get(), (200, 200), "9112 §9.3.2"),
}  # fmt: skip
