"""
Whose bytes a blob is: what a deployer of one app may take for granted.

Laws: content is found by its hash, so that who knows a hash could ask whether anybody has it, and
publish it unseen. To a token of one app, blobs are there only if this app's newest manifests name
them; every other one has to be sent, whether it is here or not, and what was sent is noted by app.
The operator's own token is trusted with all of them.
"""

from __future__ import annotations

import contextlib
from itertools import chain
from typing import Final

from edge.control.blobs import BlobWriter
from edge.control.deployments import ABANDONED, Deployments
from edge.errors import StoreError
from edge.site.places import Places

LOOKED_AT: Final = 8
"""Newest manifests of an app that are looked into: what else it had is sent again, no harm."""


class Belongings:
    """What the deployers of each app had."""

    def __init__(self, places: Places, deployments: Deployments) -> None:
        self._places = places
        self._deployments = deployments

    def withheld(self, app: str, branch: str, hashes: set[str]) -> set[str]:
        """Those of `hashes` that a deployer of an app has to send, to show that they are his."""
        owned: set[str] = set()
        if not hashes:
            return owned
        for label, identifier in self._newest(app, branch):
            with contextlib.suppress(StoreError):
                header = self._deployments.header(app, label, identifier)
                owned.update(entry.sha256 for entry in self._deployments.entries(header))
        sent = self._places.brought / app
        return {each for each in hashes - owned if not (sent / each).exists()}

    def _newest(self, app: str, branch: str) -> list[tuple[str, str]]:
        """(label, deployment) of an app's newest, and of the branch's own two."""
        found = {
            record.name: [
                (path.name, record.label)
                for path in (self._places.deployments / app / record.label).glob("[0-9]*")
            ]
            for record in self._deployments.branches(app)
        }
        newest = sorted(chain.from_iterable(found.values()), reverse=True)[:LOOKED_AT]
        own = sorted(found.get(branch, []), reverse=True)[:2]
        return [(label, identifier) for identifier, label in {*newest, *own}]

    def note(self, app: str, sha256: str) -> None:
        """A deployer of an app sent these bytes."""
        folder = self._places.brought / app
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / sha256).touch(mode=0o600)

    def collect(self, now: float) -> None:
        """Forget what was sent so long ago that its deployment is forgotten, too."""
        for path in self._places.brought.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < now - ABANDONED:
                    path.unlink()


class Bringing(BlobWriter):
    """A blob that a deployer of one app sends."""

    def __init__(self, places: Places, sha256: str, app: str, belongings: Belongings) -> None:
        super().__init__(places, sha256)
        self._app = app
        self._belongings = belongings

    def finish(self) -> None:
        """Make it visible, and note whose it is. Raises as `BlobWriter.finish`."""
        super().finish()
        self._belongings.note(self._app, self._sha256)
