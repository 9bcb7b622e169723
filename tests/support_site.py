"""What tests of deciding share: apps compiled in memory, and requests to them. Nothing is read."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edge.http.fields import FieldList, Line
from edge.http.message import Request
from edge.site.documents import App, decode_app
from edge.site.exchange import Exchange, open_exchange
from edge.site.expressions import Budget
from edge.site.generation import Activation, AppState, BranchState, RetainedFile
from edge.site.headers import CustomHttp, HeaderPlan, decode_headers
from edge.site.library import Library, compile_app
from edge.site.manifest import Entry, Header, Manifest
from edge.site.plan import compile_plan
from edge.site.rule import Rule
from edge.site.settings import Settings
from edge.site.snapshot import Branch, CompiledApp, Site, Snapshot

DOMAIN = "x.test"
ACTIVE_AT = 1_000
"""Epoch seconds since when everything here serves."""

RuleRow = tuple[Any, ...]
"""(source, target, status, condition), as far as they are not left out."""

UNHURRIED = Budget(lambda: 0.0)
"""Where patterns take no time."""

counter = itertools.count()


def entry(path: str) -> Entry:
    """A file, whose hash is its name's."""
    return Entry(path, hashlib.sha256(path.encode()).hexdigest(), len(path), "text/plain", {})


def manifest_of(files: Iterable[str], identifier: str = "d") -> Manifest:
    """The manifest of a deployment with these files."""
    manifest = Manifest(Header(id=identifier, app="", branch="", label="", created=0.0))
    manifest.add([entry(path) for path in files])
    return manifest


def rules_of(rows: Sequence[RuleRow]) -> list[Rule]:
    """Rules as they are stored."""
    keys = ("source", "target", "status", "condition")
    return [Rule(**dict(zip(keys, row, strict=False))) for row in rows]


def app_of(text: str) -> App:
    """The configuration that an `app.yml` says."""
    app, mistakes = decode_app(text, "app.yml")
    assert app is not None, mistakes
    return app


def fields_of(plan: HeaderPlan, path: str) -> tuple[Line, ...]:
    """The custom fields of a decoded path."""
    return plan.merge(plan.matching(path))


def compile_site(
    active: Iterable[str] | None,
    *,
    name: str = "site",
    app_yml: str | None = "",
    rules: Sequence[RuleRow] = (),
    carried: bool = False,
    headers: str = "",
    previous: Iterable[str] | None = None,
    retained: Mapping[str, float] | None = None,
) -> CompiledApp:
    """
    An app whose branch `main` has these files, all of it loaded.

    `retained`: path → until when it is kept. `app_yml` None: it has no valid configuration.
    `carried`: the rules came with the deployment.
    """
    library = Library()
    plan = library.plans["rules"] = compile_plan(rules_of(rules))
    document, mistakes = decode_headers(headers, "customHttp.yml")
    assert document is not None, mistakes
    library.headers["headers"] = document
    state = BranchState(
        name="main",
        label="main",
        active=None if active is None else Activation(deployment="new", at=ACTIVE_AT),
        previous=None if previous is None else Activation(deployment="old", at=500),
        retained=None if retained is None else "retained",
        rules="rules" if carried else None,
    )
    config = None if app_yml is None else app_of(app_yml)
    app = AppState(
        name=name, config=config, branches={"main": state}, rules="rules", headers="headers"
    )
    compiled = compile_app(f"key {next(counter)}", app, DOMAIN, library)
    assert compiled.branches["main"].plan is plan
    load(compiled.branches["main"], active, previous, retained)
    return compiled


def load(
    branch: Branch,
    active: Iterable[str] | None,
    previous: Iterable[str] | None,
    retained: Mapping[str, float] | None,
) -> None:
    """What a worker reads from the disk at the first request."""
    if branch.active is not None and active is not None:
        branch.active.manifest = manifest_of(active, "new")
    if branch.previous is not None and previous is not None:
        branch.previous.manifest = manifest_of(previous, "old")
    if branch.retained is not None and retained is not None:
        branch.retained.files = {
            path: RetainedFile(deployment="older", created=1.0, until=until, entry=entry(path))
            for path, until in retained.items()
        }


def site_of(active: Iterable[str] | None, **options: Any) -> Site:
    """The site of such an app on the default domain."""
    app = compile_site(active, **options)
    return app.hosts[f"main.{app.state.name}.{DOMAIN}".encode()]


def snapshot_of(*apps: CompiledApp, settings: Settings | None = None) -> Snapshot:
    """A world of these apps."""
    hosts = {host: site for app in apps for host, site in app.hosts.items()}
    return Snapshot(1, {app.state.name: app for app in apps}, hosts, settings)


def request_of(target: str, method: str = "GET", **fields: str) -> Request:
    """A request; underscores in field names become dashes."""
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return Request(
        method=method.encode(),
        target=target.encode(),
        authority=b"",
        fields=FieldList(lines),
        version=b"1.1",
        stream=0,
        ends=True,
        expects=False,
    )


def decided(
    site: Site, target: str = "/", method: str = "GET", country: str | None = None, **fields: str
) -> Exchange:
    """The exchange of a request, after the rules before files."""
    request = request_of(target, method, **fields)
    exchange = open_exchange(request, site, country, Budget(time.process_time))
    exchange.decide()
    return exchange


def state_of(*labels: str, config: App | None = None, at: float = 100.9) -> AppState:
    """An app with these branches, each with an active and a previous deployment."""
    return AppState(
        name="app",
        config=config or App(),
        branches={
            label: BranchState(
                name=label,
                label=label,
                active=Activation(deployment=f"{label}-2", at=at),
                previous=Activation(deployment=f"{label}-1", at=50.2),
            )
            for label in labels
        },
    )


def library_of(**documents: CustomHttp) -> Library:
    """A library with these headers, for as long as the caller keeps them."""
    found = Library()
    found.headers.update(documents)
    return found
