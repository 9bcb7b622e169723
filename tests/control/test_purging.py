"""What an operator wants forgotten, as labels of stored answers and paths of files."""

from __future__ import annotations

import json

import pytest

from edge.control.announcements import Malformed
from edge.control.deployments import NoSuch
from edge.control.purging import Purge, Selection, decode_selection, find
from edge.site.documents import decode_app
from edge.site.snapshot import Snapshot
from tests.support_site import site_of

HOST = "www.example.com"


@pytest.fixture
def snapshot():
    """One site whose answers are told apart by one parameter."""
    return snapshot_of("cache: {query: [page]}")


def snapshot_of(app_yml: str):
    """A snapshot with one host."""
    app, errors = decode_app(app_yml, "app.yml")
    assert app is not None, errors
    site = site_of([])
    site.branch.cache = app.cache
    site.host = HOST
    return Snapshot(1, {}, {HOST.encode(): site})


def labels(snapshot, **named) -> list[str]:
    """What is under the labels that a selection comes to."""
    return [label.decode() for label in find(Selection(**named), snapshot, {}).labels]


NAMED = {
    "": Selection(all=True),
    " ": Selection(all=True),
    '{"all": true}': Selection(all=True),
    '{"all": true, "soft": true}': Selection(all=True, soft=True),
    '{"urls": ["https://a.test/x"]}': Selection(urls=["https://a.test/x"]),
    '{"tags": ["a", "b"]}': Selection(tags=["a", "b"]),
    '{"hosts": ["a.test"]}': Selection(hosts=["a.test"]),
    '{"app": "shop", "branch": "main"}': Selection(app="shop", branch="main"),
}


@pytest.mark.parametrize(("body", "selection"), NAMED.items())
def test_what_is_named(body, selection):
    """One kind of thing; without content everything."""
    assert decode_selection(body.encode()) == selection


@pytest.mark.parametrize(
    "body",
    [
        "{}", "[]", "null", '"all"', "{", "\xff", '{"soft": true}', '{"all": false}',
        '{"tags": []}', '{"tag": "a"}', '{"all": true, "tags": ["a"]}', '{"branch": "main"}',
        '{"urls": "https://a.test"}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_names_nothing_or_too_much(body):
    """It is refused; a mistake must not purge everything."""
    with pytest.raises(Malformed, match="send one of"):
        decode_selection(body.encode("latin-1"))


PAGES = {
    f"https://{HOST}/news": f"page {HOST}/news",
    f"http://{HOST}:8080/news": f"page {HOST}/news",
    f"{HOST}/news": f"page {HOST}/news",
    f"https://{HOST.upper()}/news#part": f"page {HOST}/news",
    f"https://{HOST}": f"page {HOST}/",
    f"https://{HOST}/a/../%6eews": f"page {HOST}/news",
    f"https://{HOST}/news?utm=1": f"page {HOST}/news",
    f"https://{HOST}/news?utm=1&page=2": f"page {HOST}/news?page=2",
    f"https://{HOST}/café": f"page {HOST}/caf%C3%A9",
}


@pytest.mark.parametrize(("url", "label"), PAGES.items())
def test_an_address_is_known_by_host_path_and_chosen_query(snapshot, url, label):
    """However it is spelled; with it go answers that have more addresses than are counted."""
    assert labels(snapshot, urls=[url]) == [label, f"pages {HOST}"]


def test_files_of_an_address_go_too(snapshot):
    """By the branch that answers there."""
    purge = find(Selection(urls=[f"https://{HOST}/news"]), snapshot, {})
    branch = snapshot.hosts[HOST.encode()].branch

    assert purge.files == [(branch.app, branch.label, "/news")]


@pytest.mark.parametrize(
    "url", ["https://", "nix://x", f"https://{HOST}/%00", f"https://{HOST}/.."]
)
def test_what_is_no_url_is_refused(snapshot, url):
    """It says what."""
    with pytest.raises(Malformed, match=r"URL|path|segment|root|byte"):
        find(Selection(urls=[url]), snapshot, {})


@pytest.mark.parametrize("named", [{"urls": ["https://b.test/"]}, {"hosts": ["b.test"]}])
def test_a_host_that_nobody_claims_is_an_error(snapshot, named):
    """A purge of nothing would look like one that worked."""
    with pytest.raises(NoSuch, match=r"b\.test"):
        find(Selection(**named), snapshot, {})


def test_hosts_tags_and_branches(snapshot):
    """Each by its label, with the files that they have."""
    branch = snapshot.hosts[HOST.encode()].branch

    assert labels(snapshot, hosts=[HOST]) == [f"host {HOST}"]
    assert labels(snapshot, tags=["a", "é"]) == ["tag a", "tag é"]
    assert find(Selection(hosts=[HOST]), snapshot, {}).files == [(branch.app, branch.label, None)]
    purge = find(Selection(app="shop"), snapshot, {"main": "main", "pr/7": "pr-7"})
    assert purge.labels == [b"branch shop main", b"branch shop pr/7"]
    assert purge.files == [("shop", "main", None), ("shop", "pr-7", None)]


def test_an_order_is_json():
    """Labels may hold any byte."""
    order = Purge(soft=True, labels=[b"tag \xe9"], files=[("a", "b", None)]).order

    assert json.loads(json.dumps(order)) == {
        "do": "purge", "everything": False, "soft": True, "labels": ["tag \xe9"],
        "files": [["a", "b", None]], "within": None,
    }  # fmt: skip
    assert Purge(within=[b"branch a \xe9"]).order["within"] == ["branch a \xe9"]
