"""
Whom the CAA records of a name allow to issue. Pure.

Laws: as an authority reads them, to the letter: what is malformed allows nobody. Where something is
not known here (an authority's domain, an account not made yet) the verdict says so.

Source: RFC 8659 §4; RFC 8657 for `accounturi` and `validationmethods`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from edge.control.resolver import CaaRecord

KNOWN: Final = frozenset(["issue", "issuewild", "issuemail", "iodef"])
"""Properties that authorities understand; another one that is critical stops them."""

CRITICAL: Final = 128

VALUE: Final = re.compile(
    r"[ \t]*(?P<domain>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)?[ \t]*(?:;(?P<parameters>.*))?"
)
PARAMETER: Final = re.compile(r"[ \t]*([A-Za-z0-9-]+)[ \t]*=[ \t]*([\x21-\x3a\x3c-\x7e]*)[ \t]*")


class Applicant(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants a certificate of whom, and how."""

    identities: tuple[str, ...]
    """Domains that the authority is known by; empty where it does not say."""
    account: str | None
    """The account's URL, where there is one already."""
    methods: tuple[str, ...]
    """Challenges that may be used."""
    is_wildcard: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """Whether the authority may issue, and where not, why."""

    answer: Literal["yes", "unknown", "no"]
    reason: str = ""


def decide(records: Sequence[CaaRecord], applicant: Applicant) -> Verdict:
    """What the relevant record set says; of several properties one that allows is enough."""
    for record in records:
        if record.flags & CRITICAL and record.tag not in KNOWN:
            return Verdict("no", f"the critical property {record.tag!r} is known to no authority")
    relevant = [each.value for each in records if each.tag == "issue"]
    if applicant.is_wildcard:
        wild = [each.value for each in records if each.tag == "issuewild"]
        relevant = wild or relevant
    if not relevant:
        return Verdict("yes")
    verdicts = [decide_value(each, applicant) for each in relevant]
    return min(verdicts, key=lambda each: ("yes", "unknown", "no").index(each.answer))


def decide_value(value: str, applicant: Applicant) -> Verdict:
    """What one property says."""
    found = VALUE.fullmatch(value)
    parameters = found and parse_parameters(found["parameters"] or "")
    if found is None or parameters is None:
        return Verdict("no", f"{value!r} is malformed, and so allows nobody")
    domain = (found["domain"] or "").lower()
    if not domain:
        return Verdict("no", "nobody may issue")
    if not applicant.identities:
        return Verdict("unknown", f"{domain} may issue, and this authority does not say its domain")
    if domain not in {each.lower() for each in applicant.identities}:
        wanted = " or ".join(applicant.identities)
        return Verdict("no", f"{domain} may issue, and this authority is {wanted}")
    return decide_parameters(parameters, applicant)


def parse_parameters(text: str) -> list[tuple[str, str]] | None:
    """Names in lower case with their values; None where they are malformed."""
    if not text.strip(" \t"):
        return []
    found = [PARAMETER.fullmatch(each) for each in text.split(";")]
    return [(each[1].lower(), each[2]) for each in found if each] if all(found) else None


def decide_parameters(parameters: Sequence[tuple[str, str]], applicant: Applicant) -> Verdict:
    """What is required of account and method. Source: RFC 8657 §3 and §4; others mean nothing."""
    accounts = [value for name, value in parameters if name == "accounturi"]
    for name, value in parameters:
        allowed = set(value.split(","))
        if name == "validationmethods" and not allowed & set(applicant.methods):
            own = ", ".join(applicant.methods) or "nothing"
            return Verdict("no", f"only {value or 'no method'} is allowed, and {own} can be used")
    if len(accounts) > 1:
        return Verdict("no", "two accounturi contradict each other")
    if accounts and applicant.account is None:
        return Verdict(
            "unknown", f"only the account {accounts[0]} may order, and ours is not known"
        )
    if accounts and accounts[0] != applicant.account:
        reason = f"only the account {accounts[0]} may order, and ours is {applicant.account}"
        return Verdict("no", reason)
    return Verdict("yes")
