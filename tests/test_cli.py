"""The command line: what each command prints, refuses and returns, with a node and without."""

from __future__ import annotations

import argparse
import io
import json
import logging
import re
import socket
import subprocess
import tarfile
import zipfile

import pytest

from edge import cli
from edge.control.reload import Refused
from tests.support import EDGE, free_port, running, write_tree
from tests.support_control import places_of, write_app

SITE = {"index.html": "<h1>hello</h1>", "a/style.css": "a{}"}
COMMANDS = [
    "serve",
    "deploy",
    "deployments",
    "activate",
    "rollback",
    "branches",
    "delete-branch",
    "check",
    "reload",
    "purge",
    "status",
]
ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


class Shell:
    """Runs commands in this process, in a folder."""

    def __init__(self, folder, capsys):
        self.folder = folder
        self.capsys = capsys

    def __call__(self, *arguments, code=0):
        """(stdout, stderr) of a command that ends with `code`."""
        self.capsys.readouterr()
        found = cli.main([str(each) for each in arguments])
        captured = self.capsys.readouterr()
        assert found == code, captured.err
        assert "Traceback" not in captured.err
        return captured.out, captured.err

    def json(self, *arguments, code=0):
        """The document of a command: on stdout when it is done, on stderr when it is refused."""
        out, err = self(*arguments, "--json", code=code)
        assert (out == "") == (code != 0 and arguments[0] != "check")
        assert (err == "") == (code == 0 or arguments[0] == "check")
        return json.loads(out or err)

    def deploy(self, files=SITE, app="shop", branch="main", **more):
        """Deploy a folder; the document."""
        source = write_tree(self.folder / "site", files)
        options = [f"--{name}={value}" for name, value in more.items()]
        return self.json("deploy", source, "--app", app, "--branch", branch, *options)


@pytest.fixture
def _logging():
    """What a command does to this process's logging ends with the test."""
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def offline(tmp_path, monkeypatch, capsys, _logging):
    """A folder where no node runs, with an address of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "edge.yml").write_text(f'listen: {{admin: "127.0.0.1:{free_port()}"}}\n')
    return Shell(tmp_path, capsys)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node that runs for all tests of this module."""
    with running(tmp_path_factory.mktemp("node"), workers=1) as found:
        yield found


@pytest.fixture
def online(node, monkeypatch, capsys, _logging, request):
    """Its folder; every test has an app of its own name."""
    monkeypatch.chdir(node.folder)
    return Shell(node.folder, capsys)


@pytest.fixture(params=["offline", "online"])
def shell(request):
    """With and without a node: the same commands have the same answers."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def app(request):
    """A name that no other test uses."""
    return "a" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-50:].strip("-")


# The grammar


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys, command):
    """What it does and what it takes."""
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])

    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert text.startswith(f"usage: edge {command}")
    assert len(text.split("\n\n")[1]) > 15
    assert "--config FILE" in text


def test_the_help_names_every_command(capsys):
    """With a line for each, and examples."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])

    text = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^    {command}\s+\w", text, re.MULTILINE), command
    assert "edge deploy ./dist --app shop --branch main" in text


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nope"],
        ["deploy"],
        ["deploy", "site", "--app", "shop"],
        ["activate"],
        ["rollback", "--app", "shop"],
        ["branches"],
        ["purge"],
        ["check", "--nope"],
    ],
    ids=" ".join,
)
def test_what_is_no_command_is_usage(capsys, arguments):
    """Exit code 2, on stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    captured = capsys.readouterr()
    assert (ended.value.code, captured.out) == (2, "")
    assert captured.err.startswith("usage: edge")


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

    assert sorted(document) == ["app", "branch", "configured", "files", "id", "sent", "urls"]
    assert (document["app"], document["branch"], document["files"]) == (app, "main", 2)
    (entry,) = shell.json("deployments", "--app", app, "--branch", "main")["deployments"]
    assert (entry["message"], entry["active"]) == ("why", True)


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
    out, _ = shell("activate", identifier)
    assert out.splitlines()[0] == f"{identifier} serves branch main of {app}"
    assert active(shell, app) == identifier


def active(shell, app, branch="main"):
    """The deployment that serves."""
    document = shell.json("deployments", "--app", app, "--branch", branch)
    return next(each["id"] for each in document["deployments"] if each["active"])


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


def test_limits_of_the_config_bound_the_source(offline):
    """The folder is refused before it is hashed; the limit is named."""
    with (offline.folder / "edge.yml").open("a") as file:
        file.write("limits: {archive_files: 1}\n")
    source = write_tree(offline.folder / "site", SITE)

    _, err = offline("deploy", source, "--app", "shop", "--branch", "main", code=1)

    assert "raise limits.archive_files" in err


def test_a_file_that_changes_meanwhile_is_refused(offline, monkeypatch):
    """With its path."""
    write_tree(offline.folder / "site", SITE)
    stage = cli.stage

    def stage_and_change(*arguments, **options):
        tree = stage(*arguments, **options)
        (offline.folder / "site" / "index.html").write_text("<h1>other</h1>")
        return tree

    monkeypatch.setattr(cli, "stage", stage_and_change)
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
    monkeypatch.setattr(cli, "upload", lambda *_: None)
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
    assert re.fullmatch(rf"generation [0-9]+ serves; changed: {app}\n", out)
    assert shell.json("reload")["changed"] == []
    assert re.fullmatch(r"[0-9]+ stored responses went\n", shell("purge", "--all")[0])
    assert shell.json("purge", "--all").keys() == {"purged"}
    assert re.match(r"generation [0-9]+, [0-9]+ apps\n", shell("status")[0])
    assert shell.json("status").keys() == {"generation", "apps", "workers"}


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
    out, err = shell("reload", code=1)
    document = shell.json("reload", code=1)
    (shell.folder / "rules" / app / "app.yml").unlink()
    shell("reload")

    lines = err.splitlines()
    assert out == ""
    assert [line.split(": ")[0] for line in lines[:2]] == [
        f"rules/{app}/app.yml:1:1",
        f"rules/{app}/app.yml:2:23",
    ]
    assert lines[2] == f"edge: kept as they were: {app}"
    assert (document["kept"], len(document["errors"])) == ([app], 2)


def test_a_mistake_in_edge_yml_is_told(offline):
    """By every command, as long as there is nothing to fall back to."""
    (offline.folder / "edge.yml").write_text("nope: 1\n")
    source = write_tree(offline.folder / "site", SITE)

    for arguments in (
        ["deploy", source, "--app", "a", "--branch", "b"],
        ["branches", "--app", "a"],
        ["status"],
        ["serve"],
    ):
        out, err = offline(*arguments, code=1)
        assert (out, err.splitlines()[-1].startswith("edge.yml:1:1: unknown key 'nope'")) == (
            "",
            True,
        )
    assert offline.json("status", code=1)["errors"][0]["file"] == "edge.yml"


def test_with_a_last_good_generation_work_goes_on(offline, caplog):
    """Its settings are used, the mistake is told; also with a state folder of another name."""
    text = (offline.folder / "edge.yml").read_text() + "state: elsewhere\n"
    (offline.folder / "edge.yml").write_text(text)
    first = offline.deploy()
    (offline.folder / "edge.yml").write_text(text + "nope: 1\n")
    logging.disable(logging.NOTSET)

    offline("branches", "--app", "shop")

    assert "unknown key 'nope'" in caplog.text
    assert "the settings of the last good generation are used" in caplog.text
    assert active(offline, "shop") == first["id"]
    assert not (offline.folder / "var").exists()


def test_a_config_that_is_not_there_is_told(offline):
    """The name as it was given."""
    _, err = offline("status", "-c", "nope.yml", code=1)

    assert err.startswith("nope.yml:1:1: there is no such file")


def test_paths_are_relative_to_the_config(offline, monkeypatch):
    """Not to where the command runs."""
    other = offline.folder / "other"
    write_tree(other, {"edge.yml": (offline.folder / "edge.yml").read_text(), "rules/x": ""})
    write_tree(offline.folder / "site", SITE)

    document = offline.json(
        "deploy", "site", "--app", "shop", "--branch", "main", "-c", "other/edge.yml"
    )

    assert (other / "rules" / "shop" / "app.yml").exists()
    assert places_of(other).manifest("shop", "main", document["id"]).exists()
    assert not (offline.folder / "var").exists()


def test_without_a_config_there_are_the_defaults(offline):
    """`rules` and `var` beside where the command runs."""
    (offline.folder / "edge.yml").unlink()

    settings, config, places = cli.find_settings(argparse.Namespace(config=None))

    assert (settings.state, config, places.state) == ("var", None, offline.folder / "var")


def test_a_node_elsewhere_takes_a_token(online, node, tmp_path, monkeypatch):
    """`--node` with `--token-file`, from any folder."""
    monkeypatch.chdir(tmp_path)
    address = ["--node", f"http://127.0.0.1:{node.admin_port}"]
    token = ["--token-file", node.folder / "var" / "admin.token"]

    assert online.json("status", *address, *token)["generation"] > 0
    _, err = online("status", *address, code=1)
    assert err == "edge: --node takes --token-file: the file with the node's token\n"


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (b"wrong\n", "send the token of admin.token_file"),
        (b"", "holds no token"),
        (b"a b", "holds no token"),
        (b"\xff\xfe", "holds no token"),
        (None, "No such file"),
    ],
    ids=["wrong", "empty", "two words", "binary", "missing"],
)
def test_a_bad_token_is_told(online, node, tmp_path, token, text):
    """One line, without the token."""
    file = tmp_path / "token"
    if token is not None:
        file.write_bytes(token)
    arguments = ["status", "--node", f"127.0.0.1:{node.admin_port}", "--token-file", file]

    out, err = online(*arguments, code=1)

    assert (out, err.count("\n"), text in err) == ("", 1, True)
    assert "wrong" not in err
    assert text in online.json(*arguments, code=1)["error"]


@pytest.mark.parametrize("address", ["ftp://x", "http://a:b"])
def test_what_is_no_node_is_told(offline, address):
    """With an example."""
    (offline.folder / "token").write_text("t")

    _, err = offline("status", "--node", address, "--token-file", "token", code=1)

    assert err == f"edge: '{address}' is no node; write https://node.example:9901\n"


def test_a_node_that_is_down_is_told(offline):
    """With its address."""
    (offline.folder / "token").write_text("t")
    address = f"127.0.0.1:{free_port()}"

    _, err = offline("status", "--node", address, "--token-file", "token", code=1)

    assert err.startswith(f"edge: the node at {address} does not answer: ")


def test_a_node_that_cannot_be_asked_is_not_gone_behind(offline):
    """Control lives and its API is elsewhere: working on its folder would not be noticed by it."""
    offline.deploy()
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(offline.folder / "var" / "run" / "control-1.sock"))
        control.listen()
        _, err = offline("status", code=1)

    assert "a node runs on" in err
    assert "was `listen` changed since it started?" in err


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


def test_a_permission_is_told_without_a_traceback(offline, monkeypatch):
    """The file and the reason."""

    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied", "/state/current")

    monkeypatch.setattr(cli, "find_node", refuse)
    _, err = offline("status", code=1)
    assert err == "edge: /state/current: Permission denied\n"

    def time_out(*_arguments, **_options):
        raise TimeoutError

    monkeypatch.setattr(cli, "find_node", time_out)
    assert offline("status", code=1)[1] == "edge: the system: TimeoutError\n"


def test_an_interruption_is_a_failure(offline, monkeypatch):
    """Without a traceback."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "find_node", interrupt)

    assert offline("status", code=1) == ("", "")


def test_a_reader_that_has_seen_enough_is_no_error(offline):
    """`edge … | head -1` says nothing on stderr."""
    offline.deploy()
    script = f"{EDGE} deployments --app shop --branch main | true"
    done = subprocess.run(
        ["bash", "-c", script], cwd=offline.folder, capture_output=True, text=True, check=False
    )

    assert done.stderr == ""


def test_a_second_node_is_refused(online):
    """One node a state folder."""
    _, err = online("serve", code=1)

    assert err.startswith("edge: a node already runs on ")


# Checking


def test_check_finds_everything(offline):
    """All mistakes of all files, sorted, one a line with what to do; nothing is made."""
    (offline.folder / "edge.yml").write_text("stat: x\nlimits: {drain: soon}\n")
    write_app(offline.folder, "b", "retain: {deployments: x}\nnope: 1\n")
    write_app(offline.folder, "a", "domains: 5\n")
    write_app(offline.folder, "good")

    out, err = offline("check", code=1)
    document = offline.json("check", code=1)

    pattern = re.compile(r"(\S+:[0-9]+:[0-9]+): .+")
    assert out == ""
    assert [pattern.fullmatch(line)[1] for line in err.splitlines()] == [
        "edge.yml:1:1",
        "edge.yml:2:17",
        "rules/a/app.yml:1:10",
        "rules/b/app.yml:1:23",
        "rules/b/app.yml:2:1",
    ]
    assert "(did you mean 'state'?)" in err
    assert (len(document["errors"]), document["apps"]) == (5, 3)
    assert sorted(path.name for path in offline.folder.iterdir()) == ["edge.yml", "rules"]


def test_check_of_some_apps(offline):
    """The others' mistakes are left out; those of edge.yml are not."""
    write_app(offline.folder, "a", "nope: 1\n")
    write_app(offline.folder, "b", "nope: 1\n")
    write_app(offline.folder, "good")

    assert offline("check", "good")[0] == "1 app, no mistakes\n"
    assert offline("check", "a", "good", code=1)[1].startswith("rules/a/app.yml:1:1: ")
    assert len(offline.json("check", "a", "b", code=1)["errors"]) == 2
    assert offline("check", "nope", code=1)[1] == "edge: there is no app folder nope\n"
    (offline.folder / "edge.yml").write_text("nope: 1\n")
    assert offline("check", "good", code=1)[1].startswith("edge.yml:1:1: ")


def test_check_of_what_is_good(offline):
    """Exit code 0, also when asked to be strict."""
    write_app(offline.folder, "a")
    write_app(offline.folder, "b")

    assert offline("check")[0] == "2 apps, no mistakes\n"
    assert offline("check", "--strict")[0] == "2 apps, no mistakes\n"
    assert offline.json("check") == {"errors": [], "apps": 2}


def test_check_names_both_who_claim_a_hostname(offline):
    """At the key of each."""
    for name in ("a", "b"):
        write_app(offline.folder, name, 'domains: {x.example: {subdomains: {"": main}}}\n')

    _, err = offline("check", code=1)

    assert [line.split(": ")[0] for line in err.splitlines()] == [
        "rules/a/app.yml:1:36",
        "rules/b/app.yml:1:36",
    ]
    assert "claimed by app a branch main and by app b branch main" in err


def test_check_by_the_program(offline):
    """As a script calls it: the real command, its exit code, no traceback."""
    write_app(offline.folder, "a", "nope: 1\n")

    done = subprocess.run(
        [EDGE, "check"], cwd=offline.folder, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("rules/a/app.yml:1:1: unknown key 'nope'")


def test_serve_needs_settings(offline):
    """A node without any is refused with the mistakes."""
    (offline.folder / "edge.yml").write_text("nope: 1\n")

    with pytest.raises(Refused):
        cli.find_settings(argparse.Namespace(config=None))


@pytest.mark.parametrize(
    ("listen", "refusal"),
    [
        ('{https: ["127.0.0.1:8443"]}', "this version has no TLS"),
        ('{admin: "0.0.0.0:9901"}', "off loopback the admin API requires TLS"),
        ('{admin: "192.0.2.1:9901"}', "off loopback the admin API requires TLS"),
    ],
)
def test_serve_refuses_what_needs_tls(offline, capsys, listen, refusal):
    """The token must not cross a network in clear text, and https must not be http."""
    (offline.folder / "edge.yml").write_text(f"listen: {listen}\n")

    assert cli.main(["serve", "-c", str(offline.folder / "edge.yml")]) == 1
    assert refusal in capsys.readouterr().err


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
