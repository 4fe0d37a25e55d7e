"""Builds the page: a folder for any static host, and the same page as one file that needs no host.

    python build.py BUNDLE ONNXRUNTIME_WEB OUTPUT

BUNDLE has the graph ``waveform.fp32``; ONNXRUNTIME_WEB is the package as npm unpacks it. OUTPUT is
a folder that is new or empty: ``index.html`` and what it reads, and ``separate.html``, which is all
of it. Style and parts of the page are those of ``sgn-rt serve``, from the installed package.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
from pathlib import Path

import sgn_rt

HERE = Path(__file__).parent
SERVER = Path(sgn_rt.__file__).parent / "serving" / "server" / "static"
PAGE = ("parts.js", "mixer.js", "player.js", "waveform.js", "assets.js", "spectrogram.js", "wav.js",
        "main.js")  # fmt: skip
WORKER = ("windows.js", "worker.js")
WASM = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
WEBGPU = ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm")


def source(name: str) -> Path:
    """A file of the page: of this folder, or of the server's page."""
    return HERE / name if (HERE / name).exists() else SERVER / name


def joined(names: tuple[str, ...]) -> str:
    """Modules as one: each is after those that it imports, and no two have a name in common."""
    texts = [source(name).read_text(encoding="utf-8") for name in names]
    without = (re.sub(r"^import [^;]*;\n", "", text, flags=re.MULTILINE) for text in texts)
    return "\n".join(re.sub(r"^export ", "", text, flags=re.MULTILINE) for text in without)


def bundle_files(bundle: Path) -> list[str]:
    """The manifest, the graph and its weights."""
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    for artifact in manifest["artifacts"]:
        if (artifact["kind"], artifact["precision"]) == ("waveform", "fp32"):
            return ["bundle.json", artifact["path"], *artifact["external"]]
    sys.exit(
        f"{bundle}: got a bundle without waveform.fp32, expected it. Export it: "
        "sgn-rt export CHECKPOINT -o BUNDLE --kind waveform --precision fp32 --shared-weights"
    )


def one_file(site: Path, assets: list[str]) -> str:
    """The page with all that it reads inside."""

    def inside(name: str) -> str:
        content = base64.b64encode((site / name).read_bytes()).decode()
        return f'<script type="text/plain" data-asset="{name}">{content}</script>'

    page = (site / "index.html").read_text(encoding="utf-8")
    style = (site / "style.css").read_text(encoding="utf-8")
    script = (site / "page.js").read_text(encoding="utf-8")
    page = page.replace('<link rel="stylesheet" href="style.css">', f"<style>\n{style}</style>")
    page = page.replace('<script defer src="page.js"></script>', "")
    held = "\n".join(map(inside, assets))
    return page.replace("</body>", f"{held}\n<script>\n{script}</script>\n</body>")


def build(bundle: Path, runtime: Path, site: Path) -> None:
    """Write the page into a folder."""
    if site.exists() and any(site.iterdir()):
        sys.exit(f"{site}: got a folder with files in it, expected a new one. Name another.")
    files = bundle_files(bundle)
    (site / "bundle").mkdir(parents=True)
    for name in files:
        shutil.copyfile(bundle / name, site / "bundle" / name)
    for name in (*WASM, *WEBGPU):
        shutil.copyfile(runtime / "dist" / name, site / name)
    shutil.copyfile(HERE / "index.html", site / "index.html")
    style = "\n".join(
        source(name).read_text(encoding="utf-8") for name in ("style.css", "page.css")
    )
    (site / "style.css").write_text(style, encoding="utf-8")
    (site / "page.js").write_text(joined(PAGE), encoding="utf-8")
    (site / "worker.js").write_text(joined(WORKER), encoding="utf-8")
    assets = [*(f"bundle/{name}" for name in files), *WASM, "worker.js"]
    (site / "separate.html").write_text(one_file(site, assets), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    build(*map(Path, sys.argv[1:]))
