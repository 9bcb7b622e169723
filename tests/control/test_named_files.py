"""What `edge check` says of the files that edge.yml names; nothing else is held up by it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from edge.control.named_files import check
from edge.site.documents import decode_settings
from edge.site.settings import Settings
from tests.support_certificates import (
    DAY,
    NOW,
    cert_pem,
    key_pem,
    new_key,
    signer,
    write_own,
)
from tests.support_control import new_store, publish, write_app

DATABASE = Path(__file__).parents[1] / "data" / "GeoIP2-Country-Test.mmdb"
TEXT = """\
listen: {https: ["127.0.0.1:8443"]}
geoip: {database: geo/country.mmdb}
tracing:
  endpoint: http://127.0.0.1:4318
  headers_file: secrets/headers
tls:
  acme:
    ca_file: secrets/roots.pem
    eab: {kid: k, hmac_key_file: secrets/hmac}
    challenges: [dns-01]
    dns: {server: "127.0.0.1:53", key_name: k, key_file: secrets/tsig}
    fallback:
      directory: https://acme.example/directory
      ca_file: secrets/others.pem
      challenges: [dns-01]
      dns: {command: [bin/set-txt, --now]}
"""
WHOLE = signer().issue("a.test") + cert_pem(signer().certificate)


@pytest.fixture
def folder(tmp_path):
    """A folder with every file that TEXT names, each as it should be."""
    for name in ("secrets", "geo", "bin"):
        (tmp_path / name).mkdir()
    shutil.copy(DATABASE, tmp_path / "geo" / "country.mmdb")
    for name in ("roots.pem", "others.pem"):
        (tmp_path / "secrets" / name).write_bytes(cert_pem(signer().certificate))
    for name, text in (("headers", "X-Key: a"), ("hmac", "c2VjcmV0\n"), ("tsig", "c2VjcmV0\n")):
        file = tmp_path / "secrets" / name
        file.write_text(text)
        file.chmod(0o600)
    program = tmp_path / "bin" / "set-txt"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    write_own(tmp_path / "certs", "a.test", WHOLE)
    return tmp_path


def told(folder, text=TEXT, now=NOW):
    """Line, message and hint of each warning, without where the folder is."""
    config = folder / "edge.yml"
    config.write_text(text)
    settings, mistakes = decode_settings(text, str(config))
    assert settings is not None, mistakes
    found = check(config, settings, now)
    return [
        (
            f"{Path(each.file).name}:{each.line}",
            each.message.replace(f"{folder}/", ""),
            each.hint.replace(f"{folder}/", ""),
        )
        for each in found
    ]


def test_files_as_they_should_be(folder):
    """Nothing is said, and nothing of settings that name no file."""
    assert told(folder) == []
    assert told(folder, "") == []
    assert check(None, Settings(), NOW) == []


@pytest.mark.parametrize(
    ("name", "line", "key"),
    [
        ("geo/country.mmdb", 2, "geoip.database"),
        ("secrets/headers", 5, "tracing.headers_file"),
        ("secrets/roots.pem", 8, "tls.acme.ca_file"),
        ("secrets/hmac", 9, "tls.acme.eab.hmac_key_file"),
        ("secrets/tsig", 11, "tls.acme.dns.key_file"),
        ("secrets/others.pem", 14, "tls.acme.fallback.ca_file"),
        ("bin/set-txt", 16, "tls.acme.fallback.dns.command"),
    ],
)
def test_a_file_that_is_not_there(folder, name, line, key):
    """Each one, at its key, with what to do."""
    (folder / name).unlink()
    [(place, message, hint)] = told(folder)

    assert (place, message.partition(": ")[0]) == (f"edge.yml:{line}", key)
    assert message.count(name) == 1
    assert "(" not in message
    assert hint


@pytest.mark.parametrize(
    ("name", "content", "problem", "remedy"),
    [
        ("geo/country.mmdb", b"none", "geo/country.mmdb is torn, or no MMDB file", "country MMDB"),
        ("secrets/headers", b"hunter2\n", "secrets/headers: a line is not `Name: value`", "lines"),
        ("secrets/headers", b"\xff: 1\n", "headers_file: secrets/headers is not UTF-8", "lines"),
        ("secrets/roots.pem", b"hunter2", "ca_file: secrets/roots.pem cannot be used", "in PEM"),
        (
            "secrets/hmac",
            b"hunter2!",
            "tls.acme.eab.hmac_key_file: secrets/hmac is not base64url",
            "write the key as it was given",
        ),
        (
            "secrets/tsig",
            b"hunter2!",
            "tls.acme.dns.key_file: secrets/tsig holds no secret",
            "write what tsig-keygen has behind `secret`",
        ),
    ],
)
def test_a_file_with_something_else_in_it(folder, name, content, problem, remedy):
    """It is read as it will be, and what it holds is not repeated."""
    (folder / name).write_bytes(content)
    [(_, message, hint)] = told(folder)

    assert problem in message
    assert remedy in hint
    assert "hunter2" not in message


def test_a_key_that_others_may_read(folder):
    """The remedy is the one of whoever will read it."""
    (folder / "secrets" / "tsig").chmod(0o644)

    assert told(folder) == [
        (
            "edge.yml:11",
            "tls.acme.dns.key_file: others may read the key secrets/tsig",
            "run chmod 600 secrets/tsig",
        )
    ]


def test_a_program_is_looked_for_where_it_will_be(folder):
    """By its path from edge.yml on, which may have to become executable, or in the PATH it gets."""
    (folder / "bin" / "set-txt").chmod(0o600)
    assert told(folder) == [
        (
            "edge.yml:16",
            "tls.acme.fallback.dns.command: bin/set-txt is no program that can be run",
            "correct it, or chmod +x it",
        )
    ]
    assert told(folder, TEXT.replace("bin/set-txt", "sh")) == []
    [(_, message, _)] = told(folder, TEXT.replace("bin/set-txt", "no-such-program"))
    assert message.endswith(": no-such-program is no program that can be run")


def test_what_has_no_use_is_not_asked_for(folder):
    """An authority's files, where certificates come from elsewhere."""
    shutil.rmtree(folder / "secrets")
    text = TEXT.replace("tls:\n", "tls:\n  mode: internal\n")

    assert [message.partition(":")[0] for _, message, _ in told(folder, text)] == [
        "tracing.headers_file"
    ]


def test_without_the_extra_there_is_nothing_to_read_it_with(folder, monkeypatch):
    """That it is lacking is a mistake already."""
    (folder / "secrets" / "headers").unlink()
    monkeypatch.delitem(sys.modules, "edge.node.collector", raising=False)
    monkeypatch.setitem(sys.modules, "edge.node.collector", None)

    assert told(folder) == []


def test_certificates_of_the_operator(folder):
    """As they are found while the node runs, mistakes and doubts."""
    certs = folder / "certs"
    write_own(certs, "b.test", signer().issue("b.test", end=NOW))
    write_own(certs, "c.test", key_pem(new_key(1)) + cert_pem(signer().sign("c.test")))
    write_own(certs, "d.test", WHOLE)
    write_own(certs, "e f", WHOLE)
    (certs / "a.test.pem").chmod(0o644)

    assert [(place, message.partition(" 2")[0]) for place, message, _ in told(folder)] == [
        ("b.test.pem:1", "the certificate expired on"),
        ("c.test.pem:1", "the key belongs to none of its certificates"),
        ("d.test.pem:1", "the certificate does not cover d.test: it names a.test"),
        ("e f.pem:1", "the file is not called by a host"),
        ("a.test.pem:1", "others on this machine may read its private key"),
    ]


def test_a_folder_of_certificates_that_is_none(folder):
    """Not there although it is named, no folder, and none where all are files."""
    assert told(folder, "\ncerts: cert") == [
        ("edge.yml:2", "certs: there is no folder cert", "make it, or correct this")
    ]
    assert told(folder, "certs: edge.yml") == [
        (
            "edge.yml:1",
            "the folder cannot be read: Not a directory",
            "look at its kind and permissions",
        )
    ]
    text = 'listen: {https: ["127.0.0.1:8443"]}\ntls: {mode: files}'
    assert told(folder, text) == []
    (folder / "certs" / "a.test.pem").unlink()
    assert told(folder, text) == [
        (
            "edge.yml:2",
            "tls.mode: certificates are files, and there is none in certs",
            "put www.example.com.pem there, or so",
        )
    ]


def test_a_check_tells_and_a_reload_goes_on(folder):
    """Nothing of it is a mistake: what was good serves on."""
    changes = new_store(folder, TEXT)
    write_app(folder, "shop")
    publish(changes, "shop", "main", {"index.html": "hello"})
    for name in ("geo/country.mmdb", "secrets/tsig"):
        (folder / name).unlink()
    write_own(folder / "certs", "b.test", WHOLE)
    write_own(
        folder / "certs",
        "a.test",
        signer().issue("a.test", start=NOW - 500 * DAY, end=NOW - 400 * DAY),
    )
    write_app(folder, "shop", "trailing_slash: add\n")

    found = changes.check()
    reloaded = changes.reload()

    assert found.errors == []
    assert {Path(each.file).name for each in found.warnings} >= {"b.test.pem", "edge.yml"}
    assert len(found.warnings) == 4
    assert (reloaded.changed, reloaded.warnings) == (["shop"], [])
