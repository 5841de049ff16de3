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
}
"""Settings that all alarms share."""

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
        described = self._described()
        missing = [f"Alarm {name} does not exist" for name in self._alarms if name not in described]
        expires = self._group().get("retentionInDays") == RETENTION_DAYS
        fault = f"Log group {self._log} does not exist, or does not expire after {RETENTION_DAYS} days"
        return missing if expires else [fault, *missing]

    def create(self) -> None:
        """Create or update all. An alarm keeps its topic unless ALARM_TOPIC_ARN is set."""
        with suppress(self._logs.exceptions.ResourceAlreadyExistsException):
            self._logs.create_log_group(logGroupName=self._log)
        self._logs.put_retention_policy(logGroupName=self._log, retentionInDays=RETENTION_DAYS)
        topic, existing = os.environ.get("ALARM_TOPIC_ARN"), self._described()
        for name, (namespace, metric, threshold, description) in self._alarms.items():
            kept = existing.get(name, {}).get("AlarmActions", [])
            own = {
                "AlarmName": name,
                "AlarmDescription": description,
                "AlarmActions": kept if topic is None else [topic] if topic else [],
                "Namespace": namespace,
                "MetricName": metric,
                "Threshold": threshold,
                "Dimensions": [
                    {"Name": key, "Value": value} for key, value in self._dimensions[namespace].items()
                ],
            }
            self._cloudwatch.put_metric_alarm(**ALARM, **own)

    def delete(self) -> None:
        """Delete all that exist."""
        if names := list(self._described()):
            self._cloudwatch.delete_alarms(AlarmNames=names)
        with suppress(self._logs.exceptions.ResourceNotFoundException):
            self._logs.delete_log_group(logGroupName=self._log)

    def _group(self) -> dict[str, Any]:
        groups = self._logs.describe_log_groups(logGroupNamePrefix=self._log)["logGroups"]
        return next((group for group in groups if group["logGroupName"] == self._log), {})

    def _described(self) -> dict[str, Any]:
        found = self._cloudwatch.describe_alarms(AlarmNames=list(self._alarms))["MetricAlarms"]
        return {alarm["AlarmName"]: alarm for alarm in found}
