"""Rules, access and files under attack, over real sockets: by outsiders and by other tenants."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import re
import subprocess
from urllib.parse import unquote_to_bytes

import aiohttp
import pytest

from edge.control.passwords import hash_password
from tests.scenarios.test_demo import CHROMIUM, FLAGS, page_endpoint
from tests.support import Node, eventually
from tests.support_hostile import Reply, Wire, ask_http2, browser_host, canonical, hosts_of
from tests.support_serving import Site

# What is asked for

AUTHORITIES = [
    b"//evil.example", b"///evil.example", b"/%2fevil.example", b"%2f%2fevil.example",
    b"%2F/evil.example", b"/\\evil.example", b"\\\\evil.example", b"%5cevil.example",
    b"/%5cevil.example", b"%5C%5Cevil.example", b"\\/evil.example", b"%5c/evil.example",
    b"https:evil.example", b"https:/evil.example", b"https://evil.example", b"HTTP:evil.example",
    b"https:%2f%2fevil.example", b"https%3a//evil.example", b"https:\\\\evil.example",
    b"javascript:alert(1)", b"data:text/html,evil", b"@evil.example", b"/@evil.example",
    b"a:b@evil.example", b"%40evil.example", b".evil.example", b".evil.example/", b":80@evil",
    b"evil.example", b"evil.example%2f", b"evil.example%23", b"evil.example%3f", b"[::1]",
    b"%5b::1%5d", b"/%ef%bc%8fevil.example", b"%ef%bc%8f%ef%bc%8fevil.example",
    b"%ef%bc%8e%ef%bc%8e", "//evil。example".encode(), b"//evil%E3%80%82example",
    b"/.//evil.example", b"./evil.example", b"/./evil.example", b".//evil.example",
    b"..//evil.example", b"x/..//evil.example", b"x/%2e%2e//evil.example",
    b"%2e%2e%2f%2fevil.example", b"/..//evil", b"?//evil.example", b"%3f//evil.example",
    b"%23//evil.example", b"&//evil.example", b";//evil",
]  # fmt: skip
CONTROLS = [
    b"%09", b"%0a", b"%0d", b"%0d%0a", b"%00", b"%7f", b"%c2%85", b"%e2%80%a8",
    b"%0D%0ASet-Cookie:a=b", b"%0d%0a%0d%0a<script>", b"a%0aX-Evil:1", b"%E5%98%8A%E5%98%8D",
    b"%%0d0a", b"%25%30%61", b"/%09/evil.example", b"%09//evil.example", b"/%0a/evil.example",
    b"%20//evil.example", b"%20", b"%20%20", b"x%20", b"+", b"%a0", b"%c2%a0//evil.example",
    b"%e2%80%8b", b"%ef%bb%bf//evil.example", b"%u000d", b"\x00", b"a\x00b", b"a\tb", b"a\nb",
    b"a\rb", b"a\r\nX-Evil: 1", b"a\x0bb", b"a\x7fb", b"a b", b" /", b"\t/", b"a\x80b", b"\xff",
    b"\xc3\xa9", b"%0d%0aLocation:%20https://evil.example", b" HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET /",
]  # fmt: skip
EXPANSIONS = [
    b"{x}", b"{env.HOME}", b"${x}", b"$1", b"$$1", b"$%3Cx%3E", b"<x>", b"<*>", b"%3C*%3E",
    b"%3Cx%3E", b"%3Cto%3E", b"%3Ca%3E%3Cb%3E", b"%241", b"%7Bx%7D", b"\\1", b"%5c1", b"%25s",
    b"%(x)s", b"#{7*7}", b"{{7*7}}", b"`id`", b"'\"><svg>", b"%27%22%3E%3Csvg%3E", b"&amp;",
    b"%26a=b", b"a=b&c=d",
]  # fmt: skip
TRAVERSALS = [
    b"..", b"../", b"/..", b"../..", b"%2e%2e", b"%2E%2E/", b".%2e", b"%2e.", b"%2E./x", b"..;/",
    b"..;", b"...", b".../", b"....//", b".", b"./", b"%2e", b"a/..", b"a/../..", b"a/../../x",
    b"a/%2e%2e/x", b"..%2f", b"..%2fsecret.txt", b"%2e%2e%2fsecret.txt", b"..%5c", b"..\\",
    b"..%5csecret.txt", b"%252e%252e", b"%252e%252e%252f", b"%252e%252e/secret.txt",
    b"..%252fsecret.txt", b"%25%32%65", b"%c0%ae%c0%ae/", b"%c0%ae%c0%ae%c0%afsecret.txt",
    b"%c0%af", b"%e0%80%af", b"%f0%80%80%af", b"%c1%9c", b"%ed%a0%80", b"%ff%fe", b"%80", b"%c3",
    b"%ef%bc%8e%ef%bc%8e/secret.txt", b"%", b"%2", b"%zz", b"../vault/secret.txt",
    b"../../vault/main/secret.txt", b"%2e%2e/%2e%2e/vault/secret.txt", b"secret.txt",
    b"/secret.txt", b"vault/secret.txt", b"/etc/passwd", b"..%00/secret.txt", b"private.html%00.js",
    b"private.html%2f.js", b"private.html;.js", b"private.html/.js", b"private", b"private.html/",
    b"vault", b"main", b"private/../app.js", b"app.js/../private.html", b"app.js/..%2fprivate.html",
    b"app.js%2f..%2f..%2fprivate.html", b"app.js?/../private.html", b"app.js%3f/../private.html",
    b"open/../private.html", b"open/%2e%2e/private.html", b"open/..;/private.html",
    b"open//../private.html", b"open/x/../../private.html", b"/open/free.html",
    b"//open/../private.html", b"PRIVATE.html", b"private.HTML", b"private.html.",
    b"private.html%20", b"private.html::$DATA", b"%70rivate.html", b"p%72ivate.html", b"index.html",
    b"redirects.json", b"customHttp.yml", b"404.html",
]  # fmt: skip
LONG = [
    b"a" * 8000, b"/" * 8000, b"%20" * 2600, b"a/" * 3900, b"../" * 2600, b"a/../" * 1550,
    b"%0d%0a" * 1300, b'"' * 7900, b"%" * 7900, b"%C3%A9" * 1300, b"&" * 7900, b"a" * 8200,
    b"a" * 20_000,
]  # fmt: skip
PAYLOADS = [*AUTHORITIES, *CONTROLS, *EXPANSIONS, *TRAVERSALS, *LONG]
LAST = ["", "/", "/x", "/../x"]

# What answers

HOST = b"main.%b.edge.localhost"
OTHER = "other.example"

REDIRECTS = {
    "splat": ("/r/<*>", "/<*>", b"/r/%b"),
    "splat-bare": ("/r/<*>", "<*>", b"/r/%b"),
    "splat-deep": ("/r/<*>", "/n/<*>/z", b"/r/%b"),
    "name": ("/<x>", "/<x>/y", b"/%b"),
    "name-bare": ("/n/<x>", "<x>", b"/n/%b"),
    "pair": ("/go/<a>/<b>", "/<a>/<b>", b"/go/%b/%b"),
    "joined": ("/go/<a>/<b>", "<b><a>", b"/go/%b/%b"),
    "extension": ("/<x>.php", "/<x>.html", b"/%b.php"),
    "group": ("</^/r/?(.*)$/>", "$1", b"/r/%b"),
    "group-named": ("</^/r/(?<x>.*)$/>", "/$<x>?to=<x>#<x>", b"/r/%b"),
    "group-absent": ("</^/r(x)?(.*)$/>", "$1$2", b"/r%b"),
    "parameter": ("/q?to=<x>", "<x>", b"/q?to=%b"),
    "parameter-all": ("/q?to=<x>", "/<x>/y?next=<x>&a=b#<x>", b"/q?to=%b"),
    "parameter-path": ("/q/<*>?to=<x>", "/<x>/<*>", b"/q/%b?to=%b"),
    "query": ("/q/<*>", "/n/<*>", b"/q/a?%b"),
    "fragment": ("/r/<*>", "/n#<*>", b"/r/%b"),
    "elsewhere": ("/r/<*>", f"https://{OTHER}/<*>", b"/r/%b"),
    "elsewhere-port": ("/r/<*>", f"http://{OTHER}:8080/n/<*>", b"/r/%b"),
    "elsewhere-query": ("/q?to=<x>", f"https://{OTHER}?to=<x>#<x>", b"/q?to=%b"),
    "tenant": ("/q?to=<x>", "https://<x>.example.com/<x>", b"/q?to=%b"),
    "tenant-path": ("/<x>/r", "https://<x>.example.com", b"/%b/r"),
    "domain": ("https://domain.test", "/n/", b"/%b"),
    "domain-bare": ("https://domain-bare.test", "/", b"/%b"),
    "domain-rest": ("https://domain-rest.test", "<*>", b"/%b"),
    "domain-www": ("https://domain-www.test", "https://www.domain-www.test", b"/%b"),
}
"""Source, target, and a request that its captures come from."""

SLASHES = {"add": b"/%b", "strip": b"/%b/", "auto": b"/docs/../%b/docs"}

REWRITES = {
    "rewrite": ("/w/<*>", "/<*>", "200", b"/w/%b"),
    "rewrite-bare": ("/w?f=<x>", "<x>", "200", b"/w?f=%b"),
    "rewrite-group": ("</^/w/(.*)$/>", "/docs/$1", "200", b"/w/%b"),
    "missing": ("/<*>", "/<*>", "404", b"/m/%b"),
    "fallback": ("/<*>", "/<*>", "fallback", b"/m/%b"),
    "refused": ("/<*>", "/<*>", "410", b"/%b"),
    "inside": ("/in/<*>", "https://main.inner.edge.localhost/<*>", "200", b"/in/%b"),
    "inside-name": ("/name?to=<x>", "https://<x>.inner.edge.localhost/", "200", b"/name?to=%b"),
    "proxied": ("/p/<*>", "http://127.0.0.1:9/<*>", "200", b"/p/%b"),
}
LOCKED = [
    b"/%b", b"/open/%b", b"/open/%b/private.html", b"/app.js%b", b"/app.js/%b", b"/pub/%b",
    b"/old/%b", b"/open/page/%b", b"/open/%b/../../private.html", b"/%b/open/free.html",
    b"/%b/../app.js", b"/.well-known/%b", b"/open/w?f=%b",
]  # fmt: skip
EXEMPT = {"/app.js": b"<<free>>", "/open/free.html": b"<<free>>", "/open/free": b"<<free>>"}

NODES_OWN = {
    "content-type", "content-length", "cache-control", "server", "date", "x-robots-tag",
    "x-request-id",
}  # fmt: skip
FILES_OWN = NODES_OWN | {
    "etag", "last-modified", "x-edge-deployment", "accept-ranges", "cache-status", "age", "vary",
}  # fmt: skip
EXPECTED = {
    301: NODES_OWN | {"location"},
    302: NODES_OWN | {"location"},
    200: FILES_OWN,
    404: FILES_OWN,
    410: FILES_OWN,
    401: NODES_OWN | {"www-authenticate"},
    502: NODES_OWN | {"proxy-status"},
    503: NODES_OWN | {"proxy-status", "retry-after"},
}
"""Field names that an answer of each status may have; others have those of the node's pages."""

BROKEN = {400, 414, 431, 505}
"""What is no request, or none that two readers would understand alike."""

UNSAYABLE = re.compile(rb'[\x00-\x20\x7f"<>`{}|^]')
"""What is refused in a target of HTTP/1.1 before anybody reads it."""

USER, PASSWORD, WRONG = "team", "correct horse battery", "hunter2hunter2"
SECRET = b"s3cr3t-s3cr3t-s3cr3t"
SLOW = r"</^/(?:a?){40}a{40}.*\d$/>"


def tree(marker: str) -> dict[str, str]:
    """Files that say whose they are."""
    names = ["index.html", "docs/index.html", "docs/guide.html", "a.html", "app.js", "404.html"]
    return {name: f"<<{marker}>> {name}" for name in names}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """Two workers with an app for each rule; at the end both live, and have not complained."""
    node = Node(tmp_path_factory.mktemp("hostile") / "node")
    try:
        deploy_all(Site(node.folder, edge_yml=(node.folder / "edge.yml").read_text()))
        node.start()
        workers = eventually(lambda: len(pids := node.pids("worker")) == 2 and pids)
        yield node
        assert node.pids("worker") == workers
        log = node.log.read_text()
        assert "Traceback" not in log
        assert not re.search(r"[0-9a-f]{8}: b.* failed", log)
    finally:
        node.kill_all()


@pytest.fixture
def wire(node):
    """A connection to the node."""
    with contextlib.closing(Wire(node.port)) as wire:
        yield wire


def deploy_all(site: Site) -> None:
    """Rules, access and files of every app, without a command for each."""
    for app, (source, target, _) in REDIRECTS.items():
        site.write_rules((source, target, "301"), app=app)
        host = source.removeprefix("https://")
        domains = f'domains: {{{host}: {{subdomains: {{"": main}}}}}}'
        site.configure(domains if host != source else "", app)
    for app, (source, target, status, _) in REWRITES.items():
        site.write_rules((source, target, status), app=app)
        site.configure("", app)
    for form in SLASHES:
        site.configure(f"trailing_slash: {form}", form)
    access = f"{{users: {{{USER}: '{hash_password(PASSWORD)}'}}, exempt: [%s]}}"
    exempt = "/open/*, /open/page/*, /app.js, /.well-known/**"
    site.configure(f"access: {access % exempt}", "locked")
    site.write_rules(*LOCKED_RULES, app="locked")
    site.configure(f"branches: {{vault: {{access: {access % ''}}}}}", "inner")
    for app in (*REDIRECTS, *SLASHES, *REWRITES, "inner", "slow"):
        site.deploy(tree(app), app=app)
    site.write_rules(*[(SLOW, "", "403")] * 30, app="slow")
    site.configure("", "slow")
    vault = {**tree("vault"), "secret.txt": "<<vault>>", "private.html": "<<vault>>"}
    site.deploy(vault, app="vault")
    site.deploy(vault, "vault", app="inner")
    free = {"app.js": "<<free>>", "open/free.html": "<<free>>"}
    site.deploy({**tree("private"), "private.html": "<<private>>", **free}, app="locked")
    site.deploy({"probe.txt": "<<probe>>"}, app="probe")


LOCKED_RULES = [
    ("/pub/<*>", "/<*>", "200"),
    ("/old/<*>", "/open/<*>"),
    ("/open/page/<*>", "/<*>", "200"),
    ("/open/w?f=<x>", "/<x>", "200"),
    ("/<*>", "/index.html", "404"),
    ("/<*>", "/index.html", "fallback"),
]
PROBE = HOST % b"probe", b"/probe.txt"


def host_of(app: str) -> bytes:
    """The host that an app's rule is about."""
    source = REDIRECTS.get(app, ("",))[0]
    found = source.removeprefix("https://")
    return HOST % app.encode() if found == source else found.encode()


def requests(template: bytes, *, more: bool = True) -> list[bytes]:
    """
    The template with every payload in all of its places; `more` is as the beginning of more.

    Without those that lead to the server of somebody else: nobody is asked.
    """
    places = template.count(b"%b")
    made = [template % ((payload,) * places) for payload in PAYLOADS]
    if more:
        short = [payload for payload in PAYLOADS if len(payload) < 100]
        made += [template % ((payload,) * places) + b"/x" for payload in short]
        if places > 1:
            made += [template % pair for pair in itertools.product(short[::7], short[::5])]
    return [each for each in made if not FOREIGN_NAME.match(each)]


FOREIGN_NAME = re.compile(rb"/name\?to=(?!(?:main|vault)(?:&|\Z))[A-Za-z0-9.-]+(?:&|\Z)")
"""A request for a host below `inner.edge.localhost` that this node does not serve."""


def check(app: str, target: bytes, answer: Reply) -> None:
    """What holds for every answer of the app, whatever was asked."""
    told = app, target[:300], answer
    names = EXPECTED.get(answer.status, NODES_OWN)
    assert set(answer.fields) <= names | {"connection"}, told
    assert answer.status < 500 or (answer.status in (502, 503) and app == "proxied"), told
    for marker in (b"<<vault>>", b"<<private>>", b"root:"):
        assert marker not in answer.content, told
    if answer.location is not None:
        check_location(app, answer.location, told)


def check_location(app: str, location: str, told: object) -> None:
    """It leads to the configured host alone, and holds nothing that was to be expanded again."""
    host = host_of(app).decode()
    target = REDIRECTS[app][1] if app in REDIRECTS else "/"
    found = hosts_of(location, f"http://{host}/a/b?c")
    if app in ("tenant", "tenant-path"):
        assert all(each.endswith(".example.com") for each in found), told
        assert "evil" not in "".join(found) or found == {"evil.example.example.com"}, told
    elif OTHER in target:
        assert found == {OTHER}, told
    elif app == "domain-www":
        assert found == {"www.domain-www.test"}, told
    else:
        assert found == {host}, told
        assert location.startswith("/"), told


APPS = [*REDIRECTS, *SLASHES, *REWRITES]
TEMPLATES = (
    {app: row[-1] for app, row in REDIRECTS.items()}
    | SLASHES
    | {app: row[-1] for app, row in REWRITES.items()}
)


@pytest.mark.parametrize("app", APPS)
def test_no_request_leads_elsewhere_or_splits_an_answer(wire, app):
    """Every payload over HTTP/1.1, each on the connection of the one before."""
    statuses = set()
    for target in requests(TEMPLATES[app]):
        answer = wire.ask_and_probe(host_of(app), target, PROBE)
        check(app, target, answer)
        statuses.add(answer.status)
    assert statuses > {400} or app in ("inside-name", "tenant"), statuses


@pytest.mark.parametrize("app", ["splat", "name-bare", "group", "parameter"])
def test_what_was_captured_is_never_expanded_again(wire, app):
    """Placeholders, groups and templates of all kinds are plain characters in a capture."""
    count = 0
    for payload in EXPANSIONS:
        answer = wire.ask(HOST % app.encode(), TEMPLATES[app] % payload)
        if answer.location is not None and b"&" not in payload:
            assert unquote_to_bytes(answer.location) == b"/" + unquote_to_bytes(payload)
            count += 1
    assert count > 8


@pytest.mark.parametrize("app", APPS)
def test_http2_answers_as_http1_does(node, wire, app):
    """The same payloads as `:path`, and those too that HTTP/1.1 has no way to say."""
    host, targets = host_of(app), requests(TEMPLATES[app], more=False)
    answers = ask_http2(node.port, [(host, target) for target in targets])
    for target, answer in zip(targets, answers, strict=True):
        is_sayable = not UNSAYABLE.search(target)
        assert answer is not None or not is_sayable, target[:300]
        if answer is not None:
            check(app, target, answer)
        if is_sayable:
            one = wire.ask(host, target)
            assert (one.status, one.location) == (answer.status, answer.location), target[:300]


# Access


def is_exempt(path: str) -> bool:
    """Whether a decoded path is one that needs no password, by a reading of our own."""
    is_open = re.fullmatch(r"/open/(?:page/)?[^/]*|/app\.js", path) is not None
    return is_open or path.startswith("/.well-known/")


@pytest.mark.parametrize("template", LOCKED)
def test_nothing_of_a_protected_branch_is_seen_without_its_password(wire, template):
    """Whatever is rewritten or missing: exempt paths alone answer, with exempt files alone."""
    for target in requests(template):
        answer = wire.ask_and_probe(HOST % b"locked", target, PROBE)
        told = target[:300], answer
        assert b"<<private>>" not in answer.content, told
        assert b"<<vault>>" not in answer.content, told
        assert answer.location is None, told
        path = canonical(target)
        if answer.status not in (401, *BROKEN):
            assert path is not None, told
            assert is_exempt(path), told
        if b"<<free>>" in answer.content:
            assert answer.status == 200, told


def test_exempt_files_are_seen_and_the_others_with_the_password(wire):
    """So that the test above has something to miss."""
    login = b"Authorization: " + credentials(PASSWORD)
    for path in (b"/app.js", b"/open/free.html", b"/open/free", b"/open/page/app.js"):
        assert b"<<free>>" in wire.ask(HOST % b"locked", path).content
    for path in (b"/", b"/private", b"/pub/private.html", b"/open/page/private", b"/nowhere"):
        answer = wire.ask(HOST % b"locked", path)
        assert (answer.status, answer.fields["cache-control"]) == (401, "no-store")
        answer = wire.ask(HOST % b"locked", path, login)
        assert b"<<private>>" in answer.content
        assert answer.fields["cache-control"] == "private, max-age=0"
    assert wire.ask(HOST % b"locked", b"/old/free", login).location == "/open/free"


def credentials(password: str) -> bytes:
    """The value of Authorization."""
    return b"Basic " + base64.b64encode(f"{USER}:{password}".encode())


def test_the_log_tells_no_secret(node, wire):
    """Neither what was right nor what was wrong, nor the query of a path that was too slow."""
    host = HOST % b"locked"
    for password, status in ((PASSWORD, 200), (WRONG, 401)):
        line = b"Authorization: " + credentials(password)
        assert wire.ask(host, b"/private.html?key=" + SECRET, line).status == status
    for malformed in (b"Basic %b", b"Bearer %b", b"Basic %b\xff", b"%b"):
        line = b"Authorization: " + malformed % credentials(SECRET.decode())
        assert wire.ask(host, b"/", line).status == 401
    slow = b"/" + b"a" * 160 + b"!?key=" + SECRET
    assert wire.ask(HOST % b"slow", slow).status == 503
    eventually(lambda: "answered with 503" in node.log.read_text())

    log = node.log.read_text()
    for secret in (PASSWORD, WRONG, SECRET.decode(), "$argon2"):
        assert secret not in log
    for password in (PASSWORD, WRONG, SECRET.decode()):
        assert credentials(password).decode().removeprefix("Basic ") not in log


# Hosts and fields

SPELLINGS = [
    (b"MAIN.splat.EDGE.localhost", 301), (b"main.splat.edge.localhost.", 301),
    (b"main.splat.edge.localhost:1", 301), (b"main.splat.edge.localhost:", 301),
    (b"main.splat.edge.localhost.:443", 301), (b"main.splat.edge.localhost..", 400),
    (b"main.splat.edge.localhost:0x50", 400), (b"main.splat.edge.localhost:99999", 400),
    (b"main.splat.edge.localhost:80:80", 400), (b"evil.example", 404), (b"", 400),
    (b"localhost", 404), (b"main.splat.edge.localhost@evil.example", 400),
    (b"evil@main.splat.edge.localhost", 400), (b"main.splat.edge.localhost, evil.example", 400),
    (b"main.splat.edge.localhost,evil", 400), (b"main.splat.edge.localhost/evil", 400),
    (b"main.splat.edge.localhost#evil", 400), (b"main.splat.edge.localhost?evil", 400),
    (b"main.splat.edge.localhost\\evil", 400), (b"main%2esplat.edge.localhost", 400),
    (b"main.splat.edge.localhost%00", 400), (b"main.splat.edge.localhost evil", 400),
    (b"[::1]", 404), (b"127.0.0.1", 404), (b"*", 400), (b"<script>", 400),
    (b"main.splat.edge.localhost\x00", 400), (b'"main.splat.edge.localhost"', 400),
]  # fmt: skip


@pytest.mark.parametrize(("host", "status"), SPELLINGS)
def test_a_host_is_one_name_or_refused(wire, host, status):
    """However it is spelled, it is never in a Location; nobody else's is answered for."""
    answer = wire.ask(host, b"/r/x")

    assert answer.status == status
    assert answer.location == ("/x" if status == 301 else None)
    assert b"<script>" not in answer.content


FORMS = [
    (b"http://main.splat.edge.localhost/r/x", b"main.splat.edge.localhost", 301),
    (b"HTTP://MAIN.splat.edge.localhost/r/x", b"main.splat.edge.localhost", 301),
    (b"https://main.splat.edge.localhost/r/x", b"main.splat.edge.localhost", 421),
    (b"http://main.splat.edge.localhost/r//evil.example", b"main.splat.edge.localhost", 301),
    (b"http://evil.example/r/x", b"main.splat.edge.localhost", 400),
    (b"http://main.splat.edge.localhost/r/x", b"evil.example", 400),
    (b"http://evil.example/r/x", b"evil.example", 404),
    (b"http://main.splat.edge.localhost@evil.example/r/x", b"main.splat.edge.localhost", 400),
    (b"http://evil@main.splat.edge.localhost/r/x", b"main.splat.edge.localhost", 400),
    (b"http:main.splat.edge.localhost/r/x", b"main.splat.edge.localhost", 400),
    (b"http:///r/x", b"main.splat.edge.localhost", 400),
    (b"ftp://main.splat.edge.localhost/r/x", b"main.splat.edge.localhost", 400),
    (b"http:\\\\main.splat.edge.localhost/r/x", b"main.splat.edge.localhost", 400),
    (b"http://main.splat.edge.localhost/r/x#f", b"main.splat.edge.localhost", 400),
    (b"main.splat.edge.localhost:80", b"main.splat.edge.localhost", 400),
    (b"r/x", b"main.splat.edge.localhost", 400),
    (b"*", b"main.splat.edge.localhost", 400),
    (b"//evil.example/r/x", b"main.splat.edge.localhost", 404),
]


@pytest.mark.parametrize(("target", "host", "status"), FORMS)
def test_a_target_of_another_form_agrees_with_its_host_or_is_refused(wire, target, host, status):
    """An absolute target that names another host than `Host` is no request."""
    answer = wire.ask(host, target)

    assert answer.status == status
    assert (answer.location is not None) == (status == 301)
    assert answer.location is None or hosts_of(answer.location, "http://own/") == {"own"}


FOREIGN = [
    b"X-Forwarded-Host: evil.example",
    b"X-Host: evil.example", b"X-Forwarded-Server: evil.example",
    b"Forwarded: host=evil.example;proto=https", b"X-Forwarded-Proto: https",
    b"X-Forwarded-Port: 1", b"X-Forwarded-Scheme: nothttps", b"X-Original-URL: /private.html",
    b"X-Rewrite-URL: /private.html", b"X-Original-Host: evil.example",
    b"X-HTTP-Method-Override: POST", b"X-HTTP-Method: DELETE", b"X-Method-Override: PUT",
    b"X-Forwarded-For: 127.0.0.1", b"X-Real-IP: 127.0.0.1", b"Via: 1.1 evil",
    b"X-Forwarded-Prefix: //evil.example", b"X-Country: US", b"CF-IPCountry: US", b"X-Amz-Cf-Id: 1",
    b"X-Accel-Redirect: /private.html", b"X-Sendfile: /etc/passwd", b"Cookie: a=b",
    b"Max-Forwards: 0",
]  # fmt: skip
PLAIN = [
    (b"splat", b"/r/x"), (b"elsewhere", b"/r/x"), (b"auto", b"/docs"), (b"inside", b"/in/a.html"),
    (b"rewrite", b"/w/a.html"), (b"missing", b"/nowhere"), (b"locked", b"/"),
    (b"locked", b"/app.js"),
]  # fmt: skip


def test_fields_that_proxies_write_mean_nothing_from_a_client(wire):
    """Neither the path, the method, the host nor the client is another by them."""
    volatile = ("date", "age", "cache-status", "connection", "x-request-id")
    for (app, path), method in itertools.product(PLAIN, (b"GET", b"HEAD", b"POST")):
        for _ in range(2):
            plain = wire.ask(HOST % app, path, b"Content-Length: 0", method=method)
            for line in FOREIGN:
                answer = wire.ask(HOST % app, path, b"Content-Length: 0", line, method=method)
                assert answer.without(*volatile) == plain.without(*volatile), (app, path, line)


# A real browser

BASE = "http://main.splat.edge.localhost/a/b?c"
NASTY = [payload for payload in AUTHORITIES if b"evil" in payload][:30] + CONTROLS[:14]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (.ci/packages installs it)")
def test_a_browser_stays_where_it_is(wire, tmp_path):
    """Chromium resolves each Location to the own host; our own reading of the standard agrees."""
    found: dict[str, bytes] = {}
    for app, payload in itertools.product(("splat", "group", "parameter", "query"), NASTY):
        template = TEMPLATES[app]
        answer = wire.ask(HOST % app.encode(), template % ((payload,) * template.count(b"%b")))
        if answer.location is not None:
            found[answer.location] = payload
    assert len(found) > 60

    samples = [payload.decode("latin-1") for payload in NASTY]
    hosts = evaluate(tmp_path, [*found, *samples])

    assert dict(zip(found, hosts, strict=False)) == dict.fromkeys(
        found, "main.splat.edge.localhost"
    )
    assert [browser_host(each, BASE) for each in samples] == hosts[len(found) :]


def evaluate(folder, locations: list[str]) -> list[str]:
    """The host of each as a browser resolves it; nothing for what is no URL to it."""
    profile = folder / "profile"
    browser = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        port_file = profile / "DevToolsActivePort"
        port = eventually(lambda: port_file.exists() and port_file.read_text()).split()[0]
        expression = f"{json.dumps(locations)}.map(each => {{{RESOLVE}}})"
        return asyncio.run(evaluate_at(int(port), expression))
    finally:
        browser.kill()
        browser.wait()


RESOLVE = f"try {{ return new URL(each, {BASE!r}).host }} catch (error) {{ return '' }}"


async def evaluate_at(port: int, expression: str) -> list[str]:
    """The value of an expression in the browser's first page."""
    endpoint = await page_endpoint(port)
    async with aiohttp.ClientSession() as session, session.ws_connect(endpoint) as socket:
        parameters = {"expression": expression, "returnByValue": True}
        await socket.send_json({"id": 1, "method": "Runtime.evaluate", "params": parameters})
        answer = json.loads((await socket.receive()).data)
        return answer["result"]["result"]["value"]
