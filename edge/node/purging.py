"""
What of stored files and answers goes when something is purged, or is not served any more.

Laws: a file is found by the branch that has it, an answer of an origin by its labels. A name that
is given up takes its answers along: who has it next must not see them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from edge.site import keys
from edge.site.lookup import find_file
from edge.site.manifest import Asset

if TYPE_CHECKING:
    from edge.site.manifest import Manifest
    from edge.site.snapshot import Branch, Snapshot

Files = tuple[str, str, str | None]
"""App, label of the branch and decoded path; None is all of its files."""


def assets_of(snapshot: Snapshot, files: Iterable[Files]) -> set[Asset]:
    """The files that are named, as far as they are in memory."""
    found: set[Asset] = set()
    for app, label, path in files:
        compiled = snapshot.apps.get(app)
        branch = None if compiled is None else compiled.branches.get(label)
        if branch is not None:
            found.update(assets_at(branch, path))
    return found


def assets_at(branch: Branch, path: str | None) -> Iterator[Asset]:
    """The files of a branch that answer at a path, or all of them."""
    for tree in branch.sources():
        if tree.manifest is None:
            continue
        if path is None:
            yield from tree.manifest.assets.values()
        elif (asset := asset_at(tree.manifest, path, branch.trailing_slash)) is not None:
            yield asset
    if branch.retained is not None:
        kept = branch.retained.assets
        yield from [kept[path[1:]]] if path and path[1:] in kept else []
        yield from kept.values() if path is None else ()


def asset_at(manifest: Manifest, path: str, trailing_slash: str) -> Asset | None:
    """The file that answers at a path, or at the form of it that the path redirects to."""
    found = find_file(manifest, path, trailing_slash)
    if isinstance(found, str):
        found = find_file(manifest, found, trailing_slash)
    return found if isinstance(found, Asset) else None


def gone(old: Snapshot, new: Snapshot) -> list[bytes]:
    """Labels of the apps and branches that a new snapshot does not have."""
    labels = []
    for name, app in old.apps.items():
        if name not in new.apps:
            labels.append(keys.label_of_app(name))
            continue
        left = {branch.name for branch in new.apps[name].branches.values()}
        names = {branch.name for branch in app.branches.values()}
        labels += [keys.label_of_branch(name, each) for each in names - left]
    return labels
