"""One source on its way out: its windows cross-faded to a signal at the model's rate."""

from __future__ import annotations

from sgn_rt._types import Float
from sgn_rt.streaming.buffers import Signal
from sgn_rt.streaming.windows import WindowLayout


class Track:
    """The separated signal of one category.

    Parameters
    ----------
    layout
        Of the windows.
    channels
        Of the signal.
    first
        Window that it begins with. What lies before is unknown then, and so are the samples in
        which that window is cross-faded with the one before it.
    start
        First sample at the caller's rate that is right, and that is given out.
    """

    def __init__(self, layout: WindowLayout, channels: int, first: int = 0, start: int = 0) -> None:
        self.start = start
        self._rise = layout.rise
        self._tail: Float | None = None
        self._skip = layout.fade if first else 0
        begin = layout.final(first - 1) + self._skip
        self._separated = Signal(channels, start=begin)

    def join(self, sources: Float, size: int) -> None:
        """Add the next window.

        Parameters
        ----------
        sources
            From the first sample that the window before does not settle, shape = (channels,
            samples). Changed in place.
        size
            Samples that no later window changes; the rest is cross-faded with the next.
        """
        tail = self._tail
        if tail is not None and tail.shape[1]:
            fade = min(tail.shape[1], sources.shape[1])
            head, rise = sources[:, :fade], self._rise[:fade]
            head -= tail[:, :fade]
            head *= rise
            head += tail[:, :fade]
        self._tail = sources[:, size:]
        self._separated.append(sources[:, self._skip : size])
        self._skip = 0

    def span(self, start: int, stop: int) -> Float:
        """Samples [start, stop) at the model's rate, zeros outside the signal."""
        return self._separated.span(start, stop)

    def drop_before(self, position: int) -> None:
        """Give up the samples before ``position``."""
        self._separated.drop_before(position)
