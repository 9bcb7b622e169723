"""
One line of the access log, and the two other forms that tools read: combined and CSV.

Laws: pure. One request is one line of one row, whatever bytes it came with: what a form cannot
hold is escaped, never left out, never passed on. A text of an `Entry` holds bytes, as Latin-1;
only the names that operators chose (`app`, `branch`) are text. Which requests become lines, and
who writes them, is decided elsewhere.

Source: Apache, mod_log_config (combined); CloudFront Developer Guide, standard logs (columns,
result types, escaping).
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from edge.site.decoding import decoder_of

MONTHS: Final = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

NOTHING: Final = "-"
"""What both forms have where there is nothing."""

UNREAD: Final = ("", NOTHING)
"""Method and path of what was no request that anybody could read."""

LOCATION: Final = "EDGE"
"""Our `x-edge-location`: CloudFront names one of its places there, and this node is one place."""

COLUMNS: Final = (
    "date", "time", "x-edge-location", "sc-bytes", "c-ip", "cs-method", "cs(Host)", "cs-uri-stem",
    "sc-status", "cs(Referer)", "cs(User-Agent)", "cs-uri-query", "cs(Cookie)",
    "x-edge-result-type", "x-edge-request-id", "x-host-header", "cs-protocol", "cs-bytes",
    "time-taken", "x-forwarded-for", "ssl-protocol", "ssl-cipher", "x-edge-response-result-type",
    "cs-protocol-version", "fle-status", "fle-encrypted-fields", "c-port", "time-to-first-byte",
    "x-edge-detailed-result-type", "sc-content-type", "sc-content-len", "sc-range-start",
    "sc-range-end",
)  # fmt: skip

CSV_HEADER: Final = ",".join(COLUMNS).encode() + b"\n"

PLAIN: Final = re.compile(r"[!#$&'()*./0-9:;<>?A-Z\[\]^_`a-z{|}~][!#$&-+./-\[\]-~-]*+")
"""A value that stands in a row as it is; see `ESCAPES`."""

ESCAPES: Final = {
    code: f"%{code:02X}" for code in range(256) if not 0x20 < code < 0x7F or chr(code) in '"%,\\'
}
"""What does not: all that is not printable ASCII, blank, quote, `%`, comma and backslash."""

FORMULA: Final = "=+@-"
"""A cell that begins like this is run by spreadsheets; a lone `-` would be nothing."""

UNQUOTED: Final = re.compile(r"[^!#-\[\]-~ ]")
"""What a quoted string of a combined log cannot hold as it is."""

SPACED: Final = re.compile(r"[^!#-\[\]-~]")
"""The same of what stands between blanks."""

RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})?")
"""One range from somewhere on. Source: RFC 9110 §14.1.2."""

HITS: Final = {"hit": "Hit", "stale": "Hit", "revalidated": "RefreshHit"}
REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))


class Entry(msgspec.Struct, frozen=True, gc=False):
    """
    A request and its answer; keys in the order of the line.

    Reads lines of older and newer nodes too: keys that are new are passed over, and what is
    missing is nothing.
    """

    time: str
    """End of the head's arrival, UTC: `2026-11-26T07:29:59.123Z`."""
    id: str = ""
    client: str = ""
    port: int | None = None
    """Of the peer."""
    method: str = ""
    scheme: str = ""
    protocol: str = ""
    host: str | None = None
    path: str = ""
    """As it arrived."""
    query: str | None = None
    """None where there was no `?`."""
    status: int = 0
    """0: the client was gone before the head of an answer."""
    bytes_out: int = 0
    bytes_in: int = 0
    """Heads included."""
    ttfb: float | None = None
    total: float = 0.0
    """Seconds."""
    referer: str | None = None
    user_agent: str | None = None
    forwarded_for: str | None = None
    country: str | None = None
    app: str | None = None
    branch: str | None = None
    deployment: str | None = None
    rule: int | None = None
    """From 1, as explain says it."""
    cache: str | None = None
    """The verdict."""
    origin: str | None = None
    tls: str | None = None
    cipher: str | None = None
    type: str | None = None
    length: int | None = None
    """Content-Length, where one was sent."""
    range: str | None = None
    """The Range that was asked for."""
    complete: bool = True
    """Whether all of the answer was sent."""


decode_entry: Final = decoder_of(Entry).decode
"""
A line as an entry.

Raises:
    msgspec.MsgspecError, UnicodeDecodeError, RecursionError: it is none.

Cost: 1.5 µs.
"""


# Combined


def combined(entry: Entry) -> bytes:
    """A line as Apache's `combined` and nginx have it; the bytes are those that were sent."""
    method, version = between(entry.method), between(entry.protocol)
    head = NOTHING if method in UNREAD else f"{method} {target_of(entry)} {version}"
    client = between(entry.client or NOTHING)
    referer, agent = quoted(entry.referer or NOTHING), quoted(entry.user_agent or NOTHING)
    numbers = f"{entry.status:03d} {entry.bytes_out}"
    line = f'{client} - - [{stamp(entry.time)}] "{head}" {numbers} "{referer}" "{agent}"\n'
    return line.encode("latin-1")


def target_of(entry: Entry) -> str:
    """The request target, without a blank."""
    path = between(entry.path)
    return path if entry.query is None else f"{path}?{between(entry.query)}"


def stamp(time: str) -> str:
    """`26/Nov/2026:07:29:59 +0000`."""
    date, _, clock = time.partition("T")
    year, month, day = date.split("-")
    return f"{day}/{MONTHS[int(month) - 1]}/{year}:{clock[:8]} +0000"


def quoted(text: str) -> str:
    """What may stand in quotes."""
    return UNQUOTED.sub(escape, text)


def between(text: str) -> str:
    """What may stand between blanks."""
    return SPACED.sub(escape, text)


def escape(found: re.Match[str]) -> str:
    r"""`\"`, `\\`, or `\xe9`, a byte each."""
    character = found[0]
    if character in '"\\':
        return "\\" + character
    return "".join(f"\\x{byte:02x}" for byte in raw(character))


def raw(text: str) -> bytes:
    """The bytes that a text holds; of text that holds none, its UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


# CSV


def csv_row(entry: Entry) -> bytes:
    """
    The row below `CSV_HEADER`: no quotes, no comma in a value, so that `cut -d,` reads it too.

    Cost: 10 µs.
    """
    date, _, clock = entry.time.partition("T")
    host, method = cell(entry.host), NOTHING if entry.method in UNREAD else cell(entry.method)
    path = NOTHING if entry.path in UNREAD else cell(entry.path)
    first, last = range_of(entry)
    before, after, detailed = result_types(entry)
    cells = (
        cell(date), cell(clock[:8]), LOCATION, str(entry.bytes_out), cell(entry.client), method,
        host, path, f"{entry.status:03d}", cell(entry.referer), cell(entry.user_agent),
        cell(entry.query), NOTHING, after, cell(entry.id), host, cell(entry.scheme),
        str(entry.bytes_in), f"{entry.total:.3f}", cell(entry.forwarded_for), cell(entry.tls),
        cell(entry.cipher), before, version_of(entry), NOTHING, NOTHING, number(entry.port),
        NOTHING if entry.ttfb is None else f"{entry.ttfb:.3f}", detailed, cell(entry.type),
        number(entry.length), first, last,
    )  # fmt: skip
    return (",".join(cells) + "\n").encode("ascii")


def cell(text: str | None) -> str:
    """A value, percent-encoded once where a row cannot hold it."""
    if not text:
        return NOTHING
    if PLAIN.fullmatch(text):
        return text
    value = raw(text).decode("latin-1").translate(ESCAPES)
    return f"%{ord(value[0]):02X}{value[1:]}" if value[0] in FORMULA else value


def number(value: int | None) -> str:
    """A number, if there is one."""
    return NOTHING if value is None else str(value)


def version_of(entry: Entry) -> str:
    """`cs-protocol-version`, which is `HTTP/2.0` where we say `HTTP/2`."""
    return "HTTP/2.0" if entry.protocol == "HTTP/2" else cell(entry.protocol)


def result_types(entry: Entry) -> tuple[str, str, str]:
    """
    What the answer was before its first byte went, after its last one, and that in detail.

    CloudFront's words: an answer is an `Error` by its status, or because it did not arrive.
    """
    found = HITS.get(entry.cache or "")
    if found is None:
        is_own = entry.cache is None and entry.status in REDIRECTS
        found = "Redirect" if is_own else "Miss"
    if entry.status >= 400:
        found = "Error"
    if entry.status == 0:
        return "Error", "Error", "ClientHungUpRequest"
    return (found, found, found) if entry.complete else (found, "Error", "ClientCommError")


def range_of(entry: Entry) -> tuple[str, str]:
    """First and last byte of the one range that was sent, as far as they can be told."""
    asked = RANGE.fullmatch(entry.range or "") if entry.status == 206 else None
    if asked is None:
        return NOTHING, NOTHING
    first, last = asked.groups()
    if entry.length is None:
        return first, last or NOTHING
    return first, str(int(first) + entry.length - 1)
