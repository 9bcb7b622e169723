"""What a list of Netlify's redirects is, as rules in their order."""

from __future__ import annotations

import time

import pytest

from edge.control.imported import Draft
from edge.control.netlify import parse_words
from edge.control.netlify_order import KINDS, add_redirects
from edge.http.target import decode_path
from edge.site.expressions import Budget
from edge.site.plan import compile_plan
from edge.site.subject import Subject


def convert(*lines, file="_redirects"):
    """The draft made of these lines."""
    draft = Draft("Netlify")
    places = [(file, number) for number in range(1, len(lines) + 1)]
    words = [parse_words(line.split(), place) for line, place in zip(lines, places, strict=True)]
    add_redirects(words, draft)
    return draft


def rules(draft):
    """What its rules say."""
    return [(kept.rule.source, kept.rule.target, kept.rule.status) for kept in draft.rules]


def kinds(draft):
    """The lines of each kind of note: the one that it stands at, or those that it lists."""
    names = {what: name for name, (what, _) in KINDS.items()}
    found = {}
    for note in draft.notes:
        lines, colon, what = note.what.partition(": ")
        is_listed = colon and lines.startswith("lines ")
        found[names[what if is_listed else note.what]] = lines if is_listed else f"line {note.line}"
    return found


def decide(draft, path, country=None):
    """Which line decides, and how, when there is no file; None when none does."""
    plan = compile_plan(kept.rule for kept in draft.rules)
    clock = Budget(time.process_time)
    subject = Subject(decode_path(path.encode()), path.encode(), None, "h", country, clock)
    decision = plan.decide(subject) or plan.decide_missing(subject, b"GET", b"text/html")
    if decision is None:
        return None
    kept = draft.rules[decision.rule]
    return kept.place[1], kept.rule.status


# Who comes first


def test_what_netlify_never_comes_to_is_left_out():
    """Here a redirect would come before the page of a single-page app, wherever it stands."""
    draft = convert("/early /a 301!", "/* /index.html 200", "/late /b 301!", "/x/* /y/:splat 302!")

    assert decide(draft, "/early") == (1, "301")
    for path in ("/late", "/x/1", "/other"):
        assert decide(draft, path) == (2, "fallback")
    assert kinds(draft) == {"page": "line 2", "unreachable": "lines 3, 4"}


def test_a_404_takes_what_comes_after_it_too():
    """It is the first match on Netlify, even though it is the last to be tried here."""
    draft = convert("/en/* /en/404.html 404", "/en/old /en/new 301!", "/old /new 301!")

    assert decide(draft, "/en/old") == (1, "404")
    assert decide(draft, "/old") == (3, "301")
    assert kinds(draft) == {"unreachable": "line 2"}


@pytest.mark.parametrize(
    "first",
    ["/app/* /app/index.html 200", "/app/* https://x.example/:splat 200"],
    ids=["page", "server"],
)
def test_a_fallback_before_a_redirect_of_all_is_a_rewrite(first):
    """The redirect would take its requests."""
    draft = convert(first, "/* https://new.example/:splat 301!")

    assert decide(draft, "/app/x") == (1, "200")
    assert decide(draft, "/app") == (1, "200")
    assert decide(draft, "/other") == (2, "301")
    assert kinds(draft) == {"always": "line 1"}


def test_so_is_one_before_a_redirect_of_some_countries():
    """For those countries the redirect would take its requests."""
    draft = convert("/app/* /app/index.html 200", "/* /de/:splat 302! Country=de")

    assert decide(draft, "/app/x", "DE") == (1, "200")
    assert decide(draft, "/x", "DE") == (2, "302")
    assert decide(draft, "/de/x", "DE") == (2, "200")
    assert decide(draft, "/x") is None


def test_a_page_of_some_countries_does_not_take_all():
    """What comes after it is for the others, and for its own where the source is another."""
    draft = convert("/* /de.html 200 Country=de", "/old /new 301!", "/at /x 301! Country=de")

    assert decide(draft, "/old") == (2, "301")
    assert decide(draft, "/at", "DE") == (1, "fallback")
    assert kinds(draft) == {"page": "line 1", "unreachable": "line 3"}


def test_a_404_before_a_redirect_of_all_is_told():
    """Nothing can be a 404 before a redirect."""
    draft = convert("/en/* /en/404.html 404", "/* https://new.example/:splat 301!")

    assert decide(draft, "/en/x") == (2, "301")
    assert kinds(draft) == {"late": "line 1"}


def test_a_redirect_above_a_page_comes_first_in_both():
    """Nothing is to be done, or told."""
    draft = convert("/app/* /x/:splat 302!", "/app/* https://x.example/:splat 200")

    assert decide(draft, "/app/x") == (1, "302")
    assert kinds(draft) == {"unreachable": "line 2"}


def test_guards_stay_in_their_place():
    """A 404 above does not make them unreachable: here they would be missed."""
    draft = convert("/en/* /en/404.html 404", "/* /en/:splat 302!")

    assert decide(draft, "/en/x") == (2, "200")
    assert decide(draft, "/x") == (2, "302")
    assert kinds(draft) == {}


def test_two_redirects_to_one_page_have_one_guard():
    """It is the same rule."""
    draft = convert("/* /soon.html 302! Country=de", "/:a /soon.html 302! Country=de")

    assert [source for source, _, _ in rules(draft)].count("/soon.html") == 1


def test_one_source_is_one_rule():
    """Both spellings, and both schemes, are often written out."""
    draft = convert(
        "/old /new 301!",
        "/old/ /new 301!",
        "http://a.example/* https://b.example/:splat 301!",
        "https://a.example/* https://b.example/:splat 301!",
        "/old /other 301!",
    )

    assert [source for source, _, _ in rules(draft)] == ["/old", "/old/", "https://a.example/<*>"]
    assert kinds(draft) == {"unreachable": "line 5"}


def test_a_parameter_does_not_take_all():
    """The same path without it is another rule."""
    draft = convert("/s id=:id /b/:id 200", "/s /all 301!")

    assert [source for source, _, _ in rules(draft)] == ["/s?id=<id>", "/s/?id=<id>", "/s", "/s/"]


# What is told


def test_each_kind_of_difference_is_one_note():
    """With the lines that it is about; what is forced needs none."""
    draft = convert(
        "/a /b",
        "/c /d 302",
        "/e /f 301!",
        "/g/* /h/:splat",
        "/i/:x /j/:x",
        "/k/* /k/index.html 200",
        "/l/* https://x.example/:splat 200",
        "/m/* /n/:splat 200",
        "/o/* /p/:splat 200!",
        "/q/* /404.html 404!",
        "/r/* /404.html 404",
    )

    assert kinds(draft) == {
        "redirect": "lines 1, 2",
        "wide": "lines 4, 5",
        "page": "line 6",
        "always": "line 8",
        "hidden": "line 10",
    }
    assert [note.line for note in draft.notes] == [1, 4, 6, 8, 10]


def test_a_note_lists_no_more_lines_than_a_person_reads():
    """The others are counted."""
    draft = convert(*(f"/a{number} /b" for number in range(30)))

    assert kinds(draft) == {
        "redirect": "lines " + ", ".join(map(str, range(1, 21))) + " and 10 more"
    }


def test_thousands_of_redirects_take_seconds():
    """Each is compared with those alone that could take its requests."""
    lines = [f"/old/{number}/:a /new/{number}/:a 301!" for number in range(1500)]
    pages = [f"/p{number} /index.html 200" for number in range(1500)]
    began = time.process_time()

    draft = convert(*lines, *pages, "/* /index.html 200")

    assert time.process_time() - began < 20
    assert len(draft.rules) == 6001
