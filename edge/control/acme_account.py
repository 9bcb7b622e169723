"""
The account that the node has with one authority, as files: `account.key` and `account.json`.

The key is made and durable before the authority hears of it. What is lost between that and
`account.json` is found again: an authority answers a key it knows with its account (RFC 8555
§7.3.1). So the key is what matters, and a key that cannot be read is never replaced.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC

from edge.control import durable
from edge.control.acme_errors import AcmeError
from edge.control.chains import encode_key
from edge.control.leaf import base64url, new_key
from edge.site.decoding import decode_json
from edge.site.settings import AccountBinding

BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")


class Registered(msgspec.Struct, frozen=True):
    """`account.json`."""

    url: str
    """How the authority calls the account."""
    thumbprint: str
    """Of the key that it belongs to (RFC 7638)."""


def open_key(folder: Path) -> JWKEC:
    """
    The key of the account; a new one where there is none.

    Raises:
        AcmeError: it is there and cannot be used.
    """
    path = folder / "account.key"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = encode_key(new_key())
        _write(path, data)
    except OSError as error:
        raise _unusable(f"{path} cannot be read: {error.strerror}") from error
    try:
        key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise _unusable(f"{path} is no private key; restore it from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise _unusable(f"{path} is no P-256 key; restore it from a backup")
    return JWKEC(key=key)


def read_url(folder: Path, key: JWKEC) -> str | None:
    """The account's URL as it was remembered; None where nothing is, or of another key."""
    try:
        data = (folder / "account.json").read_bytes()
        found = decode_json(data, Registered)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found.url if found.thumbprint == thumbprint(key) else None


def keep_url(folder: Path, key: JWKEC, url: str) -> None:
    """Remember the account's URL. Raises `AcmeError` where nothing can be written."""
    data = msgspec.json.encode(Registered(url, thumbprint(key)))
    _write(folder / "account.json", data)


def thumbprint(key: JWKEC) -> str:
    """The key's name in base64url. Source: RFC 7638."""
    return base64url(key.thumbprint())


def binding_key(binding: AccountBinding) -> str:
    """
    The key of an external account, in base64url without padding.

    Raises:
        AcmeError: the operator's file cannot be used.
    """
    file = binding.hmac_key_file
    try:
        text = Path(file).read_text("ascii").strip().rstrip("=")
    except OSError as error:
        raise _unusable(f"eab.hmac_key_file: {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        text = ""
    if not BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise _unusable(
            f"eab.hmac_key_file: {file} is not base64url; write the key as it was given"
        )
    return text


def _write(path: Path, data: bytes) -> None:
    try:
        durable.write(path, data, 0o600)
    except OSError as error:
        raise _unusable(f"{path} cannot be written: {error.strerror}") from error


def _unusable(text: str) -> AcmeError:
    return AcmeError("accountUnusable", text, step="account")
