"""Media types by file name."""

from __future__ import annotations

import pytest

from edge.site.media import COMPRESSIBLE, TYPES, UNKNOWN, is_compressible, media_type


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("docs/a.b.CSS", "text/css; charset=utf-8"),
        ("app.mjs", "text/javascript; charset=utf-8"),
        ("app.js.map", "application/json"),
        ("site.webmanifest", "application/manifest+json"),
        ("logo.svg", "image/svg+xml"),
        ("photo.avif", "image/avif"),
        ("a.woff2", "font/woff2"),
        ("module.wasm", "application/wasm"),
        ("page.xhtml", "application/xhtml+xml"),
        ("notes.log", "text/plain; charset=utf-8"),
        ("LICENSE", UNKNOWN),
        ("html", UNKNOWN),
        ("docs.html/LICENSE", UNKNOWN),
        ("strange.zzz", UNKNOWN),
        ("ends.with.", UNKNOWN),
        (".json", "application/json"),
    ],
)
def test_the_last_extension_decides(path, kind):
    """The extension after the last dot of the last segment counts, whatever its case."""
    assert media_type(path) == kind


@pytest.mark.parametrize("extension", ["html", "js", "css", "svg", "json", "wasm", "ttf", "xhtml"])
def test_text_is_compressible(extension):
    """Texts and the like are worth a coding."""
    assert is_compressible(TYPES[extension])


@pytest.mark.parametrize("extension", ["png", "jpg", "woff2", "zip", "gz", "mp4", "pdf", "webp"])
def test_what_is_compressed_already_is_not(extension):
    """Images, fonts of the web and archives are not."""
    assert not is_compressible(TYPES[extension])
    assert not is_compressible(UNKNOWN)


def test_text_says_its_charset():
    """Every text type names UTF-8, so that no browser guesses."""
    assert all(kind.endswith("; charset=utf-8") for kind in TYPES.values() if kind[:5] == "text/")


def test_every_compressible_prefix_is_used():
    """No entry of the table of compressible types is dead."""
    assert all(any(kind.startswith(each) for kind in TYPES.values()) for each in COMPRESSIBLE)
