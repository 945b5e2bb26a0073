"""Holds the files of deploy/ to each other and to the workspace: what one of them repeats of another must be the same."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parents[1]
ROOT = DEPLOY.parent
# From the end of the drain to the end of the process: the store is closed. Measured in milliseconds, bounded by seconds.
CLOSE_SECONDS = 5
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
# What does not hold, told all at once.
faults: list[str] = []


def settings(file: str) -> dict:
    """A file of settings, as the binary understands it."""
    command = [os.environ["SEMEL_BIN"], "config", "check", "--config", str(DEPLOY / file), "--output", "json"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("SEMEL_")}
    checked = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    if checked.returncode != 0:
        sys.exit(f"{file}: {checked.stderr}")
    return json.loads(checked.stdout)["settings"]


def seconds(span: str) -> float:
    """`1m30s` in seconds."""
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhd])", span))


def port(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


def kubernetes() -> dict[tuple[str, str], dict]:
    """Every object by kind and name; the kustomization lists each file that is there."""
    folder = DEPLOY / "kubernetes"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    check(set(listed) == there, f"kustomization.yaml lists {sorted(listed)}, and there are {sorted(there)}")
    documents = [one for name in listed for one in yaml.safe_load_all((folder / name).read_text())]
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}


def check(holds: bool, fault: str) -> None:
    if not holds:
        faults.append(fault)


def check_kubernetes() -> None:
    objects = kubernetes()
    config = settings("kubernetes/semel.toml")
    stateful = objects["StatefulSet", "semel"]["spec"]
    pod = stateful["template"]["spec"]
    container = pod["containers"][0]
    labels = stateful["template"]["metadata"]["labels"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}

    check(ports == {"grpc": port(config["listen"]), "admin": port(config["admin"]["listen"])}, f"ports: {ports}, and semel.toml")
    check(stateful["replicas"] == 1, "more than one replica of an embedded store")
    check(("Service", stateful["serviceName"]) in objects, f"serviceName: there is no Service {stateful['serviceName']}")
    grace = pod["terminationGracePeriodSeconds"]
    check(grace >= seconds(config["drain_timeout"]) + CLOSE_SECONDS, f"terminationGracePeriodSeconds {grace} is within the drain")
    mounts = [one["mountPath"] for one in container["volumeMounts"]]
    inside = any(config["data_dir"].startswith(f"{mount}/") for mount in mounts)
    check(inside, f"data_dir {config['data_dir']} lies on no volume, or is one: {mounts}")
    size = stateful["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
    check(int(size.removesuffix("Gi")) > config["store"]["map_size_gib"], f"the store may outgrow its volume of {size}")
    for (kind, name), one in objects.items():
        spec = one.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector", {}))
        chosen = selector.get("matchLabels", selector)
        check(not chosen or chosen.items() <= labels.items(), f"{kind} {name} selects no pod: {chosen}")
        if kind == "Service":
            check(all(ports[each["targetPort"]] == each["port"] for each in spec["ports"]), f"Service {name}: ports")


def check_systemd() -> None:
    config = settings("config/semel.toml")
    unit = (DEPLOY / "systemd/semel.service").read_text()
    stop = int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.M)[1])
    check(stop >= seconds(config["drain_timeout"]) + CLOSE_SECONDS, f"TimeoutStopSec {stop} is within the drain")
    state = re.search(r"^StateDirectory=(\S+)$", unit, re.M)[1]
    check(config["data_dir"].startswith(f"/var/lib/{state}/"), f"data_dir {config['data_dir']} is not in StateDirectory {state}")
    check(config["listen"].startswith("127.0.0.1:") and not config["allow_plaintext"], "the unit serves beyond loopback")


def check_image() -> None:
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    dockerfile = (DEPLOY / "docker/Dockerfile").read_text()
    version, rust = workspace["package"]["version"], workspace["package"]["rust-version"]
    check(f"FROM rust:{rust}-" in dockerfile, f"Dockerfile: not the Rust {rust} of Cargo.toml")
    check(f"ARG VERSION={version}\n" in dockerfile, f"Dockerfile: not the version {version} of Cargo.toml")
    images = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["images"]
    check(images[0]["newTag"] == version, f"kustomization.yaml: not the version {version} of Cargo.toml")
    taken = [line[1:] for line in (DEPLOY / "docker/Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    check(all((ROOT / path).exists() for path in taken), f"Dockerfile.dockerignore: not all are there: {taken}")
    for member in workspace["members"]:
        inside = any(member == path or member.startswith(f"{path}/") for path in taken)
        check(member == "." or inside, f"Dockerfile.dockerignore leaves out {member}, a member of the workspace")


if __name__ == "__main__":
    check_kubernetes()
    check_systemd()
    check_image()
    if faults:
        sys.exit("\n".join(faults))
