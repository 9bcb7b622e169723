"""`explain` and live traffic are the same decision: random rules, headers, access and requests."""

from __future__ import annotations

import base64
import random

import msgspec
import pytest

from edge.control.passwords import hash_password
from edge.control.questions import ask
from edge.site import expressions
from tests.support_serving import Site

SEEDS = 24
REQUESTS = 150
"""For each seed: 3,600 requests in all."""

FILES = [
    "index.html", "about.html", "app.js", "docs/index.html", "docs/guide.html", "docs/404.html",
    "404.html", "a/b/c.html", "a/index.html", "x-1a2b3c4d.css", "é.html", "b",
]  # fmt: skip
WORDS = ["", "a", "b", "docs", "about", "app.js", "guide", "é", "x", "index.html", "nowhere", "1"]
PLACES = ["<x>", "<y>.html", "p-<z>", "<*>"]
HOSTS = ["main.site.edge.localhost", "www.one.example", "two.example", "docs.one.example"]
EXPRESSIONS = [
    "</^/a/(.*)$/>",
    r"</\.html$/>",
    "</(?<x>docs)/>",
    r"</^[^.]+$|\.(?!(css|js)$)([^.]+$)/>",
]
STATUSES = ["301", "302", "308", "200", "200", "404", "404-200", "fallback", "410", "403", "451"]
APP = """
domains:
  one.example: {{subdomains: {{"www": main, docs: docs}}}}
  two.example: {{subdomains: {{"": main}}}}
trailing_slash: {slash}
branches: {{main: {{performance_mode: {performance}, access: {access}}}}}
"""
PASSWORD = hash_password("correct horse")
LOGIN = "Basic " + base64.b64encode(b"team:correct horse").decode()
SETTINGS = """
clients: {trusted_proxies: [192.0.2.0/24], country_header: X-Country}
proxy: {connect_to: {"other.example:443": "127.0.0.1:1"}}
"""
"""Nobody listens on port 1: an origin that is asked is an error of ours, and that is seen."""


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """Two decisions are compared, not how long each takes on a busy machine."""
    monkeypatch.setattr(expressions, "LIMIT", 5.0)
    monkeypatch.setattr(expressions, "MATCHING", 5.0)


def pick_source(chance: random.Random) -> str:
    """Any kind of source."""
    match chance.randrange(10):
        case 0:
            return "https://" + chance.choice(HOSTS[1:])
        case 1:
            return chance.choice(EXPRESSIONS)
        case 2:
            return "/<*>"
        case kind:
            segments = [chance.choice(WORDS) for _ in range(chance.randrange(1, 4))]
            if kind > 5:
                segments[-1] = chance.choice(PLACES)
            query = chance.choice(["", "", "", "?id=1", "?id=<q>", "?k"])
            return "/" + "/".join(segments) + query


def pick_rule(chance: random.Random) -> dict[str, object]:
    """A rule that decodes; its target uses what its source captures."""
    source, status = pick_source(chance), chance.choice(STATUSES)
    names = [name for name in ("<x>", "<*>", "<q>") if name in source]
    targets = ["/about", "/docs/", "/index.html", "/nowhere", "/docs/guide", "/x?y=1", "/x#top"]
    if status in ("301", "302", "308", "200", "fallback"):
        targets += [
            "https://other.example/z",
            "https://docs.one.example",
            "https://www.one.example/a",
        ]
    if names:
        targets += [f"/new/{chance.choice(names)}", f"/{chance.choice(names)}"]
    target = None if status in ("403", "410") and chance.random() < 0.5 else chance.choice(targets)
    condition = chance.choice([None, None, None, "<US>", "<US>, <DE>"])
    return {"source": source, "target": target, "status": status, "condition": condition}


def pick_headers(chance: random.Random) -> str:
    """Custom headers of some patterns."""
    patterns = ["**", "*.js", "/docs/*", "/docs/**", "/", "**/*.html", "/a*", "/{a,b}"]
    fields = ["Cache-Control: s-maxage=30", "X-One: 1", "X-One: 2", "Cache-Control: no-store",
              "Content-Type: text/x", "X-Robots-Tag: all", "Vary: X"]  # fmt: skip
    lines = ["customHeaders:"]
    for pattern in chance.sample(patterns, chance.randrange(1, 5)):
        key, value = chance.choice(fields).split(": ")
        lines.append(f"  - {{pattern: '{pattern}', headers: [{{key: {key}, value: '{value}'}}]}}")
    return "\n".join(lines)


def pick_request(chance: random.Random) -> dict[str, str]:
    """A request to one of the hosts."""
    path = "/" + "/".join(chance.choice(WORDS) for _ in range(chance.randrange(1, 4)))
    path = chance.choice([path, path, path, path + "/", path + "/../a", path.replace("a", "%61")])
    path += chance.choice(["", "", "", "?id=1", "?id=2&k=1", "?", "?k"])
    fields = {"x-country": chance.choice(["US", "DE", "FR"])} if chance.random() < 0.5 else {}
    if chance.random() < 0.3:
        fields["accept"] = "text/html,*/*"
    method = chance.choice(["GET"] * 6 + ["HEAD", "POST", "OPTIONS"])
    host = chance.choice([*HOSTS, HOSTS[0], "nobody.example"])
    return {"host": host, "target": path, "method": method, **fields}


async def live(site: Site, asked: dict[str, str], **more: str):
    """The answer of the worker."""
    options = {name.replace("-", "_"): value for name, value in (asked | more).items()}
    return await site.ask(options.pop("target").encode(), **options)


def told(site: Site, asked: dict[str, str]) -> dict[str, object]:
    """The answer of `explain`."""
    fields = {name: asked[name] for name in ("accept",) if name in asked}
    request = {
        "url": f"http://{asked['host']}{asked['target']}",
        "method": asked["method"],
        "country": asked.get("x-country"),
        "headers": fields,
    }
    body = msgspec.json.encode({"request": request})
    return ask(body, site.changes.rehearsals, site.changes.fleet.stored)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_explain_and_live_traffic_agree(tmp_path, seed):
    """Status, Location, file, Cache-Control, custom fields, and whether a password is asked for."""
    chance = random.Random(seed)
    access = f"{{users: {{team: '{PASSWORD}'}}, exempt: [/docs/*]}}" if seed % 4 == 3 else "{}"
    app = APP.format(
        slash=chance.choice(["auto", "add", "strip", "leave"]),
        performance=chance.choice(["true", "false"]),
        access=access,
    )
    site = Site(tmp_path, app, SETTINGS)
    site.write_rules(*(pick_rule(chance) for _ in range(chance.randrange(1, 12))))
    site.write("customHttp.yml", pick_headers(chance))
    site.changes.reload()
    tree = {path: path for path in FILES}
    site.deploy({path: path for path in [*FILES, "old-BxK3d9Qz.js", "gone.html"]})
    site.deploy(tree)
    site.deploy(tree, branch="docs")
    await site.start()
    for _ in range(REQUESTS):
        asked = pick_request(chance)
        compare(
            told(site, asked), await live(site, asked), await live(site, asked, authorization=LOGIN)
        )


def compare(trail, bare, answer) -> None:
    """A trail with the answers without and with the password."""
    if trail["password"]:
        assert bare.status == 401, trail
    if trail["origins"] and not trail["status"]:
        assert answer.fields["proxy-status"].startswith("edge; error="), trail
        return
    assert trail["password"] or bare.status == answer.status, trail
    seen = answer.status, answer.fields.get("location")
    assert (trail["status"], trail["location"]) == seen, trail
    if trail["file"] is not None and answer.content:
        assert answer.content.decode() == trail["file"][1:], trail
    if trail["app"] is not None and trail["status"] not in (400, 405, 204, 508):
        fields = {name.lower(): value for name, value in trail["fields"]}
        vary = fields.pop("vary", "")
        assert vary in answer.fields.get("vary", ""), trail
        assert fields == {name: answer.fields.get(name) for name in fields}, trail
