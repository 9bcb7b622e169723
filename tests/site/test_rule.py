"""What a single rule may say."""

from __future__ import annotations

import msgspec
import pytest

from edge.site.rule import (
    BLOCK,
    MAX_TARGETS,
    STATUSES,
    Example,
    Rule,
    Written,
    check_rule,
    decode_rules,
    encode_rules,
    rule_key,
)


def check(**keys):
    """The rule and its problems: (key path, problem, remedy)."""
    errors, warnings = [], []
    rule = check_rule(Written(**keys), (3, 5), errors, warnings)
    return rule, errors, warnings


def test_a_rule_is_kept_in_its_canonical_spelling():
    """Trimmed, with a slash, countries in upper case, and where it stands."""
    rule, errors, warnings = check(
        source=" docs ", target="\t/b ", status=302, condition=" <us>,  <Ca> "
    )

    assert (errors, warnings) == ([], [])
    assert rule == Rule(
        source="/docs", target="/b", status="302", condition="<US>,  <CA>", line=3, column=5
    )


def test_a_missing_status_is_301_and_nothing_is_everyone():
    """As in the guide's list on page 82."""
    for nothing in ({}, {"status": None, "condition": None}, {"condition": " "}):
        rule, errors, _ = check(source="/a", target="/b", **nothing)

        assert errors == []
        assert (rule.status, rule.condition) == ("301", None)


def test_a_stored_rule_is_the_same_rule():
    """A compiled generation holds rules as JSON."""
    tests = (Example(request="/a", expect="200"),)
    urls = ("https://a.example", "https://b.example")
    rule, errors, _ = check(source="/a", target=urls, status="200", condition="<US>", tests=tests)

    assert errors == []
    assert msgspec.json.decode(msgspec.json.encode(rule), type=Rule) == rule


def test_stored_rules_come_back_in_order_and_in_blocks():
    """A worker decodes a block at a time; what comes back is what was compiled."""
    rules = [Rule(source=f"/{number}", target="/", status="301") for number in range(2 * BLOCK + 1)]
    blocks = list(decode_rules(encode_rules(rules).splitlines()))

    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 1]
    assert [rule for block in blocks for rule in block] == rules


def test_a_rule_is_known_by_what_it_says_not_by_its_tests():
    """Hits are counted under this key, wherever the rule stands."""
    rule = Rule(source="/a", target="/b", status="301")
    tested = (Example(request="/a", expect="301"),)

    assert rule_key(rule) == rule_key(Rule(source="/a", target="/b", status="301", tests=tested))
    for other in ({"source": "/b"}, {"target": "/c"}, {"status": "302"}, {"condition": "<DE>"}):
        assert rule_key(msgspec.structs.replace(rule, **other)) != rule_key(rule)


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_takes_a_path(status):
    """All of rules.md's."""
    assert check(source="/a", target="/b", status=status)[1] == []


@pytest.mark.parametrize("status", ["403", "410", "451"])
def test_a_refusal_needs_no_target(status):
    """The status is what it says."""
    for target in (None, "", " ", ()):
        assert check(source="/a", target=target, status=status)[1] == []


URL = "https://h.example/"

BAD = [
    ({"status": "999"}, ("status",), "unknown status '999'", "one of 200, 301"),
    ({"status": "200 "}, None, "", ""),
    ({"status": ""}, ("status",), "unknown status ''", "one of 200"),
    ({"source": " "}, ("source",), "there is nothing", "/<*> is every path"),
    ({"source": "/a\nb"}, ("source",), "there are invisible characters", "percent-encode them"),
    ({"source": "/" + "a" * 2_048}, ("source",), "longer than 2048 characters", "shorten it"),
    ({"source": "/" + "a" * 2_047}, None, "", ""),
    ({"target": "/" + "a" * 2_048}, ("target",), "longer than 2048 characters", "shorten it"),
    ({"source": "</(/>"}, ("source",), "bad regular expression", "correct the pattern"),
    ({"source": "</(a+)+$/>"}, ("source",), "slow regular expression", "avoid repeats inside"),
    ({"target": "/<x>"}, ("target",), "unknown placeholder <x>", "captures nothing"),
    ({"target": None}, ("target",), "a rule of status 301 needs a target", "write a path"),
    ({"target": ("/b",)}, ("target",), "status 301 takes one target", "lists are for"),
    ({"target": ("/b",), "status": "200"}, ("target",), "is a list of URLs", "write https://"),
    ({"target": (URL, URL + "<x>"), "status": "200"}, ("target", 1), "unknown placeholder", ""),
    ({"target": (URL, URL), "status": "fallback"}, None, "", ""),
    ({"target": (URL,) * MAX_TARGETS, "status": "200"}, None, "", ""),
    ({"target": (URL,) * (MAX_TARGETS + 1), "status": "200"}, ("target",), "more than 100", ""),
    ({"target": URL, "status": "404"}, ("target",), "a 404 is a path of this site", "fallback"),
    ({"target": URL, "status": "410"}, ("target",), "a 410 is a path of this site", "fallback"),
    ({"condition": "USA"}, ("condition",), "bad country code", 'write "<US>"'),
    ({"condition": "<USA>"}, ("condition",), "bad country code", 'write "<US>"'),
    ({"condition": "US"}, ("condition",), "bad country code", 'write "<US>"'),
    ({"condition": "!<US>"}, ("condition",), "bad country code", 'write "<US>"'),
    ({"condition": "<US>; <CA>"}, ("condition",), "bad country code", 'write "<US>"'),
    (
        {"tests": (Example(request="a", expect="200"),)},
        ("tests", 0, "request"),
        "no request",
        "/old",
    ),
    (
        {"tests": (Example(request="/a", expect="x"),)},
        ("tests", 0, "expect"),
        "no expect",
        "301 /new",
    ),
    ({"tests": (Example(request=URL, expect="301 /b"),)}, None, "", ""),
]


@pytest.mark.parametrize(("keys", "path", "problem", "remedy"), BAD)
def test_a_mistake_is_told_with_its_key_and_a_remedy(keys, path, problem, remedy):
    """Nothing is guessed, and what is at the limit goes."""
    _, errors, _ = check(**{"source": "/a", "target": "/b", **keys})

    if path is None:
        assert errors == []
    else:
        [(found, message, hint)] = errors
        assert (found, problem in message, remedy in hint) == (path, True, True)


@pytest.mark.parametrize(
    ("keys", "path", "problem", "remedy"),
    [
        ({"source": "/<*>/a"}, ("source",), "the rule never matches: <*> stands", "write it once"),
        ({"source": "/<*>/a", "target": "/<x>"}, ("source",), "the rule never matches", ""),
        ({"condition": "<UK>"}, ("condition",), "no country has the code UK", "<GB>?"),
        ({"condition": "<US>, <ZZ>"}, ("condition",), "the code ZZ", "ISO 3166-1"),
    ],
)
def test_what_can_never_be_is_a_warning(keys, path, problem, remedy):
    """The rule loads all the same, as it did elsewhere."""
    rule, errors, [(found, message, hint)] = check(**{"source": "/a", "target": "/b", **keys})

    assert (rule.source, errors) == (keys.get("source", "/a"), [])
    assert (found, problem in message, remedy in hint) == (path, True, True)
