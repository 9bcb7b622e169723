"""
What an authority says: directory, orders, authorizations, renewal windows, as documents of ours.

They ignore what they do not know, and are read by no class of the `acme` package: those refuse a
status that was added (`expired`), a challenge of a new kind, a problem without a name. Values only.

Source: RFC 8555 §7.1, RFC 9773 §4.2.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Annotated, Any

import msgspec

from edge.control.acme_errors import AcmeError, Identifier, Problem, printable
from edge.control.acme_wire import Answer
from edge.site.decoding import convert


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    """What an authority says of itself."""

    external_account_required: bool | None = None
    caa_identities: tuple[str, ...] | None = None
    """What a CAA record that allows it says."""
    profiles: dict[str, str] | None = None
    """Names and descriptions; None where it has none."""


class Directory(msgspec.Struct, frozen=True, rename="camel"):
    """Where an authority is asked for what. Source: RFC 8555 §7.1.1."""

    new_nonce: str
    new_account: str
    new_order: str
    revoke_cert: str
    renewal_info: str | None = None
    """Where ARI is asked, without the certificate's id; None where it has no ARI."""
    meta: Meta = Meta()


class Order(msgspec.Struct, kw_only=True):
    """Source: RFC 8555 §7.1.3."""

    status: str
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str | None = None
    error: Problem | None = None
    url: str = ""
    retry_after: float | None = None
    """Seconds until it should be asked for again."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A challenge as an authority offers it. Source: RFC 8555 §7.1.5."""

    type: str
    url: str
    token: str
    status: str = "pending"
    error: Problem | None = None


class Authorization(msgspec.Struct, kw_only=True):
    """Source: RFC 8555 §7.1.4."""

    status: str
    identifier: Identifier
    """Without the `*.` of a wildcard."""
    challenges: tuple[dict[str, Any], ...]
    wildcard: bool | None = None
    url: str = ""
    retry_after: float | None = None
    """Seconds until it should be asked for again."""

    @property
    def offers(self) -> list[Offer]:
        """Challenges with a token; what has none is of a kind that nobody here can answer."""
        found = []
        for each in self.challenges:
            with contextlib.suppress(msgspec.ValidationError):
                found.append(convert(each, Offer))
        return found


class RenewalInfo(msgspec.Struct, frozen=True):
    """When an authority wants a certificate renewed. Source: RFC 9773 §4.2."""

    start: float
    """Epoch seconds, as all of them."""
    end: float
    """After `start`."""
    explanation_url: str | None
    retry_after: float | None
    """Seconds until it should be asked for again."""


class _Window(msgspec.Struct):
    start: Annotated[datetime, msgspec.Meta(tz=True)]
    end: Annotated[datetime, msgspec.Meta(tz=True)]


class _Renewal(msgspec.Struct, rename="camel"):
    suggested_window: _Window
    explanation_url: Any = msgspec.field(name="explanationURL", default=None)


def order_in(answer: Answer, url: str) -> Order:
    """The order with this URL."""
    found = answer.read(Order)
    found.url, found.retry_after = url, answer.retry_after
    return found


def authorization_in(answer: Answer, url: str) -> Authorization:
    """The authorization with this URL."""
    found = answer.read(Authorization)
    found.url, found.retry_after = url, answer.retry_after
    return found


def renewal_info_in(answer: Answer) -> RenewalInfo:
    """
    When a certificate should be renewed.

    Raises:
        AcmeError: `badWindow`; the answer makes no sense.
    """
    try:
        found = answer.read(_Renewal)
    except AcmeError as error:
        error.kind = "badWindow"
        raise
    window = found.suggested_window
    start, end = window.start.timestamp(), window.end.timestamp()
    if end <= start:  # RFC 9773 §4.2: as if there were no answer
        raise AcmeError(
            "badWindow",
            "the renewal window ends before it starts",
            status=answer.status,
            retry_after=answer.retry_after,
        )
    return RenewalInfo(start, end, _link(found.explanation_url), answer.retry_after)


def _link(value: object) -> str | None:
    """An address that may be shown."""
    if isinstance(value, str) and value.startswith(("https://", "http://")):
        return printable(value)
    return None
