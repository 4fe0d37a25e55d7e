"""Folders of models, one after the other, as they are written into a repository."""

from __future__ import annotations

from pathlib import Path

from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.graph_file import expect_described, expect_inside, tensors_of
from sgn_rt.serving.triton import configs
from sgn_rt.serving.triton.configs import Config, Graph, Serving
from sgn_rt.serving.triton.environment import MODELS_FOLDER


class ModelFolders:
    """The models of a repository that is being written.

    Parameters
    ----------
    root
        Its folder, empty.
    bundle
        The model.
    serving
        How models are served.

    Attributes
    ----------
    models
        Names of the models written so far.
    """

    def __init__(self, root: Path, bundle: Bundle, serving: Serving) -> None:
        self.root, self.bundle, self.serving = root, bundle, serving
        self.models: list[str] = []
        self._graphs: dict[str, Graph] = {}

    def add(self, config: Config, files: dict[str, bytes]) -> None:
        """Write a model: its configuration, and the files of its one version."""
        name = config["name"]
        version = self.root / MODELS_FOLDER / name / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(configs.as_text(config), encoding="utf-8")
        for file, content in files.items():
            (version / file).write_bytes(content)
        self.models.append(name)

    def graph(self, artifact: Artifact) -> Graph:
        """Inputs and outputs of a graph of the bundle."""
        if artifact.name not in self._graphs:
            self._graphs[artifact.name] = tensors_of(self.content(artifact))
        return self._graphs[artifact.name]

    def content(self, artifact: Artifact) -> bytes:
        """A graph of the bundle that is what the bundle says of it."""
        content = self.bundle.read(artifact.path)
        what = str(self.bundle.root / artifact.path)
        expect_inside(content, artifact.external, what)
        expect_described(content, self.bundle, artifact, what)
        return content
