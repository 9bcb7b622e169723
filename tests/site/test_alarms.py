"""What an operator wants to be told: the documents, and what two of their keys mean together."""

from __future__ import annotations

import pytest

from edge.site.alarms import Alarm, Notification, Smtp
from edge.site.documents import decode_settings

HOOK = "https://hooks.example/x"

FULL = """\
alarms:
  - {app: shop, metric: errors_5xx_percent, above: 5, for: 3m, notify: ["https://hooks.example/x"]}
  - {name: Too quiet, metric: requests, below: 1, period: 5m, for: 15m,
     notify: ["mailto:ops@example.com", "http://127.0.0.1:9000/hook"]}
notifications:
  - {app: shop, branch: main, on: [deploy_failed, rolled_back], notify: ["https://hooks.example/x"]}
smtp: {host: mail.example.com, user: edge, password_file: secrets/smtp, from: edge@example.com}
"""


def refusals(text):
    """Place and message of each mistake."""
    settings, mistakes = decode_settings(text, "edge.yml")
    assert settings is None
    return [(each.line, each.column, each.message) for each in mistakes]


def alarm(**more):
    """One that asks somebody."""
    return Alarm(notify=(HOOK,), **({"metric": "requests", "above": 1.0} | more))


def test_every_key_is_read():
    """`on` is a word here, whatever YAML takes it for."""
    settings, mistakes = decode_settings(FULL, "edge.yml")

    assert mistakes == []
    assert settings.alarms == (
        Alarm(app="shop", metric="errors_5xx_percent", above=5.0, lasting=180.0, notify=(HOOK,)),
        Alarm(
            name="Too quiet",
            metric="requests",
            below=1.0,
            period=300.0,
            lasting=900.0,
            notify=("mailto:ops@example.com", "http://127.0.0.1:9000/hook"),
        ),
    )
    assert settings.notifications == (
        Notification(
            app="shop", branch="main", on=("deploy_failed", "rolled_back"), notify=(HOOK,)
        ),
    )
    assert settings.smtp.security == "starttls"


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({}, "node: requests above 1 for 1m"),
        ({"app": "shop", "above": 0.25}, "shop: requests above 0.25 for 1m"),
        ({"above": None, "below": 1e10}, "node: requests below 10000000000 for 1m"),
        ({"period": 300.0, "lasting": 3600.0}, "node: requests above 1 in 5m for 60m"),
        ({"name": "Storm"}, "Storm"),
    ],
)
def test_an_alarm_is_known_by_its_title(options, title):
    """Its name, else its app and condition."""
    assert alarm(**options).title == title


def test_a_threshold_of_zero_is_one():
    """Any error at all."""
    assert alarm(above=0.0).threshold == 0.0
    assert alarm(above=None, below=3.0).threshold == 3.0


@pytest.mark.parametrize(
    ("options", "security"),
    [
        ({"host": "mail.example.com"}, "starttls"),
        ({"host": "mail.example.com", "port": 465}, "implicit"),
        ({"host": "mail.example.com", "port": 25, "tls": "none"}, "none"),
        ({"host": "localhost", "port": 25}, "none"),
        ({"host": "127.0.0.1", "user": "u", "password_file": "f"}, "starttls"),
        ({"host": "127.0.0.1", "user": "u", "password_file": "f", "tls": "none"}, "none"),
    ],
)
def test_mail_is_secured_unless_it_stays_on_this_machine(options, security):
    """By the port, the host, or the operator's word."""
    assert Smtp(sender="edge@example.com", **options).security == security


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (
            "alarms: [{metric: requests, notify: ['https://x.example']}]",
            (1, 10, "alarms[0]: an alarm has exactly one of 'above' and 'below'"),
        ),
        (
            "alarms: [{metric: requests, above: 1, below: 2, notify: ['https://x.example']}]",
            (1, 10, "alarms[0]: an alarm has exactly one of 'above' and 'below'"),
        ),
        (
            "alarms: [{metric: requests, above: 1, notify: []}]",
            (1, 10, "alarms[0]: nobody is notified"),
        ),
        (
            "alarms: [{metric: requests, above: 1, notify: ['mailto:a@b.example']}]",
            (1, 1, "somebody is notified by mail, and there is no 'smtp'"),
        ),
        (
            "notifications: [{notify: ['mailto:a@b.example']}]",
            (1, 1, "somebody is notified by mail, and there is no 'smtp'"),
        ),
        ("notifications: [{notify: []}]", (1, 17, "notifications[0]: nobody is notified")),
        (
            "notifications: [{on: [], notify: ['https://x.example']}]",
            (1, 17, "notifications[0]: there is nothing to tell of"),
        ),
        (
            "smtp: {host: mail.example.com, from: a@b.example, user: u}",
            (1, 7, "smtp: 'user' and 'password_file' go together"),
        ),
        (
            "smtp: {host: m.example, from: a@b.example, user: u, password_file: f, tls: none}",
            (1, 7, "smtp: the password would travel in clear text"),
        ),
        ("smtp: {host: mail.example.com}", (1, 7, "smtp: the key 'from' is missing")),
    ],
)
def test_keys_that_contradict_each_other_are_refused(text, refusal):
    """A combination that could never work is refused where it is written."""
    assert refusals(text) == [refusal]


def test_two_alarms_are_told_apart():
    """What is kept about one is found by its title."""
    one = "{metric: requests, above: 1, notify: ['https://x.example']}"
    ((_, _, message),) = refusals(f"alarms: [{one}, {one}]")

    assert message == "there are two alarms 'node: requests above 1 for 1m'"


def test_a_metric_that_there_is_not_names_those_there_are():
    """With the nearest one as a hint."""
    text = "alarms: [{metric: error_5xx, above: 1, notify: ['https://x.example']}]"
    _, (mistake,) = decode_settings(text, "edge.yml")

    assert "'error_5xx' is not one of requests, bytes_downloaded" in mistake.message
    assert mistake.hint == "did you mean 'errors_5xx'?"
