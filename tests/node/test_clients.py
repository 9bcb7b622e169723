"""Who is behind a request: proxies that are believed, and everything that is not."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest
import zttp
from hypothesis import given
from hypothesis import strategies as st

from edge.http.fields import FieldList, Fields
from edge.node import clients as module
from edge.node.clients import (
    MAX_ELEMENT,
    MAX_HOPS,
    MAX_REMEMBERED,
    Clients,
    Prefixes,
    parse_element,
    unmapped,
)
from edge.site import settings

PROXY = "10.0.0.1"
SECOND = "10.9.9.9"
STRANGER = "198.51.100.7"
CLIENT = "203.0.113.9"
NETWORKS = ("10.0.0.0/8", "2001:db8:cd::/48", "fe80::/10")


@pytest.fixture
def clients():
    """With proxies, and a field for the country."""
    document = settings.Clients(
        trusted_proxies=NETWORKS, country_header="CloudFront-Viewer-Country"
    )
    return Clients(document)


def forwarded(*lines: bytes) -> Fields:
    """A field section with these X-Forwarded-For lines among others."""
    named = [(b"x-forwarded-for", line) for line in lines]
    return FieldList([(b"host", b"example.com"), *named, (b"accept", b"*/*")])


def stated(*lines: bytes) -> Fields:
    """A field section with these lines about the country."""
    return FieldList([(b"cloudfront-viewer-country", line) for line in lines])


# The address


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], PROXY),
        ([b""], PROXY),
        ([b" , ,,"], PROXY),
        ([b"203.0.113.9"], CLIENT),
        ([b"  203.0.113.9\t"], CLIENT),
        ([b"203.0.113.9:443"], CLIENT),
        ([b"2001:DB8:0:0::9"], "2001:db8::9"),
        ([b"[2001:db8::9]"], "2001:db8::9"),
        ([b"[2001:db8::9]:80"], "2001:db8::9"),
        ([b"::ffff:203.0.113.9"], CLIENT),
        ([b"[::ffff:cb00:7109]:80"], CLIENT),
        # chains: what a stranger wrote to the left of the client is a stranger's word
        ([b"192.0.2.1, 203.0.113.9"], CLIENT),
        ([b"203.0.113.9, 10.2.3.4"], CLIENT),
        ([b"192.0.2.1, 203.0.113.9, 10.2.3.4, 2001:db8:cd::1"], CLIENT),
        ([b"203.0.113.9, ::ffff:10.2.3.4"], CLIENT),
        ([b"203.0.113.9,,10.2.3.4,"], CLIENT),
        ([b"192.0.2.1", b"203.0.113.9", b"10.2.3.4"], CLIENT),
        ([b"192.0.2.1, 203.0.113.9", b"10.2.3.4"], CLIENT),
        # proxies alone: the outermost
        ([b"10.5.5.5, 10.2.3.4"], "10.5.5.5"),
        ([b"10.5.5.5:1234"], "10.5.5.5"),
        # what is malformed ends the walk where it was good
        ([b"unknown"], PROXY),
        ([b"203.0.113.9, unknown"], PROXY),
        ([b"203.0.113.9, unknown, 10.2.3.4"], "10.2.3.4"),
        ([b"unknown, 203.0.113.9"], CLIENT),
        ([b"203.0.113.9 10.2.3.4"], PROXY),
        ([b'"203.0.113.9"'], PROXY),
    ],
)
def test_the_client_is_the_last_address_that_no_proxy_has(clients, lines, expected):
    """From the right, over all field lines, as far as trusted proxies wrote them."""
    assert clients.address(PROXY, forwarded(*lines)) == expected


@pytest.mark.parametrize("peer", [STRANGER, "2001:db8::1", "", "unix:", "edge.sock", "10.0.0", "1"])
def test_what_others_forward_is_ignored(clients, peer):
    """A stranger, or a peer without an address, is the client whatever it writes."""
    assert clients.address(peer, forwarded(b"203.0.113.9")) == peer


@pytest.mark.parametrize("peer", [PROXY, STRANGER, ""])
def test_without_trusted_proxies_nobody_is_believed(peer):
    """The default."""
    clients = Clients(settings.Clients())

    assert clients.address(peer, forwarded(b"203.0.113.9")) == peer
    assert not clients.is_trusted(peer)


def test_field_sections_of_the_wire_work_alike(clients):
    """HTTP/1.1 in any case of the name, several lines."""
    wire = zttp.Connection(zttp.SERVER, zttp.HTTP1)
    wire.receive_data(
        b"GET / HTTP/1.1\r\nHost: a\r\nX-FORWARDED-FOR: 192.0.2.1, 203.0.113.9\r\n"
        b"x-forwarded-for: 10.2.3.4\r\nCloudfront-viewer-country: us\r\n\r\n"
    )
    request = wire.next_event()
    assert isinstance(request, zttp.Request)

    assert clients.address(PROXY, request.headers) == CLIENT
    assert clients.stated_country(PROXY, request.headers) == "US"


def test_a_chain_is_followed_for_a_bounded_number_of_elements(clients):
    """Twenty proxies are skipped, and no more is read."""
    proxies = [b"10.1.1.%d" % number for number in range(MAX_HOPS)]

    assert clients.address(PROXY, forwarded(b", ".join([b"203.0.113.9", *proxies[1:]]))) == CLIENT
    assert clients.address(PROXY, forwarded(b", ".join([b"203.0.113.9", *proxies]))) == "10.1.1.0"
    assert clients.address(PROXY, forwarded(b"203.0.113.9" + b"," * 99)) == PROXY
    assert clients.address(PROXY, forwarded(*[b"10.5.5.5"] * 9_999)) == "10.5.5.5"


@pytest.mark.parametrize(
    "element",
    [
        b"1.2.3",
        b"1.2.3.256",
        b"1.2.3.04",
        b"1.2.3.4:",
        b"1.2.3.4:123456",
        b"1.2.3.4:8o",
        b"1.2.3.4/32",
        b"-1.2.3.4",
        b"16909060",
        b"[1.2.3.4]",
        b"[::1",
        b"::1]",
        b"[::1]80",
        b"[]",
        b"::1%eth0",
        b"fe80::1%<script>",
        b":::",
        b"1:2:3:4:5:6:7:8:9",
        b"\xd9\xa1.2.3.4",
        b"1.2.3.4\x00",
        b"1.2.3.4\n",
        b"localhost",
        b"_hidden",
        b"for=1.2.3.4",
        pytest.param(b"0" * MAX_ELEMENT + b"1.2.3.4", id="padded"),
        pytest.param(b"1" * 100_000, id="long"),
    ],
)
def test_what_is_no_address_is_none(element):
    """Not a name, a number, a zone, or digits of another script."""
    assert parse_element(element) is None


PIECES = st.sampled_from(
    [
        b"203.0.113.9",
        b"10.2.3.4",
        b"2001:db8:cd::1",
        b"[::1]:80",
        b"unknown",
        b",",
        b" ",
        b":",
        b"%",
    ]
)
VALUES = st.lists(PIECES | st.binary(max_size=9), max_size=30).map(b"".join)


@given(st.sampled_from([PROXY, STRANGER, "fe80::1%eth0", ""]), st.lists(VALUES, max_size=5))
def test_any_field_leaves_the_peer_or_gives_an_address(peer, lines):
    """Whatever bytes arrive, nothing is raised, and nothing else comes out."""
    clients = Clients(settings.Clients(trusted_proxies=NETWORKS))
    address = clients.address(peer, forwarded(*lines))

    assert address == peer or str(ip_address(address)) == address


# Trust


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("9.255.255.255", False),
        ("::ffff:10.0.0.1", True),
        ("::ffff:11.0.0.1", False),
        ("::10.0.0.1", False),
        ("2001:db8:cd:ffff::", True),
        ("2001:db8:ce::", False),
        ("fe80::1%eth0", True),
        ("10.0.0.1:80", False),
        (" 10.0.0.1", False),
    ],
)
def test_a_peer_is_trusted_by_its_network(clients, peer, expected):
    """Asked twice, as the second answer is remembered."""
    assert clients.is_trusted(peer) is expected
    assert clients.is_trusted(peer) is expected


ADDRESSES = (st.ip_addresses() | st.ip_addresses(network="10.0.0.0/22")).map(unmapped)


def network_of(address, bits):
    """The network of an address that leaves so many bits to its hosts."""
    kind = IPv4Network if address.version == 4 else IPv6Network
    return kind((int(address), max(0, address.max_prefixlen - bits)), strict=False)


@given(st.lists(st.builds(network_of, ADDRESSES, st.integers(0, 128)), max_size=9), ADDRESSES)
def test_prefixes_hold_what_one_of_the_networks_holds(networks, address):
    """One look-up for each length of prefix, and the same answer."""
    assert (address in Prefixes(networks)) == any(address in network for network in networks)


def test_every_address_can_be_trusted():
    """The networks without a prefix."""
    clients = Clients(settings.Clients(trusted_proxies=("0.0.0.0/0", "::/0")))

    assert clients.is_trusted(STRANGER)
    assert clients.is_trusted("2001:db8::1")
    assert clients.address(STRANGER, forwarded(b"1.1.1.1, 2.2.2.2")) == "1.1.1.1"


@pytest.mark.parametrize("network", ["::ffff:10.0.0.0/104", "::ffff:0:0/96"])
def test_a_network_may_be_written_ipv4_mapped(network):
    """Addresses are unmapped before they are compared, so networks are too."""
    clients = Clients(settings.Clients(trusted_proxies=(network,)))

    assert clients.is_trusted(PROXY)
    assert clients.is_trusted("::ffff:10.0.0.1")


# The country


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"US"], "US"),
        ([b"us"], "US"),
        ([b"De"], "DE"),
        ([b"XK"], "XK"),
        ([], None),
        ([b""], None),
        ([b"XX"], None),
        ([b"T1"], None),
        ([b"ZZ"], None),
        ([b"EU"], None),
        ([b"USA"], None),
        ([b"U"], None),
        ([b" US"], None),
        ([b"US, CA"], None),
        ([b"US", b"US"], None),
        ([b"US", b"CA"], None),
        ([b"", b"US"], None),
        ([b"\xdf"], None),
        ([b"\xc5\xbf\x55"], None),
        ([b"U\xff"], None),
        pytest.param([b"U" * 100_000], None, id="long"),
    ],
)
def test_a_proxy_states_one_country(clients, lines, expected):
    """One field line with one code, or nothing."""
    assert clients.stated_country(PROXY, stated(*lines)) == expected


@pytest.mark.parametrize("peer", [STRANGER, ""])
def test_others_state_no_country(clients, peer):
    """The field of a stranger is a wish."""
    assert clients.stated_country(peer, stated(b"US")) is None


def test_without_a_field_in_the_settings_none_is_read():
    """Trusted proxies alone state no country."""
    clients = Clients(settings.Clients(trusted_proxies=NETWORKS))

    assert clients.stated_country(PROXY, stated(b"US")) is None


def test_a_field_without_trusted_proxies_is_read_from_nobody():
    """The field alone makes nobody trusted."""
    clients = Clients(settings.Clients(country_header="CloudFront-Viewer-Country"))

    assert clients.stated_country(PROXY, stated(b"US")) is None


# Memory


def test_what_is_remembered_is_bounded(clients, monkeypatch):
    """Peers and elements; the longest elements are not kept at all."""
    monkeypatch.setattr(module, "MAX_REMEMBERED", 5)
    for number in range(23):
        assert clients.address(PROXY, forwarded(b"192.0.2.%d" % number)) == f"192.0.2.{number}"
        assert not clients.is_trusted(f"192.0.2.{number}")
    clients.address(PROXY, forwarded(b"x" * (MAX_ELEMENT + 1)))

    assert 0 < len(clients._hops) <= 5 < MAX_REMEMBERED
    assert 0 < len(clients._peers) <= 5
    assert max(map(len, clients._hops)) <= MAX_ELEMENT


def test_an_element_means_the_same_when_it_comes_again(clients):
    """Good, trusted and malformed ones alike."""
    for line, expected in [(b"203.0.113.9", CLIENT), (b"10.9.9.9", SECOND), (b"unknown", PROXY)]:
        first = clients.address(PROXY, forwarded(line))
        assert first == clients.address(PROXY, forwarded(line)) == expected
