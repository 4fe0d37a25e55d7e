"""The row to beat: the PyTorch reference on the same GPU, as one would run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from sgn_rt._optional import require
from sgn_rt._types import Float
from sgn_rt.checks.check import Budget, Check, Group, Part, Place
from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT
from sgn_rt.parity.metrics import si_sdr

LARGEST: Final = 32
"""Windows of the larger batch."""
LEAST_S: Final = 1.0
"""What is timed at least, in turns of `RUNS`."""
RUNS: Final = 10
LEAST_DB: Final = {"float32": 60.0, "float16": 25.0}
"""SI-SDR of the loudest source: whether it separates at all, TF32 and half precision included."""


@dataclass(slots=True)
class TorchWorld:
    """The reference on a GPU.

    Attributes
    ----------
    torch
        The module.
    bundle
        The model.
    device
        Where it runs, as PyTorch names it.
    clock
        Seconds.
    budget
        Of the check that runs.
    """

    torch: Any
    bundle: Bundle
    device: str = "cuda"
    clock: Callable[[], float] = time.perf_counter
    budget: Budget = field(default_factory=lambda: Budget(60.0))

    def model(self) -> Any:
        """The reference, anew, as the last one may have been changed."""
        from sgn_rt.reference import load_content

        content = self.bundle.read(BUNDLE_CHECKPOINT)
        return load_content(content, self.bundle.root / BUNDLE_CHECKPOINT).to(self.device)

    def synchronize(self) -> None:
        """Wait for the GPU."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    @property
    def is_usable(self) -> bool:
        """Whether the device still answers."""
        try:
            self.synchronize()
        except RuntimeError:
            return False
        return True

    def close(self) -> None:
        """Nothing is held."""


def open_world(place: Place) -> TorchWorld:
    """The world on the GPU at hand.

    Raises
    ------
    DependencyError, UnavailableError
        If PyTorch is not installed, sees no GPU, or the bundle has no checkpoint.
    """
    torch: Any = require("torch", extra="export", purpose="the PyTorch rows")
    if not torch.cuda.is_available():
        raise UnavailableError(
            f"torch {torch.__version__}: got no GPU that it can use, expected one. "
            "Install PyTorch for this GPU and driver."
        )
    bundle = Bundle.open(place.bundle)
    if not bundle.has_checkpoint:
        raise UnavailableError(
            f"{bundle.root}: got a bundle without {BUNDLE_CHECKPOINT}, expected one with it. "
            "Name another."
        )
    return TorchWorld(torch, bundle)


@contextmanager
def _tf32(torch: Any) -> Iterator[None]:
    """As one would run it: matrix products and convolutions in TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _rate(world: TorchWorld, run: Callable[[Any], Any], batch: int) -> float:
    """Windows/s, until a second has passed or the check's time is half over."""
    windows = world.torch.from_numpy(
        np.resize(world.bundle.probe.mixture, (batch, world.bundle.config.window_samples))
    ).to(world.device)
    for _ in range(3):
        run(windows)
    world.synchronize()
    start, done, least = world.clock(), 0, world.budget.left / 4
    while True:
        for _ in range(RUNS):
            run(windows)
        done += RUNS * batch
        world.synchronize()
        seconds = world.clock() - start
        if seconds >= LEAST_S or world.budget.left < least:
            return done / seconds


def _quality(world: TorchWorld, sources: Float) -> float:
    probe = world.bundle.probe
    loudest = int(np.argmax(np.abs(probe.sources[0]).max(axis=-1)))
    return float(si_sdr(sources[0, loudest], probe.sources[0, loudest]))


def _row(world: TorchWorld, separate: Callable[[Any, Any], Any], precision: str) -> dict[str, Any]:
    torch, probe = world.torch, world.bundle.probe
    with torch.inference_mode():
        given = torch.from_numpy(probe.mixture[:1]).to(world.device)
        asked = torch.from_numpy(probe.categories[0]).to(world.device)
        sources = separate(given, asked).float().cpu().numpy()
        ratio = _quality(world, sources)
        if not ratio >= LEAST_DB[precision]:
            raise EngineError(
                f"PyTorch in {precision}: got {ratio:.1f} dB of the loudest source, expected at "
                f"least {LEAST_DB[precision]:g}. Please report this."
            )
        every = torch.arange(len(world.bundle.config.categories), device=world.device)
        figures: dict[str, Any] = {"si_sdr_db": ratio, "sources": len(every)}
        for batch in (1, LARGEST):
            rate = _rate(world, lambda windows: separate(windows, every), batch)
            figures[f"windows_per_s_batch_{batch}"] = rate
    return figures


def check_eager(world: TorchWorld) -> Mapping[str, Any]:
    """float32 (TF32), eager."""
    model = world.model()
    with _tf32(world.torch):
        return _row(world, lambda mixture, wanted: model(mixture, wanted).sources, "float32")


def _half(model: Any, torch: Any, device: str) -> Callable[[Any, Any], Any]:
    """The network in float16, channels-last; transforms and logarithm in float32."""
    model = model.to(memory_format=torch.channels_last)

    def separate(mixture: Any, wanted: Any) -> Any:
        spectrum = model.stft(mixture)
        log_magnitude = model.log_magnitude(spectrum)
        with torch.autocast(device, dtype=torch.float16):
            masks, _, _ = model.masks(log_magnitude, wanted)
        return model.istft(spectrum, masks.float())

    return separate


def check_channels_last_half(world: TorchWorld) -> Mapping[str, Any]:
    """float16 by autocast, channels-last, eager."""
    return _row(world, _half(world.model(), world.torch, world.device), "float16")


def check_compiled(world: TorchWorld) -> Mapping[str, Any]:
    """float16 by autocast, channels-last, compiled."""
    model = world.model()
    model.network = world.torch.compile(model.network)
    return _row(world, _half(model, world.torch, world.device), "float16")


GROUP: Final = Group(
    part=Part.DEVICE,
    name="torch",
    open=open_world,
    checks=(
        Check(name="eager", run=check_eager, limit_s=60.0),
        Check(name="channels-last-half", run=check_channels_last_half, limit_s=60.0),
        Check(name="compiled", run=check_compiled, limit_s=150.0),
    ),
)
