"""Where everything lies in the state folder. Pure: names only, one place that builds them."""

from __future__ import annotations

from pathlib import Path

SUFFIX = {"identity": "", "br": ".br", "zstd": ".zst", "gzip": ".gz"}
"""File name suffixes of the codings made at deploy."""


class Places:
    """The paths of one state folder (design.md, "Processes and state")."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.lock = state / "lock"
        """Held by the parent of a running node."""
        self.store_lock = state / "store.lock"
        """Held for the length of one change by whoever makes it."""
        self.current = state / "current"
        self.generations = state / "generations"
        self.compiled = state / "compiled"
        self.blobs = state / "blobs"
        self.deployments = state / "deployments"
        self.branches = state / "branches"
        self.pending = state / "pending"
        self.staged = state / "pending" / "blobs"
        """Blobs of pending deployments, not yet known to be on the disk for good."""
        self.hits = state / "hits"
        """On which day requests hit which rule, a file an app."""
        self.alarms = state / "alarms.json"
        """How alarms stand and which letters wait: 0600, for URLs of webhooks are secrets."""
        self.tokens = state / "tokens"
        """Scoped tokens, a file each: 0700, and 0600."""
        self.brought = state / "pending" / "brought"
        """Which app's deployers sent the bytes of a blob lately: `APP/SHA256`, empty files."""
        self.audit = state / "log" / "audit.jsonl"
        """Who did what by the admin API or the command line, a JSON line each."""
        self.frozen = state / "backup"
        """What a backup holds fast while it is written: hard links."""
        self.restoring = state / "restoring"
        """A restore that is not whole yet; it is nothing to anybody."""
        self.restored = state / "restored"
        """A restore that is whole, and is being moved to its places."""
        self.run = state / "run"
        self.tls = state / "tls"
        """Certificates, accounts, the own authority: 0700, and every file with a key 0600."""
        self.keyring = self.tls / "keyring.json"
        """What serves which name: `Keyring`, written by control, read by workers."""
        self.challenges = self.tls / "challenges.json"
        """What authorities ask just now: `Challenges`, written by control, read by workers."""

    def blob(self, sha256: str, coding: str = "identity") -> Path:
        """A blob; 256 folders keep each one small."""
        return self.blobs / sha256[:2] / (sha256 + SUFFIX[coding])

    def staged_blob(self, sha256: str, coding: str = "identity") -> Path:
        """A blob on its way in."""
        return self.staged / (sha256 + SUFFIX[coding])

    def manifest(self, app: str, label: str, identifier: str) -> Path:
        """A deployment's manifest."""
        return self.deployments / app / label / identifier

    def branch(self, app: str, label: str) -> Path:
        """The record that keeps a branch's label."""
        return self.branches / app / label

    def generation(self, number: int) -> Path:
        """One generation."""
        return self.generations / str(number)
