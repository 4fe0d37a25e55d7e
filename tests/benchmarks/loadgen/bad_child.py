"""The process of a row whose engine goes wrong, as its first argument says, once it is warm."""

import os
import sys
from threading import Event

from sgn_rt.benchmarks.loadgen import child


def raises(*arguments):
    raise RuntimeError("no memory left")


def hangs(*arguments, **options):
    Event().wait()


def dies(*arguments):
    print("a broken library", file=sys.stderr, flush=True)
    os._exit(3)


def late(engine):
    """Goes wrong after some windows that are right."""
    right, left = engine.separate, iter(range(20))

    def separate(*arguments):
        if next(left, None) is None:
            raises()
        return right(*arguments)

    return separate


def chats(engine):
    """Prints where the answers go."""
    right = engine.separate

    def separate(*arguments):
        print("{}")
        return right(*arguments)

    return separate


WAYS = {
    "raises": lambda engine: raises, "hangs": lambda engine: hangs, "dies": lambda engine: dies,
    "late": late, "chats": chats,
}  # fmt: skip


def main(way, *arguments):
    if way == "opening":
        child.open_subject = hangs
    elif way == "parity":
        proved = child.open_subject

        def too_loud(*given, **named):
            engine = proved(*given, **named)
            right = engine._synthesize
            engine._synthesize = lambda *asked: right(*asked) + 0.1
            return engine

        child.open_subject = too_loud
    else:
        warm = child.pace_of

        def pace_of(engine, *given):
            pace = warm(engine, *given)
            engine.separate = WAYS[way](engine)
            return pace

        child.pace_of = pace_of
    return child.main(arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
