"""The build hook: makes the generated part of the package before it is packed. What it makes stands in codegen.py."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import codegen


class GeneratedCode(BuildHookInterface[Any]):  # type: ignore[misc,unused-ignore]
    """Runs before a wheel is built; a source distribution carries proto/ instead and is built from that."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version, build_data
        if self.target_name == "wheel":
            codegen.generate(codegen.PACKAGE)
