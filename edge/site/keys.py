"""
What tells stored answers of origins apart, as `cache` in app.yml chooses it.

Laws: what a key leaves out does not reach the origin of an answer that is stored, so that equal
keys are equal requests. Parts of a key are separated by what none of them can hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from edge.http.fields import OWS
from edge.http.target import encode_path

Choice = Literal["all", "none"] | tuple[str, ...]
"""Names that make a difference."""

BETWEEN = b"\n"
"""Neither URLs nor field values hold one."""


def chosen_query(url: str, choice: Choice) -> str:
    """A URL, absolute or not, with those parameters that make a difference, in their order."""
    if choice == "all" or "?" not in url:
        return url
    before, _, query = url.partition("?")
    if choice == "none":
        return before
    kept = [each for each in query.split("&") if each.partition("=")[0] in choice]
    return f"{before}?{'&'.join(kept)}" if kept else before


def chosen_cookies(values: Iterable[bytes], choice: Choice) -> bytes:
    """The cookies that make a difference, as one line; those of chosen names in one order."""
    crumbs = [crumb for value in values for each in value.split(b";") if (crumb := each.strip(OWS))]
    if choice == "all":
        return b"; ".join(crumbs)
    names = () if choice == "none" else tuple(map(str.encode, choice))
    return b"; ".join(sorted(each for each in crumbs if each.partition(b"=")[0] in names))


def store_key(*parts: bytes) -> bytes:
    """What an answer is stored under, but for what its Vary names."""
    return BETWEEN.join(parts)


# Labels: by what stored answers are found when they have to go


def label_of_app(app: str) -> bytes:
    """All of an app."""
    return b"app " + app.encode()


def label_of_branch(app: str, branch: str) -> bytes:
    """All of a branch."""
    return b"branch %b %b" % (app.encode(), branch.encode())


def label_of_host(host: str) -> bytes:
    """All that a hostname answered."""
    return b"host " + host.encode()


def label_of_page(host: str, path: str, query: bytes) -> bytes:
    """What one address answered: decoded path, and the chosen query with its `?`."""
    return b"page %b%b%b" % (host.encode(), encode_path(path), query)


def label_of_target(app: str, url: str) -> bytes:
    """What one URL of an origin answered an app."""
    return b"target %b %b" % (app.encode(), url.encode())


TAG = b"tag "
"""What labels of tags begin with."""


def label_of_tag(tag: bytes) -> bytes:
    """All that its origin gave a tag."""
    return TAG + tag


def label_of_key(key: bytes) -> bytes:
    """All variants of a key."""
    return b"key " + key


def label_of_pages(host: str) -> bytes:
    """What has more addresses than are counted: any of a host's may be one."""
    return b"pages " + host.encode()
