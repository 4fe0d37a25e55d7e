"""The cache of code on a shared machine: nothing that others may have written is loaded."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from sgn_rt import _private
from sgn_rt._atomic import CACHE_VARIABLE
from sgn_rt.errors import PluginError
from sgn_rt.tensorrt.plugins import build, find
from sgn_rt.tensorrt.run.jit import KernelCache

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and modes are another matter")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(find.LIBRARY_VARIABLE, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def library(cache, monkeypatch) -> Path:
    """As a build leaves it; loading it is heard of and not done."""
    path = _private.private_folder(*build._cached()[:2]) / build.LIBRARY_NAME
    path.write_bytes(b"a library")
    path.chmod(0o755)
    loaded = []
    monkeypatch.setattr(
        find, "library_version", lambda path: loaded.append(path) or build.package_version()
    )
    monkeypatch.setattr(find, "loaded", loaded, raising=False)
    return path


def test_folders_are_the_users_alone(library, cache):
    for folder in (cache, cache / "plugins", library.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert find.find_library() == library.resolve()


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o722])
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_what_others_could_have_written_is_not_loaded(library, mode, depth):
    place = [library, *library.parents][depth]
    place.chmod(mode)
    with pytest.raises(PluginError, match=r"plugin cache: got .* that others can write to: run"):
        find.find_library()
    assert find.loaded == []


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_what_belongs_to_another_user_is_not_loaded(library, monkeypatch, depth):
    place = [library, *library.parents][depth]
    real = Path.lstat

    def lstat(path):
        status = real(path)
        if path != place:
            return status
        return os.stat_result((*status[:4], 12345, *status[5:]))

    monkeypatch.setattr(Path, "lstat", lstat)
    with pytest.raises(PluginError, match="of user 12345, not yours"):
        find.find_library()
    assert find.loaded == []


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_planted_links_are_not_followed(library, tmp_path, depth):
    place = [library, *library.parents][depth]
    moved = tmp_path / "moved"
    place.rename(moved)
    place.symlink_to(moved)
    with pytest.raises(PluginError, match="of another kind"):
        find.find_library()
    assert find.loaded == []


def test_a_relative_cache_loads_nothing_from_the_working_directory(library, cache, monkeypatch):
    monkeypatch.chdir(cache.parent)
    monkeypatch.setenv(CACHE_VARIABLE, "cache")
    for work in (find.find_library, build.build_library):
        with pytest.raises(PluginError, match="got a relative path, cache"):
            work()
    assert find.loaded == []


def test_the_lock_empties_no_file_through_a_planted_link(cache, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock = _private.private_folder("plugins") / f"{build._cached()[1]}.lock"
    lock.symlink_to(victim)
    with pytest.raises(PluginError, match="plugin cache: got"):
        build.build_library()
    assert victim.read_text() == "precious"
    lock.unlink()
    lock.write_text("kept")
    os.close(_private.open_lock(lock))
    assert lock.read_text() == "kept"
    assert stat.S_IMODE(lock.stat().st_mode) & 0o111 == 0


def test_a_cache_that_is_there_in_the_way_of_a_build(library, monkeypatch):
    """Found where it should be built: looked at before it is handed out, too."""
    library.chmod(0o777)
    with pytest.raises(PluginError, match="others can write to"):
        build.build_library()


def test_kernels_that_others_could_have_written_are_compiled_again(cache):
    kept = KernelCache(SimpleNamespace(sha256="0" * 64), "sm89")
    folder = _private.private_folder("kernels")
    kept.path.write_bytes(b"kernels")
    taken = []
    fake = SimpleNamespace(deserialize=lambda content: bool(taken.append(content)) or True)
    kept._read(fake)
    assert taken == [b"kernels"]
    folder.chmod(0o777)
    KernelCache(SimpleNamespace(sha256="0" * 64), "sm89")._read(fake)
    assert taken == [b"kernels"]


@pytest.fixture
def generous():
    """A umask under which a user's group can write to what the user makes."""
    before = os.umask(0o002)
    yield
    os.umask(before)


def test_what_is_built_and_kept_under_any_umask_is_found_again(
    cache, library, monkeypatch, generous
):
    def compiled(folder, *more):
        path = folder / build.LIBRARY_NAME
        path.write_bytes(b"another library")
        return path

    monkeypatch.setattr(build, "_compile", compiled)
    monkeypatch.setattr(build, "_require_tool", lambda tool: None)
    monkeypatch.setattr(build, "tensorrt_include_dir", lambda folder: folder)
    library.unlink()
    library.parent.rmdir()
    assert build.build_library().read_bytes() == b"another library"
    assert find.find_library() == library.resolve()
    kept = KernelCache(SimpleNamespace(sha256="0" * 64), "sm89")
    kept._cache = SimpleNamespace(serialize=lambda: b"kernels")
    kept.save()
    taken = []
    kept._read(SimpleNamespace(deserialize=taken.append))
    assert taken == [b"kernels"]
