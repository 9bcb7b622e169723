"""Nobody gets somebody else's answer: random requests in one worker, each told by a fresh one."""

from __future__ import annotations

import base64
import itertools
import random
import re

import bcrypt
import pytest

from tests.support_serving import Site

SEEDS = 12
REQUESTS = 150
"""For each seed: 1,800 requests in all, and as many workers that know nothing."""

TREE = {
    "index.html": "home " * 200, "about.html": "about " * 200, "docs/index.html": "docs",
    "app.js": "js " * 2000, "us.html": "us", "404.html": "nothing " * 100, "app-1a2b3c4d.js": "old",
    "open/free.html": "free " * 100, "img.png": "png",
}  # fmt: skip
RULES = [
    ("/about", "/docs/", "302", "<US>"),
    ("/m/<*>", "/us.html", "404", "<DE>"),
    ("/w", "/app.js", "200"),
    ("/w2", "/app.js", "200", "<US>"),
    ("/r/<*>", "/n/<*>"),
    ("/q?id=<x>", "/n/<x>"),
    ("/img.png?id=<x>", "/n/<x>"),
    ("/in/<*>", "https://main.locked.edge.localhost/<*>", "200"),
    ("/other/<*>", "https://main.other.edge.localhost/<*>", "200"),
    ("/gone", "/us.html", "410"),
    ("/<*>", "/index.html", "fallback"),
]
PLAIN_RULES = [("/other/<*>", "https://main.other.edge.localhost/<*>", "200")]
OTHER_RULES = [("/m/<*>", "/us.html", "404", "<US>"), ("/<*>", "/index.html", "fallback", "<DE>")]
HEADERS = """
customHeaders:
  - {pattern: '*.js', headers: [{key: Cache-Control, value: 's-maxage=5'}, {key: X-A, value: js}]}
  - {pattern: '/w', headers: [{key: X-A, value: w}]}
  - {pattern: '/docs/*', headers: [{key: Vary, value: X-B}]}
"""
HASHED = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
LOCKED = f"access: {{users: {{u: '{HASHED}', v: '{HASHED}'}}, exempt: [/open/*, /app.js, /w]}}"
SETTINGS = "clients: {trusted_proxies: [192.0.2.0/24], country_header: X-Country}"
HOSTS = [f"main.{app}.edge.localhost" for app in ("site", "locked", "other", "plain")]

TARGETS = [
    "/",
    "/about", "/about.html", "/docs", "/docs/", "/app.js", "/app.js?x=1", "/app.js?x=2", "/w",
    "/w2", "/m/x", "/r/x", "/r/x?a=b", "/q", "/q?id=1", "/q?id=2", "/img.png?id=1", "/in/",
    "/in/about", "/in/app.js", "/in/w", "/other/m/x", "/other/x", "/other/about", "/gone",
    "/nowhere", "/nowhere.js", "/img.png", "/open/free", "/open/x", "/app-1a2b3c4d.js",
    "/app-ffffffff.js", "/us.html", "/%61bout", "/in/../about",
]  # fmt: skip
REMEMBERED = ["/about", "/docs/", "/app.js", "/img.png", "/img.png?id=1"]
"""Where something could be remembered that is not everybody's."""

CHOICES = {
    "accept_encoding": [
        "gzip", "br", "zstd", "br;q=0, gzip", "identity", "*", "identity;q=0", "x" * 200, "",
    ],
    "range": ["bytes=0-9", "bytes=-5", "bytes=5-", "bytes=0-1,4-5", "bytes=99999-", "items=0-1"],
    "if_modified_since": ["Sun, 06 Nov 1994 08:49:37 GMT", "Tue, 01 Jan 2036 00:00:00 GMT"],
    "if_unmodified_since": ["Sun, 06 Nov 1994 08:49:37 GMT"],
    "accept": ["text/html,*/*", "application/json"],
    "x_country": ["US", "DE", "FR", "us", "XX"],
    "x_forwarded_for": ["203.0.113.9", "192.0.2.1, 203.0.113.9"],
    "x_forwarded_host": ["evil.example"],
    "x_original_url": ["/us.html"],
    "x_http_method_override": ["POST"],
    "cookie": ["a=b"],
    "cache_control": ["no-cache", "max-age=0", "only-if-cached"],
    "peer": ["198.51.100.1"],
    "authorization": [
        "Basic " + base64.b64encode(text).decode()
        for text in (b"u:correct horse", b"v:correct horse", b"u:wrong", b"w:correct horse")
    ],
}  # fmt: skip
VOLATILE = ("date", "age", "cache-status")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The state folder of an open app, a locked one, and one with countries of its own."""
    site = Site(tmp_path_factory.mktemp("poisoning"), "", SETTINGS)
    for app, rules, settings in (
        ("site", RULES, ""),
        ("locked", RULES, LOCKED),
        ("other", OTHER_RULES, ""),
        ("plain", PLAIN_RULES, ""),
    ):
        site.configure(settings, app)
        site.write_rules(*rules, app=app)
        site.write("customHttp.yml", HEADERS, app)
        site.deploy({**TREE, "app-ffffffff.js": "older"}, app=app)
        site.deploy(TREE, app=app)
    return site


def pick(
    chance: random.Random, places: list[tuple[str, str]], etags: list[str]
) -> tuple[tuple[str, str], ...]:
    """A request to one of the places, as pairs; some fields at random, often none."""
    host, target = chance.choice(places)
    asked = {"target": target, "host": host}
    asked["method"] = chance.choice(["GET"] * 6 + ["HEAD", "HEAD", "POST", "OPTIONS", "DELETE"])
    names = chance.sample([*CHOICES, "if_none_match", "if_match"], chance.randrange(4))
    for name in {*names, *chance.sample(["x_country", "authorization"], chance.randrange(2))}:
        asked[name] = chance.choice(CHOICES.get(name) or etags)
    return tuple(asked.items())


async def told(site: Site, asked: tuple[tuple[str, str], ...]):
    """All of an answer that does not vary by the second."""
    options = dict(asked)
    answer = await site.ask(options.pop("target"), **options)
    fields = {name: value for name, value in answer.fields.items() if name not in VOLATILE}
    kind = fields.get("content-type", "")
    content = answer.content
    if found := re.fullmatch(r"multipart/byteranges; boundary=(\w+)", kind):
        fields["content-type"] = "multipart/byteranges"
        content = content.replace(found[1].encode(), b"boundary")
    return answer.status, fields, content


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_an_answer_depends_on_its_request_alone(folder, seed):
    """Whatever was asked before, and however much time went by since."""
    chance = random.Random(seed)
    site = await folder.sibling()
    answers = [await site.ask("/app.js", accept_encoding=coding) for coding in ("", "gzip", "br")]
    etags = ["*", '"other"', *(answer.fields["etag"] for answer in answers)]
    every = list(itertools.product(HOSTS, TARGETS))
    places = chance.sample(every, 5) + [(HOSTS[seed % 4], target) for target in REMEMBERED]
    alone = {}
    asked: list[tuple[tuple[str, str], ...]] = []
    for _ in range(REQUESTS):
        again = chance.random() < 0.3 and asked
        request = chance.choice(asked) if again else pick(chance, places, etags)
        asked.append(request)
        if request not in alone:
            alone[request] = await told(await folder.sibling(), request)
        found = await told(site, request)
        if found[0] != 429:  # guesses of others from the same address count, and must
            assert found == alone[request], request
        if chance.random() < 0.05:
            site.pass_time(chance.choice([1, 6, 700]))


async def test_what_shared_caches_may_keep_is_everybodys(folder):
    """What a password or a country decided is never public, inside another host neither."""
    logins = [None, *CHOICES["authorization"][:3]]
    for host, target in itertools.product(HOSTS, TARGETS):
        site = await folder.sibling()
        seen = {}
        for country, login in itertools.product(("US", "DE", "FR", "XX"), logins):
            asked = {"target": target, "host": host, "x_country": country}
            asked |= {} if login is None else {"authorization": login}
            status, fields, content = await told(site, tuple(asked.items()))
            is_public = "public" in fields.get("cache-control", "")
            seen[is_public, status, fields.get("location"), content] = asked
        assert len(seen) == 1 or not any(is_public for is_public, *_ in seen), seen


async def test_a_country_decides_inside_another_host_too(folder):
    """Also where no rule of the host that was asked needs to know it; and then for one alone."""
    site = await folder.sibling()
    statuses = {}
    for country in ("US", "DE", "FR"):
        answer = await site.ask("/other/m/x", host=HOSTS[3], x_country=country)
        statuses[country] = answer.status
        assert answer.fields["cache-control"] == "private, max-age=0"
    assert statuses == {"US": 404, "DE": 200, "FR": 404}
