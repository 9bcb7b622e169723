"""The admin API from outside: what the client does when things go wrong."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import io
import socket
import threading

import pytest

from edge.control import client as module
from edge.control.client import Client, Refusal, Unreachable, branch_path, connect, exactly
from edge.errors import EdgeError, StoreError
from tests.support import free_port
from tests.support_control import serving_admin, sha256, write_app


@pytest.fixture
async def node(tmp_path):
    """A node's folder and the address of its API."""
    settings = "limits: {blob_bytes: 1MiB}\n"
    async with serving_admin(tmp_path / "node", settings) as (_, address):
        yield tmp_path / "node", address


@pytest.fixture
def open_client():
    """Makes clients that are closed after the test."""
    clients = []

    def make(address, token="t"):
        clients.append(Client(address, token))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


@pytest.fixture
def stranger():
    """An HTTP server that is no node: (its address, what it answers with by path)."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self):
            status, content = answers.get(self.path, (404, b"<h1>Not Found</h1>"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = respond  # noqa: N815  (http.server's names)

        def log_message(self, *_):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", answers
    server.shutdown()
    thread.join()
    server.server_close()


def token_of(folder):
    """The admin token of a node."""
    return (folder / "var" / "admin.token").read_text().strip()


async def test_calls_answer_with_documents(node, open_client):
    """As the API sends them; one connection serves several calls."""
    folder, address = node
    client = open_client(address, token_of(folder))

    def use():
        return client.status()["generation"], client.reload(), client.purge({"all": True})

    assert await asyncio.to_thread(use) == (
        1,
        {"generation": 1, "changed": [], "warnings": []},
        {"purged": 0},
    )
    assert len(client._connections) == 1


async def test_hostnames_of_an_app(node, open_client):
    """Its name is encoded in the query; without one all are asked about."""
    folder, address = node
    client = open_client(address, token_of(folder))

    assert (await asyncio.to_thread(client.domains))["hosts"] == []
    with pytest.raises(Refusal, match="there is no app a&b=c"):
        await asyncio.to_thread(client.domains, "a&b=c")


async def test_a_refusal_is_the_nodes_own_words(node, open_client):
    """Its problem document, its text, and the located mistakes of a reload."""
    folder, address = node
    client = open_client(address, token_of(folder))
    write_app(folder, "bad", "nope: 1\n")

    with pytest.raises(Refusal, match="1 mistake in") as refused:
        await asyncio.to_thread(client.reload)

    (mistake,) = refused.value.mistakes()
    assert str(mistake).startswith("rules/bad/app.yml:1:1: unknown key 'nope'")
    assert refused.value.document["kept"] == ["bad"]


async def test_a_wrong_token_is_a_refusal(node, open_client):
    """It says which token is meant, and does not repeat the wrong one."""
    _, address = node

    with pytest.raises(Refusal, match=r"admin.token_file") as refused:
        await asyncio.to_thread(open_client(address, "wrong-token").status)

    assert "wrong-token" not in str(refused.value)


async def test_a_refused_upload_is_told(node, open_client, tmp_path):
    """Also when the node hangs up before it has read all of it; the next call works."""
    folder, address = node
    client = open_client(address, token_of(folder))
    content = b"x" * (8 << 20)
    (tmp_path / "blob").write_bytes(content)

    def send():
        with (tmp_path / "blob").open("rb") as file:
            client.put_blob(sha256(content), file)

    with pytest.raises(Refusal, match=r"limits.blob_bytes"):
        await asyncio.to_thread(send)
    assert (await asyncio.to_thread(client.status))["generation"] == 1


async def test_a_connection_that_the_node_has_ended_is_opened_again(open_client):
    """Between two calls another version took over, and the old one closed what was idle."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        client = open_client(f"127.0.0.1:{listener.getsockname()[1]}")

        def answer():
            for _ in range(2):
                accepted, _ = listener.accept()
                with accepted, accepted.makefile("rb") as file:
                    while file.readline().strip():
                        pass
                    accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        answering = asyncio.get_running_loop().run_in_executor(None, answer)
        assert await asyncio.to_thread(client.status) == {}
        assert await asyncio.to_thread(client.status) == {}
        await answering


async def test_a_connection_that_ends_with_the_request_is_opened_again(open_client):
    """As it may happen at any moment: a question is asked again, a change is not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        client = open_client(f"127.0.0.1:{listener.getsockname()[1]}")

        def answer():
            for times in (1, 1, 0):
                accepted, _ = listener.accept()
                with accepted, accepted.makefile("rb") as file:
                    for _ in range(times):
                        read_head(file)
                        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    request = read_head(file)  # which is not answered
            return request

        answering = asyncio.get_running_loop().run_in_executor(None, answer)
        assert await asyncio.to_thread(client.status) == {}
        assert await asyncio.to_thread(client.status) == {}
        with pytest.raises(Unreachable):
            await asyncio.to_thread(client.revoke_token, "x")
        with pytest.raises(Unreachable):
            await asyncio.to_thread(client.status)
        assert (await answering).startswith(b"GET ")


def read_head(file):
    """The first line of a request, read to its end."""
    lines = []
    while line := file.readline().strip():
        lines.append(line)
    return lines[0] if lines else b""


async def test_a_connection_that_was_silent_is_not_used_again(node, open_client, monkeypatch):
    """The node may have closed it while a large folder was read."""
    folder, address = node
    client = open_client(address, token_of(folder))
    await asyncio.to_thread(lambda: client.status() and client._connections[0].sock.close())
    monkeypatch.setattr(module, "KEEP_ALIVE", -1.0)

    def use():
        client.status()
        client._connections[-1].sock.shutdown(socket.SHUT_RDWR)
        return client.status()["generation"]

    assert await asyncio.to_thread(use) == 1


async def test_over_a_unix_socket(tmp_path, open_client):
    """The same calls."""
    path = tmp_path / "edge.sock"
    async with serving_admin(tmp_path / "node", address=f"unix:{path}"):
        client = open_client(f"unix:{path}", token_of(tmp_path / "node"))
        reachable = await asyncio.to_thread(client.is_reachable)
        status = await asyncio.to_thread(client.status)
        client.close()

    assert (reachable, status["generation"]) == (True, 1)


async def test_a_node_is_reachable(node, open_client):
    """Without a token, for it is not asked for one."""
    assert await asyncio.to_thread(open_client(node[1]).is_reachable)


def test_where_nobody_listens_is_no_node(open_client, tmp_path):
    """Neither at a port nor at a socket."""
    for address in (f"127.0.0.1:{free_port()}", f"unix:{tmp_path}/gone.sock"):
        client = open_client(address)
        assert not client.is_reachable()
        with pytest.raises(Unreachable, match=f"the node at {address} does not answer: "):
            client.status()


def test_a_stranger_is_no_node(open_client, stranger):
    """Something else listens at the address."""
    address, answers = stranger
    client = open_client(address)
    assert not client.is_reachable()

    with pytest.raises(Refusal, match="the node answered 404"):
        client.status()
    answers["/v1/status"] = (200, b"<h1>hello</h1>")
    with pytest.raises(Unreachable, match="is no edge node"):
        client.status()


def test_a_listener_that_never_answers_is_no_node(open_client, monkeypatch):
    """The question has a deadline of its own."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not open_client(f"127.0.0.1:{silent.getsockname()[1]}").is_reachable()


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("127.0.0.1:9901", "127.0.0.1", 9901),
        ("[::1]:9901", "::1", 9901),
        ("http://localhost:9901", "localhost", 9901),
        ("node.example:9901", "node.example", 9901),
        ("https://node.example", "node.example", 443),
        ("https://node.example:9901/", "node.example", 9901),
    ],
)
def test_addresses(address, host, port):
    """As edge.yml writes them, and as URLs."""
    connection = connect(address)

    assert (connection.host, connection.port) == (host, port)
    is_secure = isinstance(connection, http.client.HTTPSConnection)
    assert is_secure is ("node" in address)


def test_a_token_travels_to_other_machines_by_tls_alone():
    """What was meant is written as it has to be."""
    with pytest.raises(EdgeError, match="does not travel in clear text; write https://"):
        connect("http://node.example:9901")


@pytest.mark.parametrize(
    "address", ["", "ftp://x", "https://", "http://a:b", "http://[::1", "https:///x", "a:99999"]
)
def test_what_is_no_address_is_refused(address):
    """With an example."""
    with pytest.raises(EdgeError, match=r"is no node; write https://node.example:9901"):
        connect(address)


def test_a_file_is_sent_exactly():
    """What was announced and no more; a file that shrank is an error and not a wait."""
    assert b"".join(exactly(3, io.BytesIO(b"abc"))) == b"abc"
    assert b"".join(exactly(3, io.BytesIO(b"abcd"))) == b"abc"
    assert list(exactly(0, io.BytesIO(b""))) == []
    with pytest.raises(StoreError, match="changed while it was sent"):
        list(exactly(4, io.BytesIO(b"abc")))


def test_the_path_of_a_branch():
    """Encoded whole; a name that would lead elsewhere is not sent."""
    assert branch_path("shop", "feature/x?#%") == "/v1/apps/shop/branches/feature%2Fx%3F%23%25"
    for branch in ("..", "."):
        with pytest.raises(StoreError, match="is no branch name"):
            branch_path("shop", branch)
