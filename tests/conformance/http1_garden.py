"""
The trophies of the HTTP Garden (github.com/narfindustries/http-garden, `TROPHIES.md`), by number.

The bytes that led other servers and proxies astray, with a good Host where the trophy is not about
that, and with the smuggled request as `SMUGGLED`. Not here: three that any request sets off and
that name no bytes (bonus 1, 2, 5), and the two over HTTP/2.
"""

from __future__ import annotations

from tests.conformance.http1_probe import (
    BARE_CR,
    BARE_LF,
    BOTH,
    COLON,
    CONTROL,
    DATA,
    EMPTY,
    LENGTH,
    SIZE,
    SMUGGLED,
)
from tests.conformance.http1_probe_compliance import LINE, NAME, VERSION
from tests.support_cases import HOST, Case, broken, chunked, get, post, refused, served

CHUNKED = b"Transfer-Encoding: chunked"
ONE = b"1\r\nZ\r\n0\r\n\r\n"
NONE = b"0\r\n\r\n"
BEHIND = NONE + SMUGGLED
CODING = "9112 §6.1, §7: no coding but chunked, written so"
CONTROLS = b"\0\1\2\3\4\5\6\7\b\t\x0b\x0c" + bytes(range(14, 32)) + b' "(),/;<=>?@[/]{}'

SERVERS = {
    1: broken(chunked(b"0_2e\r\n" + BEHIND), SIZE),
    2: refused(get(b"Header: v\0\ralue"), CONTROL),
    3: refused(get(b"Content-Length : %d" % len(SMUGGLED)) + SMUGGLED, COLON),
    4: refused(b"GET / HTTP/1.1\r\n\tContent-Length: 1\r\n" + HOST + b"\r\nX", "9112 §2.2"),
    5: refused(get(version=b"HTTP/1.32"), VERSION),
    6: refused(b'G=":<>(e),[T];?" /get HTTP/1.1\r\n' + HOST + b"\r\n", LINE),
    7: refused(get(target=b"!"), LINE),
    8: refused(get(b"\xeffoo: bar"), NAME),
    9: refused(b"GET /\nHTTP/1.1\r\n" + HOST + b"\r\n", BARE_LF),
    10: refused(post(b"Content-Length: +1_0", content=b"0123456789"), LENGTH),
    11: refused(post(CHUNKED, CHUNKED, content=ONE), "9112 §6.1: chunked is applied once"),
    12: refused(post(b"Transfer-Encoding: \xa0chunked\xa0", content=NONE), CODING),
    13: refused(get(b"Visible: :/\rSmuggled: :)"), BARE_CR),
    14: refused(get(CONTROLS + b": whatever"), NAME),
    15: refused(get(version=b"HTTP/\r\r1.1"), BARE_CR),
    16: refused(get(b"Content-Length: "), LENGTH),
    17: broken(chunked(b"\r\n\r\n"), SIZE),
    18: refused(b"GET / HTTP/1.1\r\n: ignored\r\n" + HOST + b"\r\n", NAME),
    19: refused(b"GET / HTTP/1.1\r\n" + HOST + b"Useless:\n\n" + SMUGGLED, BARE_LF),
    20: refused(get(b"Content-Length\x85: 10") + b"0123456789", NAME),
    21: refused(post(b"Transfer-Encoding: ,chunked", b"Content-Length: 5", content=NONE), BOTH),
    22: broken(chunked(b"0_2e\r\n" + BEHIND), SIZE),
    23: refused(get(b"Content-Length: 1", b"Content-Length: 0") + b"Z", LENGTH),
    24: refused(get(version=b"HTTP/4294967295.255"), VERSION),
    25: broken(chunked(b"-0x0\r\n\r\n"), SIZE),
    26: refused(get(b"Content-Length: -48"), LENGTH),
    27: refused(b"GET / HTTP/1.1\r\n" + HOST + b":\r\nI: am chopped off\r\n\r\n", NAME),
    28: refused(get(b"Content-Length 10") + b"0123456789", "9112 §5: a colon"),
    29: refused(get(b"Content-Length: 1Z") + b"Z", LENGTH),
    30: refused(b"GET / HTTP/1.1\r\n" + HOST + b"\rZGET /evil: HTTP/1.1\r\n" + HOST + b"\r\n",
                BARE_CR),
    31: broken(chunked(b"5\r\r;ABCD\r\n34\r\nE\r\n" + BEHIND), BARE_CR),
    32: served(post(b"Content-Length: 010", content=b"0123456789"), "9110 §8.6: decimal",
               content=b"0123456789"),
    33: refused(get(b"Content-Length: 0", b"Content-Length: 1") + b"Z", LENGTH),
    34: refused(get(b"Header: va\rlue"), BARE_CR),
    35: refused(get(b"Test: test\0THESE BYTES GET DROPPED", b"Connection: close"), CONTROL),
    36: broken(chunked(b"41;a=b\r\r" + b"X" * 65 + b"\r\n" + BEHIND), BARE_CR),
    37: refused(post(b"Transfer-\r\nEncoding: chunked", b"Content-Length: 5", content=NONE),
                "9112 §5: a colon in each line"),
    38: refused(get(b"Content-Length: ") + SMUGGLED, LENGTH),
    39: served(chunked(b"0\r\nX:POST / HTTP/1.1\r\n\r\n"), "9112 §7.1.2: a trailer field",
               content=b""),
    40: refused(b"\0 / HTTP/............0596.7407.\r\n\r\n", LINE),
    41: served(get(b"User: \x85admin\xa0"), "9110 §5.5: obs-text belongs to the value"),
    42: refused(get(b"Content-Length: ", b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED,
                LENGTH),
    43: refused(get(b"Evil: evil\0"), CONTROL),
    44: refused(post(b"Transfer-Encoding: blegh", content=ONE), CODING, 501),
    45: served(get(b"Connection: close") + b"Invalid\r\n\r\n", "9112 §9.6", closes=True),
    46: refused(post(b"Transfer-Encoding: \xffchunked\xff", content=ONE), CODING),
    47: broken(chunked(b"INVALID!!!\r\n" + SMUGGLED), SIZE),
    48: Case(post(b"Content-Length: 0", b"Connection:keep-alive")
             + b"POST / HTTP/1.1\r\n" + HOST
             + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
             (200, 405), "9112 §6.3: each its own content", content=b""),
}  # fmt: skip

TRANSDUCERS = {
    1: refused(post(b"Content-Length: 0x10", content=b"Z"), LENGTH),
    2: broken(chunked(b"Z\r\nZZ\r\nZZZ\r\n\r\n"), SIZE),
    3: broken(chunked(b"2\r\r;a\r\n02\r\n41\r\n" + BEHIND), BARE_CR),
    4: broken(chunked(b"1\r0\n"), BARE_CR),
    5: refused(get(b"content-length: "), LENGTH),
    6: refused(get(b"Header\x85: value"), NAME),
    7: broken(chunked(b"1these-bytes-never-get-validated\r\nZ\r\n" + NONE), SIZE),
    9: refused(post(b"Transfer-Encoding: ,chunked", content=NONE), EMPTY, 501),
    10: refused(get(b"Invalid-Header: this\rvalue\ris\rinvalid"), BARE_CR),
    11: refused(get(b"content-length: ", b"content-length: %d" % len(SMUGGLED)) + SMUGGLED,
                LENGTH),
    12: refused(b"GET / HTTP/1.1\r\nHost: a.test\0.kallus.org\r\n\r\n", CONTROL),
    13: broken(chunked(b"a\r\n0123456789\n" + NONE), BARE_LF),
    14: refused(get(b"Te\nst: test", b"Connection: close"), BARE_LF),
    15: refused(get(b"Transfer-Encoding: ,chunked", b"Content-Length: 5", b"Connection: close")
                + b"0r\n\r\n", BOTH),
    16: refused(b"GET / HTTP/1.1\nHost: a.test\nConnection: close\n\n", BARE_LF),
    17: broken(chunked(b"%x\r\n" % len(BEHIND) + BEHIND + b"\r\n\r\n" + NONE), SIZE),
    18: refused(get(b"Transfer-Encoding: ,chunked", b"Content-Length: 5") + NONE, BOTH),
    19: broken(chunked(b"-0x0\r\n\r\n"), SIZE),
    20: refused(get(b"a:b", b"c\0"), CONTROL),
    21: served(get(b"Content-Length: 10") + b"1234567890", "9112 §6.3: read with the request"),
    22: refused(post(b"Content-Length: 0", b"Content-Length: %d" % len(SMUGGLED),
                     content=SMUGGLED), LENGTH),
    23: refused(post(b"Content-Length: 5", CHUNKED, content=NONE), BOTH),
    24: broken(chunked(b"           0\r\n\r\n"), SIZE),
    25: refused(post(CHUNKED, CHUNKED, content=NONE), "9112 §6.1: chunked is applied once"),
}  # fmt: skip

BONUSES = {
    3: Case(chunked(NONE) + b"\0" + get(), (200, 400), LINE, closes=True, content=b""),
    4: served(chunked(ONE), DATA, content=b"Z"),
}

TROPHIES = {
    **{f"server {number}": case for number, case in SERVERS.items()},
    **{f"transducer {number}": case for number, case in TRANSDUCERS.items()},
    **{f"bonus {number}": case for number, case in BONUSES.items()},
}
