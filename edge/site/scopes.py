"""
What a token may do: an app, perhaps some of its branches, and which kinds of things there.

Here: the grammar and the judgement. Not here: whose token it is, and until when (`tokens`). What
a scope does not name it does not allow; the operator's own token has no scope, and may everything.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

from edge.errors import Forbidden
from edge.site.hosts import branch_matches

May = Literal["deploy", "purge", "read"]
"""
deploy: announce, send, activate, roll back, delete branches. purge: forget stored answers.
read: lists, and why a request is answered as it is.
"""

ALL: Final[tuple[May, ...]] = get_args(May)


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What one token is for."""

    app: str
    branch: str | None = None
    """A name or a pattern, as in `branches` of app.yml; None is all of them."""
    may: tuple[May, ...] = ALL

    def covers(self, app: str, branch: str | None = None) -> bool:
        """Whether a branch, or all of an app, is this token's to work on."""
        if app != self.app:
            return False
        return self.branch is None or (branch is not None and branch_matches(self.branch, branch))

    def __str__(self) -> str:
        """`deploy and read app shop, branch pr-*`: goes on a sentence that begins with may."""
        *first, last = self.may
        verbs = f"{', '.join(first)} and {last}" if first else last
        branch = "" if self.branch is None else f", branch {self.branch}"
        return f"{verbs} app {self.app}{branch}"

    def require(self, may: May, app: str | None = None, branch: str | None = None) -> None:
        """
        Let pass what the token is for; without `app`, whichever that is.

        Raises:
            Forbidden: it is for something else.
        """
        if may not in self.may or (app is not None and not self.covers(app, branch)):
            raise self.refusal()

    def refusal(self) -> Forbidden:
        """What is told to who wants more."""
        return Forbidden(f"this token may {self}, and nothing else")


def parse_may(text: str) -> tuple[May, ...]:
    """
    `deploy,purge` as what a token may; each once, in the order of the language.

    Raises:
        ValueError: with a word that is none, or without any.
    """
    words = {word.strip() for word in text.split(",")}
    unknown = sorted(words - set(ALL))
    if unknown:
        raise ValueError(f"{unknown[0][:40]!r} is nothing that a token may: deploy, purge or read")
    return tuple(each for each in ALL if each in words)
