"""The corpus of the fuzzers, and mutations of it that are the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

WORDS = [
    b"\r\n", b"\n", b"\0", b"\xff", b"%00", b"%2F", b"%2e", b"../", b"\\", b"//", b"<*>", b"<a>",
    b"*", b"**", b"{", b"}", b"[", b"]", b'"', b"'", b":", b": ", b",", b";", b"=", b"-", b"0",
    b"9" * 20, b"-1", b"0x1", b"1_0", b"+1", b"1e9", b"\xc3\xa9", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"\xd9\xa1", b" ", b"\t", b"&a", b"*a", b"!!x", b"chunked", b"identity", b"bytes=", b"q=0.5",
    b"HTTP/1.1", b"Content-Length: ", b"Transfer-Encoding: ", b"Host: ",
]  # fmt: skip
"""What parsers stumble over."""

LONGEST = 4096


def corpus_of(target: str) -> list[bytes]:
    """Every file of a target, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


class Mutator:
    """Inputs made of a corpus, one after the other."""

    def __init__(self, corpus: Sequence[bytes], seed: int) -> None:
        self.corpus = corpus
        self.chance = random.Random(seed)

    def next(self) -> bytes:
        """One to six changes to one of the corpus."""
        data = bytearray(self.chance.choice(self.corpus))
        for _ in range(self.chance.randint(1, 6)):
            self.change(data)
        return bytes(data[:LONGEST])

    def change(self, data: bytearray) -> None:
        """A byte, a word, a cut, a repetition, or a piece of another input."""
        chance = self.chance
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.randint(1, 16))
        match chance.randrange(6):
            case 0 if at < len(data):
                data[at] = chance.randrange(256)
            case 1 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 2:
                data[at:at] = chance.choice(WORDS)
            case 3:
                del data[at:end]
            case 4:
                data[at:at] = data[at:end] * chance.choice([1, 2, 50])
            case _:
                other = chance.choice(self.corpus)
                begin = chance.randint(0, len(other))
                data[at:end] = other[begin : begin + chance.randint(1, 64)]
