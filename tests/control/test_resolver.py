"""What the DNS says, asked of a real name server and of one that misbehaves."""

from __future__ import annotations

import asyncio

import pytest

from edge.control import resolver as resolving
from edge.control.resolver import (
    Addresses,
    Caa,
    CaaRecord,
    Resolver,
    Server,
    Shown,
    Target,
    Zone,
)
from tests.support_dns import Bind, MiniDns, bind

FIXTURES = (bind,)
PATIENCE_S = 0.4


@pytest.fixture
async def mini():
    """A server that misbehaves."""
    async with MiniDns.serving() as server:
        yield server


# Addresses


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.test", Addresses("example.test", (), ("192.0.2.1",))),
        (
            "www.example.test",
            Addresses(
                "www.example.test",
                ("web.example.test",),
                ("192.0.2.7", "192.0.2.8", "2001:db8::7"),
            ),
        ),
        (
            "far.example.test",
            Addresses("far.example.test", ("web.delegated.test",), ("192.0.2.20",)),
        ),
        ("nothing.example.test", Addresses("nothing.example.test", absence="nxdomain")),
        ("text.example.test", Addresses("text.example.test", absence="empty")),
        (
            "dangling.example.test",
            Addresses("dangling.example.test", ("nowhere.delegated.test",), (), "nxdomain"),
        ),
        ("elsewhere.invalid", Addresses("elsewhere.invalid", absence="servfail")),
        ("a" * 64 + ".example.test", Addresses("a" * 64 + ".example.test", absence="nxdomain")),
    ],
)
async def test_where_a_name_leads(bind, name, expected):
    """All of A and AAAA over CNAMEs, also into another zone; else the reason in one word."""
    found = await bind.resolver().addresses(name)

    addresses = tuple(sorted(found.addresses))
    assert Addresses(found.name, found.chain, addresses, found.absence) == expected


async def test_cnames_in_a_circle_end(bind):
    """As servers that fail, not as a wait."""
    found = await bind.resolver().addresses("loop.example.test")

    assert (found.addresses, found.absence) == ((), "servfail")


async def test_a_server_that_leads_on_for_ever_is_given_up(mini):
    """One CNAME an answer, each to another name: an end is made of it."""
    for number in range(20):
        mini.records[f"n{number}.test", "CNAME"] = [f"n{number + 1}.test"]

    found = await mini.resolver().addresses("n0.test")

    assert found.absence == "servfail"
    assert len(mini.asked) <= 2 * (resolving.MAX_HOPS + 1)


async def test_one_kind_of_address_is_enough(mini):
    """What fails for AAAA takes nothing from A."""
    mini.records["half.test", "A"] = ["192.0.2.1"]

    assert (await mini.resolver().addresses("half.test")).addresses == ("192.0.2.1",)


async def test_servers_that_fail_are_not_silent_ones(mini):
    """Two words, since one is for the name's owner and the other for who runs this machine."""
    mini.servfail.add("broken.test")
    mini.silent.add("slow.test")

    broken, slow = await asyncio.gather(
        mini.resolver(patience_s=10).addresses("broken.test"),
        mini.resolver(patience_s=PATIENCE_S).addresses("slow.test"),
    )

    assert (broken.absence, slow.absence) == ("servfail", "timeout")


async def test_a_question_ends_in_its_time(mini):
    """Not in the time that is usual; a machine may stand still for a moment meanwhile."""
    mini.silent.add("slow.test")
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async with asyncio.timeout(resolving.PATIENCE_S - 1):
        await mini.resolver(patience_s=PATIENCE_S).caa("slow.test")

    assert loop.time() - begun > PATIENCE_S * 0.9


async def test_a_lost_datagram_is_sent_again(mini, monkeypatch):
    """Most of the patience is kept for it."""
    monkeypatch.setattr(resolving, "FIRST_S", 0.2)
    mini.records["web.test", "TXT"] = ["hello"]
    mini.lost = 1

    found = await mini.resolver(patience_s=10).target("web.test")

    assert found == Target("web.test")
    assert len(mini.asked) == 2


async def test_the_next_server_is_asked(mini, bind, monkeypatch):
    """After one where nobody listens, and after one that fails."""
    monkeypatch.setattr(resolving, "FIRST_S", 0.2)
    mini.servfail.add("www.example.test")
    dead = ("127.0.0.3", bind.port)
    asking = Resolver([dead, (mini.host, mini.port), (bind.host, bind.port)], patience_s=20)

    found = await asking.addresses("www.example.test")

    assert len(found.addresses) == 3
    assert mini.asked


async def test_nobody_listens(bind):
    """Refused at once is as silent as silent."""
    found = await Resolver([("127.0.0.3", bind.port)], patience_s=PATIENCE_S).addresses(
        "example.test"
    )

    assert found.absence == "timeout"


def test_the_system_s_servers(tmp_path):
    """Those of resolv.conf; where it has none or is not there, this machine."""
    file = tmp_path / "resolv.conf"
    missing = resolving.system_servers(str(file))
    file.write_text("search example.com\n")
    empty = resolving.system_servers(str(file))
    file.write_text("nameserver 192.0.2.53\nnameserver 2001:db8::53\n")

    assert missing == empty == [("127.0.0.1", 53)]
    assert resolving.system_servers(str(file)) == [("192.0.2.53", 53), ("2001:db8::53", 53)]


# CAA


async def test_caa_of_the_name_itself(bind):
    """With every property, tags in lower case."""
    found = await bind.resolver().caa("guarded.example.test")

    assert found.found_at == "guarded.example.test"
    assert sorted(found.records, key=lambda each: (each.tag, each.value)) == [
        CaaRecord(0, "issue", "ca.test; accounturi=https://ca.test/acct/1"),
        CaaRecord(0, "issue", "other.test"),
        CaaRecord(0, "issuewild", ";"),
    ]


@pytest.mark.parametrize(
    ("name", "found_at"),
    [
        ("deep.guarded.example.test", "guarded.example.test"),
        ("a.b.c.guarded.example.test", "guarded.example.test"),
        ("*.guarded.example.test", "guarded.example.test"),
        ("www.example.test", ""),
        ("far.example.test", "far.example.test"),
        ("dangling.example.test", ""),
    ],
)
async def test_caa_is_looked_for_above(bind, name, found_at):
    """Name by name; of a CNAME's target its own set counts, and what stands above that does not."""
    found = await bind.resolver().caa(name)

    assert (found.found_at, bool(found.records)) == (found_at, bool(found_at))


async def test_caa_of_a_cname_s_target(bind):
    """It is nearer than what the alias has above it."""
    found = await bind.resolver().caa("alias.guarded.example.test")

    assert found == Caa("alias.guarded.example.test", (CaaRecord(128, "issue", "web-ca.test"),))


@pytest.mark.parametrize("where", ["www.shop.test", "shop.test"])
async def test_caa_that_cannot_be_asked(mini, where):
    """Is not the same as none, at any step of the climb."""
    mini.servfail.add(where)

    assert await mini.resolver().caa("www.shop.test") == Caa(where, absence="servfail")


# Zones and their servers


@pytest.mark.parametrize(
    "name", ["example.test", "www.example.test", "_acme-challenge.not.there.example.test"]
)
async def test_the_closest_zone(bind, name):
    """With the addresses of all its servers, whether the name exists or not."""
    found = await bind.resolver().authoritative(name)

    assert found == Zone(
        "example.test",
        (
            Server("ns1.example.test", ("127.0.0.1",), bind.port),
            Server("ns2.example.test", ("127.0.0.2",), bind.port),
        ),
    )


async def test_no_zone(bind, mini):
    """Names that nobody serves, and servers that do not say."""
    assert (await bind.resolver().authoritative("x.invalid")).absence == "servfail"
    assert await mini.resolver().authoritative("x.y") == Zone("x.y", absence="empty")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_acme-challenge.shop.example.test", Target("shop.delegated.test")),
        ("_acme-challenge.www.example.test", Target("_acme-challenge.www.example.test")),
        ("text.example.test", Target("text.example.test")),
        ("_acme-challenge.lost.example.test", Target("lost.nobody.invalid", "servfail")),
    ],
)
async def test_where_cnames_end(bind, name, expected):
    """Whether something is there or not."""
    assert await bind.resolver().target(name) == expected


# One server's own word


def server_of(bind: Bind) -> Server:
    """The BIND as a server of its zones."""
    return Server("ns1", (bind.host,), bind.port)


async def test_what_a_server_shows(bind):
    """The strings of a record as one, by TCP where a datagram is too small."""
    asking, server = bind.resolver(), server_of(bind)

    assert await asking.txt("text.example.test", [server]) == [Shown("ns1", ("one pieceof text",))]
    assert await asking.txt("long.example.test", [server]) == [Shown("ns1", ("x" * 1500,))]


async def test_servers_differ(bind):
    """Each has its own answer, in the order that they were named; a silent one holds up none."""
    async with MiniDns.serving(bind.port) as lagging:
        lagging.records["text.example.test", "TXT"] = ["other"]
        lagging.missing.add("gone.example.test")
        servers = [
            server_of(bind),
            Server("ns2", ("127.0.0.3", lagging.host), lagging.port),
            Server("ns3", ("127.0.0.3",), bind.port),
            Server("ns4", ()),
        ]
        asking = bind.resolver(patience_s=5)

        shown, gone = await asyncio.gather(
            asking.txt("text.example.test", servers), asking.txt("gone.example.test", servers)
        )

    assert shown == [
        Shown("ns1", ("one pieceof text",)),
        Shown("ns2", ("other",)),
        Shown("ns3", absence="timeout"),
        Shown("ns4", absence="timeout"),
    ]
    assert [each.absence for each in gone] == ["nxdomain", "nxdomain", "timeout", "timeout"]


@pytest.mark.parametrize(
    ("name", "absence"),
    [
        ("example.test", "empty"),
        ("_acme-challenge.shop.example.test", "empty"),
        ("elsewhere.invalid", "servfail"),
        ("a" * 64 + ".test", "nxdomain"),
    ],
)
async def test_a_server_shows_nothing(bind, name, absence):
    """A CNAME is not followed here: its server has no word on what it leads to."""
    assert await bind.resolver().txt(name, [server_of(bind)]) == [Shown("ns1", absence=absence)]
