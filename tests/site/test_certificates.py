"""Which certificate a name is served with."""

from __future__ import annotations

import msgspec
import pytest

from edge.site.certificates import Certificate, Keyring, Names, covers, wildcard_of


def certificate(*names: str, identifier: str = "id", not_after: int = 200) -> Certificate:
    """A certificate of some names."""
    return Certificate(
        id=identifier,
        names=names,
        file=f"certs/{identifier}.pem",
        source="acme",
        issuer="Test",
        not_before=100,
        not_after=not_after,
    )


def test_a_name_has_its_own_certificate_before_a_wildcard() -> None:
    """The exact name is asked first."""
    own, wild = certificate("www.example.com"), certificate("*.example.com", "example.com")

    names = Names([wild, own])

    assert names.find("www.example.com") is own
    assert names.find("docs.example.com") is wild
    assert names.find("example.com") is wild


@pytest.mark.parametrize("host", ["a.b.example.com", "example.org", "com", "", "*.example.com."])
def test_a_wildcard_stands_for_one_label(host: str) -> None:
    """No deeper name, no other domain."""
    assert Names([certificate("*.example.com")]).find(host) is None


def test_the_first_certificate_of_a_name_serves_it() -> None:
    """Whoever writes the keyring decides by order."""
    first, second = certificate("a.test"), certificate("a.test", "b.test")

    names = Names([first, second])

    assert names.find("a.test") is first
    assert names.find("b.test") is second


@pytest.mark.parametrize(
    ("epoch", "valid"), [(99.9, False), (100, True), (199.9, True), (200, False)]
)
def test_dates_are_those_of_the_certificate(epoch: float, *, valid: bool) -> None:
    """From its first second to before its last."""
    assert certificate("a.test").is_valid(epoch) is valid


def test_what_serves_is_told() -> None:
    """Once for each name; who serves none is not among them."""
    first, second, third = (
        certificate("a.test", "b.test"),
        certificate("b.test"),
        certificate("c.test"),
    )

    assert list(Names([first, second, third]).all()) == [first, first, third]


@pytest.mark.parametrize(
    ("name", "host", "covered"),
    [
        ("a.test", "a.test", True),
        ("*.a.test", "b.a.test", True),
        ("*.a.test", "a.test", False),
        ("*.a.test", "c.b.a.test", False),
        ("b.test", "a.test", False),
    ],
)
def test_covering(name: str, host: str, *, covered: bool) -> None:
    """As RFC 9525 has it: a wildcard is a whole first label."""
    assert covers(name, host) is covered
    assert wildcard_of("b.a.test") == "*.a.test"


def test_a_keyring_is_a_document() -> None:
    """What control writes is what a worker reads."""
    keyring = Keyring((certificate("a.test"),))

    assert msgspec.json.decode(msgspec.json.encode(keyring), type=Keyring) == keyring
