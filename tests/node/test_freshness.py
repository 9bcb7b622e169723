"""How long an answer stays: age, invalidation, the cache's bound, performance mode."""

from __future__ import annotations

import asyncio
import random
import string

import pytest

from edge.control import activation
from edge.control.purging import Selection
from edge.http.fields import format_http_date, parse_http_date
from edge.http.message import Response
from edge.node import blobs as blobs_module
from tests.support_serving import Answer, Site, request

WORDS = "seven words that make up this page " * 200
LARGE = random.Random(4).randbytes(100_000)
LARGE_TEXT = "".join(random.Random(5).choices(string.ascii_letters, k=150_000))
TREE = {"index.html": WORDS, "noise.bin": LARGE[:5000], "large.txt": LARGE_TEXT}
SMALL_MAXIMUM = "cache: {max_object: 64KiB}"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """`TREE`, deployed once; tests work on copies."""
    site = Site(tmp_path_factory.mktemp("freshness"), edge_yml=SMALL_MAXIMUM)
    site.deploy(TREE)
    return site


@pytest.fixture
async def site(built, tmp_path):
    """A worker that serves `TREE`, streaming what is larger than 64 KiB."""
    return await built.copy_to(tmp_path).start()


# Age


async def test_age_and_ttl_follow_the_clock(site):
    """A hit says how old it is and how long it stays fresh; Date is that of the answer."""
    assert (await site.ask("/")).fields["cache-status"] == "edge; fwd=uri-miss; stored"
    start = site.clock.epoch
    for age in (0, 1, 100, 599):
        site.pass_time(start + age - site.clock.epoch)
        fields = (await site.ask("/")).fields
        assert fields["age"] == str(age)
        assert fields["cache-status"] == f"edge; hit; ttl={600 - age}"
        assert fields["date"] == format_http_date(start + age).decode()


async def test_what_is_stale_is_stored_anew(site):
    """When the lifetime is over the next answer is fresh, and the one after it a hit."""
    await site.ask("/")
    site.pass_time(600)
    fields = (await site.ask("/")).fields
    assert fields["cache-status"] == "edge; fwd=stale; stored"
    assert "age" not in fields
    site.pass_time(5)
    assert (await site.ask("/")).fields["cache-status"] == "edge; hit; ttl=595"


@pytest.mark.parametrize(
    ("app_yml", "lifetime"),
    [
        ("", 600),
        ("cache: {default_s_maxage: 60}", 60),
        ("cache: {default_s_maxage: 86400}", 600),
        ("{cache: {default_s_maxage: 7200}, branches: {main: {performance_mode: true}}}", 7200),
        ("{cache: {default_s_maxage: 999999}, branches: {'*': {performance_mode: true}}}", 86400),
    ],
)
async def test_the_lifetime_is_capped(tmp_path, app_yml, lifetime):
    """600 seconds at most, in performance mode a day; Cache-Control says the same."""
    site = Site(tmp_path, app_yml)
    site.deploy(TREE)
    await site.start()
    await site.ask("/")
    fields = (await site.ask("/")).fields
    assert fields["cache-status"] == f"edge; hit; ttl={lifetime}"
    assert fields["cache-control"] == f"public, max-age=0, s-maxage={lifetime}"


async def test_a_deploy_invalidates_at_once(site):
    """The first request after a deploy gets the new file, with its own validators."""
    before = await site.ask("/")
    etag = (await site.ask("/noise.bin")).fields["etag"]
    identifier = await site.redeploy(TREE | {"index.html": "new"})
    after = await site.ask("/")
    assert (after.content, after.fields["x-edge-deployment"]) == (b"new", identifier)
    assert after.fields["etag"] != before.fields["etag"]
    assert after.fields["cache-status"] == "edge; fwd=uri-miss; stored"
    assert (await site.ask("/noise.bin")).fields["etag"] == etag, "the same content, the same tag"


async def test_a_reload_invalidates_at_once(tmp_path):
    """New settings show in the very next answer."""
    site = Site(tmp_path)
    site.deploy(TREE)
    await site.start()
    await site.ask("/")
    site.configure("cache: {default_s_maxage: 30}")
    site.changes.reload()
    await site.follow()
    assert (await site.ask("/")).fields["cache-control"] == "public, max-age=0, s-maxage=30"
    assert (await site.ask("/")).fields["cache-status"] == "edge; hit; ttl=30"


async def test_a_preview_leaves_what_production_stored_alone(site):
    """A deploy on another branch of the app drops nothing of this one."""
    await site.ask("/")
    await site.ask("/")
    await site.redeploy({"index.html": "preview"}, branch="pr-7")
    fields = (await site.ask("/")).fields
    assert fields["cache-status"] == "edge; hit; ttl=600"
    host = "pr-7.site.edge.localhost"
    assert (await site.ask("/", host=host)).content == b"preview"


async def test_a_rollback_is_news(site):
    """After a rollback Last-Modified moves on, so that no cache holds on to what was wrong."""
    set_back = await site.ask("/")
    await site.redeploy({"index.html": "wrong"})
    site.changes.rollback("site", "main")
    await site.follow()
    answer = await site.ask("/")
    assert answer.content == WORDS.encode()
    assert answer.fields["x-edge-deployment"] == set_back.fields["x-edge-deployment"]
    assert answer.fields["cache-status"] == "edge; fwd=uri-miss; stored"
    dates = [parse_http_date(a.fields["last-modified"].encode()) for a in (set_back, answer)]
    assert dates[0] <= dates[1]


async def test_what_was_under_way_at_a_swap_leaves_nothing_behind(tmp_path, monkeypatch):
    """A read that ends after a reload answers its client, and is not stored under old rules."""
    site = Site(tmp_path)
    site.deploy(TREE)
    await site.start()
    await site.ask("/noise.bin")
    with monkeypatch.context() as patch:
        patch.setattr(blobs_module, "READ_AT_ONCE", -1)
        under_way = site.worker._handler.respond(request("/"))
    assert not isinstance(under_way, Response)
    site.configure("cache: {default_s_maxage: 30}")
    site.changes.reload()
    await site.follow()
    late = Answer(response := await under_way, response.content)
    assert late.content == WORDS.encode()
    assert late.fields["cache-status"] == "edge; fwd=uri-miss"
    assert (await site.ask("/")).fields["cache-control"] == "public, max-age=0, s-maxage=30"


async def test_a_stream_under_way_at_a_deploy_is_whole(site):
    """An answer that began under the old deployment ends under it, byte for byte."""
    await site.ask("/")
    response = site.worker._handler.respond(request("/large.txt"))
    chunks = [await anext(response.content)]
    await site.redeploy({"index.html": "new", "large.txt": "other"})
    chunks += [chunk async for chunk in response.content]
    assert b"".join(chunks) == LARGE_TEXT.encode()
    assert (await site.ask("/large.txt")).content == b"other"


async def test_a_thousand_requests_at_once_agree(site, monkeypatch):
    """Requests that miss together all get the file, and it is stored once."""
    monkeypatch.setattr(blobs_module, "READ_AT_ONCE", -1)
    answers = await asyncio.gather(*(site.ask("/") for _ in range(200)))
    assert {answer.content for answer in answers} == {WORDS.encode()}
    (stored,) = site.worker._cache._queue
    assert site.worker._cache.size == stored.cost


async def test_the_cache_stays_within_its_bound(tmp_path):
    """With more content than memory every answer is right and the bound holds."""
    files = {f"{n}.bin": random.Random(n).randbytes(20_000) for n in range(40)}
    site = Site(tmp_path, edge_yml="cache: {memory: 256KiB}")
    site.deploy(files)
    await site.start()
    for _ in range(2):
        for path, content in files.items():
            assert (await site.ask("/" + path)).content == content
            assert site.worker._cache.size <= 256 * 1024
    assert len(site.worker._cache) >= 4


# Performance mode

PERFORMANCE = "{cache: {default_s_maxage: 1000}, branches: {main: {performance_mode: true}}}"
FIRST = {"index.html": "first", "same.txt": "first same", "gone.txt": "gone", "large.bin": LARGE}
SECOND = {"index.html": "second", "same.txt": "second same", "new.txt": "new", "large.bin": "-"}


async def performing(tmp_path, app_yml: str = PERFORMANCE) -> tuple[Site, str, str]:
    """A site that serves `FIRST`, then `SECOND`, and the ids of both."""
    site = Site(tmp_path, app_yml, SMALL_MAXIMUM)
    first = site.deploy(FIRST)
    await site.start()
    second = await site.redeploy(SECOND)
    return site, first, second


def activated_at(site: Site, app: str = "site") -> int:
    """Epoch seconds of the activation that the worker knows of."""
    return site.worker._handler.snapshot.apps[app].branches["main"].active_at


async def test_performance_mode_keeps_what_the_previous_deployment_answered(tmp_path):
    """Until activation + TTL its paths answer as before, also those nobody had asked for."""
    site, first, second = await performing(tmp_path)
    start = activated_at(site)
    for seconds in (0, 1, 999):
        site.pass_time(start + seconds - site.clock.epoch)
        for target, content in (("/", b"first"), ("/same.txt", b"first same")):
            answer = await site.ask(target)
            assert (answer.content, answer.fields["x-edge-deployment"]) == (content, first)
            assert answer.fields["age"] == str(seconds)
            assert answer.fields["cache-status"] == f"edge; hit; ttl={1000 - seconds}"
        answer = await site.ask("/large.bin")
        assert (answer.content, answer.fields["age"]) == (LARGE, str(seconds))
        assert (await site.ask("/gone.txt")).content == b"gone"
        answer = await site.ask("/new.txt")
        assert (answer.content, answer.fields["x-edge-deployment"]) == (b"new", second)
        assert (await site.ask("/nothing")).status == 404
    site.pass_time(1)
    answer = await site.ask("/")
    assert (answer.content, answer.fields["x-edge-deployment"]) == (b"second", second)
    assert (await site.ask("/gone.txt")).status == 404
    assert (await site.ask("/large.bin")).content == b"-"


async def test_performance_mode_is_the_same_on_every_worker(tmp_path):
    """Another worker, or one after a restart, gives the very same answers at the same second."""
    site, *_ = await performing(tmp_path)
    other = await site.sibling()
    start = activated_at(site)
    for seconds in (0, 500, 999, 1000):
        for each in (site, other):
            each.pass_time(start + seconds - each.clock.epoch)
        for target in ("/", "/same.txt", "/gone.txt", "/large.bin"):
            await site.ask(target)
            one, two = await site.ask(target), await other.ask(target)
            if seconds == 1000:
                for answer in (one, two):
                    for name in ("age", "cache-status"):
                        answer.fields.pop(name, None)
            assert (one.status, one.fields, one.content) == (two.status, two.fields, two.content)


LIFETIMES = """
customHeaders:
  - {pattern: /short*, headers: [{key: Cache-Control, value: s-maxage=30}]}
  - {pattern: /long*, headers: [{key: Cache-Control, value: s-maxage=86400}]}
  - {pattern: /year*, headers: [{key: Cache-Control, value: s-maxage=31536000}]}
  - {pattern: /never*, headers: [{key: Cache-Control, value: no-store}]}
"""
SECONDS = {"/short": 30, "/long": 86_400, "/year": 86_400, "/never": 0, "/other": 1000}
PATHS = [f"{target[1:]}.html" for target in SECONDS]


async def test_performance_mode_keeps_each_path_for_its_own_lifetime(tmp_path):
    """By its s-maxage, capped at a day: on a worker that was there, and on one that just came."""
    site = Site(tmp_path, PERFORMANCE)
    site.write("customHttp.yml", LIFETIMES)
    first = site.deploy({path: f"first {path}" for path in PATHS})
    await site.start()
    second = await site.redeploy({path: f"second {path}" for path in PATHS})
    start = activated_at(site)
    for seconds in (0, 29, 30, 999, 1000, 86_399, 86_400):
        new = await site.sibling()
        for each in (site, new):
            each.pass_time(start + seconds - each.clock.epoch)
        for target, lifetime in SECONDS.items():
            kept = seconds < lifetime
            for answer in (await site.ask(target), await new.ask(target), await new.ask(target)):
                case = (target, seconds)
                assert answer.fields["x-edge-deployment"] == (first if kept else second), case
                assert (
                    answer.content == f"{'first' if kept else 'second'} {target[1:]}.html".encode()
                )
                if kept:
                    assert answer.fields["age"] == str(seconds), case
                    verdict = f"edge; hit; ttl={lifetime - seconds}"
                    assert answer.fields["cache-status"] == verdict, case


async def test_what_is_downstream_of_performance_mode_is_told_what_is_written(tmp_path):
    """Caches and browsers see the operator's Cache-Control; other paths the branch's default."""
    site = Site(tmp_path, PERFORMANCE)
    site.write("customHttp.yml", LIFETIMES)
    site.deploy(dict.fromkeys(PATHS, "x"))
    await site.start()
    values = [(await site.ask(target)).fields["cache-control"] for target in SECONDS]
    assert values == [
        "s-maxage=30",
        "s-maxage=86400",
        "s-maxage=31536000",
        "no-store",
        "public, max-age=0, s-maxage=1000",
    ]


async def test_a_change_of_lifetimes_counts_for_what_is_kept(tmp_path):
    """Headers are always the current ones: a shorter s-maxage ends a previous answer at once."""
    site = Site(tmp_path, PERFORMANCE)
    first = site.deploy({"long.html": "first"})
    await site.start()
    second = await site.redeploy({"long.html": "second"})
    start = activated_at(site)
    for text, deployment in (
        ("", first),
        (LIFETIMES, first),
        (LIFETIMES.replace("86400", "60"), second),
    ):
        site.write("customHttp.yml", text)
        site.changes.reload()
        await site.follow()
        site.pass_time(start + 100 - site.clock.epoch)
        assert (await site.ask("/long")).fields["x-edge-deployment"] == deployment, text


async def test_rewrites_keep_the_previous_content_for_the_lifetime_of_their_own_path(tmp_path):
    """What was stored for an address is that address's, wherever its rule leads."""
    site = Site(tmp_path, PERFORMANCE)
    site.write("customHttp.yml", LIFETIMES)
    site.write_rules(("/short-way", "/page.html", "200"), ("/<*>", "/page.html", "fallback"))
    first = site.deploy({"page.html": "first"})
    await site.start()
    second = await site.redeploy({"page.html": "second"})
    start = activated_at(site)
    for seconds, deployments in ((29, [first, first]), (30, [second, first]), (1000, [second] * 2)):
        site.pass_time(start + seconds - site.clock.epoch)
        answers = [await site.ask(target) for target in ("/short-way", "/anything")]
        assert [each.fields["x-edge-deployment"] for each in answers] == deployments


@pytest.mark.parametrize("seconds", [999, 1000, 5000])
async def test_a_retained_file_of_the_previous_deployment_is_never_older_than_fresh(
    tmp_path, seconds
):
    """After the lifetime it counts as stored when it was read, as any other file does."""
    site = Site(tmp_path, PERFORMANCE)
    site.deploy({"index.html": "first", "app-BxK3d9Qz.js": "script"})
    await site.start()
    await site.redeploy({"index.html": "second"})
    site.pass_time(activated_at(site) + seconds - site.clock.epoch)
    fields = (await site.ask("/app-BxK3d9Qz.js")).fields
    if seconds < 1000:
        assert fields["cache-status"] == f"edge; hit; ttl={1000 - seconds}"
    else:
        assert fields["cache-status"] == "edge; fwd=uri-miss; stored"
        assert "age" not in fields
    assert (await site.ask("/app-BxK3d9Qz.js")).fields["cache-status"].startswith("edge; hit; ttl=")


async def test_inside_another_host_the_previous_deployment_answers_for_its_own_time(tmp_path):
    """The branch outside may be fresh for longer than the one inside is kept in memory for."""
    performance = "branches: {main: {performance_mode: true}}"
    site = Site(tmp_path, performance)
    site.write("customHttp.yml", LIFETIMES)
    site.write_rules(("/long/<*>", "https://main.docs.edge.localhost/<*>", "200"))
    site.configure(performance, app="docs")
    site.changes.reload()
    site.deploy({"index.html": "shop"})
    first = site.deploy({"a.html": "first"}, app="docs")
    second = site.deploy({"a.html": "second"}, app="docs")
    await site.start()
    start = activated_at(site, "docs")
    for seconds, deployment in ((599, first), (600, second), (80_000, second)):
        new = await site.sibling()
        for each in (site, new):
            each.pass_time(start + seconds - each.clock.epoch)
            answer = await each.ask("/long/a")
            assert (answer.status, answer.fields["x-edge-deployment"]) == (200, deployment)


async def test_performance_mode_keeps_validators(tmp_path):
    """A client that holds the kept answer revalidates it: tag and date are as they were."""
    site = Site(tmp_path, PERFORMANCE)
    site.deploy(FIRST)
    await site.start()
    before = (await site.ask("/")).fields
    await site.redeploy(SECOND)
    after = (await site.ask("/")).fields
    assert (after["etag"], after["last-modified"]) == (before["etag"], before["last-modified"])
    assert (await site.ask("/", if_none_match=before["etag"])).status == 304


@pytest.mark.parametrize("end", ["rollback", "delete", "purge", "reload"])
async def test_what_ends_performance_mode_ends_it_at_once(tmp_path, end):
    """Rollback, delete-branch and purge end it, and so does switching it off."""
    site, first, second = await performing(tmp_path)
    assert (await site.ask("/")).content == b"first"
    if end == "rollback":
        site.changes.rollback("site", "main")
    elif end == "delete":
        site.changes.delete_branch("site", "main")
    elif end == "purge":
        site.changes.purge(Selection(all=True))
    else:
        site.configure("")
        site.changes.reload()
    await site.follow()
    answer = await site.ask("/")
    assert answer.fields.get("x-edge-deployment") == {
        "rollback": first, "purge": second, "reload": second, "delete": None,
    }[end]  # fmt: skip
    if end == "rollback":
        assert answer.content == b"first"
        assert (await site.ask("/new.txt")).status == 404


ADDRESS = "http://main.site.edge.localhost"


async def test_a_purge_of_an_address_ends_it_for_its_file_alone(tmp_path):
    """Under all of its names, on this worker and on one that comes; a deploy begins anew."""
    site, first, second = await performing(tmp_path)
    assert (await site.ask("/same.txt")).fields["x-edge-deployment"] == first
    assert site.changes.purge(Selection(urls=[ADDRESS + "/"])) == 1
    await site.follow()
    for each in (site, await site.sibling()):
        assert (await each.ask("/index.html")).content == b"second"
        assert (await each.ask("/")).fields["x-edge-deployment"] == second
        assert (await each.ask("/same.txt")).content == b"first same"
        assert (await each.ask("/gone.txt")).content == b"gone"
    await site.redeploy({"index.html": "third"})
    assert (await site.ask("/")).content == b"second"


async def test_a_purge_of_an_address_that_a_rule_leads_on_ends_it_there(tmp_path):
    """The rule's target is kept under its own address."""
    site = Site(tmp_path, PERFORMANCE)
    site.write_rules(("/way", "/page.html", "200"), ("/<*>", "/page.html", "fallback"))
    first = site.deploy({"page.html": "first"})
    await site.start()
    second = await site.redeploy({"page.html": "second"})
    for target in ("/way", "/anything"):
        assert (await site.ask(target)).fields["x-edge-deployment"] == first
        site.changes.purge(Selection(urls=[ADDRESS + target]))
        await site.follow()
        assert (await site.ask(target)).fields["x-edge-deployment"] == second
    assert (await site.ask("/page")).fields["x-edge-deployment"] == first
    assert (await site.ask("/other")).fields["x-edge-deployment"] == first
    assert site.changes.purge(Selection(urls=[ADDRESS + "/page"])) == 1
    await site.follow()
    assert (await site.ask("/other")).fields["x-edge-deployment"] == second


async def test_a_purge_after_the_time_of_the_previous_deployment_changes_nothing(tmp_path):
    """No generation is made for it."""
    site = Site(tmp_path, "branches: {main: {performance_mode: false}}")
    site.deploy(FIRST)
    await site.start()
    await site.redeploy(SECOND)
    number = site.worker._handler.snapshot.number
    assert site.changes.purge(Selection(urls=[ADDRESS + "/"])) == 0
    assert site.worker._loader.current() == number


async def test_more_addresses_than_are_remembered_end_it_for_the_branch(
    tmp_path, monkeypatch, caplog
):
    """What is purged is never answered from before; the log says what else went."""
    monkeypatch.setattr(activation, "MAX_PURGED", 1)
    site, *_ = await performing(tmp_path)
    for path, same in (("/", b"first same"), ("/gone.txt", b"second same")):
        assert site.changes.purge(Selection(urls=[ADDRESS + path])) == 1
        await site.follow()
        assert (await site.ask("/same.txt")).content == same
    assert (await site.ask("/gone.txt")).status == 404
    assert "performance mode ends for all of it until the next deploy" in caplog.text


async def test_a_purged_file_that_is_retained_was_not_stored_at_the_activation(tmp_path):
    """A fingerprinted name is still answered, and read anew."""
    site = Site(tmp_path, PERFORMANCE)
    site.deploy({"index.html": "first", "app-BxK3d9Qz.js": "script"})
    await site.start()
    await site.redeploy({"index.html": "second"})
    site.pass_time(activated_at(site) + 100 - site.clock.epoch)
    assert site.changes.purge(Selection(urls=[ADDRESS + "/app-BxK3d9Qz.js"])) == 1
    await site.follow()
    answer = await site.ask("/app-BxK3d9Qz.js")
    assert answer.content == b"script"
    assert answer.fields["cache-status"] == "edge; fwd=uri-miss; stored"


async def test_rules_are_the_current_ones_in_performance_mode(tmp_path):
    """A reload shows at once, while the content is kept and its age goes on."""
    site, first, _ = await performing(tmp_path)
    await site.ask("/")
    site.pass_time(activated_at(site) + 100 - site.clock.epoch)
    site.configure(PERFORMANCE.replace("1000", "500"))
    site.changes.reload()
    age = site.clock.epoch
    await site.follow()
    site.pass_time(age - site.clock.epoch)
    fields = (await site.ask("/")).fields
    assert fields["x-edge-deployment"] == first
    assert fields["cache-control"] == "public, max-age=0, s-maxage=500"
    assert fields["cache-status"] == "edge; hit; ttl=400"


async def test_without_performance_mode_a_deploy_switches_at_once(tmp_path):
    """An ordinary branch answers from the new deployment alone."""
    site, _, second = await performing(tmp_path, "")
    for target, status in (("/", 200), ("/same.txt", 200), ("/gone.txt", 404)):
        answer = await site.ask(target)
        assert answer.status == status
    assert (await site.ask("/")).fields["x-edge-deployment"] == second


async def test_after_the_time_the_fast_path_is_back(tmp_path):
    """Paths are remembered only when the previous deployment is out of the game."""
    site, *_ = await performing(tmp_path)
    known = site.worker._handler.snapshot
    await site.ask("/")
    (entry,) = known.known.values()
    assert not entry.found
    site.pass_time(1000)
    await site.ask("/")
    assert set(entry.found) == {b"/"}
