"""What the engine makes of windows of several streams, in one call."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from sgn_rt._types import Positions
from sgn_rt.streaming.answers import Separates
from sgn_rt.streaming.hub.desk import Piece
from sgn_rt.streaming.jobs import Heard, ask
from sgn_rt.streaming.settings import StreamSettings

log = logging.getLogger(__name__)


def heard_of(engine: Separates, pieces: Sequence[Piece]) -> Sequence[Heard | Exception]:
    """What the engine makes of windows; where it fails on them, of each stream's alone."""
    flows = dict.fromkeys(piece.flow for piece in pieces)
    chosen = union([flow.settings for flow in flows])
    try:
        heard = ask(engine, [piece.job for piece in pieces], chosen)
    except Exception as error:  # also a warning that someone has made an error
        if len(flows) == 1:
            log.warning("hub: a stream has failed: %s", error)
            return [error] * len(pieces)
        found: dict[Piece, Heard | Exception] = {}
        for flow in flows:
            own = [piece for piece in pieces if piece.flow is flow]
            found.update(zip(own, heard_of(engine, own), strict=True))
        return [found[piece] for piece in pieces]
    return heard


def union(settings: Sequence[StreamSettings]) -> Positions:
    """Categories of streams together; of one alone in its own order."""
    first, *others = settings
    own = first.positions(first.named)
    if not others:
        return own
    all_of_them = [own, *(other.positions(other.named) for other in others)]
    together: Positions = np.unique(np.concatenate(all_of_them))
    return together
