"""
What the operator's documents are made of: their base, and a type for each kind of value.

Here: the grammar of a single scalar. Not here: which key takes it, and what two keys mean together
(`settings`, `documents`). Every refusal is a `ValueError(problem, remedy)`; a value that may be a
secret is never quoted in it.
"""

from __future__ import annotations

import ipaddress
import re
from functools import partial
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from edge.errors import MalformedRequest
from edge.site.globs import compile_glob
from edge.site.hosts import MAX_HOST, REQUEST_LABEL, canonical_host, parse_authority
from edge.site.reading import Parsed, one_of
from edge.site.units import parse_duration, parse_size

MAX_NAME: Final = 255
"""Characters of a branch's name: what git's file systems allow."""

MAX_TITLE: Final = 100
"""Characters of a name that people give."""

METRICS: Final = (
    "requests",
    "bytes_downloaded",
    "bytes_uploaded",
    "errors_4xx",
    "errors_5xx",
    "errors_4xx_percent",
    "errors_5xx_percent",
    "latency_p10",
    "latency_p50",
    "latency_p90",
    "latency_p95",
    "latency_p99",
    "latency_p100",
)
"""What an alarm may watch."""

LONGEST_PERIOD: Final = 60
"""Minutes that one value of an alarm may be made of."""

LOOPBACK: Final = frozenset(["localhost", "127.0.0.1", "::1"])
SOCKET: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]+):([0-9]{1,5})")
FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
"""Source: RFC 9110 §5.1, token."""

PASSWORD_HASH: Final = re.compile(
    r"\$argon2id\$v=19\$m=[0-9]{1,6},t=[0-9]{1,2},p=[0-9]{1,2}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}"
    r"|\$2[aby]\$(?:0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}"
)
"""PHC string of argon2id, or bcrypt; at costs where a login ends within seconds and 1 GiB."""


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The base of everything that an operator wrote.

    Unknown fields are refused in JSON too: an older program that ignored a newer key of a stored
    generation could serve what that key protects.
    """


def parse_text(text: str) -> str:
    """Any text that is not empty and shows what it says."""
    if not text or not text.isprintable():
        raise ValueError("the value is empty or has invisible characters", "write plain text")
    return text


def parse_workers(text: str) -> int | Literal["auto"]:
    """`auto`, or the number of processes."""
    if text == "auto":
        return "auto"
    return parse_whole(text, least=1, most=256)


def parse_memory(text: str) -> int | Literal["auto"]:
    """`auto`, or bytes."""
    return "auto" if text == "auto" else parse_size(text)


def parse_whole(text: str, least: int = 0, most: int = 10**12) -> int:
    """A whole number in decimal digits, and nothing that YAML makes of `1_000` or `010`."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,14}", text):
        raise ValueError(f"{text[:40]!r} is not a whole number", "write digits only")
    number = int(text)
    if not least <= number <= most:
        raise ValueError(f"{number} is out of range", f"write {least} to {most}")
    return number


def parse_number(text: str) -> float:
    """A decimal number."""
    if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text):
        raise ValueError(f"{text[:40]!r} is not a number", "write it in digits, such as 0.5")
    return float(text)


def parse_share(text: str) -> float:
    """A part of the whole."""
    share = parse_number(text)
    if not 0 <= share <= 1:
        raise ValueError(f"{text[:40]!r} is not from 0 to 1", "write 0.01 for one in a hundred")
    return share


def parse_positive_size(text: str) -> int:
    """Bytes, at least one."""
    size = parse_size(text)
    if not size:
        raise ValueError("the size must be larger than zero", "write a size such as 8KiB")
    return size


def parse_timeout(text: str) -> float:
    """Seconds, more than none."""
    seconds = parse_duration(text)
    if not seconds:
        raise ValueError("the duration must be longer than zero", "write a duration such as 30s")
    return seconds


def parse_host(text: str) -> str:
    """A domain name or an IP address, canonical."""
    return canonical_host(text)


def parse_default_domain(text: str) -> str:
    """A domain short enough to stand behind a branch's label and an app's name."""
    domain = canonical_host(text)
    if len(domain) > 125:
        raise ValueError(f"{domain[:40]!r}… is too long", "write 125 characters at most")
    return domain


def parse_subdomain(text: str) -> str:
    """One or more labels in front of a domain; empty for the domain itself."""
    if text == "@":
        raise ValueError("'@' is not a subdomain", 'write "" for the domain itself')
    try:
        return canonical_host(f"{text}.example").removesuffix(".example") if text else ""
    except ValueError as error:
        remedy = "letters, digits and inner hyphens between dots, such as docs or beta.alpha"
        raise ValueError(f"{text[:80]!r} is not a subdomain", remedy) from error


def parse_socket(text: str) -> str:
    """`host:port`, an IPv6 address in brackets; canonical host, decimal port."""
    form = "write host:port, such as 127.0.0.1:8080 or [::1]:8080"
    problem = f"{text[:80]!r} is not an address with a port"
    found = SOCKET.fullmatch(text)
    if found is None or int(found[2]) > 65_535:
        raise ValueError(problem, form)
    try:
        return f"{parse_authority(found[1].encode())}:{int(found[2])}"
    except (MalformedRequest, UnicodeError) as error:
        raise ValueError(problem, form) from error


def parse_admin_socket(text: str) -> str:
    """As `parse_socket`, or `unix:` and a path."""
    if not text.startswith("unix:"):
        return parse_socket(text)
    if not parse_text(text).removeprefix("unix:"):
        raise ValueError("'unix:' has no path", "write unix:/run/edge.sock")
    return text


def parse_network(text: str) -> str:
    """A CIDR, canonical; a single address is a network of one."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        remedy = "write a network such as 10.0.0.0/8 or 2001:db8::/32"
        problem = f"{text[:60]!r} is not a network"
        if "host bits" in str(error):
            problem = f"{text[:60]!r} has bits set behind its prefix"
            remedy = f"did you mean {ipaddress.ip_network(text, strict=False)}?"
        raise ValueError(problem, remedy) from error


def parse_ip_address(text: str) -> str:
    """One address, canonical and without brackets."""
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError as error:
        remedy = "write one such as 203.0.113.7 or 2001:db8::7, without a port"
        raise ValueError(f"{text[:60]!r} is not an IP address", remedy) from error
    if address.is_unspecified or address.is_multicast or "%" in text:
        problem = f"{text[:60]!r} is no address that others reach a machine at"
        raise ValueError(problem, "write the machine's own")
    return str(address)


def parse_dns_name(text: str) -> str:
    """A name as zones and keys have it: labels may have underscores. Lower case, no last dot."""
    name = text.lower().removesuffix(".")
    if len(name) > MAX_HOST or not all(REQUEST_LABEL.fullmatch(each) for each in name.split(".")):
        problem = f"{text[:80]!r} is not a name in the DNS"
        raise ValueError(problem, "write letters, digits, hyphens and underscores between dots")
    return name


def parse_field_name(text: str) -> str:
    """The name of a field, as written."""
    if not FIELD_NAME.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is not a field name", "such as CloudFront-Viewer-Country")
    return text


def parse_url(text: str) -> str:
    """An absolute `https` URL; `http` to this machine alone."""
    parse_text(text)
    parts = urlsplit(text)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not (parts.scheme == "https" or local) or not parts.hostname or " " in text:
        raise ValueError(f"{text[:80]!r} is not a URL for this", "write https://…")
    return text


def parse_collector(text: str) -> str:
    """Where spans are sent: an absolute URL, in clear text too, for a network of one's own."""
    parts = urlsplit(parse_text(text))
    is_plain = not (parts.query or parts.fragment or parts.username or " " in text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise ValueError(f"{text[:80]!r} is not a collector", "write http://collector:4318")
    return text


def parse_notify(text: str) -> str:
    """A webhook's URL, or `mailto:` and an address."""
    if text.startswith("mailto:"):
        parse_email(text.removeprefix("mailto:"))
        return text
    return parse_url(text)


def parse_email(text: str) -> str:
    """One mail address, without a display name."""
    if not re.fullmatch(r"[^\s@<>,:;]{1,64}@[^\s@<>,:;]{1,253}", text):
        raise ValueError(f"{text[:80]!r} is not a mail address", "write name@example.com")
    return text


def parse_all_or_none(text: str) -> str:
    """`all` or `none`, where a list of names may stand instead."""
    if text not in ("all", "none"):
        problem = f"{text[:60]!r} is neither all nor none, nor a list of names"
        raise ValueError(problem, f"write a list: [{text[:60]}]")
    return text


def parse_metric(text: str) -> str:
    """One of what an alarm may watch."""
    return one_of(text, METRICS)


def parse_threshold(text: str) -> float:
    """A decimal number, or a size in bytes."""
    if text[-1:] == "B":
        return float(parse_size(text))
    return parse_number(text)


def parse_minutes(text: str, most: int = 24 * 60) -> float:
    """Whole minutes, in seconds: what is measured is measured once a minute."""
    seconds = parse_duration(text)
    if not seconds or seconds % 60 or seconds > most * 60:
        raise ValueError(f"{text[:40]!r} is not whole minutes", f"write 1m to {most}m")
    return seconds


def parse_title(text: str) -> str:
    """What people call something, short enough for a subject."""
    if len(parse_text(text)) > MAX_TITLE:
        raise ValueError(f"{text[:40]!r}… is too long", f"write {MAX_TITLE} characters at most")
    return text


def parse_branch(text: str) -> str:
    """A branch's name, as deployed."""
    if not parse_text(text) or len(text) > MAX_NAME or text != text.strip():
        remedy = f"{MAX_NAME} characters at most, and no blanks around them"
        raise ValueError(f"{text[:40]!r} is not a branch name", remedy)
    return text


def parse_pattern(text: str) -> str:
    """A branch's name, or a glob over names."""
    parse_branch(text)
    if "[" in text and "]" not in text[text.rindex("[") :]:
        raise ValueError(f"the pattern {text[:80]!r} opens a '[' and never closes it", "add ']'")
    return text


def parse_user(text: str) -> str:
    """A user name of basic auth. Source: RFC 7617 §2, which ends it at the first colon."""
    if not text or not text.isprintable() or ":" in text:
        raise ValueError(f"{text[:40]!r} is not a user name", "leave out ':' and controls")
    return text


def parse_password_hash(text: str) -> str:
    """A hash of argon2id or bcrypt. A password in clear is refused, and not repeated."""
    if not PASSWORD_HASH.fullmatch(text):
        remedy = "run `edge hash-password`, and quote what it prints"
        raise ValueError("this is not a password hash of argon2id or bcrypt", remedy)
    return text


def parse_path_glob(text: str) -> str:
    """A glob over request paths, from the root on."""
    if not parse_text(text).startswith("/"):
        raise ValueError(f"{text[:80]!r} is not a path glob", f"write /{text[:80]}")
    compile_glob(text)
    return text


def parse_tree_path(text: str) -> str:
    """A file of a deployment, relative to its root."""
    segments = parse_text(text).split("/")
    if any(segment in ("", ".", "..") for segment in segments) or "\\" in text:
        raise ValueError(f"{text[:80]!r} is not a file of a deployment", "such as 404.html")
    return text


Text = Annotated[str, Parsed(parse_text)]
Workers = Annotated[int | Literal["auto"], Parsed(parse_workers)]
Memory = Annotated[int | Literal["auto"], Parsed(parse_memory)]
Whole = Annotated[int, Parsed(parse_whole)]
Count = Annotated[int, Parsed(partial(parse_whole, least=1))]
DeltaSeconds = Annotated[int, Parsed(partial(parse_whole, most=2**31 - 1))]
"""Source: RFC 9111 §1.2.2."""

Port = Annotated[int, Parsed(partial(parse_whole, least=1, most=65_535))]
Threshold = Annotated[float, Parsed(parse_threshold)]
Minutes = Annotated[float, Parsed(parse_minutes)]
Period = Annotated[float, Parsed(partial(parse_minutes, most=LONGEST_PERIOD))]
Title = Annotated[str, Parsed(parse_title)]
Size = Annotated[int, Parsed(parse_size)]
PositiveSize = Annotated[int, Parsed(parse_positive_size)]
Duration = Annotated[float, Parsed(parse_duration)]
Timeout = Annotated[float, Parsed(parse_timeout)]
Host = Annotated[str, Parsed(parse_host)]
DefaultDomain = Annotated[str, Parsed(parse_default_domain)]
Subdomain = Annotated[str, Parsed(parse_subdomain)]
Socket = Annotated[str, Parsed(parse_socket)]
AdminSocket = Annotated[str, Parsed(parse_admin_socket)]
Network = Annotated[str, Parsed(parse_network)]
IpAddress = Annotated[str, Parsed(parse_ip_address)]
DnsName = Annotated[str, Parsed(parse_dns_name)]
FieldName = Annotated[str, Parsed(parse_field_name)]
Url = Annotated[str, Parsed(parse_url)]
Collector = Annotated[str, Parsed(parse_collector)]
Share = Annotated[float, Parsed(parse_share)]
Notify = Annotated[str, Parsed(parse_notify)]
Email = Annotated[str, Parsed(parse_email)]
AllOrNone = Annotated[Literal["all", "none"], Parsed(parse_all_or_none)]
Metric = Annotated[str, Parsed(parse_metric)]
Branch = Annotated[str, Parsed(parse_branch)]
Pattern = Annotated[str, Parsed(parse_pattern)]
User = Annotated[str, Parsed(parse_user)]
PasswordHash = Annotated[str, Parsed(parse_password_hash)]
PathGlob = Annotated[str, Parsed(parse_path_glob)]
TreePath = Annotated[str, Parsed(parse_tree_path)]
