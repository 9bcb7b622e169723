"""
A list of Netlify's redirects → rules of the node, in their order.

Here: what a redirect means among others, and what is to be said of many at once. Not here: what one
means alone (`netlify_rules`). There the first match decides. Here redirects and rewrites come
before the rules of what is missing (404, fallback), wherever they stand: a redirect that would be
tried here and is not there is left out, and a fallback that would come too late becomes a rewrite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from edge.control.imported import Draft
from edge.control.netlify_rules import REST, Converted, Reason, Redirect, convert, request_for
from edge.site.pattern import Domain
from edge.site.plan import CompiledRule, Plan, compile_plan
from edge.site.rule import MISSING, Rule
from edge.site.subject import Subject
from edge.site.template import ORIGIN

MANY: Final = 20
"""Lines that one note lists."""

KINDS: Final[Mapping[str, Reason]] = {
    "page": (
        "200 without ! is a fallback here: what exists, else this page, for navigations alone",
        "a missing script or image stays a 404; write the status 200 to answer always",
    ),
    "always": (
        "200 without ! rewrites here even where a file exists",
        "remove those files, or the rule",
    ),
    "redirect": (
        "without ! it holds here even where a file exists",
        "remove the rule, if the file is to be seen",
    ),
    "wide": (
        "without ! it holds here for all its paths, those of pages, scripts and images too",
        "before it, put a rule of status 200 from each path that is to be seen to itself",
    ),
    "hidden": (
        "404! is a 410 here, for a 404 never hides a file",
        "leave the file out of the deployment, if it has to be a 404",
    ),
    "unreachable": (
        "left out, for Netlify never comes to it: a line above takes all its requests",
        "move it up and import again, if it is to hold",
    ),
    "late": (
        "a redirect further down comes first here: a 404 is decided after all redirects",
        "make that one narrower",
    ),
}
"""What is to be said of several redirects at once."""


class Marks:
    """What is to be said of several redirects: one note for each kind and file."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], dict[int, None]] = {}

    def add(self, kind: str, redirect: Redirect) -> None:
        """One redirect is of this kind."""
        file, line = redirect.place
        self.lines.setdefault((file, kind), {})[line] = None

    def tell(self, draft: Draft) -> None:
        """The notes, each at its first line."""
        for (file, kind), lines in self.lines.items():
            what, why = KINDS[kind]
            shown = ", ".join(map(str, list(lines)[:MANY]))
            more = f" and {len(lines) - MANY} more" if len(lines) > MANY else ""
            others = f"lines {shown}{more}: " if len(lines) > 1 else ""
            draft.note((file, min(lines)), others + what, why)


def add_redirects(redirects: Sequence[Redirect], draft: Draft) -> None:
    """The rules that decide as the redirects did, in their order."""
    marks = Marks()
    converted = [each for redirect in redirects for each in convert(redirect, draft)]
    for each in in_order(reachable(converted, marks), draft, marks):
        draft.rules.append(each.kept)
        if not each.is_identity and (kind := kind_of(each)):
            marks.add(kind, each.redirect)
    marks.tell(draft)


def kind_of(converted: Converted) -> str | None:
    """How the rule differs from its redirect where a file exists."""
    redirect, status = converted.redirect, converted.kept.rule.status
    if redirect.force:
        return "hidden" if (redirect.status, status) == ("404", "410") else None
    if redirect.status == "200":
        if status == "200":
            return "always"
        return None if ORIGIN.match(redirect.target) else "page"
    if status in MISSING:
        return None
    return "wide" if "*" in redirect.path or ":" in redirect.path else "redirect"


def reachable(converted: Sequence[Converted], marks: Marks) -> list[Converted]:
    """Without those that Netlify never comes to, of which some would be tried here."""
    plan = compile_plan(each.kept.rule for each in converted)
    holders: dict[tuple[str, str | None, bool], Rule] = {}
    found = []
    for number, each in enumerate(converted):
        rule = each.kept.rule
        holder = holders.setdefault((rule.source, rule.condition, each.is_identity), rule)
        is_new = holder is rule
        if is_new and (rule.status in MISSING or each.is_identity or not is_taken(plan, number)):
            found.append(each)
        elif is_new or (holder.target, holder.status) != (rule.target, rule.status):
            marks.add("unreachable", each.redirect)
    return found


def is_taken(plan: Plan, number: int) -> bool:
    """Whether a rule of what is missing takes, on Netlify, all requests of a later rule."""
    request = request_of(plan.rules[number])
    if request is None:
        return False
    candidates = [each for each in plan.late.candidates(request) if each < number]
    return any(plan.rules[each].match(request) is not None for each in candidates)


def in_order(converted: Sequence[Converted], draft: Draft, marks: Marks) -> Iterator[Converted]:
    """With the status 200 for each fallback whose requests a later redirect would take here."""
    plan = compile_plan(each.kept.rule for each in converted)
    for number, each in enumerate(converted):
        taker = taker_of(plan, number) if each.kept.rule.status in MISSING else None
        if taker is None or taker < number or converted[taker].is_identity:
            yield each
        elif each.kept.rule.status == "fallback":
            written = {**each.kept.written, "status": "200"}
            kept = draft.judge(each.kept.place, written, quietly=True)
            yield Converted(each.redirect, kept or each.kept)
        else:
            marks.add("late", each.redirect)
            yield each


def taker_of(plan: Plan, number: int) -> int | None:
    """The first rule that decides, whatever the country, before a rule of what is missing."""
    request = request_of(plan.rules[number])
    if request is None:
        return None
    candidates = plan.early.candidates(request)
    matching = (each for each in candidates if plan.rules[each].source.match(request) is not None)
    return next(matching, None)


def request_of(rule: CompiledRule) -> Subject | None:
    """A request that a rule means, and hardly any narrower one."""
    country = min(rule.countries) if rule.countries else None
    if isinstance(rule.source.path, Domain):
        return request_for("/" + REST, host=rule.source.path.host, country=country)
    path, _, query = rule.written.source.partition("?")
    return request_for(path, query, country=country)
