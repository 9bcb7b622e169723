"""
What is wrong with a node, or with the machine that it is to run on, and what to do about it.

Laws: every check looks at one thing and ends within seconds; one that fails is a finding, and the
others are made all the same. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from edge.control import configuration, doctor_disk, doctor_machine, doctor_names, doctor_ports
from edge.control.changes import Changes
from edge.control.occupants import lock_holder
from edge.control.patient import Finding, Patient, fine, warning, wrong
from edge.errors import ConfigError, EdgeError
from edge.node import orders
from edge.node.loader import read_document
from edge.site.generation import Generation
from edge.site.places import Places
from edge.site.settings import Settings

SHOWN: Final = 10
"""Mistakes of files that are told; `edge check` has them all."""


def find_patient(config: Path | None) -> Patient:
    """The node of a configuration, whatever is wrong with it."""
    settings, mistakes = configuration.read_settings(config)
    root = configuration.config_root(config)
    state = settings.state if settings is not None else configuration.find_state(config)
    places = Places(root / state)
    return Patient(
        settings=settings or settings_before(places),
        mistakes=tuple(mistakes),
        config=config,
        root=root,
        places=places,
        parent=lock_holder(places.lock),
        workers=tuple(living(places.run, "worker")),
    )


def settings_before(places: Places) -> Settings:
    """Those of the last good generation, else the defaults."""
    try:
        return read_document(places.current, Generation).settings
    except (OSError, EdgeError):
        return Settings()


def living(run: Path, kind: str) -> list[int]:
    """
    Processes of a kind that listen for orders; unlike `orders.peers`, nothing is removed.

    Of another user's node none can be seen; `check_leftovers` says so.
    """
    try:
        found = [orders.listening_pid(path) for path in sorted(run.glob(f"{kind}-*.sock"))]
    except OSError:
        return []
    return [pid for pid in found if pid is not None]


def check_files(patient: Patient) -> Iterable[Finding]:
    """`edge.yml` and the app folders, as `edge check` reads them."""
    mistakes = list(patient.mistakes)
    warnings: list[ConfigError] = []
    apps = 0
    if not mistakes:
        found = Changes(patient.places, patient.config).check()
        mistakes, warnings = found.errors, found.warnings
        apps = len(found.apps) + len(found.broken)
    name = patient.config or "no edge.yml (the defaults)"
    for each in mistakes[:SHOWN]:
        place = f"{each.file}:{each.line}:{each.column}"
        yield wrong(f"{place}: {each.message}", each.hint or "correct it; `edge check` reads it")
    if len(mistakes) > SHOWN:
        yield wrong(f"and {len(mistakes) - SHOWN} more mistakes", "`edge check` has them all")
    if warnings:
        yield warning(f"{len(warnings)} warnings", "`edge check` has them")
    if not mistakes:
        yield fine(f"{name}, and {apps} apps: no mistake")


Check = Callable[[Patient], Iterable[Finding]]

CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("configuration", check_files),
    ("processes", doctor_disk.check_leftovers),
    ("ports", doctor_ports.check_ports),
    ("low ports", doctor_ports.check_privileged),
    ("descriptors", doctor_machine.check_descriptors),
    ("backlog", doctor_machine.check_backlog),
    ("memory", doctor_machine.check_memory),
    ("programs", doctor_machine.check_programs),
    ("disk", doctor_disk.check_disk),
    ("access log", doctor_disk.check_log),
    ("permissions", doctor_disk.check_permissions),
    ("countries", doctor_disk.check_geoip),
    ("names", doctor_names.check_names),
    ("told", doctor_names.check_told),
    ("clock", doctor_names.check_clock),
)
"""Everything, in the order in which one would mend it."""


def examine(patient: Patient) -> Iterable[tuple[str, Finding]]:
    """(check, finding) of everything."""
    for name, check in CHECKS:
        try:
            yield from ((name, finding) for finding in list(check(patient)))
        except EdgeError as error:
            yield name, wrong(f"cannot be looked at: {error}", "`edge check` may say more")
        except OSError as error:
            text = f"cannot be looked at: {error.filename or 'the system'}: {error.strerror}"
            yield name, wrong(text, "run as the node's user, or as root")
