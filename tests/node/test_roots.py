"""Whom origins' certificates are checked by."""

from __future__ import annotations

import ssl

import pytest

from edge.errors import StoreError
from edge.node.roots import Roots, checking_context
from tests.support_origin import Authority


@pytest.fixture
def own(tmp_path):
    """The operator's file."""
    return Authority(tmp_path).root


def count(roots):
    """How many authorities are trusted."""
    return roots.context.cert_store_stats()["x509_ca"]


def test_the_operator_s_authorities_come_besides_the_system_s(own):
    """Certificates are checked, names too, before and after."""
    roots = Roots()
    before = count(roots)
    roots.read(own)

    assert count(roots) == before + 1
    assert roots.context.verify_mode == ssl.CERT_REQUIRED
    assert roots.context.check_hostname


def test_the_system_s_authorities_are_read_once_and_stay_the_system_s(own):
    """Reading them costs a process 40 ms; what an operator adds is in another context."""
    first = Roots()
    before = count(first)
    Roots().read(own)

    assert Roots().context is first.context
    assert count(first) == before


def test_the_same_file_is_read_once(own):
    """Another context would cost the connections that were made with the old one."""
    roots = Roots()
    roots.read(own)
    first = roots.context
    roots.read(own)
    assert roots.context is first

    own.write_bytes(own.read_bytes() + b"\n")
    roots.read(own)
    assert roots.context is not first


def test_who_is_not_named_any_more_is_not_trusted_any_more(own):
    """A setting that goes takes its authorities along."""
    roots = Roots()
    before = count(roots)
    roots.read(own)
    roots.read(None)

    assert count(roots) == before


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_that_cannot_be_used_changes_nothing(own, content):
    """The error names it; what was trusted still is, and the file is tried again the next time."""
    roots = Roots()
    roots.read(own)
    before, good = roots.context, own.read_bytes()
    own.unlink()
    if content is not None:
        own.write_bytes(content)

    for _ in range(2):
        with pytest.raises(StoreError, match=r"proxy\.ca_file: .* cannot be used"):
            roots.read(own)
        assert roots.context is before
    own.write_bytes(good + b"\n")
    roots.read(own)
    assert count(roots) > 0


def test_an_authority_made_by_hand_is_taken_whatever_the_python(monkeypatch):
    """What `openssl req -x509` makes has no key usage, which Python 3.13's default wants."""

    def strict():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    context = checking_context()

    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
