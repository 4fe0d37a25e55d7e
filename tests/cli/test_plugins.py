"""``sgn-rt plugins``."""

from __future__ import annotations


def test_plugins_find_and_build_say_what_is_missing(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SGN_RT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("SGN_RT_PLUGIN_LIBRARY", str(tmp_path / "none.so"))
    found = run("plugins", "find")
    assert found.code == 2
    assert "none.so" in found.err
    built = run("plugins", "build", "--tensorrt-include", tmp_path)
    assert built.code == 2
    assert str(tmp_path) in built.err
    assert not list(tmp_path.rglob("*.so"))
