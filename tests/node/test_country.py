"""Countries by address: MaxMind's test database, other makers' forms, and files that change."""

from __future__ import annotations

import logging
import os
import shutil
import struct
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.node import country as module
from edge.node.country import CHECKED, Countries, code_of

DATABASE = Path(__file__).parents[1] / "data" / "GeoIP2-Country-Test.mmdb"
BRITISH = "81.2.69.142"
MARK = b"\xab\xcd\xefMaxMind.com"
DAMAGED = b"\xff\xff\xff\xff"
"""A record that is none."""


def encode(value):
    """A value of the data section; bytes are taken as they are."""
    match value:
        case bytes():
            return value
        case str():
            text = value.encode()
            size = bytes([2 << 5 | len(text)] if len(text) < 29 else [2 << 5 | 29, len(text) - 29])
            return size + text
        case int():
            return bytes([6 << 5 | 4]) + struct.pack(">I", value)
        case list():
            return bytes([len(value), 4]) + b"".join(map(encode, value))
    pairs = [encode(key) + encode(item) for key, item in value.items()]
    return bytes([7 << 5 | len(pairs)]) + b"".join(pairs)


def mmdb(records, version=6, kind="Test"):
    """
    A database of records by network.

    Source: MaxMind DB File Format Specification 2.0.
    """
    nodes, data = [[None, None]], b""
    for text, record in records.items():
        network = ip_network(text)
        width = network.prefixlen + (96 if network.version < version else 0)
        prefix = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        *way, last = map(int, f"{prefix:0{width}b}")
        at = 0
        for bit in way:
            if nodes[at][bit] is None:
                nodes[at][bit] = len(nodes)
                nodes.append([None, None])
            at = nodes[at][bit]
        nodes[at][last] = ~len(data)
        data += encode(record)
    count = len(nodes)
    sides = [count if side is None else side for node in nodes for side in node]
    tree = [struct.pack(">I", side if side >= 0 else count + 16 + ~side) for side in sides]
    metadata = {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1_700_000_000,
        "database_type": kind,
        "description": {},
        "ip_version": version,
        "languages": [],
        "node_count": count,
        "record_size": 32,
    }
    return b"".join(tree) + bytes(16) + data + MARK + encode(metadata)


def of(code):
    """A database where 192.0.2.0/24 is in this country."""
    return mmdb({"192.0.2.0/24": {"country": {"iso_code": code}}})


def put(path: Path, content: bytes) -> None:
    """Replace a file by renaming, as an updater does."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


@pytest.fixture
def path(tmp_path):
    """Where a database may be."""
    return tmp_path / "country.mmdb"


@pytest.fixture
def told(caplog):
    """The errors so far, on call."""
    caplog.set_level(logging.INFO, "edge.country")
    return lambda: [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]


# Look-ups


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (BRITISH, "GB"),
        ("::ffff:81.2.69.142", "GB"),
        ("::ffff:5102:458e", "GB"),
        ("89.160.20.112", "SE"),
        ("50.114.0.1", "US"),
        ("2001:218::1", "JP"),
        ("2001:220::1:2", "KR"),
        ("2A02:FFC0::", "GI"),
        # US by use, and military of the US in the Philippines: where the client is counts
        ("149.101.100.0", "US"),
        ("202.196.224.1", "PH"),
        # a record without a country
        ("214.1.1.1", None),
        # no record
        ("8.8.8.8", None),
        ("2606:4700::1111", None),
        ("10.0.0.1", None),
        ("127.0.0.1", None),
        ("::1", None),
        ("fe80::1%eth0", None),
        # no address
        ("", None),
        ("unix:", None),
        ("localhost", None),
        ("81.2.69", None),
        ("81.2.69.142:80", None),
        ("81.2.69.142/32", None),
        (" 81.2.69.142", None),
        ("٨1.2.69.142", None),
        ("\x00", None),
        pytest.param("fe80::1%" + "x" * 100_000, None, id="long"),
    ],
)
def test_an_address_has_a_country_or_none(address, expected):
    """Asked twice, as the second answer is remembered."""
    countries = Countries(DATABASE)

    assert countries.find(address) == expected
    assert countries.find(address) == expected


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        # MaxMind, DB-IP
        ({"country": {"iso_code": "US", "names": {"en": "United States"}}}, "US"),
        ({"country": {"iso_code": "us"}, "registered_country": {"iso_code": "FR"}}, "US"),
        ({"continent": {"code": "EU"}, "country": {"iso_code": "DE", "geoname_id": 1}}, "DE"),
        ({"registered_country": {"iso_code": "US"}}, ""),
        ({"represented_country": {"iso_code": "US"}}, ""),
        ({"country": {"names": {"en": "United States"}}}, ""),
        ({"country": {}}, ""),
        ({"country": {"iso_code": "ZZ"}}, ""),
        # IPinfo Lite, and its older databases
        ({"country": "United States", "country_code": "US", "continent_code": "NA"}, "US"),
        ({"country": "US", "country_name": "United States", "continent": "NA"}, "US"),
        ({"country_code": "us"}, "US"),
        ({"country": "United States"}, ""),
        ({"country": "", "country_code": ""}, ""),
        # anything else
        ({"asn": "AS64496"}, ""),
        ({"country": {"iso_code": 7}}, ""),
        ({"country": ["US"]}, ""),
        ({"country": {"iso_code": ["US"]}}, ""),
        ({"country": None, "country_code": {"US": "US"}}, ""),
        ({}, ""),
        (None, ""),
        ("US", ""),
        (["US"], ""),
        (7, ""),
    ],
)
def test_a_record_of_any_maker_is_read(record, expected):
    """Where the client is; not where its network is registered."""
    assert code_of(record) == expected


def test_databases_of_other_makers_are_read(path):
    """A flat record in an IPv6 tree that has no entrance for IPv4-mapped addresses."""
    path.write_bytes(
        mmdb(
            {
                "192.0.2.0/24": {"country": "Germany", "country_code": "DE"},
                "2001:db8::/32": {"country": "FR", "country_name": "France"},
            }
        )
    )
    countries = Countries(path)

    assert countries.find("192.0.2.200") == "DE"
    assert countries.find("::ffff:192.0.2.200") == "DE"
    assert countries.find("2001:db8:ffff::") == "FR"
    assert countries.find("192.0.3.0") is None


def test_a_database_of_ipv4_alone_knows_no_ipv6(path, told):
    """Unknown, and nothing to tell anybody."""
    path.write_bytes(mmdb({"192.0.2.0/24": {"country": {"iso_code": "US"}}}, version=4))
    countries = Countries(path)

    assert countries.find("192.0.2.1") == countries.find("::ffff:192.0.2.1") == "US"
    assert countries.find("2001:db8::1") is None
    assert told() == []


def test_without_a_database_every_country_is_unknown(told):
    """The default; nothing is looked for."""
    countries = Countries(None)
    countries.refresh()

    assert countries.find(BRITISH) is None
    assert told() == []


def test_what_is_remembered_is_bounded(monkeypatch):
    """Addresses, known and unknown; what is no address is not kept at all."""
    monkeypatch.setattr(module, "MAX_REMEMBERED", 5)
    countries = Countries(DATABASE)
    for number in range(23):
        countries.find(f"192.0.2.{number}")
    countries.find("nonsense")

    assert 0 < len(countries._database._answers) <= 5
    assert countries.find(BRITISH) == "GB"


# Files that change


def test_a_database_that_is_replaced_is_reopened(path, told):
    """Nothing happens before `refresh`; what was remembered is forgotten after it."""
    put(path, of("US"))
    countries = Countries(path)
    assert countries.find("192.0.2.1") == "US"
    put(path, of("CA"))
    assert countries.find("192.0.2.1") == "US"
    countries.refresh()
    assert countries.find("192.0.2.1") == "CA"
    assert told() == []


def test_a_file_of_the_same_size_and_time_is_another_one(path):
    """An updater that keeps times still makes a new file."""
    put(path, of("US"))
    os.utime(path, ns=(0, 0))
    countries = Countries(path)
    new = path.with_suffix(".new")
    new.write_bytes(of("CA"))
    os.utime(new, ns=(0, 0))
    new.replace(path)
    countries.refresh()

    assert countries.find("192.0.2.1") == "CA"


def test_a_database_that_is_overwritten_in_place_serves_on(path):
    """It is in memory: cutting the file off harms nobody, and what is written then is read."""
    shutil.copy(DATABASE, path)
    countries = Countries(path)
    with path.open("r+b") as file:
        file.truncate(0)
        assert countries.find(BRITISH) == "GB"
        file.write(of("CA"))
    countries.refresh()

    assert countries.find("192.0.2.1") == "CA"
    assert countries.find(BRITISH) is None


def test_an_unchanged_file_is_not_read_again(path):
    """A stat is all that a refresh costs."""
    put(path, of("US"))
    countries = Countries(path)
    database = countries._database
    countries.refresh()

    assert countries._database is database


WHOLE = DATABASE.read_bytes()
TORN = "is torn, or no MMDB file"
WITHOUT = f"has no country in its first {CHECKED} networks"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", TORN, id="empty"),
        pytest.param(b"<html>Please log in</html>", TORN, id="web page"),
        pytest.param(WHOLE[:-1_000], TORN, id="without its end"),
        pytest.param(WHOLE[:9_000], TORN, id="first half"),
        pytest.param(WHOLE[9_000:], TORN, id="second half"),
        pytest.param(bytes(50_000) + MARK, TORN, id="without metadata"),
        pytest.param(MARK + encode({"node_count": 1}), TORN, id="with little metadata"),
        pytest.param(mmdb({"192.0.2.0/24": DAMAGED}), TORN, id="damaged"),
        pytest.param(mmdb({"192.0.2.0/24": {"asn": "AS64496"}}), WITHOUT, id="of something else"),
        pytest.param(mmdb({}), WITHOUT, id="without networks"),
    ],
)
def test_a_broken_file_leaves_the_old_one_serving(path, told, content, problem):
    """It is told once, and the next good one is taken."""
    put(path, of("US"))
    countries = Countries(path)
    put(path, content)
    for _ in range(3):
        countries.refresh()
    assert countries.find("192.0.2.1") == "US"
    (message,) = told()
    assert f"{path} {problem}" in message
    assert message.endswith("the one before stays")
    put(path, of("CA"))
    countries.refresh()
    assert countries.find("192.0.2.1") == "CA"
    assert len(told()) == 1


def test_a_missing_file_is_told_once_and_taken_when_it_appears(path, told):
    """A node starts without its database, and gets it later."""
    countries = Countries(path)
    for _ in range(3):
        countries.refresh()
    assert countries.find("192.0.2.1") is None
    assert told() == [
        f"geoip.database: {path} cannot be read: No such file or directory; no country is known"
    ]
    put(path, of("US"))
    countries.refresh()
    assert countries.find("192.0.2.1") == "US"
    assert len(told()) == 1


def test_a_file_that_goes_away_leaves_its_database(path, told):
    """Told once each time; the same file is taken again when it is back."""
    put(path, of("US"))
    countries = Countries(path)
    aside = path.with_suffix(".aside")
    for _ in range(2):
        path.rename(aside)
        countries.refresh()
        countries.refresh()
        assert countries.find("192.0.2.1") == "US"
        aside.rename(path)
        countries.refresh()

    assert [message.rpartition("; ")[2] for message in told()] == ["the one before stays"] * 2


def test_what_is_no_file_is_not_opened(path, told):
    """A pipe would hold up the worker for ever."""
    os.mkfifo(path)
    countries = Countries(path)
    countries.refresh()
    path.unlink()
    path.mkdir()
    countries.refresh()

    assert countries.find(BRITISH) is None
    assert told() == [f"geoip.database: {path} is no file of up to 256 MiB; no country is known"]


def test_a_file_beyond_the_bound_is_not_read(path, told, monkeypatch):
    """Every worker would hold it."""
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 10)
    path.write_bytes(WHOLE)

    assert Countries(path).find(BRITISH) is None
    assert len(told()) == 1


def test_a_database_that_is_open_is_told(path, caplog):
    """What kind it is, and of which day."""
    caplog.set_level(logging.INFO, "edge.country")
    Countries(DATABASE)

    assert f"{DATABASE} is GeoIP2-Country of 2026-02-04" in caplog.text


# Damage that opening does not find


def test_a_damaged_record_is_unknown_and_told_once(path, told):
    """The rest answers on."""
    path.write_bytes(mmdb({"192.0.2.0/24": {"country_code": "US"}, "203.0.113.0/24": DAMAGED}))
    countries = Countries(path)

    assert [countries.find(f"203.0.113.{number}") for number in range(9)] == [None] * 9
    assert countries.find("192.0.2.1") == "US"
    (message,) = told()
    assert "damaged at 203.0.113.0," in message


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(max_size=8)), max_size=9),
    st.ip_addresses().map(str) | st.sampled_from([BRITISH, "2a02:ffc0::", "2001:220::1"]),
)
def test_no_damage_makes_a_look_up_fail(tmp_path, damages, address):
    """Whatever bytes of the file are others, there is a code or none."""
    content = bytearray(WHOLE)
    for at, data in damages:
        content[at : at + len(data)] = data
    path = tmp_path / "damaged.mmdb"
    path.write_bytes(content)
    code = Countries(path).find(address)

    assert code is None or code in module.COUNTRIES
