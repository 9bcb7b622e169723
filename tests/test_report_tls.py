"""What the commands about names and certificates print."""

from __future__ import annotations

import json

from edge import report_tls

RECORD = {"name": "www.shop.test", "type": "A", "value": "203.0.113.7", "is_needed": True}


def host(**more):
    """A hostname that leads here."""
    return {
        "host": "www.shop.test",
        "app": "shop",
        "branch": "main",
        "kind": "domain",
        "records": [RECORD],
        "resolves": ["203.0.113.7"],
        "chain": [],
        "here": True,
        "problems": [],
        "certificate": None,
        "missing": False,
    } | more


def document(*hosts, **more):
    """With the node's address."""
    missing = any(each["missing"] for each in hosts)
    found = {"public": ["203.0.113.7"], "note": "", "hosts": list(hosts), "missing": missing}
    return found | more


def test_all_is_well(capsys):
    """A table to copy from, and nothing on stderr."""
    local = host(host="main.shop.edge.localhost", records=[], resolves=[], certificate="own")

    code = report_tls.domains(document(host(), local), as_document=False)

    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert out == (
        "this node: 203.0.113.7\n"
        "hostname                  branch     now                certificate  set\n"
        "www.shop.test             shop/main  here: 203.0.113.7"
        "               www.shop.test A 203.0.113.7\n"
        "main.shop.edge.localhost  shop/main  here               own          nothing\n"
    )


def test_what_is_missing(capsys):
    """Each problem by its name, a row for each record, exit code 1."""
    proof = {"name": "_acme-challenge.shop.test", "type": "CNAME", "value": "shop.test.acme.net"}
    wrong = host(here=False, missing=True, problems=["leads to x\x1b[31m"])
    absent = host(
        host="shop.test",
        resolves=[],
        here=None,
        missing=True,
        records=[RECORD | {"value": None}, proof],
    )

    code = report_tls.domains(document(wrong, absent), as_document=False)

    out, err = capsys.readouterr()
    rows = out.splitlines()[2:]
    assert code == 1
    assert rows[0].split("  ")[2:4] == ["elsewhere: 203.0.113.7", ""]
    assert rows[1].endswith("www.shop.test A (a public address of this node)")
    assert rows[2].strip() == "_acme-challenge.shop.test CNAME shop.test.acme.net"
    assert err == "www.shop.test: leads to x�[31m\nedge: records are missing for 2 hostnames\n"


def test_addresses_that_are_not_known(capsys):
    """The note tells what to write, where there is a name that needs it."""
    given = {"public": [], "note": "write listen.public"}

    report_tls.domains(document(host(here=None), **given), as_document=False)
    with_records = capsys.readouterr()
    report_tls.domains(document(host(records=[]), **given), as_document=False)

    assert with_records.err == "edge: write listen.public\n"
    assert "  203.0.113.7  " in with_records.out
    assert capsys.readouterr().err == ""


def test_no_hostnames(capsys):
    """Is said."""
    assert report_tls.domains(document(), as_document=False) == 0
    assert capsys.readouterr().out.startswith("no hostnames: ")


def test_as_a_document(capsys):
    """The very one, with the same exit code."""
    given = document(host(missing=True))

    assert report_tls.domains(given, as_document=True) == 1
    assert json.loads(capsys.readouterr().out) == given
