"""Holds the dashboard and the alerts to docs/METRICS.md: every metric, label and value of a label that they name stands there."""

import json
import re
import sys
from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parents[1]
PAGE = DEPLOY.parent / "docs/METRICS.md"
# What Prometheus adds to each series, and `le` of histograms.
LABELS_OF_PROMETHEUS = {"job", "instance", "le"}
SUFFIXES_OF_HISTOGRAMS = ("_bucket", "_sum", "_count")
# Ours, and those whose names are others': OpenTelemetry's for calls, Prometheus' for processes.
NAME = r"(?:semel|rpc_server|process)_\w+"
# Name, kind and labels; in the last, labels in backticks, each with the list of its values behind a colon.
ROW = re.compile(rf"^\| `({NAME})` \| (\w+) \|([^|]*)\|")
LABEL = re.compile(r"`(\w+)`(?::\s*(\w+(?:, \w+)*))?")
SERIES = re.compile(rf"\b({NAME})(?:\{{([^{{}}]*)\}})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')


def page() -> dict[str, dict[str, set[str]]]:
    """The labels of each series, and the values of each label (empty: any), with the series of histograms spread out."""
    known: dict[str, dict[str, set[str]]] = {}
    for line in PAGE.read_text().splitlines():
        if not re.match(rf"\| `{NAME}`", line):
            continue
        if not (row := ROW.match(line)):
            sys.exit(f"docs/METRICS.md: mend check/metrics.py, which does not understand: {line}")
        name, kind, cell = row.groups()
        labels = {label: set(values.split(", ")) if values else set() for label, values in LABEL.findall(cell)}
        for suffix in SUFFIXES_OF_HISTOGRAMS if kind == "histogram" else ("",):
            known[name + suffix] = labels
    return known


def faults_of(place: str, expression: str, known: dict[str, dict[str, set[str]]]) -> list[str]:
    """What an expression names that the page does not."""
    faults = []
    for name, matchers in SERIES.findall(expression):
        if name not in known:
            faults.append(f"{place}: {name} does not stand in docs/METRICS.md")
            continue
        for label, text in MATCHER.findall(matchers):
            if label in LABELS_OF_PROMETHEUS:
                continue
            if label not in known[name]:
                faults.append(f"{place}: {name} has no label {label}")
            elif values := known[name][label]:
                faults += [f"{place}: {label} of {name} is never {value}" for value in text.split("|") if value not in values]
    return faults


def expressions() -> list[tuple[str, str]]:
    """Each expression with its place."""
    found = []
    dashboard = json.loads((DEPLOY / "grafana/semel.json").read_text())
    for panel in dashboard["panels"]:
        # Rows have none.
        found += [(f"panel {panel['title']!r}", target["expr"]) for target in panel.get("targets", [])]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found.append((f"variable {variable['name']}", variable["query"]["query"]))
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]:
        found += [(f"alert {rule['alert']}", rule["expr"]) for rule in group["rules"]]
    for test in yaml.safe_load((DEPLOY / "prometheus/alerts.test.yaml").read_text())["tests"]:
        found += [(f"test {test['name']!r}", series["series"]) for series in test["input_series"]]
    return found


def unshown(known: dict[str, dict[str, set[str]]]) -> list[str]:
    """Metrics of the page that no panel and no alert asks for."""
    asked = {name for _, text in expressions() for name, _ in SERIES.findall(text)}
    roots = {name.removesuffix("_bucket") if name.endswith("_bucket") else name for name in known}
    spread = {name: [name, *(name + suffix for suffix in SUFFIXES_OF_HISTOGRAMS)] for name in roots}
    return [
        f"{name}: no panel shows it, and no alert asks for it"
        for name, all_of_it in sorted(spread.items())
        if not name.endswith(("_sum", "_count")) and not asked.intersection(all_of_it)
    ]


def alerts_are_tested() -> list[str]:
    """Alerts that no test expects."""
    tests = (DEPLOY / "prometheus/alerts.test.yaml").read_text()
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]
    return [f"alert {rule['alert']}: no test" for group in groups for rule in group["rules"] if rule["alert"] not in tests]


def main() -> None:
    known = page()
    if not any(name.endswith("_bucket") for name in known) or not {"semel_runs_created_total", "process_open_fds"} <= known.keys():
        sys.exit("docs/METRICS.md was not understood: mend check/metrics.py")
    wrongs = [
        "semel_nothing_total",
        "process_nothing",
        'semel_runs_ended_total{state="lost"}',
        'semel_runs_created_total{app="pay"}',
        'rpc_server_call_duration_seconds_count{method="GetJob"}',
        'semel_auth_outcomes_total{status="passed", method="nothing"}',
    ]
    for wrong in wrongs:
        if not faults_of("", wrong, known):
            sys.exit(f"{wrong} was not caught: mend check/metrics.py")
    faults = [fault for place, text in expressions() for fault in faults_of(place, text, known)] + alerts_are_tested() + unshown(known)
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
