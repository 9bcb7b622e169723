"""
Invalidation: which stored responses a request that may have changed something puts out of use.

Laws: a method that is not known to be safe is unsafe; an answer that failed changed nothing;
nobody invalidates what belongs to another origin. URIs come out absolute, without fragment, dot
segments resolved, with the authority spelled as in the target.

Source: RFC 9111 §4.4.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urljoin, urlsplit

from edge.http.fields import OWS, Fields

SAFE = frozenset(b"GET HEAD OPTIONS PRI PROPFIND QUERY REPORT SEARCH TRACE".split())
"""Source: RFC 9110 §9.2.1 and the IANA registry of methods, those marked safe."""

DEFAULT_PORTS = {"http": 80, "https": 443}
CANDIDATES = (b"location", b"content-location")

Origin = tuple[str, str | None, int | None]


def invalidated_targets(
    method: bytes, status: int, target_uri: bytes, fields: Fields
) -> list[bytes]:
    """
    The URIs whose stored responses are invalid now: the target first, then what it points to.

    `target_uri` is absolute, as the cache key has it (`https://example.com/path?query`); the fields
    are the response's, before anything was mapped in them.
    """
    if method in SAFE or not 200 <= status < 400:
        return []
    base = target_uri.decode("latin-1")
    targets = [target_uri.partition(b"#")[0]]
    for name in CANDIDATES:
        for value in fields.getall(name):
            target = resolve_within(base, value.strip(OWS).decode("latin-1"))
            if target is not None and target not in targets:
                targets.append(target)
    return targets


def resolve_within(base: str, reference: str) -> bytes | None:
    """
    The absolute URI of a reference, None where it is no URI or of another origin.

    Source: RFC 3986 §5.2; RFC 9111 §4.4, last paragraph.
    """
    try:
        known, target = urlsplit(base), urlsplit(urljoin(base, reference))
        is_same = origin_of(target) == origin_of(known)
    except ValueError:  # an authority that is none
        return None
    if not is_same:
        return None
    spelled = target._replace(scheme=known.scheme, netloc=known.netloc, fragment="")
    return spelled.geturl().encode("latin-1")


def origin_of(uri: SplitResult) -> Origin:
    """
    Scheme, host and port, in which case makes no difference.

    Raises:
        ValueError: the port is no number.

    Source: RFC 9110 §4.3.1.
    """
    return uri.scheme, uri.hostname, uri.port or DEFAULT_PORTS.get(uri.scheme)
