"""Documents are decoded by several threads at once, from their very first use on."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from edge.site.decoding import convert, decode_json, decoder_of

RACE = """
import sys, threading
sys.setswitchinterval(1e-6)
from edge.site.decoding import decode_json
from edge.site.generation import Generation
import msgspec

DATA = b'{"number": 1, "settings": {"tls": {"acme": {"email": "a@b.c"}}, "limits": {}}}'
barrier = threading.Barrier(4)
outcomes = []

def decode():
    barrier.wait()
    try:
        decode_json(DATA, Generation)
    except msgspec.ValidationError as error:
        outcomes.append(str(error))

threads = [threading.Thread(target=decode) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(outcomes) == 4 and len(set(outcomes)) == 1, outcomes
"""


class Point(msgspec.Struct):
    """Somewhere."""

    x: int


def test_a_type_is_learned_by_one_thread() -> None:
    """msgspec itself ended three of four such processes."""
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


def test_documents_are_decoded() -> None:
    """From JSON, or from what another decoder has made."""
    assert decode_json(b'{"x": 1}', Point) == Point(1)
    assert decode_json("[1, 2]", list[int]) == [1, 2]
    assert convert([{"x": 1}], list[Point]) == [Point(1)]
    assert decoder_of(Point) is decoder_of(Point)


def test_what_is_no_document_is_refused() -> None:
    """As msgspec says it."""
    with pytest.raises(msgspec.ValidationError, match="Expected `int`"):
        decode_json(b'{"x": "1"}', Point)
    with pytest.raises(msgspec.ValidationError, match="Expected `int`"):
        convert({"x": "1"}, Point)
    with pytest.raises(msgspec.DecodeError):
        decode_json(b"{", Point)
