"""A gate for CI: every graph of a bundle that runs here has to answer as the trained network does.

    python examples/gate.py BUNDLE

Exit code 0 only if every stage of every graph is within its limit; 1 if one is not, 2 if nothing
could be compared. Needs no PyTorch: the right answers travel in the bundle. `sgn-rt parity` does
the same and writes reports; this shows how to build on it.
"""

from __future__ import annotations

import sys
from contextlib import closing

import sgn_rt
from sgn_rt.engines.factory import open_engine
from sgn_rt.parity.measure import measure
from sgn_rt.parity.subjects import subjects


def failures(bundle: sgn_rt.Bundle, engine_name: str) -> int:
    """How many stages of an engine are beyond their limits."""
    with closing(open_engine(engine_name, bundle)) as engine:
        results = measure(engine, bundle.probe)
    for result in results:
        print(f"{'holds ' if result.passed else 'FAILED'} {engine_name} {result}")
    return sum(not result.passed for result in results)


def main(folder: str) -> int:
    """The exit code."""
    bundle = sgn_rt.Bundle.open(folder)
    engines, left_out = subjects(bundle)
    for reason in left_out.values():
        print(f"left out: {reason}")
    if not engines:
        print(f"{folder}: got no graph that runs here, expected one.", file=sys.stderr)
        return 2
    return min(sum(failures(bundle, name) for name in engines), 1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python gate.py BUNDLE")
    try:
        sys.exit(main(sys.argv[1]))
    except sgn_rt.SgnError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
