"""`edge.yml`: its defaults, and what two keys mean together."""

from __future__ import annotations

import msgspec
import pytest

from edge.site.alarms import Alarm, Smtp
from edge.site.documents import decode_settings
from edge.site.settings import AccountBinding, Acme, Dns, Listen, Settings

DEFAULTS = """\
state: var                        # artifacts, deployments, issued certificates, logs
apps: rules                       # one folder per app
certs: certs                      # the operator's own certificates: NAME.pem (key + chain)
workers: auto                     # auto = one per core
listen:
  http: ["127.0.0.1:8080"]
  https: []                       # ["0.0.0.0:443"]
  admin: "127.0.0.1:9901"         # or unix:/run/edge.sock
  public: []                      # where the world reaches the node, behind a router or balancer
default_domain: edge.localhost    # every branch answers at <branch>.<app>.<default_domain>
admin: {token_file: var/admin.token, hosts: []}
clients:
  trusted_proxies: []
  country_header: null
geoip: {database: null}
tls:
  mode: acme                      # acme | internal (own local CA, for development) | files
  acme: {directory: https://acme-v02.api.letsencrypt.org/directory, email: null, ca_file: null,
         challenges: [http-01, tls-alpn-01], eab: null, dns: null, profile: null,
         staging: https://acme-staging-v02.api.letsencrypt.org/directory, fallback: null}
  redirect_http: true             # where https is listened on
cache: {memory: 256MiB, max_object: 8MiB, heuristic: false}
limits: {}
access_log: {path: var/log/access.jsonl, format: json, rotate: 256MiB, keep_days: 14,
             max_total: 10GiB}
proxy: {allow: [], allow_private: false, ca_file: null, connect_to: {}}
alarms: []
notifications: []
smtp: null
tracing: null
"""

LIMITS = """\
limits:
  header_timeout: 10s
  request_line: 8KiB
  fields: 16KiB
  field_count: 100
  idle_timeout: 30s
  min_rate: 500
  keep_alive: 60s
  requests_per_connection: 1000
  h2_streams: 100
  h2_streams_per_connection: 1000
  connections: 10000
  drain: 30s
  archive_files: 100000
  archive_bytes: 10GiB
  archive_ratio: 100
  blob_bytes: 5GiB
"""

FULL = """\
workers: 2
listen: {http: ["0.0.0.0:80"], https: ["0.0.0.0:443", "[::]:443"], admin: unix:/run/edge.sock,
         public: [203.0.113.7, "2001:DB8::7"]}
admin: {hosts: [Edge.Example.com]}
clients: {trusted_proxies: [10.0.0.0/8], country_header: CloudFront-Viewer-Country}
tls:
  acme:
    challenges: [dns-01]
    dns: {command: [/usr/local/bin/set-txt, --zone], propagation: 5m}
    fallback: {directory: https://acme.zerossl.com/v2/DV90, eab: {kid: k, hmac_key_file: f},
               dns: {server: "ns.example.com:53", zone: _acme.Example.com, key_name: edge,
                     key_file: tsig.key, algorithm: hmac-sha512}}
proxy: {allow: ["127.0.0.1:3000"], connect_to: {"images.example.com:443": "127.0.0.1:9443"}}
alarms:
  - {app: shop, metric: errors_5xx, above: 10, for: 5m, notify: ["mailto:ops@example.com"]}
smtp: {host: mail.example.com, user: edge, password_file: smtp.pw, from: edge@example.com}
"""


def refusals(text):
    """Place and message of each mistake."""
    settings, mistakes = decode_settings(text, "edge.yml")
    assert settings is None
    return [(each.line, each.column, each.message) for each in mistakes]


@pytest.mark.parametrize("text", ["", DEFAULTS, LIMITS], ids=["empty", "contract", "limits"])
def test_the_defaults_are_the_contract_s(text):
    """An empty file, and every default written out, are the same settings."""
    assert decode_settings(text, "edge.yml") == (Settings(), [])


def test_every_key_of_the_contract_is_read():
    """Values other than the defaults arrive in their types, sizes as bytes, times as seconds."""
    settings, mistakes = decode_settings(FULL, "edge.yml")

    assert mistakes == []
    assert settings.workers == 2
    assert settings.listen.https == ("0.0.0.0:443", "[::]:443")
    assert settings.listen.admin == "unix:/run/edge.sock"
    assert settings.listen.public == ("203.0.113.7", "2001:db8::7")
    assert settings.admin.hosts == ("edge.example.com",)
    assert settings.clients.trusted_proxies == ("10.0.0.0/8",)
    assert settings.tls.acme == Acme(
        challenges=("dns-01",),
        dns=Dns(command=("/usr/local/bin/set-txt", "--zone"), propagation=300.0),
        fallback=Acme(
            directory="https://acme.zerossl.com/v2/DV90",
            eab=AccountBinding(kid="k", hmac_key_file="f"),
            dns=Dns(
                server="ns.example.com:53",
                zone="_acme.example.com",
                key_name="edge",
                key_file="tsig.key",
                algorithm="hmac-sha512",
            ),
        ),
    )
    assert settings.proxy.connect_to == {"images.example.com:443": "127.0.0.1:9443"}
    assert settings.alarms == (
        Alarm(
            app="shop",
            metric="errors_5xx",
            above=10.0,
            lasting=300.0,
            notify=("mailto:ops@example.com",),
        ),
    )
    assert settings.smtp == Smtp(
        host="mail.example.com", sender="edge@example.com", user="edge", password_file="smtp.pw"
    )


@pytest.mark.parametrize("text", ["", FULL], ids=["defaults", "full"])
def test_settings_survive_a_generation(text):
    """Settings are the same after a round trip through the JSON of a stored generation."""
    settings, _ = decode_settings(text, "edge.yml")

    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings


def test_a_newer_key_in_a_generation_is_refused():
    """A program that does not know a stored key does not serve without what it protects."""
    with pytest.raises(msgspec.ValidationError, match="unknown field `guard`"):
        msgspec.json.decode(b'{"guard": true}', type=Settings)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (
            'listen: {http: ["127.0.0.1:80"], https: ["127.0.0.1:080"]}',
            (1, 9, "listen: 127.0.0.1:80 is listened on twice"),
        ),
        (
            'listen: {admin: "127.0.0.1:8080"}',
            (1, 9, "listen: 127.0.0.1:8080 is listened on twice"),
        ),
        ("tls: {acme: {challenges: []}}", (1, 13, "tls.acme: there are no challenges")),
        ("tls: {acme: {challenges: [dns-01]}}", (1, 13, "tls.acme: dns-01 needs the key 'dns'")),
        ("tls: {acme: {dns: {command: []}}}", (1, 19, "tls.acme.dns: the command is empty")),
        (
            "tls: {acme: {dns: {}}}",
            (1, 19, "tls.acme.dns: there is exactly one of 'command' and 'server'"),
        ),
        (
            "tls: {acme: {dns: {command: [a], server: 'b:53', key_name: k, key_file: f}}}",
            (1, 19, "tls.acme.dns: there is exactly one of 'command' and 'server'"),
        ),
        (
            "tls: {acme: {dns: {server: 'b:53', key_name: k}}}",
            (1, 19, "tls.acme.dns: 'server' needs 'key_name' and 'key_file'"),
        ),
        (
            "tls: {acme: {dns: {server: 'b:53', key_file: f}}}",
            (1, 19, "tls.acme.dns: 'server' needs 'key_name' and 'key_file'"),
        ),
        (
            "tls: {acme: {dns: {command: [a], zone: example.com}}}",
            (1, 19, "tls.acme.dns: 'zone' and the key go with 'server'"),
        ),
        (
            "tls: {acme: {dns: {command: [a], key_file: f}}}",
            (1, 19, "tls.acme.dns: 'zone' and the key go with 'server'"),
        ),
        ("tls: {acme: {fallback: {}}}", (1, 13, "tls.acme: the fallback is the same authority")),
        (
            "access_log: {format: xml}",
            (1, 22, "access_log.format: 'xml' is not one of json, csv, combined"),
        ),
    ],
)
def test_keys_that_contradict_each_other_are_refused(text, refusal):
    """A combination that could never work is refused where it is written."""
    assert refusals(text) == [refusal]


def test_port_zero_is_a_new_port_each_time():
    """Two listeners on port 0 do not collide."""
    text = 'listen: {http: ["127.0.0.1:0"], https: ["127.0.0.1:0"], admin: "127.0.0.1:0"}'

    assert decode_settings(text, "edge.yml")[1] == []


def test_an_admin_api_that_others_reach():
    """It speaks TLS then."""
    remote = {address: Listen(admin=address).is_admin_remote for address in (
        "127.0.0.1:9901", "unix:/run/edge.sock", "0.0.0.0:9901", "[::1]:1", "node.example:1",
    )}  # fmt: skip

    assert list(remote.values()) == [False, False, True, False, True]
