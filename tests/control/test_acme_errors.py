"""Errors of authorities: what is read of a problem, and whose fault it is."""

from __future__ import annotations

import msgspec
import pytest

from edge.control.acme_errors import MAX_TEXT, PREFIX, AcmeError, Problem, at, error_of


def problem(**members):
    """A problem document as it comes."""
    return msgspec.convert(members, Problem)


@pytest.mark.parametrize(
    ("kind", "step", "status", "retry_after", "fault"),
    [
        ("unauthorized", "authorization", 403, None, "name"),
        ("connection", "authorization", 400, None, "name"),
        ("tls", "authorization", 400, None, "name"),
        ("dns", "authorization", 400, None, "name"),
        ("caa", "finalize", 403, None, "name"),
        ("incorrectResponse", "authorization", None, None, "name"),
        ("notPresented", "authorization", None, None, "name"),
        ("unauthorized", "order", 403, None, "account"),
        ("unauthorized", "account", 403, None, "account"),
        ("malformed", "account", 400, None, "account"),
        ("userActionRequired", "order", 403, None, "account"),
        ("externalAccountRequired", "account", 401, None, "account"),
        ("rateLimited", "order", 429, 3.0, "limit"),
        ("unavailable", "order", 503, 3.0, "limit"),
        ("serverInternal", "order", 503, 3.0, "limit"),
        ("unavailable", "order", 503, None, "authority"),
        ("serverInternal", "finalize", 500, None, "authority"),
        ("unreachable", "directory", None, None, "authority"),
        ("untrusted", "directory", None, None, "authority"),
        ("timeout", "authorization", None, None, "authority"),
        ("badNonce", "order", 400, None, "authority"),
        ("kindOfTheFuture", "order", 400, None, "authority"),
        ("rejectedIdentifier", "order", 400, None, "permanent"),
        ("badCSR", "finalize", 400, None, "permanent"),
        ("invalidProfile", "order", 400, None, "permanent"),
        ("malformed", "order", 400, None, "permanent"),
        ("malformed", "authorization", 400, None, "authority"),
        ("alreadyReplaced", "order", 409, None, "replaced"),
        ("replacesRefused", "order", 404, None, "replaced"),
    ],
)
def test_the_table_says_whose_fault_it_is(kind, step, status, retry_after, fault):
    """By kind; where the step or the status change it, by those."""
    error = AcmeError(kind, "text", step=step, status=status, retry_after=retry_after)

    assert error.fault == fault


@pytest.mark.parametrize(
    ("kind", "status", "retry_after", "is_passing"),
    [
        ("unreachable", None, None, True),
        ("serverInternal", 500, None, True),
        ("unavailable", 503, None, True),
        ("unavailable", 503, 5.0, False),
        ("rateLimited", 429, None, False),
        ("timeout", None, None, False),
        ("untrusted", None, None, False),
        ("malformed", 400, None, False),
    ],
)
def test_what_passes_may_be_asked_again(kind, status, retry_after, is_passing):
    """Never what the authority wants a pause for, nor what took its time already."""
    error = AcmeError(kind, "text", status=status, retry_after=retry_after)

    assert error.is_passing is is_passing


def test_a_problem_is_told_whole():
    """Its own text and each name's; names are told apart."""
    found = problem(
        type=PREFIX + "rejectedIdentifier",
        detail="some names are refused",
        subproblems=[
            {
                "type": PREFIX + "rejectedIdentifier",
                "detail": "forbidden by policy",
                "identifier": {"type": "dns", "value": "a.test"},
            },
            {"type": PREFIX + "dns", "detail": "no such name"},
        ],
    )

    error = error_of(found, 400, 7.0)

    assert (error.kind, error.status, error.retry_after) == ("rejectedIdentifier", 400, 7.0)
    assert error.detail == "some names are refused; a.test: forbidden by policy; no such name"
    assert error.names == ("a.test",)


def test_a_compound_problem_is_of_the_kind_of_its_parts():
    """`compound` says nothing that could be acted on."""
    found = problem(
        type=PREFIX + "compound",
        detail="several",
        subproblems=[{"type": PREFIX + "caa", "detail": "forbidden"}],
    )

    assert error_of(found, 403).kind == "caa"


@pytest.mark.parametrize(
    ("members", "status", "kind", "detail"),
    [
        ({}, 503, "unavailable", "no reason is given"),
        ({"type": "about:blank", "title": "Teapot"}, 418, "unavailable", "Teapot"),
        ({"detail": "slow down"}, 429, "rateLimited", "slow down"),
        ({"type": "https://ca.test/odd", "detail": "odd"}, 400, "unavailable", "odd"),
        ({"type": PREFIX + "a b\n", "detail": "x"}, 400, "unavailable", "x"),
        ({"type": PREFIX + "dns", "detail": None, "title": None}, 400, "dns", PREFIX + "dns"),
    ],
)
def test_problems_without_a_kind_are_told_all_the_same(members, status, kind, detail):
    """By their status; a strange type is not passed on as a kind."""
    error = error_of(problem(**members), status)

    assert (error.kind, error.detail) == (kind, detail)


def test_texts_of_strangers_do_nothing_to_a_terminal():
    """Control characters become spaces, and there is an end."""
    error = error_of(problem(detail="\x1b[2Jgone\r\n" + "x" * 9_999))

    assert error.detail.startswith("[2Jgone  xxx")
    assert len(error.detail) < MAX_TEXT


def test_an_error_reads_as_a_sentence():
    """What, of which kind, by what and where."""
    error = AcmeError("dns", "no such name", step="authorization")
    assert str(error) == "no such name (dns, at authorization)"

    error.challenge = "http-01"
    assert str(error) == "no such name (dns, by http-01, at authorization)"


def test_the_innermost_step_is_the_one():
    """A directory that is down is no fault of the order that needs it."""
    with pytest.raises(AcmeError) as found, at("order"), at("directory"):
        raise AcmeError("unreachable", "no connection")

    assert found.value.step == "directory"
