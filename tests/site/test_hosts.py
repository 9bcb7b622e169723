"""Host names of requests, operators and branches."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.errors import MalformedRequest
from edge.site.documents import App, Domain
from edge.site.hosts import (
    app_hosts,
    assign_label,
    branch_label,
    branch_matches,
    canonical_host,
    find_conflicts,
    is_loopback,
    parse_authority,
)

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
HOSTISH = st.text(alphabet="aZ09.-_:[]@,%/ éßｅ。\u200d\u00ad", max_size=40)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("main", "main"),
        ("feature/Login_2", "feature-login-2"),
        ("release--1..2", "release-1-2"),
        ("/-x-/", "x"),
        ("xn--bcher-kva", "xn-bcher-kva"),
        ("7", "7"),
        ("café/éclair", "caf-clair"),
        ("a" * 70, "a" * 63),
        ("a" * 62 + "/b", "a" * 62),
        ("日本", "branch-cf2abf0c"),
        ("", "branch-e3b0c442"),
    ],
)
def test_a_branch_label(name, label):
    """Lower case, one hyphen for each run of anything else, 63 characters, never empty."""
    assert branch_label(name) == label


@given(st.text() | st.text(alphabet="aB9-/._", max_size=80))
def test_a_branch_label_is_a_dns_label(name):
    """Whatever a branch is called, its label is valid in DNS, and labels are their own labels."""
    label = branch_label(name)

    assert DNS_LABEL.fullmatch(label)
    assert branch_label(label) == label


def test_a_free_label_is_taken_as_it_is():
    """The first branch of a label has it without a hash."""
    assert assign_label("Feature/X", ["main"]) == "feature-x"


def test_a_colliding_branch_gets_a_hash_of_its_name():
    """A later branch of the same label has the hash of its name behind it, always the same."""
    assert assign_label("feature_x", {"feature-x"}) == "feature-x-5484b40c"


def test_a_cut_label_gets_a_hash():
    """Two long names with one beginning have two labels of 63 characters at most."""
    labels = [assign_label("a" * 63 + end, ()) for end in "bc"]

    assert len(set(labels)) == 2
    assert all(re.fullmatch(r"a{54}-[0-9a-f]{8}", label) for label in labels)


def test_even_the_hashed_label_may_be_taken():
    """A label that looks like the hashed one does not make two branches share it."""
    taken = {"x", assign_label("X", {"x"})}

    assert assign_label("X", taken) not in taken


@given(st.text(max_size=80), st.sets(st.sampled_from(["main", "a", "b", "x-y"])))
def test_an_assigned_label_is_free_and_valid(name, taken):
    """The label of a new branch is a DNS label that no other branch has."""
    label = assign_label(name, taken)

    assert DNS_LABEL.fullmatch(label)
    assert label not in taken


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "a/b", True),
        ("feature/*", "feature/a/b", True),
        ("feature/*", "feature", False),
        ("pr-?", "pr-7", True),
        ("pr-[0-9]", "pr-x", False),
        ("Main", "main", False),
    ],
)
def test_a_branch_pattern(pattern, name, matches):
    """A star crosses slashes, and case matters."""
    assert branch_matches(pattern, name) is matches


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("ｅxample。com", "example.com"),
        ("localhost", "localhost"),
        ("r3---sn.example", "r3---sn.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("2001:DB8:0::1", "[2001:db8::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ],
)
def test_an_operators_host_has_one_spelling(written, host):
    """Case, the trailing dot, U-labels and zeros of an address do not make another host."""
    assert canonical_host(written) == host


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "the label ''"),
        (".", "the label ''"),
        ("a..b", "the label ''"),
        ("a.b..", "the label ''"),
        ("*.example.com", "the label '*'"),
        ("my_app.example", "the label 'my_app'"),
        ("-a.example", "the label '-a'"),
        ("a-.example", "the label 'a-'"),
        ("a b.example", "the label 'a b'"),
        ("example.com:443", "the label 'com:443'"),
        ("https://example.com", "the label 'https://example'"),
        ("a" * 64 + ".example", "is not 1 to 63"),
        (".".join(["a" * 49] * 6), "longer than 253"),
        ("é" * 254, "longer than 253"),
        ("1.2.3", "its last label is a number"),
        ("127.0.0.256", "its last label is a number"),
        ("[127.0.0.1]", "the label '[127'"),
        ("fe80::1%eth0", "the label 'fe80::1%eth0'"),
        ("💩.example", "not allowed"),
        ("\ud800.example", "not allowed"),
    ],
)
def test_a_host_that_nobody_can_ask_for_is_refused(written, reason):
    """A name that is no host is refused with what is wrong about it."""
    with pytest.raises(ValueError, match="is not a domain name") as caught:
        canonical_host(written)

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "host"),
    [
        (b"example.com", "example.com"),
        (b"EXAMPLE.com:8080", "example.com"),
        (b"example.com.:443", "example.com"),
        (b"example.com:", "example.com"),
        (b"example.com:65535", "example.com"),
        (b"my_app:3000", "my_app"),
        (b"127.0.0.1:80", "127.0.0.1"),
        (b"[::1]", "[::1]"),
        (b"[2001:DB8::0:1]:443", "[2001:db8::1]"),
        ("bücher.example:80".encode(), "xn--bcher-kva.example"),
        (b"XN--Bcher-KVA.example", "xn--bcher-kva.example"),
        (b"a" * 63 + b".example", "a" * 63 + ".example"),
        (b".".join([b"a" * 49] * 5) + b".abc", ".".join(["a" * 49] * 5) + ".abc"),
    ],
)
def test_an_authority_names_one_host(raw, host):
    """The host of a request, without its port, in the spelling that hosts are stored in."""
    assert parse_authority(raw) == host


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b":80",
        b".",
        b"user@example.com",
        b"user:pw@example.com",
        b"a.example,b.example",
        b"a.example, b.example",
        b" example.com",
        b"example.com ",
        b"exam ple.com",
        b"example.com\t",
        b"example.com\r\nX: y",
        b"example.com\x00",
        b"example.com:80:80",
        b"example.com:http",
        b"example.com:65536",
        b"example.com:000080",
        b"example.com:+80",
        b"example.com:8_0",
        "example.com:٨".encode(),
        b"example.com/path",
        b"example.com?q",
        b"example.com#f",
        b"example.com\\evil",
        b"ex%61mple.com",
        b"http://example.com",
        b"a..b",
        b"example.com..",
        b"-a.example",
        b"a-.example",
        b"a" * 64 + b".example",
        b".".join([b"a" * 49] * 6),
        b"a." * 600,
        b"::1",
        b"[::1",
        b"::1]",
        b"[]",
        b"[::1]80",
        b"[::1]:x",
        b"[::1%25eth0]",
        b"[127.0.0.1]",
        b"[v1.a]",
        b"[[::1]]",
        b"[::1]]",
        b"\xff.example",
        b"caf\xe9.example",
        "ex＠mple.com".encode(),
        "example.com：80".encode(),
        "💩.example".encode(),
        "\u200d.example".encode(),
    ],
)
def test_an_authority_that_two_readers_could_read_apart_is_refused(raw):
    """Nothing is guessed: what is not one host with at most one port is malformed."""
    with pytest.raises(MalformedRequest, match="the authority"):
        parse_authority(raw)


@given(
    st.binary(max_size=60) | HOSTISH.map(str.encode) | HOSTISH.map("[{}]".format).map(str.encode)
)
@example(b"\x80" * 2_000)
def test_any_bytes_are_a_host_or_malformed(raw):
    """Nothing but MalformedRequest leaves, and what is accepted is canonical."""
    with contextlib.suppress(MalformedRequest):
        host = parse_authority(raw)

        assert parse_authority(host.encode()) == host
        assert host == host.lower()
        assert 0 < len(host) <= 253


@given(HOSTISH)
def test_a_request_reaches_what_the_operator_wrote(written):
    """A client that sends an operator's spelling, or the canonical one, names the same host."""
    with contextlib.suppress(ValueError):
        host = canonical_host(written)
        spellings = [host] if ":" in host else [host, written]

        assert canonical_host(host) == host
        assert {parse_authority(each.encode()) for each in spellings} == {host}


def claims_of(app, branches, name="shop"):
    """Host → label, branch and kind of each claim."""
    claims = app_hosts(name, app, branches, "edge.localhost")
    assert len({claim.host for claim in claims}) == len(claims)
    return {claim.host: (claim.label, claim.branch, claim.kind) for claim in claims}


def test_every_branch_has_a_default_host():
    """A deployed branch answers under its label, its app and the node's domain."""
    assert claims_of(App(), {"main": "main", "feature-x": "feature/x"}) == {
        "main.shop.edge.localhost": ("main", "main", "default"),
        "feature-x.shop.edge.localhost": ("feature-x", "feature/x", "default"),
    }


def test_explicit_subdomains_lead_to_their_branches():
    """The domain itself, a subdomain and a multilevel one, by the label that the branch has."""
    subdomains = {"": "main", "www": "main", "beta.alpha": "Feature/X"}
    app = App(domains={"example.com": Domain(subdomains=subdomains)})
    claims = claims_of(app, {"main": "main", "feature-x-1234abcd": "Feature/X"})

    assert claims["example.com"] == ("main", "main", "domain")
    assert claims["www.example.com"] == ("main", "main", "domain")
    assert claims["beta.alpha.example.com"] == ("feature-x-1234abcd", "Feature/X", "domain")


def test_a_branch_without_a_deployment_still_has_its_domain():
    """The host is claimed under the label that the branch would get, never another branch's."""
    app = App(domains={"example.com": Domain(subdomains={"a": "Next", "b": "feature-x"})})
    claims = claims_of(app, {"feature-x": "feature/x"})

    assert claims["a.example.com"] == ("next", "Next", "domain")
    assert claims["b.example.com"][0].startswith("feature-x-")


def test_automatic_subdomains_are_for_the_branches_of_their_patterns():
    """A deployed branch of a pattern answers at its label under the domain, once."""
    app = App(domains={"example.com": Domain(auto_subdomains=("pr-*", "feature/*", "*/x"))})
    claims = claims_of(app, {"main": "main", "pr-7": "pr-7", "feature-x": "feature/x"})

    assert [host for host, claim in claims.items() if claim[2] == "auto"] == [
        "pr-7.example.com",
        "feature-x.example.com",
    ]


def test_an_explicit_subdomain_beats_an_automatic_one():
    """The branch www has its automatic subdomain taken by the operator's word, without error."""
    app = App(domains={"example.com": Domain(subdomains={"www": "main"}, auto_subdomains=("*",))})
    claims = claims_of(app, {"main": "main", "www": "www"})

    assert claims["www.example.com"] == ("main", "main", "domain")
    assert claims["www.shop.edge.localhost"] == ("www", "www", "default")


def test_an_explicit_subdomain_beats_a_default_host():
    """An operator may point even a default host somewhere else."""
    app = App(domains={"shop.edge.localhost": Domain(subdomains={"main": "next"})})

    assert claims_of(app, {"main": "main"}) == {
        "main.shop.edge.localhost": ("next", "next", "domain")
    }


def test_a_host_beyond_the_limit_of_dns_is_not_claimed():
    """A default host that no client could ask for is left out."""
    claims = app_hosts("a" * 63, App(), {"m" * 63: "m" * 63}, "d" * 60 + "." + "e" * 65)

    assert claims == []


def test_a_claim_knows_its_key():
    """The key path of a claim leads to its place in the file."""
    app = App(domains={"example.com": Domain(subdomains={"": "main"}, auto_subdomains=("*",))})
    claims = app_hosts("shop", app, {"main": "main"}, "edge.localhost")

    assert [claim.key_path for claim in claims] == [
        ("domains", "example.com", "subdomains", ""),
        ("domains", "example.com", "auto_subdomains"),
        (),
    ]


def test_one_host_of_two_apps_is_a_conflict():
    """Both claims are named, the earlier one first."""
    app = App(domains={"example.com": Domain(subdomains={"": "main"})})
    claims = [
        claim
        for name in ("one", "two", "three")
        for claim in app_hosts(name, app, {"main": "main"}, "edge.localhost")
    ]

    assert [(a.host, a.app, b.app) for a, b in find_conflicts(claims)] == [
        ("example.com", "one", "two"),
        ("example.com", "one", "three"),
    ]


def test_one_host_of_two_entries_of_an_app_is_a_conflict_when_the_branches_differ():
    """A multilevel subdomain and a domain of its own may name the same host once."""
    domains = {
        "example.com": Domain(subdomains={"beta.alpha": "main", "gamma.alpha": "main"}),
        "alpha.example.com": Domain(subdomains={"beta": "next", "gamma": "main"}),
    }
    claims = app_hosts("shop", App(domains=domains), {"main": "main"}, "edge.localhost")

    assert [(a.host, a.label, b.label) for a, b in find_conflicts(claims)] == [
        ("beta.alpha.example.com", "main", "next"),
    ]


def test_different_hosts_are_no_conflict():
    """Two branches of one app have hosts of their own."""
    claims = app_hosts("shop", App(), {"main": "main", "dev": "dev"}, "edge.localhost")

    assert find_conflicts(claims) == []


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("[::]", False),
        ("192.0.2.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_what_only_this_machine_reaches(host, is_own):
    """By the name or the address."""
    assert is_loopback(host) is is_own
