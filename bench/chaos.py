"""
`kill -9` at random points of changes of a real node, for as many rounds as one has time for.

    python bench/chaos.py --rounds 300 --seed 7
    python bench/chaos.py --rounds 10 --seed 7 --keep var/chaos     a round that failed, to look at

What is done and what has to hold afterwards is `tests/support_chaos.py`. The same seed throws the
same dice; instants are real, so that no two runs are alike.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support_chaos import Chaos


def main() -> None:
    """Rounds until one fails, or all are through."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="the node's folder, which stays")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-chaos-") as work:
        run(Chaos(options.keep or Path(work, "node"), options.seed), options.rounds)


def run(chaos: Chaos, rounds: int) -> None:
    """So many; prints each and the sums."""
    began = time.monotonic()
    try:
        chaos.start()
        for number in range(rounds):
            done = chaos.round()
            told = "went through" if done.went_through else "was refused or cut"
            print(f"{number:4} {done.change:10} {done.victim:10} {done.delay:.3f} s  {told}")
        left = chaos.end()
    finally:
        chaos.node.kill_all()
    print(f"{rounds} rounds in {time.monotonic() - began:.0f} s, nothing torn; left over: {left}")
    for what, counts in chaos.summary().items():
        print(f"{what}: " + ", ".join(f"{name} {count}" for name, count in counts.most_common()))


if __name__ == "__main__":
    main()
