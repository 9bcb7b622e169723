"""The benchmarks' own reasoning: what becomes a figure, what is refused, and who is stopped."""

from __future__ import annotations

import argparse
import asyncio
import functools
import http.server
import importlib.util
import json
import mmap
import os
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from edge.site.documents import decode_settings
from edge.site.places import Places
from edge.site.plan import compile_plan
from edge.site.redirects import decode_redirects
from tests.support_tls import receiving
from tests.support_wire import response, until

BENCH = Path(__file__).parents[1] / "bench"


def load(name: str) -> ModuleType:
    """A script of bench/ as a module, under the name by which its siblings import it."""
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


figures = load("figures")
rulesets = load("rulesets")
servers = load("servers")
scenarios = load("scenarios")
tables = load("tables")
gateways = load("gateways")
secure = load("secure")
generators = load("generators")
commands = load("commands")
compare = load("compare")
node = load("node")
proxy = load("proxy")
holding = load("holding")
names = load("names")
scale = load("scale")
micro = load("micro")


def test_the_mixed_rules_are_rules_of_every_kind():
    """They decode without a mistake, and none is about the files that are measured."""
    decoded, errors, warnings = decode_redirects(
        json.dumps(rulesets.mixed_rules(200)), "redirects.json"
    )
    plan = compile_plan(decoded)
    kinds = {type(rule.source.path).__name__ for rule in plan.rules}
    assert (errors, warnings) == ([], [])
    assert kinds == {"Exact", "Places", "Expression"}
    assert any(rule.source.parameters for rule in plan.rules)


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

    assert line.endswith(f"aim 1.0: {verdict}")


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
    [("proxy-1kb", "caddy", 4.0), ("proxy-hit", "varnish", 2.0), ("proxy-1mb", "nginx", None)],
)
def test_each_peer_has_an_aim_of_its_own(name: str, peer: str, aim: float | None) -> None:
    """Where nothing is aimed at, the ratio stands alone."""
    results = {"edge": result([300.0]), peer: result([100.0])}

    [line] = [each for each in tables.table(scenarios.SCENARIOS[name], results) if peer in each]

    assert line.endswith(f"aim {aim}: {'met' if aim < 3 else 'MISSED'}" if aim else "3.00)")


@pytest.mark.parametrize(
    ("name", "passed_on", "doubted"),
    [("proxy-hit", 0.98, True), ("proxy-hit", 0.0001, False), ("proxy-1kb", 1.0, False)],
)
def test_misses_are_not_called_hits(name: str, passed_on: float, doubted: bool) -> None:  # noqa: FBT001 - a table's column
    """A rate of hits is doubted when the origin was asked all the time."""
    played = result([100.0], passed_on=passed_on)

    lines = list(tables.doubts(scenarios.SCENARIOS[name], played))

    assert lines == (
        ["           (the origin got 98% of the requests: these are no hits)"] * doubted
    )


@pytest.mark.parametrize(
    ("cpu_s", "ratio"), [(0.5, "0.80 (0.80 - 0.80), aim 0.8: met"), (0.4, "0.64 (0.64")]
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


def test_each_scenario_is_of_one_kind() -> None:
    """Files in the clear, files over TLS, proxies: no server is asked for what it does not do."""
    kinds = [(s.is_file, s.is_secure, bool(s.gateways)) for s in scenarios.SCENARIOS.values()]

    assert {sum(kind) for kind in kinds} == {1}
    assert set(secure.SECURE) <= set(servers.PEERS)


def test_every_proxy_can_be_started() -> None:
    """What a scenario compares is in the table of proxies, and its program in the other one."""
    named = {name for scenario in scenarios.PROXIED for name in scenario.gateways}

    assert named == set(gateways.GATEWAYS)
    assert named <= set(servers.PEERS)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """The files of the comparison, served by the standard library."""
    folder = compare.write_site(tmp_path / "site")
    serve = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, server.server_address[1]
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, says nothing."""

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def test_a_wrong_answer_is_found_before_it_is_timed(site: tuple[Path, int]) -> None:
    """The very file passes; other bytes of the same length and a 404 do not."""
    folder, port = site
    server, scenario = servers.Server("x", None, folder, port, port), scenarios.SCENARIOS["1kb"]
    compare.check_answer(server, scenario, folder, None)

    expected = folder.parent / "expected"
    expected.mkdir()
    (expected / "1kb.bin").write_bytes(bytes(1024))
    with pytest.raises(figures.Refused, match="other bytes"):
        compare.check_answer(server, scenario, expected, None)
    (folder / "1kb.bin").unlink()
    with pytest.raises(figures.Refused, match="404"):
        compare.check_answer(server, scenario, expected, None)


def test_the_files_are_the_same_in_every_run(tmp_path: Path) -> None:
    """Two machines, or two days, measure the same bytes; one file serves both protocols."""
    one, two = compare.write_site(tmp_path / "one"), compare.write_site(tmp_path / "two")

    for scenario in scenarios.SCENARIOS.values():
        content = (one / scenario.path[1:]).read_bytes()

        assert len(content) == scenario.size
        assert content == (two / scenario.path[1:]).read_bytes()


def test_stopping_a_server_ends_its_whole_session(tmp_path: Path) -> None:
    """A child that outlives its parent is stopped too; nobody outside the session is."""
    command = ["sh", "-c", "sleep 60 & echo ready; wait"]
    server = servers.start("sleeper", command, tmp_path, core=None)
    while "ready" not in server.log.read_text():
        assert server.process.poll() is None
    assert len(servers.session_of(server.process.pid)) == 2
    assert os.getpid() not in servers.session_of(server.process.pid)

    server.stop()

    assert servers.session_of(server.process.pid) == []


def test_the_configuration_of_the_node_is_valid(tmp_path: Path) -> None:
    """What the benchmarks write as edge.yml is what the node reads without a complaint."""
    config = servers.write_edge_config(tmp_path, 1, 8080, 9901)

    settings, errors = decode_settings(config.read_text(), str(config))

    assert errors == []
    assert settings is not None
    assert (settings.workers, settings.listen.http) == (1, ("127.0.0.1:8080",))


def test_the_node_with_tls_is_configured_well(tmp_path: Path) -> None:
    """It ends no connection by itself, and has the certificate from its folder."""
    more = f"tls: {{mode: files}}\nlimits: {{{secure.ENDLESS}}}\n"
    config = servers.write_edge_config(tmp_path, 1, 8080, 9901, more, tls_port=8443)

    settings, errors = decode_settings(config.read_text(), str(config))

    assert errors == []
    assert (settings.listen.https, settings.tls.mode) == (("127.0.0.1:8443",), "files")
    assert settings.limits.h2_streams_per_connection == 10**9
    assert settings.limits.handshakes > scenarios.HANDSHAKES


def test_the_node_in_front_of_an_origin_is_configured_well(tmp_path: Path) -> None:
    """Its one rule leads every path to the origin, which `proxy.allow` names."""
    gateways.write_rule(tmp_path / "app", 9000)
    text = (tmp_path / "app/redirects.json").read_text()
    more = gateways.edge_settings(9000, "body: 1MiB")
    config = servers.write_edge_config(tmp_path, 1, 8080, 9901, more)

    rules, *complaints = decode_redirects(text, "redirects.json")
    settings, errors = decode_settings(config.read_text(), str(config))

    assert (errors, complaints) == ([], [[], []])
    assert (settings.proxy.allow, settings.limits.body) == (("127.0.0.1:9000",), 1 << 20)
    assert [rule.status for rule in rules] == ["200"]


def test_who_listens_is_found_by_the_socket() -> None:
    """A process is known to serve a port by the listening socket that it holds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        assert node.listens_on(os.getpid(), port)
    assert not node.listens_on(os.getpid(), port)


def test_memory_is_shared_out() -> None:
    """PSS counts a shared page in part, so it is never more than RSS; a dead process has none."""
    pss, rss = node.memory_of(os.getpid())

    assert 0 < pss <= rss
    assert node.memory_of(2**22 + 1) == (0, 0)


def test_the_kernel_keeps_the_peak_of_memory() -> None:
    """What was given back again is seen; what was before `forget_peak` is not."""
    node.forget_peak(os.getpid())
    before = node.peak_of(os.getpid())
    # A mapping of its own: `malloc` would take what this process has freed and kept.
    with mmap.mmap(-1, 64 << 20) as taken:
        taken.write(b"peak" * (16 << 20))

    assert node.peak_of(os.getpid()) - before > 60 << 20
    node.forget_peak(os.getpid())
    assert node.peak_of(os.getpid()) - before < 60 << 20


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_one_of_the_values(share: float, value: int) -> None:
    """Not more than the share of them is smaller."""
    assert figures.percentile(range(100, 0, -1), share) == value


async def test_the_origin_of_a_stampede_counts_whom_it_answers() -> None:
    """Without a node between, every client is one request."""
    origin = proxy.SlowOrigin(0.0)
    async with await asyncio.start_server(origin.converse, "127.0.0.1", 0) as side:
        answers = await proxy.stampede(side.sockets[0].getsockname()[1], "/cold-0", 20)

    assert origin.asked == {"/cold-0": 20}
    assert all(map(proxy.is_whole, answers))
    assert not proxy.is_whole(answers[0][:-1])


def test_a_long_answer_is_counted_to_its_end() -> None:
    """An answer of another size is an error, not a figure."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), proxy.Spring) as spring:
        threading.Thread(target=spring.serve_forever, daemon=True).start()
        proxy.drain(spring.server_port, "/private/3", 3 << 20)
        with pytest.raises(servers.NotStarted, match="3,145,728 of 4,194,304 bytes"):
            proxy.drain(spring.server_port, "/public/3", 4 << 20)
        spring.shutdown()


async def test_every_message_has_its_round_trip() -> None:
    """As many times as there were messages, over all connections."""
    chosen = argparse.Namespace(connections=3, messages=4, rate=1_000)
    async with proxy.echoing() as port:
        times = await proxy.round_trips(port, chosen)

    assert len(times) == 12
    assert min(times) > 0


def test_an_ended_connection_is_not_called_open() -> None:
    """Silence is open; an end by the other side is not."""
    near, far = socket.socketpair()

    assert holding.is_open(near)
    far.close()
    assert not holding.is_open(near)
    near.close()


def test_what_was_said_before_the_end_does_not_keep_a_connection_open() -> None:
    """Tickets and an alert that nobody has read are no sign of life."""
    near, far = socket.socketpair()
    far.sendall(b"ticket")

    assert holding.is_open(near)
    far.sendall(b"alert")
    far.close()
    assert not holding.is_open(near)
    near.close()


# Over TLS

TOOLS = servers.missing_tools("taskset", "wrk", "h2load", "nginx", "openssl")
generated = pytest.mark.skipif(
    bool(TOOLS) or (os.cpu_count() or 1) < 2, reason=f"needs two cores and {', '.join(TOOLS)}"
)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[object, object]]:
    """The peer, and the certificate that it shows."""
    certificate = secure.make_certificate(tmp_path)
    site = compare.write_site(tmp_path / "site")
    server = secure.start_nginx(site, tmp_path, certificate)
    yield server, certificate
    server.stop()


def shake_twice(port: int, certificate: object) -> bool:
    """Whether a client that may resume its session does."""
    context, session = certificate.client(), None
    for _ in range(2):
        plain = socket.create_connection(("127.0.0.1", port))
        with context.wrap_socket(plain, server_hostname=servers.HOST, session=session) as client:
            request = f"GET /1kb.bin HTTP/1.1\r\nHost: {servers.HOST}\r\nConnection: close\r\n\r\n"
            client.sendall(request.encode())
            while client.recv(65_536):
                pass
            session, is_resumed = client.session, client.session_reused
    return is_resumed


@generated
def test_handshakes_are_full_ones(nginx: tuple[object, object]) -> None:
    """Where sessions may be resumed the generator does not; where handshakes count nobody can."""
    server, certificate = nginx
    scenario = scenarios.SCENARIOS["tls-handshake"]

    assert generators.shake_hands(server.handshake_port, scenario).requests == scenarios.HANDSHAKES
    compare.check_handshakes(server, scenario)
    assert secure.resumptions(server) == 0
    assert shake_twice(server.handshake_port, certificate) is False
    assert shake_twice(server.tls_port, certificate) is True
    assert secure.resumptions(server) == 1, "and nginx would have told"


class NamedHandler(QuietHandler):
    """Keeps connections open."""

    protocol_version = "HTTP/1.1"


class Crowded(http.server.ThreadingHTTPServer):
    """Lets a generator's connections wait."""

    request_queue_size = 128


@generated
def test_generators_send_the_name(site: tuple[Path, int], tmp_path: Path) -> None:
    """wrk by its script, h2load by an option: a node has no certificate for an address."""
    certificate, asked = secure.make_certificate(tmp_path), set()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    context.set_alpn_protocols(["http/1.1"])
    context.sni_callback = lambda _, name, __: asked.add(name)
    serve = functools.partial(NamedHandler, directory=str(site[0]))
    with Crowded(("127.0.0.1", 0), serve) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        node = servers.Server("x", None, tmp_path, port, port, tls_port=port)
        generators.load_http1(node, scenarios.SCENARIOS["tls-1kb"], 1.0)
        generators.shake_hands(port, scenarios.SCENARIOS["tls-handshake"])
        server.shutdown()

    assert asked == {servers.HOST}


def answering(_: object) -> object:
    """One answer for all."""
    return response(b"held")


async def test_a_connection_over_tls_is_held_by_its_socket(tmp_path: Path) -> None:
    """The server keeps it open without the client's session, and its end is seen."""
    places = Places(tmp_path)
    root = names.write_certificates(places, [servers.HOST])
    context = ssl.create_default_context(cafile=str(root))
    async with receiving(SimpleNamespace(places=places), answering) as server:
        held = await asyncio.to_thread(holding.opened, server.address[1], context)
        assert holding.is_open(held)
        assert len(server.service.connections) == 1
        server.connection.transport.abort()
        await until(lambda: not holding.is_open(held))
        held.close()


async def test_certificates_are_written_as_a_worker_reads_them(tmp_path: Path) -> None:
    """Each name is shown its own, and none is loaded before it is asked for."""
    places = Places(tmp_path)
    hosts = ["a.edge.localhost", "b.edge.localhost", "c.edge.localhost"]
    context = ssl.create_default_context(cafile=str(names.write_certificates(places, hosts)))
    async with receiving(SimpleNamespace(places=places), answering) as server:
        loaded = [server.contexts.ready(server.contexts.find(host)) for host in hosts]
        took = await asyncio.to_thread(names.shake_hands, server.address[1], context, hosts[1])
        with pytest.raises(servers.NotStarted, match=r"no handshake for d\.edge\.localhost"):
            await asyncio.to_thread(
                names.shake_hands, server.address[1], context, "d.edge.localhost"
            )
        then = [server.contexts.ready(server.contexts.find(host)) for host in hosts]

    assert took > 0
    assert loaded == [None] * 3
    assert [context is not None for context in then] == [False, True, False]


@pytest.mark.parametrize(("value", "met"), [(8.0, True), (8.01, False)], ids=["at", "over"])
def test_a_limit_includes_itself(value: float, met: bool) -> None:  # noqa: FBT001 - a table's column
    """`≤ 8 KiB` is met by 8 KiB."""
    figure = tables.at_most("RSS of each", value, 8, "KiB")

    assert (figure.aim, figure.met) == ("≤ 8 KiB", met)


def test_pages_for_a_deploy_differ_and_have_their_size(tmp_path: Path) -> None:
    """10,000 pages are 10,000 blobs: no two are alike, and each fills its size."""
    scale.write_pages(tmp_path, 120, 10_240)

    pages = [path.read_bytes() for path in tmp_path.rglob("page-*.html")]

    assert len(set(pages)) == len(pages) == 119
    assert {len(page) for page in pages} == {10_240}


def test_a_price_that_is_not_there_names_what_is_missing() -> None:
    """A module yet to be written, or a function that was renamed, costs only its own line."""
    absent = micro.Price("later", "edge.no_such_room", lambda module: module)
    renamed = micro.Price("renamed", "edge.errors", lambda module: module.no_such_function)

    assert "not there yet: No module named 'edge.no_such_room'" in micro.line_of(absent, 0.0, 0.001)
    assert "has changed: AttributeError" in micro.line_of(renamed, 0.0, 0.001)


def test_a_price_has_figures() -> None:
    """A line of the list ends in the lowest, the median, and the calls a second."""
    price = micro.Price("date", "edge.http.fields", lambda m: lambda: m.format_http_date(0))

    lowest, middle, calls = map(float, micro.line_of(price, 0.0, 0.001).split()[1:])

    assert 0 < lowest <= middle
    assert calls == pytest.approx(1 / middle, rel=0.05, abs=0.01)
