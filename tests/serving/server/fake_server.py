"""``sgn-rt`` on a small model whose engine waits for a file; tests start it as a process.

Arguments: a folder, where ``armed`` has the engine wait, ``reached`` appears when it is asked and
``go`` lets it answer; then what ``sgn-rt`` takes.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[3]))

import sgn_rt.cli.serve as command
from sgn_rt.cli import main
from sgn_rt.engines.guarded import GuardedEngine
from sgn_rt.separator import Separator
from tests.conftest import FakeEngine, _small_config

folder = Path(sys.argv.pop(1))


def fault(call, answer):
    if not (folder / "armed").exists():  # the engine is measured before it serves
        return answer
    (folder / "reached").touch()
    while not (folder / "go").exists():
        threading.Event().wait(0.01)
    return answer


def opened(*arguments, **options) -> Separator:
    engine = FakeEngine(_small_config(n_fft=32, hop_length=8), fault=fault)
    guarded = GuardedEngine([engine.name], lambda name: engine, lambda engine: None, "off")
    bundle = SimpleNamespace(config=engine.config, name="fake", identity="fake")
    service = SimpleNamespace(
        engine=guarded, load_s=0.0, warm_up_s=0.0, proved=[], checked_windows=0, close=guarded.close
    )
    return Separator(bundle, service, threads=2)


command.Separator.open = opened
main()
