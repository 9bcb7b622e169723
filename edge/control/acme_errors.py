"""
What goes wrong between the node and a certificate authority, and whose fault it is.

Here: the error, what it is read from (a problem document, RFC 7807), and the table that says what
to do. Not here: doing it (the keeper). No import of the `acme` package: whoever handles an error
need not load it. Texts of an authority are told as they are, less what a terminal would obey.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from edge.errors import EdgeError

Step = Literal[
    "",
    "directory",
    "account",
    "order",
    "authorization",
    "finalize",
    "download",
    "verify",
    "renewal",
    "revocation",
]
"""Where it went wrong."""

Fault = Literal["name", "authority", "limit", "permanent", "replaced", "account"]
"""
`name`: the domain is not set up; back off by name, another challenge type may do.
`authority`: it is down or broken; a few quick tries, then another authority.
`limit`: nothing before `retry_after`.
`permanent`: the same order never succeeds here.
`replaced`: at once, without `replaces`.
`account`: nothing of this authority until an operator has looked.
"""

FAULTS: Final[dict[str, Fault]] = {
    "connection": "name",
    "dns": "name",
    "dnssec": "name",
    "tls": "name",
    "unauthorized": "name",
    "incorrectResponse": "name",
    "caa": "name",
    "unknownHost": "name",
    "invalidAuthorization": "name",
    "notPresented": "name",
    "rateLimited": "limit",
    "rejectedIdentifier": "permanent",
    "unsupportedIdentifier": "permanent",
    "badCSR": "permanent",
    "badPublicKey": "permanent",
    "invalidProfile": "permanent",
    "noChallenge": "permanent",
    "alreadyReplaced": "replaced",
    "replacesRefused": "replaced",
    "accountDoesNotExist": "account",
    "accountUnusable": "account",
    "externalAccountRequired": "account",
    "userActionRequired": "account",
    "invalidContact": "account",
    "unsupportedContact": "account",
    "badSignatureAlgorithm": "account",
}
"""
By kind; all others are the authority's. Ours are invalidAuthorization (it became invalid, nothing
more is said), notPresented (an answer could not be given), noChallenge (no type that is offered
can be answered), replacesRefused, accountUnusable, and those of the authority: unreachable,
untrusted (its TLS), timeout, badAnswer, badWindow (of ARI), unavailable (5xx without a problem),
invalidOrder, badCertificate.
"""

FAULTS_AT: Final[dict[tuple[Step, str], Fault]] = {
    ("account", "unauthorized"): "account",
    ("account", "malformed"): "account",
    ("account", "rejectedIdentifier"): "account",
    ("order", "unauthorized"): "account",
    ("order", "malformed"): "permanent",
    ("finalize", "malformed"): "permanent",
}
"""Where the step changes it: before a name is looked at, who lacks authority is the account."""

PREFIX: Final = "urn:ietf:params:acme:error:"
KIND: Final = re.compile(r"[A-Za-z0-9]{1,64}")
MAX_TEXT: Final = 2_000
"""Characters of an authority's text; theirs have a hundred or two."""


class Identifier(msgspec.Struct, frozen=True):
    """What an authority certifies: `dns` or `ip`, and its name. Source: RFC 8555 §9.7.7."""

    type: str
    value: str


class Problem(msgspec.Struct, frozen=True):
    """A problem document. Source: RFC 8555 §6.7."""

    type: str | None = None
    title: str | None = None
    detail: str | None = None
    status: int | None = None
    identifier: Identifier | None = None
    subproblems: tuple[Problem, ...] | None = None


class AcmeError(EdgeError):
    """An order, or another wish, that an authority did not fulfill."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        step: Step = "",
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        """The last part of the problem's URN, or one of ours (`FAULTS`)."""
        self.detail = detail
        """The authority's own text, that of its subproblems included, or ours."""
        self.step: Step = step
        self.status = status
        """Of HTTP, where there was an answer."""
        self.retry_after = retry_after
        """Seconds from the answer that nothing should be asked."""
        self.names: tuple[str, ...] = ()
        """Identifiers that it is about, where they are told: of an order often some only."""
        self.challenge: str | None = None
        """The type of challenge that failed, where one did."""

    def __str__(self) -> str:
        """`detail (kind, by http-01, at authorization)`."""
        by = f", by {self.challenge}" if self.challenge else ""
        at = f", at {self.step}" if self.step else ""
        return f"{self.detail} ({self.kind}{by}{at})"

    @property
    def fault(self) -> Fault:
        """Whose fault it is, and so what to do."""
        if self.status == 429 or (self.status == 503 and self.retry_after is not None):
            return "limit"
        found = FAULTS_AT.get((self.step, self.kind))
        return found or FAULTS.get(self.kind, "authority")

    @property
    def is_passing(self) -> bool:
        """Whether asking again in a second may do."""
        is_down = self.status is not None and self.status >= 500 and self.fault != "limit"
        return is_down or self.kind == "unreachable"


def error_of(
    problem: Problem, status: int | None = None, retry_after: float | None = None
) -> AcmeError:
    """The error that a problem document tells."""
    shown = problem.status if status is None else status
    error = AcmeError(kind_of(problem, shown), told(problem), status=shown, retry_after=retry_after)
    error.names = tuple(dict.fromkeys(_identifiers(problem)))
    return error


def kind_of(problem: Problem, status: int | None) -> str:
    """The last part of a problem's URN; of a compound one that of its first part."""
    kind = (problem.type or "").removeprefix(PREFIX)
    if kind == "compound" and problem.subproblems:
        return kind_of(problem.subproblems[0], status)
    if problem.type != kind and KIND.fullmatch(kind):
        return kind
    return "rateLimited" if status == 429 else "unavailable"


def told(problem: Problem) -> str:
    """The authority's text in one line: detail or title, then each subproblem with its name."""
    parts = [problem.detail or problem.title or problem.type or "no reason is given"]
    for each in problem.subproblems or ():
        name = f"{each.identifier.value}: " if each.identifier else ""
        parts.append(name + (each.detail or each.title or each.type or ""))
    return printable("; ".join(parts))


def printable(text: str) -> str:
    """A stranger's text for logs and terminals: bounded, without control characters."""
    return "".join(each if each.isprintable() else " " for each in text[:MAX_TEXT]).strip()


def _identifiers(problem: Problem) -> Iterator[str]:
    for each in (problem, *(problem.subproblems or ())):
        if each.identifier is not None:
            yield printable(each.identifier.value)


@contextlib.contextmanager
def at(step: Step) -> Iterator[None]:
    """Errors inside happened at this step, unless an inner one is nearer."""
    try:
        yield
    except AcmeError as error:
        error.step = error.step or step
        raise
