"""Archives fetched from real servers: HTTP, and enough of S3 for a GET."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading

import pytest
from aiohttp import web

from edge.control.downloads import download, is_address, public_name
from edge.errors import StoreError

CONTENT = bytes(range(256)) * 4096


async def serve_content(_request):
    """A megabyte."""
    return web.Response(body=CONTENT)


async def serve_labeled(_request):
    """A gzip that the server calls an encoding of something else."""
    return web.Response(body=b"\x1f\x8b gzip", headers={"Content-Encoding": "gzip"})


async def serve_unending(request):
    """Chunks without end and without a length."""
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(CONTENT)
    except ConnectionError:
        return response


async def serve_cut(request):
    """Less than promised."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"x" * 10)
    request.transport.close()
    return response


async def redirect(request):
    """So many redirects, then the megabyte."""
    left = int(request.match_info["left"])
    raise web.HTTPFound(f"/hop/{left - 1}" if left else "/site.zip")


async def serve_status(request):
    """The status that the path asks for, with a body that says secret things."""
    return web.Response(status=int(request.match_info["status"]), text="<Error>secret</Error>")


@pytest.fixture(scope="module")
def origin():
    """The address of a server with all of the above, in a thread of its own."""
    app = web.Application()
    app.router.add_get("/site.zip", serve_content)
    app.router.add_get("/bucket/deep/site.zip", serve_content)
    app.router.add_get("/labeled", serve_labeled)
    app.router.add_get("/unending", serve_unending)
    app.router.add_get("/cut", serve_cut)
    app.router.add_get("/hop/{left}", redirect)
    app.router.add_get("/status/{status}", serve_status)
    app.router.add_get("/bucket/{status}.zip", serve_status)
    with serving(app) as address:
        yield address


@contextlib.contextmanager
def serving(app, context=None):
    """An application behind a real socket, in a thread of its own."""
    runner = web.AppRunner(app)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http{'s' if context else ''}://127.0.0.1:{runner.addresses[0][1]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(runner.cleanup())
    loop.close()


@pytest.fixture
def bucket(origin, monkeypatch):
    """The environment of a deployer whose S3 is the server; nothing of the machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", origin)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return "s3://bucket"


def fetch(source, tmp_path, limit=2 * 1024**2):
    """What arrives, and what the listener heard."""
    heard = []
    download(source, tmp_path / "archive", limit, heard.append)
    return (tmp_path / "archive").read_bytes(), heard


@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        ("https://example.com/site.zip", True),
        ("HTTP://example.com", True),
        ("s3://bucket/key.zip", True),
        ("ftp://example.com/x", True),
        ("dist", False),
        ("./http:/x", False),
        ("C:\\site", False),
        ("site.zip", False),
    ],
)
def test_addresses_are_told_from_paths(source, verdict):
    """A scheme and two slashes make an address."""
    assert is_address(source) is verdict


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("https://example.com/site.zip", "https://example.com/site.zip"),
        ("https://me:pass@example.com:1/x?token=1#y", "https://example.com:1/x"),
        ("https://me:p@ss@example.com/x", "https://example.com/x"),
        ("https://example.com?token=1", "https://example.com"),
        ("s3://bucket/key.zip", "s3://bucket/key.zip"),
        ("folder/a?b#c", "folder/a?b#c"),
    ],
)
def test_messages_carry_no_secrets(source, name):
    """User, password, query and fragment are left out of an address."""
    assert public_name(source) == name


def test_an_archive_arrives_by_http(origin, tmp_path):
    """Byte for byte, and the listener hears the bytes so far."""
    data, heard = fetch(f"{origin}/site.zip", tmp_path)

    assert data == CONTENT
    assert heard == sorted(heard)
    assert heard[-1] == len(CONTENT)


def test_an_encoding_is_part_of_the_archive(origin, tmp_path):
    """A .tar.gz that is labeled `Content-Encoding: gzip` is not unpacked on the way."""
    assert fetch(f"{origin}/labeled", tmp_path)[0] == b"\x1f\x8b gzip"


def test_five_redirects_are_followed(origin, tmp_path):
    """The sixth is refused."""
    assert fetch(f"{origin}/hop/4", tmp_path)[0] == CONTENT
    (tmp_path / "archive").unlink()

    with pytest.raises(StoreError, match="redirects over 5 times"):
        fetch(f"{origin}/hop/5", tmp_path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/status/404?token=1", "answered 404 Not Found; check the address"),
        ("/status/500", "answered 500"),
        ("/status/204", "answered 204"),
        ("/status/206", "answered 206"),
        ("/cut", "ended early"),
    ],
)
def test_a_failed_download_says_why(origin, tmp_path, path, reason):
    """Any status but 200, and an answer that ends early, are refused without the address."""
    with pytest.raises(StoreError, match=reason) as refusal:
        fetch(origin + path, tmp_path)

    assert "token" not in str(refusal.value)


@pytest.mark.parametrize("path", ["/site.zip", "/unending"])
def test_a_download_is_bounded(origin, tmp_path, path):
    """With a length at once, without one when the bytes have come; the file stays small."""
    with pytest.raises(StoreError, match=r"over 100000 bytes; raise limits.archive_bytes"):
        fetch(origin + path, tmp_path, limit=100_000)

    assert (tmp_path / "archive").stat().st_size <= 100_000


def test_nobody_listens(tmp_path):
    """A refused connection names the host and the reason."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        with pytest.raises(StoreError, match=r"no connection to 127\.0\.0\.1 .*refused"):
            fetch(f"http://127.0.0.1:{port}/x", tmp_path)


def test_an_unknown_host(tmp_path):
    """A name that does not resolve is named; `.invalid` never does (RFC 6761)."""
    with pytest.raises(StoreError, match=r"no connection to edge\.invalid \(.+\); check"):
        fetch("http://edge.invalid/x", tmp_path)


@pytest.fixture(scope="module")
def secure(origin, tmp_path_factory):
    """A TLS server that redirects to the plain one, and the certificate that it made itself."""
    certificate = tmp_path_factory.mktemp("tls") / "pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout pem -out pem.crt"
    )
    subprocess.run(command.split(), cwd=certificate.parent, check=True, capture_output=True)

    async def to_plain(_request):
        raise web.HTTPFound(f"{origin}/site.zip")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{certificate}.crt", certificate)
    app = web.Application()
    app.router.add_get("/", to_plain)
    with serving(app, context) as address:
        yield address, f"{certificate}.crt"


def test_a_certificate_that_nobody_knows(secure, tmp_path):
    """It is refused, naming the host."""
    with pytest.raises(StoreError, match=r"127\.0\.0\.1 is not trusted"):
        fetch(secure[0], tmp_path)


def test_an_encrypted_download_stays_encrypted(secure, tmp_path):
    """A redirect from https to http is refused, before its content is kept."""
    address, trusted = secure
    script = (
        "import sys, pathlib; from edge.control.downloads import download;"
        "download(sys.argv[1], pathlib.Path(sys.argv[2]), 1 << 21, print)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, address, tmp_path / "archive"],
        env={**os.environ, "SSL_CERT_FILE": trusted},  # read when aiohttp is imported
        capture_output=True,
        text=True,
        check=False,
    )

    assert "StoreError: it redirects from https to http" in run.stderr
    assert (tmp_path / "archive").stat().st_size == 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("ftp://example.com/x", "ftp:// is not supported"),
        ("file:///etc/passwd", "file:// is not supported"),
        ("http://", "malformed"),
        ("http://127.0.0.1:99999/x", "malformed"),
        ("s3://bucket", "names no object"),
        ("s3:///key", "names no object"),
    ],
)
def test_what_is_no_usable_address(tmp_path, source, reason):
    """Said before anything is sent."""
    with pytest.raises(StoreError, match=reason):
        fetch(source, tmp_path)


def test_an_object_arrives_from_s3(bucket, tmp_path):
    """Byte for byte, under its whole key, and the listener hears the bytes so far."""
    data, heard = fetch(f"{bucket}/deep/site.zip", tmp_path)

    assert data == CONTENT
    assert heard[-1] == len(CONTENT)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("404.zip", r"no such object \(404\).*AWS_REGION"),
        ("403.zip", r"access is denied \(403\).*s3:GetObject"),
        ("401.zip", r"not accepted \(401\)"),
        ("400.zip", r"400 Bad Request"),
        ("a//b.zip", r"empty path segment"),
    ],
)
def test_s3_refuses(bucket, tmp_path, key, reason):
    """The status and what to do about it, on one line."""
    with pytest.raises(StoreError, match=reason) as refusal:
        fetch(f"{bucket}/{key}", tmp_path)

    assert "\n" not in str(refusal.value)


def test_an_object_is_bounded(bucket, tmp_path):
    """One that is larger than allowed is refused before it travels."""
    with pytest.raises(StoreError, match="over 1000 bytes"):
        fetch(f"{bucket}/deep/site.zip", tmp_path, limit=1000)

    assert (tmp_path / "archive").stat().st_size == 0


def test_s3_without_credentials_asks_nobody(bucket, tmp_path, monkeypatch):
    """The link-local metadata service is not called unless the operator names it."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(StoreError, match=r"no credentials.*AWS_SKIP_SIGNATURE=true"):
        fetch(f"{bucket}/deep/site.zip", tmp_path)


def test_a_public_bucket_needs_no_credentials(bucket, tmp_path, monkeypatch):
    """AWS_SKIP_SIGNATURE fetches without a signature."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")

    assert fetch(f"{bucket}/deep/site.zip", tmp_path)[0] == CONTENT


def test_s3_in_the_clear_must_be_allowed(bucket, tmp_path, monkeypatch):
    """An http endpoint without AWS_ALLOW_HTTP is refused with that hint."""
    monkeypatch.delenv("AWS_ALLOW_HTTP")

    with pytest.raises(StoreError, match="AWS_ALLOW_HTTP=true"):
        fetch(f"{bucket}/deep/site.zip", tmp_path)
