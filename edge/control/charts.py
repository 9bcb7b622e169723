"""
Charts of the last hour: SVG made of numbers, with the numbers beside it as text.

Laws: pure, and no text of others comes in. What is drawn stretches with the window; what is
written does not, so it is HTML around the drawing. One path a row of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from edge.control.markup import Html, clock, number, tag

STEP: Final = 4
"""Units of a minute's width; a column leaves one to the next."""

HEIGHT: Final = 72
"""Of the drawing, in its own units."""

STEPS: Final = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
"""What the top of a scale may begin with."""

GROUP: Final = 10
"""Minutes of a line in the table of numbers."""

Tell = Callable[[float], str]


class Row(NamedTuple):
    """One row of numbers."""

    name: str
    kind: str
    """How it is painted: a class of the style."""
    values: Sequence[float | None]
    """A minute each; None is no value."""
    told: str
    """The whole of it in a word."""
    grouped: Sequence[float | None]
    """The same for each line of the table."""


class Chart(NamedTuple):
    """What a chart is about."""

    id: str
    title: str
    begins: float
    """Epoch seconds of the first minute."""
    rows: Sequence[Row]
    tell: Tell = number
    """How a number is written."""
    top: float | None = None
    """Where the scale ends; None: above the highest."""
    stacked: bool = True
    """Columns on each other, else lines."""


def figure(chart: Chart) -> Html:
    """A chart with its title, its key and its numbers."""
    top = chart.top or top_of(chart)
    is_empty = not any(each for row in chart.rows for each in row.values)
    scale = "" if is_empty and chart.top is None else chart.tell(top)
    key = [
        tag("li", tag("i", class_=row.kind), tag("b", row.told), " ", row.name)
        for row in chart.rows
    ]
    return tag(
        "figure",
        tag("figcaption", tag("h3", chart.title), tag("ul", key, class_="key")),
        tag("div", tag("span", scale, class_="top"), draw(chart, top), class_="plot"),
        tag("div", tag("span", clock(chart.begins), " UTC"), tag("span", "now"), class_="axis"),
        numbers(chart),
        class_="card",
    )


def top_of(chart: Chart) -> float:
    """The end of the scale: a round number above everything."""
    columns = zip(*([each or 0.0 for each in row.values] for row in chart.rows), strict=True)
    highest = max((sum(each) if chart.stacked else max(each) for each in columns), default=0.0)
    return nice(highest)


def nice(highest: float) -> float:
    """The next round number; 1 for nothing."""
    if highest <= 0:
        return 1.0
    size = 1.0
    while size * 10 < highest:
        size *= 10
    while size >= highest:
        size /= 10
    return next(step * size for step in STEPS if step * size >= highest * (1 - 1e-9))


def draw(chart: Chart, top: float) -> Html:
    """The drawing."""
    told = "; ".join(f"{row.name}: {row.told}" for row in chart.rows)
    width = STEP * len(chart.rows[0].values)
    grid = f"M0 {HEIGHT}H{width}M0 {HEIGHT / 2:g}H{width}M0 0H{width}"
    paths = columns_of(chart, top) if chart.stacked else lines_of(chart, top)
    return tag(
        "svg",
        tag("title", f"{chart.title}, last hour", id=f"{chart.id}-t"),
        tag("desc", f"{told}. Highest value of the scale: {chart.tell(top)}.", id=f"{chart.id}-d"),
        tag("path", class_="grid", d=grid),
        paths,
        viewBox=f"0 0 {width} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby=f"{chart.id}-t {chart.id}-d",
    )


def columns_of(chart: Chart, top: float) -> list[Html]:
    """A path of columns for each row, on those before it."""
    below = [0.0] * len(chart.rows[0].values)
    paths = []
    for row in chart.rows:
        pieces = []
        for index, each in enumerate(row.values):
            if each:
                foot = HEIGHT - scaled(below[index], top)
                high = max(scaled(each, top), 0.8)  # one request among thousands is seen, too
                left = index * STEP
                pieces.append(f"M{left} {foot:.3g}v{-high:.3g}h{STEP - 1}v{high:.3g}z")
                below[index] += each
        if pieces:
            paths.append(tag("path", class_=row.kind, d="".join(pieces)))
    return paths


def lines_of(chart: Chart, top: float) -> list[Html]:
    """A path of steps for each row; it has a gap where there is no value."""
    paths = []
    for row in chart.rows:
        pieces: list[str] = []
        is_drawing = False
        for index, each in enumerate(row.values):
            if each is not None:
                y = f"{HEIGHT - scaled(each, top):.3g}"
                pieces += f"V{y}" if is_drawing else f"M{index * STEP} {y}", f"h{STEP}"
            is_drawing = each is not None
        if pieces:
            paths.append(tag("path", class_=f"line {row.kind}", d="".join(pieces)))
    return paths


def scaled(value: float, top: float) -> float:
    """How high a value is drawn."""
    return min(value, top) / top * HEIGHT


def numbers(chart: Chart) -> Html:
    """What is drawn, as a table for whoever wants numbers."""
    head = [tag("th", "from (UTC)", scope="col")]
    head += [tag("th", row.name, scope="col") for row in chart.rows]
    lines = []
    for index in range(len(chart.rows[0].grouped)):
        cells = [
            tag("td", "–" if each is None else chart.tell(each))
            for each in (row.grouped[index] for row in chart.rows)
        ]
        at = chart.begins + index * GROUP * 60
        lines.append(tag("tr", tag("th", clock(at), scope="row"), cells))
    whole = tag("table", tag("thead", tag("tr", head)), tag("tbody", lines))
    return tag("details", tag("summary", "Numbers"), whole)


def spark(values: Sequence[float]) -> Html:
    """A small line without words: the numbers stand beside it."""
    top = max(values, default=0.0)
    if not top:
        return Html()
    points = [f"{index * 8} {18 - 16 * each / top:.3g}" for index, each in enumerate(values)]
    return tag(
        "svg",
        tag("path", class_="line ok", d="M" + "L".join(points)),
        viewBox=f"0 0 {8 * (len(values) - 1)} 20",
        preserveAspectRatio="none",
        class_="spark",
        aria_hidden="true",
    )


def grouped(values: Sequence[float], count: int = GROUP) -> list[float]:
    """Sums of so many minutes."""
    starts = range(0, len(values), count)
    return [sum(values[start : start + count]) for start in starts]
