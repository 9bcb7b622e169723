"""What the fields of a request say, looked up once for many requests."""

from __future__ import annotations

import pytest

from edge.http.fields import FieldList
from edge.http.http1 import Http1, Limits
from edge.http.manner import LONGEST, OBJECTS, Manner, Manners, Spellings
from edge.http.message import Request

FIELDS = b"Host: a.test\r\nUser-Agent: curl/8\r\nAccept-Encoding: br\r\n\r\n"
OTHER = b"Host: b.test\r\nIf-None-Match: *\r\n\r\n"


def head(path: bytes, fields: bytes = FIELDS) -> bytes:
    """A request."""
    return b"GET %b HTTP/1.1\r\n%b" % (path, fields)


class Client:
    """One connection: what it sends, as requests."""

    def __init__(self) -> None:
        self.wire = Http1(Limits())

    def send(self, data: bytes) -> list[Request]:
        """Bytes that arrive at once."""
        event, found = self.wire.receive(data), []
        while event is not None:
            assert type(event) is Request
            found.append(event)
            self.wire.start_next()
            event = self.wire.next()
        return found


@pytest.mark.parametrize(
    "name", ["if-none-match", "if-modified-since", "range", "if-match", "if-unmodified-since"]
)
def test_each_condition_is_one(name):
    """Whatever it says."""
    fields = FieldList([(name.encode(), b"x")])

    assert Manner(b"a.test", fields).read().is_conditional


def test_what_is_read():
    """Everything that the log and the choice of a coding need."""
    pairs = [(b"user-agent", b"curl"), (b"referer", b"r"), (b"x-forwarded-for", b"f")]
    manner = Manner(b"a.test", FieldList([*pairs, (b"accept-encoding", b"br")])).read()

    assert (manner.agent, manner.referer, manner.forwarded) == (b"curl", b"r", b"f")
    assert (manner.accept_encoding, manner.is_conditional) == (b"br", False)


def test_the_same_bytes_have_one_manner():
    """Of one connection, whatever is asked for."""
    client = Client()
    first, second = client.send(head(b"/a")) + client.send(head(b"/b"))

    assert first.manner is second.manner is not None
    assert (first.authority, second.authority) == (b"a.test", b"a.test")
    assert (first.target, second.target) == (b"/a", b"/b")


def test_other_bytes_have_another():
    """And the first ones have theirs again."""
    client = Client()
    manners = [client.send(head(b"/", each))[0].manner for each in (FIELDS, OTHER, FIELDS)]

    assert manners[0] is manners[2] is not manners[1]
    assert [each.authority for each in manners] == [b"a.test", b"b.test", b"a.test"]
    assert [each.read().is_conditional for each in manners] == [False, True, False]


def test_fields_that_came_in_pieces_are_no_others():
    """What ends like the last request and began otherwise is not taken for it."""
    client = Client()
    client.send(head(b"/"))
    assert client.send(b"GET / HTTP/1.1\r\nIf-None-Match: *\r\nX: ") == []
    (found,) = client.send(b"y\r\n" + FIELDS)

    assert found.fields.get(b"if-none-match") == b"*"
    assert found.manner is None or found.manner.read().is_conditional


def test_what_follows_a_part_of_a_head_is_looked_at_anew():
    """The part came behind another request, in the same bytes."""
    client = Client()
    client.send(head(b"/"))
    (first,) = client.send(head(b"/1") + b"GET /2 HTTP/1.1\r\nIf-None-Match: *\r\nX: ")
    (second,) = client.send(b"y\r\n" + FIELDS)

    assert first.target == b"/1"
    assert second.fields.get(b"if-none-match") == b"*"
    assert second.manner is None or second.manner.read().is_conditional


def test_pipelined_requests_have_their_own():
    """Each is answered by its own fields."""
    client = Client()
    client.send(head(b"/"))
    first, second, third = client.send(head(b"/1") + head(b"/2", OTHER) + head(b"/3"))

    assert [each.authority for each in (first, second, third)] == [b"a.test", b"b.test", b"a.test"]
    for each in (first, second, third):
        known = each.manner or Manner(each.authority, each.fields)
        assert known.read().is_conditional == (each is second)


def test_an_absolute_target_wins_over_what_was_known():
    """Its authority is the request's."""
    client = Client()
    client.send(head(b"/"))
    (found,) = client.send(head(b"http://a.test/x"))

    assert (found.authority, found.target) == (b"a.test", b"/x")


def spelled(*names: bytes) -> list[tuple[bytes, Manner]]:
    """Field lines, and what they say."""
    return [(b"X: %b\r\n\r\n" % name, Manner(b"a.test", FieldList([]))) for name in names]


def test_lines_are_bounded_by_what_they_take():
    """What is too much begins anew, with what came last."""
    known = Spellings(3 * (OBJECTS + 20))
    for lines, manner in spelled(b"a", b"b", b"c", b"d"):
        known.keep(lines, lines, manner)
    first = list(known)
    known.clear()
    for lines, manner in spelled(b"e", b"f", b"g"):
        known.keep(lines, lines, manner)

    assert first == [b"X: d\r\n\r\n"]
    assert len(known) == 3


def test_what_is_kept_again_takes_no_more():
    """Its last meaning counts."""
    known = Spellings[int](2 * (OBJECTS + 20))
    for number in range(9):
        known.keep(b"/", b"0123456789", number)
    known.keep(b"/other", b"0123456789", 0)

    assert known == {b"/": 8, b"/other": 0}


@pytest.mark.parametrize("hosts", [0, 300_000])
def test_every_host_has_room_for_lines_of_its_own(hosts):
    """However many there are; and what clients make up takes no more than that."""
    manners = Manners()
    manners.expect(hosts)
    manner = Manner(b"a.test", FieldList([])).read()
    most = 0
    for number in range(hosts or 200_000):
        manners.remember(b"Host: h%d.test\r\n\r\n" % number, manner)
        most = max(most, len(manners.asking))
    assert (most == hosts) if hosts else (50_000 < most < 65_536)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ([], "asking"),
        ([(b"if-none-match", b'"a"')], "validating"),
        ([(b"if-none-match", b'"a"'), (b"if-modified-since", b"x")], "validating"),
        ([(b"if-none-match", b'"a"'), (b"if-none-match", b'"b"')], ""),
        ([(b"if-none-match", b'"a"'), (b"range", b"bytes=0-1")], ""),
        ([(b"if-modified-since", b"x")], ""),
        ([(b"connection", b"close")], ""),
        ([(b"expect", b"100-continue")], ""),
        ([(b"x", b"y" * LONGEST)], ""),
    ],
)
def test_what_is_remembered(fields, where):
    """What asks for a file, or whether one has changed, and nothing of the connection."""
    lines = b"".join(b"%b: %b\r\n" % line for line in fields) + b"\r\n"
    manners, manner = Manners(), Manner(b"a.test", FieldList(fields))
    manners.remember(lines, manner)
    found = [name for name in ("asking", "validating") if getattr(manners, name)]

    assert found == ([where] if where else [])
    assert manners.find(lines) is (manner if where else None)
    manners.clear()
    assert manners.find(lines) is None


def test_what_is_wished_tells_questions_apart():
    """By the coding, and by the tag that is asked about."""
    accepted = (b"accept-encoding", b"br")
    wishes = [
        Manner(b"a.test", FieldList(fields)).read().wish
        for fields in ([], [accepted], [accepted, (b"if-none-match", b'"a"')])
    ]

    assert wishes == [None, b"br", (b"br", b'"a"')]
