"""CAA as an authority reads it: RFC 8659 and RFC 8657, case by case."""

from __future__ import annotations

import pytest

from edge.control.issuers import Applicant, decide
from edge.control.resolver import CaaRecord

ACCOUNT = "https://ca.test/acct/1"


def verdict(*properties, **more):
    """What `flags tag value` each says to the authority ca.test."""
    records = []
    for text in properties:
        flags, tag, value = text.split(" ", 2)
        records.append(CaaRecord(int(flags), tag, value))
    defaults = {"identities": ("ca.test",), "account": ACCOUNT, "methods": ("http-01", "dns-01")}
    return decide(records, Applicant(**defaults | more))


@pytest.mark.parametrize(
    ("properties", "answer"),
    [
        ([], "yes"),
        (["0 iodef mailto:a@b.test"], "yes"),
        (["0 issue ca.test"], "yes"),
        (["0 issue CA.Test"], "yes"),
        (["0 issue  \tca.test ; "], "yes"),
        (["128 issue ca.test"], "yes"),
        (["0 issue ca.test; policy=ev; x="], "yes"),
        (["0 issue other.test", "0 issue ca.test"], "yes"),
        (["0 issue other.test"], "no"),
        (["0 issue ca.test.evil"], "no"),
        (["0 issue ;"], "no"),
        (["0 issue "], "no"),
        (["0 issue %%%%%"], "no"),
        (["0 issue ca.test; no parameter"], "no"),
        (["0 issue ca.test; a=b; ;"], "no"),
        (["0 issue -ca.test"], "no"),
        (["0 future x"], "yes"),
        (["128 future x"], "no"),
        (["128 future x", "0 issue ca.test"], "no"),
        (["0 issuewild ;"], "yes"),
    ],
)
def test_an_ordinary_name(properties, answer):
    """Any property that allows is enough; what is malformed or critical and unknown allows none."""
    assert verdict(*properties).answer == answer


@pytest.mark.parametrize(
    ("properties", "answer"),
    [
        (["0 issue ca.test"], "yes"),
        (["0 issue other.test"], "no"),
        (["0 issue other.test", "0 issuewild ca.test"], "yes"),
        (["0 issue ca.test", "0 issuewild ;"], "no"),
    ],
)
def test_a_wildcard(properties, answer):
    """`issuewild` alone counts, where there is one."""
    assert verdict(*properties, is_wildcard=True).answer == answer


@pytest.mark.parametrize(
    ("value", "more", "answer"),
    [
        (f"accounturi={ACCOUNT}", {}, "yes"),
        (f"AccountURI = {ACCOUNT}", {}, "yes"),
        (f"accounturi={ACCOUNT}/2", {}, "no"),
        (f"accounturi={ACCOUNT}; accounturi={ACCOUNT}", {}, "no"),
        (f"accounturi={ACCOUNT}", {"account": None}, "unknown"),
        ("validationmethods=dns-01", {}, "yes"),
        ("validationmethods=tls-alpn-01,http-01", {}, "yes"),
        ("validationmethods=tls-alpn-01", {}, "no"),
        ("validationmethods=", {}, "no"),
        ("validationmethods=dns-01", {"methods": ("http-01",)}, "no"),
        ("validationmethods=dns-01", {"methods": ()}, "no"),
        (f"validationmethods=dns-01; accounturi={ACCOUNT}/2", {}, "no"),
        (f"validationmethods=tls-alpn-01; accounturi={ACCOUNT}", {}, "no"),
    ],
)
def test_what_is_required_of_account_and_method(value, more, answer):
    """Both, where both are named; an account that is not known yet may turn out right."""
    assert verdict(f"0 issue ca.test; {value}", **more).answer == answer


def test_an_authority_that_does_not_say_its_domain():
    """Is not guessed; that nobody may issue is plain all the same."""
    assert verdict("0 issue ca.test", identities=()).answer == "unknown"
    assert verdict("0 issue ;", identities=()).answer == "no"
    assert verdict(identities=()).answer == "yes"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("other.test", "other.test may issue, and this authority is ca.test"),
        (";", "nobody may issue"),
        ("a b", "'a b' is malformed, and so allows nobody"),
        (
            "ca.test; accounturi=x",
            "only the account x may order, and ours is https://ca.test/acct/1",
        ),
        (
            "ca.test; validationmethods=x-01",
            "only x-01 is allowed, and http-01, dns-01 can be used",
        ),
    ],
)
def test_a_refusal_says_why(value, reason):
    """In words that the zone's owner can act on."""
    assert verdict(f"0 issue {value}").reason == reason
