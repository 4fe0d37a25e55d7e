"""How engines use a GPU: what a user may choose, and why it is as it is if nothing is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from sgn_rt.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of an engine on a GPU.

    Attributes
    ----------
    lanes
        Calls under way on the GPU at a time: with two, one's copies go beside the other's
        computing, and the GPU does not wait for the host between them; each has its own activation
        memory, and a third finds nothing left to fill.
    graphs
        Whether calls of a shape that follow each other become a CUDA graph: one launch in the place
        of some 70. Off where another library of the process synchronises the whole device from
        other threads, which a capture does not survive.
    spin
        Whether a thread that waits for the GPU does so without sleeping: some 20 us sooner, for a
        processor of its own. For live sound.
    held_bytes
        Of the GPU's memory for what is kept of windows, so that a category that turns up late
        costs no network: 3.1 MB a window of the published model in float16, so 170 of them, the
        windows in work of a dozen recordings at once. Where it does not suffice, the oldest are
        computed again.
    answer_bytes
        Of page-locked memory of the host for sources on their way: they stay where the GPU put
        them until the caller has read them. 2.5 MB a window of the published model with all
        sources. Where it does not suffice, they are copied.

    Raises
    ------
    ConfigError
        For a number that is none, or too small.
    """

    lanes: int = 2
    graphs: bool = True
    spin: bool = False
    held_bytes: int = 512 << 20
    answer_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        for name, least in (("lanes", 1), ("held_bytes", 0), ("answer_bytes", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"{name}: got {value!r:.40}, expected a whole number of at least {least}. "
                    "Leave it out for one that is well chosen."
                )
