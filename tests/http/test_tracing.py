"""Trace Context: what is read, what is nobody's, and what crosses to whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.tracing import Parent, is_chosen, parent_of, trace_lines, traceparent, traces_of

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
VALUE = b"00-%b-%b-01" % (TRACE, SPAN)

READ = {
    VALUE: Parent(TRACE, SPAN, 1),
    VALUE[:-2] + b"00": Parent(TRACE, SPAN, 0),
    VALUE[:-2] + b"fe": Parent(TRACE, SPAN, 0xFE),
    b"01" + VALUE[2:]: Parent(TRACE, SPAN, 1),
    b"cc" + VALUE[2:] + b"-what the future will be like": Parent(TRACE, SPAN, 1),
}
NOBODYS = [
    b"",
    b"ff" + VALUE[2:],
    b"00-%b-%b-01" % (b"0" * 32, SPAN),
    b"00-%b-%b-01" % (TRACE, b"0" * 16),
    VALUE.upper(),
    VALUE[:-1],
    VALUE + b"0",
    VALUE + b"-",
    VALUE + b"-more",
    b"cc" + VALUE[2:] + b".more",
    VALUE.replace(b"-", b"_"),
    b"0g" + VALUE[2:],
    VALUE + b", " + VALUE,
    b" " + VALUE,
    VALUE + b"\n",
]


@pytest.mark.parametrize(("value", "expected"), READ.items())
def test_a_traceparent_is_read(value, expected):
    """A later version as far as it is understood."""
    assert parent_of([value]) == expected
    assert expected.is_sampled == bool(expected.flags & 1)


@pytest.mark.parametrize("value", NOBODYS)
def test_what_cannot_be_read_is_nobodys(value):
    """Version ff, zeros, upper case, other lengths (W3C §3.2.2)."""
    assert parent_of([value]) is None
    assert trace_lines({b"traceparent": [value], b"tracestate": [b"a=1"]}, is_shared=False) == []


def test_several_lines_are_nobodys_word():
    """Though they were the same."""
    assert parent_of([VALUE, VALUE]) is None
    assert parent_of([]) is None


@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_not(value):
    """What is read is written as it came, but for what is behind it."""
    parent = parent_of([value])

    assert parent is None or traceparent(parent.trace, parent.span, parent.flags)[2:] in value


def test_all_lines_cross_to_an_origin_that_answers_one_client():
    """As they came, later versions too."""
    later = b"cc" + VALUE[2:] + b"-x"
    met = {
        b"traceparent": [later],
        b"tracestate": [b"a=1", b"b=2"],
        b"baggage": [b"user=7"],
    }

    assert trace_lines(met, is_shared=False) == [
        (b"baggage", b"user=7"),
        (b"traceparent", later),
        (b"tracestate", b"a=1"),
        (b"tracestate", b"b=2"),
    ]


def test_tracestate_means_nothing_alone():
    """Baggage does."""
    met = {b"tracestate": [b"a=1"], b"baggage": [b"user=7"]}

    assert trace_lines(met, is_shared=False) == [(b"baggage", b"user=7")]
    assert trace_lines(met, is_shared=True) == []


def test_where_others_may_get_the_answer_digits_cross_alone():
    """No free text that an origin could repeat."""
    later = b"cc" + VALUE[2:-2] + b"ff-<script>"
    met = {b"traceparent": [later], b"tracestate": [b"a=<script>"], b"baggage": [b"user=7"]}

    assert trace_lines(met, is_shared=True) == [
        (b"traceparent", b"00-%b-%b-03" % (TRACE, SPAN)),
    ]


def test_a_trace_names_who_asked():
    """By the identifier that all of its requests have."""
    assert traces_of([(b"host", b"a"), (b"traceparent", VALUE)]) == [TRACE]


RATIOS = {
    (b"0" * 32, 0.0): False,
    (b"f" * 32, 1.0): True,
    (b"f" * 16 + b"0" * 16, 1e-9): True,
    (b"0" * 16 + b"8" + b"0" * 15, 0.5): False,
    (b"f" * 16 + b"7" + b"f" * 15, 0.5): True,
}


@pytest.mark.parametrize(("case", "expected"), RATIOS.items())
def test_whether_a_trace_is_sampled_is_in_its_identifier(case, expected):
    """By the half of it that every generation fills at random."""
    trace, ratio = case

    assert is_chosen(trace, ratio) == expected
