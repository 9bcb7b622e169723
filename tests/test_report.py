"""What commands print: for people, for machines, on a terminal and elsewhere."""

from __future__ import annotations

import json
import sys

import pytest

from edge import report
from edge.control.client import Refusal
from edge.control.deployments import Missing
from edge.control.reload import Refused, Reloaded
from edge.errors import ConfigError, StoreError
from edge.site.generation import Generation
from edge.site.settings import Listen, Settings

MISTAKE = ConfigError("rules/a/app.yml", 2, 1, "unknown key 'x'", "remove it")
SERVED = {
    "id": "20260131-093000-1a2b3c",
    "app": "shop",
    "branch": "main",
    "urls": ["http://x"],
    "configured": True,
}


def deployment(**changes):
    """A deployment as the API lists it."""
    return {
        "id": "20260131-093000-1a2b3c",
        "active": True,
        "created": 0.0,
        "files": 3,
        "bytes": 2048,
        "message": "why",
    } | changes


def test_a_line_or_a_document(capsys):
    """Never both."""
    assert report.line("done", {"a": 1}, as_document=False) == 0
    assert report.line("done", {"a": 1}, as_document=True) == 0

    assert capsys.readouterr().out == 'done\n{"a": 1}\n'


def test_a_failure_goes_to_stderr(capsys):
    """With the program's name; its document goes where machines read."""
    assert report.failure("no", as_document=False) == 1
    assert report.failure("no", as_document=True) == 1

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ('{"error": "no"}\n', "edge: no\nedge: no\n")


@pytest.mark.parametrize(
    "refused",
    [
        Refused([MISTAKE], ["a"], Reloaded(3, [])),
        Refusal(
            {
                "detail": "1 mistake in the configuration",
                "kept": ["a"],
                "errors": [
                    {
                        "file": "rules/a/app.yml",
                        "line": 2,
                        "column": 1,
                        "message": "unknown key 'x'",
                        "hint": "remove it",
                    }
                ],
            }
        ),
    ],
    ids=["here", "from a node"],
)
def test_located_mistakes_are_listed(capsys, refused):
    """The same whether a node refused or this process did."""
    assert report.refusal(refused, as_document=False) == 1
    text = capsys.readouterr().err
    assert report.refusal(refused, as_document=True) == 1
    printed = capsys.readouterr()
    document = json.loads(printed.out)

    assert printed.err == "edge: 1 mistake in the configuration\n"
    assert text == (
        "rules/a/app.yml:2:1: unknown key 'x' (remove it)\nedge: kept as they were: a\n"
    )
    assert (document["error"], document["kept"]) == ("1 mistake in the configuration", ["a"])
    assert document["errors"][0]["line"] == 2


@pytest.mark.parametrize(
    ("refused", "document"),
    [
        (StoreError("no"), {"error": "no"}),
        (
            Missing({"a.css": "ff"}),
            {
                "error": "1 blobs are missing (a.css); send them, then activate again",
                "missing": ["ff"],
            },
        ),
        (Refusal({"detail": "no", "status": 404}), {"error": "no", "detail": "no", "status": 404}),
        (Refusal({}), {"error": "the node refused without a reason"}),
    ],
    ids=["plain", "missing", "from a node", "without a reason"],
)
def test_other_refusals_are_one_line(capsys, refused, document):
    """And a document that a machine can act on."""
    assert report.refusal(refused, as_document=False) == 1
    assert capsys.readouterr().err == f"edge: {document['error']}\n"

    assert report.refusal(refused, as_document=True) == 1
    assert json.loads(capsys.readouterr().out) == document


def test_a_node_that_serves_says_where(capsys):
    """Addresses, the admin API, and some URLs; not those of a thousand apps."""
    settings = Settings(listen=Listen(http=("127.0.0.1:80",)), default_domain="sites.test")
    apps = {f"app{number:02}": "0" for number in range(30)}

    report.serving(settings, Generation(number=1, created=0.0, settings=settings, apps=apps))

    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "edge: serving on 127.0.0.1:80 (30 apps)",
        "edge: admin API on 127.0.0.1:9901",
        "edge: http://main.app00.sites.test",
    ]
    assert len(lines) == 12


# Progress


def run_through(show):
    """What a deploy tells."""
    show.phase("reading")
    show.count(1, 10)
    show.phase("sending", 2048)
    show.advance(1024)
    show.phase("activating")


def test_progress_is_silent_for_machines(capsys):
    """Their stderr is for errors."""
    with report.progress(as_document=True) as show:
        run_through(show)

    assert capsys.readouterr() == ("", "")


def test_progress_is_lines_elsewhere(capsys):
    """One a phase, and no control sequences."""
    with report.progress(as_document=False) as show:
        run_through(show)
        show.phase("sending")

    assert capsys.readouterr() == ("", "reading\nsending 2.0 KiB\nactivating\n")


def test_progress_lines_come_now_and_then(capsys, monkeypatch):
    """A long phase says where it is."""
    monkeypatch.setattr(report, "LINE_EVERY", -1.0)
    with report.progress(as_document=False) as show:
        run_through(show)

    assert capsys.readouterr().err.splitlines() == [
        "reading",
        "reading: 1 files, 10 B",
        "sending 2.0 KiB",
        "sending: 1.0 KiB of 2.0 KiB",
        "activating",
    ]


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch):
    """Drawn on stderr, so that stdout can be read by a program."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")

    with report.progress(as_document=False) as show:
        assert isinstance(show, report.BarProgress)
        run_through(show)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "activating" in captured.err


# Results


def test_what_was_deployed(capsys):
    """The id, how much, and where."""
    assert report.deployed(SERVED, 3, 1, as_document=False) == 0
    assert report.deployed(SERVED, 3, 1, as_document=True) == 0

    text, _, document = capsys.readouterr().out.rpartition("{")
    assert text == "deployed 20260131-093000-1a2b3c: 3 files, 1 new\n  http://x\n"
    assert json.loads("{" + document) == SERVED | {"files": 3, "sent": 1}


def test_what_was_uploaded(capsys):
    """And how to go on."""
    report.uploaded({"id": "x", "missing": ["a"], "label": "main"}, 1, as_document=False)
    report.uploaded({"id": "x", "missing": ["a"], "label": "main"}, 1, as_document=True)

    text, document = capsys.readouterr().out.splitlines()
    assert text == "uploaded x: 1 new files; serve it with `edge activate x`"
    assert json.loads(document) == {"id": "x", "sent": 1}


def test_what_was_activated(capsys):
    """The branch and its URLs."""
    report.activated(SERVED, as_document=False)
    report.activated(SERVED, as_document=True)

    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["20260131-093000-1a2b3c serves branch main of shop", "  http://x"]
    assert json.loads(lines[2]) == SERVED


@pytest.mark.parametrize("columns", ["20", "80", "300"])
def test_tables_are_the_same_at_any_width(capsys, monkeypatch, columns):
    """Nothing is cut, folded or padded at the end: what is printed is to be copied."""
    monkeypatch.setenv("COLUMNS", columns)
    document = {
        "deployments": [
            deployment(),
            deployment(active=False, files=12345, bytes=5 << 30, message="m" * 100),
        ]
    }

    report.deployments(document, as_document=False)

    assert capsys.readouterr().out == (
        "   id                      created (UTC)        files  size     message\n"
        "*  20260131-093000-1a2b3c  1970-01-01 00:00:00  3      2.0 KiB  why\n"
        "   20260131-093000-1a2b3c  1970-01-01 00:00:00  12345  5.0 GiB  " + "m" * 100 + "\n"
    )


def test_what_others_wrote_does_not_reach_the_terminal(capsys):
    """No escape sequence, no line break, no markup of ours."""
    report.deployments(
        {"deployments": [deployment(message="[red]a\x1b[31mb\nc[/red] ")]}, as_document=False
    )

    assert capsys.readouterr().out.splitlines()[1].endswith("[red]a�[31mb c[/red]")


def test_wide_characters_keep_the_columns(capsys):
    """A branch may have any name."""
    report.table(("branch", "label"), [("分支", "one"), ("main", "two")])

    assert capsys.readouterr().out == "branch  label\n分支    one\nmain    two\n"


def test_branches(capsys):
    """The first URL of each; one without a deployment has none."""
    one = {"branch": "main", "label": "main", "deployment": "x", "urls": ["http://a", "http://b"]}
    two = {"branch": "[x]", "label": "x", "deployment": None, "urls": []}
    report.branches({"branches": [one, two]}, as_document=False)
    report.branches({"branches": [one, two]}, as_document=True)

    *lines, document = capsys.readouterr().out.splitlines()
    assert lines == [
        "branch  label  deployment  URL",
        "main    main   x           http://a",
        "[x]     x      none",
    ]
    assert json.loads(document) == {"branches": [one, two]}


def test_status(capsys):
    """A line for each worker, or that there is none."""
    worker = {
        "pid": 7,
        "generation": 3,
        "connections": 2,
        "responses": {"2xx": 5, "5xx": 1},
        "slow_patterns": 4,
        "cache": {"bytes": 1 << 20},
    }
    report.status({"generation": 3, "apps": 2, "workers": [worker]}, as_document=False)
    report.status({"generation": 3, "apps": 2, "workers": []}, as_document=False)
    report.status({"generation": 3, "apps": 2, "workers": []}, as_document=True)

    assert capsys.readouterr().out.splitlines() == [
        "generation 3, 2 apps",
        "worker  generation  connections  responses  errors  slow  cache",
        "7       3           2            6          1       4     1.0 MiB",
        "generation 3, 2 apps",
        "no worker is running",
        '{"generation": 3, "apps": 2, "workers": []}',
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_bytes_for_people(size, text):
    """In the units of edge.yml."""
    assert report.in_bytes(size) == text
