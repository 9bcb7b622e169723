"""
Storing: whether a response may be kept for others, and if not, why not.

Laws: this is a shared cache, and what it stores it may show to everybody; nothing is stored that
nobody said, or the RFC knows, may be stored; "no" has one reason, the first that applies, and a
word for it. An error is stored only where its origin says so. What is kept of it is
`freshening`'s, how long it is fresh `freshness`'s, when it is used `reuse`'s.

Source: RFC 9111 §3.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence

import msgspec

from edge.http.fields import Fields, delta_seconds, is_token, parse_cache_control, split_list
from edge.http.partial import extent_of
from edge.http.targeted import Members, targeted_directives
from edge.http.variants import vary_names

# Settings


class SetCookie(enum.Enum):
    """When a response that sets a cookie may be stored, its cookie with it (RFC 9111 §7.3)."""

    NEVER = enum.auto()

    SHARED = enum.auto()
    """
    Where its directives speak to shared caches: `public`, `s-maxage`, or a targeted field. A bare
    `max-age` is what frameworks put on everything, and the cookie is somebody's session.
    """

    ALWAYS = enum.auto()
    """Wherever the RFC has it stored."""


CLIENT_DIRECTIVES = frozenset(
    (b"max-age", b"max-stale", b"min-fresh", b"no-cache", b"no-store", b"only-if-cached")
)
"""Source: RFC 9111 §5.2.1, where all of them are advice."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a cache, compiled."""

    heuristic: bool = False
    """Whether a lifetime is guessed where none is stated (RFC 9111 §4.2.2)."""
    heuristic_errors: bool = False
    """Whether it is also guessed for 404, 405, 410, 414 and 501."""
    targeted: tuple[bytes, ...] = (b"cdn-cache-control",)
    """The target list of RFC 9213, lower-case, most applicable first."""
    obeyed: frozenset[bytes] = frozenset()
    """Those of `CLIENT_DIRECTIVES` that are obeyed; each lets clients decide what origins get."""
    set_cookie: SetCookie = SetCookie.NEVER
    is_partial_stored: bool = False
    """Whether 206 responses are stored, to be combined."""
    grace_s: int = 86_400
    """
    How long after its lifetime a response may serve while the origin cannot be reached, where it
    does not say itself: long enough for a night, short enough that somebody notices.
    """


# Directives


class Directives(msgspec.Struct, frozen=True):
    """The cache directives of a response that hold here."""

    members: Members
    is_targeted: bool = False
    """Whether they came from a targeted field; Expires then says nothing."""

    def __contains__(self, name: bytes) -> bool:
        return name in self.members

    def seconds(self, name: bytes) -> int | None:
        """
        The argument of a directive; None without the directive, 0 where it is no number.

        Source: RFC 9111 §4.2.1: what is stated and invalid is stale.
        """
        if name not in self.members:
            return None
        return delta_seconds(self.members[name]) or 0

    def named(self, name: bytes) -> frozenset[bytes]:
        """
        The fields, lower-case, that `private` or `no-cache` is about; none where it is not there
        or is about the whole response (`is_whole`).

        Source: RFC 9111 §5.2.2.4, §5.2.2.7.
        """
        names = frozenset(each.lower() for each in split_list(self.members.get(name) or b""))
        return names if all(map(is_token, names)) and not names & ESSENTIAL else frozenset()

    def is_whole(self, name: bytes) -> bool:
        """Whether `private` or `no-cache` is about the whole response: wherever in doubt."""
        return name in self.members and not self.named(name)


ESSENTIAL = frozenset(
    b"age cache-control cdn-cache-control connection content-encoding content-length content-range"
    b" content-type date etag expires last-modified transfer-encoding vary".split()
)
"""What a stored response cannot be used without: taking one of these away is taking it all."""

RESTRICTING = (b"no-cache", b"private")


def response_directives(fields: Fields, targeted: Iterable[bytes]) -> Directives:
    """
    The directives of a response that hold for a cache with this target list.

    Source: RFC 9213 §2.2; RFC 9111 §5.2.
    """
    members = targeted_directives(fields, targeted)
    if members is not None:
        return Directives(members, is_targeted=True)
    values = fields.getall(b"cache-control")
    members = parse_cache_control(values)
    for name in RESTRICTING:
        if members.get(name) is not None:
            members[name] = widest(name, values)
    return Directives(members)


def widest(name: bytes, values: Iterable[bytes]) -> bytes | None:
    """All fields that any mention of a directive names; None once one mention names none."""
    arguments = []
    for element in (each for value in values for each in split_list(value)):
        mention = parse_cache_control([element])
        if name in mention:
            arguments.append(mention[name])
    stated = [argument for argument in arguments if argument is not None]
    return b",".join(stated) if len(stated) == len(arguments) else None


# The decision


class Reason(enum.Enum):
    """Why a response is not stored; the value goes into Cache-Status and `edge explain`."""

    METHOD = b"method"
    """Only GET is stored. A response to HEAD updates (`freshening`), one to POST is an answer to
    its content, and no key here has that."""

    REQUEST_CONTENT = b"request-content"
    """A GET with content; no key has that either."""

    STATUS = b"status"
    """The status answers this request's own conditions, or is never stored."""

    NOT_UNDERSTOOD = b"must-understand"
    NO_STORE = b"no-store"
    REQUEST_NO_STORE = b"request-no-store"
    PRIVATE = b"private"
    AUTHORIZATION = b"authorization"
    VARY = b"vary-asterisk"
    SET_COOKIE = b"set-cookie"
    PARTIAL = b"partial"
    """A 206 that cannot be completed, or a node that does not store them."""

    NO_LIFETIME = b"no-lifetime"
    """Nobody said for how long, and the status is not one to guess about."""

    USELESS = b"stale-at-once"
    """Stale on arrival, with nothing to validate it by: `freshness.is_useful`."""

    # These are said by whoever stores.

    TOO_LARGE = b"too-large"
    COOKIE = b"cookie"
    """It answers cookies that the key leaves out."""

    CLIENT = b"client-address"
    """It repeats the address of the client, which no key has."""

    OVERTAKEN = b"overtaken"
    """What it answers was purged or changed while it was on its way."""

    ELSEWHERE = b"elsewhere"
    """Another worker of the node stores it."""

    ERROR = b"server-error"
    """It was a server's error, which says nothing of the answer that comes when it is over."""


ABOUT_REQUEST = frozenset((Reason.REQUEST_CONTENT, Reason.REQUEST_NO_STORE, Reason.AUTHORIZATION))
"""
Refusals that say nothing about the response. What a 304 to such a request would update stays in
the store as it was; after any other refusal it goes.
"""

NOT_OF_THE_ANSWER = frozenset((
    Reason.COOKIE, Reason.ELSEWHERE, Reason.METHOD, Reason.OVERTAKEN, Reason.REQUEST_CONTENT,
    Reason.REQUEST_NO_STORE,
))  # fmt: skip
"""Why an answer is not stored that another request could have."""


STANDING = frozenset(Reason) - ABOUT_REQUEST - NOT_OF_THE_ANSWER - {Reason.CLIENT, Reason.ERROR}
"""
Refusals that the same head meets again, whenever it comes, from requests that state nothing about
storing: what was stale on arrival is staler later.
"""


def lasting(status: int, reason: Reason | None) -> Reason | None:
    """What it says of the next answer that one of this status was not stored; None for nothing."""
    if reason is None or reason in NOT_OF_THE_ANSWER:
        return None
    return Reason.ERROR if status >= 500 else reason


class Verdict(msgspec.Struct, frozen=True):
    """What `may_store` found."""

    reason: Reason | None
    """None: it may be stored."""
    directives: Directives


class Candidate(msgspec.Struct, frozen=True):
    """A response that might be stored, with its request."""

    method: bytes
    request: Fields
    status: int
    fields: Fields
    directives: Directives
    policy: Policy


def may_store(
    method: bytes, request: Fields, status: int, fields: Fields, policy: Policy
) -> Verdict:
    """
    Whether this shared cache may store a response, and if not, why not.

    Source: RFC 9111 §3. Cost: 11 µs, once a response.
    """
    directives = response_directives(fields, policy.targeted)
    candidate = Candidate(method, request, status, fields, directives, policy)
    refusals = (reason for reason, refuses in REFUSALS if refuses(candidate))
    return Verdict(next(refusals, None), directives)


UNDERSTOOD = frozenset(
    (*range(200, 207), *range(300, 306), 307, 308, *range(400, 418), 421, 422, 426, 451,
     *range(500, 506))
)  # fmt: skip
"""Final status codes of RFC 9110 §15 and RFC 7725: there is no more to know about storing them."""

NEVER_STORED = frozenset((304, 407, 412, 416, 417, 425, 428, 429, 431, 511))
"""
Answers to conditions, ranges, expectations and credentials of one request, which would be lies to
the next; RFC 6585 says MUST NOT of 428, 429, 431 and 511, RFC 8470 §5.2 of 425.
"""

HEURISTIC = frozenset((200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501))
"""Heuristically cacheable. Source: RFC 9110 §15.1."""

LIFETIMES = (b"s-maxage", b"max-age")
"""Most applicable first. Source: RFC 9111 §4.2.1."""


def has_other_method(candidate: Candidate) -> bool:
    """Whether it answers something else than GET (RFC 9110 §9.2.3; the POST of §9.3.3 is a MAY)."""
    return candidate.method != b"GET"


def has_request_content(candidate: Candidate) -> bool:
    """
    Whether the request has content, as far as its fields say; a "fat GET" poisons caches.

    Source: RFC 9110 §9.3.1, content that means nothing; stricter.
    """
    length = candidate.request.get(b"content-length", b"0")
    is_coded = candidate.request.get(b"transfer-encoding") is not None
    return is_coded or length.strip(b"0") != b""


def is_never_stored(candidate: Candidate) -> bool:
    """Whether the status is not final, or is one of `NEVER_STORED`."""
    return candidate.status < 200 or candidate.status in NEVER_STORED


def is_not_understood(candidate: Candidate) -> bool:
    """Whether `must-understand` is there and the status is not known (RFC 9111 §5.2.2.3)."""
    return b"must-understand" in candidate.directives and candidate.status not in UNDERSTOOD


def forbids_storing(candidate: Candidate) -> bool:
    """Whether there is `no-store`, and no `must-understand` that overrides it (§5.2.2.3)."""
    return b"no-store" in candidate.directives and b"must-understand" not in candidate.directives


def request_forbids_storing(candidate: Candidate) -> bool:
    """Whether the request says `no-store`, and such requests are obeyed (RFC 9111 §5.2.1.5)."""
    if b"no-store" not in candidate.policy.obeyed:
        return False
    return b"no-store" in parse_cache_control(candidate.request.getall(b"cache-control"))


def is_private(candidate: Candidate) -> bool:
    """Whether all of it is private; fields that alone are so are left out (§5.2.2.7)."""
    return candidate.directives.is_whole(b"private")


def is_authorized_only(candidate: Candidate) -> bool:
    """Whether the request had Authorization, and nothing lets others have the answer (§3.5)."""
    if candidate.request.get(b"authorization") is None:
        return False
    return not candidate.directives.members.keys() & {b"must-revalidate", b"public", b"s-maxage"}


def varies_by_anything(candidate: Candidate) -> bool:
    """Whether no later request can match (§4.1)."""
    return vary_names(candidate.fields) is None


def sets_cookie(candidate: Candidate) -> bool:
    """Whether it has a cookie that may not be stored with it."""
    if candidate.fields.get(b"set-cookie") is None:
        return False
    directives = candidate.directives
    if b"set-cookie" in directives.named(b"private") | directives.named(b"no-cache"):
        return False
    return not may_store_cookie(directives, candidate.policy)


def is_odd_part(candidate: Candidate) -> bool:
    """Whether it is a 206 that is not stored here (RFC 9111 §3.3)."""
    if candidate.status != 206:
        return False
    return not candidate.policy.is_partial_stored or extent_of(candidate.fields) is None


def has_no_lifetime(candidate: Candidate) -> bool:
    """Whether neither its fields nor its status make it storable (RFC 9111 §3, last item)."""
    return not (
        states_lifetime(candidate.directives, candidate.fields)
        or is_heuristic(candidate.status, candidate.directives, candidate.policy)
    )


REFUSALS: Sequence[tuple[Reason, Callable[[Candidate], bool]]] = (
    (Reason.METHOD, has_other_method),
    (Reason.REQUEST_CONTENT, has_request_content),
    (Reason.STATUS, is_never_stored),
    (Reason.NOT_UNDERSTOOD, is_not_understood),
    (Reason.NO_STORE, forbids_storing),
    (Reason.REQUEST_NO_STORE, request_forbids_storing),
    (Reason.PRIVATE, is_private),
    (Reason.AUTHORIZATION, is_authorized_only),
    (Reason.VARY, varies_by_anything),
    (Reason.SET_COOKIE, sets_cookie),
    (Reason.PARTIAL, is_odd_part),
    (Reason.NO_LIFETIME, has_no_lifetime),
)
"""In this order, so that what an operator reads first is what they would have to change first."""


def states_lifetime(directives: Directives, fields: Fields) -> bool:
    """Whether a lifetime is stated, valid or not."""
    if any(name in directives for name in LIFETIMES):
        return True
    return not directives.is_targeted and fields.get(b"expires") is not None


def is_heuristic(status: int, directives: Directives, policy: Policy) -> bool:
    """Whether a lifetime might be guessed: the status is one for it, or `public` says so."""
    if b"public" in directives:
        return True
    return status in HEURISTIC and (status < 400 or policy.heuristic_errors)


def may_store_cookie(directives: Directives, policy: Policy) -> bool:
    """Whether a cookie in a response with these directives may be stored."""
    if policy.set_cookie is SetCookie.SHARED:
        return directives.is_targeted or b"public" in directives or b"s-maxage" in directives
    return policy.set_cookie is SetCookie.ALWAYS
