"""All checks together: what is found of a node that is well, and of one that is not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from edge.control import doctor, durable, handover
from edge.control.doctor import CHECKS, check_files, examine, find_patient
from edge.errors import StoreError
from tests.support_control import new_store, write_app
from tests.support_doctor import patient_of


def test_a_patient_without_a_file(tmp_path, monkeypatch):
    """The defaults, and this folder."""
    monkeypatch.chdir(tmp_path)

    patient = find_patient(None)

    assert (patient.root, patient.places.state) == (tmp_path, tmp_path / "var")
    assert (patient.parent, patient.workers, patient.mistakes) == (None, (), ())
    assert list(tmp_path.iterdir()) == []


def test_with_a_mistake_the_last_good_settings_are_looked_at(tmp_path):
    """As a node that is started again would use them; without those, the defaults."""
    store = new_store(tmp_path, "default_domain: edge.example.com\n")
    store.reload()
    (tmp_path / "edge.yml").write_text("default_domian: x\n")

    patient = find_patient(tmp_path / "edge.yml")

    assert patient.settings.default_domain == "edge.example.com"
    assert [each.line for each in patient.mistakes] == [1]
    (tmp_path / "var" / "current").unlink()
    assert find_patient(tmp_path / "edge.yml").settings.default_domain == "edge.localhost"


def test_mistakes_are_told_with_their_place(tmp_path):
    """Those of `edge.yml`, or those of the apps."""
    new_store(tmp_path, "default_domian: x\n")
    (mistake,) = check_files(find_patient(tmp_path / "edge.yml"))

    (tmp_path / "edge.yml").write_text("")
    for number in range(12):
        write_app(tmp_path, f"app{number}", "trailing_slash: perhaps\n")
    found = list(check_files(find_patient(tmp_path / "edge.yml")))

    assert mistake.level == "wrong"
    assert "edge.yml:1:1: " in mistake.text
    assert "default_domain" in mistake.remedy
    assert len(found) == 11
    assert "app.yml:1:17: " in found[0].text
    assert found[10].text == "and 2 more mistakes"


def test_files_without_a_mistake(tmp_path):
    """Warnings are counted."""
    new_store(tmp_path)
    write_app(tmp_path, "shop")
    redirects = tmp_path / "rules" / "shop" / "redirects.json"
    redirects.write_text('[{"source": "/a", "target": "/a", "status": "301"}]')

    warned, fine = check_files(find_patient(tmp_path / "edge.yml"))

    assert (warned.level, warned.remedy) == ("warning", "`edge check` has them")
    assert fine.text.endswith("edge.yml, and 1 apps: no mistake")


def test_who_runs_is_found(tmp_path):
    """By the lock, without taking it."""
    new_store(tmp_path)
    held = durable.try_lock(tmp_path / "var" / "lock")
    assert held is not None
    handover.sign(held)

    assert find_patient(tmp_path / "edge.yml").parent == os.getpid()
    os.close(held)
    assert find_patient(tmp_path / "edge.yml").parent is None


def test_every_check_is_made(tmp_path):
    """Each has a name of its own, and nothing is changed."""
    new_store(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    names = {name for name, _ in examine(find_patient(tmp_path / "edge.yml"))}

    assert names == {name for name, _ in CHECKS} - {"countries", "told"}
    assert len({name for name, _ in CHECKS}) == len(CHECKS)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (OSError(5, "Input/output error"), "the system: Input/output error"),
        (StoreError("torn"), "torn"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_check_that_fails_is_a_finding(tmp_path, monkeypatch, error, text):
    """The others are made all the same."""

    def fail(_):
        raise error

    monkeypatch.setattr(doctor, "CHECKS", (("first", fail), ("second", check_files)))

    (_, failed), (_, fine) = examine(patient_of(tmp_path, config=None))

    assert failed.text == f"cannot be looked at: {text}"
    assert failed.level == "wrong"
    assert fine.level == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_whoever_may_not_look_is_told_so():
    """Another user than the node's: what he can see is told, the rest by name."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        folder = Path(name)
        new_store(folder).reload()
        (folder / "var").chmod(0o700)
        folder.chmod(0o755)
        os.seteuid(65534)
        try:
            patient = find_patient(folder / "edge.yml")
            found = dict(examine(patient))
        finally:
            os.seteuid(0)

    assert (patient.parent, patient.workers) == (None, ())
    assert found["permissions"].text.startswith("cannot be looked at: ")
    assert found["backlog"].level in ("ok", "warning")
