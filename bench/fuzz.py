"""
Look for bytes that break a parser: `python bench/fuzz.py --target zip --seconds 600`.

With atheris (`pip install atheris`, not a dependency: 35 MB) coverage guides it; without, the
corpus is mutated blindly. What breaks is written to `--findings`; put it into `tests/corpus/TARGET`
once it is understood, where CI keeps it.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LONGEST = 4096
"""Bytes of an input; what is longer is found by length, not by content."""


def main() -> None:
    """One target, for so long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.findings.mkdir(parents=True, exist_ok=True)
    try:
        import atheris  # noqa: PLC0415  (not everyone has it)
    except ImportError:
        run_blindly(options)
    else:
        run_guided(atheris, options)


def run_guided(atheris: object, options: argparse.Namespace) -> None:
    """Everything of `edge` is instrumented as it is imported; ends the process."""
    with atheris.instrument_imports(include=["edge"]):  # type: ignore[attr-defined]
        from tests.support_fuzz import TARGETS  # noqa: PLC0415
        from tests.support_mutation import WORDS, corpus_of  # noqa: PLC0415
    words = options.findings / "words"
    words.write_text("".join(map(quoted, WORDS)))
    grown = options.findings / f"{options.target}-grown"
    grown.mkdir(exist_ok=True)
    for data in corpus_of(options.target):
        (grown / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    told: set[str] = set()

    def once(data: bytes) -> None:
        keep_going(TARGETS[options.target], data, options, told)

    arguments = [f"-max_total_time={options.seconds}", f"-seed={options.seed}", f"-dict={words}",
                 f"-max_len={LONGEST}", "-len_control=0", "-timeout=20", "-rss_limit_mb=2048",
                 f"-artifact_prefix={options.findings}/", "-print_final_stats=1"]  # fmt: skip
    atheris.Setup([sys.argv[0], str(grown), *arguments], once)  # type: ignore[attr-defined]
    atheris.Fuzz()  # type: ignore[attr-defined]


def quoted(word: bytes) -> str:
    """A line of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def run_blindly(options: argparse.Namespace) -> None:
    """Mutations of the corpus, counted."""
    from tests.support_fuzz import TARGETS  # noqa: PLC0415
    from tests.support_mutation import Mutator, corpus_of  # noqa: PLC0415

    mutator = Mutator(corpus_of(options.target), options.seed)
    told: set[str] = set()
    end, runs = time.monotonic() + options.seconds, 0
    while time.monotonic() < end:
        keep_going(TARGETS[options.target], mutator.next(), options, told)
        runs += 1
    print(f"{options.target}: {runs} executions, {len(told)} findings")


def keep_going(target: object, data: bytes, options: argparse.Namespace, told: set[str]) -> None:
    """One execution; a finding is written down once for each place where it breaks."""
    try:
        target(data)  # type: ignore[operator]
    except Exception as error:  # noqa: BLE001  (any of them is a finding)
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} {place.filename}:{place.lineno}"
        if where not in told:
            told.add(where)
            name = f"{options.target}-{hashlib.sha256(data).hexdigest()[:16]}"
            (options.findings / name).write_bytes(data)
            print(f"FINDING {name}: {where}\n{traceback.format_exc()}", flush=True)
        del error
        gc.collect(0)


if __name__ == "__main__":
    main()
