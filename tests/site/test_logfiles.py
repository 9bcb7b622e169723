"""Names of access log files."""

from __future__ import annotations

from pathlib import Path

from edge.site.logfiles import Aside, aside_of, lock_name, name_aside

LOG = Path("/var/log/access.jsonl")
SECOND = 1_795_678_199.0
"""2026-11-26T07:29:59Z"""


def test_a_file_is_named_by_its_end():
    """To the second, in UTC; further files of that second have a number."""
    first = name_aside(LOG, SECOND + 0.9, [])
    second = name_aside(LOG, SECOND, aside_of(LOG, [first]))
    third = name_aside(LOG, SECOND, aside_of(LOG, [first + ".gz", second]))

    assert first == "access-20261126T072959Z.jsonl"
    assert second == "access-20261126T072959Z-2.jsonl"
    assert third == "access-20261126T072959Z-3.jsonl"
    assert name_aside(LOG, SECOND + 1, aside_of(LOG, [first])) == "access-20261126T073000Z.jsonl"


def test_files_that_were_set_aside_sort_by_their_age():
    """By time, then number, compressed or not."""
    names = [
        "access-20261126T072959Z-10.jsonl",
        "access-20261126T072959Z-2.jsonl.gz",
        "access-20261126T072959Z.jsonl",
        "access-20251126T072959Z.jsonl",
    ]

    assert aside_of(LOG, names) == [
        Aside(SECOND - 365 * 86_400, 1, names[3]),
        Aside(SECOND, 1, names[2]),
        Aside(SECOND, 2, names[1]),
        Aside(SECOND, 10, names[0]),
    ]


def test_other_names_are_somebody_elses():
    """What only looks alike is never counted, nor deleted."""
    names = [
        "access.jsonl",
        "access.jsonl.1",
        "access.jsonl.lock",
        "access-20261126T072959Z.jsonl.bak",
        "access-20261126T072959Z.csv",
        "access-20261126T072959Z-x.jsonl",
        "access-20261399T072959Z.jsonl",
        "access-notes.jsonl",
        "my-access-20261126T072959Z.jsonl",
    ]

    assert aside_of(LOG, names) == []


def test_a_log_without_suffix():
    """Its files have none either."""
    log = Path("access_log")

    assert name_aside(log, SECOND, []) == "access_log-20261126T072959Z"
    assert [each.name for each in aside_of(log, ["access_log-20261126T072959Z.gz"])] != []


def test_the_lock_lies_beside_the_log():
    """Under its name."""
    assert lock_name(LOG) == "access.jsonl.lock"
