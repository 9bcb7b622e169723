"""What is due, and in which order."""

from __future__ import annotations

import msgspec
import pytest

from edge.control.agenda import Agenda
from edge.control.vault import Vault
from edge.site.certificates import Certificate
from edge.site.places import Places
from edge.site.renewal import Record, Window
from edge.site.wanted import Wanted

NOW = 1_800_000_000.0
DAY = 86_400.0


@pytest.fixture
def agenda(tmp_path):
    """That of a new node."""
    return Agenda(Vault(Places(tmp_path)))


def wish(name):
    """A certificate of a public authority."""
    return Wanted(name=name, names=(name,), source="acme", reason="")


def certificate(name, age, life=90 * DAY):
    """One that is so old."""
    return Certificate(
        id=f"aki.{name}",
        names=(name,),
        file="",
        source="acme",
        issuer="",
        not_before=int(NOW - age),
        not_after=int(NOW - age + life),
    )


def queue(agenda, now=NOW, **stored):
    """Names of what is due; keywords are names with their certificates."""
    keys = {("acme", name): each for name, each in stored.items()}
    return [each.name for each in agenda.queue(map(wish, stored), keys, now)]


async def test_what_expires_first_comes_first(agenda):
    """New names behind renewals, what is not due not at all."""
    found = queue(
        agenda,
        new=None,
        late=certificate("late", 70 * DAY),
        later=certificate("later", 80 * DAY),
        fresh=certificate("fresh", DAY),
        other=None,
    )

    assert found == ["later", "late", "new", "other"]


@pytest.mark.parametrize(
    ("record", "is_due"),
    [
        (Record(name="a"), True),
        (Record(name="a", next_attempt=NOW + 1), False),
        (Record(name="a", stopped="paused"), False),
        (Record(name="a", last_issued=NOW - 60), False),
    ],
)
async def test_records_hold_it_back(agenda, record, is_due):
    """A back-off, a stop, a certificate of today."""
    await agenda.keep(record)

    assert queue(agenda, a=certificate("a", 80 * DAY)) == ["a"] * is_due


async def test_a_lost_certificate_is_had_again(agenda):
    """Though one was issued a minute ago."""
    await agenda.keep(Record(name="a", last_issued=NOW - 60))

    assert queue(agenda, a=None) == ["a"]


async def test_a_circle_of_expired_ones_is_none(agenda):
    """An authority whose clock is another makes no orders without end."""
    await agenda.keep(Record(name="a", last_issued=NOW - 60))

    assert queue(agenda, a=certificate("a", 91 * DAY)) == []


async def test_a_hand_waits_for_nothing(agenda):
    """The back-off is forgotten on the disk, too."""
    await agenda.keep(Record(name="a", failures=3, next_attempt=NOW + 1, last_issued=NOW))

    await agenda.force("a")

    assert queue(agenda, a=certificate("a", DAY)) == ["a"]
    assert Agenda(agenda._vault)._vault.record("a").failures == 0


async def test_records_are_read_once_and_kept(agenda):
    """By the next process as well."""
    record = Record(name="a", failures=2)
    await agenda.keep(record)
    after = Agenda(agenda._vault)

    await after.load(["a", "b"])
    await after.load(["a", "b"])

    assert after.record("a") == record
    assert after.record("b") == Record(name="b")


async def test_a_disk_that_takes_nothing_keeps_records_in_memory(agenda, caplog):
    """They hold until a restart."""
    agenda._vault._places.tls.write_bytes(b"in the way")

    await agenda.keep(Record(name="a", failures=2))

    assert agenda.record("a").failures == 2
    assert "cannot be kept" in caplog.text


async def test_advice_is_added_to_what_has_come_since(agenda):
    """A question about a window takes nothing from a record."""
    await agenda.keep(Record(name="a", failures=2))
    window = Window(certificate="aki.a", start=NOW, end=NOW + 10, instant=NOW + 5)

    await agenda.hear("a", window)

    assert agenda.record("a") == Record(name="a", failures=2, window=window)
    assert agenda.due("a", certificate("a", DAY)).at == NOW + 5
    assert queue(agenda, now=NOW + 5, a=certificate("a", 10 * DAY)) == ["a"]
    window = msgspec.structs.replace(window, certificate="another")
    await agenda.hear("a", window)
    assert queue(agenda, now=NOW + 5, a=certificate("a", 10 * DAY)) == []
