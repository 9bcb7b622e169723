"""Which rules requests hit, by day: counted by workers, kept by control, told by check."""

from __future__ import annotations

from edge.control.hits import DAY, UNUSED_DAYS, Hits
from edge.site.places import Places
from edge.site.rule import Rule, rule_key
from tests.support_control import new_store, open_store, publish, write_app
from tests.support_serving import Site

OLD = Rule(source="/old", target="/new", line=3, column=5)
GONE = Rule(source="/gone", status="410", line=4, column=5)
START = 20_000 * DAY + 7


def told(hits, *rules, days):
    """The places that are warned of after so many days."""
    found = hits.unused("shop", rules, "redirects.json", START + days * DAY)
    return [(each.line, each.column, each.message) for each in found]


def test_a_rule_that_nobody_hits_is_told_after_a_quarter(tmp_path):
    """From the day on which it was known first, at its place, with what to do."""
    hits = Hits(Places(tmp_path))
    hits.note("shop", [OLD, GONE], START)
    hits.add({"shop": {rule_key(GONE): 2}}, START + 50 * DAY)

    assert told(hits, OLD, GONE, days=UNUSED_DAYS - 1) == []
    assert told(hits, OLD, GONE, days=UNUSED_DAYS) == [
        (3, 5, f"[0].source: no request hit this rule for {UNUSED_DAYS} days")
    ]
    assert len(told(hits, OLD, GONE, days=50 + UNUSED_DAYS)) == 2


def test_days_outlive_the_process(tmp_path):
    """What is known is read again by the next one."""
    first = Hits(Places(tmp_path))
    first.note("shop", [OLD], START)
    first.add({"shop": {rule_key(OLD): 1}}, START + 30 * DAY)

    again = Hits(Places(tmp_path))
    assert again.knows("shop")
    assert told(again, OLD, days=UNUSED_DAYS + 29) == []
    assert len(told(again, OLD, days=UNUSED_DAYS + 30)) == 1


def test_a_rule_that_moves_in_its_file_is_the_same_rule(tmp_path):
    """What it says counts, not where it stands; another target is another rule."""
    hits = Hits(Places(tmp_path))
    hits.note("shop", [OLD], START)
    moved = Rule(source="/old", target="/new", line=99, column=1)
    other = Rule(source="/old", target="/other", line=3, column=5)
    hits.note("shop", [moved, other], START + 60 * DAY)

    assert [place[0] for place in told(hits, moved, other, days=UNUSED_DAYS)] == [99]


def test_a_file_is_written_when_a_day_is_new(tmp_path):
    """Hits of the same day write nothing."""
    hits = Hits(Places(tmp_path))
    hits.note("shop", [OLD], START)
    hits.add({"shop": {rule_key(OLD): 1}}, START)
    before = (tmp_path / "hits" / "shop").stat()
    hits.add({"shop": {rule_key(OLD): 5}}, START + 60)
    hits.note("shop", [OLD], START + 60)
    assert (tmp_path / "hits" / "shop").stat().st_ino == before.st_ino
    hits.add({"shop": {rule_key(OLD): 5}}, START + DAY)
    assert (tmp_path / "hits" / "shop").stat().st_ino != before.st_ino


def test_hits_of_rules_that_are_gone_are_forgotten(tmp_path):
    """A worker may tell of a rule that a reload has just removed."""
    hits = Hits(Places(tmp_path))
    hits.note("shop", [OLD], START)
    hits.add({"shop": {rule_key(GONE): 1}, "other": {rule_key(OLD): 1}}, START)
    assert not hits.knows("other")
    assert rule_key(GONE) not in (tmp_path / "hits" / "shop").read_text()


def test_a_torn_file_is_begun_anew(tmp_path, caplog):
    """It costs a later warning, nothing else, and is said."""
    hits = Hits(Places(tmp_path))
    hits.note("shop", [OLD], START)
    (tmp_path / "hits" / "shop").write_text('{"x": [1')
    again = Hits(Places(tmp_path))
    assert told(again, OLD, days=1000) == []
    assert "begun anew" in caplog.text


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path, caplog):
    """Serving and reloading do not depend on it."""
    (tmp_path / "hits").write_text("a file")
    hits = Hits(Places(tmp_path))
    hits.note("shop", [OLD], START)
    assert "are not kept" in caplog.text


async def test_workers_count_the_requests_that_rules_decide(tmp_path):
    """Rules before files and of what is missing; each answer once, and what was taken is new."""
    site = Site(tmp_path)
    site.write_rules(("/old", "/new", "301"), ("/<*>", "/index.html", "404"), ("/x", "/y", "302"))
    site.deploy({"index.html": "home"})
    await site.start()
    for target in ("/old", "/old", "/nowhere", "/", "/index.html"):
        await site.ask(target)

    rules = site.worker._handler.snapshot.apps["site"].branches["main"].plan.rules
    old, missing, _ = (rule_key(rule.written) for rule in rules)
    taken = await site.worker._obey({"do": "hits"})
    assert taken == {"hits": {"site": {old: 2, missing: 1}}}
    assert await site.worker._obey({"do": "hits"}) == {"hits": {}}


def test_check_tells_of_a_rule_that_nobody_needs(tmp_path):
    """A reload knows the rules from its day on; check compares with today."""
    changes = new_store(tmp_path)
    write_app(tmp_path, "shop")
    file = tmp_path / "rules" / "shop" / "redirects.json"
    file.write_text('[\n {"source": "/old", "target": "/index.html", "status": "301"}\n]')
    publish(changes, "shop", "main", {"index.html": "x"})
    changes.reload()
    assert changes.check().warnings == []

    stored = tmp_path / "var" / "hits" / "shop"
    days = stored.read_text()
    stored.write_text(days.replace(days.split("[")[1].split(",")[0], "1000"))
    (warning,) = open_store(tmp_path).check().warnings
    assert (warning.line, warning.column) == (2, 2)
    assert "no request hit this rule for" in warning.message
