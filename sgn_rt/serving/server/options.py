"""What a server may be told, checked before it listens."""

from __future__ import annotations

import ipaddress
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sgn_rt.audio.limits import MOST_CHANNELS, is_real, is_whole
from sgn_rt.errors import ConfigError
from sgn_rt.streaming.hub.overload import Overload, checked_overload

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How a server listens, whom it serves, and how much.

    Attributes
    ----------
    host, port
        Where it listens; port 0 for any that is free. Anything but loopback needs ``token`` or
        ``behind_proxy``.
    token
        What a client has to name, as ``Authorization: Bearer``; None for nothing.
    behind_proxy
        The word that a proxy before it decides who may come: then neither is a token needed, nor is
        the Host header looked at.
    max_upload
        Bytes of a file.
    max_seconds, max_channels
        Of a recording.
    time_limit_s
        From a request for a separation to the beginning of its answer.
    jobs, queue
        Recordings separated side by side, and such that may wait.
    max_streams
        Live streams at a time.
    deadline_s, overload
        Of the hub: when a window is late, and what happens then.
    drain_s
        What running work gets to end by itself when the server is told to stop.
    spool
        Folder for uploads and stems on their way.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    behind_proxy: bool = False
    max_upload: int = 512 * MIB
    max_seconds: float = 3600.0
    max_channels: int = 8
    time_limit_s: float = 900.0
    jobs: int = 2
    queue: int = 8
    max_streams: int = 16
    deadline_s: float = 0.2
    overload: Overload = "refuse"
    drain_s: float = 30.0
    spool: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))

    def __post_init__(self) -> None:
        whole = {"port": (0, 65535), "max_upload": (1, None), "jobs": (1, None),
                 "queue": (0, None), "max_streams": (0, None),
                 "max_channels": (1, MOST_CHANNELS)}  # fmt: skip
        for name, (least, most) in whole.items():
            value = getattr(self, name)
            if not is_whole(value) or value < least or (most is not None and value > most):
                upto = "" if most is None else f" to {most}"
                raise _wrong(name, value, f"a whole number from {least}{upto or ' on'}")
        for name in ("max_seconds", "time_limit_s", "deadline_s", "drain_s"):
            value = getattr(self, name)
            if not is_real(value) or value < 0 or (value == 0 and name != "drain_s"):
                raise _wrong(name, value, "a positive number of seconds")
        checked_overload(self.overload)
        if self.token is not None and not _is_token(self.token):
            raise ConfigError(
                "token: got one that no header can carry, expected 16 or more letters, digits and "
                "-._~+. Make one: python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        if not self.is_loopback and self.token is None and not self.behind_proxy:
            raise ConfigError(
                f"host: got {self.host!r}, where everybody may come, expected loopback. Add "
                "--token, or --behind-proxy where a proxy decides who may."
            )
        if not self.spool.is_dir():
            raise ConfigError(
                f"spool: got {self.spool}, expected a folder. Make it, or name another."
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can come."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine, and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_token(token: str) -> bool:
    return len(token) >= 16 and all(
        letter.isascii() and (letter.isalnum() or letter in "-._~+") for letter in token
    )


def _wrong(name: str, value: object, expected: str) -> ConfigError:
    option = name.removesuffix("_s").replace("_", "-")
    return ConfigError(f"--{option}: got {value!r:.40}, expected {expected}. Choose one.")
