"""
The operations as a token of one app sees them.

Laws: other apps are not there, in no answer and no refusal; their blobs are not either
(`belongings`). Which calls reach this at all is `permits`' to say.
"""

from __future__ import annotations

from edge.control import questions
from edge.control.announcements import Announcement
from edge.control.belongings import Bringing
from edge.control.blobs import BlobWriter
from edge.control.deployments import NoSuch
from edge.control.operations import Document, Operations
from edge.control.purging import decode_selection
from edge.errors import Forbidden, StoreError
from edge.site.generation import BranchState
from edge.site.manifest import Header
from edge.site.scopes import Scope


class Scoped(Operations):
    """What a token may do of them."""

    def __init__(self, operations: Operations, scope: Scope) -> None:
        self.__dict__.update(operations.__dict__)
        self.scope = scope

    def _begin(self, app: str, branch: str, announced: Announcement) -> Document:
        self.scope.require("deploy", app, branch)
        header, missing = self.changes.begin(
            app, branch, announced.files, announced.message, is_stranger=True
        )
        return {"id": header.id, "label": header.label, "missing": missing}

    def blob_writer(self, sha256: str) -> BlobWriter:
        """Where the bytes of a blob go; that they were had is noted."""
        return Bringing(self._places, sha256, self.scope.app, self.changes.belongings)

    def prepare(self, identifier: str) -> None:
        """As the operator's, of a deployment of its own."""
        self._check_deployment(identifier)
        super().prepare(identifier)

    def complete(self, identifier: str) -> Document:
        """As the operator's, of a deployment of its own."""
        self._check_deployment(identifier)
        return super().complete(identifier)

    def activate(self, identifier: str) -> Document:
        """Serve a deployment of its own."""
        self._check_deployment(identifier)
        return super().activate(identifier)

    def _check_deployment(self, identifier: str) -> None:
        """Refuse those of others as those that do not exist."""
        header = self._find(identifier)
        if header is None or not self.scope.covers(header.app, header.branch):
            text = f"there is no deployment {identifier[:40]!r} for this token: it may {self.scope}"
            raise Forbidden(text)

    def _find(self, identifier: str) -> Header | None:
        deployments = self.changes.deployments
        try:
            pending = deployments.pending(identifier)
            return deployments.find(identifier) if pending is None else pending.header
        except StoreError:
            return None

    def rollback(self, app: str, branch: str) -> Document:
        """As the operator's."""
        self._check_app()
        return super().rollback(app, branch)

    def deployments(self, app: str, branch: str) -> Document:
        """As the operator's."""
        self._check_app()
        return super().deployments(app, branch)

    def delete_branch(self, app: str, branch: str) -> Document:
        """As the operator's."""
        self._check_app()
        return super().delete_branch(app, branch)

    def branches(self, app: str) -> Document:
        """The branches that the token covers."""
        self._check_app()
        states = self.changes.app(app).branches.values()
        covered = sorted(
            (state for state in states if self._covers(state)), key=lambda each: each.name
        )
        return {"app": app, "branches": [self._branch(app, state) for state in covered]}

    def _covers(self, state: BranchState) -> bool:
        return self.scope.covers(self.scope.app, state.name)

    def apps(self) -> Document:
        """Its own."""
        return {"apps": [each for each in super().apps()["apps"] if each["app"] == self.scope.app]}

    def status(self) -> Document:
        """The generation and its own branches; nothing of the machine."""
        generation = self.changes.generations.current()
        number = generation.number if generation is not None else 0
        return {"generation": number, **self.branches(self.scope.app)}

    def forget(self, body: bytes) -> Document:
        """Forget stored responses of its own."""
        selection = decode_selection(body)
        self._check_app()
        return {"purged": self.changes.purge(selection, self.scope)}

    def ask(self, body: bytes) -> Document:
        """As the operator's, about its own hosts."""
        changes = self.changes
        look, keyring = changes.fleet.stored, self._vault.keyring
        return questions.ask(body, changes.rehearsals, look, keyring, self.scope)

    def _check_app(self) -> None:
        """The operator's refusal would name the apps that there are."""
        generations, app = self.changes.generations, self.scope.app
        if generations.find(generations.current(), app) is None:
            raise NoSuch(f"app {app} has no deployment yet")


def of(operations: Operations, scope: Scope | None) -> Operations:
    """The operations of whoever asks: without a scope, all of them."""
    return operations if scope is None else Scoped(operations, scope)
