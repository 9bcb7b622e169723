"""What the READMEs tell operators to paste works, and what they say is printed is printed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from edge.cli import parser
from edge.control.hits import UNUSED_DAYS, Hits
from edge.control.questions import ask
from edge.control.replay import CHANGES, propose
from edge.http.fields import FieldList
from edge.node import access, country
from edge.report_rules import LISTED
from edge.site.documents import branch_settings, decode_app, decode_settings
from edge.site.explain import ALL_TOLD
from edge.site.globs import MAX_ALTERNATIVES, MAX_PATTERN, compile_glob
from edge.site.headers import MAX_VALUE, NOT_SETTABLE, decode_headers
from edge.site.places import Places
from edge.site.reading import MAX_MISTAKES
from edge.site.redirects import decode_redirects
from edge.site.rehearsal import make_request
from edge.site.rule import MAX_TEXT, STATUSES, Rule
from edge.site.trial import MAX_FAILURES
from tests.support import EDGE, write_tree
from tests.support_control import new_store, upload

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "rules" / "README.md").read_text()
PAGES = {"README.md": README, "rules/README.md": GUIDE}

FILES = [
    *("index.html", "about.html", "landing.html", "gone.html", "sorry.html", "404.html"),
    *("robots.txt", "app.js", "assets/site.css", "assets/logo.png"),
    *("blog/index.html", "de/index.html", "spring/index.html"),
    *("docs/index.html", "docs/setup.html", "docs/missing.html"),
]
"""What is deployed on the branch that the examples are about."""

OTHER = ["index.html", "setup.html"]
"""On the branch `docs`."""

COUNTRIES = "clients: {country_header: CloudFront-Viewer-Country}"
"""Without such a line, `check` warns of every condition."""

HIDES = "the rule hides what the deployment has"
"""Amplify's own expression for single-page apps does: the page says so."""


# The pages' parts


class Block(NamedTuple):
    """A fenced block, what stands before it and the paragraph behind it."""

    page: str
    language: str
    text: str
    before: str
    after: str


class Answer(NamedTuple):
    """A request, and what a page says that it gets."""

    request: str
    method: str
    country: str | None
    answer: str


def blocks(language: str) -> Iterator[Block]:
    """Those of one language, of both pages."""
    for name, page in PAGES.items():
        for found in re.finditer(r"^```(\w*)\n(.*?)^```\n", page, re.DOTALL | re.MULTILINE):
            if found[1] == language:
                before = page[: found.start()].rstrip().rpartition("\n\n")[2]
                after = page[found.end() :].lstrip("\n").partition("\n\n")[0]
                yield Block(name, language, found[2], before, after)


def rows(*heads: str) -> list[list[str]]:
    """The rows of all tables of the guide that have these heads."""
    found, head, cells = [], [], []
    for line in GUIDE.splitlines():
        if not line.startswith("|"):
            head = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not head:
            head = cells
        elif set(line) - set("|-: ") and all(map(same, heads, head)):
            found.append(cells)
    assert found, heads
    return found


def same(wanted: str, head: str) -> bool:
    """Whether a table's head is the wanted one; `*` is any."""
    return wanted in ("*", head)


def code(cell: str) -> str:
    """The text of the first code span."""
    found = re.search(r"(`+)(.*?)\1", cell)
    assert found is not None, cell
    return found[2]


def answers(text: str) -> list[Answer]:
    """`METHOD /path` from CC → `301 /place`, as often as it is there."""
    form = r"`(?:([A-Z]+) )?((?:/|https://)[^` ]*)`(?: from ([A-Z]{2}))? → `([0-9]{3}[^`]*)`"
    return [Answer(url, m or "GET", cc, seen) for m, url, cc, seen in re.findall(form, text)]


RULE_BLOCKS = [each for each in blocks("json") if each.text.startswith("[")]
QUESTIONS = [
    each for each in blocks("json") if each.text.startswith("{") and '"kind":' not in each.text
]
YAML_BLOCKS = list(blocks("yaml"))
WANTED = rows("I want to")


# A state folder to try them on


class Shop:
    """The app that the pages are about."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.app = folder / "rules" / "shop"
        self.domains = next(b.text for b in YAML_BLOCKS if "example.org" in b.text)
        write_tree(self.app, {"app.yml": self.domains})
        self.changes = new_store(folder, COUNTRIES)
        self.changes.reload()
        for branch, files in (("main", FILES), ("docs", OTHER)):
            header = upload(self.changes, "shop", branch, dict.fromkeys(files, "content"))
            self.changes.activate(header.id)

    def write(self, **files: str) -> None:
        """Exactly these files beside `app.yml`; `customHttp` is customHttp.yml."""
        names = {"rules": "redirects.json", "customHttp": "customHttp.yml", "app": "app.yml"}
        given = {names[key]: text for key, text in files.items()}
        for name, default in {"app.yml": self.domains, "customHttp.yml": None}.items():
            if name not in given:
                (self.app / name).unlink(missing_ok=True)
                if default is not None:
                    given[name] = default
        write_tree(self.app, {"redirects.json": "[]", **given})

    def check(self) -> tuple[list[str], list[str]]:
        """Errors and warnings, as they are printed."""
        found = self.changes.check()
        return [str(each) for each in found.errors], [str(each) for each in found.warnings]

    def ask(self, question: Answer, rules: str = "[]") -> str:
        """What a request gets by these rules, in the words of `tests` and `replay`."""
        file = self.folder / "asked.json"
        file.write_text(rules)
        return self.ask_folder(question, file)

    def ask_folder(self, question: Answer, file: Path | None = None) -> str:
        """The same by a file of rules; without one, by the folder."""
        world = self.changes.rehearsals.serving(propose(self.changes, file, "shop"))
        host, target = "www.example.com", question.request
        if target.startswith("https://"):
            host, slash, target = target.removeprefix("https://").partition("/")
            target = slash + target
        request = make_request(
            host.encode(), target.encode(), question.method.encode(), FieldList([])
        )
        status, place = world.rehearse(request, question.country)
        return f"{status} {place}".rstrip()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The app, deployed."""
    return Shop(tmp_path_factory.mktemp("readme"))


# Rules


@pytest.mark.parametrize("block", RULE_BLOCKS, ids=lambda block: block.text[:60])
def test_every_list_of_rules_is_right_and_does_what_the_page_says(shop, block):
    """It decodes, its own tests hold, and nothing about it is to be warned of."""
    shop.write(rules=block.text)
    errors, warnings = shop.check()

    assert errors == []
    assert [each for each in warnings if HIDES not in each or "(?!(css|" not in block.text] == []
    for each in answers(block.after):
        assert shop.ask(each, block.text) == each.answer, each


def test_the_lists_of_rules_say_what_they_do():
    """Most are followed by requests and answers, or carry tests."""
    told = [block for block in RULE_BLOCKS if answers(block.after) or '"tests"' in block.text]

    assert len(told) >= len(RULE_BLOCKS) - 1
    assert len(RULE_BLOCKS) >= 7


@pytest.mark.parametrize("row", WANTED, ids=lambda row: row[0])
def test_every_rule_of_the_table_is_right_and_does_what_the_table_says(shop, row):
    """Each is a whole rule, to be put between the brackets."""
    rules = f"[{code(row[1])}]"
    shop.write(rules=rules)

    assert shop.check() == ([], [])
    assert answers(row[2])
    for each in answers(row[2]):
        assert shop.ask(each, rules) == each.answer, each


def test_rules_can_be_written_in_yaml():
    """`redirects.yml` means the same."""
    for block in YAML_BLOCKS:
        if file_of(block) == "redirects.yml":
            rules, errors, warnings = decode_redirects(block.text, "redirects.yml")
            assert (errors, warnings, len(rules)) == ([], [], 2)


# Statuses, sources and lints of the rule language


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_explained(status):
    """In the table of statuses."""
    assert any(f"`{status}`" in row[0] for row in rows("status", "does"))


@pytest.mark.parametrize(
    "source",
    [
        "/docs/page.html",
        "/docs/<*>",
        "/docs/<year>/<slug>",
        "/<slug>.html",
        "</^/p([0-9]+)$/>",
        "/docs?id=<id>",
        "https://example.com",
        "https://example.com/",
        "https://example.com/<*>",
    ],
)
def test_every_form_of_a_source_is_explained(source):
    """In the table of sources; and it is one that can match."""
    assert any(f"`{source}`" in row[0] for row in rows("source", "means"))
    rules = json.dumps([{"source": source, "target": "/about"}])
    assert decode_redirects(rules, "redirects.json")[1:] == ([], [])


@pytest.mark.parametrize(
    "lint",
    [
        "unknown status",
        "unknown placeholder",
        "bad regular expression",
        "slow regular expression",
        "bad country code",
        "stands elsewhere than at the end",
        "a source with a domain has no path",
        "takes everything that it could",
        "go round in a circle",
        "never end",
        "hides what the deployment has",
        "does not exist in the deployment",
        "no request hit this rule",
        "cannot be set",
        "cannot have a line break",
    ],
)
def test_every_lint_is_in_the_tables_of_check(lint):
    """Those that the rule language promises."""
    assert any(lint in row[1] for row in rows("*", "is answered with"))


# What check says


def told(lines: list[str]) -> list[str]:
    """Mistakes without their place; the path that a slow pattern hangs on is left out."""
    pattern = r"^[^ ]+:[0-9]+:[0-9]+: (?:(?!JSON|YAML)[\w.\[\]]+: )?"
    bare = [re.sub(pattern, "", line) for line in lines]
    return [re.sub(r"on a path such as '.*?' \(", "on a path such as … (", line) for line in bare]


def as_rules(text: str) -> str:
    """A list, of one rule perhaps."""
    return text if text.startswith("[") else f"[{text}]"


RULE_MISTAKES = [row for row in rows("in `redirects.json`", "*") if row[0].startswith("`")]


@pytest.mark.parametrize("row", RULE_MISTAKES, ids=lambda row: row[0])
def test_a_mistake_in_rules_is_told_in_these_words(shop, row):
    """Errors and warnings, each with what to do; two of them take more than a rule, see below."""
    shop.write(rules=as_rules(code(row[0])))
    errors, warnings = shop.check()

    assert code(row[1]) in told(errors or warnings)
    is_error = GUIDE.index(row[0]) < GUIDE.index("**Warnings**")
    assert bool(errors) == is_error


@pytest.mark.parametrize("row", rows("in `customHttp.yml`", "*"), ids=lambda row: row[0])
def test_a_mistake_in_headers_is_told_in_these_words(shop, row):
    """Each with what to do."""
    shop.write(customHttp=f"customHeaders:\n  - {code(row[0])}\n")

    assert code(row[1]) in told(shop.check()[0])


@pytest.mark.parametrize("row", rows("in `app.yml`", "*"), ids=lambda row: row[0])
def test_a_mistake_in_access_is_told_in_these_words(shop, row):
    """Each with what to do; the password is not repeated."""
    shop.write(app=f"{code(row[0])}\n")
    errors, _ = shop.check()

    assert code(row[1]) in told(errors)
    assert "secret" not in str(errors)


def test_rules_that_nobody_needs_are_told_in_these_words(tmp_path):
    """After so many days without a request."""
    hits, rule, day = Hits(Places(tmp_path)), Rule(source="/a", target="/b"), 86_400
    hits.note("shop", [rule], day)
    [warning] = hits.unused("shop", [rule], "redirects.json", (1 + UNUSED_DAYS) * day)

    assert told([str(warning)])[0] in GUIDE


def test_a_monorepos_file_without_the_app_is_told_in_these_words(shop):
    """As far as the words do not depend on the app."""
    block = next(block for block in YAML_BLOCKS if "appRoot" in block.text)
    shop.write(customHttp=block.text)
    _, [warning] = shop.check()

    [row] = [row for row in rows("*", "is answered with") if "a monorepo's file" in row[0]]
    beginning, _, end = code(row[1]).partition(" (")
    assert beginning in warning
    assert end in warning


# YAML


def file_of(block: Block) -> str:
    """The file that a block is for: its first line says so, else the sentence before it."""
    names = re.findall(r"[\w/]*(?:app|edge|customHttp|redirects)\.yml", block.text.split("\n")[0])
    names = names or re.findall(r"`[\w/]*?(\w+\.yml)`", block.before)
    assert names, block
    return names[-1].rpartition("/")[2]


@pytest.mark.parametrize("block", YAML_BLOCKS, ids=lambda block: block.text[:40])
def test_every_yaml_is_a_document_without_a_mistake(shop, block):
    """Of the file that its page names; and it does what the page says."""
    file = file_of(block)
    decode = {"edge.yml": decode_settings, "app.yml": decode_app, "customHttp.yml": decode_headers}
    if file in decode:
        document, errors = decode[file](block.text, file)
        assert errors == []
        assert document is not None
    for each in answers(block.after):
        more = "" if "domains:" in block.text else shop.domains
        shop.write(app=block.text + more)
        assert shop.ask_folder(each) == each.answer


@pytest.mark.parametrize("row", rows("glob", "means"), ids=lambda row: row[0])
def test_every_glob_of_the_table_means_these_paths(row):
    """And not the others."""
    globs = re.findall(r"`([^`]+)`", row[0])
    for glob in globs:
        for path in re.findall(r"`([^`]+)`", row[2]):
            assert any(each.matches(path) for each in compile_glob(glob)), (glob, path)
        for path in re.findall(r"`([^`]+)`", row[3]) if len(row) > 3 else []:
            assert not any(each.matches(path) for each in compile_glob(glob)), (glob, path)


# Numbers and names


@pytest.mark.parametrize(
    ("what", "number"),
    [
        ("a source, a target, a glob", MAX_TEXT),
        ("a source, a target, a glob", MAX_PATTERN),
        ("globs that", MAX_ALTERNATIVES),
        ("a header's value", MAX_VALUE),
        ("mistakes that are told", MAX_MISTAKES),
        ("mistakes that are told", MAX_FAILURES),
        ("rules that `explain` tells", ALL_TOLD),
        ("addresses that `replay` lists", LISTED),
        ("addresses that `replay` lists", CHANGES),
        ("a country database", country.MAX_BYTES >> 20),
    ],
)
def test_every_limit_of_the_guide_is_the_codes(what, number):
    """In the table of limits."""
    assert any(row[0].startswith(what) and f"{number:,}" in row[1] for row in rows("what", "limit"))


def test_what_the_guide_says_of_logins_is_the_codes():
    """Attempts, waits and what is remembered."""
    assert access.FREE_ATTEMPTS == 5
    assert "After five wrong attempts" in GUIDE
    assert (access.FREE_FAILURES, access.LONGEST_CLIENT_WAIT) == (50, 10)
    assert "after fifty for whatever users, up to 10 s" in GUIDE
    assert f"up to {access.LONGEST_WAIT} s" in GUIDE
    assert access.REMEMBERED_S == 5 * 60
    assert "nothing for five minutes" in GUIDE
    assert access.TRACKED_S == 15 * 60
    assert "forgets after 15 minutes" in GUIDE


def test_every_header_that_cannot_be_set_is_named():
    """Those of one connection by their common names."""
    passage = GUIDE[GUIDE.index("**Not settable**") :].partition("\n\n")[0].lower()
    named = {name for name in map(bytes.decode, NOT_SETTABLE) if name in passage}

    assert {n for n in map(bytes.decode, NOT_SETTABLE) if not n.startswith("proxy-")} == named
    assert "proxy-" in passage


@pytest.mark.parametrize("command", ["check", "explain", "replay", "import", "hash-password"])
def test_the_guide_names_every_option_of_the_commands_about_rules(command):
    """But for those that all commands have."""
    commands = next(a for a in parser()._actions if a.choices and "explain" in a.choices).choices
    common = {action.dest for action in commands["serve"]._actions}
    for action in commands[command]._actions:
        if action.dest not in common and action.option_strings:
            assert any(option in GUIDE for option in action.option_strings), action.dest


def test_the_links_of_the_guide_lead_to_its_headings():
    """By the anchors that GitHub makes of them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}

    assert set(re.findall(r"\]\(#([^)]*)\)", GUIDE)) <= anchors


# What commands print

LOG = """\
203.0.113.7 - - [23/Nov/2026:10:00:01 +0000] "GET /old.html HTTP/1.1" 301 0 "-" "-"
203.0.113.7 - - [23/Nov/2026:10:00:01 +0000] "GET /about HTTP/1.1" 200 6 "-" "-"
203.0.113.8 - - [23/Nov/2026:10:00:02 +0000] "GET /help/setup HTTP/1.1" 200 0 "-" "-"
203.0.113.9 - - [23/Nov/2026:10:00:03 +0000] "GET /help/setup HTTP/1.1" 200 0 "-" "-"
203.0.113.9 - - [23/Nov/2026:10:00:04 +0000] "GET /old.html?from=mail HTTP/1.1" 301 0 "-" "-"
"""

NEW = """\
[
  {"source": "/old.html", "target": "/about", "status": "302"},
  {"source": "/help/<*>", "target": "/docs/<*>", "status": "301"},
  {"source": "/<*>", "target": "/index.html", "status": "fallback"}
]
"""

PRINTED = [block for block in blocks("") if block.text.startswith("$ edge ")]


def normal(text: str) -> str:
    """Without what is another each time."""
    return re.sub(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}", "DEPLOYMENT", text).strip()


@pytest.mark.parametrize("block", PRINTED, ids=lambda block: block.text.split("\n")[0])
def test_what_a_page_says_that_a_command_prints_is_printed(shop, block):
    """With the rules and headers that the page shows first."""
    command, _, printed = block.text.partition("\n")
    rules = next(b.text for b in RULE_BLOCKS if b.page == block.page)
    pasted = (b for b in YAML_BLOCKS if b.page == block.page)
    headers = next(b.text for b in pasted if file_of(b) == "customHttp.yml")
    shop.write(rules=rules, customHttp=headers)
    shop.changes.reload()
    write_tree(shop.folder, {"access.log": LOG, "new.json": NEW})
    if " check" in command:
        shop.write(rules='[\n  {"source": "/a/<*>", "target": "/b/<rest>"}\n]\n')
    words = re.findall(r"'[^']*'|\S+", command.removeprefix("$ edge "))
    done = subprocess.run(
        [EDGE, *(word.strip("'") for word in words)],
        cwd=shop.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert normal(done.stdout + done.stderr) == normal(printed)


def test_what_the_guide_shows_is_printed_by_these_commands():
    """One example of each."""
    shown = {block.text.split()[2] for block in PRINTED}

    assert {"check", "explain", "replay"} <= shown


@pytest.mark.parametrize("block", QUESTIONS, ids=lambda block: block.text[:40])
def test_every_question_of_the_guide_is_answered(shop, block):
    """As `POST /v1/explain` answers it."""
    rules = next(b.text for b in RULE_BLOCKS if b.page == block.page)
    shop.write(rules=rules)
    shop.changes.reload()
    trail = ask(block.text.encode(), shop.changes.rehearsals, shop.changes.fleet.stored)

    place = "/new?a=1" if "rules" in block.text else "/index.html"
    assert place in (trail["location"], trail["file"])


# Access

BRANCHES = ("main", "feature/x", "feature/kept", "feature/open")


def test_the_access_of_a_branch_takes_the_place_of_the_apps():
    """Its users stay where it names none; `{}` opens it; the exact name wins over a pattern."""
    assert "without `users` it has the app's, with `users: {}` it is open" in GUIDE
    block = next(block for block in YAML_BLOCKS if "users: {}" in block.text)
    digest = re.search(r'"(\$argon2[^"]+)"', block.text)
    assert digest is not None
    app, errors = decode_app(
        block.text.replace("users: {}", f'users: {{all: "{digest[1]}"}}')
        + "  feature/kept: {access: {exempt: [/a]}}\n  feature/open: {access: {users: {}}}\n",
        "app.yml",
    )
    assert errors == []
    users = {name: branch_settings(app, name).access.users for name in BRANCHES}

    assert [list(each) for each in users.values()] == [["all"], ["team"], ["all"], []]


# The demo


def test_the_demo_has_rules_that_hold(tmp_path):
    """No mistake, no warning, every test met; nothing that a browser would refuse."""
    shutil.copytree(ROOT / "rules" / "demo", tmp_path / "rules" / "demo")
    site = tmp_path / "rules" / "demo" / "site"
    files = {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in site.rglob("*")
        if path.is_file()
    }
    changes = new_store(tmp_path)
    changes.reload()
    changes.activate(upload(changes, "demo", "main", files).id)
    found = changes.check()

    assert (found.errors, found.warnings) == ([], [])
    assert all(rule.tests for rule in found.rules["demo"].rules)
    assert "Content-Security-Policy" not in (ROOT / "rules" / "demo" / "customHttp.yml").read_text()
