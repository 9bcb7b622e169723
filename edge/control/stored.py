"""
Why an answer of an origin is stored or not, in words: what the workers tell of it.

Laws: only what is known is said; a node that does not run, or a URL that nobody asked for, is
nothing known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from edge.http.caching import Reason
from edge.site.explain import Trail

Look = Callable[[str, str], list[dict[str, Any]]]
"""App and URL of an origin in, what each worker tells out."""

WHY: Final = {
    Reason.METHOD: "its method is not GET",
    Reason.REQUEST_CONTENT: "its request had content",
    Reason.STATUS: "its status is never stored",
    Reason.NOT_UNDERSTOOD: "it says must-understand, and its status is not known",
    Reason.NO_STORE: "its Cache-Control says no-store",
    Reason.REQUEST_NO_STORE: "its request said no-store",
    Reason.PRIVATE: "its Cache-Control says private",
    Reason.AUTHORIZATION: "its request had Authorization, and it does not say public",
    Reason.VARY: "it varies by anything (Vary: *)",
    Reason.SET_COOKIE: "it sets a cookie, and does not say public or s-maxage",
    Reason.PARTIAL: "it is a part",
    Reason.NO_LIFETIME: "it says nothing about being stored",
    Reason.USELESS: "it is stale at once, and nothing could validate it",
    Reason.TOO_LARGE: "it is larger than cache.max_object",
    Reason.ERROR: "it was a server's error",
    Reason.CLIENT: "it repeats the address of the client",
}
"""In a sentence after «its last answer was not stored: »."""

UNKNOWN = "nobody has asked for it since the node began, or what was stored has gone"


def add_stored(trail: Trail, look: Look) -> None:
    """Add to a trail what is stored of the answer that it leads to."""
    for url in trail.keys if trail.app is not None else ():
        told = look(trail.app or "", url)
        found = [tell(each) for reply in told for each in reply["stored"]]
        trail.stored += found or why_not(reason for reply in told for reason in reply["reasons"])


def tell(stored: dict[str, Any]) -> str:
    """One stored answer in a sentence."""
    ttl = stored["ttl"]
    state = f"fresh for {ttl} s more" if ttl > 0 else f"stale for {-ttl} s"
    stated = f"{stored['stated_by']}={stored['lifetime']}"
    varies = f", varies by {', '.join(stored['varies_by'])}" if stored["varies_by"] else ""
    tags = f", tags {', '.join(stored['tags'])}" if stored["tags"] else ""
    size = f"{stored['status']} of {stored['bytes']} bytes"
    return f"stored: {size}, {state} ({stated}, age {stored['age']} s){varies}{tags}"


def why_not(reasons: Iterable[str]) -> list[str]:
    """Why nothing is stored."""
    known = [WHY.get(Reason(reason.encode()), reason) for reason in dict.fromkeys(reasons)]
    return [f"not stored: {reason}" for reason in known] or [f"not stored: {UNKNOWN}"]
