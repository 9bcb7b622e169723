"""What is asked of a real authority: pebble, which refuses three of ten good nonces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edge.control import acme_wire, chains, issuance
from edge.control.acme import Client
from edge.control.acme_errors import AcmeError
from edge.control.issuance import issue
from edge.http.fields import format_http_date
from edge.site.settings import AccountBinding
from tests.support_acme import EAB_KEYS, HttpAnswers, NameServer, Proxy, pebble, problem, serving

WINDOW = ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z")
BACKWARDS = {"suggestedWindow": {"start": WINDOW[1], "end": WINDOW[0]}}


@pytest.fixture(scope="module")
def names():
    """Every name there is."""
    with serving(NameServer()) as found:
        yield found


@pytest.fixture(scope="module")
def web():
    """What answers http-01."""
    with serving(HttpAnswers()) as found:
        yield found


@pytest.fixture(scope="module")
def authority(tmp_path_factory, names, web):
    """One for all tests of this file."""
    folder = tmp_path_factory.mktemp("pebble")
    with pebble(folder, names, web.port, 1, blocked=["blocked.test"]) as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pauses are short."""
    monkeypatch.setattr(acme_wire, "PAUSES_S", (0.01, 0.02))
    monkeypatch.setattr(issuance, "FIRST_S", 0.05)


@pytest.fixture
def proxy(authority):
    """What stands before it."""
    with serving(Proxy(authority)) as found:
        yield found


@pytest.fixture
async def client(proxy, authority, tmp_path):
    """What asks it, with an account to come."""
    async with asking(proxy.directory, authority, tmp_path / "account") as found:
        yield found


@contextlib.asynccontextmanager
async def asking(directory, authority, folder, **settings):
    """What asks an authority."""
    found = Client(directory, folder, ca_file=authority.ca_file, **settings)
    try:
        yield found
    finally:
        await found.close()


def accounts(proxy):
    """How often one was asked for."""
    return len(proxy.of("newAccount"))


def statuses(proxy, kind):
    """What requests of a kind were answered."""
    return [each.status for each in proxy.of(kind)]


# The directory and the account


async def test_a_directory_is_read_once(proxy, client):
    """It says what the authority can do."""
    proxy.profiles = {"classic": "the usual"}

    first, second = await client.directory(), await client.directory()

    assert first.meta.profiles == {"classic": "the usual"}
    assert (first is second, len(proxy.of("directory"))) == (True, 1)
    assert accounts(proxy) == 0


async def test_an_account_is_registered_once(proxy, authority, tmp_path):
    """By its first use; other clients of the folder find it, the authority is not asked."""
    folder = tmp_path / "accounts/ca"
    async with asking(proxy.directory, authority, folder, email="a@example.com") as client:
        url = await client.account()
        await client.new_order(["a.test"])
    async with asking(proxy.directory, authority, folder) as client:
        assert await client.account() == url

    [asked] = [each for each in proxy.of("newAccount") if each.status == 201]
    assert asked.payload == {
        "termsOfServiceAgreed": True,
        "contact": ["mailto:a@example.com"],
    }
    assert json.loads((folder / "account.json").read_bytes())["url"] == url
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
        "account.key": 0o600,
        "account.json": 0o600,
    }


@pytest.mark.parametrize("left", [None, b"", b'{"url": "half'])
async def test_an_account_that_was_forgotten_is_found_by_its_key(proxy, authority, tmp_path, left):
    """A crash came before `account.json`, or something tore it."""
    async with asking(proxy.directory, authority, tmp_path) as client:
        url = await client.account()
    (tmp_path / "account.json").unlink()
    if left is not None:
        (tmp_path / "account.json").write_bytes(left)

    async with asking(proxy.directory, authority, tmp_path) as client:
        assert await client.account() == url
        await client.new_order(["a.test"])

    assert proxy.of("newAccount")[-1].status == 200
    assert json.loads((tmp_path / "account.json").read_bytes())["url"] == url


REGISTER = """
import asyncio, sys
from pathlib import Path
from edge.control.acme import Client
client = Client(sys.argv[1], Path(sys.argv[2]), ca_file=Path(sys.argv[3]))
asyncio.run(client.account())
"""


async def test_a_kill_between_authority_and_disk_costs_nothing(proxy, authority, tmp_path):
    """The authority has the account, the file is not there yet: the key is."""
    held = proxy.fail("newAccount", until=threading.Event(), times=99)
    arguments = (proxy.directory, str(tmp_path / "account"), str(authority.ca_file))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", REGISTER, *arguments)
    await asyncio.to_thread(proxy.until, lambda: 201 in statuses(proxy, "newAccount"))
    process.kill()
    await process.wait()
    held.times = 0
    held.until.set()

    assert [file.name for file in (tmp_path / "account").iterdir()] == ["account.key"]
    async with asking(proxy.directory, authority, tmp_path / "account") as client:
        await client.new_order(["a.test"])
    assert statuses(proxy, "newAccount")[-1] == 200


async def test_an_account_that_the_authority_lost_is_registered_once_more(
    proxy, client, tmp_path, names, web
):
    """With the same key; what was asked is asked again."""
    first = await client.account()
    key = (tmp_path / "account/account.key").read_bytes()
    (tmp_path / "other").mkdir()
    with pebble(tmp_path / "other", names, web.port, 1, nonce_rejects=0) as other:
        proxy.authority = other
        order = await client.new_order(["a.test"])
        second = await client.account()

    assert order.status == "pending"
    assert accounts(proxy) >= 2
    assert (tmp_path / "account/account.key").read_bytes() == key
    assert json.loads((tmp_path / "account/account.json").read_bytes())["url"] == second
    assert first != second


async def test_an_account_that_stays_lost_is_told(proxy, client):
    """One more registration, not one a second."""
    await client.account()
    before = accounts(proxy)
    proxy.fail("newOrder", status=400, type="accountDoesNotExist", times=99)

    with pytest.raises(AcmeError) as found:
        await client.new_order(["a.test"])

    assert (found.value.kind, found.value.fault) == ("accountDoesNotExist", "account")
    assert len([e for e in proxy.of("newAccount")[before:] if e.status in (200, 201)]) == 1


async def test_external_accounts_are_bound(names, web, tmp_path):
    """By the right key; a wrong one and none are the account's fault (RFC 8555 §7.3.4)."""
    (tmp_path / "right").write_text(EAB_KEYS["kid-1"] + "\n")
    (tmp_path / "wrong").write_text(EAB_KEYS["kid-1"][::-1])
    with pebble(tmp_path, names, web.port, 1, asks_binding=True) as authority:
        for name, kind in (("", "externalAccountRequired"), ("wrong", "unauthorized")):
            eab = AccountBinding(kid="kid-1", hmac_key_file=str(tmp_path / name)) if name else None
            folder = tmp_path / f"account-{name}"
            async with asking(authority.directory, authority, folder, eab=eab) as client:
                with pytest.raises(AcmeError) as found:
                    await client.account()

            assert (found.value.fault, found.value.step) == ("account", "account"), found.value
            assert found.value.kind == kind

        eab = AccountBinding(kid="kid-1", hmac_key_file=str(tmp_path / "right"))
        async with asking(authority.directory, authority, tmp_path / "account", eab=eab) as client:
            await client.account()
            assert (await client.new_order(["a.test"])).status == "pending"


async def test_a_file_of_roots_that_is_none_is_told(proxy, tmp_path):
    """By its setting; nothing is asked."""
    client = Client(proxy.directory, tmp_path, ca_file=tmp_path / "nothing.pem")
    with pytest.raises(AcmeError, match=r"acme\.ca_file: .*nothing\.pem cannot be used") as found:
        await client.account()
    await client.close()

    assert (found.value.fault, proxy.seen) == ("account", [])


# Orders


async def test_names_and_addresses_are_ordered(proxy, client):
    """Each as what it is (RFC 8738 §3)."""
    order = await client.new_order(["a.test", "*.b.test", "127.0.0.1", "[2001:db8::1]"])

    assert proxy.of("newOrder")[-1].payload == {
        "identifiers": [
            {"type": "dns", "value": "a.test"},
            {"type": "dns", "value": "*.b.test"},
            {"type": "ip", "value": "127.0.0.1"},
            {"type": "ip", "value": "2001:db8::1"},
        ]
    }
    assert (order.status, len(order.authorizations)) == ("pending", 4)
    assert order.url.startswith(proxy.directory.replace("/dir", "/"))


async def test_a_blocked_name_is_refused_for_good(client):
    """The authority's own text is the error's."""
    with pytest.raises(AcmeError, match=r"forbidden by policy.*x\.blocked\.test") as found:
        await client.new_order(["a.test", "x.blocked.test"])

    assert (found.value.kind, found.value.fault) == ("rejectedIdentifier", "permanent")
    assert (found.value.step, found.value.status) == ("order", 400)


@pytest.mark.parametrize(
    ("profiles", "profile", "sent"),
    [
        ({"classic": "", "shortlived": ""}, "shortlived", "shortlived"),
        ({"classic": "", "shortlived": ""}, None, None),
        (None, "shortlived", None),
    ],
)
async def test_a_profile_is_asked_for_where_there_are_profiles(
    proxy, client, *, profiles, profile, sent
):
    """An authority without them does what it always does."""
    proxy.profiles = profiles

    await client.new_order(["a.test"], profile=profile)

    assert proxy.of("newOrder")[-1].payload.get("profile") == sent


async def test_a_profile_that_is_unknown_costs_no_order(proxy, client):
    """The error says which there are."""
    proxy.profiles = {"classic": "", "tlsserver": ""}

    with pytest.raises(AcmeError, match="no profile 'short'; it has classic, tlsserver") as found:
        await client.new_order(["a.test"], profile="short")

    assert (found.value.kind, found.value.fault) == ("invalidProfile", "permanent")
    assert proxy.of("newOrder") == []


async def test_a_second_successor_is_refused(proxy, client):
    """The problem of a 409 is kept (RFC 9773 §5)."""
    await client.new_order(["a.test"], replaces="aki.serial")
    with pytest.raises(AcmeError, match="it was replaced") as found:
        await client.new_order(["a.test"], replaces="aki.serial")
    await client.new_order(["a.test"])

    error = found.value
    assert (error.kind, error.status, error.fault) == ("alreadyReplaced", 409, "replaced")


@pytest.mark.parametrize(
    ("status", "kind", "detail", "fault"),
    [
        (404, "malformed", "the certificate in 'replaces' is unknown", "replaced"),
        (403, "unauthorized", "not the account of the certificate being replaced", "replaced"),
        (400, "malformed", "the order is unreadable", "permanent"),
        (429, "rateLimited", "too many replacements", "limit"),
    ],
)
async def test_a_predecessor_that_is_refused_is_told_apart(
    proxy, client, *, status, kind, detail, fault
):
    """So that the order can be repeated without it."""
    proxy.fail("newOrder", status=status, type=kind, detail=detail, times=9)

    with pytest.raises(AcmeError) as found:
        await client.new_order(["a.test"], replaces="aki.serial")

    assert found.value.fault == fault


async def test_predecessors_are_named_where_there_is_ari(proxy, client):
    """Others may refuse what they do not know."""
    proxy.has_ari = False

    await client.new_order(["a.test"], replaces="aki.serial")

    assert "replaces" not in proxy.of("newOrder")[-1].payload


@pytest.mark.parametrize("is_date", [False, True])
async def test_a_limit_says_when(proxy, client, is_date):
    """In seconds and as a date; nothing is repeated meanwhile."""
    date = format_http_date(int(time.time()) + 3_600).decode()
    proxy.fail(
        "newOrder",
        status=429,
        type="rateLimited",
        detail="too many certificates",
        retry_after=date if is_date else "3600",
    )
    await client.account()

    with pytest.raises(AcmeError, match="too many certificates") as found:
        await client.new_order(["a.test"])

    error = found.value
    assert (error.kind, error.status, error.fault) == ("rateLimited", 429, "limit")
    assert error.retry_after == pytest.approx(3_600, abs=5)
    assert statuses(proxy, "newOrder").count(429) == 1


async def test_a_balancer_that_is_busy_says_when(proxy, client):
    """503 with Retry-After is a limit, whatever page comes with it."""
    proxy.fail("newOrder", status=503, content=b"<html>busy", retry_after="9")
    await client.account()

    with pytest.raises(AcmeError) as found:
        await client.new_order(["a.test"])

    assert (found.value.fault, found.value.retry_after) == ("limit", 9.0)


@pytest.mark.parametrize("kind", ["directory", "newNonce", "newAccount", "newOrder"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"drops": "request"}, {"drops": "answer"}])
async def test_what_passes_is_not_noticed(proxy, client, kind, fault):
    """One failure of each is repeated."""
    proxy.fail(kind, **fault)

    order = await client.new_order(["a.test"])

    assert order.status == "pending"


async def test_what_does_not_pass_is_told_with_its_step(proxy, client):
    """A directory that is down is not the order's failure."""
    proxy.fail("directory", status=500, detail="maintenance", times=99)

    with pytest.raises(AcmeError, match="maintenance") as found:
        await client.new_order(["a.test"])

    assert (found.value.step, found.value.fault) == ("directory", "authority")
    assert len(proxy.of("directory")) == 3


async def test_the_authority_says_what_time_it_is(client):
    """By the Date of its directory, which goes on with time."""
    first = await client.clock()
    assert abs(first - time.time()) < 30

    assert await client.clock() > first


async def test_an_answer_that_is_no_directory_is_told(proxy, client):
    """Whoever stands between may answer anything."""
    proxy.fail("directory", status=200, content=b"<html>welcome")

    with pytest.raises(AcmeError, match="cannot be read") as found:
        await client.new_order(["a.test"])

    assert (found.value.kind, found.value.step) == ("badAnswer", "directory")


@pytest.mark.parametrize("token", ["", "short", "../../../../etc/passwd", "a" * 513, "ä" * 22])
async def test_a_token_that_is_none_is_refused(client, token):
    """It would become part of paths."""
    with pytest.raises(AcmeError, match="is no token"):
        await client.key_authorization(token)


async def test_wishes_do_not_disturb_each_other(client):
    """Forty at once, of one connection and its nonces."""
    orders = await asyncio.gather(*(client.new_order([f"n{n}.test"]) for n in range(40)))

    assert len({order.url for order in orders}) == 40


# Revocation and ARI


async def test_a_certificate_is_revoked(authority, client, web):
    """By the account that ordered it."""
    issued = await issue(client, ["a.test"], {"http-01": web})
    certificate = x509.load_pem_x509_certificates(issued.pem)[0]

    await client.revoke(certificate.public_bytes(Encoding.DER), 4)

    assert authority.is_revoked(certificate)
    with pytest.raises(AcmeError) as found:
        await client.revoke(certificate.public_bytes(Encoding.DER), 4)
    assert (found.value.kind, found.value.step) == ("alreadyRevoked", "revocation")


async def test_a_renewal_window_is_told_as_it_is(proxy, client):
    """Also one in the past, which is how a revocation is learnt; no account is needed."""
    proxy.window("aki.serial", *WINDOW, explanation="https://ca.test/why", Retry_After="21600")

    found = await client.renewal_info("aki.serial")

    assert found is not None
    assert (found.start, found.end) == (1793491200.0, 1793577600.0)
    assert (found.explanation_url, found.retry_after) == ("https://ca.test/why", 21600.0)
    assert accounts(proxy) == 0


async def test_a_window_that_moved_is_another_one(proxy, client):
    """Nothing is remembered here."""
    proxy.window("aki.serial", *WINDOW)
    first = await client.renewal_info("aki.serial")
    proxy.window("aki.serial", "2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z")
    second = await client.renewal_info("aki.serial")

    assert first is not None
    assert second is not None
    assert first.start - second.start == 31 * 86_400
    assert first.retry_after is None


async def test_an_authority_without_ari_has_no_window(proxy, client):
    """That is no error."""
    proxy.has_ari = False

    assert await client.renewal_info("aki.serial") is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((404, problem("malformed", "no such certificate"), {}), "malformed"),
        ((500, problem("serverInternal", "x"), {}), "serverInternal"),
        ((503, b"", {"Retry-After": "60"}), "unavailable"),
        ((200, b"<html>", {"Retry-After": "60"}), "badWindow"),
        ((200, b"{}", {}), "badWindow"),
        ((200, json.dumps(BACKWARDS).encode(), {}), "badWindow"),
    ],
)
async def test_no_window_is_an_error_at_renewal(proxy, client, answer, kind):
    """When to ask again is kept, where it is said."""
    proxy.windows["aki.serial"] = answer

    with pytest.raises(AcmeError) as found:
        await client.renewal_info("aki.serial")

    assert (found.value.kind, found.value.step) == (kind, "renewal")
    assert found.value.retry_after == (60.0 if answer[2] else None)


async def test_the_id_that_ari_is_asked_with_is_of_the_certificate(proxy, client, web):
    """One that the authority finds again."""
    issued = await issue(client, ["a.test"], {"http-01": web})
    proxy.window(issued.id, *WINDOW)

    assert await client.renewal_info(issued.id) is not None
    certificate = x509.load_pem_x509_certificates(issued.pem)[0]
    assert chains.identify(certificate) == issued.id
