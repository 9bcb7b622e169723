"""The servers and generators of `bench/compare.py`: what they are told, and what is checked."""

from __future__ import annotations

import functools
import http.server
import math
import os
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.site.documents import decode_settings
from edge.site.redirects import decode_redirects
from tests.support_bench import (
    browsers,
    compare,
    contents,
    figures,
    gateways,
    generators,
    logs,
    pacing,
    processes,
    scenarios,
    secure,
    servers,
    stages,
)


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS.values(), ids=lambda each: each.name)
def test_every_scenario_can_be_played(scenario: object) -> None:
    """Its servers can be started at its stage, its generator is known, its aims are about peers."""
    possible = stages.starters(scenario.stage, stages.Ground(Path(), Path(), Path(), None))

    assert set(scenario.peers) <= set(possible) <= set(servers.PROGRAMS)
    assert set(scenario.aims) <= set(scenario.peers) - {"edge"}
    assert scenario.load in generators.LOADERS
    assert bool(scenario.paced_by) == (scenario.load == "pace")
    assert not scenario.paced_by or scenario.paced_by in scenario.peers


def test_a_stage_has_its_scenarios_together() -> None:
    """Whatever the order on the command line: what serves files is not there when proxies are."""
    chosen = [scenarios.SCENARIOS[name] for name in ("proxy-hit", "1kb", "tls-1kb", "mix")]

    staged = [(stage, [each.name for each in here]) for stage, here in stages.by_stage(chosen)]

    assert staged == [
        ("files", ["1kb", "mix"]),
        ("secure", ["tls-1kb"]),
        ("proxies", ["proxy-hit"]),
    ]


def test_who_is_wished_for_is_compared() -> None:
    """But where a scenario makes no sense with others."""
    mix, rules = scenarios.SCENARIOS["mix"], scenarios.SCENARIOS["rules"]

    assert stages.names_of(mix, None) == list(mix.peers)
    assert stages.names_of(mix, ["edge"]) == ["edge"]
    assert stages.names_of(rules, ["edge", "nginx"]) == ["edge", "edge-rules"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """The files of the comparison, served by the standard library."""
    folder = contents.write_site(tmp_path / "site", [scenarios.SCENARIOS["gzip"]])
    serve = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, server.server_address[1]
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, says nothing."""

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def ground(site: Path) -> object:
    """What a check needs."""
    return stages.Ground(site.parent, site, site.parent, None)


def test_a_wrong_answer_is_found_before_it_is_timed(site: tuple[Path, int]) -> None:
    """The very file passes; other bytes of the same length and a 404 do not."""
    folder, port = site
    server, scenario = processes.Server("x", None, folder, port, port), scenarios.SCENARIOS["1kb"]
    stages.check(server, scenario, ground(folder))

    expected = folder.parent / "expected"
    expected.mkdir()
    (expected / "1kb.bin").write_bytes(bytes(1024))
    with pytest.raises(figures.Refused, match="other bytes"):
        stages.check(server, scenario, ground(expected))
    (folder / "1kb.bin").unlink()
    with pytest.raises(figures.Refused, match="404"):
        stages.check(server, scenario, ground(expected))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("gzip", "20kb.html comes as it is"), ("304", "If-None-Match:  is answered with 200")],
)
def test_what_is_not_done_is_not_timed(site: tuple[Path, int], name: str, reason: str) -> None:
    """A server that makes no coding, or knows no entity-tag, has no figure for that."""
    folder, port = site
    contents.write_file(folder / "10kb.bin", 10_240)
    server = processes.Server("x", None, folder, port, port)

    with pytest.raises(figures.Refused, match=reason):
        stages.check(server, scenarios.SCENARIOS[name], ground(folder))


def test_without_its_pacer_nobody_is_timed(site: tuple[Path, int]) -> None:
    """Half of nothing is no rate: who is there is told why there is no figure."""
    folder, port = site
    server = processes.Server("edge", None, folder, port, port)
    comparison = compare.Comparison(
        scenarios.SCENARIOS["latency"], {"edge": server}, ground(folder)
    )

    results = comparison.play(rounds=1, seconds=0.1, pace=0.0)

    assert results["edge"].refused == "nginx sets the pace, and did not"
    assert results["edge"].rounds == []


def test_the_files_are_the_same_in_every_run(tmp_path: Path) -> None:
    """Two machines, or two days, measure the same bytes; one file serves all protocols."""
    asked = [each for each in scenarios.SCENARIOS.values() if not each.is_mix]
    one, two = (contents.write_site(tmp_path / name, asked) for name in ("one", "two"))

    for scenario in asked:
        content = (one / scenario.path[1:]).read_bytes()

        assert len(content) == scenario.size
        assert content == (two / scenario.path[1:]).read_bytes()


def test_a_mix_is_a_crowd_s() -> None:
    """By Zipf's law, of 10,000 files and 50 browsers, each of which comes to each file in time."""
    asked = Counter(contents.mix_targets())
    crowd = browsers.browsers("h.example")
    sizes = [sum(len(name) + len(value) + 4 for name, value in lines) for lines in crowd]

    assert asked[0] / asked[9] == pytest.approx(10, rel=0.15)
    assert max(asked) > 9_000
    assert round(contents.mean_size()) == pytest.approx(scenarios.MIX_SIZE, abs=1)
    assert math.gcd(contents.TARGETS, len(crowd)) == 1
    assert len({str(lines) for lines in crowd}) == 50
    assert min(sizes) >= 300
    assert max(sizes) <= 720


def test_the_lines_of_a_log_are_counted_and_go(tmp_path: Path) -> None:
    """Also those set aside meanwhile; what is locked stays, and who appends goes on."""
    log, aside = tmp_path / "access.jsonl", tmp_path / "access-20261126T110000Z.jsonl"
    aside.write_text("1\n2\n")
    (tmp_path / ".access.jsonl.lock").write_text("")
    with log.open("a") as writer:
        writer.write("3\n")
        writer.flush()
        os.utime(log, (0, 0))
        server = processes.Server("x", None, tmp_path, 0, 0, access_log=log)

        assert logs.emptied(server) == 3
        writer.write("4\n")
    os.utime(log, (0, 0))
    assert (log.read_text(), aside.read_text()) == ("4\n", "")
    assert logs.emptied(server) == 1
    assert logs.emptied(processes.Server("y", None, tmp_path, 0, 0)) is None


def test_stopping_a_server_ends_its_whole_session(tmp_path: Path) -> None:
    """A child that outlives its parent is stopped too; nobody outside the session is."""
    command = ["sh", "-c", "sleep 60 & echo ready; wait"]
    server = processes.start("sleeper", command, tmp_path, core=None)
    while "ready" not in server.log.read_text():
        assert server.process.poll() is None
    assert len(processes.session_of(server.process.pid)) == 2
    assert os.getpid() not in processes.session_of(server.process.pid)

    server.stop()

    assert processes.session_of(server.process.pid) == []


def test_the_configuration_of_the_node_is_valid(tmp_path: Path) -> None:
    """What the benchmarks write as edge.yml is what the node reads without a complaint."""
    config = servers.write_edge_config(tmp_path, 1, 8080, 9901)

    settings, errors = decode_settings(config.read_text(), str(config))

    assert errors == []
    assert settings is not None
    assert (settings.workers, settings.listen.http) == (1, ("127.0.0.1:8080",))


def test_the_node_with_tls_is_configured_well(tmp_path: Path) -> None:
    """It ends no connection by itself, and has the certificate from its folder."""
    more = f"tls: {{mode: files}}\nlimits: {{{servers.ENDLESS}}}\n"
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


# Over TLS

TOOLS = processes.missing_tools("taskset", "wrk", "h2load", "nginx", "openssl")
generated = pytest.mark.skipif(
    bool(TOOLS) or (os.cpu_count() or 1) < 2, reason=f"needs two cores and {', '.join(TOOLS)}"
)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[object, object]]:
    """The peer, and the certificate that it shows."""
    certificate = secure.make_certificate(tmp_path)
    site = contents.write_site(tmp_path / "site", [])
    server = secure.start_nginx(site, tmp_path, certificate)
    yield server, certificate
    server.stop()


def shake_twice(port: int, certificate: object) -> bool:
    """Whether a client that may resume its session does."""
    context, session = certificate.client(), None
    for _ in range(2):
        plain = socket.create_connection(("127.0.0.1", port))
        with context.wrap_socket(plain, server_hostname=processes.HOST, session=session) as client:
            request = (
                f"GET /1kb.bin HTTP/1.1\r\nHost: {processes.HOST}\r\nConnection: close\r\n\r\n"
            )
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
    stages.check_handshakes(server, scenario)
    assert secure.resumptions(server) == 0
    assert shake_twice(server.handshake_port, certificate) is False
    assert shake_twice(server.tls_port, certificate) is True
    assert secure.resumptions(server) == 1, "and nginx would have told"


class NamedHandler(QuietHandler):
    """Keeps connections open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True


class Crowded(http.server.ThreadingHTTPServer):
    """Lets a generator's connections wait, and does not mind when they end."""

    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Who had the wrong answer did not read on."""


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
        node = processes.Server("x", None, tmp_path, port, port, tls_port=port)
        generators.Errand(scenarios.SCENARIOS["tls-1kb"], tmp_path).run(node, 1.0)
        generators.shake_hands(port, scenarios.SCENARIOS["tls-handshake"])
        server.shutdown()

    assert asked == {processes.HOST}


def test_a_fixed_rate_is_kept_by_the_clock(site: tuple[Path, int], tmp_path: Path) -> None:
    """As many requests as were planned, and their times; answers of another size are refused."""
    serve = functools.partial(NamedHandler, directory=str(site[0]))
    with Crowded(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        good = pacing.Pacer(port, "/1kb.bin", 1024, rate=200, seconds=0.25).run()
        bad = pacing.Pacer(port, "/1kb.bin", 1000, rate=200, seconds=0.25).run()
        gone = pacing.Pacer(port, "/nothing", 1024, rate=200, seconds=0.25).run()
        server.shutdown()

    assert (good.planned, good.answered, good.problem) == (50, 50, "")
    assert 0 < good.p50 <= good.p99 <= good.p999
    assert good.seconds > 49 / 200
    assert (bad.answered, gone.answered) == (0, 0)
    assert bad.problem.startswith("not the answer")
    assert gone.problem.startswith("not the answer: b'HTTP/1.1 404")


@generated
def test_a_crowd_asks_as_a_crowd(tmp_path: Path) -> None:
    """wrk's script sends many browsers to many files, and nginx notes each request."""
    chosen = [scenarios.SCENARIOS[name] for name in ("mix", "304", "gzip", "br")]
    field = stages.lay_ground(tmp_path, chosen)
    (tmp_path / "nginx").mkdir()
    server = servers.start_nginx(field.site, tmp_path / "nginx")
    try:
        for scenario in chosen:
            stages.check(server, scenario, field)
        logs.emptied(server)
        run = generators.Errand(chosen[0], field.crowd).run(server, 3.0)
        logs.wait_until_settled(server.access_log)
        lines = server.access_log.read_text().splitlines()
        noted = logs.emptied(server)
    finally:
        server.stop()

    paths, agents = (Counter(line.split('"')[number] for line in lines) for number in (1, 5))
    assert noted == len(lines) >= run.requests
    assert len(agents) == 10
    assert paths.most_common(1)[0][0] == f"GET {contents.mix_path(0)} HTTP/1.1"
    assert len(paths) > 1_000
