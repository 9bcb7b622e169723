"""Where origins may be dialed: real names and literals, the guard, pinning, and slow resolvers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.errors import OriginError
from edge.node.addresses import (
    MAX_ADDRESSES,
    MAX_LOOKUPS,
    MAX_NAMES,
    NAT64,
    NEGATIVE_S,
    POSITIVE_S,
    Addresses,
    is_listener,
    is_local,
    judge,
)
from edge.node.clients import unmapped
from edge.site import settings
from tests.support_wire import until

ADMIN = "127.0.0.1:9901"
PUBLIC = "93.184.215.14"
PUBLIC6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
METADATA = "169.254.169.254"


class Zone:
    """A resolver whose answers can change, and that counts its questions."""

    def __init__(self, **names: list[str]) -> None:
        self.names = {name.replace("_", "."): answer for name, answer in names.items()}
        self.asked: list[str] = []
        self.now = 0.0
        self.gate = asyncio.Event()
        self.gate.set()

    async def query(self, name: str) -> list[str]:
        """The addresses of a name, once the gate is open."""
        self.asked.append(name)
        await self.gate.wait()
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.names[name]

    def addresses(self, admin: str = ADMIN, patience_s: float = 60.0, **proxy: object) -> Addresses:
        """The guard in front of this zone; patient, for a machine may stand still for a moment."""
        document = settings.Proxy(**proxy)
        timer = self.timer
        return Addresses(document, admin, query=self.query, timer=timer, patience_s=patience_s)

    def timer(self) -> float:
        """Seconds, as the test has them."""
        return self.now


async def resolve(addresses: Addresses, host: str, port: int = 80, *, is_carried: bool = False):
    """Addresses and ports that may be dialed."""
    found = await addresses.resolve(host, port, is_carried=is_carried)

    assert all((each.family == socket.AF_INET6) == (":" in each.address) for each in found)
    return [each[1:] for each in found]


async def refused(addresses: Addresses, host: str, port: int = 80, *, is_carried: bool = False):
    """The error where nothing may be dialed."""
    with pytest.raises(OriginError) as caught:
        await addresses.resolve(host, port, is_carried=is_carried)
    return caught.value


# What an address is


@pytest.mark.parametrize(
    ("reach", "address"),
    [
        ("public", "1.1.1.1"),
        ("public", "100.63.255.255"),
        ("public", "172.15.255.255"),
        ("public", "172.32.0.1"),
        ("public", "192.0.1.1"),
        ("public", "198.20.0.1"),
        ("public", "223.255.255.255"),
        ("public", PUBLIC6),
        ("public", "2001:200::1"),
        ("public", "64:ff9b::5db8:d70e"),
        ("private", "127.0.0.1"),
        ("private", "127.255.255.254"),
        ("private", "10.0.0.1"),
        ("private", "172.16.0.1"),
        ("private", "172.31.255.255"),
        ("private", "192.168.1.1"),
        ("private", "100.64.0.1"),
        ("private", "198.18.0.1"),
        ("private", "192.0.2.1"),
        ("private", "198.51.100.1"),
        ("private", "203.0.113.1"),
        ("private", "::1"),
        ("private", "fe80::1"),
        ("private", "fec0::1"),
        ("private", "fd12:3456::1"),
        ("private", "2001:db8::1"),
        ("private", "2001:2::1"),
        ("private", "3fff::1"),
        ("special", METADATA),
        ("special", "169.254.170.2"),
        ("special", "100.100.100.200"),
        ("special", "168.63.129.16"),
        ("special", "192.0.0.192"),
        ("special", "fd00:ec2::254"),
        ("special", "fd20:ce::254"),
        ("special", "0.0.0.0"),
        ("special", "0.1.2.3"),
        ("special", "::"),
        ("special", "192.0.0.8"),
        ("special", "192.88.99.1"),
        ("special", "224.0.0.1"),
        ("special", "240.0.0.1"),
        ("special", "255.255.255.255"),
        ("special", "ff02::1"),
        ("special", "::127.0.0.1"),
        ("special", "::7f00:1"),
        ("special", "::ffff:0:7f00:1"),
        ("special", "64:ff9b::7f00:1"),
        ("special", "64:ff9b::a9fe:a9fe"),
        ("special", "64:ff9b:1::7f00:1"),
        ("special", "2002:7f00:1::"),
        ("special", "2002:5db8:d70e::"),
        ("special", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        ("special", "100::1"),
        ("special", "5f00::1"),
        ("special", "4000::1"),
    ],
)
def test_addresses_are_judged_by_their_range(reach, address):
    """The registries of special purposes, the clouds' metadata, and IPv4 in disguise."""
    assert judge(ip_address(address)).reach == reach


@given(st.ip_addresses())
@example(IPv4Address("192.0.0.9"))
@example(IPv6Address("2001:1::1"))
def test_nothing_is_public_that_python_calls_private(address):
    """The standard library's list, made by others, never contradicts ours."""
    judged = judge(address)

    if judged.reach == "public" and address not in NAT64:
        assert address.is_global
        assert not address.is_multicast
    assert bool(judged.words) == (judged.reach != "public")


# Real names and literals


async def test_a_name_of_this_machine_is_dialed_where_it_was_found():
    """The system's resolver, /etc/hosts, and a listener that is really there."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    addresses = Addresses(settings.Proxy(allow=(f"127.0.0.1:{port}",)), ADMIN)
    async with server:
        for host in ("localhost", "LOCALHOST", "127.0.0.1"):
            family, address, number = (await addresses.resolve(host, port, is_carried=False))[0]
            reader, writer = await asyncio.open_connection(address, number, family=family)

            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()


async def test_a_name_that_nobody_has():
    """502, and another origin may be tried."""
    error = await refused(Addresses(settings.Proxy(), ADMIN), "no-such-name.invalid")

    assert (error.kind, error.status, error.retry) == ("dns_error", 502, "yes")


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", "\udcff.example"])
async def test_a_name_that_cannot_be_asked_for(host):
    """What the codec of the resolver refuses."""
    assert (await refused(Addresses(settings.Proxy(), ADMIN), host)).kind == "dns_error"


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0x1",
        "017700000001",
        "127.1",
        "0",
        "127.0.0.1.",
        "127.0.0.01",
        "0x",
        "1.2.3.4.5",
    ],
)
async def test_numbers_are_no_hosts(host):
    """The C library would read them as addresses; they are not even asked for."""
    zone = Zone()
    error = await refused(zone.addresses(allow_private=True), host)

    assert (error.kind, zone.asked) == ("dns_error", [])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (PUBLIC, (PUBLIC, 443)),
        (PUBLIC6, (PUBLIC6, 443)),
        (f"[{PUBLIC6}]", (PUBLIC6, 443)),
        (f"[::ffff:{PUBLIC}]", (PUBLIC, 443)),
        ("64:ff9b::5db8:d70e", ("64:ff9b::5db8:d70e", 443)),
    ],
)
async def test_a_public_literal_needs_no_resolver(host, expected):
    """A mapped one is dialed as the IPv4 address that it is."""
    zone = Zone()

    assert await resolve(zone.addresses(), host, 443, is_carried=True) == [expected]
    assert zone.asked == []


# The guard


GUARDED = [
    "127.0.0.1",
    "[::1]",
    "10.1.2.3",
    "169.254.169.254",
    "0.0.0.0",
    "[::]",
    "[::ffff:127.0.0.1]",
    "inner",
    "meta",
    "224.0.0.1",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::7f00:1]",
    "[fd00:ec2::254]",
]


@pytest.mark.parametrize("host", GUARDED)
@pytest.mark.parametrize("is_carried", [False, True])
async def test_what_is_not_public_is_refused(host, is_carried):
    """By the word of RFC 9209; nothing is tried again."""
    addresses = Zone(inner=["10.0.0.1", "fd00::1"], meta=[METADATA]).addresses()
    error = await refused(addresses, host, is_carried=is_carried)

    assert (error.kind, error.status, error.retry) == ("destination_ip_prohibited", 502, "never")


@pytest.mark.parametrize(
    ("host", "leads", "entry"),
    [
        ("127.0.0.1", "127.0.0.1:3000 leads to 127.0.0.1, a loopback address", "127.0.0.1:3000"),
        ("::1", "[::1]:3000 leads to ::1, a loopback address", "[::1]:3000"),
        ("inner", "inner:3000 leads to 10.0.0.1, a private address", "inner:3000"),
        (
            "meta",
            "meta:3000 leads to 169.254.169.254, a metadata or link-local address",
            "169.254.169.254:3000",
        ),
    ],
)
async def test_the_log_says_what_to_do(host, leads, entry):
    """And what it says works."""
    zone = Zone(inner=["10.0.0.1"], meta=[METADATA])
    remedy = f'to reach it, write proxy.allow: ["{entry}"] into edge.yml'

    assert str(await refused(zone.addresses(), host, 3000)) == f"{leads}: {remedy}"
    assert len(await resolve(zone.addresses(allow=(entry,)), host, 3000)) == 1


@pytest.mark.parametrize(
    ("allow", "host", "port"),
    [
        ("127.0.0.1:3000", "127.0.0.1", 3000),
        ("127.0.0.1:3000", "[::ffff:7f00:1]", 3000),
        ("127.0.0.1:3000", "both", 3000),
        ("both:3000", "both", 3000),
        ("[::1]:3000", "::1", 3000),
        (f"{METADATA}:80", METADATA, 80),
        (f"{METADATA}:80", "meta", 80),
    ],
)
async def test_what_is_allowed_is_reached(allow, host, port):
    """Named as the rule writes it, or by what it leads to; by app folders alone."""
    zone = Zone(both=["127.0.0.1"], meta=[METADATA])
    addresses = zone.addresses(allow=(allow,))

    assert len(await resolve(addresses, host, port)) == 1
    assert (await refused(addresses, host, port + 1)).kind == "destination_ip_prohibited"
    assert "deployment" in str(await refused(addresses, host, port, is_carried=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "[fd00::1]", "100.64.0.1", "inner"])
async def test_every_private_address_may_be_allowed(host):
    """But not to rules inside a deployment."""
    addresses = Zone(inner=["192.168.0.1"]).addresses(allow_private=True)

    assert len(await resolve(addresses, host, 3000)) == 1
    assert "deployment" in str(await refused(addresses, host, 3000, is_carried=True))


@pytest.mark.parametrize(
    "host", [METADATA, "[fd00:ec2::254]", "100.100.100.200", "0.0.0.0", "meta"]
)
async def test_allowing_what_is_private_allows_no_metadata(host):
    """Nor does allowing a name that turns out to lead there."""
    addresses = Zone(meta=[METADATA]).addresses(allow_private=True, allow=("meta:80",))

    assert (await refused(addresses, host)).kind == "destination_ip_prohibited"


async def test_of_several_addresses_the_good_ones_are_dialed():
    """In the resolver's order, each once, and not without end."""
    many = [f"1.1.1.{number}" for number in range(100)]
    zone = Zone(
        mixed=["10.0.0.1", PUBLIC6, METADATA, PUBLIC, PUBLIC, f"::ffff:{PUBLIC}"],
        many=many,
        odd=["nonsense", PUBLIC],
    )
    addresses = zone.addresses()

    assert await resolve(addresses, "mixed", 443) == [(PUBLIC6, 443), (PUBLIC, 443)]
    assert await resolve(addresses, "odd") == [(PUBLIC, 80)]
    assert len(await resolve(addresses, "many")) == MAX_ADDRESSES


# Dialed elsewhere


async def test_a_name_is_dialed_elsewhere():
    """As curl's --connect-to: other ports of the name are not meant, and the value is allowed."""
    zone = Zone(images_example_com=[PUBLIC], inner=["10.0.0.7"])
    addresses = zone.addresses(
        connect_to={
            "images.example.com:443": "127.0.0.1:9443",
            "api.example.com:443": "inner:8443",
            "six.example.com:443": "[::1]:9443",
            "meta.example.com:443": f"{METADATA}:80",
            f"[{PUBLIC6}]:443": "inner:1",
        }
    )

    assert await resolve(addresses, "images.example.com", 443) == [("127.0.0.1", 9443)]
    assert await resolve(addresses, "images.example.com", 80) == [(PUBLIC, 80)]
    assert await resolve(addresses, "api.example.com", 443) == [("10.0.0.7", 8443)]
    assert await resolve(addresses, "six.example.com", 443) == [("::1", 9443)]
    assert await resolve(addresses, "meta.example.com", 443) == [(METADATA, 80)]
    assert await resolve(addresses, PUBLIC6, 443) == [("10.0.0.7", 1)]
    assert zone.asked == ["images.example.com", "inner"]


async def test_dialed_elsewhere_allows_nothing_else():
    """Not the same address by its own name, and nothing to a deployment's rules."""
    addresses = Zone().addresses(connect_to={"images.example.com:443": "127.0.0.1:9443"})

    assert (await refused(addresses, "127.0.0.1", 9443)).kind == "destination_ip_prohibited"
    error = await refused(addresses, "images.example.com", 443, is_carried=True)
    assert str(error).startswith("images.example.com:443 leads to 127.0.0.1, a loopback address")


# The admin API


@pytest.mark.parametrize(
    ("admin", "host"),
    [
        ("127.0.0.1:9901", "127.0.0.1"),
        ("127.0.0.1:9901", "localhost"),
        ("127.0.0.1:9901", "[::ffff:127.0.0.1]"),
        ("127.0.0.1:9901", "0.0.0.0"),
        ("127.0.0.1:9901", "elsewhere"),
        ("[::1]:9901", "::1"),
        ("[::1]:9901", "::"),
        ("0.0.0.0:9901", "127.0.0.1"),
        ("0.0.0.0:9901", "127.8.8.8"),
        ("localhost:9901", "127.0.0.1"),
        ("203.0.113.5:9901", "203.0.113.5"),
    ],
)
async def test_the_admin_api_is_no_origin(admin, host):
    """Whoever allows it, under any name, and by any detour."""
    zone = Zone(localhost=["127.0.0.1"])
    addresses = zone.addresses(
        admin,
        allow_private=True,
        allow=tuple(f"{each}:9901" for each in ("127.0.0.1", "0.0.0.0", "[::]", "[::1]", host)),
        connect_to={"elsewhere:9901": "127.0.0.1:9901"},
    )
    error = await refused(addresses, host, 9901)

    assert error.kind == "destination_ip_prohibited"
    assert "admin API" in str(error)


@pytest.mark.parametrize("admin", ["unix:/run/edge.sock", "unix:/run/edge:9902", "127.0.0.1:9902"])
async def test_what_is_not_the_admin_api_may_be_allowed(admin):
    """Another port, or a socket in the file system."""
    addresses = Zone().addresses(admin, allow_private=True)

    assert await resolve(addresses, "127.0.0.1", 9901) == [("127.0.0.1", 9901)]


def test_a_listener_is_where_its_address_is():
    """On its own address alone, on all of this machine's where it listens on all."""
    assert not is_listener("127.0.0.1:1", IPv4Address("127.0.0.2"), 1)
    assert not is_listener("0.0.0.0:1", IPv4Address("192.0.2.1"), 1)
    assert is_listener("[::]:1", IPv4Address("127.0.0.1"), 1)
    assert is_local(IPv4Address("127.0.0.1"))
    assert not is_local(IPv6Address("2001:db8::1"))


# Time


async def test_a_name_cannot_turn_elsewhere():
    """What was judged is what is handed out; a new answer is judged anew."""
    zone = Zone(rebinding=[PUBLIC])
    addresses = zone.addresses()
    assert await resolve(addresses, "rebinding") == [(PUBLIC, 80)]

    zone.names["rebinding"] = ["127.0.0.1"]
    zone.now = POSITIVE_S - 1
    assert await resolve(addresses, "rebinding") == [(PUBLIC, 80)]
    assert zone.asked == ["rebinding"]

    zone.now = POSITIVE_S
    assert (await refused(addresses, "rebinding")).kind == "destination_ip_prohibited"
    assert zone.asked == ["rebinding"] * 2


async def test_a_missing_name_is_asked_for_again_soon():
    """An origin that just got its name is there after seconds."""
    zone = Zone(empty=[])
    addresses = zone.addresses()
    for _ in range(3):
        assert "not known" in str(await refused(addresses, "new"))
        assert "no addresses" in str(await refused(addresses, "empty"))
    assert zone.asked == ["new", "empty"]

    zone.names["new"] = [PUBLIC]
    zone.now = NEGATIVE_S
    assert await resolve(addresses, "new") == [(PUBLIC, 80)]


async def test_many_who_wait_ask_once():
    """Also when the first one gives up, and each by its own rights."""
    zone = Zone(slow=["10.0.0.1"])
    zone.gate.clear()
    addresses = zone.addresses(allow_private=True)
    first = asyncio.ensure_future(resolve(addresses, "slow"))
    others = [asyncio.ensure_future(resolve(addresses, "slow")) for _ in range(20)]
    carried = asyncio.ensure_future(refused(addresses, "slow", is_carried=True))
    await until(lambda: zone.asked)
    first.cancel()
    await until(first.cancelled)
    zone.gate.set()

    assert await asyncio.gather(*others) == [[("10.0.0.1", 80)]] * 20
    assert (await carried).kind == "destination_ip_prohibited"
    assert first.cancelled()
    assert zone.asked == ["slow"]


async def test_a_silent_resolver_is_given_up():
    """504; while it is stuck nobody waits for it again, and its late answer counts."""
    zone = Zone(slow=[PUBLIC])
    zone.gate.clear()
    addresses = zone.addresses(patience_s=0.2)
    error = await refused(addresses, "slow")
    assert (error.kind, error.status, error.retry) == ("dns_timeout", 504, "yes")

    again = asyncio.ensure_future(refused(addresses, "slow"))
    for _ in range(10):  # turns of the loop, no time
        await asyncio.sleep(0)
    assert again.done()
    assert (await again).kind == "dns_timeout"

    zone.gate.set()
    await until(lambda: not addresses._running)
    assert await resolve(addresses, "slow") == [(PUBLIC, 80)]
    assert zone.asked == ["slow"]


async def test_queries_are_bounded():
    """Names that a pattern makes up hold no threads without end; literals need none."""
    zone = Zone()
    zone.gate.clear()
    addresses = zone.addresses()
    waiting = [
        asyncio.ensure_future(refused(addresses, f"{number}.example"))
        for number in range(MAX_LOOKUPS)
    ]
    await until(lambda: len(zone.asked) == MAX_LOOKUPS)
    error = await refused(addresses, "one-more.example")

    assert (error.kind, error.retry) == ("dns_timeout", "yes")
    assert "one-more.example" not in zone.asked
    assert await resolve(addresses, PUBLIC) == [(PUBLIC, 80)]
    zone.gate.set()
    assert {each.kind for each in await asyncio.gather(*waiting)} == {"dns_error"}
    assert (await refused(addresses, "one-more.example")).kind == "dns_error"


async def test_what_is_remembered_is_bounded():
    """The names that were used last."""
    zone = Zone()
    addresses = zone.addresses()
    for number in range(MAX_NAMES + 1):
        await refused(addresses, f"n{number}.example")
    zone.asked.clear()
    await refused(addresses, f"n{MAX_NAMES}.example")
    await refused(addresses, "n0.example")

    assert zone.asked == ["n0.example"]


# Everything at once


@given(address=st.ip_addresses(), port=st.sampled_from([80, 9901]), allow_private=st.booleans())
@example(address=IPv4Address("0.0.0.0"), port=9901, allow_private=True)
def test_what_a_deployment_reaches_is_public(address, port, allow_private):
    """Whatever the operator allows."""
    shown = f"[{address}]" if address.version == 6 else str(address)
    addresses = Addresses(
        settings.Proxy(allow=(f"{shown}:{port}",), allow_private=allow_private), ADMIN
    )
    found = []
    with contextlib.suppress(OriginError):
        found = asyncio.run(addresses.resolve(shown, port, is_carried=True))

    assert all(judge(ip_address(each.address)).reach == "public" for each in found)
    assert bool(found) == (judge(unmapped(address)).reach == "public")
