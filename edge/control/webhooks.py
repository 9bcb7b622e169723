"""
A document to a URL of the operator's: one POST, one verdict.

Laws: certificates are checked, redirects are not followed, and no answer is read beyond its first
bytes. An error never repeats the URL, whose path is a secret as a rule.
"""

from __future__ import annotations

import ssl
import time
from importlib import metadata
from typing import Any, Final

import aiohttp
import msgspec

from edge.control.letters import Undelivered, plain
from edge.http.fields import parse_http_date

ANSWER_S: Final = 10.0
"""For everything, from the question to the DNS on."""

MAX_ANSWER: Final = 200
"""Bytes of a refusal that are shown."""

IN_PASSING: Final = frozenset([408, 425, 429])
"""Refusals that another try may change, besides all 5xx."""


async def post(url: str, document: dict[str, Any], context: ssl.SSLContext) -> None:
    """
    Send a document as JSON.

    Raises:
        Undelivered: it was not taken.
    """
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"edge/{metadata.version('edge')}",
    }
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=ANSWER_S),
            ) as session,
            session.post(
                url, data=msgspec.json.encode(document), headers=headers, allow_redirects=False
            ) as response,
        ):
            if not 200 <= response.status < 300:
                raise await refusal(response)
    except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
        raise Undelivered(reason_of(error)) from None


async def refusal(response: aiohttp.ClientResponse) -> Undelivered:
    """What an answer that is no success means."""
    status = response.status
    if 300 <= status < 400:
        reason = f"answered {status}: redirects are not followed, write where it leads"
        return Undelivered(reason, is_final=True)
    detail = plain((await response.content.read(MAX_ANSWER)).decode("utf-8", "replace"), MAX_ANSWER)
    return Undelivered(
        f"answered {status}: {detail}" if detail else f"answered {status}",
        is_final=status < 500 and status not in IN_PASSING,
        wait=parse_retry_after(response.headers.get("Retry-After", ""), time.time()),
    )


def parse_retry_after(value: str, now: float) -> float | None:
    """
    Seconds to wait; None where nothing is wished.

    Source: RFC 9110 §10.2.3.
    """
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:10])
    date = parse_http_date(text.encode("utf-8", "replace"), int(now))
    return None if date is None else max(0.0, date - now)


def reason_of(error: Exception) -> str:
    """Why there was no answer, without the URL."""
    match error:
        case TimeoutError():
            return f"no answer within {ANSWER_S:g} s"
        case aiohttp.ClientConnectorCertificateError():
            cause = error.certificate_error
            detail = getattr(cause, "verify_message", "") or str(cause)
            return f"its certificate is not trusted: {plain(detail, MAX_ANSWER)}"
        case aiohttp.ClientConnectorError():
            cause = error.os_error
            return f"no connection: {plain(cause.strerror or str(cause), MAX_ANSWER)}"
        case aiohttp.InvalidURL() | ValueError():
            return "the URL cannot be used"
    return f"the connection broke ({type(error).__name__})"
