"""The operator's files, read with all their mistakes."""

from __future__ import annotations

import pytest

from edge.control.configuration import (
    Configuration,
    as_json,
    config_root,
    create_app_folder,
    find_state,
    read_app,
    read_apps,
    read_settings,
)
from edge.errors import ConfigError, StoreError
from edge.site.documents import App
from edge.site.settings import Settings
from tests.support_control import write_app


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
