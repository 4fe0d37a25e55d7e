"""A file explained: what is read, refused and written."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from sgn_rt.errors import AudioError, CategoryError, UnavailableError
from sgn_rt.explain import run
from sgn_rt.explain.network import open_network
from sgn_rt.explain.run import Request, explain, explain_to
from sgn_rt.model.bundle import Bundle

FILES = {"index.html", "explain.npz", "why.md", "presence.png"}


@pytest.fixture
def bundle(monkeypatch, config, network, fake_separator):
    """Whose network and engine are fakes."""
    monkeypatch.setattr(run, "open_network", lambda bundle: network)
    opened = SimpleNamespace(open=lambda *bundle, **options: fake_separator().separator)
    monkeypatch.setattr(run, "Separator", opened)
    return SimpleNamespace(config=config, name="fake", identity="fake")


@pytest.fixture
def no_pictures(monkeypatch):
    """Drawing takes longer than all the rest."""
    monkeypatch.setattr(run, "pictures", lambda explanation: {"presence.png": b"png"})


@pytest.fixture
def tone(tmp_path, signal, config) -> Path:
    path = tmp_path / "music" / "tone.mix.wav"
    path.parent.mkdir()
    soundfile.write(path, np.stack([signal, signal], axis=1), config.sample_rate, subtype="FLOAT")
    return path


@pytest.mark.usefixtures("no_pictures")
def test_everything_is_written_and_written_anew(bundle, tone, tmp_path, tree):
    told = []
    first, files = explain_to(Request(path=tone), tmp_path / "out", bundle,
                              tell=lambda done, what: told.append((done, what)))  # fmt: skip
    assert set(files) == FILES
    assert sorted(FILES | {"sgn-rt.json"}) == tree(tmp_path / "out" / "tone.mix.explain")
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == 1
    assert {what for _, what in told} == {"listening", "silencing parts", "separating"}
    before = files["why.md"].read_text()
    assert "## bell" in before
    second, _ = explain_to(Request(path=tone, categories=["drum"]), tmp_path / "out", bundle)
    assert files["why.md"].read_text().count("## ") == 1
    assert (first.hearing.names[0], second.hearing.names) == ("bell", ["drum"])


@pytest.mark.usefixtures("no_pictures")
def test_what_no_run_wrote_is_not_replaced(bundle, tone, tmp_path, fails):
    place = tmp_path / "out" / "tone.mix.explain"
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("mine")
    with fails(AudioError, "mine.txt"):
        explain_to(Request(path=tone), tmp_path / "out", bundle)
    assert [path.name for path in place.iterdir()] == ["mine.txt"]


@pytest.mark.usefixtures("no_pictures")
def test_a_failure_leaves_nothing_behind(bundle, tone, tmp_path, monkeypatch):
    def broken(explanation):
        raise RuntimeError("no page")

    monkeypatch.setattr(run, "as_page", broken)
    with pytest.raises(RuntimeError, match="no page"):
        explain_to(Request(path=tone), tmp_path / "out", bundle)
    assert not (tmp_path / "out").exists()


def test_channels_are_averaged_and_the_part_is_taken(bundle, tone, signal, config):
    request = Request(path=tone, start_s=0.5, duration_s=1.0)
    explained = explain(request, bundle)
    np.testing.assert_allclose(explained.mixture, signal[4000:12000], atol=1e-7)
    total = np.sum(list(explained.sources.values()), axis=0)
    np.testing.assert_allclose(total, explained.mixture, atol=1e-5)


def test_labels_are_those_of_the_stems_beside(bundle, tone, signal, config, fails):
    for name, gain in (("bell", 0.5), ("whale", 0.5)):
        soundfile.write(tone.with_name(f"tone.{name}.wav"), gain * signal, config.sample_rate,
                        subtype="FLOAT")  # fmt: skip
    explained = explain(Request(path=tone), bundle)
    assert explained.labels == {"bell", "whale"}
    np.testing.assert_allclose(explained.stems["bell"], 0.5 * signal, atol=1e-7)
    assert list(explained.stems) == ["bell"]  # the model knows no whale
    named = explain(Request(path=tone, labels=["horn"]), bundle)
    soundfile.write(tone.with_name("tone.bell.wav"), signal[1:], config.sample_rate)
    with fails(AudioError, "tone.bell.wav", "16799", "16800"):
        explain(Request(path=tone), bundle)
    assert named.labels == {"horn"}
    assert not named.stems


def test_what_is_not_heard_is_shown_where_it_is_true_or_nothing_else_is_there():
    limits = np.full(4, 0.5, np.float32)
    highest = np.array([0.1, 0.9, 0.2, 0.6], np.float32)
    assert run._shown(highest, limits, [0]) == [1, 3, 0]
    assert run._shown(highest, limits, []) == [1, 3]
    assert run._shown(np.array([0.1, 0.3, 0.2, 0.0], "f4"), limits, []) == [1, 2]


def test_the_network_hears_a_quiet_recording_louder(bundle, tone, signal, config, small_config):
    bundle.config = small_config(hop_length=16, training_level_dbfs=(-12.0, -8.0))
    soundfile.write(tone, 0.01 * signal, config.sample_rate, subtype="FLOAT")
    explained = explain(Request(path=tone), bundle)
    assert explained.gain_db > 20
    assert np.abs(explained.mixture).max() < 0.01
    assert explained.hearing.log_magnitude.max() > np.log(10 * np.abs(explained.mixture).max())


def test_what_cannot_be_explained_is_refused(bundle, tone, signal, config, fails, monkeypatch):
    with fails(CategoryError, "whale"):
        explain(Request(path=tone, categories=["whale"]), bundle)
    with fails(CategoryError, "whale"):
        explain(Request(path=tone, labels=["whale"]), bundle)
    with fails(AudioError, "no such file"):
        explain(Request(path=tone.with_name("none.wav")), bundle)
    with fails(AudioError, "start"):
        explain(Request(path=tone, start_s=9.0), bundle)
    monkeypatch.setattr(run, "MOST_SECONDS", 2.0)
    with fails(AudioError, "at most 2 s", "--duration"):
        explain(Request(path=tone), bundle)
    soundfile.write(tone, 0 * signal[:8000], config.sample_rate)
    with fails(AudioError, "silence"):
        explain(Request(path=tone), bundle)


def test_a_bundle_without_assignments_and_checkpoint_is_refused(fails):
    bundle = Bundle.open()
    del bundle.files["checkpoint.safetensors"]
    bundle.artifacts = ()  # whose weights are in it
    with fails(UnavailableError, "checkpoint.safetensors", "--assignment"):
        open_network(bundle)


def test_the_reference_says_what_was_published(golden):
    network = open_network(Bundle.open())
    log_magnitude = golden["logmag"][0, 0]
    for found, name in zip(
        network.signals(log_magnitude), ("presence", "embedding", "assignment"), strict=True
    ):
        np.testing.assert_allclose(found, golden[name][0], atol=2e-5)
    mask = network.masks(log_magnitude, [8])
    assert mask.shape == (1, 256, 256)
