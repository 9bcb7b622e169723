"""What a token of one app may, over a real listener; and that there are no other apps for it."""

from __future__ import annotations

import pytest
from yarl import URL

from tests.support_control import FakeWorker, obedient, sha256
from tests.support_tokens import MAIN, OTHER, two_apps


@pytest.fixture
async def api(tmp_path):
    """The operator's."""
    async with two_apps(tmp_path) as found:
        yield found


async def test_a_token_does_all_that_a_deploy_takes(api):
    """Announce, send, activate, list, roll back, purge, delete."""
    ci = await api.make()
    first = await ci.deploy({"index.html": b"one"}, "/v1/apps/shop/branches/pr-7")
    second = await ci.deploy({"index.html": b"two"}, "/v1/apps/shop/branches/pr-7")

    _, listed = await ci("GET", "/v1/apps/shop/branches/pr-7/deployments")
    assert [each["id"] for each in listed["deployments"]] == [second, first]
    assert (await ci("POST", "/v1/apps/shop/branches/pr-7/rollback"))[1]["id"] == first
    assert (await ci("POST", "/v1/purge", {"app": "shop"}))[0] == 200
    assert (await ci("DELETE", "/v1/apps/shop/branches/pr-7"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "document"),
    [
        ("POST", "/v1/reload", None),
        ("GET", "/v1/certificates", None),
        ("POST", "/v1/certificates/a.example/renew", None),
        ("GET", "/v1/domains?app=shop", None),
        ("GET", "/v1/tokens", None),
        ("POST", "/v1/tokens", {"app": "shop"}),
        ("DELETE", "/v1/tokens/abcdefabcdef", None),
        ("GET", "/v1/nothing", None),
        ("GET", "/v1/apps/blog/branches", None),
        ("GET", f"{OTHER}/deployments", None),
        ("POST", f"{OTHER}/deployments", {"files": {}}),
        ("POST", f"{OTHER}/rollback", None),
        ("DELETE", OTHER, None),
        ("POST", "/v1/purge", {"app": "blog"}),
        ("POST", "/v1/purge", {"hosts": ["main.blog.edge.localhost"]}),
        ("POST", "/v1/purge", {"urls": ["http://main.blog.edge.localhost/"]}),
        ("POST", "/v1/purge", {"hosts": ["nobody.example"]}),
        ("POST", "/v1/purge", {"all": True}),
        ("POST", "/v1/purge", None),
        ("POST", "/v1/explain", {"request": "http://main.blog.edge.localhost/"}),
        ("POST", "/v1/explain", {"request": "http://nobody.example/"}),
    ],
)
async def test_everything_else_is_403(api, method, path, document):
    """With one sentence that says what the token may."""
    ci = await api.make()

    status, answer = await ci(method, path, document)

    sentence = "this token may deploy, purge and read app shop, and nothing else"
    assert (status, answer["detail"]) == (403, sentence)


@pytest.mark.parametrize(
    ("may", "method", "path", "document"),
    [
        ("deploy", "GET", "/v1/status", None),
        ("deploy", "GET", "/v1/apps/shop/branches", None),
        ("deploy", "POST", "/v1/purge", {"app": "shop"}),
        ("read", "POST", "/v1/purge", {"app": "shop"}),
        ("read", "POST", f"{MAIN}/rollback", None),
        ("read", "PUT", f"/v1/blobs/{'0' * 64}", None),
        ("purge", "GET", "/v1/apps", None),
        ("purge", "POST", "/v1/explain", {"request": "http://main.shop.edge.localhost/"}),
    ],
)
async def test_what_a_token_is_not_for_is_403(api, may, method, path, document):
    """In its own app, too."""
    ci = await api.make(may=[may])

    status, answer = await ci(method, path, document)

    assert (status, answer["detail"]) == (403, f"this token may {may} app shop, and nothing else")


async def test_a_branch_pattern_bounds_a_token(api):
    """Its branches are deployed, listed and purged; others, and all at once, are not."""
    await api.deploy({"index.html": b"pr"}, "/v1/apps/shop/branches/pr-1")
    ci = await api.make(branch="pr-*")

    await ci.deploy({"index.html": b"new"}, "/v1/apps/shop/branches/pr-2")
    _, listed = await ci("GET", "/v1/apps/shop/branches")
    assert [each["branch"] for each in listed["branches"]] == ["pr-1", "pr-2"]
    assert (await ci("POST", "/v1/purge", {"app": "shop", "branch": "pr-1"}))[0] == 200
    assert (await ci("POST", "/v1/purge", {"hosts": ["pr-1.shop.edge.localhost"]}))[0] == 200
    for asked in (
        {"app": "shop"},
        {"app": "shop", "branch": "main"},
        {"hosts": ["main.shop.edge.localhost"]},
    ):
        assert (await ci("POST", "/v1/purge", asked))[0] == 403
    assert (await ci.begin({"a": b"a"}))[0] == 403
    assert (await ci("POST", f"{MAIN}/rollback"))[0] == 403
    mains = (await api("GET", f"{MAIN}/deployments"))[1]["deployments"][0]["id"]
    assert (await ci.activate(mains))[0] == 403


async def test_deployments_of_others_are_as_if_there_were_none(api):
    """Complete, pending or not there at all: the same refusal."""
    ci = await api.make()
    theirs = (await api("GET", f"{OTHER}/deployments"))[1]["deployments"][0]["id"]
    pending = (await api.begin({"a": b"a"}, OTHER))[1]["id"]

    for identifier in (theirs, pending, "20260101-000000-abcdef", "nonsense"):
        status, answer = await ci.activate(identifier)
        sentence = f"there is no deployment '{identifier}' for this token: it may deploy, purge"
        assert (status, answer["detail"]) == (403, f"{sentence} and read app shop")


async def test_what_is_not_to_serve_yet_is_completed_by_its_own_token(api):
    """As it is activated; of another app there is none."""
    ci = await api.make()
    (_, own), (_, theirs) = await ci.begin({"a": b"a"}), await api.begin({"a": b"a"}, OTHER)
    await ci.put(b"a")

    assert (await ci("POST", f"/v1/deployments/{own['id']}/complete"))[0] == 200
    assert (await ci("POST", f"/v1/deployments/{theirs['id']}/complete"))[0] == 403
    _, listed = await ci("GET", f"{MAIN}/deployments")
    newest, *_ = listed["deployments"]
    assert (newest["id"], newest["active"]) == (own["id"], False)


SPELLED = [
    "/v1/apps/shop/../blog/branches/main", "/v1/apps/shop/%2e%2e/blog/branches/main",
    "/v1/apps/shop%2f..%2fblog/branches/main", "/v1/apps/%62log/branches/main",
    "/v1/apps/shop/branches/..%2f..%2fblog%2fbranches%2fmain", "/v1/apps/blog%00/branches/main",
    "/v1/apps/shop/branches/../../blog/branches/main", "/v1/apps/BLOG/branches/main",
    "/v1/apps/blog;shop/branches/main", "//v1/apps/blog/branches/main",
    "/v1//apps/blog/branches/main", "/v1/apps/shop,blog/branches/main",
    "/v1/apps/blog%20/branches/main", "/v1/apps//branches/main",
    "/v1/apps/shop/branches/main/../../../blog/branches/main", "/v1/apps/%252e%252e/branches/main",
    "/v1/apps/shop\\..\\blog/branches/main", "/v1/apps/%2e%2e/apps/blog/branches/main",
]  # fmt: skip


@pytest.mark.parametrize("path", SPELLED)
async def test_no_spelling_of_a_path_leads_to_another_app(api, path):
    """The app that a token is judged by is the one that is read and changed."""
    ci = await api.make(may=["read", "deploy", "purge"])
    before = await api("GET", f"{OTHER}/deployments")
    headers = {"Authorization": f"Bearer {ci.token}"}
    for method, behind in (("GET", "/deployments"), ("POST", "/rollback"), ("DELETE", "")):
        url = URL(f"{api.session._base_url}".rstrip("/") + path + behind, encoded=True)
        async with api.session.request(method, url, headers=headers) as response:
            told = await response.text()
        assert response.status in {400, 403, 404, 405, 422}, (method, told)
        assert before[1]["deployments"][0]["id"] not in told

    assert await api("GET", f"{OTHER}/deployments") == before
    assert (await api("GET", f"{MAIN}/deployments"))[0] == 200


async def test_no_answer_names_another_app(api):
    """Lists, the status, and the refusal of an app that is not there yet."""
    ci, new = await api.make(), await api.make(app="new")

    assert [each["app"] for each in (await ci("GET", "/v1/apps"))[1]["apps"]] == ["shop"]
    _, status = await ci("GET", "/v1/status")
    assert sorted(status) == ["app", "branches", "generation"]
    for method, path, document in (
        ("GET", "/v1/status", None),
        ("GET", "/v1/apps/new/branches", None),
        ("POST", "/v1/apps/new/branches/main/rollback", None),
        ("POST", "/v1/purge", {"app": "new"}),
    ):
        code, answer = await new(method, path, document)
        assert (code, answer["detail"]) == (404, "app new has no deployment yet")


async def test_explain_is_about_its_own_hosts(api):
    """By the URL, or by a header Host; with rules of one's own about anything."""
    ci = await api.make(may=["read"])
    own = "http://main.shop.edge.localhost/"

    assert (await ci("POST", "/v1/explain", {"request": own}))[0] == 200
    hidden = {"request": {"url": own, "headers": {"Host": "main.blog.edge.localhost"}}}
    assert (await ci("POST", "/v1/explain", hidden))[0] == 403
    inline = {"request": "/a", "rules": [{"source": "/a", "target": "/b", "status": "301"}]}
    assert (await ci("POST", "/v1/explain", inline))[0] == 200


# Blobs


async def test_blobs_of_another_app_are_missing_until_they_are_sent(api):
    """Who knows a hash learns nothing, and cannot publish what he does not have."""
    ci = await api.make()
    secret = b"of blog alone"

    _, begun = await ci.begin({"mine.js": secret, "no.js": b"nobody's"})
    assert begun["missing"] == sorted([sha256(secret), sha256(b"nobody's")])
    await ci.put(b"nobody's")
    status, answer = await ci.activate(begun["id"])
    assert (status, answer["missing"]) == (409, [sha256(secret)])
    assert (await api.activate(begun["id"]))[0] == 409  # the operator cannot be made to do it

    await ci.put(secret)
    assert (await ci.activate(begun["id"]))[0] == 200
    assert (await api.begin({"x": secret}, OTHER))[1]["missing"] == []


async def test_what_was_sent_for_a_deploy_that_broke_off_is_not_sent_again(api):
    """To the same app; to another it is, again."""
    ci = await api.make()
    files = {"a": b"sent once", "b": b"not yet"}
    await ci.begin(files)
    await ci.put(b"sent once")

    assert (await ci.begin(files))[1]["missing"] == [sha256(b"not yet")]
    other = await api.make(app="blog")
    assert len((await other.begin(files, OTHER))[1]["missing"]) == 2


async def test_a_token_may_make_its_app(api):
    """Where there is none yet."""
    ci = await api.make(app="new", may=["deploy"])

    assert await ci.deploy({"index.html": b"new"}, "/v1/apps/new/branches/main")


async def test_another_size_is_not_told_either(api):
    """A guess with the wrong size is missing as any other."""
    ci = await api.make()
    files = {"a": {"sha256": sha256(b"of blog alone"), "size": 1}}
    _, begun = await ci("POST", f"{MAIN}/deployments", {"files": files})

    assert (await ci.activate(begun["id"]))[0] == 409


async def test_what_its_own_app_has_is_not_sent_again(api):
    """Of any branch, whoever deployed it."""
    await api.deploy({"a.js": b"shared"}, "/v1/apps/shop/branches/old")
    ci = await api.make(branch="pr-*")

    _, begun = await ci.begin({"a.js": b"shared", "b": b"b"}, "/v1/apps/shop/branches/pr-1")

    assert begun["missing"] == [sha256(b"b")]


async def test_a_branchs_own_files_count_though_others_are_newer(api):
    """The newest manifests of an app are looked into, and two of the branch at least."""
    await api.deploy({"a": b"a"}, "/v1/apps/shop/branches/quiet")
    for number in range(9):
        await api.deploy({"b": b"%d" % number}, f"/v1/apps/shop/branches/busy-{number}")
    ci = await api.make()

    assert (await ci.begin({"a": b"a"}, "/v1/apps/shop/branches/quiet"))[1]["missing"] == []


async def test_a_purge_by_tag_stays_in_its_app(api):
    """Workers are told within which branches: a tag is a word that every app may use."""
    await api.deploy({"index.html": b"pr"}, "/v1/apps/shop/branches/pr-1")
    worker = FakeWorker(api.folder / "var" / "run", obedient)
    try:
        for by in (api, await api.make(), await api.make(branch="pr-*")):
            assert (await by("POST", "/v1/purge", {"tags": ["news"]}))[0] == 200
    finally:
        worker.close()

    told = [order for order in worker.orders if order["do"] == "purge"]
    assert [sorted(order["within"] or ["everywhere"]) for order in told[::2]] == [
        ["everywhere"],
        ["branch shop main", "branch shop pr-1"],
        ["branch shop pr-1"],
    ]
    assert {tuple(order["labels"]) for order in told} == {("tag news",)}
