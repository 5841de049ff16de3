"""`make promises`: the rows of docs/security.md and the tests that prove them, marked `@pytest.mark.promise("A1")`."""

from __future__ import annotations

import ast
import re

from deploy import PROJECT

ORDER = ("site", "unit", "project", "contract", "faults", "integration", "browser", "deployment")
"""The folders of tests, fast ones first."""


def rows() -> dict[str, str]:
    text = (PROJECT / "docs/security.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| ([A-P]\d+)(?:\\\*)? \|[^|]*\| (.*) \|$", text, re.MULTILINE)
    return dict(found)


def tests() -> dict[str, list[str]]:
    """The tests that carry each row's mark, as pytest's node IDs."""
    found: dict[str, list[str]] = {}
    paths = (PROJECT / "tests").rglob("test_*.py")
    for path in sorted(paths, key=lambda path: (ORDER.index(path.parent.name), path.name)):
        name = path.relative_to(PROJECT).as_posix()
        _collect(ast.parse(path.read_text(encoding="utf-8")), name, found)
    return found


def _collect(tree: ast.AST, name: str, found: dict[str, list[str]]) -> None:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            _collect(node, f"{name}::{node.name}", found)
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.promise":
                    for row in call.args:
                        found.setdefault(ast.literal_eval(row), []).append(f"{name}::{node.name}")


def main() -> None:
    marked = tests()
    for row, promise in rows().items():
        print(f"{row}  {promise}", *(f"      {test}" for test in marked.get(row, ())), sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
