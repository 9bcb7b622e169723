"""What tests of answers in parts share: an origin that knows ranges, and who asks for them."""

from __future__ import annotations

from tests.support_origin import Script, Talk
from tests.support_proxied import FRESH, get, handling, idle
from tests.support_serving import Site

DIGITS = b"0123456789"
FIRST = "fwd=uri-miss; stored"
MORE = "fwd=partial; stored"


def ranging(content: bytes, *lines: str, etag: str = '"a"') -> Script:
    """A script that knows ranges, one at a time."""

    def script(talk: Talk) -> None:
        wanted = talk.fields.get("range")
        own = talk.fields.get("if-range", etag)
        stated = (f"ETag: {etag}", *(lines or (FRESH,)))
        if wanted is None or "," in wanted or own != etag:
            talk.answer(content, 200, *stated)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(content)) + 1, len(content))
        where = f"Content-Range: bytes {start}-{stop - 1}/{len(content)}"
        talk.answer(content[start:stop], 206, where, *stated)

    return script


async def part(site: Site, path: str, span: str, **fields: str) -> tuple[int, bytes, str]:
    """What comes of asking for a range."""
    answer = await get(site, f"/o{path}", range=f"bytes={span}", **fields)
    if answer.status == 206:
        start, stop = answer.fields["content-range"].split(" ")[1].split("/")[0].split("-")
        assert len(answer.content) == int(stop) + 1 - int(start)
        assert answer.fields["content-length"] == str(len(answer.content))
    await idle(site.worker)
    return answer.status, answer.content, handling(answer)
