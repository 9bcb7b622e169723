"""
The page: who is not logged in gets a form, who is gets the state of the node.

Laws: pure; values in, HTML out. Nothing of the node is in what strangers get, and nobody is told
its version.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from edge.control.charts import GROUP, Chart, Row, figure, grouped
from edge.control.markup import (
    Content,
    Html,
    clock,
    in_bytes,
    join,
    number,
    percent,
    seconds,
    tag,
    value,
)
from edge.control.overview import HOUR, Overview, Traffic, percentile_of, words_of
from edge.control.page_style import ICON, STYLE
from edge.control.page_tables import (
    alarms_table,
    apps_table,
    branches_table,
    certificates_table,
    deploys_table,
    workers_table,
)
from edge.control.series import Minute

DOCTYPE: Final = Html("<!doctype html>\n")

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

REFRESH: Final = 60
"""Seconds between two pages, for who wants that."""


def document(title: str, *content: Content, refresh: int | None = None) -> Html:
    """A whole document."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", title),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="robots", content="noindex"),
        tag("meta", http_equiv="refresh", content=refresh) if refresh else None,
        tag("link", rel="icon", href=ICON),
        tag("style", Html(STYLE)),
    )
    return join(DOCTYPE, tag("html", head, tag("body", *content), lang="en"))


def login(told: str = "") -> Html:
    """The form for the token."""
    form = tag(
        "form",
        tag("h1", "Edge"),
        tag("p", told, class_="told", role="alert") if told else None,
        tag("input", name="username", autocomplete="username", value="edge", hidden=True),
        tag("label", "Token", for_="token"),
        tag(
            "input",
            id="token",
            name="token",
            type="password",
            required=True,
            autofocus=True,
            autocomplete="current-password",
            spellcheck="false",
        ),
        tag("button", "Log in", type="submit"),
        method="post",
        action="/login",
        class_="card",
    )
    return document("Edge", tag("main", form, class_="login"))


def framed(
    title: str,
    node: str,
    *content: Content,
    beside: Html | None = None,
    nav: Iterable[tuple[str, str]] = (),
    refresh: int | None = None,
) -> Html:
    """A page for who is logged in; `nav` are its parts by their anchors, in its head `beside`."""
    header = tag(
        "header",
        tag("a", "Edge", href="/", class_="mark"),
        tag("span", value(node), class_="node") if node else None,
        tag(
            "div",
            beside,
            tag(
                "form",
                tag("button", "Log out", class_="plain", type="submit"),
                method="post",
                action="/logout",
            ),
            class_="on",
        ),
    )
    skip = tag("a", "Skip to content", href="#main", class_="skip")
    links = [tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name in nav]
    parts = tag("nav", tag("ul", links), aria_label="On this page") if links else None
    main = tag("main", *content, id="main")
    return document(title, skip, header, parts, main, refresh=refresh)


def status(overview: Overview, *, is_refreshing: bool = False) -> Html:
    """The state of the node, or of one app."""
    about = overview.app or overview.node or "Status"
    query = quote(overview.query, safe="")
    toggle = tag("a", "Stop refreshing", href=f"/?app={query}" if query else "/")
    if not is_refreshing:
        href = "/?refresh=1" + (f"&app={query}" if query else "")
        toggle = tag("a", "Refresh every minute", href=href)
    parts = sections(overview)
    return framed(
        f"{about} · Edge",
        overview.node,
        state(overview),
        traffic(overview),
        [section(*each) for each in parts],
        beside=toggle,
        nav=[(anchor, title) for anchor, title, *_ in parts],
        refresh=REFRESH if is_refreshing else None,
    )


def state(overview: Overview) -> Html:
    """The first thing to see: whether somebody is needed."""
    words = words_of(overview)
    title = tag("h1", "App ", value(overview.app)) if overview.app else tag("h1", "Status")
    told: Content = [
        tag(
            "p",
            tag("a", tag("span", each.text, class_=f"tag {each.level}"), href=f"#{each.anchor}"),
        )
        for each in words
    ]
    if not words:
        told = tag("p", tag("span", fine(overview), class_="tag good"))
    about = f"generation {overview.generation} · {clock(overview.now)} UTC"
    scope = f" · this token may {overview.scope}" if overview.scope else ""
    back = tag("p", tag("a", "All apps", href="/")) if overview.app and not overview.scope else None
    return tag("div", title, told, tag("p", about, scope, class_="muted"), back, class_="state")


def fine(overview: Overview) -> str:
    """What is said where nothing is wrong."""
    if overview.workers is None:
        return "nothing to report"
    count = len(overview.workers)
    return f"all is well: {count} worker{'s serve' if count != 1 else ' serves'}"


# Traffic


def traffic(overview: Overview) -> Html:
    """The last hour in figures and charts."""
    found = overview.traffic
    if found is None:
        text = "Requests are counted by app; this token is for some of its branches."
        return tag("p", text, class_="card none")
    return join(
        tag("h2", "Last hour", class_="unseen"),
        figures(found),
        tag("div", [figure(each) for each in charts(found)], class_="charts"),
    )


def figures(found: Traffic) -> Html:
    """The hour in six numbers."""
    requests, broken = found.requests, found.errors(5)
    pairs: list[tuple[str, Content, str]] = [
        ("Requests", number(requests), "in the last hour"),
        ("Errors (5xx)", number(broken), f"{percent(broken, requests)} of requests"),
        ("Cache hit ratio", percent(found.hits, requests), f"{number(found.hits)} hits"),
        ("First byte, median", told(found.percentile(0.5)), "half are faster"),
        ("First byte, p95", told(found.percentile(0.95)), f"p99 {told(found.percentile(0.99))}"),
        ("Sent", in_bytes(found.bytes_down), "to clients"),
    ]
    cells = [
        tag("div", tag("dt", name), tag("dd", text, tag("small", more)))
        for name, text, more in pairs
    ]
    return tag("dl", cells, class_="card figures")


def told(duration: float | None) -> str:
    """A time to the first byte."""
    return "–" if duration is None else seconds(duration)


def charts(found: Traffic) -> list[Chart]:
    """Requests, errors, hits and times by minute."""
    return [requests_chart(found), errors_chart(found), hits_chart(found), times_chart(found)]


def requests_chart(found: Traffic) -> Chart:
    """Requests a minute."""
    values = [float(each.requests) for each in found.minutes]
    row = Row("requests", "ok", values, number(sum(values)), grouped(values))
    return Chart("requests", "Requests a minute", found.begins, [row])


def errors_chart(found: Traffic) -> Chart:
    """Errors a minute, those of the server below."""
    rows = []
    for kind, name, paint in ((5, "5xx", "bad"), (4, "4xx", "warn")):
        values = [float(each.classes[kind]) for each in found.minutes]
        rows.append(Row(name, paint, values, number(sum(values)), grouped(values)))
    return Chart("errors", "Errors a minute", found.begins, rows)


def parts_of(found: Traffic) -> list[list[Minute]]:
    """The minutes of each line of a chart's table."""
    return [found.minutes[start : start + GROUP] for start in range(0, HOUR, GROUP)]


def hits_chart(found: Traffic) -> Chart:
    """The share of answers that came of the store."""
    values = [100 * each.hits / each.requests if each.requests else None for each in found.minutes]
    lines: list[float | None] = []
    for part in parts_of(found):
        requests = sum(each.requests for each in part)
        lines.append(100 * sum(each.hits for each in part) / requests if requests else None)
    row = Row("of requests", "teal", values, percent(found.hits, found.requests), lines)
    return Chart(
        "hits",
        "Cache hits",
        found.begins,
        [row],
        lambda each: f"{each:.0f} %",
        100.0,
        stacked=False,
    )


def times_chart(found: Traffic) -> Chart:
    """How long clients wait for the first byte."""
    rows = []
    for share, name, paint in ((0.99, "p99", "violet"), (0.95, "p95", "ok"), (0.5, "p50", "teal")):
        rows.append(
            Row(
                name,
                paint,
                [percentile_of([each], share) for each in found.minutes],
                told(found.percentile(share)),
                [percentile_of(part, share) for part in parts_of(found)],
            )
        )
    return Chart("times", "Time to first byte", found.begins, rows, seconds, stacked=False)


# The rest


Section = tuple[str, str, Html] | tuple[str, str, Html, Html]
"""Anchor, title, content, and what stands beside the title."""


def sections(overview: Overview) -> list[Section]:
    """The tables, and the form."""
    found: list[Section] = []
    if overview.alarms is not None:
        found.append(("alarms", "Alarms", alarms_table(overview)))
    if overview.app is None and not overview.scope:
        found.append(("apps", "Apps", apps_table(overview), find_form(overview)))
    found.append(("branches", "Branches", branches_table(overview)))
    found.append(("deployments", "Recent deployments", deploys_table(overview)))
    if overview.certificates is not None:
        found.append(("certificates", "Certificates", certificates_table(overview)))
    if overview.workers is not None:
        found.append(("workers", "Workers", workers_table(overview)))
    found.append(("explain", "Explain", explain_form()))
    return found


def section(anchor: str, title: str, content: Html, beside: Html | None = None) -> Html:
    """A part of the page."""
    head = tag("div", tag("h2", title, id=f"{anchor}-h"), beside, class_="head")
    return tag("section", head, content, id=anchor, aria_labelledby=f"{anchor}-h")


def find_form(overview: Overview) -> Html:
    """Where an app is looked for."""
    return tag(
        "form",
        tag("label", "App", for_="app", class_="unseen"),
        tag("input", id="app", name="app", type="search", value=overview.query, placeholder="app"),
        tag("button", "Find", type="submit"),
        class_="find",
        method="get",
        action="/",
        role="search",
    )


def explain_form(url: str = "", method: str = "GET", country: str = "") -> Html:
    """Where a request is asked about."""
    options = [tag("option", each, selected=each == method) for each in METHODS]
    return tag(
        "form",
        tag(
            "div",
            tag("label", "Why is a request answered as it is? Its URL:", for_="url"),
            tag(
                "input",
                id="url",
                name="url",
                value=url,
                required=True,
                inputmode="url",
                placeholder="https://www.example.com/path",
                autocomplete="off",
                spellcheck="false",
            ),
            class_="grow",
        ),
        tag(
            "div",
            tag("label", "Method", for_="method"),
            tag("select", options, id="method", name="method"),
        ),
        tag(
            "div",
            tag("label", "Country", for_="country"),
            tag(
                "input",
                id="country",
                name="country",
                value=country,
                size=4,
                maxlength=2,
                placeholder="any",
                autocomplete="off",
            ),
        ),
        tag("div", tag("button", "Explain", type="submit")),
        class_="card ask row",
        method="post",
        action="/explain",
    )
