"""The pages that the node itself answers with: plain, self-contained, and clear about why. Pure."""

from __future__ import annotations

from html import escape

from edge.http.message import Head, finish_head
from edge.site.envelope import BARE, Envelope

STYLE = (
    "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;"
    "max-width:36rem;margin:18vh auto;padding:0 1.5rem}h1{font-size:1.25rem;margin:0 0 .5rem}"
    "p{margin:.25rem 0;opacity:.8}code{font-size:.95em}</style>"
)


def render(title: str, *sentences: str) -> bytes:
    """A page of a title and a few sentences, escaped."""
    text = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>{STYLE}'
        f"<h1>{escape(title)}</h1>{text}</html>\n"
    ).encode()


def page_head(
    status: int,
    content: bytes,
    *more: tuple[bytes, bytes],
    envelope: Envelope = BARE,
) -> Head:
    """The finished head of such a page."""
    fields = [
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Content-Length", b"%d" % len(content)),
        (b"Cache-Control", envelope.page_cache_control),
        *more,
        (b"Server", b"edge"),
    ]
    return finish_head(status, envelope.dress(fields))


def unknown_host(host: str) -> bytes:
    """The page for a hostname that no app claims."""
    return render(
        f"{host} is not served here",
        "No app of this node claims this hostname.",
        "If it should: deploy its branch, or add the domain to the app's app.yml and reload.",
    )


SECURED = render("Moved", "This page is served by https.")
NOT_FOUND = render("Page not found", "There is nothing at this address.")
NOT_DEPLOYED = render(
    "Nothing is deployed here yet",
    "This hostname is configured, but its branch has no active deployment.",
)
UNCONFIGURED = render(
    "This site is not ready",
    "Its configuration has mistakes and no earlier one to fall back to.",
    "`edge check` on the node says where.",
)
PASSWORD = render("A password is needed", "This site asks for a user name and a password.")
TOO_MANY = render("Too many attempts", "Wait a moment, then try again.")
BUSY = render("Busy", "Too many are logging in at once. Try again in a moment.")

OVERLOADED = render("Overloaded", "Too much is going on here. Try again in a moment.")


def unanswered(kind: str) -> bytes:
    """The page where an origin gave no answer, `kind` in the words of RFC 9209."""
    return render(
        "No answer from the server behind this one",
        f"What went wrong on the way: {kind.replace('_', ' ')}.",
    )


LOOP = render("A loop", "The rules of two hosts of this node send this address to each other.")
REFUSED = {
    403: render("Forbidden", "This address is not for everybody."),
    404: NOT_FOUND,
    410: render("Gone", "What was here is gone for good."),
    451: render("Unavailable for legal reasons", "This address may not be shown here."),
}
"""What a rule's refusal says where it has no page of its own."""

SLOW = render(
    "This took too long",
    "The patterns of this site's rules could not be matched in time.",
)
