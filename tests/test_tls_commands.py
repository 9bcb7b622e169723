"""Commands about names and certificates, with a node and without."""

from __future__ import annotations

import json

from tests.support_cli import app, node, offline, online, quiet, shell
from tests.support_control import write_app

FIXTURES = app, node, offline, online, quiet, shell


def test_names_of_this_machine_need_nothing(shell, app):
    """A new deployment under localhost is complete."""
    shell.deploy(app=app)

    out, err = shell("domains", app)

    assert err == ""
    assert out.splitlines()[-1].split() == [
        f"main.{app}.edge.localhost",
        f"{app}/main",
        "here",
        "nothing",
    ]
    assert shell.json("domains", app)["missing"] is False


def test_a_name_that_does_not_exist(shell, app):
    """Exit code 1, by which a script waits; what to set is printed all the same."""
    write_app(shell.folder, app, f'domains: {{{app[:40]}.invalid: {{subdomains: {{"": main}}}}}}\n')
    shell("reload")

    out, err = shell("domains", app, code=1)
    printed, _ = shell("domains", app, "--json", code=1)

    (host,) = json.loads(printed)["hosts"]
    assert (host["host"], host["missing"], host["resolves"]) == (f"{app[:40]}.invalid", True, [])
    assert f"{app[:40]}.invalid A " in out
    assert "edge: records are missing for 1 hostname\n" in err


def test_an_app_that_is_not_there(shell):
    """As with every other command."""
    assert "there is no app nope" in shell("domains", "nope", code=1)[1]


def test_without_an_app_all_are_told(offline):
    """Those of every app, in their order."""
    for name in ("b", "a"):
        offline.deploy(app=name)

    assert [each["app"] for each in offline.json("domains")["hosts"]] == ["a", "b"]


def test_before_there_is_anything(offline):
    """An empty state folder has no hostnames, and nothing is missing."""
    assert offline("domains")[0].startswith("no hostnames")
