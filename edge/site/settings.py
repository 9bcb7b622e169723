"""
`edge.yml` as a typed document: every key with its default, none of it compiled.

Here: what the operator of the node wrote. Not here: how it is read (`reading`), what one value may
say (`schema`), an app's own file (`documents`). Attributes are the operator's keys; sizes are
bytes and durations seconds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edge.site.alarms import Alarm, Notification, Smtp
from edge.site.hosts import is_loopback
from edge.site.limits import Limits
from edge.site.schema import (
    AdminSocket,
    Collector,
    Count,
    DefaultDomain,
    DnsName,
    Document,
    Email,
    FieldName,
    Host,
    IpAddress,
    Network,
    PositiveSize,
    Share,
    Size,
    Socket,
    Text,
    Timeout,
    Url,
    Workers,
)

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


class Listen(Document, frozen=True, kw_only=True):
    """Where the node takes connections."""

    http: tuple[Socket, ...] = ("127.0.0.1:8080",)
    """Addresses in clear text."""
    https: tuple[Socket, ...] = ()
    """Addresses with TLS."""
    admin: AdminSocket = "127.0.0.1:9901"
    """Address of the admin API, or `unix:` and a path."""
    public: tuple[IpAddress, ...] = ()
    """Where the world reaches this node; without any, the global addresses of this machine."""

    @property
    def ports(self) -> frozenset[int]:
        """Where requests arrive."""
        return frozenset(int(each.rpartition(":")[2]) for each in (*self.http, *self.https))

    @property
    def is_admin_remote(self) -> bool:
        """Whether others than this machine reach the admin API: it speaks TLS then."""
        host = self.admin.rpartition(":")[0]
        return not self.admin.startswith("unix:") and not is_loopback(host)

    def __post_init__(self) -> None:
        """One address, one listener; port 0 is a new one each time."""
        addresses = [each for each in (*self.http, *self.https, self.admin) if each[-2:] != ":0"]
        for address in addresses:
            if addresses.count(address) > 1:
                raise ValueError(f"{address} is listened on twice", "give each its own port")


class Admin(Document, frozen=True, kw_only=True):
    """Who may use the admin API."""

    token_file: Text = "var/admin.token"  # noqa: S105 - a path, not a password
    """Created with a new token when it is missing."""
    hosts: tuple[Host, ...] = ()
    """Host names that requests may use besides the listener's own address."""


class Clients(Document, frozen=True, kw_only=True):
    """What is believed about a client."""

    trusted_proxies: tuple[Network, ...] = ()
    """Networks whose X-Forwarded-For and -Proto are believed."""
    country_header: FieldName | None = None
    """Field with the client's country, believed from trusted_proxies alone."""


class GeoIP(Document, frozen=True, kw_only=True):
    """Where countries come from."""

    database: Text | None = None
    """A country database in MMDB format."""


class AccountBinding(Document, frozen=True, kw_only=True):
    """What a CA gives its customers to bind an ACME account. Source: RFC 8555 §7.3.4."""

    kid: Text
    """The key's identifier."""
    hmac_key_file: Text
    """File with the key in base64url."""


class Dns(Document, frozen=True, kw_only=True):
    """
    How TXT records for dns-01 are set: by a program of the operator's, or by dynamic update.

    Source: RFC 8555 §8.4; RFC 2136 and RFC 8945 for the update and its key.
    """

    command: tuple[Text, ...] | None = None
    """Called with `present` or `cleanup`, the record's name and its value."""
    server: Socket | None = None
    """The name server that takes updates, as a rule the zone's primary."""
    zone: DnsName | None = None
    """The zone that is updated; None is the one that `server` says a record is in."""
    key_name: DnsName | None = None
    """The key's name, as the name server knows it."""
    key_file: Text | None = None
    """File with the key in base64, for its owner alone."""
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    """What the key is for."""
    propagation: Timeout = 120.0
    """How long the authoritative servers may take to show a record."""

    def __post_init__(self) -> None:
        """One way to set a record, and all that it takes."""
        if self.command == ():
            raise ValueError("the command is empty", "write [/usr/local/bin/set-txt]")
        if (self.command is None) == (self.server is None):
            remedy = "write command: [/usr/local/bin/set-txt], or server: 127.0.0.1:53 and a key"
            raise ValueError("there is exactly one of 'command' and 'server'", remedy)
        has_key = self.key_name is not None and self.key_file is not None
        if self.server is not None and not has_key:
            remedy = "make one with tsig-keygen; its secret is all that the file holds"
            raise ValueError("'server' needs 'key_name' and 'key_file'", remedy)
        if self.command is not None and (self.zone or self.key_name or self.key_file):
            raise ValueError("'zone' and the key go with 'server'", "leave them out")


class Acme(Document, frozen=True, kw_only=True):
    """A certificate authority, and how it is shown control of a name."""

    directory: Url = "https://acme-v02.api.letsencrypt.org/directory"
    """The authority's directory."""
    email: Email | None = None
    """Where it may write about certificates."""
    ca_file: Text | None = None
    """Extra roots for the connection to the authority itself."""
    challenges: tuple[Literal["http-01", "tls-alpn-01", "dns-01"], ...] = ("http-01", "tls-alpn-01")
    """Tried in this order."""
    eab: AccountBinding | None = None
    """External account binding, where the authority asks for one."""
    dns: Dns | None = None
    """What sets records for dns-01."""
    profile: Text | None = None
    """Certificate profile, where the authority advertises it."""
    staging: Url | None = "https://acme-staging-v02.api.letsencrypt.org/directory"
    """Directory to validate against after a failure, before production is tried again."""
    fallback: Acme | None = None
    """A second authority."""

    def __post_init__(self) -> None:
        """Combinations that could never get a certificate."""
        if not self.challenges:
            raise ValueError("there are no challenges", "write [http-01]")
        if "dns-01" in self.challenges and self.dns is None:
            raise ValueError(
                "dns-01 needs the key 'dns'", "write dns: {server: …} or {command: […]}"
            )
        if self.fallback and self.fallback.directory == self.directory:
            raise ValueError("the fallback is the same authority", "give it another directory")


class Tls(Document, frozen=True, kw_only=True):
    """Where certificates come from."""

    mode: Literal["acme", "internal", "files"] = "acme"
    """A public authority, an own local one for development, or the folder `certs` alone."""
    acme: Acme = Acme()
    redirect_http: bool = True
    """Whether http answers with a redirect where https is listened on."""


ClientDirective = Literal[
    "max-age", "max-stale", "min-fresh", "no-cache", "no-store", "only-if-cached"
]


class CacheSettings(Document, frozen=True, kw_only=True):
    """Stored responses of the whole node."""

    memory: Size = 256 * MIB
    """All workers together."""
    max_object: Size = 8 * MIB
    """The largest response that is stored."""
    heuristic: bool = False
    """Whether responses without freshness get 10 % of their age (RFC 9111 §4.2.2)."""
    client_directives: tuple[ClientDirective, ...] = ()
    """Directives in a request's Cache-Control that are obeyed (RFC 9111 §5.2.1)."""


class AccessLog(Document, frozen=True, kw_only=True):
    """The record of requests."""

    path: Text | None = "var/log/access.jsonl"
    """The file; without one there is no access log."""
    format: Literal["json", "csv", "combined"] = "json"
    """JSON lines have everything; the others are made of them, at a cost."""
    rotate: PositiveSize = 256 * MIB
    """A new file is begun at this size, and every day (UTC)."""
    keep_days: Count = 14
    """Files that ended longer ago are deleted."""
    max_total: PositiveSize = 10 * GIB
    """All files together, a hard bound; the oldest are deleted first."""


class Proxy(Document, frozen=True, kw_only=True):
    """Which origins may be reached, and how."""

    allow: tuple[Socket, ...] = ()
    """Private origins that app folders may name."""
    allow_private: bool = False
    """Whether app folders may name every private origin."""
    ca_file: Text | None = None
    """Extra roots for origins."""
    connect_to: dict[Socket, Socket] = msgspec.field(default_factory=dict)
    """Origin → where it is dialed instead; name, Host and certificate check stay."""


class Tracing(Document, frozen=True, kw_only=True):
    """Spans of requests, sent by OTLP over HTTP; needs the extra `edge[otel]`."""

    endpoint: Collector
    """The collector; `/v1/traces` is added."""
    sample: Share = 0.01
    """The part of requests that is traced, where no trusted proxy has decided."""
    headers_file: Text | None = None
    """File of `Name: value` lines that the collector wants, such as its key."""
    service: Text = "edge"
    """The resource's `service.name`."""


class Settings(Document, frozen=True, kw_only=True):
    """`edge.yml`."""

    state: Text = "var"
    """Folder of artifacts, deployments, issued certificates and logs."""
    apps: Text = "rules"
    """Folder with one folder for each app."""
    certs: Text = "certs"
    """Folder of the operator's own certificates."""
    workers: Workers = "auto"
    """Serving processes; `auto` is one for each core."""
    listen: Listen = Listen()
    default_domain: DefaultDomain = "edge.localhost"
    """Every branch answers at <branch>.<app>.<default_domain>."""
    admin: Admin = Admin()
    clients: Clients = Clients()
    geoip: GeoIP = GeoIP()
    tls: Tls = Tls()
    cache: CacheSettings = CacheSettings()
    limits: Limits = Limits()
    access_log: AccessLog = AccessLog()
    proxy: Proxy = Proxy()
    alarms: tuple[Alarm, ...] = ()
    notifications: tuple[Notification, ...] = ()
    smtp: Smtp | None = None
    tracing: Tracing | None = None
    """Without one nothing is traced."""

    def __post_init__(self) -> None:
        """Mails need a mail server, and an alarm is known by its title."""
        told = [each for alarm in self.alarms for each in alarm.notify]
        told += [each for entry in self.notifications for each in entry.notify]
        if self.smtp is None and any(each.startswith("mailto:") for each in told):
            problem = "somebody is notified by mail, and there is no 'smtp'"
            raise ValueError(problem, "write smtp: {host: mail.example.com, from: …}")
        titles = [alarm.title for alarm in self.alarms]
        for title in titles:
            if titles.count(title) > 1:
                problem = f"there are two alarms {title!r}"
                raise ValueError(problem, "give each a name of its own, or remove one")
