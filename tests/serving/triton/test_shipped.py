"""The model that ships, on the real server; and what the page on Triton shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sgn_rt import Separator
from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.model.bundle import Bundle
from sgn_rt.serving.triton.client import TritonClient
from sgn_rt.serving.triton.configs import Serving
from sgn_rt.serving.triton.repository import write_repository

from .conftest import PYTHON
from .tritonserver import ENVIRONMENT

PAGE = Path(__file__).parents[3] / "docs" / "triton.md"
MIX = shipped_music() / "003.mix.flac"


@pytest.fixture(scope="module")
def server(serve, tmp_path_factory):
    target = tmp_path_factory.mktemp("shipped") / "repository"
    serving = Serving(engine="onnxruntime", threads=2)
    write_repository(Bundle.open(), target, parts=PYTHON, serving=serving)
    started = serve(target / "models", load=PYTHON)
    yield started
    assert started.stop() == 0, started.log
    assert started.left() == []


def test_music_is_the_same_to_the_bit(server, tmp_path):
    """As a separator beside the server has it: another NumPy's matrix products round otherwise."""
    options = {"duration_s": 8.0}
    program = (
        "import json, sys, numpy\nfrom sgn_rt import Separator\n"
        "with Separator.open(None, 'onnxruntime', threads=2) as local:\n"
        "    found = local.separate(sys.argv[1], ['tuba'], **json.loads(sys.argv[2]))\n"
        "numpy.save('tuba.npy', found.sources['tuba'])\n"
        "print(json.dumps({name: float(value) for name, value in found.presence.items()}))"
    )
    command = [ENVIRONMENT / "bin" / "python", "-P", "-c", program, MIX, json.dumps(options)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    with TritonClient(server.url) as client:
        there = client.separate(MIX, ["tuba"], **options)
    np.testing.assert_array_equal(there.sources["tuba"], np.load(tmp_path / "tuba.npy"))
    assert there.presence == json.loads(done.stdout)
    with Separator.open(None, "onnxruntime", threads=2) as local:
        here = local.separate(MIX, ["tuba"], **options)
    np.testing.assert_allclose(there.sources["tuba"], here.sources["tuba"], rtol=0, atol=1e-6)


def test_the_page_runs(server, tmp_path, monkeypatch):
    shutil.copy(MIX, tmp_path / "mix.flac")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {"block": np.zeros((1, 44100), np.float32)}
    exec(compile(block.replace("127.0.0.1:8001", server.url), PAGE.name, "exec"), names)
    assert np.abs(names["result"].sources["tuba"]).max() > 0.01
    samples = [each["tuba"].shape[-1] for each in (names["ready"], names["rest"])]
    assert sum(samples) == 44100
