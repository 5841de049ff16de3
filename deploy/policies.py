"""`make policies`: write the names of .chalice/config.json into all policies, for example after a change of app_name.

Chalice uses a role's policy file unchanged, so the file itself must name the resources.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from deploy import PROJECT
from deploy.stage import CONFIG, Stage

ACCESS = tuple(f"deploy/{name}-policy.json" for name in ("deployer", "new-key", "operator"))
"""The policies for people and CI, which name the resources of all stages."""


def names(stage: Stage) -> dict[str, tuple[str, str]]:
    """What a role's policy must name: patterns that find the present names, and the right ones, by what they name."""
    return {
        "table": (r":table/[^\"]+", f":table/{stage.table}"),
        "parameters": (r":parameter/[^\"*]+?(?=/\*|\")", f":parameter{stage.parameter_path}"),
        "log group": (r":/aws/lambda/[^\"]+?(?=:\*\")", f":/aws/lambda/{stage.function}"),
    }


def write(project: Path = PROJECT) -> list[str]:
    """Correct all policies; returns the names of the files that changed."""
    config = json.loads((project / CONFIG).read_bytes())
    texts: dict[str, str] = {}
    for stage in (Stage.load(name, project) for name in config["stages"]):
        text = (project / stage.policy_file).read_text(encoding="utf-8")
        for pattern, right in names(stage).values():
            text = re.sub(pattern, right, text)
        texts[stage.policy_file] = text
    for file in ACCESS:
        text = (project / file).read_text(encoding="utf-8")
        (before,) = set(re.findall(r'Tag/app": "([^"]+)"', text))
        texts[file] = text.replace(before, config["app_name"])
    changed = [file for file, text in texts.items() if (project / file).read_text(encoding="utf-8") != text]
    for file in changed:
        (project / file).write_text(texts[file], encoding="utf-8")
    return changed


if __name__ == "__main__":
    print("\n".join(write()) or "All policies have the names of .chalice/config.json.")
