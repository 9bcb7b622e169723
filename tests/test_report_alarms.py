"""What `edge status` says of alarms."""

from __future__ import annotations

from edge import report_alarms

SENT = {"to": "https://hooks.example/…", "result": "sent", "at": 0.0, "error": ""}
FAILED = {"to": "mailto:a@b.example", "result": "failed", "at": 60.0, "error": "550 no"}
NUMBERS = {"sent": 1, "failed": 0, "dropped": 0, "waiting": 0, "deployments": []}


def alarm(**more):
    """One that has not been looked at yet."""
    options = {"name": "Errors", "state": "ok", "value": None, "since": None, "notified": []}
    return options | more


def test_a_letter_in_words():
    """With its error."""
    words = "failed 1970-01-01 00:01:00 to mailto:a@b.example (550 no)"

    assert report_alarms.outcome(FAILED) == words


def test_alarms_are_a_table(capsys):
    """With what became of the last letters."""
    fires = alarm(state="firing", value=12.3456789, since=60, notified=[SENT, FAILED])
    report_alarms.alarms({"alarms": [fires, alarm(name="Quiet")], "notifications": NUMBERS})

    letters = f"{report_alarms.outcome(SENT)}; {report_alarms.outcome(FAILED)}"
    assert capsys.readouterr().out.splitlines() == [
        "",
        "alarm   state   value    since (UTC)          notified",
        f"Errors  firing  12.3457  1970-01-01 00:01:00  {letters}",
        "Quiet   ok",
    ]


def test_what_failed_is_counted(capsys):
    """And the last letters about deployments are there."""
    told = NUMBERS | {"failed": 2, "waiting": 1, "deployments": [FAILED]}
    report_alarms.alarms({"alarms": [], "notifications": told})

    assert capsys.readouterr().out.splitlines() == [
        "",
        "deployments: failed 1970-01-01 00:01:00 to mailto:a@b.example (550 no)",
        "notifications: 1 sent, 2 failed, 0 dropped, 1 waiting",
    ]


def test_without_alarms_nothing_is_said(capsys):
    """With no node running there is nothing to say either."""
    report_alarms.alarms({"alarms": [], "notifications": NUMBERS})
    report_alarms.alarms({})

    assert capsys.readouterr().out == ""
