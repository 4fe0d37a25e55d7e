"""The one error family. A message reads ``<what>: got X, expected Y. <what to do>``."""

from __future__ import annotations


class SgnError(Exception):
    """Base of every error that sgn-rt raises on purpose.

    Attributes
    ----------
    command
        Installs what is missing, and stands in the message, too; None where nothing does.
    """

    def __init__(self, *arguments: object, command: str | None = None) -> None:
        super().__init__(*arguments)
        self.command = command


class ConfigError(SgnError, ValueError):
    """A model configuration or a run option that cannot work."""


class CheckpointError(SgnError, ValueError):
    """A checkpoint that is not one, or whose tensors do not fit its configuration."""


class ModuleError(SgnError, ValueError):
    """A user's own network that cannot be loaded, breaks the interface, or cannot be exported."""


class BundleError(SgnError, ValueError):
    """A bundle that is missing, damaged, newer than this package, or lacks what is asked for."""


class AudioError(SgnError, ValueError):
    """Audio that cannot be read, separated or written."""


class StorageError(AudioError):
    """Storage that takes nothing more from anybody: full, over a quota, read-only or broken."""


class CategoryError(SgnError, ValueError):
    """A category that the model does not know, or one named twice."""


class DependencyError(SgnError, ImportError):
    """An optional package that the request needs is not installed."""


class EngineError(SgnError, RuntimeError):
    """An engine that cannot start, fails on a window, or returns what it must not."""


class UnavailableError(EngineError):
    """An engine that is not here: no GPU, no provider, or nothing in the bundle that it could run.

    Nothing is broken then, so ``auto`` passes over it without a warning.
    """


class PluginError(SgnError, RuntimeError):
    """A plugin library that cannot be built, found or used."""


class OverloadError(SgnError, RuntimeError):
    """More than can be served in time, or than there is room for: the message says of what."""


class ServerError(SgnError, RuntimeError):
    """A server that cannot be reached, refuses, or answers what it must not."""


class CancelledError(SgnError, RuntimeError):
    """The caller ended the work; nothing of it was kept."""


class ParityError(SgnError, RuntimeError):
    """A stage of parity beyond its limit."""


class SgnWarning(UserWarning):
    """Base of all warnings that this package raises."""


class LevelWarning(SgnWarning):
    """A stream is louder or softer than what the model was trained on; the message names both."""


class ParityWarning(SgnWarning):
    """An engine was replaced; the message names stage, figure and limit."""


class StateWarning(SgnWarning):
    """What is kept of an earlier run is damaged, and does not count; the message names the file."""
