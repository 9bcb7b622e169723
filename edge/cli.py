"""
The command line: its grammar, and what becomes of a refusal.

Laws: exit 0 done, 1 refused or failed, 2 usage. People get tables and progress; machines get
`--json`. A command that changes a node talks to it; with no node on that config it works on the
state folder itself, by the same code.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge import backup_commands as backups
from edge import commands as run
from edge import completion, report
from edge import log_commands as access_log
from edge import rule_commands as rules
from edge import tls_commands as tls
from edge import token_commands as tokens
from edge.control.durable import trouble
from edge.doctor_commands import doctor
from edge.errors import EdgeError, StoreError

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
    os.umask(os.umask(0o077) | 0o022)  # whatever it is: what is served is nobody else's to write
    logging.basicConfig(format="edge: %(message)s", level=logging.INFO, stream=sys.stderr)
    if options.json and options.command is not run.serve:
        logging.disable()  # what is wrong stands in the document
    as_document = options.json and not is_stream(options)
    try:
        code: int = options.command(options)
        sys.stdout.flush()
    except StoreError as refused:
        return report.refusal(refused, as_document)
    except EdgeError as error:
        return report.failure(str(error), as_document)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return report.failure(told(error), as_document)
    except KeyboardInterrupt:
        return 1
    return code


def is_stream(options: argparse.Namespace) -> bool:
    """Whether stdout takes lines of a log or an archive: a refusal there would damage them."""
    return options.command is access_log.logs or getattr(options, "file", None) == "-"


def told(error: OSError) -> str:
    """What the system has refused, and what to do about it where that is known."""
    where = f"{error.filename}: " if error.filename else ""
    advice = trouble(error)
    if advice is not None:
        return where + advice
    return (where or "the system: ") + (error.strerror or type(error).__name__)


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-c", "--config", type=Path, metavar="FILE", help="edge.yml")
    common.add_argument("--json", action="store_true", help="answer as JSON")
    common.add_argument("--node", metavar="URL", help="admin API of a node elsewhere")
    common.add_argument("--token-file", type=Path, metavar="FILE", help="its token")
    common.add_argument("--ca-file", type=Path, metavar="FILE", help="root of its certificate")
    top = argparse.ArgumentParser(
        prog="edge",
        description="A self-hosted CDN node.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"edge {importlib.metadata.version('edge')}"
    top.add_argument("--version", action="version", version=version)
    grammar = Grammar(top.add_subparsers(metavar="COMMAND", required=True), common)
    add_node_commands(grammar)
    add_rule_commands(grammar)
    add_tls_commands(grammar)
    add_doctor(grammar)
    add_token_commands(grammar)
    add_log_commands(grammar)
    add_backup_commands(grammar)
    return top


class Grammar:
    """Adds commands, each with the options that all of them have."""

    def __init__(self, commands: Any, common: argparse.ArgumentParser) -> None:
        self._commands = commands
        self.common = common

    def __call__(
        self, name: str, function: object, text: str, example: str = ""
    ) -> argparse.ArgumentParser:
        """A command; its example ends its `--help`."""
        sub: argparse.ArgumentParser = self._commands.add_parser(
            name,
            parents=[self.common],
            help=text,
            description=text,
            epilog=example and f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=function)
        return sub


def add_node_commands(command: Grammar) -> None:
    """Those of `commands`."""
    command("serve", run.serve, "run the node in the foreground", "edge serve -c edge.yml")
    sub = command(
        "deploy",
        run.deploy,
        "publish a folder or an archive on a branch",
        "edge deploy ./dist --app shop --branch main",
    )
    sub.add_argument("source", help="folder, .zip, .tar.gz, http(s)://…, s3://bucket/key.zip")
    add_branch(sub)
    sub.add_argument("--message", default="", help="kept with the deployment")
    sub.add_argument("--no-activate", action="store_true", help="upload only")
    sub.add_argument("--follow-links", action="store_true", help="publish what links point to")
    add_deployment_commands(command)
    add_reload(command)
    text = "put another version in the place of the node that runs; no connection is refused"
    sub = command("upgrade", run.upgrade, text, "edge upgrade -c edge.yml")
    what = "interpreter of the new version (the one that runs this command)"
    sub.add_argument("--python", type=Path, metavar="FILE", help=what)
    add_purge(command)
    command("status", run.status, "what the node is doing", "edge status --json")
    sub = command(
        "completion",
        complete,
        "print the script by which a shell completes edge",
        "edge completion bash > /etc/bash_completion.d/edge",
    )
    sub.add_argument("shell", choices=tuple(completion.SHELLS), help="whose script")


def add_deployment_commands(command: Grammar) -> None:
    """The lists, and the pointer that moves."""
    named = "--app shop --branch main"
    text = "list a branch's deployments, newest first"
    add_branch(command("deployments", run.deployments, text, f"edge deployments {named}"))
    text = "serve a deployment: a pointer moves, at once"
    sub = command("activate", run.activate, text, "edge activate 20261123-154511-5569a5")
    sub.add_argument("id", help="as `edge deployments` prints it")
    text = "serve what the branch served before"
    add_branch(command("rollback", run.rollback, text, f"edge rollback {named}"))
    text = "list an app's branches and their URLs"
    sub = command("branches", run.branches, text, "edge branches --app shop")
    sub.add_argument("--app", required=True)
    text, example = "forget a branch; its hosts answer 404", "--app shop --branch pr-7"
    add_branch(command("delete-branch", run.delete_branch, text, f"edge delete-branch {example}"))


def add_reload(command: Grammar) -> None:
    """Before it is done, it can be looked at."""
    text = "serve the files as they are now, and say what that changes"
    sub = command("reload", run.reload, text, "edge reload --dry-run")
    what = "change nothing; say what would, and which requests would be answered differently"
    sub.add_argument("--dry-run", action="store_true", help=what)
    what = "one mistake keeps every app as it is; without this, the other apps' changes serve"
    sub.add_argument("--all-or-nothing", action="store_true", help=what)


def add_purge(command: Grammar) -> None:
    """What is forgotten is named by one of five options."""
    sub = command(
        "purge",
        run.purge,
        "forget stored responses: of addresses, tags, hosts, an app or branch, or all",
        "edge purge --url https://www.example.com/news --url https://www.example.com/",
    )
    what = sub.add_mutually_exclusive_group(required=True)
    what.add_argument("--url", action="append", metavar="U", help="https://host/path; repeatable")
    what.add_argument(
        "--tag", action="append", metavar="T", help="Cache-Tag or Surrogate-Key; repeatable"
    )
    what.add_argument("--host", action="append", metavar="H", help="a hostname; repeatable")
    what.add_argument("--app", help="all branches of an app, or --branch alone")
    what.add_argument("--all", action="store_true", help="everything")
    sub.add_argument("--branch", help="of --app")
    sub.add_argument("--soft", action="store_true", help="keep them, validate before they serve")


def add_rule_commands(command: Grammar) -> None:
    """Those of `rule_commands`."""
    sub = command(
        "check", rules.check, "validate every file without serving", "edge check shop --strict"
    )
    sub.add_argument("apps", nargs="*", metavar="APP")
    sub.add_argument("--strict", action="store_true", help="warnings fail too")
    sub = command(
        "explain",
        rules.explain,
        "why a request is answered as it is: host, rules, access, file, headers, cache",
        "edge explain https://www.example.com/old --country US -H 'Accept: text/html'",
    )
    sub.add_argument("url", help="https://host/path?query")
    sub.add_argument("--method", default="GET", help="of the request (GET)")
    sub.add_argument("--country", metavar="CC", help="where the client is; unknown without it")
    sub.add_argument(
        "-H", "--header", action="append", default=[], help="'Name: value', repeatable"
    )
    sub = command(
        "replay",
        rules.replay_log,
        "which requests of an access log other rules would answer differently",
        "edge replay access.log --rules new.json --app shop --host www.example.com",
    )
    sub.add_argument("log", type=Path, help="JSON lines, Amplify's CSV, or combined; - for stdin")
    sub.add_argument(
        "--rules", type=Path, metavar="FILE", help="instead of the folders as they are"
    )
    sub.add_argument("--app", help="whose rules these are")
    sub.add_argument("--host", help="of requests whose log names none")
    sub = command(
        "import",
        rules.import_app,
        "write an app folder from Amplify's JSON or Netlify's files",
        "edge import netlify ../site --app shop",
    )
    sub.add_argument("kind", choices=("amplify", "netlify"), help="where it comes from")
    sub.add_argument("path", type=Path, help="a folder of exports, or one file")
    sub.add_argument("--app", help="the folder's name; else the source's own")
    sub = command(
        "hash-password",
        rules.hash_a_password,
        "read a password and print its hash for access.users",
        "edge hash-password < password.txt",
    )
    sub.add_argument("--bcrypt", action="store_true", help="instead of argon2id")


def add_tls_commands(command: Grammar) -> None:
    """Those of `tls_commands`."""
    sub = command(
        "domains",
        tls.domains,
        "which DNS records each hostname needs, and what resolves now; exit 1 while one is missing",
        "edge domains shop",
    )
    sub.add_argument("app", nargs="?", metavar="APP", help="only its hostnames")
    sub = command(
        "certs",
        tls.certs,
        "each certificate: its state, who issued it, until when, what is next; with NAME, what was",
        "edge certs www.example.com",
    )
    sub.add_argument("name", nargs="?", metavar="NAME", help="only this one, with its attempts")
    sub.add_argument("--root", action="store_true", help="print the own authority's root, in PEM")
    sub.add_argument("--renew", metavar="NAME", help="have a new one as soon as may be")


def add_doctor(command: Grammar) -> None:
    """What looks at the machine, and at no node."""
    sub = command(
        "doctor",
        doctor,
        "what is wrong with this machine or node, and the remedy; exit 1 where something is",
        "edge doctor -c /etc/edge/edge.yml",
    )
    sub.add_argument("--strict", action="store_true", help="warnings fail too")


def add_log_commands(command: Grammar) -> None:
    """Those of `log_commands`."""
    sub = command(
        "logs",
        access_log.logs,
        "the access log over a window, as it comes, or asked by SQL",
        "edge logs --from 2h --status 5xx --app shop",
    )
    sub.add_argument("--from", dest="first", metavar="T", help="2h, 30m, 2026-11-26T07:30 (UTC)")
    sub.add_argument("--to", dest="last", metavar="T", help="until before this time")
    sub.add_argument("--follow", action="store_true", help="the last lines, and those that come")
    sub.add_argument(
        "--format",
        choices=("json", "csv", "combined", "text"),
        help="text on a terminal, else json; csv has the 33 columns of Amplify and CloudFront",
    )
    sub.add_argument(
        "--sql", metavar="Q", help="ask the table `log` (needs pip install edge[logs])"
    )
    sub.add_argument("--app", help="only its requests")
    sub.add_argument("--branch", help="of --app")
    sub.add_argument("--host", help="only requests for this host")
    sub.add_argument("--status", metavar="S", help="404, 5xx, or several: 404,5xx")


def complete(options: argparse.Namespace) -> int:
    """Print a shell's script."""
    print(completion.script(parser(), options.shell), end="")  # noqa: T201 - what it is for
    return 0


def add_token_commands(command: Grammar) -> None:
    """Those of `token_commands`."""
    sub = command(
        "token",
        tokens.list_all,
        "tokens for CI: make one for an app, list them, revoke one",
        "edge token create --app shop --branch 'pr-*' --may deploy,read --expires 90d",
    )
    inner = Grammar(
        sub.add_subparsers(metavar="WHAT", required=True, help="what is done"), command.common
    )
    made = inner(
        "create",
        tokens.create,
        "make a token and print it, this once",
        "edge token create --app shop --name 'GitHub Actions' > token",
    )
    made.add_argument("--app", required=True, help="the app that it is for")
    made.add_argument("--branch", help="only this branch, or those of a pattern such as 'pr-*'")
    made.add_argument("--may", default="deploy,purge,read", help="what it is for (all three)")
    made.add_argument("--expires", metavar="TIME", help="such as 12h or 30d, or never (90d)")
    made.add_argument("--name", default="", help="shown in the list and in the audit log")
    inner("list", tokens.list_all, "list them, with their last use", "edge token list")
    gone = inner(
        "revoke", tokens.revoke, "let one open nothing any more", "edge token revoke 3f9a51c0d2b7"
    )
    gone.add_argument("id", help="as `edge token list` prints it")


def add_backup_commands(command: Grammar) -> None:
    """Those of `backup_commands`."""
    sub = command(
        "backup",
        backups.backup,
        "save deployments, certificates, accounts and tokens into one file",
        "edge backup /backups/edge-2026-11-26.tar.zst",
    )
    sub.add_argument("file", help="written when it is whole; - for stdout")
    sub = command(
        "restore",
        backups.restore,
        "make the state folder what a backup says",
        "edge restore /backups/edge-2026-11-26.tar.zst",
    )
    sub.add_argument("file", help="as `edge backup` wrote it; - for stdin")
    sub.add_argument("--force", action="store_true", help="move aside what is there")


def add_branch(sub: argparse.ArgumentParser) -> None:
    """The two options that name a branch."""
    sub.add_argument("--app", required=True, help="a DNS label; a new one gets a folder")
    sub.add_argument("--branch", required=True)
