"""The folder that a run owns: whole, all together, or as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sgn_rt.audio import run_folder
from sgn_rt.audio.run_folder import RunFolder, add_to_run
from sgn_rt.audio.run_manifest import RUN_MANIFEST
from sgn_rt.errors import AudioError


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "mix.wav"
    path.write_bytes(b"sound")
    return path


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def run(output, source, contents, facts=None):
    """A run that writes these files."""
    with RunFolder.claim(output, source) as folder:
        return folder.commit(make(folder, contents), facts or {})


def make(folder, contents):
    files = {name: folder.work / name for name in contents}
    for name, file in files.items():
        file.write_text(contents[name])
    return files


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != RUN_MANIFEST}


def test_files_appear_together_at_the_end(out, source, tree):
    with RunFolder.claim(out, source) as folder:
        files = make(folder, {"bell.wav": "bell", "horn.wav": "horn"})
        assert [path for path in tree(out) if "/." not in path] == ["mix"]
        placed = folder.commit(files, {"model": "m"})
    assert placed == {name: out / "mix" / name for name in ("bell.wav", "horn.wav")}
    assert tree(out) == ["mix", "mix/bell.wav", "mix/horn.wav", f"mix/{RUN_MANIFEST}"]
    manifest = json.loads((out / "mix" / RUN_MANIFEST).read_text())
    assert manifest["files"] == {"bell.wav": 4, "horn.wav": 4}
    assert manifest["source"]["name"] == "mix.wav"
    assert (manifest["complete"], manifest["model"]) == (True, "m")


def test_a_run_replaces_all_of_an_earlier_one(out, source):
    run(out, source, {"bell.wav": "old", "horn.wav": "old", "overview.png": "old"})
    run(out, source, {"bell.flac": "new", "horn.wav": "new"})
    assert contents(out / "mix") == {"bell.flac": "new", "horn.wav": "new"}


def test_a_run_that_finds_nothing_removes_the_earlier_one(out, source, tree):
    run(out, source, {"bell.wav": "old"})
    assert run(out, source, {}) == {}
    assert tree(out) == []


def test_a_folder_that_was_there_stays_where_nothing_is_found(out, source, tree):
    (out / "mix").mkdir(parents=True)
    run(out, source, {})
    assert tree(out) == ["mix"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), OSError("reading")])
@pytest.mark.parametrize("earlier", [True, False])
def test_an_error_between_leaves_all_as_it_was(out, source, tree, error, earlier):
    if earlier:
        run(out, source, {"bell.wav": "old"})
    before = tree(out)

    def fail():
        with RunFolder.claim(out, source) as folder:
            make(folder, {"bell.wav": "new", "horn.wav": "new"})
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert tree(out) == before
    assert out.exists() == earlier
    assert not earlier or contents(out / "mix") == {"bell.wav": "old"}


@pytest.mark.parametrize("name", ["notes.txt", "horn.wav", "deeper"])
def test_what_no_run_wrote_is_refused_by_name(out, source, fails, name):
    run(out, source, {"bell.wav": "old"})
    foreign = out / "mix" / name
    foreign.mkdir() if name == "deeper" else foreign.write_text("mine")
    with fails(AudioError, f"{out / 'mix'}: got {name}, which no run wrote"):
        RunFolder.claim(out, source)
    assert foreign.exists()
    assert (out / "mix" / "bell.wav").read_text() == "old"


def test_hidden_files_and_what_file_managers_leave_are_left_alone(out, source):
    run(out, source, {"bell.wav": "old"})
    theirs = {".DS_Store": "a", "._bell.wav": "b", "Thumbs.db": "c", "desktop.ini": "d"}
    for name, text in theirs.items():
        (out / "mix" / name).write_text(text)
    run(out, source, {"horn.wav": "new"})
    assert contents(out / "mix") == {"horn.wav": "new"} | theirs


@pytest.mark.parametrize("planted", ["a folder", "a file"])
def test_something_that_appears_in_between_undoes_all(out, source, tree, fails, planted):
    run(out, source, {"bell.wav": "old", "drum.wav": "old"})
    before = tree(out)
    manifest = (out / "mix" / RUN_MANIFEST).read_bytes()
    with (
        fails(AudioError, "horn.wav"),
        RunFolder.claim(out, source) as folder,
    ):
        files = make(folder, {"bell.wav": "new", "drum.wav": "new", "horn.wav": "new"})
        foreign = out / "mix" / "horn.wav"
        foreign.mkdir() if planted == "a folder" else foreign.write_text("mine")
        folder.commit(files, {})
    assert tree(out) == sorted([*before, "mix/horn.wav"])
    assert (out / "mix" / "bell.wav").read_text() == "old"
    assert (out / "mix" / RUN_MANIFEST).read_bytes() == manifest


@pytest.mark.parametrize("fatal", [OSError("device lost"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", range(4))
def test_a_commit_that_breaks_off_is_undone(out, source, tree, monkeypatch, call, fatal):
    """At each of its renames: two files that step aside, two that take their place."""
    run(out, source, {"bell.wav": "old", "drum.wav": "old"}, {"run": 1})
    before = {name: (out / name).read_bytes() for name in tree(out) if (out / name).is_file()}
    rename, calls = os.rename, []

    def breaks(start, end):
        calls.append(end)
        if len(calls) == call + 1:
            raise fatal
        rename(start, end)

    with (  # noqa: PT012
        pytest.raises((AudioError, KeyboardInterrupt)),
        RunFolder.claim(out, source) as folder,
    ):
        files = make(folder, {"bell.wav": "new", "horn.wav": "new"})
        monkeypatch.setattr(os, "rename", breaks)
        folder.commit(files, {"run": 2})
    after = {name: (out / name).read_bytes() for name in tree(out) if (out / name).is_file()}
    assert after == before


def test_a_commit_that_is_killed_is_known_by_the_next_run(out, source, monkeypatch):
    """As SIGKILL leaves it: nothing is undone, the manifest tells which files are ours."""
    run(out, source, {"bell.wav": "old", "drum.wav": "old"})

    def killed(folder, before, files, *, begun, note, **more):
        note.write_bytes(begun)
        for name, file in list(files.items())[:1]:
            os.replace(file, folder / name)
        raise SystemExit

    monkeypatch.setattr(run_folder, "exchange", killed)
    with pytest.raises(SystemExit):
        run(out, source, {"horn.wav": "new", "bell.wav": "new"})
    monkeypatch.undo()
    assert not RunFolder.claim(out, source).holds({})
    run(out, source, {"gong.wav": "newer"})
    assert contents(out / "mix") == {"gong.wav": "newer"}


def test_a_run_that_came_and_went_since_the_claim_is_replaced_too(out, source):
    claimed = RunFolder.claim(out, source)
    run(out, source, {"horn.wav": "in between"})
    with claimed as folder:
        folder.commit(make(folder, {"bell.wav": "last"}), {})
    assert contents(out / "mix") == {"bell.wav": "last"}


def test_a_recording_that_goes_meanwhile_keeps_its_stems(out, source):
    with RunFolder.claim(out, source) as folder:
        source.unlink()
        folder.commit(make(folder, {"bell.wav": "bell"}), {})
    assert contents(out / "mix") == {"bell.wav": "bell"}


HOLDS = """
import sys
import tempfile
from pathlib import Path
from sgn_rt.audio import run_folder
from sgn_rt.audio.run_folder import RunFolder, add_to_run
with RunFolder.claim(Path(sys.argv[1]), Path(sys.argv[2])) as folder:
    (folder.work / "bell.wav").write_bytes(bytes(1000))
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_run_left_goes_with_the_next_one(out, source, tree, fails):
    command = [sys.executable, "-c", HOLDS, out, source]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        with fails(AudioError, "another run is at work"), RunFolder.claim(out, source):
            raise AssertionError
        process.kill()
        process.wait()
    assert any(name.endswith("bell.wav") for name in tree(out))
    run(out, source, {"horn.wav": "horn"})
    assert tree(out) == ["mix", "mix/horn.wav", f"mix/{RUN_MANIFEST}"]


def test_two_runs_at_once_in_one_folder(out, source, fails, tree):
    with RunFolder.claim(out, source) as first:
        files = make(first, {"bell.wav": "first"})
        with fails(AudioError, "another run is at work"), RunFolder.claim(out, source):
            raise AssertionError
        first.commit(files, {})
    assert contents(out / "mix") == {"bell.wav": "first"}


def test_recordings_that_differ_in_their_ending_do_not_meet(out, tmp_path):
    for name in ("a.mp3", "a.ogg"):
        (tmp_path / name).write_text(name)
    for _ in range(2):
        for name in ("a.mp3", "a.ogg"):
            run(out, tmp_path / name, {"bell.wav": name})
    assert contents(out / "a") == {"bell.wav": "a.mp3"}
    assert contents(out / "a.ogg") == {"bell.wav": "a.ogg"}


def test_another_recording_of_the_same_name_is_refused(out, tmp_path, source, fails):
    run(out, source, {"bell.wav": "old"})
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "mix.wav"
    twin.write_bytes(b"sound")
    with fails(AudioError, "got stems of another recording", str(twin)):
        RunFolder.claim(out, twin)
    source.unlink()  # moved, perhaps: then it may be the same
    run(out, twin, {"bell.wav": "new"})
    assert contents(out / "mix") == {"bell.wav": "new"}


def test_the_input_is_never_replaced(out, source, fails):
    stem = run(out, source, {"mix.wav": "a category called as the recording"})["mix.wav"]
    with fails(AudioError, "the input itself"):
        RunFolder.claim(out, stem)


def test_a_link_is_not_followed(out, tmp_path, source, fails):
    (tmp_path / "theirs").mkdir()
    out.mkdir()
    for target in ("theirs", "nowhere"):
        link = out / "mix"
        link.symlink_to(tmp_path / target)
        with fails(AudioError, "got a link"):
            RunFolder.claim(out, source)
        link.unlink()
    assert list((tmp_path / "theirs").iterdir()) == []


def test_a_file_where_a_folder_is_needed(out, tmp_path, source, fails, tree):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with fails(AudioError, f"got something at {tmp_path / 'file'} that is no folder"):
            RunFolder.claim(place, source)
    out.mkdir()
    (out / "mix").write_text("mine")
    with fails(AudioError, f"got something at {out / 'mix'} that is no folder"):
        RunFolder.claim(out, source)
    assert tree(tmp_path) == ["file", "mix.wav", "out", "out/mix"]


AS_ANOTHER_USER = """
import os, sys
from pathlib import Path
from sgn_rt.audio.run_folder import RunFolder
from sgn_rt.errors import AudioError
out, source, when = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
os.chdir(out.parent)
if when == "late":
    claimed = RunFolder.claim(out, source)
if os.geteuid() == 0:
    os.setuid(65534)
try:
    with claimed if when == "late" else RunFolder.claim(out, source):
        print("entered")
except AudioError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("when", "part"), [("early", "no permission to write in"), ("late", "Permission denied")]
)
def test_an_output_that_is_not_ours(when, part, tree):
    """Real permissions, also where the tests run as root."""
    if when == "late" and os.geteuid() != 0:
        pytest.skip("permissions that change in between take root")
    with tempfile.TemporaryDirectory() as name:  # pytest's own are closed to other users
        out = Path(name) / "out"
        out.mkdir()
        (Path(name) / "mix.wav").write_bytes(b"sound")
        Path(name).chmod(0o755)
        out.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", AS_ANOTHER_USER, out, Path(name) / "mix.wav", when],
            capture_output=True, text=True, check=False,
            cwd=Path(run_folder.__file__).parents[1],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert str(out) in done.stdout
        assert part in done.stdout
        assert tree(Path(name)) == ["mix.wav", "out"]


@pytest.mark.parametrize(
    ("umask", "mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)]
)
def test_permissions_are_those_of_the_users_umask(out, source, umask, mode, folder_mode):
    before = os.umask(umask)
    try:
        run(out, source, {"bell.wav": "bell"})
    finally:
        os.umask(before)
    for name in ("bell.wav", RUN_MANIFEST):
        assert (out / "mix" / name).stat().st_mode & 0o777 == mode
    assert (out / "mix").stat().st_mode & 0o777 == folder_mode


FACTS = {"model": "m", "options": {"threshold": 0.5, "categories": ["bell"]}}


def test_what_an_earlier_run_holds(out, source):
    assert not RunFolder.claim(out, source).holds({})
    run(out, source, {"bell.wav": "bell"}, FACTS | {"presence": {"bell": 0.9}})
    holds = RunFolder.claim(out, source).holds
    assert holds(FACTS)
    assert holds({"model": "m", "options": {"categories": ("bell",), "threshold": 0.5}})
    assert not holds(FACTS | {"model": "another"})
    assert not holds(FACTS | {"options": {"threshold": 0.4, "categories": ["bell"]}})
    assert not holds(FACTS | {"more": None})


@pytest.mark.parametrize("change", ["shorter", "missing", "a folder", "recording"])
def test_what_an_earlier_run_no_longer_holds(out, source, change):
    bell = run(out, source, {"bell.wav": "bell", "horn.wav": "horn"}, FACTS)["bell.wav"]
    folder = RunFolder.claim(out, source)
    match change:
        case "shorter":
            bell.write_text("bel")
        case "missing":
            bell.unlink()
        case "a folder":
            bell.unlink()
            bell.mkdir()
        case "recording":
            source.write_bytes(b"another sound")
            folder = RunFolder.claim(out, source)
    assert not folder.holds(FACTS)


def test_a_picture_that_comes_later_goes_with_the_run(out, source, fails):
    run(out, source, {"bell.wav": "bell"}, FACTS)
    for content in (b"picture", b"another"):
        assert add_to_run(out / "mix", "overview.png", content).read_bytes() == content
    assert RunFolder.claim(out, source).holds(FACTS)
    (out / "mix" / "notes.txt").write_text("mine")
    with fails(AudioError, "got notes.txt, which no run wrote"):
        add_to_run(out / "mix", "notes.txt", b"")
    (out / "mix" / "notes.txt").unlink()
    run(out, source, {"horn.wav": "horn"})
    assert contents(out / "mix") == {"horn.wav": "horn"}


def test_a_recording_that_is_not_there(out, tmp_path, fails):
    with fails(AudioError, "none.wav: got no such file"):
        RunFolder.claim(out, tmp_path / "none.wav")
    for wrong in ("a\0b.wav", "\ud800.wav"):
        with fails(AudioError, "got"):
            RunFolder.claim(out, tmp_path / wrong)
