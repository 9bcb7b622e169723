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


# Certificates


NOON = 1_795_608_000.0


def entry(**more):
    """A certificate that is well."""
    return {
        "name": "www.shop.test",
        "names": ["www.shop.test"],
        "source": "acme",
        "state": "valid",
        "reason": "branch main of shop",
        "issuer": "R11",
        "not_before": NOON,
        "not_after": NOON + 86_400,
        "next": {"at": NOON + 3_600, "why": "two thirds of its lifetime"},
        "stopped": "",
        "findings": [],
        "attempts": [],
        "failures": 0,
        "explanation": "",
    } | more


def listed(*entries, **more):
    """A document of certificates."""
    return {"certificates": list(entries), "mistakes": [], "warnings": [], "root": None} | more


ATTEMPT = {
    "at": NOON,
    "authority": "https://ca.test/dir",
    "outcome": "failed",
    "step": "authorization",
    "kind": "name",
    "detail": "no\x1b[31m such host",
    "seconds": 1.0,
    "steps": ["0.1 s: order accepted: 1 name"],
}


def test_certificates_that_are_well(capsys):
    """A table, and nothing on stderr."""
    waiting = entry(
        name="new.test",
        state="waiting",
        issuer=None,
        not_after=None,
        next={"at": 0.0, "why": "there is none yet"},
    )

    code = report_tls.certs(listed(entry(), waiting), None, as_document=False)

    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    rows = out.splitlines()
    assert rows[0].split() == ["name", "state", "issuer", "until", "next"]
    day = report_tls.when(NOON + 86_400)
    assert rows[1].split()[:4] == ["www.shop.test", "valid", "R11", day.split()[0]]
    assert rows[1].endswith("two thirds of its lifetime")
    assert rows[2].split() == ["new.test", "waiting", "now"]


def test_what_fails_says_why(capsys):
    """The authority's own words, less what a terminal would obey; exit code 1."""
    findings = [
        {"level": "ok", "about": "a", "text": "no CAA", "hint": ""},
        {"level": "warning", "about": "ports", "text": "port 80 is shut", "hint": "open it"},
    ]
    failing = entry(state="failing", failures=1, findings=findings, attempts=[ATTEMPT, ATTEMPT])
    refused = entry(name="co.uk", state="refused", reason="it is a public suffix")
    stopped = entry(name="old.test", state="stopped", stopped="30 days", next=None)

    code = report_tls.certs(listed(failing, refused, stopped), None, as_document=False)

    _, err = capsys.readouterr()
    assert code == 1
    assert err.splitlines()[0] == "www.shop.test: warning: port 80 is shut (open it)"
    assert err.count("failed at authorization by https://ca.test/dir") == 1
    assert "\x1b" not in err
    assert "co.uk: it is a public suffix" in err
    assert "old.test: stopped: 30 days (when that is mended: edge certs --renew 'old.test')" in err


def test_one_certificate_has_its_timeline(capsys):
    """Every attempt, every step, every finding that is not well."""
    wild = entry(name="*.shop.test", names=["*.shop.test"], attempts=[ATTEMPT, ATTEMPT])

    code = report_tls.certs(listed(entry(), wild), "*.shop.test", as_document=False)

    out, err = capsys.readouterr()
    assert code == 0
    assert "www.shop.test" not in out
    assert err.count("failed at authorization") == 2
    assert err.count("order accepted") == 2
    assert report_tls.certs(listed(entry()), "nobody.test", as_document=False) == 1
    assert "no certificate is wanted for nobody.test" in capsys.readouterr().err


def test_mistakes_of_the_operators_folder(capsys):
    """With their place; exit code 1."""
    mistake = {"file": "certs/a.pem", "line": 3, "column": 1, "message": "no key", "hint": "add it"}

    code = report_tls.certs(listed(mistakes=[mistake]), None, as_document=False)

    out, err = capsys.readouterr()
    assert code == 1
    assert out.startswith("no certificates:")
    assert err == "certs/a.pem:3:1: no key (add it)\n"


def test_certificates_for_machines(capsys):
    """The document, of one name where one is named."""
    document = listed(entry(), entry(name="b.test", names=["b.test"], state="expired"))

    assert report_tls.certs(document, None, as_document=True) == 1
    assert json.loads(capsys.readouterr().out) == document
    assert report_tls.certs(document, "www.shop.test", as_document=True) == 0
    assert json.loads(capsys.readouterr().out)["certificates"] == [entry()]


def test_the_root(capsys):
    """In PEM, to be piped into a file; none is an error."""
    pem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"

    assert report_tls.root(listed(root=pem), as_document=False) == 0
    assert capsys.readouterr().out == pem
    assert report_tls.root(listed(root=pem), as_document=True) == 0
    assert json.loads(capsys.readouterr().out) == {"root": pem}
    assert report_tls.root(listed(), as_document=False) == 1
