"""
`limits` of `edge.yml`: what one client, connection, worker or upload may cost.

Here: names, defaults, and what each bounds. Who holds them is in the house's table of limits.
"""

from __future__ import annotations

from edge.site.schema import (
    Count,
    Document,
    Duration,
    Memory,
    PositiveSize,
    Size,
    Timeout,
    Whole,
)

KIB = 1 << 10
GIB = 1 << 30


class Limits(Document, frozen=True, kw_only=True):
    """What one client, connection, worker or upload may cost."""

    header_timeout: Timeout = 10.0
    """Wall clock from the first byte of a head to its last."""
    request_line: PositiveSize = 8 * KIB
    """The request line; a longer one is 414."""
    fields: PositiveSize = 16 * KIB
    """The field section of one request; a larger one is 431."""
    field_count: Count = 100
    """Field lines of one request; more are 431."""
    idle_timeout: Timeout = 30.0
    """Silence of a client that is sending content or should be taking a response."""
    min_rate: Size = 500
    """Bytes a second that content must average, either way, but for 10 s. 0 is any rate."""
    keep_alive: Timeout = 60.0
    """Silence between two requests of a connection."""
    requests_per_connection: Count = 1_000
    """Requests of an HTTP/1.1 connection before it is closed."""
    h2_streams: Count = 100
    """Concurrent streams of an HTTP/2 connection."""
    h2_streams_per_connection: Count = 1_000
    """Streams of an HTTP/2 connection before it is told to go away."""
    h2_resets: Count = 100
    """Streams that may break off in a minute, whoever's doing it was."""
    h2_settings: Count = 14
    """SETTINGS that an HTTP/2 client may send in a minute."""
    h2_pings: Count = 60
    """PINGs that it may send in a minute."""
    h2_priorities: Count = 120
    """PRIORITY and unknown frames in a minute, beyond one for each request."""
    h2_empty: Count = 10
    """DATA without content in a minute, the last of a request not counted."""
    h2_updates: Count = 1_000
    """WINDOW_UPDATEs in a minute, beyond what answers need."""
    handshake_timeout: Timeout = 10.0
    """From a connection to the end of its TLS handshake."""
    handshakes: Count = 500
    """TLS handshakes of one worker at a time; beyond, the oldest of them is dropped."""
    connections: Count = 10_000
    """Connections of one worker; the next one is refused."""
    client_connections: Whole = 0
    """Connections of one client to one worker; the next one is 429. 0 is any number."""
    client_requests: Whole = 0
    """Requests a second of one client to one worker, over ten seconds; then 429. 0 is any rate."""
    memory: Memory = "auto"
    """
    Memory of all workers; above, caches shrink and new work is 503. 0 is any, `auto` three
    quarters of what there is.
    """
    body: Size = 0
    """Content of a request to an origin; more is 413. 0 is any size."""
    origin_connections: Count = 256
    """Connections of one worker to one origin."""
    origin_queue: Count = 1_000
    """Requests that wait for one of them; the next one is 503."""
    origin_connect: Timeout = 3.0
    """Until an origin takes a connection, TLS included."""
    origin_first_byte: Timeout = 30.0
    """Until an origin begins to answer, and the longest wait for a connection."""
    origin_between_bytes: Timeout = 60.0
    """Silence of an origin in the middle of its answer."""
    origin_total: Duration = 0.0
    """A whole exchange with an origin, event streams excepted. 0 is any time."""
    tunnel_idle: Timeout = 3_600.0
    """Silence of both ends of a tunnel (WebSocket), and of an event stream."""
    drain: Timeout = 30.0
    """How long requests may finish when a worker is replaced or stopped."""
    archive_files: Count = 100_000
    """Files of one deployment."""
    archive_bytes: PositiveSize = 10 * GIB
    """Bytes of one deployment, unpacked."""
    archive_ratio: Count = 100
    """How many times its packed size an archive may unpack to."""
    blob_bytes: PositiveSize = 5 * GIB
    """Bytes of one file of a deployment."""
