"""What is recalled ends with what led to it: rules, settings, purges, freshness."""

from __future__ import annotations

import gc
import weakref

import pytest

from edge.control.passwords import hash_password
from edge.node.handler import settle
from edge.site import keys
from tests.support_origin import saying
from tests.support_proxied import (
    FRESH,
    broker_of,
    conditional,
    content_of,
    get,
    handling,
    hits_of,
    stored,
    ttl,
)
from tests.support_recalls import LISTENING, NEVER, PROXY, THIRD, TRUSTING, seen, ways
from tests.support_serving import HOST, request
from tests.support_siblings import copies, drop, pairing

EDGE_YML = TRUSTING + LISTENING
"""A trusted proxy, and answers that no cookie tells apart."""


# Where more decides


async def test_behind_a_password_all_is_decided(make, origin, path):
    """Also on paths that are exempt."""
    users = (
        f"access: {{users: {{alice: '{hash_password('wonderland', 'bcrypt')}'}}, exempt: ['/o/*']}}"
    )
    site = await make(("/p/<*>", f"http://127.0.0.1:{origin.port}/<*>", "200"), app_yml=users)
    origin.on(path, saying(b"hello", 200, "Cache-Control: public, max-age=60"))
    login = {"authorization": "Basic YWxpY2U6d29uZGVybGFuZA=="}

    assert await ways(site, f"/p{path}", **login) == NEVER
    assert handling((await seen(site, f"/p{path}", **login))[0]) == "hit"
    assert (await seen(site, f"/p{path}"))[0].status == 401
    assert await ways(site, f"/o{path}") == NEVER


@pytest.mark.parametrize("status", ["200", "fallback"])
async def test_countries_are_decided(make, origin, path, status):
    """Before files, and where none is."""
    to = f"http://127.0.0.1:{origin.port}"
    site = await make(
        ("/c/<*>", f"{to}/us/<*>", status, "<US>"),
        ("/c/<*>", f"{to}/rest/<*>", status),
        edge_yml=TRUSTING,
    )
    for country in ("us", "rest"):
        origin.on(f"/{country}{path}", saying(country.encode(), 200, FRESH))
    for _ in range(3):
        for country, expected in (("US", b"us"), ("DE", b"rest")):
            found, is_recalled = await seen(site, f"/c{path}", peer=PROXY, x_country=country)
            assert (found.content, is_recalled) == (expected, False)
    assert await ways(site, f"/o/rest{path}") == [False, True, True]


async def test_a_fallback_to_an_origin_is_recalled(make, origin, path):
    """Where no file is."""
    site = await make(("/late/<*>", f"http://127.0.0.1:{origin.port}/<*>", "fallback"))
    origin.on(path, saying(b"hello", 200, FRESH))
    hits_of(site)
    assert await ways(site, f"/late{path}") == THIRD
    assert [list(hits.values()) for hits in hits_of(site).values()] == [[3]]
    await site.redeploy({"index.html": "home", f"late{path}": "a file"})
    assert (await site.ask(f"/late{path}")).content == b"a file"


async def test_a_fallback_beside_an_apps_entry_is_decided(make, origin, path):
    """A browser that goes to a page gets that one."""
    site = await make(
        ("/late/<*>", "/index.html", "fallback"),
        ("/late/<*>", f"http://127.0.0.1:{origin.port}/<*>", "fallback"),
    )
    origin.on(f"{path}/data.json", saying(b"data", 200, FRESH))
    for _ in range(3):
        found, is_recalled = await seen(site, f"/late{path}/data.json", accept="*/*")
        assert (found.content, is_recalled) == (b"data", False)
        assert (await site.ask(f"/late{path}/data.json", accept="text/html")).content == b"home"


async def test_a_fallback_below_a_file_that_is_kept_is_decided(make, origin):
    """What an earlier deployment had may end by the clock alone."""
    site = await make(("/<*>", f"http://127.0.0.1:{origin.port}/<*>", "fallback"))
    origin.on("/app-BxK3d9Qz.js", saying(b"script", 200, FRESH))

    assert await ways(site, "/app-BxK3d9Qz.js") == NEVER
    assert handling((await seen(site, "/app-BxK3d9Qz.js"))[0]) == "hit"


async def test_a_fallback_in_performance_mode_is_decided_while_the_old_answers(make, origin, path):
    """Files of the deployment before may still be served."""
    site = await make(
        ("/late/<*>", f"http://127.0.0.1:{origin.port}/<*>", "fallback"),
        app_yml="branches: {main: {performance_mode: true}}",
    )
    origin.on(path, saying(b"hello", 200, FRESH))
    assert await ways(site, f"/late{path}") == THIRD
    await site.redeploy({"index.html": "second"})
    assert await ways(site, f"/late{path}") == NEVER


# Reloads


async def test_custom_headers_of_a_reload_are_on_it(site, make, origin, path):
    """From the swap on."""
    site = await make()
    origin.on(path, saying(b"hello", 200, FRESH))
    for team in ("blue", "red"):
        headers = f"customHeaders: [{{pattern: '/**', headers: [{{key: X-Team, value: {team}}}]}}]"
        site.write("customHttp.yml", headers)
        site.changes.reload()
        await site.follow()
        for _ in range(3):
            found, is_recalled = await seen(site, f"/o{path}")
            assert found.fields["x-team"] == team
        assert is_recalled
    assert len(origin.of(path)) == 1


def rule(origin, status: str = "200") -> tuple[str, str, str]:
    """Where what was under /o/ leads after a reload."""
    return ("/o/<*>", f"http://127.0.0.1:{origin.port}/new/<*>", status)


async def test_rules_of_a_reload_decide(make, origin, path):
    """What the old ones led to is still stored, and not what the address means."""
    site = await make()
    origin.on(path, saying(b"old", 200, FRESH))
    origin.on(f"/new{path}", saying(b"new", 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    site.write_rules(rule(origin))
    site.changes.reload()
    await site.follow()
    assert (await seen(site, f"/o{path}"))[0].content == b"new"
    assert len(stored(site, path)) == 1
    site.write_rules(("/o/<*>", "/", "301"))
    site.changes.reload()
    await site.follow()
    assert (await seen(site, f"/o{path}"))[0].status == 301


async def test_what_began_before_a_reload_says_nothing_of_later_requests(make, origin, path):
    """It is answered by the rules that it met; those who come later by the new ones."""
    site = await make()
    origin.on(path, saying(b"old", 200, FRESH))
    origin.on(f"/new{path}", saying(b"new", 200, FRESH))
    await get(site, f"/o{path}")
    begun = site.worker._handler.respond(request(f"/o{path}"))
    site.write_rules(rule(origin))
    site.changes.reload()
    await site.follow()
    assert await content_of(await settle(begun)) == b"old"
    for expected in (False, False, True):
        found, is_recalled = await seen(site, f"/o{path}")
        assert (found.content, is_recalled) == (b"new", expected)


async def test_what_began_before_a_reload_is_in_nobodys_way(make, origin, path):
    """Where the new rules lead to the same, too."""
    site = await make()
    origin.on(path, saying(b"hello", 200, FRESH))
    await get(site, f"/o{path}")
    begun = site.worker._handler.respond(request(f"/o{path}"))
    headers = "customHeaders: [{pattern: '/**', headers: [{key: X-Team, value: blue}]}]"
    site.write("customHttp.yml", headers)
    site.changes.reload()
    await site.follow()
    await content_of(await settle(begun))
    found = [await seen(site, f"/o{path}") for _ in range(2)]
    assert [is_recalled for _, is_recalled in found] == [False, True]
    assert [each.fields["x-team"] for each, _ in found] == ["blue", "blue"]


async def test_rules_that_are_gone_are_held_by_nobody(make, origin, path):
    """However long the answers live that they led to."""
    site = await make()
    origin.on(path, saying(b"old", 200, "Cache-Control: max-age=86400"))
    assert await ways(site, f"/o{path}") == THIRD
    branch = weakref.ref(site.worker._handler.snapshot.apps["site"].branches["main"])
    site.write_rules(rule(origin))
    site.changes.reload()
    await site.follow()
    gc.collect()

    assert len(stored(site, path)) == 1
    assert branch() is None


async def test_settings_of_a_reload_count(make, origin, path):
    """Whose word is taken for the scheme."""
    site = await make()
    origin.on(path, saying(b"hello", 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    text = (site.folder / "edge.yml").read_text() + TRUSTING
    (site.folder / "edge.yml").write_text(text)
    site.changes.reload()
    await site.follow()
    found, _ = await seen(site, f"/o{path}", peer=PROXY, x_forwarded_proto="https")
    assert handling(found) == "fwd=uri-miss; stored"


# What goes

LABELS = {
    "page": lambda path: keys.label_of_page(HOST, f"/o{path}", b""),
    "tag": lambda _: keys.label_of_tag(b"two"),
    "app": lambda _: keys.label_of_app("site"),
    "host": lambda _: keys.label_of_host(HOST),
}


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS.keys())
async def test_what_is_purged_is_recalled_by_nobody(site, origin, path, label, soft):
    """The next answer is the origin's."""
    origin.on(path, saying(b"old", 200, FRESH, "Cache-Tag: one, two"))
    assert await ways(site, f"/o{path}") == THIRD
    origin.on(path, saying(b"new", 200, FRESH))
    assert broker_of(site).drop([label(path)], soft=soft) == 1
    found = [await seen(site, f"/o{path}") for _ in range(3)]

    assert [each.content for each, _ in found] == [b"new"] * 3
    assert [is_recalled for _, is_recalled in found] == THIRD


async def test_a_purge_of_everything_is_one_too(site, origin, path):
    """Also where nothing is left."""
    origin.on(path, saying(b"old", 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    broker_of(site).clear()
    origin.on(path, saying(b"new", 200, FRESH))
    assert (await seen(site, f"/o{path}"))[0].content == b"new"


async def test_every_address_of_an_answer_is_purged(make, origin, path):
    """Those that were recalled alone too."""
    site = await make(("/also/<*>", f"http://127.0.0.1:{origin.port}/<*>", "200"))
    origin.on(path, saying(b"old", 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    assert await ways(site, f"/also{path}") == [False, True, True]
    assert broker_of(site).drop([keys.label_of_page(HOST, f"/also{path}", b"")]) == 1
    origin.on(path, saying(b"new", 200, FRESH))
    for way in ("o", "also"):
        assert (await seen(site, f"/{way}{path}"))[0].content == b"new"


async def test_a_change_ends_what_is_recalled(site, origin, path):
    """By the answer to the POST (RFC 9111 §4.4)."""
    origin.on(path, saying(b"old", 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    origin.on(path, saying(b"new", 200, FRESH))
    assert (await seen(site, f"/o{path}", method="POST"))[0].status == 200
    assert (await seen(site, f"/o{path}"))[0].content == b"new"


async def test_it_ends_with_its_freshness(site, origin, path):
    """To the second; what came instead is recalled again."""
    origin.on(path, conditional('"a"', b"hello", FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    site.pass_time(59)
    assert (await seen(site, f"/o{path}"))[1]
    site.pass_time(1)
    found, is_recalled = await seen(site, f"/o{path}")
    assert (is_recalled, handling(found)) == (False, "fwd=stale; fwd-status=304; stored")
    assert await ways(site, f"/o{path}") == [False, True, True]


async def test_age_and_what_is_left_go_with_the_clock(site, origin, path):
    """Once a second they are made anew."""
    origin.on(path, saying(b"hello", 200, FRESH, "Age: 5"))
    assert await ways(site, f"/o{path}") == THIRD
    for age in range(5, 60, 6):
        for _ in range(2):
            found, is_recalled = await seen(site, f"/o{path}")
            assert (is_recalled, found.fields["age"]) == (True, str(age))
            assert 60 - age - 1 <= (ttl(found) or 0) <= 60 - age
        site.pass_time(6)


async def test_a_replaced_answer_is_not_recalled(make, origin, path):
    """Another address of it learns of that too."""
    site = await make(
        ("/also/<*>", f"http://127.0.0.1:{origin.port}/<*>", "200"),
        edge_yml="cache: {client_directives: [no-cache]}",
    )
    origin.on(path, saying(b"old", 200, FRESH))
    for way in ("o", "also"):
        assert (await ways(site, f"/{way}{path}"))[-1]
    origin.on(path, saying(b"new", 200, FRESH))
    assert (await get(site, f"/o{path}", cache_control="no-cache")).content == b"new"
    for way in ("also", "o"):
        found, is_recalled = await seen(site, f"/{way}{path}")
        assert (found.content, is_recalled) == (b"new", False)


async def test_what_is_evicted_is_not_recalled(site, origin, path):
    """Nothing is held here."""
    origin.on(path, saying(b"old", 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    (entry,) = stored(site, path)
    assert broker_of(site).shelf.evict()
    assert entry.dressed == {}
    assert (await ways(site, f"/o{path}", 1)) == [False]


# Two workers


async def test_copies_are_recalled(tmp_path, origin, path):
    """Until they are dropped everywhere."""
    async with pairing(tmp_path, origin) as pair:
        origin.on(path, saying(b"old", 200, FRESH))
        owner, other = pair.of(path)
        await get(owner, f"/o{path}")
        assert await ways(other, f"/o{path}") == THIRD
        assert len(copies(other, path)) == 1
        origin.on(path, saying(b"new", 200, FRESH))
        await drop(owner, keys.label_of_page(HOST, f"/o{path}", b""))
        assert (await seen(other, f"/o{path}"))[0].content == b"new"


async def test_a_copy_ends_with_its_freshness(tmp_path, origin, path):
    """Its Age is that of the original."""
    async with pairing(tmp_path, origin) as pair:
        origin.on(path, saying(b"hello", 200, FRESH))
        owner, other = pair.of(path)
        await get(owner, f"/o{path}")
        pair.pass_time(20)
        assert await ways(other, f"/o{path}") == THIRD
        assert (await seen(other, f"/o{path}"))[0].fields["age"] == "20"
        pair.pass_time(40)
        found, is_recalled = await seen(other, f"/o{path}")
        assert (is_recalled, found.fields["age"]) == (False, "0")
