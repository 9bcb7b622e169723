"""
What an operator or a deployer can ask for, as plain documents.

Laws: the admin API and the command line without a node answer with the very same documents, made
here. Nothing here knows HTTP or a terminal.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, BinaryIO, Protocol

import msgspec

from edge.control import questions
from edge.control.announcements import Announcement, FileDigest, decode_announcement
from edge.control.blobs import BlobWriter
from edge.control.changes import Changes
from edge.control.claims import claims_of
from edge.control.configuration import as_json
from edge.control.purging import decode_selection
from edge.control.reload import Refused, Reloaded
from edge.control.tokens import Tokens, decode_wish, describe
from edge.control.vault import Vault
from edge.errors import StoreError
from edge.site.decoding import convert
from edge.site.generation import BranchState
from edge.site.manifest import Header
from edge.site.places import Places
from edge.site.settings import Settings

Document = dict[str, Any]


class Node(Protocol):
    """What the command line needs of a node, running (`client`) or not (`Operations`)."""

    def begin(self, app: str, branch: str, files: Document, message: str) -> Document:
        """Announce a deployment: `{id, missing}`."""
        ...

    def put_blob(self, sha256: str, file: BinaryIO) -> None:
        """Send one blob from an open binary file."""
        ...

    def complete(self, identifier: str) -> Document:
        """Keep a deployment that is not to serve yet."""
        ...

    def activate(self, identifier: str) -> Document:
        """Serve a deployment."""
        ...

    def rollback(self, app: str, branch: str) -> Document:
        """Serve what a branch served before."""
        ...

    def deployments(self, app: str, branch: str) -> Document:
        """The deployments of a branch, newest first."""
        ...

    def branches(self, app: str) -> Document:
        """The branches of an app."""
        ...

    def delete_branch(self, app: str, branch: str) -> Document:
        """Forget a branch."""
        ...

    def domains(self, app: str | None) -> Document:
        """The DNS records that hostnames need, and what resolves now."""
        ...

    def certificates(self) -> Document:
        """Each name, its certificate, what comes next and what was."""
        ...

    def renew(self, name: str) -> Document:
        """Have a new certificate of a name as soon as may be."""
        ...

    def reload(self, *, dry_run: bool = False, atomic: bool = False) -> Document:
        """Serve the operator's files as they are now, or say what that would do."""
        ...

    def purge(self, selection: Document) -> Document:
        """Forget stored responses."""
        ...

    def status(self) -> Document:
        """What the node is doing."""
        ...

    def explain(self, question: Document) -> Document:
        """Why a request is answered as it is."""
        ...

    def create_token(self, wish: Document) -> Document:
        """Make a token: what it is for, and its text, this once."""
        ...

    def list_tokens(self) -> Document:
        """The tokens that there are, without their texts."""
        ...

    def revoke_token(self, identifier: str) -> Document:
        """Let a token open nothing any more."""
        ...


class Operations:
    """The operations of the node whose state folder `changes` writes."""

    def __init__(self, places: Places, changes: Changes) -> None:
        self._places = places
        self.changes = changes
        self._vault = Vault(places)
        self.tokens = Tokens(places)

    def begin(self, app: str, branch: str, files: Document, message: str = "") -> Document:
        """Announce a deployment of `files` (path → {sha256, size})."""
        digests = convert(files, dict[str, FileDigest])
        return self._begin(app, branch, Announcement(digests, message))

    def announce(self, app: str, branch: str, body: bytes) -> Document:
        """As `begin`, with the announcement as JSON."""
        return self._begin(app, branch, decode_announcement(body))

    def _begin(self, app: str, branch: str, announced: Announcement) -> Document:
        header, missing = self.changes.begin(app, branch, announced.files, announced.message)
        return {"id": header.id, "label": header.label, "missing": missing}

    def blob_writer(self, sha256: str) -> BlobWriter:
        """Where the bytes of a blob go."""
        return BlobWriter(self._places, sha256)

    def put_blob(self, sha256: str, file: BinaryIO) -> None:
        """Copy one blob from an open binary file."""
        self.changes.blobs.put(sha256, iter(lambda: file.read(256 * 1024), b""))

    def prepare(self, identifier: str) -> None:
        """Do what of an activation needs no turn. See `Deployments.prepare`."""
        self.changes.prepare(identifier)

    def complete(self, identifier: str) -> Document:
        """Keep a deployment that is not to serve yet."""
        header = self.changes.complete(identifier)
        return {"id": header.id, "app": header.app, "branch": header.branch}

    def activate(self, identifier: str) -> Document:
        """Serve a deployment."""
        return self._served(self.changes.activate(identifier))

    def rollback(self, app: str, branch: str) -> Document:
        """Serve what a branch served before."""
        return self._served(self.changes.rollback(app, branch))

    def _served(self, header: Header) -> Document:
        return {
            "id": header.id,
            "app": header.app,
            "branch": header.branch,
            "urls": self.changes.urls(header.app, header.label),
            "configured": self.changes.app(header.app).config is not None,
            "warnings": [as_json(warning) for warning in self.changes.warnings(header)],
        }

    def deployments(self, app: str, branch: str) -> Document:
        """The deployments of a branch, newest first."""
        state = self.changes.branch(app, branch)
        active = state.active.deployment if state.active is not None else None
        headers = self.changes.deployments.of_branch(app, state.label)
        return {
            "app": app,
            "branch": branch,
            "deployments": [
                {
                    "id": header.id,
                    "active": header.id == active,
                    "waiting": header.id in state.waiting,
                    "created": header.created,
                    "files": header.files,
                    "bytes": header.bytes,
                    "message": header.message,
                }
                for header in headers
            ],
        }

    def branches(self, app: str) -> Document:
        """The branches of an app."""
        states = sorted(self.changes.app(app).branches.values(), key=lambda state: state.name)
        return {"app": app, "branches": [self._branch(app, state) for state in states]}

    def _branch(self, app: str, state: BranchState) -> Document:
        return {
            "branch": state.name,
            "label": state.label,
            "deployment": state.active.deployment if state.active is not None else None,
            "activated": state.active.at if state.active is not None else None,
            "urls": self.changes.urls(app, state.label),
        }

    def apps(self) -> Document:
        """All apps."""
        generations = self.changes.generations
        apps = generations.apps(generations.current()).values()
        return {
            "apps": [
                {
                    "app": state.name,
                    "branches": len(state.branches),
                    "configured": state.config is not None,
                }
                for state in apps
            ]
        }

    def domains(self, app: str | None = None) -> Document:
        """The DNS records that hostnames of one app or all need, and what resolves now. Slow."""
        from edge.control import certificates, domains, resolver  # noqa: PLC0415  (14 MiB, for the parent too)

        generation = self.changes.generations.current()
        settings = generation.settings if generation is not None else Settings()
        states = self.changes.generations.apps(generation)
        chosen = states.values() if app is None else [self.changes.app(app)]
        claims = [each for state in chosen for each in claims_of(state, settings.default_domain)]
        words = certificates.words_of(self.certificates())
        return asyncio.run(domains.describe(claims, settings, resolver.Resolver(), words))

    def certificates(self) -> Document:
        """Each name, its certificate, what comes next and what was, while no node runs."""
        from edge.control import certificates  # noqa: PLC0415 - 20 MiB, for the parent too
        from edge.control.agenda import Agenda  # noqa: PLC0415
        from edge.control.inventory import Inventory  # noqa: PLC0415

        inventory = Inventory(self._places, self.changes)
        agenda = Agenda(inventory.vault)
        return asyncio.run(certificates.survey(inventory, agenda, time.time()))

    def renew(self, name: str) -> Document:
        """
        Refuse: certificates are had by a node that runs.

        Raises:
            StoreError: always.
        """
        raise StoreError(f"a node that runs can have a certificate for {name}: edge serve")

    def delete_branch(self, app: str, branch: str) -> Document:
        """Forget a branch."""
        return {"app": app, "branch": branch, "label": self.changes.delete_branch(app, branch)}

    def reload(self, *, dry_run: bool = False, atomic: bool = False) -> Document:
        """Serve the operator's files as they are now, or say what that would do."""
        change = self.changes.rehearse if dry_run else self.changes.reload
        return reloaded(change(atomic=atomic))

    def purge(self, selection: Document) -> Document:
        """Forget stored responses."""
        return self.forget(msgspec.json.encode(selection))

    def forget(self, body: bytes) -> Document:
        """As `purge`, with what is named as JSON."""
        return {"purged": self.changes.purge(decode_selection(body))}

    def status(self) -> Document:
        """What the node is doing."""
        generation = self.changes.generations.current()
        return {
            "generation": generation.number if generation is not None else 0,
            "apps": len(generation.apps) if generation is not None else 0,
            "workers": self.changes.fleet.status(),
        }

    def explain(self, question: Document) -> Document:
        """Why a request is answered as it is."""
        return self.ask(msgspec.json.encode(question))

    def ask(self, body: bytes) -> Document:
        """As `explain`, with the question as JSON."""
        changes = self.changes
        return questions.ask(body, changes.rehearsals, changes.fleet.stored, self._vault.keyring)

    def create_token(self, wish: Document) -> Document:
        """Make a token: what it is for, and its text, this once."""
        return self.make_token(msgspec.json.encode(wish))

    def make_token(self, body: bytes) -> Document:
        """As `create_token`, with the wish as JSON."""
        now = time.time()
        with self.changes.exclusively():
            token, text = self.tokens.create(decode_wish(body), now)
        return {"token": text, **describe(token, None, now)}

    def list_tokens(self) -> Document:
        """The tokens that there are, without their texts."""
        now, last_used = time.time(), self.tokens.last_used
        return {"tokens": [describe(each, last_used(each.id), now) for each in self.tokens.all()]}

    def revoke_token(self, identifier: str) -> Document:
        """Let a token open nothing any more."""
        token = self.tokens.revoke(identifier)
        return {"id": token.id, "name": token.name, "revoked": True}


def reloaded(result: Reloaded) -> Document:
    """A reload's result, or that of its rehearsal, which has a blast `radius`."""
    warnings = [as_json(warning) for warning in result.warnings]
    document = {"generation": result.generation, "changed": result.changed, "warnings": warnings}
    if difference := msgspec.to_builtins(result.difference):
        document["difference"] = difference
    if result.radius is not None:
        document |= {"dry_run": True, "radius": msgspec.to_builtins(result.radius)}
    return document


def refused_document(refused: Refused) -> Document:
    """A refused reload: the mistakes, the apps that are as they were, and what changed."""
    errors = [as_json(error) for error in refused.errors]
    return {"errors": errors, "kept": refused.kept, **reloaded(refused.reloaded)}
