"""
The life of a request: host → rules → access → file → stored response → response.

Laws: `respond` is a plain function and answers at once where it can; it returns a coroutine only
when a manifest or a blob has to come from the disk, or a password has to be hashed. What is
decided is decided in `site.exchange`; every error becomes a response in one place.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from edge.errors import OriginError, RequestError, StoreError, bare
from edge.http.forwarding import proxy_status
from edge.http.message import REASONS, Request, Response
from edge.http.target import split_query
from edge.node.access import Access, Verdict, Verifier
from edge.node.arrivals import Arrivals, spelling_of
from edge.node.country import Countries
from edge.node.files import Files, manner_of
from edge.node.later import Later
from edge.node.ledger import Facts
from edge.node.notices import Notices
from edge.node.passing import Passing
from edge.site import pages
from edge.site.envelope import BARE, Envelope, Sharing
from edge.site.exchange import (
    Content,
    Exchange,
    Moved,
    Nothing,
    Outcome,
    enter,
    envelope_of,
    follow,
    open_exchange,
)
from edge.site.expressions import Budget, PatternTooSlow
from edge.site.plan import Forward, Redirect
from edge.site.snapshot import Branch, Retained, Shortcut, Site, Snapshot

if TYPE_CHECKING:
    from edge.node.clock import Clock
    from edge.node.forward import Forwarder
    from edge.node.tls import Contexts
    from edge.node.trees import Trees

log = logging.getLogger("edge.handler")

Answer = Response | Awaitable[Response]


class Handler:
    """Answers requests from a snapshot."""

    def __init__(
        self,
        clock: Clock,
        files: Files,
        trees: Trees,
        forwarder: Forwarder,
        contexts: Contexts,
    ) -> None:
        self.clock = clock
        self.files = files
        self.trees = trees
        self.counters = forwarder.origins.counters
        self.forwarder = forwarder
        forwarder.keeper = self
        self.notices = Notices(clock)
        self.arrivals = Arrivals(clock, self.notices, contexts)
        self.snapshot = Snapshot(0, {}, {})
        self.countries = Countries(None)
        self.verifier = Verifier()
        self._gates: WeakKeyDictionary[Branch, Access] = WeakKeyDictionary()
        self.slow = 0
        """Requests whose patterns took too long."""
        self._unanswered_told = 0
        """Epoch seconds of the last line about an origin."""
        self._slow_told = 0
        """Epoch seconds of the last line about one: whoever sends them must not fill the log."""

    def respond(self, request: Request) -> Answer:
        """The response, or a coroutine for it. Never raises."""
        site = self.snapshot.known.get(spelling_of(request))
        if site is not None and (answer := self._recall(request, site)) is not None:
            return answer
        try:
            answer = self._respond(request, site)
        except Exception as error:  # noqa: BLE001  (the one place where errors become responses)
            answer = self.error_response(error, request)
        if type(answer) is Response:
            return answer
        if type(answer) is Passing:
            answer.keeper = self
            return answer
        return self._settle_later(request, cast("Awaitable[Response]", answer))

    def _recall(self, request: Request, site: Site) -> Answer | None:
        """
        The answer where the address alone decides, and was decided before.

        Only for who is `known` to arrive here: what is remembered is answered unparsed next time.
        """
        if request.method != b"GET":
            return None
        target, manner = request.target, request.manner or manner_of(request)
        manner.lines = site.lines
        shortcut = site.found.get(target) or site.found.get(target.partition(b"?")[0])
        if shortcut is not None:
            hit = self.files.hit(manner, shortcut) or self.files.select(request, shortcut)
            if hit is not None:
                request.facts = shortcut.facts
            return hit
        hit = self.forwarder.recalls.hit(request, site, self.forwarder.clients)
        if hit is not None:
            return hit
        passing = self.forwarder.pass_known(request, site)
        if passing is not None:
            passing.keeper = self
        return passing

    def settled(self, later: Later, outcome: Response | Exception) -> Response:
        """The response of what nobody waited for; errors become one, as above."""
        if isinstance(outcome, Exception):
            outcome = self.error_response(outcome, later.request, later.envelope)
        return outcome

    async def _settle_later(self, request: Request, answer: Awaitable[Response]) -> Response:
        try:
            return await answer
        except Exception as error:  # noqa: BLE001  (as above)
            return self.error_response(error, request)

    def _respond(self, request: Request, site: Site | None) -> Answer:
        challenge = self.arrivals.answer_challenge(request)
        if challenge is not None:
            return challenge
        return self._arrive(request) if site is None else self._decide(request, site)

    def _arrive(self, request: Request) -> Answer:
        """Step 1: whose host it is, and whether it may be asked here."""
        snapshot = self.snapshot
        site = self.arrivals.arrive(request, snapshot, self.forwarder.clients)
        if isinstance(site, Response):
            asked = snapshot.resolve(request.authority)
            if asked is not None and asked.branch is not None:
                request.facts = self._facts(asked.branch)
            return site
        if site is not None and spelling_of(request) in snapshot.known:
            answer = self._recall(request, site)
            if answer is not None:
                return answer
        return self._decide(request, site)

    def _decide(self, request: Request, site: Site | None) -> Answer:
        if request.target == b"*" or request.method == b"CONNECT":
            return self.notices.other_method(request)
        if site is None:
            return self.notices.unknown_host(request)
        branch = site.branch
        if branch is None:
            wait = (b"Retry-After", b"60")
            return self.notices.page(request, 503, pages.UNCONFIGURED, wait)
        country = self.country(request) if branch.plan.conditional else None
        facts = request.facts = self._facts(branch)
        exchange = open_exchange(request, site, country, Budget(time.thread_time))
        try:
            exchange.decide()
            if exchange.decision is not None:
                facts.rule = exchange.decision.rule
                count_hit(branch, facts.rule)
            return self._admit(exchange)
        except Exception as error:  # noqa: BLE001  (with the fields that the operator set)
            return self.error_response(error, request, exchange.envelope)

    def _facts(self, branch: Branch) -> Facts:
        """What is known of a request to a branch, to begin with."""
        deployment = "" if branch.active is None else branch.active.id
        return Facts(self.counters.tally(branch.app, branch.name), deployment)

    def country(self, request: Request) -> str | None:
        """Where the client is, as a trusted proxy says or the database knows."""
        peer, fields = request.peer, request.fields
        stated = self.forwarder.clients.stated_country(peer, fields)
        return stated or self.countries.find(self.forwarder.clients.address(peer, fields))

    # Step 2: access

    def _admit(self, exchange: Exchange) -> Answer:
        """Go on, if the password is right or none is needed."""
        if not exchange.needs_password:
            return self._follow(exchange)
        gate = self._gate(exchange.branch)
        verdict = gate.recall(authorization(exchange.request))
        if verdict is None:
            return self._later(exchange, self._verify(exchange, gate))
        if verdict.status:
            return self._turn_away(exchange, verdict)
        return self._follow(exchange)

    def _turn_away(self, exchange: Exchange, verdict: Verdict) -> Response:
        if verdict.status != 401:
            self.counters.refuse("logins")
        return self.notices.refuse(exchange, verdict)

    def _gate(self, branch: Branch) -> Access:
        """Who may see a branch, made at the first request."""
        gate = self._gates.get(branch)
        if gate is None:
            users = branch.access.users if branch.access is not None else None
            assert users, "asked of guarded branches alone"
            gate = self._gates[branch] = Access(users, self.verifier)
        return gate

    async def _verify(self, exchange: Exchange, gate: Access) -> Response:
        request = exchange.request
        client = self.forwarder.clients.address(request.peer, request.fields)
        verdict = await gate.verify(authorization(request), client)
        if verdict.status:
            return self._turn_away(exchange, verdict)
        return await settle(self._follow(exchange))

    async def _later(self, exchange: Exchange, answer: Awaitable[Response]) -> Response:
        try:
            return await answer
        except Exception as error:  # noqa: BLE001  (with the fields that the operator set)
            return self.error_response(error, exchange.request, exchange.envelope)

    # Steps 3 to 7

    def _follow(self, exchange: Exchange) -> Answer:
        branch, epoch = exchange.branch, self.clock.epoch
        decision = exchange.decision
        if type(decision) is Redirect:
            return self.notices.redirect(exchange, decision.status, decision.location)
        if type(decision) is Forward:
            return self._forward(exchange, decision)
        if branch.active is None or branch.active.manifest is None or branch.previous is not None:
            for _ in branch.trees(epoch):
                return self._later(exchange, self._load_first(exchange))
        return self._send(exchange, follow(exchange, epoch))

    async def _load_first(self, exchange: Exchange) -> Response:
        await self.trees.load_branch(exchange.branch, self.clock.epoch)
        return await settle(self._send(exchange, follow(exchange, self.clock.epoch)))

    async def _load_retained(self, exchange: Exchange) -> Response:
        await self.trees.load_retained(exchange.branch)
        return await self._load_first(exchange)  # manifests may have gone meanwhile

    def _send(self, exchange: Exchange, outcome: Outcome | Retained) -> Answer:
        """Carry out what was decided."""
        envelope, rule = exchange.envelope, getattr(outcome, "rule", None)
        facts = cast("Facts", exchange.request.facts)
        if rule is not None and exchange.decision is None:
            count_hit(exchange.branch, rule)
            facts.rule = rule
        if isinstance(outcome, Content | Nothing):
            envelope = envelope_of(exchange, outcome)
        match outcome:
            case Content():
                facts.deployment = outcome.asset.deployment
                self._remember(exchange, outcome)
                branch, request, status = exchange.branch, exchange.request, outcome.status
                return self.files.serve(request, branch, outcome.asset, envelope, status)
            case Nothing():
                return self.notices.nothing(exchange, outcome, envelope)
            case Moved():
                return self.notices.redirect(exchange, 301, outcome.location)
            case Redirect():
                return self.notices.redirect(exchange, outcome.status, outcome.location)
            case Forward():
                if exchange.branch.plan.asks_country_of_missing(exchange.subject):
                    path = exchange.subject.path if exchange.outer is None else exchange.outer
                    budget = exchange.subject.budget
                    exchange.envelope = exchange.site.envelope(path, Sharing.ONE, budget)
                return self._forward(exchange, outcome)
            case Retained():
                return self._later(exchange, self._load_retained(exchange))

    def _remember(self, exchange: Exchange, content: Content) -> None:
        """The next request of this path finds its file at once, if nothing else decides."""
        branch, subject = exchange.branch, exchange.subject
        if (
            content.status == 200
            and content.rule is None
            and not content.retained
            and exchange.outer is None
            and branch.access is None
            and not branch.answers_before(self.clock.epoch)
            and branch.plan.is_fixed(subject)
        ):
            shortcut = Shortcut(content.asset, exchange.envelope, exchange.request.facts)
            self.snapshot.remember(exchange.site, subject.raw, subject.path, shortcut)

    def _forward(self, exchange: Exchange, forward: Forward) -> Answer:
        """Another host of this node is asked inside, under its access; others by the network."""
        inner = enter(exchange, forward, self.snapshot)
        if inner is None:
            answer = self.forwarder.forward(exchange, forward)
            if type(answer) in (Passing, Response):
                return answer
            return self._later(exchange, cast("Awaitable[Response]", answer))
        if exchange.outer is not None:
            envelope = exchange.envelope.closed()
            return self.notices.page(exchange.request, 508, pages.LOOP, envelope=envelope)
        if inner.branch.plan.conditional:
            inner.subject.country = self.country(exchange.request)
        return self._admit(inner)

    # Errors

    def error_response(
        self,
        error: BaseException,
        request: Request | None = None,
        envelope: Envelope = BARE,
    ) -> Response:
        """
        The response for any error; the one place that makes them.

        Errors of the client say what was wrong. Anything else is logged with a short id, and the
        id is all that the client sees.
        """
        response = self._page(error, request, envelope)
        bare(error)
        return response

    def _page(self, error: BaseException, request: Request | None, envelope: Envelope) -> Response:
        if isinstance(error, RequestError):
            if error.reason:
                self.counters.refuse(error.reason)
            content = pages.render(REASONS[error.status].decode(), f"{error}.")
            return self.notices.page(request, error.status, content, envelope=envelope.closed())
        if isinstance(error, OriginError):
            return self._unanswered(error, request, envelope)
        if isinstance(error, PatternTooSlow):
            self._tell_slow(error, request)
            wait = (b"Retry-After", b"60")
            return self.notices.page(request, 503, pages.SLOW, wait, envelope=envelope.closed())
        reference = secrets.token_hex(4)
        path = split_query(request.target)[0] if request is not None else b""
        log.error("%s: %r failed", reference, path, exc_info=error)
        content = pages.render(
            "Something broke here", f"The node's log says more under {reference}."
        )
        status = 503 if isinstance(error, StoreError) else 500
        return self.notices.page(request, status, content, envelope=envelope.closed())

    def _unanswered(
        self, error: OriginError, request: Request | None, envelope: Envelope
    ) -> Response:
        """What an origin did is for the client, why it is so for the log, once a second."""
        if self._unanswered_told != self.clock.epoch:
            self._unanswered_told = self.clock.epoch
            host = b"" if request is None else request.authority
            path = b"" if request is None else split_query(request.target)[0]
            log.error("%r %.200r: %s: %s", host.decode("latin-1"), path, error.kind, error)
        if error.kind == "connection_limit_reached":
            self.counters.refuse("origin_queue")
        fields = [(b"Proxy-Status", proxy_status(error))]
        if error.status == 503:
            fields.append((b"Retry-After", b"5"))
        content = pages.unanswered(error.kind)
        return self.notices.page(
            request, error.status, content, *fields, envelope=envelope.closed()
        )

    def _tell_slow(self, error: PatternTooSlow, request: Request | None) -> None:
        """Count it, and say so once a second; without the query, which no pattern sees."""
        self.slow += 1
        self.counters.refuse("patterns")
        if self._slow_told != self.clock.epoch and request is not None:
            self._slow_told = self.clock.epoch
            host, path = request.authority.decode("latin-1"), split_query(request.target)[0]
            log.error("%r %.200r: %s; answered with 503", host, path, error)


def count_hit(branch: Branch, rule: int) -> None:
    """One more request that a rule decided."""
    hits = branch.plan.hits
    hits[rule] = hits.get(rule, 0) + 1


def authorization(request: Request) -> bytes | None:
    """The value of Authorization; several are as good as none (RFC 9110 §5.3: it is no list)."""
    values = request.fields.getall(b"authorization")
    return values[0] if len(values) == 1 else None


async def settle(answer: Answer) -> Response:
    """The response of an answer that may have to be waited for."""
    return answer if type(answer) is Response else await cast(Awaitable[Response], answer)
