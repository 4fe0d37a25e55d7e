"""``engines/`` of a bundle from anywhere: what is in it runs only where it was built, or by word.

On the fakes of tests/tensorrt: no GPU is needed to refuse.
"""

from __future__ import annotations

import json
import os

import pytest

from sgn_rt._atomic import CACHE_VARIABLE
from sgn_rt.engines import tensorrt as engines
from sgn_rt.engines.tensorrt import open_tensorrt
from sgn_rt.errors import BundleError, EngineError, SgnError, UnavailableError
from sgn_rt.tensorrt import trust as trusts
from sgn_rt.tensorrt.bindings import Flavor, TensorRT
from sgn_rt.tensorrt.engine_files import folder_of, read_engine, read_sidecars, write_engine
from sgn_rt.tensorrt.profiles import Profile
from sgn_rt.tensorrt.sidecar import Sidecar

from ..tensorrt.conftest import (  # noqa: F401 - fixtures
    CONTENT,
    bundle,
    config,
    device,
    make_sidecar,
    module,
)

posix = pytest.mark.skipif(os.name != "posix", reason="no such files on this system")


@pytest.fixture(autouse=True)
def machine(monkeypatch, module, device, tmp_path_factory):
    """The fakes are here; nothing was ever trusted."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv(trusts.TRUST_VARIABLE, raising=False)
    monkeypatch.setattr(engines, "open_device", lambda ordinal: device)
    monkeypatch.setattr(
        engines, "load", lambda f: TensorRT(flavor=f, module=module, version=(10, 13, 3, 9))
    )
    module.engine_host_code_allowed = False


def open_best(bundle):
    return open_tensorrt(bundle, name="tensorrt", flavor=Flavor.TENSORRT, artifact=None)


def everywhere(make_sidecar) -> Sidecar:
    """Fits every machine, and brings code for the host along."""
    return make_sidecar(name="a", version=(1,), version_compatible=True, hardware_compatible=True)


def test_an_engine_from_elsewhere_is_not_even_deserialised(bundle, make_sidecar, module):
    for sidecar in (make_sidecar(), everywhere(make_sidecar)):
        write_engine(bundle, sidecar, CONTENT)
        with pytest.raises(EngineError, match=r"not built here, .* `sgn-rt build BUNDLE --trust`"):
            open_best(bundle)
    assert module.counts["deserialize_cuda_engine"] == 0
    assert not module.engine_host_code_allowed


def test_it_is_never_passed_over_in_silence(bundle, make_sidecar):
    write_engine(bundle, make_sidecar(), CONTENT)
    with pytest.raises(EngineError) as caught:
        open_best(bundle)
    assert not isinstance(caught.value, UnavailableError)


def test_what_was_built_here_runs_and_is_preferred(bundle, make_sidecar, module):
    mine = make_sidecar(hardware_compatible=True)
    trusts.trust(mine)
    write_engine(bundle, mine, CONTENT)
    better = b"an engine from elsewhere"
    write_engine(bundle, make_sidecar(name="better", sha256="0" * 64, size=len(better)), better)
    assert open_best(bundle).sidecar == mine


def test_trust_in_an_engine_is_none_in_its_code_for_the_host(bundle, make_sidecar, module):
    """A sidecar that was edited after the user's word does not switch it on."""
    trusts.trust(make_sidecar())
    write_engine(bundle, make_sidecar(version_compatible=True), CONTENT)
    with pytest.raises(EngineError, match="not built here"):
        open_best(bundle)
    trusts.trust(make_sidecar(version_compatible=True))
    open_best(bundle)
    assert module.engine_host_code_allowed


def test_the_users_word(bundle, make_sidecar, monkeypatch):
    write_engine(bundle, make_sidecar(), CONTENT)
    assert [each.name for each in trusts.trust_all(bundle)] == ["waveform.fp16.tensorrt.sm89"]
    assert open_best(bundle).sidecar == make_sidecar()
    changed = make_sidecar(sha256="0" * 64)
    write_engine(bundle, changed, CONTENT)
    with pytest.raises(EngineError, match="not built here"):
        open_best(bundle)
    with pytest.raises(EngineError, match="is damaged"):  # no word for what was not read
        trusts.trust_all(bundle)
    write_engine(bundle, make_sidecar(version_compatible=True), CONTENT)
    monkeypatch.setenv(trusts.TRUST_VARIABLE, "1")
    open_best(bundle)


def test_the_word_on_the_command_line(bundle, make_sidecar, monkeypatch):
    from click.testing import CliRunner

    from sgn_rt.cli import build

    write_engine(bundle, make_sidecar(), CONTENT)
    monkeypatch.setattr(build.Bundle, "open", lambda folder: bundle)
    done = CliRunner().invoke(build.command, [str(bundle.root), "--trust"], catch_exceptions=False)
    assert done.output == "waveform.fp16.tensorrt.sm89: runs here from now on\n"
    open_best(bundle)


@posix
def test_a_record_that_others_can_write_is_none(bundle, make_sidecar):
    write_engine(bundle, make_sidecar(), CONTENT)
    trusts.trust(make_sidecar())
    folder = trusts.private_folder("engines")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert not trusts.is_trusted(make_sidecar())
    with pytest.raises(EngineError, match=r"got .* others can write to: run `chmod go-w` on it"):
        trusts.trust(make_sidecar())


def test_without_a_cache_of_the_users_own(bundle, make_sidecar, monkeypatch):
    """A relative one would be whatever lies where the program was started."""
    monkeypatch.setenv(CACHE_VARIABLE, "cache")
    assert not trusts.is_trusted(make_sidecar())
    with pytest.raises(EngineError, match=r"a relative path, cache: set .* to an absolute one"):
        trusts.trust(make_sidecar())


# Files


@posix
@pytest.mark.parametrize("suffix", ["engine", "json"])
@pytest.mark.parametrize("target", ["/dev/zero", "pipe", "outside"])
def test_no_link_leaves_and_nothing_hangs(bundle, make_sidecar, tmp_path_factory, suffix, target):
    """A link to /dev/zero was read until memory ended."""
    write_engine(bundle, make_sidecar(), CONTENT)
    trusts.trust(make_sidecar())
    path = folder_of(bundle) / f"waveform.fp16.tensorrt.sm89.{suffix}"
    outside = tmp_path_factory.mktemp("outside") / "file"
    path.rename(outside)
    if target == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(outside if target == "outside" else target)
    with pytest.raises(EngineError, match=r"got a link to|Not a regular file"):
        open_best(bundle)


def test_no_more_is_read_than_is_described(bundle, make_sidecar, monkeypatch):
    path = write_engine(bundle, make_sidecar(), CONTENT)
    path.write_bytes(CONTENT + bytes(1 << 20))
    with pytest.raises(EngineError, match="is damaged"):
        read_engine(bundle, make_sidecar())


@posix
def test_a_build_writes_into_the_bundle_alone(bundle, make_sidecar, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    folder_of(bundle).symlink_to(outside)
    with pytest.raises(BundleError, match="engines: got a link"):
        write_engine(bundle, make_sidecar(), CONTENT)
    assert list(outside.iterdir()) == []


# Sidecars


def profiles(smallest, best, largest, other=1):
    def shape(n):
        return [n, 1016]

    return {
        "mixture": {"smallest": shape(smallest), "best": shape(best), "largest": shape(largest)},
        "categories": {"smallest": [other], "best": [other], "largest": [other]},
    }


WRONG = {
    "infinite size": {"size": float("inf")},
    "infinite workspace": {"workspace_bytes": float("inf")},
    "size of a text": {"size": "9"},
    "path as hash": {"sha256": "../../../etc/passwd"},
    "hash of the graph": {"graph_sha256": 3},
    "largest -1": {"profiles": profiles(1, 1, -1)},
    "largest 0": {"profiles": profiles(0, 0, 0)},
    "best beyond": {"profiles": profiles(1, 9, 4)},
    "smallest beyond": {"profiles": profiles(3, 2, 4)},
    "infinite": {"profiles": profiles(1, 1, float("inf"))},
    "endless": {"profiles": profiles(1, 1, 10**300)},
    "fractions": {"profiles": profiles(1, 1.5, 4)},
    "no profiles": {"profiles": {}},
    "one profile": {"profiles": {"mixture": profiles(1, 1, 1)["mixture"]}},
    "axes": {"profiles": profiles(1, 1, 1) | {"categories": profiles(1, 1, 1)["mixture"]}},
    "a graph that engines are not made of": {"kind": "core"},
    "text as switch": {"version_compatible": "false"},
    "number as switch": {"hardware_compatible": 1},
    "proof": {"proof": {"gpu": "x", "stages": {"whole": {"figure": "good"}}}},
    "proof without a gpu": {"proof": {"stages": {}}},
    "infinite figure": {"figure": {"kernels": float("inf")}},
    "flavour": {"flavor": "other"},
}


@pytest.mark.parametrize("name", WRONG)
def test_sidecars_that_nobody_writes(bundle, make_sidecar, name):
    write_engine(bundle, make_sidecar(), CONTENT)
    (path,) = folder_of(bundle).glob("*.json")
    values = make_sidecar().to_dict()
    figure = WRONG[name].get("figure")
    changed = (
        values | WRONG[name] | ({} if figure is None else {"figure": values["figure"] | figure})
    )
    path.write_text(json.dumps(changed))
    with pytest.raises(EngineError, match="got a description that does not read") as caught:
        read_sidecars(bundle)
    str(caught.value).encode()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": 1e999}', "9" * 5000, "Infinity"])
def test_sidecars_that_are_no_objects(bundle, make_sidecar, text):
    write_engine(bundle, make_sidecar(), CONTENT)
    (path,) = folder_of(bundle).glob("*.json")
    path.write_text(text)
    with pytest.raises(EngineError, match="got a description that does not read"):
        read_sidecars(bundle)


@pytest.mark.parametrize("here", [False, True])
def test_a_broken_sidecar_concerns_machines_that_could_run_it(bundle, monkeypatch, here):
    """Without TensorRT or a GPU it is as silent as a bundle without engines; with them, never."""
    folder_of(bundle).mkdir()
    (folder_of(bundle) / "a.json").write_text("{")

    def none(ordinal):
        raise UnavailableError("GPU: got none, expected one. Check `nvidia-smi`.")

    if not here:
        monkeypatch.setattr(engines, "open_device", none)
    with pytest.raises(SgnError) as caught:
        open_best(bundle)
    assert isinstance(caught.value, UnavailableError) is not here


def test_profiles_are_checked_wherever_they_come_from():
    with pytest.raises(ValueError, match="not 1 <= smallest <= best <= largest"):
        Profile(smallest=(1,), best=(1,), largest=(-1,))
