"""
Why a request is answered as it is: the trail of the very steps that serve.

Laws: pure. What decides is `exchange`, called as the handler calls it; here it is told. Nothing
that is secret is told: of access only whether it asks.
"""

from __future__ import annotations

import msgspec

from edge.errors import RequestError
from edge.http.message import Request
from edge.site.envelope import Envelope
from edge.site.exchange import (
    READING,
    Content,
    Exchange,
    Moved,
    Nothing,
    Outcome,
    enter,
    envelope_of,
)
from edge.site.expressions import Budget, PatternTooSlow
from edge.site.keys import chosen_query
from edge.site.lookup import find_asset, find_content, find_page
from edge.site.manifest import Asset
from edge.site.plan import (
    CompiledRule,
    Forward,
    Index,
    Redirect,
    Rewrite,
    is_for_navigation,
    is_navigation,
)
from edge.site.rehearsal import World, summary
from edge.site.snapshot import Branch
from edge.site.subject import Subject

ALL_TOLD = 100
"""Rules up to which each one is told; of more, only those that could match."""

UNSERVED = {
    404: "no app of this node claims this hostname",
    503: "the app never had a valid configuration; `edge check` says where the mistake is",
}
NOTHING = {
    204: "OPTIONS is answered with the methods that files have",
    404: "nothing is there; the node's own page says so",
    405: "files are for GET and HEAD alone",
}
NO_PAGE = "it is for pages: GET or HEAD, without an extension or with Accept: text/html"


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, and what it made of the request."""

    rule: int
    """Its number in the file, from 0, as in what `check` says."""
    line: int
    source: str
    status: str
    matched: bool
    why: str


class Trail(msgspec.Struct, kw_only=True):
    """What becomes of a request, and why."""

    url: str
    method: str
    country: str | None = None
    app: str | None = None
    branch: str | None = None
    deployment: str | None = None
    """The active one; where another answers, a step says so."""
    tried: list[Tried] = []
    passed_over: int = 0
    """Rules that could not match: another path, folder or host."""
    password: bool = False
    """Whether a password is asked for before the answer."""
    steps: list[str] = []
    """All of it in order, for people."""
    status: int = 0
    """0 where an origin decides it."""
    location: str | None = None
    file: str | None = None
    origins: list[str] = []
    headers: list[str] = []
    """Patterns of custom headers that apply, in order."""
    fields: list[tuple[str, str]] = []
    """Custom fields, and Cache-Control."""
    lifetime: int | None = None
    """Seconds that a file is stored at the edge; None where nothing is."""
    verdict: str = ""
    """What caches do with it, and why."""
    keys: list[str] = []
    """URLs of origins under which its answer may be stored."""
    stored: list[str] = []
    """What is stored there now, or why nothing is; filled by whoever can ask a running node."""


def explain(request: Request, world: World, country: str | None) -> Trail:
    """The trail of a request. Raises nothing that a client can cause."""
    url = (request.authority + request.target).decode(errors="replace")
    trail = Trail(url=url, method=request.method.decode("latin-1"), country=country)
    try:
        exchange = world.open(request, country)
        if exchange is None:
            trail.status = 404 if world.snapshot.resolve(request.authority) is None else 503
            trail.steps.append(UNSERVED[trail.status])
        else:
            Teller(trail, world).tell(exchange)
    except RequestError as error:
        trail.status = error.status
        trail.steps.append(f"the request is refused: {error}")
    except PatternTooSlow as error:
        trail.status = 503
        trail.steps.append(f"answered with 503, never with «no match»: {error}")
    return trail


class Teller:
    """One trail while it is told."""

    def __init__(self, trail: Trail, world: World) -> None:
        self.trail = trail
        self.world = world

    def tell(self, exchange: Exchange) -> None:
        """Steps 1 to 7."""
        self.name(exchange)
        trail = self.trail
        deployment = trail.deployment or "nothing deployed"
        self.say(f"{exchange.site.host}: app {trail.app}, branch {trail.branch}, {deployment}")
        if exchange.branch.carries_rules:
            self.say("the rules are those that the deployment carries, not the folder's")
        self.headers(exchange)
        self.rules(exchange, exchange.branch.plan.early)
        exchange.decide()
        self.access(exchange)
        self.follow(exchange)

    def name(self, exchange: Exchange) -> None:
        """Whose files answer."""
        branch, trail = exchange.branch, self.trail
        trail.app, trail.branch = branch.app, branch.name
        trail.deployment = branch.active.id if branch.active is not None else None

    def headers(self, exchange: Exchange) -> None:
        """Patterns that apply to the path."""
        plan = exchange.branch.headers
        numbers = plan.matching(exchange.subject.path) if plan else ()
        self.trail.headers = [plan.patterns[number] for number in numbers]

    def rules(self, exchange: Exchange, index: Index) -> None:
        """
        Each rule of one phase, up to the one that matches.

        Patterns have time of their own here: what telling takes must not change what is decided.
        """
        plan, before = exchange.branch.plan, exchange.subject
        subject = msgspec.structs.replace(before, budget=Budget(before.budget.clock))
        candidates = index.candidates(subject)
        asked = candidates if len(plan.rules) > ALL_TOLD else index.numbers
        others = len(index.numbers) - len(asked)
        if others:
            self.trail.passed_over += others
            self.say(f"{others} rules are about other paths, folders or hosts")
        for number in asked:
            rule = plan.rules[number]
            try:
                why = why_not(rule, subject, exchange.request)
            except PatternTooSlow:
                self.say(f"  rule [{number}] on line {rule.written.line} takes too long to be told")
                return
            tried = Tried(
                rule=number,
                line=rule.written.line,
                source=rule.written.source,
                status=rule.written.status,
                matched=why is None,
                why=why or "it matches",
            )
            self.trail.tried.append(tried)
            self.say(f"{'→' if tried.matched else ' '} {told(tried)}")
            if tried.matched:
                return

    def access(self, exchange: Exchange) -> None:
        """Step 2."""
        if exchange.needs_password:
            self.trail.password = True
            self.say(f"a password is asked for, realm {exchange.site.host}")
        elif exchange.branch.access is not None:
            reason = "the path is exempt"
            if exchange.branch.asks_password(exchange.subject.path):
                reason = "a redirect by a domain rule needs none"
            self.say(f"no password is asked for: {reason}")

    def follow(self, exchange: Exchange) -> None:
        """Steps 3 to 7."""
        outcome = self.world.follow(exchange)
        self.missing_rules(exchange, outcome)
        if isinstance(outcome, Forward):
            self.forward(exchange, outcome)
        else:
            if before := purged_before(exchange, self.world.epoch):
                self.say(f"performance mode: what deployment {before} answered here was purged")
            self.answer(exchange, outcome)

    def missing_rules(self, exchange: Exchange, outcome: Outcome) -> None:
        """The rules of step 6, where they were asked."""
        late, rule = exchange.branch.plan.late, getattr(outcome, "rule", None)
        is_early = exchange.decision is not None and rule == exchange.decision.rule
        found = isinstance(outcome, Content) and outcome.status == 200 and rule is None
        if isinstance(outcome, Nothing):
            found = has_file(exchange, self.world.epoch)
        if late.numbers and not (is_early or found or isinstance(outcome, Moved)):
            self.say("no file is there: the rules of what is missing are asked")
            self.rules(exchange, late)

    def forward(self, exchange: Exchange, forward: Forward) -> None:
        """Step 3, to another host."""
        inner = enter(exchange, forward, self.world.snapshot)
        self.trail.origins = list(forward.urls)
        if inner is None:
            self.say(f"the answer is that of {' or '.join(forward.urls)}")
            self.storing(exchange, forward)
        elif exchange.outer is not None:
            self.trail.status = 508
            self.say("two hosts of this node send the address to each other")
        else:
            self.name(inner)
            where = f"app {inner.branch.app}, branch {inner.branch.name}"
            self.say(f"{forward.urls[0]} is looked up inside this node: {where}")
            self.access(inner)
            self.follow(inner)

    def storing(self, exchange: Exchange, forward: Forward) -> None:
        """Whether an origin's answer may be stored, and what tells it apart."""
        request, choice = exchange.request, exchange.branch.cache
        if request.method not in READING:
            self.trail.verdict = f"{self.trail.method} is passed on; its answer is never stored"
            return
        self.trail.keys = [chosen_query(forward.urls[0], choice.query)]
        parts = [("query", choice.query), ("cookies", choice.cookies)]
        told = [each if isinstance(each, str) else ", ".join(each) for _, each in parts]
        self.trail.verdict = (
            "stored if the origin's answer allows it (RFC 9111); "
            f"told apart by query ({told[0]}), cookies ({told[1]}) and what it varies by"
        )

    def answer(self, exchange: Exchange, outcome: Content | Nothing | Moved | Redirect) -> None:
        """What is sent."""
        trail = self.trail
        envelope = exchange.envelope
        if isinstance(outcome, Content | Nothing):
            envelope = envelope_of(exchange, outcome)
        trail.status, place = summary(outcome)
        if isinstance(outcome, Content):
            trail.file = place
            self.say(why_this_file(exchange, outcome, self.world.epoch))
            control = envelope.cache_control
            trail.lifetime = envelope.lifetime
        else:
            trail.location = place or None
            control = envelope.page_cache_control
            if isinstance(outcome, Moved):
                self.say("the file has another address: a slash more or less")
            elif outcome.status in NOTHING:
                self.say(NOTHING[outcome.status])
        plain = [] if trail.status == 204 else [(b"Cache-Control", control)]
        fields = envelope.dress(plain)
        trail.fields = [(name.decode(), value.decode("latin-1")) for name, value in fields]
        trail.verdict = verdict(exchange.branch, envelope, trail.lifetime)

    def say(self, sentence: str) -> None:
        """One more step."""
        self.trail.steps.append(sentence)


def told(tried: Tried) -> str:
    """A rule in a line."""
    place = f"rule [{tried.rule}] on line {tried.line}"
    return f"{place}, {tried.status} {tried.source}: {tried.why}"


def why_not(rule: CompiledRule, subject: Subject, request: Request) -> str | None:
    """
    Why a rule is not meant; None when it is.

    Raises:
        PatternTooSlow: see `Budget.search`.
    """
    why = rule.explain(subject)
    if why is None and is_for_navigation(rule):
        accept = request.fields.get(b"accept", b"")
        return None if is_navigation(subject.path, request.method, accept) else NO_PAGE
    return why


def has_file(exchange: Exchange, epoch: float) -> bool:
    """Whether a file is there for a method that files do not have: see `exchange.follow`."""
    branch, decision = exchange.branch, exchange.decision
    until = exchange.kept_until
    if isinstance(decision, Rewrite):
        return find_content(branch, decision.path, until, epoch) is not None
    return isinstance(find_asset(branch, exchange.subject.path, until, epoch), Asset)


def purged_before(exchange: Exchange, epoch: float) -> str | None:
    """The deployment before, where performance mode would go on with its file but for a purge."""
    branch, decision, path = exchange.branch, exchange.decision, exchange.subject.path
    if not (decision is None or isinstance(decision, Rewrite)):
        return None  # no file is looked for
    if not branch.answers_before(epoch) or epoch >= branch.active_at + exchange.envelope.lifetime:
        return None
    target = decision.path if isinstance(decision, Rewrite) else path
    asset = find_page(branch.previous.manifest, target)  # type: ignore[union-attr,arg-type]
    is_purged = asset is not None and not branch.purged.isdisjoint((asset.entry.path, path))
    return branch.previous.id if is_purged else None  # type: ignore[union-attr]


def why_this_file(exchange: Exchange, outcome: Content, epoch: float) -> str:
    """How a path led to its file."""
    branch, deployment = exchange.branch, outcome.asset.deployment
    path = outcome.asset.entry.path
    if outcome.retained:
        return f"asset retention: only deployment {deployment} has {path}"
    if branch.previous is not None and deployment == branch.previous.id:
        left = branch.active_at + exchange.envelope.lifetime - epoch
        return f"performance mode: deployment {deployment} answers for {left:.0f} s more"
    if outcome.rule is not None:
        return f"the rule's target is {path}"
    if outcome.status == 404:
        return f"nothing is there; {path} is the nearest page that says so"
    if "/" + path == exchange.subject.path:
        return f"{path} is the file of this path"
    return f"{path} is the page of this path (clean URL)"


def verdict(branch: Branch, envelope: Envelope, lifetime: int | None) -> str:
    """Whether the edge stores the answer, how long, and who says so."""
    if lifetime is None:
        return "made anew each time; caches downstream go by Cache-Control"
    stated = envelope.stated
    if stated is None and envelope.cache_control == b"no-store":
        return "stored nowhere: the next deploy may bring a file of this name"
    reason = "by default" if stated is None else f"by «{stated.decode('latin-1')}»"
    if not lifetime:
        return f"not stored at the edge {reason}"
    cap = branch.max_lifetime
    return f"stored at the edge for {lifetime} s {reason} (at most {cap} s); a deploy ends it"
