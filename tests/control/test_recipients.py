"""What is wrong with alarms is said before anybody has to be told."""

from __future__ import annotations

import pytest

from edge.control.reload import Refused
from tests.support_control import new_store, write_app

TEXT = """\
alarms:
  - {app: shop, metric: requests, below: 1, notify: ["https://x.example"]}
  - {app: shpo, metric: requests, below: 2, notify: ["https://x.example"]}
notifications:
  - {app: blog, notify: ["mailto:ops@example.com"]}
smtp: {host: mail.example.com, user: u, password_file: secrets/smtp, from: edge@example.com}
"""


@pytest.fixture
def password(tmp_path):
    """The file that edge.yml names."""
    file = tmp_path / "secrets" / "smtp"
    file.parent.mkdir()
    file.write_text("secret")
    file.chmod(0o600)
    return file


def warnings(folder, text=TEXT):
    """Place and words of each warning of a reload, which serves all the same."""
    changes = new_store(folder, text)
    write_app(folder, "shop")
    return [(each.line, each.column, each.message) for each in changes.reload().warnings]


def test_an_app_that_is_not_there(tmp_path, password):
    """Named where it stands; it may come with its first deploy."""
    assert warnings(tmp_path) == [
        (3, 6, "alarms[1].app: there is no app 'shpo'"),
        (5, 6, "notifications[0].app: there is no app 'blog'"),
    ]


def test_a_password_that_cannot_be_read(tmp_path, password):
    """As the mail would find it, without what is in it."""
    password.chmod(0o644)
    text = TEXT.replace("shpo", "shop").replace("blog", "shop")
    ((line, _, message),) = warnings(tmp_path, text)

    assert line == 6
    assert message.startswith("smtp.password_file: others may read")
    assert "secret " not in message
    password.unlink()
    ((_, _, missing),) = warnings(tmp_path, text)
    assert missing.startswith("smtp.password_file: /")


def test_all_is_well(tmp_path, password):
    """Nothing is said, with a login and without."""
    assert warnings(tmp_path, "") == []
    assert warnings(tmp_path, "smtp: {host: localhost, from: edge@example.com}") == []
    assert warnings(tmp_path, TEXT.replace("shpo", "shop").replace("blog", "shop")) == []


def test_an_app_with_a_mistake_is_there(tmp_path, password):
    """What it is told of is another matter."""
    changes = new_store(tmp_path, TEXT.replace("shpo", "shop").replace("blog", "shop"))
    write_app(tmp_path, "shop", "domians: {}")
    with pytest.raises(Refused) as caught:
        changes.reload()

    assert caught.value.reloaded.warnings == []
