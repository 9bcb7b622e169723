"""Each warning where it is meant, and silence over what people do on purpose."""

from __future__ import annotations

import pytest

from edge.site import lint as module
from edge.site.expressions import Budget, PatternTooSlow
from edge.site.lint import addresses, lint_rules
from edge.site.lookup import find_file
from edge.site.reading import MAX_MISTAKES
from edge.site.redirects import decode_redirects
from edge.site.rule import Rule

SPA = r"</^[^.]+$|\.(?!(css|gif|ico|jpg|js|png|txt|svg|woff|woff2|ttf|map|json|webp)$)([^.]+$)/>"
FILES = frozenset(["index.html", "404.html", "about.html", "docs/index.html", "app.js", "a.css"])


def rules_of(*rules):
    """Rules by (source, target, status, condition), a line each."""
    keys = ("source", "target", "status", "condition")
    return [
        Rule(**dict(zip(keys, rule, strict=False)), line=number + 1, column=3)
        for number, rule in enumerate(rules)
    ]


def lint(*rules, files=None, **more):
    """The messages."""
    return [each.message for each in lint_rules(rules_of(*rules), "r.json", files, **more)]


def hints(*rules, files=None, **more):
    """The hints."""
    return [each.hint for each in lint_rules(rules_of(*rules), "r.json", files, **more)]


# What all have in common


def test_a_warning_says_where_what_and_what_to_do():
    """In the form of a mistake, its place being the rule's."""
    text = '[{"source": "/<*>", "target": "/new/<*>"},\n {"source": "/a", "target": "/b"}]'
    rules, _, _ = decode_redirects(text, "redirects.json")
    loop, covered = lint_rules(rules, "redirects.json", None)

    assert str(covered) == (
        "redirects.json:2:2: [1].source: the rule never matches: rule [0] on line 1 takes"
        " everything that it could (move it above that rule, or remove it)"
    )
    assert str(loop) == (
        "redirects.json:1:2: [0].target: the redirects never end: /new/any → /new/new/any →"
        " /new/new/new/any → … (let one of them lead elsewhere, or mean less)"
    )


def test_warnings_come_in_the_order_of_the_file():
    """Whichever lint they are of; no more than anybody reads."""
    rules = [("/a", "/x"), ("/b", "/b"), ("/c", "/404.html", "404"), ("/a", "/y"), ("/d", "/d")]
    many = [(f"/{number // 2}", f"/{number // 2}") for number in range(4 * MAX_MISTAKES)]

    assert [each.line for each in lint_rules(rules_of(*rules), "r", ["z"])] == [1, 2, 3, 4, 4, 5]
    lines = [each.line for each in lint_rules(rules_of(*many), "r", None)]
    assert lines == list(range(1, MAX_MISTAKES + 1))


def test_a_document_without_a_fault_has_no_warning():
    """Nor has one without a rule, or a rule that never matches, which was told before."""
    rules = [
        ("/old", "/about"),
        ("/news/<*>", "https://news.example/<*>", "200"),
        ("/gone", None, "410"),
        ("https://example.com", "https://www.example.com"),
        ("/<*>/x", "/nowhere/<y>", "200"),
        ("/<*>", "/index.html", "fallback"),
        ("/<*>", "/404.html", "404"),
    ]

    assert lint(files=FILES) == []
    assert lint(*rules[:-1], files=FILES, hosts=["example.com", "www.example.com"]) == []
    assert lint(*rules[:-2], rules[-1], files=FILES) == []


# Rules that never match


def test_a_rule_that_another_one_covers():
    """The same rule twice is one too many; a narrower one belongs above."""
    narrower = "move it above that rule, or remove it"

    assert hints(("/a", "/b"), ("/a", "/c")) == ["remove one of the two"]
    assert hints(("/a", "/b"), ("/a", "/c", "301", "<US>")) == [narrower]
    assert hints(("/<*>", "https://x.example"), ("/a", "/c")) == [narrower]
    assert lint(("/a", "/b", "301", "<US>"), ("/a", "/c")) == []


# Redirects that lead back


def test_a_loop_is_told_at_its_first_rule():
    """Through the tree too, with files and the app's way with slashes."""
    circle = "the redirects go round in a circle"
    assert lint(("/c", "/b"), ("/a", "/b"), ("/b", "/a")) == [f"[1].target: {circle}: /a → /b → /a"]
    rule = ("/docs/", "/docs")
    assert lint(rule, files=FILES) == [f"[0].target: {circle}: /docs/ → /docs → /docs/"]
    assert hints(rule, files=FILES) == [
        "the tree redirects as well: remove the rule, or set trailing_slash"
    ]
    assert lint(rule, files=FILES, trailing_slash="strip") == []


def test_a_loop_through_a_host_of_the_app():
    """Another site's redirects are nobody's business here."""
    rule = ("/<*>", "https://www.example.com/<*>")

    assert len(lint(rule, hosts={"www.example.com"})) == 1
    assert lint(rule) == []


# Rules of status 200 in front of files


HIDES = [
    (("/<*>", "/index.html", "200"), "4 files, such as /a.css and /about.html"),
    (("/app.js", "/a.css", "200"), "/app.js"),
    (("/about", "/index.html", "200"), "/about.html"),
    (("/docs/", "/about.html", "200"), "/docs/index.html"),
    (("/<x>.css", "https://cdn.example/<x>.css", "200"), "/a.css"),
    (("/<*>", "https://ssr.example/<*>", "200"), "5 files, such as /a.css and /about.html"),
    (("</^/a/>", "/index.html", "200"), "3 files, such as /a.css and /about.html"),
    ((SPA, "/index.html", "200"), "/about.html and /docs/index.html"),
]


@pytest.mark.parametrize(("rule", "what"), HIDES)
def test_a_rule_that_hides_files(rule, what):
    """At any of their addresses; its own target is not hidden."""
    message = f"[0].source: the rule hides what the deployment has: {what}"

    assert lint(rule, files=FILES) == [message]
    assert hints(rule, files=FILES) == ["write the status fallback: files come before it"]
    assert lint(rule) == []


HIDES_NOTHING = [
    [("/", "/index.html", "200")],
    [("/about", "/about.html", "200")],
    [("/about", "/about", "200")],
    [("/<*>", "/<*>", "200")],
    [("/<*>", "/index.html", "fallback")],
    [("/<*>", "/index.html", "404-200")],
    [("/app.js", "https://cdn.example/app.js")],
    [("/app.js", None, "410")],
    [("/app.js", "/a.css", "200", "<US>")],
    [("/app.js?v=<x>", "/a.css", "200")],
    [("https://example.com", "https://other.example", "200")],
    [("/x/<y>", "/index.html", "200")],
    [("/app.js", "/app.js", "200"), ("/<x>.js", "/index.html", "200")],
    [("/404.html", "/index.html", "200")],
]


@pytest.mark.parametrize("rules", HIDES_NOTHING)
def test_a_rule_that_hides_nothing(rules):
    """Or only from some, which is said in as many words."""
    assert lint(*rules, files=FILES) == []


def test_each_rule_is_told_of_the_files_that_it_answers_for():
    """The first that matches, as live."""
    rules = [("/app.js", "/docs/"), ("/a.css", "/app.js", "200"), ("/<x>", "/app.js", "200")]

    assert lint(*rules, files=FILES) == [
        "[1].source: the rule hides what the deployment has: /a.css",
        "[2].source: the rule hides what the deployment has: /about.html and /index.html",
    ]


def test_so_many_files_are_asked_for_and_no_more(monkeypatch):
    """And so many rules."""
    rule = ("/<*>", "https://ssr.example", "200")
    files = [f"{number:02}.js" for number in range(30)]
    monkeypatch.setattr(module, "FILES", 10)

    assert "10 files" in lint(rule, files=files)[0]
    monkeypatch.setattr("edge.site.loops.WORK", 4)
    assert "4 files" in lint(rule, files=files)[0]


def test_a_target_that_cannot_be_made_hides_nothing():
    """Such a request is refused, which is its own trouble."""
    rule = ("/.<x>", "/<x>./.<x>", "200")

    assert lint(rule, files=["..x", ".a"]) == [
        "[0].source: the rule hides what the deployment has: /..x and /.a"
    ]
    assert lint(("/<x>.js", "/a/<x>/b", "200"), files=["..js", "a/./b"]) == []


@pytest.mark.parametrize("trailing_slash", ["auto", "add", "strip", "leave"])
def test_every_file_has_an_address_that_leads_to_it(trailing_slash):
    """A 404 page has none that it is meant to be asked by."""
    manifest = module.manifest_of(FILES)
    for name in FILES - {"404.html"}:
        found = [find_file(manifest, path, trailing_slash) for path in addresses(name)]

        assert any(module.is_file(each, name) for each in found)
    assert addresses("404.html") == addresses("docs/404.html") == []


# Targets that do not exist


ABSENT = [
    [("/a", "/nowhere")],
    [("/a", "/nowhere/?q=1#top", "302")],
    [("/a", "/nowhere.html", "200")],
    [("/<*>", "/nowhere.html", "404")],
    [("/<*>", "/nowhere.html", "404-200")],
    [("/<*>", "/nowhere.html", "fallback")],
    [("/a", "/nowhere.html", "403")],
    [("/a", "/nowhere"), ("/<*>", "/404.html", "404")],
    [("/a", "/nowhere", "200"), ("/<*>", "/index.html", "fallback")],
    [("/a", "/nowhere", "200"), ("/nowhere", "/about.html", "200")],
    [("/a", "/nowhere?x=1"), ("/nowhere?y=<z>", "/about")],
]


@pytest.mark.parametrize("rules", ABSENT)
def test_a_target_that_does_not_exist(rules):
    """A page that a rule shows must be a file; a 404 page is no answer to a redirect."""
    path = rules[0][1].partition("?")[0]

    assert lint(*rules, files=FILES) == [
        f"[0].target: the target {path} does not exist in the deployment"
    ]
    assert hints(*rules, files=FILES) == ["deploy it, or correct the target"]
    assert lint(*rules) == []


PRESENT = [
    [("/a", "/about"), ("/b", "/docs"), ("/c", "/docs/"), ("/d", "/app.js?x#y")],
    [("/a", "/docs/", "404"), ("/b", "/about", "200")],
    [("/a", "/b"), ("/b", "/about", "200")],
    [("/a", "/b?x=1"), ("/b?x=<y>", "/<y>", "302")],
    [("/a", "/b"), ("/b", "/about", "200", "<US>")],
    [("/a", "/b"), ("</^/b/>", None, "410")],
    [("/a", "/b"), ("/<*>", "/index.html", "fallback")],
    [("/a", "https://x.example/nowhere"), ("/b/<x>", "/<x>"), ("/c", None, "410")],
]


@pytest.mark.parametrize("rules", PRESENT)
def test_a_target_that_something_answers(rules):
    """A file, its canonical form, or a rule where a redirect leads there."""
    assert lint(*rules, files=FILES) == []


def test_a_folder_is_no_content_without_its_slash():
    """A rewrite is no redirect to the canonical form; the hint has it."""
    assert lint(("/a", "/docs", "200"), files=FILES) == [
        "[0].target: the target /docs does not exist in the deployment"
    ]
    assert hints(("/a", "/docs", "200"), files=FILES) == ["write /docs/"]


def test_behind_the_bound_a_redirect_is_answered(monkeypatch):
    """Nothing is said rather than something that may be wrong."""
    rules = [("/a", "/x"), ("/b", "/y"), ("/x?q", "/about"), ("/<z>-<*>", "/about")]

    assert len(lint(*rules, files=FILES)) == 2
    monkeypatch.setattr(module, "WORK", 1)
    assert len(lint(*rules, files=FILES)) == 1


def test_a_pattern_that_takes_too_long_may_answer(monkeypatch):
    """It is not known that it does not."""
    slow = PatternTooSlow("it takes too long")

    def search(*_):
        raise slow

    monkeypatch.setattr(Budget, "search", search)

    assert lint(("/a", "/nowhere"), ("</[q]$/>", "/about"), files=FILES) == []


# Regular expressions


def test_a_pattern_that_long_paths_keep_busy():
    """Once, where it is written first."""
    slow = "</[a-z]+[0-9]$/>"
    rules = [("/a", "/b"), (slow, "https://x.example/"), (slow, "/b", "404"), ("</^/a/>", "/")]
    warnings = lint(*rules)

    assert len(warnings) == 1
    assert warnings[0].startswith(
        "[1].source: the regular expression is slow on long paths: it takes more than 5 ms"
    )


def test_so_many_patterns_are_probed(monkeypatch):
    """It takes long."""
    monkeypatch.setattr(module, "PROBED", 1)

    assert lint(("</^/a/>", "/b"), ("</[a-z]+[0-9]$/>", "/b")) == []


# Crowds


@pytest.mark.parametrize("source", ["/<a>-{}", "</-{}$/>"])
@pytest.mark.parametrize("status", ["301", "404"])
def test_many_patterns_without_a_folder_are_told(monkeypatch, source, status):
    """Every request is compared with each of them."""
    monkeypatch.setattr(module, "CROWD", 3)
    few = [(source.format(n), "/b", status) for n in range(3)]
    elsewhere = [(f"/a/<x>-{n}", "/b", status) for n in range(3)]

    assert lint(*few, *elsewhere) == []
    assert lint(*few, *elsewhere, (source.format(3), "/b", status)) == [
        "[6].source: 4 patterns are compared with every path in /"
    ]


# Domains of other apps


def test_a_domain_rule_for_a_host_of_nobody_is_told():
    """Its requests never come here; without hosts nothing is known, and nothing said."""
    rules = [
        ("https://example.com", "https://www.example.com"),
        ("https://other.example", None, "410"),
    ]
    mine = ["example.com", "www.example.com"]

    assert lint(*rules, hosts=mine) == [
        "[1].source: the rule never matches: other.example does not lead to this app"
    ]
    assert hints(*rules, hosts=mine) == ["add it to domains in app.yml"]
    assert lint(*rules) == []
