"""By which challenges a name is shown, and what is found before that."""

from __future__ import annotations

import pytest

from edge.control.answers import AlpnAnswerer, Answers, HttpAnswerer
from edge.control.authorities import Authorities
from edge.control.dns_records import DnsRecords
from edge.control.fleet import Fleet
from edge.control.proofs import Proofs, challenges_for
from edge.control.resolver import Resolver
from edge.control.vault import Vault
from edge.errors import StoreError
from edge.site.places import Places
from edge.site.settings import Acme, Dns, Listen, Settings
from edge.site.wanted import Wanted
from tests.support_acme import HttpAnswers, NameServer, serving
from tests.support_control import FakeWorker

NOBODY = "https://127.0.0.1:9/dir"
"""An authority that is down."""

DNS = Dns(command=("true",))


def wish(name):
    """A certificate of one name."""
    return Wanted(name=name, names=(name,), source="acme", reason="")


@pytest.mark.parametrize(
    ("name", "challenges", "dns", "expected"),
    [
        ("a.test", ("http-01", "tls-alpn-01"), None, ["http-01", "tls-alpn-01"]),
        ("a.test", ("tls-alpn-01", "http-01"), DNS, ["tls-alpn-01", "http-01"]),
        ("a.test", ("dns-01",), DNS, ["dns-01"]),
        ("*.a.test", ("http-01",), DNS, ["dns-01"]),
        ("*.a.test", ("http-01",), None, []),
        ("192.0.2.1", ("dns-01", "http-01"), DNS, ["http-01"]),
        ("[2001:db8::1]", ("dns-01", "http-01"), DNS, ["http-01"]),
    ],
)
def test_challenges_that_can_show_a_name(name, challenges, dns, expected):
    """The operator's order; wildcards by dns-01 alone, addresses never."""
    assert challenges_for(Acme(challenges=challenges, dns=dns), wish(name)) == expected


class Scene:
    """Proofs of a node whose worker answers http-01 on a port of a test's."""

    def __init__(self, folder, names, web):
        self.web = web
        self.refuses = []
        places = Places(folder)
        places.run.mkdir(parents=True)
        self.worker = FakeWorker(places.run, self.obey)
        vault = Vault(places)
        vault.open()
        self.answers = Answers(vault, Fleet(places.run))
        self.authorities = Authorities(vault, lambda: 0.0)
        self.vault = vault
        resolver = Resolver([("127.0.0.1", names.port)], patience_s=2.0)
        ports = {"http-01": web.port, "tls-alpn-01": 1}
        self.proofs = Proofs(self.answers, self.authorities, resolver, ports)
        self.configure(Listen(https=("127.0.0.1:8443",), public=("127.0.0.1",)))

    def configure(self, listen):
        """Listen there."""
        self.proofs.configure(Settings(listen=listen), self.vault._places.state)

    def obey(self, _):
        """Answer what is written."""
        if self.refuses:
            return {"error": self.refuses.pop()}
        written = self.vault.challenges()
        self.web.answers = {
            (each.host, token): each.content for token, each in written.http.items()
        }
        return {}


@pytest.fixture
async def scene(tmp_path):
    """A new one."""
    with serving(NameServer()) as names, serving(HttpAnswers()) as web:
        scene = Scene(tmp_path, names, web)
        scene.names = names
        yield scene
        await scene.authorities.close()
        scene.worker.close()


def told(findings):
    """What matters of them."""
    return [(each.level, each.about, each.text) for each in findings]


async def test_a_name_that_leads_here_is_ready(scene):
    """An authority that is down is no finding of the name's: its order will say it."""
    findings = await scene.proofs.findings(Acme(directory=NOBODY), wish("a.test"))

    assert {each.level for each in findings} <= {"ok", "warning"}
    assert ("ok", "a.test", "127.0.0.1 is an address of this node") in told(findings)


async def test_what_is_missing_stops_it(scene):
    """With what to do."""
    scene.names.missing.add("a.test")

    findings = await scene.proofs.findings(Acme(directory=NOBODY), wish("a.test"))

    (stop,) = [each for each in findings if each.level == "stop"]
    assert "no addresses" in stop.text
    assert stop.hint


async def test_a_port_that_is_mapped_elsewhere_stops_nobody(scene):
    """Behind a router or in a container port 80 is led to another, unseen from here."""
    findings = await scene.proofs.findings(Acme(directory=NOBODY), wish("a.test"))

    (ports,) = [each for each in findings if each.about == "ports"]
    assert ports.level == "warning"


async def test_probes_are_taken_back(scene):
    """Whatever was found."""
    await scene.proofs.findings(Acme(directory=NOBODY), wish("a.test"))

    assert scene.web.answers == {}
    assert scene.vault.challenges().http == {}


async def test_a_worker_that_answers_nothing_is_told(scene):
    """And nothing of the probe stays behind."""
    scene.refuses.append("no memory")

    with pytest.raises(StoreError, match="no memory"):
        await scene.proofs.findings(Acme(directory=NOBODY), wish("a.test"))

    await scene.answers.show()
    assert scene.web.answers == {}


async def test_each_challenge_has_its_answerer(scene):
    """In the operator's order."""
    acme = Acme(challenges=("tls-alpn-01", "dns-01", "http-01"), dns=DNS)

    found = scene.proofs.answerers(acme, wish("a.test"))

    assert [(kind, type(each)) for kind, each in found.items()] == [
        ("tls-alpn-01", AlpnAnswerer),
        ("dns-01", DnsRecords),
        ("http-01", HttpAnswerer),
    ]
