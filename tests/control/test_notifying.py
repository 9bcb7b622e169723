"""Letters on their way: order, tries, pauses, bounds."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from edge.control import notifying
from edge.control.letters import Undelivered
from edge.control.notifying import LONGEST_WAIT, MAX_WAITING, PAUSES, Courier, Post
from edge.site.alarms import Smtp
from tests.support_alarms import letter, mail_server, receiving
from tests.support_wire import until

HOOK = "https://hooks.example/secret"


class World:
    """A courier whose times and recipients are a test's."""

    def __init__(self):
        self.now = 1000.0
        self.paused = []
        self.delivered = []
        self.faults = {}
        """By recipient, what happens to its next letters."""
        self.changes = 0
        self.courier = Courier(self.deliver, self.note, lambda: self.now, self.pause)

    async def deliver(self, sent):
        """One try."""
        await asyncio.sleep(0)
        faults = self.faults.get(sent.to, [])
        if faults and (fault := faults.pop(0)) is not None:
            if isinstance(fault, asyncio.Event):
                await fault.wait()
            else:
                raise fault
        self.delivered.append((sent.to, sent.subject))

    async def pause(self, seconds):
        """Time passes."""
        self.paused.append(seconds)
        self.now += seconds

    def note(self):
        """Something has changed."""
        self.changes += 1

    async def send(self, *letters):
        """Send letters, until nothing is on its way."""
        self.courier.add(letters)
        self.courier.start()
        await until(lambda: not self.courier._running)


def letters(count, to=HOOK):
    """Some, numbered."""
    return [letter(to, subject=str(number)) for number in range(count)]


def broken(count=1, **options):
    """Faults in passing."""
    return [Undelivered("no", **options) for _ in range(count)]


async def test_letters_go_in_order():
    """And are counted."""
    world, ended = World(), []
    world.courier.on_end = ended.append
    await world.send(*letters(3))

    assert world.delivered == [(HOOK, "0"), (HOOK, "1"), (HOOK, "2")]
    assert world.courier.describe() == {"sent": 3, "failed": 0, "dropped": 0, "waiting": 0}
    assert ended == ["sent"] * 3
    assert world.changes == 3


async def test_what_fails_in_passing_is_tried_again():
    """With growing pauses, and those behind it wait: an end must not come before its beginning."""
    world = World()
    world.faults[HOOK] = broken(3)
    await world.send(*letters(2))

    assert world.delivered == [(HOOK, "0"), (HOOK, "1")]
    assert world.paused == list(PAUSES[:3])


async def test_what_fails_for_long_is_given_up(caplog):
    """The next letter has its own tries; the log names no secret."""
    world = World()
    world.faults[HOOK] = broken(len(PAUSES) + 1)
    await world.send(*letters(2))

    assert world.delivered == [(HOOK, "1")]
    assert world.courier.counts == {"sent": 1, "failed": 1, "dropped": 0}
    assert "https://hooks.example/… is not told '0': no" in caplog.text
    assert "secret" not in caplog.text


async def test_what_is_refused_for_good_is_not_tried_again():
    """It would be refused again."""
    world = World()
    world.faults[HOOK] = broken(is_final=True)
    await world.send(*letters(1))

    assert (world.delivered, world.paused) == ([], [])
    (outcome,) = world.courier.outcomes("alarm")
    assert outcome == {
        "to": "https://hooks.example/…",
        "result": "failed",
        "at": 1000.0,
        "error": "no",
    }


@pytest.mark.parametrize(("asked", "paused"), [(90.0, 90.0), (1.0, PAUSES[0]), (1e9, LONGEST_WAIT)])
async def test_a_recipient_may_ask_for_a_longer_pause(asked, paused):
    """Never a shorter one, and within bounds."""
    world = World()
    world.faults[HOOK] = broken(wait=asked)
    await world.send(*letters(1))

    assert world.paused == [paused]
    assert len(world.delivered) == 1


async def test_no_recipient_waits_for_another():
    """One that is silent holds up its own letters alone."""
    world, silence = World(), asyncio.Event()
    world.faults[HOOK] = [silence]
    world.courier.add(letters(2))
    world.courier.add(letters(2, "mailto:a@b.example"))
    world.courier.start()
    world.courier.start()
    await until(lambda: len(world.delivered) == 2)

    assert {to for to, _ in world.delivered} == {"mailto:a@b.example"}
    assert [each.subject for each in world.courier.waiting] == ["0", "1"]
    silence.set()
    await until(lambda: len(world.delivered) == 4)


async def test_a_queue_has_an_end(caplog):
    """What has waited longest goes, but not the one that is on its way."""
    world, silence = World(), asyncio.Event()
    world.faults[HOOK] = [silence]
    world.courier.add(letters(1))
    world.courier.start()
    await until(lambda: not world.faults[HOOK])
    world.courier.add(letters(MAX_WAITING + 1)[1:])
    silence.set()
    await until(lambda: not world.courier._running)

    assert world.courier.counts == {"sent": MAX_WAITING, "failed": 0, "dropped": 1}
    assert [subject for _, subject in world.delivered][:3] == ["0", "2", "3"]
    assert "over 100 letters waited" in caplog.text


async def test_who_is_no_longer_told_gets_nothing_more():
    """Letters to others are as they were."""
    world, silence = World(), asyncio.Event()
    world.faults[HOOK] = [silence]
    world.courier.add(letters(2))
    world.courier.start()
    await until(lambda: not world.faults[HOOK])
    world.courier.keep({HOOK}, {"alarm"})
    assert len(world.courier.waiting) == 2
    world.courier.keep({"mailto:a@b.example"}, set())
    await world.send(letter("mailto:a@b.example"))

    assert world.courier.counts == {"sent": 1, "failed": 0, "dropped": 2}
    assert world.courier.waiting == []
    assert world.courier.outcomes("another") == []


async def test_a_defect_stops_nothing(caplog):
    """It is logged, and the next letter goes."""
    world = World()
    world.faults[HOOK] = [KeyError("x")]
    await world.send(*letters(2))

    assert world.delivered == [(HOOK, "1")]
    assert world.courier.counts["failed"] == 1
    assert "KeyError" in caplog.text


async def test_what_waits_outlives_its_courier():
    """With its tries, and the time of the next one."""
    world, later = World(), World()
    world.faults[HOOK] = broken(1)
    world.courier._pause = lambda _: asyncio.Event().wait()
    world.courier.add(letters(2))
    world.courier.start()
    await until(lambda: world.changes)
    world.courier.close()
    waiting = world.courier.waiting

    assert [(each.tries, each.next, each.error) for each in waiting] == [
        (1, 1000.0 + PAUSES[0], "no"),
        (0, 0.0, ""),
    ]
    await later.send(*waiting)
    assert later.delivered == [(HOOK, "0"), (HOOK, "1")]
    assert later.paused == [PAUSES[0]]


async def test_a_webhook_and_a_mail_are_delivered(tmp_path):
    """Each by its own way."""
    post = Post()
    async with receiving() as receiver:
        with mail_server() as server:
            post.root = tmp_path
            post.smtp = Smtp(host="127.0.0.1", port=server.port, sender="edge@example.com")
            await post.deliver(letter("mailto:ops@example.com"))
            await post.deliver(letter(receiver.url()))
            receiver.answers.append(web.Response(status=500))
            with pytest.raises(Undelivered, match="answered 500"):
                await post.deliver(letter(receiver.url()))
            post.close()

    assert len(server.mails) == 1
    assert len(receiver.taken) == 2


async def test_a_mail_without_a_server_is_given_up():
    """The settings are others than when it was written."""
    with pytest.raises(Undelivered, match="no 'smtp'") as caught:
        await Post().deliver(letter("mailto:ops@example.com"))

    assert caught.value.is_final


async def test_a_mail_server_that_never_ends(monkeypatch, tmp_path):
    """Is hung up on; its thread is free again."""
    monkeypatch.setattr(notifying, "MAIL_S", 0.1)
    connections = []

    async def greet(reader, writer):
        connections.append(writer)
        writer.write(b"220 hi\r\n")
        while await reader.readline():
            writer.write(b"250-and\r\n" * 10)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    post = Post()
    post.root = tmp_path
    post.smtp = Smtp(host="127.0.0.1", port=port, sender="edge@example.com")
    with pytest.raises(Undelivered, match=r"not taken within 0\.1 s"):
        await post.deliver(letter("mailto:ops@example.com"))
    await until(lambda: post._mailing._idle_semaphore._value)
    post.close()
    server.close()
    await server.wait_closed()
