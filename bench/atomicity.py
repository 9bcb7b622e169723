"""
Does any answer mix two deployments while a node changes them, is one refused or cut off?

    python bench/atomicity.py                                    10⁶ requests, 1,000 changes
    python bench/atomicity.py --requests 20000 --changes 50

What is asked and what counts as a fault is `tests/support_atomicity.py`. Ends with 1 where there is
a fault.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support import running
from tests.support_atomicity import change_under_load


def main() -> int:
    """One run; its summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0].strip())
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=1_000)
    parser.add_argument("--visitors", type=int, default=2, help="connections")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edge-atomicity-") as work, running(Path(work)) as node:
        outcome = change_under_load(node, options.requests, options.changes, options.visitors)
    print(f"{outcome}; {time.monotonic() - began:.0f} s")
    return int(bool(outcome.faults or outcome.disputed))


if __name__ == "__main__":
    sys.exit(main())
