"""
What happened to a node, told to whoever wants to know: deployments and reloads, as they end.

Laws: told once, after the change is made or refused and its lock is free, in the thread that made
it. Whoever hears must not wait, and cannot fail a change. With no node running nobody hears.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from edge.control.deployments import Missing, NoSuch
from edge.errors import Mistaken, StoreError
from edge.site.manifest import Header

log = logging.getLogger("edge.events")

MAX_MISTAKES = 3
"""Mistakes that a reason repeats; the caller has been told them all."""


class DeployEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment serves, or was refused."""

    app: str
    branch: str
    label: str
    id: str
    result: Literal["succeeded", "failed", "rolled_back"]
    at: float
    """Epoch seconds."""
    message: str = ""
    """What its deployer wrote."""
    reason: str = ""
    """Why it failed."""


class ReloadEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A reload is over; one that is `refused` may have changed apps without a mistake."""

    result: Literal["succeeded", "refused", "failed"]


Event = DeployEnded | ReloadEnded
Hear = Callable[[Event], None]


class Events:
    """The events of one state folder, as far as this process makes them."""

    def __init__(self) -> None:
        self._hearing: list[Hear] = []

    def subscribe(self, hear: Hear) -> None:
        """Have `hear` called with each event, in any thread."""
        self._hearing.append(hear)

    def tell(self, event: Event) -> None:
        """Tell everybody; one who fails is logged."""
        for hear in self._hearing:
            try:
                hear(event)
            except Exception:
                log.exception("%s was not heard", type(event).__name__)

    def deployed(self, header: Header, result: Literal["succeeded", "rolled_back"]) -> None:
        """A deployment serves."""
        self.tell(_ended(header, result))

    @contextlib.contextmanager
    def deploying(self, find: Callable[[], Header]) -> Iterator[None]:
        """
        Tell that the deployment which `find` knows failed, if what is done here fails.

        One that lacks blobs, or that is none, has not been tried.
        """
        try:
            yield
        except (Missing, NoSuch):
            raise
        except Exception as error:
            with contextlib.suppress(StoreError, OSError):
                self.tell(_ended(find(), "failed", reason_of(error)))
            raise

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell how the reload that is done here ends."""
        result: Literal["succeeded", "refused", "failed"] = "failed"
        try:
            yield
            result = "succeeded"
        except Mistaken:
            result = "refused"
            raise
        finally:
            self.tell(ReloadEnded(result=result))


def _ended(
    header: Header, result: Literal["succeeded", "failed", "rolled_back"], reason: str = ""
) -> DeployEnded:
    return DeployEnded(
        app=header.app,
        branch=header.branch,
        label=header.label,
        id=header.id,
        result=result,
        at=time.time(),
        message=header.message,
        reason=reason,
    )


def reason_of(error: Exception) -> str:
    """Why something failed, for a person; of mistakes the first ones."""
    if isinstance(error, Mistaken):
        return "; ".join(str(each) for each in error.errors[:MAX_MISTAKES])
    if isinstance(error, StoreError | OSError):
        return str(error)
    return "something broke; the node's log says more"
