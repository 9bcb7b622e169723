"""
What each call of the admin API is called, and which tokens may make it.

Laws: a call that does not stand here is the operator's alone, and so is one without a `may`. What
depends on more than the path (whose deployment, whose host) is `scoped`'s to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from edge.site.scopes import May, Scope


class Call(NamedTuple):
    """One call of the API."""

    action: str
    """As the audit log has it."""
    may: May | None = None
    """What a token must be for; None is the operator's alone."""


BRANCH: Final = "/v1/apps/{app}/branches/{branch}"

CALLS: Final[Mapping[tuple[str, str], Call]] = {
    ("GET", "/v1/status"): Call("status", "read"),
    ("GET", "/v1/apps"): Call("apps", "read"),
    ("GET", "/v1/apps/{app}/branches"): Call("branches", "read"),
    ("GET", f"{BRANCH}/deployments"): Call("deployments", "read"),
    ("POST", "/v1/explain"): Call("explain", "read"),
    ("POST", f"{BRANCH}/deployments"): Call("begin", "deploy"),
    ("PUT", "/v1/blobs/{sha256}"): Call("blob", "deploy"),
    ("POST", "/v1/deployments/{id}/activate"): Call("activate", "deploy"),
    ("POST", "/v1/deployments/{id}/complete"): Call("complete", "deploy"),
    ("POST", f"{BRANCH}/rollback"): Call("rollback", "deploy"),
    ("DELETE", BRANCH): Call("delete-branch", "deploy"),
    ("POST", "/v1/purge"): Call("purge", "purge"),
    ("GET", "/v1/certificates"): Call("certificates"),
    ("POST", "/v1/certificates/{name}/renew"): Call("renew"),
    ("GET", "/v1/domains"): Call("domains"),
    ("POST", "/v1/reload"): Call("reload"),
    ("GET", "/v1/tokens"): Call("tokens"),
    ("POST", "/v1/tokens"): Call("create-token"),
    ("DELETE", "/v1/tokens/{id}"): Call("revoke-token"),
    ("GET", "/"): Call("page", "read"),
    ("POST", "/login"): Call("login", "read"),
    ("POST", "/logout"): Call("logout", "read"),
    ("POST", "/explain"): Call("page-explain", "read"),
}
"""(method, path as routes have it) → call."""


def call_of(method: str, route: str | None) -> Call:
    """What a request is; one that nobody named is called by its path."""
    method = "GET" if method == "HEAD" else method
    return CALLS.get((method, route or ""), Call(route or "unknown"))


def permit(call: Call, scope: Scope, names: Mapping[str, str]) -> None:
    """
    Let pass a call with what its path names (`app`, `branch`).

    Raises:
        Forbidden: the token is not for that.
    """
    if call.may is None:
        raise scope.refusal()
    app, branch = names.get("app"), names.get("branch")
    if app is None or branch is not None:
        scope.require(call.may, app, branch)
    elif call.may not in scope.may or app != scope.app:  # lists of an app show what it covers
        raise scope.refusal()
