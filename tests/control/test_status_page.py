"""The page over a real listener: login, status, explain, logout, and who is kept out."""

from __future__ import annotations

import asyncio
import json
import ssl

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from edge.control.attempts import TRIES
from edge.control.page_style import FIELDS, hash_of
from edge.control.sessions import LIFETIME
from edge.control.status_page import set_cookie
from tests.support import eventually
from tests.support_control import serving_admin
from tests.support_logs import entries_of
from tests.support_page import Read
from tests.support_tokens import two_apps

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Visitor:
    """A browser without its window: cookies, and no token."""

    def __init__(self, session, base):
        self.session = session
        self.base = base

    async def __call__(self, method, path, data=None, *, follow=True, **fields):
        """(status, what is read, response)"""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        async with self.session.request(
            method, self.base + path, data=data, headers=headers, allow_redirects=follow
        ) as response:
            return response.status, Read(await response.text()), response

    async def log_in(self, token, **more):
        """Send the form."""
        return await self("POST", "/login", {"token": token}, **more)

    @property
    def cookies(self):
        """What it keeps."""
        return list(self.session.cookie_jar)


async def last_noted(api, action):
    """The last line of the audit log, once it is about this."""
    file = api.folder / "var" / "log" / "audit.jsonl"
    await asyncio.to_thread(eventually, lambda: entries_of(file)[-1]["action"] == action)
    return entries_of(file)[-1]


@pytest.fixture
async def api(tmp_path):
    """The API of a node with two apps."""
    async with two_apps(tmp_path) as found:
        yield found


@pytest.fixture
async def visitor(api):
    """Somebody who opens the page."""
    base = str(api.session._base_url).rstrip("/")
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an IP address, too
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Visitor(session, base)


async def test_login_page_explain_logout(api, visitor):
    """The whole way; afterwards the door is shut again."""
    status, read, _ = await visitor("GET", "/")
    assert (status, [each["action"] for each in read.all("form")]) == (200, ["/login"])

    status, read, response = await visitor.log_in(api.admin)
    assert (status, response.url.path, response.history[0].status) == (200, "/", 303)
    assert "Recent deployments" in read.text
    assert {"shop", "blog"} <= {each["href"].rpartition("=")[2] for each in read.all("a")}

    question = {"url": "http://main.shop.edge.localhost/index.html", "method": "GET", "country": ""}
    status, read, _ = await visitor("POST", "/explain", question)
    assert (status, "Step by step" in read.text) == (200, True)
    assert "shop, main" in read.text

    status, read, response = await visitor("POST", "/logout")
    assert (status, [each["action"] for each in read.all("form")]) == (200, ["/login"])
    assert visitor.cookies == []


async def test_a_logout_ends_the_session_itself(api, visitor):
    """Not only its cookie: who copied that is out as well."""
    await visitor.log_in(api.admin)
    (cookie,) = visitor.cookies
    await visitor("POST", "/logout")

    _, read, _ = await visitor("GET", "/", Cookie=f"{cookie.key}={cookie.value}")

    assert "Recent deployments" not in read.text


def test_over_tls_the_cookie_is_the_hosts_own():
    """`__Host-` and Secure: no other host, and nobody on the way, sets or sees it."""
    context = ssl.create_default_context()
    request = make_mocked_request("POST", "/login", {"Host": "edge.example"}, sslcontext=context)
    answer = web.Response()
    set_cookie(request, answer, "x", 60)

    cookie = answer.cookies["__Host-edge-session"]
    assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")


async def test_the_cookie_is_for_browsers_alone(api, visitor):
    """No script sees it, no other site sends it, and it ends with the day."""
    _, _, response = await visitor.log_in(api.admin, follow=False)
    (field,) = response.headers.getall("Set-Cookie")
    name, *flags = field.split("; ")

    assert name.startswith(f"edge-session-{response.url.port}=")
    assert {*flags} == {"HttpOnly", f"Max-Age={LIFETIME}", "Path=/", "SameSite=Strict"}
    assert api.admin not in field


@pytest.mark.parametrize("path", ["/", "/explain", "/logout", "/?app=shop"])
async def test_strangers_get_the_form(api, visitor, path):
    """Whatever they ask for; nothing of the node is in it."""
    method = "GET" if path.startswith("/?") or path == "/" else "POST"
    status, read, response = await visitor(method, path, Cookie="edge-session-1=x")

    assert (status, [each["action"] for each in read.all("form")]) == (200, ["/login"])
    assert "shop" not in read.text
    assert response.headers["Server"] == "edge"


@pytest.mark.parametrize("token", ["", "wrong", "edge_000000000000_" + "0" * 64, "ü\x00"])
async def test_a_wrong_token_opens_nothing(api, visitor, token):
    """The form says so, and the audit log has it."""
    status, read, _ = await visitor.log_in(token)

    assert (status, visitor.cookies) == (401, [])
    assert "This token opens nothing here." in read.text
    entry = await last_noted(api, "login")
    assert (entry["who"], entry["status"]) == ("anybody", 401)
    assert entry["error"]


async def test_a_token_is_taken_by_the_form_alone(api, visitor):
    """Neither in the address nor as a bearer token; and not as JSON."""
    _, by_address, _ = await visitor("GET", f"/?token={api.admin}")
    _, by_field, _ = await visitor("GET", "/", Authorization=f"Bearer {api.admin}")
    status, _, _ = await visitor(
        "POST", "/login", json.dumps({"token": api.admin}), Content_Type="application/json"
    )

    assert "Recent deployments" not in by_address.text + by_field.text
    assert status == 415


async def test_a_session_opens_nothing_but_the_page(api, visitor):
    """The API wants its token."""
    await visitor.log_in(api.admin)

    for method, path in (("GET", "/v1/status"), ("POST", "/v1/purge"), ("GET", "/v1/tokens")):
        assert (await visitor(method, path))[0] == 401


async def test_guessing_is_slowed_down(api, visitor, monkeypatch):
    """As with bearer tokens, and counted together."""
    monkeypatch.setattr("edge.control.admission.is_local", lambda _: False)
    for _ in range(TRIES // 2):
        await visitor.log_in("wrong")
        await visitor("GET", "/v1/status", Authorization="Bearer wrong")

    status, read, _ = await visitor.log_in(api.admin)

    assert (status, "too many wrong tokens" in read.text) == (429, True)
    assert visitor.cookies == []


async def test_a_scoped_token_sees_its_app(api, visitor):
    """And asks about its own hosts; the log has its name."""
    reader = await api.make(may=["read"], name="shop's people")
    _, read, _ = await visitor.log_in(reader.token)
    assert "this token may read app shop" in read.text
    assert "blog" not in read.text
    _, other, _ = await visitor("GET", "/?app=blog")
    assert "secret" not in other.text
    assert "Nothing was deployed yet" in other.text

    status, asked, _ = await visitor(
        "POST", "/explain", {"url": "http://main.blog.edge.localhost/"}
    )
    own, _, _ = await visitor("POST", "/explain", {"url": "http://main.shop.edge.localhost/"})

    assert (status, own) == (403, 200)
    assert "and nothing else" in asked.text
    assert "shop's people" in str(await last_noted(api, "page-explain"))


async def test_a_token_without_read_is_not_let_in(api, visitor):
    """403, with what it is for."""
    deployer = await api.make(may=["deploy"])
    status, read, _ = await visitor.log_in(deployer.token)

    assert (status, visitor.cookies) == (403, [])
    assert "this token may deploy app shop" in read.text


async def test_a_session_ends_with_its_token(api, visitor):
    """At the next request."""
    reader = await api.make(may=["read"])
    await visitor.log_in(reader.token)
    await api("DELETE", f"/v1/tokens/{reader.token.split('_')[1]}")

    _, read, _ = await visitor("GET", "/")

    assert [each["action"] for each in read.all("form")] == ["/login"]


@pytest.mark.parametrize("path", ["/login", "/logout", "/explain"])
@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8080"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"},
    ],
)
async def test_forms_of_other_pages_are_refused(api, visitor, path, fields):
    """Whoever is logged in stays so."""
    await visitor.log_in(api.admin)
    status, _, _ = await visitor("POST", path, {"token": api.admin, "url": "x"}, **fields)
    _, read, _ = await visitor("GET", "/")

    assert status == 403
    assert "Recent deployments" in read.text


@pytest.mark.parametrize(
    ("destination", "status"), [("document", 200), ("iframe", 403), ("empty", 403)]
)
async def test_a_link_to_the_page_works(visitor, destination, status):
    """From a wiki or a mail; nothing else of another site does."""
    found, _, _ = await visitor(
        "GET",
        "/",
        Sec_Fetch_Site="cross-site",
        Sec_Fetch_Mode="navigate",
        Sec_Fetch_Dest=destination,
    )

    assert found == status


async def test_another_host_is_refused(visitor):
    """A name that somebody else points here (DNS rebinding)."""
    assert (await visitor("GET", "/", Host="evil.example"))[0] == 421


async def test_every_page_has_its_policy(api, visitor):
    """The very one that its style needs; redirects too."""
    answers = [await visitor("GET", "/"), await visitor.log_in(api.admin, follow=False)]
    answers += [await visitor("GET", "/"), await visitor("POST", "/explain", {"url": "nope"})]

    for _, _, response in answers:
        assert FIELDS.items() <= dict(response.headers).items()
        assert response.headers["Server"] == "edge"
    text = await fetch(visitor, "/")
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert hash_of(style) in answers[2][2].headers["Content-Security-Policy"]
    assert " style=" not in text


async def fetch(visitor, path):
    """A page as it is sent."""
    async with visitor.session.get(visitor.base + path) as response:
        return await response.text()


async def test_a_question_that_is_none_is_told(api, visitor):
    """At the form, with what was asked."""
    await visitor.log_in(api.admin)
    status, read, _ = await visitor("POST", "/explain", {"url": "ftp://<x>/", "country": "QQ"})

    assert status == 400
    assert "QQ" in read.text
    assert {"value": "ftp://<x>/"}.items() <= read.all("input")[0].items()


@pytest.mark.parametrize(
    ("data", "status"), [(b"a=" + b"x" * 20_000, 413), (b"token=%ff", 400), (b"a&" * 40, 400)]
)
async def test_a_form_that_is_none_is_refused(visitor, data, status):
    """Before it is read where it is too large."""
    assert (await visitor("POST", "/login", data, **FORM_FIELDS))[0] == status


FORM_FIELDS = {"Content_Type": FORM["Content-Type"]}


async def test_a_form_says_how_long_it_is(visitor):
    """Nobody makes us keep what has no end."""

    async def endless():
        yield b"token=x"

    assert (await visitor("POST", "/login", endless(), **FORM_FIELDS))[0] == 413


async def test_the_page_changes_nothing(api, visitor):
    """There is no form for that, and no path takes one."""
    await visitor.log_in(api.admin)
    _, read, _ = await visitor("GET", "/")

    assert [each["action"] for each in read.all("form")] == ["/logout", "/", "/explain"]
    for path in ("/", "/?app=shop"):
        assert (await visitor("POST", path, {"a": "b"}))[0] == 405


async def test_over_a_unix_socket(tmp_path):
    """`ssh -L 9901:/run/edge.sock`: a page of this machine logs in, others do not."""
    path = tmp_path / "a.sock"
    connector = aiohttp.UnixConnector(str(path))
    async with (
        serving_admin(tmp_path / "node", address=f"unix:{path}"),
        aiohttp.ClientSession(connector=connector) as session,
    ):
        token = (tmp_path / "node" / "var" / "admin.token").read_text().strip()
        found = []
        for host, origin in (
            ("localhost:9901", "http://localhost:9901"),
            ("localhost:9901", "http://localhost:8080"),
            ("evil.example:9901", "http://evil.example:9901"),
        ):
            async with session.post(
                "http://x/login",
                data={"token": token},
                headers={"Host": host, "Origin": origin},
                allow_redirects=False,
            ) as response:
                found.append(response.status)

    assert found == [303, 403, 403]
