"""
One request as the rules see it, and what becomes of it: the order of rules.md, step by step.

Laws: pure. The handler carries out what is decided here, `explain` and `replay` tell it: they are
the same functions. A decision is made once, before access is asked about; files come after it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from edge.http.message import Request
from edge.http.target import decode_path, encode_path, split_query
from edge.site.envelope import BARE, Envelope, Sharing
from edge.site.expressions import Budget
from edge.site.lookup import find_asset, find_content, find_not_found
from edge.site.manifest import Asset, is_fingerprinted
from edge.site.plan import Decision, Forward, Redirect, Refuse, Rewrite
from edge.site.snapshot import Branch, Retained, Site, Snapshot
from edge.site.subject import Subject
from edge.site.template import sendable

READING = (b"GET", b"HEAD")


class Content(msgspec.Struct, frozen=True, gc=False):
    """A file of a tree."""

    asset: Asset
    status: int
    rule: int | None
    """The number of the rule that chose it; None where the path itself did."""
    retained: bool = False
    """Whether only an earlier deployment has it (`retain.assets`)."""


class Moved(msgspec.Struct, frozen=True, gc=False):
    """301 to the canonical form of a path (step 5)."""

    location: bytes
    """With the query of the request."""


class Nothing(msgspec.Struct, frozen=True, gc=False):
    """A page of the node's own: 403, 404, 405, 410, 451, or 204 for OPTIONS."""

    status: int
    rule: int | None = None


Outcome = Redirect | Forward | Content | Moved | Nothing


class Exchange(msgspec.Struct):
    """One request to one branch, and what is known of it so far."""

    request: Request
    site: Site
    """What the client asked."""
    branch: Branch
    """Whose files answer: the site's, unless a rule leads inside to another host."""
    subject: Subject
    decision: Decision | None = None
    envelope: Envelope = BARE
    """Of all its answers."""
    outer: str | None = None
    """The path that the client asked for, where a rule leads inside to another host."""

    def decide(self) -> None:
        """
        Step 1: the rules before files.

        Raises:
            PatternTooSlow, MalformedRequest: see `Plan.decide`.
        """
        if not self.branch.plan.is_empty:
            self.decision = self.branch.plan.decide(self.subject)
        if type(self.decision) is Rewrite and self.needs_password:
            self.envelope = self.site.envelope(self.subject.path, Sharing.ONE, self.subject.budget)

    @property
    def needs_password(self) -> bool:
        """
        Step 2: access stands before everything but a redirect by a domain rule.

        Where an exempt path is rewritten, the other path has to be exempt too: a single-page app's
        rule would hand out its entry under any name below `/.well-known/`.
        """
        decision, branch = self.decision, self.branch
        if type(decision) is Redirect and decision.by_domain:
            return False
        if type(decision) is Rewrite and branch.asks_password(decision.path):
            return True
        return branch.asks_password(self.subject.path)

    @property
    def kept_until(self) -> float:
        """Epoch seconds until which a previous deployment answers (performance mode)."""
        branch = self.branch
        if self.subject.path in branch.purged:
            return 0
        return branch.active_at + min(self.envelope.lifetime, branch.longest)

    def may_show(self, path: str) -> bool:
        """Whether the content of another path is for those who may see the one asked for."""
        return self.branch.asks_password(self.subject.path) or not self.branch.asks_password(path)


def open_exchange(request: Request, site: Site, country: str | None, budget: Budget) -> Exchange:
    """
    The exchange of a request to a configured site.

    Raises:
        MalformedRequest: its target is no path.
    """
    assert site.branch is not None, "a site that is not configured is answered before"
    branch = site.branch
    raw, query = split_query(request.target)
    subject = Subject(decode_path(raw), raw, query, site.host, country, budget)
    is_for_one = branch.asks_password(subject.path) or branch.plan.asks_country(subject)
    sharing = Sharing.ONE if is_for_one else Sharing.ALL
    envelope = site.envelope(subject.path, sharing, budget)
    return Exchange(request, site, branch, subject, envelope=envelope)


def follow(exchange: Exchange, epoch: float) -> Outcome | Retained:
    """
    Steps 3 to 7, from the decision to what is answered.

    Its manifests must be loaded. A `Retained` says that the files of earlier deployments are asked
    for and not loaded: load it and ask again.

    Raises:
        PatternTooSlow, MalformedRequest: see `Plan.decide`.
    """
    decision, subject, branch = exchange.decision, exchange.subject, exchange.branch
    if isinstance(decision, Redirect):
        return decision
    if isinstance(decision, Forward):
        return passed_on(exchange, decision)
    if isinstance(decision, Refuse):
        return refusal(exchange, decision, epoch)
    until = exchange.kept_until
    found: Asset | str | None
    if decision is None:
        found = find_asset(branch, subject.path, until, epoch)
    else:
        found = find_content(branch, decision.path, until, epoch)
    if isinstance(found, str) and exchange.request.method in READING:
        form = found if exchange.outer is None else map_back(exchange.outer, subject.path, found)
        if form is not None:
            return moved(form, split_query(exchange.request.target)[1])
        found = find_content(branch, subject.path, until, epoch)
    if isinstance(found, Asset):
        rule = None if decision is None else decision.rule
        return content(exchange, found, 200, rule)
    return missing(exchange, until, epoch)


def moved(path: str, query: bytes | None) -> Moved:
    """The redirect to a decoded path, query kept."""
    location = encode_path(path)
    return Moved(location if query is None else location + b"?" + sendable(query))


def refusal(exchange: Exchange, decision: Refuse, epoch: float) -> Outcome:
    """A refusal with its page, where that exists."""
    asset = None
    if decision.path is not None and exchange.may_show(decision.path):
        asset = find_content(exchange.branch, decision.path, 0, epoch)
    if asset is None:
        return Nothing(decision.status, decision.rule)
    return Content(asset, decision.status, decision.rule)


def content(exchange: Exchange, asset: Asset, status: int, rule: int | None) -> Outcome:
    """A file, for those methods that files have."""
    if exchange.request.method in READING:
        return Content(asset, status, rule)
    return other_method(exchange)


def passed_on(exchange: Exchange, forward: Forward) -> Outcome:
    """A server, for any method but the one that shows what it was told (RFC 9110 §9.3.8)."""
    return other_method(exchange) if exchange.request.method == b"TRACE" else forward


def other_method(exchange: Exchange) -> Nothing:
    """What files answer to other methods."""
    return Nothing(204 if exchange.request.method == b"OPTIONS" else 405)


def missing(exchange: Exchange, until: float, epoch: float) -> Outcome | Retained:
    """Steps 6 and 7: no file was found."""
    path, branch = exchange.subject.path, exchange.branch
    plan = branch.plan
    if branch.retained is not None and is_fingerprinted(path):
        if branch.retained.files is None:
            return branch.retained
        kept = branch.retained.find(path[1:], epoch)
        if kept is not None and exchange.request.method in READING:
            return Content(kept, 200, None, retained=True)
    decision = None
    if not plan.is_empty:
        request = exchange.request
        accept = request.fields.get(b"accept", b"")
        decision = plan.decide_missing(exchange.subject, request.method, accept)
    if isinstance(decision, Forward):
        return passed_on(exchange, decision)
    if exchange.request.method not in READING:
        return other_method(exchange)
    return not_found(exchange, decision, until, epoch)


def not_found(exchange: Exchange, decision: Decision | None, until: float, epoch: float) -> Outcome:
    """The page of a rule, else the nearest 404 page, else the built-in one."""
    path, branch = exchange.subject.path, exchange.branch
    if isinstance(decision, Rewrite) and exchange.may_show(decision.path):
        asset = find_content(branch, decision.path, until if decision.status == 200 else 0, epoch)
        if asset is not None:
            return Content(asset, decision.status, decision.rule)
    asset = None if is_fingerprinted(path) else find_not_found(branch, path)
    if asset is None or not exchange.may_show("/" + asset.entry.path):
        return Nothing(404)
    return Content(asset, 404, None)


# Inside to another host


def enter(exchange: Exchange, forward: Forward, snapshot: Snapshot) -> Exchange | None:
    """
    The exchange with the host of this node that a rule leads to; None for anybody else's.

    Rules before files are not run again, so that no two hosts send a request round in circles.

    Raises:
        MalformedRequest: what was captured makes no path there.
    """
    if len(forward.urls) > 1:
        return None
    url = urlsplit(forward.urls[0])
    site = snapshot.hosts.get((url.hostname or "").encode())
    if site is None or site.branch is None:
        return None
    if url.port is not None and url.port not in snapshot.ports:
        return None
    raw = url.path.encode()
    query = url.query.encode() if "?" in forward.urls[0] else None
    before = exchange.subject
    subject = Subject(decode_path(raw), raw, query, site.host, before.country, before.budget)
    inner = Exchange(exchange.request, exchange.site, site.branch, subject, outer=before.path)
    inner.envelope = exchange.envelope
    if inner.needs_password:
        inner.envelope = exchange.site.envelope(before.path, Sharing.ONE, before.budget)
    return inner


def map_back(outer: str, inner: str, found: str) -> str | None:
    """
    The canonical form of the path that was asked for, when inside `inner` is to be `found`.

    None where the two paths do not end alike: then there is no form that leads to `found`, and the
    rule's target is content. Nor is there one where it would be read as another host's address.
    """
    if last_segment(outer) != last_segment(inner) or outer.startswith("//"):
        return None
    return outer + "/" if found == inner + "/" else outer[:-1]


def last_segment(path: str) -> str:
    """The end of a path from its last slash on; one at the very end is part of it."""
    return path[path.rfind("/", 0, -1) + 1 :]


# What is put on it


def envelope_of(exchange: Exchange, outcome: Content | Nothing) -> Envelope:
    """
    The envelope of an answer.

    An error of the node's own is nobody's to store; nor is the 404 of a fingerprinted name, whose
    file may come with the next deploy. Where the rules of what is missing ask for the country, it
    is for the client alone.
    """
    envelope, status = exchange.envelope, outcome.status
    is_page = isinstance(outcome, Nothing)
    if is_page and (status != 404 or exchange.branch.active is None):
        return envelope.closed()
    is_missing = status == 404 or (exchange.decision is None and outcome.rule is not None)
    if not is_missing:
        return envelope
    if status == 404 and is_fingerprinted(exchange.subject.path):
        return envelope.closed()
    if exchange.branch.plan.asks_country_of_missing(exchange.subject):
        path = exchange.subject.path if exchange.outer is None else exchange.outer
        envelope = exchange.site.envelope(path, Sharing.ONE, exchange.subject.budget)
    return envelope.of_missing() if status == 404 else envelope
