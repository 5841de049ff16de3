"""`make lock`: pin the newest versions that pyproject.toml allows, with hashes. No list repeats an included one."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent

INCLUDES = {
    "../requirements.txt": [],
    "aws.txt": [],
    "run.txt": ["../requirements.txt", "aws.txt"],
    "test.txt": ["run.txt"],
    "dev.txt": ["test.txt"],
    "runtime.txt": ["aws.txt"],
    "emulator.txt": [],
}
"""The lists that each list includes. A list is named after its extra in pyproject.toml."""

SITE = HERE.parent / "chalicelib" / "site" / "requirements.in"
"""The libraries of the site, which are deployed with those of the app."""

APART = "emulator.txt"
"""The list whose versions may differ from those of the others."""

OPTIONS = [
    "--quiet",
    "--generate-hashes",
    "--allow-unsafe",
    "--no-strip-extras",
    "--no-annotate",
    "--no-header",
]
OPTIONS += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--output-file=-"]


def pins(needed: Iterable[str], chosen: Iterable[str] = ()) -> dict[str, str]:
    """The pins of some requirements and of all that they need, by package; `chosen` are versions to keep to."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(chosen))
        constraints.flush()
        command = [
            sys.executable,
            "-m",
            "piptools",
            "compile",
            *OPTIONS,
            "--constraint",
            constraints.name,
            "-",
        ]
        text = "\n".join(needed)
        compiled = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {
        pin.partition("==")[0]: pin for pin in re.findall(r"^\S+==.*\n(?: .*\n)*", compiled, re.MULTILINE)
    }


def transitively(included: Iterable[str]) -> set[str]:
    """Some lists and all that they include."""
    return {*included}.union(*(transitively(INCLUDES[name]) for name in included))


def requirements() -> dict[str, list[str]]:
    """What each list must contain, without what it includes."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (line.partition("#")[0].strip() for line in SITE.read_text(encoding="utf-8").splitlines())
    return {
        **project["optional-dependencies"],
        "../requirements": [*project["dependencies"], *filter(None, lines)],
    }


def main() -> None:
    """Write all lists."""
    named = requirements()
    needed: dict[str, list[str]] = {}
    for name, included in INCLUDES.items():
        needed[name] = sum((needed[other] for other in included), named[name.removesuffix(".txt")])
    together = pins(set().union(*(needed[name] for name in INCLUDES if name != APART)), sys.argv[1:])
    versions = [pin.split()[0] for pin in together.values()]
    own: dict[str, dict[str, str]] = {}
    for name, included in INCLUDES.items():
        found = pins(needed[name], () if name == APART else versions)
        above = {package for other in transitively(included) for package in own[other]}
        own[name] = {package: pin for package, pin in found.items() if package not in above}
        includes = [f"-r {other}\n" for other in included]
        (HERE / name).write_text("".join([*includes, *own[name].values()]), encoding="utf-8")


if __name__ == "__main__":
    main()
