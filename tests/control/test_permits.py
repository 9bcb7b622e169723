"""What each call is called, and which tokens may make it."""

from __future__ import annotations

import pytest

from edge.control.permits import CALLS, call_of, permit
from edge.errors import Forbidden
from edge.site.scopes import Scope
from tests.support_control import serving_admin

OPEN = {"/healthz", "/readyz", "/metrics"}


async def test_every_route_has_a_name(tmp_path):
    """A new route has to say what it is, and whether tokens may call it."""
    async with serving_admin(tmp_path) as (admin, _):
        routes = {
            (route.method, route.resource.canonical)
            for route in admin.application(b"x").router.routes()
            if route.method != "HEAD"
        }

    assert {route for route in routes if route[1] not in OPEN} == set(CALLS)


def test_what_nobody_named_is_the_operators():
    """Whatever it is called."""
    assert call_of("GET", "/v1/secrets") == ("/v1/secrets", None)
    assert call_of("GET", None) == ("unknown", None)
    assert call_of("HEAD", "/v1/status") == ("status", "read")
    with pytest.raises(Forbidden):
        permit(call_of("GET", "/v1/secrets"), Scope(app="shop"), {})


@pytest.mark.parametrize(
    ("names", "passes"),
    [
        ({}, True),
        ({"app": "shop"}, True),  # a list, which shows what the token covers
        ({"app": "shop", "branch": "pr-1"}, True),
        ({"app": "shop", "branch": "main"}, False),
        ({"app": "blog"}, False),
        ({"app": "blog", "branch": "pr-1"}, False),
    ],
)
def test_names_in_the_path_are_judged(names, passes):
    """An app, and a branch of it."""
    call, scope = call_of("GET", "/v1/apps"), Scope(app="shop", branch="pr-*")
    if passes:
        return permit(call, scope, names)
    with pytest.raises(Forbidden):
        permit(call, scope, names)
    return None


def test_a_list_needs_the_word_too():
    """Its app alone is not enough."""
    with pytest.raises(Forbidden):
        permit(call_of("GET", "/v1/apps"), Scope(app="shop", may=("deploy",)), {"app": "shop"})
