"""A recording put through a stream from its start to its end, its sources kept in a store."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.level import gain_db, measure_level
from sgn_rt.audio.limits import checked_seconds
from sgn_rt.audio.recording import Recording, open_recording
from sgn_rt.errors import CancelledError
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.choices import (
    MOST_GAIN_DB,
    READING,
    Level,
    Progress,
    RecordingOptions,
    checked_categories,
    checked_gain,
    checked_level,
    checked_options,
)
from sgn_rt.streaming.finder import FindingStream
from sgn_rt.streaming.output import RESIDUAL
from sgn_rt.streaming.presence import PresenceRule
from sgn_rt.streaming.store import PieceWriter, Store
from sgn_rt.streaming.stream import Stream

S = TypeVar("S", bound=Stream)


_FIRST_PASS: Final = 0.9
"""Of the work of finding categories, for the progress shown; the rest is what was found late."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who looks on, and may end the work."""

    progress: Progress | None = None
    cancel: threading.Event | None = None

    def tell(self, done: float) -> None:
        """Say what part is done.

        Raises
        ------
        CancelledError
            If the work is to end.
        """
        if self.cancel is not None and self.cancel.is_set():
            raise CancelledError(
                "separate: got cancelled, expected to go on. Nothing was kept: start it again."
            )
        if self.progress is not None:
            self.progress(done)

    def part(self, start: float, share: float) -> Watch:
        """Who looks on at a part of the work."""
        progress = self.progress
        if progress is None:
            return self
        return Watch(progress=lambda done: progress(start + share * done), cancel=self.cancel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What is wanted of a recording.

    Attributes
    ----------
    categories
        Names; None for all that are present.
    rule
        What counts as present.
    residual
        Whether what is left is wanted, too.
    level, start_s, duration_s, salvage
        As `RecordingOptions`.
    """

    categories: tuple[str, ...] | None
    rule: PresenceRule
    residual: bool
    level: Level = "auto"
    start_s: float = 0.0
    duration_s: float | None = None
    salvage: bool = False

    @classmethod
    def of(
        cls, config: ModelConfig, categories: Sequence[str] | None, options: RecordingOptions
    ) -> Choices:
        """What a caller says, checked.

        Raises
        ------
        AudioError, CategoryError, ConfigError
            For what is not known, or cannot be had.
        TypeError
            For an option that there is not.
        """
        options = checked_options(options)
        duration_s = options.get("duration_s")
        return cls(
            categories=None if categories is None else checked_categories(config, categories),
            rule=PresenceRule.of(config, options.get("threshold")),
            residual=bool(options.get("residual", False)),
            level=checked_level(options.get("level", "auto")),
            start_s=checked_seconds(options.get("start_s", 0.0), "start"),
            duration_s=None if duration_s is None else checked_seconds(duration_s, "duration"),
            salvage=bool(options.get("salvage", False)),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON types: two runs of equal choices, model and recording write the same."""
        return {
            "categories": None if self.categories is None else list(self.categories),
            "thresholds": np.atleast_1d(self.rule.thresholds).tolist(),
            "residual": self.residual,
            "level": self.level,
            "start_s": self.start_s,
            "duration_s": self.duration_s,
            "salvage": self.salvage,
        }


class StreamMaker(Protocol):
    """Makes streams of one model."""

    def __call__(self, kind: type[S], *, sample_rate: int, channels: int, **options: Any) -> S:
        """A stream of a kind; options as `StreamSettings.of`'s."""
        ...


class Run:
    """A recording separated into a store.

    Parameters
    ----------
    recording, choices
        What is separated, and what is wanted of it.
    config
        The model's configuration.
    make
        Makes streams of the model.
    watch
        Who looks on.

    Attributes
    ----------
    recording
        As given.
    level_dbfs, gain_db
        Of what sounds in it, where the model says for which levels it was trained; and by how much
        louder the network hears it.
    stream
        That the recording goes through: what it has heard.
    peak
        Largest magnitude in the recording; 0 for digital silence.
    """

    def __init__(
        self,
        recording: Recording,
        choices: Choices,
        config: ModelConfig,
        make: StreamMaker,
        watch: Watch,
    ) -> None:
        self.recording, self.choices, self._make, self._watch = recording, choices, make, watch
        self.peak = 0.0
        self._windows: Counter[str] = Counter()
        self.level_dbfs, self.gain_db = _level(recording, choices.level, config)
        named = choices.categories
        self.stream: Stream = (
            self._new(FindingStream, ())
            if named is None
            else self._new(Stream, named, residual=choices.residual)
        )

    @classmethod
    def open(
        cls,
        mixture: Any,
        sample_rate: int | None,
        categories: Sequence[str] | None,
        options: RecordingOptions,
        *,
        config: ModelConfig,
        make: StreamMaker,
    ) -> Run:
        """Everything that can be wrong with a request is, before any work."""
        choices = Choices.of(config, categories, options)
        reading: dict[str, Any] = {name: options[name] for name in READING if name in options}
        recording = open_recording(mixture, sample_rate, **reading)
        watch = Watch(options.get("progress"), options.get("cancel"))
        return cls(recording, choices, config, make, watch)

    def _new(self, kind: type[S], categories: Sequence[str], *, residual: bool = False) -> S:
        return self._make(
            kind,
            sample_rate=self.recording.sample_rate,
            channels=self.recording.channels,
            categories=categories,
            residual=residual,
            rule=self.choices.rule,
            gain_db=self.gain_db,
        )

    @property
    def present(self) -> tuple[str, ...]:
        """Categories that count as present; in digital silence none, whatever the network says."""
        return self.stream.present if self.peak > 0.0 else ()

    @property
    def named(self) -> tuple[str, ...] | None:
        """What will be in the store; None where that is to be found."""
        if self.choices.categories is None:
            return None
        return self._with_residual(self.choices.categories)

    def _with_residual(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return (*names, RESIDUAL) if self.choices.residual else names

    def into(self, store: Store) -> tuple[str, ...]:
        """Separate; the names of what is in the store then, the residual last."""
        if isinstance(self.stream, FindingStream):
            names = self._find(self.stream, store)
            if self.choices.residual:
                store.add_residual(RESIDUAL, names, self.recording)
        else:
            self._pump(self.stream, PieceWriter(store), self._watch)
            names = self.stream.categories
        self._windows.update(self.stream.engines)
        self._watch.tell(1.0)
        return self._with_residual(names)

    def report(self) -> dict[str, Any]:
        """What was found, as fields of `sgn_rt.report.Report`."""
        return {
            "presence": self.stream.presence,
            "present": self.present,
            "presence_rule": self.choices.rule.describe(),
            "sample_rate": self.recording.sample_rate,
            "channels": self.recording.channels,
            "samples": self.recording.samples,
            "windows": dict(self._windows),
            "peak": self.peak,
            "level_dbfs": self.level_dbfs,
            "gain_db": self.gain_db,
            "salvaged": self.recording.salvaged,
        }

    def _find(self, stream: FindingStream, store: Store) -> tuple[str, ...]:
        """Find what is present and separate it, the network once for each window.

        What a category that was found late said before is computed when that is known: the network
        once more for the windows before it, and for no others.
        """
        first = self._watch.part(0.0, _FIRST_PASS)
        self._pump(stream, PieceWriter(store), first, stream.given_up)
        found = self.present
        for name in stream.categories:
            if name not in found:
                store.drop(name)
        begins = {name: min(stream.begins[name], self.recording.samples) for name in found}
        late = {name: begin for name, begin in begins.items() if begin > 0}
        if late:
            again = self._new(Stream, tuple(late))
            rest = self._watch.part(_FIRST_PASS, 1.0 - _FIRST_PASS)
            self._pump(again, PieceWriter(store, until=late), rest)
            self._windows.update(again.engines)
        return found

    def _pump(
        self,
        stream: Stream,
        writer: PieceWriter,
        watch: Watch,
        given_up: Callable[[], list[str]] = list,
    ) -> None:
        recording, done = self.recording, 0
        # What is ready is written while the next windows are computed.
        with ThreadPoolExecutor(1, thread_name_prefix="sgn-rt-sink") as sink:
            written = sink.submit(writer.write, [], {}, [])
            for block in recording.blocks(stream.round_samples):
                ready = stream.feed_ahead(block, checked=True)
                written.result()
                written = sink.submit(writer.write, ready, stream.begins, given_up())
                done += block.shape[1]
                self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
                watch.tell(done / recording.samples)
                if writer.is_full:
                    written.result()
                    return
            rest = stream.flush_ahead()
            written.result()
            writer.write(rest, stream.begins, given_up())


def _level(recording: Recording, level: Level, config: ModelConfig) -> tuple[float | None, float]:
    """What sounds in a recording, dBFS, where that is of use; and the gain for the network, dB."""
    if level == "off":
        return None, 0.0
    if level != "auto":
        return None, checked_gain(level)
    if config.training_level_dbfs is None:
        return None, 0.0
    window = max(1, round(config.window_s * recording.sample_rate))
    measure = measure_level(_ahead(recording.blocks(window)), window)
    gain = gain_db(measure, config.training_level_dbfs)
    return measure.dbfs, min(max(gain, -MOST_GAIN_DB), MOST_GAIN_DB)


def _ahead(blocks: Iterable[Float]) -> Iterator[Float]:
    """The same blocks, the next of them read while one is in use."""
    source = iter(blocks)
    with ThreadPoolExecutor(1, thread_name_prefix="sgn-rt-read") as reader:
        coming = reader.submit(next, source, None)
        while (block := coming.result()) is not None:
            coming = reader.submit(next, source, None)
            yield block
