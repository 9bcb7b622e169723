"""Paths to files, without a disk: steps 4, 5 and 7 of the order in rules.md."""

from __future__ import annotations

import pytest

from edge.site.lookup import find_asset, find_content, find_file, find_not_found, find_page
from edge.site.manifest import Asset
from tests.support_site import ACTIVE_AT, compile_site, manifest_of

FILES = (
    "index.html",
    "about.html",
    "both.html",
    "both/index.html",
    "docs/index.html",
    "docs/deep/page.html",
    "v1.0/index.html",
    "v2.0.html",
    "plain",
    "plain.html",
    "app.js",
    ".html",
)
POLICIES = ("auto", "add", "strip", "leave")


def shown(found: Asset | str | None) -> str | None:
    """A file by its path, a redirect by an arrow and where it goes."""
    return found.entry.path if isinstance(found, Asset) else found and f"→ {found}"


ALL = ("/", "/index.html", "/about.html", "/plain", "/app.js", "/docs/deep/page.html")
"""Files by their own names, and the root: the same under every policy."""

SLASHES = {
    # path: auto, add, strip, leave
    "/about": ("about.html", "→ /about/", "about.html", "about.html"),
    "/about/": (None, "about.html", "→ /about", None),
    "/both": ("both.html", "→ /both/", "both.html", "both.html"),
    "/both/": ("both/index.html", "both/index.html", "→ /both", "both/index.html"),
    "/docs": ("→ /docs/", "→ /docs/", "docs/index.html", "docs/index.html"),
    "/docs/": ("docs/index.html", "docs/index.html", "→ /docs", "docs/index.html"),
    "/docs/deep/page": (
        "docs/deep/page.html",
        "→ /docs/deep/page/",
        "docs/deep/page.html",
        "docs/deep/page.html",
    ),
    "/docs/deep/page/": (None, "docs/deep/page.html", "→ /docs/deep/page", None),
    "/v1.0": ("→ /v1.0/", "→ /v1.0/", "v1.0/index.html", "v1.0/index.html"),
    "/v1.0/": ("v1.0/index.html", "v1.0/index.html", "→ /v1.0", "v1.0/index.html"),
    "/v2.0": (None,) * 4,
    "/v2.0/": (None,) * 4,
    "/plain/": (None, "plain.html", "→ /plain", None),
    "/docs/deep": (None,) * 4,
    "/docs/deep/": (None,) * 4,
    "/About": (None,) * 4,
    "/nothing": (None,) * 4,
    "/nothing/": (None,) * 4,
    "/app.js/": (None,) * 4,
    "//": (None,) * 4,
    "//about": (None,) * 4,
    "//index.html": (None,) * 4,
    "/docs//": (None,) * 4,
    "/docs//index.html": (None,) * 4,
    "/docs%2Findex.html": (None,) * 4,
}


@pytest.mark.parametrize("column", range(4), ids=POLICIES)
@pytest.mark.parametrize("path", [*ALL, *SLASHES])
def test_a_path_has_one_form_under_each_policy(path, column):
    """`auto` redirects folders alone, `add` and `strip` all but files, `leave` nothing at all."""
    expected = SLASHES[path][column] if path in SLASHES else path[1:] or "index.html"

    assert shown(find_file(manifest_of(FILES), path, POLICIES[column])) == expected


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("path", [*ALL, *SLASHES])
def test_a_redirect_to_the_canonical_form_leads_to_a_file(path, policy):
    """In one step: no chain and no loop."""
    manifest = manifest_of(FILES)
    found = find_file(manifest, path, policy)

    assert isinstance(found, Asset | None) or isinstance(find_file(manifest, found, policy), Asset)


PAGES = {
    "/": "index.html",
    "/about": "about.html",
    "/about.html": "about.html",
    "/about/": None,
    "/both": "both.html",
    "/both/": "both/index.html",
    "/docs": None,
    "/docs/": "docs/index.html",
    "/docs/deep/page": "docs/deep/page.html",
    "/v1.0": None,
    "/v2.0": None,
    "/plain": "plain",
    "/plain.html": "plain.html",
    "/nothing": None,
    "//": None,
    "//about": None,
    "/docs//index.html": None,
    "/docs//": None,
}


@pytest.mark.parametrize(("path", "expected"), PAGES.items(), ids=PAGES.keys())
def test_a_target_is_looked_up_by_step_4_alone(path, expected):
    """The file, a folder's index behind a slash, PATH.html; never a redirect."""
    assert shown(find_page(manifest_of(FILES), path)) == expected


@pytest.mark.parametrize("policy", POLICIES)
def test_the_root_is_no_page_without_a_name(policy):
    """A file called `.html` is not what `/` means."""
    assert find_file(manifest_of([".html"]), "/", policy) is None
    assert find_page(manifest_of([".html"]), "/") is None


def test_equal_look_ups_share_one_asset():
    """What is stored hangs on the asset."""
    manifest = manifest_of(FILES)

    assert find_file(manifest, "/about", "auto") is find_page(manifest, "/about.html")


# Branches

PERFORMANCE = "branches: {main: {performance_mode: true}}"
OLD = ("index.html", "gone.html", "folder/index.html", "was-page.html", "app.js", "404.html")
NEW = ("index.html", "new.html", "was-page/index.html", "folder.html", "app.js", "sub/404.html")
UNTIL = ACTIVE_AT + 30


def branch(app_yml=PERFORMANCE, active=NEW, previous=OLD, **options):
    """A branch that served `OLD` and now serves `NEW`."""
    return compile_site(active, app_yml=app_yml, previous=previous, **options).branches["main"]


def deployment(asset):
    """Which deployment an answer is of, and the file."""
    return (asset.deployment, asset.entry.path) if isinstance(asset, Asset) else asset


KEPT = {
    "/": (("old", "index.html"), ("new", "index.html")),
    "/app.js": (("old", "app.js"), ("new", "app.js")),
    "/gone": (("old", "gone.html"), None),
    "/was-page": (("old", "was-page.html"), "/was-page/"),
    "/new": (("new", "new.html"), ("new", "new.html")),
    "/folder": (("new", "folder.html"), ("new", "folder.html")),
    "/nothing": (None, None),
}


@pytest.mark.parametrize(("path", "answers"), KEPT.items(), ids=KEPT.keys())
def test_what_the_previous_deployment_answered_stays_until_its_time(path, answers):
    """A file; a redirect of it, or what it did not have, is the new deployment's business."""
    now = branch()
    before, after = answers

    for epoch in (ACTIVE_AT, UNTIL - 1):
        assert deployment(find_asset(now, path, UNTIL, epoch)) == before
    for epoch in (UNTIL, UNTIL + 1):
        assert deployment(find_asset(now, path, UNTIL, epoch)) == after


def test_without_performance_mode_nothing_stays():
    """Whatever time is asked about."""
    now = branch(app_yml="")

    assert deployment(find_asset(now, "/", UNTIL, ACTIVE_AT)) == ("new", "index.html")
    assert find_asset(now, "/gone", UNTIL, ACTIVE_AT) is None
    assert deployment(find_content(now, "/", UNTIL, ACTIVE_AT)) == ("new", "index.html")
    assert find_content(now, "/gone", UNTIL, ACTIVE_AT) is None


CONTENTS = {
    "/": (("old", "index.html"), ("new", "index.html")),
    "/gone": (("old", "gone.html"), None),
    "/was-page": (("old", "was-page.html"), None),
    "/was-page/": (("new", "was-page/index.html"),) * 2,
    "/folder": (("new", "folder.html"),) * 2,
    "/nothing": (None, None),
}


@pytest.mark.parametrize(("path", "answers"), CONTENTS.items(), ids=CONTENTS.keys())
def test_the_content_of_a_target_stays_as_long(path, answers):
    """As the content of a path does."""
    now = branch()

    assert deployment(find_content(now, path, UNTIL, UNTIL - 1)) == answers[0]
    assert deployment(find_content(now, path, UNTIL, UNTIL)) == answers[1]


def test_a_branch_without_a_deployment_has_nothing():
    """Neither files, nor targets, nor pages of what is missing."""
    now = branch(active=None, previous=None)

    assert find_asset(now, "/", UNTIL, ACTIVE_AT) is None
    assert find_content(now, "/", UNTIL, ACTIVE_AT) is None
    assert find_not_found(now, "/") is None


@pytest.mark.parametrize(("policy", "expected"), [("auto", None), ("strip", "/about")])
def test_a_branch_has_the_policy_of_its_app(policy, expected):
    """As `app.yml` says."""
    now = branch(app_yml=f"trailing_slash: {policy}", active=FILES)

    assert deployment(find_asset(now, "/about/", 0, ACTIVE_AT)) == expected


# What is missing

NOT_FOUND = {
    "/nothing": "404.html",
    "/": "404.html",
    "/sub/nothing": "sub/404.html",
    "/sub/": "sub/404.html",
    "/sub": "404.html",
    "/sub/deep/er/nothing": "sub/404.html",
    "/sub//nothing": "sub/404.html",
    "//nothing": "404.html",
    "//sub/nothing": "404.html",
    "/subway/nothing": "404.html",
    "/other/nothing": "404.html",
}


@pytest.mark.parametrize(("path", "expected"), NOT_FOUND.items(), ids=NOT_FOUND.keys())
def test_the_nearest_page_up_the_tree_tells_that_nothing_is_there(path, expected):
    """From the folder of the path on; the folder itself begins behind its slash."""
    now = branch(active=("404.html", "sub/404.html"))

    assert shown(find_not_found(now, path)) == expected


def test_a_path_of_thousands_of_slashes_costs_nothing():
    """The nearest page is looked for where a deployment can have files at all."""
    now = branch(active=("404.html", "a/404.html"))

    assert shown(find_not_found(now, "/a/" + "b/" * 1_000_000)) == "a/404.html"
    assert shown(find_not_found(now, "/" * 1_000_000)) == "404.html"


def test_the_page_may_have_another_name_or_be_the_built_in_one():
    """`not_found` names it; null is none."""
    files = ("404.html", "oops/index.html", "a/oops/index.html")
    named = branch(app_yml="not_found: oops/index.html", active=files)
    none = branch(app_yml="not_found: null", active=files)
    missing = branch(app_yml="not_found: nowhere.html", active=files)

    assert shown(find_not_found(named, "/a/b/c")) == "a/oops/index.html"
    assert shown(find_not_found(named, "/b/c")) == "oops/index.html"
    assert find_not_found(none, "/a/b/c") is None
    assert find_not_found(missing, "/a/b/c") is None


def test_the_page_is_always_the_current_one():
    """What the previous deployment had is no answer of 200, so nothing keeps it."""
    now = branch()

    assert find_not_found(now, "/nothing") is None
    assert shown(find_not_found(now, "/sub/nothing")) == "sub/404.html"


def test_a_manifest_that_is_not_loaded_has_no_page():
    """A redirect or a refusal needs no files, and what tells of one asks for none."""
    now = branch()
    now.active.manifest = None

    assert find_not_found(now, "/sub/nothing") is None
