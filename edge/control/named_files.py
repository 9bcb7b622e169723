"""
The files that `edge.yml` names, tried before the node needs them.

Laws: each is read by what reads it while the node runs, nothing is connected to, and no secret is
repeated. All of it is a warning and for `edge check` alone: what was good serves on, so that none
of it may keep a change out. What a reload looks at itself is not here (`proxy.ca_file`,
`smtp.password_file`), nor what the node writes.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from operator import eq
from pathlib import Path
from typing import NamedTuple

from edge.control import configuration
from edge.control.acme_errors import AcmeError
from edge.control.own_certificates import read_folder
from edge.control.recipients import dotted
from edge.errors import ConfigError, StoreError
from edge.node.country import read_database
from edge.node.roots import context_with
from edge.site.settings import AccountBinding, Acme, Settings
from edge.site.yaml_nodes import compose, find_key


class Named(NamedTuple):
    """A file, and who will read it."""

    path: tuple[str, ...]
    """The key that names it."""
    file: Path
    read: Callable[[Path], object]
    """Raises OSError, ValueError, or StoreError with what to do behind a semicolon."""
    hint: str
    """What to do otherwise."""


class Doubt(NamedTuple):
    """What is wrong with a key's value."""

    path: tuple[str, ...]
    problem: str
    hint: str


def check(config: Path | None, settings: Settings, now: float) -> list[ConfigError]:
    """A warning for each file that could not be used now, where it is or where it is named."""
    root = configuration.config_root(config)
    found, doubts = check_certificates(root, settings, now)
    doubts += [doubt for each in files_of(root, settings) if (doubt := try_out(each))]
    if config is None or not doubts:
        return found
    node = compose(config.read_text(encoding="utf-8"), str(config))
    return found + [
        ConfigError(str(config), *find_key(node, path, eq), f"{dotted(path)}: {problem}", hint)
        for path, problem, hint in doubts
    ]


def check_certificates(
    root: Path, settings: Settings, now: float
) -> tuple[list[ConfigError], list[Doubt]]:
    """What is wrong with the operator's own certificates, and with where they should be."""
    shown = settings.certs
    folder = root / shown
    if shown != Settings().certs and not folder.exists():
        return [], [Doubt(("certs",), f"there is no folder {folder}", "make it, or correct this")]
    try:
        found = read_folder(folder, shown, now)
    except OSError as error:
        problem = f"the folder cannot be read: {error.strerror}"
        return [ConfigError(shown, 1, 1, problem, "look at its kind and permissions")], []
    doubts = []
    if settings.tls.mode == "files" and settings.listen.https and not found.present:
        problem = f"certificates are files, and there is none in {folder}"
        doubts.append(Doubt(("tls", "mode"), problem, "put www.example.com.pem there, or so"))
    return [*found.mistakes, *found.warnings], doubts


def files_of(root: Path, settings: Settings) -> Iterator[Named]:
    """The files of settings that have a use."""
    if settings.geoip.database is not None:
        hint = "put a country MMDB there, readable for the node's user"
        yield Named(("geoip", "database"), root / settings.geoip.database, read_database, hint)
    tracing = settings.tracing
    if tracing is not None and tracing.headers_file is not None:
        hint = "write `Name: value` lines there, readable for the node's user"
        yield Named(("tracing", "headers_file"), root / tracing.headers_file, read_fields, hint)
    if settings.tls.mode == "acme":
        acme = settings.tls.acme
        yield from files_of_authority(root, acme, ("tls", "acme"))
        if acme.fallback is not None:
            yield from files_of_authority(root, acme.fallback, ("tls", "acme", "fallback"))


def files_of_authority(root: Path, acme: Acme, above: tuple[str, ...]) -> Iterator[Named]:
    """Those for orders of one authority; `above` is the path of its settings."""
    if acme.ca_file is not None:
        hint = "name a file of certificates in PEM, or remove the key"
        yield Named((*above, "ca_file"), root / acme.ca_file, context_with, hint)
    if acme.eab is not None:
        path, hint = (*above, "eab", "hmac_key_file"), "put the authority's HMAC key there"
        yield Named(path, root / acme.eab.hmac_key_file, read_binding, hint)
    if acme.dns is not None and acme.dns.key_file is not None:
        hint = "write the secret there, as tsig-keygen has it"
        yield Named((*above, "dns", "key_file"), root / acme.dns.key_file, read_key, hint)
    if acme.dns is not None and acme.dns.command is not None:
        program = acme.dns.command[0]
        file = root / program if "/" in program else Path(program)
        yield Named((*above, "dns", "command"), file, find_program, "correct it, or chmod +x it")


def try_out(named: Named) -> Doubt | None:
    """What keeps a file from being used."""
    file = named.file
    try:
        named.read(file)
    except UnicodeDecodeError:
        problem = f"{file} is not UTF-8"
    except OSError as error:  # ssl.SSLError is one
        problem = f"{file} cannot be used: {error.strerror or error}"
    except ValueError as error:
        problem = str(error) if str(error).startswith(str(file)) else f"{file} {error}"
    except StoreError as error:
        problem = str(error).removeprefix(f"{'.'.join(named.path[-2:])}: ")
    else:
        return None
    problem, _, hint = problem.partition("; ")
    return Doubt(named.path, problem, hint or named.hint)


# Who reads them: modules that only some need are imported where they are


def read_fields(file: Path) -> None:
    """The fields for a collector. Raises OSError, ValueError."""
    with contextlib.suppress(ModuleNotFoundError):  # `check_tracing` tells of that
        from edge.node.collector import headers_of  # noqa: PLC0415 - needs the extra 'otel'

        headers_of(Path(), str(file))


def read_binding(file: Path) -> None:
    """The key of an external account. Raises StoreError."""
    from edge.control.acme_account import binding_key  # noqa: PLC0415 - 14 MiB, for who needs it

    try:
        binding_key(AccountBinding(kid="any", hmac_key_file=str(file)))
    except AcmeError as error:
        raise StoreError(error.detail) from error  # less what an order would do about it


def read_key(file: Path) -> None:
    """The key of dynamic updates. Raises StoreError."""
    from edge.control.dns_records import read_secret  # noqa: PLC0415 - dnspython, as above

    read_secret(file)


def find_program(file: Path) -> None:
    """The operator's program, where it will be looked for. Raises ValueError."""
    from edge.control.dns_records import PATH  # noqa: PLC0415 - as above

    if shutil.which(file, path=PATH) is None:
        raise ValueError("is no program that can be run")
