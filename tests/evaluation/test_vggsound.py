"""VGG-Sound's protocols on small folders in their layouts."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.errors import AudioError
from sgn_rt.evaluation.bounds import MIXTURE
from sgn_rt.evaluation.protocols import protocol_named
from sgn_rt.evaluation.protocols.base import Labels

HEAD = "file_id,mix_wav,s0_wav,s0_text,s1_wav,s1_text"


@pytest.fixture
def audiosep(tmp_path, sound, write):
    """Three mixtures, and AudioSep's list of them."""
    root, found, rows = tmp_path / "data", [], [HEAD]
    for item, other in enumerate(("thunder", "playing tuba", "thunder")):
        s0, s1 = sound(item, 9000) + np.float32(0.05), sound(item + 5, 9000)
        for name, signal in (("mix", s0 + s1), ("s0", s0), ("s1", s1)):
            write(root / f"{item}/{name}.wav", signal, 32_000)
        rows.append(f"{item},{item}/mix.wav,{item}/s0.wav,playing cello,{item}/s1.wav,{other}")
        found.append((s0, s1))
    (root / "audiosep.csv").write_text("\n".join(rows) + "\n")
    return found


SAID = {"playing cello": "cello", "playing tuba": "tuba"}


def test_audiosep_scores_the_first_source(audiosep, erring, evaluated, figure, ratio, tmp_path):
    def sdr(reference, found):
        return 10 * np.log10(np.mean(reference**2) / np.mean((reference - found) ** 2))

    gained, ratios, other = [], [], []
    for s0, s1 in audiosep:
        estimate = erring.source("cello", (s0 + s1)[None])[0].astype(np.float64)
        gained.append(sdr(s0.astype(np.float64), estimate) - sdr(s0.astype(np.float64), s0 + s1))
        ratios.append(ratio(s0, estimate))
        other.append(ratio(s0, estimate, zero_mean=True))
    told, items = evaluated("vggsound:audiosep", tmp_path / "data", SAID)
    assert figure(told, "sdr_improvement") == pytest.approx(np.mean(gained), abs=1e-4)
    assert figure(told, "si_sdr") == pytest.approx(np.mean(ratios), abs=1e-4)
    assert abs(np.mean(ratios) - np.mean(other)) > 0.05
    assert figure(told, "sdr_improvement", system=MIXTURE) == pytest.approx(0, abs=1e-9)
    assert [len(item["systems"]["erring"]) for item in items] == [1, 1, 1]
    # What sounds beside the source that is scored is no false alarm where the model knows it.
    assert [item["truth"] for item in items] == [["cello"], ["cello", "tuba"], ["cello"]]


def test_audiosep_of_labels_that_the_model_does_not_know(audiosep, evaluated, tmp_path):
    with pytest.raises(AudioError, match="3 x the model has no category of s0's class"):
        evaluated("vggsound:audiosep", tmp_path / "data")


def test_two_items_of_one_name(audiosep, evaluated, tmp_path):
    lines = (tmp_path / "data" / "audiosep.csv").read_text()
    (tmp_path / "data" / "audiosep.csv").write_text(lines + lines.splitlines()[1] + "\n")
    with pytest.raises(AudioError, match="0: got two items of that name"):
        evaluated("vggsound:audiosep", tmp_path / "data", SAID)


def test_columns_that_are_missing(tmp_path):
    (tmp_path / "audiosep.csv").write_text("file_id,mix_wav\n")
    with pytest.raises(AudioError, match=r"got columns \['file_id', 'mix_wav'\], expected file_id"):
        next(protocol_named("vggsound:audiosep").items(tmp_path, Labels([])))


def test_avgn_mixes_and_scores_as_music_is(erring, evaluated, figure, bss, tmp_path, sound, write):
    root, kinds = tmp_path / "data", ("cello", "tuba")
    clips = [write(root / f"id{n}_000010.wav", sound(n, 70_000), 11_025) for n in range(2)]
    (root / "duets.csv").write_text("id,class,id2,class2\nid0_000010,cello,id1_000010,tuba\n")
    halves = np.stack([clip[2232 : 2232 + 65_535] / 2 for clip in clips])
    mixture = halves.sum(axis=0)[None].astype(np.float32)
    estimates = [erring.source(kind, mixture)[0] for kind in kinds]
    told, _ = evaluated("vggsound:avgn", root)
    expected = np.mean(bss(halves, estimates)[0])
    assert figure(told, "sdr") == pytest.approx(expected, abs=1e-3)
