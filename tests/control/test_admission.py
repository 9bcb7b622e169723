"""Who may use the admin API: over a real listener, before anything else happens."""

from __future__ import annotations

import aiohttp
import pytest

from edge.control.admission import open_token, problem, split_port
from tests.support_control import serving_admin

SETTINGS = "admin: {hosts: [edge.example]}\n"


@pytest.fixture
async def api(tmp_path):
    """Asks the API of a node: `ask(path, method=…, data=…, **fields)` → (status, document)."""
    async with (
        serving_admin(tmp_path, SETTINGS) as (_, address),
        aiohttp.ClientSession(f"http://{address}") as session,
    ):
        token = (tmp_path / "var" / "admin.token").read_text().strip()

        async def ask(path="/v1/apps", method="GET", data=None, **fields):
            port = address.rpartition(":")[2]
            headers = {"Authorization": f"Bearer {token}"}
            headers |= {name.replace("_", "-"): value for name, value in fields.items()}
            headers = {
                name: value.format(port=port, token=token)
                for name, value in headers.items()
                if value
            }
            async with session.request(method, path, data=data, headers=headers) as response:
                is_text = response.content_type == "text/plain"
                document = {} if is_text else await response.json(content_type=None)
                if response.status >= 400:
                    assert response.content_type == "application/problem+json"
                    assert (document["status"], document["type"]) == (
                        response.status,
                        "about:blank",
                    )
                    assert token not in str(document)
                return response.status, document, response.headers

        yield ask


async def test_the_token_opens_the_api(api):
    """As a bearer token, whatever the scheme's capitals."""
    assert (await api())[0] == 200
    assert (await api(Authorization="bearer {token}"))[0] == 200


@pytest.mark.parametrize(
    "credentials",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic {token}",
        "{token}",
        "Bearer ü",
        "Bearer {token}x",
    ],
)
async def test_without_the_token_it_is_401(api, credentials):
    """The challenge says what is asked for."""
    status, document, headers = await api(Authorization=credentials)

    assert (status, document["title"]) == (401, "Unauthorized")
    assert "admin.token_file" in document["detail"]
    assert headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_health_is_open(tmp_path, path, method):
    """No token, any Host: it says nothing but yes or no."""
    async with (
        serving_admin(tmp_path) as (_, address),
        aiohttp.ClientSession(f"http://{address}") as session,
        session.request(method, path, headers={"Host": "10.0.0.1"}) as response,
    ):
        text = await response.text()

    assert response.status == (200 if path == "/healthz" else 503)  # there are no workers
    assert text == {"GET/healthz": "ok\n", "GET/readyz": "not yet\n"}.get(method + path, "")


@pytest.mark.parametrize(
    "host",
    ["localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}", "edge.example", "edge.example:8443"],
)
async def test_the_nodes_own_hosts_pass(api, host):
    """The listener's, and those of `admin.hosts` behind any port."""
    assert (await api(Host=host))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost",
        "localhost:1",
        "evil.example:{port}",
        "edge.example.evil.example",
    ],
)
async def test_another_host_is_421(api, host):
    """A name that somebody else points to this address (DNS rebinding)."""
    status, document, _ = await api(Host=host)

    assert (status, "admin.hosts" in document["detail"]) == (421, True)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("10.0.0.1:9901", 200),
        ("[fd00::1]:9901", 200),
        ("edge:9901", 200),
        ("edge.example:9901", 200),
        ("evil.example:{port}", 421),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("evil.example.", 421),
    ],
)
async def test_figures_are_not_for_names_that_were_rebound(api, host, status):
    """They are open, and name apps: who asks by an address, or by a name of ours, may."""
    assert (await api("/metrics", Authorization="", Host=host))[0] == status


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("Origin", "http://localhost:{port}", 200),
        ("Origin", "https://edge.example", 200),
        ("Origin", "http://localhost:8080", 403),
        ("Origin", "https://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "edge.example", 403),
        ("Origin", "file://edge.example", 403),
        ("Sec_Fetch_Site", "same-origin", 200),
        ("Sec_Fetch_Site", "none", 200),
        ("Sec_Fetch_Site", "same-site", 403),
        ("Sec_Fetch_Site", "cross-site", 403),
    ],
)
async def test_foreign_pages_are_403(api, field, value, status):
    """A page in somebody's browser cannot ask in their name, not even one that this node serves."""
    assert (await api(**{field: value}))[0] == status


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 422),
        ("application/json; charset=utf-8", 422),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
async def test_a_body_that_is_not_json_is_415(api, kind, status):
    """A form cannot send JSON: one more wall against forged requests."""
    found, _, _ = await api(
        "/v1/apps/shop/branches/main/deployments", "POST", b'{"files": {}}', Content_Type=kind
    )

    assert found == status


async def test_the_checks_come_before_the_routes(api):
    """Whoever may not ask does not learn which paths there are."""
    assert (await api("/v1/nope", Authorization=""))[0] == 401
    assert (await api("/v1/nope"))[0] == 404


def test_a_token_is_made_once(tmp_path):
    """Long, for its owner alone, the same at the next start."""
    path = tmp_path / "var" / "admin.token"

    token = open_token(path)

    assert len(token) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert open_token(path) == token == path.read_bytes().strip()


def test_an_operators_token_is_taken(tmp_path):
    """With or without a line end."""
    (tmp_path / "token").write_text("mine\n")

    assert open_token(tmp_path / "token") == b"mine"


@pytest.mark.parametrize("content", ["", "\n", "  "])
def test_an_empty_token_is_replaced(tmp_path, content):
    """An empty one would let everybody in."""
    (tmp_path / "token").write_text(content)

    assert len(open_token(tmp_path / "token")) >= 32


async def test_on_a_unix_socket_any_host_passes(tmp_path):
    """There is no name to rebind; pages have no business there."""
    path = tmp_path / "edge.sock"
    async with (
        serving_admin(tmp_path / "node", address=f"unix:{path}"),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
    ):
        token = (tmp_path / "node" / "var" / "admin.token").read_text().strip()
        statuses = []
        for fields in ({"Host": "anything"}, {"Origin": "http://localhost"}):
            headers = {"Authorization": f"Bearer {token}"} | fields
            async with session.get("http://x/v1/apps", headers=headers) as response:
                statuses.append(response.status)
        async with session.get("http://x/v1/apps") as response:
            statuses.append(response.status)

    assert statuses == [200, 403, 401]
    assert not path.exists() or path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("authority", "host"),
    [("a:1", "a"), ("a", "a"), ("[::1]:1", "[::1]"), ("[::1]", "[::1]"), ("a:", "a:"), ("", "")],
)
def test_split_port(authority, host):
    """Only digits are a port."""
    assert split_port(authority) == host


async def test_a_problem_carries_what_helps():
    """Members beside the standard ones, and fields."""
    response = problem(405, "no", {"Allow": "GET"}, hint="yes")

    assert response.headers["Allow"] == "GET"
    assert b'"hint": "yes"' in response.body


@pytest.mark.parametrize("path", ["/v1/apps", "/login"])
async def test_only_the_page_itself_may_be_linked_to(api, path):
    """Following a link from elsewhere calls nothing of the API."""
    fields = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}

    assert (await api(path, Sec_Fetch_Dest="document", **fields))[0] == 403
