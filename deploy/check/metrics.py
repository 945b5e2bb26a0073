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
# Name, kind and labels; in the last, a label in backticks with the list of its values behind a colon.
ROW = re.compile(r"^\| `(semel_\w+)` \| (\w+) \|([^|]*)\|")
LABEL = re.compile(r"`(\w+)`(?::\s*(\w+(?:, \w+)*))?")
SERIES = re.compile(r"\b(semel_\w+)(?:\{([^{}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')


def page() -> dict[str, dict[str, set[str]]]:
    """The labels of each series, and the values of each label (empty: any), with the series of histograms spread out."""
    known: dict[str, dict[str, set[str]]] = {}
    for line in PAGE.read_text().splitlines():
        if not line.startswith("| `semel_"):
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
        found += [(f"panel {panel['title']!r}", target["expr"]) for target in panel["targets"]]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found.append((f"variable {variable['name']}", variable["query"]["query"]))
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]:
        found += [(f"alert {rule['alert']}", rule["expr"]) for rule in group["rules"]]
    for test in yaml.safe_load((DEPLOY / "prometheus/alerts.test.yaml").read_text())["tests"]:
        found += [(f"test {test['name']!r}", series["series"]) for series in test["input_series"]]
    return found


def alerts_are_tested() -> list[str]:
    """Alerts that no test expects."""
    tests = (DEPLOY / "prometheus/alerts.test.yaml").read_text()
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]
    return [f"alert {rule['alert']}: no test" for group in groups for rule in group["rules"] if rule["alert"] not in tests]


def main() -> None:
    known = page()
    if not any(name.endswith("_bucket") for name in known) or "semel_runs_created_total" not in known:
        sys.exit("docs/METRICS.md was not understood: mend check/metrics.py")
    for wrong in ("semel_nothing_total", 'semel_runs_ended_total{state="lost"}', 'semel_runs_created_total{app="pay"}'):
        if not faults_of("", wrong, known):
            sys.exit(f"{wrong} was not caught: mend check/metrics.py")
    faults = [fault for place, text in expressions() for fault in faults_of(place, text, known)] + alerts_are_tested()
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
