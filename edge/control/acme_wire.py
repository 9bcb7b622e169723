"""
How an authority is spoken with: one signed request after another, over the `acme` package.

The package signs (JWS) and keeps the session; the rest of its network class is replaced, because it
loses what a keeper of certificates needs: the HTTP status and Retry-After of errors, the problem of
a 409, the nonce of a badNonce. It retries that once, follows redirects, and reads answers of any
length for any time. Blocking and for one thread, as `requests` is.

Source: RFC 8555 §6.
"""

from __future__ import annotations

import functools
import ssl
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3
from acme import client, messages
from josepy.errors import DeserializationError
from josepy.interfaces import JSONDeSerializable
from josepy.json_util import decode_b64jose
from josepy.jwa import ES256
from josepy.jwk import JWKEC
from requests.adapters import HTTPAdapter

from edge.control.acme_errors import AcmeError, Problem, error_of, printable
from edge.http.fields import parse_http_date
from edge.site.decoding import decode_json

CONNECT_S: Final = 10.0
READ_S: Final = 30.0
"""Longest silence."""

CALL_S: Final = 60.0
"""For one wish, with everything that is asked and repeated for it."""

MAX_BYTES: Final = 1 << 20
"""Of one answer; a chain has 6 KiB, a directory with its meta one."""

NONCE_TRIES: Final = 5
"""
In a row. A pool of nonces that its machines do not share refuses every other one, and a wish needs
ten requests: so five that were refused are a failure in passing, as a lost connection is.
"""

PAUSES_S: Final = (0.25, 1.0)
"""Before what failed in passing is asked again."""

T = TypeVar("T")


class Payload(JSONDeSerializable):
    """A document as the package takes it; an empty one is sent as `{}` (POST-as-GET has none)."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self.members = members

    def to_partial_json(self) -> Any:
        """Itself."""
        return dict(self.members)

    @classmethod
    def from_json(cls, jobj: Any) -> Payload:
        """Its inverse, which the package demands."""
        return cls(jobj)


class Answer(msgspec.Struct, frozen=True):
    """One response, whole."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def location(self) -> str:
        """
        The URL of what was made.

        Raises:
            AcmeError: the authority does not tell.
        """
        if found := self.headers.get("Location"):
            return found
        raise AcmeError("badAnswer", "the answer has no Location", status=self.status)

    @property
    def retry_after(self) -> float | None:
        """Seconds; None where nothing is wished."""
        return parse_retry_after(self.headers.get("Retry-After"), time.time())

    @property
    def date(self) -> float | None:
        """The authority's clock when it answered, in epoch seconds. Source: RFC 9110 §6.6.1."""
        return parse_http_date(self.headers.get("Date", "").encode("utf-8", "replace"))

    def read(self, kind: type[T]) -> T:
        """
        The content as a document.

        Raises:
            AcmeError: it is another one.
        """
        try:
            return decode_json(self.content, kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            text = f"the answer cannot be read: {printable(str(error))}"
            raise AcmeError(
                "badAnswer", text, status=self.status, retry_after=self.retry_after
            ) from None

    def failure(self) -> AcmeError | None:
        """What it refuses, if it does."""
        if 200 <= self.status < 300:
            return None
        try:
            problem = decode_json(self.content, Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # A balancer's page in HTML is nothing to show; redirects are not followed.
            problem = Problem(detail=f"the authority answered {self.status}")
        return error_of(problem, self.status, self.retry_after)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """
    Seconds to wait, from a Retry-After in seconds or as a date; None for anything else.

    Source: RFC 9110 §10.2.3.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:10])
    date = parse_http_date(text.encode("utf-8", "replace"), int(now))
    return None if date is None else max(0.0, date - now)


class Wire(client.ClientNetwork):
    """The connection to one authority, with the key that signs."""

    def __init__(self, key: JWKEC, context: ssl.SSLContext, *, is_secure: bool) -> None:
        super().__init__(key, alg=ES256, user_agent=user_agent())
        self.session.mount("https://", _Trusting(context))
        self.signer = key
        self.new_nonce = ""
        """URL for fresh ones."""
        self._is_secure = is_secure
        self._nonce: bytes | None = None
        self._deadline = 0.0

    def begin(self) -> None:
        """Another wish, with all the time there is for one."""
        self._deadline = time.monotonic() + CALL_S

    def sign_as(self, account: str | None) -> None:
        """By the URL of the account from now on; without one by the key itself."""
        self.account = None
        if account is not None:
            body = messages.Registration()
            self.account = messages.RegistrationResource(body=body, uri=account)

    def fetch(self, url: str) -> Answer:
        """
        Without a signature: the directory, and ARI.

        Raises:
            AcmeError: as `ask`.
        """
        return _insist(lambda: _checked(self._exchange("GET", url)), again=True)

    def ask(self, url: str, payload: Payload | None = None, *, again: bool = True) -> Answer:
        """
        A signed request; without a payload it only reads (POST-as-GET, RFC 8555 §6.3).

        `again` says that repeating it after a lost answer does no harm; what was refused for its
        nonce has not been looked at, and is always repeated.

        Raises:
            AcmeError: the authority refuses, is away, or cannot be understood.
        """
        return _insist(lambda: self._post(url, payload), again=again)

    def _post(self, url: str, payload: Payload | None) -> Answer:
        """Source: RFC 8555 §6.5: a badNonce comes with a nonce that is good."""
        for _ in range(NONCE_TRIES):
            data = self._sign(payload, url)
            answer = self._exchange("POST", url, data)
            self._keep_nonce(answer)
            failure = answer.failure()
            if failure is None or failure.kind != "badNonce":
                break
        return _checked(answer)

    def _sign(self, payload: Payload | None, url: str) -> str:
        nonce = self._take_nonce()
        # Decoded, as the package keeps them; its annotation says str.
        return self._wrap_in_jws(payload, nonce, url)  # type: ignore[arg-type]

    def _take_nonce(self) -> bytes:
        if self._nonce is None:
            self._keep_nonce(_checked(self._exchange("HEAD", self.new_nonce)))
        nonce, self._nonce = self._nonce, None
        if nonce is None:
            raise AcmeError("badAnswer", "the authority gives no nonce")
        return nonce

    def _keep_nonce(self, answer: Answer) -> None:
        """One is enough for one thread, and the newest one is the least likely to be stale."""
        try:
            self._nonce = decode_b64jose(answer.headers.get("Replay-Nonce", "")) or None
        except DeserializationError:
            self._nonce = None

    def _exchange(self, method: str, url: str, data: str | None = None) -> Answer:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise AcmeError("timeout", f"no answer within {CALL_S:g} s")
        if self._is_secure and not url.startswith("https://"):
            raise AcmeError("badAnswer", f"a URL of the authority has no TLS: {printable(url)}")
        headers = {
            "User-Agent": self.user_agent,
            "Accept-Encoding": "identity",
            "Content-Type": self.JOSE_CONTENT_TYPE,
        }
        timeout = (min(CONNECT_S, left), min(READ_S, left))
        try:
            with self.session.request(
                method,
                url,
                data=data,
                headers=headers,
                timeout=timeout,
                stream=True,
                allow_redirects=False,
            ) as response:
                return Answer(response.status_code, response.headers, self._content(response))
        except (
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,
        ) as error:  # requests' are OSErrors
            raise _translated(error, url) from error

    def _content(self, response: requests.Response) -> bytes:
        """All of it; `requests` would read for as long as a byte comes every now and then."""
        content = b""
        while piece := response.raw.read1(1 << 16):
            content += piece
            if len(content) > MAX_BYTES:
                raise AcmeError("badAnswer", f"an answer is over {MAX_BYTES} bytes")
            if time.monotonic() > self._deadline:
                raise AcmeError("timeout", f"no whole answer within {CALL_S:g} s")
        return content


class _Trusting(HTTPAdapter):
    """Connections that are checked by our roots alone; the package brings others (certifi)."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Direct connections."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        """Connections by a proxy of the environment."""
        return super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Always, and by the context."""
        del url, verify, cert
        conn.cert_reqs = "CERT_REQUIRED"


@functools.cache
def user_agent() -> str:
    """Source: RFC 8555 §6.1."""
    return f"edge/{metadata.version('edge')}"


def _checked(answer: Answer) -> Answer:
    failure = answer.failure()
    if failure is not None:
        raise failure
    return answer


def _insist(action: Callable[[], Answer], *, again: bool) -> Answer:
    """Asked again, twice, where it failed in passing."""
    for pause in PAUSES_S:
        try:
            return action()
        except AcmeError as error:
            if error.kind != "badNonce" and not (again and error.is_passing):
                raise
        time.sleep(pause)
    return action()


def _translated(error: BaseException, url: str) -> AcmeError:
    """Theirs as ours, with the reason that is at the bottom of what they wrapped."""
    if isinstance(error, ValueError):  # so requests calls an address that is none
        return AcmeError("badAnswer", f"a URL of the authority is malformed: {printable(url)}")
    host = urlsplit(url).netloc.rpartition("@")[2]
    root = error
    while (deeper := root.__cause__ or root.__context__) is not None:
        root = deeper
    reason = printable(getattr(root, "strerror", None) or str(root) or type(root).__name__)
    if isinstance(error, requests.exceptions.SSLError) or isinstance(root, ssl.SSLError):
        return AcmeError("untrusted", f"the TLS of {host} is not trusted: {reason}")
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return AcmeError("timeout", f"{host} does not answer: {reason}")
    return AcmeError("unreachable", f"no connection to {host}: {reason}")
