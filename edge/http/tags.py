"""
Tags by which an origin lets its stored answers be purged together.

Laws: they are between an origin and its cache: read here, sent to nobody. No RFC has them:
Cache-Tag is a list with commas (Akamai, Cloudflare, Netlify), Surrogate-Key one with spaces
(Fastly).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from edge.http.fields import Line, split_list

CACHE_TAG: Final = b"cache-tag"
SURROGATE_KEY: Final = b"surrogate-key"
TAGGING: Final = frozenset((CACHE_TAG, SURROGATE_KEY))


def tags_of(lines: Iterable[Line]) -> list[bytes]:
    """The tags that lower-case lines give an answer, each once."""
    tags: dict[bytes, None] = {}
    for name, value in lines:
        if name == CACHE_TAG:
            tags.update(dict.fromkeys(split_list(value)))
        elif name == SURROGATE_KEY:
            tags.update(dict.fromkeys(value.split()))
    return list(tags)


def without_tags(lines: Iterable[Line]) -> list[Line]:
    """The lines that are for others than the cache."""
    return [line for line in lines if line[0] not in TAGGING]
