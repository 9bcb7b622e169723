"""Orders from their beginning to a certificate at a real authority, and how they end else."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from datetime import UTC, datetime

import pytest
from cryptography import x509

from edge.control import acme_wire, issuance
from edge.control.acme import Client
from edge.control.acme_errors import AcmeError, Identifier
from edge.control.issuance import Challenge, issue
from edge.errors import EdgeError
from tests.support_acme import (
    AlpnAnswers,
    DnsAnswers,
    HttpAnswers,
    NameServer,
    Proxy,
    pebble,
    serving,
)


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
def alpn(tmp_path_factory):
    """What answers tls-alpn-01."""
    with serving(AlpnAnswers(tmp_path_factory.mktemp("alpn"))) as found:
        yield found


@pytest.fixture(scope="module")
def dns(names):
    """What answers dns-01."""
    return DnsAnswers(names)


@pytest.fixture(scope="module")
def authority(tmp_path_factory, names, web, alpn):
    """One for all tests of this file."""
    with pebble(tmp_path_factory.mktemp("pebble"), names, web.port, alpn.port) as found:
        yield found


@pytest.fixture(scope="module")
def between(authority):
    """What stands before it."""
    with serving(Proxy(authority)) as found:
        yield found


@pytest.fixture
def proxy(between):
    """That, as if nothing had been asked."""
    between.forget()
    return between


@pytest.fixture
async def client(proxy, authority, tmp_path, monkeypatch):
    """What asks it, with an account that has no authorizations; pauses are short."""
    monkeypatch.setattr(issuance, "FIRST_S", 0.05)
    monkeypatch.setattr(acme_wire, "PAUSES_S", (0.01, 0.02))
    found = Client(proxy.directory, tmp_path / "account", ca_file=authority.ca_file)
    yield found
    await found.close()


@pytest.fixture(autouse=True)
def clean(names, web, alpn):
    """Whatever a test does, no answer is left."""
    yield
    assert web.answers == {}
    assert alpn.contexts == {}
    assert [texts for texts in names.texts.values() if texts] == []


class Silent:
    """Answers nothing, and remembers what it was asked to."""

    def __init__(self):
        self.begun: list[Challenge] = []
        self.cleaned: list[Challenge] = []
        self.told = asyncio.Condition()

    async def present(self, _, challenge):
        """As if it had."""
        await self.note(self.begun, challenge)

    async def cleanup(self, _, challenge):
        """Nothing to do."""
        await self.note(self.cleaned, challenge)

    async def note(self, where, challenge):
        """Remember, and tell who waits."""
        async with self.told:
            where.append(challenge)
            self.told.notify_all()

    async def until(self, condition):
        """Wait for what it is asked to do."""
        async with asyncio.timeout(20), self.told:
            await self.told.wait_for(condition)


class Stuck(Silent):
    """Never gets done."""

    async def present(self, _, challenge):
        """Waits for ever."""
        await self.note(self.begun, challenge)
        await asyncio.Event().wait()


class Failing(Silent):
    """Cannot."""

    def __init__(self, error, *, cleaning=None):
        super().__init__()
        self.error = error
        self.cleaning = cleaning

    async def present(self, _, challenge):
        """Raises."""
        self.begun.append(challenge)
        raise self.error

    async def cleanup(self, _, challenge):
        """Raises, where it is to."""
        self.cleaned.append(challenge)
        if self.cleaning is not None:
            raise self.cleaning


def statuses(proxy):
    """What authorizations were set to."""
    asked = [each for each in proxy.of("authorization") if each.payload and each.status == 200]
    return [each.payload["status"] for each in asked]


def offered(certificate_pem):
    """The names of a certificate."""
    leaf = x509.load_pem_x509_certificates(certificate_pem)[0]
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


# What is got


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        (["a.test", "www.a.test"], "http-01"),
        (["b.test"], "tls-alpn-01"),
        (["c.test", "*.c.test"], "dns-01"),
        (["127.0.0.1"], "http-01"),
        (["127.0.0.1"], "tls-alpn-01"),
    ],
)
async def test_each_challenge_gets_a_certificate(
    proxy, client, authority, tmp_path, *, wanted, kind, web, alpn, dns
):
    """It is verified by the authority's root, served as it is, and covers what was asked for."""
    lines: list[str] = []
    answerers = {"http-01": web, "tls-alpn-01": alpn, "dns-01": dns}

    issued = await issue(client, wanted, {kind: answerers[kind]}, log=lines.append)

    assert set(issued.names) == set(wanted)
    served = tmp_path / "served.pem"
    served.write_bytes(issued.pem)
    for name in wanted:
        assert handshake(served, authority.root(), name.replace("*", "x")) == issued.not_after
    assert lines[0].startswith("order accepted: ")
    assert f"{wanted[-1]}: {kind} is shown" in lines
    assert f"{wanted[-1]}: authorized by {kind}" in lines
    assert lines[-1].startswith("certificate received from Pebble Intermediate CA ")
    assert statuses(proxy) == []


def handshake(served, root, name):
    """When the certificate ends that a client accepts, strictly, for a name."""
    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    front.load_cert_chain(served)
    back = ssl.create_default_context(cadata=root)
    back.verify_flags |= ssl.VERIFY_X509_STRICT
    there, back_there, here, back_here = (ssl.MemoryBIO() for _ in range(4))
    server = front.wrap_bio(there, back_there, server_side=True)
    found = back.wrap_bio(here, back_here, server_hostname=name)
    for _ in range(3):
        for side in (found, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            there.write(back_here.read())
            here.write(back_there.read())
    return ssl.cert_time_to_seconds(found.getpeercert()["notAfter"])


async def test_each_certificate_has_a_key_of_its_own(client, web):
    """Also where the names are the same."""
    first, second = [await issue(client, ["a.test"], {"http-01": web}) for _ in range(2)]

    assert first.pem.split(b"-----END")[0] != second.pem.split(b"-----END")[0]
    assert first.id != second.id


async def test_the_operators_order_decides(client, web, alpn):
    """The first type that is offered and can be answered is used."""
    for name, answerers, kind in (
        ("a.test", {"tls-alpn-01": alpn, "http-01": web}, "tls-alpn-01"),
        ("b.test", {"http-01": web, "tls-alpn-01": alpn}, "http-01"),
        ("c.test", {"of-the-future": Silent(), "http-01": web}, "http-01"),
    ):
        lines: list[str] = []
        await issue(client, [name], answerers, log=lines.append)

        assert f"{name}: authorized by {kind}" in lines


async def test_a_wildcard_is_shown_by_dns_alone(client, web, dns):
    """Its apex by what comes first; both in one order."""
    lines: list[str] = []

    await issue(client, ["*.a.test", "a.test"], {"http-01": web, "dns-01": dns}, log=lines.append)

    assert "*.a.test: authorized by dns-01" in lines
    assert "a.test: authorized by http-01" in lines


async def test_aliases_of_records_are_followed(client, names, dns):
    """As where the customer's zone points into ours."""

    class Delegated(DnsAnswers):
        async def present(self, identifier, challenge):
            names.aliases[f"_acme-challenge.{identifier}"] = "_acme-challenge.ours.test"
            await super().present("ours.test", challenge)

        async def cleanup(self, identifier, challenge):
            del names.aliases[f"_acme-challenge.{identifier}"]
            await super().cleanup("ours.test", challenge)

    issued = await issue(client, ["a.test"], {"dns-01": Delegated(names)})

    assert issued.names == ("a.test",)


async def test_what_is_authorized_already_is_used(names, web, tmp_path):
    """Nothing is shown for it."""
    with pebble(tmp_path, names, web.port, 1, reuses=100, nonce_rejects=0) as authority:
        client = Client(authority.directory, tmp_path / "account", ca_file=authority.ca_file)
        await issue(client, ["a.test"], {"http-01": web})
        silent, lines = Silent(), []
        await issue(client, ["a.test"], {"http-01": silent}, log=lines.append)
        await client.close()

    assert silent.begun == []
    assert "a.test: authorized already" in lines


async def test_answers_come_and_go_in_one_go(client):
    """All are shown before the first is looked at, all are taken back, once each."""
    silent = Silent()

    with pytest.raises(AcmeError):
        await issue(client, ["a.test", "b.test", "c.test"], {"http-01": silent})

    assert len(silent.begun) == 3
    assert sorted(each.token for each in silent.begun) == sorted(e.token for e in silent.cleaned)


# What is not


async def test_a_wrong_answer_is_told_in_the_authoritys_words(client, web):
    """With the type of challenge and each name that failed; the name is at fault."""

    async def present(identifier, challenge):
        web.answers[identifier, challenge.token] = (
            "wrong" if identifier == "b.test" else (challenge.key_authorization)
        )

    wrong = Silent()
    wrong.present, wrong.cleanup = present, web.cleanup

    lines: list[str] = []
    with pytest.raises(AcmeError) as found:
        await issue(client, ["a.test", "b.test"], {"http-01": wrong}, log=lines.append)

    error = found.value
    assert (error.kind, error.fault, error.step) == ("unauthorized", "name", "authorization")
    assert (error.challenge, error.names) == ("http-01", ("b.test",))
    assert "The key authorization file from the server did not match this challenge" in error.detail
    assert str(error) in lines
    assert "a.test: authorized by http-01" in lines


async def test_all_names_that_failed_are_named(client, web):
    """The keeper may leave them out."""
    with pytest.raises(AcmeError) as found:
        await issue(client, ["a.test", "b.test"], {"tls-alpn-01": Silent()})

    assert set(found.value.names) == {"a.test", "b.test"}
    assert (found.value.challenge, found.value.fault) == ("tls-alpn-01", "name")


async def test_a_name_that_does_not_resolve_is_its_own_fault(client, names, web):
    """In the authority's words."""
    names.missing.add("gone.test")

    with pytest.raises(AcmeError) as found:
        await issue(client, ["gone.test"], {"http-01": web})

    assert (found.value.fault, found.value.names) == ("name", ("gone.test",))
    assert "gone.test" in found.value.detail


async def test_what_nobody_can_answer_is_told(proxy, client, web):
    """What is offered and what there is; the authorization is given up."""
    with pytest.raises(AcmeError, match=r"\*\.a\.test: dns-01 is offered, http-01 can") as found:
        await issue(client, ["*.a.test"], {"http-01": web})

    assert (found.value.kind, found.value.fault) == ("noChallenge", "permanent")
    assert found.value.names == ("*.a.test",)
    assert statuses(proxy) == ["deactivated"]


async def test_an_answer_that_cannot_be_given_is_the_names_fault(proxy, client, web):
    """Everything that was begun is taken back, and authorizations are given up."""
    failing = Failing(EdgeError("the hook ended with 1: no such zone"))
    wanted = ["*.a.test", "b.test"]

    with pytest.raises(AcmeError, match="no such zone") as found:
        await issue(client, wanted, {"http-01": web, "dns-01": failing})

    error = found.value
    assert (error.kind, error.fault, error.challenge) == ("notPresented", "name", "dns-01")
    assert error.names == ("*.a.test",)
    assert failing.begun == failing.cleaned
    assert statuses(proxy) == ["deactivated"] * 2
    assert proxy.of("challenge") == []


async def test_a_defect_is_passed_on_and_cleaned_up_after(proxy, client, web):
    """No error of ours is made of it."""
    with pytest.raises(ZeroDivisionError):
        await issue(client, ["a.test"], {"http-01": Failing(ZeroDivisionError("a defect"))})

    assert statuses(proxy) == ["deactivated"]


async def test_cleaning_that_fails_hides_nothing(proxy, client, caplog):
    """Neither the error before it, nor the rest of the cleaning; it is told."""
    lines: list[str] = []
    refused = Failing(EdgeError("not added"), cleaning=EdgeError("not removed"))

    with pytest.raises(AcmeError, match="not added"):
        await issue(client, ["a.test"], {"http-01": refused}, log=lines.append)
    assert "cleaning: not removed" in lines

    broken = Failing(EdgeError("not added"), cleaning=ZeroDivisionError("a defect"))
    with pytest.raises(AcmeError, match="not added"):
        await issue(client, ["b.test"], {"http-01": broken})
    assert "cleaning after an order failed" in caplog.text
    assert statuses(proxy) == ["deactivated"] * 2


async def test_cleaning_has_an_end(client, monkeypatch):
    """A provider that hangs does not hold the others up."""
    monkeypatch.setattr(issuance, "CLEANING_S", 0.1)
    lines: list[str] = []

    class Hanging(Failing):
        async def cleanup(self, _, challenge):
            self.cleaned.append(challenge)
            await asyncio.Event().wait()

    with pytest.raises(AcmeError, match="not added"):
        await issue(
            client, ["a.test"], {"http-01": Hanging(EdgeError("not added"))}, log=lines.append
        )

    assert lines[-1] == "cleaning was not done within 0.1 s"


async def test_a_cancelled_order_is_cleaned_up(proxy, client):
    """While an answer was being given."""
    stuck = Stuck()
    task = asyncio.ensure_future(issue(client, ["a.test", "b.test"], {"http-01": stuck}))
    await stuck.until(lambda: len(stuck.begun) == 2)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert stuck.begun == stuck.cleaned
    assert statuses(proxy) == ["deactivated"] * 2


async def test_an_order_that_is_cancelled_twice_is_cleaned_up(proxy, client):
    """The one who waits may go; the cleaning stays."""
    stuck, release = Stuck(), asyncio.Event()

    async def cleanup(_, challenge):
        await stuck.note(stuck.cleaned, challenge)
        await release.wait()

    stuck.cleanup = cleanup
    task = asyncio.ensure_future(issue(client, ["a.test"], {"http-01": stuck}))
    await stuck.until(lambda: stuck.begun)
    task.cancel()
    await stuck.until(lambda: stuck.cleaned)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()

    await asyncio.to_thread(proxy.until, lambda: any(e.payload for e in proxy.of("authorization")))


async def test_cancelled_while_the_authority_looks(names, web, tmp_path):
    """The answer to a challenge is held; what was shown goes."""
    # An authority of its own: see `pebble` about authorizations that are given up while it looks.
    with (
        pebble(tmp_path, names, web.port, 1, nonce_rejects=0) as authority,
        serving(Proxy(authority)) as proxy,
    ):
        client = Client(proxy.directory, tmp_path / "account", ca_file=authority.ca_file)
        held = proxy.fail("challenge", until=threading.Event())
        task = asyncio.ensure_future(issue(client, ["a.test"], {"http-01": web}))
        await asyncio.to_thread(proxy.until, lambda: is_answered(proxy))
        assert len(web.answers) == 1

        task.cancel()
        held.until.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.close()

    assert web.answers == {}
    assert [each.payload for each in proxy.of("authorization")][-1] == {"status": "deactivated"}


# Authorities in trouble


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("authorization", {"status": 500}),
        ("authorization", {"drops": "request"}),
        ("authorization", {"status": 503, "retry_after": "0"}),
        ("order", {"drops": "answer"}),
        ("finalize", {"status": 500}),
        ("finalize", {"drops": "request"}),
        ("finalize", {"drops": "answer"}),
        ("finalize", {"status": 403, "type": "orderNotReady"}),
        ("certificate", {"drops": "answer"}),
        ("certificate", {"status": 500}),
    ],
)
async def test_what_passes_costs_no_certificate(proxy, client, web, kind, fault):
    """One order is made, one certificate signed, and that one is fetched."""
    broken = proxy.fail(kind, when=lambda: is_answered(proxy), **fault)

    issued = await issue(client, ["a.test"], {"http-01": web})

    assert (broken.times, issued.names) == (0, ("a.test",))
    assert len([e for e in proxy.of("newOrder") if e.status == 201]) == 1
    assert len({e.payload["csr"] for e in proxy.of("finalize")}) == 1


def is_answered(proxy):
    """Whether the authority was told to look."""
    return any(each.status == 200 for each in proxy.of("challenge"))


async def test_a_limit_while_finalizing_is_told_at_once(proxy, client, web):
    """Nobody waits an hour with a key in memory."""
    proxy.fail("finalize", status=429, type="rateLimited", detail="slow down", retry_after="3600")

    began = time.monotonic()
    with pytest.raises(AcmeError, match="slow down") as found:
        await issue(client, ["a.test"], {"http-01": web})

    assert time.monotonic() - began < 30
    assert (found.value.fault, found.value.retry_after) == ("limit", 3600.0)
    assert found.value.step == "finalize"


async def test_a_refused_finalization_is_told(proxy, client, web):
    """In the authority's words, subproblems included."""
    part = {"detail": "CAA forbids it", "identifier": {"type": "dns", "value": "a.test"}}
    proxy.fail("finalize", status=403, type="caa", detail="no", subproblems=[part], times=9)

    with pytest.raises(AcmeError, match=r"no; a\.test: CAA forbids it") as found:
        await issue(client, ["a.test"], {"http-01": web})

    assert (found.value.fault, found.value.names) == ("name", ("a.test",))


async def test_an_authority_that_is_broken_is_not_asked_for_ever(proxy, client, web):
    """Three looks in a row may fail."""
    proxy.fail("finalize", status=500, detail="out of order", times=99)

    with pytest.raises(AcmeError, match="out of order") as found:
        await issue(client, ["a.test"], {"http-01": web})

    assert (found.value.fault, found.value.step) == ("authority", "finalize")
    assert len(proxy.of("finalize")) == issuance.MISSES


async def test_a_chain_that_is_none_is_never_returned(proxy, client, web):
    """Whatever answers instead of the authority."""
    proxy.fail("certificate", status=200, content=b"<html>welcome")

    with pytest.raises(AcmeError, match="no chain in PEM") as found:
        await issue(client, ["a.test"], {"http-01": web})

    assert (found.value.kind, found.value.step) == ("badCertificate", "verify")


async def test_a_certificate_of_another_order_is_never_returned(proxy, client, web):
    """Its key is another one."""
    other = await issue(client, ["a.test"], {"http-01": web})
    chain = other.pem.partition(b"-----END PRIVATE KEY-----\n")[2]
    proxy.fail("certificate", status=200, content=chain)

    with pytest.raises(AcmeError, match="it is for another key") as found:
        await issue(client, ["a.test"], {"http-01": web})

    assert found.value.kind == "badCertificate"


# Waiting


class Looked:
    """Something that is settled after some looks."""

    def __init__(self, *outcomes):
        self.outcomes = iter(outcomes)
        self.looks = 0
        self.pauses: list[float] = []
        """Seconds that were waited between looks, as they were asked of the loop."""

    async def __call__(self):
        """The next outcome."""
        self.looks += 1
        outcome = next(self.outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def until_settled(self, within_s=60.0):
        """Wait for it: really, but a machine that stands still meanwhile changes nothing."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(issuance.asyncio, "sleep", self._pause)
            return await issuance._until(
                self, lambda each: each.status == "valid", "order", within_s
            )

    async def _pause(self, seconds, *, sleep=asyncio.sleep):
        self.pauses.append(seconds)
        await sleep(seconds)


def order(status, retry_after=None):
    """An order that is no further than this."""
    return issuance.Order(
        status=status, authorizations=(), finalize="", url="", retry_after=retry_after
    )


async def test_pauses_grow_and_the_authoritys_wish_comes_first():
    """A quarter of a second, then more; Retry-After replaces it, also a shorter one than ours."""
    look = Looked(*map(order, ["pending"] * 3), order("pending", 0.3), order("valid"))

    await look.until_settled()

    assert look.pauses == pytest.approx([0.25, 0.4, 0.64, 0.3])


async def test_no_wish_makes_a_busy_loop():
    """Retry-After: 0 is a quarter of a second."""
    look = Looked(order("pending", 0.0), order("valid"))

    await look.until_settled()

    assert look.pauses == [0.25]


async def test_waiting_has_an_end():
    """After a last look; when it should have been asked again is told."""
    look = Looked(*[order("pending", 120.0)] * 9)

    with pytest.raises(AcmeError, match=r"still pending after 0\.3 s") as found:
        await look.until_settled(0.3)

    assert (found.value.kind, found.value.retry_after) == ("timeout", 120.0)
    assert look.looks == 2


async def test_looks_may_fail_now_and_then(monkeypatch):
    """Three in a row are too many, and what is nobody's passing trouble is raised at once."""
    monkeypatch.setattr(issuance, "FIRST_S", 0.01)
    broken = AcmeError("unreachable", "no connection")
    look = Looked(broken, broken, order("pending"), broken, broken, order("valid"))
    assert (await look.until_settled(5.0)).status == "valid"

    look = Looked(broken, broken, broken)
    with pytest.raises(AcmeError, match="no connection"):
        await look.until_settled()
    look = Looked(AcmeError("unauthorized", "not yours", step="authorization"))
    with pytest.raises(AcmeError, match="not yours"):
        await look.until_settled()


# What is shown


def test_a_challenge_has_three_faces():
    """RFC 8555 §8.4's record, RFC 8737's certificate, the key authorization itself."""
    challenge = Challenge("dns-01", "token", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.thumb")

    certificate = x509.load_pem_x509_certificate(challenge.alpn_pem("a.test").encode())

    digest = issuance.leaf.digest(challenge.key_authorization)
    found = certificate.extensions.get_extension_for_oid(issuance.ACME_IDENTIFIER)
    assert (found.critical, found.value.value) == (True, b"\x04\x20" + digest)
    assert challenge.dns_value == issuance.leaf.base64url(digest)
    assert offered(challenge.alpn_pem("a.test").encode()) == x509.SubjectAlternativeName(
        [x509.DNSName("a.test")]
    )
    assert certificate.not_valid_before_utc < datetime.now(UTC) < certificate.not_valid_after_utc


@pytest.mark.parametrize(
    ("identifier", "host"),
    [
        ("a.test", "a.test"),
        ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
        ("[2001:db8::1]", "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa"),
    ],
)
def test_addresses_are_asked_for_by_their_reverse_name(identifier, host):
    """Server names are no addresses (RFC 8738 §6)."""
    assert issuance.alpn_host(identifier) == host


@pytest.mark.parametrize(
    ("kind", "value", "host"),
    [
        ("dns", "A.test", "a.test"),
        ("ip", "192.0.2.1", "192.0.2.1"),
        ("ip", "2001:db8::1", "[2001:db8::1]"),
    ],
)
def test_identifiers_are_spelled_as_hosts_are(kind, value, host):
    """Answers are looked up by the Host that the authority sends."""
    found = issuance.Authorization(
        status="pending", identifier=Identifier(kind, value), challenges=()
    )

    assert issuance._host(found) == host


def test_a_refusal_says_what_the_tried_challenge_says():
    """Else what any says, else the status: also where nothing has an error (RFC 8555 §7.1.6)."""
    errors = {
        kind: {"type": f"urn:ietf:params:acme:error:{kind}", "detail": kind}
        for kind in ("dns", "tls")
    }

    def authorization(*challenges):
        return issuance.Authorization(
            status="invalid",
            identifier=Identifier("dns", "a.test"),
            challenges=tuple(
                {"type": kind, "url": "u", "token": "t", "error": error}
                for kind, error in challenges
            ),
        )

    both = authorization(("http-01", errors["dns"]), ("tls-alpn-01", errors["tls"]))
    assert issuance._refusal(both, "tls-alpn-01").kind == "tls"
    assert issuance._refusal(both, "dns-01").kind == "dns"
    error = issuance._refusal(authorization(("http-01", None)), "http-01")
    assert (error.kind, error.fault) == ("invalidAuthorization", "name")
    assert "became invalid" in error.detail
