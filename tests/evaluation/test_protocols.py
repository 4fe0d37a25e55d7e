"""What all protocols share, and own folders, against the field's own packages, called here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from sgn_rt.errors import AudioError, ConfigError
from sgn_rt.evaluation import metrics
from sgn_rt.evaluation.bounds import IDEAL, MIXTURE
from sgn_rt.evaluation.metrics import bss_eval_v3
from sgn_rt.evaluation.protocols import PROTOCOLS, protocol_named
from sgn_rt.evaluation.protocols.base import Labels

SYSTEM, RATE = "erring", 11_025


def ideal(config, mixture, sources, of):
    stft = ShortTimeFFT(hann(config.n_fft, sym=False), config.hop_length, RATE)
    spectra = [np.abs(stft.stft(source)) for source in sources]
    mask = spectra[of] / sum(spectra)
    return stft.istft(mask * stft.stft(mixture), k1=len(mixture))


def test_folder(erring, evaluated, figure, bss, tmp_path, sound, write):
    names, data, expected, before, best = ("piano", "tuba"), tmp_path / "data", [], [], []
    for item in range(2):
        stems = [sound(10 * item + n, 12_000) for n in range(2)]
        mixture = stems[0] + stems[1]
        write(data / f"song.{item}.mix.wav", mixture, RATE)
        for name, stem in zip(names, stems, strict=True):
            write(data / f"song.{item}.{name}.wav", stem, RATE)
        estimates = [erring.source(name, mixture[None])[0] for name in names]
        masked = [ideal(erring.config, mixture, stems, n) for n in range(2)]
        expected.append(bss(stems, estimates))
        before.append(bss(stems, [mixture, mixture]))
        best.append(bss(stems, masked))
    told, items = evaluated("folder", data)
    assert told["items"] == 2
    assert [item["truth"] for item in items] == [["piano", "tuba"]] * 2
    for at, metric in enumerate(("sdr", "sir", "sar")):
        for system, truth in ((SYSTEM, expected), (MIXTURE, before), (IDEAL, best)):
            if (system, metric) == (MIXTURE, "sar"):  # no artefacts: what is left is rounding
                continue
            mean = np.mean([np.mean(each[at]) for each in truth])
            assert figure(told, metric, system=system) == pytest.approx(mean, abs=2e-3)
    tuba = np.mean([each[0][1] for each in expected])
    assert figure(told, "sdr", group="tuba") == pytest.approx(tuba, abs=1e-3)


def test_the_mean_is_over_the_stems_of_a_mixture_then_over_mixtures(
    erring, evaluated, figure, ratio, tmp_path, sound, write
):
    means, every = [], []
    for item, names in enumerate((("cello", "tuba", "piano"), ("flute",))):
        stems = [sound(item + 5 * n, 8000) for n in range(len(names))]
        mixture = sum(stems) + sound(77 + item, 8000)
        write(tmp_path / "data" / f"{item}" / "mixture.wav", mixture, RATE)
        for name, stem in zip(names, stems, strict=True):
            write(tmp_path / "data" / f"{item}" / f"{name}.wav", stem, RATE)
        found = [ratio(s, erring.source(n, mixture[None])[0]) for n, s in zip(names, stems)]  # noqa: B905
        means.append(np.mean(found))
        every += found
    told, _ = evaluated("folder", tmp_path / "data")
    assert figure(told, "si_sdr") == pytest.approx(np.mean(means), abs=1e-4)
    assert abs(np.mean(every) - np.mean(means)) > 0.1  # the other mean is another figure


def test_si_sdr_is_without_removal_of_the_mean(
    evaluated, erring, figure, ratio, tmp_path, sound, write
):
    stem = sound(1, 9000) + np.float32(0.1)
    mixture = stem + sound(2, 9000)
    write(tmp_path / "data" / "one" / "mixture.wav", mixture, RATE)
    write(tmp_path / "data" / "one" / "cello.wav", stem, RATE)
    told, _ = evaluated("folder", tmp_path / "data")
    estimate = erring.source("cello", mixture[None])[0]
    expected = ratio(stem, estimate)
    assert figure(told, "si_sdr") == pytest.approx(expected, abs=1e-5)
    assert abs(ratio(stem, estimate, zero_mean=True) - expected) > 0.1


def test_stems_of_one_category_are_one_source(tmp_path, sound, write):
    one, two = sound(1, 4000), sound(2, 4000)
    write(tmp_path / "s.mix.wav", one + two, RATE)
    write(tmp_path / "s.first.wav", one, RATE)
    write(tmp_path / "s.second.wav", two, RATE)
    labels = Labels(["violin"], {"first": "violin", "second": "violin"})
    (item,) = protocol_named("folder").items(tmp_path, labels)
    assert item.categories == {"first": "violin"}
    np.testing.assert_array_equal(item.sources["first"][0], one + two)


def test_a_folder_whose_stems_are_unknown_is_dropped(evaluated, tmp_path, sound, write):
    for name in ("mix", "thunder"):
        write(tmp_path / "data" / f"s.{name}.wav", sound(1, 4000), RATE)
    with pytest.raises(AudioError, match="1 x the model has no category of its stems"):
        evaluated("folder", tmp_path / "data")


def test_a_stem_of_another_length(evaluated, tmp_path, sound, write):
    write(tmp_path / "data" / "s.mix.wav", sound(1, 4000), RATE)
    write(tmp_path / "data" / "s.cello.wav", sound(1, 4001), RATE)
    with pytest.raises(AudioError, match="got 4001 samples at 11025 Hz, expected those of s"):
        evaluated("folder", tmp_path / "data")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_folder_that_is_not_there(evaluated, tmp_path, name):
    with pytest.raises(AudioError, match="got no folder, expected"):
        evaluated(name, tmp_path / "nothing")


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if not name.startswith("musdb")])
def test_a_folder_of_another_layout(evaluated, tmp_path, name):
    (tmp_path / "data").mkdir()
    with pytest.raises(AudioError, match=r"got no (such file|mixture|solo), expected"):
        evaluated(name, tmp_path / "data")


def test_a_protocol_that_there_is_not():
    with pytest.raises(ConfigError, match="protocol: got 'music', expected one of folder, music:"):
        protocol_named("music")


def test_scoring_in_processes_is_the_same(evaluated, tmp_path, sound, write):
    for item in range(3):
        write(tmp_path / "data" / f"{item}.mix.wav", sound(item, 6000), RATE)
        write(tmp_path / "data" / f"{item}.cello.wav", sound(item + 4, 6000), RATE)
    alone = evaluated("folder", tmp_path / "data")
    assert evaluated("folder", tmp_path / "data", jobs=2) == alone


def test_filters_that_are_not_unique_are_by_least_squares(sound, monkeypatch):
    """NumPy 2 lacks the name by which ``mir_eval`` and ``museval`` catch that; it is put there."""
    references = np.stack([sound(1, 3000), sound(2, 3000)])
    estimates = references + 0.1 * references[::-1]
    expected = bss_eval_v3(references, estimates)

    def singular(*arrays):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(metrics._OlderNumpy.linalg, "solve", singular)
    found = bss_eval_v3(references, estimates)
    assert found["sdr"] == pytest.approx(expected["sdr"], abs=1e-3)


def test_only_the_first_items(evaluated, tmp_path, sound, write):
    for item in range(3):
        for name in ("mix", "cello"):
            write(tmp_path / "data" / f"{item}.{name}.wav", sound(item, 4000), RATE)
    _, items = evaluated("folder", tmp_path / "data", limit=2)
    assert [item["name"] for item in items] == ["0", "1"]


@pytest.mark.parametrize("name", ["folder", "vggsound:avgn", "vggsound:audiosep", "sources"])
def test_an_item_whose_estimate_is_silent_counts_for_no_system(
    erring, evaluated, tmp_path, sound, write, name
):
    erring.source = lambda name, mixture: mixture * 0.0
    root = tmp_path / "data"
    for n, kind in enumerate(("cello", "tuba")):
        clip = sound(n, 70_000)
        for path in (f"id{n}.wav", f"s.{kind}.wav", "s.mix.wav", f"{kind}/solo.wav"):
            write(root / path, clip, RATE)
    (root / "duets.csv").write_text("id,class,id2,class2\nid0,cello,id1,tuba\n")
    row = "a,s.mix.wav,s.cello.wav,cello,s.tuba.wav,tuba"
    (root / "audiosep.csv").write_text(f"file_id,mix_wav,s0_wav,s0_text,s1_wav,s1_text\n{row}\n")
    with pytest.raises(AudioError, match=r"\d x (an|the) estimate is silent"):
        evaluated(name, root)
