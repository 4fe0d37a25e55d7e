"""What a client costs: no engine, no PyTorch, nothing of the server."""

from __future__ import annotations

import subprocess
import sys


def test_a_client_loads_no_engine(answering):
    url = answering(200, b'{"categories": []}')
    program = f"""
import sys
from sgn_rt.serving.client import Client
with Client({url!r}) as client:
    assert client.model() == {{"categories": []}}
print(*sorted(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not {name.partition(".")[0] for name in loaded} & {
        "torch", "onnxruntime", "onnx", "tensorrt", "starlette", "uvicorn", "prometheus_client",
    }  # fmt: skip
    heavy = ("sgn_rt.separator", "sgn_rt.engines", "sgn_rt.reference", "sgn_rt.serving.server")
    assert not [name for name in loaded if name.startswith(heavy)]
