"""The watch over a node: what is told, what is shown, and what outlives a restart."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading

import pytest

from edge.control import alarms as alarms_module
from edge.control.alarms import Alarms, read
from edge.control.letters import Undelivered
from edge.control.notifying import Courier
from edge.errors import Mistaken
from tests.support_alarms import at, mail_server, minute, receiving
from tests.support_control import new_store, open_store, places_of, publish, upload, write_app
from tests.support_wire import until

PAGES = {"index.html": "<p>hello</p>"}


class Series:
    """Minutes that a test counts; the last one still runs."""

    def __init__(self):
        self.counted = [minute(0)]

    def count(self, *errors):
        """So many errors in each of the next minutes."""
        self.counted += [minute(len(self.counted) + each, n) for each, n in enumerate(errors)]

    def minutes(self, app):
        """Of the node, and of every app."""
        del app
        running = minute(len(self.counted))
        return [*self.counted, running]

    def percentile(self, latency, share):
        """The number of the first bucket with a request."""
        assert share == 0.95
        return float(next(number for number, count in enumerate(latency) if count))


@pytest.fixture
def series():
    """What was counted."""
    return Series()


def settings(*recipients, extra=""):
    """An alarm on errors, and news of all deployments."""
    notify = ", ".join(f'"{each}"' for each in recipients)
    return (
        f"alarms: [{{name: Errors, app: shop, metric: errors_5xx, above: 10, for: 2m,"
        f" notify: [{notify}]}}]\n"
        f"notifications: [{{notify: [{notify}]}}]\n"
        f"{extra}"
    )


@contextlib.asynccontextmanager
async def watching(folder, series, courier=Courier):
    """A watch over the node in `folder`, as a control process that has just begun has it."""
    changes = open_store(folder)
    alarms = Alarms(places_of(folder), changes, series, courier)
    await alarms.open()
    try:
        yield alarms
    finally:
        await until(lambda: not alarms.courier._running)
        alarms.close()


def new_node(folder, text):
    """A node whose files say so."""
    changes = new_store(folder, text)
    write_app(folder, "shop")
    changes.reload()
    return changes


async def test_an_alarm_fires_and_is_over(tmp_path, series):
    """Two letters, however often it is looked."""
    async with receiving() as receiver:
        new_node(tmp_path, settings(receiver.url()))
        async with watching(tmp_path, series) as alarms:
            for errors in (0, 20, 30, 40, 0, 0):
                series.count(errors)
                await alarms.look()
                await alarms.look()
            first, second = await receiver.has(2)

    assert (first["state"], first["value"], first["alarm"]) == ("firing", 30.0, "Errors")
    assert (second["state"], second["value"]) == ("ok", 0.0)
    assert first["since"] == second["since"]
    assert first["id"] != second["id"]
    assert alarms.courier.counts["sent"] == 2


async def test_a_restart_neither_forgets_nor_repeats(tmp_path, series):
    """What fires goes on, and its end is told by the next process."""
    async with receiving() as receiver:
        new_node(tmp_path, settings(receiver.url()))
        async with watching(tmp_path, series) as alarms:
            series.count(20, 20)
            await alarms.look()
            series.count(20)
            await alarms.look()
            await receiver.has(1)
        again = Series()
        again.counted = [minute(10, 20)]
        async with watching(tmp_path, again) as alarms:
            assert alarms.describe()["alarms"][0]["state"] == "firing"
            again.counted.append(minute(11, 20))
            await alarms.look()
            again.counted.append(minute(12, 0))
            await alarms.look()
            _, second = await receiver.has(2)

    assert second["state"] == "ok"
    assert len(receiver.taken) == 2


async def test_a_letter_that_waits_outlives_its_process(tmp_path, series):
    """It is on the disk before it goes, for nobody else to read."""

    def broken(_, on_change):
        async def deliver(_):
            raise Undelivered("no")

        return Courier(deliver, on_change, pause=lambda _: asyncio.Event().wait())

    async with receiving() as receiver:
        new_node(tmp_path, settings(receiver.url()))
        series.count(20, 20)
        changes = open_store(tmp_path)
        first = Alarms(places_of(tmp_path), changes, series, broken)
        await first.open()
        await first.look()
        series.count(20)
        await first.look()
        await until(lambda: first._is_stale)
        await first.look()
        first.courier.close()
        path = places_of(tmp_path).alarms
        assert path.stat().st_mode & 0o777 == 0o600
        assert [each.tries for each in read(path).waiting] == [1]

        on_time = functools.partial(Courier, pause=lambda _: asyncio.sleep(0))
        async with watching(tmp_path, Series(), on_time) as second:
            await second.look()
            (told,) = await receiver.has(1)
            await until(lambda: second._is_stale)
            await second.look()

    assert told["state"] == "firing"
    assert read(path).waiting == []


async def test_a_state_that_is_torn_is_begun_anew(tmp_path, series, caplog):
    """And says so; nothing stops."""
    new_node(tmp_path, settings("https://x.example"))
    places_of(tmp_path).alarms.write_text('{"standings": {"Err')
    async with watching(tmp_path, series) as alarms:
        await alarms.look()

    assert "is begun anew" in caplog.text
    assert alarms.describe()["alarms"][0]["state"] == "ok"


async def test_a_disk_that_is_full_stops_no_letter(tmp_path, series, caplog, monkeypatch):
    """It goes all the same."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(alarms_module.durable, "write", fail)
    async with receiving() as receiver:
        new_node_settings = settings(receiver.url())
        monkeypatch.undo()
        new_node(tmp_path, new_node_settings)
        monkeypatch.setattr(alarms_module.durable, "write", fail)
        async with watching(tmp_path, series) as alarms:
            series.count(20, 20)
            await alarms.look()
            series.count(20)
            await alarms.look()
            await receiver.has(1)
        monkeypatch.undo()

    assert "not kept over a restart" in caplog.text


async def test_deployments_are_told(tmp_path, series):
    """Those that serve, those that are refused and those that come back, with their URL."""
    async with receiving() as receiver:
        new_node(tmp_path, settings(receiver.url()))
        async with watching(tmp_path, series) as alarms:
            changes = alarms._changes

            def deploy():
                publish(changes, "shop", "main", PAGES)
                publish(changes, "shop", "main", {"index.html": "two"})
                broken = upload(changes, "shop", "main", PAGES | {"redirects.json": "[{]"})
                with pytest.raises(Mistaken):
                    changes.activate(broken.id)
                changes.rollback("shop", "main")

            await asyncio.to_thread(deploy)
            await until(lambda: len(alarms._events) == 4)
            await alarms.look()
            told = await receiver.has(4)

    assert [each["result"] for each in told] == [
        *("deploy_succeeded", "deploy_succeeded", "deploy_failed", "rolled_back"),
    ]
    assert "redirects.json:1:" in told[2]["reason"]
    assert {each["url"] for each in told} == {"http://main.shop.edge.localhost:8080"}
    assert len({each["id"] for each in told}) == 4


async def test_a_branch_that_never_served_has_no_url(tmp_path, series):
    """Its first deployment was refused."""
    async with receiving() as receiver:
        new_node(tmp_path, settings(receiver.url()))
        async with watching(tmp_path, series) as alarms:
            broken = upload(alarms._changes, "blog", "main", PAGES | {"redirects.json": "[{]"})
            with pytest.raises(Mistaken):
                alarms._changes.activate(broken.id)
            await until(lambda: alarms._events)
            await alarms.look()
            (told,) = await receiver.has(1)

    assert (told["result"], told["url"]) == ("deploy_failed", None)


async def test_a_mail_is_sent_by_the_settings_that_serve(tmp_path, series):
    """A password file is beside edge.yml, or where it says."""
    with mail_server() as server:
        smtp = f"smtp: {{host: 127.0.0.1, port: {server.port}, from: edge@example.com}}\n"
        new_node(tmp_path, settings("mailto:ops@example.com", extra=smtp))
        async with watching(tmp_path, series) as alarms:
            series.count(20, 20)
            await alarms.look()
            series.count(20)
            await alarms.look()
            await until(lambda: server.mails)

    (mail,) = server.mails
    assert mail["Subject"] == "[edge] FIRING: Errors"
    assert "app: shop" in mail.get_content()


async def test_the_url_of_an_alarm_is_its_production_branch(tmp_path, series):
    """Where there is one."""
    changes = new_node(tmp_path, settings("https://x.example"))
    publish(changes, "shop", "main", PAGES)
    async with watching(tmp_path, series) as alarms:
        assert alarms._url_of_app("shop") == "http://main.shop.edge.localhost:8080"
        assert alarms._url_of_app("blog") is None
        assert alarms._url_of_app(None) is None


async def test_what_is_shown(tmp_path, series):
    """Every alarm of the settings, what became of its letters, and no secret."""
    async with receiving() as receiver:
        new_node(tmp_path, settings(receiver.url("/services/secret")))
        async with watching(tmp_path, series) as alarms:
            before = alarms.describe()
            series.count(20, 20)
            await alarms.look()
            series.count(20)
            await alarms.look()
            await receiver.has(1)
            await until(lambda: alarms.courier.counts["sent"])
            after = alarms.describe()

    (idle,), (alarm,) = before["alarms"], after["alarms"]
    assert (idle["state"], idle["since"], idle["value"], idle["notified"]) == ("ok", None, None, [])
    (notified,) = alarm.pop("notified")
    assert alarm == {
        "name": "Errors",
        "app": "shop",
        "metric": "errors_5xx",
        "condition": "errors_5xx above 10 for 2m",
        "state": "firing",
        "value": 20.0,
        "since": at(2),
    }
    assert (notified["to"], notified["result"]) == (f"http://127.0.0.1:{receiver.port}/…", "sent")
    numbers = {"sent": 1, "failed": 0, "dropped": 0, "waiting": 0}
    assert after["notifications"] == numbers | {"deployments": []}
    assert "secret" not in str(after)


async def test_an_alarm_that_is_taken_out_is_forgotten(tmp_path, series):
    """With its letters; nobody is told that it is over."""
    async with receiving() as receiver:
        changes = new_node(tmp_path, settings(receiver.url()))
        async with watching(tmp_path, series) as alarms:
            series.count(20, 20)
            await alarms.look()
            series.count(20)
            await alarms.look()
            await receiver.has(1)
            (tmp_path / "edge.yml").write_text("")
            changes.reload()
            await until(lambda: not alarms.courier._running)
            await alarms.look()
            series.count(0)
            await alarms.look()

    assert alarms.standings == {}
    assert alarms.describe()["alarms"] == []
    assert len(receiver.taken) == 1


async def test_without_a_generation_nothing_is_watched(tmp_path, series):
    """A new state folder has none yet."""
    new_store(tmp_path)
    async with watching(tmp_path, series) as alarms:
        await alarms.look()

    assert alarms.describe()["alarms"] == []


async def test_the_watch_goes_on_whatever_breaks(tmp_path, series, monkeypatch, caplog):
    """Once more after each look; an event does not wait for the next one."""
    monkeypatch.setattr(alarms_module, "LOOK_EVERY", 0.01)
    async with receiving() as receiver:
        changes = new_node(tmp_path, settings(receiver.url()))
        alarms = Alarms(places_of(tmp_path), changes, series)
        monkeypatch.setattr(series, "minutes", lambda _: 1 / 0)
        running = asyncio.ensure_future(alarms.run())
        await until(lambda: caplog.text.count("the alarms were not looked at") > 1)
        monkeypatch.undo()
        thread = threading.Thread(target=publish, args=(changes, "shop", "main", PAGES))
        thread.start()
        (told,) = await receiver.has(1)
        thread.join()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    assert told["kind"] == "deploy"


async def test_events_before_and_after_the_loop_are_nobody_s(tmp_path, series):
    """The command line without a node tells nobody, and a node that ends fails no change."""
    changes = new_node(tmp_path, settings("https://x.example"))
    alarms = Alarms(places_of(tmp_path), changes, series)
    publish(changes, "shop", "main", PAGES)
    loop = asyncio.new_event_loop()
    loop.close()
    alarms._loop = loop
    publish(changes, "shop", "main", {"index.html": "two"})

    assert not alarms._events


async def test_latency_is_what_the_series_says(tmp_path, series):
    """In seconds."""
    alarm = "metric: latency_p95, above: 0.5, notify: ['https://x.example']"
    new_node(tmp_path, f"alarms: [{{{alarm}}}]")
    async with watching(tmp_path, series) as alarms:
        series.count(0)
        await alarms.look()

    assert alarms.describe()["alarms"][0]["value"] == 0.0
