"""
Content codings, made once at deploy: br, zstd, gzip, each kept where it saves 5 % or more.

Laws: works on files, in threads (the compressors release the GIL) at a lower priority, so that
the workers on the same cores keep their pace. A coding that did not pay is remembered by an empty
file: nobody compresses the same bytes for nothing twice.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import brotli
import zstandard

from edge.control.durable import temporary_beside
from edge.node.memory import give_back
from edge.site.manifest import CODINGS

MIN_SIZE = 256
"""Bytes under which a coding saves less than its field lines cost."""

MAX_SIZE = 32 * 1024 * 1024
"""Bytes above which a file is sent as it is: it is read whole into memory to be coded."""

WORTH = 0.95
"""A coding is kept when it is at most this part of the file."""

SMALL = (1 << 16) - 16
"""Bytes that brotli's window of 2^16 holds (RFC 7932 §9.1)."""

NICE = 10


def _brotli(data: bytes) -> bytes:
    """
    Quality 8: 0.3 ms and 21.5 % for 10 KB of HTML; 9 takes 4.6 ms for the same, 11 12 ms.

    With the small window, what fits into it takes 0.5 MiB to code and not 16, and no byte more.
    """
    return bytes(brotli.compress(data, quality=8, lgwin=16 if len(data) <= SMALL else 22))


def _zstd(data: bytes) -> bytes:
    """Level 9: 0.5 ms for 10 KB of HTML; 12 takes twice as long for 2 % less."""
    return zstandard.ZstdCompressor(level=9).compress(data)


def _gzip(data: bytes) -> bytes:
    encoder = zlib.compressobj(9, zlib.DEFLATED, 31)
    return encoder.compress(data) + encoder.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {"br": _brotli, "zstd": _zstd, "gzip": _gzip}
assert tuple(ENCODERS) == CODINGS, "one encoder a coding, in the order of preference"


Job = tuple[Callable[[], BinaryIO], Callable[[str], Path]]
"""What opens a blob, and the place of each of its codings."""


def encode_all(jobs: Iterable[Job], on_done: Callable[[], None] | None = None) -> None:
    """For each job: make every coding and write it, or an empty file where it does not pay."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads, initializer=_be_nice) as pool:
        for _ in pool.map(lambda job: _encode(*job), jobs, chunksize=16):
            if on_done is not None:
                on_done()
    give_back()  # encoders of large files take 20 MiB a thread


def _encode(open_blob: Callable[[], BinaryIO], place: Callable[[str], Path]) -> None:
    with open_blob() as blob:
        worthy = MIN_SIZE <= os.fstat(blob.fileno()).st_size <= MAX_SIZE
        data = blob.read() if worthy else b""
    for coding, encoder in ENCODERS.items():
        encoded = encoder(data) if worthy else b""
        if len(encoded) > len(data) * WORTH:
            encoded = b""
        path = place(coding)
        temporary = temporary_beside(path)
        temporary.write_bytes(encoded)
        temporary.rename(path)


def _be_nice() -> None:
    """Lower this thread's priority; Linux keeps one a thread."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
