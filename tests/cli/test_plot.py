"""The picture of ``sgn-rt separate --plot``: what it shows, and that it is right."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.recording import open_recording
from sgn_rt.report import SeparationFiles, Timings

pytest.importorskip("matplotlib")

from sgn_rt.cli.plot import as_png, draw_overview, power_spectrogram, presence_order

RATE = 44100
PRESENCE = {"bell": 0.7, "drum": 0.2, "gong": 0.6, "horn": 0.9}


@pytest.fixture
def separated(tmp_path):
    """A tone of 1 kHz at full scale, and stems of it, each 20 dB below the one before."""

    def make(names=("bell", "horn", "residual"), samples=RATE, level=1.0, presence=PRESENCE):
        tone = level * np.sin(2 * np.pi * 1000 / RATE * np.arange(samples))
        files = {}
        for index, name in enumerate(["mixture", *names]):
            files[name] = tmp_path / f"{index}.wav"
            soundfile.write(files[name], tone * 0.1**index, RATE, subtype="FLOAT")
        mixture = files.pop("mixture")
        return mixture, SeparationFiles(
            stems=files, presence=presence, sample_rate=RATE, channels=1, samples=samples,
            engine="fake", windows={}, replacements=(), peak=level, present=(), presence_rule="",
            timings=Timings(load=0.0, warm_up=0.0, separate=1.0),
        )  # fmt: skip

    return make


def draw(mixture, files, highest_hz=5512.5, thresholds=None, model="m"):
    thresholds = thresholds or dict.fromkeys(files.presence, 0.5)
    return draw_overview(
        open_recording(mixture), files, title=mixture.name, model=model, highest_hz=highest_hz,
        thresholds=thresholds,
    )  # fmt: skip


def by_title(figure):
    return {axes.get_title("left"): axes for axes in figure.axes if axes.get_title("left")}


def test_stems_come_in_the_order_of_the_bars_beside_them(separated):
    mixture, files = separated()
    assert presence_order(files) == ["horn", "bell", "gong", "drum"]
    axes = by_title(draw(mixture, files))
    assert list(axes) == ["mixture", "horn", "bell", "residual", "presence"]
    bars = axes["presence"]
    assert [label.get_text() for label in bars.get_yticklabels()] == [
        "horn",
        "bell",
        "gong",
        "drum",
    ]
    low, high = bars.get_ylim()
    assert low > high, "the first bar is at the top"
    lengths = {round(bar.get_y() + 0.4): bar.get_width() for bar in bars.patches}
    assert [lengths[place] for place in range(4)] == [0.9, 0.7, 0.6, 0.2]


def test_title_threshold_and_legend(separated):
    mixture, files = separated()
    figure = draw(mixture, files, thresholds=PRESENCE | {"horn": 0.3}, model="instruments")
    assert figure.get_suptitle() == "0.wav, 1.0 s, separated by instruments"
    legend = next(axes.get_legend() for axes in figure.axes if axes.get_legend())
    assert {text.get_text() for text in legend.get_texts()} == {
        "threshold", "written", "not written",
    }  # fmt: skip
    (line,) = by_title(figure)["presence"].lines
    assert line.get_xdata().tolist()[::2] == [0.3, 0.7, 0.6, 0.2]


@pytest.mark.parametrize(("highest_hz", "top"), [(5512.5, 5512.5), (48000.0, RATE / 2)])
def test_the_picture_ends_where_the_models_hearing_does(separated, highest_hz, top):
    figure = draw(*separated(), highest_hz=highest_hz)
    for name, axes in by_title(figure).items():
        if name != "presence":
            assert axes.get_ylim() == (50.0, top)
            assert axes.collections[0].get_coordinates()[-1, 0, 1] >= top


def levels(figure, name):
    return np.asarray(by_title(figure)[name].collections[0].get_array())


def test_levels_are_relative_to_the_mixtures_loudest(separated):
    mixture, files = separated(level=0.01)
    figure = draw(mixture, files)
    assert levels(figure, "mixture").max() == pytest.approx(0.0, abs=1e-6)
    assert levels(figure, "bell").max() == pytest.approx(-20.0, abs=1e-3)
    assert levels(figure, "horn").max() == pytest.approx(-40.0, abs=1e-3)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert "dB, the mixture's loudest is 0" in labels


def test_a_tone_is_where_it_is(separated):
    mixture, files = separated()
    axes = by_title(draw(mixture, files))["mixture"]
    mesh = axes.collections[0]
    loudest = np.asarray(mesh.get_array()).max(axis=1).argmax()
    edges = mesh.get_coordinates()[:, 0, 1]
    assert edges[loudest] < 1000 < edges[loudest + 1]


def test_silence_is_dark(separated):
    mixture, files = separated(level=0.0)
    assert levels(draw(mixture, files), "mixture").max() == -80.0


@pytest.mark.parametrize("samples", [1, 63, 5000, 10 * RATE])
def test_any_length(separated, samples):
    mixture, files = separated(samples=samples)
    assert as_png(draw(mixture, files)).startswith(b"\x89PNG")
    frame = 4096
    assert 1 <= power_spectrogram(open_recording(mixture), frame).shape[1] <= 800


def test_names_are_no_formulas(separated):
    """Matplotlib takes what is between dollar signs for one, and fails where it is none."""
    name = r"$\frac{$ \x1b[31m"
    mixture, files = separated(names=(name,), presence={name: 0.9})
    mixture = mixture.rename(mixture.with_name(r"$\sqrt$.wav"))
    figure = draw(mixture, files, model=r"$\bad$")
    assert as_png(figure)
    assert name in by_title(figure)
