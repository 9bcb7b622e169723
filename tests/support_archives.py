"""Zips and tars written field by field, so that every field can lie."""

from __future__ import annotations

import struct
import zlib

TAR_END = bytes(1024)
"""The end mark of a tar: two blocks of zeros."""


class Packer:
    """Writes a zip field by field, so that every one of them can lie."""

    def __init__(self):
        self.body = bytearray()
        self.directory = bytearray()
        self.count = 0

    def add(self, name, data=b"x", **lies):
        """One member; `lies` replace fields of the directory, `local_*` those of its header."""
        raw = name if isinstance(name, bytes) else name.encode()
        method = lies.get("method", 0)
        packed = deflate(data) if method == 8 else data
        packed = lies.get("content", packed)
        truth = {
            "flags": 0x800,
            "method": method,
            "crc": zlib.crc32(data),
            "packed": len(packed),
            "size": len(data),
            "name": raw,
            "extra": b"",
        }
        central = truth | {key: value for key, value in lies.items() if key in truth}
        local = central | {"extra": b""}
        local |= {key[6:]: value for key, value in lies.items() if key.startswith("local_")}
        offset = lies.get("offset", len(self.body))
        if "offset" not in lies:
            self.body += local_header(local) + packed
        self.directory += central_header(central, lies.get("mode", 0), offset, lies.get("disk", 0))
        self.count += 1
        return self

    def bytes(self, count=None, comment=b"", behind=b"", length=None, disk=0):
        """The whole file."""
        count = self.count if count is None else count
        length = len(self.directory) if length is None else length
        end = struct.pack(
            "<4s4H2LH", b"PK\5\6", disk, 0, count, count, length, len(self.body), len(comment)
        )
        return bytes(self.body + self.directory) + end + comment + behind


def local_header(field):
    """A local file header with its name."""
    return (
        struct.pack(
            "<4s5H3L2H",
            *(b"PK\3\4", 20, field["flags"], field["method"], 0, 0, field["crc"]),
            *(field["packed"], field["size"], len(field["name"]), len(field["extra"])),
        )
        + field["name"]
        + field["extra"]
    )


def central_header(field, mode, offset, disk):
    """A line of the central directory."""
    return (
        struct.pack(
            "<4s6H3L5H2L",
            *(b"PK\1\2", 0x314, 20, field["flags"], field["method"], 0, 0, field["crc"]),
            *(field["packed"], field["size"], len(field["name"]), len(field["extra"])),
            *(0, disk, 0, mode << 16, offset),
        )
        + field["name"]
        + field["extra"]
    )


def deflate(data):
    """Raw deflate."""
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return machine.compress(data) + machine.flush()


def extra(kind, data):
    """One extra field."""
    return struct.pack("<HH", kind, len(data)) + data


def unicode_path(name, utf8):
    """Info-ZIP's second name."""
    return extra(0x7075, b"\1" + zlib.crc32(name).to_bytes(4, "little") + utf8)


def header(name, size, kind=b"0", **lies):
    """One block: POSIX ustar unless `magic` or `prefix` say otherwise."""
    raw = name if isinstance(name, bytes) else name.encode()
    block = bytearray(512)
    block[: len(raw)] = raw
    block[100:108] = b"0000644\0"
    block[124:136] = lies.get("number", b"%011o\0" % size)
    block[148:156] = b" " * 8
    block[156:157] = kind
    link = lies.get("link", b"")
    block[157 : 157 + len(link)] = link
    block[257:265] = lies.get("magic", b"ustar\x0000")
    prefix = lies.get("prefix", b"")
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = lies.get("checksum", b"%06o\0 " % sum(block))
    return bytes(block)


def member(name, data=b"x", kind=b"0", **lies):
    """A header and its content."""
    return header(name, len(data), kind, **lies) + data + bytes(-len(data) % 512)


def pax(kind=b"x", **records):
    """An extended header; `__` in a key stands for a dot."""
    lines = b""
    for key, value in records.items():
        text = value if isinstance(value, bytes) else value.encode()
        body = b" " + key.replace("__", ".").encode() + b"=" + text + b"\n"
        size = len(body) + 1
        while size != len(body) + len(str(size)):
            size += 1
        lines += str(size).encode() + body
    return member("PaxHeaders/next", lines, kind)


def raw_pax(payload):
    """An extended header with whatever in it."""
    return member("PaxHeaders/next", payload, b"x")
