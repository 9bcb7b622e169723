"""
The tables of the page: alarms, apps, branches, deployments, certificates, workers.

Laws: pure. A state is a word with a sign, never a color alone; what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from edge.control.charts import grouped, spark
from edge.control.markup import (
    Content,
    Html,
    in_bytes,
    join,
    moment,
    number,
    percent,
    seconds,
    table,
    tag,
    value,
)
from edge.control.overview import (
    AppRow,
    BranchRow,
    DeployRow,
    Overview,
    counted,
    level_of,
)

Document = dict[str, Any]


def none(text: str) -> Html:
    """What stands where there is nothing."""
    return tag("p", text, class_="card none")


def more(shown: int, count: int, noun: str, hint: str = "") -> Html | None:
    """What is left out."""
    if shown >= count:
        return None
    text = f"{number(shown)} of {counted(count, noun)}"
    return tag("p", text, f": {hint}" if hint else None, class_="muted")


def cards(whole: Html) -> Html:
    """A table whose rows are cards on a phone."""
    return tag("div", whole, class_="cards")


def sign(text: str, level: str) -> Html:
    """A state."""
    return tag("span", text, class_=f"tag {level}")


def to_app(name: str) -> Html:
    """A link to an app's own page."""
    return tag("a", value(name), href=f"/?app={quote(name, safe='')}")


# Alarms


def alarms_table(overview: Overview) -> Html:
    """How every alarm stands, those that fire first."""
    alarms = overview.alarms or []
    if not alarms:
        return none("No alarm is set here: `alarms` in edge.yml.")
    order = ("firing", "pending", "ok")
    alarms = sorted(alarms, key=lambda each: order.index(each["state"]))
    rows = [alarm_row(each, overview.now) for each in alarms]
    heads = ("Alarm", "State", "App", "Condition", "#Value", "Since")
    return cards(table("Alarms", heads, rows))


def alarm_row(alarm: Document, now: float) -> Iterable[Content]:
    """One alarm."""
    level = {"firing": "bad", "pending": "warn"}.get(alarm["state"], "good")
    return (
        value(alarm["name"]),
        sign(alarm["state"], level),
        value(alarm["app"]) if alarm["app"] else "all",
        value(alarm["condition"]),
        "–" if alarm["value"] is None else measured(alarm["metric"], alarm["value"]),
        moment(alarm["since"], now) if alarm["since"] else "–",
    )


def measured(metric: str, amount: float) -> str:
    """A value in the unit of its metric."""
    if metric.startswith("latency"):
        return seconds(amount)
    if metric.startswith("bytes"):
        return in_bytes(amount)
    return f"{amount:.3g} %" if metric.endswith("percent") else number(amount)


# Apps and branches


def apps_table(overview: Overview) -> Html:
    """Apps by their requests."""
    if not overview.apps:
        text = f"No app is called {overview.query!r}." if overview.query else "There is no app yet."
        return none(text)
    heads = ("App", "#Branches", "#Requests", "Last hour", "#5xx", "#Cache hits", "#p95")
    rows = [app_cells(each) for each in overview.apps]
    left = more(
        len(rows), overview.app_count, "app", "those with most requests. Find shows others."
    )
    return join(cards(table("Apps, most requests first", heads, rows)), left)


def app_cells(row: AppRow) -> Iterable[Content]:
    """One app."""
    traffic = row.traffic
    slow = traffic.percentile(0.95)
    broken = traffic.errors(5)
    mistake = None if row.configured else join(" ", sign("no valid configuration", "bad"))
    return (
        join(to_app(row.name), mistake),
        number(row.branches),
        number(row.requests),
        spark(grouped([float(each.requests) for each in traffic.minutes], 5)),
        tag("span", number(broken), class_="bad" if broken else None),
        percent(traffic.hits, row.requests),
        "–" if slow is None else seconds(slow),
    )


def branches_table(overview: Overview) -> Html:
    """What serves where."""
    if not overview.branches:
        return none("Nothing was deployed yet: edge deploy.")
    heads = ("Branch", "App", "Since", "Active deployment", "Address")
    rows = [branch_cells(each, overview.now) for each in overview.branches]
    left = more(len(rows), overview.branch_count, "branch", "the newest. Each app shows its own.")
    return join(cards(table("Branches, newest activation first", heads, rows)), left)


def branch_cells(row: BranchRow, now: float) -> Iterable[Content]:
    """One branch."""
    return (
        value(row.name),
        to_app(row.app),
        moment(row.activated, now) if row.activated else "–",
        tag("code", row.deployment) if row.deployment else "none",
        address(row.url),
    )


def address(url: str | None) -> Content:
    """A link to where a branch answers."""
    if url is None or not url.startswith(("http://", "https://")):
        return "–"
    name = url.partition("://")[2]
    return tag("a", value(name), href=url)


def deploys_table(overview: Overview) -> Html:
    """What was deployed lately, and what became of it."""
    if not overview.deploys:
        return none("None yet.")
    heads = ("Deployment", "Result", "App", "Branch", "When", "Message")
    rows = [deploy_cells(each, overview.now) for each in overview.deploys]
    return cards(table("Recent deployments", heads, rows))


LEVELS = {"serves": "good", "failed": "bad", "rolled back": "warn", "replaced": "off"}


def deploy_cells(row: DeployRow, now: float) -> Iterable[Content]:
    """One deployment."""
    return (
        tag("code", row.id),
        sign(row.result, LEVELS[row.result]),
        to_app(row.app),
        value(row.branch),
        moment(row.at, now) if row.at else "–",
        value(row.text) if row.text else "",
    )


# The node


def certificates_table(overview: Overview) -> Html:
    """Certificates, those that need somebody first."""
    found = overview.certificates or []
    if not found:
        return none(
            "No name of this node needs one: listen.https is empty, or nothing is deployed."
        )
    heads = ("Name", "State", "Expires", "Source", "Next")
    rows = [certificate_cells(each, overview.now) for each in found]
    hint = "the most urgent. `edge certs` has all."
    left = more(len(rows), overview.certificate_count, "name", hint)
    return join(cards(table("Certificates, the most urgent first", heads, rows)), left)


def certificate_cells(each: Document, now: float) -> Iterable[Content]:
    """One name."""
    level = level_of(each, now)
    planned = each["next"]
    reason = each["stopped"] or (each["reason"] if each["state"] == "refused" else "")
    return (
        value(each["name"]),
        sign(each["state"], "good" if level == "ok" else level),
        moment(each["not_after"], now) if each["not_after"] else "–",
        value(each["issuer"] or each["source"]),
        next_of(planned, reason, now),
    )


def next_of(planned: Document | None, reason: str, now: float) -> Content:
    """What is done next about a certificate, or why nothing is."""
    if reason or planned is None:
        return value(reason) if reason else "–"
    when = moment(planned["at"], now) if planned["at"] > now else "now"
    return join(when, ", ", value(planned["why"]))


def workers_table(overview: Overview) -> Html:
    """The processes that serve."""
    if not overview.workers:
        return none("No worker answers.")
    heads = ("Worker", "State", "#Generation", "#Connections", "#Answers", "#5xx", "#Cache")
    rows = [worker_cells(each, overview.generation) for each in overview.workers]
    return cards(table("Workers", heads, rows))


def worker_cells(each: Document, generation: int) -> Iterable[Content]:
    """One worker."""
    responses, cache = each["responses"], each["cache"]
    if each["draining"]:
        state = sign("ending", "off")
    else:
        is_current = each["generation"] == generation
        state = sign("serves", "good") if is_current else sign("loading", "warn")
    return (
        tag("code", f"{each['pid']}"),
        state,
        number(each["generation"]),
        number(each["connections"]),
        number(sum(responses.values())),
        number(responses.get("5xx", 0)),
        f"{in_bytes(cache['bytes'])} of {in_bytes(cache['capacity'])}",
    )
