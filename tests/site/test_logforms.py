"""The forms of an access log."""

from __future__ import annotations

import pytest

from edge.site.logforms import FORMS, LOOK, form_of
from edge.site.logline import CSV_HEADER
from tests.support_logs import line


def test_json_is_passed_on_as_it_is():
    """Not even looked at."""
    lines = [line(), b"anything\n"]

    assert FORMS["json"].make(lines) == (lines, 0)


@pytest.mark.parametrize("name", ["csv", "combined"])
def test_the_other_forms_are_made_line_by_line(name):
    """One that cannot be read is left out, and counted."""
    broken = [b"{}\n", b'{"time":"\xff"}\n', b'{"time":"yesterday"}\n', b"[" * 5000 + b"\n"]
    made, lost = FORMS[name].make([line(), *broken, line(path="/2")])

    assert len(made) == 6 - lost
    assert lost >= 3
    assert all(each.count(b"\n") == 1 and each.endswith(b"\n") for each in made)


@pytest.mark.parametrize("name", FORMS)
def test_a_file_tells_its_form_by_its_beginning(name):
    """Whoever appends has to know."""
    form = FORMS[name]
    content = form.header + form.make([line()])[0][0]

    assert form_of(content[:LOOK]) == name
    assert FORMS["csv"].header == CSV_HEADER
