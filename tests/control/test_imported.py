"""What another host's configuration becomes: tried by the node's decoders, never lost silently."""

from __future__ import annotations

import argon2
import pytest

from edge.control.configuration import read_app
from edge.control.imported import (
    Draft,
    Field,
    Imported,
    Note,
    app_name,
    encode_yaml,
    read_text,
    write_folder,
)
from edge.errors import StoreError
from edge.site.documents import Access, App, BranchSettings, Domain, decode_app
from edge.site.headers import CustomHttp, decode_headers
from edge.site.redirects import decode_redirects

HERE = ("source.json", 7)


def rule(source, target, status="301", condition=None):
    """A rule as it is written."""
    return {"source": source, "target": target, "status": status, "condition": condition}


def decoded_app(imported):
    """Its `app.yml`, read by the node."""
    app, errors = decode_app(imported.files["app.yml"], "app.yml")
    assert errors == []
    return app


def test_a_note_says_where_what_and_why():
    """In the form of every other message that names a place."""
    assert str(Note("_headers", 3, "it is left out", "remove it")) == (
        "_headers:3: it is left out (remove it)"
    )
    assert str(Note("_headers", 3, "it is left out", "")) == "_headers:3: it is left out"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("My Shop", "my-shop"),
        ("www.example.com", "www-example-com"),
        ("shop_2", "shop-2"),
        ("日本", "app"),
        ("", "app"),
        ("a" * 62 + "-b", "a" * 62),
    ],
)
def test_an_app_is_called_after_its_source(name, label):
    """A DNS label, whatever it was called."""
    assert app_name(name) == label


def test_nothing_becomes_an_app_with_the_defaults():
    """And no other file."""
    imported = Draft("Netlify").finish("site")

    assert list(imported.files) == ["app.yml"]
    assert imported.files["app.yml"].startswith("# Imported from Netlify.")
    assert decoded_app(imported) == App()
    assert imported.notes == []


# Rules


def test_rules_are_kept_as_they_are_written():
    """In their order, one a line, and unknown countries with a note."""
    draft = Draft("x")
    draft.add_rule(HERE, rule("/é", "/b"))
    draft.add_rule(HERE, rule("/us", "/b", "302", "<us>"))
    draft.add_rule(("source.json", 9), rule("/uk", "/b", "302", "<UK>"))

    imported = draft.finish("a")

    assert imported.files["redirects.json"].splitlines() == [
        "[",
        '  {"source": "/é", "target": "/b", "status": "301", "condition": null},',
        '  {"source": "/us", "target": "/b", "status": "302", "condition": "<us>"},',
        '  {"source": "/uk", "target": "/b", "status": "302", "condition": "<UK>"}',
        "]",
    ]
    (note,) = imported.notes
    assert str(note) == (
        "source.json:9: the rule for '/uk' is kept, but condition: no country has the code UK"
        " (did you mean <GB>?)"
    )


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (rule("/a", "/b", "999"), "status: unknown status '999' (one of"),
        (rule("/a", "/<x>"), "target: unknown placeholder <x> (the source captures nothing)"),
        (rule("</(/>", "/b"), "source:"),
        (rule("</(a+)+$/>", "/b"), "source: slow regular expression"),
        (rule("/a", "ftp://x/"), "target: the target 'ftp://x/' is neither a path nor"),
        (rule("/a", "/b", "301", "<USA>"), "condition: bad country code"),
        (rule("/" + "a" * 3000, "/b"), "source: longer than 2048 characters"),
        ({"target": "/b"}, "the key 'source' is missing"),
        ({}, "the key 'source' is missing"),
    ],
    ids=["status", "placeholder", "regex", "slow", "scheme", "condition", "long", "key", "empty"],
)
def test_a_rule_that_the_node_refuses_is_a_note(written, message):
    """The rest is kept."""
    draft = Draft("x")
    draft.add_rule(HERE, rule("/before", "/x"))
    draft.add_rule(HERE, written)
    draft.add_rule(HERE, rule("/after", "/x"))

    imported = draft.finish("a")

    rules, errors, _ = decode_redirects(imported.files["redirects.json"], "redirects.json")
    assert errors == []
    assert [each.source for each in rules] == ["/before", "/after"]
    assert len(imported.notes) == 1
    assert (imported.notes[0].file, imported.notes[0].line) == HERE
    assert "is left out: " in str(imported.notes[0])
    assert message in str(imported.notes[0])


def test_an_inert_rule_is_kept_and_told_of():
    """It loads, and never matches."""
    draft = Draft("x")
    draft.add_rule(HERE, rule("/a/<*>/b", "/c"))

    imported = draft.finish("a")

    assert "/a/<*>/b" in imported.files["redirects.json"]
    assert "is kept, but source: the rule never matches" in str(imported.notes[0])


# Headers


def test_headers_of_one_pattern_are_one_entry():
    """As long as no other pattern is between them: their order decides."""
    draft = Draft("x")
    for pattern, key in [("/**", "A"), ("/**", "B"), ("/x", "A"), ("/**", "C")]:
        draft.add_field(HERE, Field(pattern, key, "no", None))

    text = draft.finish("a").files["customHttp.yml"]

    document, errors = decode_headers(text, "customHttp.yml")
    assert errors == []
    entries = document.custom_headers
    assert [each.pattern for each in entries] == ["/**", "/x", "/**"]
    assert [header.key for header in entries[0].headers] == ["A", "B"]
    assert entries[0].headers[0].value == "no"


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (("/**", "Age", "1", None), "key: 'Age' cannot be set: the node writes it itself"),
        (("/**", "X-A", "a\nb", None), "value: a header's value cannot have a line break"),
        (("/**", "X-A", "a\x7fb", None), "value: a header's value cannot have control"),
        (("/**", "X A", "a", None), "key: 'X A' is not a field name"),
        (("/<*>", "X-A", "a", None), "pattern: '/<*>' is not a glob"),
        (("/**", "X-A", "a", ""), "appRoot: the value is empty"),
    ],
    ids=["owned", "line break", "control", "name", "glob", "root"],
)
def test_a_header_that_the_node_refuses_is_a_note(field, message):
    """The others of its entry are kept."""
    draft = Draft("x")
    draft.add_field(HERE, Field("/**", "X-Before", "1", None))
    draft.add_field(HERE, Field(*field))

    imported = draft.finish("a")

    document, errors = decode_headers(imported.files["customHttp.yml"], "customHttp.yml")
    assert errors == []
    assert [header.key for header in document.custom_headers[0].headers] == ["X-Before"]
    assert len(imported.notes) == 1
    assert message in str(imported.notes[0])


def test_a_good_custom_http_stays_as_it_is():
    """With its comments."""
    text = "  # ours\n  customHeaders:\n    - pattern: '*'\n      headers: []\n\n"
    draft = Draft("x")

    assert draft.add_custom_http(text, lambda line: ("c.yml", line)) == []
    assert draft.finish("a").files["customHttp.yml"] == text.rstrip() + "\n"
    assert draft.notes == []


MIXED = """\
customHeaders:
  - pattern: '**/*.js'
    headers:
      - {key: X-Good, value: 31536000}
      - {key: Age, value: '5'}
      - {key: X-Bare, value: on}
      - {key: X-Less}
  - &anchor
    pattern: '/a'
    headers: [{key: X-Fine, value: 'yes'}]
  - *anchor
  - headers: [{key: X-Nowhere, value: x}]
  - just text
"""


def test_of_a_bad_custom_http_the_good_headers_are_kept():
    """And every mistake has its line."""
    draft = Draft("x")
    draft.add_custom_http(MIXED, lambda line: ("c.yml", line))

    imported = draft.finish("a")

    document, errors = decode_headers(imported.files["customHttp.yml"], "customHttp.yml")
    assert errors == []
    assert [(each.pattern, [h.key for h in each.headers]) for each in document.custom_headers] == [
        ("**/*.js", ["X-Good"]),
        ("/a", ["X-Fine"]),
    ]
    assert [note.line for note in imported.notes] == [5, 6, 7, 11, 12, 13]
    assert all(note.what.startswith("a part of the headers is left") for note in imported.notes)


def test_a_bad_monorepo_stays_a_monorepo():
    """Each application keeps what is good of it."""
    text = (
        "applications:\n"
        "  - appRoot: ./apps/a\n"
        "    customHeaders: [{pattern: '*', headers: [{key: A, value: a}, {key: Age, value: b}]}]\n"
        "  - appRoot: apps/b\n"
        "    customHeaders: [{pattern: '*', headers: [{key: X-B, value: b}]}]\n"
        "  - customHeaders: [{pattern: '*', headers: [{key: X-C, value: c}]}]\n"
    )
    draft = Draft("x")

    assert draft.add_custom_http(text, lambda line: ("c.yml", line)) == ["./apps/a", "apps/b"]
    document, errors = decode_headers(draft.finish("a").files["customHttp.yml"], "customHttp.yml")
    assert errors == []
    assert [each.app_root for each in document.applications] == ["./apps/a", "apps/b"]
    assert [note.line for note in draft.notes] == [3, 6]


@pytest.mark.parametrize("text", ["customHeaders: [\n", "- a\n", "a: b\n", "customHeaders: x\n"])
def test_headers_of_which_nothing_can_be_read_are_a_note(text):
    """Not an exception."""
    draft = Draft("x")
    draft.add_custom_http(text, lambda line: ("c.yml", line))

    imported = draft.finish("a")

    assert "customHttp.yml" not in imported.files
    assert "all that the headers say is left out" in imported.notes[0].what


def test_a_file_that_is_refused_as_a_whole_is_a_note():
    """YAML beyond what the node reads."""
    draft = Draft("x")
    draft.fields = [Field(f"/{number:04}", "X-A", "a" * 8000, None) for number in range(150)]

    imported = draft.finish("a")

    assert "customHttp.yml" not in imported.files
    assert "the whole file is left out: the file is larger than 1 MiB" in str(imported.notes[0])


# Settings


def test_settings_become_one_document():
    """Whatever they are called: `on` and `1.0` are branches, and the domain itself has no name."""
    draft = Draft("x")
    draft.set(HERE, ("production_branch",), "1.0")
    draft.set(HERE, ("domains", "example.com", "subdomains", ""), "on")
    draft.set(HERE, ("domains", "example.com", "auto_subdomains"), ["*"])
    draft.set(HERE, ("branches", "feature/*", "performance_mode"), value=True)

    imported = draft.finish("a")

    assert "'': 'on'" in imported.files["app.yml"]
    assert decoded_app(imported) == App(
        production_branch="1.0",
        domains={"example.com": Domain(subdomains={"": "on"}, auto_subdomains=("*",))},
        branches={"feature/*": BranchSettings(performance_mode=True)},
    )


def test_a_setting_that_the_node_refuses_is_a_note():
    """Alone: its neighbors are kept."""
    draft = Draft("x")
    draft.set(HERE, ("domains", "example.com", "subdomains", "www"), "main")
    draft.set(("d.json", 3), ("domains", "example.com", "subdomains", "*"), "main")
    draft.set(("d.json", 4), ("domains", "exa_mple.com", "subdomains", "a"), "main")
    draft.set(("d.json", 5), ("domains", "Example.com", "subdomains", "a"), "main")
    draft.set(HERE, ("domains", "example.com", "subdomains", "docs"), "docs")

    imported = draft.finish("a")

    assert decoded_app(imported).domains == {
        "example.com": Domain(subdomains={"www": "main", "docs": "docs"})
    }
    assert [(note.file, note.line) for note in imported.notes] == [("d.json", n) for n in (3, 4, 5)]
    assert "'*' is not a subdomain" in imported.notes[0].what


def test_aliases_are_written_out():
    """The node follows none."""
    value = ["*"]

    assert "&" not in encode_yaml({"a": value, "b": value})


# Passwords


def test_a_password_is_hashed():
    """And is found nowhere else."""
    draft = Draft("x")
    draft.add_user(HERE, ("access",), "team", "secret-pw-1")

    imported = draft.finish("a")

    hashed = decoded_app(imported).access.users["team"]
    assert argon2.PasswordHasher().verify(hashed, "secret-pw-1")
    assert imported.notes == []
    assert "secret-pw-1" not in imported.files["app.yml"]


@pytest.mark.parametrize(
    ("user", "password", "kept", "reason"),
    [
        ("team", "short", "team", "the password has 5 characters; use 7 or more"),
        ("", "long enough", "locked", "'' is not a user name"),
        ("a\x00b", "long enough", "locked", "is not a user name"),
        ("team", "bell\x07 rings", "team", "control character"),
    ],
    ids=["short", "nameless", "unprintable", "control"],
)
def test_what_a_password_closed_stays_closed(user, password, kept, reason):
    """With a password that nobody knows, until the operator sets one."""
    draft = Draft("x")
    draft.add_user(HERE, ("branches", "dev", "access"), user, password)

    imported = draft.finish("a")

    access = decoded_app(imported).branches["dev"].access
    assert isinstance(access, Access)
    assert list(access.users) == [kept]
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        argon2.PasswordHasher().verify(access.users[kept], password)
    assert reason in str(imported.notes[0])
    assert f"at branches.dev.access.users.{kept})" in str(imported.notes[0])
    assert password not in str(imported.notes[0])


# Notes and files


def test_notes_are_in_the_order_of_the_source():
    """Each once."""
    draft = Draft("x")
    for file, line in [("b", 1), ("a", 10), ("a", 9), ("a", 10)]:
        draft.note((file, line), "what", "why")

    notes = draft.finish("a").notes

    assert [(note.file, note.line) for note in notes] == [("a", 9), ("a", 10), ("b", 1)]


def test_a_folder_is_written_and_read_by_the_node(tmp_path):
    """Whole: every file that has something to say, and no other."""
    draft = Draft("x")
    draft.set(HERE, ("production_branch",), "trunk")
    draft.add_rule(HERE, rule("/a", "/b"))
    draft.add_field(HERE, Field("/**", "X-A", "a", None))
    imported = draft.finish("shop")

    paths = write_folder(tmp_path / "rules" / "shop", imported)

    assert [path.name for path in paths] == ["app.yml", "redirects.json", "customHttp.yml"]
    assert sorted((tmp_path / "rules" / "shop").iterdir()) == sorted(paths)
    assert read_app(tmp_path / "rules" / "shop", "app.yml").apps == {
        "shop": App(production_branch="trunk")
    }
    document, _ = decode_headers(paths[2].read_text(), "customHttp.yml")
    assert isinstance(document, CustomHttp)


def test_an_empty_folder_may_be_there(tmp_path):
    """Made by hand, before."""
    paths = write_folder(tmp_path, Imported("a", {"app.yml": "# a\n"}, []))

    assert paths == [tmp_path / "app.yml"]
    assert paths[0].read_text() == "# a\n"


def test_nothing_is_overwritten(tmp_path):
    """Not even an unknown file."""
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(StoreError, match="is not empty; move it away, or import to another folder"):
        write_folder(tmp_path, Imported("a", {"app.yml": ""}, []))

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_made_is_told_of(tmp_path):
    """A file in its place, say."""
    (tmp_path / "rules").write_text("")

    with pytest.raises(StoreError, match=r"cannot be written: .*; make room for it"):
        write_folder(tmp_path / "rules", Imported("a", {"app.yml": ""}, []))


def test_a_source_is_utf_8(tmp_path):
    """A mark of the byte order is passed over; anything else has a line."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(b"\xef\xbb\xbf/a /\xc3\xa9")
    bad.write_bytes(b"/a /b\n/c /\xe9\n")

    assert read_text(good) == "/a /é"
    with pytest.raises(StoreError, match="bad:2: this is not UTF-8; save the file as UTF-8"):
        read_text(bad)
    with pytest.raises(StoreError, match="cannot be read: No such file or directory; check"):
        read_text(tmp_path / "none")
