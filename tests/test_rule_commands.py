"""Commands about rules: check, explain, replay, import, and hashes of passwords."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import re
import select
import subprocess
import sys

import pytest

from edge.control.passwords import ARGON2ID
from tests.support import EDGE, write_tree
from tests.support_cli import SITE, Shell, app, node, offline, online, quiet, shell
from tests.support_control import write_app

FIXTURES = app, node, offline, online, quiet, shell
PAGES = {"index.html": "<h1>hello</h1>", "about.html": "about", "docs/index.html": "docs"}
RULES = [
    {"source": "/old", "target": "/about", "status": "301"},
    {"source": "/de", "target": "/docs/", "status": "302", "condition": "<DE>"},
    {"source": "/<*>", "target": "/index.html", "status": "fallback"},
]
HEADERS = "customHeaders: [{pattern: '*.html', headers: [{key: X-Own, value: mine}]}]\n"
PASSWORD = "correct horse"


def write_rules(folder, app, rules):
    """`redirects.json`, a rule a line from line 2 on."""
    write_app(folder, app)
    lines = ",\n".join(json.dumps(rule) for rule in rules)
    (folder / "rules" / app / "redirects.json").write_text(f"[\n{lines}\n]\n")


def serve(shell, app, rules=RULES, files=PAGES, headers=""):
    """Deploy an app with these rules and headers; the document of the deploy."""
    write_rules(shell.folder, app, rules)
    (shell.folder / "rules" / app / "customHttp.yml").write_text(headers)
    shell("reload")
    return shell.deploy(files, app)


# Checking


def test_check_finds_everything(offline):
    """All mistakes of all files, sorted, one a line with what to do; nothing is made."""
    (offline.folder / "edge.yml").write_text("stat: x\nlimits: {drain: soon}\n")
    write_app(offline.folder, "b", "retain: {deployments: x}\nnope: 1\n")
    write_app(offline.folder, "a", "domains: 5\n")
    write_app(offline.folder, "good")

    out, err = offline("check", code=1)
    document = offline.json("check", code=1)

    pattern = re.compile(r"(\S+:[0-9]+:[0-9]+): .+")
    assert out == ""
    assert [pattern.fullmatch(line)[1] for line in err.splitlines()] == [
        "edge.yml:1:1",
        "edge.yml:2:17",
        "rules/a/app.yml:1:10",
        "rules/b/app.yml:1:23",
        "rules/b/app.yml:2:1",
    ]
    assert "(did you mean 'state'?)" in err
    assert (len(document["errors"]), document["apps"]) == (5, 3)
    assert sorted(path.name for path in offline.folder.iterdir()) == ["edge.yml", "rules"]


def test_check_of_some_apps(offline):
    """The others' mistakes are left out; those of edge.yml are not."""
    write_app(offline.folder, "a", "nope: 1\n")
    write_app(offline.folder, "b", "nope: 1\n")
    write_app(offline.folder, "good")

    assert offline("check", "good")[0] == "1 app, no mistakes\n"
    assert offline("check", "a", "good", code=1)[1].startswith("rules/a/app.yml:1:1: ")
    assert len(offline.json("check", "a", "b", code=1)["errors"]) == 2
    assert offline("check", "nope", code=1)[1] == "edge: there is no app folder nope\n"
    (offline.folder / "edge.yml").write_text("nope: 1\n")
    assert offline("check", "good", code=1)[1].startswith("edge.yml:1:1: ")


def test_check_of_what_is_good(offline):
    """Exit code 0, also when asked to be strict."""
    write_app(offline.folder, "a")
    write_app(offline.folder, "b")

    assert offline("check")[0] == "2 apps, no mistakes\n"
    assert offline("check", "--strict")[0] == "2 apps, no mistakes\n"
    assert offline.json("check") == {"errors": [], "warnings": [], "apps": 2}


def test_check_names_both_who_claim_a_hostname(offline):
    """At the key of each."""
    for name in ("a", "b"):
        write_app(offline.folder, name, 'domains: {x.example: {subdomains: {"": main}}}\n')

    _, err = offline("check", code=1)

    assert [line.split(": ")[0] for line in err.splitlines()] == [
        "rules/a/app.yml:1:36",
        "rules/b/app.yml:1:36",
    ]
    assert "claimed by app a branch main and by app b branch main" in err


def test_check_by_the_program(offline):
    """As a script calls it: the real command, its exit code, no traceback."""
    write_app(offline.folder, "a", "nope: 1\n")

    done = subprocess.run(
        [EDGE, "check"], cwd=offline.folder, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("rules/a/app.yml:1:1: unknown key 'nope'")


INERT = {"source": "/<*>/x", "target": "/y"}
COVERED = [{"source": "/a/<*>", "target": "/b"}, {"source": "/a/b", "target": "/c"}]


def test_check_warns_and_passes(offline):
    """Each warning has its place; only `--strict` makes it count, the exit code alone changes."""
    write_rules(offline.folder, "shop", [INERT, *COVERED])

    out, err = offline("check")

    assert out == "1 app, 2 warnings\n"
    inert, covered = err.splitlines()
    assert inert.startswith(
        "rules/shop/redirects.json:2:2: warning: [0].source: the rule never matches: <*> stands"
    )
    assert covered.startswith(
        "rules/shop/redirects.json:4:1: warning: [2].source: the rule never matches: rule [1] on "
    )
    assert offline("check", "--strict", code=1) == (out, err)


def test_check_has_warnings_as_a_document(offline):
    """With the same keys as mistakes; strict or not, the document is the same."""
    write_rules(offline.folder, "shop", [INERT])

    document = offline.json("check")

    (warning,) = document["warnings"]
    assert warning == {
        "file": "rules/shop/redirects.json",
        "line": 2,
        "column": 2,
        "message": "[0].source: the rule never matches: <*> stands elsewhere than at the end",
        "hint": "write it once, at the path's end",
    }
    assert (document["errors"], document["apps"]) == ([], 1)
    assert offline.json("check", "--strict", code=1) == document


def test_check_of_some_apps_leaves_out_the_others_warnings(offline):
    """As it does with mistakes, also when warnings count."""
    write_rules(offline.folder, "odd", [INERT])
    write_app(offline.folder, "good")

    assert offline("check", "good", "--strict") == ("1 app, no mistakes\n", "")
    assert offline("check", "odd")[0] == "1 app, 1 warning\n"
    assert offline("check")[0] == "2 apps, 1 warning\n"


def test_check_shows_mistakes_and_warnings_together(offline):
    """With a mistake there is no line that sums up, and the exit code says so."""
    write_rules(offline.folder, "shop", [INERT])
    write_app(offline.folder, "bad", "nope: 1\n")

    out, err = offline("check", code=1)

    assert out == ""
    mistake, warning = err.splitlines()
    assert mistake.startswith("rules/bad/app.yml:1:1: unknown key 'nope'")
    assert warning.startswith("rules/shop/redirects.json:2:2: warning: [0].source: ")


def test_check_knows_what_serves(shell, app):
    """Lints meet the files of the production branch, with a node and without."""
    serve(shell, app, [{"source": "/x", "target": "/nowhere", "status": "301"}])

    _, err = shell("check", app)

    assert "[0].target: the target /nowhere does not exist in the deployment" in err


# Explaining


def test_explain_tells_the_whole_trail(shell, app):
    """Host, deployment, every rule tried, the answer, headers and cache."""
    served = serve(shell, app, headers=HEADERS)
    host = f"main.{app}.edge.localhost"

    assert shell("explain", f"http://{host}/about.html")[0] == (
        f"GET {host}/about.html\n"
        f"  {host}: app {app}, branch main, {served['id']}\n"
        "    rule [0] on line 2, 301 /old: the path is not /old\n"
        "    rule [1] on line 3, 302 /de: the country is unknown, not DE\n"
        "  about.html is the file of this path\n"
        "  answer: 200 /about.html\n"
        "  header patterns: *.html\n"
        "  Cache-Control: public, max-age=0, s-maxage=600\n"
        "  X-Robots-Tag: noindex\n"
        "  X-Own: mine\n"
        "  cache: stored at the edge for 600 s by default (at most 600 s); a deploy ends it\n"
    )


def test_explain_as_a_document(shell, app):
    """Everything that the text says, and each rule by itself."""
    served = serve(shell, app)
    host = f"main.{app}.edge.localhost"

    trail = shell.json("explain", f"{host}/old?a=1")

    (tried,) = trail["tried"]
    assert tried == {
        "rule": 0,
        "line": 2,
        "source": "/old",
        "status": "301",
        "matched": True,
        "why": "it matches",
    }
    assert (trail["app"], trail["branch"], trail["deployment"]) == (app, "main", served["id"])
    assert (trail["status"], trail["location"], trail["file"]) == (301, "/about?a=1", None)
    assert trail["url"] == f"{host}/old?a=1"


def test_explain_takes_a_country(shell, app):
    """In either case; without one it is unknown."""
    serve(shell, app)
    url = f"main.{app}.edge.localhost/de"

    assert shell.json("explain", url)["file"] == "/index.html"
    trail = shell.json("explain", url, "--country", "de")
    assert (trail["country"], trail["status"], trail["location"]) == ("DE", 302, "/docs/")


def test_explain_takes_headers(shell, app):
    """Several; a missing script is a page's business only when a page is asked for."""
    serve(shell, app)
    url = f"main.{app}.edge.localhost/missing.js"

    assert shell.json("explain", url)["status"] == 404
    trail = shell.json("explain", url, "-H", "X-A: b", "--header", "Accept: text/html")
    assert (trail["status"], trail["file"]) == (200, "/index.html")


def test_explain_takes_the_host_of_a_header(shell, app):
    """As curl does: the URL may be the node's own address."""
    served = serve(shell, app)

    trail = shell.json(
        "explain", "http://127.0.0.1:8080/", "-H", f"Host: main.{app}.edge.localhost"
    )

    assert trail["deployment"] == served["id"]


def test_explain_takes_a_method(shell, app):
    """Files have GET and HEAD alone."""
    serve(shell, app)

    out, _ = shell("explain", f"main.{app}.edge.localhost/about", "--method", "POST")

    assert out.startswith(f"POST main.{app}.edge.localhost/about\n")
    assert "  answer: 405\n" in out
    assert "no file is there" not in out


def test_explain_of_an_unknown_host(shell):
    """It is an answer, not a failure: 404, and why."""
    assert shell("explain", "https://nobody.example/")[0] == (
        "GET nobody.example/\n  no app of this node claims this hostname\n  answer: 404\n"
    )


def test_explain_of_a_node_elsewhere(online, node, app, tmp_path, monkeypatch):
    """`--node` asks its admin API, from any folder."""
    served = serve(online, app)
    monkeypatch.chdir(tmp_path)
    address = ["--node", f"http://127.0.0.1:{node.admin_port}"]
    token = ["--token-file", node.folder / "var" / "admin.token"]

    trail = online.json("explain", f"main.{app}.edge.localhost/", *address, *token)

    assert trail["deployment"] == served["id"]


def test_explain_agrees_with_and_without_a_node(offline, node, app, monkeypatch):
    """The very same trail, but for the deployment's own id."""

    def trails(shell):
        identifier = serve(shell, app, headers=HEADERS)["id"]
        paths = ["/", "/old", "/de", "/about/", "/docs", "/none.js", "/%zz", "/é x?q"]
        found = [shell("explain", f"main.{app}.edge.localhost{path}", "--json") for path in paths]
        return [out.replace(identifier, "ID") for out, _ in found]

    without = trails(offline)
    monkeypatch.chdir(node.folder)

    assert trails(Shell(node.folder, offline.capsys)) == without


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["ftp://x/"], "'ftp://x/' is no URL: write https://host/path"),
        (["/only/a/path"], "'/only/a/path' is no URL: write https://host/path"),
        ([""], "'' is no URL: write https://host/path"),
        (["x.example", "--country", "XX"], "'XX' is no country: write a code such as US"),
        (["x.example", "--country", ""], "'' is no country: write a code such as US"),
        (["x.example", "-H", "nope"], "'nope' is no header: write -H 'Name: value'"),
        (["x.example", "-H", "a b: c"], "'a b' is no header: write 'Name: value'"),
        (["x.example", "-H", "a: b\nc"], "'a' is no header: write 'Name: value'"),
        (["x.example", "--method", "G T"], "'G T' is no method: write GET, HEAD, POST …"),
        (["x.example/\udcff"], "'x.example/\\udcff' is not UTF-8: percent-encode it"),
        (["x.example", "-H", "a: \udcff"], "'a: \\udcff' is not UTF-8: percent-encode it"),
        (["x.example", "--method", "\udcff"], "'\\udcff' is not UTF-8: percent-encode it"),
        (["x.example", "--country", "\udcff"], "'\\udcff' is not UTF-8: percent-encode it"),
    ],
)
def test_what_is_no_question_is_told(shell, arguments, text):
    """One clear line and exit code 1, the same with a node and without."""
    assert shell("explain", *arguments, code=1) == ("", f"edge: {text}\n")
    assert shell.json("explain", *arguments, code=1)["error"] == text


# Replaying

OURS = (
    '{"method": "GET", "host": "HOST", "path": "/old", "query": "a=1", "status": 301}\n'
    '{"method": "GET", "host": "HOST", "path": "/about", "status": 200}\n'
    '{"method": "GET", "host": "HOST", "path": "/old", "query": "a=1", "status": 301}\n'
)
AMPLIFY = (
    "date,time,cs-method,cs\\(Host),cs-uri-stem,sc-status,cs-uri-query,x-host-header\n"
    "2026-08-16,16:25:50,GET,d1.cloudfront.net,/old,301,a\\=1,HOST\n"
    "2026-08-16,16:25:50,GET,d1.cloudfront.net,/about,200,-,HOST\n"
    "2026-08-16,16:25:50,GET,d1.cloudfront.net,/old,301,a\\=1,HOST\n"
)
COMBINED = "".join(
    f'203.0.113.40 - - [16/Aug/2026:16:25:50 +0000] "GET {target} HTTP/1.1" 200 61 "-" "curl/8"\n'
    for target in ("/old?a=1", "/about", "/old?a=1")
)
OTHER_RULES = '[{"source": "/old", "target": "/new", "status": "302"}]'


@pytest.fixture
def replaying(shell, app):
    """An app that serves, a file of other rules, and the name of its host."""
    serve(shell, app)
    (shell.folder / "other.json").write_text(OTHER_RULES)
    return f"main.{app}.edge.localhost"


def write_log(shell, text, host):
    """A log of requests to a host."""
    path = shell.folder / "access.log"
    path.write_text(text.replace("HOST", host))
    return path


@pytest.mark.parametrize(
    ("log", "more"),
    [(OURS, []), (AMPLIFY, []), (COMBINED, ["--host"])],
    ids=["ours", "Amplify's", "combined"],
)
def test_replay_lists_what_would_change(shell, app, replaying, log, more):
    """Of logs in any format: each request once, with how often, what is, and what would be."""
    path = write_log(shell, log, replaying)
    arguments = ["replay", path, "--rules", "other.json", "--app", app]
    arguments += [*more, replaying] if more else []

    out, err = shell(*arguments)

    lines = out.splitlines()
    assert lines[0] == "3 requests, 2 would be answered differently"
    assert [re.split(r"  +", line) for line in lines[1:]] == [
        ["requests", "request", "now", "then"],
        ["2", f"GET {replaying}/old?a=1", "301 /about?a=1", "302 /new?a=1"],
    ]
    assert err == ""
    assert shell.json(*arguments) == {
        "requests": 3,
        "changed": 2,
        "unlisted": 0,
        "changes": [
            {
                "request": f"GET {replaying}/old?a=1",
                "now": "301 /about?a=1",
                "then": "302 /new?a=1",
                "count": 2,
            }
        ],
        "unclaimed": 0,
        "hosts": [],
        "skipped": 0,
        "examples": [],
    }


def test_replay_by_the_folders_as_they_are(offline, app):
    """Without --rules a log is asked of what a reload would serve; nothing is served by that."""
    serve(offline, app)
    host = f"main.{app}.edge.localhost"
    path = write_log(offline, OURS, host)
    assert offline("replay", path)[0] == "3 requests, 0 would be answered differently\n"

    write_rules(offline.folder, app, [{"source": "/about", "target": "/", "status": "302"}])
    changes = offline.json("replay", path)["changes"]

    assert [(each["request"], each["now"], each["then"]) for each in changes] == [
        (f"GET {host}/old?a=1", "301 /about?a=1", "404"),
        (f"GET {host}/about", "200 /about.html", "302 /"),
    ]
    assert offline.json("explain", f"{host}/old")["status"] == 301


def test_replay_reads_standard_input(offline, app):
    """`-` is a log that another program writes."""
    serve(offline, app)
    (offline.folder / "other.json").write_text(OTHER_RULES)
    log = OURS.replace("HOST", f"main.{app}.edge.localhost")

    done = subprocess.run(
        [EDGE, "replay", "-", "--rules", "other.json"],
        cwd=offline.folder,
        input=log,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 requests, 2 would be answered differently\n")


def test_replay_says_what_it_could_not_read(shell, app, replaying):
    """Lines that are none are counted, with places and reasons; the others are replayed."""
    path = write_log(shell, OURS + "nonsense\n", replaying)
    arguments = ["replay", path, "--rules", "other.json", "--app", app]

    out, err = shell(*arguments)

    assert out.startswith("3 requests, 2 ")
    example, count = err.splitlines()
    assert example.startswith(f"edge: {path}:4: JSON is malformed")
    assert count == "edge: 1 line could not be read"
    document = shell.json(*arguments)
    assert (document["skipped"], len(document["examples"])) == (1, 1)


def test_replay_says_which_hosts_nobody_has(shell, app, replaying):
    """Their answers cannot change: nobody is to take that for good news."""
    path = write_log(shell, OURS, "nobody.example")
    arguments = ["replay", path, "--rules", "other.json", "--app", app]

    out, err = shell(*arguments)

    assert out == "3 requests, 0 would be answered differently\n"
    assert err == "edge: 3 requests named hosts that no app has, such as nobody.example\n"
    document = shell.json(*arguments)
    assert (document["unclaimed"], document["hosts"]) == (3, ["nobody.example"])


def test_replay_needs_no_app_where_there_is_one(offline):
    """With several it has to be said, with those there are."""
    offline.deploy(app="one")
    (offline.folder / "other.json").write_text(OTHER_RULES)
    path = write_log(offline, OURS, "main.one.edge.localhost")
    arguments = ["replay", path, "--rules", "other.json"]
    assert offline.json(*arguments)["requests"] == 3

    offline.deploy(app="two")

    text = "edge: say whose rules these are with --app (there are: one, two)\n"
    assert offline(*arguments, code=1) == ("", text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nope.log"], "edge: nope.log cannot be read: No such file or directory; name an access"),
        (["other.json"], 'edge: other.json:1: the line \'[{"source": '),
        (["ok.log", "--rules", "nope.json"], "nope.json:1:1: there is no such file (give the path"),
        (["ok.log", "--rules", "bad.json"], "bad.json:1:17: [0].target: unknown placeholder <x>"),
        (["ok.log", "--rules", "other.json", "--app", "nope"], "edge: there is no app nope (there"),
        (["ok.log", "--app", "shop"], "edge: --app goes with --rules: it says whose rules these"),
        (["ok.log", "--rules", "other.json"], "edge: line 1 names no host; say which with --host"),
        (["ok.log", "--rules", "other.json", "--host", "a b"], "edge: 'a b' is no host: write www"),
        (["ok.log", "--rules", "other.json", "--host", "\udcff"], "edge: '\\udcff' is no host"),
        (["ok.log", "--node", "http://x"], "edge: replay reads the state folder: run it on the"),
    ],
)
def test_a_replay_that_cannot_be_is_told(offline, arguments, text):
    """One line and exit code 1."""
    offline.deploy()
    write_tree(
        offline.folder,
        {
            "other.json": OTHER_RULES,
            "bad.json": '[{"source":"/a","target":"/<x>"}]',
            "ok.log": COMBINED,
        },
    )

    out, err = offline("replay", *arguments, code=1)

    assert (out, err.count("\n"), err[: len(text)]) == ("", 1, text)


def test_replay_by_folders_with_mistakes_is_refused(offline):
    """With the mistakes, as a reload would be."""
    offline.deploy()
    write_app(offline.folder, "shop", "nope: 1\n")
    path = write_log(offline, OURS, "x.example")

    assert offline("replay", path, code=1)[1].startswith("rules/shop/app.yml:1:1: unknown key")


# Importing

NETLIFY = {
    "_redirects": "/old /new 301!\n/api/* https://api.example.net/:splat 200!\n",
    "_headers": "/*\n  X-Frame-Options: DENY\n",
    "netlify.toml": '[functions]\ndirectory = "f"\n',
}
AMPLIFY_APP = {
    "app": {
        "name": "My Shop",
        "customRules": [
            {"source": "/old", "target": "/new", "status": "301"},
            {"source": "/x", "target": "/<nope>", "status": "301"},
        ],
        "customHeaders": "customHeaders: [{pattern: '**', headers: [{key: X-A, value: b}]}]",
        "enableBasicAuth": True,
        "basicAuthCredentials": base64.b64encode(b"team:correct horse").decode(),
    }
}


def test_import_from_netlify(offline):
    """The folder is written, what stays behind is told, and the node takes and serves it."""
    source = write_tree(offline.folder / "nl", NETLIFY)
    folder = offline.folder / "rules" / "blog"

    out, err = offline("import", "netlify", source, "--app", "blog")

    assert out.splitlines() == [
        f"wrote {folder / 'app.yml'}",
        f"wrote {folder / 'redirects.json'}",
        f"wrote {folder / 'customHttp.yml'}",
        "next: edge check blog",
    ]
    *notes, last = err.splitlines()
    assert any(note.startswith(f"{source / 'netlify.toml'}:1: functions stays") for note in notes)
    plural = "" if len(notes) == 1 else "s"
    assert last == f"edge: {len(notes)} note{plural} on what is not carried over as it was"
    assert offline("check", "blog", "--strict") == ("1 app, no mistakes\n", "")
    offline.deploy(SITE, "blog")
    offline("reload")
    trail = offline.json("explain", "main.blog.edge.localhost/old")
    assert (trail["status"], trail["location"]) == (301, "/new")
    assert ["X-Frame-Options", "DENY"] in trail["fields"]


def test_import_from_amplify(offline):
    """The same, under the app's own name made a label; its password still closes it."""
    (offline.folder / "get-app.json").write_text(json.dumps(AMPLIFY_APP))

    document = offline.json("import", "amplify", "get-app.json")

    folder = offline.folder / "rules" / "my-shop"
    names = ["app.yml", "redirects.json", "customHttp.yml"]
    assert (document["app"], document["files"]) == ("my-shop", [str(folder / n) for n in names])
    assert any("the rule for '/x' is left out" in note["what"] for note in document["notes"])
    assert all(note.keys() == {"file", "line", "what", "why"} for note in document["notes"])
    assert offline("check", "my-shop", "--strict") == ("1 app, no mistakes\n", "")
    offline("reload")
    offline.deploy(SITE, "my-shop")
    trail = offline.json("explain", "main.my-shop.edge.localhost/old")
    assert (trail["status"], trail["location"], trail["password"]) == (301, "/new", True)
    assert "correct horse" not in (folder / "app.yml").read_text()


def test_a_folder_that_is_there_is_never_written_over(offline):
    """The second import is refused, and nothing of the first changes."""
    source = write_tree(offline.folder / "nl", NETLIFY)
    offline("import", "netlify", source)
    file = offline.folder / "rules" / "nl" / "app.yml"
    file.write_text("# mine\n")

    out, err = offline("import", "netlify", source, code=1)

    assert out == ""
    assert err.startswith(f"edge: {file.parent} is not empty; move it away")
    assert file.read_text() == "# mine\n"


@pytest.mark.parametrize("name", ["Shop", "../evil", "", "a/b", "\udcff"])
def test_an_app_that_no_node_takes_is_not_imported(offline, name):
    """Refused before anything is written, inside of the folder of the apps or outside."""
    source = write_tree(offline.folder / "nl", NETLIFY)
    before = sorted(offline.folder.rglob("*"))

    out, err = offline("import", "netlify", source, "--app", name, code=1)

    assert (out, "is no app name: use a-z, 0-9 and -" in err) == ("", True)
    assert sorted(offline.folder.rglob("*")) == before


@pytest.mark.parametrize("kind", ["amplify", "netlify"])
def test_what_is_nothing_of_theirs_is_not_imported(offline, kind):
    """One line on stderr, and no folder."""
    write_tree(offline.folder / "empty", {"readme.txt": "x"})

    for path in ("empty", "nowhere"):
        out, err = offline("import", kind, path, code=1)
        assert (out, err.count("\n"), err[:6]) == ("", 1, "edge: ")
    assert list((offline.folder / "rules").iterdir()) == []


# Passwords


@pytest.mark.parametrize("option", ["--json", "--bcrypt"])
def test_a_hash_opens_the_branch(online, node, app, monkeypatch, option):
    """What `hash-password` prints goes into app.yml, and the password is the key from then on."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))
    hashed = online("hash-password", option)[0].strip()
    if option == "--json":
        hashed = json.loads(hashed)["hash"]
    write_app(online.folder, app, f"access: {{users: {{team: '{hashed}'}}}}\n")
    online("reload")
    online.deploy(app=app)

    def status(password):
        login = base64.b64encode(f"team:{password}".encode()).decode()
        host = f"main.{app}.edge.localhost"
        return node.get("/", host, Authorization=f"Basic {login}")[0]

    assert hashed.startswith("$2b$" if option == "--bcrypt" else "$argon2id$")
    assert (status(PASSWORD), status("correct horses")) == (200, 401)


@pytest.mark.parametrize("line", [f"{PASSWORD}\n", PASSWORD, f"{PASSWORD}\r\nmore\n"])
def test_a_password_is_the_first_line(offline, monkeypatch, line):
    """Without the end of the line, whatever that is; the hash is all that is printed."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(line))
    out, err = offline("hash-password")

    assert (out.count("\n"), err) == (1, "")
    assert ARGON2ID.verify(out.strip(), PASSWORD)


@pytest.mark.parametrize(
    ("password", "text"),
    [
        (b"short\n", "the password has 5 characters; use 7 or more"),
        (b"", "the password has 0 characters; use 7 or more"),
        (b"correct\xff horse\n", "the password is not valid UTF-8; check the terminal's encoding"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8:strict", "utf-8:surrogateescape"])
def test_what_is_no_password_is_refused(password, text, encoding):
    """One line on stderr, without the password, under any locale."""
    done = subprocess.run(
        [EDGE, "hash-password"],
        input=password,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == f"edge: {text}\n"


class Terminal:
    """`edge hash-password` on a terminal of its own."""

    def __init__(self, *options):
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [EDGE, "hash-password", *options],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        os.close(self.ours)

    def answer(self, prompt, text):
        """Wait for a prompt at the end of what is shown, and type."""
        while not self.shown.endswith(prompt):
            assert select.select([self.ours], [], [], 15)[0], self.shown
            self.shown += os.read(self.ours, 1000)
        os.write(self.ours, text)

    def end(self):
        """(exit code, stdout), when it ended."""
        out, _ = self.process.communicate(timeout=30)
        while select.select([self.ours], [], [], 0)[0]:
            try:
                chunk = os.read(self.ours, 1000)
            except OSError:  # nobody has the other end any more
                break
            self.shown += chunk
        return self.process.returncode, out.decode()


def test_a_terminal_is_asked_twice():
    """The password is not shown, and stdout has the hash alone."""
    with Terminal() as terminal:
        terminal.answer(b"Password: ", b"correct horse\n")
        terminal.answer(b"Again: ", b"correct horse\n")
        code, out = terminal.end()

    assert (code, out.startswith("$argon2id$"), out.count("\n")) == (0, True, 1)
    assert b"horse" not in terminal.shown


def test_two_passwords_that_differ_are_refused():
    """A typo must not lock anybody out."""
    with Terminal() as terminal:
        terminal.answer(b"Password: ", b"correct horse\n")
        terminal.answer(b"Again: ", b"correct hrose\n")
        code, out = terminal.end()

    assert (code, out) == (1, "")
    assert terminal.shown.endswith(b"edge: the two passwords differ; nothing was hashed\r\n")


def test_a_bad_password_is_told_before_it_is_typed_again():
    """Once is enough to learn that it is too short."""
    with Terminal("--bcrypt") as terminal:
        terminal.answer(b"Password: ", b"short\n")
        code, out = terminal.end()

    assert (code, out) == (1, "")
    assert b"Again" not in terminal.shown
    assert terminal.shown.endswith(b"the password has 5 characters; use 7 or more\r\n")


def test_a_terminal_that_says_nothing_is_refused():
    """Ctrl-D at a prompt is no traceback."""
    with Terminal() as terminal:
        terminal.answer(b"Password: ", b"\x04")
        code, out = terminal.end()

    assert (code, out) == (1, "")
    assert terminal.shown.endswith(b"edge: no password was entered; nothing was hashed\r\n")
