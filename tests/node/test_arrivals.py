"""Before rules: challenges, hosts on the wrong connection, and what leads to https."""

from __future__ import annotations

import socket

import pytest

from edge.node.machine import Team
from edge.node.orders import Listeners
from edge.node.worker import Worker
from edge.site.certificates import HttpAnswer
from tests.support_ledger import entering
from tests.support_recalling import Raw
from tests.support_serving import Site
from tests.support_tls import Shelf

SETTINGS = """\
listen: {http: ["127.0.0.1:8080"], https: ["127.0.0.1:8443"]}
clients: {trusted_proxies: [10.0.0.0/8]}
"""
APP = """\
domains:
  one.test: {subdomains: {"": main, www: main, docs: main}}
  "::1": {subdomains: {"": main}}
"""
CHALLENGE = "/.well-known/acme-challenge/"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two apps, each with a page; tests work on copies."""
    site = Site(tmp_path_factory.mktemp("arrivals"), APP, SETTINGS)
    site.configure('domains: {other.test: {subdomains: {"": main}}}', app="other")
    site.changes.reload()
    site.deploy({"index.html": "one", ".well-known/acme-challenge/own": "theirs"})
    site.deploy({"index.html": "other"}, app="other")
    return site


@pytest.fixture
async def site(built, tmp_path, listeners):
    """A worker that serves them."""
    return await start(built.copy_to(tmp_path), listeners)


@pytest.fixture
def listeners():
    """What a worker holds to listen at; nobody comes."""
    made = Listeners()
    for address in ("127.0.0.1:8443", "0.0.0.0:443"):
        made.add(f"https {address}", socket.socket())
    yield made
    made.close()


async def start(site, listeners):
    """Have a worker with these listeners serve a site."""
    return await site.start(Worker(site.places, listeners, Team()))


@pytest.fixture
def shelf(site) -> Shelf:
    """Its certificates."""
    return Shelf(site.places.state)


async def secure(site, shelf, *names: str, **options: int) -> None:
    """Have names served with a certificate; nobody looks into it here."""
    shelf.put("unread", *names, **options)
    await site.worker._follow_certificates()


async def ask(site, sni: str | None, host: str, target: str = "/", **options: str):
    """One request on a connection that was begun for `sni`."""
    asked = site.request(target, host=host, **options)
    asked.sni = sni
    return await site.answer(asked)


# The wrong connection


@pytest.mark.parametrize("host", ["one.test", "ONE.test", "one.test:8443", "one.test."])
async def test_the_host_that_tls_was_begun_for_is_served(site, shelf, host) -> None:
    """However it is spelled, the first time and the next."""
    await secure(site, shelf, "one.test")

    for _ in range(2):
        answer = await ask(site, "one.test", host)
        assert (answer.status, answer.content) == (200, b"one")


async def test_another_host_of_the_app_and_the_certificate_is_served(site, shelf) -> None:
    """Browsers send both on one connection (RFC 9113 §9.1.1)."""
    await secure(site, shelf, "*.one.test", "one.test")

    assert (await ask(site, "www.one.test", "docs.one.test")).status == 200
    assert (await ask(site, "www.one.test", "one.test")).status == 200


@pytest.mark.parametrize(
    ("names", "sni", "host"),
    [
        (("one.test",), "one.test", "www.one.test"),
        (("one.test", "other.test"), "one.test", "other.test"),
        (("one.test", "other.test"), "other.test", "one.test"),
        (("127.0.0.1", "one.test"), "127.0.0.1", "one.test"),
    ],
    ids=["another certificate", "another app", "the other way", "no app"],
)
async def test_other_hosts_are_misdirected(site, shelf, names, sni, host) -> None:
    """421, so that a browser asks again on a connection of its own (RFC 9110 §15.5.20)."""
    await secure(site, shelf, *names)

    for _ in range(2):
        answer = await ask(site, sni, host)
        assert answer.status == 421
        assert answer.fields["cache-control"] == "no-store"


async def test_a_host_that_nobody_claims_is_404_on_every_connection(site, shelf) -> None:
    """It says which host that was."""
    await secure(site, shelf, "*.one.test")

    answer = await ask(site, "www.one.test", "gone.one.test")

    assert answer.status == 404
    assert b"gone.one.test" in answer.content


async def test_what_was_served_once_is_judged_again_after_another_certificate(site, shelf) -> None:
    """What the first one covered, the second may not."""
    file = shelf.put("unread", "one.test", "www.one.test")
    await site.worker._follow_certificates()
    assert (await ask(site, "one.test", "www.one.test")).status == 200

    shelf.remove(file)
    await secure(site, shelf, "one.test", identifier="second")

    assert (await ask(site, "one.test", "www.one.test")).status == 421


# To https


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 301), ("HEAD", 301), ("POST", 308), ("DELETE", 308)]
)
async def test_http_leads_to_https(site, shelf, method, status) -> None:
    """With path and query as they came; a method with content keeps it."""
    await secure(site, shelf, "one.test")

    answer = await ask(site, None, "One.test:8080", "/a%20b/?q=1&r", method=method)

    assert answer.status == status
    assert answer.fields["location"] == "https://one.test:8443/a%20b/?q=1&r"
    assert answer.fields["cache-control"] == "no-store"


async def test_an_address_leads_to_https_in_brackets(site, shelf) -> None:
    """RFC 3986 §3.2.2."""
    await secure(site, shelf, "[::1]")

    answer = await ask(site, None, "[::1]:8080")

    assert answer.fields["location"] == "https://[::1]:8443/"


async def test_without_certificate_http_serves(site, shelf) -> None:
    """Until there is one, and again when it is over."""
    assert (await ask(site, None, "one.test")).status == 200

    end = site.clock.epoch + 100
    await secure(site, shelf, "one.test", not_after=end)
    assert (await ask(site, None, "one.test")).status == 301

    site.pass_time(100)
    assert (await ask(site, None, "one.test")).status == 200


async def test_no_password_is_asked_for_in_clear_text(site, shelf) -> None:
    """The redirect comes before access: credentials stay off the wire."""
    await secure(site, shelf, "one.test")
    hashed = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$3fVMDqT2H0kYHwF1rqAO1A"
    site.configure(APP + f'access: {{users: {{me: "{hashed}"}}}}')
    site.changes.reload()
    await site.follow()

    assert (await ask(site, None, "one.test")).status == 301
    assert (await ask(site, "one.test", "one.test")).status == 401


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ("tls: {redirect_http: false}", 200),
        ("tls: {redirect_http: true}", 301),
    ],
)
async def test_the_operator_decides(built, tmp_path, listeners, settings, status) -> None:
    """`tls.redirect_http`."""
    site = built.copy_to(tmp_path)
    (tmp_path / "edge.yml").write_text(SETTINGS + settings)
    site.changes.reload()
    await start(site, listeners)
    await secure(site, Shelf(site.places.state), "one.test")

    assert (await ask(site, None, "one.test")).status == status


async def test_without_https_nothing_leads_there(built, tmp_path, listeners) -> None:
    """Whatever certificates there are."""
    site = built.copy_to(tmp_path)
    (tmp_path / "edge.yml").write_text("")
    site.changes.reload()
    await start(site, listeners)
    await secure(site, Shelf(site.places.state), "one.test")

    assert (await ask(site, None, "one.test")).status == 200


async def test_nothing_leads_to_where_nobody_listens(built, tmp_path, listeners) -> None:
    """Settings are reloaded, listeners come with the next start."""
    site = built.copy_to(tmp_path)
    (tmp_path / "edge.yml").write_text('listen: {https: ["127.0.0.1:9443"]}')
    site.changes.reload()
    await start(site, listeners)
    await secure(site, Shelf(site.places.state), "one.test")

    assert (await ask(site, None, "one.test")).status == 200


async def test_a_certificate_that_begins_later_leads_from_then_on(site, shelf) -> None:
    """Whoever came before it."""
    begins = site.clock.epoch + 100
    await secure(site, shelf, "one.test", not_before=begins)
    assert (await ask(site, None, "one.test")).status == 200

    site.pass_time(100)
    assert (await ask(site, None, "one.test")).status == 301


@pytest.mark.parametrize(
    ("method", "target"), [("CONNECT", "one.test:443"), ("GET", CHALLENGE + "unknown")]
)
async def test_what_stays_in_clear_text(site, shelf, method, target) -> None:
    """A tunnel is refused as it is; challenges of other authorities are the app's."""
    await secure(site, shelf, "one.test")

    answer = await ask(site, None, "one.test", target, method=method)

    assert answer.status == (405 if method == "CONNECT" else 404)
    assert "location" not in answer.fields


async def test_port_443_is_not_written(built, tmp_path, listeners) -> None:
    """It is what https means."""
    site = built.copy_to(tmp_path)
    (tmp_path / "edge.yml").write_text('listen: {https: ["0.0.0.0:443"]}')
    site.changes.reload()
    await start(site, listeners)
    await secure(site, Shelf(site.places.state), "one.test")

    answer = await ask(site, None, "one.test")
    assert answer.fields["location"] == "https://one.test/"


async def test_who_came_by_https_to_a_trusted_proxy_stays(site, shelf) -> None:
    """And nobody else, whatever was served before and whatever a client claims."""
    await secure(site, shelf, "one.test")
    stated = {"x_forwarded_proto": "https"}

    for _ in range(2):
        assert (await ask(site, None, "one.test", peer="10.0.0.1", **stated)).status == 200
        assert (await ask(site, None, "one.test", peer="192.0.2.1", **stated)).status == 301
        assert (await ask(site, None, "one.test", peer="10.0.0.1")).status == 301


async def test_what_was_answered_before_a_certificate_is_led_after_it(site, shelf) -> None:
    """Also where every byte of the request was known, on old connections and on new ones."""
    get = b"GET /index.html HTTP/1.1\r\nHost: one.test\r\n\r\n"
    async with entering(site) as node:
        old = Raw(node, await node.client())
        before = [status_of(await old.ask(get)) for _ in range(3)]
        await secure(site, shelf, "one.test")
        after = [status_of(await raw.ask(get)) for raw in (Raw(node, await node.client()), old) * 2]

    assert before == [b"200"] * 3
    assert after == [b"301"] * 4


def status_of(answer: tuple[bytes, bytes, bytes]) -> bytes:
    """Of an answer as it came."""
    return answer[0][9:12]


# Challenges


async def test_an_authority_finds_its_token(site, shelf) -> None:
    """In clear text, for the host it asks about, whoever visited that host before."""
    assert (await ask(site, None, "one.test")).status == 200  # a visitor before the first one
    shelf.ask({"token_1": HttpAnswer("one.test", "token_1.thumb")})
    await site.worker._follow_certificates()
    assert (await ask(site, None, "one.test")).status == 200

    answer = await ask(site, None, "one.test", CHALLENGE + "token_1")

    assert (answer.status, answer.content) == (200, b"token_1.thumb")
    assert answer.fields["content-type"] == "text/plain"
    assert answer.fields["cache-control"] == "no-store"
    head = await ask(site, None, "one.test:80", CHALLENGE + "token_1", method="HEAD")
    assert (head.status, head.content) == (200, b"")


async def test_a_host_that_nobody_claims_yet_is_answered_for(site, shelf) -> None:
    """Its certificate may be wanted before its app serves."""
    shelf.ask({"t": HttpAnswer("new.test", "t.thumb")})
    await site.worker._follow_certificates()

    assert (await ask(site, None, "new.test", CHALLENGE + "t")).content == b"t.thumb"


@pytest.mark.parametrize(
    ("host", "token"),
    [("other.test", "t"), ("one.test", "u"), ("one.test", "t/"), ("one.test", "")],
)
async def test_nobody_elses_token_is_answered(site, shelf, host, token) -> None:
    """Not on another host (DNS rebinding), and no other name."""
    shelf.ask({"t": HttpAnswer("one.test", "t.thumb")})
    await site.worker._follow_certificates()

    answer = await ask(site, None, host, CHALLENGE + token)

    assert answer.status == 404
    assert b"thumb" not in answer.content


async def test_the_apps_own_challenges_are_its_files(site, shelf) -> None:
    """Who moves here brings answers for another authority."""
    shelf.ask({"t": HttpAnswer("one.test", "t.thumb")})
    await site.worker._follow_certificates()

    assert (await ask(site, None, "one.test", CHALLENGE + "own")).content == b"theirs"
    assert (await ask(site, None, "one.test", CHALLENGE + "t", method="POST")).status == 405


async def test_a_challenge_that_is_over_is_not_answered(site, shelf) -> None:
    """Workers follow what control takes back."""
    shelf.ask({"t": HttpAnswer("one.test", "t.thumb")})
    await site.worker._follow_certificates()
    assert (await ask(site, None, "one.test", CHALLENGE + "t")).content == b"t.thumb"
    shelf.ask()
    await site.worker._follow_certificates()

    assert (await ask(site, None, "one.test", CHALLENGE + "t")).status == 404


async def test_who_is_led_elsewhere_has_asked_a_branch(site, shelf) -> None:
    """Its request counts as that branch's, and is in the log as such."""
    await secure(site, shelf, "one.test")
    asked = site.request("/", host="one.test")
    answer = await site.answer(asked)

    assert answer.status == 301
    assert (asked.facts.tally.app, asked.facts.tally.branch) == ("site", "main")
