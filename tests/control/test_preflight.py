"""What is found before a try is spent: by real questions to name servers and web servers."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest

from edge.control import preflight as checking
from edge.control.preflight import Finding, Probe, Situation, preflight
from tests.support import free_port
from tests.support_dns import MiniDns

OURS, THEIRS, NOBODY = "127.0.0.1", "127.0.0.3", "127.0.0.4"
PROBE = Probe("a-token", "a-token.thumbprint")
NAME = "www.shop.test"


class Web:
    """Web servers on several loopback addresses and one port, each with one answer."""

    def __init__(self, port):
        self.port = port
        self.answers: dict[str, bytes | None] = {}
        """Address → what it answers; None is silence."""
        self.heads: list[tuple[str, bytes]] = []

    async def answer(self, reader, writer):
        """Read a head, answer, close."""
        address = writer.get_extra_info("sockname")[0]
        with contextlib.suppress(asyncio.IncompleteReadError):
            self.heads.append((address, await reader.readuntil(b"\r\n\r\n")))
            answer = self.answers[address]
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
        writer.close()


def message(content=b"", status="200 OK", **fields):
    """A response."""
    lines = [f"{name}: {value}" for name, value in fields.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(content)}"])
    return f"{head}\r\nConnection: close\r\n\r\n".encode() + content


@pytest.fixture
async def web():
    """Ours answers as the data plane does."""
    found = Web(free_port())
    found.answers = {OURS: message(PROBE.content.encode() + b"\n"), THEIRS: message(b"hello")}
    server = await asyncio.start_server(found.answer, [OURS, THEIRS], found.port)
    try:
        yield found
    finally:
        server.close()


@pytest.fixture
async def dns():
    """A name server for everything; NAME leads to us."""
    async with MiniDns.serving() as server:
        server.records[NAME, "A"] = [OURS]
        yield server


def situation(web=None, **more):
    """All is well, as far as this machine goes."""
    ports = {} if web is None else {"ports": {"http-01": web.port, "tls-alpn-01": 443}}
    defaults = {
        "challenges": ("http-01",),
        "listening": (f"0.0.0.0:{80 if web is None else web.port}",),
        "identities": ("ca.test",),
        "account": "https://ca.test/acct/1",
        "now": 1_000_000.0,
        "authority_date": 1_000_000.0,
        "probes": {NAME: PROBE},
    }
    return Situation(**defaults | ports | more)


async def find(dns, given, *names):
    """Findings about `names`."""
    asking = dns.resolver(patience_s=2 if dns.silent else 10)
    return await preflight(names or (NAME,), given, asking)


def about(found, subject):
    """(level, text) of what was found about one thing."""
    return [(each.level, each.text) for each in found if each.about == subject]


# All together


async def test_all_is_well(dns, web):
    """One finding each, in order, none of which asks anything of anybody."""
    assert await find(dns, situation(web)) == [
        Finding("ok", "clock", "the clock agrees with the authority's"),
        Finding("ok", NAME, f"{OURS} leads to this node"),
        Finding("ok", NAME, "no CAA"),
    ]


async def test_everything_at_once(dns, web):
    """One thing that is wrong hides no other, and each says what to do."""
    dns.missing.add("gone.test")
    dns.records["gone.test", "CAA"] = []
    dns.records["test", "CAA"] = ["0 issue other.test"]
    given = situation(web, listening=(), authority_date=0.0)

    found = await find(dns, given, "gone.test", "*.shop.test")

    assert [(each.level, each.about) for each in found] == [
        ("stop", "clock"),
        ("stop", "ports"),
        ("stop", "gone.test"),
        ("stop", "gone.test"),
        ("stop", "*.shop.test"),
        ("stop", "*.shop.test"),
    ]
    assert all(each.hint for each in found)


# Addresses


async def test_every_address_is_dialed(dns, web):
    """As an authority does, which may choose any: with the name, the token, and no redirect."""
    dns.records[NAME, "A"] = [OURS, THEIRS]

    found = await find(dns, situation(web))

    assert about(found, NAME)[:2] == [
        ("ok", f"{OURS} leads to this node"),
        ("stop", f"{THEIRS} is answered by somebody else (status 200)"),
    ]
    for address, head in web.heads:
        lines = head.decode().split("\r\n")
        assert lines[0] == "GET /.well-known/acme-challenge/a-token HTTP/1.1", address
        assert f"Host: {NAME}:{web.port}" in lines


async def test_an_address_that_is_known_is_not_dialed(dns, web):
    """Of this node's own ones nothing need be asked: it may not reach them itself."""
    found = await find(dns, situation(web, public=(OURS,)))

    assert about(found, NAME)[0] == ("ok", f"{OURS} is an address of this node")
    assert web.heads == []


async def test_a_balancer_in_front(dns, web):
    """An address that is not known as ours leads here when our answer comes from it."""
    found = await find(dns, situation(web, public=("192.0.2.1",)))

    assert about(found, NAME)[0] == ("ok", f"{OURS} leads to this node")


@pytest.mark.parametrize(
    ("answer", "level", "text"),
    [
        (message(b"", "404 Not Found", Server="nginx"), "stop", "(status 404, Server: nginx)"),
        (message(PROBE.content.encode(), "203 X"), "stop", "by somebody else (status 203)"),
        (message(PROBE.content.encode() + b"x"), "stop", "by somebody else (status 200)"),
        (message(b"x" * 100_000), "stop", "by somebody else (status 200)"),
        (
            message(b"", "301 Moved", Location="https://www.shop.test/"),
            "warning",
            "sends on to https://www.shop.test/ (status 301); whether that leads here is not",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "stop", "by somebody else (it speaks no HTTP)"),
        (b"", "warning", "cannot be reached from here on port"),
    ],
)
async def test_somebody_else_s_answer(dns, web, answer, level, text):
    """Whose it is, as far as it says; what may still lead here is a warning."""
    web.answers[OURS] = answer

    ((found_level, found_text), *_) = about(await find(dns, situation(web)), NAME)

    assert found_level == level
    assert text in found_text


async def test_an_address_where_nobody_listens(dns, web):
    """May be reached by others all the same: routers do not always lead back."""
    dns.records[NAME, "A"] = [NOBODY]

    found = await find(dns, situation(web))

    ((level, text), *_) = about(found, NAME)
    assert level == "warning"
    assert text.startswith(f"{NOBODY} cannot be reached from here on port {web.port}: ")


async def test_an_address_that_is_silent(dns, web, monkeypatch):
    """Is not waited for longer than an authority would."""
    monkeypatch.setattr(checking, "PROBE_S", 0.2)
    web.answers[OURS] = None

    found = await find(dns, situation(web))

    text = f"{OURS} cannot be reached from here on port {web.port}: it is silent"
    assert about(found, NAME)[0] == ("warning", text)


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "0.0.0.0"])
async def test_addresses_that_are_nobody_s_are_not_dialed(dns, web, address):
    """A stranger's record makes us ask no machine's metadata."""
    dns.records[NAME, "A"] = [address]

    ((level, text), *_) = about(await find(dns, situation(web)), NAME)

    assert (level, text.endswith("which no authority reaches")) == ("stop", True)


async def test_addresses_that_cannot_be_compared(dns):
    """Without a probe, or where no challenge uses http, nothing is claimed."""
    for more in ({"probes": {}}, {"challenges": ("tls-alpn-01",), "listening": ("0.0.0.0:443",)}):
        found = await find(dns, situation(public=("192.0.2.1",), **more))

        text = f"{OURS} is not known as an address of this node (192.0.2.1)"
        assert about(found, NAME)[0] == ("warning", text)


async def test_an_ip_address_is_its_own_record(dns, web):
    """Nothing is asked of the DNS; IPv6 is dialed and named in brackets."""
    found = await find(dns, situation(web, probes={OURS: PROBE, "::1": PROBE}), OURS, "::1")

    assert about(found, OURS) == [("ok", f"{OURS} leads to this node")]
    assert [level for level, _ in about(found, "::1")] == ["warning"]
    assert dns.asked == []


@pytest.mark.parametrize(
    ("cause", "level", "text"),
    [
        ("missing", "stop", "www.shop.test has no addresses: the name does not exist (NXDOMAIN)"),
        ("servfail", "stop", "www.shop.test has no addresses: its name servers fail (SERVFAIL)"),
        ("silent", "warning", "www.shop.test has no addresses: no name server answered"),
        ("records", "stop", "www.shop.test has no addresses: the name has no such records"),
    ],
)
async def test_a_name_without_addresses(dns, cause, level, text):
    """Each cause by its own word; a silent resolver may be this machine's own trouble."""
    if cause == "records":
        dns.records.clear()
    else:
        getattr(dns, cause).add(NAME)

    assert about(await find(dns, situation()), NAME)[0] == (level, text)


async def test_the_end_of_a_chain_is_named(dns):
    """It is the target that is missing, not the name."""
    dns.records[NAME, "CNAME"] = ["main.edge.test"]
    dns.missing.add("main.edge.test")

    ((level, text), *_) = about(await find(dns, situation()), NAME)

    assert (level, text) == (
        "stop",
        "main.edge.test has no addresses: the name does not exist (NXDOMAIN)",
    )


# Challenges


async def test_dns_alone_needs_no_addresses(dns):
    """Neither records nor ports; CAA counts all the same."""
    given = situation(challenges=("dns-01",), listening=())

    assert about(await find(dns, given), NAME) == [("ok", "no CAA")]
    assert {kind for _, kind in dns.asked} == {"CAA"}


@pytest.mark.parametrize(
    ("name", "challenges", "text"),
    [
        ("*.shop.test", ("http-01", "tls-alpn-01"), "a wildcard can only be shown by dns-01"),
        ("192.0.2.1", ("dns-01",), "an address can only be shown by http-01 or tls-alpn-01"),
    ],
)
async def test_a_name_that_no_challenge_shows(dns, name, challenges, text):
    """Is known before it is tried."""
    found = await find(dns, situation(challenges=challenges, public=("192.0.2.1",)), name)

    ((level, found_text), *_) = about(found, name)
    assert (level, found_text) == ("stop", f"{text}, which is not among the challenges")


@pytest.mark.parametrize(
    ("challenges", "listening", "is_stopped"),
    [
        (("http-01",), ("0.0.0.0:80",), False),
        (("http-01",), ("[::]:8080", "0.0.0.0:443"), True),
        (("tls-alpn-01",), ("0.0.0.0:80",), True),
        (("http-01", "tls-alpn-01"), ("0.0.0.0:443",), False),
        (("http-01", "dns-01"), (), False),
    ],
)
async def test_a_port_that_is_not_listened_on(dns, challenges, listening, is_stopped):
    """Stops where every challenge needs it."""
    given = situation(challenges=challenges, listening=listening, public=(OURS,))

    found = await find(dns, given)

    assert [level for level, _ in about(found, "ports")] == ["stop"] * is_stopped


async def test_a_router_may_lead_to_another_port(dns, web):
    """Our own answer at the authority's port is better than what we listen on."""
    found = await find(dns, situation(web, listening=("0.0.0.0:8080",)))

    assert about(found, "ports") == []


# The clock


@pytest.mark.parametrize(
    ("now", "level", "text"),
    [
        (1_000_060.0, "ok", "the clock agrees with the authority's"),
        (1_000_061.0, "warning", "this machine's clock is 61 s ahead of the authority's"),
        (999_900.0, "warning", "this machine's clock is 100 s behind the authority's"),
        (1_003_601.0, "stop", "this machine's clock is 3601 s ahead of the authority's"),
        (990_000.0, "stop", "this machine's clock is 10000 s behind the authority's"),
    ],
)
async def test_the_clock(dns, now, level, text):
    """By the Date of the authority's answer."""
    found = await find(dns, situation(public=(OURS,), now=now))

    assert about(found, "clock") == [(level, text)]


async def test_an_authority_without_a_date(dns):
    """Says nothing about clocks."""
    given = msgspec.structs.replace(situation(public=(OURS,)), authority_date=None)

    assert about(await find(dns, given), "clock") == []


# CAA


@pytest.mark.parametrize(
    ("name", "values", "level", "text"),
    [
        (NAME, ["0 issue ca.test"], "ok", "CAA of shop.test allows the authority"),
        (
            NAME,
            ["0 issue other.test"],
            "stop",
            "CAA of shop.test: other.test may issue, and this authority is ca.test",
        ),
        (
            NAME,
            ["0 issue ca.test; validationmethods=dns-01"],
            "stop",
            "CAA of shop.test: only dns-01 is allowed, and http-01 can be used",
        ),
        ("*.shop.test", ["0 issue ca.test", "0 issuewild ;"], "stop", "nobody may issue"),
        ("*.shop.test", ["0 issue ;", "0 issuewild ca.test"], "ok", "allows the authority"),
    ],
)
async def test_caa(dns, name, values, level, text):
    """Found above the name, read for this kind of name and these challenges."""
    dns.records["shop.test", "CAA"] = values

    found = about(await find(dns, situation(public=(OURS,)), name), name)[-1]

    assert found[0] == level
    assert text in found[1]


async def test_caa_may_depend_on_an_account_to_come(dns):
    """It is not known whether it will be that one."""
    dns.records["shop.test", "CAA"] = ["0 issue ca.test; accounturi=https://ca.test/acct/7"]

    known = await find(dns, situation(public=(OURS,)))
    unknown = await find(dns, situation(public=(OURS,), account=None))

    assert [about(each, NAME)[-1][0] for each in (known, unknown)] == ["stop", "warning"]


@pytest.mark.parametrize(("cause", "level"), [("servfail", "stop"), ("silent", "warning")])
async def test_caa_that_cannot_be_asked(dns, cause, level):
    """Authorities refuse where it fails; silence may be this machine's own trouble."""
    getattr(dns, cause).add("shop.test")

    found = await find(dns, situation(public=(OURS,)))

    assert about(found, NAME)[-1][0] == level
    assert found[-1].hint == "an authority asks too: see what `dig CAA shop.test` says"


async def test_a_stranger_s_words_are_made_harmless(dns):
    """What a zone says goes to a terminal."""
    dns.records["shop.test", "CAA"] = ["0 issue \x1b[31m"]

    found = await find(dns, situation(public=(OURS,)))

    assert "\x1b" not in found[-1].text
