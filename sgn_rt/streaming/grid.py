"""Where the windows of one signal lie, also where their layout changes on the way."""

from __future__ import annotations

from typing import NamedTuple

from sgn_rt.streaming.windows import WindowLayout


class _Stretch(NamedTuple):
    """Windows from ``first`` on that have one layout, which is moved by ``shift`` samples."""

    first: int
    shift: int
    layout: WindowLayout


class Grid:
    """Windows of one signal, by number. Units: samples at the model's rate.

    Parameters
    ----------
    layout
        Of the windows, until it is changed.

    Attributes
    ----------
    window
        Samples of a window.
    first_start
        First sample of window 0.
    """

    def __init__(self, layout: WindowLayout) -> None:
        self.window, self.first_start = layout.window, layout.start(0)
        self._stretches = [_Stretch(0, 0, layout)]

    @property
    def layout(self) -> WindowLayout:
        """Of the windows to come."""
        return self._stretches[-1].layout

    def change(self, index: int, layout: WindowLayout) -> None:
        """Give windows from ``index`` on another layout, of the same look-ahead and left context.

        What is heard of window ``index`` begins where it would have begun anyway, so that nothing
        is heard twice or left out.
        """
        shift = self.final(index - 1) - layout.lead if index else 0
        before = [stretch for stretch in self._stretches if stretch.first < index]
        # Nothing is asked about windows of long ago.
        self._stretches = [*before[-1:], _Stretch(index, shift, layout)]

    def start(self, index: int) -> int:
        """As `WindowLayout.start`."""
        first, shift, layout = self._stretch(index)
        return layout.start(index - first) + shift

    def stop(self, index: int) -> int:
        """As `WindowLayout.stop`."""
        return self.start(index) + self.window

    def final(self, index: int) -> int:
        """As `WindowLayout.final`."""
        if index < 0:
            return 0
        first, shift, layout = self._stretch(index)
        return layout.final(index - first) + shift

    def step(self, index: int) -> int:
        """From window ``index`` to the next."""
        return self._stretch(index).layout.step

    def fade(self, index: int) -> int:
        """Samples in which window ``index`` is cross-faded with the next."""
        return self._stretch(index).layout.fade

    def _stretch(self, index: int) -> _Stretch:
        for stretch in reversed(self._stretches):
            if stretch.first <= index:
                return stretch
        return self._stretches[0]
