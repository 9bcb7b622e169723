"""
The files that are served, and who asks for them: the same in every run, on every machine.

`write_site` makes the files, `write_crowd` the lists that the generators read. Sizes are in bytes.
"""

from __future__ import annotations

import random
from itertools import accumulate
from typing import TYPE_CHECKING

from browsers import browsers
from processes import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from scenarios import Scenario

SEED = 20260727

URLS = 10_000
"""Different files of a mix."""

TARGETS = 49_999
"""
Requests after which a mix begins anew: no multiple of the number of browsers, so that each of them
comes to each file.
"""

SMALLEST, LARGEST = 500, 20_000
"""Sizes of a mix's files, evenly spread over their logarithms."""

PROSE = (
    "the node keeps every branch apart and answers with what was deployed last a file is stored "
    "once by its hash whatever it is called <p> </p> <a href= class= section cache field value"
)


def write_site(folder: Path, scenarios: Iterable[Scenario]) -> Path:
    """The files that these scenarios ask for, and what shows that a server is there."""
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>bench</title>\n")
    write_file(folder / "1kb.bin", 1 << 10)
    for scenario in scenarios:
        if scenario.is_mix:
            write_mix(folder)
        elif scenario.is_coded:
            write_text(folder / scenario.path[1:], scenario.size)
        else:
            write_file(folder / scenario.path[1:], scenario.size)
    return folder


def write_file(target: Path, size: int) -> None:
    """Bytes that no coding makes smaller."""
    if not target.exists():
        target.write_bytes(random.Random(f"{SEED} {target.name}").randbytes(size))


def write_text(target: Path, size: int) -> None:
    """A page of words, beside it as gzip and as br for those who make none themselves."""
    from edge.control.codings import ENCODERS  # noqa: PLC0415 - only here: everyone has the same

    if target.exists():
        return
    target.parent.mkdir(exist_ok=True)
    words = random.Random(SEED).choices(PROSE.split(), k=size)
    text = f"<!doctype html><title>bench</title>{' '.join(words)}".encode()[:size]
    target.write_bytes(text)
    for coding, suffix in (("gzip", ".gz"), ("br", ".br")):
        target.with_name(target.name + suffix).write_bytes(ENCODERS[coding](text))


def write_mix(folder: Path) -> None:
    """A hundred folders of a hundred files."""
    if (folder / "mix").exists():
        return
    for number, size in enumerate(mix_sizes()):
        target = folder / mix_path(number)[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        write_file(target, size)


# A mix


def mix_path(number: int) -> str:
    """Where a file of the mix is, from the most popular one on."""
    return f"/mix/{number % 100:02}/{number:05}.bin"


def mix_sizes() -> Iterator[int]:
    """What each of them has."""
    source = random.Random(f"{SEED} sizes")
    for _ in range(URLS):
        yield round(SMALLEST * (LARGEST / SMALLEST) ** source.random())


def mix_targets() -> list[int]:
    """
    Numbers of files as a crowd asks for them, by Zipf's law.

    The second one is asked for half as often as the first, the hundredth a hundredth as often.
    """
    weights = list(accumulate(1 / rank for rank in range(1, URLS + 1)))
    return random.Random(SEED).choices(range(URLS), cum_weights=weights, k=TARGETS)


def write_crowd(folder: Path) -> None:
    """
    Who asks for what, for wrk (`targets.txt`, `browsers.txt`) and for h2load (`urls.txt`).

    A browser is a block of field lines with an empty one at its end.
    """
    folder.mkdir()
    paths = [mix_path(number) for number in mix_targets()]
    (folder / "targets.txt").write_text("".join(f"{path}\n" for path in paths))
    (folder / "urls.txt").write_text("".join(f"http://{HOST}{path}\n" for path in paths))
    blocks = ("".join(f"{name}: {value}\r\n" for name, value in each) for each in browsers(HOST))
    (folder / "browsers.txt").write_bytes("".join(f"{block}\r\n" for block in blocks).encode())


def mean_size(count: int = TARGETS) -> float:
    """Bytes of content of the first so many answers of a mix, on the average."""
    sizes, targets = list(mix_sizes()), mix_targets()
    return sum(sizes[targets[turn % TARGETS]] for turn in range(count)) / count
