"""Codings made at deploy: right, worth it, and made once."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import brotli
import pytest
import zstandard

from edge.control import codings
from edge.control.codings import ENCODERS, MAX_SIZE, MIN_SIZE, SMALL, WORTH, encode_all

DECODERS = {
    "br": brotli.decompress,
    "zstd": zstandard.ZstdDecompressor().decompress,
    "gzip": lambda data: zlib.decompress(data, 31),
}
NOISE = random.Random(1).randbytes(4096)


def opener(path):
    """What opens a blob."""
    return lambda: path.open("rb")


def encode(folder, data):
    """What is written for each coding."""
    blob = folder / "blob"
    blob.write_bytes(data)
    encode_all([(opener(blob), lambda coding: folder / coding)])
    assert sorted(path.name for path in folder.iterdir()) == sorted(["blob", *ENCODERS])
    return {coding: (folder / coding).read_bytes() for coding in ENCODERS}


@pytest.mark.parametrize("coding", ENCODERS)
@pytest.mark.parametrize(
    "data",
    [b"a" * MIN_SIZE, b"<p>hello</p>" * 1000, "grüße\n".encode() * 99],
    ids=["smallest", "html", "utf8"],
)
def test_a_coding_decodes_to_the_same_bytes(tmp_path, coding, data):
    """What pays is kept, and other people's decoders read it."""
    encoded = encode(tmp_path, data)[coding]

    assert len(encoded) <= len(data) * WORTH
    assert DECODERS[coding](encoded) == data


@pytest.mark.parametrize(("size", "mask", "bits"), [(SMALL, 0b1, 0b0), (SMALL + 1, 0b1111, 0b1011)])
def test_brotli_has_the_window_that_its_data_needs(tmp_path, size, mask, bits):
    """2^16 or 2^22 bytes: RFC 7932 §9.1 has WBITS in the first bits."""
    data = (b"<p>hello</p>" * size)[:size]
    encoded = encode(tmp_path, data)["br"]

    assert encoded[0] & mask == bits
    assert brotli.decompress(encoded) == data


@pytest.mark.parametrize(
    "data",
    [b"", b"a" * (MIN_SIZE - 1), NOISE],
    ids=["empty", "too small", "noise"],
)
def test_what_does_not_pay_is_an_empty_file(tmp_path, data):
    """The marker says that it was tried."""
    assert encode(tmp_path, data) == dict.fromkeys(ENCODERS, b"")


def test_five_percent_is_the_bar(tmp_path, monkeypatch):
    """A coding of 95 % is kept, one byte more is not."""
    monkeypatch.setitem(codings.ENCODERS, "br", lambda data: b"x" * (len(data) * 95 // 100))
    monkeypatch.setitem(codings.ENCODERS, "zstd", lambda data: b"x" * (len(data) * 95 // 100 + 1))

    found = encode(tmp_path, b"a" * 1000)

    assert (len(found["br"]), len(found["zstd"])) == (950, 0)


def test_a_huge_file_is_not_read(tmp_path):
    """Beyond the bound nothing is held in memory; it is sent as it is."""
    opened = []

    def open_blob():
        opened.append((tmp_path / "blob").open("rb"))
        return opened[0]

    with (tmp_path / "blob").open("wb") as file:
        file.truncate(MAX_SIZE + 1)
    tracemalloc.start()
    encode_all([(open_blob, lambda coding: tmp_path / coding)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 20
    assert opened[0].closed
    assert all((tmp_path / coding).stat().st_size == 0 for coding in ENCODERS)


def test_every_job_is_told(tmp_path):
    """Progress hears of each blob once."""
    heard = []
    for number in range(5):
        (tmp_path / f"{number}").write_bytes(b"a" * 300)

    encode_all(
        (
            (
                opener(tmp_path / str(number)),
                lambda coding, number=number: tmp_path / f"{number}.{coding}",
            )
            for number in range(5)
        ),
        lambda: heard.append(1),
    )

    assert len(heard) == 5
    assert len(list(tmp_path.iterdir())) == 5 + 5 * len(ENCODERS)


def test_an_unreadable_blob_is_an_error(tmp_path):
    """A deploy must not go on without knowing."""
    with pytest.raises(FileNotFoundError):
        encode_all([(opener(tmp_path / "gone"), lambda coding: tmp_path / coding)])
