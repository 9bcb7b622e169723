"""A node whose certificates come from an authority that looks at it: pebble, for an address."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support import Node, write_tree
from tests.support_acme import Pebble, Proxy, serving

HOST = "127.0.0.1"
"""A name that no name server is asked for; pebble certifies it (RFC 8738)."""


class Secured:
    """A node with an authority, whose branch answers for an address."""

    def __init__(self, node: Node, between: Proxy, root: str) -> None:
        self.node = node
        self.between = between
        self.client = ssl.create_default_context(cadata=root)
        self.client.verify_flags &= ~ssl.VERIFY_X509_STRICT  # pebble's have no key usage

    def begin(self) -> None:
        """Have the app answer for the address: a certificate is wanted from now on."""
        path = self.node.folder / "rules" / "site" / "app.yml"
        path.write_text(yaml.safe_dump({"domains": {HOST: {"subdomains": {"": "main"}}}}))
        status, _ = self.node.admin("POST", "/v1/reload")
        assert status == 200

    def shake_hands(self) -> str | None:
        """The serial number of what a client sees, which verifies everything; None while none."""
        try:
            with (
                socket.create_connection((HOST, self.node.https_port), timeout=10) as plain,
                self.client.wrap_socket(plain, server_hostname=HOST) as secure,
            ):
                return secure.getpeercert()["serialNumber"]
        except (ConnectionError, ssl.SSLError):
            return None

    def entry(self) -> dict[str, Any]:
        """What is told about the address."""
        _, document = self.node.admin("GET", "/v1/certificates")
        return next(each for each in document["certificates"] if each["name"] == HOST)

    def orders(self) -> int:
        """How many orders the authority took."""
        return len([each for each in self.between.of("newOrder") if each.status == 201])

    def versions(self) -> list[Path]:
        """The certificates that lie in the state folder."""
        return list((self.node.folder / "var/tls/certs/acme" / HOST).glob("*.pem"))


@contextlib.contextmanager
def secured_node(folder: Path, authority: Pebble, ports: tuple[int, int]) -> Iterator[Secured]:
    """A node of two workers that listens where the authority looks; nothing is wanted yet."""
    node = Node(folder, workers=2)
    node.port, node.https_port = ports
    with serving(Proxy(authority)) as between:
        listen = {
            "http": [f"127.0.0.1:{node.port}"],
            "https": [f"127.0.0.1:{node.https_port}"],
            "admin": f"127.0.0.1:{node.admin_port}",
            "public": [HOST],
        }
        acme = {
            "directory": between.directory,
            "ca_file": str(authority.ca_file),
            "staging": None,
        }
        document = {"workers": 2, "listen": listen, "tls": {"acme": acme}}
        (node.folder / "edge.yml").write_text(yaml.safe_dump(document))
        try:
            node.start()
            node.deploy(write_tree(node.folder / "site", {"index.html": "hello"}))
            yield Secured(node, between, authority.root())
        finally:
            node.kill_all()
