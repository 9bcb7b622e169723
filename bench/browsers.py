"""
Fifty browsers: what each sends with every request, as HTTP/1.1 has it.

Ten kinds of browser, each of five people: their languages, their cookies, what they did not want to
be asked about. Names and order are the kind's own, and so the lines have 300 to 700 bytes.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PEOPLE = 5

Lines = list[tuple[str, str]]

PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
CHROME_PAGE = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
    "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)
SAFARI_PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

CHROMIUM = {
    "Chrome": ('"Chromium";v="{v}", "Google Chrome";v="{v}", "Not?A_Brand";v="99"', ""),
    "Edge": (
        '"Chromium";v="{v}", "Microsoft Edge";v="{v}", "Not?A_Brand";v="99"',
        " Edg/{v}.0.0.0",
    ),
    "Opera": ('"Chromium";v="{v}", "Opera";v="{o}", "Not?A_Brand";v="99"', " OPR/{o}.0.0.0"),
}
"""Brand → what `sec-ch-ua` says of version v, and what follows in User-Agent."""

CHROMIUM_KINDS = (
    ("Chrome", "Windows", "Windows NT 10.0; Win64; x64", 138),
    ("Chrome", "macOS", "Macintosh; Intel Mac OS X 10_15_7", 137),
    ("Chrome", "Linux", "X11; Linux x86_64", 136),
    ("Chrome", "Android", "Linux; Android 10; K", 138),
    ("Edge", "Windows", "Windows NT 10.0; Win64; x64", 138),
    ("Opera", "Windows", "Windows NT 10.0; Win64; x64", 135),
)

FIREFOX_KINDS = (
    ("Windows NT 10.0; Win64; x64", 140),
    ("X11; Ubuntu; Linux x86_64", 128),
)

SAFARI_KINDS = (
    ("Macintosh; Intel Mac OS X 10_15_7", "Version/18.5 Safari/605.1.15"),
    ("iPhone; CPU iPhone OS 18_5 like Mac OS X", "Version/18.5 Mobile/15E148 Safari/604.1"),
)

LANGUAGES = ("en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.7", "fr,en-US;q=0.7,en;q=0.3", "en-GB", "ja")


def browsers(host: str) -> list[Lines]:
    """Their field lines, `Host` included, a list a browser."""
    source = random.Random(20260727)
    return [
        [*lines, *cookies(person, source)]
        for person in range(PEOPLE)
        for lines in kinds(host, LANGUAGES[person])
    ]


def kinds(host: str, language: str) -> Iterator[Lines]:
    """What each kind sends, of a person who reads these languages."""
    for brand, platform, system, version in CHROMIUM_KINDS:
        yield chromium(host, language, brand, platform, system, version)
    for system, version in FIREFOX_KINDS:
        yield firefox(host, language, system, version)
    for system, version in SAFARI_KINDS:
        yield safari(host, language, system, version)


def chromium(  # noqa: PLR0917 - a table's columns
    host: str, language: str, brand: str, platform: str, system: str, version: int
) -> Lines:
    """Chrome and its kin."""
    hint, more = (text.format(v=version, o=version - 16) for text in CHROMIUM[brand])
    mobile = " Mobile" if platform == "Android" else ""
    agent = (
        f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{version}.0.0.0{mobile} Safari/537.36{more}"
    )
    return [
        ("Host", host),
        ("Connection", "keep-alive"),
        ("sec-ch-ua", hint),
        ("sec-ch-ua-mobile", "?1" if mobile else "?0"),
        ("sec-ch-ua-platform", f'"{platform}"'),
        ("User-Agent", agent),
        ("Accept", CHROME_PAGE),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Language", language),
    ]


def firefox(host: str, language: str, system: str, version: int) -> Lines:
    """Firefox."""
    return [
        ("Host", host),
        (
            "User-Agent",
            f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0",
        ),
        ("Accept", PAGE),
        ("Accept-Language", language),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Connection", "keep-alive"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Priority", "u=0, i"),
    ]


def safari(host: str, language: str, system: str, version: str) -> Lines:
    """Safari, which says least."""
    return [
        ("Host", host),
        ("Accept", SAFARI_PAGE),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "navigate"),
        (
            "User-Agent",
            f"Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) {version}",
        ),
        ("Accept-Language", language),
        ("Sec-Fetch-Dest", "document"),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Connection", "keep-alive"),
    ]


def cookies(person: int, source: random.Random) -> Lines:
    """Nothing of the first two people; of the others what an analytics script leaves."""
    if person < 2:
        return []
    number = source.randrange(10**9, 10**10)
    text = f"_ga=GA1.1.{number}.17850{number % 100_000:05}"
    if person == 4:
        text += f"; theme=dark; consent=all; session={source.randbytes(8).hex()}"
    return [("Cookie", text)]
