"""The account's files: found again after every crash, never replaced in silence."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from edge.control import acme_account
from edge.control.acme_errors import AcmeError
from edge.site.settings import AccountBinding

URL = "https://ca.test/account/1"


def pem_of(key):
    """A private key as a file has it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_the_key_is_made_once_and_is_nobody_elses_to_read(tmp_path):
    """The next start finds the same one."""
    folder = tmp_path / "accounts/ca.test"

    first, second = acme_account.open_key(folder), acme_account.open_key(folder)

    assert acme_account.thumbprint(first) == acme_account.thumbprint(second)
    assert (folder / "account.key").stat().st_mode & 0o777 == 0o600


def test_the_url_is_remembered_with_its_key(tmp_path):
    """A key that somebody put there has another account."""
    key = acme_account.open_key(tmp_path)
    acme_account.keep_url(tmp_path, key, URL)

    assert (tmp_path / "account.json").stat().st_mode & 0o777 == 0o600
    assert acme_account.read_url(tmp_path, key) == URL

    (tmp_path / "account.key").unlink()
    assert acme_account.read_url(tmp_path, acme_account.open_key(tmp_path)) is None


@pytest.mark.parametrize("content", [None, b"", b'{"url": "x"}', b"{", b"\xff\xfe", b"[]"])
def test_what_is_missing_or_torn_is_asked_for_again(tmp_path, content):
    """The file is a memory, the key is the account."""
    key = acme_account.open_key(tmp_path)
    if content is not None:
        (tmp_path / "account.json").write_bytes(content)

    assert acme_account.read_url(tmp_path, key) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"half a ke",
        pem_of(ec.generate_private_key(ec.SECP384R1())),
        pem_of(rsa.generate_private_key(65537, 2048)),
    ],
)
def test_a_key_that_cannot_be_used_is_kept(tmp_path, content):
    """It may be all that is left of an account: the operator decides."""
    (tmp_path / "account.key").write_bytes(content)

    with pytest.raises(AcmeError, match="restore it") as found:
        acme_account.open_key(tmp_path)

    assert (found.value.fault, found.value.step) == ("account", "account")
    assert (tmp_path / "account.key").read_bytes() == content


def test_where_nothing_can_be_written_it_is_said(tmp_path):
    """Before the authority hears of a key that would be lost."""
    (tmp_path / "accounts").write_text("a file in the way")

    with pytest.raises(AcmeError, match=r"account\.key cannot be"):
        acme_account.open_key(tmp_path / "accounts")


@pytest.mark.parametrize("text", ["c2VjcmV0LTE_", "c2VjcmV0LTE_\n", " c2VjcmV0", "c2VjcmV0MQ=="])
def test_the_binding_key_is_read_as_it_was_given(tmp_path, text):
    """With a line's end and with padding."""
    (tmp_path / "hmac").write_text(text)
    binding = AccountBinding(kid="kid", hmac_key_file=str(tmp_path / "hmac"))

    assert acme_account.binding_key(binding) == text.strip().rstrip("=")


@pytest.mark.parametrize("content", [b"", b"a+b/c===", b"two words", b"\xff", b"abcde"])
def test_a_binding_key_that_is_none_is_the_operators(tmp_path, content):
    """The package would read on over what it does not know; the key is never told."""
    (tmp_path / "hmac").write_bytes(content)
    binding = AccountBinding(kid="kid", hmac_key_file=str(tmp_path / "hmac"))

    with pytest.raises(AcmeError, match="is not base64url") as found:
        acme_account.binding_key(binding)

    assert found.value.fault == "account"


def test_a_binding_key_that_is_missing_is_named(tmp_path):
    """By its setting and its file."""
    binding = AccountBinding(kid="kid", hmac_key_file=str(tmp_path / "hmac"))

    with pytest.raises(AcmeError, match=r"eab\.hmac_key_file: .*hmac cannot be read: No such file"):
        acme_account.binding_key(binding)
