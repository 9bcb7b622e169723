"""One try: what is sent to an authority, and what is made of its answers."""

from __future__ import annotations

import time

import pytest

from edge.control.acme_errors import AcmeError
from edge.control.obtaining import is_about
from tests.support_acme import PEBBLE, Proxy, serving
from tests.support_keeper import Clock, Kept, world

needs_pebble = pytest.mark.skipif(PEBBLE is None, reason="pebble is not installed")


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """One authority for all."""
    with world(tmp_path_factory.mktemp("outside"), nonce_rejects=0) as found:
        yield found


@pytest.fixture
async def node(tmp_path, outside):
    """A node's keeper."""
    with serving(Proxy(outside.authority)) as between:
        kept = Kept(tmp_path, outside, between, Clock(time.time() + 5))
        yield kept
        await kept.close()


@pytest.mark.parametrize(
    ("detail", "name", "about"),
    [
        ("too many new orders (300) from this account in the last 3h0m0s", "a.test", False),
        ('too many certificates (5) already issued for this exact set: "a.test"', "a.test", True),
        ('too many certificates (50) already issued for "example.com"', "a.b.example.com", True),
        ('too many certificates (50) already issued for "example.com"', "*.example.com", True),
        ('too many failed authorizations (5) for "A.Test"', "a.test", True),
        ("too many requests from test networks", "a.test", False),
        ("too many certificates for 192.0.2.1", "192.0.2.1", True),
        ("", "a.test", False),
    ],
)
def test_limits_are_a_names_or_the_accounts(detail, name, about):
    """By what the authority names; where it names nothing, nothing is ordered."""
    assert is_about(AcmeError("rateLimited", detail), name) is about


@needs_pebble
async def test_an_address_is_ordered_by_the_profile_that_certifies_it(node):
    """Where the authority has it, and the operator wrote no other."""
    node.between.profiles = {"classic": "…", "shortlived": "…"}
    node.serve("127.0.0.1", "a.test")

    await node.look()

    profiles = {each["identifiers"][0]["value"]: each.get("profile") for each in node.orders()}
    assert profiles == {"127.0.0.1": "shortlived", "a.test": None}


@needs_pebble
async def test_a_profile_that_went_away_is_left_out(node):
    """A certificate of another kind is better than none; the timeline says so."""
    node.between.profiles = {"classic": "…"}
    node.configure(profile="gone").serve("a.test")

    await node.look()

    assert node.serving("a.test") is not None
    assert "no profile 'gone'" in " ".join(node.record("a.test").attempts[-1].steps)


@needs_pebble
async def test_a_timeline_has_every_step(node):
    """With its second, and the authority that was asked."""
    node.serve("a.test")

    await node.look()

    (attempt,) = node.record("a.test").attempts
    words = [step.split(" s: ")[1] for step in attempt.steps]
    assert words[0] == "order accepted: 1 name"
    assert words[-1].startswith("certificate received from Pebble Intermediate CA")
    assert attempt.authority == node.between.directory
    assert attempt.seconds > 0


@needs_pebble
async def test_a_defect_is_a_failure_of_its_name(node, caplog):
    """Whatever breaks in here: logged, the name backs off, and the others go on."""
    node.serve("a.test", "b.test")
    await node.keeper.look()
    await node.look()
    enrollment = node.keeper.enrollment
    means = enrollment.obtaining.means

    class Broken:
        answerers = means.answerers

        async def findings(self, acme, wish):
            if wish.name == "c.test":
                raise ZeroDivisionError("a defect")
            return await means.findings(acme, wish)

    enrollment.obtaining.means = Broken()
    node.serve("a.test", "b.test", "c.test", "d.test")

    await node.look(1)

    (attempt,) = node.record("c.test").attempts
    assert (attempt.kind, attempt.detail) == ("node", "a defect")
    assert "the try for c.test broke" in caplog.text
    assert node.serving("d.test") is not None
