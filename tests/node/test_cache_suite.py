"""
The same dialogues as `tests/http/test_cache_suite.py`, with a worker and a real origin.

There a model shows in which order the decisions are taken; here the store itself takes them, and
what is asked and answered on the way to the origin has been on a socket. Time is the worker's own.
"""

from __future__ import annotations

import pytest

from edge.http.fields import FieldList, Line
from edge.http.message import Request, Response
from edge.node.worker import Worker
from tests.http import test_cache_suite as suite
from tests.support_caching import (
    BODY,
    PAUSE_S,
    START,
    Answer,
    Step,
    check,
    lines_of,
    scripted,
)
from tests.support_origin import Talk
from tests.support_proxied import content_of
from tests.support_serving import HOST, parse_lines, set_epoch

OBEYED = ", ".join(sorted(word.decode() for word in suite.CLIENT_DIRECTIVES))
SETTINGS = {
    suite.AS_SHIPPED: "",
    suite.GUESSING: "cache: {heuristic: true}\n",
    suite.OBEDIENT: f"cache: {{client_directives: [{OBEYED}]}}\n",
}
"""What an operator writes; cookies are never stored for others (`suite.COOKIES`)."""

NOT_HERE = {
    **{
        f"heuristic-{status}-cached": "no setting guesses lifetimes of errors"
        for status in (404, 405, 410, 414, 501)
    },
    "conditional-etag-forward": "what is not stored is asked for whole, to be stored",
    "head-200-retain": "an answer to HEAD is the origin's, whatever is stored",
}
"""Optional checks that the model passes and a worker does not, with the reason."""

CASES = [
    case
    for case in suite.CASES
    if case.values[0] in SETTINGS and case.id.partition(":")[2] not in NOT_HERE
]

EMPTY = (204, 304)


def reply_to(step: Step, number: int, now: int, known: dict[bytes, bytes]):
    """What the origin does in a step: answers say in which one they were made."""
    ask = scripted(step, lines_of(step.response, now), known)

    def script(talk: Talk) -> None:
        talk.read()
        reply = ask(talk.method.encode(), asked_by(talk))
        if reply is None:
            talk.reset()
            return
        status, lines = reply
        sizes = [int(value) for name, value in lines if name == b"content-length"]
        content = b"" if status in EMPTY else BODY.ljust(max(sizes, default=0), b"x")
        head = [b"HTTP/1.1 %d X" % status, b"X-Step: %d" % number]
        head += [b"%b: %b" % line for line in lines]
        if not sizes and status not in EMPTY:
            head.append(b"Content-Length: %d" % len(content))
        talk.send(b"\r\n".join([*head, b"", b""]), b"" if talk.method == "HEAD" else content)

    return script


def asked_by(talk: Talk) -> list[Line]:
    """The field lines of a request."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in talk.lines]


async def respond(worker: Worker, step: Step, now: int) -> tuple[int, list[Line], bytes]:
    """The worker's answer: status, lines, content."""
    asked = Request(
        method=step.method,
        target=b"/o" + step.path,
        authority=HOST.encode(),
        fields=FieldList(lines_of(step.request, now)),
        version=b"1.1",
        stream=0,
        ends=True,
        expects=False,
        peer="192.0.2.1",
    )
    response = worker._handler.respond(asked)
    if not isinstance(response, Response):
        response = await response
    lines = response.head.lines
    fields = parse_lines(lines[lines.index(b"\r\n") + 2 :] + response.block[:-2])
    return response.head.status, [(n.lower(), v) for n, v in fields], await content_of(response)


async def play(site, origin, steps) -> None:
    """Run a dialogue and assert what every step expects."""
    previous: list[Line] = []
    for number, step in enumerate(steps, 1):
        now, known = site.clock.epoch, dict(previous)
        path = step.path.partition(b"?")[0].decode()
        origin.on(path, reply_to(step, number, now, known))
        before = len(origin.talks)
        status, lines, content = await respond(site.worker, step, now)
        talks = origin.talks[before:]
        answer = Answer(status, lines, int(dict(lines).get(b"x-step", number)), content)
        if talks:
            answer.asked = asked_by(talks[-1])
        check(step, answer, number, known, now)
        previous = lines_of(step.response, now) or previous
        if step.pause:
            site.pass_time(PAUSE_S)


@pytest.mark.parametrize(("policy", "steps"), CASES)
async def test_checks_of_the_suite(make, origin, policy, steps):
    """Each dialogue goes as the suite expects it to."""
    site = await make(edge_yml=SETTINGS[policy])
    set_epoch(site.clock, START)
    await play(site, origin, steps)


def test_all_required_checks_are_played():
    """But for those that no table has, and the cookie that would be everybody's."""
    required = {name for names in suite.REQUIRED.values() for name in names.split()}
    played = {case.id.partition(":")[2] for case in CASES}

    assert required - played == {*suite.NEEDS_SOCKETS, "headers-store-Set-Cookie"}
    assert not required & NOT_HERE.keys()
