"""
Whom origins' certificates are checked by: the system's authorities, and the operator's besides.

Laws: read again only where the file is another one, since a new context costs connections that were
made with the old one. A file that cannot be read changes nothing.
"""

from __future__ import annotations

import functools
import ssl
from pathlib import Path

from edge.errors import StoreError

Mark = tuple[Path, int, int]
"""Name, time of change in nanoseconds and size: another file has another one."""


class Roots:
    """The context of connections to origins."""

    def __init__(self) -> None:
        self.context = system_context()
        self._mark: Mark | None = None

    def read(self, path: Path | None) -> None:
        """
        Trust the authorities of a file (PEM) besides, or of none. May run in a thread: 20 ms.

        Raises:
            StoreError: the file cannot be read, or has no certificate.
        """
        try:
            mark = mark_of(path)
            if mark != self._mark:
                self.context = context_with(path)
                self._mark = mark
        except OSError as error:  # ssl.SSLError is one
            raise StoreError(f"proxy.ca_file: {path} cannot be used: {error}") from error


def mark_of(path: Path | None) -> Mark | None:
    """What tells a file from the one that was read before. Raises OSError."""
    if path is None:
        return None
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


@functools.cache
def system_context() -> ssl.SSLContext:
    """What trusts the system's authorities alone: read once in a process, since it takes 40 ms."""
    return context_with(None)


def context_with(path: Path | None) -> ssl.SSLContext:
    """For HTTP/1.1, and the system's authorities with those of a file. Raises OSError."""
    context = checking_context()
    context.set_alpn_protocols(["http/1.1"])
    if path is not None:
        context.load_verify_locations(path)
    return context


def checking_context() -> ssl.SSLContext:
    """
    Certificates are checked by the system's authorities, names too, whatever the Python.

    From 3.13 on its own default refuses authorities without a key usage, which are most that were
    made by hand with `openssl`: an interpreter's upgrade would cut their origins off. It also
    trusts an intermediate that is named for itself (curl does), and so does every other here.
    """
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
