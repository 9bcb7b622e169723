"""
Which node a command talks to, and with which settings.

Laws: `--node` first, then the node that runs on this config, then its state folder itself. A config
with mistakes leaves the settings of the last good generation.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.control import configuration
from edge.control.archives import ArchiveLimits
from edge.control.audit import Audit
from edge.control.changes import Changes
from edge.control.client import Client
from edge.control.local import Local
from edge.control.operations import Node
from edge.control.reload import Refused, Reloaded
from edge.control.restore import finish
from edge.errors import EdgeError
from edge.node import orders
from edge.node.loader import read_document
from edge.site.generation import Generation
from edge.site.places import Places
from edge.site.settings import Listen, Settings

log = logging.getLogger("edge")

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - where others listen
"""What listens to all addresses of a machine, as the machine itself reaches it."""


def find_config(options: argparse.Namespace) -> Path | None:
    """The config file: the one named, else ./edge.yml if there is one, else the defaults."""
    if options.config is not None:
        return Path(options.config)
    default = Path("edge.yml")
    return default if default.exists() else None


def find_settings(
    options: argparse.Namespace, *, may_be_gone: bool = False
) -> tuple[Settings, Path | None, Places]:
    """
    Settings, config file and state folder.

    With mistakes in `edge.yml` the settings of the last good generation are used, if there is
    one: a node that is restarted at night serves what it served. A file that is not there has a
    name with a mistake, and what lies beside that name may be another node's; who starts a node
    lets it be gone.

    Raises:
        Refused: there are mistakes and nothing to fall back to, or the file that was named is
            not there.
    """
    config = find_config(options)
    settings, errors = configuration.read_settings(config)
    root = configuration.config_root(config)
    if settings is not None:
        return settings, config, Places(root / settings.state)
    places = Places(root / configuration.find_state(config))
    is_named_wrongly = config is not None and not config.exists() and not may_be_gone
    if not places.current.exists() or is_named_wrongly:
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
        if isinstance(node, Client | Local):
            node.close()


def expect_node(options: argparse.Namespace) -> None:
    """
    Refuse to speak of a node where none ever was; asking makes nothing.

    Raises:
        EdgeError: neither does a node run on this config, nor is there a state folder of one.
    """
    if options.node:
        return
    places = find_settings(options)[2]
    was_here = places.current.is_symlink() or places.restored.is_dir()
    if not was_here and not orders.peers(places.run, "control"):
        hint = "start one with `edge serve`, or name its edge.yml with -c"
        raise EdgeError(f"there is no node here: {places.state} has never served anything; {hint}")


@contextmanager
def audited(places: Places, action: str) -> Iterator[None]:
    """A line in the audit log, by whoever runs the command."""
    audit = Audit(places.audit)
    try:
        with audit.locally(action):
            yield
    finally:
        audit.close()


def find_node(options: argparse.Namespace) -> Node:
    """
    The node to talk to: `--node`, the running one of this config, or its state folder.

    Raises:
        EdgeError: a node runs but does not answer, or its token cannot be read.
    """
    if options.node:
        return Client(options.node, given_token(options), given_roots(options))
    settings, config, places = find_settings(options)
    token = options.token_file or configuration.config_root(config) / settings.admin.token_file
    if token.exists():
        own = places.tls / "internal" / "root.pem"
        roots = [*given_roots(options), *([own] if own.exists() else [])]
        client = Client(own_address(settings.listen), read_token(token), roots)
        if client.is_reachable():
            return client
    if orders.peers(places.run, "control"):
        raise EdgeError(
            f"a node runs on {places.state}, and its admin API does not answer at "
            f"{settings.listen.admin}; was `listen` changed since it started?"
        )
    finish(places)
    changes = Changes(places, config)
    changes.open()
    return Local(places, changes)


def open_changes(options: argparse.Namespace) -> Changes:
    """The state folder of this config, to read: nothing is made, and no node is asked."""
    config = find_config(options)
    settings, _ = configuration.read_settings(config)
    state = settings.state if settings is not None else configuration.find_state(config)
    return Changes(Places(configuration.config_root(config) / state), config)


def own_address(listen: Listen) -> str:
    """Where this machine reaches the admin API that it listens to."""
    host, _, port = listen.admin.rpartition(":")
    if not listen.is_admin_remote:
        return listen.admin
    return f"https://{EVERYWHERE.get(host, host)}:{port}"


def given_roots(options: argparse.Namespace) -> list[Path]:
    """The file with a root of `--ca-file`, else of EDGE_CA_FILE."""
    named = options.ca_file or os.environ.get("EDGE_CA_FILE")
    return [Path(named)] if named else []


def given_token(options: argparse.Namespace) -> str:
    """
    The token for a node elsewhere: of `--token-file`, else of EDGE_TOKEN.

    Raises:
        EdgeError: there is neither.
    """
    if options.token_file is not None:
        return read_token(options.token_file)
    text = os.environ.get("EDGE_TOKEN", "")
    if not text.strip():
        raise EdgeError("--node takes a token: --token-file FILE, or the variable EDGE_TOKEN")
    return check_token(text.encode(errors="surrogateescape"), "EDGE_TOKEN")


def read_token(file: Path) -> str:
    """
    The token in a file.

    Raises:
        EdgeError: there is none in it.
    """
    return check_token(file.read_bytes(), str(file))


def check_token(data: bytes, where: str) -> str:
    """One line that can be a token."""
    token = data.strip()
    if not token or not token.isascii() or any(byte <= 32 for byte in token):
        raise EdgeError(f"{where} holds no token: one line of letters, digits and signs")
    return token.decode()


def find_limits(options: argparse.Namespace) -> ArchiveLimits:
    """What a source may hold: as the node's own settings say where they are here."""
    limits = Settings().limits if options.node else find_settings(options)[0].limits
    return ArchiveLimits(
        files=limits.archive_files, bytes=limits.archive_bytes, ratio=limits.archive_ratio
    )
