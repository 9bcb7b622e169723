"""What `explain` says of the connection that a request comes by."""

from __future__ import annotations

import pytest

from edge.control.operations import Operations
from tests.support_serving import Site
from tests.support_tls import Shelf

HTTPS = 'listen: {https: ["127.0.0.1:8443"]}\n'
APP = "domains: {one.test: {subdomains: {'': main}}}"
URL = "one.test/a?b"


@pytest.fixture
def asked(tmp_path):
    """Asks a node with https and one app."""
    return Asked(Site(tmp_path, APP, HTTPS))


class Asked:
    """A node that is asked about requests."""

    def __init__(self, site: Site) -> None:
        site.changes.reload()
        site.deploy({"index.html": "one"})
        self.shelf = Shelf(site.places.state)
        self.operations = Operations(site.places, site.changes)

    def explain(self, url: str, method: str = "GET") -> dict:
        """The trail."""
        return self.operations.explain({"request": {"url": url, "method": method}})


def test_clear_text_leads_to_https_where_there_is_a_certificate(asked) -> None:
    """Nothing else is decided of it."""
    asked.shelf.put("unread", "one.test")

    trail = asked.explain("http://One.test:8080/a?b")

    assert (trail["status"], trail["location"]) == (301, "https://one.test:8443/a?b")
    assert "edge explain https://one.test:8443/a?b" in trail["steps"][1]
    assert trail["tried"] == []
    assert asked.explain("http://one.test/", "POST")["status"] == 308


@pytest.mark.parametrize("url", ["https://" + URL, URL])
def test_the_certificate_is_told_first(asked, url) -> None:
    """Whose it is, and until when."""
    asked.shelf.put("unread", "one.test", "a.test", "b.test", "c.test", not_after=2_000_000_000)

    trail = asked.explain(url)

    told = "https: one.test, a.test, b.test, …, by ACME (Test root), until 2033-05-18 03:33 UTC"
    assert trail["steps"][0] == told
    assert trail["status"] == 404


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_without_certificate_says_so(asked, scheme) -> None:
    """And clear text serves it."""
    trail = asked.explain(f"{scheme}://{URL}")

    assert "one.test has no certificate" in trail["steps"][0]
    assert trail["app"] == "site"


def test_a_certificate_that_is_over_leads_nowhere(asked) -> None:
    """Clients would refuse it."""
    asked.shelf.put("unread", "one.test", not_after=1_000)

    trail = asked.explain(f"http://{URL}")

    assert "not valid now" in trail["steps"][0]
    assert trail["status"] == 404


@pytest.mark.parametrize("url", ["http://nobody.test/", "https://nobody.test/", "http://a%zz/"])
def test_hosts_that_nobody_claims_have_no_connection(asked, url) -> None:
    """The rest of the trail says what becomes of them."""
    trail = asked.explain(url)

    assert not any(step.startswith("http") for step in trail["steps"])


def test_a_node_without_https_tells_nothing_of_it(tmp_path) -> None:
    """Whatever certificates there are."""
    asked = Asked(Site(tmp_path, APP, ""))
    asked.shelf.put("unread", "one.test")

    trail = asked.explain(f"http://{URL}")

    assert trail["steps"][0].startswith("one.test: app site")
