"""What authorities say, also where they say more than was known when this was written."""

from __future__ import annotations

import json

import pytest

from edge.control.acme_documents import (
    Directory,
    Offer,
    authorization_in,
    order_in,
    renewal_info_in,
)
from edge.control.acme_errors import AcmeError
from edge.control.acme_wire import Answer

WINDOW = {"start": "2026-01-02T04:00:00Z", "end": "2026-01-03T05:00:00.5+01:00"}


def answer(document, **fields):
    """One of an authority."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return Answer(200, headers, content)


def test_challenges_of_a_new_kind_are_skipped():
    """Whatever their members are; the known ones stay."""
    document = {
        "status": "pending",
        "identifier": {"type": "dns", "value": "a.test"},
        "expires": 7,
        "challenges": [
            {"type": "dns-persist-01", "url": "https://ca.test/1", "accounturi": "x"},
            {"type": "odd", "url": None, "token": [1], "status": {}},
            {"type": "http-01", "url": "https://ca.test/2", "token": "t", "added": True},
        ],
    }

    found = authorization_in(answer(document, Retry_After="3"), "https://ca.test/authz")

    assert found.offers == [Offer(type="http-01", url="https://ca.test/2", token="t")]
    assert (found.url, found.retry_after) == ("https://ca.test/authz", 3.0)


@pytest.mark.parametrize("status", ["expired", "deactivated", "status-to-come"])
def test_every_status_can_be_read(status):
    """The package's own class refuses `expired`."""
    document = {
        "status": status,
        "identifier": {"type": "dns", "value": "a.test"},
        "challenges": [],
    }

    assert authorization_in(answer(document), "").status == status


def test_an_order_knows_its_url():
    """Which its document does not, or not rightly."""
    document = {
        "status": "invalid",
        "authorizations": ["https://ca.test/1"],
        "finalize": "https://ca.test/f",
        "url": "https://elsewhere.test/",
        "error": {"type": "urn:ietf:params:acme:error:caa", "detail": "forbidden"},
    }

    found = order_in(answer(document), "https://ca.test/order")

    assert found.url == "https://ca.test/order"
    assert found.error is not None
    assert found.error.detail == "forbidden"


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"{}", b'{"status": 7}', b"\xff"])
def test_an_answer_that_is_none_is_an_error_of_its_own(content):
    """Never one of ours."""
    with pytest.raises(AcmeError) as found:
        order_in(answer(content, Retry_After="9"), "")

    assert (found.value.kind, found.value.retry_after) == ("badAnswer", 9.0)


def test_a_directory_without_meta_is_one():
    """Everything but the four addresses is optional."""
    names = ("newNonce", "newAccount", "newOrder", "revokeCert")

    found = answer(dict.fromkeys(names, "https://ca.test/")).read(Directory)

    assert (found.renewal_info, found.meta.profiles) == (None, None)


def test_a_window_is_in_epoch_seconds():
    """Whatever the zone and the fractions."""
    document = {"suggestedWindow": WINDOW, "explanationURL": "https://ca.test/why"}

    found = renewal_info_in(answer(document, Retry_After="21600"))

    assert (found.start, found.end) == (1767326400.0, 1767412800.5)
    assert (found.explanation_url, found.retry_after) == ("https://ca.test/why", 21600.0)


@pytest.mark.parametrize("url", [None, 7, "javascript:alert(1)", ""])
def test_an_explanation_that_is_no_address_is_none(url):
    """The window counts all the same."""
    found = renewal_info_in(answer({"suggestedWindow": WINDOW, "explanationURL": url}))

    assert found.explanation_url is None


@pytest.mark.parametrize(
    "document",
    [
        {"suggestedWindow": {"start": WINDOW["end"], "end": WINDOW["start"]}},
        {"suggestedWindow": {"start": WINDOW["start"], "end": WINDOW["start"]}},
        {"suggestedWindow": {"start": "2026-01-02T04:00:00", "end": WINDOW["end"]}},
        {"suggestedWindow": {"start": "2026-02-31T04:00:00Z", "end": WINDOW["end"]}},
        {"suggestedWindow": {"start": 7, "end": 8}},
        {"suggestedWindow": None},
        {},
        b"<html>",
    ],
)
def test_a_window_that_makes_no_sense_is_an_error_of_its_own(document):
    """As if there were no answer (RFC 9773 §4.2); when to ask again is kept."""
    with pytest.raises(AcmeError) as found:
        renewal_info_in(answer(document, Retry_After="60"))

    assert (found.value.kind, found.value.retry_after) == ("badWindow", 60.0)
