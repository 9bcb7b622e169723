"""Commands that run a node and change what it serves, with a node and without."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile

import pytest

from edge import cli, commands
from tests.support import write_tree
from tests.support_cli import SITE, Shell, active, app, node, offline, online, quiet, shell
from tests.support_control import write_app

FIXTURES = app, node, offline, online, quiet, shell
ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


# Deploying


def test_deploy_says_what_serves(shell, app):
    """The id and the URLs on stdout, progress as lines on stderr; the second sends nothing new."""
    source = write_tree(shell.folder / "site", SITE)
    arguments = ["deploy", source, "--app", app, "--branch", "main"]
    out, err = shell(*arguments)
    lines = out.splitlines()

    assert re.fullmatch(rf"deployed {ID.pattern}: 2 files, [0-2] new", lines[0])
    assert re.fullmatch(rf"  http://main\.{app}\.edge\.localhost:[0-9]+", lines[1])
    assert err.splitlines()[0] == "reading"
    assert err.splitlines()[-1] == "activating"
    assert shell(*arguments)[0].splitlines()[0].endswith("2 files, 0 new")


def test_deploy_as_a_document(shell, app):
    """Everything that the text says."""
    document = shell.deploy(app=app, message="why")

    keys = ["app", "branch", "configured", "files", "id", "sent", "urls", "warnings"]
    assert sorted(document) == keys
    assert (document["app"], document["branch"], document["files"]) == (app, "main", 2)
    (entry,) = shell.json("deployments", "--app", app, "--branch", "main")["deployments"]
    assert (entry["message"], entry["active"]) == ("why", True)


def test_deploy_tells_what_was_probably_not_meant(shell, app):
    """An inert rule that the deployment carries: it serves all the same."""
    rules = '[{"source": "/<*>/a", "target": "/b"}]'
    source = write_tree(shell.folder / f"inert-{app}", {"index.html": "x", "redirects.json": rules})
    arguments = ["deploy", source, "--app", app, "--branch", "main"]

    out, err = shell(*arguments)

    assert out.startswith("deployed ")
    assert "redirects.json:1:3: warning: [0].source: the rule never matches: <*> stands" in err
    (warning,) = shell.json(*arguments)["warnings"]
    assert (warning["file"], warning["line"], warning["column"]) == ("redirects.json", 1, 3)


def test_uploading_only(shell, app):
    """`--no-activate` leaves the branch alone and says how to go on."""
    first = shell.deploy(app=app)
    source = write_tree(shell.folder / "site", {"index.html": f"new {app}"})
    out, _ = shell("deploy", source, "--app", app, "--branch", "main", "--no-activate")
    identifier = ID.search(out)[0]

    assert out == (
        f"uploaded {identifier}: 1 new files; serve it with `edge activate {identifier}`\n"
    )
    assert active(shell, app) == first["id"]
    out, _ = shell("deployments", "--app", app, "--branch", "main")
    assert re.search(f"never active +{identifier}", out)
    out, _ = shell("activate", identifier)
    assert out.splitlines()[0] == f"{identifier} serves branch main of {app}"
    assert active(shell, app) == identifier


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives_are_deployed(shell, app, kind):
    """As the folder would be."""
    path = shell.folder / f"site.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in SITE.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in SITE.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content.encode()))

    assert shell.json("deploy", path, "--app", app, "--branch", "main")["files"] == 2


def test_links_are_followed_when_asked(shell, app):
    """Otherwise one that leads outside is refused, with the option that allows it."""
    outside = write_tree(shell.folder / f"outside-{app}", {"secret.txt": "s"})
    source = write_tree(shell.folder / f"linked-{app}", {"index.html": "x"})
    (source / "secret.txt").symlink_to(outside / "secret.txt")
    arguments = ["deploy", source, "--app", app, "--branch", "main"]

    _, err = shell(*arguments, code=1)
    assert "--follow-links" in err
    assert shell.json(*arguments, "--follow-links")["files"] == 2


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("nowhere", "nowhere: there is no such file"),
        ("empty", "empty"),
        ("page.html", "it is a page of HTML"),
        ("ftp://example.com/x.zip", "ftp"),
    ],
)
def test_a_source_that_is_none_is_refused(shell, app, source, text):
    """One line on stderr, exit code 1, and no app is made."""
    (shell.folder / "empty").mkdir(exist_ok=True)
    (shell.folder / "page.html").write_text("<html>")

    out, err = shell("deploy", source, "--app", app, "--branch", "main", code=1)
    document = shell.json("deploy", source, "--app", app, "--branch", "main", code=1)

    (line,) = [each for each in err.splitlines() if each.startswith("edge: ")]
    assert text in line
    assert (out, text in document["error"]) == ("", True)
    assert not (shell.folder / "rules" / app).exists()


@pytest.mark.parametrize(
    ("app", "branch", "text"),
    [("Shop", "main", "is no app name"), ("shop", "a\nb", "is no branch name")],
)
def test_bad_names_are_refused(shell, app, branch, text):
    """Before anything is sent."""
    source = write_tree(shell.folder / "site", SITE)

    _, err = shell("deploy", source, "--app", app, "--branch", branch, code=1)

    assert text in err


def test_a_file_that_changes_meanwhile_is_refused(offline, monkeypatch):
    """With its path."""
    write_tree(offline.folder / "site", SITE)
    stage = commands.stage

    def stage_and_change(*arguments, **options):
        tree = stage(*arguments, **options)
        (offline.folder / "site" / "index.html").write_text("<h1>other</h1>")
        return tree

    monkeypatch.setattr(commands, "stage", stage_and_change)
    _, err = offline("deploy", "site", "--app", "shop", "--branch", "main", code=1)

    assert "edge: index.html: the bytes sent as blob" in err


# Listing and going back


def test_deployments_are_listed(shell, app):
    """Newest first, the active one marked."""
    first, second = (shell.deploy({"index.html": f"{app}{n}"}, app)["id"] for n in range(2))
    shell("rollback", "--app", app, "--branch", "main")

    out, _ = shell("deployments", "--app", app, "--branch", "main")

    lines = out.splitlines()
    assert lines[0].split() == ["id", "created", "(UTC)", "files", "size", "message"]
    assert ID.findall(out) == [second, first]
    assert [line.startswith("*") for line in lines] == [False, False, True]


def test_rollback_and_activate(shell, app):
    """Back, further back, no further; and to any by its id."""
    ids = [shell.deploy({"index.html": f"{app}{n}"}, app)["id"] for n in range(3)]
    arguments = ["rollback", "--app", app, "--branch", "main"]

    assert shell.json(*arguments)["id"] == ids[1]
    assert shell(*arguments)[0].splitlines()[0] == f"{ids[0]} serves branch main of {app}"
    out, err = shell(*arguments, code=1)
    assert (out, err) == (
        "",
        f"edge: branch main of app {app} has no earlier deployment to go back to\n",
    )
    assert "no earlier deployment" in shell.json(*arguments, code=1)["error"]
    assert shell.json("activate", ids[2])["id"] == ids[2]


def test_branches_are_listed_and_deleted(shell, app):
    """With the label and a URL; deleted, they are named no more."""
    shell.deploy(app=app)
    shell.deploy(app=app, branch="feature/x")

    out, _ = shell("branches", "--app", app)
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["branch", "label", "deployment", "URL"]
    assert rows[1][:2] == ["feature/x", "feature-x"]
    assert rows[1][3].startswith(f"http://feature-x.{app}.edge.localhost:")
    assert rows[2][:2] == ["main", "main"]

    arguments = ["delete-branch", "--app", app, "--branch", "feature/x"]
    assert shell(*arguments)[0] == f"deleted branch feature/x of {app}\n"
    _, err = shell(*arguments, code=1)
    assert err == f"edge: app {app} has no branch feature/x (it has: main)\n"
    assert [each["branch"] for each in shell.json("branches", "--app", app)["branches"]] == ["main"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["deployments", "--app", "nope", "--branch", "main"], "there is no app nope (there are: "),
        (["branches", "--app", "nope"], "there is no app nope (there are: "),
        (["rollback", "--app", "known", "--branch", "x"], "has no branch x (it has: main)"),
        (["delete-branch", "--app", "known", "--branch", "x"], "has no branch x (it has: main)"),
        (["activate", "20260101-000000-aaaaaa"], "`edge deployments` lists those there are"),
        (["activate", "nope"], "'nope' is no deployment id (they look like"),
    ],
)
def test_unknown_names_are_refused(shell, arguments, text):
    """With those that are known; as text and as a document."""
    shell.deploy(app="known")

    out, err = shell(*arguments, code=1)
    document = shell.json(*arguments, code=1)

    assert (out, err.count("\n")) == ("", 1)
    assert text in err
    assert text in document["error"]


def test_an_incomplete_deployment_is_refused_with_the_list(shell, app, monkeypatch):
    """The paths for people, the hashes for machines."""
    monkeypatch.setattr(commands, "upload", lambda *_: None)
    source = write_tree(shell.folder / "site", {"index.html": f"never sent {app}"})
    _, err = shell("deploy", source, "--app", app, "--branch", "main", code=1)
    document = shell.json("deploy", source, "--app", app, "--branch", "main", code=1)

    assert "edge: 1 blobs are missing (index.html); send them, then activate again" in err
    assert len(document["missing"]) == 1


# The node


def test_reload_purge_status(shell, app):
    """Each says what it did."""
    shell.deploy(app=app)
    write_app(shell.folder, app, "production_branch: trunk\n")

    out, _ = shell("reload")
    first, *more = out.splitlines()
    assert re.fullmatch(rf"generation [0-9]+ serves; changed: {app}", first)
    assert more == [f"{app}: changed", "  setting ~ production_branch: main → trunk"]
    assert shell.json("reload")["changed"] == []
    assert re.fullmatch(r"[0-9]+ stored responses? went\n", shell("purge", "--all")[0])
    assert shell.json("purge", "--all").keys() == {"purged"}
    assert re.match(r"generation [0-9]+, [0-9]+ apps\n", shell("status")[0])
    assert shell.json("status").keys() >= {"generation", "apps", "workers"}


def test_a_reload_that_is_rehearsed(shell, app):
    """Says what would change, and nothing does; with a node and without."""
    shell.deploy(app=app)
    rules = shell.folder / "rules" / app / "redirects.json"
    rules.write_text('[{"source": "/a/style.css", "target": "/b"}]')

    out, _ = shell("reload", "--dry-run")
    document = shell.json("reload", "--dry-run")

    lines = out.splitlines()
    assert lines[:4] == [
        f"nothing was done; a reload would change: {app}",
        f"{app}: changed",
        "  rule + [0] /a/style.css: 301 /b",
        "3 sample requests, 1 answered differently",
    ]
    assert re.split(" {2,}", lines[5]) == [
        f"main.{app}.edge.localhost/a/style.css",
        "200 /a/style.css",
        "301 /b by [0]",
    ]
    assert (document["dry_run"], document["changed"]) == (True, [app])
    assert shell.json("reload")["changed"] == [app]


def test_status_lists_the_workers(online):
    """One line each."""
    out, _ = online("status")
    (worker,) = online.json("status")["workers"]

    assert out.splitlines()[1].split()[:2] == ["worker", "generation"]
    assert out.splitlines()[2].split()[0] == str(worker["pid"])


def test_without_workers_status_says_so(offline):
    """The state folder has a generation all the same."""
    offline.deploy()

    assert offline("status")[0].splitlines()[1] == "no worker is running"


def test_a_refused_reload_lists_the_mistakes(shell, app):
    """One a line as `file:line:column: message (hint)`, then what was kept."""
    write_app(shell.folder, app, "nope: 1\nretain: {deployments: x}\n")
    _, err = shell("reload", code=1)
    document = shell.json("reload", code=1)
    (shell.folder / "rules" / app / "app.yml").unlink()
    shell("reload")

    lines = err.splitlines()
    assert [line.split(": ")[0] for line in lines[:2]] == [
        f"rules/{app}/app.yml:1:1",
        f"rules/{app}/app.yml:2:23",
    ]
    assert lines[2] == f"edge: kept as they were: {app}"
    assert (document["kept"], len(document["errors"])) == ([app], 2)


def test_offline_and_online_give_the_same_documents(offline, node, monkeypatch, app):
    """Field by field; a script need not know whether a node runs."""

    def shapes(shell):
        shell.deploy(app=app)
        shell.deploy(app=app, branch="next")
        documents = [
            shell.deploy({"index.html": "2"}, app),
            shell.json("deployments", "--app", app, "--branch", "main"),
            shell.json("branches", "--app", app),
            shell.json("rollback", "--app", app, "--branch", "main"),
            shell.json("delete-branch", "--app", app, "--branch", "next"),
            shell.json("reload"),
            shell.json("purge", "--all"),
        ]
        return [shape(document) for document in documents]

    without = shapes(offline)
    monkeypatch.chdir(node.folder)

    assert shapes(Shell(node.folder, offline.capsys)) == without


def shape(value):
    """The types in a document."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


def test_a_second_node_is_refused(online):
    """One node a state folder."""
    _, err = online("serve", code=1)

    assert err.startswith("edge: a node already runs on ")


def test_a_deploy_to_an_app_without_a_valid_configuration_says_so(offline, capsys):
    """It is kept and its URLs are printed, with the reason why they answer 503."""
    write_tree(offline.folder, {"rules/site/app.yml": "nope: 1\n", "site/index.html": "x"})
    config = str(offline.folder / "edge.yml")
    source = str(offline.folder / "site")
    arguments = ["deploy", source, "--app", "site", "--branch", "main", "-c", config]

    assert cli.main(arguments) == 0

    printed = capsys.readouterr()
    assert "these answer 503" in printed.err
    assert "`edge check site`" in printed.err
