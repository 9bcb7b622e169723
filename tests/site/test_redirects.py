"""Files of rules: both forms, the guide's own text, and the place of every mistake."""

# ruff: noqa: E501 - the guide's examples stand here as it prints them

from __future__ import annotations

import json

import msgspec
import pytest

from edge.site.reading import MAX_MISTAKES
from edge.site.redirects import MAX_BYTES, Rule, decode_redirects


def mistakes(text, file="redirects.json"):
    """Place, message and hint of each error."""
    rules, errors, _ = decode_redirects(text, file)
    assert rules is None
    assert all(each.file == file for each in errors)
    return [(each.line, each.column, each.message, each.hint) for each in errors]


GUIDE = """\
[
  {
    "source": "/<*>",
    "target": "/index.html",
    "status": "404",
    "condition": null
  }
]
"""
"""Page 82."""


def test_the_guide_s_document_is_read_as_it_is():
    """And a rule knows where it stands."""
    rules, errors, warnings = decode_redirects(GUIDE, "redirects.json")

    assert rules == (Rule(source="/<*>", target="/index.html", status="404", line=2, column=3),)
    assert (errors, warnings) == ([], [])


def test_yaml_says_the_same():
    """With the types that the schema wants, whatever YAML thinks of 404."""
    text = "# ours\n- source: /<*>\n  target: /index.html\n  status: 404\n  condition: null\n"

    rules, errors, warnings = decode_redirects(text, "redirects.yml")

    assert rules == (Rule(source="/<*>", target="/index.html", status="404", line=2, column=3),)
    assert (errors, warnings) == ([], [])


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("[]", "a.json"),
        ("\ufeff[]", "a.json"),
        ("", "a.yml"),
        ("# none\n", "a.yml"),
        ("[]", "a.yml"),
    ],
)
def test_no_rules_are_no_mistake(text, file):
    """An empty list, and an empty file where a file can be empty."""
    assert decode_redirects(text, file) == ((), [], [])


def test_places_count_characters_from_rule_to_rule():
    """Whatever is in between, tabs and other scripts too."""
    text = '[{"source": "/é", "target": "/b"},\t{"source": "/c", "target": "/d"},\n\n\t'
    text += '{"source": "/e", "target": "/f"}]'

    rules, _, _ = decode_redirects(text, "redirects.json")

    assert [(rule.line, rule.column) for rule in rules] == [(1, 2), (1, 36), (3, 2)]


def test_equal_rules_have_places_of_their_own():
    """The one that can be removed is the later one."""
    rule = '{"source": "/a", "target": "/b"}'

    rules, _, _ = decode_redirects(f"[{rule}, {rule},\n{rule}]", "redirects.json")

    assert [(each.line, each.column) for each in rules] == [(1, 2), (1, 36), (2, 1)]


SPA = (
    r'[{"source": "</^[^.]+\$|\.(?! (css|gif|ico|jpg|js|png|txt|svg|woff|woff2|ttf|map|json|webp)\$)'
    r' ([^.]+\$)/>", "status": "200", "target": "index.html", "condition": null}]'
)
"""Page 84, letter by letter: no JSON."""


def test_a_pattern_pasted_from_the_guide_is_read_as_the_guide_means_it():
    """Single backslashes, printed dollars and broken lines; each is a warning."""
    [rule], errors, warnings = decode_redirects(SPA, "redirects.json")

    assert errors == []
    assert rule.source == (
        r"</^[^.]+$|\.(?!(css|gif|ico|jpg|js|png|txt|svg|woff|woff2|ttf|map|json|webp)$)([^.]+$)/>"
    )
    assert [each.column for each in warnings] == [22, 25, 92, 102]
    assert "a backslash that JSON does not know" in warnings[0].message


def test_a_dollar_that_json_escapes_rightly_stays():
    """Only what is no JSON is repaired."""
    [rule], _, warnings = decode_redirects(
        r'[{"source": "</a\\$ (b)/>", "target": "/"}]', "redirects.json"
    )

    assert (rule.source, warnings) == (r"</a\$ (b)/>", [])


JSON = [
    ('[{"source": "/a",}]', [(1, 18, "JSON: trailing comma in object")]),
    ('[\n{"source"', [(2, 10, "JSON: Input data was truncated")]),
    ("", [(1, 1, "JSON: Input data was truncated")]),
    (r'["\q" 1', [(1, 8, "JSON: ")]),
    ("{}", [(1, 1, "expected a list of rules in [brackets]")]),
    ("[1, null]", [(1, 2, "[0]: expected keys"), (1, 5, "[1]: this is no rule: it is null")]),
    ('[{"target": "/b"}]', [(1, 2, "[0]: the key 'source' is missing")]),
    (
        '[\n\t{"source": "/a", "target": "/b",\n\t"taget": "/c"}]',
        [(3, 2, "[0]: unknown key 'taget'")],
    ),
    (
        '[{"source": "/a", "target": "/b"},\n {"source": "/a",\n  "source": "/b", "target": "/c"}]',
        [(3, 3, "[1]: the key 'source' is there twice")],
    ),
    ('[{"source": {"a": 1}, "target": "/b"}]', [(1, 13, "[0].source: expected a single value")]),
    ('[{"source": "/a", "target": "/b", "status": true}]', [(1, 45, "[0].status: expected text")]),
    (
        '[{"source":"/a","target":"/<x>","status":"999"}]',
        [(1, 17, "[0].target: unknown placeholder"), (1, 33, "[0].status: unknown status '999'")],
    ),
    (
        '[{"source": "</(/>", "target": "/a"},\n {"source": "/a", "target": "/b", "condition": "USA"}]',
        [(1, 3, "[0].source: bad regular"), (2, 35, "[1].condition: bad country code")],
    ),
    (
        '[{"source": "/a", "target": ["https://a.example",\n "https://"], "status": "200"}]',
        [(2, 2, "[0].target[1]: '' is not a domain name")],
    ),
    (
        '[{"source": "/a", "target": "/b", "tests": [{"request": "/a", "expect": "x"}]}]',
        [(1, 63, "[0].tests[0].expect: 'x' is no expectation")],
    ),
    (
        '[{"source": "/a\x7f", "target": "/<x>"}]',  # JSON takes a DEL, YAML does not
        [(1, 2, "[0].source: there are invisible")],
    ),
]


@pytest.mark.parametrize(("text", "expected"), JSON)
def test_every_mistake_in_json_has_its_place(text, expected):
    """All of a file, in its order, each with something to do."""
    found = mistakes(text)

    assert [(line, column) for line, column, _, _ in found] == [each[:2] for each in expected]
    assert all(
        message.startswith(each[2])
        for (_, _, message, _), each in zip(found, expected, strict=True)
    )


def test_a_key_that_is_there_twice_names_the_other_line():
    """In the file, not in the rule."""
    text = '[\n{"source": "/a",\n"target": "/b",\n"source": "/c"}]'

    assert mistakes(text)[0][3] == "the other one is on line 2"


def test_a_rule_with_several_tests_has_no_key_twice():
    """Each example has its own keys."""
    example = {"request": "/a", "expect": "301 /b"}
    text = json.dumps([{"source": "/a", "target": "/b", "tests": [example, example, example]}])

    [rule], errors, _ = decode_redirects(text, "redirects.json")

    assert (len(rule.tests), errors) == (3, [])


YAML = [
    ("source: /a", (1, 1, "expected a list of rules")),
    ("- source: /a\n\ttarget: /b", (2, 1, "YAML: ")),
    ("- source: /a\n  target: !!python/name:os.system x", (2, 11, "[0].target: the tag")),
    ("- &a {source: /a, target: /b}\n- *a", (2, 3, "[1]: aliases are not supported")),
    ("- source: /a\n  source: /b\n  target: /c", (2, 3, "[0]: the key 'source' is there twice")),
    ("- source: /a\n  target: /b\n  status: '999'", (3, 3, "[0].status: unknown status")),
    ("- null", (1, 3, "[0]: there is no value")),
    ("- source: /a\n  target: /b\n  condition: NO", (3, 14, "[0].condition: expected text")),
    ("#" * (1 << 20) + "\n", (1, 1, "the file is larger than 1 MiB")),
]


@pytest.mark.parametrize(("text", "expected"), YAML, ids=lambda each: str(each)[:30])
def test_every_mistake_in_yaml_has_its_place(text, expected):
    """Tags, aliases, tabs and duplicates among them."""
    [(line, column, message, _)] = mistakes(text, "redirects.yml")

    assert (line, column) == expected[:2]
    assert message.startswith(expected[2])


def test_a_file_of_60_mb_is_refused_at_once():
    """Before anything of it is read."""
    text = "[" + " " * 60_000_000

    [(line, column, message, hint)] = mistakes(text)

    assert (line, column, message) == (1, 1, f"the file is larger than {MAX_BYTES >> 20} MiB")
    assert hint == "merge rules with placeholders"


def test_a_huge_rule_is_refused_with_its_place():
    """It is not searched for the key."""
    text = json.dumps([{"source": "/a", "tset": "x" * 100_000}])

    assert [each[:2] for each in mistakes(text)] == [(1, 2)]


@pytest.mark.parametrize("file", ["redirects.json", "redirects.yml"])
def test_thousands_of_mistakes_stop_early(file):
    """Nobody reads more than a hundred."""
    text = json.dumps([{"source": "/a", "target": "/b", "status": "999"}] * 2_000)

    assert len(mistakes(text, file)) == MAX_MISTAKES


def test_thousands_of_warnings_do_too():
    """The rules are all there."""
    text = json.dumps([{"source": "/<*>/a", "target": "/b"}] * 500)

    rules, errors, warnings = decode_redirects(text, "redirects.json")

    assert (len(rules), errors, len(warnings)) == (500, [], MAX_MISTAKES)
    assert "the rule never matches" in warnings[0].message


@pytest.mark.no_cover  # it repeats what others have covered, and counting costs seconds
def test_a_hundred_thousand_rules_are_read():
    """There is no limit on their number."""
    rules = [
        {"source": f"/old/{n}", "target": f"/new/{n}", "status": "301"} for n in range(100_000)
    ]
    text = json.dumps(rules, indent=1)

    decoded, errors, _ = decode_redirects(text, "redirects.json")

    assert (len(decoded), errors) == (100_000, [])
    assert decoded[-1].line == 99_999 * 5 + 2
    assert msgspec.json.decode(msgspec.json.encode(decoded), type=tuple[Rule, ...]) == decoded


@pytest.mark.parametrize("text", ["[" * 5_000 + "]" * 5_000, '[{"source": ' + "[" * 5_000])
def test_json_nested_without_end_is_a_mistake_like_any_other(text):
    """It has a place and a remedy, and brings nobody else's file down."""
    rules, errors, _ = decode_redirects(text, "redirects.json")

    assert rules is None
    assert errors[0].hint
