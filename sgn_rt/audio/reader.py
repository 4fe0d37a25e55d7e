"""Encoded recordings: which reader reads them."""

from __future__ import annotations

from importlib.util import find_spec

from sgn_rt._optional import pip_command, require
from sgn_rt.audio.base import AudioReader, UnsuitedError
from sgn_rt.audio.limits import Limits
from sgn_rt.audio.media import MediaReader
from sgn_rt.audio.sndfile import SndfileReader
from sgn_rt.audio.source import Encoded, Source
from sgn_rt.errors import AudioError

_MEDIA = ((4, b"ftyp"), (0, b"\x1aE\xdf\xa3"), (0, bytes.fromhex("3026b2758e66cf11")))
"""What files begin with that PyAV alone reads: MP4 and its kin, Matroska and WebM, ASF (WMA)."""

_EXPECTED = "WAV, FLAC, Ogg, MP3 or another format of libsndfile"


def open_audio(
    encoded: Encoded, *, salvage: bool = False, limits: Limits | None = None
) -> AudioReader:
    """Open an encoded recording: by libsndfile, and what that does not read, by PyAV.

    Parameters
    ----------
    encoded
        A file's name, its content as bytes, or a binary file object that can seek; that is read
        from its start, and stays open.
    salvage
        Read a damaged file as far as it goes; the reader tells what is missing.
    limits
        The most that is taken.

    Raises
    ------
    AudioError
        If it does not read as audio, is damaged, or beyond the limits.
    DependencyError
        If PyAV is needed and not installed.
    """
    source = Source.of(encoded)
    bounds = Limits() if limits is None else limits
    try:
        return SndfileReader(source, bounds, salvage=salvage)
    except UnsuitedError as error:
        unsuited = error
    if find_spec("av") is None:
        with source.open() as content:
            start = content.read(16)
        if any(start[at:].startswith(magic) for at, magic in _MEDIA):
            require("av", extra="media", purpose=source.name)
        raise AudioError(
            f"{source.name}: got a file that libsndfile does not read ({unsuited}), expected "
            f"{_EXPECTED}. Convert it to one, or install PyAV, which reads m4a, mp4, "
            f"webm, wma and more: {pip_command('media')}"
        ) from unsuited
    try:
        return MediaReader(source, bounds, salvage=salvage)
    except UnsuitedError as error:
        raise AudioError(
            f"{source.name}: got a file that does not read as audio (libsndfile: {unsuited}; "
            f"FFmpeg: {error}), expected {_EXPECTED} or of FFmpeg. Convert it to one."
        ) from error
