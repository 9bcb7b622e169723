"""`_redirects`, `_headers` and `netlify.toml` as an app folder."""

from __future__ import annotations

import json
import time

import argon2
import pytest

from edge.control.netlify import glob_of, parse_words, read_netlify
from edge.errors import StoreError
from edge.http.target import decode_path
from edge.site.documents import App, decode_app
from edge.site.expressions import Budget
from edge.site.globs import compile_glob
from edge.site.headers import HeaderPlan, decode_headers
from edge.site.plan import Forward, Redirect, Rewrite, compile_plan
from edge.site.redirects import decode_redirects
from edge.site.subject import Subject
from tests.support_site import fields_of

HERE = ("_redirects", 1)


@pytest.fixture
def imported(tmp_path):
    """The import of a folder `My Site` with these files."""
    folder = tmp_path / "My Site"
    folder.mkdir()

    def run(redirects=None, headers=None, config=None):
        given = {"_redirects": redirects, "_headers": headers, "netlify.toml": config}
        for name, text in given.items():
            if text is not None:
                (folder / name).write_text(text)
        return read_netlify(folder)

    return run


def rules(found):
    """Source, target and status of each rule."""
    written = json.loads(found.files.get("redirects.json", "[]"))
    return [(rule["source"], rule["target"], rule["status"]) for rule in written]


def fields(found, path):
    """The headers that the node would send for a path."""
    document, errors = decode_headers(found.files["customHttp.yml"], "customHttp.yml")
    assert errors == []
    return dict(fields_of(HeaderPlan(document.custom_headers), path))


def told(found):
    """The notes: the line, and what."""
    return [(note.line, note.what) for note in found.notes]


# _redirects

DOCUMENTED = """\
# Redirects from what the browser requests to what we serve
/home              /
/blog/my-post.php  /blog/my-post   # a comment
/news/*            /blog/:splat

/cuties            https://www.petsofnetlify.com   302!
/api/*\thttps://api.example.com/v1/:splat\t200
/store id=:id      /blog/:id  301
/anz-only          /anz     302  Country=au,nz
/*                 /index.html   200
"""


def test_the_documented_examples_decide_as_documented(imported):
    """Through the node's own plan."""
    found = imported(DOCUMENTED)
    decoded, errors, warnings = decode_redirects(found.files["redirects.json"], "redirects.json")
    assert (errors, warnings) == ([], [])
    plan = compile_plan(decoded)

    def subject(url, country=None):
        raw, mark, query = url.encode().partition(b"?")
        clock = Budget(time.process_time)
        return Subject(decode_path(raw), raw, query if mark else None, "h", country, clock)

    def location(url, country=None):
        decision = plan.decide(subject(url, country))
        assert isinstance(decision, Redirect)
        return decision.status, decision.location.decode()

    assert location("/home?a=1") == (301, "/?a=1")
    assert location("/blog/my-post.php") == (301, "/blog/my-post")
    assert location("/news/a/b") == (301, "/blog/a/b")
    assert location("/cuties") == (302, "https://www.petsofnetlify.com")
    assert location("/store?x=1&id=7") == (301, "/blog/7")
    assert plan.decide(subject("/store?x=1")) is None
    assert location("/anz-only", "NZ") == (302, "/anz")
    assert plan.decide(subject("/anz-only", "US")) is None
    assert plan.decide(subject("/anz-only")) is None
    api = plan.decide_missing(subject("/api/users?q=1"), b"POST", b"")
    assert isinstance(api, Forward)
    assert api.urls == ("https://api.example.com/v1/users?q=1",)
    page = plan.decide_missing(subject("/about"), b"GET", b"text/html")
    assert isinstance(page, Rewrite)
    assert (page.path, page.status) == ("/index.html", 200)
    assert plan.decide_missing(subject("/missing.js"), b"GET", b"*/*") is None


def test_the_notes_of_these_examples_are_few(imported):
    """One for each kind of difference, with all its lines."""
    assert told(imported(DOCUMENTED)) == [
        (2, "lines 2, 3, 8, 9: without ! it holds here even where a file exists"),
        (
            4,
            ("without ! it holds here for all its paths, those of pages, scripts and images too"),
        ),
        (
            10,
            (
                "200 without ! is a fallback here: what exists, else this page, for"
                " navigations alone"
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/a /b", ("/b", "301", False, {}, {})),
        ("/a /b 302", ("/b", "302", False, {}, {})),
        ("/a /b 200!", ("/b", "200", True, {}, {})),
        ("/a HTTPS://b.example 301", ("HTTPS://b.example", "301", False, {}, {})),
        ("/a x=1 y=:z /b/:z", ("/b/:z", "301", False, {"x": "1", "y": ":z"}, {})),
        ("/a x= /b", ("/b", "301", False, {"x": ""}, {})),
        (
            "/a /b 302 Country=us Role=a,b",
            ("/b", "302", False, {}, {"country": "us", "role": "a,b"}),
        ),
        ("/a/* 200", ("/a/:splat", "200", False, {}, {})),
        ("/a/* 200! Role=x", ("/a/:splat", "200", True, {}, {"role": "x"})),
    ],
)
def test_a_line_is_read_as_netlify_reads_it(line, expected):
    """From, query, to, status, conditions."""
    found = parse_words(line.split(), HERE)

    assert (found.target, found.status, found.force, found.query, found.conditions) == expected
    assert not found.is_signed


def test_a_signed_line_is_recognized():
    """By its condition."""
    found = parse_words(["/a/*", "https://b.example/:splat", "200", "Sign=API_TOKEN"], HERE)

    assert found.is_signed
    assert found.conditions == {}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/a", "it has no target that begins with / or https://"),
        ("/a b", "it has no target that begins with / or https://"),
        ("/a 301", "it has no target"),
        ("/a /b 3o1", "'3o1' is no status"),
        ("/a /b Country=us", "'Country=us' is no status"),
        ("/a /b 301 us", "'us' is no key=value"),
        ("/a x /b", "'x' is no key=value"),
    ],
)
def test_a_line_that_netlify_would_not_take_is_a_note(imported, line, problem):
    """The other lines are rules."""
    found = imported(f"\n{line}\n/x /y 301!\n")

    assert [source for source, _, _ in rules(found)] == ["/x", "/x/"]
    assert told(found) == [(2, f"the redirect from /a is left out: {problem}")]


# _headers

HEADERS = """\
# a comment
/*
  # another
  X-Frame-Options: DENY
  Content-Security-Policy: default-src 'self'; img-src https://img.example.com:8443
/static/*
  cache-control: max-age=0
  Cache-Control: no-cache
  Cache-Control: must-revalidate
/templates/index.html
\tX-Frame-Options: SAMEORIGIN
"""


def test_headers_are_those_of_every_matching_path(imported):
    """A star is any depth, values of one name are joined, and later paths win."""
    found = imported(headers=HEADERS)

    csp = b"default-src 'self'; img-src https://img.example.com:8443"
    everywhere = {b"X-Frame-Options": b"DENY", b"Content-Security-Policy": csp}
    assert fields(found, "/") == everywhere
    assert fields(found, "/a/b/c.html") == everywhere
    assert fields(found, "/static/js/app.js") == {
        **everywhere,
        b"cache-control": b"max-age=0, no-cache, must-revalidate",
    }
    assert fields(found, "/templates/index.html")[b"X-Frame-Options"] == b"SAMEORIGIN"
    assert told(found) == []


@pytest.mark.parametrize(
    ("path", "meant", "others"),
    [
        ("/*", ["/", "/a", "/a/b.js"], []),
        ("/a/*", ["/a", "/a/", "/a/b/c"], ["/", "/ab"]),
        ("/*.js", ["/a.js", "/a/b.js"], ["/js", "/a.css"]),
        ("/a/*/b", ["/a/b", "/a/x/b", "/a/x/y/b"], ["/b", "/a/x"]),
        ("/:lang/docs", ["/en/docs", "/en/docs/"], ["/docs", "/a/b/docs"]),
        ("/about", ["/about", "/about/"], ["/about.html", "/about/us"]),
        ("/about/", ["/about", "/about/"], ["/about/us"]),
        ("/about.html", ["/about.html"], ["/about.html/"]),
        ("/", ["/"], ["/a"]),
        ("/a{b}?", ["/a{b}?"], ["/ab", "/a{b}x"]),
    ],
)
def test_the_path_of_headers_is_a_glob(path, meant, others):
    """That matches what Netlify matches."""
    globs = compile_glob(glob_of(path))

    found = [each for each in meant + others if any(glob.matches(each) for glob in globs)]

    assert found == meant


def test_headers_that_cannot_be_carried_over_are_notes(imported):
    """Each in its line; the rest of its path is kept."""
    found = imported(
        headers=(
            "  X-Early: 1\n"
            "/*\n"
            "  X-Good: 1\n"
            "  Age: 5\n"
            "  Netlify-CDN-Cache-Control: public, s-maxage=60\n"
            "  nonsense\n"
            "  X-Empty:\n"
            "https://example.com/*\n"
            "  X-Also: 1\n"
            "/<b>\n"
            "  X-Odd: 1\n"
        )
    )

    assert fields(found, "/") == {b"X-Good": b"1", b"X-Also": b"1"}
    assert fields(found, "/<b>")[b"X-Odd"] == b"1"
    assert told(found) == [
        (1, "the line 'X-Early: 1' is left out"),
        (
            4,
            (
                "the header Age of /** is left out: key: 'Age' cannot be set: the node writes it"
                " itself"
            ),
        ),
        (5, "the header Netlify-CDN-Cache-Control is left out: it is for Netlify's cache"),
        (6, "the line 'nonsense' is left out"),
        (7, "the line 'X-Empty:' is left out"),
        (8, "the line 'https://example.com/*' is left out"),
    ]


def test_basic_auth_becomes_users(imported):
    """And no header."""
    found = imported(headers="/*\n  Basic-Auth: bob:secret-pw-1 al:secret:pw-2\n  X-A: 1\n")

    app, _ = decode_app(found.files["app.yml"], "app.yml")
    for user, password in [("bob", "secret-pw-1"), ("al", "secret:pw-2")]:
        assert argon2.PasswordHasher().verify(app.access.users[user], password)
    assert fields(found, "/") == {b"X-A": b"1"}
    assert told(found) == []
    assert not any("secret" in text for text in found.files.values())


def test_basic_auth_of_a_path_closes_the_whole_site(imported):
    """Rather that than nothing; a short password is one that nobody knows."""
    found = imported(headers="/private/*\n  Basic-Auth: bob:short\n")

    app, _ = decode_app(found.files["app.yml"], "app.yml")
    assert list(app.access.users) == ["bob"]
    assert told(found) == [
        (
            2,
            (
                "the password of 'bob' is not carried over: the password has 5 characters; use 7 or"
                " more"
            ),
        ),
        (2, "the password of /private/* is asked for on all paths"),
    ]


def test_headers_for_proxied_answers_are_told(imported):
    """On Netlify they are for files alone."""
    both = imported("/api/* https://api.example.com/:splat 200\n", HEADERS)
    notes = [what for _, what in told(both)]

    assert notes == ["the headers of customHttp.yml hold for the answers of this server too"]


# netlify.toml

CONFIG = """\
[build]
  base = "site"
  publish = "dist/"
  command = "npm run build"

[[redirects]]
  from = "/old/*"
  to = "/new/:splat"
  force = true

[[redirects]]
  origin = "/search"
  destination = "https://search.example.com"
  status = 200
  params = {path = ":path"}
  conditions = {Country = ["us", "CA"]}
  [redirects.headers]
    X-From = "Netlify"

[[redirects]]
  from = "/signed/*"
  to = "https://api.example.com/:splat"
  status = 200
  signed = "API_TOKEN"

[[redirects]]
  from = "/gated/*"
  status = 200
  force = true
  conditions = {Role = ["admin"]}

[[headers]]
  for = "/*"
  [headers.values]
    X-Frame-Options = "DENY"
    Cache-Control = '''
    max-age=0,
    no-cache'''
    Link = ["</a.css>; rel=preload", "</b.js>; rel=preload"]

[[edge_functions]]
  path = "/admin"
  function = "auth"

[functions]
  directory = "functions"

[context.production]
  command = "npm run release"

[[plugins]]
  package = "x"
"""


def test_tables_of_the_configuration_are_rules_and_headers(imported):
    """Under the earlier names of their keys too."""
    found = imported(config=CONFIG)

    assert found.app == "my-site"
    assert rules(found) == [
        ("/old/<*>", "/new/<*>", "301"),
        ("/old", "/new/", "301"),
        ("/search?path=<path>", "https://search.example.com", "fallback"),
        ("/search/?path=<path>", "https://search.example.com", "fallback"),
    ]
    assert '"condition": "<US>, <CA>"' in found.files["redirects.json"]
    assert fields(found, "/a/b") == {
        b"X-Frame-Options": b"DENY",
        b"Cache-Control": b"max-age=0, no-cache",
        b"Link": b"</a.css>; rel=preload, </b.js>; rel=preload",
    }


def test_other_tables_are_notes(imported):
    """With the line where they begin."""
    notes = imported(config=CONFIG).notes

    assert [(note.line, note.what) for note in notes] == [
        (1, "what concerns the build stays behind: build, context, plugins"),
        (11, "the headers for the proxied server are not sent"),
        (11, "the headers of customHttp.yml hold for the answers of this server too"),
        (20, "the redirect from /signed/* is left out: its requests are signed"),
        (
            26,
            (
                "the redirect from /gated/* is left out: it is for role=admin, and Edge goes by"
                " country alone"
            ),
        ),
        (41, "edge_functions stays behind: Edge serves, and runs no code"),
        (45, "functions stays behind: Edge serves, and runs no code"),
    ]
    assert "`edge deploy site/dist --app A --branch B`" in notes[0].why


@pytest.mark.parametrize(
    ("config", "line", "what"),
    [
        ('[[redirects]]\nto = "/b"\n', 1, "a redirect is left out: it has no from"),
        ('\n[[redirects]]\nfrom = ""\nto = "/b"\n', 2, "a redirect is left out: it has no from"),
        ('[[redirects]]\nfrom = "/a"\n', 1, "a redirect is left out: it has no target"),
        ('[[redirects]]\nfrom = "/a"\nto = 5\n', 1, "a redirect is left out: it has no to"),
        (
            '[[redirects]]\nfrom = "/a"\nto = "/b"\nstatus = true\n',
            1,
            "a redirect is left out: 'True' is no status",
        ),
        (
            '[[redirects]]\nfrom = "/a"\nto = "/b"\nconditions = "US"\n',
            1,
            "a redirect is left out: its conditions is no table",
        ),
        ('redirects = ["/a /b"]\n', 1, "a redirect is left out: it has no from"),
        ('\nredirects = {from = "/a"}\n', 2, "a redirect is left out: it has no target"),
        ('"a(" = 1\n', 1, "what concerns the build stays behind: a("),
        ('[[headers]]\n[headers.values]\nA = "b"\n', 1, "headers are left out: it has no for"),
        (
            '[[headers]]\nfor = "/*"\nvalues = 5\n',
            1,
            "headers are left out: its values is no table",
        ),
        (
            '[[headers]]\nfor = "https://a.example/*"\nvalues = {A = "b"}\n',
            1,
            (
                "the header A of https://a.example/* is left out: pattern: 'https://a.example/*'"
                " is an address"
            ),
        ),
    ],
)
def test_a_table_that_netlify_would_not_take_is_a_note(imported, config, line, what):
    """Never an exception."""
    found = imported(config=config)

    assert list(found.files) == ["app.yml"]
    assert told(found) == [(line, what)]


def test_the_file_comes_before_the_configuration(imported):
    """Of redirects the first match counts, of headers the last."""
    found = imported(
        redirects="/a /from-file 301!\n",
        headers="/*\n  X-A: file\n",
        config=(
            '[[redirects]]\nfrom = "/b"\nto = "/c"\nforce = true\n'
            '[[headers]]\nfor = "/*"\nvalues = {X-A = "toml"}\n'
        ),
    )

    assert [source for source, _, _ in rules(found)] == ["/a", "/a/", "/b", "/b/"]
    assert fields(found, "/") == {b"X-A": b"toml"}


# Files


def test_the_published_folder_is_looked_into(tmp_path):
    """That is where Netlify has the two files from; those at the top win."""
    published = tmp_path / "site" / "dist"
    published.mkdir(parents=True)
    (tmp_path / "netlify.toml").write_text(CONFIG)
    (published / "_redirects").write_text("/published /b 301!\n")
    (published / "_headers").write_text("/*\n  X-Published: 1\n")
    (tmp_path / "_headers").write_text("/*\n  X-Top: 1\n")

    found = read_netlify(tmp_path)

    assert rules(found)[0] == ("/published", "/b", "301")
    assert b"X-Top" in fields(found, "/")
    assert b"X-Published" not in fields(found, "/")


@pytest.mark.parametrize("name", ["_redirects", "_headers", "netlify.toml", "netlify.prod.toml"])
def test_one_file_is_enough(tmp_path, name):
    """Its neighbors are not read; the app is called after their folder."""
    (tmp_path / "www").mkdir()
    for each in ("_redirects", "_headers", "netlify.toml", name):
        (tmp_path / "www" / each).write_text("")
    (tmp_path / "www" / ("_headers" if name == "_redirects" else "_redirects")).write_text("/a\n")

    found = read_netlify(tmp_path / "www" / name)

    assert (found.app, found.notes) == ("www", [])
    assert decode_app(found.files["app.yml"], "app.yml") == (App(), [])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("netlify.toml", b"[build\n", r"netlify\.toml:1: TOML: .*; correct it here, or above"),
        ("netlify.toml", b'a = 1\nb = "\n', r"netlify\.toml:2: TOML: .*; correct it here"),
        ("netlify.toml", b"a = [1,\n\n", r"netlify\.toml:3: TOML: "),
        ("netlify.toml", b"a = 1\na = 2\n", r"netlify\.toml:\d: TOML: Cannot overwrite a value"),
        ("netlify.toml", b"a = " + b"[" * 10_000, r"netlify\.toml:1: TOML: "),
        ("netlify.toml", b'a = "\xe9"\n', r"netlify\.toml:1: this is not UTF-8; save the file as"),
        ("_redirects", b"/a /b\n/\xe9 /b\n", r"_redirects:2: this is not UTF-8"),
        ("_headers", b"/*\n  X: \xe9\n", r"_headers:2: this is not UTF-8"),
    ],
    ids=["table", "string", "torn", "twice", "deep", "toml", "redirects", "headers"],
)
def test_what_cannot_be_read_is_refused(tmp_path, name, content, message):
    """With the file, the line, and what to do."""
    (tmp_path / name).write_bytes(content)

    for path in (tmp_path, tmp_path / name):
        with pytest.raises(StoreError, match=message):
            read_netlify(path)


def test_what_is_not_of_netlify_is_refused(tmp_path):
    """With what is looked for."""
    (tmp_path / "redirects.json").write_text("[]")

    with pytest.raises(StoreError, match="has nothing of Netlify; give a folder with _redirects"):
        read_netlify(tmp_path)
    with pytest.raises(StoreError, match=r"redirects\.json is no file of Netlify; give one of"):
        read_netlify(tmp_path / "redirects.json")
    with pytest.raises(StoreError, match="cannot be read: No such file or directory"):
        read_netlify(tmp_path / "_redirects")
