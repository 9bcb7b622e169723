"""What people read of a reload."""

from __future__ import annotations

import json

from edge import report_changes as report
from edge.control.client import Refusal

APP = {
    "app": "shop",
    "change": "changed",
    "hosts": [
        {"host": "new.example", "after": "shop/main"},
        {"host": "old.example", "before": "shop/main"},
        {"host": "x.example", "before": "blog/main", "after": "shop/main"},
    ],
    "rules": [
        {"change": "moved", "source": "/e", "number": 0, "was": 2},
        {"change": "changed", "source": "/a", "number": 1, "was": 0, "before": "301 /b"}
        | {"after": "302 /b"},
        {"change": "added", "source": "/n", "number": 2, "after": "410"},
        {"change": "removed", "source": "/c", "was": 1, "before": "301 /d"},
    ],
    "headers": [{"change": "added", "pattern": "**", "fields": ["X", "Y"]}],
    "access": [{"key": "access.users.bob", "before": None, "after": "…"}],
    "settings": [
        {"key": "trailing_slash", "before": "auto", "after": "add"},
        {"key": "app_root", "before": "a\x1b", "after": None},
    ],
    "wanted": ["new.example"],
    "unwanted": ["old.example"],
    "unlisted": 7,
}
SETTINGS = [{"key": "listen.http", "before": ["a", "b"], "after": []}]


def verdict(answer, rule=None):
    """As the API has it."""
    return {"answer": answer, "rule": rule, "source": None}


def test_a_reload_in_lines(capsys):
    """What comes, goes, is another, stands elsewhere; nothing that a terminal would obey."""
    difference = {"apps": [APP], "settings": SETTINGS}
    warning = {"file": "f.json", "line": 2, "column": 1, "message": "[0]: x", "hint": "do y"}
    document = {"generation": 3, "changed": ["shop"], "difference": difference}

    assert report.reloaded(document | {"warnings": [warning]}, as_document=False) == 0

    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "generation 3 serves; changed: shop",
        "shop: changed",
        "  host + new.example → shop/main",
        "  host - old.example (was shop/main)",
        "  host ~ x.example: blog/main → shop/main",
        "  rule > [0] /e: was [2]",
        "  rule ~ [1] /a: 301 /b → 302 /b",
        "  rule + [2] /n: 410",
        "  rule - [1] /c: 301 /d",
        "  header + **: X, Y",
        "  access + access.users.bob: …",
        "  setting ~ trailing_slash: auto → add",
        "  setting - app_root: a�",
        "  certificate + new.example",
        "  certificate - old.example",
        "  … and 7 more hosts and rules",
        "edge.yml: changed",
        "  setting ~ listen.http: [a, b] → []",
    ]
    assert captured.err == "f.json:2:1: warning: [0]: x (do y)\n"


def test_a_rehearsal_tells_its_requests(capsys):
    """What is answered now, what would be, and what was not asked."""
    requests = [
        {"request": "a.example/x", "before": verdict("404"), "after": verdict("301 /y", 3)}
    ] * 60
    radius = {"requests": requests, "unlisted": 5, "asked": 99, "passed_over": 4}
    document = {"generation": 3, "changed": ["shop"], "dry_run": True, "radius": radius}

    report.reloaded(document, as_document=False)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "nothing was done; a reload would change: shop"
    told = "99 sample requests (4 more were not asked, for time), 65 answered differently"
    assert lines[1] == told
    assert lines[3].split("  ") == ["a.example/x", "404", "301 /y by [3]"]
    assert len(lines) == 3 + report.REQUESTS + 1
    assert lines[-1] == "… and 15 more; --json lists 60"


def test_many_apps_are_counted(capsys):
    """A screen is not enough for a thousand."""
    names = [f"app-{number}" for number in range(25)]
    apps = [{"app": name, "change": "new"} for name in names]
    document = {"generation": 1, "changed": names, "difference": {"apps": apps}}

    report.reloaded(document, as_document=False)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("app-19 and 5 more")
    assert lines[-1] == "… and 5 more apps; --json lists them"


def test_machines_get_the_document(capsys):
    """All of it, on stdout."""
    document = {"generation": 3, "changed": [], "warnings": []}

    report.reloaded(document, as_document=True)

    assert json.loads(capsys.readouterr().out) == document


def test_nothing_changed(capsys):
    """Is said."""
    report.reloaded({"generation": 3, "changed": []}, as_document=False)

    assert capsys.readouterr().out == "generation 3 serves; changed: nothing\n"


def test_a_refusal_tells_what_the_other_apps_got(capsys):
    """Mistakes on stderr, the changes that serve on stdout."""
    mistake = {"file": "f", "line": 1, "column": 1, "message": "m", "hint": "h"}
    document = {"errors": [mistake], "kept": ["bad"], "generation": 4, "changed": ["good"]}

    assert report.refused(Refusal(document), as_document=False) == 1

    captured = capsys.readouterr()
    assert captured.out == "generation 4 serves; changed: good\n"
    assert captured.err == "f:1:1: m (h)\nedge: kept as they were: bad\n"
