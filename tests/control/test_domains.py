"""What `edge domains` tells, by a name server that says what a test has it say."""

from __future__ import annotations

import ipaddress

import pytest

from edge.control.domains import (
    UNKNOWN,
    Public,
    address_records,
    describe,
    find_public,
    outgoing,
    proof_of,
)
from edge.site.documents import App, Domain
from edge.site.hosts import app_hosts
from edge.site.settings import Acme, Dns, Listen, Settings, Tls
from tests.support_dns import MiniDns

PUBLIC = ("203.0.113.7", "2001:db8::7")
HOST = "www.shop.test"
DEFAULT = "edge.example.com"


@pytest.fixture
async def dns():
    """A name server for everything."""
    async with MiniDns.serving() as server:
        yield server


def claims(default=DEFAULT, **domains):
    """The claims of an app with the branches main and pr-7; `domains` with _ for dots."""
    app = App(domains={name.replace("_", "."): each for name, each in domains.items()})
    return app_hosts("shop", app, {"main": "main", "pr-7": "pr-7"}, default)


def domain(auto=(), **subdomains):
    """A domain whose subdomains lead to main; `root` is itself."""
    names = {name.replace("root", ""): branch for name, branch in subdomains.items()}
    return Domain(subdomains=names, auto_subdomains=tuple(auto))


def settings(default=DEFAULT, public=PUBLIC, challenges=("http-01",), **dns):
    """A node that listens with TLS."""
    acme = Acme(challenges=challenges, dns=dns_settings(**dns) if dns else None)
    return Settings(
        default_domain=default,
        listen=Listen(http=("127.0.0.1:80",), https=("127.0.0.1:443",), public=public),
        tls=Tls(acme=acme),
    )


def dns_settings(zone=None, command=None):
    """Updates of a zone, or a program."""
    if command:
        return Dns(command=command)
    return Dns(server="127.0.0.1:53", zone=zone, key_name="k", key_file="f")


async def look(dns, given, found, **more):
    """The document, and its hosts by name."""
    asking = dns.resolver(patience_s=0.6 if dns.silent else 10)
    document = await describe(found, given, asking, **more)
    return document, {each["host"]: each for each in document["hosts"]}


# What is set


@pytest.mark.parametrize(
    ("host", "records"),
    [
        ("shop.test", [("shop.test", "A", PUBLIC[0]), ("shop.test", "AAAA", PUBLIC[1])]),
        ("www.shop.test", [("www.shop.test", "CNAME", "main.shop.edge.example.com")]),
        ("docs.shop.test", [("docs.shop.test", "CNAME", "next.shop.edge.example.com")]),
        ("pr-7.shop.test", [("*.shop.test", "A", PUBLIC[0]), ("*.shop.test", "AAAA", PUBLIC[1])]),
        (
            "main.shop.edge.example.com",
            [("*.edge.example.com", "A", PUBLIC[0]), ("*.edge.example.com", "AAAA", PUBLIC[1])],
        ),
    ],
)
def test_the_records_of_each_kind(host, records):
    """A domain itself by address, its subdomains by CNAME, branches by one wildcard."""
    found = claims(shop_test=domain(root="main", www="main", docs="next", auto=["pr-*"]))
    claim = next(each for each in found if each.host == host)

    set_now = address_records(claim, settings(), Public(PUBLIC))

    assert [(each.name, each.type, each.value) for each in set_now] == records


@pytest.mark.parametrize("default", ["edge.localhost", "edge.internal", "intranet"])
def test_a_default_domain_that_the_world_does_not_have(default):
    """Is no target: subdomains have addresses then."""
    (claim, *_) = claims(default, shop_test=domain(www="main"))

    found = address_records(claim, settings(default), Public(PUBLIC))

    assert [each.type for each in found] == ["A", "AAAA"]


def test_addresses_that_are_not_known():
    """Are left open, not guessed."""
    (claim, *_) = claims(shop_test=domain(root="main"))

    (record,) = address_records(claim, settings(), Public(()))

    assert (record.name, record.type, record.value) == ("shop.test", "A", None)


ONLY_DNS = ("dns-01",)
BOTH = ("http-01", "dns-01")


@pytest.mark.parametrize(
    ("host", "given", "proof"),
    [
        (
            "www.shop.test",
            settings(challenges=ONLY_DNS, zone="acme.example.net"),
            ("_acme-challenge.www.shop.test", "www.shop.test.acme.example.net", True),
        ),
        (
            "pr-7.shop.test",
            settings(challenges=ONLY_DNS, zone="acme.example.net"),
            ("_acme-challenge.shop.test", "shop.test.acme.example.net", True),
        ),
        (
            "pr-7.shop.test",
            settings(challenges=BOTH, zone="acme.example.net"),
            ("_acme-challenge.shop.test", "shop.test.acme.example.net", False),
        ),
        (
            "main.shop.edge.example.com",
            settings(challenges=ONLY_DNS, zone="acme.example.net"),
            (
                "_acme-challenge.shop.edge.example.com",
                "shop.edge.example.com.acme.example.net",
                True,
            ),
        ),
        ("www.shop.test", settings(challenges=BOTH, zone="acme.example.net"), None),
        ("www.shop.test", settings(challenges=ONLY_DNS, zone="shop.test"), None),
        ("pr-7.shop.test", settings(challenges=ONLY_DNS, zone="shop.test"), None),
        ("www.shop.test", settings(challenges=ONLY_DNS, zone=None, command=("x",)), None),
        ("www.shop.test", settings(), None),
    ],
)
def test_the_record_of_a_challenge(host, given, proof):
    """Where the zone that is written to is another one, and a challenge by DNS will be used."""
    found = claims(shop_test=domain(www="main", auto=["pr-*"]))
    claim = next(each for each in found if each.host == host)

    record = proof_of(claim, given)

    assert (record and (record.name, record.value, record.is_needed)) == proof


def test_a_challenge_s_target_is_no_longer_than_a_name():
    """A long one is called by a hash."""
    name = ".".join(["a" * 60] * 4)
    (claim, *_) = claims(**{name.replace(".", "_"): domain(root="main")})

    record = proof_of(claim, settings(challenges=ONLY_DNS, zone="acme.example.net"))

    assert len(record.value) == len("12345678.acme.example.net")


# What resolves


async def test_all_is_well(dns):
    """Every address is this node's; nothing is missing."""
    dns.records[HOST, "CNAME"] = ["main.shop.edge.example.com"]
    dns.records["main.shop.edge.example.com", "A"] = [PUBLIC[0]]
    dns.records["main.shop.edge.example.com", "AAAA"] = [PUBLIC[1]]
    dns.records["pr-7.shop.edge.example.com", "A"] = [PUBLIC[0]]
    found = claims(shop_test=domain(www="main"))

    document, hosts = await look(dns, settings(), found, certificates={HOST: "until May"})

    assert (document["public"], document["note"], document["missing"]) == ([*PUBLIC], "", False)
    assert hosts[HOST] == {
        "host": HOST,
        "app": "shop",
        "branch": "main",
        "kind": "domain",
        "records": [
            {
                "name": HOST,
                "type": "CNAME",
                "value": "main.shop.edge.example.com",
                "is_needed": True,
            }
        ],
        "resolves": [*PUBLIC],
        "chain": ["main.shop.edge.example.com"],
        "here": True,
        "problems": [],
        "certificate": "until May",
        "missing": False,
    }
    assert list(hosts) == [HOST, "main.shop.edge.example.com", "pr-7.shop.edge.example.com"]


async def test_what_leads_elsewhere(dns):
    """One address of several is enough: any of them may be dialed."""
    dns.records[HOST, "A"] = [PUBLIC[0], "192.0.2.66"]

    document, hosts = await look(dns, settings(), claims(shop_test=domain(www="main")))

    assert document["missing"]
    assert (hosts[HOST]["here"], hosts[HOST]["missing"]) == (False, True)
    assert hosts[HOST]["problems"] == ["leads to 192.0.2.66, not to this node"]


@pytest.mark.parametrize(
    ("cause", "problem"),
    [
        ("missing", "the name does not exist (NXDOMAIN)"),
        ("servfail", "its name servers fail (SERVFAIL)"),
        ("silent", "no name server answered"),
        (None, "the name has no such records"),
    ],
)
async def test_what_does_not_resolve(dns, cause, problem):
    """Each with its own reason; where it leads is not known then."""
    if cause:
        getattr(dns, cause).add(HOST)

    _, hosts = await look(dns, settings(), claims(shop_test=domain(www="main")))

    assert (hosts[HOST]["here"], hosts[HOST]["missing"]) == (None, True)
    assert hosts[HOST]["problems"] == [problem]


async def test_the_end_of_a_chain_is_named(dns):
    """It is the target that does not exist."""
    dns.records[HOST, "CNAME"] = ["gone.example.com"]
    dns.missing.add("gone.example.com")

    _, hosts = await look(dns, settings(), claims(shop_test=domain(www="main")))

    assert hosts[HOST]["problems"] == ["gone.example.com: the name does not exist (NXDOMAIN)"]


async def test_a_node_that_does_not_know_its_addresses(dns):
    """Claims nothing about where names lead, and says what to write."""
    dns.records["shop.test", "A"] = [PUBLIC[0]]
    found = claims("edge.localhost", shop_test=domain(root="main"))

    document, hosts = await look(dns, settings("edge.localhost", public=()), found)

    assert (document["public"], document["note"]) == ([], UNKNOWN)
    assert (hosts["shop.test"]["here"], hosts["shop.test"]["missing"]) == (None, False)
    assert not document["missing"]


async def test_names_of_this_machine_need_nothing(dns):
    """Nor do addresses; nobody is asked about them."""
    found = claims("edge.localhost", **{"192_0_2_1": domain(root="main")})

    document, hosts = await look(dns, settings("edge.localhost"), found)

    assert sorted(hosts) == [
        "192.0.2.1",
        "main.shop.edge.localhost",
        "pr-7.shop.edge.localhost",
    ]
    assert all((each["here"], each["records"]) == (True, []) for each in hosts.values())
    assert (document["missing"], dns.asked) == (False, [])


@pytest.mark.parametrize(
    ("target", "challenges", "problem", "is_missing"),
    [
        ("www.shop.test.acme.example.net", ONLY_DNS, [], False),
        ("other.acme.example.net", ONLY_DNS, [], False),
        ("acme.example.org", ONLY_DNS, ["does not lead into acme.example.net"], True),
        (None, ONLY_DNS, ["does not lead into acme.example.net"], True),
        ("servfail", ONLY_DNS, ["its name servers fail (SERVFAIL)"], True),
    ],
)
async def test_a_challenge_s_record_now(dns, target, challenges, problem, is_missing):
    """Any name in the zone will do; without it there is no certificate."""
    dns.records[HOST, "A"] = [PUBLIC[0]]
    if target == "servfail":
        dns.servfail.add(f"_acme-challenge.{HOST}")
    elif target:
        dns.records[f"_acme-challenge.{HOST}", "CNAME"] = [target]
    given = settings(challenges=challenges, zone="acme.example.net")

    _, hosts = await look(dns, given, claims(shop_test=domain(www="main")))

    problems = [each.removeprefix(f"_acme-challenge.{HOST}") for each in hosts[HOST]["problems"]]
    assert [each.strip(": ") for each in problems] == problem
    assert hosts[HOST]["missing"] == is_missing


async def test_a_wildcard_s_record_is_no_must_where_others_show_names(dns):
    """Its lack is told, and nothing is missing for it."""
    dns.records["pr-7.shop.test", "A"] = [PUBLIC[0]]
    given = settings(challenges=BOTH, zone="acme.example.net")

    _, hosts = await look(dns, given, claims(shop_test=domain(auto=["pr-*"])))

    host = hosts["pr-7.shop.test"]
    assert (len(host["problems"]), host["missing"]) == (1, False)


async def test_certificates_by_wildcard(dns):
    """A name without its own has its wildcard's; without either there is none."""
    names = {"*.shop.test": "wild", HOST: "own"}
    found = claims(shop_test=domain(root="main", www="main", docs="main"))

    _, hosts = await look(dns, settings(), found, certificates=names)

    told = {host: each["certificate"] for host, each in hosts.items() if each["kind"] == "domain"}
    assert told == {"shop.test": None, HOST: "own", "docs.shop.test": "wild"}


# Where this node is


def test_the_operator_s_word_counts():
    """Whatever is listened on."""
    assert find_public(Listen(http=("8.8.8.8:80",), public=PUBLIC)) == Public(PUBLIC)


def test_global_addresses_that_are_listened_on():
    """Each once, IPv6 too; others and names are passed over."""
    listen = Listen(
        http=("8.8.8.8:80", "127.0.0.1:80", "localhost:81", "10.0.0.1:80"),
        https=("8.8.8.8:443", "[2606:4700::1]:443"),
    )

    assert find_public(listen) == Public(("8.8.8.8", "2606:4700::1"))


def test_nothing_global():
    """Is said, with what to do."""
    assert find_public(Listen(http=("127.0.0.1:80", "10.0.0.1:80"))) == Public((), UNKNOWN)


def test_every_address_of_this_machine():
    """Where all are listened on, the one that leads to the world counts, if it is global."""
    own = outgoing(4)
    is_public = bool(own) and ipaddress.ip_address(own).is_global

    found = find_public(Listen(http=("0.0.0.0:80",)))

    assert found == (Public((own,)) if is_public else Public((), UNKNOWN))
