"""What other machines are asked: a name server and an authority that say what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import os
import threading
import time

import pytest

from edge.control import doctor_names
from edge.control.doctor_names import (
    check_clock,
    check_names,
    check_told,
    judge_clock,
    judge_files,
    told,
    within,
)
from edge.http.fields import format_http_date
from edge.site.settings import Acme, Alarm, Listen, Settings, Smtp, Tls
from tests.support_control import new_store, publish, write_app
from tests.support_dns import MiniDns
from tests.support_doctor import patient_of

FAR = 10_000.0


@pytest.fixture
async def dns(monkeypatch):
    """The only name server there is."""
    async with MiniDns.serving() as server:
        monkeypatch.setattr(doctor_names, "Resolver", lambda **_: server.resolver())
        yield server


async def found(check, patient):
    """Its findings, asked for in a thread as the command line does: in no loop."""
    return await asyncio.to_thread(lambda: list(check(patient)))


async def test_names_of_this_machine(tmp_path, dns):
    """Nothing is asked."""
    (finding,) = await found(check_names, patient_of(tmp_path))

    assert finding.level == "ok"
    assert dns.asked == []


async def test_a_default_domain_that_leads_nowhere(tmp_path, dns):
    """Before the first deploy, too: any name of it is as good."""
    dns.missing.add("main.app.edge.example.com")
    settings = Settings(default_domain="edge.example.com", listen=Listen(public=("203.0.113.7",)))

    (finding,) = await found(check_names, patient_of(tmp_path, settings))

    assert finding.level == "wrong"
    assert finding.text == "main.app.edge.example.com: the name does not exist (NXDOMAIN)"
    assert finding.remedy.startswith("set *.edge.example.com A 203.0.113.7; ")


async def test_domains_of_apps(tmp_path, dns):
    """One leads elsewhere, one here; the machine's own are not asked for."""
    store = new_store(tmp_path, "listen: {public: [203.0.113.7]}\n")
    domains = 'domains: {shop.test: {subdomains: {"": main, www: main}}}\n'
    write_app(tmp_path, "shop", domains)
    store.reload()
    publish(store, "shop", "main", {"index.html": "x"})
    dns.records |= {("shop.test", "A"): ["203.0.113.7"], ("www.shop.test", "A"): ["198.51.100.1"]}
    settings = Settings(listen=Listen(public=("203.0.113.7",)))

    (finding,) = await found(check_names, patient_of(tmp_path, settings))
    dns.records["www.shop.test", "A"] = ["203.0.113.7"]
    (after,) = await found(check_names, patient_of(tmp_path, settings))

    assert finding.text == "www.shop.test: leads to 198.51.100.1, not to this node"
    assert finding.level == "wrong"
    assert (after.level, after.text) == ("ok", "2 of 3 hostnames were looked for, and resolve")


async def test_more_names_than_are_told(tmp_path, dns):
    """Five of them, and how many more; where the node is reached is not known either."""
    names = ", ".join(f"w{number}: main" for number in range(7))
    store = new_store(tmp_path)
    write_app(tmp_path, "shop", f"domains: {{shop.test: {{subdomains: {{{names}}}}}}}\n")
    store.reload()
    publish(store, "shop", "main", {"index.html": "x"})

    findings = await found(check_names, patient_of(tmp_path))

    assert [each.level for each in findings] == [*["wrong"] * 6, "warning"]
    assert findings[5].text == "and 2 more hostnames"
    assert findings[6].remedy == "write listen.public into edge.yml"


def test_what_is_silent_is_given_up():
    """Whoever waits has his answer in time; an error is no answer."""
    never = threading.Event()

    assert within(lambda: never.wait(FAR), 0.01) is None
    assert within(lambda: int("x")) is None
    assert within(lambda: 7) == 7
    never.set()


def test_whom_the_node_tells_things(tmp_path):
    """Webhooks and the mail server have to be found; a mail address is the server's affair."""
    alarm = Alarm(
        metric="requests",
        above=1.0,
        notify=("https://nowhere.invalid/hook", "mailto:ops@example.com"),
    )
    smtp = Smtp(host="localhost", sender="edge@example.com")
    settings = Settings(alarms=(alarm,), smtp=smtp)

    findings = list(check_told(patient_of(tmp_path, settings)))

    assert told(settings) == {"nowhere.invalid": "alarms.notify", "localhost": "smtp.host"}
    assert [each.text for each in findings] == [
        "localhost resolves (smtp.host)",
        "nowhere.invalid does not resolve: nobody is told",
    ]
    assert list(check_told(patient_of(tmp_path))) == []


def test_files_of_the_future(tmp_path):
    """A clock that was put back is behind the files that it dated."""
    (tmp_path / "var").mkdir()
    lock = tmp_path / "var" / "lock"
    lock.touch()
    os.utime(lock, (time.time() + 5000, time.time() + 5000))

    (finding,) = check_clock(patient_of(tmp_path))

    assert finding.level == "wrong"
    assert finding.text.endswith(f"s behind the time when {lock} was written")
    assert judge_files(100.0, 110.0, lock).level == "ok"


@contextlib.contextmanager
def authority(skew: float):
    """A directory whose clock is so far ahead of ours."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response_only(200)
            date = format_http_date(int(time.time() + skew)).decode()
            self.send_header("Date", date)
            self.end_headers()

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/dir"
        server.shutdown()


@pytest.mark.parametrize(
    ("skew", "level"), [(0, "ok"), (120, "warning"), (-4000, "wrong"), (None, "warning")]
)
def test_the_clock_of_the_authority(tmp_path, skew, level):
    """Compared by the Date of its answer; one that does not answer says nothing of the clock."""
    with authority(skew or 0) as url:
        directory = "http://127.0.0.1:1/" if skew is None else url
        settings = Settings(
            listen=Listen(https=("127.0.0.1:443",)), tls=Tls(acme=Acme(directory=directory))
        )

        _, finding = check_clock(patient_of(tmp_path, settings))

    assert finding.level == level


def test_which_way_the_clock_is_wrong():
    """Ahead or behind, and by how much."""
    assert judge_clock(1000.0, 400.0, "ca.test").text == "the clock is 600 s ahead of ca.test's"
    assert judge_clock(400.0, 500.0, "ca.test").text == "the clock is 100 s behind ca.test's"
