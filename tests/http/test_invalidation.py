"""What unsafe requests put out of use, and what they cannot."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.fields import FieldList
from edge.http.invalidation import invalidated_targets

TARGET = b"https://example.com/a/b?q=1"


def pointing(*lines: tuple[bytes, bytes]) -> FieldList:
    """A response's fields."""
    return FieldList(list(lines))


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH", b"M-SEARCH", b"get"])
@pytest.mark.parametrize("status", [200, 201, 204, 299, 303, 399])
def test_unsafe_methods_invalidate_their_target(method, status):
    """Any method not known to be safe, any answer that is no error (RFC 9111 §4.4)."""
    assert invalidated_targets(method, status, TARGET, pointing()) == [TARGET]


@pytest.mark.parametrize(
    "method", b"GET HEAD OPTIONS PRI PROPFIND QUERY REPORT SEARCH TRACE".split()
)
def test_safe_methods_invalidate_nothing(method):
    """Reading changes nothing, wherever the answer points (RFC 9110 §9.2.1)."""
    fields = pointing((b"content-location", b"/other"))

    assert invalidated_targets(method, 200, TARGET, fields) == []


@pytest.mark.parametrize("status", [100, 101, 400, 404, 412, 500, 503])
def test_errors_invalidate_nothing(status):
    """What failed changed nothing; what is not final says nothing (§4.4)."""
    fields = pointing((b"location", b"/other"))

    assert invalidated_targets(b"POST", status, TARGET, fields) == []


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (b"c", b"https://example.com/a/c"),
        (b"/c?x", b"https://example.com/c?x"),
        (b"?x", b"https://example.com/a/b?x"),
        (b"../../c/./d", b"https://example.com/c/d"),
        (b"https://example.com/c", b"https://example.com/c"),
        (b"HTTPS://EXAMPLE.com:443/c", b"https://example.com/c"),
        (b"//example.com/c", b"https://example.com/c"),
        (b" /c\t", b"https://example.com/c"),
        (b"/c#part", b"https://example.com/c"),
        (b"/%7Ec/\xc3\xa9", b"https://example.com/%7Ec/\xc3\xa9"),
    ],
)
@pytest.mark.parametrize("name", [b"location", b"content-location"])
def test_what_the_answer_points_to_is_invalid_too(name, reference, expected):
    """Location and Content-Location, resolved against the target (RFC 9111 §4.4)."""
    actual = invalidated_targets(b"POST", 201, TARGET, pointing((name, reference)))

    assert actual == [TARGET, expected]


@pytest.mark.parametrize(
    "reference",
    [
        b"http://example.com/c",
        b"https://example.com:8443/c",
        b"https://www.example.com/c",
        b"//evil.example/c",
        b"https://example.com@evil.example/",
        b"https://example.com.evil.example/",
        b"https://[::1/c",
        b"https://example.com:port/c",
        b"javascript:alert(1)",
        b"mailto:a@example.com",
    ],
)
def test_other_origins_are_out_of_reach(reference):
    """Scheme, host and port must be the target's (§4.4: MUST NOT)."""
    fields = pointing((b"location", reference))

    assert invalidated_targets(b"POST", 200, TARGET, fields) == [TARGET]


def test_each_target_is_named_once():
    """Both fields may point to one place, or to the target itself."""
    fields = pointing((b"location", b"/c"), (b"content-location", b"/c"), (b"location", b"?q=1"))

    assert invalidated_targets(b"PUT", 200, TARGET + b"#part", fields) == [
        TARGET,
        b"https://example.com/c",
    ]


def test_a_default_port_is_the_same_as_none():
    """A target with an explicit port keeps its spelling, which is the key's."""
    target = b"http://example.com:80/a"
    fields = pointing((b"location", b"http://example.com/c"))

    assert invalidated_targets(b"PUT", 200, target, fields) == [
        target,
        b"http://example.com:80/c",
    ]


@given(st.binary(max_size=60) | st.text(alphabet="/:.@[]ahtps?#% \t", max_size=30).map(str.encode))
def test_any_bytes_point_somewhere_or_nowhere(reference):
    """No Location raises, and none leads away from the origin."""
    targets = invalidated_targets(b"POST", 200, TARGET, pointing((b"location", reference)))

    assert all(target.startswith(b"https://example.com") for target in targets)


def test_a_long_location_takes_linear_time():
    """A hundred kilobytes of dot segments take milliseconds."""
    fields = pointing((b"location", b"/.." * 30_000))
    began = time.process_time()
    invalidated_targets(b"POST", 200, TARGET, fields)

    assert time.process_time() - began < 1
