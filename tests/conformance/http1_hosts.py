"""
Spellings of Host (RFC 9112 §3.2, 9110 §7.2): a site's, nobody's, or none at all.

A Host that is none is 400 and the connection goes on where the request was framed without doubt:
the RFC asks for the status alone, and what a host means says nothing of where a message ends.
"""

from __future__ import annotations

from tests.support_cases import Case, declined, get, refused, served

INVALID = "9112 §3.2: a Host that is no uri-host [: port] is 400"
ONE = "9112 §3.2: one Host line in HTTP/1.1, no more and no less"
UNSURE = "3986 §3.2.2 allows it, the DNS has no such name; two readers could see two hosts"
ASCII = "3986 §3.2.2: other letters come as A-labels"
GRAMMAR = "9110 §5.5"


def host(value: bytes) -> bytes:
    """A GET with this Host."""
    return b"GET / HTTP/1.1\r\nHost:" + value + b"\r\n\r\n"


def ours(value: bytes, source: str = "9110 §4.2.3") -> Case:
    """The site's."""
    return served(host(value), source)


def nobodys(value: bytes, source: str = "valid, and not here") -> Case:
    """A host that the node does not know."""
    return served(host(value), source, 404)


def none(value: bytes, source: str = INVALID) -> Case:
    """No host."""
    return declined(host(value), source)


HOSTS = {
    "as it is": ours(b" a.test"),
    "capitals": ours(b" A.TEST"),
    "mixed case": ours(b" a.TesT"),
    "no blank before it": ours(b"a.test", "9110 §5.5"),
    "blanks around it": ours(b" \t a.test\t ", "9110 §5.5"),
    "a port": ours(b" a.test:80"),
    "another port": ours(b" a.test:65535"),
    "zeros before the port": ours(b" a.test:00080", "3986 §3.2.3"),
    "an empty port": ours(b" a.test:", "3986 §3.2.3"),
    "a dot behind": ours(b" a.test.", "1034 §3.1: the same name"),
    "a dot and a port": ours(b" A.test.:8080", "1034 §3.1"),
    "A-label": ours(b" xn--bcher-kva.test", "5890 §2.3.2.1"),
    "A-label in capitals": ours(b" XN--BCHER-KVA.TEST.:443", "5890 §2.3.2.1"),
    "nobody's": nobodys(b" b.test"),
    "above": nobodys(b" test"),
    "below": nobodys(b" x.a.test"),
    "below, alike": nobodys(b" a.a.test"),
    "behind": nobodys(b" a.test.evil"),
    "in front": nobodys(b" evila.test"),
    "underscore": nobodys(b" a_b.test", "container networks have it"),
    "localhost": nobodys(b" localhost"),
    "IPv4": nobodys(b" 127.0.0.1"),
    "decimal IPv4": nobodys(b" 2130706433"),
    "hexadecimal IPv4": nobodys(b" 0x7f000001"),
    "octal IPv4": nobodys(b" 0177.0.0.1"),
    "short IPv4": nobodys(b" 127.1"),
    "IPv6": nobodys(b" [::1]"),
    "IPv6 with a port": nobodys(b" [::1]:80"),
    "IPv4 in IPv6": nobodys(b" [::ffff:127.0.0.1]"),
    "punycode of nothing": none(b" xn--.test", "1123 §2.1"),
    "empty": none(b""),
    "blanks alone": none(b" \t "),
    "a user": none(b" user@a.test"),
    "a user and a password": none(b" user:password@a.test"),
    "an empty user": none(b" @a.test"),
    "at behind": none(b" a.test@b.test"),
    "a comma": none(b" a.test,b.test"),
    "a comma and a blank": none(b" a.test, a.test"),
    "a comma behind": none(b" a.test,"),
    "a semicolon": none(b" a.test;b.test", UNSURE),
    "a blank": none(b" a.test b.test"),
    "a tab": none(b" a.test\tb.test"),
    "a slash": none(b" a.test/"),
    "a path": none(b" a.test/x"),
    "a query": none(b" a.test?x"),
    "a fragment": none(b" a.test#x"),
    "a backslash": none(b" a.test\\b.test"),
    "a URL": none(b" http://a.test"),
    "two slashes in front": none(b" //a.test"),
    "quoted": none(b' "a.test"'),
    "an escape": none(b" %61.test", UNSURE),
    "an escaped dot": none(b" a%2etest", UNSURE),
    "an escaped NUL": none(b" a.test%00", UNSURE),
    "a star": none(b" *.test", UNSURE),
    "a letter for a port": none(b" a.test:x"),
    "a port and a letter": none(b" a.test:80x"),
    "a signed port": none(b" a.test:+80"),
    "a negative port": none(b" a.test:-80"),
    "an underscore in the port": none(b" a.test:8_0"),
    "a blank before the port": none(b" a.test: 80"),
    "two ports": none(b" a.test:80:80"),
    "a port beyond": none(b" a.test:65536", "0793: 16 bits"),
    "a port of six digits": none(b" a.test:000080", "more digits than a port has"),
    "an Arabic port": none(" a.test:٨٠".encode()),
    "a port alone": none(b" :80"),
    "a dot alone": none(b" ."),
    "two dots": none(b" a..test", "1035 §2.3.1"),
    "a dot in front": none(b" .a.test", "1035 §2.3.1"),
    "two dots behind": none(b" a.test..", "1035 §2.3.1"),
    "a hyphen in front": none(b" -a.test", "1123 §2.1"),
    "a hyphen behind": none(b" a-.test", "1123 §2.1"),
    "a label too long": none(b" " + b"a" * 64 + b".test", "1035 §2.3.4"),
    "a name too long": none(b" " + b"a." * 125 + b"test", "1035 §2.3.4"),
    "very long": none(b" " + b"a" * 4000, "1035 §2.3.4"),
    "UTF-8": none(" bücher.test".encode(), ASCII),
    "UTF-8 in capitals": none(" BÜCHER.TEST".encode(), ASCII),
    "full-width letters": none(" ａ.test".encode(), ASCII),
    "ideographic dot": none(" a\u3002test".encode(), ASCII),
    "soft hyphen": none(" a\u00ad.test".encode(), ASCII),
    "long s": none(" a.te\u017ft".encode(), ASCII),
    "Latin-1": none(b" b\xfccher.test", ASCII),
    "brackets around a name": none(b" [a.test]"),
    "an open bracket": none(b" [::1"),
    "a closed bracket": none(b" ::1]"),
    "no brackets": none(b" ::1"),
    "a letter behind brackets": none(b" [::1]x"),
    "a zone": none(b" [fe80::1%25eth0]", "6874: of one machine alone"),
    "too many groups": none(b" [1:2:3:4:5:6:7:8:9]"),
    "a letter that is no digit": none(b" [::g]"),
    "an IPv4 in brackets": none(b" [127.0.0.1]"),
    "a future literal": none(b" [v1.a]", "3986 §3.2.2: of no version that there is"),
    "NUL": refused(host(b" a.test\0"), GRAMMAR),
    "NUL within": refused(host(b" a.test\0.evil"), GRAMMAR),
    "DEL": refused(host(b" a.test\x7f"), GRAMMAR),
    "bare CR": refused(host(b" a.test\rX: y"), GRAMMAR),
    "bare LF": refused(host(b" a.test\nHost: b.test"), GRAMMAR),
    "no Host": refused(b"GET / HTTP/1.1\r\nX: y\r\n\r\n", ONE),
    "two alike": refused(get(b"Host: a.test"), ONE),
    "two that differ": refused(get(b"Host: b.test"), ONE),
    "two, one in capitals": refused(get(b"HOST: a.test"), ONE),
    "two, one empty": refused(get(b"Host:"), ONE),
    "two, one folded": refused(get(b"X: y\r\n Host: b.test"), "9112 §5.2"),
    "two in 1.2": refused(get(b"Host: a.test", version=b"HTTP/1.2"), ONE),
    "two in 1.0": refused(get(b"Host: a.test", version=b"HTTP/1.0"), ONE),
    "an alias": served(get(b"X-Forwarded-Host: b.test", b"X-Host: b.test"), "9110 §7.2"),
    "a line above": refused(b"GET / HTTP/1.1\r\nHost: b.test\r\n a.test\r\n\r\n", "9112 §5.2"),
}
