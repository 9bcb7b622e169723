"""What is told of alarms and deployments: the documented JSON, and the mail."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge.control.events import DeployEnded
from edge.control.letters import lines, name_of, of_alarm, of_deploy, plain, rounded
from edge.site.alarming import Transition
from edge.site.alarms import Alarm, Notification
from edge.site.documents import decode_settings

HOOK = "https://hooks.example/secret"
MAIL = "mailto:ops@example.com"
START = 1_764_144_060  # 2025-11-26T08:01:00Z


def alarm(**more):
    """One about a share of errors."""
    options = {"app": "shop", "metric": "errors_5xx_percent", "above": 5.0, "lasting": 180.0}
    return Alarm(**(options | {"notify": (HOOK, MAIL)} | more))


def transition(state="firing", value=12.3456, **more):
    """One that is told."""
    return Transition(alarm=alarm(**more), state=state, value=value, since=START, at=START + 180)


def ended(result="succeeded", **more):
    """A deployment that ended."""
    options = {"app": "shop", "branch": "main", "label": "main", "id": "20251126-080100-5569a5"}
    return DeployEnded(**(options | {"result": result, "at": float(START)} | more))


def test_an_alarm_that_fires():
    """Every key of the documented JSON, the same for every recipient."""
    letters = of_alarm(transition(), "0123", "edge-1", "https://www.example.com")

    assert [each.to for each in letters] == [HOOK, MAIL]
    assert {each.subject for each in letters} == {"FIRING: shop: errors_5xx_percent above 5 for 3m"}
    assert (
        letters[0].document
        == letters[1].document
        == {
            "text": "FIRING: shop: errors_5xx_percent above 5 for 3m: "
            "errors_5xx_percent is 12.35 % (since 2025-11-26T08:01:00Z, node edge-1)",
            "kind": "alarm",
            "id": "0123",
            "alarm": "shop: errors_5xx_percent above 5 for 3m",
            "state": "firing",
            "app": "shop",
            "metric": "errors_5xx_percent",
            "condition": "errors_5xx_percent above 5 for 3m",
            "threshold": 5.0,
            "value": 12.35,
            "since": "2025-11-26T08:01:00Z",
            "at": "2025-11-26T08:04:00Z",
            "node": "edge-1",
            "url": "https://www.example.com",
        }
    )
    json.dumps(letters[0].document)


def test_an_alarm_that_is_over():
    """Says when it began."""
    (first, _) = of_alarm(transition("ok", 0.0, name="Storm"), "0123", "edge-1", None)

    assert first.subject == "OK: Storm"
    assert first.about == "Storm"
    assert first.document["text"] == (
        "OK: Storm: errors_5xx_percent is 0 % (it began 2025-11-26T08:01:00Z, node edge-1)"
    )


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("latency_p95", 0.25, "latency_p95 is 0.25 s"),
        ("bytes_downloaded", 1234567.0, "bytes_downloaded is 1234567 bytes"),
        ("requests", 0.0, "requests is 0 "),
    ],
)
def test_a_value_has_its_unit(metric, value, words):
    """As the metric has it."""
    letter = of_alarm(transition(metric=metric, value=value), "1", "n", None)[0]

    assert words in letter.document["text"]


def test_a_recipient_that_is_named_twice_gets_one_letter():
    """Within an alarm, and over all entries about a deployment."""
    twice = Notification(notify=(HOOK, HOOK, MAIL))

    assert len(of_alarm(transition(notify=(HOOK, HOOK)), "1", "n", None)) == 1
    assert [each.to for each in of_deploy(ended(), (twice, twice), "1", "n", None)] == [HOOK, MAIL]


def test_a_deployment_that_serves():
    """Every key of the documented JSON."""
    event = ended(message="Fix the <cart>")
    url = "https://www.example.com"
    (letter,) = of_deploy(event, (Notification(notify=(HOOK,)),), "0123", "edge-1", url)

    assert letter.subject == "shop main: 20251126-080100-5569a5 serves"
    assert letter.document == {
        "text": "shop main: 20251126-080100-5569a5 serves: Fix the ‹cart› (node edge-1)",
        "kind": "deploy",
        "id": "0123",
        "result": "deploy_succeeded",
        "app": "shop",
        "branch": "main",
        "deployment": "20251126-080100-5569a5",
        "message": "Fix the <cart>",
        "reason": "",
        "at": "2025-11-26T08:01:00Z",
        "node": "edge-1",
        "url": url,
    }


def test_a_deployment_that_failed_says_why():
    """Instead of what its deployer wrote."""
    event = ended("failed", message="m", reason="redirects.json:1:3: no")
    (letter,) = of_deploy(event, (Notification(notify=(HOOK,)),), "1", "n", None)

    assert letter.document["result"] == "deploy_failed"
    assert letter.document["text"].endswith("5569a5 failed: redirects.json:1:3: no (node n)")


@pytest.mark.parametrize(
    ("options", "is_told"),
    [
        ({}, True),
        ({"app": "shop"}, True),
        ({"app": "blog"}, False),
        ({"branch": "main"}, False),
        ({"branch": "feature/*"}, True),
        ({"on": ("deploy_failed", "rolled_back")}, True),
        ({"on": ("deploy_succeeded",)}, False),
    ],
)
def test_who_wants_to_know(options, is_told):
    """By app, branch and occasion."""
    entry = Notification(notify=(HOOK,), **options)
    event = ended("rolled_back", branch="feature/login")

    assert bool(of_deploy(event, (entry,), "1", "n", None)) == is_told


def test_others_text_does_nothing():
    """No calls and links in chats, no lines in subjects, nothing without end."""
    event = ended(branch="x\r\nBcc: a@b.example", message="<!channel> \x1b[31m" + "y" * 5000)
    (letter,) = of_deploy(event, (Notification(notify=(HOOK,)),), "1", "n", None)

    assert "‹!channel›" in letter.document["text"]
    assert len(letter.document["text"]) <= 1000
    assert letter.document["text"].isprintable()
    assert letter.subject.isprintable()
    assert len(letter.subject) <= 150


def test_a_mail_says_the_same():
    """The sentence, then every key that says something."""
    (letter, _) = of_alarm(transition(app=None), "0123", "edge-1", None)
    written = lines(letter.document).splitlines()

    assert written[0] == letter.document["text"]
    assert "value: 12.35" in written
    assert not any(line.startswith(("app:", "url:", "text:")) for line in written)


def test_a_webhook_is_named_without_its_secret():
    """Neither path nor user."""
    assert (
        name_of("https://user:pw@hooks.slack.com/services/T/B/x?y") == "https://hooks.slack.com/…"
    )
    assert name_of("http://127.0.0.1:9000/x") == "http://127.0.0.1:9000/…"
    assert name_of(MAIL) == MAIL


def test_numbers_for_people():
    """Four digits, or all before the point."""
    assert [rounded(each) for each in (0.123456, 12.3456, 1234.5, 0.0)] == [0.1235, 12.35, 1234, 0]
    assert plain(" a\tb ", 10) == "a b"


def test_the_readme_shows_what_is_sent():
    """The same keys in the same order, and values of the same kind."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    blocks = [json.loads(each) for each in re.findall(r"```json\n(\{.*?)```", readme, re.DOTALL)]
    documented = {each["kind"]: each for each in blocks if "kind" in each}
    url = "https://www.example.com"
    (of_an_alarm, _) = of_alarm(transition(), "0123", "edge-1", url)
    entries = (Notification(notify=(HOOK,)),)
    (of_a_deploy,) = of_deploy(ended("failed"), entries, "0123", "edge-1", url)

    for letter in (of_an_alarm, of_a_deploy):
        shown = documented[letter.document["kind"]]
        assert list(shown) == list(letter.document)
        assert list(map(type, shown.values())) == list(map(type, letter.document.values()))


def test_the_readme_s_example_is_read():
    """Without a mistake, as people paste it."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (block,) = re.findall(r"```yaml\n(alarms:.*?)```", readme, re.DOTALL)
    settings, mistakes = decode_settings(block, "edge.yml")

    assert mistakes == []
    assert len(settings.alarms) == 3
