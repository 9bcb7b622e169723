"""Passwords that are hashed, and those that are refused."""

from __future__ import annotations

import base64
import unicodedata

import pytest

from edge.control.passwords import MAX_BYTES, hash_password
from edge.errors import EdgeError
from edge.node.access import MAX_AUTHORIZATION, Credentials, is_match, parse_credentials
from edge.site.schema import parse_password_hash


@pytest.mark.parametrize("kind", ["argon2id", "bcrypt"])
def test_a_hash_is_one_that_access_takes(kind):
    """The configuration takes it, and the password it came from has it; another has not."""
    phc = hash_password("b\u00fccher!", kind)

    assert parse_password_hash(phc) == phc
    assert is_match(phc, Credentials("team", "b\u00fccher!"))
    assert not is_match(phc, Credentials("team", "bucher!"))


def test_argon2id_is_the_default_and_salted():
    """The same password never has the same hash twice."""
    one, other = hash_password("seven77"), hash_password("seven77")

    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != other


def test_a_password_is_hashed_in_the_form_it_is_compared_in():
    """A keyboard that writes accents apart gets in with the same password."""
    phc = hash_password(unicodedata.normalize("NFD", "caf\u00e9-cr\u00e8me"))

    assert is_match(phc, Credentials("team", "caf\u00e9-cr\u00e8me"))


@pytest.mark.parametrize(
    ("password", "kind", "problem"),
    [
        ("", "argon2id", "the password has 0 characters; use 7 or more"),
        ("sixsix", "argon2id", "the password has 6 characters; use 7 or more"),
        (unicodedata.normalize("NFD", "\u00e9" * 6), "argon2id", "has 6 characters"),
        ("seven\t7", "argon2id", "has a control character"),
        ("seven\x007", "bcrypt", "has a control character"),
        ("seven\udc807", "argon2id", "is not valid UTF-8"),
        ("x" * (MAX_BYTES + 1), "argon2id", "longer than 512 bytes"),
        ("x" * 73, "bcrypt", "bcrypt reads 72 bytes of a password; use argon2id for more"),
        ("password", "md5", "there is no kind of hash 'md5'; use argon2id or bcrypt"),
    ],
)
def test_a_password_that_cannot_be_used_is_refused(password, kind, problem):
    """With what to do, and without the password."""
    with pytest.raises(EdgeError, match=problem) as refusal:
        hash_password(password, kind)

    assert not password or password not in str(refusal.value)


def test_the_longest_password_fits_its_request():
    """What can be hashed can also be sent."""
    text = f"{'u' * 255}:{'x' * MAX_BYTES}".encode()
    authorization = b"Basic " + base64.b64encode(text)

    assert len(authorization) <= MAX_AUTHORIZATION
    assert parse_credentials(authorization).password == "x" * MAX_BYTES
