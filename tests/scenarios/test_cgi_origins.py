"""An origin that makes an environment of what it is sent (CGI, PHP, WSGI): it is told no lie."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from tests.support_hostile import Wire
from tests.support_http2_node import AUTHORITY, Target
from tests.support_origin import Talk

EVIL = b"evil.example"
NAMES = [
    b"Proxy", b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Proto", b"X-Forwarded-Port",
    b"X-Forwarded-Server", b"X-Real-IP", b"X-Original-URL", b"X-Rewrite-URL", b"Forwarded",
    b"Proxy-Authorization", b"Keep-Alive", b"X-Forwarded-For-X",
]  # fmt: skip
"""What a client may not say: where to find a proxy (HTTPoxy), and who or where it is."""

ALIASED = [*NAMES, b"Content-Length", b"Transfer-Encoding", b"Cookie", b"Via", b"CDN-Loop", b"Host"]
"""What it may not say by another name, since an environment has no place for two."""

SPELLINGS = {
    "as-it-is": lambda name: name,
    "capitals": bytes.upper,
    "underscores": lambda name: name.replace(b"-", b"_"),
    "dots": lambda name: name.replace(b"-", b"."),
    "mixed": lambda name: name.replace(b"-", b"_", 1),
}
WAYS = ["http1", "upgrade", "h2c", "tls"]


def variable(name: str) -> str:
    """The meta-variable of a field (RFC 3875 §4.1.18); for PHP dots are underscores too."""
    return "HTTP_" + name.upper().replace("-", "_").replace(".", "_")


def tell_environment(talk: Talk) -> None:
    """Answer with the environment that a program of this origin would have."""
    talk.read()
    environment: dict[str, list[str]] = {}
    for name, value in talk.lines:
        environment.setdefault(variable(name), []).append(value)
    kept = "max-age=600" if talk.target.startswith("/cgi-stored") else "no-store"
    talk.answer(json.dumps(environment).encode(), 200, f"Cache-Control: {kept}")


@pytest.fixture(scope="module")
def target(target: Target) -> Target:
    """The node, with such an origin."""
    target.origin.on("/cgi", tell_environment)
    target.origin.on("/cgi-stored", tell_environment)
    return target


def lies(way: str) -> Iterator[tuple[bytes, bytes]]:
    """Every name in every spelling that is another's; HTTP/2 knows no capitals."""
    for kind, spell in SPELLINGS.items():
        for name in NAMES if kind in {"as-it-is", "capitals"} else ALIASED:
            spelled = spell(name).lower() if way in {"h2c", "tls"} else spell(name)
            is_alias = spelled.lower() != name.lower()
            is_framing = name == b"Keep-Alive" and way in {"h2c", "tls"} and not is_alias
            if not is_framing and (is_alias or name in NAMES):
                yield spelled, EVIL


@contextlib.contextmanager
def asking(target: Target, way: str) -> Iterator:
    """Asks by a way: `ask(path, line, …)` → the environment."""
    if way in {"h2c", "tls"}:
        with target.client(way) as client:

            def ask_http2(path: bytes, *lines: tuple[bytes, bytes]) -> dict[str, list[str]]:
                found = client.request(path, b"GET", *lines)
                client.read(found)
                return json.loads(found.content)

            yield ask_http2
        return
    with contextlib.closing(Wire(target.node.port)) as wire:
        more = [b"Connection: Upgrade", b"Upgrade: websocket"] if way == "upgrade" else []

        def ask(path: bytes, *lines: tuple[bytes, bytes]) -> dict[str, list[str]]:
            said = [b"%b: %b" % line for line in lines]
            return json.loads(wire.ask(AUTHORITY, path, *more, *said).content)

        yield ask


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", [b"/o/cgi", b"/o/cgi-stored"])
def test_an_environment_is_told_no_lie(target, way, path):
    """By HTTP/1.1 and HTTP/2, a line alone and all of them, once and once more."""
    with asking(target, way) as ask:
        every = list(lies(way))
        for number, told in enumerate([*([each] for each in every), every, every]):
            own = b"%b?%b-%d" % (path, way.encode(), number)
            environment = ask(own if path.endswith(b"stored") else path, *told)
            assert EVIL.decode() not in str(environment), told
            assert "HTTP_PROXY" not in environment
            assert environment["HTTP_HOST"] != [EVIL.decode()]
            assert [name for name, values in environment.items() if len(values) > 1] == []


def test_the_environment_is_the_origins_own(target):
    """The same origin does see what a client may say: the test would notice a lie."""
    with asking(target, "http1") as ask:
        environment = ask(b"/o/cgi", (b"X-Team", EVIL), (b"Proxies", b"yes"), (b"x_team2", b"no"))

    assert environment["HTTP_X_TEAM"] == [EVIL.decode()]
    assert (environment["HTTP_PROXIES"], environment["HTTP_X_TEAM2"]) == (["yes"], ["no"])
