"""When a certificate is renewed, and when it is tried again."""

from __future__ import annotations

import msgspec
import pytest

from edge.site import renewal
from edge.site.renewal import DAY, HOUR, MINUTE, Attempt, Finding, Record, Validity, Window

LONG = Validity("long", 0.0, 90 * DAY)
WEEK = Validity("week", 0.0, 160 * HOUR)


def window(certificate: Validity = LONG, **fields: object) -> Window:
    """An answer of an authority."""
    known = {"start": 50 * DAY, "end": 52 * DAY, "instant": 51 * DAY} | fields
    return Window(certificate=certificate.id, **known)


def attempt(at: float = 0.0, kind: renewal.Kind = "name", authority: str = "A") -> Attempt:
    """A failure."""
    return Attempt(at=at, authority=authority, outcome="failed", kind=kind)


# When a certificate is renewed


@pytest.mark.parametrize(
    ("certificate", "jitter", "at", "why"),
    [
        (LONG, 0.0, 60 * DAY, "two thirds of its lifetime"),
        (LONG, 1.0, 55.5 * DAY, "two thirds of its lifetime"),
        (WEEK, 0.0, 80 * HOUR, "half of its lifetime"),
        (WEEK, 1.0, 72 * HOUR, "half of its lifetime"),
        (Validity("ten", 0, 10 * DAY), 0.0, 20 / 3 * DAY, "two thirds of its lifetime"),
    ],
)
def test_without_advice_the_lifetime_decides(
    certificate: Validity, jitter: float, at: float, why: str
) -> None:
    """Two thirds, half of short ones, up to a twentieth earlier."""
    due = renewal.renewal_of(certificate, None, jitter)

    assert due.at == pytest.approx(at)
    assert due.why == why


def test_the_instant_of_the_window_decides() -> None:
    """Earlier or later than two thirds."""
    for instant in (10 * DAY, 80 * DAY):
        due = renewal.renewal_of(LONG, window(instant=instant), 0.5)

        assert due == renewal.Due(instant, "the authority's renewal window")


@pytest.mark.parametrize("stale", [window(WEEK), window(instant=None)], ids=["another's", "none"])
def test_a_window_of_another_certificate_says_nothing(stale: Window) -> None:
    """Nor one that was never heard: a stale window would renew in a circle."""
    assert renewal.renewal_of(LONG, stale, 0.0).at == 60 * DAY
    assert not renewal.is_urgent(LONG, stale, 1e12)


def test_an_emergency_does_not_wait_for_advice() -> None:
    """A twentieth of the lifetime is left."""
    due = renewal.renewal_of(LONG, window(instant=89 * DAY), 0.0)

    assert due == renewal.Due(85.5 * DAY, "a twentieth of its lifetime is left")


def test_a_window_that_is_over_is_urgent() -> None:
    """From its end on."""
    assert not renewal.is_urgent(LONG, None, 53 * DAY)
    assert not renewal.is_urgent(LONG, window(), 52 * DAY - 1)
    assert renewal.is_urgent(LONG, window(), 52 * DAY)


@pytest.mark.parametrize(
    ("record", "urgent", "may"),
    [
        (Record(name="a"), False, True),
        (Record(name="a", last_issued=0.0), False, False),
        (Record(name="a", last_issued=0.0), True, True),
        (Record(name="a", last_issued=0.0, hurried=True), True, False),
        (Record(name="a", last_issued=1 - DAY, hurried=True), False, False),
        (Record(name="a", last_issued=-DAY, hurried=True), False, True),
    ],
)
def test_a_day_lies_between_two_of_a_name(record: Record, *, urgent: bool, may: bool) -> None:
    """But for one that the authority's window made urgent, once."""
    assert renewal.may_issue(record, LONG, 0.0, urgent=urgent) is may


def test_what_lives_for_days_is_issued_more_often() -> None:
    """A quarter of its life lies between two."""
    record = Record(name="a", last_issued=0.0)
    hour = Validity("hour", 0.0, HOUR)

    assert not renewal.may_issue(record, hour, HOUR / 4 - 1, urgent=False)
    assert renewal.may_issue(record, hour, HOUR / 4, urgent=False)


def test_a_jitter_is_the_same_each_time() -> None:
    """And spread over certificates."""
    values = [renewal.fraction(str(number)) for number in range(100)]

    assert values == [renewal.fraction(str(number)) for number in range(100)]
    assert 0 <= min(values) < 0.1
    assert 0.9 < max(values) < 1


# What an authority says about it


def test_an_instant_is_drawn_once() -> None:
    """The same window keeps it, another one draws anew."""
    answer = window(instant=None, explanation="https://ca.test/why")

    first = renewal.heard(None, answer, HOUR, 0.0, 0.25)
    assert first is not None
    second = renewal.heard(first, answer, HOUR, 100.0, 0.75)
    moved = renewal.heard(second, window(start=40 * DAY, instant=None), HOUR, 200.0, 0.75)

    assert first.instant == 50.5 * DAY
    assert second == msgspec.structs.replace(first, next_poll=HOUR + 100)
    assert moved is not None
    assert moved.instant == 49 * DAY


def test_a_question_that_had_no_answer_gave_no_instant() -> None:
    """The first answer after it draws one."""
    silent = renewal.unheard(None, LONG.id, None, 0.0, 0.5)
    bare = msgspec.structs.replace(window(instant=None), failures=silent.failures)

    known = renewal.heard(bare, window(instant=None), None, 0.0, 0.5)

    assert known is not None
    assert (known.instant, known.failures) == (51 * DAY, 0)


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        (None, 6 * HOUR),
        (1.0, MINUTE),
        (2 * HOUR, 2 * HOUR),
        (365 * DAY, DAY),
        (-5.0, MINUTE),
    ],
)
def test_the_authority_says_when_to_ask_again(retry_after: float | None, wait: float) -> None:
    """From a minute to a day."""
    known = renewal.heard(None, window(), retry_after, 1000.0, 0.0)

    assert known is not None
    assert known.next_poll == 1000.0 + wait


def test_a_window_that_ends_before_it_begins_is_none() -> None:
    """It is as if nothing had been said."""
    assert renewal.heard(None, window(end=50 * DAY), None, 0.0, 0.0) is None


def test_errors_are_asked_about_less_and_less() -> None:
    """From a minute to six hours, spread; what was known stays."""
    known: Window | None = window()
    waits = []
    for _ in range(30):
        known = renewal.unheard(known, LONG.id, None, 0.0, 0.5)
        waits.append(known.next_poll)

    assert waits[:4] == [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE]
    assert waits[-1] == 6 * HOUR
    assert known is not None
    assert known.instant == 51 * DAY
    assert renewal.unheard(None, LONG.id, None, 0.0, 0.0).next_poll == 48
    assert renewal.unheard(None, LONG.id, HOUR, 0.0, 0.0).next_poll == HOUR
    assert renewal.unheard(None, LONG.id, 9 * DAY, 0.0, 0.0).next_poll == DAY


def test_an_error_forgets_the_window_of_another_certificate() -> None:
    """And its count of errors."""
    known = renewal.unheard(window(WEEK, failures=7), LONG.id, None, 0.0, 0.5)

    assert known == Window(certificate=LONG.id, next_poll=MINUTE, failures=1)


@pytest.mark.parametrize(
    ("known", "now", "may"),
    [
        (None, 0.0, True),
        (window(WEEK, next_poll=1e12), 0.0, True),
        (window(next_poll=10.0), 9.0, False),
        (window(next_poll=10.0), 10.0, True),
        (None, 90 * DAY, False),
    ],
)
def test_when_the_authority_is_asked(known: Window | None, now: float, *, may: bool) -> None:
    """When it said, at once about a new one, never about one that has expired."""
    assert renewal.may_poll(known, LONG, now) is may


# What becomes of tries


def waits(left: float, drawn: float, count: int = 8) -> list[float]:
    """Seconds after each failure in a row, with so much left of a certificate."""
    record, found = Record(name="a"), []
    for _ in range(count):
        found.append(renewal.wait_after(record, left, drawn))
        record = renewal.failed(record, attempt(), found[-1], 0.0)
    return found


def test_failures_are_repeated_less_and_less() -> None:
    """1 min, 10 min, 1 h, 3 h, 6 h, 12 h, then daily; a fifth more or less."""
    assert [wait / HOUR for wait in waits(0.0, 0.5)] == [1 / 60, 1 / 6, 1, 3, 6, 12, 24, 24]
    assert waits(0.0, 0.0, 1) == [48]
    assert waits(0.0, 1.0, 1) == [pytest.approx(72)]
    assert renewal.failed(Record(name="a"), attempt(), 500.0, 1.0).next_attempt == 501


def test_the_nearer_the_end_the_sooner_the_next_try() -> None:
    """A tenth of what is left at most, but no more than four an hour."""
    hours = [wait / HOUR for wait in waits(80 * HOUR, 0.5)]
    assert hours == [1 / 60, 1 / 6, 1, 3, 6, 8, 8, 8]
    assert waits(HOUR, 0.5)[-1] == 15 * MINUTE
    assert waits(30 * DAY, 0.5)[-1] == DAY


def test_after_a_month_of_failures_a_hand_is_needed() -> None:
    """Nothing is tried until it says so."""
    record = renewal.failed(Record(name="a"), attempt(), MINUTE, 0.0)
    record = renewal.failed(record, attempt(), MINUTE, 30 * DAY - 1)
    assert not record.stopped

    record = renewal.failed(record, attempt(), MINUTE, 30 * DAY)

    assert record.stopped == "it has failed for 30 days"
    again = renewal.forgiven(record)
    assert (again.stopped, again.next_attempt) == ("", 0)
    assert again.attempts == record.attempts
    assert not renewal.must_rehearse(again)


def test_a_limit_is_no_failure_of_the_name() -> None:
    """It waits as long as it was told to, and is not rehearsed for it."""
    record = renewal.postponed(Record(name="a"), attempt(kind="limit"), 500.0)

    assert (record.failures, record.next_attempt) == (0, 500.0)
    assert not renewal.must_rehearse(record)


def test_a_name_that_is_not_ready_is_looked_at_again_soon() -> None:
    """At 1, 5, 15, 60 minutes, then hourly; it is no failure, and ends with what is found."""
    found = (Finding("stop", "a", "it has no addresses", "set its records"),)
    record = Record(name="a")
    waits = []
    for _ in range(5):
        record = renewal.unready(record, found, 0.0, 0.5)
        waits.append(record.next_attempt / MINUTE)

    assert waits == [1, 5, 15, 60, 60]
    assert (record.failures, record.attempts, record.findings) == (0, (), found)
    assert renewal.ready(record, ()).unready == 0
    assert renewal.forgiven(record).unready == 0


def test_the_second_try_in_a_row_is_rehearsed() -> None:
    """Against staging; success makes the next one the real one."""
    record = renewal.failed(Record(name="a"), attempt(), MINUTE, 0.0)
    assert renewal.must_rehearse(record)

    rehearsal = Attempt(at=60.0, authority="S", outcome="rehearsed")
    record = renewal.rehearsed(record, rehearsal)

    assert record.attempts[-1] == rehearsal


def test_a_success_forgets_failures() -> None:
    """And the window of the one before; who issued it is kept."""
    record = renewal.failed(Record(name="a", window=window()), attempt(), MINUTE, 0.0)
    issued = Attempt(at=60.0, authority="A", outcome="issued")

    record = renewal.succeeded(record, issued, "https://ca.test/acct/1", 61.0)

    assert record == Record(
        name="a",
        attempts=(attempt(), issued),
        last_issued=61.0,
        issued_by="A",
        account="https://ca.test/acct/1",
    )
    assert renewal.succeeded(record, issued, "", 62.0).hurried
    assert not renewal.succeeded(record, issued, "", 61.0 + DAY).hurried


def test_a_stop_has_its_reason() -> None:
    """For people."""
    record = renewal.stopped(Record(name="a"), "the authority paused it")

    assert record.stopped == "the authority paused it"
    assert renewal.failed(record, attempt(), MINUTE, 0.0).stopped == "the authority paused it"


def test_what_is_remembered_is_bounded() -> None:
    """Twenty attempts, and of what was said the beginning."""
    record = Record(name="a")
    for number in range(25):
        said = msgspec.structs.replace(attempt(float(number)), detail="x" * 9_999)
        record = renewal.failed(record, said, MINUTE, 0.0)

    assert [each.at for each in record.attempts] == list(range(5, 25))
    assert {len(each.detail) for each in record.attempts} == {renewal.DETAIL}


@pytest.mark.parametrize(
    ("attempts", "may"),
    [
        ([], False),
        (["authority"], False),
        (["authority", "authority"], True),
        (["authority", "refused"], True),
        (["authority", "name", "authority"], False),
        (["name", "name"], False),
    ],
)
def test_another_authority_for_a_first_certificate(attempts: list[renewal.Kind], *, may: bool):
    """After two failures in a row that were this one's own."""
    record = Record(name="a", attempts=tuple(attempt(kind=kind) for kind in attempts))

    assert renewal.may_fall_back(record, "A", None, 0.0) is may
    assert not renewal.may_fall_back(record, "B", None, 0.0)


def test_another_authority_for_a_renewal() -> None:
    """When a sixth of the lifetime is left, whoever's fault it is; an expired one is no more."""
    record = Record(name="a", attempts=(attempt(),))

    assert not renewal.may_fall_back(record, "A", LONG, 75 * DAY - 1)
    assert renewal.may_fall_back(record, "A", LONG, 75 * DAY)
    assert not renewal.may_fall_back(record, "A", LONG, 90 * DAY)


def test_advice_is_remembered() -> None:
    """Beside everything else."""
    record = Record(name="a", failures=2)

    assert renewal.advised(record, window()) == Record(name="a", failures=2, window=window())


def test_a_record_is_a_document() -> None:
    """What is kept is what is read."""
    record = renewal.failed(Record(name="a", window=window()), attempt(), MINUTE, 0.0)

    assert msgspec.json.decode(msgspec.json.encode(record), type=Record) == record
