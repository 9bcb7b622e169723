"""Request lines, forms of the target and field lines (RFC 9112 §2-§5) beyond the corpora."""

from __future__ import annotations

from tests.conformance.http1_probe import BARE_CR, BARE_LF, COLON, CONTROL, FOLD
from tests.conformance.http1_probe_compliance import LINE, NAME, VERSION
from tests.support_cases import HOST, Case, declined, get, refused, served

FORM = "9112 §3.2"
HIGHER = "9110 §2.5: a higher minor version is as the highest that we know"
MAJOR = "9110 §15.6.6: another major version"
IDENTICAL = "9112 §3.2: a client sends Host identical to the authority"
LARGE = "6585 §5"
BROWSERS = "3986 §3.4 has no such character; browsers send it as it is"


def line(first: bytes) -> bytes:
    """A head with this request line, whatever ends it included."""
    return first + HOST + b"\r\n"


def target(form: bytes) -> bytes:
    """A GET of it."""
    return get(target=form)


def version(token: bytes) -> Case:
    """A version that is none."""
    return refused(get(version=token), VERSION)


def major(token: bytes) -> Case:
    """A version of another protocol."""
    return refused(get(version=token), MAJOR, 505)


def connect(form: bytes, status: int = 405) -> Case:
    """No tunnel is made, and what was meant for it is not read as requests."""
    source = "9110 §9.3.6; RFC 9931 has a proxy end the connection"
    return refused(b"CONNECT " + form + b" HTTP/1.1\r\n" + HOST + b"\r\n", source, status)


REQUEST_LINES = {
    "extension method": served(line(b"M-SEARCH / HTTP/1.1\r\n"), "9110 §9.1, §15.5.6", 405),
    "method of every tchar": served(
        line(b"!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\n"), "9110 §5.6.2, §9.1", 405
    ),
    "method with @": refused(line(b"G@T / HTTP/1.1\r\n"), LINE),
    "method with NUL": refused(line(b"G\0T / HTTP/1.1\r\n"), LINE),
    "method with obs-text": refused(line(b"G\xc3\x89T / HTTP/1.1\r\n"), LINE),
    "method with a colon": refused(line(b"GET: / HTTP/1.1\r\n"), LINE),
    "no method": refused(line(b" / HTTP/1.1\r\n"), LINE),
    "blank in front": refused(line(b" GET / HTTP/1.1\r\n"), LINE),
    "tab in front": refused(line(b"\tGET / HTTP/1.1\r\n"), LINE),
    "blank behind": refused(line(b"GET / HTTP/1.1 \r\n"), LINE),
    "tab behind": refused(line(b"GET / HTTP/1.1\t\r\n"), LINE),
    "two blanks before the version": refused(line(b"GET /  HTTP/1.1\r\n"), LINE),
    "tab before the version": refused(line(b"GET /\tHTTP/1.1\r\n"), LINE),
    "vertical tab": refused(line(b"GET\x0b/ HTTP/1.1\r\n"), LINE),
    "form feed": refused(line(b"GET\x0c/ HTTP/1.1\r\n"), LINE),
    "no-break space": refused(line(b"GET\xa0/ HTTP/1.1\r\n"), LINE),
    "bare CR for a blank": refused(line(b"GET\r/ HTTP/1.1\r\n"), BARE_CR),
    "a fourth word": refused(line(b"GET / HTTP/1.1 HTTP/1.1\r\n"), LINE),
    "no version": refused(line(b"GET /\r\n"), "9112 §3; HTTP/0.9 is not spoken"),
    "no version, blank kept": refused(line(b"GET / \r\n"), "9112 §3; HTTP/0.9 is not spoken"),
    "HTTP/0.9 alone": refused(b"GET /\r\n\r\n", "9112 §3; HTTP/0.9 is not spoken"),
    "CR CR LF": refused(line(b"GET / HTTP/1.1\r\r\n"), BARE_CR),
    "LF CR": refused(line(b"GET / HTTP/1.1\n\r"), BARE_LF),
    "one empty line in front": served(b"\r\n" + get(), "9112 §2.2: at least one is ignored"),
    "bare LF in front": refused(b"\n" + get(), BARE_LF),
    "bare CR in front": refused(b"\r" + get(), BARE_CR),
    "NUL in front": refused(b"\0" + get(), LINE),
    "byte order mark in front": refused(b"\xef\xbb\xbf" + get(), LINE),
    "a response": refused(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", LINE),
    "a TLS record": refused(b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03\r\n\r\n", LINE),
    "a line of 8000 octets": served(
        get(target=b"/" + b"a" * 7986), "9112 §3: at least 8000 are supported", 404
    ),
    "a line beyond the limit": refused(get(target=b"/" + b"a" * 8300), "9112 §3", 414),
}  # fmt: skip

VERSIONS = {
    "1.0": served(get(version=b"HTTP/1.0"), "9112 §9.3", closes=True),
    "1.0 that keeps": served(get(b"Connection: keep-alive", version=b"HTTP/1.0"), "9112 §9.3"),
    "1.0 that keeps and closes": served(
        get(b"Connection: keep-alive, close", version=b"HTTP/1.0"), "9112 §9.3", closes=True
    ),
    "1.9": served(get(version=b"HTTP/1.9"), HIGHER),
    "1.2 that closes": served(get(b"Connection: close", version=b"HTTP/1.2"), HIGHER, closes=True),
    "0.9 by name": major(b"HTTP/0.9"),
    "0.0": major(b"HTTP/0.0"),
    "2.0": major(b"HTTP/2.0"),
    "3.7": major(b"HTTP/3.7"),
    "a preface that is none": refused(b"PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n", MAJOR, 505),
    "no digits": version(b"HTTP/"),
    "no dot": version(b"HTTP/11"),
    "no minor digit": version(b"HTTP/1."),
    "no major digit": version(b"HTTP/.1"),
    "three numbers": version(b"HTTP/1.1.1"),
    "comma": version(b"HTTP/1,1"),
    "plus": version(b"HTTP/+1.1"),
    "minus": version(b"HTTP/-1.1"),
    "hexadecimal": version(b"HTTP/0x1.1"),
    "letter behind": version(b"HTTP/1.1x"),
    "NUL behind": version(b"HTTP/1.1\0"),
    "two digits": version(b"HTTP/1.10"),
    "full-width digits": version("HTTP/１.１".encode()),
    "another name": version(b"HTTPS/1.1"),
    "mixed case": version(b"Http/1.1"),
    "no slash": version(b"HTTP1.1"),
}

TARGETS = {
    "absolute, upper case": served(target(b"HTTP://A.TEST/"), "9110 §4.2.3"),
    "absolute without a path": served(target(b"http://a.test"), "9110 §4.2.3"),
    "absolute with a query alone": served(target(b"http://a.test?q"), "9110 §4.2.3"),
    "absolute with another Host": refused(target(b"http://b.test/"), IDENTICAL),
    "absolute with a port that Host has not": refused(target(b"http://a.test:80/"), IDENTICAL),
    "absolute without any Host": refused(b"GET http://a.test/ HTTP/1.1\r\n\r\n", FORM),
    "absolute without any Host in 1.0": served(
        b"GET http://a.test/ HTTP/1.0\r\n\r\n", "9112 §3.2.2", closes=True
    ),
    "absolute with empty Host": served(
        b"GET http://a.test/ HTTP/1.1\r\nHost:\r\n\r\n", "9112 §3.2.2: the target's counts"
    ),
    "absolute with a user": refused(target(b"http://u@a.test/"), "9110 §4.2.4"),
    "absolute with an empty authority": refused(target(b"http:///x"), "9110 §4.2.1"),
    "absolute with a fragment": refused(target(b"http://a.test/#x"), FORM),
    "absolute with one slash": refused(target(b"http:/a.test/"), FORM),
    "absolute with a backslash": declined(target(b"http://a.test/\\x"), FORM),
    "absolute with a blank": refused(target(b"http://a.test/ x"), LINE),
    "absolute of https in clear text": refused(
        target(b"https://a.test/"), "9110 §7.4: not on a connection that is not secured", 421
    ),
    "absolute of another scheme": refused(target(b"ftp://a.test/"), FORM),
    "absolute of OPTIONS": served(b"OPTIONS http://a.test HTTP/1.1\r\n" + HOST + b"\r\n",
                                  "9112 §3.2.4", 204),
    "two slashes": served(target(b"//b.test/"), "9112 §3.2.1: a path, and no authority", 404),
    "authority in GET": refused(target(b"a.test:80"), "9112 §3.2.3"),
    "asterisk in HEAD": refused(b"HEAD * HTTP/1.1\r\n" + HOST + b"\r\n", "9112 §3.2.4"),
    "relative in HEAD": refused(b"HEAD x HTTP/1.1\r\n" + HOST + b"\r\n", FORM),
    "HEAD of no version": refused(b"HEAD / HTTP/1.x\r\n" + HOST + b"\r\n", VERSION),
    "HEAD with a folded line": refused(b"HEAD" + get(b"X: y\r\n z")[3:], "9112 §5.2"),
    "HEAD beyond the limit": refused(b"HEAD" + get(target=b"/" + b"a" * 9000)[3:], "9112 §3", 414),
    "asterisk in POST": refused(b"POST * HTTP/1.1\r\n" + HOST + b"\r\n", "9112 §3.2.4"),
    "two asterisks": refused(b"OPTIONS ** HTTP/1.1\r\n" + HOST + b"\r\n", "9112 §3.2.4"),
    "asterisk behind a slash": served(b"OPTIONS /* HTTP/1.1\r\n" + HOST + b"\r\n", FORM, 204),
    "relative": refused(target(b"index.html"), FORM),
    "relative to here": refused(target(b"./index.html"), FORM),
    "query alone": refused(target(b"?q"), FORM),
    "fragment alone": refused(target(b"#x"), FORM),
    "fragment in the query": refused(target(b"/?q#x"), FORM),
    "quote": refused(target(b'/"'), FORM),
    "less-than": served(target(b"/<"), "3986 §3.3 has no such character; one path to all", 404),
    "braces in the query": served(target(b"/?q={a|b}^`[]"), BROWSERS),
    "control": refused(target(b"/\x01"), LINE),
    "DEL": refused(target(b"/\x7f"), LINE),
    "tab": refused(target(b"/a\tb"), LINE),
    "Latin-1": refused(target(b"/\xe9"), FORM),
    "UTF-8 in the query": refused(target(b"/?\xc3\xa9"), FORM),
    "half an escape": declined(target(b"/%4"), "3986 §2.1"),
    "escaped NUL": declined(target(b"/%00"), "a control in a path"),
    "escaped CR LF": declined(target(b"/%0d%0aX:%20y"), "a control in a path"),
    "backslash": declined(target(b"/..\\x"), "two readers, two paths"),
    "above the root": declined(target(b"/../x"), "3986 §5.2.4 would stay at the root; refused"),
    "above the root, escaped": declined(target(b"/%2e%2e/x"), "as above"),
    "CONNECT": connect(b"a.test:80"),
    "CONNECT without a port": connect(b"a.test"),
    "CONNECT with a path": connect(b"/"),
    "CONNECT with a URL": connect(b"http://a.test/"),
}  # fmt: skip

FIELD_LINES = {
    "empty value": served(get(b"X:"), "9110 §5.5"),
    "blanks around a value": served(get(b"X: \t  y \t "), "9110 §5.5"),
    "no blank before a value": served(get(b"X:y"), "9112 §5"),
    "tab within a value": served(get(b"X: a\tb"), "9110 §5.5"),
    "obs-text in a value": served(get(b"X: \x80\xff"), "9110 §5.5"),
    "name of every tchar": served(get(b"!#$%&'*+-.^_`|~09azAZ: y"), "9110 §5.6.2"),
    "the same field twice": served(get(b"X: a", b"X: b"), "9110 §5.3"),
    "tab before the colon": refused(get(b"X\t: y"), COLON),
    "blank before the colon of Host": refused(b"GET / HTTP/1.1\r\nHost : a.test\r\n\r\n", COLON),
    "blank in a name": refused(get(b"X Y: z"), NAME),
    "no-break space before the colon": refused(get(b"X\xa0: y"), NAME),
    "NUL in a name": refused(get(b"X\0: y"), NAME),
    "quote in a name": refused(get(b'X": y'), NAME),
    "parenthesis in a name": refused(get(b"X(: y"), NAME),
    "slash in a name": refused(get(b"X/Y: z"), NAME),
    "comma in a name": refused(get(b"X,Y: z"), NAME),
    "DEL in a value": refused(get(b"X: a\x7f"), CONTROL),
    "ESC in a value": refused(get(b"X: a\x1b[31m"), CONTROL),
    "vertical tab in a value": refused(get(b"X: a\x0bb"), CONTROL),
    "NUL for a value": refused(get(b"X: \0"), CONTROL),
    "bare CR at the end of a value": refused(get(b"X: y\r"), BARE_CR),
    "bare LF within a value": refused(get(b"X: y\nZ: a"), BARE_LF),
    "bare LF twice for the end": refused(b"GET / HTTP/1.1\r\n" + HOST + b"\n\n", BARE_LF),
    "bare LF for the empty line": refused(b"GET / HTTP/1.1\r\n" + HOST + b"\n", BARE_LF),
    "folded by a tab": refused(get(b"X: y\r\n\tz"), FOLD),
    "folded, empty": refused(get(b"X: y\r\n "), FOLD),
    "folded before a length": refused(get(b"X: y\r\n Content-Length: 5") + b"hello", FOLD),
    "folded Host": refused(b"GET / HTTP/1.1\r\nHost:\r\n a.test\r\n\r\n", FOLD),
    "blank in front of the first line": refused(
        b"GET / HTTP/1.1\r\n X: y\r\n" + HOST + b"\r\n", "9112 §2.2"
    ),
    "a colon alone": refused(get(b":"), NAME),
    "a request line for a field": refused(get(b"GET /smuggled.txt HTTP/1.1"), "9112 §5"),
    "99 more field lines": served(get(*[b"X: y"] * 99), "100 are the limit"),
    "100 more field lines": refused(get(*[b"X: y"] * 100), LARGE, 431),
    "fields beyond the limit": refused(get(*[b"X: " + b"y" * 500] * 40), LARGE, 431),
}

PERSISTENCE = {
    "close in capitals": served(get(b"Connection: CLOSE"), "9110 §7.6.1", closes=True),
    "close in a list": served(get(b"Connection: x, close"), "9112 §9.6", closes=True),
    "close in a second line": served(
        get(b"Connection: x", b"Connection: close"), "9112 §9.6", closes=True
    ),
    "close and keep-alive": served(
        get(b"Connection: keep-alive, close"), "9112 §9.3", closes=True
    ),
    "closed is not close": served(get(b"Connection: closed"), "9110 §7.6.1"),
    "Proxy-Connection": served(get(b"Proxy-Connection: close"), "9112 §C.2.2: no such field"),
    "h2c": served(
        get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
        "9113 §3.1: no longer defined",
    ),
}  # fmt: skip
