"""Answers to authorities: there on every worker before anybody is told to look."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from edge.control.answers import Answers
from edge.control.fleet import Fleet
from edge.control.issuance import Challenge
from edge.control.vault import Vault
from edge.errors import StoreError
from edge.site.certificates import Challenges, HttpAnswer
from edge.site.places import Places
from tests.support_control import FakeWorker


class Worker:
    """Reads what it is told to, and remembers it."""

    def __init__(self, places):
        self.places = places
        self.read = []
        self.refuses = []
        places.run.mkdir(parents=True)
        self.process = FakeWorker(places.run, self.obey)

    def obey(self, _):
        """The order `tls`."""
        if self.refuses:
            return {"error": self.refuses.pop()}
        content = self.places.challenges.read_bytes()
        self.read.append(msgspec.json.decode(content, type=Challenges))
        return {}


@pytest.fixture
def worker(tmp_path):
    """One of a new node."""
    worker = Worker(Places(tmp_path))
    yield worker
    worker.process.close()


@pytest.fixture
async def answers(worker):
    """What it answers."""
    vault = Vault(worker.places)
    vault.open()
    answers = Answers(vault, Fleet(worker.places.run))
    await answers.open()
    return answers


def challenge(token="token", kind="http-01"):
    """One of an authority's."""
    return Challenge(kind, token, f"{token}.thumb")


async def test_a_token_is_there_when_it_is_presented(answers, worker):
    """And gone when it is cleaned up, the host being canonical."""
    await answers.http.present("2001:db8::1", challenge())
    assert worker.read[-1].http == {"token": HttpAnswer("[2001:db8::1]", "token.thumb")}

    await answers.http.cleanup("2001:db8::1", challenge())

    assert worker.read[-1] == Challenges()


async def test_a_certificate_is_there_when_it_is_presented(answers, worker):
    """For the name that the authority asks for: of an address the reverse one."""
    await answers.alpn.present("a.test", challenge("1"))
    await answers.alpn.present("192.0.2.7", challenge("2"))
    assert worker.read[-1].alpn.keys() == {"a.test", "7.2.0.192.in-addr.arpa"}

    await answers.alpn.cleanup("a.test", challenge("1"))
    await answers.alpn.cleanup("192.0.2.7", challenge("2"))

    assert worker.read[-1] == Challenges()


async def test_two_orders_of_one_name_do_not_take_each_others_answer(answers, worker):
    """The later one is shown; when it ends, the earlier one is again."""
    await answers.alpn.present("a.test", challenge("1"))
    first = worker.read[-1].alpn["a.test"]
    await answers.alpn.present("a.test", challenge("2"))
    assert worker.read[-1].alpn["a.test"] != first

    await answers.alpn.cleanup("a.test", challenge("2"))

    assert worker.read[-1].alpn["a.test"] == first


async def test_answers_of_the_same_time_are_written_once(answers, worker):
    """A hundred names are not a hundred orders to each worker."""
    names = [f"n{number}.test" for number in range(100)]

    await asyncio.gather(*(answers.http.present(name, challenge(name)) for name in names))

    assert len(worker.read[-1].http) == 100
    assert len(worker.read) < 10


async def test_a_worker_that_cannot_answer_is_a_reason_not_to_ask(answers, worker):
    """And the next time it is told again."""
    worker.refuses.append("no memory")

    with pytest.raises(StoreError, match="a worker does not answer the authority: no memory"):
        await answers.http.present("a.test", challenge())

    await answers.show()
    assert worker.read[-1].http.keys() == {"token"}


async def test_a_disk_that_takes_nothing_is_a_reason_not_to_ask(answers, worker):
    """With what is wrong."""
    worker.places.challenges.mkdir()

    with pytest.raises(StoreError, match="cannot be written"):
        await answers.http.present("a.test", challenge())


async def test_what_a_dead_keeper_left_is_taken_back(answers, worker):
    """At the next start."""
    await answers.http.present("a.test", challenge())

    again = Answers(Vault(worker.places), Fleet(worker.places.run))
    await again.open()

    assert worker.read[-1] == Challenges()


async def test_a_probe_is_an_answer_of_our_own(answers, worker):
    """Under a token that nobody guesses."""
    probe = answers.probe("a.test")
    other = answers.probe("a.test")
    await answers.show()
    assert worker.read[-1].http[probe.token] == HttpAnswer("a.test", probe.content)
    assert probe.token != other.token

    answers.forget(other.token)
    await answers.take_back(probe.token)

    assert worker.read[-1] == Challenges()
