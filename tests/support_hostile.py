"""What hostile tests share: raw connections read without mercy, and readers of Locations."""

from __future__ import annotations

import contextlib
import re
import socket
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import unquote, unquote_to_bytes, urljoin, urlsplit

import h2.config
import h2.connection
import h2.events
import msgspec

LINE = re.compile(rb"([A-Za-z][A-Za-z0-9-]*): ([!-~](?:[ -~]*[!-~])?)")
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [A-Z][A-Za-z -]*")
BLANK_LINE = b"\r\n\r\n"
Lines = Sequence[tuple[bytes, bytes]]


class Reply(msgspec.Struct):
    """One response as it came over the wire."""

    status: int
    fields: dict[str, str]
    """By lower-case name; a name that comes twice fails the test."""
    content: bytes

    @property
    def location(self) -> str | None:
        """Where it leads, if anywhere."""
        return self.fields.get("location")

    def without(self, *names: str) -> tuple[int, dict[str, str], bytes]:
        """All of it but some fields, to be compared."""
        return self.status, {n: v for n, v in self.fields.items() if n not in names}, self.content


def reply(status: int, pairs: Iterable[tuple[str, str]], content: bytes) -> Reply:
    """A response whose fields are there once each."""
    lines = list(pairs)
    fields = dict(lines)
    assert len(fields) == len(lines), f"a field is there twice: {lines}"
    return Reply(status, fields, content)


class Wire:
    """One HTTP/1.1 connection; anew where the server ended it. Nothing is sent but what is said."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket: socket.socket | None = None
        self.buffer = b""
        self.sent = b""

    def close(self) -> None:
        """End it."""
        if self.socket is not None:
            self.socket.close()
        self.socket, self.buffer = None, b""

    def send(self, data: bytes) -> None:
        """Send bytes, on a new connection where there is none."""
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.sent = data
        self.socket.sendall(data)

    def receive(self) -> bool:
        """Wait for more; False at the end of the connection."""
        assert self.socket is not None, "nothing was sent"
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:  # it closed while more of what was sent came
            data = b""
        self.buffer += data
        return bool(data)

    def read(self, *, head_only: bool = False) -> Reply:
        """One response, every byte of its head accounted for."""
        while BLANK_LINE not in self.buffer:
            assert self.receive(), (self.sent[:300], self.buffer)
        head, _, self.buffer = self.buffer.partition(BLANK_LINE)
        first, *lines = head.split(b"\r\n")
        found = STATUS_LINE.fullmatch(first)
        assert found, first
        pairs = []
        for line in lines:
            field = LINE.fullmatch(line)
            assert field, (self.sent[:300], line)
            pairs.append((field[1].decode().lower(), field[2].decode()))
        answer = reply(int(found[1]), pairs, b"")
        size = 0 if head_only else int(answer.fields.get("content-length", "0"))
        while len(self.buffer) < size:
            assert self.receive(), (self.sent[:300], "cut off")
        answer.content, self.buffer = self.buffer[:size], self.buffer[size:]
        if answer.fields.get("connection") == "close":
            while self.receive():
                pass
            assert self.buffer == b"", (self.sent[:300], "bytes after the last response")
            self.close()
        return answer

    def ask(self, host: bytes, target: bytes, *lines: bytes, method: bytes = b"GET") -> Reply:
        """The answer to one request."""
        self.send(message(host, target, *lines, method=method))
        return self.read(head_only=method == b"HEAD")

    def ask_and_probe(self, host: bytes, target: bytes, probe: tuple[bytes, bytes]) -> Reply:
        """
        The answer, once what was pipelined behind it got the answer of its own.

        Where the connection ended with the first answer, nothing else came.
        """
        self.send(message(host, target) + message(*probe))
        first = self.read()
        if self.socket is not None:
            second = self.read()
            assert second.status == 200, (target[:300], second)
            assert b"<<probe>>" in second.content, (target[:300], second)
        return first


def message(host: bytes, target: bytes, *lines: bytes, method: bytes = b"GET") -> bytes:
    """The bytes of a request, whatever they are."""
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"Host: " + host, *lines, b"", b""])


class Wire2:
    """One HTTP/2 connection with prior knowledge, by h2, which checks nothing of what is sent."""

    AT_ONCE = 60

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        config = h2.config.H2Configuration(
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.connection.increment_flow_control_window(2**30)

    def close(self) -> None:
        """End it."""
        self.socket.close()

    def ask(self, asked: Sequence[tuple[bytes, bytes]]) -> list[Reply | None]:
        """The answers to (authority, path), at once; None for a stream that was reset."""
        streams = []
        for authority, path in asked:
            stream = self.connection.get_next_available_stream_id()
            pairs = ((b":method", b"GET"), (b":scheme", b"http"), (b":authority", authority))
            self.connection.send_headers(stream, [*pairs, (b":path", path)], end_stream=True)
            streams.append(stream)
        self.socket.sendall(self.connection.data_to_send())
        heads: dict[int, Lines] = {}
        contents = dict.fromkeys(streams, b"")
        open_streams = set(streams)
        while open_streams:
            data = self.socket.recv(1 << 16)
            assert data, "the connection ended"
            for event in self.connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    heads[event.stream_id] = event.headers
                elif isinstance(event, h2.events.DataReceived):
                    contents[event.stream_id] += event.data
                elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                    open_streams.discard(event.stream_id)
                assert not isinstance(event, h2.events.ConnectionTerminated), event
            self.socket.sendall(self.connection.data_to_send())
        return [read_head(heads.get(stream), contents[stream]) for stream in streams]


def ask_http2(port: int, asked: Sequence[tuple[bytes, bytes]]) -> list[Reply | None]:
    """
    The answers to (authority, path), in their order.

    Some at a time, and on several connections: one that is full of mistakes is ended.
    """
    answers = []
    for start in range(0, len(asked), Wire2.AT_ONCE):
        with contextlib.closing(Wire2(port)) as wire:
            answers += wire.ask(asked[start : start + Wire2.AT_ONCE])
    return answers


def read_head(pairs: Lines | None, content: bytes) -> Reply | None:
    """A response of HTTP/2, its fields as strictly read as those of HTTP/1.1."""
    if pairs is None:
        return None
    (name, status), *rest = pairs
    assert name == ":status", pairs
    for key, value in rest:
        assert LINE.fullmatch(f"{key}: {value}".encode("latin-1")), (key, value)
    return reply(int(status), rest, content)


# Where a Location leads


def hosts_of(location: str, base: str) -> set[str]:
    """The hosts that a Location leads to, as different readers take it."""
    absolute = urlsplit(urljoin(base, location))
    assert absolute.scheme in ("http", "https"), location
    return {(absolute.hostname or "").lower(), browser_host(location, base)}


def browser_host(location: str, base: str) -> str:
    """
    The host that a browser goes to; nothing for what is no host, or no scheme that has one.

    Source: https://url.spec.whatwg.org/#concept-basic-url-parser, for special schemes.
    """
    text = location.strip("".join(map(chr, range(33))))
    text = text.translate({9: None, 10: None, 13: None})
    own = urlsplit(base)
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text)
    if found:
        scheme, text = found[1].lower(), text[found.end() :]
        if scheme not in ("http", "https"):
            return ""
        if scheme != own.scheme or text.startswith("//"):
            return authority_host(text)
    return authority_host(text) if re.match(r"[/\\]{2}", text) else str(own.hostname)


def authority_host(text: str) -> str:
    """The host at the beginning, after any number of slashes."""
    authority = re.split(r"[/\\?#]", text.lstrip("/\\"), maxsplit=1)[0].rpartition("@")[2]
    host = unquote(re.sub(r":[0-9]*\Z", "", authority))
    host = unicodedata.normalize("NFKC", host).lower().replace("。", ".")
    return "" if re.search(r"[\x00-\x20#%/:<>?@\\^|\x7f]", host) else host


def canonical(target: bytes) -> str | None:
    """
    The path that a target means, written down a second time; None where readers could differ.

    Decoded once, but for `%2F`; dot segments resolved, and none that leaves the root.
    """
    path = target.partition(b"?")[0]
    if re.search(rb"%(?![0-9A-Fa-f]{2})|#", path) or not path.startswith(b"/"):
        return None
    try:
        segments = [decoded(segment) for segment in path.split(b"/")[1:]]
    except UnicodeDecodeError:
        return None
    if any(re.search(r"[\x00-\x1f\x7f-\x9f\\]", segment) for segment in segments):
        return None
    kept: list[str] = []
    for position, segment in enumerate(segments):
        is_last = position == len(segments) - 1
        if segment == ".." and not kept:
            return None
        if segment == "..":
            kept.pop()
        elif segment != ".":
            kept.append(segment)
        if segment in (".", "..") and is_last:
            kept.append("")
    return "/" + "/".join(kept)


def decoded(segment: bytes) -> str:
    """One segment, decoded once."""
    parts = re.split(rb"(?i)%2f", segment)
    return "%2F".join(unquote_to_bytes(part).decode() for part in parts)
