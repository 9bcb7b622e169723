"""What people ask about requests: every form of a question, and every refusal of one."""

from __future__ import annotations

import aiohttp
import msgspec
import pytest

from edge.control import questions
from edge.control.announcements import Malformed
from edge.control.questions import ask
from edge.errors import Mistaken
from tests.support_control import new_store, publish, serving_admin

RULES = [
    {"source": "/old", "target": "/new", "status": "301"},
    {"source": "/de", "target": "/deutsch", "status": "302", "condition": "<DE>"},
    {"source": "/<*>", "target": "/index.html", "status": "fallback"},
]
FILES = ["index.html", "/about.html", "docs/index.html"]
SERVED = "main.shop.edge.localhost"


@pytest.fixture
def changes(tmp_path):
    """A node with one app."""
    changes = new_store(tmp_path)
    publish(changes, "shop", "main", {"index.html": "hello", "about.html": "about"})
    return changes


@pytest.fixture
def answer(changes):
    """The trail of a question."""

    def answer(question):
        body = question if isinstance(question, bytes) else msgspec.json.encode(question)
        return ask(body, changes.rehearsals, changes.fleet.stored)

    return answer


# What serves


@pytest.mark.parametrize(
    "url",
    [
        f"https://{SERVED}/about?a=b",
        f"http://{SERVED}/about?a=b",
        f"HTTP://{SERVED}/about?a=b",
        f"{SERVED}/about?a=b",
        f"  {SERVED}/about?a=b\n",
        f"{SERVED}/about?a=b#part/of?it",
        f"{SERVED}:8080/about?a=b",
        f"{SERVED.upper()}/about?a=b",
        f"{SERVED}/%61bout?a=b",
    ],
)
def test_a_url_in_any_spelling(answer, url):
    """With a scheme or without; what a browser keeps to itself is left out."""
    trail = answer({"request": url})

    assert (trail["app"], trail["status"], trail["file"]) == ("shop", 200, "/about.html")
    assert trail["url"].partition("/")[2] in ("about?a=b", "%61bout?a=b")


@pytest.mark.parametrize(
    ("tail", "target"),
    [
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("?u=http://x/y", "/?u=http://x/y"),
        ("#part", "/"),
        ("#part?no/path", "/"),
        ("?", "/?"),
        ("/?", "/?"),
        ("/a?b?c", "/a?b?c"),
        ("//a", "//a"),
        ("/a//http://b", "/a//http://b"),
    ],
)
def test_where_a_path_begins(answer, tail, target):
    """A URL may have a query and no path, and a second URL in either."""
    assert answer({"request": f"https://{SERVED}{tail}"})["url"] == SERVED + target


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/é", "/%C3%A9"),
        ("/a b", "/a%20b"),
        ("/a?q=ü b", "/a?q=%C3%BC%20b"),
        ("/\tx", "/%09x"),
        ("/%C3%A9%20", "/%C3%A9%20"),
        ("/%zz", "/%zz"),
        ("/<a>'\"|", "/<a>'\"|"),
        ("/🙂", "/%F0%9F%99%82"),
    ],
)
def test_what_no_request_can_hold_is_percent_encoded(answer, path, target):
    """As a browser does it; what is encoded already stays."""
    assert answer({"request": SERVED + path})["url"] == SERVED + target


def test_the_parts_of_a_request(answer):
    """Method, country and fields, as an object."""
    trail = answer(
        {
            "request": {
                "url": f"{SERVED}/about",
                "method": "POST",
                "country": "de",
                "headers": {"X-A": " b ", "Accept": "text/html"},
            }
        }
    )

    assert (trail["method"], trail["country"], trail["status"]) == ("POST", "DE", 405)


def test_text_and_object_are_the_same_question(answer):
    """A request that is only a URL may be written as one."""
    url = f"{SERVED}/about"

    assert answer({"request": url}) == answer({"request": {"url": url}})
    assert answer({"request": url}) == answer({"request": url, "rules": None, "files": []})


def test_a_header_host_counts_as_with_curl(answer):
    """The URL may be the node's own address."""
    asked = {"url": "http://127.0.0.1:8080/about", "headers": {"HOST": f"{SERVED}:8080"}}
    trail = answer({"request": asked})

    assert (trail["app"], trail["url"]) == ("shop", f"{SERVED}:8080/about")


def test_what_the_node_would_refuse_is_an_answer(answer):
    """400 is what becomes of such a request, and the trail says why."""
    for url in ("a b/", f"{SERVED}/%zz", f"{SERVED}/..", "user@x.example/", "x:99999/"):
        trail = answer({"request": url})
        assert (trail["status"], trail["steps"][0][:23]) == (400, "the request is refused:")


def test_a_question_changes_nothing(changes, answer):
    """Not the generation, nor a file of the state folder."""
    state = sorted(path for path in changes._places.state.rglob("*"))
    number = changes.generations.current().number

    answer({"request": f"{SERVED}/"})
    answer({"request": "/", "rules": RULES, "files": FILES})

    assert changes.generations.current().number == number
    assert sorted(path for path in changes._places.state.rglob("*")) == state


# Rules given along


@pytest.mark.parametrize(
    ("request_", "status", "place"),
    [
        ("/old?a=1", 301, "/new?a=1"),
        ("/about", 200, "/about.html"),
        ("/docs", 301, "/docs/"),
        ("/none", 200, "/index.html"),
        ("/none.js", 404, None),
        ({"url": "/de", "country": "DE"}, 302, "/deutsch"),
        ({"url": "/de"}, 200, "/index.html"),
        ("https://any.example/old", 301, "/new"),
        ("bücher.example/old", 301, "/new"),
        ("[2001:db8::1]:80/old", 301, "/new"),
    ],
)
def test_rules_and_files_may_be_given(answer, request_, status, place):
    """They are asked alone, of any host; a path is enough."""
    trail = answer({"request": request_, "rules": RULES, "files": FILES})

    assert (trail["status"], trail["location"] or trail["file"]) == (status, place)
    assert trail["app"] == "inline"


def test_rules_without_files(answer):
    """There is nothing but what they say."""
    assert answer({"request": "/old", "rules": RULES})["location"] == "/new"
    assert answer({"request": "/about", "rules": []})["status"] == 404


def test_files_are_names_without_content(answer):
    """What is told of them is told all the same."""
    trail = answer({"request": "/about.html", "rules": [], "files": FILES})

    assert (trail["file"], trail["lifetime"]) == ("/about.html", 600)


def test_rules_of_a_host(answer):
    """The host of the URL is the one that domain rules ask about."""
    rules = [{"source": "https://one.example", "target": "https://www.one.example"}]

    found = [answer({"request": f"{host}.example/a", "rules": rules}) for host in ("one", "two")]

    assert [trail["location"] for trail in found] == ["https://www.one.example/a", None]


def test_what_serves_has_no_part_in_rules_that_are_given(answer):
    """Not even the host's own files."""
    assert answer({"request": f"{SERVED}/about", "rules": []})["status"] == 404


def test_mistakes_in_rules_have_places(answer):
    """All of them, as in a file."""
    rules = b'[{"source": "/a", "target": "/<x>"},\n {"source": "/b", "status": "999"}]'

    with pytest.raises(Mistaken) as caught:
        answer(b'{"request": "/", "rules": ' + rules + b"}")

    places = [(each.file, each.line, each.column) for each in caught.value.errors]
    assert places == [("rules.json", 1, 19), ("rules.json", 2, 2), ("rules.json", 2, 19)]
    assert caught.value.errors[0].hint == "the source captures nothing"


# Refusals


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (b"", "Input data was truncated"),
        (b"nonsense", "JSON is malformed"),
        (b"\xff", "JSON is malformed"),
        (b'{"request": "\xff"}', "can't decode byte 0xff"),
        (b'{"request": "/", "rules": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion depth"),
        ([], "Expected `object`, got `array`"),
        ({}, "missing required field `request`"),
        ({"request": 5}, "Expected `str | object`, got `int`"),
        ({"request": None}, "Expected `str | object`, got `null`"),
        ({"request": {}}, "missing required field `url`"),
        ({"request": {"url": 5}}, "Expected `str`, got `int` - at `$.request.url`"),
        ({"request": {"url": "x", "nope": 1}}, "unknown field `nope`"),
        ({"request": {"url": "x", "headers": {"a": 1}}}, "Expected `str`, got `int`"),
        ({"request": "x", "nope": 1}, "unknown field `nope`"),
        (
            {"request": "/", "rules": [], "files": [1]},
            "Expected `str`, got `int` - at `$.files[0]`",
        ),
    ],
)
def test_what_is_no_question(answer, question, reason):
    """What is wrong, where, and what a question looks like."""
    with pytest.raises(Malformed) as caught:
        answer(question)

    assert reason in str(caught.value)
    assert str(caught.value).endswith(questions.FORM)


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ({"request": ""}, "'' is no URL: write https://host/path"),
        ({"request": "  "}, "'  ' is no URL: write https://host/path"),
        ({"request": "/only/a/path"}, "'/only/a/path' is no URL: write https://host/path"),
        ({"request": "//x/y"}, "'//x/y' is no URL: write https://host/path"),
        ({"request": "ftp://x/y"}, "'ftp://x/y' is no URL: write https://host/path"),
        ({"request": "https:/x/y"}, "'https:/x/y' is no URL: write https://host/path"),
        ({"request": "https:///y"}, "'https:///y' is no URL: write https://host/path"),
        ({"request": "https://?q"}, "'https://?q' is no URL: write https://host/path"),
        ({"request": "?q"}, "'?q' is no URL: write https://host/path"),
        (
            {"request": {"url": "x", "country": "XX"}},
            "'XX' is no country: write a code such as US",
        ),
        ({"request": {"url": "x", "country": ""}}, "'' is no country: write a code such as US"),
        (
            {"request": {"url": "x", "country": "deutschland" * 9}},
            "'DEUTSCHLANDDEUTSCHLA' is no country: write a code such as US",
        ),
        (
            {"request": {"url": "x", "method": "G T"}},
            "'G T' is no method: write GET, HEAD, POST …",
        ),
        ({"request": {"url": "x", "method": ""}}, "'' is no method: write GET, HEAD, POST …"),
        ({"request": {"url": "x", "method": "É"}}, "'É' is no method: write GET, HEAD, POST …"),
        (
            {"request": {"url": "x", "headers": {"a b": "c"}}},
            "'a b' is no header: write 'Name: value'",
        ),
        ({"request": {"url": "x", "headers": {"": "c"}}}, "'' is no header: write 'Name: value'"),
        (
            {"request": {"url": "x", "headers": {"a": "b\r\nc: d"}}},
            "'a' is no header: write 'Name: value'",
        ),
        (
            {"request": "x", "files": ["a"]},
            "files go with rules: send both, or neither to ask what serves",
        ),
        ({"request": "a b/", "rules": []}, "the authority is not a host name"),
        ({"request": "[::1/", "rules": []}, "the authority is not an IPv6 address in brackets"),
        (
            {"request": "/", "rules": [], "files": ["a/../b"]},
            "'a/../b': contains a '..' segment",
        ),
    ],
)
def test_questions_that_cannot_be_asked(answer, question, reason):
    """One sentence that says what to write."""
    with pytest.raises(Malformed) as caught:
        answer(question)

    assert str(caught.value) == reason


def test_a_question_has_its_bounds(answer, monkeypatch):
    """Files are names; more than any deployment has are refused."""
    monkeypatch.setattr(questions, "MAX_FILES", 2)

    assert answer({"request": "/", "rules": [], "files": ["a", "b"]})["status"] == 404
    with pytest.raises(Malformed, match="there are more than 2 files"):
        answer({"request": "/", "rules": [], "files": ["a", "b", "c"]})


# Over the admin API


@pytest.fixture
async def post(tmp_path):
    """POST /v1/explain to a new node: (status, document)."""
    async with serving_admin(tmp_path) as (_, address):
        token = (tmp_path / "var" / "admin.token").read_text().strip()
        async with aiohttp.ClientSession(f"http://{address}") as session:

            async def post(question, **fields):
                headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
                headers |= {name.replace("_", "-"): value for name, value in fields.items()}
                body = question if isinstance(question, bytes) else msgspec.json.encode(question)
                async with session.post("/v1/explain", data=body, headers=headers) as response:
                    return response.status, await response.json(content_type=None)

            yield post


async def test_the_api_answers_with_the_trail(post):
    """200, whatever the trail says."""
    status, trail = await post({"request": "/old", "rules": RULES, "files": FILES})
    assert (status, trail["status"], trail["location"]) == (200, 301, "/new")

    status, trail = await post({"request": "https://nobody.example/"})
    assert (status, trail["status"], trail["app"]) == (200, 404, None)


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic dGVhbTp4"])
async def test_the_api_wants_its_token(post, authorization):
    """What rules there are is nobody's business."""
    status, problem = await post({"request": "x"}, Authorization=authorization)

    assert (status, problem["status"]) == (401, 401)
    assert "admin.token_file" in problem["detail"]


@pytest.mark.parametrize(
    ("question", "detail"),
    [
        (b"nonsense", "JSON is malformed"),
        ({"request": "ftp://x"}, "'ftp://x' is no URL: write https://host/path"),
        ({"request": "/", "rules": [], "files": ["../x"]}, "'../x': "),
    ],
)
async def test_the_api_says_what_is_no_question(post, question, detail):
    """400, as a problem document."""
    status, problem = await post(question)

    assert (status, problem["title"]) == (400, "Bad Request")
    assert problem["detail"].startswith(detail)


async def test_the_api_wants_json(post):
    """A form of a foreign page is none."""
    status, _ = await post({"request": "x"}, Content_Type="text/plain")

    assert status == 415


async def test_the_api_locates_mistakes_in_rules(post):
    """422, with the same keys as a refused reload."""
    rules = [{"source": "/a", "target": "/<x>"}]
    status, problem = await post({"request": "/", "rules": rules})

    assert (status, problem["detail"]) == (422, "1 mistake in the configuration")
    assert problem["errors"] == [
        {
            "file": "rules.json",
            "line": 1,
            "column": 17,
            "message": "[0].target: unknown placeholder <x>",
            "hint": "the source captures nothing",
        }
    ]
