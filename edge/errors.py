"""
The errors of the program, named by whose fault they are.

A `RequestError` is the client's and carries the status to answer with; a `ConfigError` is the
operator's and says where and what to do; a `StoreError` is the deployer's. Foreign exceptions are
translated at the border they enter. A broken invariant is an `assert`, never an `EdgeError`.
"""

from __future__ import annotations

from typing import ClassVar


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


class Mistaken(StoreError):
    """Documents with mistakes, all of them; what was good serves on."""

    def __init__(self, errors: list[ConfigError]) -> None:
        count = "1 mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
        super().__init__(f"{count} in the configuration")
        self.errors = errors


class RequestError(EdgeError):
    """The client's fault. `status` is what to answer; on the wire it ends the connection."""

    status: ClassVar[int] = 400


class MalformedRequest(RequestError):
    """The message cannot be framed or understood without guessing (RFC 9112 §3)."""


class MethodRefused(RequestError):
    """A method that no resource here supports."""

    status = 405


class TargetTooLong(RequestError):
    """The request line exceeds its limit (RFC 9110 §15.5.15)."""

    status = 414


class Misdirected(RequestError):
    """The request reached a server that does not answer for this authority."""

    status = 421


class HeadTooLarge(RequestError):
    """The field section exceeds its limit (RFC 6585 §5)."""

    status = 431


class RequestTimedOut(RequestError):
    """The client took longer than its limit to send the head or the content."""

    status = 408


class NotImplementedByServer(RequestError):
    """A transfer coding or method this server does not implement."""

    status = 501


class VersionNotSupported(RequestError):
    """A major version other than HTTP/1 on an HTTP/1 connection."""

    status = 505
