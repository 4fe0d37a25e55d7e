"""Stems on disk: whole, all together, or nothing at all."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt.audio import stems, writer
from sgn_rt.audio.stems import expect_folder, stem_files, stem_paths
from sgn_rt.errors import AudioError

OPTIONS = {"format": "wav", "sample_rate": 8000, "channels": 2, "frames": 1000}


def write(folder, names=("bell", "horn"), signal=None, blocks=4, **options):
    options = OPTIONS | options
    if signal is None:
        signal = np.zeros((options["channels"], options["frames"]), np.float32)
    with stem_files(folder, names, **options) as files:
        for part in np.array_split(signal, blocks, axis=1):
            files.write(dict.fromkeys(names, part))
    return files


@pytest.mark.parametrize(
    ("kind", "subtype", "limit"), [("wav", "FLOAT", 0.0), ("flac", "PCM_24", 1.2e-7)]
)
def test_what_is_written_is_what_was_given(tmp_path, noise, tree, kind, subtype, limit):
    signal = noise(2, 1000)
    files = write(tmp_path / "a" / "b", signal=signal, format=kind)
    assert tree(tmp_path) == ["a", "a/b", f"a/b/bell.{kind}", f"a/b/horn.{kind}"]
    for name in ("bell", "horn"):
        path = files.paths[name]
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.frames) == (8000, 2, 1000)
        assert info.subtype == subtype
        got = soundfile.read(path, dtype="float32")[0].T
        assert np.abs(got - signal).max() <= limit


def test_other_files_stay_and_older_stems_are_replaced(tmp_path, tree):
    for name in ("bell.wav", "notes.txt"):
        (tmp_path / name).write_text("older")
    write(tmp_path)
    assert tree(tmp_path) == ["bell.wav", "horn.wav", "notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "older"
    assert soundfile.info(tmp_path / "bell.wav").frames == 1000


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), OSError("reading")])
def test_an_error_between_leaves_nothing_and_stays_itself(tmp_path, tree, error):
    (tmp_path / "bell.wav").write_text("older")

    def fail(folder):
        with stem_files(folder, ["bell"], **OPTIONS) as files:
            files.write({"bell": np.zeros((2, 10), np.float32)})
            raise error

    for folder in (tmp_path, tmp_path / "new" / "er"):
        with pytest.raises(type(error)) as caught:
            fail(folder)
        assert caught.value is error
    assert tree(tmp_path) == ["bell.wav"]
    assert (tmp_path / "bell.wav").read_text() == "older"


def test_too_few_samples_are_an_error(tmp_path, tree, fails):
    with fails(AudioError, "990 of 1000 frames in bell.wav"):
        write(tmp_path / "out", signal=np.zeros((2, 990), np.float32))
    assert tree(tmp_path) == []


def test_a_short_write_is_told(tmp_path, tree, monkeypatch, fails):
    def write_less(self, data):
        raise AssertionError  # what soundfile does where fewer frames were written

    monkeypatch.setattr(soundfile.SoundFile, "write", write_less)
    with fails(AudioError, "got a short write"):
        write(tmp_path / "out")
    assert tree(tmp_path) == []


def test_no_names_no_folder(tmp_path, tree):
    assert write(tmp_path / "out", names=()).paths == {}
    assert tree(tmp_path) == []


def test_a_file_where_a_folder_is_needed(tmp_path, tree, fails):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with fails(AudioError, str(folder), "no folder"):
            expect_folder(folder)
        with fails(AudioError, str(folder)):
            write(folder)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with fails(AudioError, "dangling"):
        write(tmp_path / "dangling")
    assert tree(tmp_path) == ["dangling", "file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_where_a_stem_is_needed(tmp_path, tree, fails):
    (tmp_path / "horn.wav").mkdir()
    with fails(AudioError, "got a folder at"):
        write(tmp_path)
    assert tree(tmp_path) == ["horn.wav"]


def test_formats_limits_are_told(tmp_path, tree, fails):
    with fails(AudioError, "format's limits"):
        write(tmp_path / "out", format="flac", channels=9)
    assert tree(tmp_path) == []


IN_A_PROCESS_OF_ITS_OWN = """
    import os, resource, sys
    import numpy as np
    from pathlib import Path
    from sgn_rt.errors import AudioError
    from sgn_rt.audio.stems import expect_folder, stem_files
    folder, kind, case = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    noise = 0.5 * np.random.default_rng(0).standard_normal((2, 9999)).astype(np.float32)
    if case == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
    elif os.geteuid() == 0:
        os.setuid(65534)
    try:
        if case == "early":
            expect_folder(folder / "a")
        with stem_files(folder / "a" / "b", ["bell", "horn"], format=kind, sample_rate=8000,
                        channels=2, frames=9999) as files:
            for at in range(0, 9999, 1111):
                files.write({"bell": noise[:, at:at + 1111], "horn": noise[:, at:at + 1111]})
    except AudioError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits and owners of POSIX")
@pytest.mark.parametrize("kind", ["wav", "flac"])
@pytest.mark.parametrize(
    ("case", "part"),
    [
        ("full", "expected to write stems"),
        ("late", "Permission denied"),
        ("early", "no permission"),
    ],
)
def test_an_output_that_is_full_or_not_ours(tree, kind, case, part):
    """A real limit on file size, and real permissions, also where the tests run as root."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own are closed to other users
        folder = Path(name) / "out"
        folder.mkdir()
        Path(name).chmod(0o755)
        folder.chmod(0o755 if case == "full" else 0o555)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(IN_A_PROCESS_OF_ITS_OWN), folder, kind, case],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(stems.__file__).parents[1],
        )
        assert done.returncode == 0, done.stderr
        assert str(folder) in done.stdout
        assert part in done.stdout
        assert tree(Path(name)) == ["out"]


def test_clipping_is_told_where_the_format_clips(tmp_path):
    loud = np.array([[0.5, 1.5, -1.5, 0.0]], np.float32)
    options = {"channels": 1, "frames": 4, "signal": loud, "blocks": 1}
    files = write(tmp_path, **options, format="flac")
    assert files.clipped() == ["bell", "horn"]
    got = soundfile.read(files.paths["bell"], dtype="float32")[0]
    np.testing.assert_allclose(got, [0.5, 1.0, -1.0, 0.0], atol=2.5e-7)
    full = loud.clip(-1, 1)
    assert write(tmp_path, **options | {"signal": full}, format="flac").clipped() == []
    files = write(tmp_path, **options)
    assert files.clipped() == []
    np.testing.assert_array_equal(soundfile.read(files.paths["bell"], dtype="float32")[0], loud[0])


def test_beyond_32_bit_sizes_it_is_rf64(tmp_path, monkeypatch, noise):
    monkeypatch.setattr(writer, "WAV_LIMIT", 2 * 1000 * 4 - 1)
    signal = noise(2, 1000)
    path = write(tmp_path, signal=signal).paths["bell"]
    assert soundfile.info(path).format == "RF64"
    np.testing.assert_array_equal(soundfile.read(path, dtype="float32")[0].T, signal)


def test_no_name_leaves_its_folder(tmp_path):
    names = [
        "../../up",
        "/etc/passwd",
        "a:b",
        "A:B",
        "dots.",
        ".hidden",
        "child speech, kid",
        "..",
        "n\0l",
    ]
    paths = stem_paths(tmp_path, names, "wav")
    assert [path.name for path in paths.values()] == [
        "_._.._up.wav", "_etc_passwd.wav", "a_b.wav", "A_B-2.wav", "dots_.wav", "_hidden.wav",
        "child speech, kid.wav", "__.wav", "n_l.wav",
    ]  # fmt: skip
    assert {path.parent for path in paths.values()} == {tmp_path}
    assert list(paths) == names
