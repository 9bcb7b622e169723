"""
An archive that lives elsewhere, brought to a file: `http(s)://` by aiohttp, `s3://` by obstore.

What arrives is bounded and believed by nobody: it is an archive only when `archives` has read it.
Texts for people never carry an address's user or query, where people keep passwords and tokens.
Synchronous: the HTTP client runs a loop of its own, so never call this on one.
"""

from __future__ import annotations

import asyncio
import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO

from obstore import exceptions as obstore_errors
from obstore.store import S3Store

from edge.control.members import CHUNK
from edge.errors import StoreError
from edge.node.roots import checking_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import aiohttp

CONNECT_S = 10.0
STALLED_S = 60.0
"""Longest time without a byte. A download as a whole may take as long as it moves."""

MAX_REDIRECTS = 5

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(?:[^/?#]*@)?([^?#]*)")

CREDENTIALS = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE",),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
    ("AWS_METADATA_ENDPOINT",),
)
"""
Variables of which one set must be there. Without any, obstore would ask the link-local metadata
service for a role: an address this program calls only when the operator names it.
"""


def is_address(source: str) -> bool:
    """Whether a SOURCE is an address and not a path."""
    return ADDRESS.match(source) is not None


def public_name(source: str) -> str:
    """The SOURCE for messages: an address without user, query and fragment; a path as it is."""
    address = ADDRESS.match(source)
    return f"{address[1]}://{address[2]}" if address else source


def download(source: str, target: Path, limit: int, on_bytes: Callable[[int], None]) -> None:
    """
    Brings the archive at an address into a new file of at most `limit` bytes.

    `on_bytes` hears the bytes so far. After a refusal `target` is the caller's to remove.

    Raises:
        StoreError: without the address, which the caller puts in front.
    """
    address = ADDRESS.match(source)
    scheme = address[1].lower() if address else ""
    if scheme not in {"http", "https", "s3"}:
        raise StoreError(f"{scheme}:// is not supported; use http://, https://, s3:// or a path")
    with target.open("xb") as file:
        arrival = Arrival(file, limit, on_bytes)
        if scheme == "s3":
            _fetch_object(source, arrival)
        else:
            _fetch(source, arrival)


class Arrival:
    """The bytes of one download, counted and written."""

    def __init__(self, file: BinaryIO, limit: int, on_bytes: Callable[[int], None]) -> None:
        self.file = file
        self.limit = limit
        self.on_bytes = on_bytes
        self.size = 0

    def expect(self, size: int) -> None:
        """Refuses what is, or will be, too large."""
        if size > self.limit:
            raise StoreError(f"it is over {self.limit} bytes; raise limits.archive_bytes")

    def take(self, data: bytes) -> None:
        """Writes the next bytes."""
        self.size += len(data)
        self.expect(self.size)
        self.file.write(data)
        self.on_bytes(self.size)


def _fetch(url: str, arrival: Arrival) -> None:
    """HTTP, with every foreign failure told as ours."""
    import aiohttp  # noqa: PLC0415 - 200 ms, which no other command line has to wait

    try:
        asyncio.run(_get(url, arrival))
    except aiohttp.TooManyRedirects:
        raise StoreError(f"it redirects over {MAX_REDIRECTS} times; use the last address") from None
    except aiohttp.InvalidURL:
        raise StoreError("the address is malformed; check its spelling") from None
    except aiohttp.ConnectionTimeoutError:
        raise StoreError(f"no connection within {CONNECT_S:g} s; is it up?") from None
    except TimeoutError:
        raise StoreError(f"nothing arrived for {STALLED_S:g} s; try again") from None
    except aiohttp.ClientSSLError as error:
        raise StoreError(f"{error.host} is not trusted; check its TLS certificate") from None
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno or 0  # below zero are the resolver's, which has texts
        reason = os.strerror(number) if number > 0 else error.os_error.strerror
        raise StoreError(f"no connection to {error.host} ({reason}); check the address") from None
    except aiohttp.ClientPayloadError:
        raise StoreError("the download ended early; try again") from None
    except aiohttp.ClientError as error:
        # Their texts repeat the address with its query: the kind has to do.
        raise StoreError(f"the download failed ({type(error).__name__}); try again") from None


async def _get(url: str, arrival: Arrival) -> None:
    import aiohttp  # noqa: PLC0415 - as above

    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=STALLED_S)
    headers = {"User-Agent": "edge", "Accept-Encoding": "identity"}
    # auto_decompress: a .tar.gz labeled `Content-Encoding: gzip` arrives as the file it is.
    # max_redirects: aiohttp refuses when the count is reached, not when it is passed.
    connector = aiohttp.TCPConnector(ssl=checking_context())
    async with (
        aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers=headers, auto_decompress=False
        ) as session,
        session.get(url, max_redirects=MAX_REDIRECTS + 1) as response,
    ):
        _check_response(response)
        arrival.expect(response.content_length or 0)
        async for data in response.content.iter_chunked(CHUNK):
            arrival.take(data)


def _check_response(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        reason = f" {response.reason}" if response.reason else ""
        raise StoreError(f"the server answered {response.status}{reason}; check the address")
    schemes = [step.url.scheme for step in (*response.history, response)]
    # Sorted is ["http", …, "https", …]: once encrypted, never in the clear again.
    if schemes != sorted(schemes):
        raise StoreError("it redirects from https to http; use an address that stays encrypted")


def _fetch_object(source: str, arrival: Arrival) -> None:
    """S3, configured by the AWS_* variables as obstore reads them."""
    bucket, _, key = source[len("s3://") :].partition("/")
    if not bucket or not key:
        raise StoreError("it names no object; write s3://bucket/key.zip")
    try:
        result = _open_bucket(bucket).get(key)
        arrival.expect(result.meta["size"])
        for data in result.stream(min_chunk_size=CHUNK):
            arrival.take(data)
    except FileNotFoundError:
        raise StoreError(
            "there is no such object (404); check bucket, key and AWS_REGION"
        ) from None
    except obstore_errors.PermissionDeniedError:
        raise StoreError("access is denied (403); the key needs s3:GetObject on it") from None
    except obstore_errors.UnauthenticatedError:
        raise StoreError("the credentials are not accepted (401); check AWS_* variables") from None
    except (obstore_errors.BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0]  # below it obstore prints its insides
        raise StoreError(f"{reason}; check the AWS_* variables, then try again") from None


def _open_bucket(bucket: str) -> S3Store:
    allow_http = _is_set("AWS_ALLOW_HTTP")
    if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://") and not allow_http:
        raise StoreError("AWS_ENDPOINT_URL is not encrypted; use https, or AWS_ALLOW_HTTP=true")
    if not _is_set("AWS_SKIP_SIGNATURE") and not _has_credentials():
        raise StoreError(
            "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"
            " AWS_SKIP_SIGNATURE=true for a public bucket, or AWS_METADATA_ENDPOINT for a role"
        )
    return S3Store(
        bucket,
        client_options={
            "allow_http": allow_http,
            "connect_timeout": timedelta(seconds=CONNECT_S),
            "read_timeout": timedelta(seconds=STALLED_S),
            "timeout": timedelta(days=1),  # of the whole object; obstore's default is 30 s
        },
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=STALLED_S)},
    )


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in {"1", "true", "on", "yes", "y"}


def _has_credentials() -> bool:
    return any(all(os.environ.get(name) for name in names) for names in CREDENTIALS)
