"""`app.yml`: its defaults, its mistakes, and what holds for one branch."""

from __future__ import annotations

import msgspec
import pytest

from edge.site.documents import (
    Access,
    App,
    BranchSettings,
    CacheKey,
    Domain,
    Retain,
    branch_settings,
    decode_app,
    decode_settings,
    position_of,
)

HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21l$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaA"
BCRYPT = "$2b$12$" + "a" * 53
AUTO = "domains.a.example.auto_subdomains"

DEFAULTS = """\
production_branch: main
app_root: null
domains: {}
branches: {}
access:
  users: {}
  exempt: []
cache: {query: all, cookies: none, default_s_maxage: 600}
trailing_slash: auto
retain: {deployments: 20, assets: 7d, branches: 30d}
not_found: 404.html
"""

FULL = f"""\
production_branch: trunk
app_root: apps/shop
domains:
  Example.COM.:
    subdomains: {{"": main, www: main, Beta.alpha: feature/x}}
    auto_subdomains: ["*"]
  bücher.example: {{}}
branches:
  main: {{performance_mode: true}}
  "feature/*": {{access: {{users: {{team: "{HASH}"}}}}}}
access:
  users: {{ops: "{BCRYPT}"}}
  exempt: [/.well-known/*]
cache: {{query: [page, "no"], cookies: all, default_s_maxage: 0}}
trailing_slash: strip
retain: {{deployments: 1, assets: 0, branches: 12h}}
not_found: null
"""

APP = App(
    production_branch="trunk",
    app_root="apps/shop",
    domains={
        "example.com": Domain(
            subdomains={"": "main", "www": "main", "beta.alpha": "feature/x"},
            auto_subdomains=("*",),
        ),
        "xn--bcher-kva.example": Domain(),
    },
    branches={
        "main": BranchSettings(performance_mode=True),
        "feature/*": BranchSettings(access=Access(users={"team": HASH})),
    },
    access=Access(users={"ops": BCRYPT}, exempt=("/.well-known/*",)),
    cache=CacheKey(query=("page", "no"), cookies="all", default_s_maxage=0),
    trailing_slash="strip",
    retain=Retain(deployments=1, assets=0.0, branches=43_200.0),
    not_found=None,
)


def refusals(text):
    """Place and message of each mistake."""
    app, mistakes = decode_app(text, "app.yml")
    assert app is None
    return [(each.line, each.column, each.message) for each in mistakes]


@pytest.mark.parametrize("text", ["", DEFAULTS], ids=["empty", "contract"])
def test_the_defaults_are_the_contract_s(text):
    """An empty file, and every default written out, are the same app."""
    assert decode_app(text, "app.yml") == (App(), [])


def test_every_key_of_the_contract_is_read():
    """Values arrive in their types, and names in their canonical spelling."""
    assert decode_app(FULL, "app.yml") == (APP, [])


@pytest.mark.parametrize("app", [App(), APP], ids=["defaults", "full"])
def test_an_app_survives_a_generation(app):
    """An app is the same after a round trip through the JSON of a stored generation."""
    assert msgspec.json.decode(msgspec.json.encode(app), type=App) == app


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("domain: {}", (1, 1, "unknown key 'domain'")),
        (
            "domains: {Example.com: {}, example.COM: {}}",
            (1, 28, "domains: the key 'example.COM' is there twice"),
        ),
        (
            "domains: {bücher.example: {}, xn--bcher-kva.example: {}}",
            (1, 31, "domains: the key 'xn--bcher-kva.example' is there twice"),
        ),
        (
            "domains: {a.example: {subdomains: {-x: main}}}",
            (1, 36, "domains.a.example.subdomains: '-x' is not a subdomain"),
        ),
        (
            "domains: {a.example: {subdomains: {www: }}}",
            (1, 40, "domains.a.example.subdomains.www: there is no value"),
        ),
        (
            "domains: {a.example: {subdomains: {www: [main]}}}",
            (1, 41, "domains.a.example.subdomains.www: expected a single value, found a list"),
        ),
        (
            "domains: {a.example: {auto_subdomains: ['pr-[']}}",
            (
                1,
                41,
                f"{AUTO}[0]: the pattern 'pr-[' opens a '[' and never closes it",
            ),
        ),
        (
            "branches: {dev: {access: {users: {team: hunter2}}}}",
            (
                1,
                41,
                "branches.dev.access.users.team: this is not a password hash of argon2id or bcrypt",
            ),
        ),
        (
            "trailing_slash: always",
            (1, 17, "trailing_slash: 'always' is not one of auto, add, strip, leave"),
        ),
        (
            "cache: {default_s_maxage: -1}",
            (1, 27, "cache.default_s_maxage: '-1' is not a whole number"),
        ),
        (
            "cache: {query: some}",
            (1, 16, "cache.query: 'some' is neither all nor none, nor a list of names"),
        ),
        ("retain: {deployments: 0}", (1, 23, "retain.deployments: 0 is out of range")),
        ("retain: {assets: 7}", (1, 18, "retain.assets: '7' is not a duration")),
        (
            "not_found: /404.html",
            (1, 12, "not_found: '/404.html' is not a file of a deployment"),
        ),
        (
            "access: {exempt: [public]}",
            (1, 19, "access.exempt[0]: 'public' is not a path glob"),
        ),
    ],
)
def test_a_mistake_is_refused_where_it_is(text, refusal):
    """Each kind of mistake in an app's file has its place."""
    assert refusals(text) == [refusal]


def test_one_name_is_told_to_be_written_as_a_list():
    """What is neither of the two words is probably a parameter, or several."""
    [refused] = decode_app("cache: {query: 'lang, page'}", "app.yml")[1]

    assert refused.hint == "write a list: [lang, page]"


def test_a_host_that_is_too_long_in_two_parts_is_refused():
    """Parts that are valid alone and too long together point to the subdomain, and to the list."""
    domain = ".".join(["d" * 60] * 3) + ".D" + "x" * 20
    text = f"domains:\n  {domain}:\n    subdomains: {{{'s' * 60}: a}}\n    auto_subdomains: ['*']\n"
    found = refusals(text)

    assert [place[:2] for place in found] == [(3, 18), (4, 5)]
    assert "it is longer than 253 characters" in found[0][2]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("domains", "example.com"), (4, 3)),
        (("domains", "example.com", "subdomains", "beta.alpha"), (5, 39)),
        (("domains", "example.com", "subdomains", ""), (5, 18)),
        (("domains", "example.com", "auto_subdomains"), (6, 5)),
        (("domains", "xn--bcher-kva.example"), (7, 3)),
        (("branches", "feature/*"), (10, 3)),
        (("access", "exempt", 0), (13, 12)),
        ((), (1, 1)),
    ],
)
def test_a_later_check_finds_the_key_again(path, place):
    """Canonical host names find their key, however the operator spelled it."""
    assert position_of(FULL, path) == place


def test_a_broken_file_has_a_place_too():
    """The place in a text that is not YAML is its beginning."""
    assert position_of("a: [", ("a",)) == (1, 1)


@pytest.mark.parametrize(
    ("branch", "entry"),
    [
        ("main", "main"),
        ("feature/x", "feature/*"),
        ("feature/deep/x", "feature/deep/*"),
        ("feature/*", "feature/*"),
        ("pr-7", "pr-[0-9]"),
        ("Main", "*"),
    ],
)
def test_the_exact_name_wins_and_then_the_longest_pattern(branch, entry):
    """One entry holds for a branch, wherever it stands in the file."""
    names = ["*", "feature/*", "pr-*", "pr-[0-9]", "feature/deep/*", "main"]
    app = App(branches={each: BranchSettings(access=Access(exempt=(each,))) for each in names})

    assert branch_settings(app, branch).access.exempt == (entry,)


def test_of_equally_long_patterns_the_first_wins():
    """The order of the file decides where length does not."""
    app = App(branches={"a*": BranchSettings(performance_mode=True), "*a": BranchSettings()})

    assert branch_settings(app, "aa").performance_mode is True


def test_a_branch_without_access_has_the_app_s():
    """Access is the app's unless the entry has its own, and an empty own one opens the branch."""
    guarded = Access(users={"ops": BCRYPT})
    app = App(
        access=guarded,
        branches={
            "fast": BranchSettings(performance_mode=True),
            "open": BranchSettings(access=Access(users={})),
        },
    )

    assert branch_settings(app, "other") == BranchSettings(access=guarded)
    assert branch_settings(app, "fast") == BranchSettings(performance_mode=True, access=guarded)
    assert branch_settings(app, "open") == BranchSettings(access=Access(users={}))


def test_a_mistake_reads_as_one_line():
    """What an operator sees names file, line and column, the key, and what to do."""
    _, mistakes = decode_settings("cache: {memory: 256MB}", "etc/edge.yml")

    assert str(mistakes[0]) == (
        "etc/edge.yml:1:17: cache.memory: '256MB' is not a size "
        "(write a number and KiB, MiB or GiB, such as 256MiB)"
    )
