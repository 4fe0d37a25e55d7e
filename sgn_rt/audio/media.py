"""What libsndfile does not read, by FFmpeg through PyAV: m4a, mp4, webm, wma and many more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sgn_rt._optional import require
from sgn_rt._types import Float
from sgn_rt.audio import mpeg
from sgn_rt.audio.base import AudioReader, DamageError, UnsuitedError
from sgn_rt.audio.limits import Limits
from sgn_rt.audio.samples import FULL_SCALE, scaled
from sgn_rt.audio.source import Source, reason
from sgn_rt.errors import AudioError

_FORMATS: Final = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,mlp,"
    "mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,rm,tak,truehd,tta,w64,wav,wv"
)
"""Demuxers that are let at a file. Not among them: those of playlists, which open other files and
addresses that a stranger's file names."""

_TOLD: Final = (
    "mov", "matroska", "asf", "ogg", "flac", "wav", "caf", "aiff", "tta", "ape", "w64", "wv",
)  # fmt: skip
"""Formats whose duration stands in the file; FFmpeg guesses it of others."""

_SLACK: Final = 0.1
"""Seconds by which a whole file's duration may be off: delay and padding of its codec."""


class MediaReader(AudioReader):
    """A recording that FFmpeg reads; of a film, its best sound track.

    How long it is shows when it is decoded: that is done once, to count.
    """

    def __init__(self, source: Source, limits: Limits, *, salvage: bool = False) -> None:
        super().__init__(source, limits, salvage=salvage)
        self._av = require("av", extra="media", purpose=source.name)
        self._forgives = False
        with self._opened() as (container, stream):
            self._format = str(container.format.name)
            declared = self._declared(container, stream)
            try:
                first = next(self._frames(container, stream), None)
            except DamageError as error:
                raise UnsuitedError(str(error)) from error
        if first is None:
            raise UnsuitedError("no sound that decodes")
        self.sample_rate, self.channels = int(first.sample_rate), int(first.layout.nb_channels)
        self._kind = (first.sample_rate, first.layout.nb_channels, first.format.name)
        _samples(first)
        self._check(int((declared - _SLACK) * self.sample_rate))
        if self._format == "mp3":
            self._settle_mpeg()
        self.frames = self._count()
        if self.frames < (declared - _SLACK) * self.sample_rate:
            self._damaged(f"{self.frames / self.sample_rate:.2f} of {declared:.2f} s")
        self._expect_sound()

    def _declared(self, container: Any, stream: Any) -> float:
        """The duration of the sound by the file's own word, seconds; 0 where there is none."""
        if not any(name in _TOLD for name in self._format.split(",")):
            return 0.0
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        alone = len(container.streams) == 1  # pictures may go on after the sound
        return container.duration / 1e6 if alone and container.duration else 0.0

    def _settle_mpeg(self) -> None:
        """Find out whether an MP3 is whole; then FFmpeg may stumble over titles between frames."""
        with self._source.open() as content:
            found = mpeg.walk(content)
        if found is not None and not found.whole:
            self._damaged(f"an MP3 with a broken frame, and {found.frames} whole ones")
        self._forgives = found is not None and found.whole

    def _decode(self, frames: int, start: int) -> Iterator[Float]:
        del frames  # the codec's own
        skip = start
        with self._opened() as (container, stream):
            for frame in self._frames(container, stream):
                self._expect_same(frame)
                samples = _samples(frame)
                if skip < samples.shape[1]:
                    yield samples[:, skip:]
                skip = max(0, skip - samples.shape[1])

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        """What a track decodes to, packet by packet."""
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise DamageError("a broken packet")
                try:
                    yield from packet.decode()
                except self._av.error.InvalidDataError:
                    if not self._forgives:
                        raise
        except self._av.FFmpegError as error:
            raise DamageError(reason(error)) from error

    def _lengths(self) -> Iterator[int]:
        with self._opened() as (container, stream):
            for frame in self._frames(container, stream):
                self._expect_same(frame)
                yield int(frame.samples)

    def _expect_same(self, frame: Any) -> None:
        found = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        if found != self._kind:
            was, now = (f"{rate} Hz, {n} channels, {form}" for rate, n, form in (self._kind, found))
            raise DamageError(f"a change from {was} to {now}")

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """The container and its best track; what reading of its bytes raises is told instead."""
        with self._source.open() as content:
            try:
                with self._container(content) as container:
                    stream = container.streams.best("audio")
                    if stream is None or stream.codec_context is None:
                        raise UnsuitedError("no sound track of a known codec")
                    yield container, stream
            finally:
                if content.error is not None:
                    raise AudioError(
                        f"{self.name}: got {reason(content.error)}, expected to read it. "
                        "Check where it comes from."
                    ) from content.error

    def _container(self, content: Any) -> Any:
        try:
            return self._av.open(
                content,
                mode="r",
                metadata_errors="replace",
                container_options={"format_whitelist": _FORMATS, "protocol_whitelist": ""},
            )
        except self._av.FFmpegError as error:
            raise UnsuitedError(reason(error)) from error


def _samples(frame: Any) -> Float:
    """The samples of a frame, shape = (channels, samples)."""
    array = frame.to_ndarray()
    if array.dtype.kind != "f" and array.dtype.name not in FULL_SCALE:
        raise UnsuitedError(f"samples of {array.dtype}")
    if not frame.format.is_planar:
        array = array.reshape(-1, frame.layout.nb_channels).T
    return scaled(array)
