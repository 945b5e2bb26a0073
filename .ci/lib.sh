# What .ci/run and .ci/baseline share: where things lie, and how the tools come here. To be sourced from bash.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
venv=$target/ci-venv
cd "$root"
# Where rustup puts it, for a shell that has not read its profile.
PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Debian packages, the list renewed first: a fresh machine has none or an old one.
apt_install() {
    command -v apt-get >/dev/null || die "$* is missing and there is no apt-get: install it by hand"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@"
}

# cargo with rustfmt and clippy, and a C compiler.
need_rust() {
    command -v cargo >/dev/null || die "cargo is missing: install a Rust toolchain (the version stands in Cargo.toml) and run this again"
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
    command -v cc >/dev/null || apt_install gcc libc6-dev
}

# The proxies through which the tests send calls. Debian puts them where only an administrator's shell looks.
need_proxies() {
    local program
    for program in nginx haproxy; do
        PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || apt_install "$program"
    done
}

# The venv with the pinned packages, made anew whenever the pins change.
need_python() {
    if cmp -s .ci/requirements.txt "$venv/requirements.txt"; then
        return
    fi
    command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3 python3-venv
    rm -rf "$venv"
    mkdir -p "$target"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement .ci/requirements.txt
    cp .ci/requirements.txt "$venv/requirements.txt"
}

# Go, Java with Maven, and Node, each only if it is not there in the version that its client names.
need_go() {
    command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin command -v go >/dev/null || apt_install golang-go
}

need_java() {
    command -v javac >/dev/null && command -v mvn >/dev/null || apt_install default-jdk-headless maven
}

need_node() {
    command -v node >/dev/null && command -v npm >/dev/null || apt_install nodejs npm
}

# What runs the tests of the alerts, and what reads units. Where systemd runs, Debian's package of the first starts a server too,
# which nothing here asks.
need_promtool() {
    command -v promtool >/dev/null || apt_install prometheus
}

need_systemd_analyze() {
    command -v systemd-analyze >/dev/null || apt_install systemd
}
