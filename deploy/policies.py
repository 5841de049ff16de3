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
    """For each statement of ours in a role's policy: a pattern that finds the name in an ARN, and the right name."""
    return {
        "UsersTable": (r":table/.*", f":table/{stage.table}"),
        "Parameters": (r":parameter/.*?(?=/\*$|$)", f":parameter{stage.parameter_path}"),
        "Logs": (r":/aws/lambda/.*?(?=:\*$)", f":/aws/lambda/{stage.function}"),
    }


def corrected(text: str, stage: Stage) -> str:
    """A role's policy with the right names. Statements of the owner's stay as they are."""
    resources = {statement.get("Sid"): statement["Resource"] for statement in json.loads(text)["Statement"]}
    for sid, (pattern, right) in names(stage).items():
        found = resources.get(sid, [])
        for arn in [found] if isinstance(found, str) else found:
            text = text.replace(json.dumps(arn), json.dumps(re.sub(pattern, right, arn)))
    return text


def write(project: Path = PROJECT) -> list[str]:
    """Correct all policies; returns the names of the files that changed."""
    config = json.loads((project / CONFIG).read_bytes())
    texts: dict[str, str] = {}
    for stage in (Stage.load(name, project) for name in config["stages"]):
        texts[stage.policy_file] = corrected((project / stage.policy_file).read_text(encoding="utf-8"), stage)
    for file in ACCESS:
        text = (project / file).read_text(encoding="utf-8")
        (before,) = set(re.findall(r'Tag/app": "([^"]+)"', text))
        name = rf'(?<=Tag/app": "){re.escape(before)}(?=")|(?<=[/:]){re.escape(before)}(?=[-/])'
        texts[file] = re.sub(name, config["app_name"], text)
    changed = [file for file, text in texts.items() if (project / file).read_text(encoding="utf-8") != text]
    for file in changed:
        (project / file).write_text(texts[file], encoding="utf-8")
    return changed


if __name__ == "__main__":
    print("\n".join(write()) or "All policies have the names of .chalice/config.json.")
