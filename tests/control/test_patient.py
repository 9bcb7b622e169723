"""What is looked at: paths as `edge.yml` means them, and the processes that are the node's own."""

from __future__ import annotations

from pathlib import Path

from edge.control.patient import fine, warning, wrong
from tests.support_doctor import patient_of


def test_paths_start_at_the_folder_of_edge_yml(tmp_path):
    """Absolute ones stay."""
    patient = patient_of(tmp_path)

    assert patient.path("var/admin.token") == tmp_path / "var" / "admin.token"
    assert patient.path("/run/secrets/x") == Path("/run/secrets/x")


def test_whose_ports_are_the_nodes_own(tmp_path):
    """The parent's and the workers'; of a node that does not run, nobody's."""
    assert patient_of(tmp_path).pids == frozenset()
    assert patient_of(tmp_path, parent=1, workers=(2, 3)).pids == {1, 2, 3}
    assert patient_of(tmp_path, workers=(2,)).pids == {2}


def test_what_is_well_has_no_remedy():
    """All else has one."""
    assert (fine("x").level, fine("x").remedy) == ("ok", "")
    assert [each("x", "do").level for each in (warning, wrong)] == ["warning", "wrong"]
