"""Field blocks that touch no dynamic table, against an independent HPACK."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.blocks import (
    NAMES,
    cut_path,
    is_cut_right,
    is_stable,
    read_integer,
    write_head,
    write_integer,
    write_lines,
)
from edge.http.message import pass_head

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
    block = write_head(pass_head(status, b"", lines))
    decoder = hpack.Decoder(max_header_list_size=1 << 20)
    found = [(bytes(n), bytes(v)) for n, v in decoder.decode(block, raw=True)]

    assert found == [(b":status", b"%d" % status), *lines]
    assert not decoder.header_table.dynamic_entries
    assert is_stable(block)


def test_lines_of_a_second_are_written_alike():
    """Their names in lower case."""
    block = write_lines(b"Date: Thu, 26 Nov 2026 20:00:00 GMT\r\nAge: 7\r\nCache-Status: edge\r\n")

    assert hpack.Decoder().decode(block, raw=True) == [
        (b"date", b"Thu, 26 Nov 2026 20:00:00 GMT"),
        (b"age", b"7"),
        (b"cache-status", b"edge"),
    ]


PATHS = st.one_of(st.binary(min_size=1, max_size=400), st.sampled_from([b"/", b"/index.html"]))
INDEXED_LINES = st.lists(st.sampled_from([(b":method", b"GET"), (b":scheme", b"http")]), max_size=2)


def block_for(path: bytes, before: list, behind: list, *, huffman: bool) -> tuple[bytes, bytes]:
    """What a client writes that never indexes, and where its path is in that."""
    encoder = hpack.Encoder()
    front, back = (
        encoder.encode([hpack.NeverIndexedHeaderTuple(*line) for line in lines], huffman=huffman)
        for lines in (before, behind)
    )
    value = hpack.Encoder().encode([(b":path", path)], huffman=huffman)
    literal = value[1:] if value[0] == 0x44 else b""
    return front + (b"\x04" + literal if literal else value) + back, literal


@given(PATHS, INDEXED_LINES, LINES, st.booleans())
def test_a_path_is_cut_out(path, before, behind, huffman):
    """Whatever stands around it; with another one, the rest is the same."""
    block, literal = block_for(path, before, behind, huffman=huffman)
    other, another = block_for(b"/other", before, behind, huffman=huffman)
    if not literal:
        return

    assert is_cut_right(block)
    assert cut_path(block)[1] == literal
    assert cut_path(other) == (cut_path(block)[0], another)


@given(PATHS, LINES, LINES, st.booleans())
def test_what_is_cut_right_is_a_path(path, before, behind, huffman):
    """The first octet that looks like the beginning of one may be a part of something else."""
    block, literal = block_for(path, before, behind, huffman=huffman)
    rest, found = cut_path(block)
    if isinstance(rest, tuple) and is_cut_right(block):
        whole = rest[0] + found + rest[1]

        assert whole == block
        assert found == literal


NO_PATH = {
    "nothing": b"",
    "what is indexed": b"\x82\x84\xbe",
    "an octet at the end": b"\x82\x00\x01a\x01\x04",
}


@pytest.mark.parametrize("what", NO_PATH)
def test_a_block_without_a_literal_is_all_rest(what):
    """Nothing is cut out of it."""
    assert cut_path(NO_PATH[what]) == (NO_PATH[what], b"")


@pytest.mark.parametrize("block", [b"\x04", b"\x04\x05ab", b"\x04\x7f", b"\x04\x7f\x80"])
def test_a_path_that_is_cut_off_is_found_nowhere(block):
    """No whole one is written so."""
    _, path = cut_path(block)

    assert not is_stable(block)
    assert not is_stable(b"\x04" + path)


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
