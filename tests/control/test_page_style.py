"""How the page looks: readable in light and dark, and let in by its own hash."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from edge.control.page_style import FIELDS, ICON, POLICY, STYLE

LIGHT, DARK = (dict(re.findall(r"--(\w+):(#[0-9a-f]+)", block)) for block in STYLE.split("}")[:2])


def luminance(color):
    """WCAG 2.2's relative luminance."""
    digits = color[1:] if len(color) == 7 else "".join(each * 2 for each in color[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """WCAG 2.2's contrast of two colors."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["ground", "card"])
@pytest.mark.parametrize("name", ["ink", "muted", "blue", "good", "warn", "bad"])
def test_text_has_contrast(colors, ground, name):
    """4.5 at least (WCAG AA)."""
    assert contrast(colors[name], colors[ground]) >= 4.5


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["ok", "teal", "violet", "warn", "bad"])
def test_what_is_drawn_has_contrast(colors, name):
    """3 at least (WCAG 1.4.11)."""
    assert contrast(colors[name], colors["card"]) >= 3


def test_light_and_dark_have_the_same_colors():
    """None is forgotten in one of them; the button is the same in both."""
    assert LIGHT.keys() == DARK.keys()
    assert contrast("#1f62b4", "#ffffff") >= 4.5


def test_the_policy_lets_in_this_style_and_nothing_else():
    """No script, no source but the icon in the page."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = dict(each.split(" ", 1) for each in POLICY.split("; "))

    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert ICON.startswith("data:image/svg+xml,")
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_pages_are_kept_nowhere_and_framed_by_nobody():
    """What browsers are told besides the policy."""
    assert FIELDS["Cache-Control"] == "no-store"
    assert FIELDS["X-Content-Type-Options"] == "nosniff"
    assert FIELDS["Referrer-Policy"] == "same-origin"
    assert FIELDS["Cross-Origin-Opener-Policy"] == "same-origin"
