"""
The errors of the program, named by whose fault they are.

A `RequestError` is the client's and carries the status to answer with; a `ConfigError` is the
operator's and says where and what to do; a `StoreError` is the deployer's. Foreign exceptions are
translated at the border they enter. A broken invariant is an `assert`, never an `EdgeError`.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal, TypeVar

ErrorT = TypeVar("ErrorT", bound=BaseException)


class EdgeError(Exception):
    """Anything the program refuses, with a text made for the person who can act on it."""


class ConfigError(EdgeError):
    """One mistake in one file that an operator wrote."""

    def __init__(self, file: str, line: int, column: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.file = file
        self.line = line
        self.column = column
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """`file:line:column: message (what to do)`."""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{hint}"


class StoreError(EdgeError):
    """A deployment, blob or source that is refused; nothing of it has been stored."""


class Forbidden(StoreError):
    """What the caller's token is not for; the text says what it is for."""


class Mistaken(StoreError):
    """Documents with mistakes, all of them; what was good serves on."""

    def __init__(self, errors: list[ConfigError]) -> None:
        count = "1 mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
        super().__init__(f"{count} in the configuration")
        self.errors = errors


class RequestError(EdgeError):
    """The client's fault. `status` is what to answer; on the wire it ends the connection."""

    status: ClassVar[int] = 400
    reason: ClassVar[str] = ""
    """How `edge_refused_total` counts it; empty for what breaks no limit."""
    asks_head: bool = False
    """Whether HEAD was the method, whose answer has no content (RFC 9110 §9.3.2)."""


class MalformedRequest(RequestError):
    """The message cannot be framed or understood without guessing (RFC 9112 §3)."""


class ContentTooLarge(RequestError):
    """The content exceeds its limit (RFC 9110 §15.5.14)."""

    status = 413
    reason = "body"


class TargetTooLong(RequestError):
    """The request line exceeds its limit (RFC 9110 §15.5.15)."""

    status = 414
    reason = "request_line"


class Misdirected(RequestError):
    """The request reached a server that does not answer for this authority."""

    status = 421


class HeadTooLarge(RequestError):
    """The field section exceeds its limit (RFC 6585 §5)."""

    status = 431
    reason = "fields"


class RequestTimedOut(RequestError):
    """The client took longer than its limit to send the head or the content."""

    status = 408


class Flooded(RequestError):
    """The client sends what costs and brings nothing, and does not stop (RFC 9113 §10.5)."""

    status = 429
    reason = "h2_flood"


class NotImplementedByServer(RequestError):
    """A transfer coding or method this server does not implement."""

    status = 501


class VersionNotSupported(RequestError):
    """A major version other than HTTP/1 on an HTTP/1 connection."""

    status = 505


OriginFault = Literal[
    "connection_limit_reached",
    "connection_read_timeout",
    "connection_refused",
    "connection_terminated",
    "connection_timeout",
    "connection_write_timeout",
    "destination_ip_prohibited",
    "destination_ip_unroutable",
    "destination_unavailable",
    "dns_error",
    "dns_timeout",
    "http_protocol_error",
    "http_response_body_size",
    "http_response_content_coding",
    "http_response_header_section_size",
    "http_response_header_size",
    "http_response_incomplete",
    "http_response_timeout",
    "http_response_trailer_section_size",
    "http_response_trailer_size",
    "http_response_transfer_coding",
    "http_upgrade_failed",
    "proxy_configuration_error",
    "proxy_internal_error",
    "proxy_loop_detected",
    "tls_alert_received",
    "tls_certificate_error",
    "tls_protocol_error",
]
"""What an origin did, in the words of RFC 9209 §2.3."""

ORIGIN_STATUS: Final[dict[OriginFault, int]] = {
    "connection_limit_reached": 503,
    "connection_read_timeout": 504,
    "connection_timeout": 504,
    "connection_write_timeout": 504,
    "destination_unavailable": 503,
    "dns_timeout": 504,
    "http_response_timeout": 504,
    "proxy_configuration_error": 500,
    "proxy_internal_error": 500,
    "proxy_loop_detected": 508,
}
"""
What to answer; all others are 502. As RFC 9209 §2.3 recommends, but 508 for a loop (502 there):
the status has that one meaning (RFC 5842 §7.2), and no client repeats it.
"""


class OriginError(EdgeError):
    """
    The fault of an origin, or of the way to it. The client learns `kind`; the log has the text.

    `retry` says whether the request may be sent again: "yes" where nothing of it has left, on
    this way or another; "if_reused" where an idle connection may have closed under it.
    """

    def __init__(
        self,
        kind: OriginFault,
        message: str,
        retry: Literal["never", "if_reused", "yes"] = "never",
    ) -> None:
        super().__init__(message)
        self.kind: OriginFault = kind
        self.status = ORIGIN_STATUS.get(kind, 502)
        self.retry: Literal["never", "if_reused", "yes"] = retry


def bare(error: ErrorT) -> ErrorT:
    """
    An error without what raised it: those frames hold whoever keeps it, such as a connection.

    Such a cycle is found by the collector alone, which may never look at it (`node.room`).
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
