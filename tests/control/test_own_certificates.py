"""The operator's folder: what is taken, and what each mistake says."""

from __future__ import annotations

import os

import pytest

from edge.control import chains
from edge.control.own_certificates import marks_of, name_of, read_folder
from tests.support_certificates import (
    DAY,
    NOW,
    Signer,
    cert_pem,
    key_pem,
    new_key,
    signer,
    write_own,
)


def whole(*names, **more):
    """Key, leaf and issuer, as an authority's tools store them."""
    return signer().issue(*names, **more) + cert_pem(signer().certificate)


def read(folder):
    """What is found, called `certs`."""
    return read_folder(folder, "certs", NOW)


def test_a_folder_of_good_ones(tmp_path):
    """Every name, both spellings of wildcards; other files are nobody's."""
    write_own(tmp_path, "www.example.com", whole("www.example.com"))
    write_own(tmp_path, "*.example.com", whole("*.example.com"))
    write_own(tmp_path, "_.example.org", whole("*.example.org", "example.org"))
    write_own(tmp_path, "192.0.2.1", whole("192.0.2.1"))
    write_own(tmp_path, ".hidden", b"")
    (tmp_path / "README.md").write_text("")

    found = read(tmp_path)

    assert (found.mistakes, found.warnings) == ([], [])
    names = {"www.example.com", "*.example.com", "*.example.org", "192.0.2.1"}
    assert found.good.keys() == found.present == names
    assert chains.parse_chain(found.good["*.example.org"]).names == (
        "*.example.org",
        "example.org",
    )


def test_a_wildcard_covers_the_name_of_a_file(tmp_path):
    """A file may be called after one host of a wildcard's."""
    write_own(tmp_path, "www.example.com", whole("*.example.com"))

    assert read(tmp_path).good.keys() == {"www.example.com"}


def test_the_order_is_put_right(tmp_path):
    """Chain first, key last: what is served is in order."""
    middle = Signer("Middle", signer())
    leaf = middle.sign("a.test")
    pem = cert_pem(signer().certificate, middle.certificate, leaf) + key_pem(new_key())
    write_own(tmp_path, "a.test", pem)

    found = read(tmp_path)

    ordered = cert_pem(leaf, middle.certificate, signer().certificate)
    assert found.good["a.test"] == key_pem(new_key()) + ordered
    assert found.warnings == []


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    """Nobody has to make one."""
    assert read(tmp_path / "none").present == set()
    assert marks_of(tmp_path / "none") == frozenset()


MISTAKES = {
    "no key": ("a.test", cert_pem(signer().sign("a.test")), "no private key", "one file"),
    "no certificate": ("a.test", key_pem(new_key()), "no certificate", "one file"),
    "mismatch": (
        "a.test",
        key_pem(new_key(1)) + cert_pem(signer().sign("a.test")),
        "belongs to none",
        "requested with",
    ),
    "another name": (
        "a.test",
        whole("b.test", "c.test"),
        "does not cover a.test: it names b.test, c.test",
        "call the file",
    ),
    "a wildcard of one host": (
        "*.a.test",
        whole("www.a.test"),
        "does not cover *.a.test",
        "call the file",
    ),
    "expired": ("a.test", whole("a.test", end=NOW), "expired on 2027-01-15 08:00", "renewed"),
    "not yet valid": ("a.test", whole("a.test", start=NOW + 1), "not valid before 2027-", "clock"),
    "no host": ("what is this", whole("a.test"), "not called by a host", "_.example.com.pem"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_says_what_to_do(tmp_path, name):
    """With its file; the others are taken all the same."""
    stem, pem, problem, hint = MISTAKES[name]
    write_own(tmp_path, stem, pem)
    write_own(tmp_path, "good.test", whole("good.test"))

    found = read(tmp_path)

    (mistake,) = found.mistakes
    assert mistake.file == f"certs/{stem}.pem"
    assert problem in mistake.message
    assert hint in mistake.hint
    assert found.good.keys() == {"good.test"}


def test_a_mistake_inside_has_its_line(tmp_path):
    """An encrypted key is pointed at."""
    leaf = cert_pem(signer().sign("a.test"))
    write_own(tmp_path, "a.test", b"\n" + leaf + key_pem(new_key(), b"secret"))

    (mistake,) = read(tmp_path).mistakes

    assert mistake.line == leaf.count(b"\n") + 2
    assert "encrypted" in mistake.message
    assert "openssl pkey" in mistake.hint


def test_a_file_that_cannot_be_read(tmp_path):
    """Said as it is, and the name counts as present: its last version serves on."""
    (tmp_path / "a.test.pem").mkdir()

    found = read(tmp_path)

    assert "cannot be read: Is a directory" in found.mistakes[0].message
    assert found.present == {"a.test"}


def test_two_files_of_one_name(tmp_path):
    """Both spellings of a wildcard: the first of them is taken."""
    write_own(tmp_path, "*.a.test", whole("*.a.test"))
    write_own(tmp_path, "_.a.test", whole("*.a.test"))

    found = read(tmp_path)

    assert found.good.keys() == {"*.a.test"}
    assert [each.message for each in found.mistakes] == ["there are two files for *.a.test"]


def test_what_is_doubtful_is_told(tmp_path):
    """Readable by others, no intermediate, certificates of strangers."""
    path = write_own(tmp_path, "a.test", signer().issue("a.test"))
    path.chmod(0o640)
    stranger = cert_pem(Signer("Stranger").certificate)
    write_own(tmp_path, "b.test", whole("b.test") + stranger)

    found = read(tmp_path)

    assert found.good.keys() == {"a.test", "b.test"}
    assert [(each.file, each.message.split(";")[0]) for each in found.warnings] == [
        ("certs/a.test.pem", "others on this machine may read its private key"),
        ("certs/a.test.pem", "it has no intermediate certificate"),
        ("certs/b.test.pem", "it has certificates that are no part of the chain"),
    ]
    assert found.warnings[0].hint == "chmod 600 certs/a.test.pem"


def test_marks_tell_a_changed_folder(tmp_path):
    """A new file, another content, a replaced file, a removed one."""
    marks = [marks_of(tmp_path)]
    path = write_own(tmp_path, "a.test", b"1")
    marks.append(marks_of(tmp_path))
    os.utime(path, (NOW, NOW))
    marks.append(marks_of(tmp_path))
    new = tmp_path / "new"
    new.write_bytes(b"2")
    os.utime(new, (NOW, NOW))
    new.rename(path)
    marks.append(marks_of(tmp_path))
    path.with_name("b.test.pem").symlink_to("nowhere")

    assert len(set(marks)) == 4
    assert marks_of(tmp_path) == marks[-1]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.test.pem", "a.test"),
        ("A.Test.pem", "a.test"),
        ("_.a.test.pem", "*.a.test"),
        ("*.a.test.pem", "*.a.test"),
        ("bücher.test.pem", "xn--bcher-kva.test"),
        ("2001:db8::1.pem", "[2001:db8::1]"),
        ("_.pem", ""),
    ],
)
def test_files_are_called_by_hosts(tmp_path, file, name):
    """Canonical, as everywhere."""
    assert name_of(tmp_path / file) == name


def test_the_life_of_a_certificate_ends_at_its_last_second(tmp_path):
    """Valid to the second before."""
    write_own(tmp_path, "a.test", whole("a.test", end=NOW + DAY))

    assert read_folder(tmp_path, "certs", NOW + DAY - 1).mistakes == []
    assert len(read_folder(tmp_path, "certs", NOW + DAY).mistakes) == 1
