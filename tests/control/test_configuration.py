"""The operator's files, read with all their mistakes."""

from __future__ import annotations

import json

import pytest

from edge.control.configuration import (
    Configuration,
    Rules,
    as_json,
    check_tracing,
    config_root,
    create_app_folder,
    find_state,
    read_app,
    read_apps,
    read_rules,
    read_settings,
)
from edge.control.reload import Refused
from edge.errors import ConfigError, StoreError
from edge.site.documents import App
from edge.site.headers import CustomHttp, Header, HeaderEntry
from edge.site.redirects import Rule
from edge.site.settings import Settings
from tests.support_control import write_app
from tests.support_serving import Site


def test_without_a_file_there_are_the_defaults(tmp_path, monkeypatch):
    """And relative paths start from where the command runs."""
    monkeypatch.chdir(tmp_path)

    assert read_settings(None) == (Settings(), [])
    assert config_root(None) == tmp_path


def test_relative_paths_start_at_the_config(tmp_path):
    """Not at the folder that the command runs in."""
    assert config_root(tmp_path / "node" / "edge.yml") == tmp_path / "node"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "there is no such file (give -c the path"),
        (b"state: \xff\n", "is not UTF-8"),
        (b"stat: x\n", "unknown key 'stat' (did you mean 'state'?)"),
    ],
    ids=["missing", "latin-1", "typo"],
)
def test_a_bad_settings_file_is_located(tmp_path, content, text):
    """One mistake, with the file and what to do."""
    file = tmp_path / "edge.yml"
    if content is not None:
        file.write_bytes(content)

    settings, errors = read_settings(file)

    assert settings is None
    assert len(errors) == 1
    assert str(errors[0]).startswith(f"{file}:1:1: ")
    assert text in str(errors[0])


def test_a_settings_file_that_cannot_be_opened_is_located(tmp_path):
    """A folder in its place, say."""
    settings, errors = read_settings(tmp_path)

    assert settings is None
    assert "cannot be read: Is a directory (check its permissions)" in str(errors[0])


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("state: other\nlisten: 5\n", "other"),
        ("listen: 5\n", "var"),
        ("state: [a]\n", "var"),
        ("state: {\n", "var"),
    ],
    ids=["named", "not named", "list", "no yaml"],
)
def test_the_state_folder_is_found_whatever_else_is_wrong(tmp_path, text, state):
    """So that a node with a mistake in edge.yml finds what it served last."""
    file = tmp_path / "edge.yml"
    file.write_text(text)

    assert find_state(file) == state
    assert find_state(None) == "var"


def test_every_mistake_of_every_file_is_found(tmp_path):
    """In one go, sorted by place; the good app is read all the same."""
    write_app(tmp_path, "good", "production_branch: trunk\n")
    write_app(tmp_path, "bad", "nope: 1\nretain: {deployments: x}\ndomains: 5\n")
    write_app(tmp_path, "worse", "a: [\n")

    found = read_apps(tmp_path / "rules", "rules")

    assert found.apps == {"good": App(production_branch="trunk")}
    assert sorted(found.broken) == ["bad", "worse"]
    places = [(error.file, error.line) for error in found.errors]
    assert places[:3] == [("rules/bad/app.yml", line) for line in (1, 2, 3)]
    assert places[3][0] == "rules/worse/app.yml"


def test_what_is_no_app_is_passed_over(tmp_path):
    """Files, hidden folders, and folders that begin with an underscore."""
    for name in (".git", "_drafts", "shop"):
        (tmp_path / "rules" / name).mkdir(parents=True)
    (tmp_path / "rules" / "README.md").write_text("# Rules")

    assert list(read_apps(tmp_path / "rules", "rules").apps) == ["shop"]
    assert read_apps(tmp_path / "nowhere", "rules").apps == {}


def test_a_folder_without_a_file_has_the_defaults(tmp_path):
    """Every key is optional, and so is the file."""
    (tmp_path / "shop").mkdir()

    assert read_app(tmp_path / "shop", "rules/shop/app.yml").apps == {"shop": App()}


def test_a_folder_whose_name_is_no_app_is_a_mistake(tmp_path):
    """It would never have a hostname."""
    write_app(tmp_path, "My_App")

    found = read_apps(tmp_path / "rules", "rules")

    (error,) = found.errors
    assert str(error).startswith("rules/My_App/app.yml:1:1: 'My_App' is no app name (rename")


@pytest.mark.parametrize("kind", ["latin-1", "folder"])
def test_an_unreadable_file_is_its_apps_mistake(tmp_path, kind):
    """The others are read."""
    write_app(tmp_path, "good")
    file = tmp_path / "rules" / "bad" / "app.yml"
    file.parent.mkdir()
    file.mkdir() if kind == "folder" else file.write_bytes(b"\xff")

    found = read_apps(tmp_path / "rules", "rules")

    assert list(found.apps) == ["good"]
    assert [error.file for error in found.broken["bad"]] == ["rules/bad/app.yml"]


def test_an_apps_folder_that_cannot_be_listed_is_an_error(tmp_path):
    """What is in it is unknown: nobody may conclude that no app is."""
    (tmp_path / "rules").write_text("a file")

    with pytest.raises(StoreError, match="the folder of the apps cannot be read"):
        read_apps(tmp_path / "rules", "rules")


def test_a_refused_app_is_left_out():
    """Its mistakes are added to those it has."""
    found = Configuration()
    found.apps = {"a": App(), "b": App()}
    found.refuse("a", [ConfigError("f", 2, 1, "second")])
    found.refuse("a", [ConfigError("f", 1, 1, "first")])

    assert list(found.apps) == ["b"]
    assert [error.message for error in found.errors] == ["first", "second"]


def test_only_some_apps_may_be_looked_at():
    """Mistakes of edge.yml stay; those of the other apps do not."""
    found = Configuration()
    found.mistakes = [ConfigError("edge.yml", 1, 1, "m")]
    found.apps = {"a": App(), "b": App()}
    found.refuse("c", [ConfigError("c", 1, 1, "m")])
    found.refuse("d", [ConfigError("d", 1, 1, "m")])

    found.keep(["a", "c"])

    assert (list(found.apps), list(found.broken)) == (["a"], ["c"])
    assert [error.file for error in found.errors] == ["c", "edge.yml"]


def test_a_new_apps_folder_is_valid(tmp_path):
    """With the defaults, and a comment on what it is; one that is there is left alone."""
    create_app_folder(tmp_path / "rules", "shop")
    file = tmp_path / "rules" / "shop" / "app.yml"
    assert read_app(file.parent, "app.yml").apps == {"shop": App()}
    assert file.read_text().startswith("# shop: made by its first deploy")

    file.unlink()
    create_app_folder(tmp_path / "rules", "shop")

    assert not file.exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    """With what to do about it."""
    (tmp_path / "rules").write_text("a file")

    with pytest.raises(StoreError, match=r"rules/shop cannot be made: .*; make it, then activate"):
        create_app_folder(tmp_path / "rules", "shop")


def test_an_error_for_machines():
    """All that a person gets, in fields."""
    assert as_json(ConfigError("f", 1, 2, "m", "h")) == {
        "file": "f",
        "line": 1,
        "column": 2,
        "message": "m",
        "hint": "h",
    }


# Rules and headers

REDIRECTS_YML = "- source: /old\n  target: /new\n  status: 302\n"
REDIRECTS_JSON = '[{"source": "/old", "target": "/new", "status": "302"}]'
HEADERS = "customHeaders: [{pattern: '**', headers: [{key: X-Own, value: yours}]}]"
MONOREPO = "applications: [{appRoot: apps/shop, customHeaders: []}]"


def write(folder, name, content, app="shop"):
    """A file of an app's folder; a number is the size of one that is too large to be read."""
    path = folder / "rules" / app / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, int):
        with path.open("wb") as file:
            file.truncate(content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [("redirects.json", REDIRECTS_JSON, (1, 2)), ("redirects.yml", REDIRECTS_YML, (1, 3))],
)
def test_rules_may_be_written_in_either_form(tmp_path, name, text, place):
    """The same rules, in the file that they are said to be of."""
    write(tmp_path, name, text)
    found = read_apps(tmp_path / "rules", "rules")

    rule = Rule(source="/old", target="/new", status="302", line=place[0], column=place[1])
    assert found.rules == {"shop": Rules((rule,), f"rules/shop/{name}")}
    assert (found.errors, found.warnings) == ([], [])
    assert found.apps == {"shop": App()}


def test_headers_are_read(tmp_path):
    """In Amplify's format; an app without any has none."""
    write(tmp_path, "customHttp.yml", HEADERS)
    write(tmp_path, "app.yml", "", app="plain")
    found = read_apps(tmp_path / "rules", "rules")

    entry = HeaderEntry(pattern="**", headers=(Header(key="X-Own", value="yours"),))
    assert found.headers == {"shop": CustomHttp(custom_headers=(entry,))}
    assert found.rules == {}
    assert found.errors == []


def test_empty_files_of_rules_and_headers_are_none_on_purpose(tmp_path):
    """Where a file can be empty."""
    write(tmp_path, "redirects.yml", "# none yet\n")
    write(tmp_path, "customHttp.yml", "")
    found = read_apps(tmp_path / "rules", "rules")

    assert found.rules["shop"].rules == ()
    assert found.headers["shop"] == CustomHttp()
    assert found.errors == []


@pytest.mark.parametrize(
    ("app_yml", "problem"),
    [
        ("app_root: apps/shop", ""),
        ("app_root: apps/other", "no application here has the appRoot 'apps/other' ("),
        ("", "this is a monorepo's file, and app.yml does not say which application is meant ("),
    ],
)
def test_a_monorepos_file_that_has_nothing_for_the_app_is_a_warning(tmp_path, app_yml, problem):
    """Its headers are nobody's; the app is configured all the same."""
    write(tmp_path, "customHttp.yml", MONOREPO)
    write(tmp_path, "app.yml", app_yml)
    found = read_apps(tmp_path / "rules", "rules")

    assert found.errors == []
    assert list(found.headers) == ["shop"]
    assert len(found.warnings) == bool(problem)
    for warning in found.warnings:
        assert str(warning).startswith(f"rules/shop/customHttp.yml:1:1: {problem}")
        assert "set app_root in app.yml" in warning.hint


def test_a_rule_that_never_matches_is_a_warning(tmp_path):
    """Of its app, with its place; the rules count."""
    write(tmp_path, "redirects.json", '[\n {"source": "/<*>/a", "target": "/b"}]')
    write(tmp_path, "redirects.json", REDIRECTS_JSON, app="other")
    found = read_apps(tmp_path / "rules", "rules")

    assert found.errors == []
    [warning] = found.warned["shop"]
    assert (warning.file, warning.line, warning.column) == ("rules/shop/redirects.json", 2, 3)
    assert "the rule never matches" in warning.message
    assert warning.hint
    assert found.warnings == [warning]
    assert len(found.rules["shop"].rules) == 1


def test_warnings_are_sorted_by_place(tmp_path):
    """Over all files of all apps; those of an app that is left out of a check are not told."""
    inert = {"source": "/<*>/a", "target": "/b"}
    write(tmp_path, "redirects.json", json.dumps([inert, inert], indent=1), app="z")
    write(tmp_path, "redirects.json", json.dumps([inert]), app="a")
    write(tmp_path, "customHttp.yml", MONOREPO, app="a")
    found = read_apps(tmp_path / "rules", "rules")

    told = [(each.file, each.line) for each in found.warnings]
    assert told == [
        ("rules/a/customHttp.yml", 1),
        ("rules/a/redirects.json", 1),
        ("rules/z/redirects.json", 3),
        ("rules/z/redirects.json", 7),
    ]
    found.keep(["a"])
    assert [each.file for each in found.warnings] == [file for file, _ in told[:2]]


def test_all_mistakes_of_an_apps_files_are_told_together(tmp_path):
    """So that they are fixed in one go."""
    write(tmp_path, "app.yml", "nope: 1")
    write(tmp_path, "redirects.json", '[{"source": "/a", "target": "/b", "status": "999"}]')
    write(tmp_path, "redirects.yaml", REDIRECTS_YML)
    write(tmp_path, "customHttp.yml", "nope: 1")
    write(tmp_path, "customHttp.yaml", HEADERS)
    found = read_apps(tmp_path / "rules", "rules")

    names = ("app.yml", "customHttp.yaml", "customHttp.yml", "redirects.json", "redirects.yaml")
    assert [each.file for each in found.errors] == [f"rules/shop/{name}" for name in names]
    assert found.apps == {}


def test_a_file_of_rules_may_be_anywhere(tmp_path):
    """For `edge replay`; where there is none, that is a mistake with a place."""
    (tmp_path / "new.json").write_text(REDIRECTS_JSON)
    rules, errors = read_rules(tmp_path / "new.json")
    assert (len(rules.rules), rules.file, errors) == (1, str(tmp_path / "new.json"), [])

    rules, [error] = read_rules(tmp_path / "nowhere.json")
    assert rules is None
    assert str(error).startswith(f"{tmp_path}/nowhere.json:1:1: there is no such file (give the")


# Bad input

SIXTY_MB = 60_000_000


def rule(**keys):
    """A file of one rule, on its second line."""
    return "[\n" + json.dumps({"source": "/a", "target": "/b"} | keys) + "]"


LAUGHS = "- &a {source: /a, target: /b}\n- &b [*a, *a, *a, *a]\n- &c [*b, *b, *b, *b]\n- *c\n"
VALUE = "customHeaders:\n  - pattern: '**'\n    headers:\n      - {key: X-A, value: VALUE}\n"

BAD = {
    "status": (
        {"redirects.json": rule(status="999")},
        ("redirects.json", 2, 34),
        "[0].status: unknown status '999'",
        "one of 200, 301, 302",
    ),
    "unclosed regex": (
        {"redirects.json": rule(source="</^/(a/>")},
        ("redirects.json", 2, 2),
        "[0].source: bad regular expression: missing )",
        "",
    ),
    "unknown placeholder": (
        {"redirects.json": rule(source="/a/<id>", target="/b/<idd>")},
        ("redirects.json", 2, 23),
        "[0].target: unknown placeholder <idd>",
        "did you mean '<id>'?",
    ),
    "country": (
        {"redirects.json": rule(condition="<USA>")},
        ("redirects.json", 2, 34),
        "[0].condition: bad country code in the condition '<USA>'",
        'write "<US>", or "<US>, <CA>"',
    ),
    "line break in a header": (
        {"customHttp.yml": VALUE.replace("VALUE", r'"a\r\nSet-Cookie: b"')},
        ("customHttp.yml", 4, 27),
        "customHeaders[0].headers[0].value: a header's value cannot have a line break",
        "write it on one line",
    ),
    "two files": (
        {"redirects.json": REDIRECTS_JSON, "redirects.yml": REDIRECTS_YML},
        ("redirects.yml", 1, 1),
        "there are two files of rules, this and redirects.json",
        "put the rules into one of them",
    ),
    "misspelled rules": (
        {"redirects.yaml": REDIRECTS_YML},
        ("redirects.yaml", 1, 1),
        "nobody reads this file",
        "call it redirects.yml",
    ),
    "misspelled headers": (
        {"customHttp.yaml": HEADERS},
        ("customHttp.yaml", 1, 1),
        "nobody reads this file",
        "call it customHttp.yml",
    ),
    "60 MB of JSON": (
        {"redirects.json": SIXTY_MB},
        ("redirects.json", 1, 1),
        "the file is larger than 32 MiB",
        "merge rules with placeholders",
    ),
    "60 MB of YAML": (
        {"redirects.yml": SIXTY_MB},
        ("redirects.yml", 1, 1),
        "the file is larger than 32 MiB",
        "merge rules with placeholders",
    ),
    "2 MB of YAML": (
        {"redirects.yml": "#" * 2_000_000},
        ("redirects.yml", 1, 1),
        "the file is larger than 1 MiB",
        "write it as redirects.json",
    ),
    "60 MB of headers": (
        {"customHttp.yml": SIXTY_MB},
        ("customHttp.yml", 1, 1),
        "the file is larger than 32 MiB",
        "",
    ),
    "tag": (
        {"redirects.yml": "- source: /a\n  target: !!python/object/apply:os.system [id]\n"},
        ("redirects.yml", 2, 11),
        "[0].target: the tag tag:yaml.org,2002:python/object/apply:os.system is not supported",
        "remove it",
    ),
    "tag in headers": (
        {"customHttp.yml": VALUE.replace("VALUE", "!!binary aGk=")},
        ("customHttp.yml", 4, 27),
        "customHeaders[0].headers[0].value: the tag tag:yaml.org,2002:binary is not supported",
        "remove it",
    ),
    "billion laughs": (
        {"redirects.yml": LAUGHS},
        ("redirects.yml", 4, 3),
        "[3]: aliases are not supported: *c",
        "repeat it",
    ),
    "alias": (
        {"redirects.yml": "- &a {source: /a, target: /b}\n- *a\n"},
        ("redirects.yml", 2, 3),
        "[1]: aliases are not supported: *a",
        "repeat it",
    ),
    "merge key": (
        {"redirects.yml": "- &a {source: /a, target: /b}\n- {<<: *a, source: /c}\n"},
        ("redirects.yml", 2, 4),
        "[1]: a key must be plain text",
        "write a name and a colon",
    ),
    "bare star": (
        {"customHttp.yml": "customHeaders:\n  - {pattern: *.js, headers: []}"},
        ("customHttp.yml", 2, 16),
        "YAML: while scanning an alias",
        "quote what begins with a star: '*.js'",
    ),
    "tabs": (
        {"redirects.yml": "- source: /a\n\ttarget: /b\n"},
        ("redirects.yml", 2, 1),
        "YAML: while scanning for the next token, found character '\\t'",
        "write blanks for tabs",
    ),
    "tabs in headers": (
        {"customHttp.yml": "customHeaders:\n\t- pattern: '**'\n"},
        ("customHttp.yml", 2, 1),
        "YAML: while scanning for the next token, found character '\\t'",
        "write blanks for tabs",
    ),
    "key twice in JSON": (
        {"redirects.json": '[{"source": "/a",\n "target": "/b",\n "source": "/c"}]'},
        ("redirects.json", 3, 2),
        "[0]: the key 'source' is there twice",
        "the other one is on line 1",
    ),
    "key twice in YAML": (
        {"redirects.yml": "- source: /a\n  target: /b\n  source: /c\n"},
        ("redirects.yml", 3, 3),
        "[0]: the key 'source' is there twice",
        "the other one is on line 1",
    ),
    "key twice in headers": (
        {"customHttp.yml": "customHeaders: []\ncustomHeaders: []\n"},
        ("customHttp.yml", 2, 1),
        "the key 'customHeaders' is there twice",
        "the other one is on line 1",
    ),
    "not JSON": (
        {"redirects.json": '[{"source": "/a", "target": "/b",}]'},
        ("redirects.json", 1, 34),
        "JSON: trailing comma in object",
        "correct the JSON here, or just before",
    ),
    "rules not UTF-8": (
        {"redirects.json": b'[{"source": "/\xe9"}]'},
        ("redirects.json", 1, 1),
        "is not UTF-8: ",
        "save it as UTF-8",
    ),
    "headers not UTF-8": (
        {"customHttp.yml": b"# \xff"},
        ("customHttp.yml", 1, 1),
        "is not UTF-8: ",
        "save it as UTF-8",
    ),
    "not settable": (
        {"customHttp.yml": VALUE.replace("X-A", "Transfer-Encoding")},
        ("customHttp.yml", 4, 15),
        "customHeaders[0].headers[0].key: 'Transfer-Encoding' cannot be set",
        "remove this entry",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_has_its_place_and_a_remedy(tmp_path, case):
    """The app is left out, with where it is and what to do; the others are read."""
    files, place, message, remedy = BAD[case]
    for name, content in files.items():
        write(tmp_path, name, content)
    write(tmp_path, "redirects.json", REDIRECTS_JSON, app="good")
    write(tmp_path, "customHttp.yml", HEADERS, app="good")

    found = read_apps(tmp_path / "rules", "rules")

    error = found.errors[-1]
    assert (error.file, error.line, error.column) == (f"rules/shop/{place[0]}", *place[1:])
    assert error.message.startswith(message)
    assert error.hint
    assert error.hint.startswith(remedy)
    assert len(found.errors) == (3 if case == "billion laughs" else 1)
    assert (list(found.apps), list(found.broken)) == (["good"], ["shop"])
    assert len(found.rules["good"].rules) == len(found.headers) == 1


@pytest.mark.parametrize("name", ["redirects.json", "redirects.yml", "customHttp.yml"])
def test_a_file_that_cannot_be_read_is_its_apps_mistake(tmp_path, name):
    """A folder in its place, say."""
    (tmp_path / "rules" / "shop" / name).mkdir(parents=True)
    write(tmp_path, "app.yml", "", app="good")

    found = read_apps(tmp_path / "rules", "rules")

    [error] = found.errors
    assert str(error) == (
        f"rules/shop/{name}:1:1: cannot be read: Is a directory (check its permissions)"
    )
    assert list(found.apps) == ["good"]


async def test_with_bad_input_the_last_good_configuration_serves_on(tmp_path):
    """Rules and headers of before, as a whole, whatever was mended meanwhile in the other file."""
    site = Site(tmp_path)
    site.write_rules(("/old", "/good", "301"))
    site.write("customHttp.yml", HEADERS)
    site.deploy({"index.html": "home"})
    await site.start()
    folder = tmp_path / "rules" / "site"
    for case, (files, place, _, _) in BAD.items():
        for path in folder.iterdir():
            path.unlink()
        if "customHttp.yml" not in files:
            site.write("customHttp.yml", HEADERS.replace("yours", "new"))
        for name, content in files.items():
            write(tmp_path, name, content, app="site")
        with pytest.raises(Refused) as caught:
            site.changes.reload()
        assert caught.value.kept == ["site"], case
        assert caught.value.errors[0].file == f"rules/site/{place[0]}", case
        await site.follow()
        for each in (site, await site.sibling()):
            answer = await each.ask("/old")
            assert (answer.status, answer.fields["location"]) == (301, "/good"), case
            assert answer.fields["x-own"] == "yours", case


@pytest.mark.parametrize("lacking", ["opentelemetry", None, "spec"])
def test_tracing_needs_its_extra(tmp_path, monkeypatch, lacking):
    """Without it a reload is refused, before a worker finds out; nobody needs it otherwise."""
    file = tmp_path / "edge.yml"
    file.write_text("workers: 1\ntracing: {endpoint: 'http://collector:4318'}\n")
    settings, _ = read_settings(file)
    assert settings is not None

    def find(name: str) -> object:
        if lacking == "opentelemetry":
            raise ModuleNotFoundError(name)
        return lacking

    monkeypatch.setattr("edge.control.configuration.find_spec", find)
    found = check_tracing(file, settings)

    assert check_tracing(file, Settings()) == check_tracing(None, settings) == []
    assert [(each.line, each.message) for each in found] == [
        (2, "tracing needs the extra 'otel'")
    ] * (lacking != "spec")
