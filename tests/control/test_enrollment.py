"""What public authorities are asked for: against pebble, by a clock that is set."""

from __future__ import annotations

import datetime as dt
import time

import msgspec
import pytest

from edge.control import chains
from edge.site.certificates import Challenges
from tests.support_acme import PEBBLE, Proxy, serving
from tests.support_keeper import Clock, Kept, world

pytestmark = pytest.mark.skipif(PEBBLE is None, reason="pebble is not installed")

DAY = 86_400.0
BACKWARDS = b'{"suggestedWindow": {"start": "2030-01-02T00:00:00Z", "end": "2030-01-01T00:00:00Z"}}'
HOUR = 3_600.0


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """One authority for all; it says no to every tenth nonce."""
    folder = tmp_path_factory.mktemp("outside")
    with world(folder, nonce_rejects=10, blocked=["blocked.test"]) as found:
        yield found


@pytest.fixture
async def node(tmp_path, outside):
    """A node's keeper."""
    outside.names.missing.clear()
    outside.names.failing.clear()
    with serving(Proxy(outside.authority)) as between:
        kept = Kept(tmp_path, outside, between, Clock(time.time() + 5))
        yield kept
        await kept.close()


def iso(epoch):
    """An instant as ARI has it."""
    return dt.datetime.fromtimestamp(epoch, dt.UTC).isoformat()


# First certificates


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
async def test_a_name_gets_its_certificate(node, challenge):
    """By each challenge that the data plane answers; what was answered is taken back."""
    node.configure(challenges=[challenge]).serve("a.test")

    await node.look()

    served = node.serving("a.test")
    assert (served.source, served.names) == ("acme", ("a.test",))
    record = node.record("a.test")
    assert [each.outcome for each in record.attempts] == ["issued"]
    assert any(challenge in step for step in record.attempts[0].steps)
    assert record.issued_by == node.between.directory
    assert record.account.startswith("https://127.0.0.1")
    answered = [each for each in node.answered if each.http or each.alpn]
    assert answered
    assert node.answered[-1] == Challenges()
    assert node.entry("a.test")["state"] == "valid"


async def test_addresses_get_theirs(node):
    """RFC 8738, both kinds of challenge allowed."""
    node.serve("127.0.0.1")

    await node.look()

    assert node.serving("127.0.0.1").names == ("127.0.0.1",)


async def test_one_order_a_name_and_no_second(node):
    """Looks and restarts ask for nothing that is there."""
    node.serve("a.test", "b.test")

    await node.look()
    await node.look(61)
    node.restart()
    await node.look(61)

    assert len(node.orders()) == 2
    assert node.serving("a.test").id != node.serving("b.test").id


async def test_localhost_beside_it_is_the_own_authoritys(node):
    """Both sources in one keyring."""
    node.serve("a.test")

    await node.look()

    assert node.serving("main.shop.edge.localhost").source == "internal"


async def test_many_names_at_once_go_in_turns(node, monkeypatch):
    """Never more at a time than is allowed; broken ones do not keep the others."""
    monkeypatch.setattr("edge.control.enrollment.AT_A_TIME", 3)
    hosts = [f"n{number}.test" for number in range(8)]
    node.outside.names.missing.add("n2.test")
    node.serve(*hosts)
    most = 0

    for _ in range(4):
        await node.keeper.look()
        most = max(most, len(node.keeper.enrollment.running))
        await node.look()

    assert most == 3
    bare = {host: node.record(host) for host in hosts if node.serving(host) is None}
    assert bare.keys() == {"n2.test"}, bare
    assert len(node.orders()) == 7


async def test_an_allowance_is_kept_over_a_restart(node):
    """What is used up comes back with time, not with a new process."""
    node.serve("a.test")
    await node.look()
    vault, directory = node.keeper.inventory.vault, node.between.directory
    vault.keep_pace(directory, msgspec.structs.replace(vault.pace(directory), tokens=1.0))
    node.serve("a.test", "b.test", "c.test")

    for _ in range(3):
        node.restart()
        await node.look(1)
        assert len(node.orders()) == 2

    await node.look(60)
    assert len(node.orders()) == 3


# What is found before a try


async def test_a_name_that_leads_nowhere_costs_no_order(node):
    """The finding is told, and it is looked at again in a minute or so."""
    node.outside.names.missing.add("a.test")
    node.serve("a.test")

    await node.look()

    record = node.record("a.test")
    assert node.orders() == []
    assert (record.attempts, record.failures, record.unready) == ((), 0, 1)
    (finding,) = [each for each in record.findings if each.level == "stop"]
    assert "a.test has no addresses" in finding.text
    entry = node.entry("a.test")
    assert (entry["state"], entry["next"]["why"]) == (
        "failing",
        "it is not ready: see the findings",
    )
    await node.look(30)
    assert node.orders() == []

    node.outside.names.missing.clear()
    await node.look(60)
    assert node.serving("a.test") is not None


async def test_a_disk_that_takes_nothing_costs_no_order(node):
    """What cannot be stored is not ordered."""
    node.serve("a.test")
    folder = node.places.tls / "certs"
    folder.parent.mkdir()
    folder.write_bytes(b"in the way")

    await node.look()

    (attempt,) = node.record("a.test").attempts
    assert (attempt.kind, attempt.step) == ("node", "store")
    assert node.orders() == []
    folder.unlink()
    await node.look(80)
    assert node.serving("a.test") is not None


async def test_a_worker_that_does_not_answer_is_no_reason_to_ask(node):
    """The authority is told to look only when every worker has the answer."""
    node.configure(challenges=["tls-alpn-01"]).serve("a.test")
    node.refuses = ["one", "two", "three"]

    await node.look()

    (attempt,) = node.record("a.test").attempts
    assert attempt.kind == "name"
    assert "a worker does not answer the authority" in attempt.detail
    assert node.between.of("challenge") == []


# Failures


async def test_a_name_class_failure_backs_off_and_survives_a_restart(node):
    """One minute, ten; nothing is tried before, by the next process neither."""
    node.between.fail(
        "challenge", times=50, status=403, type="unauthorized", detail="no such token"
    )
    node.configure(challenges=["http-01"]).serve("a.test")

    await node.look()

    record = node.record("a.test")
    assert (record.failures, record.attempts[-1].kind) == (1, "name")
    assert "no such token" in record.attempts[-1].detail
    assert 48 <= record.next_attempt - node.clock.now <= 72
    count = len(node.orders())
    node.restart()
    await node.look(40)
    assert len(node.orders()) == count
    await node.look(40)
    assert len(node.orders()) == count + 1
    assert 480 <= node.record("a.test").next_attempt - node.clock.now <= 720


async def test_another_challenge_is_tried_once(node):
    """At once, after a failure of the name's: what answers on port 80 is not always ours."""
    node.is_mute = True
    node.serve("a.test")

    await node.look()

    assert node.serving("a.test") is not None
    (attempt,) = node.record("a.test").attempts
    assert any("tried in another form" in step for step in attempt.steps)
    assert any("tls-alpn-01" in step for step in attempt.steps)
    assert len(node.orders()) == 2


@pytest.mark.parametrize("after", ["30", "http-date"])
async def test_a_limit_is_kept(node, after):
    """No order before, for no name, by the next process neither; it is no failure."""
    if after == "http-date":
        after = dt.datetime.fromtimestamp(time.time() + 30, dt.UTC).strftime(
            "%a, %d %b %Y %H:%M:%S GMT"
        )
    node.between.fail(
        "newOrder", status=429, type="rateLimited", detail="too many new orders", retry_after=after
    )
    node.serve("a.test")
    await node.look()
    record = node.record("a.test")
    assert (record.failures, record.attempts[-1].kind) == (0, "limit")

    node.serve("a.test", "b.test")
    node.restart()
    await node.look(20)
    assert len(node.orders()) == 1

    await node.look(20)
    assert node.serving("a.test") is not None
    assert node.serving("b.test") is not None


async def test_a_limit_of_one_name_is_its_own(node):
    """Another name is ordered all the same."""
    detail = 'too many certificates (5) already issued for "a.test"'
    node.between.fail(
        "newOrder", status=429, type="rateLimited", detail=detail, retry_after="86400"
    )
    node.serve("a.test")
    await node.look()

    node.serve("a.test", "b.test")
    await node.look(1)

    assert node.serving("b.test") is not None
    assert node.record("a.test").next_attempt > node.clock.now + DAY - 60
    assert node.entry("a.test")["next"]["why"] == "the authority said to wait"


async def test_a_busy_balancer_is_obeyed(node):
    """503 with Retry-After, and no problem document."""
    node.between.fail("newOrder", status=503, content=b"busy", retry_after="100")
    node.serve("a.test")

    await node.look()
    await node.look(90)
    assert len(node.orders()) == 1
    await node.look(20)

    assert node.serving("a.test") is not None


async def test_a_second_try_is_rehearsed_first(node, outside):
    """Against the staging directory; when that goes well, the real one follows at once."""
    with serving(Proxy(outside.authority)) as staging:
        staging.fail("challenge", times=1, status=403, type="dns", detail="staging says no")
        node.between.fail("challenge", times=1, status=403, type="dns", detail="no such host")
        node.configure(challenges=["http-01"], staging=staging.directory).serve("a.test")

        await node.look()
        assert staging.of("newOrder") == []
        await node.look(80)
        await node.look(800)

        attempts = node.record("a.test").attempts
        told = [(each.outcome, each.authority == staging.directory) for each in attempts]
        assert told == [
            ("failed", False),
            ("failed", True),
            ("rehearsed", True),
            ("issued", False),
        ]
        assert len(node.orders()) == 2
        assert node.serving("a.test") is not None


async def test_a_staging_authority_that_is_down_is_no_obstacle(node, outside):
    """It says nothing about the name."""
    with serving(Proxy(outside.authority)) as staging:
        staging.fail("newOrder", times=9, status=500)
        node.between.fail("challenge", times=1, status=403, type="dns")
        node.configure(challenges=["http-01"], staging=staging.directory).serve("a.test")

        await node.look()
        await node.look(80)

        assert node.serving("a.test") is not None


async def test_another_authority_after_two_failures_of_the_first(node, outside):
    """Its own failures, not the name's; who issued is remembered."""
    with serving(Proxy(outside.authority)) as second:
        node.between.fail("newOrder", times=99, status=500)
        fallback = {"directory": second.directory, "ca_file": node.acme["ca_file"]}
        node.configure(fallback=fallback).serve("a.test")

        await node.look()
        await node.look(80)
        assert second.of("newOrder") == []
        await node.look(800)

        record = node.record("a.test")
        assert [each.kind for each in record.attempts] == ["authority", "authority", ""]
        assert record.issued_by == second.directory
        assert node.serving("a.test") is not None


async def test_a_refused_name_waits_a_day(node):
    """An authority that will never do it is not asked again soon."""
    node.serve("blocked.test")

    await node.look()

    record = node.record("blocked.test")
    assert record.attempts[-1].kind == "refused"
    assert record.next_attempt >= node.clock.now + DAY - 60


async def test_an_account_that_needs_a_hand_stops_its_authority(node):
    """Nothing is ordered of it, and a hand lets it go on."""
    node.between.fail(
        "newOrder", status=403, type="userActionRequired", detail="agree to new terms"
    )
    node.serve("a.test")
    await node.look()
    assert node.record("a.test").attempts[-1].kind == "account"

    node.serve("a.test", "b.test")
    await node.look(80)
    assert len(node.orders()) == 1

    await node.keeper.renew("b.test")
    await node.look(1)
    assert node.serving("b.test") is not None


# Renewals


async def renewable(node, host="a.test"):
    """A node whose certificate was issued a while ago."""
    node.serve(host)
    await node.look()
    return node.serving(host)


async def test_what_is_due_is_renewed_with_a_new_key(node):
    """At two thirds of its lifetime; the order says what it replaces."""
    first = await renewable(node)
    at = node.keeper.agenda.due("a.test", first).at

    await node.look(at - node.clock.now - 10)
    assert node.serving("a.test").id == first.id
    await node.look(20)

    # pebble's clock is the real one, so the second begins where the first did
    second = node.serving("a.test")
    assert second.id != first.id
    assert node.orders()[-1]["replaces"] == first.id
    vault = node.keeper.inventory.vault
    keys = [chains.parse_chain(vault.read_pem(each)).key for each in (first, second)]
    assert chains.encode_key(keys[0]) != chains.encode_key(keys[1])


async def test_an_authority_says_when(node):
    """Its window decides; the instant is drawn once and survives a restart."""
    first = await renewable(node)
    start, end = node.clock.now + 10 * DAY, node.clock.now + 12 * DAY
    node.between.window(first.id, iso(start), iso(end), Retry_After="3600")

    await node.look(7 * HOUR)
    due = node.keeper.agenda.due("a.test", first)
    assert start <= due.at <= end
    assert due.why == "the authority's renewal window"
    node.restart()
    await node.look(2 * HOUR)
    assert node.keeper.agenda.due("a.test", first) == due

    node.clock.now = due.at - 70
    await node.look()
    assert len(node.orders()) == 1
    await node.look(140)
    assert len(node.orders()) == 2
    assert node.orders()[-1]["replaces"] == first.id


async def test_a_window_in_the_past_is_now_and_once(node):
    """cert-manager#8993: the next certificate's window is stale, too, and that makes no circle."""
    first = await renewable(node)
    past = iso(node.clock.now - 2 * DAY), iso(node.clock.now - DAY)
    node.between.window(first.id, *past, explanation="https://ca.test/incident")

    await node.look(7 * HOUR)
    second = node.serving("a.test")
    assert second.id != first.id
    node.between.window(second.id, *past)
    for _ in range(10):
        await node.look(HOUR)

    assert len(node.orders()) == 2


@pytest.mark.parametrize(
    "answer",
    [
        (
            200,
            BACKWARDS,
        ),
        (200, b"garbage"),
        (404, b"{}"),
        (500, b"{}"),
    ],
    ids=["end before start", "garbage", "404", "500"],
)
async def test_advice_that_makes_no_sense_is_none(node, answer):
    """Two thirds of the lifetime it is, and the question is asked less and less."""
    first = await renewable(node)
    node.between.windows[first.id] = (*answer, {})

    await node.look(7 * HOUR)

    assert node.keeper.agenda.due("a.test", first).why == "two thirds of its lifetime"
    window = node.record("a.test").window
    assert (window.instant, window.failures > 0) == (None, True)
    asked = len(node.between.of("renewalInfo"))
    await node.look(10)
    assert len(node.between.of("renewalInfo")) == asked


async def test_what_was_replaced_already_is_ordered_without(node):
    """409 alreadyReplaced is answered at once by an order that replaces nothing."""
    first = await renewable(node)
    node.between.replaced.add(first.id)

    await node.look(node.keeper.agenda.due("a.test", first).at - node.clock.now + 1)

    assert [order.get("replaces") for order in node.orders()] == [None, first.id, None]
    assert node.serving("a.test").id != first.id


async def test_an_expired_certificate_is_not_asked_about_nor_replaced(node):
    """RFC 9773 §4.3.3; the order is a plain one."""
    first = await renewable(node)
    asked = len(node.between.of("renewalInfo"))

    await node.look(first.not_after - node.clock.now + 60)

    # to pebble's clock, the real one, it is not over: what comes is as old, and no circle begins
    assert len(node.orders()) == 2
    assert "replaces" not in node.orders()[-1]
    assert len(node.between.of("renewalInfo")) == asked


async def test_another_account_replaces_nothing(node):
    """`replaces` is for the very account that ordered."""
    first = await renewable(node)
    record = node.record("a.test")
    stranger = msgspec.structs.replace(record, account="https://elsewhere.test/acct/1")
    node.keeper.inventory.vault.keep(stranger)
    node.restart()

    await node.look(node.keeper.agenda.due("a.test", first).at - node.clock.now + 1)

    assert "replaces" not in node.orders()[-1]


async def test_an_outage_of_a_day_changes_nothing_that_serves(node):
    """The old certificate serves; when the authority is back, so is the renewal."""
    first = await renewable(node)
    fault = node.between.fail("newOrder", times=10_000, status=500)
    node.clock.now = node.keeper.agenda.due("a.test", first).at

    for _ in range(6):
        await node.look(4 * HOUR)
        assert node.serving("a.test").id == first.id
    fault.times = 0
    await node.look(DAY)

    assert node.serving("a.test").id != first.id


async def test_a_hand_renews_at_once(node):
    """Whatever the back-off and the minimum between two say."""
    first = await renewable(node)

    assert await node.keeper.renew("a.test") == {"name": "a.test", "source": "acme"}
    await node.look(1)

    assert node.serving("a.test").id != first.id
    assert len(node.orders()) == 2


async def test_a_removed_name_is_served_no_more(node):
    """And nothing is asked for it; what it had is kept for two weeks."""
    await renewable(node)

    node.serve("b.test")
    await node.look(1)

    assert node.serving("a.test") is None
    assert "a.test" in node.keeper.inventory.vault.names("acme")
