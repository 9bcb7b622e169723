"""The life of a request, from its host to its answer, on a real state folder."""

from __future__ import annotations

import logging

import pytest

from tests.support_serving import HOST, Site

TREE = {
    "index.html": "home",
    "about.html": "about page",
    "docs/index.html": "docs",
    "app.js": "js",
    "404.html": "nothing here",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """`TREE`, deployed once; tests work on copies."""
    site = Site(tmp_path_factory.mktemp("handler"))
    site.deploy(TREE)
    return site


@pytest.fixture
async def site(built, tmp_path):
    """A worker that serves `TREE`."""
    return await built.copy_to(tmp_path).start()


# Methods

STATUSES = ["/", "/app.js", "/nothing", "/docs", "/nothing-BxK3d9Qz.js", "/%zz"]


@pytest.mark.parametrize("target", STATUSES)
@pytest.mark.parametrize("host", [HOST, "nobody.example"])
async def test_head_equals_the_head_of_get(site, target, host):
    """HEAD has the very fields of GET, Content-Length included, and no content."""
    await site.ask(target, host=host)
    get = await site.ask(target, host=host)
    head = await site.ask(target, host=host, method="HEAD")
    assert (head.status, head.content) == (get.status, b"")
    assert head.fields == get.fields
    assert int(get.fields["content-length"]) == len(get.content)


@pytest.mark.parametrize("target", ["/", "/nothing", "*"])
async def test_options_says_what_is_allowed(site, target):
    """OPTIONS is 204 with Allow and without content."""
    answer = await site.ask(target, method="OPTIONS")
    assert (answer.status, answer.content) == (204, b"")
    assert answer.fields["allow"] == "GET, HEAD, OPTIONS"
    assert "content-length" not in answer.fields


async def test_options_of_the_server_needs_no_site(site):
    """`OPTIONS *` is about the server, whatever its Host."""
    answer = await site.ask("*", method="OPTIONS", host="nobody.example")
    assert (answer.status, answer.fields["allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "BREW"])
async def test_other_methods_are_not_allowed(site, method):
    """Files take GET, HEAD and OPTIONS; the rest is 405 and says so."""
    answer = await site.ask("/", method=method)
    assert answer.status == 405
    assert answer.fields["allow"] == "GET, HEAD, OPTIONS"
    assert int(answer.fields["content-length"]) == len(answer.content) > 0


# Hosts

SPELLINGS = [
    "example.com", "example.com:8080", "EXAMPLE.Com", "example.com.", "Example.COM.:443",
    "xn--bcher-kva.example", "XN--BCHER-KVA.example.:80",
]  # fmt: skip
DOMAINS = """
domains:
  example.com: {subdomains: {"": main, www: main, next: develop}, auto_subdomains: ["pr-*"]}
  bücher.example: {subdomains: {"": main}}
"""


@pytest.mark.parametrize("host", SPELLINGS)
async def test_a_host_is_one_host_however_it_is_spelled(tmp_path, host):
    """Port, case, a trailing dot and IDNA make no difference, also not the second time."""
    site = Site(tmp_path, DOMAINS)
    site.deploy(TREE)
    await site.start()
    for _ in range(2):
        answer = await site.ask("/", host=host)
        assert (answer.status, answer.content) == (200, b"home")


@pytest.mark.parametrize(
    "host",
    ["", " ", "a b", "example.com:", "example.com:80:80", "example.com:99999", "user@example.com",
     "example.com/", "a,b", "-a.example", "[::1", "[::g]", "exa%6dple.com", b"\xff\xfe", "..",
     "a" * 2000, "bücher.example", "ｅxample.com", "exa\u00admple.com", "example。com"],
)  # fmt: skip
async def test_a_malformed_host_is_refused(site, host):
    """What is no host is 400, and nothing is looked up for it."""
    answer = await site.ask("/", host=host)
    assert answer.status == (404 if host == "example.com:" else 400)
    assert TREE["index.html"].encode() != answer.content


UNKNOWN_HOSTS = """
    nobody.example edge.localhost site.edge.localhost other.site.edge.localhost 127.0.0.1 [::1]:80
    xmain.site.edge.localhost main.site.edge.localhost.evil
"""


@pytest.mark.parametrize("host", UNKNOWN_HOSTS.split())
async def test_an_unknown_host_is_named_and_gets_nothing_else(site, host):
    """A host nobody claims gets a page that names it, never an app's content."""
    for target in ("/", "/app.js", "/nothing"):
        answer = await site.ask(target, host=host)
        assert answer.status == 404
        assert host.encode() in answer.content
        assert answer.fields["cache-control"] == "no-store"
        assert "x-edge-deployment" not in answer.fields


async def test_spellings_of_hosts_are_remembered_within_a_bound(site, monkeypatch):
    """A client that plays with ports fills no memory, and takes nobody's place for good."""
    monkeypatch.setattr("edge.site.snapshot.KNOWN", 50)
    for port in range(1, 300):
        assert (await site.ask("/", host=f"{HOST}:{port}")).status == 200
    await site.ask("/", host=HOST)
    known = site.worker._handler.snapshot.known
    assert len(known) <= 50
    assert HOST.encode() in known


async def test_hosts_of_a_branch_are_stored_once(tmp_path):
    """What one host of a branch was answered is a hit for the next one."""
    site = Site(tmp_path, DOMAINS)
    site.deploy(TREE)
    await site.start()
    cache = site.worker._cache
    for turn, host in enumerate(("example.com", "www.example.com", "bücher.example")):
        answer = await site.ask("/app.js", host=host.encode("idna").decode())
        assert ("hit" in answer.fields["cache-status"]) == (turn > 0)
        assert len(cache) == 1
    await site.ask("/app.js")  # crawlers are told otherwise here
    assert len(cache) == 2


async def test_a_rule_for_one_host_is_for_no_other(tmp_path):
    """A host that a rule names shares nothing, whichever host was asked first."""
    site = Site(tmp_path, DOMAINS)
    site.write_rules(("https://www.example.com", "https://example.com", "301"))
    site.deploy(TREE)
    await site.start()
    for _ in range(2):
        for host, status in (("example.com", 200), ("www.example.com", 301), ("example.com", 200)):
            assert (await site.ask("/app.js", host=host)).status == status


async def test_a_spelling_that_is_new_finds_what_is_remembered(site):
    """Whoever comes by another spelling leaves what others found in its place."""
    await site.ask("/app.js")
    await site.ask("/app.js")
    found = site.worker._handler.snapshot.hosts[HOST.encode()].found
    shortcut = found[b"/app.js"]
    assert shortcut.look is not None
    for port in range(81, 99):
        answer = await site.ask("/app.js", host=f"{HOST}:{port}")
        assert "hit" in answer.fields["cache-status"]
        assert found[b"/app.js"] is shortcut


async def test_crawlers_are_kept_from_what_is_not_the_operators_domain(tmp_path):
    """X-Robots-Tag stands on default-domain and automatic hosts only, on files and 404 pages."""
    site = Site(tmp_path, DOMAINS)
    site.deploy(TREE)
    site.deploy(TREE, branch="pr-7")
    await site.start()
    hosts = {
        "example.com": False,
        "www.example.com": False,
        "pr-7.example.com": True,
        HOST: True,
        "pr-7.site.edge.localhost": True,
    }
    for _ in range(2):
        for host, noindex in hosts.items():
            for target in ("/", "/nothing"):
                fields = (await site.ask(target, host=host)).fields
                assert (fields.get("x-robots-tag") == "noindex") == noindex, (host, target)
    etag = (await site.ask("/")).fields["etag"]
    assert (await site.ask("/", if_none_match=etag)).fields["x-robots-tag"] == "noindex"


async def test_a_branch_that_nobody_deployed_says_so(tmp_path):
    """A configured host without a deployment is 404 with a page that explains it."""
    site = Site(tmp_path, DOMAINS)
    site.deploy(TREE)
    await site.start()
    answer = await site.ask("/", host="next.example.com")
    assert answer.status == 404
    assert b"Nothing is deployed here yet" in answer.content
    assert answer.fields["cache-control"] == "no-store"
    site.deploy({"index.html": "develop"}, branch="develop")
    await site.follow()
    assert (await site.ask("/", host="next.example.com")).content == b"develop"


async def test_an_app_without_a_valid_configuration_answers_503(tmp_path):
    """An app that never had one is not ready; the others serve."""
    site = Site(tmp_path)
    site.deploy(TREE)
    site.configure("trailing_slash: perhaps", app="broken")
    site.deploy(TREE, app="broken")
    await site.start()
    for method in ("GET", "POST"):
        answer = await site.ask("/", host="main.broken.edge.localhost", method=method)
        assert answer.status == 503
        assert answer.fields["retry-after"] == "60"
        assert b"edge check" in answer.content
    assert (await site.ask("/")).status == 200


async def test_a_mistake_keeps_the_last_good_configuration(tmp_path):
    """An app whose configuration breaks serves on as it did."""
    site = Site(tmp_path, "trailing_slash: add")
    site.deploy(TREE)
    await site.start()
    site.configure("trailing_slash: perhaps")
    with pytest.raises(Exception, match="mistake"):
        site.changes.reload()
    await site.follow_quietly()
    assert (await site.ask("/about")).status == 301


async def test_a_deleted_branch_is_gone_at_once(site):
    """The hosts of a deleted branch are unknown."""
    assert (await site.ask("/")).status == 200
    site.changes.delete_branch("site", "main")
    await site.follow()
    answer = await site.ask("/")
    assert answer.status == 404
    assert b"is not served here" in answer.content


# Fingerprinted names

OLD = {"index.html": "old", "assets/index-BxK3d9Qz.js": "old chunk", "assets/plain.js": "old plain"}
NEW = {"index.html": "new", "assets/index-CyL4e0Ra.js": "new chunk", "404.html": "my 404"}
CHUNK = "/assets/index-BxK3d9Qz.js"


async def test_a_fingerprinted_file_outlives_its_deployment(tmp_path):
    """A tab opened before the deploy gets its chunk, and the answer says of which deployment."""
    site = Site(tmp_path)
    old = site.deploy(OLD)
    new = site.deploy(NEW)
    await site.start()
    for _ in range(2):
        answer = await site.ask(CHUNK)
        assert (answer.status, answer.content) == (200, b"old chunk")
        assert answer.fields["x-edge-deployment"] == old
    assert answer.fields["cache-status"] == "edge; hit; ttl=600"
    assert (await site.ask("/")).fields["x-edge-deployment"] == new
    assert (await site.ask("/assets/plain.js")).content == b"my 404"


async def test_a_retained_file_ends_with_its_time(tmp_path):
    """When `retain.assets` has passed, the name is unknown, though its answer was stored."""
    site = Site(tmp_path, "retain: {assets: 1h}")
    site.deploy(OLD)
    site.deploy(NEW)
    await site.start()
    site.pass_time(3590)
    assert (await site.ask(CHUNK)).status == 200
    site.pass_time(20)
    answer = await site.ask(CHUNK)
    assert (answer.status, answer.fields["cache-control"]) == (404, "no-store")


async def test_the_active_deployment_goes_before_a_retained_file(tmp_path):
    """A name that is back in the active deployment is answered from there."""
    site = Site(tmp_path)
    site.deploy(OLD)
    site.deploy(NEW)
    third = site.deploy(OLD | {"index.html": "third"})
    await site.start()
    answer = await site.ask(CHUNK)
    assert (answer.status, answer.fields["x-edge-deployment"]) == (200, third)


async def test_an_unknown_fingerprinted_name_must_not_be_remembered(tmp_path):
    """A chunk nobody has is 404 with no-store; a plain name has an ordinary 404."""
    site = Site(tmp_path)
    site.deploy(OLD)
    site.deploy(NEW)
    await site.start()
    hashed = await site.ask("/assets/index-ZzZ9y8Xw.js")
    assert (hashed.status, hashed.fields["cache-control"]) == (404, "no-store")
    plain = await site.ask("/assets/unknown.js")
    assert (plain.status, plain.content) == (404, b"my 404")
    assert plain.fields["cache-control"] == "public, max-age=0, s-maxage=600"


async def test_many_deploys_keep_no_retained_files_in_memory(tmp_path):
    """What earlier snapshots kept is forgotten with them."""
    site = Site(tmp_path)
    site.deploy(OLD)
    await site.start()
    for number in range(6):
        await site.redeploy(
            {"index.html": f"{number}", f"assets/a-BxK3d9Q{number}.js": f"{number}"}
        )
        assert (await site.ask(CHUNK)).content == b"old chunk"
    source = site.worker._loader._library
    assert len(source.retained) == 1
    assert len(source.trees) == 1
    assert len(site.worker._trees._loaded) == 2
    assert site.worker._trees.entries == 2 + 6


# Errors


async def test_a_missing_blob_is_503_with_an_id_in_the_log(site, caplog):
    """Damage to the disk is logged under an id that the client sees, and hits that file alone."""
    for path in site.places.blobs.rglob("*"):
        if path.is_file() and path.read_bytes() == b"js":
            path.unlink()
    with caplog.at_level(logging.ERROR):
        answer = await site.ask("/app.js")
    assert answer.status == 503
    assert b"Traceback" not in answer.content
    assert str(site.places.state).encode() not in answer.content
    reference = caplog.records[-1].getMessage().split(":")[0]
    assert reference.encode() in answer.content
    assert caplog.records[-1].exc_info is not None
    head = await site.ask("/app.js", method="HEAD")
    assert (head.status, head.content) == (503, b"")
    assert (await site.ask("/about")).status == 200


async def test_a_missing_manifest_is_503_until_it_is_back(site):
    """A manifest that cannot be read fails its requests, and is tried again by the next one."""
    fresh = await site.sibling()
    (path,) = site.places.deployments.rglob("2*")
    content = path.read_bytes()
    path.unlink()
    assert (await fresh.ask("/")).status == 503
    path.write_bytes(content[:-10])
    assert (await fresh.ask("/")).status == 503
    path.write_bytes(content)
    assert (await fresh.ask("/")).status == 200


async def test_whatever_fails_becomes_a_response(site, monkeypatch, caplog):
    """A mistake in the program is 500 with an id, never an exception to the connection."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(site.worker._handler.files, "serve", fail)
    answer = await site.ask("/")
    assert answer.status == 500
    assert b"secret" not in answer.content
    assert "secret detail" in caplog.text
