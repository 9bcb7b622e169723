"""Manifests: lines on the disk, files in memory, and names that say what they hold."""

from __future__ import annotations

import random
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.site.manifest import (
    BLOCK,
    RESERVED,
    Entry,
    Header,
    Manifest,
    decode_blocks,
    decode_header,
    encode_manifest,
    is_fingerprinted,
)

HEADER = Header(id="20260131-093000-1a2b3c", app="a", branch="b/c", label="b-c", created=12.75)


def entry(path: str, **codings: int) -> Entry:
    """A file with these codings."""
    return Entry(path, "ab" * 32, 10, "text/html; charset=utf-8", codings)


@pytest.mark.parametrize("count", [0, 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_a_manifest_is_read_as_it_was_written(count):
    """Header and entries survive the disk, in blocks that a worker can pause between."""
    entries = [entry(f"docs/ü {number}.html", br=number) for number in range(count)]
    lines = b"".join(encode_manifest(HEADER, entries)).splitlines(keepends=True)
    blocks = list(decode_blocks(lines[1:]))
    assert decode_header(lines[0]) == HEADER
    assert [each for block in blocks for each in block] == entries
    assert all(len(block) <= BLOCK for block in blocks)
    assert len(blocks) == -(-count // BLOCK)


@pytest.mark.parametrize("cut", [2, 40, 200])
def test_a_torn_manifest_is_an_error(cut):
    """A file that ends early raises instead of losing files silently."""
    whole = b"".join(encode_manifest(HEADER, [entry(f"{n}.html") for n in range(3)]))
    lines = whole[:-cut].splitlines(keepends=True)
    with pytest.raises(msgspec.MsgspecError):
        [decode_header(lines[0]), *decode_blocks(lines[1:])]


def test_reserved_files_are_not_served():
    """Files that configure a deployment are left out at its root, and only there."""
    manifest = Manifest(HEADER)
    manifest.add([entry(path) for path in (*RESERVED, "docs/customHttp.yml", "index.html")])
    assert set(manifest.files) == {"docs/customHttp.yml", "index.html"}
    assert {"customHttp.yml", "redirects.json"} == RESERVED


def test_an_asset_is_made_once():
    """All requests of a path share one asset, which knows its deployment and its codings."""
    manifest = Manifest(HEADER)
    manifest.add([entry("a.css", br=5, gzip=6)])
    asset = manifest.asset("a.css")
    assert manifest.asset("a.css") is asset
    assert (asset.deployment, asset.created) == (HEADER.id, 12)
    assert asset.codings == {b"br", b"gzip"}


FINGERPRINTED = {
    "vite": "assets/index-BxK3d9Qz.css",
    "vite with an underscore": "assets/index-D_2kEx8a.js",
    "vite with a hyphen": "assets/index-CMaY-2fE.js",
    "vite letters only": "assets/vendor-BxKdQzRt.js",
    "vite source map": "assets/index-BxK3d9Qz.js.map",
    "vite image": "assets/logo-DhQ3bX9k.svg",
    "second of two candidates": "assets/my-abcdefgh.js-BxK3d9Qz.js",
    "nuxt": "_nuxt/entry.DkW8a1Zx.js",
    "webpack": "static/js/main.3f2a1b9c.js",
    "webpack 20 digits": "main.3f2a1b9c4d5e6f708192.js",
    "webpack chunk": "static/js/787.abc123de.chunk.js",
    "webpack runtime": "static/js/runtime~main.a8a9905a.js",
    "webpack media": "static/media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg",
    "esbuild": "chunk-QXVCJ7SJ.js",
    "esbuild letters only": "chunk-ABCDEFGH.js",
    "angular": "main-5BLQEFFI.js",
    "angular styles": "styles-5INURTSO.css",
    "angular before 17": "polyfills.5ab0e1d2c3b4a596.js",
    "next chunk": "_next/static/chunks/4bd1b696-100b9d70ed4e49c1.js",
    "next build manifest": "_next/static/Abc-_xyz123/_buildManifest.js",
    "next under a base path": "docs/_next/static/css/5ab0e1d2c3b4a596.css",
    "next font": "media/4473ecc91f70f139-s.p.woff2",
    "sveltekit": "_app/immutable/entry/start.BxKdQzRt.js",
    "astro": "_astro/logo.CkyqZ3cs_Z1tNqZb.webp",
    "parcel": "index.b71e74eb.js",
    "hugo sha256": f"style.min.{'0a1b2c3d' * 8}.css",
    "hugo sha512": f"style.min.{'0a1b2c3d' * 16}.css",
    "rails": f"assets/application-{'9f8e7d6c' * 8}.css",
    "django": "static/base.27e20196a850.css",
    "mkdocs material": "assets/javascripts/bundle.83f73b43.min.js",
    "docusaurus": "assets/js/935f2afb.5ab0e1d2.js",
    "gatsby": "component---src-pages-index-tsx-0a1b2c3d4e5f60718293.js",
    "bun": "chunk-vk7d0v9p.js",
    "the whole name": "3f2a1b9c.js",
    "a UUID": "builds/meta/3f2a1b9c-1d2e-4f5a-8b7c-0123456789ab.json",
    "upper-case hexadecimal": "main.3F2A1B9C.js",
}

PLAIN_NAMES = """
    README README.md CHANGELOG.md CONTRIBUTING.js LICENSE .htaccess favicon.ico robots.txt
    jquery-3.6.0.min.js jquery-3.6.0.slim.min.js bootstrap.bundle.min.js three.module.min.js
    swagger-ui-bundle.js vendor-angular9.js main-es2015.js tailwind-3.4.1.css chunk-vendors.js
    chunk-common.js service-worker.js manifest.json site.webmanifest sitemap.xml app.js
    MyComponent.js HTMLElement.js PDFViewer.js OAuth2Client.js GitHubLogo.svg TypeScript.svg
    JavaScript101.js base64url.js mp3player.js user-profile-card.js hello-world-part-2.js
    2024-01-31-hello.html report-2024-Jan.pdf 20240131T120000Z.json 1706659200000.png
    chapter10.js chapter10.html screenshot2.png iphone-screenshot.png iPhoneXS.png iPhone15Pro.png
    IMG_20240131.jpg photo-IMG_0131.jpg DSC00123.jpg DSC_0001.jpg PXL_20240131_123456789.jpg
    apple-touch-icon-180x180.png android-chrome-512x512.png favicon-32x32.png mstile-150x150.png
    og-image-1200x630.png banner-1920x1080.jpg splash-2048x2732.png font-awesome-4.7.0.css
    NotoSansJP-SemiBold.otf KaTeX_Main-Regular.woff2 roboto-v30-latin-regular.woff2
    google1234567890abcdef.html 1234567890abcdef1234567890abcdef.txt customHttp.yml redirects.json
    docs/3f2a1b9c/index.html docs/BxK3d9Qz/app.js über-uns.html a.b. .3f2a1b9c
"""


@pytest.mark.parametrize("path", FINGERPRINTED.values(), ids=FINGERPRINTED.keys())
def test_names_that_bundlers_write_are_fingerprinted(path):
    """Hashes of the common bundlers and generators are recognized."""
    assert is_fingerprinted(path)
    assert is_fingerprinted("/" + path)


@pytest.mark.parametrize("path", PLAIN_NAMES.split())
def test_names_that_people_write_are_not(path):
    """Words, versions, dates, sizes and counters are no hashes."""
    assert not is_fingerprinted(path)
    assert not is_fingerprinted("/" + path)


@pytest.mark.parametrize(
    ("alphabet", "length", "pattern", "misses"),
    [
        (string.ascii_letters + string.digits + "-_", 8, "assets/index-{}.js", 0.06),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 8, "chunk-{}.js", 0.0),
        ("0123456789abcdef", 8, "main.{}.chunk.js", 0.05),
        ("0123456789abcdef", 20, "main.{}.js", 0.01),
    ],
    ids=["base64url", "base32", "hex8", "hex20"],
)
def test_few_random_hashes_are_missed(alphabet, length, pattern, misses):
    """Of two thousand random hashes of a bundler's alphabet nearly all are recognized."""
    source = random.Random(1)
    names = [pattern.format("".join(source.choices(alphabet, k=length))) for _ in range(2000)]
    assert sum(not is_fingerprinted(name) for name in names) <= misses * len(names)


@given(st.text(max_size=200))
def test_any_path_has_an_answer(path):
    """No name makes the question fail."""
    assert is_fingerprinted(path) in (True, False)
