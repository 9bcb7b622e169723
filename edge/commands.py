"""
Commands that run a node and change what it serves: serve, deploy, activate, and the lists.

Laws: each takes the options that `cli` parsed and returns an exit code; what is printed is made in
`report`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edge import report, report_alarms, report_changes
from edge.control import handover
from edge.control import upgrade as upgrading
from edge.control.configuration import read_settings
from edge.control.operations import Document, Node
from edge.control.parent import Parent
from edge.control.restore import finish
from edge.control.sources import StagedFile, stage
from edge.errors import EdgeError, Mistaken, StoreError
from edge.node.loader import read_document
from edge.nodes import audited, expect_node, find_limits, find_settings, open_node
from edge.site.generation import Generation

UPLOADS = 4
"""Blobs sent at a time."""


def serve(options: argparse.Namespace) -> int:
    """Run the node until it is told to stop."""
    settings, config, places = find_settings(options, may_be_gone=True)
    if handover.ENVIRONMENT in os.environ and (mistakes := read_settings(config)[1]):
        raise Mistaken(mistakes)  # what serves does so by better settings than the last good ones
    inheritance = handover.inherited()
    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    finish(places)

    def announce() -> None:
        generation = read_document(places.current, Generation)
        report.serving(settings, generation)

    return Parent(places, settings, config, inheritance).run(announce)


def upgrade(options: argparse.Namespace) -> int:
    """Put another version in the place of the one that runs."""
    if options.node:
        raise EdgeError("upgrade works on the node's own machine; run it there")
    _, _, places = find_settings(options)
    with audited(places, "upgrade"):
        pid = upgrading.upgrade(places, options.python or Path(sys.executable))
    text = f"process {pid} serves; the one before ends when its requests have"
    return report.line(text, {"pid": pid}, options.json)


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
            node.complete(begun["id"])
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


def reload(options: argparse.Namespace) -> int:
    """Have the node serve the files as they are now, or say what that would do."""
    with open_node(options) as node:
        try:
            document = node.reload(dry_run=options.dry_run, atomic=options.all_or_nothing)
        except StoreError as refused:
            return report_changes.refused(refused, options.json)
    return report_changes.reloaded(document, options.json)


def purge(options: argparse.Namespace) -> int:
    """Forget stored responses, or have them validated."""
    if options.branch and not options.app:
        raise EdgeError("--branch goes with --app: it says whose branch that is")
    with open_node(options) as node:
        document = node.purge(selection_of(options))
    became = "to be validated" if options.soft else "went"
    count = report.counted(document["purged"], "stored response")
    return report.line(f"{count} {became}", document, options.json)


def selection_of(options: argparse.Namespace) -> Document:
    """What the options of a purge name, as the API has it."""
    named = {
        "urls": options.url,
        "tags": options.tag,
        "hosts": options.host,
        "app": options.app,
        "branch": options.branch,
        "all": options.all,
        "soft": options.soft,
    }
    return {name: value for name, value in named.items() if value}


def status(options: argparse.Namespace) -> int:
    """What the node is doing."""
    expect_node(options)
    with open_node(options) as node:
        document = node.status()
    report.status(document, options.json)
    if not options.json:
        report_alarms.alarms(document)
    return 0
