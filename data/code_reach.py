"""What a data step's code consists of: the modules that its function imports, and the recipe keys that these read.

Read from the source by `ast`, nothing is imported, so that dvc.yaml can be written and checked in no time.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOM = "data"


class CodeReach:
    """The data room of a repository. Modules are dotted names, files are paths relative to the repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._trees: dict[str, ast.Module] = {}

    def home(self, function: str) -> str:
        """The module that defines a step function of `data.steps`."""
        for node in ast.walk(self._tree("data.steps")):
            if isinstance(node, ast.ImportFrom) and function in {alias.name for alias in node.names}:
                return str(node.module)
        raise LookupError(f"data/steps.py has no {function}")

    def modules(self, start: Iterable[str]) -> list[str]:
        """`start` and all modules of the data room that they import, at the top or inside functions, with packages."""
        found: set[str] = set()
        waiting = list(start)
        while waiting:
            module = waiting.pop()
            if module not in found:
                found.add(module)
                parts = module.split(".")
                waiting += [".".join(parts[:depth]) for depth in range(1, len(parts))]  # Python runs these as well
                waiting += self._imported(module)
        return sorted(found)

    def files(self, modules: Iterable[str]) -> list[str]:
        """The modules' files, without an `__init__.py` that only describes its folder."""
        code = [module for module in modules if not self._is_package(module) or len(self._tree(module).body) > 1]
        paths = [self._file(module) for module in code]
        return sorted(path.relative_to(self.root).as_posix() for path in paths)

    def recipe_keys(self, modules: Iterable[str], sections: Iterable[str]) -> list[str]:
        """The keys of a recipe that modules read: `seed`, and `data.SECTION` for the sections they touch."""
        known, found = set(sections), set()
        for module in modules:
            for node in ast.walk(self._tree(module)):
                if isinstance(node, ast.Attribute):
                    owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
                    if owner == "data" and node.attr in known:
                        found.add(f"data.{node.attr}")
                    elif owner == "recipe" and node.attr == "seed":
                        found.add("seed")
        return sorted(found)

    def _imported(self, module: str) -> Iterator[str]:
        for node in ast.walk(self._tree(module)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                parent = str(node.module)  # `from data.curation import gate` imports a module, too
                names = [parent, *(f"{parent}.{alias.name}" for alias in node.names)]
            else:
                continue
            yield from (name for name in names if name.split(".")[0] == ROOM and self._exists(name))

    def _exists(self, module: str) -> bool:
        return self._file(module).exists()

    def _is_package(self, module: str) -> bool:
        return self.root.joinpath(*module.split("."), "__init__.py").exists()  # a folder of cards is none

    def _file(self, module: str) -> Path:
        path = self.root.joinpath(*module.split("."))
        return path / "__init__.py" if self._is_package(module) else path.with_suffix(".py")

    def _tree(self, module: str) -> ast.Module:
        if module not in self._trees:
            self._trees[module] = ast.parse(self._file(module).read_text(encoding="utf-8"))
        return self._trees[module]
