"""The separator: from a recording to one sound per category, whole or as a stream."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar, Unpack
from weakref import WeakSet

from sgn_rt._process import Closes, OneProcess, Workers, closed
from sgn_rt._processors import available_cpus
from sgn_rt._types import SampleFormat
from sgn_rt.audio.limits import checked_rate
from sgn_rt.audio.run_folder import STEMS, RunFolder
from sgn_rt.audio.stem_store import StemStore
from sgn_rt.audio.writer import Format
from sgn_rt.engines.base import Engine
from sgn_rt.engines.devices import Devices
from sgn_rt.engines.guarded import ParityMode, Rejection
from sgn_rt.errors import AudioError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.stages import StageResult
from sgn_rt.parity.service import Service
from sgn_rt.report import Separation, SeparationFiles, Timings
from sgn_rt.streaming.answers import Separates
from sgn_rt.streaming.choices import (
    RecordingOptions,
    checked_sample_format,
)
from sgn_rt.streaming.gather import Gather
from sgn_rt.streaming.hub.hub import DEADLINE_S, Hub, HubOptions
from sgn_rt.streaming.hub.overload import Overload
from sgn_rt.streaming.output import RESIDUAL
from sgn_rt.streaming.recording_run import Choices, Run
from sgn_rt.streaming.settings import StreamSettings
from sgn_rt.streaming.store import MemoryStore
from sgn_rt.streaming.stream import Stream
from sgn_rt.streaming.windows import least_latency_s
from sgn_rt.tensorrt.run.options import RunOptions

S = TypeVar("S", bound=Stream)


class Separator(Closes, OneProcess):  # over 300 lines with the docstrings of all that users call
    """Separates recordings with one model on one engine; shared by threads. Use `open`.

    Attributes
    ----------
    bundle
        The model.
    """

    def __init__(
        self,
        bundle: Bundle,
        service: Service,
        *,
        threads: int | None,
        load_s: float = 0.0,
        sample_format: SampleFormat = "float32",
    ) -> None:
        self.bundle, self._sample_format = bundle, sample_format
        self._service, self._load_s = service, load_s + service.load_s
        # Who waits for a GPU takes no processor.
        busy = max(threads or available_cpus(), service.engine.active.concurrency)
        self._pool = Workers(busy, "separator")
        self._closed = False
        self._answers: Separates = service.engine
        self._hubs: WeakSet[Hub] = WeakSet()

    def join_windows(self) -> None:
        """From now on, recordings that are separated at the same time share calls of the engine.

        For engines that take several windows at a time. A sample then depends on its company by
        what another size of batch rounds otherwise.
        """
        self._answers = Gather(self._service.engine)

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle | None = None,
        engine: str = "auto",
        parity: ParityMode = "fallback",
        *,
        threads: int | None = None,
        check_every: int | None = None,
        device: Devices = None,
        sample_format: SampleFormat = "float32",
        gpu: RunOptions | None = None,
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
        device
            Number of a GPU, a list of them, or ``all``: an engine on each, and windows go to
            whichever is free. One that fails is taken out, with a warning, and its windows go to
            the others. None for the GPU that is current in this thread, if the engine needs one.
        sample_format
            What samples come back from a GPU in, where the bus is what limits: ``float16`` and
            ``int16`` are half as much, ``dithered-int16`` has triangular noise in the place of
            rounding's distortion. int16 ends at full scale, float16 at 65504 times that. Everything
            after that (cross-fade, rates, files) is float32 all the same; engines on the CPU send
            nothing, and round nothing.
        gpu
            How TensorRT uses the GPU: calls at a time, graphs, memory; None for what is well
            chosen.

        Raises
        ------
        BundleError
            If the bundle is missing, damaged or newer than this package.
        ConfigError
            For an option that there is not.
        DependencyError, EngineError, ParityError
            If the engine, or with ``auto`` every engine, cannot serve.
        """
        form = checked_sample_format(sample_format)
        start = time.perf_counter()
        opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        load_s = time.perf_counter() - start
        service = Service(opened, engine, parity, threads, check_every, device=device, gpu=gpu)
        return cls(opened, service, threads=threads, load_s=load_s, sample_format=form)

    def close(self) -> None:
        """Let go of threads and of the engine; also done by leaving a ``with`` block.

        Work that goes on in another thread meanwhile ends with an SgnError.
        """
        self._closed = True
        for hub in list(self._hubs):
            hub.close()
        self._pool.shutdown()
        self._service.close()

    def __repr__(self) -> str:
        return f"Separator({self.bundle.name!r}, engine={self.engine.name!r})"

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
        return self._service.engine.active

    @property
    def parity(self) -> list[StageResult]:
        """What the start-up probe measured of the engine in service; empty without a probe."""
        return self._service.proved

    @property
    def checked_windows(self) -> int:
        """Windows that were computed once more and compared, see ``check_every``."""
        return self._service.checked_windows

    @property
    def rejected(self) -> tuple[Rejection, ...]:
        """Engines that are not in service, and why."""
        return tuple(self._service.engine.rejected)

    @property
    def replacements(self) -> tuple[str, ...]:
        """What was replaced by the engine in service, and why."""
        return tuple(self._service.engine.replacements)

    def stream(
        self,
        *,
        sample_rate: int,
        channels: int = 1,
        categories: Sequence[str] | None = None,
        latency_s: float | None = None,
        residual: bool = False,
        gain_db: float = 0.0,
        threshold: float | Mapping[str, float] | None = None,
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
        gain_db
            What the network hears is so many dB louder, and the sources come back at the input's
            own level. A LevelWarning, once, says where the model was not trained on what it hears.
        threshold
            Presence from which a window speaks for a category, as for `separate`.

        Raises
        ------
        CategoryError
            For a category that the model does not know, or one named twice.
        AudioError, ConfigError
            For a rate, number of channels, latency, gain or threshold that cannot be had.
        """
        self._expect_open()
        settings = StreamSettings.live(
            self._answers,
            self.config,
            sample_rate=sample_rate,
            channels=channels,
            categories=categories,
            latency_s=latency_s,
            residual=residual,
            gain_db=gain_db,
            threshold=threshold,
            sample_format=self._sample_format,
        )
        return Stream(self._answers, self._pool, settings)

    def hub(
        self,
        *,
        deadline_s: float = DEADLINE_S,
        overload: Overload = "refuse",
        **options: Unpack[HubOptions],
    ) -> Hub:
        """Separate many live signals at a time: windows of all of them share the engine's calls.

        Parameters
        ----------
        deadline_s
            What a stream gives is due its latency after its input; it is late where it comes more
            than this later, seconds.
        overload
            What is done about more than the engine holds: ``refuse`` streams beyond what it was
            measured to hold, which takes a moment here; ``raise`` an OverloadError from a stream
            that is late; ``longer-step``: streams that are late cost less and sound less clean
            until there is time again; ``pass-through``: what would be late is the mixture itself
            (with ``residual`` an equal share of it each, so that all still add up to it).
        options
            See `HubOptions`: on_batch, buffer_s, hangs_s, share, clock.

        Raises
        ------
        ConfigError
            For an option that cannot be.
        EngineError
            If the engine fails while it is measured.
        """
        self._expect_open()
        hub = Hub(
            self._service.engine,
            self.config,
            deadline_s=deadline_s,
            overload=overload,
            sample_format=self._sample_format,
            **options,
        )
        self._hubs.add(hub)
        return hub

    def least_latency_s(self, sample_rate: int) -> float:
        """The smallest ``latency_s`` that `stream` takes at a sample rate, seconds.

        Where a GPU converts rates that differ it is less, by shorter filters.
        """
        rates = (checked_rate(sample_rate), self.config.sample_rate)
        conversions = [self._service.engine.resampler(*pair) for pair in (rates, rates[::-1])]
        context_s = max(conversion.context_s for conversion in conversions)
        return least_latency_s(self.config, rates[0], context_s)

    def _stream(self, kind: type[S], **options: Any) -> S:
        """A stream of a recording; options as `StreamSettings.of`'s."""
        self._expect_open()
        form = self._sample_format
        settings = StreamSettings.of(self._answers, self.config, sample_format=form, **options)
        return kind(self._answers, self._pool, settings)

    def _expect_open(self) -> None:
        self._expect_own_process()
        if self._closed:
            raise closed("separator")

    def separate(
        self,
        mixture: Any,
        categories: Sequence[str] | None = None,
        *,
        sample_rate: int | None = None,
        **options: Unpack[RecordingOptions],
    ) -> Separation:
        """Separate a recording in memory: sources of its very length, rate and channels.

        Parameters
        ----------
        mixture
            A file's name, its content as bytes, or a binary file object that can seek; or samples,
            shape = (channels, samples) or (samples,), floating point of full scale 1 or integer
            PCM: arrays, lists, tensors on the CPU.
        categories
            Names; None for all that are present.
        sample_rate
            Hz, of samples; a file knows its own.
        options
            See `RecordingOptions`: threshold, residual, level, start_s, duration_s, salvage,
            most_seconds, most_channels, progress, cancel.

        Raises
        ------
        AudioError, CategoryError, ConfigError, EngineError
            For what cannot be read, is not known, cannot be had, or fails.
        CancelledError
            If ``cancel`` was set.
        """
        start = time.perf_counter()
        run = Run.open(
            mixture, sample_rate, categories, options, config=self.config, make=self._stream
        )
        store = MemoryStore(run.recording.channels, run.recording.samples)
        names = run.into(store)
        return Separation(
            sources={name: store.sources[name] for name in names},
            **run.report(),
            **_service_facts(self._service, self._load_s, start),
        )

    def separate_to(
        self,
        path: str | Path,
        folder: str | Path,
        categories: Sequence[str] | None = None,
        *,
        format: Format = "wav",  # noqa: A002 - the option's name
        name: str | None = None,
        **options: Unpack[RecordingOptions],
    ) -> SeparationFiles:
        """Separate a file to ``folder/<file's name>/<category>.<format>``.

        Memory is constant in its length. Stems appear whole, all at the end, or not at all, in a
        folder that belongs to the run: what an earlier run wrote there is replaced. Where no
        category is present, there are none, and no folder.

        Parameters
        ----------
        path
            The file.
        folder
            Made if missing.
        categories, options
            As for `separate`.
        format
            ``wav`` (float32) or ``flac`` (24 bit).
        name
            Of the folder in ``folder``, in the place of the file's.

        Raises
        ------
        AudioError, CategoryError, ConfigError, EngineError, CancelledError
            As `separate`, and for what cannot be written.
        """
        _expect_format(format)
        start = time.perf_counter()
        owned = RunFolder.claim(Path(folder), Path(path), name)
        run = Run.open(Path(path), None, categories, options, config=self.config, make=self._stream)
        store = StemStore(
            owned,
            (*self.categories, RESIDUAL),
            format=format,
            sample_rate=run.recording.sample_rate,
            channels=run.recording.channels,
            frames=run.recording.samples,
        )
        with owned, closing(store):
            store.begin(run.named)
            names = run.into(store)
            made = store.finish()
            files = {name: made[name] for name in names}
            stems = {name: file.name for name, file in files.items()}
            facts = {**facts_of_run(self.bundle, run.choices, format), STEMS: stems}
            places = owned.commit({file.name: file for file in files.values()}, facts)
            return SeparationFiles(
                stems={name: places[file] for name, file in stems.items()},
                clipped=store.clipped(),
                **run.report(),
                **_service_facts(self._service, self._load_s, start),
            )

    def finished(
        self,
        path: str | Path,
        folder: str | Path,
        categories: Sequence[str] | None = None,
        *,
        format: Format = "wav",  # noqa: A002 - the option's name
        name: str | None = None,
        **options: Unpack[RecordingOptions],
    ) -> dict[str, Path] | None:
        """The stems that an earlier `separate_to` of the same arguments wrote; None if it did not.

        They are all there, as long as they were, of the same recording as far as its size and time
        of change tell, of this model and these options. Raises as `separate_to`, before any work.
        """
        _expect_format(format)
        owned = RunFolder.claim(Path(folder), Path(path), name)
        facts = facts_of_run(self.bundle, Choices.of(self.config, categories, options), format)
        return owned.stems() if owned.holds(facts) else None


def _service_facts(service: Service, load_s: float, start: float) -> dict[str, Any]:
    """What a report says of the engine and of time."""
    return {
        "engine": service.engine.active.name,
        "replacements": tuple(service.engine.replacements),
        "timings": Timings(
            load=load_s, warm_up=service.warm_up_s, separate=time.perf_counter() - start
        ),
    }


def facts_of_run(
    bundle: Bundle,
    choices: Choices,
    format: Format,  # noqa: A002
) -> dict[str, Any]:
    """What a run's files depend on, beside the recording."""
    return {"model": bundle.identity, "format": format, **choices.to_dict()}


def _expect_format(format: str) -> None:  # noqa: A002
    if format not in ("wav", "flac"):
        raise AudioError(f"format: got {format!r}, expected wav or flac. Choose one of them.")
