"""The scripts of bench/ as modules, under the names by which they import one another."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

BENCH = Path(__file__).parents[1] / "bench"


def load(name: str) -> ModuleType:
    """A script of bench/; what it imports of its siblings has to be loaded before."""
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


processes = load("processes")
figures = load("figures")
scenarios = load("scenarios")
browsers = load("browsers")
contents = load("contents")
rulesets = load("rulesets")
tables = load("tables")
servers = load("servers")
gateways = load("gateways")
secure = load("secure")
generators = load("generators")
pacing = load("pacing")
logs = load("logs")
stages = load("stages")
commands = load("commands")
compare = load("compare")
node = load("node")
proxy = load("proxy")
holding = load("holding")
names = load("names")
workers = load("workers")
drawing = load("drawing")
curves = load("curves")
artifacts = load("artifacts")
scale = load("scale")
allocations = load("allocations")
pipeline = load("pipeline")
micro = load("micro")
slopes = load("slopes")
watching = load("watching")
traffic = load("traffic")
upkeep = load("upkeep")
soak = load("soak")
