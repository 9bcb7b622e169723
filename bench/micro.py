"""
A price list: what one call of each hot function costs.

    python bench/micro.py                 all of it
    python bench/micro.py fields hosts    the items whose name has one of these words
    python bench/micro.py whole           a request from its bytes to the answer's, without a kernel

Beside the time: how many blocks a call takes from the allocator, and how many bytes in all
(`allocations.py`). These two are the same in every run, on every machine.

A request's budget is about 10 µs on one core (edge/README.md). A change that trades form for
speed brings a line here with it, and the numbers before and after in its commit message.

To add a price, add a line to `PRICES`: a name, the module, and a function that gets the module and
returns what is to be timed, called without arguments. What is not there, or has changed its shape,
is reported in its line and costs the others nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
import time
import timeit
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import allocations
from pipeline import BATCH, conversation
from rulesets import mixed_rules

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 7

NOW = 1_785_000_000
"""Epoch seconds; nothing here asks the time."""

REQUEST = (
    b"GET /docs/ HTTP/1.1\r\n"
    b"Host: main.demo.edge.localhost\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-GB,en;q=0.9\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"\r\n"
)
"""As a browser sends it, near enough."""


@dataclass(frozen=True, slots=True)
class Price:
    """One line of the list."""

    name: str
    module: str
    prepare: Callable[[Any], Callable[[], object]]
    """From the module, what is timed; whatever it builds first is not."""


def accept_encoding(fields: Any) -> Callable[[], object]:
    """The codings that a browser takes."""
    return partial(fields.acceptable_codings, b"gzip, deflate, br, zstd")


def condition(module: Any) -> Callable[[], object]:
    """A revalidation that ends in 304: one entity-tag, the right one."""
    fields = importlib.import_module("edge.http.fields").FieldList([(b"if-none-match", b'"abc"')])
    return partial(module.evaluate, b"GET", fields, b'"abc"', NOW)


def no_range(module: Any) -> Callable[[], object]:
    """The same for a request without Range, as nearly all are."""
    fields = importlib.import_module("edge.http.fields").FieldList([(b"accept", b"*/*")])
    return partial(module.select_ranges, fields, b'"abc"', NOW, 1024)


def http1_request(module: Any) -> Callable[[], object]:
    """A browser's request, on a connection kept open, until the next one may come."""
    connection = module.Http1(module.Limits())

    def once() -> object:
        request = connection.receive(REQUEST)
        connection.start_next()
        return request, connection.next()

    return once


def manifest_of(files: int) -> Any:
    """A manifest with that many pages."""
    module = importlib.import_module("edge.site.manifest")
    header = module.Header(id="d", app="a", branch="main", label="main", created=0.0)
    manifest = module.Manifest(header)
    manifest.add(
        module.Entry(f"section-{n % 100}/page-{n}.html", f"{n:064x}", 1024, "text/html", {})
        for n in range(files)
    )
    return manifest


def decision(path: bytes, query: bytes | None = None, rules: int = 5_000) -> Any:
    """What is timed: one decision of a plan of mixed rules, the request's own part included."""

    def prepare(plan: Any) -> Callable[[], object]:
        documents = importlib.import_module("edge.site.rule")
        subject = importlib.import_module("edge.site.subject").Subject
        budget = importlib.import_module("edge.site.expressions").Budget
        compiled = plan.compile_plan(documents.Rule(**each) for each in mixed_rules(rules))

        def decide() -> object:
            limited = budget(time.thread_time)
            return compiled.decide(subject(path.decode(), path, query, "h", None, limited))

        return decide

    return prepare


def exchange_of(headers: int) -> Any:
    """What is timed: opening an exchange on a site with that many entries of custom headers."""

    def prepare(exchange: Any) -> Callable[[], object]:
        headers_of = importlib.import_module("edge.site.headers")
        worlds = importlib.import_module("edge.control.rehearsals")
        rehearsal = importlib.import_module("edge.site.rehearsal")
        budget = importlib.import_module("edge.site.expressions").Budget
        world = worlds.inline((), ["docs/a.html"], "h.example")
        site = world.snapshot.hosts[b"h.example"]
        field = headers_of.Header(key="x-a", value="1")
        patterns = ["**", *(f"/folder-{n}/*" for n in range(headers - 1))][:headers]
        entries = [headers_of.HeaderEntry(pattern=p, headers=(field,)) for p in patterns]
        site.branch.headers = headers_of.HeaderPlan(entries)
        request = rehearsal.make_request(b"h.example", b"/docs/a")
        return lambda: exchange.open_exchange(request, site, None, budget(time.thread_time))

    return prepare


def clean_url(lookup: Any) -> Callable[[], object]:
    """`/section-7/page-7` → its file, among 10,000."""
    return partial(lookup.find_file, manifest_of(10_000), "/section-7/page-7", "auto")


def miss(lookup: Any) -> Callable[[], object]:
    """A path that no file answers, among 10,000."""
    return partial(lookup.find_file, manifest_of(10_000), "/wp-login.php", "auto")


PRICES = (
    Price("fields: Date line", "edge.http.fields", lambda m: partial(m.format_http_date, NOW)),
    Price(
        "fields: parse a date",
        "edge.http.fields",
        lambda m: partial(m.parse_http_date, b"Mon, 27 Jul 2026 09:00:00 GMT"),
    ),
    Price("fields: Accept-Encoding", "edge.http.fields", accept_encoding),
    Price(
        "fields: Cache-Control",
        "edge.http.fields",
        lambda m: partial(m.parse_cache_control, [b"public, max-age=0, s-maxage=600"]),
    ),
    Price(
        "fields: two entity-tags",
        "edge.http.fields",
        lambda m: partial(m.parse_entity_tags, b'"5b2f0c", W/"9a1c"'),
    ),
    Price("conditional: 304", "edge.http.conditional", condition),
    Price("conditional: no Range", "edge.http.conditional", no_range),
    Price("target: plain path", "edge.http.target", lambda m: partial(m.decode_path, b"/docs/a")),
    Price(
        "target: escaped path",
        "edge.http.target",
        lambda m: partial(m.decode_path, b"/caf%C3%A9/../a%20b"),
    ),
    Price("http1: browser's request", "edge.http.http1", http1_request),
    Price(
        "hosts: authority",
        "edge.site.hosts",
        lambda m: partial(m.parse_authority, b"Main.Demo.Edge.Localhost:8080"),
    ),
    Price("lookup: clean URL", "edge.site.lookup", clean_url),
    Price("lookup: miss", "edge.site.lookup", miss),
    Price("plan: 5,000 rules, none", "edge.site.plan", decision(b"/docs/a")),
    Price("plan: 5,000 rules, exact", "edge.site.plan", decision(b"/old/section-50/page-2050")),
    Price("plan: 5,000 rules, <*>", "edge.site.plan", decision(b"/blog-2056/a/b")),
    Price("plan: 5,000 rules, <name>", "edge.site.plan", decision(b"/shop-2058/hats/7")),
    Price("plan: 5,000 rules, ?query", "edge.site.plan", decision(b"/q-2059", b"id=7")),
    Price("plan: 5,000 rules, regex", "edge.site.plan", decision(b"/legacy-2099/7.aspx")),
    Price(
        "plan: 100,000 rules, exact",
        "edge.site.plan",
        decision(b"/old/section-50/page-2050", rules=100_000),
    ),
    Price("plan: 100,000 rules, <*>", "edge.site.plan", decision(b"/blog-2056/a/b", rules=100_000)),
    Price("exchange: open", "edge.site.exchange", exchange_of(0)),
    Price("exchange: 50 header entries", "edge.site.exchange", exchange_of(50)),
    Price(
        "manifest: fingerprint?",
        "edge.site.manifest",
        lambda m: partial(m.is_fingerprinted, "assets/site.1acfc8d8.css"),
    ),
    Price("whole: hit", "edge.node.worker", conversation("/docs/a")),
    Price("whole: hit, 50 browsers", "edge.node.worker", conversation("/docs/a", people=50)),
    Price(
        "whole: hit, a rare file",
        "edge.node.worker",
        conversation("/docs/a", pages=2 * BATCH),
    ),
    Price("whole: hit, ?query", "edge.node.worker", conversation("/docs/a?utm_source=b")),
    Price("whole: 304", "edge.node.worker", conversation("/docs/a", status=304)),
    Price("whole: 404", "edge.node.worker", conversation("/wp-login.php", status=404)),
    Price(
        "whole: redirect",
        "edge.node.worker",
        conversation("/old/section-50/page-50", status=301),
    ),
)


def nothing() -> None:
    """What timing costs by itself."""


def microseconds(call: Callable[[], object], seconds: float) -> tuple[float, float]:
    """(lowest, median) price of one call; each of the repeats takes about `seconds`."""
    timer = timeit.Timer(call)
    number, took = 1, timer.timeit(1)
    while took < seconds / 10:
        number *= 10
        took = timer.timeit(number)
    number = max(1, round(number * seconds / took))
    prices = [took / number * 1e6 for took in timer.repeat(REPEATS, number)]
    return min(prices), median(prices)


def line_of(
    price: Price, empty_us: float, seconds: float, taken: allocations.Taken | None = None
) -> str:
    """One line of the table, or what is missing for it."""
    try:
        call = price.prepare(importlib.import_module(price.module))
        call()
    except ImportError as absent:
        return f"{price.name:28} not there yet: {absent}"
    except Exception as problem:  # noqa: BLE001 - one price that changed its shape must not hide the others
        return f"{price.name:28} has changed: {type(problem).__name__}: {problem}"
    lowest, middle = (max(0.0, each - empty_us) for each in microseconds(call, seconds))
    figures = f"{lowest:9.3f} {middle:9.3f} {1 / middle if middle else 0:9.2f}"
    counts = f" {taken[0]:7.1f} {taken[1]:9,.0f}" if taken else ""
    return f"{price.name:28} {figures}{counts}"


def count(prices: list[Price]) -> None:
    """The other process: what each takes from the allocator, as JSON."""
    recorder = allocations.Recorder()
    found = {}
    for price in prices:
        with contextlib.suppress(Exception):  # its line in the table says what is wrong
            found[price.name] = recorder.taken(price.prepare(importlib.import_module(price.module)))
    print(json.dumps(found))


def chosen_prices(words: list[str]) -> list[Price]:
    """Those whose name has one of the words; without any, all."""
    return [price for price in PRICES if not words or any(word in price.name for word in words)]


def main() -> int:
    """0; a price that could not be had says so in its line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", help="only items whose name has one of these")
    parser.add_argument("--seconds", type=float, default=0.1, help="seconds a repeat (0.1)")
    parser.add_argument("--count", action="store_true", help="(the other process, which counts)")
    chosen = parser.parse_args()
    prices = chosen_prices(chosen.words)
    if chosen.count:
        count(prices)
        return 0
    taken = allocations.in_a_child(__file__, chosen.words)
    empty_us, _ = microseconds(nothing, chosen.seconds)
    print(f"{'':28} {'lowest µs':>9} {'median µs':>9} {'M calls/s':>9} {'blocks':>7} {'bytes':>9}")
    for price in prices:
        print(line_of(price, empty_us, chosen.seconds, taken.get(price.name)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
