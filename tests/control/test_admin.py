"""The admin API over a real listener: what it does and what it refuses."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal

import aiohttp
import pytest

from edge.control.client import Client
from edge.node import orders
from tests.support import eventually
from tests.support_control import (
    PAGE,
    FakeWorker,
    obedient,
    places_of,
    serving_admin,
    sha256,
    write_app,
)

BRANCH = "/v1/apps/shop/branches/main"


class Api:
    """Calls with the node's own token."""

    def __init__(self, session, admin, folder):
        self.session = session
        self.admin = admin
        self.folder = folder
        self.url = session._base_url
        self.token = session.headers["Authorization"].split()[1]

    async def __call__(self, method, path, document=None, data=None, **fields):
        """(status, document)"""
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        async with self.session.request(
            method, path, json=document, data=data, headers=fields
        ) as response:
            if response.status == 204:
                return 204, None
            return response.status, await response.json(content_type=None)

    async def begin(self, files, path=BRANCH, **more):
        """Announce files."""
        announced = {
            name: {"sha256": sha256(content), "size": len(content)}
            for name, content in files.items()
        }
        return await self("POST", f"{path}/deployments", {"files": announced} | more)

    async def put(self, content, name=None):
        """Send a blob."""
        return await self("PUT", f"/v1/blobs/{name or sha256(content)}", data=content)

    async def deploy(self, files, path=BRANCH):
        """Announce, send, activate; the document of the last."""
        _, begun = await self.begin(files, path)
        for content in files.values():
            if sha256(content) in begun["missing"]:
                assert await self.put(content) == (204, None)
        status, served = await self("POST", f"/v1/deployments/{begun['id']}/activate")
        assert status == 200, served
        return served


@pytest.fixture
async def api(tmp_path):
    """The API of a new node."""
    settings = "limits: {blob_bytes: 1MiB, archive_files: 20}\n"
    async with serving_admin(tmp_path, settings) as (admin, address):
        token = (tmp_path / "var" / "admin.token").read_text().strip()
        async with aiohttp.ClientSession(
            f"http://{address}", headers={"Authorization": f"Bearer {token}"}
        ) as session:
            yield Api(session, admin, tmp_path)


async def test_a_deploy_step_by_step(api):
    """Announce, hear what is missing, be refused while it is, send it, activate."""
    files = {"index.html": PAGE.encode(), "copy.html": PAGE.encode(), "a.css": b"a{}"}
    status, begun = await api.begin(files, message="first")
    assert (status, sorted(begun)) == (201, ["id", "label", "missing"])
    assert begun["missing"] == sorted({sha256(content) for content in files.values()})
    await api.put(PAGE.encode())

    status, refused = await api("POST", f"/v1/deployments/{begun['id']}/activate")
    assert (status, refused["missing"]) == (409, [sha256(b"a{}")])

    await api.put(b"a{}")
    status, served = await api("POST", f"/v1/deployments/{begun['id']}/activate")
    assert (status, served) == (
        200,
        {
            "id": begun["id"],
            "app": "shop",
            "branch": "main",
            "urls": ["http://main.shop.edge.localhost:8080"],
            "configured": True,
            "warnings": [],
        },
    )
    status, listed = await api("GET", f"{BRANCH}/deployments")
    (entry,) = listed["deployments"]
    assert (status, listed["app"], listed["branch"]) == (200, "shop", "main")
    assert entry.pop("created") > 0
    assert entry == {
        "id": begun["id"],
        "active": True,
        "waiting": False,
        "files": 3,
        "bytes": 2 * len(PAGE) + 3,
        "message": "first",
    }


async def test_deployments_are_listed_newest_first(api):
    """The one that serves is marked, wherever it stands."""
    ids = [(await api.deploy({"a": b"%d" % number}))["id"] for number in range(3)]
    await api("POST", f"{BRANCH}/rollback")

    _, listed = await api("GET", f"{BRANCH}/deployments")

    assert [each["id"] for each in listed["deployments"]] == ids[::-1]
    assert [each["active"] for each in listed["deployments"]] == [False, True, False]


@pytest.mark.parametrize(
    "branch", ["feature/x", "a%2Fb", "100%", "a b", "a+b", "ü/ö", "a?b#c", "a&b=c;d", "{a}", "a%25"]
)
async def test_branch_names_are_percent_encoded_in_paths(api, branch):
    """Whatever is in them, they arrive as they are."""
    client = Client(f"{api.url.host}:{api.url.port}", api.token)

    def use():
        begun = client.begin("shop", branch, FILES)
        with (api.folder / "x").open("rb") as file:
            client.put_blob(sha256(b"x"), file)
        served = client.activate(begun["id"])
        listed = client.deployments("shop", branch)
        branches = client.branches("shop")["branches"]
        deleted = client.delete_branch("shop", branch)
        client.close()
        return [served["branch"], listed["branch"], branches[0]["branch"], deleted["branch"]]

    (api.folder / "x").write_bytes(b"x")

    assert await asyncio.to_thread(use) == [branch] * 4


FILES = {"a.txt": {"sha256": sha256(b"x"), "size": 1}}


async def test_a_branch_is_listed_with_its_urls(api):
    """By name; one without a deployment has none."""
    served = await api.deploy({"a": b"x"}, "/v1/apps/shop/branches/next")
    await api.deploy({"a": b"x"})

    _, listed = await api("GET", "/v1/apps/shop/branches")
    _, apps = await api("GET", "/v1/apps")

    assert [each["branch"] for each in listed["branches"]] == ["main", "next"]
    assert listed["branches"][1]["deployment"] == served["id"]
    assert listed["branches"][1]["urls"] == served["urls"]
    assert apps == {"apps": [{"app": "shop", "branches": 2, "configured": True}]}


async def test_hostnames_are_listed(api):
    """Of all apps, or of the one that the query names."""
    await api.deploy({"a": b"x"})
    await api.deploy({"a": b"x"}, "/v1/apps/blog/branches/main")

    _, every = await api("GET", "/v1/domains")
    _, one = await api("GET", "/v1/domains?app=shop")

    assert [each["app"] for each in every["hosts"]] == ["blog", "shop"]
    assert one["hosts"] == [every["hosts"][1]]
    assert one["hosts"][0]["host"] == "main.shop.edge.localhost"


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/v1/nope", 404, "Not Found"),
        ("GET", "/v1/domains?app=shap", 404, "there is no app shap (there are: shop)"),
        ("PUT", "/v1/reload", 405, "Method Not Allowed"),
        ("GET", "/v1/apps/shap/branches", 404, "there is no app shap (there are: shop)"),
        ("GET", "/v1/apps/shop/branches/x/deployments", 404, "has no branch x (it has: main)"),
        ("POST", "/v1/apps/shop/branches/x/rollback", 404, "has no branch x"),
        ("DELETE", "/v1/apps/shop/branches/x", 404, "has no branch x"),
        ("POST", f"{BRANCH}/rollback", 422, "has no earlier deployment"),
        ("POST", "/v1/deployments/20260101-000000-aaaaaa/activate", 404, "there is no deployment"),
        ("POST", "/v1/deployments/nope/activate", 422, "is no deployment id"),
        ("PUT", f"/v1/blobs/{'A' * 64}", 400, "64 hex digits"),
    ],
)
async def test_refusals_are_problem_documents(api, method, path, status, text):
    """With the status, and a text for the person who can act on it."""
    await api.deploy({"a": b"x"})

    found, document = await api(method, path)

    assert (found, document["status"]) == (status, status)
    assert text in document["detail"]


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"{", 400, "send"),
        (b"[]", 400, "send"),
        (b'{"files": [1]}', 400, "send"),
        (b'{"files": {}, "branch": "x"}', 400, "branch"),
        (b'{"files": {}}', 422, "without files"),
        (b'{"files": {"../x": {"sha256": "%s", "size": 1}}}' % (b"a" * 64), 422, "'../x'"),
        (b'{"files": {"x": {"sha256": "zz", "size": 1}}}', 422, "64 hex digits"),
        (b'{"files": {"x": {"sha256": "%s", "size": -1}}}' % (b"a" * 64), 422, "byte count"),
        (b'{"files": {"x": {"sha256": "%s", "size": 2000000}}}' % (b"a" * 64), 422, "blob_bytes"),
    ],
)
async def test_a_bad_announcement_is_refused(api, body, status, text):
    """Malformed is 400, unacceptable is 422, and the path is named."""
    found, document = await api(
        "POST", f"{BRANCH}/deployments", data=body, Content_Type="application/json"
    )

    assert (found, text in document["detail"]) == (status, True)


@pytest.mark.parametrize("app", ["Shop", "a_b", "a" * 64])
async def test_an_app_that_is_no_label_is_refused(api, app):
    """It becomes a folder and a hostname."""
    status, document = await api.begin({"a": b"x"}, f"/v1/apps/{app}/branches/main")

    assert (status, "is no app name" in document["detail"]) == (422, True)


async def test_too_many_files_are_refused(api):
    """By the limit's own name."""
    status, document = await api.begin({f"{n}": b"x" for n in range(21)})

    assert (status, "limits.archive_files" in document["detail"]) == (422, True)


async def test_a_blob_of_another_hash_is_refused(api):
    """And nothing is stored."""
    status, document = await api.put(b"x", name=sha256(b"y"))
    _, begun = await api.begin({"a": b"y"})

    assert (status, sha256(b"x") in document["detail"]) == (422, True)
    assert begun["missing"] == [sha256(b"y")]
    assert list(places_of(api.folder).staged.iterdir()) == []


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_blob_over_the_limit_is_413(api, chunked):
    """Announced or found out on the way; nothing is stored."""
    content = b"x" * (2 << 20)

    async def chunks():
        for start in range(0, len(content), 65536):
            yield content[start : start + 65536]

    data = chunks() if chunked else io.BytesIO(content)
    status, document = await api("PUT", f"/v1/blobs/{sha256(content)}", data=data)

    assert (status, "limits.blob_bytes" in document["detail"]) == (413, True)
    assert list(places_of(api.folder).staged.iterdir()) == []


async def test_a_blob_in_chunks_is_taken(api):
    """Large ones too, which are written by threads."""
    content = os.urandom(900_000)

    async def chunks():
        yield content[:300_001]
        yield content[300_001:]

    assert (await api("PUT", f"/v1/blobs/{sha256(content)}", data=chunks()))[0] == 204
    assert places_of(api.folder).staged_blob(sha256(content)).read_bytes() == content


async def test_an_upload_that_is_cut_short_leaves_nothing(api, caplog):
    """The node does not take it for its own mistake."""
    url = api.url
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"PUT /v1/blobs/{sha256(b'abc')} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"
        f"Authorization: Bearer {api.token}\r\nContent-Length: 3\r\n\r\nab"
    )
    writer.write(head.encode())
    await writer.drain()
    staged = places_of(api.folder).staged
    await asyncio.to_thread(eventually, lambda: list(staged.iterdir()))
    writer.transport.abort()
    await asyncio.to_thread(eventually, lambda: not list(staged.iterdir()))

    await api("GET", "/v1/apps")
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_size_that_is_not_the_blobs_is_refused(api):
    """At the activation, with the path."""
    _, begun = await api(
        "POST", f"{BRANCH}/deployments", {"files": {"a": {"sha256": sha256(b"x"), "size": 2}}}
    )
    await api.put(b"x")

    status, document = await api("POST", f"/v1/deployments/{begun['id']}/activate")

    assert (status, "'a' was announced with 2 bytes" in document["detail"]) == (422, True)


async def test_a_reload_says_what_changed(api):
    """The generation and the apps."""
    write_app(api.folder, "blog")

    assert await api("POST", "/v1/reload") == (
        200,
        {
            "generation": 2,
            "changed": ["blog"],
            "warnings": [],
            "difference": {"apps": [{"app": "blog", "change": "new"}]},
        },
    )
    assert await api("POST", "/v1/reload") == (
        200,
        {"generation": 2, "changed": [], "warnings": []},
    )


async def test_a_dry_run_says_what_would_change(api):
    """With its blast radius, and nothing is other afterwards."""
    write_app(api.folder, "blog")

    status, document = await api("POST", "/v1/reload?dry_run=1")

    assert (status, document["dry_run"], document["changed"]) == (200, True, ["blog"])
    assert document["radius"] == {}
    assert (await api("GET", "/v1/apps"))[1] == {"apps": []}


@pytest.mark.parametrize("query", ["dry-run=1", "dry_run=true", "dry_run", "atomic=2", "x=1"])
async def test_a_switch_that_is_misspelled_reloads_nothing(api, query):
    """Who meant a dry run must not get a real one."""
    write_app(api.folder, "blog")

    assert (await api("POST", f"/v1/reload?{query}"))[0] == 400
    assert (await api("GET", "/v1/apps"))[1] == {"apps": []}


async def test_an_atomic_reload_does_all_or_nothing(api):
    """422, and not even the good app's change is in."""
    write_app(api.folder, "good")
    write_app(api.folder, "bad", "nope: 1\n")

    status, document = await api("POST", "/v1/reload?atomic=1")

    assert (status, document["changed"]) == (422, [])
    assert (await api("GET", "/v1/apps"))[1] == {"apps": []}


async def test_a_refused_reload_says_where(api):
    """422 with every mistake and what was kept, while the good apps' changes are in."""
    write_app(api.folder, "good")
    write_app(api.folder, "bad", "nope: 1\nretain: 5\n")

    status, document = await api("POST", "/v1/reload")

    assert (status, document["kept"], document["changed"]) == (422, ["bad"], ["bad", "good"])
    assert [(each["file"], each["line"]) for each in document["errors"]] == [
        ("rules/bad/app.yml", 1),
        ("rules/bad/app.yml", 2),
    ]
    assert {"column", "message", "hint"} <= document["errors"][0].keys()
    _, apps = await api("GET", "/v1/apps")
    assert {each["app"]: each["configured"] for each in apps["apps"]} == {
        "bad": False,
        "good": True,
    }


async def test_new_limits_and_hosts_hold_after_a_reload(api):
    """No restart is needed for them."""
    (api.folder / "edge.yml").write_text(
        "limits: {blob_bytes: 10B}\nadmin: {hosts: [edge.example]}\n"
    )
    assert (await api("GET", "/v1/apps", Host="edge.example"))[0] == 421
    await api("POST", "/v1/reload")

    assert (await api("GET", "/v1/apps", Host="edge.example"))[0] == 200
    assert (await api.put(b"x" * 11))[0] == 413


async def test_sighup_is_a_reload(api):
    """For those who prefer signals."""
    write_app(api.folder, "blog")
    os.kill(os.getpid(), signal.SIGHUP)

    compiled = places_of(api.folder).compiled
    await asyncio.to_thread(eventually, lambda: list(compiled.iterdir()))
    status, reloaded = await api("POST", "/v1/reload")
    assert (status, reloaded["changed"]) == (200, [])


async def test_deploys_at_once_take_turns(api):
    """Each of them arrives, and questions are answered meanwhile."""
    branches = [f"/v1/apps/shop/branches/b{number}" for number in range(8)]

    served = await asyncio.gather(
        *(api.deploy({"a.html": PAGE.encode() + path.encode()}, path) for path in branches),
        *(api("GET", "/v1/status") for _ in branches),
    )
    _, listed = await api("GET", "/v1/apps/shop/branches")

    assert {each["deployment"] for each in listed["branches"]} == {
        each["id"] for each in served[: len(branches)]
    }


async def test_a_change_that_waits_does_not_hold_up_questions(api):
    """While a slow worker loads and others queue, listings and health checks are answered."""
    loading = asyncio.Event()
    loop = asyncio.get_running_loop()
    released = asyncio.Event()

    def slow(order):
        if order["do"] == "load":
            loop.call_soon_threadsafe(loading.set)
            asyncio.run_coroutine_threadsafe(released.wait(), loop).result(10)
        return obedient(order)

    worker = FakeWorker(places_of(api.folder).run, slow)
    changes = [
        asyncio.ensure_future(api.deploy({"a": b"x"}, f"/v1/apps/shop/branches/b{number}"))
        for number in range(12)
    ]
    await loading.wait()
    async with asyncio.timeout(30):
        assert (await api("GET", "/v1/apps"))[0] == 200
        async with api.session.get("/healthz") as response:
            assert response.status == 200
    released.set()
    await asyncio.gather(*changes)
    worker.close()


async def test_the_node_is_ready_when_every_worker_serves(api):
    """503 while one has no generation."""
    run = places_of(api.folder).run

    async def ready():
        async with api.session.get("/readyz") as response:
            return response.status

    serving = FakeWorker(run, lambda _: {"generation": 1})
    assert await ready() == 200
    starting = FakeWorker(run, lambda _: {"generation": 0})
    assert await ready() == 503
    starting.close()
    assert await ready() == 200
    _, status = await api("GET", "/v1/status")
    serving.close()

    assert status | {"generation": 1, "apps": 0, "workers": [{"generation": 1}]} == status


async def test_purge_counts(api):
    """What every worker forgot."""
    worker = FakeWorker(places_of(api.folder).run, obedient)
    answer = await api("POST", "/v1/purge")
    worker.close()

    assert answer == (200, {"purged": 3})


async def test_delete_branch(api):
    """Says which label went."""
    await api.deploy({"a": b"x"}, "/v1/apps/shop/branches/pr-7")

    assert await api("DELETE", "/v1/apps/shop/branches/pr-7") == (
        200,
        {"app": "shop", "branch": "pr-7", "label": "pr-7"},
    )


async def test_what_nobody_foresaw_is_logged_and_not_told(api, caplog):
    """500 with a hint at the log; no token in it, no inside in the answer."""
    places_of(api.folder).current.unlink()
    places_of(api.folder).current.symlink_to("generations/nonsense")

    status, document = await api("GET", "/v1/status")

    assert (status, "nonsense" in str(document)) == (500, False)
    assert "GET /v1/status failed" in caplog.text
    assert api.token not in caplog.text


async def test_the_control_process_takes_orders(api):
    """`drain` ends it: the next parent asks for that before it takes over."""
    path = orders.socket_path(places_of(api.folder).run, "control")

    reply = await asyncio.to_thread(orders.ask, path, {"do": "status"})
    await asyncio.to_thread(orders.ask, path, {"do": "drain"})

    assert reply.pop("tasks") > 0
    assert reply == {"pid": os.getpid(), "reloads": 1}
    await asyncio.to_thread(eventually, lambda: not path.exists())


async def test_a_start_with_mistakes_serves_the_last_good(tmp_path, caplog):
    """Every mistake is logged, and the API is there to mend it."""
    async with serving_admin(tmp_path):
        pass
    token = (tmp_path / "var" / "admin.token").read_bytes()
    async with serving_admin(tmp_path, "nope: 1\n") as (_, address):
        assert "unknown key 'nope'" in caplog.text
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"http://{address}/v1/status",
                headers={"Authorization": f"Bearer {token.decode().strip()}"},
            ) as response,
        ):
            assert (await response.json())["generation"] == 1
    assert (tmp_path / "var" / "admin.token").read_bytes() == token
    assert token.decode().strip() not in caplog.text


async def test_certificates_are_kept_beside_the_api(tmp_path, monkeypatch):
    """What a deploy serves has its certificate at once, and a deploy does not wait for it."""
    monkeypatch.setattr("edge.control.keeper.LOOK_EVERY", 3600)
    settings = 'listen: {https: ["127.0.0.1:8443"]}\ntls: {mode: internal}\n'
    async with serving_admin(tmp_path, settings) as (admin, address):
        token = (tmp_path / "var" / "admin.token").read_text().strip()
        async with aiohttp.ClientSession(
            f"http://{address}", headers={"Authorization": f"Bearer {token}"}
        ) as session:
            await Api(session, admin, tmp_path).deploy({"index.html": PAGE.encode()})

        keyring = places_of(tmp_path).keyring
        async with asyncio.timeout(30):  # less than a look that nobody asked for would take
            while not keyring.exists():  # noqa: ASYNC110 - a file comes, nobody tells
                await asyncio.sleep(0.01)
    assert b'"*.shop.edge.localhost"' in keyring.read_bytes()
