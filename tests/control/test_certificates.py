"""What `edge certs` tells."""

from __future__ import annotations

import time

import pytest

from edge.control import certificates
from edge.control.agenda import Agenda
from edge.control.inventory import Inventory
from edge.site.renewal import Attempt, Due, Finding, Record
from tests.support_certificates import signer, write_own
from tests.support_control import new_store, places_of, publish, write_app

SETTINGS = 'listen: {https: ["127.0.0.1:8443"]}\ndefault_domain: edge.example.com\n'
NOW = time.time()


class Scene:
    """A node in mode `acme`, nothing of which runs."""

    def __init__(self, folder):
        self.folder = folder
        self.changes = new_store(folder, SETTINGS)
        write_app(
            folder,
            "shop",
            "domains: {a.test: {subdomains: {www: main}}, co.uk: {subdomains: {'': main}}}",
        )
        self.changes.reload()
        publish(self.changes, "shop", "main", {"index.html": "x"})
        self.inventory = Inventory(places_of(folder), self.changes)
        self.agenda = Agenda(self.inventory.vault)

    async def tell(self, *running):
        """Entries by name."""
        self.inventory.survey()
        await self.agenda.load(wish.name for wish in self.inventory.wishes.wanted)
        document = certificates.describe(self.inventory, self.agenda, running, NOW)
        return {each["name"]: each for each in document["certificates"]}


@pytest.fixture
def scene(tmp_path):
    """A new one."""
    return Scene(tmp_path)


FAILED = Attempt(at=NOW - 60, authority="https://ca.test/dir", outcome="failed", kind="name")


@pytest.mark.parametrize(
    ("record", "running", "state", "why"),
    [
        (Record(name="www.a.test"), False, "waiting", "there is none yet"),
        (Record(name="www.a.test"), True, "ordering", "there is none yet"),
        (
            Record(name="www.a.test", failures=1, next_attempt=NOW + 60, attempts=(FAILED,)),
            False,
            "failing",
            "after 1 failure",
        ),
        (
            Record(name="www.a.test", failures=3, next_attempt=NOW + 60),
            False,
            "failing",
            "after 3 failures in a row",
        ),
        (
            Record(name="www.a.test", unready=1, next_attempt=NOW + 60),
            False,
            "failing",
            "it is not ready: see the findings",
        ),
        (
            Record(name="www.a.test", next_attempt=NOW + 60),
            False,
            "waiting",
            "the authority said to wait",
        ),
    ],
)
async def test_names_without_a_certificate(scene, record, running, state, why):
    """What is known about each, and when something is done."""
    await scene.agenda.keep(record)

    entry = (await scene.tell(*["www.a.test"] * running))["www.a.test"]

    assert (entry["state"], entry["next"]["why"]) == (state, why)
    assert (entry["issuer"], entry["not_after"]) == (None, None)
    assert len(entry["attempts"]) == len(record.attempts)


async def test_a_stop_has_no_next(scene):
    """Its reason stands instead."""
    await scene.agenda.keep(Record(name="www.a.test", stopped="it has failed for 30 days"))

    entry = (await scene.tell())["www.a.test"]

    assert (entry["state"], entry["next"]) == ("stopped", None)
    assert entry["stopped"] == "it has failed for 30 days"


async def test_a_certificate_that_serves(scene):
    """Its dates, its issuer, and its renewal; a failing one serves all the same."""
    pem = signer().issue("www.a.test", start=NOW - 60, end=NOW + 90 * 86_400)
    published = scene.inventory.vault.publish("www.a.test", pem, "acme")

    entry = (await scene.tell())["www.a.test"]

    assert (entry["state"], entry["issuer"]) == ("valid", "Test Root")
    assert entry["id"] == published.id
    assert entry["next"]["why"] == "two thirds of its lifetime"
    assert entry["not_before"] == int(NOW - 60)


async def test_one_that_is_over(scene):
    """It says so."""
    pem = signer().issue("www.a.test", start=NOW - 90 * 86_400, end=NOW - 60)
    scene.inventory.vault.publish("www.a.test", pem, "acme")

    assert (await scene.tell())["www.a.test"]["state"] == "expired"


async def test_what_cannot_be_had_says_why(scene):
    """A guard's sentence."""
    entry = (await scene.tell())["co.uk"]

    assert (entry["state"], entry["source"]) == ("refused", "none")
    assert "public suffix" in entry["reason"]


async def test_the_operators_own(scene):
    """As they are in the vault: the file may be broken by now."""
    pem = signer().issue("www.a.test", start=NOW - 60, end=NOW + 3_600)
    scene.inventory.vault.publish("www.a.test", pem, "files")
    write_own(scene.folder / "certs", "www.a.test", b"broken")

    entries = await scene.tell()

    assert (entries["www.a.test"]["source"], entries["www.a.test"]["state"]) == ("files", "valid")
    assert entries["www.a.test"]["next"] is None


async def test_a_survey_changes_nothing(scene):
    """Who asks while no node runs gets the same document, and makes nothing."""
    document = await certificates.survey(scene.inventory, scene.agenda, NOW)

    assert {each["name"] for each in document["certificates"]} == {
        "www.a.test",
        "co.uk",
        "main.shop.edge.example.com",
    }
    assert document["root"] is None
    assert not places_of(scene.folder).tls.exists()
    assert certificates.words_of(document)["www.a.test"] == "waiting"


async def test_a_survey_before_anything_serves(tmp_path):
    """There is nothing."""
    changes = new_store(tmp_path, SETTINGS)
    inventory = Inventory(places_of(tmp_path), changes)

    document = await certificates.survey(inventory, Agenda(inventory.vault), NOW)

    assert document == {"certificates": [], "mistakes": [], "warnings": [], "root": None}


def test_what_is_next_is_the_later_of_two():
    """A back-off ends before a renewal is due: the renewal counts."""
    due = Due(NOW + 100, "two thirds of its lifetime")
    record = Record(name="a", failures=1, next_attempt=NOW + 50)

    assert certificates.next_of(record, due) == due
    finding = Finding("ok", "a", "fine")
    assert certificates.next_of(Record(name="a", findings=(finding,)), due) == due
