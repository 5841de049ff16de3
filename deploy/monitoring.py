"""The function's log group and alarms.

Lambda would create the log group without an expiry, and Chalice creates no alarms. Every call can be repeated, so a
deployment restores what was deleted by hand.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from deploy.account import Account
from deploy.stage import Stage

RETENTION_DAYS = 30

ALARM = {
    "Statistic": "Sum",
    "Period": 300,
    "EvaluationPeriods": 1,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "TreatMissingData": "notBreaching",
    "ActionsEnabled": True,
}
"""Settings that all alarms share."""

ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")

METRICS = {
    "errors": (
        "AWS/Lambda",
        "Errors",
        1,
        "The function crashed or timed out. The app's own error pages do not count.",
    ),
    "throttles": ("AWS/Lambda", "Throttles", 1, "The account's Lambda concurrency is used up."),
    "5xx": (
        "AWS/ApiGateway",
        "5XXError",
        5,
        "Five responses with a 5xx status in five minutes. See the log.",
    ),
}
"""Namespace, metric, threshold and description, by the last part of an alarm's name."""


class Monitoring:
    """The log group and the alarms of a stage."""

    def __init__(self, stage: Stage, account: Account) -> None:
        self._logs = account.client("logs")
        self._cloudwatch = account.client("cloudwatch")
        self._log = f"/aws/lambda/{stage.function}"
        self._alarms = {f"{stage.function}-{short}": metric for short, metric in METRICS.items()}
        api = {"ApiName": stage.app, "Stage": stage.api_stage}
        self._dimensions = {"AWS/Lambda": {"FunctionName": stage.function}, "AWS/ApiGateway": api}

    def existing(self) -> list[str]:
        """The existing ones, such as `alarm spotify-login-prod-errors`."""
        log = [f"log group {self._log}"] if self._group() else []
        return log + [f"alarm {name}" for name in self._described()]

    def faults(self) -> list[str]:
        """What is missing or differs, as sentences; `create` repairs it."""
        wrong = []
        if self._group().get("retentionInDays") != RETENTION_DAYS:
            wrong.append(
                f"Log group {self._log} does not exist, or does not expire after {RETENTION_DAYS} days"
            )
        described = self._described()
        for name, metric in self._alarms.items():
            if name not in described:
                wrong.append(f"Alarm {name} does not exist")
            elif any(described[name].get(key) != value for key, value in self._alarm(*metric).items()):
                wrong.append(f"Alarm {name} differs from deploy/monitoring.py")
        return wrong

    def create(self) -> None:
        """Create or update all. An alarm keeps its actions, unless ALARM_TOPIC_ARN is set."""
        with suppress(self._logs.exceptions.ResourceAlreadyExistsException):
            self._logs.create_log_group(logGroupName=self._log)
        self._logs.put_retention_policy(logGroupName=self._log, retentionInDays=RETENTION_DAYS)
        topic, described = os.environ.get("ALARM_TOPIC_ARN"), self._described()
        for name, metric in self._alarms.items():
            actions = {kind: described.get(name, {}).get(kind, []) for kind in ACTIONS}
            if topic is not None:
                actions["AlarmActions"] = [topic] if topic else []
            self._cloudwatch.put_metric_alarm(AlarmName=name, **actions, **self._alarm(*metric))

    def delete(self) -> None:
        """Delete all that exist."""
        if names := list(self._described()):
            self._cloudwatch.delete_alarms(AlarmNames=names)
        with suppress(self._logs.exceptions.ResourceNotFoundException):
            self._logs.delete_log_group(logGroupName=self._log)

    def _group(self) -> dict[str, Any]:
        groups = self._logs.describe_log_groups(logGroupNamePrefix=self._log)["logGroups"]
        return next((group for group in groups if group["logGroupName"] == self._log), {})

    def _alarm(self, namespace: str, metric: str, threshold: int, description: str) -> dict[str, Any]:
        dimensions = self._dimensions[namespace].items()
        return {
            **ALARM,
            "AlarmDescription": description,
            "Namespace": namespace,
            "MetricName": metric,
            "Threshold": threshold,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
        }

    def _described(self) -> dict[str, Any]:
        found = self._cloudwatch.describe_alarms(AlarmNames=list(self._alarms))["MetricAlarms"]
        return {alarm["AlarmName"]: alarm for alarm in found}
