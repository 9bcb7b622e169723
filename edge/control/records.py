r"""
Recorded access logs, read back as requests that can be decided once more.

Here: one pass over a log, whoever wrote it: this node (JSON lines), Amplify and CloudFront (a table
with named columns), nginx and Apache (common and combined, a virtual host in front or not). Not
here: what becomes of a request (`replay`), and writing a log. A log is a stranger's text: none of
it raises, takes more memory than one line may, or more than linear time. A line that is no request
is counted and passed over; a log that is none at all is refused before its first record.

What a table needs to have undone:

* CloudFront escapes a field once more when it writes it, `%` too, so that a client's `%20` stands
  there as `%2520`. Only the `%25` is undone. Other escapes stay: a bare quote and `%22` are decided
  alike, since a path is decoded once before anything is (a bare `#` would be refused, but no client
  sends one), and where a log was not escaped twice, a `%20` undone would be a blank in the target.
* Amplify's CSV has no quotes. It writes a backslash before `(`, `)` and `=`, in its header row too
  (`cs\(Host)`), and drops commas: what was `/a,b` comes back as `/ab`.
* `-` is an empty field: `/x?` and `/x?-` come back as `/x`.

Source: CloudFront Developer Guide, standard logs (fields, escaping); trezor-suite#22907 and
aws-log-replay#20 (`%252F` and `%252C` as observed); of Amplify, logs that users published.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final, Literal, Self

import msgspec

from edge.errors import MalformedRequest, StoreError
from edge.http.target import ABSOLUTE_FORM
from edge.site.decoding import decoder_of
from edge.site.hosts import parse_authority
from edge.site.logline import raw

MAX_LINE: Final = 64 * 1024
"""Bytes of a line without its end. Eight times the longest request line that a node accepts."""

MAX_EXAMPLES: Final = 5
STDIN: Final = Path("-")
GZIP: Final = b"\x1f\x8b"
BOM: Final = b"\xef\xbb\xbf"
"""What a spreadsheet puts in front of a CSV it saves."""

Format = Literal["json", "csv", "combined"]

KNOWN: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++")
"""Source: RFC 9110 §5.6.2."""

DIGITS: Final = re.compile(r"[0-9]{3}")

PREFIX: Final = rb"""(?:([^ ,]++)[ ](?=[^ ]++[ ]-[ ])(?!-[ ]))?+[^\["]*+\[[^\]]*+\][ ]\""""
"""
`[vhost[:port] ]client ident user [time] "`. Common format begins `client - `; where the `-` of
ident stands one further, a virtual host is in front, unless a comma makes it a list of clients.
"""

LOGGED: Final = re.compile(PREFIX)
REQUEST: Final = re.compile(
    PREFIX
    + rb"""([^ "\\]++)[ ]([^ "\\]*+(?:\\.[^ "\\]*+)*+)[ ]HTTP/[0-9](?:\.[0-9])?"[ ]([0-9]{3})\b"""
)
ESCAPE: Final = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
CONTROLS: Final = {b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
"""Apache's short escapes; nginx has `\\xXX` for everything."""

STEM: Final = "cs-uri-stem"
COLUMNS: Final = (
    "cs-method",
    "x-host-header",
    "cs(Host)",
    STEM,
    "cs-uri-query",
    "sc-status",
    "c-country",
)
"""
What is picked from a row; of these only the stem has to be there. `x-host-header` is what the
client asked for, `cs(Host)` CloudFront's own name for the site. `c-country` is in newer logs.
"""

NO_PATH: Final = "the request target is neither a path nor an absolute URL"
NOT_HTTP: Final = "the request line is not HTTP"
TOO_LONG: Final = f"the line is over {MAX_LINE} bytes"
DAMAGED: Final = "the gzip data is damaged or cut short; nothing from here on was read"
NO_FORMAT: Final = (
    "is in none of the formats that can be replayed: JSON lines as this node writes them, CSV with "
    "a header row that names cs-uri-stem (Amplify; CloudFront's own tabs too), or common and "
    "combined (nginx, Apache); convert the log into one of them"
)

canonical: Final = lru_cache(maxsize=4096)(parse_authority)
"""A log names few hosts: 0.1 µs instead of 2."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One recorded request, as far as rules can depend on it."""

    method: bytes
    host: str | None
    """Canonical; None where the log does not say."""
    target: bytes
    """Origin-form: the path, and the query behind a `?`, as they arrived."""
    country: str | None
    """Upper case."""
    status: int | None
    """What was answered then; None where nobody was there any more to be answered."""
    accept: bytes
    """Empty: no log has it."""
    line: int
    """Where in the log, from 1."""


Parse = Callable[[bytes, int], Record | None]
"""
A line and its number → its request; None for a line that is not meant to be one.

Raises:
    ValueError, RecursionError, MalformedRequest: with the reason, when it cannot be read.
"""


class Records:
    """
    The requests of the access log at `path` (`-`: standard input), plain or gzip, in its order.

    One pass, which closes the log at its end; `with` closes it earlier.

    Raises:
        StoreError: it cannot be read, or is in no format that is known; with what to do.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.format: Format = "json"
        """Told by the first line that is not empty; an empty log counts as ours."""
        self.skipped = 0
        """Lines passed over so far because they could not be read; never headers or empty ones."""
        self.examples: list[str] = []
        """The first of these: `LOG:line: reason`. That a log ends early always is among them."""
        self._file = open_log(path)
        self._lines = self._read()
        self._parse: Parse = parse_json
        try:
            self._detect()
        except StoreError:
            self.close()
            raise

    def __iter__(self) -> Iterator[Record]:
        parse = self._parse
        with self:
            for number, line in self._lines:
                try:
                    record = parse(line, number)
                except (ValueError, RecursionError, MalformedRequest) as error:
                    if line.strip():
                        self._skip(number, str(error))
                    continue
                if record is not None:
                    yield record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file; nothing more can be read."""
        self._file.close()

    def _detect(self) -> None:
        """Reads up to the first line that says something, and puts it back."""
        for number, line in self._lines:
            first = line.removeprefix(BOM) if number == 1 else line
            if first.strip():
                self.format, self._parse = self._choose(number, first)
                self._lines = chain([(number, first)], self._lines)
                return
        if self.skipped:
            raise StoreError(f"nothing of the log can be read: {self.examples[0]}")

    def _choose(self, number: int, line: bytes) -> tuple[Format, Parse]:
        if line.startswith(b"{"):
            return "json", parse_json
        if line.startswith((b"#Version:", b"#Fields:")):
            return "csv", Table().parse_tabs
        if LOGGED.match(line):
            return "combined", parse_combined
        with contextlib.suppress(ValueError):
            names = split_csv(line)
            if STEM in names:
                return "csv", Table(names).parse_csv
        raise StoreError(f"{self.path}:{number}: the line {ascii(line[:40])[1:]} {NO_FORMAT}")

    def _read(self) -> Iterator[tuple[int, bytes]]:
        """Numbered lines, each with its end; those too long are skipped without holding them."""
        number = 0
        readline = self._file.readline
        try:
            while line := readline(MAX_LINE + 1):
                number += 1
                if len(line) <= MAX_LINE or line.endswith(b"\n"):
                    yield number, line
                    continue
                self._skip(number, TOO_LONG)
                while line and not line.endswith(b"\n"):
                    line = readline(MAX_LINE)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            del self.examples[MAX_EXAMPLES - 1 :]  # of all reasons, this one has to be seen
            self._skip(number + 1, DAMAGED)
        except OSError as error:
            raise cannot_read(self.path, error) from error

    def _skip(self, number: int, reason: str) -> None:
        self.skipped += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{self.path}:{number}: {reason}")


def open_log(path: Path) -> BinaryIO | gzip.GzipFile:
    """The bytes of a log, inflated if need be: its first bytes tell, not its name."""
    try:
        file = os.fdopen(0, "rb", closefd=False) if path == STDIN else path.open("rb")
        packed = file.peek(len(GZIP)).startswith(GZIP)
    except OSError as error:
        raise cannot_read(path, error) from error
    return Inflated(file) if packed else file


class Inflated(gzip.GzipFile):
    """A gzip file that closes what it reads from."""

    def __init__(self, packed: BinaryIO) -> None:
        super().__init__(fileobj=packed, mode="rb")
        self.packed = packed

    def close(self) -> None:
        """Closes both."""
        super().close()
        self.packed.close()


def cannot_read(path: Path, error: OSError) -> StoreError:
    """The refusal of a log that the system does not hand out."""
    remedy = "name an access log that this user may read, or - for standard input"
    return StoreError(f"{path} cannot be read: {error.strerror or error}; {remedy}")


class Line(msgspec.Struct, gc=False):
    """What a rule can depend on in a line of our log; it has more keys."""

    method: str
    path: str
    host: str | None = None
    query: str | None = None
    status: int | None = None
    country: str | None = None


UNREAD: Final = "-"
"""The path of a line about bytes that were no request."""

decode_line: Final = decoder_of(Line).decode


def parse_json(line: bytes, number: int) -> Record | None:
    """
    The request of a line that this node wrote; None where nobody could read it.

    Its texts hold bytes. Cost: 2 µs.
    """
    entry = decode_line(line)
    path, query = entry.path, entry.query
    if path == UNREAD:
        return None
    target = raw(path if query is None else f"{path}?{query}")
    host, target = locate(raw(entry.host or ""), target)
    method = known_method(raw(entry.method))
    country = known_country(entry.country or "")
    return Record(method, host, target, country, known_status(entry.status or 0), b"", number)


def parse_combined(line: bytes, number: int) -> Record:
    """The request of a line in common or combined format, behind a virtual host or not."""
    found = REQUEST.match(line)
    if found is None:
        raise ValueError(NOT_HTTP if LOGGED.match(line) else "the line is not in combined format")
    vhost, method, target, status = found.groups()
    if b"\\" in target:
        target = ESCAPE.sub(unescape, target)
    host, target = locate(vhost or b"", target)
    return Record(known_method(method), host, target, None, known_status(int(status)), b"", number)


def unescape(found: re.Match[bytes]) -> bytes:
    """The byte that a server's log escaped."""
    digits, letter = found.groups()
    return CONTROLS.get(letter, letter) if digits is None else bytes.fromhex(digits.decode())


class Table:
    """Rows below the names of their columns, which are CloudFront's in any order and choice."""

    def __init__(self, names: list[str] | None = None) -> None:
        self.name_columns(names or [])

    def name_columns(self, names: list[str]) -> None:
        """Takes a header row."""
        self.names = names
        places = (names.index(column) if column in names else -1 for column in COLUMNS)
        self.pick: Callable[[list[str]], tuple[str, ...]] = itemgetter(*places)

    def parse_csv(self, line: bytes, number: int) -> Record | None:
        """The request of a row; None for the header row, which logs put together repeat."""
        row = split_csv(line)
        return None if row == self.names else self.parse_row(row, number)

    def parse_tabs(self, line: bytes, number: int) -> Record | None:
        """The request of a line of CloudFront's own log; None for its directives."""
        text = line.decode("latin-1").rstrip("\r\n")
        if not text.startswith("#"):
            return self.parse_row(text.split("\t"), number)
        if text.startswith("#Fields:"):
            self.name_columns(text.split()[1:])
        return None

    def parse_row(self, row: list[str], number: int) -> Record:
        """The request of a row. One field too many or too few, and no column is where it was."""
        if len(row) != len(self.names):
            raise ValueError(f"{len(row)} fields where the header names {len(self.names)}")
        row.append("-")  # what `pick` finds for a column that is not there
        method, asked, internal, stem, query, status, country = self.pick(row)
        uri = (stem if query == "-" else f"{stem}?{query}").replace("%25", "%")
        named = internal if asked == "-" else asked
        host, target = locate(named.encode("latin-1"), uri.encode("latin-1"))
        token = b"GET" if method == "-" else known_method(method.encode("latin-1"))
        answered = known_status(int(status) if DIGITS.fullmatch(status) else 0)
        return Record(token, host, target, known_country(country), answered, b"", number)


def split_csv(line: bytes) -> list[str]:
    """The fields of a row, quoted (RFC 4180) or with backslashes (Amplify), as Latin-1."""
    text = line.decode("latin-1").rstrip("\r\n")
    try:
        return next(csv.reader((text,), escapechar="\\", strict=True), [])
    except csv.Error as error:
        raise ValueError("the row is not CSV") from error


def locate(host: bytes, target: bytes) -> tuple[str | None, bytes]:
    """The canonical host and the origin-form; an absolute URL's authority is the host."""
    if not target.startswith(b"/"):
        absolute = ABSOLUTE_FORM.fullmatch(target)
        if absolute is None:
            raise ValueError(NO_PATH)
        host, rest = absolute.groups()
        target = rest if rest.startswith(b"/") else b"/" + rest
    return (canonical(host) if host and host != b"-" else None), target


def known_method(method: bytes) -> bytes:
    """The method, when it can be one."""
    if method not in KNOWN and not TOKEN.fullmatch(method):
        raise ValueError("the method is not a token")
    return method


def known_country(code: str) -> str | None:
    """Upper case, when it can be a code."""
    return code.upper() if len(code) == 2 else None


def known_status(status: int) -> int | None:
    """The status, when it can be one: CloudFront writes 000 for a client that had gone."""
    return status if 100 <= status <= 999 else None
