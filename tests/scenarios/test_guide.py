"""Every example of the guide's pages 82-87 and 95-98, pasted as printed, over real sockets."""

# ruff: noqa: E501 - the guide's examples stand here as it prints them

from __future__ import annotations

import base64

import pytest

from tests.support import running, write_tree

TREE = {
    "index.html": "home",
    "destination.html": "destination",
    "about.html": "about",
    "blog/index.html": "blog",
    "documents/index.html": "documents",
    "404.html": "not found",
    "a.json": "{}",
    "path/b.txt": "b",
    "path/c.json": "{}",
    "path/deep/d.txt": "d",
    "logo.png": "png",
}

SPA = (
    r'[{"source": "</^[^.]+\$|\.(?! (css|gif|ico|jpg|js|png|txt|svg|woff|woff2|ttf|map|json|webp)\$)'
    r' ([^.]+\$)/>", "status": "200", "target": "index.html", "condition": null}]'
)

RULES = {
    "p82-editor": (
        '[\n  {\n    "source": "/<*>",\n    "target": "/index.html",\n    "status": "404",\n    "condition": null\n  }\n]',
        {"/nowhere": (404, "home"), "/about": (200, "about")},
    ),
    "p82-order": (
        '[{"source": "/docs/specific-filename.html", "target": "/documents/different-filename.html", "status": "301"}, {"source": "/docs/<*>", "target": "/documents/<*>"}]',
        {
            "/docs/specific-filename.html": (301, "/documents/different-filename.html"),
            "/docs/other.html": (301, "/documents/other.html"),
        },
    ),
    "p82-reversed": (
        '[{"source": "/docs/<*>", "target": "/documents/<*>"}, {"source": "/docs/specific-filename.html", "target": "/documents/different-filename.html", "status": "301"}]',
        {"/docs/specific-filename.html": (301, "/documents/specific-filename.html")},
    ),
    "p83-query": (
        '[{"source": "/a", "target": "https://example-target.com?q=someParam", "status": "301"}]',
        {"/a?x=1": (301, "https://example-target.com?q=someParam")},
    ),
    "p83-simple": (
        '[{"source": "/original.html", "status": "301", "target": "/destination.html", "condition": null}]',
        {
            "/original.html": (301, "/destination.html"),
            "/original.html?a=b%20c": (301, "/destination.html?a=b%20c"),
            "/destination.html": (200, "destination"),
        },
    ),
    "p83-folder": (
        '[{"source": "docs/<*>", "status": "301", "target": "/documents/<*>", "condition": null}]',
        {"/docs/a/b.html?c=d": (301, "/documents/a/b.html?c=d"), "/docs": (404, "not found")},
    ),
    "p83-rewrite": (
        '[{"source": "/<*>", "status": "200", "target": "/index.html", "condition": null}]',
        {"/": (200, "home"), "/any/path": (200, "home"), "/about.html": (200, "home")},
    ),
    "p84-notfound": (
        '[{"source": "/<*>", "status": "404", "target": "/404.html", "condition": null}]',
        {"/nowhere": (404, "not found"), "/about": (200, "about")},
    ),
    "p84-spa": (
        SPA,
        {
            "/": (200, "home"),
            "/deep/link": (200, "home"),
            "/missing.js": (404, "not found"),
            "/logo.png": (200, "png"),
            "/page.aspx": (200, "home"),
            "/about.html": (200, "home"),
        },
    ),
    "p84-proxy": (
        '[{"source": "/images/<*>", "status": "200", "target": "https://images.otherdomain.com/<*>", "condition": null}]',
        {"/images/a.png": (502, None), "/about": (200, "about")},
    ),
    "p85-clean": (
        "[]",
        {
            "/about": (200, "about"),
            "/blog": (301, "/blog/"),
            "/blog/": (200, "blog"),
        },
    ),
    "p85-places": (
        '[{"source": "/docs/<year>/<month>/<date>/<itemid>", "status": "301", "target": "/documents/<year>/<month>/<date>/<itemid>", "condition": null}]',
        {
            "/docs/2024/01/31/7": (301, "/documents/2024/01/31/7"),
            "/docs/2024/01/31": (404, "not found"),
        },
    ),
    "p85-parameter": (
        '[{"source": "/docs?id=<my-blog-id-value>", "status": "301", "target": "/documents/<my-blog-id-value>", "condition": null}]',
        {
            "/docs?id=7": (301, "/documents/7"),
            "/docs?a=b&id=x%2Fy": (301, "/documents/x%2Fy"),
            "/docs": (404, "not found"),
        },
    ),
    "p86-level": (
        '[{"source": "/documents/<x>/<y>/<z>", "status": "404", "target": "/documents/index.html", "condition": null}]',
        {"/documents/a/b/c": (404, "documents"), "/documents/a/b": (404, "not found")},
    ),
    "p86-region": (
        '[{"source": "/documents", "status": "302", "target": "/documents/us/", "condition": "<US>"}]',
        {"/documents": (301, "/documents/")},
    ),
}  # fmt: skip

HEADERS = {
    "p95-format": (
        """customHeaders:
  - pattern: '*.json'
    headers:
      - key: 'custom-header-name-1'
        value: 'custom-header-value-1'
      - key: 'custom-header-name-2'
        value: 'custom-header-value-2'
  - pattern: '/path/*'
    headers:
      - key: 'custom-header-name-1'
        value: 'custom-header-value-2'
""",
        {
            "/a.json": ("custom-header-value-1", "custom-header-value-2"),
            "/path/b.txt": ("custom-header-value-2", None),
            "/path/c.json": ("custom-header-value-2", "custom-header-value-2"),
            "/path/deep/d.txt": (None, None),
            "/about": (None, None),
        },
    ),
    "p95-monorepo": (
        """applications:
  - appRoot: app1
    customHeaders:
      - pattern: '**/*'
        headers:
          - key: 'custom-header-name-1'
            value: 'custom-header-value-1'
  - appRoot: app2
    customHeaders:
      - pattern: '/path/*.json'
        headers:
          - key: 'custom-header-name-2'
            value: 'custom-header-value-2'
""",
        {
            "/path/c.json": (None, "custom-header-value-2"),
            "/a.json": (None, None),
        },
    ),
}

SECURITY = """customHeaders:
  - pattern: '*'
    headers:
      - key: 'Strict-Transport-Security'
        value: 'max-age=31536000; includeSubDomains'
      - key: 'X-Frame-Options'
        value: 'SAMEORIGIN'
      - key: 'X-XSS-Protection'
        value: '1; mode=block'
      - key: 'X-Content-Type-Options'
        value: 'nosniff'
      - key: 'Content-Security-Policy'
        value: "default-src 'self'"
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node of two workers with an app for each example."""
    folder = tmp_path_factory.mktemp("guide")
    site = write_tree(folder / "site", TREE)
    settings = (
        "clients: {trusted_proxies: [127.0.0.0/8], country_header: CloudFront-Viewer-Country}\n"
        'proxy: {connect_to: {"images.otherdomain.com:443": "127.0.0.1:1"}}\n'
    )
    with running(folder, settings=settings) as made:
        for name, (text, _) in RULES.items():
            write_tree(folder / "rules" / name, {"redirects.json": text})
        for name, (text, _) in HEADERS.items():
            app = {"customHttp.yml": text, "app.yml": "app_root: app2"}
            write_tree(folder / "rules" / name, app)
        write_tree(folder / "rules" / "p98-security", {"customHttp.yml": SECURITY})
        for name in (*RULES, *HEADERS, "p98-security"):
            made.deploy(site, app=name)
        yield made


CASES = [
    (name, path, *answer) for name, (_, cases) in RULES.items() for path, answer in cases.items()
]


@pytest.mark.parametrize(("name", "path", "status", "seen"), CASES)
def test_a_rule_of_the_guide_works_as_printed(node, name, path, status, seen):
    """Twice, so that what is remembered decides alike; and HEAD as GET."""
    host = f"main.{name}.edge.localhost"
    for method in ("GET", "GET", "HEAD"):
        answered, fields, content = node.get(path, host, method)
        assert answered == status
        if seen is not None and (status in (301, 302) or method == "GET"):
            assert (fields["Location"] or content.decode()) == seen


def test_the_regional_redirect_is_for_its_country_alone(node):
    """Page 86, by the header that Amplify's CloudFront sets."""
    host = "main.p86-region.edge.localhost"
    for country, location in (("US", "/documents/us/"), ("DE", "/documents/")) * 2:
        _, fields, _ = node.get("/documents", host, CloudFront_Viewer_Country=country)
        assert fields["Location"] == location


def test_the_subdomain_rewrite_serves_the_other_host(node):
    """Page 83: mydomain.com shows what www.mydomain.com has, under its own name."""
    folder = node.folder / "rules" / "p83-domain"
    write_tree(
        folder,
        {
            "redirects.json": '[{"source": "https://mydomain.com", "status": "200", "target": "https://www.mydomain.com", "condition": null}]',
            "app.yml": 'domains: {mydomain.com: {subdomains: {"": main, www: main}}}',
        },
    )
    node.deploy(node.folder / "site", app="p83-domain")
    for path, seen in (("/about", "about"), ("/", "home"), ("/nowhere", "not found")):
        _, _, content = node.get(path, "mydomain.com")
        assert content.decode() == seen


HEADER_CASES = [
    (name, path, *want) for name, (_, cases) in HEADERS.items() for path, want in cases.items()
]


@pytest.mark.parametrize(("name", "path", "first", "second"), HEADER_CASES)
def test_custom_headers_of_the_guide_work_as_printed(node, name, path, first, second):
    """Both forms of page 95."""
    for _ in range(2):
        _, fields, _ = node.get(path, f"main.{name}.edge.localhost")
        assert (fields["custom-header-name-1"], fields["custom-header-name-2"]) == (first, second)


@pytest.mark.parametrize("path", ["/", "/about", "/path/deep/d.txt", "/nowhere", "/blog"])
def test_the_security_headers_of_the_guide_are_on_everything(node, path):
    """Page 98: pattern '*' is the whole site; 404s and redirects too."""
    for _ in range(2):
        _, fields, _ = node.get(path, "main.p98-security.edge.localhost")
        assert fields["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
        assert fields["X-Frame-Options"] == "SAMEORIGIN"
        assert fields["X-XSS-Protection"] == "1; mode=block"
        assert fields["X-Content-Type-Options"] == "nosniff"
        assert fields["Content-Security-Policy"] == "default-src 'self'"


def test_a_branch_is_for_those_who_have_its_password(node):
    """Page 87: one branch restricted, the other publicly viewable, by `edge hash-password`."""
    hashed = node.edge("hash-password", stdin="password7\n").stdout.strip()
    text = f"branches: {{dev: {{access: {{users: {{testuser: '{hashed}'}}}}}}}}"
    write_tree(node.folder / "rules" / "p87-access", {"app.yml": text})
    node.deploy(node.folder / "site", app="p87-access", branch="master")
    node.deploy(node.folder / "site", app="p87-access", branch="dev")
    login = "Basic " + base64.b64encode(b"testuser:password7").decode()

    assert node.get("/about", "master.p87-access.edge.localhost")[0] == 200
    status, fields, _ = node.get("/about", "dev.p87-access.edge.localhost")
    assert (status, fields["WWW-Authenticate"].split(" ")[0]) == (401, "Basic")
    for _ in range(4):
        status, _, content = node.get(
            "/about", "dev.p87-access.edge.localhost", Authorization=login
        )
        assert (status, content) == (200, b"about")


def test_the_whole_folder_of_examples_is_clean(node):
    """`edge check` has no mistake to tell of what the guide prints."""
    done = node.edge("check")
    assert "no mistakes" in done.stdout or "warnings" in done.stdout
