"""
The command line: one function a command, one clear line on stderr when something is refused.

Laws: exit 0 done, 1 refused or failed, 2 usage. People get tables and progress; machines get
`--json`. A command that changes a node talks to it; with no node on that config it works on the
state folder itself, by the same code.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge import report
from edge.control import configuration
from edge.control.archives import ArchiveLimits
from edge.control.changes import Changes
from edge.control.client import Client
from edge.control.operations import Node, Operations
from edge.control.parent import Parent
from edge.control.reload import Refused, Reloaded
from edge.control.sources import StagedFile, stage
from edge.errors import EdgeError, StoreError
from edge.node import orders
from edge.node.loader import read_document
from edge.site.generation import Generation
from edge.site.places import Places
from edge.site.settings import Settings

log = logging.getLogger("edge")

UPLOADS = 4
"""Blobs sent at a time."""

EPILOG = """\
examples:
  edge serve -c edge.yml                     run the node in the foreground
  edge deploy ./dist --app shop --branch main
  edge deploy site.zip --app shop --branch pr-7 --json
  edge rollback --app shop --branch main
  edge check                                 validate every file without serving
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = parser().parse_args(arguments)
    logging.basicConfig(format="edge: %(message)s", level=logging.INFO, stream=sys.stderr)
    if options.json and options.command is not serve:
        logging.disable()  # machines read the whole of stderr
    try:
        code: int = options.command(options)
        sys.stdout.flush()
    except StoreError as refused:
        return report.refusal(refused, options.json)
    except EdgeError as error:
        return report.failure(str(error), options.json)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return report.failure(f"{error.filename or 'the system'}: {reason}", options.json)
    except KeyboardInterrupt:
        return 1
    return code


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-c", "--config", type=Path, metavar="FILE", help="edge.yml")
    common.add_argument("--json", action="store_true", help="answer as JSON")
    common.add_argument("--node", metavar="URL", help="admin API of a node elsewhere")
    common.add_argument("--token-file", type=Path, metavar="FILE", help="its token")
    top = argparse.ArgumentParser(
        prog="edge",
        description="A self-hosted CDN node.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_commands(top.add_subparsers(metavar="COMMAND", required=True), common)
    return top


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Every command, with the options that all of them have."""

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = commands.add_parser(
            name, parents=[common], help=text, description=text
        )
        sub.set_defaults(command=run)
        return sub

    command("serve", serve, "run the node in the foreground")
    sub = command("deploy", deploy, "publish a folder or an archive on a branch")
    sub.add_argument("source", help="folder, .zip, .tar.gz, http(s)://…, s3://bucket/key.zip")
    add_branch(sub)
    sub.add_argument("--message", default="", help="kept with the deployment")
    sub.add_argument("--no-activate", action="store_true", help="upload only")
    sub.add_argument("--follow-links", action="store_true", help="publish what links point to")
    add_branch(command("deployments", deployments, "list a branch's deployments, newest first"))
    sub = command("activate", activate, "serve a deployment: a pointer moves, at once")
    sub.add_argument("id", help="as `edge deployments` prints it")
    add_branch(command("rollback", rollback, "serve what the branch served before"))
    sub = command("branches", branches, "list an app's branches and their URLs")
    sub.add_argument("--app", required=True)
    add_branch(command("delete-branch", delete_branch, "forget a branch; its hosts answer 404"))
    sub = command("check", check, "validate every file without serving")
    sub.add_argument("apps", nargs="*", metavar="APP")
    sub.add_argument("--strict", action="store_true", help="warnings fail too")
    command("reload", reload, "serve the files as they are now")
    sub = command("purge", purge, "forget stored responses")
    sub.add_argument("--all", action="store_true", required=True)
    command("status", status, "what the node is doing")


def add_branch(sub: argparse.ArgumentParser) -> None:
    """The two options that name a branch."""
    sub.add_argument("--app", required=True, help="a DNS label; a new one gets a folder")
    sub.add_argument("--branch", required=True)


# Finding the node


def find_config(options: argparse.Namespace) -> Path | None:
    """The config file: the one named, else ./edge.yml if there is one, else the defaults."""
    if options.config is not None:
        return Path(options.config)
    default = Path("edge.yml")
    return default if default.exists() else None


def find_settings(options: argparse.Namespace) -> tuple[Settings, Path | None, Places]:
    """
    Settings, config file and state folder.

    With mistakes in `edge.yml` the settings of the last good generation are used, if there is
    one: a node that is restarted at night serves what it served.

    Raises:
        Refused: there are mistakes and nothing to fall back to.
    """
    config = find_config(options)
    settings, errors = configuration.read_settings(config)
    root = configuration.config_root(config)
    if settings is not None:
        return settings, config, Places(root / settings.state)
    places = Places(root / configuration.find_state(config))
    if not places.current.exists():
        raise Refused(errors, [], Reloaded(0, []))
    for error in errors:
        log.error("%s", error)
    log.error("the settings of the last good generation are used")
    return read_document(places.current, Generation).settings, config, places


@contextmanager
def open_node(options: argparse.Namespace) -> Iterator[Node]:
    """The node of `find_node`, for as long as a command takes."""
    node = find_node(options)
    try:
        yield node
    finally:
        if isinstance(node, Client):
            node.close()


def find_node(options: argparse.Namespace) -> Node:
    """
    The node to talk to: `--node`, the running one of this config, or its state folder.

    Raises:
        EdgeError: a node runs but does not answer, or its token cannot be read.
    """
    if options.node:
        if options.token_file is None:
            raise EdgeError("--node takes --token-file: the file with the node's token")
        return Client(options.node, read_token(options.token_file))
    settings, config, places = find_settings(options)
    token = options.token_file or configuration.config_root(config) / settings.admin.token_file
    if token.exists():
        client = Client(settings.listen.admin, read_token(token))
        if client.is_reachable():
            return client
    if orders.peers(places.run, "control"):
        raise EdgeError(
            f"a node runs on {places.state}, and its admin API does not answer at "
            f"{settings.listen.admin}; was `listen` changed since it started?"
        )
    changes = Changes(places, config)
    changes.open()
    return Operations(places, changes)


def read_token(file: Path) -> str:
    """
    The token in a file.

    Raises:
        EdgeError: there is none in it.
    """
    token = file.read_bytes().strip()
    if not token or not token.isascii() or any(byte <= 32 for byte in token):
        raise EdgeError(f"{file} holds no token: one line of letters, digits and signs")
    return token.decode()


def find_limits(options: argparse.Namespace) -> ArchiveLimits:
    """What a source may hold: as the node's own settings say where they are here."""
    limits = Settings().limits if options.node else find_settings(options)[0].limits
    return ArchiveLimits(
        files=limits.archive_files, bytes=limits.archive_bytes, ratio=limits.archive_ratio
    )


# Commands


def serve(options: argparse.Namespace) -> int:
    """Run the node until it is told to stop."""
    settings, config, places = find_settings(options)
    refuse_what_needs_tls(settings)
    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)

    def announce() -> None:
        generation = read_document(places.current, Generation)
        report.serving(settings, generation)

    return Parent(places, settings, config).run(announce)


def refuse_what_needs_tls(settings: Settings) -> None:
    """
    Refuse addresses that must not be listened on without TLS, which is not there yet.

    Raises:
        EdgeError: https is asked for, or the admin API would be reachable from elsewhere.
    """
    if settings.listen.https:
        raise EdgeError("listen.https: this version has no TLS; take the addresses out of edge.yml")
    admin = settings.listen.admin
    if not admin.startswith(("127.0.0.1:", "[::1]:", "localhost:", "unix:")):
        raise EdgeError(
            "listen.admin: off loopback the admin API requires TLS, which this version does not "
            "have; listen on 127.0.0.1 or unix: and tunnel to it (ssh -L)"
        )


def deploy(options: argparse.Namespace) -> int:
    """Stage the source, send what the node lacks, activate."""
    with (
        open_node(options) as node,
        tempfile.TemporaryDirectory(prefix="edge-") as workspace,
        report.progress(options.json) as show,
    ):
        show.phase("reading")
        tree = stage(
            options.source,
            Path(workspace),
            limits=find_limits(options),
            follow_links=options.follow_links,
            on_progress=show.count,
        )
        files = {path: {"sha256": each.sha256, "size": each.size} for path, each in tree.items()}
        begun = node.begin(options.app, options.branch, files, options.message)
        upload(node, tree, begun["missing"], show)
        if options.no_activate:
            return report.uploaded(begun, len(begun["missing"]), options.json)
        show.phase("activating")
        served = node.activate(begun["id"])
    return report.deployed(served, len(files), len(begun["missing"]), options.json)


def upload(
    node: Node, tree: dict[str, StagedFile], missing: list[str], show: report.Progress
) -> None:
    """Send the blobs that the node lacks, a few at a time."""
    paths = {file.sha256: path for path, file in tree.items()}
    show.phase("sending", sum(tree[paths[sha256]].size for sha256 in missing))

    def send(sha256: str) -> None:
        path = paths[sha256]
        try:
            with tree[path].file.open("rb") as file:
                node.put_blob(sha256, file)
        except StoreError as error:
            raise StoreError(f"{path}: {error}") from error
        show.advance(tree[path].size)

    with ThreadPoolExecutor(UPLOADS) as pool:
        for _ in pool.map(send, missing):
            pass


def deployments(options: argparse.Namespace) -> int:
    """List a branch's deployments."""
    with open_node(options) as node:
        return report.deployments(node.deployments(options.app, options.branch), options.json)


def activate(options: argparse.Namespace) -> int:
    """Serve a deployment."""
    with open_node(options) as node:
        return report.activated(node.activate(options.id), options.json)


def rollback(options: argparse.Namespace) -> int:
    """Serve what a branch served before."""
    with open_node(options) as node:
        return report.activated(node.rollback(options.app, options.branch), options.json)


def branches(options: argparse.Namespace) -> int:
    """List an app's branches."""
    with open_node(options) as node:
        return report.branches(node.branches(options.app), options.json)


def delete_branch(options: argparse.Namespace) -> int:
    """Forget a branch."""
    with open_node(options) as node:
        document = node.delete_branch(options.app, options.branch)
    return report.line(f"deleted branch {options.branch} of {options.app}", document, options.json)


def check(options: argparse.Namespace) -> int:
    """Validate everything, or only some apps and `edge.yml`; mistakes one a line."""
    config = find_config(options)
    settings, _ = configuration.read_settings(config)
    state = settings.state if settings is not None else configuration.find_state(config)
    found = Changes(Places(configuration.config_root(config) / state), config).check()
    unknown = set(options.apps) - found.apps.keys() - found.broken.keys()
    if unknown:
        raise EdgeError(f"there is no app folder {', '.join(sorted(unknown))}")
    if options.apps:
        found.keep(options.apps)
    return report.checked(found.errors, len(found.apps) + len(found.broken), options.json)


def reload(options: argparse.Namespace) -> int:
    """Have the node serve the files as they are now."""
    with open_node(options) as node:
        document = node.reload()
    changed = ", ".join(document["changed"]) or "nothing"
    text = f"generation {document['generation']} serves; changed: {changed}"
    return report.line(text, document, options.json)


def purge(options: argparse.Namespace) -> int:
    """Forget stored responses."""
    with open_node(options) as node:
        document = node.purge()
    return report.line(f"{document['purged']} stored responses went", document, options.json)


def status(options: argparse.Namespace) -> int:
    """What the node is doing."""
    with open_node(options) as node:
        return report.status(node.status(), options.json)
