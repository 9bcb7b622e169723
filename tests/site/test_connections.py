"""Which connection a request has to come by."""

from __future__ import annotations

import pytest

from edge.site.connections import may_share, secure_port, secure_status, secure_url
from edge.site.settings import Listen, Settings, Tls
from edge.site.snapshot import Site
from tests.support_site import compile_site

APP = compile_site(
    (), name="one", app_yml="domains: {one.test: {subdomains: {'': main, www: main}}}"
)
OTHER = compile_site((), name="two", app_yml="domains: {two.test: {subdomains: {'': main}}}")
HOSTS = APP.hosts | OTHER.hosts


@pytest.mark.parametrize(
    ("https", "redirects", "port"),
    [
        ((), True, None),
        (("0.0.0.0:443",), False, None),
        (("0.0.0.0:443",), True, b""),
        (("[::]:443", "0.0.0.0:8443"), True, b""),
        (("127.0.0.1:8443", "0.0.0.0:443"), True, b":8443"),
    ],
)
def test_http_leads_to_the_first_address_with_tls(https, redirects, port) -> None:
    """Where there is one, and the operator wants it."""
    settings = Settings(listen=Listen(https=https), tls=Tls(redirect_http=redirects))

    assert secure_port(settings) == port


def test_the_address_stays_as_it_is() -> None:
    """But for the host, which is canonical."""
    site = Site("[::1]", None, noindex=False)

    assert secure_url(site, b":8443", b"/a%20b?q") == b"https://[::1]:8443/a%20b?q"
    assert secure_url(site, b"", b"*") == b"https://[::1]/"


def test_methods_with_content_keep_it() -> None:
    """301 made GET of POST for decades."""
    assert [secure_status(method) for method in (b"GET", b"HEAD", b"POST")] == [301, 301, 308]


@pytest.mark.parametrize(
    ("begun", "host", "names", "may"),
    [
        ("one.test", "www.one.test", ("one.test", "www.one.test"), True),
        ("www.one.test", "one.test", ("*.one.test", "one.test"), True),
        ("one.test", "www.one.test", ("one.test",), False),
        ("one.test", "www.one.test", (), False),
        ("one.test", "two.test", ("one.test", "two.test"), False),
        ("gone.test", "one.test", ("gone.test", "one.test"), False),
    ],
)
def test_one_app_and_one_certificate_share(begun, host, names, may) -> None:
    """Anything else has to connect anew."""
    assert may_share(HOSTS.get(begun.encode()), HOSTS[host.encode()], names) is may


def test_what_is_not_configured_shares_nothing() -> None:
    """Nobody knows whose it will be."""
    site = Site("a.test", None, noindex=False)
    other = HOSTS[b"one.test"]

    assert not may_share(site, other, ("one.test",))
    assert not may_share(other, site, ("a.test",))
