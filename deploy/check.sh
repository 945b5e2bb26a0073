#!/usr/bin/env bash
# Checks everything that a server is deployed with: the image, the unit, the manifests, the dashboard and the alerts, each by a tool
# that knows its kind, all of them against each other, and the settings against a server that runs. Needs python3 (3.11 or later,
# with venv), promtool (Debian: prometheus), systemd-analyze (Debian: systemd), and SEMEL_BIN, the absolute path of a built `semel`.
# Everything that it makes lies in ${CARGO_TARGET_DIR:-target}/deploy.
#
#     SEMEL_BIN=$PWD/target/debug/semel bash deploy/check.sh
set -euo pipefail
target=${CARGO_TARGET_DIR:+$(realpath --canonicalize-missing "$CARGO_TARGET_DIR")}
cd "$(dirname "${BASH_SOURCE[0]}")"
: "${SEMEL_BIN:?names no built semel}"
export SEMEL_BIN PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
folder=${target:-$PWD/../target}/deploy
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

step() { printf '== %s\n' "$*" >&2; }

# Runs a command that talks even when all is well, and tells what it said only if it fails.
quietly() {
    "$@" > "$folder/said.txt" 2>&1 || { cat "$folder/said.txt" >&2; return 1; }
}

step "pinned dependencies"
if ! cmp -s requirements.txt "$folder/venv/requirements.txt"; then
    rm -rf "$folder/venv"
    "${PYTHON:-python3}" -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --requirement requirements.txt
    cp requirements.txt "$folder/venv/requirements.txt"
fi
PATH=$folder/venv/bin:$PATH

step "image"
hadolint --failure-threshold info docker/Dockerfile

step "yaml"
yamllint --strict .

step "unit"
# The binary of this build, since there is none yet where the unit has it.
sed "s|/usr/local/bin/semel|$SEMEL_BIN|" systemd/semel.service > "$folder/semel.service"
systemd-analyze verify "$folder/semel.service" 2> "$folder/said.txt" || true
# It only warns of what systemd would pass over, and also tells of other units of the machine.
if grep semel.service "$folder/said.txt" >&2; then
    exit 1
fi
# How open the unit is, in tenths: 12 today.
quietly systemd-analyze security --offline=yes --threshold=15 --no-pager "$folder/semel.service"

step "manifests"
manifests=()
for file in kubernetes/*.yaml; do
    [ "$file" = kubernetes/kustomization.yaml ] || manifests+=("$file")
done
# An old one that is still in use, and the newest that the package knows.
for version in 1.30 1.37; do
    kubernetes-validate --quiet --strict --kubernetes-version "$version" "${manifests[@]}"
done

step "alerts"
quietly promtool check config prometheus/prometheus.yaml
quietly promtool test rules prometheus/alerts.test.yaml

step "dashboard and alerts, against the list of metrics"
python check/metrics.py

step "the files, against each other and the workspace"
python check/agree.py

step "a server with the settings of the pod"
quietly python check/serve.py
