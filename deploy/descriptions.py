"""botocore's descriptions of AWS services, reduced to the operations that the function may call."""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

SERVICES = ("dynamodb", "ssm", "kms")
"""The services that the app calls: KMS only if it keeps access. The policy also allows the runtime to write logs."""

Operations = Mapping[str, Collection[str]]
"""The operations of each service, such as `{"ssm": {"GetParametersByPath"}}`."""

KEPT = ("partitions.json", "sdk-default-configuration.json", "_retry.json", "endpoint-rule-set-1.json")
"""Kept complete: regions, timeouts, retries, and the rules for the URL of each service."""


def allowed(policy: Mapping[str, Any]) -> dict[str, set[str]]:
    """The operations of `SERVICES` that an IAM policy names."""
    found: dict[str, set[str]] = {}
    for statement in policy["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            service, _, operation = action.partition(":")
            if service in SERVICES:
                found.setdefault(service, set()).add(operation)
    return found


def cut(path: PurePosixPath, file: Path, operations: Operations) -> bytes | None:
    """Reduce the file at `path` in botocore/data; returns None if it is not needed."""
    name = path.name.removesuffix(".gz")
    service = path.parts[0] if len(path.parts) > 1 else ""
    if service not in {"", *operations} or not _is_newest(file):
        return None
    content = gzip.decompress(file.read_bytes()) if path.suffix == ".gz" else file.read_bytes()
    if name in KEPT:
        return content
    document = json.loads(content)
    if name == "endpoints.json":
        for partition in document["partitions"]:
            partition["services"] = _only(partition["services"], set(operations))
    elif name == "service-2.json":
        document["operations"] = _only(document["operations"], operations[service])
        document["shapes"] = _only(document["shapes"], _shapes(document))
    elif name == "paginators-1.json":
        document["pagination"] = _only(document["pagination"], operations[service])
    else:
        return None
    return json.dumps(document, separators=(",", ":")).encode()


def _is_newest(file: Path) -> bool:
    """Whether a file belongs to the newest version of its API's description."""
    version = file.parent.name
    return not version[:1].isdigit() or version == max(path.name for path in file.parents[1].iterdir())


def _only(table: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name in names}


def _shapes(service: Mapping[str, Any]) -> set[str]:
    """The names of the shapes that the operations use, directly or through other shapes."""
    needed: set[str] = set()
    left: list[Any] = [service["operations"]]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left.extend(node)
        elif isinstance(node, dict):
            node.pop("documentation", None)
            left.extend(node.values())
            shape = node.get("shape")
            if isinstance(shape, str) and shape not in needed:
                needed.add(shape)
                left.append(service["shapes"][shape])
    return needed
