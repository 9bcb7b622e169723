"""`customHttp.yml`: the guide's examples, its mistakes, its plan, and the response it changes."""

from __future__ import annotations

import time

import msgspec
import pytest

from edge.site.expressions import Budget, PatternTooSlow
from edge.site.headers import (
    Application,
    CustomHttp,
    Header,
    HeaderEntry,
    HeaderPlan,
    apply,
    decode_headers,
    edge_lifetime,
)
from tests.support_site import fields_of

GUIDE = """\
customHeaders:
  - pattern: '*.json'
    headers:
      - key: 'custom-header-name-1'
        value: 'custom-header-value-1'
      - key: 'custom-header-name-2'
        value: 'custom-header-value-2'
  - pattern: '/path/*'
    headers:
      - key: 'custom-header-name-1'
        value: 'custom-header-value-2'
"""
"""Page 95 of the guide."""

MONOREPO = """\
applications:
  - appRoot: app1
    customHeaders:
      - pattern: '**/*'
        headers:
          - key: 'custom-header-name-1'
            value: 'custom-header-value-1'
  - appRoot: app2
    customHeaders:
      - pattern: '/path/*.json'
        headers:
          - key: 'custom-header-name-2'
            value: 'custom-header-value-2'
"""
"""Page 95 of the guide, for a monorepo."""

SECURITY = """\
customHeaders:\x20\x20
  - pattern: '*'\x20\x20
    headers:\x20\x20
      - key: 'Strict-Transport-Security'\x20\x20
        value: 'max-age=31536000; includeSubDomains'\x20\x20
      - key: 'X-Frame-Options'\x20\x20
        value: 'SAMEORIGIN'\x20\x20
      - key: 'X-XSS-Protection'\x20\x20
        value: '1; mode=block'\x20\x20
      - key: 'X-Content-Type-Options'\x20\x20
        value: 'nosniff'\x20\x20
      - key: 'Content-Security-Policy'\x20\x20
        value: "default-src 'self'"
"""
"""Page 98 of the guide, with the blanks that it prints behind each line."""

CACHING = """\
customHeaders:\x20\x20
  - pattern: '/img/*'\x20\x20
    headers:\x20\x20
      - key: 'Cache-Control'\x20\x20
        value: 's-maxage=3600'
"""
"""The guide on cache duration."""

ONE = (b"custom-header-name-1", b"custom-header-value-1")
TWO = (b"custom-header-name-2", b"custom-header-value-2")
OTHER = (b"custom-header-name-1", b"custom-header-value-2")
SECURE = (
    (b"Strict-Transport-Security", b"max-age=31536000; includeSubDomains"),
    (b"X-Frame-Options", b"SAMEORIGIN"),
    (b"X-XSS-Protection", b"1; mode=block"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Content-Security-Policy", b"default-src 'self'"),
)
HOUR = (b"Cache-Control", b"s-maxage=3600")


def plan_of(text, app_root=None):
    """The plan of a file without mistakes."""
    document, mistakes = decode_headers(text, "customHttp.yml")
    assert mistakes == []
    return HeaderPlan(document.entries_for(app_root))


def entry(pattern, **headers):
    """One entry; underscores in names are hyphens."""
    lines = [Header(key=key.replace("_", "-"), value=value) for key, value in headers.items()]
    return HeaderEntry(pattern=pattern, headers=tuple(lines))


@pytest.mark.parametrize(
    ("text", "app_root", "path", "expected"),
    [
        (GUIDE, None, "/a.json", (ONE, TWO)),
        (GUIDE, None, "/deep/er/a.json", (ONE, TWO)),
        (GUIDE, None, "/path/a.html", (OTHER,)),
        (GUIDE, None, "/path/a.json", (OTHER, TWO)),
        (GUIDE, None, "/path/deeper/a.html", ()),
        (GUIDE, None, "/", ()),
        (MONOREPO, "app1", "/", (ONE,)),
        (MONOREPO, "app1", "/a/b.css", (ONE,)),
        (MONOREPO, "app2", "/path/a.json", (TWO,)),
        (MONOREPO, "./app2/", "/path/a.json", (TWO,)),
        (MONOREPO, "app2", "/path/deeper/a.json", ()),
        (SECURITY, None, "/", SECURE),
        (SECURITY, None, "/a/b/c.html", SECURE),
        (CACHING, None, "/img/a.png", (HOUR,)),
        (CACHING, None, "/img/deeper/a.png", ()),
        (CACHING, "ignored", "/img/a.png", (HOUR,)),
    ],
)
def test_the_guides_examples_work_as_printed(text, app_root, path, expected):
    """Pasted from the guide, each example gives its fields to the paths it means."""
    assert fields_of(plan_of(text, app_root), path) == expected


@pytest.mark.parametrize(
    ("document", "app_root", "expected"),
    [
        (CustomHttp(), None, ()),
        (CustomHttp(applications=(Application(app_root="a", custom_headers=()),)), "a", ()),
        (CustomHttp(applications=(Application(app_root="a", custom_headers=()),)), "b", None),
        (CustomHttp(applications=(Application(app_root="a", custom_headers=()),)), None, None),
        (CustomHttp(applications=(Application(app_root=".", custom_headers=()),)), "./", ()),
    ],
)
def test_an_app_that_a_monorepo_does_not_name_is_told_apart(document, app_root, expected):
    """No entry for this app is None, an empty one is not."""
    assert document.entries_for(app_root) == expected


@pytest.mark.parametrize("text", [GUIDE, MONOREPO, ""], ids=["guide", "monorepo", "empty"])
def test_a_document_survives_a_generation(text):
    """It is the same after a round trip through the JSON of a stored generation."""
    document, _ = decode_headers(text, "customHttp.yml")

    assert msgspec.json.decode(msgspec.json.encode(document), type=CustomHttp) == document


def header(key="X-A", value="1", pattern="/a"):
    """A file with one header, YAML as given."""
    return f"customHeaders:\n- pattern: {pattern}\n  headers:\n  - key: {key}\n    value: {value}\n"


LINE = "customHeaders[0].headers[0]"
KEY = f"{LINE}.key"
VALUE = f"{LINE}.value"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("customHeader: []", (1, 1), "unknown key 'customHeader'"),
        (
            "customHeaders:\n- pattern: /a\n  header: []",
            (2, 3),
            "customHeaders[0]: the key 'headers' is missing",
        ),
        (header(pattern="'/{a'"), (2, 12), "customHeaders[0].pattern: '/{a' has a brace"),
        (header(pattern="''"), (2, 12), "customHeaders[0].pattern: the glob is empty"),
        (header(key="X A"), (4, 10), f"{KEY}: 'X A' is not a field name"),
        (header(key="'X-A:'"), (4, 10), f"{KEY}: 'X-A:' is not a field name"),
        (header(key="X\u00c4"), (4, 10), f"{KEY}: 'X\u00c4' is not a field name"),
        (header(key='"X\\r\\nY"'), (4, 10), f"{KEY}: 'X\\r\\nY' is not a field name"),
        (header(value='"a\\r\\nSet-Cookie: b"'), (5, 12), f"{VALUE}: a header's value cannot have"),
        (header(value='"a\\n"'), (5, 12), f"{VALUE}: a header's value cannot have a line break"),
        (header(value='"a\\rb"'), (5, 12), f"{VALUE}: a header's value cannot have a line break"),
        (header(value='"a\\0b"'), (5, 12), f"{VALUE}: a header's value cannot have control"),
        (header(value='"a\\x7fb"'), (5, 12), f"{VALUE}: a header's value cannot have control"),
        (header(value='"a\\ud800b"'), (5, 12), f"{VALUE}: a header's value cannot have control"),
        (header(value="a" * 8_193), (5, 12), f"{VALUE}: a header's value cannot be longer"),
        (header(value="yes"), (5, 12), f"{VALUE}: expected text, found yes"),
        (
            "customHeaders:\n- pattern: /a\n\theaders: []",
            (3, 1),
            "YAML: while scanning for the next token, found character '\\t'",
        ),
        (
            f"{header()}applications:\n- appRoot: a\n  customHeaders: []",
            (1, 1),
            "customHeaders and applications cannot stand in one file",
        ),
        (
            "applications: [{appRoot: a, customHeaders: []}, {appRoot: ./a/, customHeaders: []}]",
            (1, 1),
            "the appRoot 'a' is there twice",
        ),
        (
            "applications: [{customHeaders: []}]",
            (1, 16),
            "applications[0]: the key 'appRoot' is missing",
        ),
    ],
)
def test_a_mistake_is_refused_where_it_is(text, place, message):
    """Each kind of mistake has its line and column."""
    document, mistakes = decode_headers(text, "customHttp.yml")

    assert document is None
    found = [(each.line, each.column) for each in mistakes if each.message.startswith(message)]
    assert place in found


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "transfer-encoding",
        "Upgrade",
        "CONTENT-LENGTH",
        "Content-Encoding",
        "Date",
        "Age",
        "Host",
    ],
)
def test_what_frames_a_message_cannot_be_set(name):
    """Whatever its case."""
    _, mistakes = decode_headers(header(key=name), "customHttp.yml")

    refusal = f"{KEY}: {name!r} cannot be set: the node writes it itself (remove this entry)"
    assert [str(each) for each in mistakes] == [f"customHttp.yml:4:10: {refusal}"]


@pytest.mark.parametrize("pattern", ["*", "*.js", "**/*", "*js"])
def test_a_pattern_that_yaml_takes_for_an_alias_says_to_quote_it(pattern):
    """The commonest slip has its remedy instead of YAML's words alone."""
    _, mistakes = decode_headers(header(pattern=pattern), "customHttp.yml")

    assert [(each.line, each.hint) for each in mistakes] == [
        (2, "quote what begins with a star: '*.js'")
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("' a '", b"a"),
        ('""', b""),
        ('"a\\tb"', b"a\tb"),
        ("1", b"1"),
        ("010", b"010"),
        ("2026-01-01", b"2026-01-01"),
        (">-\n      default-src 'self';\n      img-src *", b"default-src 'self'; img-src *"),
        ("gr\u00fcn", "gr\u00fcn".encode()),
    ],
)
def test_a_value_is_the_text_as_written(value, expected):
    """YAML's guesses about numbers and dates change nothing; blanks around are no part of it."""
    assert fields_of(plan_of(header(value=value)), "/a") == ((b"X-A", expected),)


def test_entries_apply_in_order_and_the_later_one_wins():
    """Of one name, however spelled, the last matching entry counts; others add up."""
    entries = [
        entry("*", X_A="all", X_B="all"),
        entry("/a/b.js", x_a="exact"),
        entry("*.js", X_C="js"),
        entry("/a/*", X_A="folder", X_C="folder"),
        entry("/b/*", X_A="other"),
    ]
    plan = HeaderPlan(entries)

    assert plan.matching("/a/b.js") == [0, 1, 2, 3]
    assert fields_of(plan, "/a/b.js") == (
        (b"X-A", b"folder"),
        (b"X-B", b"all"),
        (b"X-C", b"folder"),
    )
    assert fields_of(plan, "/c.js") == ((b"X-A", b"all"), (b"X-B", b"all"), (b"X-C", b"js"))


def test_an_entry_that_matches_twice_counts_once():
    """Both halves of a pair of braces may match."""
    assert HeaderPlan([entry("/{a,*}", X="1")]).matching("/a") == [0]


def test_an_empty_plan_is_false():
    """Who has no headers need not ask."""
    assert not HeaderPlan(())
    assert fields_of(HeaderPlan(()), "/a") == ()
    assert HeaderPlan([entry("*")])


def test_a_thousand_entries_are_compared_with_few():
    """Entries with a folder, a file or an extension of their own cost other paths nothing."""
    kinds = ["/assets/x{}/*", "/assets/x{}/**/*.js", "*.ext{}", "/page{}.html", "/a{}/{{b,c}}/?"]
    entries = [entry(kind.format(number), X="1") for number in range(200) for kind in kinds]
    plan = HeaderPlan(entries)

    assert len(plan) == 1000
    assert plan.matching("/assets/x7/y.js") == [35, 36]
    assert len(list(plan._candidates("/assets/x7/y.js"))) == 2
    assert len(list(plan._candidates("/a7/b/z.ext9"))) == 2


@pytest.mark.no_cover  # it repeats what others have covered, and counting costs seconds
def test_a_long_path_is_no_work_for_a_large_plan():
    """Eight KiB of slashes against a thousand entries, deep and shallow, take milliseconds."""
    deep = "/" + "a/" * 1000
    plan = HeaderPlan([entry(f"{deep}{number}/*", X="1") for number in range(500)])
    began = time.process_time()
    fields_of(plan, "/a" * 4096)

    assert time.process_time() - began < 0.25


@pytest.mark.parametrize(
    ("ours", "custom", "merged"),
    [
        ([(b"Server", b"edge")], (), [(b"Server", b"edge")]),
        (
            [(b"Cache-Control", b"public"), (b"Server", b"edge")],
            ((b"cache-control", b"no-store"),),
            [(b"Server", b"edge"), (b"cache-control", b"no-store")],
        ),
        (
            [(b"vary", b"Accept-Encoding")],
            ((b"Vary", b"Origin, accept-encoding"),),
            [(b"Vary", b"Accept-Encoding, Origin")],
        ),
        ([], ((b"vary", b"Origin"),), [(b"Vary", b"Origin")]),
        ([(b"Vary", b"Accept-Encoding")], ((b"Vary", b"*"),), [(b"Vary", b"*")]),
        (
            [(b"Set-Cookie", b"session=1")],
            ((b"Set-Cookie", b"seen=1"),),
            [(b"Set-Cookie", b"session=1"), (b"Set-Cookie", b"seen=1")],
        ),
        (
            [(b"Link", b"<a>"), (b"link", b"<b>")],
            ((b"Link", b"<c>"),),
            [(b"Link", b"<c>")],
        ),
    ],
    ids=["none", "replaced", "vary", "new-vary", "vary-all", "cookies", "all-lines"],
)
def test_custom_fields_replace_those_of_the_response(ours, custom, merged):
    """Of the same name, in any case; Vary is merged and cookies stand beside each other."""
    assert apply(ours, custom) == merged


@pytest.mark.parametrize(
    ("values", "default", "cap", "expected"),
    [
        ([], 600, 600, 600),
        ([], 86_400, 600, 600),
        ([b"public"], 300, 600, 300),
        ([b"s-maxage=3600"], 600, 600, 600),
        ([b"s-maxage=3600"], 600, 86_400, 3_600),
        ([b"s-maxage=604800"], 600, 86_400, 86_400),
        ([b"max-age=60"], 600, 600, 60),
        ([b"max-age=60, s-maxage=30"], 600, 600, 30),
        ([b"max-age=60", b'S-MaxAge="30"'], 600, 600, 30),
        ([b"max-age=0, must-revalidate"], 600, 600, 0),
        ([b"s-maxage=0, max-age=60"], 600, 600, 0),
        ([b"no-store"], 600, 600, 0),
        ([b"private, s-maxage=60"], 600, 600, 0),
        ([b'private="Set-Cookie"'], 600, 600, 0),
        ([b"no-cache"], 600, 600, 0),
        ([b"s-maxage=1h, max-age=60"], 600, 600, 0),
        ([b"s-maxage"], 600, 600, 0),
        ([b"s-maxage=99999999999999999999"], 600, 600, 600),
    ],
)
def test_cache_control_rules_the_lifetime_at_the_edge(values, default, cap, expected):
    """s-maxage before max-age before the default, capped; what may not be reused is 0."""
    assert edge_lifetime(values, default, cap) == expected


@pytest.mark.parametrize(
    ("values", "default", "cap", "longest"),
    [
        ([], 600, 600, 600),
        (["s-maxage=30"], 600, 86_400, 600),
        (["s-maxage=30", "s-maxage=3600"], 600, 86_400, 3_600),
        (["s-maxage=604800"], 600, 86_400, 86_400),
        (["s-maxage=604800"], 600, 600, 600),
        (["no-store"], 0, 600, 0),
    ],
)
def test_the_longest_lifetime_bounds_that_of_every_path(values, default, cap, longest):
    """Of the default and all that entries state; until then an earlier deployment is kept."""
    entries = [
        HeaderEntry(pattern=f"/{n}/*", headers=(Header(key="CACHE-Control", value=value),))
        for n, value in enumerate(values)
    ]
    plan = HeaderPlan([*entries, HeaderEntry(pattern="*", headers=(Header(key="X", value="y"),))])

    assert plan.longest_lifetime(default, cap) == longest


def test_a_crowd_of_patterns_is_bounded():
    """By whoever serves; those with a folder of their own are no crowd."""
    now = iter(range(1_000))
    plan = HeaderPlan([entry(f"**{n}**", X="1") for n in range(100)])

    assert plan.matching("/7", Budget(lambda: 0.0)) == [7]
    with pytest.raises(PatternTooSlow):
        plan.matching("/7", Budget(lambda: float(next(now))))
    assert plan.matching("/7") == [7]
