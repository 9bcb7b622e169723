"""
Paths to files: what of a branch's trees answers, and which page tells that nothing does.

Laws: pure; a path is looked up in a dictionary and never names a file on a disk. The trees that
`branch.trees` names must be loaded.
"""

from __future__ import annotations

from edge.site.manifest import Asset, Manifest
from edge.site.paths import MAX_DEPTH
from edge.site.snapshot import Branch


def find_asset(branch: Branch, path: str, until: float, epoch: float) -> Asset | str | None:
    """
    What a path leads to (rules.md 4 and 5): an asset, a path to redirect to, or None.

    In performance mode the previous deployment's answer wins while `epoch` is before `until`,
    unless its file was purged.
    """
    if branch.previous is not None and epoch < until:
        found = find_file(branch.previous.manifest, path, branch.trailing_slash)  # type: ignore[arg-type]
        if isinstance(found, Asset) and found.entry.path not in branch.purged:
            return found
    if branch.active is None:
        return None
    return find_file(branch.active.manifest, path, branch.trailing_slash)  # type: ignore[arg-type]


def find_content(branch: Branch, path: str, until: float, epoch: float) -> Asset | None:
    """The asset that a rule's target names (rules.md 4 alone); `until` as for `find_asset`."""
    for tree in (branch.previous if epoch < until else None, branch.active):
        asset = None if tree is None else find_page(tree.manifest, path)  # type: ignore[arg-type]
        if asset is not None and (tree is branch.active or asset.entry.path not in branch.purged):
            return asset
    return None


def find_page(manifest: Manifest, path: str) -> Asset | None:
    """Step 4 of rules.md's order: the file, a folder's index.html behind a slash, PATH.html."""
    name = path[1:]
    if "//" in path:
        return None
    if not name or name.endswith("/"):
        name += "index.html"
    elif name not in manifest.files and "." not in name.rsplit("/", 1)[-1]:
        name += ".html"
    return manifest.asset(name) if name in manifest.files else None


def find_file(manifest: Manifest, path: str, trailing_slash: str) -> Asset | str | None:
    """
    Steps 4 and 5 of rules.md's order over one manifest.

    `/about` is about.html, else about/index.html by a redirect to `/about/`; `add` and `strip`
    redirect to the one form they name, `leave` never redirects.
    """
    files = manifest.files
    name = path[1:]
    if name in files:
        return manifest.asset(name)
    if "//" in path:
        return None
    if not name or name.endswith("/"):
        return _find_directory(manifest, name, trailing_slash)
    page, index = name + ".html", name + "/index.html"
    is_page = has_page(manifest, name)
    if not is_page and index not in files:
        return None
    if trailing_slash == "add" or (trailing_slash == "auto" and not is_page):
        return path + "/"
    return manifest.asset(page if is_page else index)


def has_page(manifest: Manifest, name: str) -> bool:
    """Whether NAME.html may be called by its name alone: one without a dot in its last segment."""
    return name + ".html" in manifest.files and "." not in name.rsplit("/", 1)[-1]


def _find_directory(manifest: Manifest, name: str, trailing_slash: str) -> Asset | str | None:
    """`/docs/` → docs/index.html; with `add` and `strip` also docs.html."""
    index, page = name + "index.html", name[:-1] + ".html"
    found = index if index in manifest.files else None
    if found is None and name and trailing_slash in ("add", "strip"):
        found = page if has_page(manifest, name[:-1]) else None
    if found is None:
        return None
    if name and trailing_slash == "strip":
        return "/" + name[:-1]
    return manifest.asset(found)


def find_not_found(branch: Branch, path: str) -> Asset | None:
    """
    The nearest `not_found` page up the tree from `path`, or None for the built-in one.

    Not looked for where no file can be: a path may have thousands of slashes.
    """
    if branch.not_found is None or branch.active is None or branch.active.manifest is None:
        return None
    manifest = branch.active.manifest
    directory = "/".join(path[1:].split("/", MAX_DEPTH)[:MAX_DEPTH]).rpartition("/")[0]
    while True:
        page = f"{directory}/{branch.not_found}" if directory else branch.not_found
        if page in manifest.files:
            return manifest.asset(page)
        if not directory:
            return None
        directory = directory.rpartition("/")[0]
