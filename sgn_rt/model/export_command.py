"""How the graphs that a bundle lacks are had: what messages tell a user to run."""

from __future__ import annotations

import shlex

from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT


def export_command(bundle: Bundle) -> str:
    """The command that exports all graphs of a bundle's model to a new one, called BUNDLE.

    It names the checkpoint that the bundle carries, as the one that ships does.
    """
    if bundle.config.is_whole:
        return "sgn-rt export --module PACKAGE.FILE:FACTORY --checkpoint FILE -o BUNDLE"
    path = bundle.root / BUNDLE_CHECKPOINT
    checkpoint = shlex.quote(str(path)) if bundle.has_checkpoint else "CHECKPOINT"
    return f"sgn-rt export {checkpoint} -o BUNDLE"
