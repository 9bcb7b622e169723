"""
Commands about rules: check, explain, replay, import, and the passwords that access takes.

Laws: as in `commands`. None of them changes what is served; `import` writes a new app folder.
"""

from __future__ import annotations

import argparse
import getpass
import sys

from edge import report, report_rules
from edge.control import configuration
from edge.control.amplify import read_amplify
from edge.control.announcements import APP_NAME
from edge.control.imported import write_folder
from edge.control.netlify import read_netlify
from edge.control.operations import Document
from edge.control.passwords import check_password, hash_password
from edge.control.records import Records
from edge.control.replay import propose, replay
from edge.errors import EdgeError
from edge.nodes import find_settings, open_changes, open_node


def check(options: argparse.Namespace) -> int:
    """Validate everything, or only some apps and `edge.yml`; mistakes and warnings one a line."""
    found = open_changes(options).check()
    unknown = set(options.apps) - found.apps.keys() - found.broken.keys()
    if unknown:
        raise EdgeError(f"there is no app folder {', '.join(sorted(unknown))}")
    if options.apps:
        found.keep(options.apps)
    apps = len(found.apps) + len(found.broken)
    return report_rules.checked(found, apps, strict=options.strict, as_document=options.json)


def explain(options: argparse.Namespace) -> int:
    """Why a request is answered as it is."""
    asked: Document = {"url": options.url, "method": options.method}
    if options.country is not None:
        asked["country"] = options.country
    asked["headers"] = dict(map(parse_header, options.header))
    for text in (options.url, options.method, options.country or "", *options.header):
        check_text(text)
    with open_node(options) as node:
        return report_rules.explained(node.explain({"request": asked}), options.json)


def check_text(text: str) -> None:
    """Refuse bytes of a command line that are no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EdgeError(f"{text!r} is not UTF-8: percent-encode it") from None


def parse_header(text: str) -> tuple[str, str]:
    """`Name: value`."""
    name, colon, value = text.partition(":")
    if not colon:
        raise EdgeError(f"{text!r} is no header: write -H 'Name: value'")
    return name.strip(), value.strip()


def replay_log(options: argparse.Namespace) -> int:
    """Decide the requests of a log again, by other rules."""
    if options.node:
        raise EdgeError("replay reads the state folder: run it on the node's machine")
    if options.app is not None and options.rules is None:
        raise EdgeError("--app goes with --rules: it says whose rules these are")
    find_settings(options)
    changes = open_changes(options)
    proposal = propose(changes, options.rules, options.app)
    now, then = changes.rehearsals.serving(), changes.rehearsals.serving(proposal)
    with Records(options.log) as records:
        found = replay(records, now, then, options.host)
        return report_rules.replayed(found, records.skipped, records.examples, options.json)


def import_app(options: argparse.Namespace) -> int:
    """Write an app folder from what another host's tools export."""
    read = {"amplify": read_amplify, "netlify": read_netlify}[options.kind]
    imported = read(options.path)
    settings, config, _ = find_settings(options)
    name = imported.app if options.app is None else options.app
    if not APP_NAME.fullmatch(name):
        raise EdgeError(f"{name!r} is no app name: use a-z, 0-9 and -, 63 characters at most")
    folder = configuration.config_root(config) / settings.apps / name
    written = write_folder(folder, imported)
    return report_rules.imported(name, written, imported.notes, options.json)


def hash_a_password(options: argparse.Namespace) -> int:
    """Read a password, twice on a terminal, and print its hash."""
    try:
        password = read_password()
    except EOFError:
        raise EdgeError("no password was entered; nothing was hashed") from None
    except UnicodeDecodeError:
        raise EdgeError("the password is not valid UTF-8; check the terminal's encoding") from None
    found = hash_password(password, "bcrypt" if options.bcrypt else "argon2id")
    return report.line(found, {"hash": found}, options.json)


def read_password() -> str:
    """
    One line of standard input; of a terminal two that are equal, and nothing is shown.

    Raises:
        EdgeError: they differ, or no password may be like that.
        EOFError, UnicodeDecodeError: there is no text to read.
    """
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    check_password(password)
    if getpass.getpass("Again: ") != password:
        raise EdgeError("the two passwords differ; nothing was hashed")
    return password
