"""
Netlify's redirects → rules of the node.

Here: what one redirect means. Not here: what a list of them means (`netlify_order`), and the files
that they stand in (`netlify`). Law: a rule is never wider than its redirect; one whose condition
cannot be said is left out. The two languages differ in this:

1. There a path is compared without its last slash; here both spellings are rules (`spellings`).
2. There a file comes first, unless there is a `!`; here `fallback` alone says so (`status_of`).
3. There a redirect into its own source ends at a file; here it never would, so that a rule before
   it keeps it from its target (`guard_of`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from edge.control.imported import Draft, Kept, Place
from edge.errors import MalformedRequest
from edge.http.target import decode_path
from edge.site.expressions import Budget
from edge.site.pattern import PLACEHOLDER, compile_source
from edge.site.rule import REDIRECTS, Rule
from edge.site.subject import Subject
from edge.site.template import LITERAL, ORIGIN

REST: Final = "<*>"
DOMAIN: Final = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
WHOLE: Final = re.compile(r":([A-Za-z_][\w-]*)")
"""A segment that is a placeholder."""

INNER: Final = re.compile(r":([A-Za-z_]\w*)")
"""A placeholder within a segment."""

SPLAT_WITHIN: Final = re.compile(r"[^/]:splat|:splat[^?#]")
"""A splat without which the target would be another path."""

Reason = tuple[str, str]
"""Why not, and what to do."""


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """One redirect, as it was written."""

    place: Place
    source: str
    target: str
    status: str = "301"
    force: bool = False
    """Whether it holds where a file exists."""
    query: Mapping[str, str] = {}
    conditions: Mapping[str, str] = {}
    """By lower-case name."""
    is_signed: bool = False
    has_headers: bool = False
    """Whether the origin gets fields of its own."""

    @property
    def domain(self) -> str | None:
        """The host of its source, if there is one."""
        found = DOMAIN.fullmatch(self.source)
        return found[1].lower() if found else None

    @property
    def path(self) -> str:
        """The path of its source, with its slash."""
        found = DOMAIN.fullmatch(self.source)
        return "/" + (found[2] if found else self.source).removeprefix("/")


class Converted(msgspec.Struct, frozen=True):
    """A rule, and what it was made of."""

    redirect: Redirect
    kept: Kept

    @property
    def is_identity(self) -> bool:
        """Whether it only keeps later rules from its paths, or leads to their folder."""
        return self.kept.rule.target in (self.kept.rule.source, self.kept.rule.source + "/")


def convert(redirect: Redirect, draft: Draft) -> list[Converted]:
    """Its rules: one for each spelling of its path."""
    reason = unsayable(redirect)
    if reason:
        leave_out(redirect, reason, draft)
        return []
    first, *others = written_rules(redirect)
    kept = draft.judge(redirect.place, first)
    rules = guarded(redirect, kept, draft) if kept else []
    if kept and not rules:
        leave_out(redirect, ("it leads into its own source, without end", "narrow it"), draft)
    if rules:
        note_changes(redirect, draft)
        for written in others:
            twin = draft.judge(redirect.place, written, quietly=True)
            rules += guarded(redirect, twin, draft) if twin else []
    return rules


def leave_out(redirect: Redirect, reason: Reason, draft: Draft) -> None:
    """One note on a redirect that has no rule."""
    what = f"the redirect from {redirect.source[:80]} is left out: {reason[0]}"
    draft.note(redirect.place, what, reason[1])


def note_changes(redirect: Redirect, draft: Draft) -> None:
    """What its rules do otherwise, file or not."""
    if redirect.has_headers:
        why = "let that server do without them, or put a gateway in front of it"
        draft.note(redirect.place, "the headers for the proxied server are not sent", why)
    if redirect.domain is not None and ":splat" not in redirect.target:
        what = f"the path of the request is put behind {redirect.target[:80]}"
        draft.note(redirect.place, what, "a rule from a domain always keeps the path")


def guarded(redirect: Redirect, kept: Kept, draft: Draft) -> list[Converted]:
    """The rule, behind those that keep it from its own target; nothing if these would take all."""
    guard, condition = guard_of(kept.rule), kept.rule.condition
    if guard in ("/" + REST, kept.rule.source):
        return []
    guards = []
    if guard is not None:
        guards.append({"source": guard, "target": guard, "status": "200", "condition": condition})
        folder = guard.removesuffix(REST)
        if folder != guard:
            source = folder.removesuffix("/")
            guards.append({**guards[0], "source": source, "target": folder, "status": "302"})
    keepers = [draft.judge(kept.place, written, quietly=True) for written in guards]
    return [Converted(redirect, each) for each in (*keepers, kept) if each is not None]


def unsayable(redirect: Redirect) -> Reason | None:
    """Why no rule can say it; None when one can."""
    others = [f"{key}={value}" for key, value in redirect.conditions.items() if key != "country"]
    if others or ("country" in redirect.conditions and not countries(redirect)):
        shown = ", ".join(others)[:80] or "no country"
        why = "decide that in the page or in a server behind a rule of status 200"
        return f"it is for {shown}, and Edge goes by country alone", why
    if redirect.is_signed:
        return "its requests are signed", "sign them in a gateway in front of that server"
    if f"{redirect.target}/".startswith("/.netlify/") or redirect.path.startswith("/.netlify"):
        why = "run it as a server, and ask that by a rule of status 200 with its URL as target"
        return "functions of Netlify do not run here", why
    if "?" in redirect.path:
        return "a path has no query on Netlify", "write key=value behind the path, and import again"
    if "*" in redirect.path[:-1]:
        why = "write a regular expression into redirects.json: </pattern/>"
        return "its star is not at the end", why
    if redirect.domain is not None:
        return unsayable_domain(redirect)
    plain = redirect.path.replace("*", ":splat").rstrip("/")
    if redirect.status in REDIRECTS and redirect.target.rstrip("/") == plain:
        why = "for slashes, set trailing_slash in app.yml to add or strip"
        return "it leads to its own path, without end", why
    return None


def unsayable_domain(redirect: Redirect) -> Reason | None:
    """The same for a domain, whose rules are about every path."""
    if redirect.path != "/*" or redirect.query:
        why = "put a rule for the path into the app of that domain"
        return "a source with a domain has neither path nor query here", why
    found = DOMAIN.fullmatch(redirect.target)
    if found and found[1].lower() == redirect.domain and redirect.status in REDIRECTS:
        return "it leads to its own domain", "tls.redirect_http in edge.yml sends http to https"
    if found is None and (redirect.status != "200" or ":splat" not in redirect.target):
        why = "give the domain a branch of its own in app.yml, with this rule without the domain"
        return "a rule from a domain cannot lead to one page", why
    return None


def countries(redirect: Redirect) -> list[str]:
    """The codes of its condition, in upper case."""
    codes = redirect.conditions.get("country", "").upper().split(",")
    return [code.strip() for code in codes if code.strip()]


def written_rules(redirect: Redirect) -> Iterator[dict[str, str | None]]:
    """A rule for each spelling of its path; the first decides the status of all."""
    condition = ", ".join(f"<{code}>" for code in countries(redirect)) or None
    status = ""
    for source, target in spellings(redirect):
        status = status or status_of(redirect, source, target)
        yield {"source": source, "target": target, "status": status, "condition": condition}


def spellings(redirect: Redirect) -> Iterator[tuple[str, str]]:
    """Source and target, as written, then with the last slash the other way round."""
    source = "/".join(map(place_segment, redirect.path.removesuffix("*").split("/")))
    query = "&".join(f"{escape(key)}={place_value(value)}" for key, value in redirect.query.items())
    names = PLACEHOLDER.findall(f"{source}?{query}")
    has_rest = redirect.path.endswith("*")
    source += REST if has_rest else ""
    domain = f"https://{redirect.domain}" if redirect.domain is not None else ""
    ending = f"?{query}" if query else ""
    yield domain + source + ending, fill(redirect.target, names, REST if has_rest else None)
    other = None if domain else other_spelling(source)
    if other is not None and not (has_rest and SPLAT_WITHIN.search(redirect.target)):
        yield other + ending, fill(redirect.target, names, "" if has_rest else None)


def place_segment(segment: str) -> str:
    """A segment of a path, with `<name>` for `:name`."""
    found = WHOLE.fullmatch(segment)
    return f"<{found[1]}>" if found else INNER.sub(r"<\1>", escape(segment))


def place_value(value: str) -> str:
    """A parameter's value, the same."""
    found = WHOLE.fullmatch(value)
    return f"<{found[1]}>" if found else escape(value)


def escape(text: str) -> str:
    """Literal text, without what means more here than on Netlify."""
    return re.sub("[<>&]", lambda found: f"%{ord(found[0]):02X}", text)


def fill(target: str, names: Sequence[str], rest: str | None) -> str:
    """The target with what the source captures, and `rest` for its splat."""
    places = {name: f"<{name}>" for name in names} | ({} if rest is None else {"splat": rest})
    longest_first = sorted(map(re.escape, places), key=len, reverse=True)
    text = re.sub("[<>]", lambda found: f"%{ord(found[0]):02X}", target)
    if not places:
        return text
    pattern = rf":({'|'.join(longest_first)})(?!\w)"
    return re.sub(pattern, lambda found: places[found[1]], text)


def other_spelling(source: str) -> str | None:
    """The source with or without its last slash; None where Netlify knows one alone."""
    if source.endswith("/" + REST):
        return source.removesuffix("/" + REST) or None
    last = PLACEHOLDER.sub("", source.rpartition("/")[2])
    if source == "/" or source.endswith(REST) or "." in last:
        return None
    return source.removesuffix("/") if source.endswith("/") else source + "/"


def status_of(redirect: Redirect, source: str, target: str) -> str:
    """The status that comes nearest to what it does where a file exists."""
    if redirect.force:
        return "410" if redirect.status == "404" else redirect.status
    if redirect.status != "200" or source == target:
        return redirect.status
    return "fallback" if ORIGIN.match(target) or is_page(source, target) else "200"


def is_page(source: str, target: str) -> bool:
    """Whether a rewrite is for pages alone: one that takes files would hide those that exist."""
    if "." in PLACEHOLDER.sub("", source.rpartition("/")[2]):
        return False
    if source.startswith("/<"):
        return True
    last = re.split("[?#]", target)[0].rpartition("/")[2]
    return last.endswith((".html", ".htm")) or not ("." in last or last.endswith(">"))


# Requests that a rule means


def guard_of(rule: Rule) -> str | None:
    """The paths that a redirect leads to, as a source, if they are among those it leads from."""
    target = rule.target
    if rule.status not in REDIRECTS or not isinstance(target, str) or ORIGIN.match(target):
        return None
    path = "/" + re.split("[?#]", target)[0].removeprefix("/")
    request = request_for(path)
    if request is None or compile_source(rule.source).match(request) is None:
        return None
    folder, is_open, _ = path.partition("<")
    return f"{folder.rpartition('/')[0]}/{REST}" if is_open else path


def request_for(
    path: str, query: str = "", host: str = "", country: str | None = None
) -> Subject | None:
    """A request for what a source or target says, with something in each of its places."""
    text = PLACEHOLDER.sub(lambda found: "~/~" if found[0] == REST else "~", path)
    raw = quote(text, safe=LITERAL).encode()
    parameters = PLACEHOLDER.sub("~", query).encode() or None
    try:
        decoded = decode_path(raw)
    except MalformedRequest:
        return None
    return Subject(decoded, raw, parameters, host, country, Budget(time.process_time))
