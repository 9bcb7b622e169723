"""Content-Length, Transfer-Encoding, chunks and trailers, `Expect` (RFC 9112 §6, §7; 9110 §8.6)."""

from __future__ import annotations

from tests.conformance.http1_garden import CODING, NONE
from tests.conformance.http1_probe import (
    BARE_CR,
    BARE_LF,
    BOTH,
    CHUNKED,
    CONTROL,
    DATA,
    EMPTY,
    EXTENSION,
    FIVE,
    FOLD,
    HELLO,
    LENGTH,
    LIST,
    SIZE,
    SMUGGLED,
    TRAILER,
)
from tests.support_cases import HOST, Case, broken, chunked, get, post, refused, served

LARGE = "9110 §15.5.14: beyond the limit, unread"
REST = b"\r\nhello\r\n0\r\n\r\n"
BWS = "9110 §5.6.3 would have it read past; where fronts and backs differ: refused"


def length(value: bytes) -> Case:
    """A length that is none."""
    return refused(post(b"Content-Length:" + value, content=HELLO), LENGTH)


def coding(value: bytes, status: int = 400) -> Case:
    """A coding that is not chunked, or not written so."""
    sent = post(b"Transfer-Encoding:" + value, content=b"5" + REST)
    return refused(sent, CODING if status == 400 else "9112 §6.1: not understood, 501", status)


def sized(first: bytes, source: str = SIZE) -> Case:
    """A first chunk line that is none."""
    return broken(chunked(first + REST), source)


def fine(content: bytes, source: str = "9112 §7.1", expected: bytes = HELLO) -> Case:
    """Good chunks."""
    return served(chunked(content), source, content=expected)


def trailer(lines: bytes, source: str) -> Case:
    """A trailer section that is refused."""
    return broken(chunked(b"5\r\nhello\r\n0\r\n" + lines + b"\r\n"), source)


LENGTHS = {
    "tab before the length": served(
        post(b"Content-Length:\t5", content=HELLO), "9110 §5.5", content=HELLO
    ),
    "lower-case name": served(post(b"content-length: 5", content=HELLO), "9110 §5.1",
                              content=HELLO),
    "twenty zeros": served(post(b"Content-Length: " + b"0" * 18 + b"5", content=HELLO),
                           "9110 §8.6", content=HELLO),
    "same twice": refused(post(FIVE, FIVE, content=HELLO), LIST),
    "same twice, other case": refused(post(FIVE, b"CONTENT-LENGTH: 5", content=HELLO), LIST),
    "three, two of them alike": refused(
        post(FIVE, FIVE, b"Content-Length: 6", content=HELLO), LENGTH
    ),
    "a list with an empty element": length(b" 5,"),
    "a list that begins empty": length(b" ,5"),
    "semicolon": length(b" 5;"),
    "quoted": length(b' "5"'),
    "decimal point": length(b" 5.0"),
    "exponent": length(b" 5e0"),
    "hexadecimal digits": length(b" f"),
    "plus and blank": length(b" + 5"),
    "two signs": length(b" --5"),
    "tab within": length(b" 5\t5"),
    "vertical tab before": length(b" \x0b5"),
    "no-break space before": length(b" \xa05"),
    "NUL behind": length(b" 5\0"),
    "Arabic digit": length(" ٥".encode()),
    "full-width digit": length(" ５".encode()),
    "superscript": length(b" \xb2"),
    "bare CR behind": length(b" 5\r"),
    "folded": length(b"\r\n 5"),
    "2**64 + 5": length(b" 18446744073709551621"),
    "2**32 + 5 as text of 40 digits": length(b" " + b"9" * 40),
    "2**32 + 5": refused(post(b"Content-Length: 4294967301", content=HELLO), LARGE, 413),
    "2**63 - 1": refused(post(b"Content-Length: 9223372036854775807", content=HELLO), LARGE, 413),
    "in GET": served(get(b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED, "9112 §6.3"),
    "in HEAD": served(
        b"HEAD / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        "9112 §6.3",
    ),
    "in DELETE": served(
        b"DELETE / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        "9112 §6.3: read past the early answer",
        405,
    ),
    "of a path that is none": served(
        b"POST /%zz HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        "9112 §6.3: read past the early answer", 400,
    ),
    "of a host that is nobody's": served(
        b"POST / HTTP/1.1\r\nHost: b.test\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        "9112 §6.3: read past the early answer", 404,
    ),
    "an alias": served(post(b"Content_Length: 500", FIVE, content=HELLO), "9110 §5.1",
                       content=HELLO),
}  # fmt: skip

CODINGS = {
    "chunked in capitals": served(
        post(b"TRANSFER-ENCODING: CHUNKED", content=b"5" + REST), "9112 §7", content=HELLO
    ),
    "blanks around": served(
        post(b"Transfer-Encoding: \t chunked \t", content=b"5" + REST), "9110 §5.5", content=HELLO
    ),
    "in GET": served(get(CHUNKED) + b"0\r\n\r\n", "9112 §6.3", closes=True),
    "gzip": coding(b" gzip", 501),
    "deflate": coding(b" deflate", 501),
    "gzip, then chunked": coding(b" gzip, chunked", 501),
    "identity": coding(b" identity", 501),
    "identity, then chunked": coding(b" identity, chunked", 501),
    "chunked, then identity": coding(b" chunked, identity"),
    "chunked twice in a list": coding(b" chunked, chunked"),
    "nothing": coding(b""),
    "a comma": coding(b" ,"),
    "empty element in front": coding(b" , chunked", 501),
    "empty element behind": coding(b" chunked,", 501),
    "a parameter": coding(b" chunked;q=1"),
    "quoted": coding(b' "chunked"'),
    "single quotes": coding(b" 'chunked'"),
    "two words": coding(b" chunked chunked"),
    "chun ked": coding(b" chun ked"),
    "a letter more": coding(b" chunkedx", 501),
    "a letter less": coding(b" chunke", 501),
    "vertical tab": coding(b" \x0bchunked"),
    "no-break space": coding(b" \xa0chunked"),
    "next line": coding(b" chunked\x85"),
    "NUL": coding(b" chunked\0"),
    "bare CR": coding(b" chunked\r"),
    "bare CR in front": coding(b" \rchunked"),
    "folded": coding(b"\r\n chunked"),
    "Kelvin sign": coding(" chun\u212aed".encode()),
    "gzip and chunked in two lines": refused(
        post(b"Transfer-Encoding: gzip", CHUNKED, content=NONE), "9112 §6.1", 501
    ),
    "chunked and gzip in two lines": refused(
        post(CHUNKED, b"Transfer-Encoding: gzip", content=NONE), "9112 §6.3"
    ),
    "chunked and nothing in two lines": refused(
        post(CHUNKED, b"Transfer-Encoding:", content=NONE), EMPTY, 501
    ),
    "with a length of zero": refused(post(CHUNKED, b"Content-Length: 0", content=NONE), BOTH),
    "with a length that is right": refused(post(CHUNKED, FIVE, content=NONE), BOTH),
    "with a length that is none": refused(post(CHUNKED, b"Content-Length: x", content=NONE), BOTH),
    "behind a fold": refused(post(b"X: y\r\n Transfer-Encoding: chunked", content=NONE), FOLD),
    "behind a bare CR": refused(post(b"X: y\rTransfer-Encoding: chunked", content=NONE), BARE_CR),
    "behind a bare LF": refused(post(b"X: y\nTransfer-Encoding: chunked", content=NONE), BARE_LF),
    "in 1.0": refused(post(CHUNKED, content=NONE, version=b"HTTP/1.0"), "9112 §6.1"),
    "in 1.2": served(post(CHUNKED, content=b"5" + REST, version=b"HTTP/1.2"), "9110 §2.5",
                     content=HELLO),
    "as TE": served(post(b"TE: chunked", FIVE, content=HELLO), "9110 §10.1.4", content=HELLO),
    "as Content-Encoding": served(
        post(b"Content-Encoding: chunked", FIVE, content=HELLO), "9110 §8.4", content=HELLO
    ),
}  # fmt: skip

CHUNKS = {
    "lower-case size": fine(b"b\r\nhello world\r\n0\r\n\r\n", expected=b"hello world"),
    "zeros before the size": fine(b"005" + REST),
    "zeros as the last size": fine(b"5\r\nhello\r\n000\r\n\r\n"),
    "one byte each": fine(b"".join(b"1\r\n%c\r\n" % byte for byte in HELLO) + NONE),
    "data that looks like chunks": fine(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", expected=b"0\r\n\r\n"),
    "data that looks like a request": fine(
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), expected=SMUGGLED
    ),
    "extension without a value": fine(b"5;a" + REST, EXTENSION),
    "two extensions": fine(b"5;a=b;c" + REST, EXTENSION),
    "quoted extension": fine(b'5;a="b;\\"c"' + REST, EXTENSION),
    "extension of the last chunk": fine(b"5\r\nhello\r\n0;a=b\r\n\r\n", EXTENSION),
    "extension of obs-text": fine(b'5;a="\x80"' + REST, EXTENSION),
    "no size": sized(b""),
    "extension alone": sized(b";a=b"),
    "tab before": sized(b"\t5"),
    "tab behind": sized(b"5\t"),
    "blank before the semicolon": sized(b"5 ;a=b", BWS),
    "minus zero": broken(chunked(b"-0\r\n\r\n"), SIZE),
    "plus zero": broken(chunked(b"+0\r\n\r\n"), SIZE),
    "0x0": broken(chunked(b"0x0\r\n\r\n" + SMUGGLED), SIZE),
    "x5": sized(b"x5"),
    "5h": sized(b"5h"),
    "$5": sized(b"$5"),
    "5.": sized(b"5."),
    "5,5": sized(b"5,5"),
    "quoted size": sized(b'"5"'),
    "full-width": sized("５".encode()),
    "superscript": sized(b"\xb2"),
    "NUL in front": sized(b"\x005"),
    "NUL behind": sized(b"5\0"),
    "2**64 + 5": sized(b"10000000000000005"),
    "bare LF behind the size": broken(chunked(b"5\nhello\r\n0\r\n\r\n"), BARE_LF),
    "bare LF in an extension": sized(b"5;a\n", BARE_LF),
    "bare LF in a quoted extension": sized(b'5;a="\n"', BARE_LF),
    "bare CR in a quoted extension": sized(b'5;a="\r"', BARE_CR),
    "CR LF in a quoted extension": broken(chunked(b'5;a="\r\n"' + REST), DATA),
    "CR CR LF behind the size": sized(b"5\r", BARE_CR),
    "control in an extension": sized(b"5;a=\x01", CONTROL),
    "DEL in an extension": sized(b"5;a=\x7f", CONTROL),
    "bare CR behind the data": broken(chunked(b"5\r\nhello\r0\r\n\r\n"), BARE_CR),
    "LF CR behind the data": broken(chunked(b"5\r\nhello\n\r0\r\n\r\n"), DATA),
    "two bytes for CR LF": broken(chunked(b"5\r\nhelloXX0\r\n\r\n"), DATA),
    "data one byte short": broken(chunked(b"6\r\nhello\r\n0\r\n\r\n" + SMUGGLED), DATA),
    "an empty line between chunks": broken(chunked(b"5\r\nhello\r\n\r\n0\r\n\r\n"), SIZE),
    "bare LF behind the last size": broken(chunked(b"5\r\nhello\r\n0\n\r\n"), BARE_LF),
    "bare LF twice at the end": broken(chunked(b"5\r\nhello\r\n0\n\n"), BARE_LF),
    "an extension beyond the limit": broken(
        chunked(b"5;" + b"a" * 70_000 + REST), "9112 §7.1.1: its length is limited"
    ),
}  # fmt: skip

TRAILERS = {
    "two": served(
        chunked(b"5\r\nhello\r\n0\r\nX-A: b\r\nX-C: d\r\n\r\n"), "9112 §7.1.2", content=HELLO
    ),
    "without a value": served(chunked(b"0\r\nX:\r\n\r\n"), "9112 §7.1.2", content=b""),
    "no colon": trailer(b"X\r\n", "9112 §5"),
    "blank before the colon": trailer(b"X : y\r\n", "9112 §5.1"),
    "empty name": trailer(b": y\r\n", "9110 §5.1"),
    "name that is no token": trailer(b"X Y: z\r\n", "9110 §5.1"),
    "folded": trailer(b"X: y\r\n z\r\n", FOLD),
    "blank in front": trailer(b" X: y\r\n", FOLD),
    "NUL": trailer(b"X: \0\r\n", CONTROL),
    "bare CR": trailer(b"X: y\rz\r\n", BARE_CR),
    "bare LF": trailer(b"X: y\nZ: a\r\n", BARE_LF),
    "bare LF at the end": trailer(b"X: y\n", BARE_LF),
    "of two lengths": trailer(b"Content-Length: 5\r\nContent-Length: 6\r\n", TRAILER),
    "beyond the limit": broken(
        chunked(b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n"), "6585 §5", 431
    ),
}  # fmt: skip

EXPECTATIONS = {
    "in capitals": served(
        post(FIVE, b"Expect: 100-CONTINUE", content=HELLO), "9110 §10.1.1", content=HELLO
    ),
    "with chunks": served(
        chunked(b"5" + REST, b"Expect: 100-continue"), "9110 §10.1.1", content=HELLO
    ),
    "without content": served(get(b"Expect: 100-continue"), "9110 §10.1.1"),
    "of a file": served(
        b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        % len(SMUGGLED) + SMUGGLED,
        "9110 §10.1.1: whether the content comes is not known, so the connection ends", 405,
        closes=True,
    ),
    "of a file that closes": served(
        b"POST / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: %d\r\n\r\n"
        % len(SMUGGLED) + SMUGGLED, "9112 §9.6", 405, closes=True,
    ),
    "two of them": served(
        post(FIVE, b"Expect: 100-continue", b"Expect: 100-continue", content=HELLO),
        "9110 §10.1.1", content=HELLO,
    ),
    "two words": served(
        post(FIVE, b"Expect: 100-continue, x", content=HELLO), "9110 §10.1.1", content=HELLO
    ),
    "with a broken framing": refused(post(CHUNKED, FIVE, b"Expect: 100-continue"), BOTH),
    "0.CL": refused(
        post(b"Expect: 100-continue", b"Content-Length: \r\n %d" % len(SMUGGLED), content=SMUGGLED),
        FOLD,
    ),
}  # fmt: skip
