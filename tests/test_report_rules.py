"""What the commands about rules print: mistakes, trails, replays, imports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge import report_rules
from edge.control.configuration import Configuration
from edge.control.imported import Note
from edge.control.replay import Change, Replayed
from edge.errors import ConfigError

MISTAKE = ConfigError("rules/a/app.yml", 2, 1, "unknown key 'x'", "remove it")
WARNING = ConfigError("rules/a/redirects.json", 3, 4, "[0].source: never", "move it")
TRAIL = {
    "url": "x.example/old",
    "method": "GET",
    "steps": ["x.example: app shop", "  rule [0]: no", "→ rule [1]: it matches"],
    "status": 301,
    "location": "/new",
    "file": None,
    "origins": [],
    "headers": ["**", "*.html"],
    "fields": [["Cache-Control", "no-store"], ["X-Own", "mine"]],
    "verdict": "made anew",
    "stored": [],
}


def configuration(mistakes=(), warnings=()):
    """What was read, with these mistakes and warnings."""
    found = Configuration()
    found.mistakes = list(mistakes)
    found.warned["a"] = list(warnings)
    return found


def checked(found, apps=1, *, strict=False, as_document=False):
    """The exit code of a check."""
    return report_rules.checked(found, apps, strict=strict, as_document=as_document)


def change(number, request="/x"):
    """Something that so many requests would see."""
    return Change(request=f"GET x.example{request}", now="200", then="404", count=number)


# Checking


def test_a_check_without_mistakes(capsys):
    """One line on stdout, in the singular where it is one."""
    assert checked(configuration()) == 0
    assert checked(configuration(), 2, strict=True) == 0
    assert checked(configuration(warnings=[WARNING])) == 0
    assert checked(configuration(warnings=[WARNING] * 2), 0) == 0

    assert capsys.readouterr().out.splitlines() == [
        "1 app, no mistakes",
        "2 apps, no mistakes",
        "1 app, 1 warning",
        "0 apps, 2 warnings",
    ]


@pytest.mark.parametrize(
    ("found", "strict", "code"),
    [
        (configuration([MISTAKE]), False, 1),
        (configuration([MISTAKE], [WARNING]), False, 1),
        (configuration([], [WARNING]), False, 0),
        (configuration([], [WARNING]), True, 1),
        (configuration([], []), True, 0),
    ],
)
@pytest.mark.parametrize("as_document", [False, True])
def test_the_exit_code_of_a_check(found, strict, code, as_document):
    """1 with a mistake, and with a warning when asked to be strict; for machines too."""
    assert checked(found, strict=strict, as_document=as_document) == code


def test_a_check_with_mistakes_and_warnings(capsys):
    """All on stderr, mistakes first; a warning is called one, where a compiler would."""
    checked(configuration([MISTAKE], [WARNING]))

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "rules/a/app.yml:2:1: unknown key 'x' (remove it)\n"
        "rules/a/redirects.json:3:4: warning: [0].source: never (move it)\n"
    )


def test_a_check_as_a_document(capsys):
    """Everything on stdout, also where something is wrong."""
    checked(configuration([MISTAKE], [WARNING]), 3, as_document=True)

    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert captured.err == ""
    assert (document["apps"], len(document["errors"]), len(document["warnings"])) == (3, 1, 1)
    assert document["errors"][0] == {
        "file": "rules/a/app.yml",
        "line": 2,
        "column": 1,
        "message": "unknown key 'x'",
        "hint": "remove it",
    }


def test_a_mistake_cannot_write_on_the_terminal(capsys):
    """What is quoted from a file loses what a terminal would obey."""
    checked(configuration([ConfigError("f", 1, 1, "bad \x1b[31m key")]))

    assert capsys.readouterr().err == "f:1:1: bad �[31m key\n"


# Explaining


def test_a_trail_for_people(capsys):
    """In the order of a request: the request, the steps, the answer, its fields, the cache."""
    assert report_rules.explained(TRAIL, as_document=False) == 0

    assert capsys.readouterr().out == (
        "GET x.example/old\n"
        "  x.example: app shop\n"
        "    rule [0]: no\n"
        "  → rule [1]: it matches\n"
        "  answer: 301 /new\n"
        "  header patterns: **, *.html\n"
        "  Cache-Control: no-store\n"
        "  X-Own: mine\n"
        "  cache: made anew\n"
    )


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ({"status": 200, "location": None, "file": "/a.html"}, "answer: 200 /a.html"),
        ({"status": 404, "location": None}, "answer: 404"),
        ({"status": 502, "location": None, "origins": ["http://a", "http://b"]}, "http://a, http"),
    ],
)
def test_where_an_answer_comes_from(capsys, answer, line):
    """A file, nothing, or the origins that would be asked."""
    report_rules.explained(TRAIL | answer, as_document=False)

    assert line in capsys.readouterr().out


def test_a_short_trail_has_no_empty_lines(capsys):
    """What there is nothing of is left out."""
    nothing = {"steps": [], "headers": [], "fields": [], "verdict": "", "location": None}
    report_rules.explained(TRAIL | nothing | {"status": 404}, as_document=False)

    assert capsys.readouterr().out == "GET x.example/old\n  answer: 404\n"


def test_a_trail_for_machines(capsys):
    """As it came."""
    assert report_rules.explained(TRAIL, as_document=True) == 0

    assert json.loads(capsys.readouterr().out) == TRAIL


def test_what_a_client_sent_does_not_reach_the_terminal(capsys):
    """In the request, a step, a file, a header's pattern or value."""
    evil = "a\x1b[2Jb"
    parts = {"url": evil, "steps": [evil], "location": evil, "headers": [evil], "verdict": evil}
    more = {"fields": [[evil, evil]], "stored": [evil]}
    report_rules.explained(TRAIL | parts | more, as_document=False)

    out = capsys.readouterr().out
    assert ("\x1b" in out, out.count("a�[2Jb")) == (False, 8)


# Replaying


def test_a_replay_for_people(capsys):
    """A line that sums up, then the changes as a table."""
    found = Replayed(requests=9, changed=3, changes=[change(2), change(1, "/long")])
    assert report_rules.replayed(found, 0, [], as_document=False) == 0

    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out == (
        "9 requests, 3 would be answered differently\n"
        "requests  request             now  then\n"
        "2         GET x.example/x     200  404\n"
        "1         GET x.example/long  200  404\n"
    )


def test_a_replay_without_changes_has_no_table(capsys):
    """One line is all there is to say."""
    report_rules.replayed(Replayed(requests=1), 0, [], as_document=False)

    assert capsys.readouterr() == ("1 request, 0 would be answered differently\n", "")


@pytest.mark.parametrize(("changes", "unlisted", "more"), [(50, 0, 0), (51, 0, 1), (60, 7, 10)])
def test_a_long_replay_says_how_much_more_there_is(capsys, changes, unlisted, more):
    """Nobody reads a thousand rows."""
    rows = [change(1, f"/{number}") for number in range(changes)]
    found = Replayed(requests=99, changed=99, changes=rows, unlisted=unlisted)
    report_rules.replayed(found, 0, [], as_document=False)

    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("1 ") for line in lines) == 50
    assert lines[52:] == ([f"… and {more} more addresses; --json lists them"] if more else [])


def test_a_replay_says_what_it_does_not_know(capsys):
    """Lines that could not be read with examples, and hosts that nobody has, on stderr."""
    found = Replayed(requests=4, unclaimed=2, hosts=["a.example", "b.example"])
    report_rules.replayed(found, 1, ["log:3: no \x1b"], as_document=False)
    report_rules.replayed(Replayed(unclaimed=1, hosts=["a"]), 2, [], as_document=False)

    assert capsys.readouterr().err.splitlines() == [
        "edge: log:3: no �",
        "edge: 1 line could not be read",
        "edge: 2 requests named hosts that no app has, such as a.example, b.example",
        "edge: 2 lines could not be read",
        "edge: 1 request named hosts that no app has, such as a",
    ]


def test_a_replay_for_machines(capsys):
    """All changes, however many, and what was skipped; nothing on stderr."""
    found = Replayed(requests=99, changed=60, changes=[change(1)] * 60, unlisted=0)
    report_rules.replayed(found, 2, ["log:3: no"], as_document=True)

    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert captured.err == ""
    assert len(document.pop("changes")) == 60
    assert document == {
        "requests": 99,
        "changed": 60,
        "unlisted": 0,
        "unclaimed": 0,
        "hosts": [],
        "skipped": 2,
        "examples": ["log:3: no"],
    }


# Importing


def test_an_import_for_people(capsys):
    """Files and the next step on stdout; what is not as it was on stderr."""
    notes = [Note("_redirects", 3, "it goes\x1b", "do this"), Note("a.toml", 1, "gone", "")]
    assert report_rules.imported("shop", [Path("r/app.yml")], notes, as_document=False) == 0
    report_rules.imported("shop", [], notes[:1], as_document=False)
    report_rules.imported("shop", [], [], as_document=False)

    captured = capsys.readouterr()
    assert captured.out == "wrote r/app.yml\n" + "next: edge check shop\n" * 3
    assert captured.err.splitlines() == [
        "_redirects:3: it goes� (do this)",
        "a.toml:1: gone",
        "edge: 2 notes on what is not carried over as it was",
        "_redirects:3: it goes� (do this)",
        "edge: 1 note on what is not carried over as it was",
    ]


def test_an_import_for_machines(capsys):
    """One document on stdout."""
    report_rules.imported("shop", [Path("r/app.yml")], [Note("f", 3, "x", "y")], as_document=True)

    assert json.loads(capsys.readouterr().out) == {
        "app": "shop",
        "files": ["r/app.yml"],
        "notes": [{"file": "f", "line": 3, "what": "x", "why": "y"}],
    }
