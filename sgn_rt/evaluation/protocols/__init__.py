"""The protocols by their names."""

from __future__ import annotations

from typing import Final

from sgn_rt.errors import ConfigError
from sgn_rt.evaluation.protocols.base import Protocol
from sgn_rt.evaluation.protocols.folder import Folder
from sgn_rt.evaluation.protocols.fuss import Fuss
from sgn_rt.evaluation.protocols.musdb18 import Musdb, MusdbMean, MusdbVocals
from sgn_rt.evaluation.protocols.music import MusicAnyPair, MusicIquery, MusicPairs
from sgn_rt.evaluation.protocols.sources import Sources
from sgn_rt.evaluation.protocols.vggsound import AudioSep, Avgn

PROTOCOLS: Final[dict[str, type[Protocol]]] = {
    protocol.name: protocol
    for protocol in (
        Folder, MusicPairs, MusicAnyPair, MusicIquery, Fuss, Musdb, MusdbMean, MusdbVocals,
        AudioSep, Avgn, Sources,
    )
}  # fmt: skip


def protocol_named(name: str) -> Protocol:
    """A protocol by its name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in PROTOCOLS:
        raise ConfigError(
            f"protocol: got {name!r:.60}, expected one of {', '.join(PROTOCOLS)}. Name one."
        )
    return PROTOCOLS[name]()
