from edge.http.message import Response
from tests.support_origin import originating, saying
from tests.support_proxied import FRESH, broker_of, content_of, get, handling, proxied, quiet, stored
from tests.support_serving import HOST, request

async def test_begun(tmp_path):
    with originating() as origin:
        site = await proxied(tmp_path, origin).start()
        site.deploy({"index.html": "next"}, branch="next")
        await site.follow()
        host = HOST.replace("main", "next")
        origin.on("/x", saying(b"old", 200, FRESH))
        begun = site.worker._handler.respond(request("/o/x", host=host))
        site.changes.delete_branch("site", "next")
        await site.follow()
        assert await content_of(await begun) == b"old"
        site.deploy({"index.html": "again"}, branch="next")
        await site.follow()
        origin.on("/x", saying(b"new", 200, FRESH))
        got = (await get(site, "/o/x", host=host)).content
        await quiet(site)
        assert got == b"new"
