"""What tells stored answers apart, and the labels that purges find them by."""

from __future__ import annotations

import itertools

import pytest

from edge.site import keys

QUERIES = {
    ("/x", "all"): "/x",
    ("/x?a=1&b=2", "all"): "/x?a=1&b=2",
    ("/x?", "all"): "/x?",
    ("/x?a=1&b=2", "none"): "/x",
    ("/x?", "none"): "/x",
    ("/x?a=1&b=2&c", ("b", "c")): "/x?b=2&c",
    ("/x?c&b=2&a=1", ("b", "c")): "/x?c&b=2",
    ("/x?b=1&b=2", ("b",)): "/x?b=1&b=2",
    ("/x?a=1", ("b",)): "/x",
    ("/x?", ("b",)): "/x",
    ("/x", ("b",)): "/x",
    ("/x?bb=1&=b&B=1", ("b",)): "/x",
    ("/x?b=1?b=2", ("b",)): "/x?b=1?b=2",
    ("https://a.test/x?a=1&b=2", ("a",)): "https://a.test/x?a=1",
    ("?a=1&b=2", ("b",)): "?b=2",
}


@pytest.mark.parametrize(("case", "expected"), QUERIES.items(), ids=str)
def test_parameters_of_no_meaning_are_left_out(case, expected):
    """Those that make a difference stay in their order, and as they are spelled."""
    url, choice = case

    assert keys.chosen_query(url, choice) == expected


COOKIES = {
    ((), "all"): b"",
    ((b"b=2; a=1",), "all"): b"b=2; a=1",
    ((b"a=1", b"b=2"), "all"): b"a=1; b=2",
    ((b"a=1;b=2; ;",), "all"): b"a=1; b=2",
    ((b"a=1; b=2",), "none"): b"",
    ((b"b=2; a=1; c=3",), ("a", "b")): b"a=1; b=2",
    ((b"b=2", b"a=1"), ("a", "b")): b"a=1; b=2",
    ((b"a=1; a=0",), ("a",)): b"a=0; a=1",
    ((b"aa=1; A=1; =a; xa",), ("a",)): b"",
    ((b"a",), ("a",)): b"a",
    ((b"a=b=c",), ("a",)): b"a=b=c",
    ((b"b=1",), ("a",)): b"",
}


@pytest.mark.parametrize(("case", "expected"), COOKIES.items(), ids=str)
def test_cookies_of_no_meaning_are_left_out(case, expected):
    """Chosen ones are in one order, whatever the client's; all of them are as they came."""
    values, choice = case

    assert keys.chosen_cookies(values, choice) == expected


PARTS = [b"", b"a", b"ab", b"b", b";", b"a b"]


def test_parts_of_a_key_do_not_run_together():
    """Equal keys are equal parts, as long as none holds a line break."""
    found = {keys.store_key(*parts): parts for parts in itertools.product(PARTS, repeat=3)}

    assert len(found) == len(PARTS) ** 3


LABELS = {
    keys.label_of_app("shop"): b"app shop",
    keys.label_of_branch("shop", "main"): b"branch shop main",
    keys.label_of_host("a.test"): b"host a.test",
    keys.label_of_page("a.test", "/b c/é", b"?q=%20"): b"page a.test/b%20c/%C3%A9?q=%20",
    keys.label_of_page("a.test", "/", b""): b"page a.test/",
    keys.label_of_target("shop", "http://o.test/x?y"): b"target shop http://o.test/x?y",
    keys.label_of_tag(b"a b"): b"tag a b",
    keys.label_of_key(b"a\nb"): b"key a\nb",
    keys.label_of_pages("a.test"): b"pages a.test",
}


@pytest.mark.parametrize(("label", "expected"), LABELS.items())
def test_labels_say_what_they_are_of(label, expected):
    """The kind comes first, so that no two kinds are taken for each other."""
    assert label == expected
    assert label.startswith(keys.TAG) == label.startswith(b"tag ")


def test_a_page_has_one_label_however_its_path_was_written():
    """The decoded path is encoded anew."""
    assert keys.label_of_page("a.test", "/%41", b"") == b"page a.test/%2541"
