"""Who may import whom, read from the source: also type-only imports and imports inside functions count."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OUTER = ("engine", "train", "app", "launch")
"""Later names may import earlier ones."""
INNER = (
    ("types", "events", "errors", "config", "noise", "device"),
    ("files", "reading", "content"),
    ("ops",),
    ("vision", "diffusion"),
    ("nets", "fields", "kernels", "render"),
    ("output",),
    ("methods",),
    ("store",),
    ("explore",),
    ("data",),
    ("training", "pose"),
    ("evaluation",),
)
"""Inside the engine: later rows may import earlier ones and their own."""
ONLY_IN = {
    "gradio": {"app"},
    "viser": {"app"},
    "plotly": {"app", "train"},
    "tyro": {"launch", "app", "train"},
    "tqdm": set(),
    "wandb": set(),
}
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "pillow_heif": "pillow-heif",
    "skimage": "scikit-image",
    "triton": "torch",  # whose CUDA builds bring it
}
"""Where a package is installed under another name than it is imported by."""
PLUGINS = {"imageio-ffmpeg"}
"""Packages that another one imports for us."""


def sources(*tops: str) -> list[Path]:
    files = [path for top in tops for path in sorted((ROOT / top).rglob("*.py"))]
    return files + ([ROOT / "launch.py"] if "launch" in tops else [])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Full names of everything that a file imports: `from a import b` counts as a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def rank(module: str) -> int:
    """Row of an engine module."""
    name = module.split(".")[1]
    rows = [row for row, names in enumerate(INNER) if name in names]
    assert rows, f"{module}: belongs to no layer; give it one in tests/test_layers.py"
    return rows[0]


EVERY_SOURCE = sources(*OUTER)


@pytest.mark.parametrize("path", EVERY_SOURCE, ids=module_of)
def test_imports_point_inwards(path):
    own = OUTER.index(module_of(path).split(".")[0])
    for name in imports(path):
        top = name.split(".")[0]
        if top in OUTER:
            assert OUTER.index(top) <= own, f"{module_of(path)} imports {name}"
        assert top != "tests", f"{module_of(path)} imports the tests"


ENGINE_SOURCES = [path for path in sources("engine") if module_of(path) != "engine"]


@pytest.mark.parametrize("path", ENGINE_SOURCES, ids=module_of)
def test_engine_imports_point_down(path):
    module = module_of(path)
    for name in imports(path):
        if name.startswith("engine.") and name.split(".")[1].islower():  # a module, not a constant
            assert rank(name) <= rank(module), f"{module} imports {name}"


def test_no_method_imports_another():
    shared = {"base", "optimise", "options", "training"}
    files = (ROOT / "engine/methods").glob("*.py")
    methods = {path.stem: imports(path) for path in files if path.stem != "__init__"}
    for part, names in methods.items():
        method = part.split("_")[0]  # the parts of a method are named after it
        others = {other for other in methods if other.split("_")[0] not in shared | {method}}
        assert not names & {f"engine.methods.{other}" for other in others}


@pytest.mark.parametrize("path", EVERY_SOURCE, ids=module_of)
def test_interface_packages_stay_where_they_belong(path):
    top = module_of(path).split(".")[0]
    for name in imports(path):
        assert top in ONLY_IN.get(name.split(".")[0], {top}), f"{module_of(path)} imports {name}"


def test_every_imported_package_is_pinned_and_every_pinned_one_is_used():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = {
        re.match(r"([\w-]+)==[\w.]+$", line)[1] for line in lines if line[:1] not in ("", "#")
    }
    tops = {name.split(".")[0] for path in EVERY_SOURCE for name in imports(path)}
    used = {DISTRIBUTIONS.get(top, top) for top in tops - set(OUTER) - set(sys.stdlib_module_names)}
    assert used | PLUGINS == pinned


def test_nothing_reads_the_shared_folder():
    for path in [*EVERY_SOURCE, *sources("tests")]:
        if path != Path(__file__).resolve():
            strings = (
                node.value
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            )
            assert not [text for text in strings if re.match(r"(\.\./|/work/)shared\b", text)], path


def needed_modules(path: Path, known: set[str]) -> set[str]:
    """Modules of `known` that a file needs while it is imported itself; its functions may import others later."""
    found, nodes = set(), list(ast.parse(path.read_text()).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & known if whole <= known else {node.module, *whole}
        elif not isinstance(node, ast.FunctionDef | ast.If):
            nodes.extend(ast.iter_child_nodes(node))
    return (found & known) - {module_of(path)}


def test_engine_modules_import_each_other_in_no_circle():
    files = {module_of(path): path for path in sources("engine")}
    needs = {name: needed_modules(path, set(files)) for name, path in files.items()}
    while ready := [name for name, needed in needs.items() if not needed & needs.keys()]:
        for name in ready:
            del needs[name]
    assert not needs, f"import each other in a circle, or one that does: {sorted(needs)}"
