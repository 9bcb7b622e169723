"""Commands about names and certificates, with a node and without."""

from __future__ import annotations

import json

import pytest

from tests.support import eventually, running
from tests.support_cli import Shell, app, node, offline, online, quiet, shell
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


# Certificates


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A node that runs, whose own authority signs everything."""
    folder = tmp_path_factory.mktemp("local")
    with running(folder, workers=1, settings="tls: {mode: internal}\n", is_secure=True) as found:
        yield found


@pytest.fixture
def own(local, monkeypatch, capsys, quiet):
    """Its folder."""
    monkeypatch.chdir(local.folder)
    return Shell(local.folder, capsys)


def entries(shell):
    """Certificates by name."""
    return {each["name"]: each for each in shell.json("certs")["certificates"]}


def test_the_own_authoritys_certificates(own, local):
    """Each with its state; the root that clients are to trust; a renewal by hand."""
    own.deploy(app="shop")
    name = "*.shop.edge.localhost"
    eventually(lambda: entries(own).get(name, {}).get("state") == "valid")
    first = entries(own)[name]

    out, err = own("certs")
    assert (out.splitlines()[1].split()[:3], err) == ([name, "valid", "Edge"], "")
    root, _ = own("certs", "--root")
    assert root == (local.folder / "var" / "tls" / "internal" / "root.pem").read_text()
    said, _ = own("certs", "--renew", "main.shop.edge.localhost")
    assert said == f"{name} is renewed: edge certs shows how it goes\n"
    eventually(lambda: entries(own)[name]["id"] != first["id"])
    assert "nobody.test" in own("certs", "--renew", "nobody.test", code=1)[1]
    assert own("certs", "nobody.test", code=1)[1].endswith("is wanted for nobody.test\n")


def test_certificates_without_a_node(offline):
    """The state folder tells what there is; a renewal needs a node."""
    (offline.folder / "edge.yml").write_text('listen: {https: ["127.0.0.1:1"]}\n')
    assert offline("certs")[0].startswith("no certificates")
    offline.deploy(app="shop")

    assert entries(offline)["*.shop.edge.localhost"]["state"] == "waiting"
    assert "edge serve" in offline("certs", "--renew", "a.test", code=1)[1]
    assert "has no root" in offline("certs", "--root", code=1)[1]


def test_hostnames_are_listed_with_their_certificates(own):
    """What is missing for a name is told in one place."""
    own.deploy(app="listed")
    eventually(lambda: entries(own).get("*.listed.edge.localhost", {}).get("state") == "valid")

    hosts = own.json("domains", "listed")["hosts"]

    assert [each["certificate"] for each in hosts] == ["valid"]
