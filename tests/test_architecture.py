"""Imports go down only, files stay short, and importing the library changes nothing."""

import ast
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LONGEST_FILE = 400

GROUND = {"_files", "_pytree", "errors", "units"}
FITTING = GROUND | {
    "algorithms", "baselines", "catalog", "fabric", "measurements", "placement",
    "timing",
}  # fmt: skip
BELOW_PLOTS = FITTING | {"design", "fitting", "health", "training", "tuning"}
MAY_IMPORT = {
    "_files": {"errors"},
    "_pytree": set(),
    "errors": set(),
    "units": set(),
    "measurements": {"_files", "errors", "units"},  # knows nothing of models
    "algorithms": {"_pytree", "units"},  # counts: knows no hardware
    "baselines": GROUND,  # what others say: knows neither counts nor prices
    "fabric": GROUND,  # prices: knows no algorithm
    "placement": GROUND | {"fabric"},
    "catalog": GROUND | {"algorithms.registry", "fabric", "placement"},
    "timing": GROUND | {"algorithms", "fabric"},  # where counts and prices meet
    "fitting": FITTING,  # moves prices, never touches counts
    "health": FITTING | {"fitting"},  # judges a log by the catalogue
    "tuning": FITTING | {"fitting"},  # what a library should choose
    "training": FITTING | {"fitting"},
    "design": FITTING | {"fitting", "training"},
    "plots": BELOW_PLOTS,
    "__init__": BELOW_PLOTS | {"plots"},
}
"""What each part of ``fabricmodel`` may import, besides itself."""


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported module: who asks, and whether only when it is called upon."""

    place: str
    part: str
    module: str
    deferred: bool


def sources(root: pathlib.Path, *packages: str) -> list[pathlib.Path]:
    return sorted(file for name in packages for file in (root / name).rglob("*.py"))


def parse(root: pathlib.Path, file: pathlib.Path) -> tuple[tuple[str, ...], ast.Module]:
    """Read a file: its dotted name, in parts, and its syntax tree."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return file.relative_to(root).with_suffix("").parts, tree


def imports(root: pathlib.Path, package: str) -> Iterator[Import]:
    for file in sources(root, package):
        name, tree = parse(root, file)
        for node, deferred in import_nodes(tree, False):
            place = f"{file.relative_to(root)}:{node.lineno}"
            for module in sorted(modules(root, name, node)):
                yield Import(place, name[1], module, deferred)


def import_nodes(
    node: ast.AST, deferred: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Find the imports under a node, and those that importing the file won't run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, deferred
        later = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) or (
            isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        )
        yield from import_nodes(child, deferred or later)


def modules(
    root: pathlib.Path, importer: tuple[str, ...], node: ast.Import | ast.ImportFrom
) -> set[str]:
    """Name the modules that a statement imports, ``from . import x`` included."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    base = importer[: -node.level] if node.level else ()
    base += tuple(node.module.split(".")) if node.module else ()
    found = set()
    for alias in node.names:
        path = root.joinpath(*base, alias.name)
        is_module = path.is_dir() or path.with_suffix(".py").exists()
        found.add(".".join((*base, alias.name) if is_module else base))
    return found


def wrong_directions(root: pathlib.Path) -> list[str]:
    """List the imports inside the library that do not go down."""
    wrong = []
    for each in imports(root, "fabricmodel"):
        package, _, inner = each.module.partition(".")
        allowed = MAY_IMPORT.get(each.part, set()) | {each.part}
        upward = package == "fabricmodel" and not any(
            f"{inner or '__init__'}.".startswith(f"{prefix}.") for prefix in allowed
        )
        if upward or package == "experiments":
            wrong.append(f"{each.place}: {each.part} imports {each.module}")
    return wrong


def parts_without_a_place(root: pathlib.Path) -> list[str]:
    files = sources(root, "fabricmodel")
    return sorted({parse(root, file)[0][1] for file in files} - set(MAY_IMPORT))


def undeclared_packages(root: pathlib.Path) -> list[str]:
    """List the imports of packages that a plain installation does not bring.

    The figures' packages come with an extra: experiments may import them, and in the
    library ``plots`` alone, where a function is called.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    core = requirement_names(project["project"]["dependencies"])
    extra = requirement_names(
        project["project"]["optional-dependencies"]["experiments"]
    )
    known = {"fabricmodel", *core, *sys.stdlib_module_names}
    wrong = []
    for each in [*imports(root, "fabricmodel"), *imports(root, "experiments")]:
        package = each.module.partition(".")[0]
        at_home = each.place.startswith("experiments") or (
            each.part == "plots" and each.deferred
        )
        if package not in known | ({"experiments", *extra} if at_home else set()):
            wrong.append(f"{each.place}: {package}")
    return wrong


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", text)[0].replace("-", "_") for text in requirements}


def long_files(root: pathlib.Path) -> list[str]:
    lines = {
        file: len(file.read_text(encoding="utf-8").splitlines())
        for file in sources(root, "fabricmodel", "experiments")
    }
    return [
        f"{file.relative_to(root)}: {count} lines"
        for file, count in lines.items()
        if count > LONGEST_FILE
    ]


def global_settings(root: pathlib.Path) -> list[str]:
    """List the calls that change JAX's configuration, wherever they stand."""
    return [
        f"{file.relative_to(root)}:{node.lineno}"
        for file in sources(root, "fabricmodel")
        for node in ast.walk(parse(root, file)[1])
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("config.update")
    ]


CHECKS = [
    wrong_directions,
    parts_without_a_place,
    undeclared_packages,
    long_files,
    global_settings,
]


@pytest.mark.parametrize("check", CHECKS)
def test_the_library_keeps_to_its_layers(check):
    assert check(ROOT) == []


def import_everything(root: pathlib.Path) -> dict[str, list[str]]:
    """Import each module of the library in a fresh process; tell what that changed."""
    names = [
        ".".join(parse(root, file)[0]).removesuffix(".__init__")
        for file in sources(root, "fabricmodel")
        if file.stem != "__main__"
    ]
    script = (
        "import importlib, json, sys, jax\n"
        "before = dict(jax.config.values)\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "after = jax.config.values\n"
        "print(json.dumps({\n"
        "    'settings': [k for k, v in before.items() if after[k] != v],\n"
        "    'extras': [m for m in ('matplotlib', 'rich') if m in sys.modules],\n"
        "    'precision': [str(jax.numpy.asarray(1.0).dtype)],\n"
        "}))\n"
    )
    kept = {key: v for key, v in os.environ.items() if not key.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, "-c", script, *names],
        cwd=root,
        env=kept | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_the_library_changes_no_setting_and_draws_nothing():
    assert import_everything(ROOT) == {
        "settings": [],
        "extras": [],
        "precision": ["float32"],
    }


PYPROJECT = """\
[project]
dependencies = ["jax>=0.9; python_version > '3'", "numpy"]
optional-dependencies.experiments = ["matplotlib>=3.9"]
"""
BREACHES = [
    (wrong_directions, "algorithms/flat.py", "from fabricmodel.fabric import Fabric"),
    (wrong_directions, "algorithms/flat.py", "from ..fabric import Fabric"),
    (wrong_directions, "algorithms/flat.py", "import fabricmodel.fabric as prices"),
    (wrong_directions, "fabric.py", "def f():\n    from fabricmodel import algorithms"),
    (wrong_directions, "fabric.py", "from . import algorithms"),
    (wrong_directions, "catalog/loader.py", "from fabricmodel.algorithms import flat"),
    (wrong_directions, "measurements/table.py", "from fabricmodel import fabric"),
    (wrong_directions, "timing/price.py", "import fabricmodel as fm"),
    (wrong_directions, "timing/price.py", "from fabricmodel import fitting"),
    (wrong_directions, "errors.py", "from fabricmodel.units import GB"),
    (wrong_directions, "plots.py", "import experiments.validate"),
    (parts_without_a_place, "gadgets/new.py", ""),
    (undeclared_packages, "timing/price.py", "import pandas.core"),
    (undeclared_packages, "timing/price.py", "def f():\n    import matplotlib"),
    (undeclared_packages, "plots.py", "from matplotlib import pyplot"),
    (undeclared_packages, "../experiments/scale.py", "import seaborn"),
    (long_files, "fabric.py", "\n" * (LONGEST_FILE + 1)),
    (long_files, "../experiments/scale.py", "\n" * (LONGEST_FILE + 1)),
    (global_settings, "fabric.py", "jax.config.update('jax_enable_x64', True)"),
]


def small_library(root: pathlib.Path) -> pathlib.Path:
    """Write a library that keeps every rule, some of them narrowly."""
    files = {
        "_pytree.py": "import jax",
        "__init__.py": "from fabricmodel.timing.price import seconds",
        "algorithms/flat.py": "import jax\nfrom fabricmodel._pytree import pytree",
        "algorithms/registry.py": "from . import flat\nfrom .flat import ring",
        "catalog/loader.py": "from fabricmodel.algorithms.registry import ALL",
        "errors.py": "import os",
        "fabric.py": "from fabricmodel import _pytree",
        "fitting/__init__.py": "",
        "measurements/table.py": "from ..errors import at\nimport numpy.typing",
        "plots.py": "def f():\n    from matplotlib import pyplot",
        "timing/price.py": "from fabricmodel.algorithms import flat",
        "units.py": "GB = 1e9" + "\n" * LONGEST_FILE,
        "../experiments/scale.py": "import fabricmodel as fm\nimport matplotlib",
    }
    for name, text in files.items():
        write(root, name, text)
    (root / "pyproject.toml").write_text(PYPROJECT)
    return root


def write(root: pathlib.Path, name: str, text: str) -> None:
    path = pathlib.Path(os.path.normpath(root / "fabricmodel" / name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("check", CHECKS)
def test_a_library_that_keeps_the_rules_passes(check, tmp_path):
    assert check(small_library(tmp_path)) == []


@pytest.mark.parametrize(("check", "name", "text"), BREACHES)
def test_each_breach_is_found(check, name, text, tmp_path):
    root = small_library(tmp_path)
    write(root, name, text)
    assert len(check(root)) == 1


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("import jax\njax.config.update('jax_enable_x64', True)", "settings"),
        ("import sys\nsys.modules['matplotlib'] = sys", "extras"),
    ],
)
def test_a_changed_setting_and_an_early_import_are_found(text, changed, tmp_path):
    write(tmp_path, "__init__.py", text)
    assert import_everything(tmp_path)[changed] != []
