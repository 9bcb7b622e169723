"""
Setting and removing TXT records for dns-01, by dynamic update or by the operator's program.

Laws: a record is written where the CNAMEs of its name end. Other values of that name stay as they
are, so that a name and its wildcard can be shown at the same time. What is presented is there when
every authoritative server of the zone shows it. Every failure is a `StoreError` that says what to
do; secrets and shells are in none of it.

Source: RFC 8555 §8.4; RFC 2136; RFC 8945 (TSIG).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import os
import signal
import socket
import stat
import tempfile
from collections.abc import Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import IO, Final, Literal, Protocol

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from edge.control.resolver import WORDS, Resolver, Server, Shown
from edge.errors import StoreError
from edge.site.settings import Dns

log = logging.getLogger("edge.dns")

TTL: Final = 60
"""Seconds; nobody reads a record for longer than an order takes."""

UPDATE_S: Final = 10.0
"""For one exchange with the server that takes updates."""

COMMAND_S: Final = 120.0
"""For one call of the operator's program: some providers' APIs take a minute."""

PAUSES: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between two looks at the authoritative servers; the last one repeats."""

SILENT_LOOKS: Final = 3
"""Looks after which a server that never answers is waited for no longer, if others answer."""

TAIL: Final = 4_096
"""Bytes of a program's stderr that are read for its last line."""

MAX_REASON: Final = 300

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Action = Literal["present", "cleanup"]


class Question(Protocol):
    """What of a challenge is needed here."""

    @property
    def dns_value(self) -> str:
        """The record's value. Source: RFC 8555 §8.4."""
        ...


class Writer(Protocol):
    """One way to change a record."""

    async def write(self, action: Action, name: str, value: str) -> None:
        """Add a value to a name, or take that one away."""
        ...


class DnsRecords:
    """Answers dns-01 challenges by the settings `tls.acme.dns`."""

    def __init__(self, settings: Dns, root: Path, resolver: Resolver) -> None:
        """`root` is the folder that relative paths of the settings start from."""
        self._writer: Writer = Updates(settings, root) if settings.server else Hook(settings, root)
        self._resolver = resolver
        self._patience_s = settings.propagation
        self._targets: dict[str, str] = {}
        """By record, where it was written: its CNAME may change before it is removed."""

    async def present(self, identifier: str, challenge: Question) -> None:
        """
        Add the record of an identifier; returns when every authoritative server shows it.

        Raises:
            StoreError: it could not be written, or did not appear in time.
        """
        value = challenge.dns_value
        name = await self._target(record_name(identifier))
        await self._writer.write("present", name, value)
        await self._wait(name, value)

    async def cleanup(self, identifier: str, challenge: Question) -> None:
        """
        Remove the record's value, and no other; one that is not there is no mistake.

        Raises:
            StoreError: it could not be removed.
        """
        record = record_name(identifier)
        name = self._targets.get(record) or await self._target(record)
        await self._writer.write("cleanup", name, challenge.dns_value)

    async def _target(self, record: str) -> str:
        found = await self._resolver.target(record)
        if found.absence is not None:
            raise StoreError(
                f"where the record {record} belongs cannot be told: at {found.name} "
                f"{WORDS[found.absence]}; see what `dig TXT {record}` says"
            )
        self._targets[record] = found.name
        return found.name

    async def _wait(self, name: str, value: str) -> None:
        """Wait until the zone's servers show a value."""
        zone = await self._resolver.authoritative(name)
        if not zone.servers:
            reason = WORDS[zone.absence or "empty"]
            raise StoreError(
                f"{name} was written, and nobody is to be found who would show it ({reason}); "
                "see whether the zone is delegated to its name servers"
            )
        watch = Watch(name, value, zone.servers)
        try:
            async with asyncio.timeout(self._patience_s):
                for pause in chain(PAUSES, repeat(PAUSES[-1])):
                    if watch.saw(await self._resolver.txt(name, watch.waiting)):
                        return
                    await asyncio.sleep(pause)
        except TimeoutError:
            raise StoreError(watch.complaint(self._patience_s)) from None


class Watch:
    """Which servers have still to show a value."""

    def __init__(self, name: str, value: str, servers: Sequence[Server]) -> None:
        self._name = name
        self._value = value
        self.waiting = list(servers)
        self._heard: set[str] = set()
        """Servers that answered once."""
        self._looks = 0
        self._last: dict[str, Shown] = {}

    def saw(self, shown: Sequence[Shown]) -> bool:
        """Take in what they show; whether that is enough."""
        self._looks += 1
        self._last = {each.server: each for each in shown}
        self._heard |= {each.server for each in shown if each.absence != "timeout"}
        self.waiting = [
            server for server in self.waiting if self._value not in self._last[server.name].values
        ]
        silent = {server.name for server in self.waiting} - self._heard
        if self._looks < SILENT_LOOKS or len(silent) < len(self.waiting) or not self._heard:
            return not self.waiting
        log.warning("%s is taken to be there; silent: %s", self._name, ", ".join(sorted(silent)))
        return True

    def complaint(self, waited_s: float) -> str:
        """What the servers say that have not shown it."""
        said = ", ".join(f"{each.name} ({self._said(each.name)})" for each in self.waiting)
        return (
            f"{self._name} was written, and after {waited_s:g} s not every authoritative server "
            f"shows it: {said}; mend its transfers, or raise tls.acme.dns.propagation"
        )

    def _said(self, server: str) -> str:
        shown = self._last.get(server)
        if shown is None:
            return "not asked yet"
        return "other values only" if shown.absence is None else WORDS[shown.absence]


class Updates:
    """Dynamic updates of one server, signed."""

    def __init__(self, settings: Dns, root: Path) -> None:
        assert settings.server, "settings check it"
        assert settings.key_name, "and that there is a key"
        assert settings.key_file, "and its file"
        self._server = settings.server
        self._zone = settings.zone
        self._key_name = settings.key_name
        self._key_file = root / settings.key_file
        self._algorithm = dns.name.from_text(settings.algorithm)

    async def write(self, action: Action, name: str, value: str) -> None:
        """Add a value, or delete that one. By TCP: a lost datagram would leave a doubt."""
        address = await self._address()
        zone = self._zone or await self._find_zone(address, name)
        if name != zone and not name.endswith(f".{zone}"):
            raise StoreError(
                f"{name} is not in the zone {zone}, which updates go to; make _acme-challenge of "
                f"the name a CNAME to a name in {zone}, or correct tls.acme.dns.zone"
            )
        update = dns.update.UpdateMessage(f"{zone}.", keyring=self._key())
        if action == "present":
            update.add(f"{name}.", TTL, "TXT", value)
        else:
            update.delete(f"{name}.", "TXT", value)
        answer = await self._exchange(update, address)
        if answer.rcode() != dns.rcode.NOERROR:
            raise StoreError(self._refused(answer.rcode(), zone))

    def _refused(self, code: dns.rcode.Rcode, zone: str) -> str:
        remedy = f"let its update-policy grant TXT in {zone} to the key {self._key_name}"
        if code == dns.rcode.NOTAUTH:
            remedy = f"name the zone's primary in tls.acme.dns.server, or correct the zone {zone}"
        return f"{self._server} refused to change {zone} ({dns.rcode.to_text(code)}); {remedy}"

    async def _find_zone(self, address: tuple[str, int], name: str) -> str:
        """What the server itself says: it may know zones that nobody else does."""
        question = dns.message.make_query(f"{name}.", "SOA")
        answer = await self._exchange(question, address)
        for section in (answer.answer, answer.authority):
            for records in section:
                if records.rdtype == dns.rdatatype.SOA:
                    return records.name.to_text(omit_final_dot=True).lower()
        raise StoreError(
            f"{self._server} has no zone that {name} is in "
            f"({dns.rcode.to_text(answer.rcode())}); write tls.acme.dns.zone, or name the server "
            "that has it"
        )

    async def _exchange(
        self, message: dns.message.Message, address: tuple[str, int]
    ) -> dns.message.Message:
        try:
            return await dns.asyncquery.tcp(message, address[0], UPDATE_S, address[1])
        except dns.tsig.PeerBadTime as error:
            raise StoreError(
                f"{self._server} says that this machine's clock is wrong; set both clocks"
            ) from error
        except (dns.tsig.PeerError, dns.tsig.BadSignature) as error:
            raise StoreError(
                f"{self._server} does not accept the key {self._key_name} ({error}); compare its "
                f"name, its secret in {self._key_file} and tls.acme.dns.algorithm with the server's"
            ) from error
        except (dns.exception.DNSException, OSError, EOFError) as error:
            reason = str(error) or type(error).__name__
            raise StoreError(
                f"the name server {self._server} cannot be asked by TCP: {reason}; see whether it "
                "runs and this machine may reach it"
            ) from error

    async def _address(self) -> tuple[str, int]:
        host, _, port = self._server.rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(UPDATE_S):
                found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except (OSError, TimeoutError) as error:
            raise StoreError(
                f"the name server {self._server} is not found: {error or 'no answer'}; "
                "write its address into tls.acme.dns.server"
            ) from error
        return str(found[0][4][0]), int(port)

    def _key(self) -> dns.tsig.Key:
        """The key; read each time, so that a new one counts at once."""
        name = dns.name.from_text(self._key_name)
        return dns.tsig.Key(name, read_secret(self._key_file), self._algorithm)


def read_secret(file: Path) -> bytes:
    """
    A TSIG secret: base64 in a file that nobody else may read.

    Raises:
        StoreError: there is none; what the file holds is not repeated.
    """
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise StoreError(f"others may read the key {file}; run chmod 600 {file}")
        secret = base64.b64decode(b"".join(file.read_bytes().split()), validate=True)
    except OSError as error:
        raise StoreError(
            f"the key {file} cannot be read: {error.strerror}; correct tls.acme.dns.key_file"
        ) from error
    except binascii.Error:
        secret = b""
    if not secret:
        raise StoreError(f"{file} holds no secret; write what tsig-keygen has behind `secret`")
    return secret


class Hook:
    """
    A program of the operator's: `present` or `cleanup`, the record's name, its value.

    One call at a time: many such programs read all values of a name and write them back.
    """

    def __init__(self, settings: Dns, root: Path, patience_s: float = COMMAND_S) -> None:
        assert settings.command, "settings check it"
        self._command = settings.command
        self._root = root
        self._patience_s = patience_s
        self._turn = asyncio.Lock()

    async def write(self, action: Action, name: str, value: str) -> None:
        """Run it to its end."""
        async with self._turn:
            await self._call(action, name, value)

    async def _call(self, action: Action, name: str, value: str) -> None:
        with tempfile.TemporaryFile() as stderr:
            code = await self._run([*self._command, action, name, value], stderr)
            if code == 0:
                return
            said = last_line(stderr)
        ended = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
        raise StoreError(
            f"{self._command[0]} {action} {name} {ended}: {said or 'it said nothing on stderr'}; "
            "run it by hand with the same arguments"
        )

    async def _run(self, command: list[str], stderr: IO[bytes]) -> int:
        """The exit code. What it leaves behind may run on; it is not waited for."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=stderr,
                cwd=self._root,
                env={"PATH": PATH, "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError as error:
            raise StoreError(
                f"{command[0]} cannot be run: {error.strerror}; correct tls.acme.dns.command"
            ) from error
        try:
            async with asyncio.timeout(self._patience_s):
                return await process.wait()
        except TimeoutError:
            raise StoreError(
                f"{command[0]} {command[-3]} was still running after {self._patience_s:g} s and "
                f"was ended: {last_line(stderr) or 'it said nothing on stderr'}"
            ) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


def last_line(file: IO[bytes]) -> str:
    """The last line of a file that is not blank, cut to what a person reads."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL))
    lines = file.read().decode("utf-8", "replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return "".join(each if each.isprintable() else "�" for each in said)[:MAX_REASON]


def record_name(identifier: str) -> str:
    """Where an authority looks; a wildcard is shown at the name below it."""
    return f"_acme-challenge.{identifier.removeprefix('*.')}"
