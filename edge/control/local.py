"""The operations as the command line makes them while no node runs: each change is audited."""

from __future__ import annotations

from edge.control.announcements import Announcement
from edge.control.audit import Audit
from edge.control.changes import Changes
from edge.control.operations import Document, Operations
from edge.site.places import Places


class Local(Operations):
    """The operations of a state folder, by whoever runs the command."""

    def __init__(self, places: Places, changes: Changes) -> None:
        super().__init__(places, changes)
        self.audit = Audit(places.audit)

    def close(self) -> None:
        """Let go of the log."""
        self.audit.close()

    def _begin(self, app: str, branch: str, announced: Announcement) -> Document:
        with self.audit.locally("begin", app=app, branch=branch) as about:
            document = super()._begin(app, branch, announced)
            about["id"] = document["id"]
        return document

    def activate(self, identifier: str) -> Document:
        """Serve a deployment."""
        with self.audit.locally("activate", id=identifier) as about:
            document = super().activate(identifier)
            about |= {"app": document["app"], "branch": document["branch"]}
        return document

    def rollback(self, app: str, branch: str) -> Document:
        """Serve what a branch served before."""
        with self.audit.locally("rollback", app=app, branch=branch) as about:
            document = super().rollback(app, branch)
            about["id"] = document["id"]
        return document

    def delete_branch(self, app: str, branch: str) -> Document:
        """Forget a branch."""
        with self.audit.locally("delete-branch", app=app, branch=branch):
            return super().delete_branch(app, branch)

    def reload(self, *, dry_run: bool = False, atomic: bool = False) -> Document:
        """Serve the operator's files as they are now; a dry run changes nothing."""
        if dry_run:
            return super().reload(dry_run=True, atomic=atomic)
        with self.audit.locally("reload"):
            return super().reload(atomic=atomic)

    def purge(self, selection: Document) -> Document:
        """Forget stored responses."""
        about = {name: selection.get(name) for name in ("app", "branch")}
        with self.audit.locally("purge", **about):
            return super().purge(selection)

    def create_token(self, wish: Document) -> Document:
        """Make a token."""
        about = {name: wish.get(name) for name in ("app", "branch")}
        with self.audit.locally("create-token", **about) as found:
            document = super().create_token(wish)
            found["id"] = document["id"]
        return document

    def revoke_token(self, identifier: str) -> Document:
        """Let a token open nothing any more."""
        with self.audit.locally("revoke-token", id=identifier):
            return super().revoke_token(identifier)
