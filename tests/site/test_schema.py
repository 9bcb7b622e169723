"""The grammar of each kind of value."""

from __future__ import annotations

import contextlib
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.site import schema
from edge.site.reading import convert, parser_of

TYPES = {name: each for name, each in vars(schema).items() if parser_of(each)}
ARGON = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21l$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaA"
BCRYPT = "$2b$12$" + "./09AZaz" * 6 + "abcde"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("Text", "var/log", "var/log"),
        ("AllOrNone", "none", "none"),
        ("Workers", "auto", "auto"),
        ("Workers", "4", 4),
        ("Memory", "auto", "auto"),
        ("Memory", "1GiB", 1 << 30),
        ("Whole", "0", 0),
        ("Count", "1", 1),
        ("DeltaSeconds", "0", 0),
        ("DeltaSeconds", "2147483647", 2_147_483_647),
        ("Port", "65535", 65_535),
        ("Threshold", "-0.5", -0.5),
        ("Threshold", "10", 10.0),
        ("Share", "0", 0.0),
        ("Share", "0.01", 0.01),
        ("Share", "1", 1.0),
        ("Collector", "http://collector:4318", "http://collector:4318"),
        ("Collector", "https://a.test/otlp", "https://a.test/otlp"),
        ("Threshold", "10GiB", 10 * 2.0**30),
        ("Minutes", "5m", 300.0),
        ("Minutes", "24h", 86_400.0),
        ("Period", "1h", 3_600.0),
        ("Title", "High traffic", "High traffic"),
        ("Size", "0", 0),
        ("PositiveSize", "8KiB", 8_192),
        ("Duration", "0", 0.0),
        ("Timeout", "10s", 10.0),
        ("Host", "WWW.Bücher.Example.", "www.xn--bcher-kva.example"),
        ("DefaultDomain", "Edge.Localhost", "edge.localhost"),
        ("Subdomain", "", ""),
        ("Subdomain", "Beta.Alpha", "beta.alpha"),
        ("Subdomain", "bücher", "xn--bcher-kva"),
        ("Socket", "127.0.0.1:8080", "127.0.0.1:8080"),
        ("Socket", "[::0:1]:0", "[::1]:0"),
        ("Socket", "LocalHost:0443", "localhost:443"),
        ("Socket", "my_app:3000", "my_app:3000"),
        ("AdminSocket", "unix:/run/edge.sock", "unix:/run/edge.sock"),
        ("AdminSocket", "127.0.0.1:9901", "127.0.0.1:9901"),
        ("Network", "10.0.0.0/8", "10.0.0.0/8"),
        ("Network", "192.0.2.7", "192.0.2.7/32"),
        ("Network", "2001:DB8::/32", "2001:db8::/32"),
        ("IpAddress", "203.0.113.7", "203.0.113.7"),
        ("IpAddress", "[2001:DB8::0:7]", "2001:db8::7"),
        ("DnsName", "_acme-challenge.Example.com.", "_acme-challenge.example.com"),
        ("DnsName", "edge-key", "edge-key"),
        ("FieldName", "CloudFront-Viewer-Country", "CloudFront-Viewer-Country"),
        ("Url", "https://ca.example/dir", "https://ca.example/dir"),
        ("Url", "http://127.0.0.1:14000/dir", "http://127.0.0.1:14000/dir"),
        ("Url", "http://[::1]/dir", "http://[::1]/dir"),
        ("Notify", "mailto:ops@example.com", "mailto:ops@example.com"),
        ("Notify", "https://hooks.example/x?y=z", "https://hooks.example/x?y=z"),
        ("Email", "ops@example.com", "ops@example.com"),
        ("Metric", "errors_5xx_percent", "errors_5xx_percent"),
        ("Branch", "feature/Login 2", "feature/Login 2"),
        ("Pattern", "feature/*", "feature/*"),
        ("Pattern", "pr-[0-9]*", "pr-[0-9]*"),
        ("User", "team", "team"),
        ("PasswordHash", ARGON, ARGON),
        ("PasswordHash", BCRYPT, BCRYPT),
        ("PathGlob", "/.well-known/*", "/.well-known/*"),
        ("TreePath", "errors/404.html", "errors/404.html"),
    ],
)
def test_a_value_is_read(name, text, value):
    """A value in the form of its type is read into one canonical form."""
    assert convert(text, TYPES[name]) == value


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("Text", ["", "a\x00b", "a\nb", "\u202e"]),
        ("Workers", ["0", "257", "many", "-1", "Auto"]),
        ("Count", ["0", "1_0", "010", "+1", "1.0", "٣", "0x10", "1000000000000000"]),
        ("DeltaSeconds", ["-1", "2147483648", "10m"]),
        ("Port", ["0", "65536", "http"]),
        ("Threshold", ["1e3", ".5", "inf", "nan", "1_0", "+1", "", "10GB", "1m"]),
        ("Minutes", ["0", "30s", "90s", "1", "25h"]),
        ("Period", ["0", "30s", "61m"]),
        ("Share", ["", "-0.1", "1.01", "1%"]),
        (
            "Collector",
            ["", "collector:4318", "grpc://a:4317", "http://", "http://a/?b", "http://[a/"],
        ),
        ("Collector", ["http://a b", "http://user:secret@a"]),
        ("Title", ["", "a\nb", "x" * 101]),
        ("PositiveSize", ["0", "0KiB", "8KB"]),
        ("Timeout", ["0", "0s", "10"]),
        ("Host", ["", "*.example.com", "a b", "https://example.com", "a..b", "-a.b", "1.2.3"]),
        ("DefaultDomain", ["", "a" * 63 + "." + "b" * 63]),
        ("Subdomain", ["@", "*", "-a", "a-", "a..b", ".a", "a.", "a_b", "a b", "x" * 64]),
        ("Socket", ["8080", ":8080", "a:b:1", "::1:80", "[::1]", "[::1]:1:2", "a:65536", "a:+1"]),
        ("Socket", ["unix:/run/x", "a@b:80", "a:٣", "a:1:2", "[1.2.3.4]:80", ""]),
        ("AdminSocket", ["unix:", "9901", "/run/edge.sock"]),
        ("Network", ["10.0.0.1/8", "example.com", "10.0.0.0/33", ""]),
        ("IpAddress", ["", "example.com", "10.0.0.0/8", "192.0.2.7:80", "0.0.0.0", "ff02::1"]),
        ("IpAddress", ["fe80::1%eth0", "::", "1.2.3"]),
        ("DnsName", ["", ".", "a..b", "-a.b", "a b", "é.example", "x" * 64, "a." * 127 + "a"]),
        ("FieldName", ["", "X Y", "X:Y", "é"]),
        ("Url", ["http://ca.example/dir", "ca.example", "https://", "https://[x/", "ftp://x"]),
        ("Notify", ["mailto:", "mailto:ops", "http://hooks.example", "ops@example.com"]),
        ("Email", ["", "ops", "Ops <ops@example.com>", "a@b@c", "a,b@c"]),
        ("Metric", ["", "Requests per second", "edge_x{", "edge-x"]),
        ("Branch", ["", " main", "main ", "a\tb", "x" * 256]),
        ("Pattern", ["", "pr-[0-9", "[a]/[b"]),
        ("User", ["", "a:b", "a\nb"]),
        ("PathGlob", ["", "*.json", "a/*"]),
        ("TreePath", ["", "/404.html", "../x", "a//b", "a\\b", "."]),
    ],
)
def test_a_doubtful_value_is_refused(name, texts):
    """A value that is not in the form of its type is refused with the problem in words."""
    for text in texts:
        with pytest.raises(ValueError, match=r"\w+ \w+") as caught:
            convert(text, TYPES[name])

        assert all(isinstance(words, str) for words in caught.value.args)


@pytest.mark.parametrize(
    "text",
    [
        "hunter2-secret",
        "$argon2i$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21l$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo",
        "$2b$31$" + BCRYPT[7:],
        BCRYPT + "x",
        ARGON.replace("65536", "1048576"),
        ARGON.replace("t=3", "t=100"),
        "",
    ],
    ids=["clear", "argon2i", "bcrypt-cost", "bcrypt-long", "argon-memory", "argon-time", "empty"],
)
def test_a_password_is_never_repeated(text):
    """What is not a hash may be the password itself: the refusal does not show it."""
    with pytest.raises(ValueError, match="not a password hash") as caught:
        convert(text, TYPES["PasswordHash"])

    assert caught.value.args == (
        "this is not a password hash of argon2id or bcrypt",
        "run `edge hash-password`, and quote what it prints",
    )


def test_bits_behind_a_prefix_suggest_the_network():
    """A network with host bits is a slip with an obvious remedy."""
    with pytest.raises(ValueError, match="bits set behind") as caught:
        convert("10.1.2.3/8", TYPES["Network"])

    assert caught.value.args[1] == "did you mean 10.0.0.0/8?"


@pytest.mark.parametrize("name", sorted(TYPES))
@given(text=st.text(max_size=80) | st.text(alphabet="0129:.[]/-ab@ $%é", max_size=40))
def test_any_text_is_a_value_or_refused(name, text):
    """A parser returns what its annotation says or raises ValueError, whatever the text."""
    with contextlib.suppress(ValueError):
        value = convert(text, TYPES[name])

        assert isinstance(value, (str, int, float))
        assert typing.get_args(TYPES[name])
