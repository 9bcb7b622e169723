"""
An origin that does what a test says: raw sockets in threads, a script for each path.

A script gets a `Talk`, one request, and may do anything to its connection. Nothing waits by the
clock: a script that has to pause waits for `go`, a test for what came (`Origin.wait_for`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

PATIENCE_S = 20.0
"""Until a wait for something that never happens fails its test."""

RESET = struct.pack("ii", 1, 0)


class Talk:
    """One request, and the connection that it came on."""

    def __init__(self, origin: Origin, number: int, connection: socket.socket, lines: list[bytes]):
        self.origin = origin
        self.connection = connection
        self.number = number
        """Of its connection, from 1."""
        self.method, self.target, self.version = lines[0].decode("latin-1").split(" ")
        pairs = (line.decode("latin-1").split(": ", 1) for line in lines[1:])
        self.lines = [(name.lower(), value) for name, value in pairs]
        self.fields = dict(self.lines)
        self.content = b""
        """What was read of it."""
        self.trailers: list[bytes] = []
        self.is_whole = False
        """Whether the content was read to its end."""
        self.keeps = True
        """Whether the connection takes another request after the script."""
        self.go = threading.Event()
        self.ended = threading.Event()
        """Set once the script is done, however."""
        self.file: BinaryIO

    async def over(self) -> Talk:
        """Wait for the end of the script."""
        assert await asyncio.to_thread(self.ended.wait, PATIENCE_S), "the script goes on"
        return self

    # In

    def pieces(self) -> Iterator[bytes]:
        """The content, as it comes."""
        if self.fields.get("transfer-encoding") == "chunked":
            while size := int(self.line(), 16):
                yield self.exactly(size)
                assert self.line() == b""
            while trailer := self.line():
                self.trailers.append(trailer)
        else:
            left = int(self.fields.get("content-length", "0"))
            while left:
                piece = self.exactly(min(left, 65536))
                left -= len(piece)
                yield piece
        self.is_whole = True

    def read(self) -> bytes:
        """The whole content."""
        self.content = b"".join(self.pieces())
        return self.content

    def line(self) -> bytes:
        """One line without its end; the connection must not have ended."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("ended in a line")
        return line[:-2]

    def exactly(self, size: int) -> bytes:
        """So many bytes."""
        data = self.file.read(size)
        if len(data) < size:
            raise ConnectionError("ended in the content")
        return data

    def until_closed(self) -> bytes:
        """Everything until the other side ends the connection, well or not."""
        pieces = []
        with contextlib.suppress(ConnectionError):
            while piece := self.file.read1(65536):
                pieces.append(piece)
        return b"".join(pieces)

    # Out

    def send(self, *pieces: bytes) -> None:
        """Raw bytes."""
        for piece in pieces:
            self.connection.sendall(piece)

    def answer(self, content: bytes = b"", status: int = 200, *lines: str) -> None:
        """A whole response with its length."""
        head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}", *lines, "", ""]
        self.send("\r\n".join(head).encode("latin-1") + content)

    def wait(self) -> None:
        """Until the test says `go`."""
        assert self.origin.is_closed or self.go.wait(PATIENCE_S), "nobody said go"
        if self.origin.is_closed:
            raise ConnectionError("the test is over")
        self.go.clear()

    def close(self) -> None:
        """End the connection after this request."""
        self.keeps = False

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.keeps = False


Script = Callable[[Talk], None]


class Origin:
    """A listening socket whose requests are answered by scripts."""

    def __init__(
        self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family, backlog=1024)
        self.port: int = self.listener.getsockname()[1]
        self.context = context
        self.scripts: dict[str, Script] = {}
        self.talks: list[Talk] = []
        self.connections: set[socket.socket] = set()
        """Those that are open."""
        self.accepted = 0
        self.is_closed = False
        self.refused: list[Exception] = []
        """TLS handshakes that failed."""
        self._lock = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def on(self, path: str, script: Script) -> None:
        """What a path does from now on."""
        self.scripts[path] = script

    def of(self, path: str) -> list[Talk]:
        """The requests of a path so far."""
        return [talk for talk in self.talks if talk.target.partition("?")[0] == path]

    async def wait_for(self, path: str, count: int = 1) -> Talk:
        """The request of that number, once it is there."""
        await self.until(lambda: len(self.of(path)) >= count)
        return self.of(path)[count - 1]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that a connection does."""
        await asyncio.to_thread(self._wait, condition)

    def _wait(self, condition: Callable[[], object]) -> None:
        with self._lock:
            assert self._lock.wait_for(condition, PATIENCE_S), "it never happened"

    def close(self) -> None:
        """End everything; scripts that wait for a word do so no longer."""
        self.is_closed = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(
                socket.SHUT_RDWR
            )  # while a thread accepts, closing is not enough
        self.listener.close()
        for talk in tuple(self.talks):
            talk.go.set()
        for connection in tuple(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    # Threads

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                self.connections.add(connection)
                self._lock.notify_all()
            arguments = (connection, self.accepted)
            threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _note(self, change: Callable[[], object]) -> None:
        with self._lock:
            change()
            self._lock.notify_all()

    def _serve(self, raw: socket.socket, number: int) -> None:
        connection = raw
        try:
            if self.context is not None:
                connection = self.context.wrap_socket(raw, server_side=True)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._converse(connection, number)
        except ssl.SSLError as error:
            self.refused.append(error)
        except (OSError, ValueError):
            pass
        finally:
            with contextlib.suppress(OSError):
                connection.close()
            self._note(lambda: self.connections.discard(raw))

    def _converse(self, connection: socket.socket, number: int) -> None:
        with connection.makefile("rb") as file:
            while self._answer(connection, number, file):
                pass

    def _answer(self, connection: socket.socket, number: int, file: BinaryIO) -> bool:
        """Whether there may be another request."""
        lines = []
        while line := file.readline()[:-2]:
            lines.append(line)
        if not lines:
            return False
        talk = Talk(self, number, connection, lines)
        talk.file = file
        script = self.scripts.get(talk.target.partition("?")[0], missing)
        self._note(lambda: self.talks.append(talk))
        try:
            script(talk)
        finally:
            self._note(talk.ended.set)
        return talk.keeps


def missing(talk: Talk) -> None:
    """What a path without a script does."""
    talk.read()
    talk.answer(b"no such script", 404)


def echo(talk: Talk) -> None:
    """The request line, the fields and the content, as they came."""
    content = talk.read()
    lines = [f"{talk.method} {talk.target}", *(f"{name}: {value}" for name, value in talk.lines)]
    talk.answer("\n".join(lines).encode() + b"\n\n" + content)


def saying(content: bytes, status: int = 200, *lines: str) -> Script:
    """A script that always answers the same, once it has the whole request."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.answer(content, status, *lines)

    return script


def raw(*pieces: bytes, then: Callable[[Talk], object] = Talk.close) -> Script:
    """A script that sends these bytes and does something to the connection."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(*pieces)
        then(talk)

    return script


@contextlib.contextmanager
def originating(
    context: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Origin]:
    """An origin; afterwards its connections have all ended."""
    origin = Origin(context, host, port)
    try:
        yield origin
    finally:
        origin.close()


class Memory:
    """What processes have in memory, looked at all the time while something happens."""

    def __init__(self, pids: list[int]) -> None:
        self._before = {pid: resident(pid) for pid in pids}
        self._peaks = dict(self._before)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._done.wait(0.005):
            for pid, peak in self._peaks.items():
                self._peaks[pid] = max(peak, resident(pid))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        """By how many bytes one of them grew at the most."""
        return max(self._peaks[pid] - before for pid, before in self._before.items())


def resident(pid: int) -> int:
    """Bytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


# Certificates

CA = """
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
rand_serial = yes
[any]
commonName = supplied
"""
KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


class Authority:
    """A certificate authority of a test's own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        (folder / "ca.cnf").write_text(CA)
        (folder / "index.txt").touch()
        self.root = folder / "root.pem"
        self._run(
            f"req -x509 {KEY} -keyout root.key -out root.pem -days 2 -subj /CN=root"
            " -addext basicConstraints=critical,CA:TRUE"
        )

    def _run(self, arguments: str) -> None:
        command = ["openssl", *arguments.split()]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr

    def context(self, *names: str, ends: str = "", signs: bool = True) -> ssl.SSLContext:
        """What a server of these names needs; `ends` is when its certificate does (YYMMDD)."""
        kinds = ",".join(f"{'IP' if name[0].isdigit() else 'DNS'}:{name}" for name in names)
        subject = f"-subj /CN={names[0]} -addext subjectAltName={kinds}"
        if signs:
            self._run(f"req {KEY} -keyout key.pem -out request.pem {subject}")
            end = ends or time.strftime("%y%m%d", time.gmtime(time.time() + 86400 * 2))
            self._run(
                "ca -batch -notext -config ca.cnf -cert root.pem -keyfile root.key -in request.pem"
                f" -out chain.pem -startdate 20200101000000Z -enddate 20{end}000000Z"
            )
        else:
            self._run(f"req -x509 {KEY} -keyout key.pem -out chain.pem -days 2 {subject}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "chain.pem", self.folder / "key.pem")
        return context
