"""The separator: from a recording to one sound per category, whole or as a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from sgn_rt._types import Float
from sgn_rt.audio.recording import Recording, open_recording
from sgn_rt.audio.stems import Format, expect_folder, stem_files, stem_paths
from sgn_rt.engines.base import Engine, available_cpus
from sgn_rt.engines.factory import ENGINES, candidates, open_engine
from sgn_rt.engines.guarded import GuardedEngine, ParityMode, Rejection
from sgn_rt.errors import AudioError, ConfigError, SgnError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.stages import PRESENCE_THRESHOLD, StageResult
from sgn_rt.parity.measure import require
from sgn_rt.parity.spot_check import SpotCheck
from sgn_rt.report import Separation, SeparationFiles, Timings
from sgn_rt.streaming.choices import checked_categories, checked_channels, checked_rate
from sgn_rt.streaming.stream import RESIDUAL, Stream

Progress = Callable[[float], None]
"""Called now and then with the part that is done, 0 to 1."""

_FINDING = 0.4
"""Of the whole work, about what finding the categories takes; for the progress shown."""


class Separator:
    """Separates recordings with one model on one engine. Safe to share between threads.

    Use `open`.

    Attributes
    ----------
    bundle
        The model.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: GuardedEngine,
        *,
        threads: int,
        load_s: float,
        warm_up_s: float,
        proved: Mapping[str, list[StageResult]],
        spot_check: SpotCheck | None = None,
    ) -> None:
        self.bundle = bundle
        self._engine = engine
        self._proved, self._spot_check = proved, spot_check
        self._load_s, self._warm_up_s = load_s, warm_up_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sgn-rt")
        self._closed = False

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle | None = None,
        engine: str = "auto",
        parity: ParityMode = "fallback",
        *,
        threads: int | None = None,
        check_every: int | None = None,
    ) -> Separator:
        """Open a model on an engine.

        Parameters
        ----------
        bundle
            Folder; None for the model that ships with the package.
        engine
            ``auto`` for the best that runs here, or one of `sgn_rt.engines.factory.ENGINES`.
        parity
            ``fallback``: prove the engine on the bundle's probes and take the next, with one
            warning, if it fails them or a later window; ``raise``: an error instead; ``off``: no
            probe.
        threads
            Processors to use; None for all that the process may use.
        check_every
            Compute every so many windows once more on the CPU, by ONNX Runtime or PyTorch, and
            treat an engine that differs as one that fails; None for none.

        Raises
        ------
        BundleError
            If the bundle is missing, damaged or newer than this package.
        DependencyError, EngineError, ParityError
            If the engine, or with ``auto`` every engine, cannot serve.
        """
        if parity not in ("fallback", "raise", "off"):
            raise ConfigError(
                f"parity: got {parity!r}, expected fallback, raise or off. Choose one of them."
            )
        if threads is not None and threads < 1:
            raise ConfigError(f"threads: got {threads}, expected at least 1. Leave it out for all.")
        if check_every is not None and check_every < 1:
            raise ConfigError(
                f"check every: got {check_every}, expected at least 1. Leave it out for no checks."
            )
        start = time.perf_counter()
        opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        proving = 0.0
        proved: dict[str, list[StageResult]] = {}

        def prove(candidate: Engine) -> None:
            nonlocal proving
            began = time.perf_counter()
            try:
                proved[candidate.name] = require(candidate, opened.probe)
                candidate.proved(proved[candidate.name])
            finally:
                proving += time.perf_counter() - began

        asked_for = None if engine == "auto" else engine
        opener = partial(open_engine, bundle=opened, threads=threads)
        spot_check = None if check_every is None else SpotCheck(check_every, opener, prove)
        guarded = GuardedEngine(
            list(candidates(ENGINES, opened, asked_for)),
            opener,
            prove,
            parity,
            asked_for,
            spot_check,
        )
        if spot_check is not None:
            spot_check.ready(guarded.active)
        return cls(
            opened,
            guarded,
            threads=threads or available_cpus(),
            load_s=time.perf_counter() - start - proving,
            warm_up_s=proving,
            proved=proved,
            spot_check=spot_check,
        )

    def close(self) -> None:
        """Let go of threads; also done by leaving a ``with`` block."""
        self._closed = True
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return self.bundle.config

    @property
    def categories(self) -> tuple[str, ...]:
        """Every category that the model knows."""
        return self.bundle.config.categories

    @property
    def engine(self) -> Engine:
        """The engine in service."""
        return self._engine.active

    @property
    def parity(self) -> list[StageResult]:
        """What the start-up probe measured of the engine in service; empty without a probe."""
        return self._proved.get(self.engine.name, [])

    @property
    def checked_windows(self) -> int:
        """Windows that were computed once more and compared, see ``check_every``."""
        return 0 if self._spot_check is None else self._spot_check.checked

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """Engines that are not in service, and why."""
        return tuple(self._engine.rejected)

    def stream(
        self,
        *,
        sample_rate: int,
        channels: int = 1,
        categories: Sequence[str] | None = None,
        latency_s: float | None = None,
        residual: bool = False,
    ) -> Stream:
        """Begin to separate a live signal.

        Parameters
        ----------
        sample_rate
            Hz, of input and output.
        channels
            Each is separated on its own.
        categories
            Names; None for all that the model knows.
        latency_s
            The longest delay that is borne, seconds: more of it is less work and cleaner borders.
            None for least work, as offline.
        residual
            Also give what is left of the mixture without the categories.

        Raises
        ------
        CategoryError
            For a category that the model does not know, or one named twice.
        AudioError, ConfigError
            For a rate, number of channels or latency that cannot be had.
        """
        if self._closed:
            raise SgnError("separator: got a call after close(), expected none. Open another one.")
        return Stream(
            self._engine,
            self.config,
            self._pool,
            sample_rate=checked_rate(sample_rate),
            channels=checked_channels(channels),
            categories=checked_categories(self.config, categories),
            latency_s=latency_s,
            residual=residual,
        )

    def separate(
        self,
        mixture: str | Path | ArrayLike,
        categories: Sequence[str] | None = None,
        *,
        sample_rate: int | None = None,
        threshold: float = PRESENCE_THRESHOLD,
        residual: bool = False,
        progress: Progress | None = None,
    ) -> Separation:
        """Separate a recording in memory.

        Parameters
        ----------
        mixture
            A file, or samples, shape = (channels, samples) or (samples,), floating point of full
            scale 1.
        categories
            Names; None for all that are present.
        sample_rate
            Hz, of samples; a file knows its own.
        threshold
            Presence from which a category counts as present, 0 to 1.
        residual
            Also give what is left of the mixture without the categories: all of them add up to it.
        progress
            Told how much is done.

        Returns
        -------
        Separation
            Sources of the recording's very length, rate and channels.

        Raises
        ------
        AudioError, CategoryError, EngineError
            For what cannot be read, is not known, or fails.
        """
        start = time.perf_counter()
        recording = open_recording(mixture, sample_rate)
        stream, names, rest = self._prepare(recording, categories, threshold, residual, progress)
        shape = (recording.channels, recording.samples)
        sources = {name: np.empty(shape, np.float32) for name in names}
        done = 0

        def keep(blocks: dict[str, Float]) -> None:
            nonlocal done
            ready = 0
            for name, block in blocks.items():
                ready = block.shape[1]
                sources[name][:, done : done + ready] = block
            done += ready

        peak = self._run(recording, stream, keep, rest)
        return Separation(sources=sources, **self._report(recording, stream, peak, start))

    def separate_to(
        self,
        path: str | Path,
        folder: str | Path,
        categories: Sequence[str] | None = None,
        *,
        threshold: float = PRESENCE_THRESHOLD,
        residual: bool = False,
        format: Format = "wav",  # noqa: A002 - the option's name
        progress: Progress | None = None,
    ) -> SeparationFiles:
        """Separate a file to ``folder/<file's name>/<category>.<format>``.

        Memory is constant in its length. Stems appear whole, all at the end, or not at all; where
        no category is present, there are none, and no folder.

        Parameters
        ----------
        path
            The file.
        folder
            Made if missing.
        categories, threshold, residual, progress
            As for `separate`.
        format
            ``wav`` (float32) or ``flac`` (24 bit).

        Raises
        ------
        AudioError, CategoryError, EngineError
            For what cannot be read, written, is not known, or fails.
        """
        if format not in ("wav", "flac"):
            raise AudioError(f"format: got {format!r}, expected wav or flac. Choose one of them.")
        start = time.perf_counter()
        recording = open_recording(Path(path), None)
        target = Path(folder) / Path(path).stem
        expect_folder(target)
        stream, names, rest = self._prepare(recording, categories, threshold, residual, progress)
        for stem in stem_paths(target, names, format).values():
            if stem.exists() and stem.samefile(path):
                raise AudioError(
                    f"{folder}: got a folder in which {stem} is the input itself, expected "
                    "another. Name another folder."
                )
        with stem_files(
            target,
            names,
            format=format,
            sample_rate=recording.sample_rate,
            channels=recording.channels,
            frames=recording.samples,
        ) as files:
            peak = self._run(recording, stream, files.write, rest)
        return SeparationFiles(
            stems=files.paths,
            clipped=tuple(files.clipped()),
            **self._report(recording, stream, peak, start),
        )

    def _prepare(
        self,
        recording: Recording,
        categories: Sequence[str] | None,
        threshold: float,
        residual: bool,
        progress: Progress | None,
    ) -> tuple[Stream, tuple[str, ...], Progress | None]:
        """The stream that will separate a recording, names of what it gives, and progress left.

        Where no categories are named, those present are found first: that takes the network once
        more, but nothing of what is not there is synthesised, converted, written and dropped.
        """
        if not 0.0 <= threshold <= 1.0:
            raise ConfigError(
                f"threshold: got {threshold}, expected 0 to 1. Take {PRESENCE_THRESHOLD}."
            )
        chosen: Sequence[str]
        if categories is None:
            finder = self.stream(
                sample_rate=recording.sample_rate, channels=recording.channels, categories=()
            )
            finding = None if progress is None else _part(progress, 0.0, _FINDING)
            self._run(recording, finder, lambda _: None, finding)
            if progress is not None:
                progress = _part(progress, _FINDING, 1.0 - _FINDING)
            found = finder.presence
            chosen = [name for name in self.categories if found[name] >= threshold]
        else:
            chosen = checked_categories(self.config, categories)
        stream = self.stream(
            sample_rate=recording.sample_rate,
            channels=recording.channels,
            categories=chosen,
            residual=residual,
        )
        return stream, (*chosen, RESIDUAL) if residual else tuple(chosen), progress

    def _run(
        self,
        recording: Recording,
        stream: Stream,
        sink: Callable[[dict[str, Float]], None],
        progress: Progress | None,
    ) -> float:
        """Put a whole recording through a stream; its peak magnitude."""
        done, peak = 0, 0.0
        # What is ready is written while the next windows are computed.
        with ThreadPoolExecutor(1, thread_name_prefix="sgn-rt-sink") as writer:
            written = writer.submit(_each, sink, [])
            for block in recording.blocks(stream.round_samples):
                try:
                    ready = stream.feed_ahead(block)
                except AudioError as error:  # of the samples: say whose they are
                    raise AudioError(f"{recording.name}: {error}") from error
                written.result()
                written = writer.submit(_each, sink, ready)
                done += block.shape[1]
                peak = max(peak, float(np.abs(block).max(initial=0.0)))
                if progress is not None:
                    progress(done / recording.samples)
            rest = stream.flush_ahead()
            written.result()
            _each(sink, rest)
        return peak

    def _report(
        self, recording: Recording, stream: Stream, peak: float, start: float
    ) -> dict[str, Any]:
        return {
            "presence": stream.presence,
            "sample_rate": recording.sample_rate,
            "channels": recording.channels,
            "samples": recording.samples,
            "engine": self.engine.name,
            "windows": dict(stream.engines),
            "replacements": tuple(self._engine.replacements),
            "peak": peak,
            "timings": Timings(
                load=self._load_s,
                warm_up=self._warm_up_s,
                separate=time.perf_counter() - start,
            ),
        }


def _each(sink: Callable[[dict[str, Float]], None], pieces: list[dict[str, Float]]) -> None:
    while pieces:  # so that a piece is let go of when it is done with
        sink(pieces.pop(0))


def _part(progress: Progress, start: float, share: float) -> Progress:
    return lambda done: progress(start + share * done)
