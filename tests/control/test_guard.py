"""What stands before every call and behind it: refusals as problem documents, lines in the log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal

import pytest
from yarl import URL

from edge.control import admission, guard
from edge.control.attempts import TRIES
from tests.support import eventually
from tests.support_logs import entries_of
from tests.support_tokens import MAIN, two_apps


@pytest.fixture
async def api(tmp_path):
    """The operator's."""
    async with two_apps(tmp_path) as found:
        yield found


def noted(api, count=0):
    """The lines of the audit log behind the first `count`."""
    return entries_of(api.folder / "var" / "log" / "audit.jsonl")[count:]


async def test_every_call_leaves_a_line(api):
    """Who, from where, what, and what came of it."""
    ci = await api.make(name="CI of shop", may=["deploy"])
    before = len(noted(api))
    identifier = await ci.deploy({"index.html": b"new"})
    await ci("POST", "/v1/purge", {"app": "shop", "branch": "main"})
    await api("GET", f"{MAIN}/deployments")
    await api("DELETE", "/v1/tokens/" + ci.token.split("_")[1])
    async with api.session.get("/healthz") as response:
        assert response.status == 200
    await asyncio.to_thread(eventually, lambda: len(noted(api, before)) == 6)

    begun, blob, activated, purged, listed, revoked = noted(api, before)
    token = ci.token.split("_")[1]
    assert list(begun) == [
        *("time", "who", "client", "action", "app", "branch", "id"),
        *("method", "path", "status", "error", "seconds"),
    ]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", begun["time"])
    assert (begun["who"], begun["client"]) == (f"token:{token} CI of shop", "127.0.0.1")
    assert (begun["action"], begun["app"], begun["branch"]) == ("begin", "shop", "main")
    assert (begun["id"], activated["id"]) == (identifier, identifier)
    assert (activated["app"], activated["branch"]) == ("shop", "main")
    assert (blob["action"], len(blob["id"]), blob["status"]) == ("blob", 64, 204)
    assert (purged["action"], purged["branch"], purged["status"]) == ("purge", None, 403)
    assert purged["error"].startswith("this token may deploy app shop")
    assert (listed["who"], listed["path"]) == ("admin", f"{MAIN}/deployments")
    assert (revoked["action"], revoked["id"], revoked["error"]) == ("revoke-token", token, None)


async def test_a_signal_is_somebody_too(api):
    """SIGHUP changes what is served."""
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.to_thread(
        eventually, lambda: [line for line in noted(api) if line["who"] == "local:signal"]
    )
    (api.folder / "edge.yml").write_text("nope: 1\n")
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.to_thread(eventually, lambda: noted(api)[-1]["error"])

    assert noted(api)[-1]["action"] == "reload"


async def test_no_secret_is_ever_in_it(api):
    """Neither tokens nor bodies nor queries, nor what somebody sent in place of a token."""
    ci = await api.make(name="x")
    await ci("GET", "/v1/domains?app=in-the-query")
    await api.by("edge_wrong-secret")("GET", "/v1/status")
    await api.begin({"in-a-body.html": b"x"})

    text = (api.folder / "var" / "log" / "audit.jsonl").read_text()
    hidden = (api.admin, ci.token, ci.token[-64:], "in-the-query", "wrong-secret", "in-a-body")
    assert [each for each in hidden if each in text] == []


async def test_one_call_is_one_line_whatever_its_names(api):
    """Line breaks, quotes, escapes of terminals, what is no text: nobody writes another's line."""
    names = ["a%0Ab", "%0D%0A%7B%22who%22:%22admin%22%7D", "%22,%22who%22:%22x", "%1B%5B2J", "%5C"]
    names += ["%E2%80%A8", "%C2%85", "%FF", "%00", "x" * 5_000]
    before = len(noted(api))
    for name in names:
        url = URL(f"/v1/apps/shop/branches/{name}/deployments", encoded=True)
        async with api.session.get(url, headers={"Authorization": "Bearer nobody's"}) as response:
            assert response.status == 401
    await asyncio.to_thread(eventually, lambda: len(noted(api, before)) >= len(names))

    text = (api.folder / "var" / "log" / "audit.jsonl").read_bytes()
    lines = text.splitlines()[before:]
    assert [json.loads(line)["who"] for line in lines] == ["anybody"] * len(names)
    assert re.fullmatch(rb"[\x20-\x7e\n]*", text)
    assert max(map(len, lines)) < 2_000


async def test_strangers_cannot_write_it_full(api, monkeypatch):
    """So many lines a minute; the last one says that there were more."""
    monkeypatch.setattr(guard, "MAX_STRANGERS", 3)
    before = len(noted(api))
    for _ in range(6):
        assert (await api.by("wrong")("GET", "/v1/status"))[0] == 401
    await api("GET", "/v1/status")
    await asyncio.to_thread(eventually, lambda: noted(api)[-1]["who"] == "admin")

    strangers = noted(api, before)[:-1]
    assert [(line["who"], line["status"]) for line in strangers] == [("anybody", 401)] * 3
    assert strangers[-1]["error"].endswith("(others of this minute are not noted)")


async def test_wrong_tokens_are_counted(api, monkeypatch):
    """Off this machine even a right one has to wait then; here it always opens."""
    for _ in range(TRIES):
        assert (await api.by("wrong")("GET", "/v1/status"))[0] == 401
    status, answer = await api.by("wrong")("GET", "/v1/status")
    assert status == 429
    assert re.search("try again in [0-9]+ s", answer["detail"])
    assert (await api("GET", "/v1/status"))[0] == 200

    monkeypatch.setattr(admission, "is_local", lambda _: False)
    async with api.session.get("/v1/status", headers={"Authorization": api.admin}) as response:
        assert response.status == 429
        assert 0 < int(response.headers["Retry-After"]) <= 60


async def test_tokens_made_elsewhere_count_at_once(api):
    """And so does their end: by another process, or by the clock."""
    ci = await api.make(expires=1e-6)
    status, answer = await ci("GET", "/v1/status")
    assert (status, "expired" in answer["detail"]) == (401, True)

    other = await api.make()
    assert (await other("GET", "/v1/status"))[0] == 200
    (api.folder / "var" / "tokens" / f"{other.token.split('_')[1]}.json").unlink()
    assert (await other("GET", "/v1/status"))[0] == 401


async def test_the_last_use_is_in_the_list(api):
    """Once it opened something."""
    ci = await api.make()
    assert (await api("GET", "/v1/tokens"))[1]["tokens"][0]["last_used"] is None
    await ci("GET", "/v1/status")

    (token,) = (await api("GET", "/v1/tokens"))[1]["tokens"]
    assert token["last_used"] % 60 == 0
    assert (token["app"], token["may"]) == ("shop", ["deploy", "purge", "read"])


async def test_what_breaks_is_told_without_its_inside(api, caplog, monkeypatch):
    """The node's log has the rest."""
    monkeypatch.setattr(
        "edge.control.operations.Operations.apps", lambda _: (_ for _ in ()).throw(KeyError("x"))
    )
    with caplog.at_level(logging.ERROR):
        status, answer = await api("GET", "/v1/apps")

    assert (status, answer["detail"]) == (500, "something broke; the node's log says more")
    assert "KeyError" in caplog.text
