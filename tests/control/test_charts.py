"""Charts: what is drawn is what was counted, and stands beside it as text."""

from __future__ import annotations

import pytest

from edge.control.charts import HEIGHT, STEP, Chart, Row, draw, figure, grouped, nice, spark
from tests.support_page import Read


def chart(*rows, **more):
    """A chart of an hour."""
    return Chart("id", "Requests a minute", 0.0, rows, **more)


def row(values, name="requests", kind="ok"):
    """A row of numbers."""
    return Row(
        name, kind, values, f"{sum(each or 0 for each in values):g}", grouped_or_none(values)
    )


def grouped_or_none(values):
    """Lines of the table."""
    return [sum(each or 0 for each in values[at : at + 10]) for at in range(0, len(values), 10)]


@pytest.mark.parametrize(
    ("highest", "top"),
    [(0, 1), (1, 1), (0.003, 0.003), (7, 8), (11, 15), (880, 1000), (2100, 2500)],
)
def test_a_scale_ends_at_a_round_number(highest, top):
    """Above everything, and not far above."""
    assert nice(highest) == pytest.approx(top)


def test_columns_stand_on_each_other():
    """The second row begins where the first ends; what is 0 is not drawn."""
    drawing = Read(draw(chart(row([5, 0]), row([5, 10], "errors", "bad")), 10))
    paths = {each["class"]: each["d"] for each in drawing.all("path")}

    assert paths["ok"] == f"M0 {HEIGHT}v-36h3v36z"
    assert paths["bad"] == f"M0 36v-36h3v36zM{STEP} {HEIGHT}v-72h3v72z"


def test_lines_have_gaps():
    """Where nothing was measured, nothing is drawn."""
    drawing = Read(draw(chart(row([1.0, 2.0, None, 1.0]), stacked=False), 2))

    assert drawing.all("path")[1]["d"] == "M0 36h4V0h4M12 36h4"


def test_a_chart_is_told_in_words():
    """A title, a description, a key, and a table of the numbers."""
    read = Read(figure(chart(row([1, 2] * 30), row([0] * 60, "errors", "bad"))))
    (svg,) = read.all("svg")

    assert read.unbalanced == []
    assert svg["role"] == "img"
    ids = {each["id"] for _, each in read.elements if "id" in each}
    assert set(svg["aria-labelledby"].split()) == ids
    assert "requests: 90; errors: 0" in read.text
    assert read.text.count("15") >= 6
    assert [each["scope"] for each in read.all("th")] == ["col"] * 3 + ["row"] * 6


def test_nothing_has_no_scale():
    """An empty chart claims no number."""
    assert '<span class="top"></span>' in figure(chart(row([0] * 60)))


def test_sparks_are_of_numbers_that_stand_beside_them():
    """Hidden from those who hear the page; nothing is nothing."""
    (svg,) = Read(spark([0, 1, 2])).all("svg")

    assert svg["aria-hidden"] == "true"
    assert spark([0, 0]) == ""
    assert spark([]) == ""
    assert grouped([1] * 20) == [10, 10]
