"""TXT records for dns-01: by dynamic update of a real BIND, and by a program."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from edge.control.dns_records import DnsRecords, Hook, record_name
from edge.control.issuance import Challenge
from edge.control.resolver import Resolver
from edge.errors import StoreError
from edge.site.settings import Dns
from tests.support import eventually
from tests.support_dns import KEY_NAME, SECRET, Bind, MiniDns, bind

FIXTURES = (bind,)


def challenge(key_authorization: str = "token.thumbprint") -> Challenge:
    """What has to be shown."""
    return Challenge("dns-01", "token", key_authorization)


@pytest.fixture
def key(tmp_path):
    """The folder of an `edge.yml`, with the key."""
    file = tmp_path / "tsig.key"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    return tmp_path


def settings(bind: Bind, **more) -> Dns:
    """Updates of this BIND."""
    defaults = {"key_name": KEY_NAME, "key_file": "tsig.key", "propagation": 10.0}
    return Dns(server=f"{bind.host}:{bind.port}", **defaults | more)


def records(bind: Bind, root, **more) -> DnsRecords:
    """The answerer by updates."""
    return DnsRecords(settings(bind, **more), root, bind.resolver(patience_s=10))


def value_of(key_authorization: str) -> str:
    """The record's value, by another program than ours."""
    script = "printf %s \"$1\" | openssl dgst -sha256 -binary | base64 | tr '+/' '-_' | tr -d '='"
    command = ["sh", "-c", script, "sh", key_authorization]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_name_and_value():
    """As the authority looks them up; a wildcard is shown at its base."""
    assert record_name("*.example.com") == record_name("example.com")
    assert record_name("example.com") == "_acme-challenge.example.com"
    assert challenge().dns_value == value_of("token.thumbprint")


# Updates


async def test_a_record_comes_and_goes(bind, key):
    """The zone is found by itself; afterwards the name is as empty as before."""
    answerer = records(bind, key)

    await answerer.present("a.delegated.test", challenge())
    shown = bind.texts("_acme-challenge.a.delegated.test")
    await answerer.cleanup("a.delegated.test", challenge())

    assert shown == [value_of("token.thumbprint")]
    assert bind.texts("_acme-challenge.a.delegated.test") == []


async def test_a_name_and_its_wildcard_at_once(bind, key):
    """Two values on one name, set together; each goes alone, and a stranger's stays."""
    one, two, stranger = challenge("one"), challenge("two"), challenge("stranger")
    answerer = records(bind, key)
    await answerer.present("b.delegated.test", stranger)

    await asyncio.gather(
        answerer.present("b.delegated.test", one), answerer.present("*.b.delegated.test", two)
    )
    both = bind.texts("_acme-challenge.b.delegated.test")
    await answerer.cleanup("b.delegated.test", one)
    later = bind.texts("_acme-challenge.b.delegated.test")

    assert both == sorted(map(value_of, ["one", "two", "stranger"]))
    assert later == sorted(map(value_of, ["two", "stranger"]))


async def test_cleaning_up_twice_is_no_mistake(bind, key):
    """Also by a process that did not present: the one before may have died."""
    await records(bind, key).present("c.delegated.test", challenge())

    await records(bind, key).cleanup("c.delegated.test", challenge())
    await records(bind, key).cleanup("c.delegated.test", challenge())

    assert bind.texts("_acme-challenge.c.delegated.test") == []


async def test_a_cname_is_followed(bind, key):
    """The record is written where it ends, in another zone; the alias itself is not touched."""
    answerer = records(bind, key)

    await answerer.present("shop.example.test", challenge())
    shown = bind.texts("shop.delegated.test")
    await answerer.cleanup("shop.example.test", challenge())

    assert shown == [value_of("token.thumbprint")]
    assert bind.texts("shop.delegated.test") == []


async def test_a_zone_by_its_name(bind, key):
    """And the server by its own; the zone is not asked for."""
    dns = settings(bind, zone="delegated.test")
    dns = msgspec.structs.replace(dns, server=f"localhost:{bind.port}")
    answerer = DnsRecords(dns, key, bind.resolver())

    await answerer.present("d.delegated.test", challenge())

    assert bind.texts("_acme-challenge.d.delegated.test") == [value_of("token.thumbprint")]


@pytest.mark.parametrize(
    ("identifier", "more", "message"),
    [
        (
            "a.fixed.test",
            {},
            r"refused to change fixed\.test \(REFUSED\); let its update-policy grant TXT in fixed",
        ),
        (
            "a.fixed.test",
            {"zone": "delegated.test"},
            r"is not in the zone delegated\.test, .*; make _acme-challenge of the name a CNAME to ",
        ),
        (
            "a.fixed.test",
            {"zone": "a.fixed.test"},
            r"\(NOTAUTH\); name the zone's primary in tls\.acme\.dns\.server, or correct the zone ",
        ),
        ("e.delegated.test", {"key_name": "nobody"}, r"does not accept the key nobody .*; compare"),
        (
            "e.delegated.test",
            {"algorithm": "hmac-sha512"},
            r"does not accept the key edge-key .*; compare its name",
        ),
        ("e.delegated.test", {"key_file": "none"}, r"none cannot be read: No such file.*; correct"),
        ("lost.example.test", {}, r"cannot be told: at lost\.nobody\.invalid .*SERVFAIL.*dig TXT"),
    ],
)
async def test_what_cannot_be_written_says_what_to_do(bind, key, identifier, more, message):
    """Each with the server's own word and a remedy; the secret is in none of them."""
    with pytest.raises(StoreError, match=message) as caught:
        await records(bind, key, **more).present(identifier, challenge())

    assert SECRET not in str(caught.value)


async def test_a_zone_that_the_server_does_not_have(bind, key):
    """It is not guessed from what others say."""
    async with MiniDns.serving() as world:
        answerer = DnsRecords(settings(bind), key, world.resolver())

        with pytest.raises(StoreError, match=r"has no zone that _acme-challenge\.x\.invalid is in"):
            await answerer.present("x.invalid", challenge())


async def test_a_server_that_is_not_there(bind, key):
    """Nobody listens, or nobody has that name."""
    for server, message in [
        (f"127.0.0.3:{bind.port}", r"cannot be asked by TCP: .*; see whether it runs"),
        ("nobody.invalid:53", r"nobody\.invalid:53 is not found: .*; write its address"),
    ]:
        dns = msgspec.structs.replace(settings(bind), server=server)
        with pytest.raises(StoreError, match=message):
            await DnsRecords(dns, key, bind.resolver()).present("a.delegated.test", challenge())


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (SECRET, 0o640, r"others may read the key .*tsig\.key; run chmod 600 .*tsig\.key"),
        ("no base64!", 0o600, r"tsig\.key holds no secret; write what tsig-keygen has"),
        ("\n", 0o600, r"tsig\.key holds no secret"),
        ("ZWRnZQ==", 0o600, r"does not accept the key edge-key .*; compare"),
    ],
)
async def test_a_secret_that_cannot_be_used(bind, key, content, mode, message):
    """Nothing of it is repeated."""
    (key / "tsig.key").write_text(content)
    (key / "tsig.key").chmod(mode)

    with pytest.raises(StoreError, match=message) as caught:
        await records(bind, key).present("a.delegated.test", challenge())

    assert content.strip() == "" or content not in str(caught.value)


# Waiting


async def test_every_server_has_to_show_it(bind, key):
    """One that lags is asked until it shows the value, and no other one will do."""
    name, value = "_acme-challenge.late.example.test", value_of("token.thumbprint")
    async with MiniDns.serving(bind.port) as lagging:
        lagging.records[name, "TXT"] = [value_of("another"), value]
        lagging.lag[name] = 3

        await records(bind, key).present("late.example.test", challenge())

        assert lagging.lag[name] == 0
        assert len(lagging.asked) >= 4


async def test_a_server_that_never_shows_it(bind, key):
    """Ends in time; the error names the server and what it says."""
    name = "_acme-challenge.never.example.test"
    async with MiniDns.serving(bind.port) as lagging:
        for said, message in [
            ({}, r"ns2\.example\.test \(the name has no such records\); mend its transfers"),
            ({(name, "TXT"): ["old"]}, r"after 2 s .*: ns2\.example\.test \(other values only"),
        ]:
            lagging.records = said
            with pytest.raises(StoreError, match=message) as caught:
                await records(bind, key, propagation=2.0).present("never.example.test", challenge())
            assert "ns1" not in str(caught.value)


async def test_a_dead_server_costs_time_and_nothing_else(bind, key, caplog):
    """Resolvers pass over it as well; the log names it."""
    asking = bind.resolver(patience_s=10)
    asking.txt = bind.resolver(patience_s=0.4).txt  # who is silent is so within a moment
    with caplog.at_level(logging.WARNING, "edge.dns"):
        await DnsRecords(settings(bind), key, asking).present("dead.example.test", challenge())

    assert [each.getMessage() for each in caplog.records] == [
        "_acme-challenge.dead.example.test is taken to be there; silent: ns2.example.test"
    ]


async def test_nobody_answers(bind, key):
    """Silence of all servers shows nothing: the wait ends with an error."""
    async with MiniDns.serving() as world:
        for kind in ("SOA", "NS"):
            world.records["e.delegated.test", kind] = ["ns.e.delegated.test"]
        world.records["ns.e.delegated.test", "A"] = ["127.0.0.3"]
        asking, hasty = (
            Resolver([(world.host, world.port)], authority_port=bind.port, patience_s=patience_s)
            for patience_s in (10, 0.1)
        )
        asking.txt = hasty.txt
        dns = settings(bind, propagation=3.0, zone="delegated.test")
        answerer = DnsRecords(dns, key, asking)

        with pytest.raises(StoreError, match=r"ns\.e\.delegated\.test \(no name server answered"):
            await answerer.present("e.delegated.test", challenge())


async def test_a_zone_that_nobody_serves(bind, key):
    """It was written, and no resolver of the world would find it."""
    async with MiniDns.serving() as world:
        answerer = DnsRecords(settings(bind), key, world.resolver())

        with pytest.raises(StoreError, match=r"nobody is to be found who would show it \(the name"):
            await answerer.present("f.delegated.test", challenge())


# The program


SCRIPT = f"""#!{sys.executable} -IS
import json, os, sys
with open("calls", "a") as file:
    file.write(json.dumps([sys.argv[1:], sorted(os.environ), os.getcwd()]) + "\\n")
"""


def write_hook(folder, body, name="set-txt"):
    """A program in the folder of the config."""
    file = folder / name
    file.write_text(body)
    file.chmod(0o755)
    return f"./{name}"


def nsupdate(bind: Bind, key) -> str:
    """A hook that does what operators' hooks do: BIND's own client."""
    return f"""#!/bin/sh
case "$1" in present) verb=add ttl=60;; cleanup) verb=delete ttl=;; esac
nsupdate -y hmac-sha256:{KEY_NAME}:{SECRET} <<END
server {bind.host} {bind.port}
update $verb $2. $ttl TXT $3
send
END
"""


async def test_a_program_sets_a_record(bind, tmp_path):
    """It is waited for as an update is, over the CNAME too, and two values live side by side."""
    command = write_hook(tmp_path, nsupdate(bind, tmp_path))
    answerer = DnsRecords(Dns(command=(command,), propagation=10.0), tmp_path, bind.resolver())

    await asyncio.gather(
        answerer.present("shop.example.test", challenge("one")),
        answerer.present("*.shop.example.test", challenge("two")),
    )
    shown = bind.texts("shop.delegated.test")
    await answerer.cleanup("shop.example.test", challenge("one"))
    later = bind.texts("shop.delegated.test")
    await answerer.cleanup("*.shop.example.test", challenge("two"))

    assert shown == sorted(map(value_of, ["one", "two"]))
    assert later == [value_of("two")]
    assert bind.texts("shop.delegated.test") == []


async def test_what_a_program_is_given(tmp_path, monkeypatch):
    """The operator's arguments first, nothing through a shell, and nothing of our environment."""
    monkeypatch.setenv("SECRET_OF_THE_NODE", "x")
    hook = Hook(Dns(command=(write_hook(tmp_path, SCRIPT), "--zone", "$(id)")), tmp_path)

    await hook.write("present", "_acme-challenge.example.com", "-value;x")

    arguments, environment, folder = msgspec.json.decode((tmp_path / "calls").read_bytes())
    assert arguments == [
        "--zone",
        "$(id)",
        "present",
        "_acme-challenge.example.com",
        "-value;x",
    ]
    assert set(environment) <= {"PATH", "HOME", "LANG", "LC_CTYPE"}
    assert folder == str(tmp_path)


async def test_a_program_is_called_once_at_a_time(tmp_path):
    """What reads and writes back loses nothing."""
    body = "#!/bin/sh\nmkdir busy || exit 9\nsleep 0.05\nrmdir busy\n"
    hook = Hook(Dns(command=(write_hook(tmp_path, body),)), tmp_path)

    await asyncio.gather(*(hook.write("present", "a", str(number)) for number in range(4)))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo first >&2; echo 'no such zone' >&2; echo >&2; exit 3", "ended with 3: no such zone"),
        ("echo out; exit 1", "ended with 1: it said nothing on stderr; run it by hand"),
        ("kill -9 $$", "was ended by signal 9: it said nothing"),
        (r"printf '\033[31mred\377\n' >&2; exit 1", r"ended with 1: �\[31mred�;"),
        ("head -c 100000 /dev/zero | tr '\\0' y >&2; exit 1", "ended with 1: y{300};"),
    ],
)
async def test_a_program_that_fails(tmp_path, body, message):
    """Its last line is the reason, as far as a person can read it."""
    hook = Hook(Dns(command=(write_hook(tmp_path, f"#!/bin/sh\n{body}\n"),)), tmp_path)

    with pytest.raises(StoreError, match=message):
        await hook.write("present", "a.example.com", "v")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("./nothing", r"\./nothing cannot be run: No such file or directory; correct tls\.acme"),
        ("./file", r"\./file cannot be run: Permission denied"),
    ],
)
async def test_a_program_that_cannot_be_run(tmp_path, command, message):
    """It is not there, or is none."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(StoreError, match=message):
        await Hook(Dns(command=(command,)), tmp_path).write("present", "a", "v")


async def test_a_program_that_hangs_is_ended(tmp_path):
    """With everything it started; the error has what it said so far."""
    body = "#!/bin/sh\nsleep 600 & echo $! > child\necho asking >&2\nwait\n"
    hook = Hook(Dns(command=(write_hook(tmp_path, body),)), tmp_path, patience_s=0.5)
    begun = time.monotonic()

    with pytest.raises(StoreError, match=r"present was still running after 0\.5 s .*: asking"):
        await hook.write("present", "a", "v")

    child = int((tmp_path / "child").read_text())
    assert time.monotonic() - begun < 10
    eventually(lambda: not is_alive(child))


async def test_what_a_program_leaves_behind_is_not_waited_for(tmp_path):
    """A child that holds stderr open is no reason to wait."""
    body = "#!/bin/sh\nsleep 600 & echo $! > child\n"
    hook = Hook(Dns(command=(write_hook(tmp_path, body),)), tmp_path, patience_s=20)

    await hook.write("present", "a", "v")

    os.kill(int((tmp_path / "child").read_text()), 9)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
