"""`bundle.json` against its JSON schema, which other tools read, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from sgn_rt._optional import require
from sgn_rt.errors import BundleError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contained import open_contained
from sgn_rt.model.contract import BUNDLE_MANIFEST

SCHEMA_FILE: Final = Path(__file__).with_name("bundle.schema.json")


def check_schema(bundle: Bundle) -> None:
    """Validate the manifest of a bundle that has been opened.

    Raises
    ------
    BundleError
        Naming the first thing that is not as the schema says.
    DependencyError
        If jsonschema is not installed.
    """
    validation: Any = require("jsonschema", extra="check", purpose="info --check")
    with open_contained(bundle.root, BUNDLE_MANIFEST) as file:
        manifest = json.loads(file.read())
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    checker = validation.Draft202012Validator(schema)
    error = validation.exceptions.best_match(checker.iter_errors(manifest))
    if error is not None:
        raise BundleError(
            f"{bundle.root}: {BUNDLE_MANIFEST}, {error.json_path}: got "
            f"{json.dumps(error.instance):.200}, expected what {SCHEMA_FILE.name} says "
            f"({error.message:.300}). Export the bundle again."
        )
