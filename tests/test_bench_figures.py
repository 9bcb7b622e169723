"""The benchmarks' own reasoning: what becomes a figure, what is refused, and what is said of it."""

from __future__ import annotations

import json

import pytest

from tests.support_bench import figures, scenarios, tables

WRK = """\
Running 1s test @ http://127.0.0.1:8871/1kb.bin
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.54ms    1.90ms   9.08ms   60.03%
    Req/Sec    24.90k     2.91k   29.99k    60.00%
  Latency Distribution
     50%  215.00us
     75%    3.42ms
     90%    4.96ms
     99%    7.61ms
  24776 requests in 2.00s, 29.87MB read
Requests/sec:  12388.00
Transfer/sec:     14.93MB
"""

H2LOAD = """\
starting benchmark...
finished in 500.00ms, 115200.00 req/s, 128.31MB/s
requests: 57600 total, 57600 started, 57600 done, 57600 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 57600 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 63.31MB (66382311) total, 4.57MB (4796872) headers (space savings 39.11%), 56.25MB (58982400) data
                     min         max         mean         sd        +/- sd
time for request:      917us     45.23ms     10.56ms      4.66ms    74.15%
"""  # noqa: E501 - as h2load prints it

GONE_AWAY = "requests: 8056 total, 8072 started, 8056 done, 8000 succeeded, 56 failed, 56 errored"


def test_wrk_output_becomes_a_run() -> None:
    """The requests, the measured seconds and the 99th percentile are those that wrk printed."""
    run = figures.parse_wrk(WRK, 1024)

    assert (run.requests, run.seconds, run.rate) == (24776, 2.0, 12388.0)
    assert run.p99_s == pytest.approx(0.00761)
    assert run.bytes_read == pytest.approx(29.87 * 2**20)


def test_what_the_taker_prints_becomes_a_run() -> None:
    """Answers, seconds, bytes with heads, and p99."""
    run = figures.parse_taken("50000 2.000100 5130000000 0.00213\n", 102_400)

    assert (run.requests, run.seconds, run.p99_s) == (50000, 2.0001, 0.00213)
    with pytest.raises(figures.Refused, match="1024 bytes an answer for a file of 102400"):
        figures.parse_taken("5 2.0 5120 0.001\n", 102_400)
    with pytest.raises(figures.Refused, match=r"taker printed no result: \(nothing\)"):
        figures.parse_taken("", 102_400)


def test_h2load_output_becomes_a_run() -> None:
    """The rate follows from h2load's own duration, and the bytes are those of the content."""
    run = figures.parse_h2load(H2LOAD, 1024)

    assert (run.requests, run.rate, run.bytes_read) == (57600, 115200.0, 58982400)
    assert run.p99_s is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (WRK + "  Non-2xx or 3xx responses: 1\n", "Non-2xx or 3xx responses: 1"),
        (WRK + "  Socket errors: connect 0, read 7, write 0, timeout 0\n", "read 7"),
        (WRK.replace("29.87MB", "2.98MB"), "126 bytes an answer for a file of 1024"),
        (WRK.replace("24776 requests", "0 requests"), "no request was answered"),
        ("unable to connect to 127.0.0.1:1 Connection refused\n", "Connection refused"),
        ("", "nothing"),
    ],
    ids=["status", "socket", "short", "none", "refused", "empty"],
)
def test_a_wrk_run_with_trouble_is_refused(text: str, reason: str) -> None:
    """No figure comes from a run in which anything but whole, good answers was seen."""
    with pytest.raises(figures.Refused, match=reason):
        figures.parse_wrk(text, 1024)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (H2LOAD.replace("57600 2xx, 0 3xx", "57599 2xx, 1 3xx"), "1 3xx"),
        (H2LOAD.replace("57600 2xx, 0 3xx, 0 4xx", "0 2xx, 0 3xx, 57600 4xx"), "57600 4xx"),
        (
            H2LOAD.replace("57600 succeeded, 0 failed", "57599 succeeded, 1 failed"),
            "57599 of 57600",
        ),
        (H2LOAD.replace("(58982400) data", "(5898240) data"), "102 bytes an answer"),
        (f"finished in 1.00s, 0.00 req/s\n{GONE_AWAY}\n", "printed no result"),
        (H2LOAD.replace("57600 total", "0 total").replace("57600 succ", "0 succ"), "no request"),
    ],
    ids=["redirect", "missing", "failed", "short", "torn", "none"],
)
def test_an_h2load_run_with_trouble_is_refused(text: str, reason: str) -> None:
    """One failed stream, one other status or one torn summary is enough to have no figure."""
    with pytest.raises(figures.Refused, match=reason):
        figures.parse_h2load(text, 1024)


def runs(*rates: float) -> list[object]:
    """One-second runs at these rates."""
    return [figures.Run(round(rate), 1.0, rate * 2000) for rate in rates]


def test_a_ratio_is_made_round_by_round() -> None:
    """A machine that halves its speed in one round leaves the ratio as it was."""
    ratio = figures.paired_ratio([110, 55, 121], [100, 50, 100])

    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((1.1, 1.1, 1.21))


def test_a_ratio_needs_the_same_rounds() -> None:
    """Rounds that do not pair up are a mistake, not a figure."""
    with pytest.raises(ValueError, match="longer"):
        figures.paired_ratio([1, 2], [1, 2, 3])


def test_runs_are_joined_by_their_own_seconds() -> None:
    """Short runs add up; the pauses between them do not count."""
    joined = figures.joined([figures.Run(100, 0.5, 10), figures.Run(300, 1.5, 30)])

    assert (joined.requests, joined.seconds, joined.rate) == (400, 2.0, 200.0)


def result(
    rates: list[float],
    busy: float = 0.99,
    load: float = 0.5,
    *,
    refused: str = "",
    passed_on: float = 0.0,
    cpu_s: float = 1.0,
) -> object:
    """What a comparison keeps of one server."""
    rounds = [tables.Round(run, busy, load, passed_on, cpu_s) for run in runs(*rates)]
    return tables.Result(rounds, refused)


@pytest.mark.parametrize(
    ("ours", "verdict"), [([110.0, 120.0], "met"), ([90.0, 95.0], "MISSED")], ids=["met", "missed"]
)
def test_the_table_says_whether_the_aim_is_met(ours: list[float], verdict: str) -> None:
    """The aim is judged against nginx, by the median of the paired ratios."""
    results = {"edge": result(ours), "nginx": result([100.0, 100.0])}

    [line] = [each for each in tables.table(scenarios.SCENARIOS["1kb"], results) if "nginx" in each]

    assert line.endswith(f"aim ≥ 1.0: {verdict}")


def test_no_ratio_is_printed_after_a_refusal() -> None:
    """A server that was refused shows the reason, and the others get no ratio to it."""
    results = {"edge": result([], refused="wrk: Socket errors"), "nginx": result([100.0])}

    lines = list(tables.table(scenarios.SCENARIOS["1kb"], results))

    assert any("edge" in line and "no figure: wrk: Socket errors" in line for line in lines)
    assert any("nginx" in line and line.endswith("no ratio") for line in lines)
    assert tables.as_json(results)["nginx"].keys().isdisjoint({"edge_ratio"})


@pytest.mark.parametrize(
    ("busy", "load", "doubt"),
    [
        (0.95, 0.9, None),
        (0.3, 0.95, "generator was the limit"),
        (0.5, 0.5, "neither was at its limit"),
    ],
    ids=["server", "generator", "shared"],
)
def test_a_figure_that_is_not_the_servers_says_so(
    busy: float, load: float, doubt: str | None
) -> None:
    """A rate counts as a server's own when the server's core was what ran out."""
    lines = list(tables.doubts(scenarios.SCENARIOS["1kb"], result([100.0], busy, load)))

    assert len(lines) == (doubt is not None)
    assert doubt is None or doubt in lines[0]


@pytest.mark.parametrize(
    ("name", "peer", "aim"),
    [("proxy-1kb", "caddy", 4.0), ("proxy-hit", "varnish", 1.5), ("proxy-1mb", "nginx", None)],
)
def test_each_peer_has_an_aim_of_its_own(name: str, peer: str, aim: float | None) -> None:
    """Where nothing is aimed at, the ratio stands alone."""
    results = {"edge": result([300.0]), peer: result([100.0])}

    [line] = [each for each in tables.table(scenarios.SCENARIOS[name], results) if peer in each]

    assert line.endswith(f"aim ≥ {aim}: {'met' if aim < 3 else 'MISSED'}" if aim else "3.00)")


@pytest.mark.parametrize(
    ("name", "passed_on", "doubted"),
    [("proxy-hit", 0.98, True), ("proxy-hit", 0.0001, False), ("proxy-1kb", 1.0, False)],
)
def test_misses_are_not_called_hits(name: str, passed_on: float, doubted: bool) -> None:  # noqa: FBT001 - a table's column
    """A rate of hits is doubted when the origin was asked all the time."""
    played = result([100.0], passed_on=passed_on)

    lines = list(tables.doubts(scenarios.SCENARIOS[name], played))

    assert lines == ["the origin got 98% of the requests: these are no hits"] * doubted


@pytest.mark.parametrize(
    ("cpu_s", "ratio"), [(0.5, "0.80 (0.80 - 0.80), aim ≥ 0.8: met"), (0.4, "0.64 (0.64")]
)
def test_handshakes_are_judged_by_the_servers_processor(cpu_s: float, ratio: str) -> None:
    """The clock's rate is the generator's as much: it is told, and nothing is aimed at by it."""
    results = {"edge": result([80.0], cpu_s=0.5), "nginx": result([100.0], cpu_s=cpu_s)}

    lines = list(tables.table(scenarios.SCENARIOS["tls-handshake"], results))
    document = tables.as_json(results)["nginx"]

    assert lines[4].lstrip().startswith("nginx")
    assert lines[4].endswith("0.80 (0.80 - 0.80)")
    assert f"{100 / cpu_s:,.0f}" in lines[5]
    assert ratio in lines[5]
    assert (document["edge_ratio"], document["edge_cpu_ratio"]) == (0.8, float(ratio[:4]))


NEGOTIATED = "TLS Protocol: TLSv1.3\nCipher: X\nApplication protocol: h2\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (NEGOTIATED.replace("1.3", "1.2"), "TLS Protocol: TLSv1.2 instead of TLSv1.3"),
        (NEGOTIATED.replace("h2", "http/1.1"), "http/1.1 instead of h2"),
        ("", "nothing instead of TLSv1.3"),
    ],
    ids=["version", "alpn", "clear"],
)
def test_another_protocol_has_no_figure(text: str, reason: str) -> None:
    """What was not spoken is not measured, however fast it was."""
    figures.check_protocols(NEGOTIATED, "h2")
    with pytest.raises(figures.Refused, match=reason):
        figures.check_protocols(text, "h2")


PACED = {
    "planned": 100, "answered": 100, "seconds": 0.5, "bytes_read": 123_000,
    "p50": 0.001, "p99": 0.003, "p999": 0.004, "lag_p99": 0.0001, "problem": "",
}  # fmt: skip


def test_a_paced_output_becomes_a_run() -> None:
    """Three percentiles, and how late the generator was itself."""
    run = figures.parse_paced(json.dumps(PACED), 200)

    assert (run.requests, run.rate) == (100, 200.0)
    assert (run.p50_s, run.p99_s, run.p999_s, run.lag_s) == (0.001, 0.003, 0.004, 0.0001)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (json.dumps(PACED | {"answered": 99, "problem": "overcome"}), "99 of 100 .* overcome"),
        (json.dumps(PACED | {"problem": "a connection was ended"}), "was ended"),
        (json.dumps(PACED | {"seconds": 1.0}), "100/s instead of 200/s"),
        ("Traceback\nKeyError: 1\n", "no result: KeyError: 1"),
    ],
    ids=["late", "ended", "slow", "broken"],
)
def test_a_paced_run_with_trouble_is_refused(text: str, reason: str) -> None:
    """A server that left one request unanswered has no percentiles: the slowest are missing."""
    with pytest.raises(figures.Refused, match=reason):
        figures.parse_paced(text, 200)


def test_an_answer_without_content_has_none() -> None:
    """A run of 304s in which files were sent is refused."""
    short, long = figures.Run(10, 1.0, 2_000), figures.Run(10, 1.0, 102_400)

    assert figures.check_empty(short, 10_240) is short
    with pytest.raises(figures.Refused, match="10240 bytes an answer where a 304"):
        figures.check_empty(long, 10_240)


def paced(*p99s: float, lag_s: float = 0.0) -> object:
    """Rounds at a fixed rate with these p99s, in seconds."""
    played = [figures.Run(100, 1.0, 1e5, p99, p99 / 2, p99 * 2, lag_s) for p99 in p99s]
    return tables.Result([tables.Round(run, 0.5, 1.0) for run in played])


@pytest.mark.parametrize(("p99", "verdict"), [(0.003, "met"), (0.0031, "MISSED")])
def test_latency_is_aimed_at_from_above(p99: float, verdict: str) -> None:
    """Less is more: half as late again as nginx is the most, by the median of the rounds."""
    results = {"edge": paced(p99, p99, 0.1), "nginx": paced(0.002, 0.002, 0.002)}

    lines = list(tables.table(scenarios.SCENARIOS["latency"], results))
    document = tables.as_json(results)["nginx"]

    assert lines[-1].endswith(f"aim ≤ 1.5: {verdict}")
    assert lines[-1].split()[:5] == ["nginx", "100", "1.00", "2.00", "2.00"]
    assert document["edge_p99_ratio"] == pytest.approx(p99 / 0.002, abs=0.001)


def test_a_late_generator_says_so() -> None:
    """Its own lateness is in the times of all: where it is a good part of them, they say little."""
    scenario = scenarios.SCENARIOS["latency"]

    assert list(tables.doubts(scenario, paced(0.002, lag_s=0.0001))) == []
    [doubt] = tables.doubts(scenario, paced(0.002, lag_s=0.001))
    assert doubt.startswith("the generator was late itself")


@pytest.mark.parametrize(("logged", "doubted"), [([1.0, 0.97], True), ([0.9995, 1.001], False)])
def test_lost_lines_are_told(logged: list[float], doubted: bool) -> None:  # noqa: FBT001 - a table's column
    """A server whose access log lacks requests did less than the others."""
    played = result([100.0, 100.0])
    played.logged = logged

    lines = list(tables.doubts(scenarios.SCENARIOS["1kb"], played))

    assert lines == ["its access log has 97.0% of the requests of a round"] * doubted
