"""The parts of a worker, and the settings that they obey."""

from tests.support_serving import Site


async def test_settings_apply_with_their_generation(tmp_path):
    """Cache, limits and sizes of `edge.yml` hold from the swap on, divided among the workers."""
    site = Site(tmp_path)
    site.deploy({"index.html": "first"})
    worker = site.new_worker(workers=4)
    await site.start(worker)
    assert worker.status()["cache"]["capacity"] == 64 * 1024 * 1024
    (site.folder / "edge.yml").write_text(
        "cache: {memory: 1MiB, max_object: 64KiB}\n"
        "limits: {keep_alive: 5s, requests_per_connection: 7, connections: 9}\n"
    )
    site.changes.reload()
    await site.follow()
    assert worker.status()["cache"]["capacity"] == 256 * 1024
    assert worker._files.max_object == 64 * 1024
    service = worker._service
    assert (service.keep_alive, service.requests_per_connection, service.max_connections) == (
        5, 7, 9,
    )  # fmt: skip
