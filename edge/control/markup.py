"""
HTML of values: what is not markup by its type is escaped.

Laws: pure. Text of others becomes text whatever is in it; only `tag` and `join` make `Html`. There
is no way to write an attribute `style` or a script: the page's policy would refuse both.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

VOID: Final = frozenset(("input", "link", "meta"))
"""Elements without content."""

SPECIAL: Final = re.compile(r"[&<>\"'\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What cannot stand as it is; most text has nothing of it."""

UNFIT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Characters that no document may have, or that nobody sees."""

MAX_TEXT: Final = 160
"""Characters of a value of others; more would be a page of its own."""

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


class Html(str):
    """Markup."""

    __slots__ = ()


Content = str | None | Iterable["Content"]
"""What an element has: markup, text, nothing, or several of these."""


def escape(text: str) -> Html:
    """Text as markup."""
    if SPECIAL.search(text) is None:
        return Html(text)
    return Html(html.escape(UNFIT.sub("\ufffd", text)))


def join(*content: Content) -> Html:
    """Contents one after the other; what is no markup is escaped."""
    return Html("".join(_pieces(content)))


def _pieces(content: Content) -> Iterable[str]:
    if content is None:
        return
    if isinstance(content, str):
        yield content if isinstance(content, Html) else escape(content)
        return
    for each in content:
        yield from _pieces(each)


def tag(element: str, /, *content: Content, **attributes: str | float | bool | None) -> Html:
    """
    An element. `class_` is `class`, underscores are dashes.

    None and False leave an attribute out, True has no value.
    """
    pieces = ["<", element]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        pieces += " ", key.rstrip("_").replace("_", "-")
        if value is not True:
            pieces += '="', escape(str(value)), '"'
    pieces.append(">")
    if element not in VOID:
        pieces += *_pieces(content), "</", element, ">"
    return Html("".join(pieces))


def value(text: str, limit: int = MAX_TEXT) -> Html:
    """A value of others: it stays within its bounds, whatever direction it is written in."""
    return tag("bdi", text if len(text) <= limit else text[:limit] + "…")


def table(caption: str, heads: Iterable[str], rows: Iterable[Iterable[Content]]) -> Html:
    """
    A table whose first column names its rows. A head that begins with `#` is of numbers.

    It scrolls by itself where the window is too narrow.
    """
    columns = [(head.lstrip("#"), "n" if head.startswith("#") else None) for head in heads]
    names = [tag("th", head, scope="col", class_=kind) for head, kind in columns]
    body = [
        tag("tr", [_cell(index, each, columns[index]) for index, each in enumerate(row)])
        for row in rows
    ]
    whole = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", tag("tr", names)),
        tag("tbody", body),
    )
    return tag("div", whole, class_="wide", tabindex="0", role="region", aria_label=caption)


def _cell(index: int, content: Content, column: tuple[str, str | None]) -> Html:
    """A cell; `data-h` names it where rows are shown as cards."""
    head, kind = column
    if index == 0:
        return tag("th", content, scope="row")
    return tag("td", content, class_=kind, data_h=head)


# Numbers and times


def number(count: float) -> str:
    """`12,345`."""
    return f"{count:,.0f}"


def percent(part: float, whole: float) -> str:
    """A share; of nothing there is none."""
    if not whole:
        return "–"
    share = 100 * part / whole
    return f"{share:.0f} %" if share in (0, 100) else f"{share:.1f} %"


def seconds(duration: float) -> str:
    """A short time: `0.4 ms`, `25 ms`, `1.2 s`."""
    if duration >= 1:
        return f"{duration:.1f} s"
    milliseconds = duration * 1000
    return f"{milliseconds:.1f} ms" if 0 < milliseconds < 10 else f"{milliseconds:.0f} ms"


def in_bytes(size: float) -> str:
    """`12 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def clock(at: float) -> str:
    """`08:20`, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


def moment(at: float, now: float) -> Html:
    """A time, by how long ago or ahead it is; exactly where somebody points at it."""
    exact = datetime.fromtimestamp(at, UTC)
    ahead = at > now
    far = span(abs(at - now))
    text = far if far == "now" else f"in {far}" if ahead else f"{far} ago"
    return tag(
        "time",
        text,
        datetime=exact.strftime("%Y-%m-%dT%H:%M:%SZ"),
        title=exact.strftime("%Y-%m-%d %H:%M:%S UTC"),
    )


def span(duration: float) -> str:
    """About how long: `3 min`, `5 h`, `62 days`."""
    if duration < MINUTE:
        return "now" if duration < 1 else f"{duration:.0f} s"
    if duration < HOUR:
        return f"{duration // MINUTE:.0f} min"
    if duration < 2 * DAY:
        return f"{duration // HOUR:.0f} h"
    return f"{duration // DAY:.0f} days"
