"""What tests of `edge doctor` share: a node to look at."""

from __future__ import annotations

from pathlib import Path

from edge.control.patient import Patient
from edge.site.places import Places
from edge.site.settings import Settings


def patient_of(folder: Path, settings: Settings | None = None, **more) -> Patient:
    """A node in a folder, which does not run."""
    known = {
        "mistakes": (),
        "config": None,
        "root": folder,
        "places": Places(folder / "var"),
        "parent": None,
        "workers": (),
    }
    return Patient(settings=settings or Settings(), **known | more)
