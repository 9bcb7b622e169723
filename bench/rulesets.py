"""
Rules of every kind in a fixed mixture, for what rules cost.

Six in ten are exact paths, two end in `<*>`, one has placeholders, one asks for a query parameter;
each hundredth is a regular expression. None of them is about the files that are measured.
"""

from __future__ import annotations

import json
from pathlib import Path


def mixed_rules(count: int) -> list[dict[str, str]]:
    """`count` rules, the same in every run."""
    return [one_rule(number) for number in range(count)]


def one_rule(number: int) -> dict[str, str]:
    """The rule of a number."""
    if number % 100 == 99:
        return rule(rf"</^/legacy-{number}/(\d+)\.aspx$/>", f"/pages/{number}/$1")
    match number % 10:
        case 6 | 7:
            return rule(f"/blog-{number}/<*>", f"/posts-{number}/<*>")
        case 8:
            return rule(f"/shop-{number}/<category>/<item>", "/store/<category>/<item>", "302")
        case 9:
            return rule(f"/q-{number}?id=<id>", "/item/<id>")
        case _:
            return rule(f"/old/section-{number % 100}/page-{number}", f"/new/page-{number}")


def rule(source: str, target: str, status: str = "301") -> dict[str, str]:
    """One rule."""
    return {"source": source, "target": target, "status": status}


def write_rules(apps: Path, app: str, count: int) -> None:
    """`redirects.json` of an app with `count` rules."""
    folder = apps / app
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "redirects.json").write_text(json.dumps(mixed_rules(count)))
