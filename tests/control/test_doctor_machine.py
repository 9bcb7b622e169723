"""What the machine grants, against what the settings ask for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from edge.control import doctor_machine
from edge.control.doctor_machine import (
    check_backlog,
    check_descriptors,
    check_memory,
    check_programs,
    judge_backlog,
    judge_descriptors,
    judge_memory,
    judge_package,
)
from edge.site.settings import CacheSettings, Settings
from tests.support_doctor import patient_of

GIB = 1 << 30
CONTROL = Path(doctor_machine.__file__).parent


@pytest.mark.parametrize(
    ("limit", "level"), [(65_536, "ok"), (11_024, "ok"), (1_024, "warning"), (64, "wrong")]
)
def test_descriptors_against_connections(limit, level):
    """A shell's usual 1,024 are a tenth of what one worker may take; the remedy is enough."""
    found = judge_descriptors(limit, 10_000)

    assert found.level == level
    if level != "ok":
        assert found.remedy.startswith("LimitNOFILE=11024 ")


def test_a_lowered_ulimit_is_seen(tmp_path):
    """Of a process that runs, asked of the kernel."""
    command = ["bash", "-c", "ulimit -n 300; echo; exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        worker.stdout.readline()
        found = list(check_descriptors(patient_of(tmp_path, workers=(worker.pid,))))
        worker.kill()

    (finding,) = found
    assert finding.level == "warning"
    assert finding.text == "300 files and sockets a worker: 225 connections, not 10,000"


def test_without_a_worker_it_is_what_one_would_have(tmp_path):
    """As with one that has gone: it raises its limit to what an administrator allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    assert doctor_machine.descriptors(patient_of(tmp_path)) == hard
    assert doctor_machine.descriptors(patient_of(tmp_path, workers=(2**22 + 1,))) == hard


def test_the_backlog(tmp_path):
    """The very one that the node asks for."""
    sources = "".join(path.read_text() for path in CONTROL.glob("[!d]*.py"))
    assert re.search(rf"^BACKLOG(: Final)? = {doctor_machine.BACKLOG}$", sources, re.MULTILINE)
    assert judge_backlog(4096).level == "ok"
    assert judge_backlog(128).remedy.startswith("sysctl -w net.core.somaxconn=4096")
    assert len(list(check_backlog(patient_of(tmp_path)))) == 1


def test_memory():
    """More than there is, more than is free, and enough."""
    assert judge_memory(3 * GIB, 2 * GIB, GIB).level == "wrong"
    assert judge_memory(3 * GIB, 4 * GIB, GIB).level == "warning"
    assert (
        judge_memory(GIB, 4 * GIB, 2 * GIB).text
        == "the node may grow to 1.0 GiB; there are 4.0 GiB"
    )


def test_a_cache_that_no_machine_has(tmp_path):
    """A mistake of three zeros, on this machine."""
    settings = Settings(cache=CacheSettings(memory=1 << 60), workers=3)

    (found,) = check_memory(patient_of(tmp_path, settings))

    assert found.level == "wrong"
    assert "cache.memory" in found.remedy
    assert doctor_machine.worker_count(patient_of(tmp_path, settings)) == 3
    cores = len(os.sched_getaffinity(0))
    assert doctor_machine.worker_count(patient_of(tmp_path)) == cores


def test_packages():
    """Those that are missing, and the one that is pinned exactly."""
    assert judge_package("zttp==0.0.35", "0.0.35") is None
    assert judge_package("uvloop>=0.21", "0.22") is None
    assert judge_package("zttp==0.0.35", "0.0.36").text == (
        "zttp is 0.0.36, and this version is made for 0.0.35"
    )
    assert judge_package("acme<6,>=5.9", None).text == "acme is not installed"
    assert doctor_machine.installed("no-such-package>=1") is None


def test_what_runs_here_is_what_is_needed(tmp_path, monkeypatch):
    """And an older interpreter is not."""
    assert [each.level for each in check_programs(patient_of(tmp_path))] == ["ok"]

    monkeypatch.setattr(sys, "version_info", (3, 10, 1))

    assert next(iter(check_programs(patient_of(tmp_path)))).text == "Python 3.10.1"


def test_the_build_is_told(tmp_path, monkeypatch):
    """The sources in place are not compiled; of a wheel they mostly are."""
    (found,) = check_programs(patient_of(tmp_path))
    assert found.text.endswith(
        "; not compiled: installed with gcc and python3-dev it would be a tenth faster"
    )

    (tmp_path / "clock.so").touch()
    spec = importlib.util.spec_from_file_location("clock", tmp_path / "clock.so")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: spec)
    assert doctor_machine.build() == "compiled"


def test_whoever_cannot_read_what_is_needed_is_told_so(tmp_path, monkeypatch):
    """As another user, or where edge runs from a folder that nobody installed."""

    def nothing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", nothing)
    (found,) = check_programs(patient_of(tmp_path))

    assert found.level == "warning"
    assert "cannot be read" in found.text
