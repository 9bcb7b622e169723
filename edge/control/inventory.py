"""
What certificates there are and should be: one look at everything, and workers know what came of it.

Laws: a round is idempotent: it looks at what serves, at the operator's folder and into the vault,
has the own authority sign what is its to sign, and tells workers only what is new to them. A name's
failure is that name's alone. One process a state folder does this (`lock`). Not here: what a public
authority is asked for (`keeper`).
"""

from __future__ import annotations

import functools
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from edge.control import durable, own_certificates
from edge.control.authority import Authority
from edge.control.changes import Changes
from edge.control.claims import Claims
from edge.control.own_certificates import Found, Marks
from edge.control.vault import Key, Vault
from edge.errors import EdgeError
from edge.site import renewal
from edge.site.certificates import Certificate, Keyring, Names
from edge.site.generation import Generation
from edge.site.hosts import HostClaim
from edge.site.places import Places
from edge.site.renewal import Validity
from edge.site.wanted import Wanted, Wishes, wishes

log = logging.getLogger("edge.inventory")

TEND_EVERY: Final = 60.0
"""Seconds between two rounds where nothing is."""

CLEAN_EVERY: Final = 86_400.0

ORDER: Final = {"files": 0, "acme": 1, "internal": 2}
"""Whose certificate serves a name that several cover."""


class Inventory:
    """The certificates of one node."""

    def __init__(
        self, places: Places, changes: Changes, clock: Callable[[], float] = time.time
    ) -> None:
        self.vault = Vault(places)
        self.authority = Authority(places, socket.gethostname())
        self.found = Found()
        """What the operator's folder had at the last look."""
        self.wishes = Wishes((), ())
        self._changes = changes
        self._clock = clock
        self._claims = Claims()
        self.own: dict[str, Certificate] = {}
        """By the name of the file."""
        self._seen: tuple[int, Path, Marks | None] | None = None
        """Generation and folder as they were at the last round."""
        self._tended = 0.0
        self._cleaned = 0.0
        self._told = True
        """Whether every worker knows the keyring."""
        self._lock: int | None = None
        self.stored: dict[Key, Certificate | None] = {}
        """What there is of all that is wanted, at the last round."""
        self.serving: tuple[Certificate, ...] = ()
        """What workers serve with, the first of a name serving it."""
        self.generation: Generation | None = None
        """What was looked at last; None where there is nothing to keep, or somebody else does."""
        self.rounds = 0
        """How often everything was looked at."""
        self.is_stale = False
        """Whether a certificate has come since."""

    def close(self) -> None:
        """Let another process keep them."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def look(self) -> None:
        """
        One look, and a round where something is another or a minute has passed.

        Raises whatever breaks; workers serve as they did, and the next look makes up for it.
        """
        generation = self._changes.generations.current()
        if generation is None or not self._is_mine(generation):
            self.generation = None
            return
        self._look(generation)
        self.generation = generation

    def _is_mine(self, generation: Generation) -> bool:
        """Whether this process keeps them: nobody does where nothing is served with them."""
        if not generation.settings.listen.https:
            return False
        if self._lock is None:
            self.vault.open()
            self._lock = durable.try_lock(self.vault.lock)
        return self._lock is not None

    def _look(self, generation: Generation) -> None:
        now = self._clock()
        folder = Path(generation.root) / generation.settings.certs
        seen = generation.number, folder, _marks(folder)
        is_old = not 0 <= now - self._tended < TEND_EVERY
        if seen == self._seen and self._told and not is_old and not self.is_stale:
            return
        self._tended, self.is_stale = now, False
        self._read_own(folder, generation.settings.certs, now)
        self.tend(generation, now)
        self._seen = seen
        self.rounds += 1

    def survey(self) -> None:
        """Look at everything, and change nothing: for who asks while no node runs."""
        generation = self._changes.generations.current()
        if generation is None or not generation.settings.listen.https:
            return
        now, certs = self._clock(), generation.settings.certs
        self.found = own_certificates.read_folder(Path(generation.root) / certs, certs, now)
        self.own = dict(self._stored_own(self.found.present))
        claims = self._claims_of(generation)
        own = Names(each for each in self.own.values() if each.is_valid(now))
        self.wishes = wishes(claims, generation.settings, own, is_public_suffix)
        self._serving(claims, now)

    # The operator's folder

    def _read_own(self, folder: Path, shown: str, now: float) -> None:
        """Take over what is good; what is not leaves the last good version serving."""
        before = self.found
        try:
            found = own_certificates.read_folder(folder, shown, now)
        except OSError as error:
            log.error("%s cannot be read, and what it had serves on: %s", folder, error)
            self.own = self.own or dict(self._stored_own(self.vault.names("files")))
            return
        for name, pem in found.good.items():
            try:
                self.own[name] = self.vault.publish(name, pem, "files")
            except (OSError, EdgeError) as error:
                log.error("the certificate of %s is not taken over: %s", name, error)
        self.own = {name: each for name, each in self.own.items() if name in found.present}
        self.own |= self._stored_own(found.present - self.own.keys())
        self.found = found
        if found.texts() != before.texts():
            _tell(found)

    def _stored_own(self, names: Iterable[str]) -> Iterator[tuple[str, Certificate]]:
        for name in names:
            if certificate := self.vault.current("files", name):
                yield name, certificate

    # A round

    def tend(self, generation: Generation, now: float) -> None:
        """Have what is wanted, and tell workers."""
        claims = self._claims_of(generation)
        own = Names(each for each in self.own.values() if each.is_valid(now))
        self.wishes = wishes(claims, generation.settings, own, is_public_suffix)
        for wish in self.wishes.wanted:
            if wish.source == "internal":
                self._keep_internal(wish, now)
        keyring = arrange(self._serving(claims, now), now)
        self.serving = keyring.certificates
        self._tell(keyring)
        if now - self._cleaned >= CLEAN_EVERY:
            self._cleaned = now
            self.vault.clean(self._needed(), now)

    def _claims_of(self, generation: Generation) -> list[HostClaim]:
        apps = self._changes.generations.apps(generation)
        return list(self._claims.incumbents(apps, generation.settings.default_domain).values())

    def _needed(self) -> set[Key]:
        keys: set[Key] = {("files", name) for name in self.own}
        return keys | {(wish.source, wish.name) for wish in self.wishes.wanted}

    def _keep_internal(self, wish: Wanted, now: float) -> None:
        """Have a certificate of the own authority, and a new one when it is time."""
        current = self.vault.current("internal", wish.name)
        try:
            if current and now < due(current).at and self.authority.signed(current, now):
                return
            self.sign(wish)
        except (OSError, EdgeError) as error:
            log.error("there is no new certificate for %s: %s", wish.name, error)

    def sign(self, wish: Wanted) -> None:
        """A new certificate of the own authority, now. Raises OSError."""
        pem = self.authority.issue(wish.names, self._clock())
        self.vault.publish(wish.name, pem, "internal")

    def _serving(self, claims: list[HostClaim], now: float) -> list[Certificate]:
        """
        Every certificate that a host is served with now.

        Where the wanted one is not there yet, what covers its hosts serves on: another source's,
        or those of single names before a wildcard.
        """
        keys: list[Key] = [(wish.source, wish.name) for wish in self.wishes.wanted]
        self.stored = {key: self.vault.current(*key) for key in keys}
        serving = [*self.own.values(), *filter(None, self.stored.values())]
        names = Names(each for each in serving if each.is_valid(now))
        bare = {claim.host for claim in claims if names.find(claim.host) is None}
        return serving + (self._substitutes(bare, now) if bare else [])

    def _substitutes(self, hosts: set[str], now: float) -> list[Certificate]:
        found = []
        for source in ("acme", "internal"):
            for name in self.vault.names(source):
                certificate = self.vault.current(source, name)
                if certificate and certificate.is_valid(now) and _serves(certificate, hosts):
                    found.append(certificate)
        return found

    def _tell(self, keyring: Keyring) -> None:
        """Write the keyring where it is another, and have workers read it."""
        if keyring != self.vault.keyring():
            self.vault.write_keyring(keyring)
            self._told = False
        if not self._told:
            refused = [each for each in self._changes.fleet.tls() if "error" in each]
            for reply in refused:
                log.error("a worker did not read the certificates: %s", reply["error"])
            self._told = not refused


def arrange(certificates: Iterable[Certificate], now: float) -> Keyring:
    """
    A keyring in which the first certificate of a name is the one to serve it.

    Valid ones first; then the operator's, a public authority's, the own one's; then who lasts
    longer.
    """

    def rank(each: Certificate) -> tuple[bool, int, int, str]:
        return not each.is_valid(now), ORDER[each.source], -each.not_after, each.id

    unique = {each.file: each for each in certificates}
    return Keyring(tuple(sorted(unique.values(), key=rank)))


def due(certificate: Certificate) -> renewal.Due:
    """When a certificate of the own authority is renewed."""
    return renewal.renewal_of(validity_of(certificate), None, renewal.fraction(certificate.id))


def validity_of(certificate: Certificate) -> Validity:
    """What `renewal` asks of a certificate."""
    return Validity(certificate.id, certificate.not_before, certificate.not_after)


@functools.lru_cache(20_000)
def is_public_suffix(host: str) -> bool:
    """Whether names below a host are different people's, as registries have it. Cost: 8 µs anew."""
    return bool(_suffixes().is_public(host))


@functools.cache
def _suffixes():  # type: ignore[no-untyped-def]  # noqa: ANN202 - the library has no types
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - 60 ms, for who needs it

    return PublicSuffixList(only_icann=True)


def _serves(certificate: Certificate, hosts: set[str]) -> bool:
    names = Names([certificate])
    return any(names.find(host) is not None for host in hosts)


def _marks(folder: Path) -> Marks | None:
    """What tells the folder's content from another; None where it cannot be looked into."""
    try:
        return own_certificates.marks_of(folder)
    except OSError:
        return None


def _tell(found: Found) -> None:
    for warning in found.warnings:
        log.warning("%s", warning)
    for mistake in found.mistakes:
        log.error("%s", mistake)
