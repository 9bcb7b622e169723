"""What testssl.sh finds about the listener: nothing that the README does not argue."""

from __future__ import annotations

import json
import subprocess

from tests.support import eventually, running, write_tree
from tests.support_packaging import needs
from tests.support_tls import is_secured

HOST = "main.site.edge.localhost"
ARGUED = {
    "cert_expirationStatus",  # the own authority's certificates last thirty days
    "cert_notAfter",
    "cert_revocation",  # and have neither CRL nor OCSP
    "BREACH",  # what is said about secrets in compressed pages
}
BAD = {"LOW", "MEDIUM", "HIGH", "CRITICAL"}


@needs("testssl")
def test_a_scanner_finds_only_what_is_argued(tmp_path):
    """Versions, ciphers, forward secrecy, the certificate, every attack that has a name."""
    with running(tmp_path / "node", is_secure=True) as node:
        node.deploy(write_tree(tmp_path / "v1", {"index.html": "x" * 2_000}))
        eventually(lambda: is_secured(node, HOST))
        found = tmp_path / "found.json"
        root = node.folder / "var/tls/internal/root.pem"
        command = ["testssl", "-p", "-s", "-f", "-P", "-S", "-U", "--quiet", "--color", "0"]
        command += ["--nodns", "none", "--warnings", "off", "--ip", "127.0.0.1"]
        command += ["--add-ca", root, "--jsonfile", found, f"{HOST}:{node.https_port}"]
        told = subprocess.run(command, input="", capture_output=True, text=True, check=False)

    findings = {each["id"]: each for each in json.loads(found.read_text())}
    assert findings["TLS1_3"]["severity"] == "OK", told.stdout
    assert "scanTime" in findings, "it did not come to its end"
    bad = {name: each["finding"] for name, each in findings.items() if each["severity"] in BAD}
    assert bad.keys() <= ARGUED, bad
