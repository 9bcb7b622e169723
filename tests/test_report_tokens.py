"""What the commands about tokens print. The rest is in `test_token_commands`."""

from __future__ import annotations

from edge import report_tokens

TOKEN = {
    "id": "0123456789ab",
    "name": "CI",
    "app": "shop",
    "branch": "pr-*",
    "may": ["deploy", "read"],
    "created": 0.0,
    "expires": 86400.0,
    "expired": False,
    "last_used": None,
}


def test_a_token_in_a_row(capsys):
    """What for, until when, and its last use to the minute."""
    used = TOKEN | {"expires": None, "last_used": 3600.0, "branch": None, "name": ""}
    report_tokens.tokens({"tokens": [TOKEN, used, TOKEN | {"expired": True}]}, as_document=False)

    heads, first, second, third = capsys.readouterr().out.splitlines()
    assert heads.split() == ["id", "name", "may", "created", "expires", "last", "used", "(UTC)"]
    assert "deploy, read of shop, branch pr-*  1970-01-01  until 1970-01-02  never" in first
    assert "deploy, read of shop " in second
    assert second.endswith("never expires     1970-01-01 01:00")
    assert "expired" in third


def test_a_new_token_stands_alone_on_stdout(capsys):
    """What people should know goes elsewhere."""
    report_tokens.created(TOKEN | {"token": "edge_x"}, as_document=False)

    out, err = capsys.readouterr()
    assert out == "edge_x\n"
    assert "the only time" in err
