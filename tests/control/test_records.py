"""Access logs that nodes, Amplify, CloudFront, nginx and Apache write, and what is no log."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.control.records import MAX_LINE, Record, Records
from edge.errors import StoreError

OURS = {
    "time": "2026-08-16T16:25:50.123Z",
    "id": "01J5EXAMPLE",
    "client": "203.0.113.40",
    "method": "GET",
    "scheme": "https",
    "protocol": "HTTP/2",
    "host": "example.com",
    "path": "/blog/hello",
    "query": None,
    "status": 200,
    "bytes_out": 6110,
    "bytes_in": 827,
    "ttfb": 0.0012,
    "total": 0.0031,
    "referer": None,
    "user_agent": "curl/8",
    "country": "US",
    "app": "shop",
    "branch": "main",
    "deployment": "d-1",
    "rule": None,
    "cache": "hit",
    "origin": None,
    "tls_version": "TLSv1.3",
    "tls_cipher": "TLS_AES_128_GCM_SHA256",
}
HEADER = (
    "date,time,x-edge-location,sc-bytes,c-ip,cs-method,cs(Host),cs-uri-stem,sc-status,cs(Referer),"
    "cs(User-Agent),cs-uri-query,cs(Cookie),x-edge-result-type,x-edge-request-id,x-host-header,"
    "cs-protocol,cs-bytes,time-taken,x-forwarded-for,ssl-protocol,ssl-cipher,"
    "x-edge-response-result-type,cs-protocol-version,fle-status,fle-encrypted-fields,c-port,"
    "time-to-first-byte,x-edge-detailed-result-type,sc-content-type,sc-content-len,sc-range-start,"
    "sc-range-end"
)
COLUMNS = HEADER.split(",")
CHROME = "Mozilla/5.0%20(Macintosh;%20Intel%20Mac%20OS%20X)%20(KHTML,%20like%20Gecko)"
WHEN = "[16/Aug/2026:16:25:50 +0000]"
NGINX = f'203.0.113.40 - - {WHEN} "GET /a HTTP/1.1" 200 612 "-" "curl/8"\n'


def ours(**changes):
    """A line of our own log."""
    return json.dumps({**OURS, **changes}, separators=(",", ":"), ensure_ascii=False) + "\n"


def fields(**changes):
    """The fields of a row; `stem`, `query`, `host`, `internal`, `method` and `status` by name."""
    names = {
        "stem": "cs-uri-stem",
        "query": "cs-uri-query",
        "host": "x-host-header",
        "internal": "cs(Host)",
        "method": "cs-method",
        "status": "sc-status",
    }
    row = dict.fromkeys(COLUMNS, "-") | {
        "date": "2026-08-16",
        "cs-method": "GET",
        "cs(Host)": "d1234.cloudfront.net",
        "cs-uri-stem": "/",
        "sc-status": "200",
        "cs(User-Agent)": CHROME,
        "x-edge-request-id": "x_XaI0l==",
        "x-host-header": "example.com",
    }
    return row | {names.get(name, name): value for name, value in changes.items()}


def amplify(*rows):
    """A CSV as Amplify writes it: no quotes, commas dropped, backslashes before `(`, `)`, `=`."""

    def written(values):
        plain = (value.replace(",", "") for value in values)
        return ",".join(v.replace("(", "\\(").replace("=", "\\=") for v in plain) + "\n"

    return "".join(written(row) for row in (COLUMNS, *(row.values() for row in rows)))


def cloudfront(*rows):
    """CloudFront's own file."""
    head = f"#Version: 1.0\n#Fields: {' '.join(COLUMNS)}\n"
    return head + "".join("\t".join(row.values()) + "\n" for row in rows)


@pytest.fixture
def log(tmp_path):
    """Writes a log and opens it."""

    def write(content, name="access.log"):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return Records(tmp_path / name)

    return write


def targets(records):
    """What was asked for, and that nothing was skipped."""
    found = [record.target for record in records]
    assert records.examples == []
    return found


def reasons(records):
    """Where and why lines were skipped, without the name of the log."""
    return [example.partition(":")[2] for example in records.examples]


def test_our_own_line(log):
    """What rules depend on is read, the other keys are not."""
    records = log(ours(host="Example.COM:443", query="a=%20b", status=404, country="us"))

    assert records.format == "json"
    assert list(records) == [
        Record(b"GET", "example.com", b"/blog/hello?a=%20b", "US", 404, b"", 1)
    ]
    assert records.skipped == 0


def test_what_nobody_could_read_is_no_request(log):
    """A line tells of it, and nothing can be decided of it; it is not a mistake of the log."""
    records = log(ours(method="-", path="-", host="", status=400) + ours())

    assert [each.line for each in records] == [2]
    assert records.skipped == 0


def test_the_keys_that_our_log_may_leave_out(log):
    """Only a method and a path make a request; keys that are new are passed over."""
    records = log('{"method":"GET","path":"/","new":[{"deep":1}]}\n')

    assert list(records) == [Record(b"GET", None, b"/", None, None, b"", 1)]


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/a%2Fb", None, b"/a%2Fb"),
        ("/a", "", b"/a?"),
        ("/a", "-", b"/a?-"),
        ("/é", None, b"/\xe9"),
        ("/\xc3\xa9", None, b"/\xc3\xa9"),
        ("/€", None, b"/\xe2\x82\xac"),
        ("/a%20b", "q=%22?&=", b"/a%20b?q=%22?&="),
        ("//double", None, b"//double"),
        ("/nul\x00", None, b"/nul\x00"),
        ("/%2525", None, b"/%2525"),
    ],
)
def test_our_log_keeps_path_and_query_as_they_arrived(log, path, query, target):
    """Nothing is decoded, an empty query is not no query."""
    assert targets(log(ours(path=path, query=query))) == [target]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (ours(path=None), "2: Expected `str`, got `null` - at `$.path`"),
        ('{"method":"GET"}\n', "2: Object missing required field `path`"),
        ('{"method":"GET","path":"/x\n', "2: JSON is malformed: inv"),
        (ours(path="*", method="OPTIONS"), "2: the request target is neither a path nor"),
        (ours(method="G T"), "2: the method is not a token"),
        (ours(host="a b"), "2: the authority is not a host name"),
        (ours(status="200"), "2: Expected `int | null`, got `str`"),
        ('{"method":"GET","path":"/","x":' + "[" * 60_000 + "\n", "2: maximum recursion depth"),
        ('{"method":"GET","path":"/","status":' + "9" * 60_000 + "}\n", "2: "),
        ('{"method":"GET","path":"/\\ud800"}\n', "2: "),
        (b'{"method":"GET","path":"/\xff"}\n', "2: 'utf-8' codec can't decode byte 0xff"),
        ("null\n", "2: Expected `object`, got `null`"),
        (b"\x00\x00\n", "2: JSON is malformed"),
    ],
)
def test_lines_of_our_log_that_cannot_be_read(log, line, reason):
    """They are counted with the reason, and the next line is read."""
    line = line if isinstance(line, bytes) else line.encode()
    records = log(ours().encode() + line + ours().encode())

    assert [record.line for record in records] == [1, 3]
    assert records.skipped == 1
    assert reasons(records)[0].startswith(reason)


def test_amplify_csv(log):
    """Its backslashes go, the client's host comes before CloudFront's, `-` is nothing."""
    rows = [
        fields(stem="/auth/callback", query="code=1&state=2", method="POST", status="404"),
        fields(stem="/a_(b)", host="-"),
        fields(host="-", internal="-", status="000"),
    ]
    records = log(amplify(*rows))

    assert records.format == "csv"
    assert list(records) == [
        Record(b"POST", "example.com", b"/auth/callback?code=1&state=2", None, 404, b"", 2),
        Record(b"GET", "d1234.cloudfront.net", b"/a_(b)", None, 200, b"", 3),
        Record(b"GET", None, b"/", None, None, b"", 4),
    ]


def test_amplify_csv_as_it_was_seen(log):
    """A header row and a row that users published, their address and tokens replaced."""
    header = ",".join(COLUMNS).replace("(", "\\(")
    row = (
        "2026-08-16,16:25:50,BNA50-P1,6110,203.0.113.40,GET,d47zhg.cloudfront.net,/auth/callback,"
        "200,https://accounts.google.com/,Mozilla/5.0%20\\(Macintosh;%20Intel%20Mac%20OS%20X%2010"
        "_15_7)%20AppleWebKit/537.36%20\\(KHTML%20like%20Gecko)%20Safari/537.36,code\\=REDACTED&"
        "state\\=REDACTED,-,Miss,x_XaI0l\\=\\=,learner.quantumenv.dev,https,827,0.093,-,TLSv1.3,"
        "TLS_AES_128_GCM_SHA256,Miss,HTTP/3.0,-,-,60221,0.093,Miss,text/html,-,-,-"
    )
    records = log(f"{header}\r\n{row}\r\n")

    (record,) = records
    assert (record.host, record.target, record.status) == (
        "learner.quantumenv.dev",
        b"/auth/callback?code=REDACTED&state=REDACTED",
        200,
    )


@pytest.mark.parametrize(
    ("logged", "target"),
    [
        ("/a%2520b", b"/a%20b"),
        ("/a%252Fb%25252F", b"/a%2Fb%252F"),
        ("/a%20b", b"/a%20b"),
        ("/%22%5B%7C", b"/%22%5B%7C"),
        ("/%C3%A9", b"/%C3%A9"),
        ("/%25C3%25A9", b"/%C3%A9"),
    ],
)
def test_cloudfront_escapes_are_undone_once(log, logged, target):
    """`%25` becomes `%`, in path and query; what is escaped only once stays as it is."""
    rows = [fields(stem=logged, query=logged[1:])]
    expected = [target + b"?" + target[1:]]

    assert targets(log(amplify(*rows))) == expected
    assert targets(log(cloudfront(*rows))) == expected


def test_csv_with_quotes_and_columns_of_ones_own(log):
    """The header row decides what stands where; a comma in quotes is content."""
    records = log(
        "\ufeff" + "cs(User-Agent),cs-uri-query,cs-uri-stem\n"
        '"KHTML, like ""Gecko""",a=1,"/x,y"\n'
        "plain,-,/z\n"
    )

    assert list(records) == [
        Record(b"GET", None, b"/x,y?a=1", None, None, b"", 2),
        Record(b"GET", None, b"/z", None, None, b"", 3),
    ]


def test_csv_files_put_together(log):
    """A header row that comes again is none of the requests, and no line that was skipped."""
    one = amplify(fields(stem="/1"))
    records = log(one + one + "\n")

    assert targets(records) == [b"/1", b"/1"]
    assert records.skipped == 0


def test_a_client_cannot_write_a_header_row(log):
    """A request for the name of a column changes nothing for the rows behind it."""
    rows = [fields(query="cs-uri-stem"), fields(stem="/2")]

    assert targets(log(amplify(*rows))) == [b"/?cs-uri-stem", b"/2"]


def test_csv_rows_that_cannot_be_read(log):
    """One field too few or too many moves all others, so the row is skipped; so is a bad quote."""
    good = amplify(fields(stem="/1"))
    rows = ["a,b\n", good.splitlines()[1] + ",more\n", 'a,"b\n', "a\rb\n", "\\\n"]
    records = log(good + "".join(rows) + amplify(fields(stem="cs-uri")))

    assert [record.target for record in records] == [b"/1"]
    assert records.skipped == 6
    assert reasons(records)[:3] == [
        "3: 2 fields where the header names 33",
        "4: 34 fields where the header names 33",
        "5: the row is not CSV",
    ]


def test_cloudfront_standard_log(log):
    """Tabs, names in a directive that may come again with others, and a country in newer ones."""
    newer = "#Version: 1.0\n#Fields: cs-uri-stem c-country sc-status\n/new\tde\t302\n/old\t-\tx\n"
    records = log(cloudfront(fields(stem="/a\\b", query="x=1")) + newer)

    assert records.format == "csv"
    assert list(records) == [
        Record(b"GET", "example.com", b"/a\\b?x=1", None, 200, b"", 3),
        Record(b"GET", None, b"/new", "DE", 302, b"", 6),
        Record(b"GET", None, b"/old", None, None, b"", 7),
    ]


def test_cloudfront_rows_without_names(log):
    """Rows in front of the `#Fields:` line say nothing."""
    records = log("#Version: 1.0\nGET\t/\n" + cloudfront(fields(stem="/1")))

    assert [record.target for record in records] == [b"/1"]
    assert reasons(records) == ["2: 2 fields where the header names 0"]


@pytest.mark.parametrize(
    ("prefix", "host"),
    [
        ("203.0.113.40 - - ", None),
        ("2001:db8::1 - alice ", None),
        ("client.example.net - alice smith ", None),
        ("client.example.net - a - b ", None),
        ("203.0.113.40 ident alice ", None),
        ("203.0.113.40, 198.51.100.7 - - ", None),
        ("- 203.0.113.40 - - ", None),
        ("WWW.example.com:443 203.0.113.40 - - ", "www.example.com"),
        ("www.example.com 2001:db8::1 - alice smith ", "www.example.com"),
        ("[2001:db8::2]:80 203.0.113.40 - - ", "[2001:db8::2]"),
    ],
)
def test_what_stands_in_front_of_a_request_line(log, prefix, host):
    """A virtual host is known by the `-` of ident, which stands one further."""
    for tail in ("\n", ' "https://example.com/" "curl/8"\n'):  # common, combined
        records = log(f'{prefix}{WHEN} "HEAD /x?y=1 HTTP/2.0" 304 0{tail}')

        assert records.format == "combined"
        assert list(records) == [Record(b"HEAD", host, b"/x?y=1", None, 304, b"", 1)]


@pytest.mark.parametrize(
    ("logged", "target"),
    [
        (rb"/a%20b?q=%22", b"/a%20b?q=%22"),
        (rb"/\x22quoted\x22", b'/"quoted"'),
        (rb"/\"quoted\"?\\", b'/"quoted"?\\'),
        (rb"/\xC3\xa9", b"/\xc3\xa9"),
        (b"/\xc3\xa9", b"/\xc3\xa9"),
        (rb"/\x00\t\x5C", b"/\x00\t\\"),
        (rb"/\x5Cx41", rb"/\x41"),
        (b"/\xff\x00", b"/\xff\x00"),
    ],
)
def test_escapes_of_nginx_and_apache(log, logged, target):
    """They are undone once; bytes that were not escaped stay."""
    line = NGINX.encode().replace(b"/a", logged)

    assert targets(log(line)) == [target]


@pytest.mark.parametrize(
    "line",
    [
        rb'"\x16\x03\x01\x00\xEE" 400 150 "-" "-"',
        b'"-" 408 0 "-" "-"',
        b'"" 400 0 "-" "-"',
        b'"GET /0.9" 200 5 "-" "-"',
        b'"GET /a b HTTP/1.1" 400 5 "-" "-"',
        b'"GET /a\\" 200 5',
        b'"SSH-2.0-Go" 400 150 "-" "-"',
        b'"GET /a HTTP/1.1" - 150',
        b'"GET /a HTTP/1.1" 2000 150',
    ],
)
def test_request_lines_that_are_not_http(log, line):
    """What scanners send is counted, even when the log begins with it."""
    scan = f"203.0.113.66 - - {WHEN} ".encode() + line + b"\n"
    records = log(scan + NGINX.encode())

    assert [record.line for record in records] == [2]
    assert reasons(records) == ["1: the request line is not HTTP"]


def test_lines_that_are_in_no_combined_format(log):
    """What a log's owner or a full disk put between its lines is counted."""
    records = log(NGINX + "203.0.113.40 - -\n" + NGINX)

    assert [record.line for record in records] == [1, 3]
    assert reasons(records) == ["2: the line is not in combined format"]


def test_a_user_name_cannot_write_a_request_line(log):
    """A quote in a name arrives escaped, so the line is skipped instead of misread."""
    name = rf"a{WHEN} \"GET /forged HTTP/1.1\" 200 1"
    records = log(NGINX + f'203.0.113.40 - {name} {WHEN} "GET /true HTTP/1.1" 200 1\n')

    assert [record.target for record in records] == [b"/a"]
    assert records.skipped == 1


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        ("http://Example.com/x?y", "example.com", b"/x?y"),
        ("HTTPS://example.com:8443", "example.com", b"/"),
        ("http://example.com?y", "example.com", b"/?y"),
    ],
)
def test_absolute_form(log, target, host, path):
    """A URL is taken apart into its host, which is the one that counts, and its path."""
    line = NGINX.replace("/a", target)
    expected = [(host, path)]

    for content in (line, f"vhost.example.net {line}", ours(path=target)):
        assert [(record.host, record.target) for record in log(content)] == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("OPTIONS *", "the request target is neither a path nor an absolute URL"),
        ("CONNECT example.com:443", "the request target is neither a path nor an absolute URL"),
        ("GET ftp://example.com/", "the request target is neither a path nor an absolute URL"),
        ("GET http://user@example.com/", "the request target is neither a path nor an absolute U"),
        ("GET http://a_$/", "the authority is not a host name"),
        ("GET http://a:99999/", "the authority's port is not a number up to 65535"),
        ("G{T /", "the method is not a token"),
    ],
)
def test_requests_that_have_no_path_to_decide(log, line, reason):
    """They are counted, with the reason."""
    records = log(NGINX.replace("GET /a", line))

    assert list(records) == []
    assert reasons(records)[0].startswith(f"1: {reason}")


def test_only_the_first_reasons_are_kept(log):
    """All lines are counted; five are shown, with the log's name and their number."""
    records = log(ours() + "{}\n" * 7)
    list(records)

    assert records.skipped == 7
    assert records.examples == [
        f"{records.path}:{line}: Object missing required field `method`" for line in range(2, 7)
    ]


def test_empty_lines_are_no_lines(log):
    """They are passed over in every format, but numbered."""
    for line in (ours(), NGINX, cloudfront(fields(stem="/1"))):
        records = log("\n \r\n" + line + "\n\t\n" + line.splitlines()[-1])

        assert [record.line for record in records] == [
            line.count("\n") + 2,
            line.count("\n") + 5,
        ]
        assert records.skipped == 0


def test_an_empty_log_has_no_requests(log):
    """A log that was rotated a moment ago is no mistake."""
    for content in ("", "\n\n"):
        records = log(content)

        assert (list(records), records.format, records.skipped) == ([], "json", 0)


def test_a_line_that_is_too_long(log):
    """It is skipped without being held; one of exactly the limit is read."""
    short = ours(user_agent="")
    fits = ours(user_agent="x" * (MAX_LINE + 1 - len(short)))
    over = ours(user_agent="x" * (MAX_LINE + 2 - len(short)))
    records = log(fits + over + "x" * 3 * MAX_LINE + "\n" + ours() + "{" + "x" * MAX_LINE)

    assert [record.line for record in records] == [1, 4]
    assert reasons(records) == [f"{n}: the line is over 65536 bytes" for n in (2, 3, 5)]


def test_a_log_that_begins_with_a_line_too_long(log):
    """The next one tells the format; without a next one there is no log."""
    records = log("x" * 2 * MAX_LINE + "\n" + NGINX)

    assert [record.line for record in records] == [2]
    with pytest.raises(StoreError, match=r"nothing of the log can be read: .*:1: the line is over"):
        log("x" * 2 * MAX_LINE)


def test_gzip_is_known_by_its_bytes(log):
    """Whatever its name, and whether it is one stream or several behind each other."""
    packed = gzip.compress(ours().encode())

    assert [record.line for record in log(packed + packed, "access.jsonl")] == [1, 2]


def test_gzip_that_is_cut_short_or_damaged(log):
    """What came before is read, and that something is missing is said."""
    noise = random.Random(7)
    lines = "".join(ours(id=noise.randbytes(64).hex()) for _ in range(2000)).encode()
    packed = gzip.compress(lines)
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF

    for content in (packed[: len(packed) // 2], bytes(damaged), packed + b"more"):
        records = log(content)
        found = list(records)

        assert 0 < len(found) <= 2000
        assert records.examples[-1].endswith(
            f":{len(found) + records.skipped}: the gzip data is damaged or cut short; "
            "nothing from here on was read"
        )


def test_gzip_without_a_first_line(log):
    """Nothing can be said about a log whose first bytes are damaged."""
    with pytest.raises(StoreError, match=r"nothing of the log can be read: .* is damaged"):
        log(gzip.compress(ours().encode())[:12])


@pytest.mark.parametrize(
    "content",
    [
        "hello\n",
        "date,time,cs-uri-stem-2\n",
        "[]\n",
        "#Software: Microsoft Internet Information Services 10.0\n",
        "Aug 16 16:25:50 node sshd[1]: \n",
        'a,"cs-uri-stem\n',
        b"\xff\xfe{\x00\n",
        b"\x00\n",
    ],
)
def test_what_is_no_access_log(log, content):
    """It is refused, and the message names the three formats that would do."""
    with pytest.raises(StoreError, match=r"access\.log:1: .*JSON lines.*CSV.*combined.*convert"):
        log(content)


def test_the_first_line_is_shown_without_its_control_characters(log):
    """A log must not write to the terminal of whoever replays it."""
    with pytest.raises(StoreError) as refused:
        log(b"\x1b[2J" + b"x" * 500)

    assert str(refused.value).isprintable()
    assert "'\\x1b[2Jxxx" in str(refused.value)
    assert "x" * 40 not in str(refused.value)


def test_a_log_that_is_not_there(tmp_path):
    """The message says what to name instead; a folder is no log."""
    with pytest.raises(StoreError, match="No such file or directory; name an access log"):
        Records(tmp_path / "missing")
    with pytest.raises(StoreError, match="Is a directory; name an access log"):
        Records(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input(packed):
    """`-` reads it, plain or packed."""
    program = (
        "from pathlib import Path; from edge.control.records import Records\n"
        "records = Records(Path('-')); print([r.target for r in records], records.examples)"
    )
    content = (ours() + "{}\n").encode()
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=gzip.compress(content) if packed else content,
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    expected = "[b'/blog/hello'] ['-:2: Object missing required field `method`']"
    assert (done.stdout.decode().strip(), done.stderr) == (expected, b"")


def test_a_log_is_read_once_and_closed(log):
    """Its end closes it, as does leaving it early; a second pass finds nothing."""
    records = log(ours() * 3)

    assert len(list(records)) == 3
    assert list(records) == []
    assert records._file.closed
    with log(gzip.compress(ours().encode() * 3)) as early:
        next(iter(early))
    assert early._file.closed
    assert early._file.packed.closed


def test_memory_does_not_grow_with_the_log(log):
    """A log of 20 MB, half of it one line, is read within a megabyte or two."""
    records = log(NGINX * 100_000 + "x" * 10_000_000)
    tracemalloc.start()
    try:
        count = sum(1 for _ in records)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (count, records.skipped) == (100_000, 1)
    assert peak < 2_000_000


@pytest.mark.parametrize(
    "unit", ["a ", "a,", '"', "\\", "[a] ", '[a] "', "\t", "http://", "\\x", "- ", '""', "{", "%"]
)
def test_a_hostile_line_costs_its_length(log, unit):
    """No repetition of what the formats are made of takes more than linear time."""
    hostile = (unit * MAX_LINE)[: MAX_LINE - 100]
    started = time.process_time()
    for first, line in (
        (NGINX, hostile),
        (NGINX, f'203.0.113.40 - - {WHEN} "GET /{hostile} HTTP/1.1" 200 5'),
        (NGINX, f"203.0.113.40 - {hostile} {WHEN}"),
        (amplify(fields()), hostile),
        (cloudfront(fields()), hostile),
        (ours(), "{" + hostile),
    ):
        list(log(first + line))

    assert time.process_time() - started < 1.0


PIECES = st.sampled_from(
    [
        *(part.encode() for part in (NGINX, ours(), amplify(fields()), cloudfront(fields()))),
        *(b"\n", b"\r", b"\\", b'"', b",", b"\t", b"[", b"]", b"-", b" - - ", b"{", b"}", b"\\x"),
        *(b"#Fields: cs-uri-stem\n", b"cs-uri-stem", b"http://", b"%25", b"*", b"\x00", b"\xff"),
    ]
)


@settings(max_examples=300)
@given(st.lists(st.one_of(PIECES, st.binary(max_size=20))), st.booleans(), st.integers(0, 2000))
def test_no_content_raises(tmp_path_factory, pieces, packed, cut):
    """Whatever a log holds: it is refused at once, or each line is a sound record or skipped."""
    path = tmp_path_factory.getbasetemp() / "any.log"
    content = b"".join(pieces)
    path.write_bytes(gzip.compress(content)[: cut + 2] if packed else content)
    try:
        records = Records(path)
    except StoreError:
        return
    for record in records:
        assert record.target.startswith(b"/")
        assert record.method
        assert record.host is None or record.host == record.host.lower()
        assert record.status is None or 100 <= record.status <= 999
        assert record.line <= content.count(b"\n") + 1
    assert len(records.examples) == min(records.skipped, 5)
    assert all(example.isprintable() for example in records.examples)
