"""Which engines may run: those built on this machine, and those that its user trusts.

An engine is a program, and its hash stands beside it, where whoever wrote the one wrote the other.
So what a build here has made, or the user has said a word for, is written down in the user's own
cache: the engine's hash, and whether it may bring code for the host along.
"""

from __future__ import annotations

import os
from typing import Final

from sgn_rt._private import expect_private, private_folder
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.tensorrt.engine_files import read_engine, read_sidecars
from sgn_rt.tensorrt.sidecar import Sidecar

TRUST_VARIABLE: Final = "SGN_RT_TRUST_ENGINES"
"""Set to 1: every engine in every bundle that is opened runs, code for the host included."""
_FOLDER: Final = "engines"


def trust(sidecar: Sidecar) -> None:
    """Write down that an engine may run.

    Raises
    ------
    EngineError
        If it cannot be written down.
    """
    try:
        path = private_folder(_FOLDER) / _record(sidecar)
        path.touch(mode=0o600)
    except OSError as error:
        raise EngineError(
            f"engine {sidecar.name}: got {error}, expected to write down that it may run here. "
            f"Set SGN_RT_CACHE_DIR to a folder of your own, or {TRUST_VARIABLE}=1."
        ) from error


def trust_all(bundle: Bundle) -> list[Sidecar]:
    """Let the engines that are in a bundle now run here; the user's word, as code is what they are.

    Raises
    ------
    EngineError
        For an engine that is damaged, and where `trust` fails.
    """
    sidecars = read_sidecars(bundle)
    for sidecar in sidecars:
        read_engine(bundle, sidecar)
        trust(sidecar)
    return sidecars


def is_trusted(sidecar: Sidecar) -> bool:
    """Whether an engine may run."""
    if os.environ.get(TRUST_VARIABLE) == "1":
        return True
    try:
        expect_private(_FOLDER, _record(sidecar))
    except OSError:
        return False
    return True


def expect_trusted(sidecar: Sidecar) -> None:
    """Refuse an engine that nobody here has built or said a word for.

    Raises
    ------
    EngineError
        With what to do about it.
    """
    if not is_trusted(sidecar):
        raise EngineError(
            f"engine {sidecar.name}: got one that was not built here, expected one that was, as an "
            f"engine is a program. Run `{sidecar.build_command}`, or, if you trust where it comes "
            "from, `sgn-rt build BUNDLE --trust`"
        )


def _record(sidecar: Sidecar) -> str:
    # Both are in its name: an engine with code for the host is another than the same without.
    return f"{sidecar.sha256}{'.host-code' if sidecar.version_compatible else ''}"
