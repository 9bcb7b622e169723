"""Field blocks that touch no dynamic table, against an independent HPACK."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.blocks import NAMES, is_stable, read_integer, write_block, write_integer

LINES = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(sorted(NAMES)), st.from_regex(rb"[a-z-]{1,200}", fullmatch=True)),
        st.binary(max_size=400),
    ),
    max_size=8,
)


@given(st.integers(0, 2**27), st.integers(1, 7))
def test_what_is_written_is_read(value, bits):
    """Integers of any prefix."""
    written = write_integer(value, bits, 0)

    assert read_integer(written, 0, bits) == (value, len(written))


@given(st.sampled_from([200, 204, 304, 404]), LINES)
def test_others_read_what_is_written(status, lines):
    """In every connection the same, since nothing is put into the table."""
    block = write_block(status, lines)
    decoder = hpack.Decoder(max_header_list_size=1 << 20)
    found = [(bytes(n), bytes(v)) for n, v in decoder.decode(block, raw=True)]

    assert found == [(b":status", b"%d" % status), *lines]
    assert not decoder.header_table.dynamic_entries
    assert is_stable(block)


@given(LINES)
def test_what_puts_something_into_the_table_is_not_stable(lines):
    """The first time it does, as clients write it; the second time all is there."""
    encoder, decoder = hpack.Encoder(), hpack.Decoder()
    for _ in range(2):
        entries = len(decoder.header_table.dynamic_entries)
        block = encoder.encode(lines)
        decoder.decode(block, raw=True)
        if is_stable(block):
            assert len(decoder.header_table.dynamic_entries) == entries


UNSTABLE = {
    "an insertion with a known name": b"\x82\x41\x01a",
    "an insertion with a name": b"\x40\x01a\x01b",
    "another size": b"\x20",
    "a larger one": b"\x3f\xe1\x1f",
    "a value that is cut off": b"\x00\x01a\x05b",
    "a name that is cut off": b"\x00\x05a",
    "an index that is cut off": b"\xff",
    "an index without end": b"\xff" + b"\x80" * 9,
}


@pytest.mark.parametrize("what", UNSTABLE)
def test_what_is_not_stable(what):
    """Whatever might change what other blocks mean."""
    assert not is_stable(UNSTABLE[what])


STABLE = {
    "nothing": b"",
    "what is indexed": b"\x82\x84\xbe\xff\x80\x01",
    "a literal that is not": b"\x04\x01/",
    "one that never may be": b"\x10\x01a\x01b",
    "a long value": b"\x0f\x10\x7f\x01" + bytes(128),
}


@pytest.mark.parametrize("what", STABLE)
def test_what_is_stable(what):
    """Whatever leaves the table as it is."""
    assert is_stable(STABLE[what])
