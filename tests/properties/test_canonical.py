"""One path, however it is spelled: the same decision, the same verdict, the same file."""

from __future__ import annotations

import asyncio
import base64
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.control.passwords import hash_password
from edge.http.target import decode_path
from tests.support_serving import Site

TREE = {
    "index.html": "home", "about.html": "about", "docs/index.html": "docs",
    "docs/a b.html": "blank", "docs/404.html": "no doc", "404.html": "nothing", "app.js": "js",
    "é/ü.html": "letters", "a%2Fb.txt": "a slash", "100%.txt": "percent", "open/free.html": "free",
    "a+b&c=d;e.txt": "marks", ".well-known/x": "well known", "..x/y.txt": "two dots",
    "big.txt": "big " * 2000, "日本/語.html": "j",
}  # fmt: skip
RULES = [
    ("/old/<*>", "/new/<*>", "301"),
    ("/about", "/docs/", "302", "<US>"),
    ("/go/<a>-<b>", "/<b>/<a>", "307"),
    (r"</^/re(é+)?/(\w+)$/>", "/$2", "302"),
    ("/show/<*>", "/<*>", "200"),
    ("/gone/é", "", "410"),
    ("/q?k=<v>", "/<v>", "301"),
    ("/spa/<*>", "/index.html", "fallback"),
    ("/lost/<*>", "/about.html", "404"),
    ("/open/as/<*>", "/<*>", "200"),
]
HEADERS = """
customHeaders:
  - {pattern: '/docs/*', headers: [{key: X-Which, value: docs}]}
  - {pattern: '**/*.js', headers: [{key: X-Which, value: js}]}
  - {pattern: '/é/**', headers: [{key: X-Which, value: letters}]}
"""
ACCESS = (
    "branches: {{locked: {{access: {{users: {{u: '{}'}}, exempt: [/open/**, /é/*, /app.js]}}}}}}"
)
SETTINGS = "clients: {trusted_proxies: [192.0.2.0/24], country_header: X-Country}"
LOGIN = "Basic " + base64.b64encode(b"u:correct horse").decode()

PATHS = [
    "/",
    "/about", "/about/", "/docs", "/docs/", "/docs/a b", "/docs/nowhere", "/nowhere", "/app.js",
    "/é/ü", "/é/ü.html", "/é/", "/a%2Fb.txt", "/100%.txt", "/open/free", "/open/free.html",
    "/open/", "/a+b&c=d;e.txt", "/.well-known/x", "/..x/y.txt", "/...", "/..;/about", "/日本/語",
    "/日本/語.html", "/old/x/y", "/old/", "/old//x", "/go/1-2", "/go/é-%2F", "/re/x", "/reéé/x",
    "/show/app.js", "/show/docs/", "/show/é/ü", "/gone/é", "/q", "/spa/x", "/spa/x.js", "/lost/x",
    "//about", "//", "/open//free.html", "/big.txt", "/open/as/about", "/open/as/app.js",
    "/docs%2F", "/open%2Ffree.html", "/ABOUT", "/about.html ", "/\u2025/about", "/／about",
    "/．．/about",
]  # fmt: skip
PER_USER = [{}, {"authorization": LOGIN}, {"x_country": "US"}, {"accept_encoding": "gzip, br"}]
VARYING = {"date", "age", "cache-status"}
UNTOUCHABLE = set("/%?#\\") | {chr(code) for code in range(33)} | {"\x7f"}
"""Characters that no request has as they are, or that mean something else."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The state folder of an app with an open and a locked branch."""
    hashed = hash_password("correct horse")
    site = Site(tmp_path_factory.mktemp("canonical"), ACCESS.format(hashed), SETTINGS)
    site.write_rules(*RULES)
    site.write("customHttp.yml", HEADERS)
    for branch in ("main", "locked"):
        site.deploy(TREE, branch)
    return site


@pytest.fixture(scope="module")
def loop():
    """One event loop for all examples."""
    with asyncio.Runner() as runner:
        yield runner


@st.composite
def spellings(draw):
    """A canonical path and another way to write it."""
    path = draw(st.sampled_from(PATHS))
    segments = [draw(written(segment)) for segment in path.split("/")[1:]]
    *folders, last = [[segment] for segment in segments]
    for place in folders:
        place[:0] = draw(DETOURS)
    if draw(st.booleans()):
        last[:0] = draw(DETOURS)
    if last[-1] == b"":
        last[-1:] = draw(ENDS)
    return path, b"/" + b"/".join(itertools.chain.from_iterable([*folders, last]))


@st.composite
def written(draw, segment: str):
    """A segment with some characters percent-encoded, in digits of either case."""
    made = b""
    for part in segment.replace("%2F", "\0"):
        if part == "\0":
            made += draw(st.sampled_from([b"%2F", b"%2f"]))
        elif part in UNTOUCHABLE or draw(st.integers(0, 3)) == 0:
            made += b"".join([escape(byte, draw(st.booleans())) for byte in part.encode()])
        else:
            made += part.encode()
    return made


def escape(byte: int, is_lower: bool) -> bytes:  # noqa: FBT001  (drawn)
    """One byte, percent-encoded."""
    return (b"%%%02x" if is_lower else b"%%%02X") % byte


WORDS = [b"x", b"docs", b"open", b"%c3%a9", b"", b"...", b".x", b"a%2Fb", b"..%2f", b"%25"]
DOT = st.sampled_from([b".", b"%2e", b"%2E"])
ONE = DOT.map(lambda dot: [dot])
TWO = st.builds(
    lambda word, first, second: [word, first + second],
    st.sampled_from(
        [b"x", b"docs", b"open", b"%c3%a9", b"", b"...", b".x", b"a%2Fb", b"..%2f", b"%25"]
    ),
    DOT,
    DOT,
)
DETOUR = st.one_of(ONE, TWO)
DETOURS = st.lists(DETOUR, max_size=2).map(lambda found: list(itertools.chain(*found)))
ENDS = st.one_of(st.just([b""]), st.just([b""]), DETOUR)
"""Instead of nothing behind the last slash."""


async def told(site: Site, raw: bytes, host: str, fields: dict[str, str]):
    """What is the same for all spellings of an answer."""
    answer = await site.ask(raw, host=host, **fields)
    shown = {name: value for name, value in answer.fields.items() if name not in VARYING}
    if "location" in shown:
        path, _, rest = shown["location"].partition("?")
        shown["location"] = decode_path(path.encode()) + rest
        shown.pop("content-length")  # of a page that shows the Location as it is sent
        return answer.status, shown, b""
    return answer.status, shown, answer.content


async def check(folder: Site, path: str, raw: bytes, fields: dict[str, str], *, first: bool):
    """Twice each in one worker that knows nothing yet, either one first."""
    assert decode_path(raw) == path
    site = await folder.sibling()
    canonical = canonical_spelling(path)
    order = [raw, canonical] if first else [canonical, raw]
    for host in ("main.site.edge.localhost", "locked.site.edge.localhost"):
        answers = [await told(site, each, host, fields) for each in order * 2]
        assert answers == answers[:1] * 4, (host, order)


def canonical_spelling(path: str) -> bytes:
    """As a browser would send it."""
    parts = ["".join(written_plainly(char) for char in part) for part in path.split("%2F")]
    return "%2F".join(parts).encode()


def written_plainly(char: str) -> str:
    """One character."""
    if char == "/" or (char.isascii() and char not in UNTOUCHABLE):
        return char
    return "".join(f"%{byte:02X}" for byte in char.encode())


@settings(deadline=None, max_examples=150)
@given(spellings(), st.sampled_from(PER_USER), st.booleans())
def test_every_spelling_of_a_path_is_that_path(folder, loop, spelled, fields, first):
    """Open or locked, with or without a password, a country, codings; first and remembered."""
    path, raw = spelled
    loop.run(check(folder, path, raw, fields, first=first))
