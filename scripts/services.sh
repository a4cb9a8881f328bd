#!/usr/bin/env bash
# Provides what the tests need beside Python: Mosquitto, PostgreSQL with TimescaleDB, and Chromium.
#
#   Debian or a relative, as root   packages; TimescaleDB is built from Debian's own source package where the release
#                                   has no binary one
#   else, with a Docker daemon      containers for the broker and the database
#   else                            tells what is missing; the tests that need it are then skipped
#
# Quick when all is there, safe to run again, starts no system service.
# PULSO_TEST_NO_SKIP=1 (as in CI) makes a missing part a failure.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="$ROOT/.services"
LOG="$CACHE/services.log"
mkdir -p "$CACHE"

say() { printf 'services: %s\n' "$*"; }

# --- what is there -------------------------------------------------------------------------------------------------

have_mosquitto() { PATH="$CACHE/bin:$PATH:/usr/sbin:/usr/local/sbin" command -v mosquitto >/dev/null; }

# Directory of the newest installed PostgreSQL server's programs, as Debian lays them out; else of the one on PATH.
postgres_bin() {
    local newest
    newest="$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)"
    if [ -n "$newest" ] && [ -x "$newest/postgres" ]; then
        printf '%s\n' "$newest"
    elif command -v postgres >/dev/null; then
        dirname "$(command -v postgres)"
    fi
}

have_timescaledb() {
    local bin
    [ -f "$CACHE/database.url" ] && return 0
    [ -n "${PULSO_TEST_DATABASE_URL:-}" ] && return 0
    bin="$(postgres_bin)"
    [ -n "$bin" ] && [ -x "$bin/pg_config" ] && [ -f "$("$bin/pg_config" --pkglibdir)/timescaledb.so" ]
}

have_chromium() {
    [ -x "${PULSO_TEST_CHROMIUM:-}" ] && return 0
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null
}

missing() {
    have_mosquitto || echo mosquitto
    have_timescaledb || echo timescaledb
    have_chromium || echo chromium
}

# --- Debian as root ------------------------------------------------------------------------------------------------

quietly() {
    if ! "$@" >>"$LOG" 2>&1; then
        say "failed: $* (the last lines of $LOG follow)"
        tail -n 15 "$LOG" >&2
        return 1
    fi
}

# Packages must not start their own broker and database: the tests run private ones.
POLICY=/usr/sbin/policy-rc.d
with_services_held() {
    local ours="" status=0
    if [ ! -e "$POLICY" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod 755 "$POLICY"
        ours=yes
    fi
    "$@" || status=$?
    [ -z "$ours" ] || rm -f "$POLICY"
    return "$status"
}

install_packages() {
    say "installing $*"
    DEBIAN_FRONTEND=noninteractive with_services_held \
        quietly apt-get install --yes --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
}

UPDATED=""
update_lists() {
    [ -n "$UPDATED" ] && return 0
    say "updating package lists"
    quietly apt-get update || say "some package lists could not be updated; going on with those there are"
    UPDATED=yes
}

candidate() { apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'; }

install_timescaledb() {
    local bin major
    bin="$(postgres_bin)"
    if [ -z "$bin" ]; then
        major="$(apt-cache depends postgresql 2>/dev/null | grep -o 'postgresql-[0-9][0-9]*' | head -n 1 | grep -o '[0-9]*$')"
    else
        major="$(basename "$(dirname "$bin")")"
    fi
    if [ -z "$major" ]; then
        say "no PostgreSQL package to be had"
        return 1
    fi
    if candidate "postgresql-$major-timescaledb"; then
        install_packages "postgresql-$major" "postgresql-$major-timescaledb"
    else
        install_packages "postgresql-$major" "postgresql-server-dev-$major" build-essential cmake libssl-dev dpkg-dev
        build_timescaledb "/usr/lib/postgresql/$major/bin"
    fi
}

# The mirror this machine already uses for Debian, in either format of apt's sources.
debian_mirror() {
    local lines
    lines="$(cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true)"
    printf '%s\n' "$lines" |
        sed -nE -e 's/^URIs:[[:space:]]*//p' -e 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' |
        tr ' ' '\n' | grep -E '/debian/?$' | head -n 1
}

# Debian 13's source package of TimescaleDB, built against an older release's PostgreSQL. Apache edition.
build_timescaledb() {
    local pg_config="$1/pg_config" apt_dir="$CACHE/apt" work="$CACHE/timescaledb" mirror keys
    if [ -f "$work/built-for-$("$pg_config" --version | tr -c 'A-Za-z0-9.\n' '-')" ]; then
        quietly cmake --install "$work/build"
        return
    fi
    mirror="$(debian_mirror)"
    keys="$(find /usr/share/keyrings /etc/apt/trusted.gpg.d -name 'debian-archive-trixie-stable.*' -o -name 'debian-archive-keyring.*' 2>/dev/null | sort -r | head -n 1)"
    if [ -z "$mirror" ] || [ -z "$keys" ]; then
        say "no Debian mirror among apt's sources, or no Debian keyring: TimescaleDB cannot be built"
        return 1
    fi
    say "fetching the source of TimescaleDB"
    rm -rf "$apt_dir" "$work"
    mkdir -p "$apt_dir/lists/partial" "$work/source"
    printf 'deb-src [signed-by=%s] %s trixie main\n' "$keys" "$mirror" >"$apt_dir/sources.list"
    local -a private=(-o "Dir::Etc::sourcelist=$apt_dir/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$apt_dir/lists"
        -o "Dir::Cache::srcpkgcache=$apt_dir/src.bin" -o "Dir::Cache::pkgcache=$apt_dir/pkg.bin" -o APT::Sandbox::User=root)
    quietly apt-get update "${private[@]}"
    (cd "$work" && quietly apt-get source --download-only "${private[@]}" timescaledb)
    tar --extract --file "$(find "$work" -maxdepth 1 -name 'timescaledb_*.orig.tar.*' | head -n 1)" \
        --directory "$work/source" --strip-components 1
    say "building TimescaleDB (about half a minute)"
    quietly cmake -S "$work/source" -B "$work/build" -DPG_CONFIG="$pg_config" -DCMAKE_BUILD_TYPE=Release -DAPACHE_ONLY=ON \
        -DREGRESS_CHECKS=OFF -DTAP_CHECKS=OFF -DWARNINGS_AS_ERRORS=OFF
    quietly cmake --build "$work/build" --parallel "$(nproc)"
    quietly cmake --install "$work/build"
    rm -rf "$apt_dir" "$work/source/test" "$work/source/tsl/test"
    touch "$work/built-for-$("$pg_config" --version | tr -c 'A-Za-z0-9.\n' '-')"
}

provide_by_packages() {
    update_lists
    have_mosquitto || install_packages mosquitto mosquitto-clients || true
    have_chromium || install_packages chromium || true
    have_timescaledb || install_timescaledb || true
}

# --- Docker --------------------------------------------------------------------------------------------------------

provide_by_docker() {
    have_mosquitto || docker_mosquitto || true
    have_timescaledb || docker_timescaledb || true
}

# A stand-in program, so that the tests start and configure brokers as they do with an installed one.
docker_mosquitto() {
    say "using Mosquitto from its image"
    quietly docker pull eclipse-mosquitto:2
    mkdir -p "$CACHE/bin"
    cat >"$CACHE/bin/mosquitto" <<'SHIM'
#!/bin/sh
exec docker run --rm --init --network host --user "$(id -u):$(id -g)" --volume /tmp:/tmp eclipse-mosquitto:2 mosquitto "$@"
SHIM
    chmod 755 "$CACHE/bin/mosquitto"
}

docker_timescaledb() {
    local name=pulso-test-timescaledb port
    say "using TimescaleDB from its image"
    quietly docker pull timescale/timescaledb:latest-pg17
    docker rm --force "$name" >/dev/null 2>&1 || true
    quietly docker run --detach --name "$name" --publish 127.0.0.1::5432 --env POSTGRES_PASSWORD=pulso-test \
        timescale/timescaledb:latest-pg17
    port="$(docker port "$name" 5432/tcp | head -n 1 | sed 's/.*://')"
    printf 'postgresql://postgres:pulso-test@127.0.0.1:%s/postgres\n' "$port" >"$CACHE/database.url"
}

# --- main ----------------------------------------------------------------------------------------------------------

main() {
    local lacking
    # A container of an earlier run may be gone by now.
    if [ -f "$CACHE/database.url" ] && ! docker inspect pulso-test-timescaledb >/dev/null 2>&1; then
        rm -f "$CACHE/database.url"
    fi
    [ -n "$(missing)" ] || { say "Mosquitto, TimescaleDB and Chromium are there"; return 0; }
    : >"$LOG"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        provide_by_packages
    fi
    if [ -n "$(missing)" ] && command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        provide_by_docker
    fi
    lacking="$(missing | tr '\n' ' ')"
    [ -n "$lacking" ] || { say "Mosquitto, TimescaleDB and Chromium are there"; return 0; }
    cat >&2 <<TEXT

  ============================================================================================
   Missing for the tests: $lacking
   The tests that need these are skipped. To run them all, do one of these:
     - on Debian or a relative:  sudo scripts/services.sh
     - start a Docker daemon and run scripts/services.sh again (broker and database)
     - install them yourself: mosquitto on PATH, PostgreSQL with TimescaleDB (or set
       PULSO_TEST_DATABASE_URL to a server where databases may be created), chromium on PATH
  ============================================================================================

TEXT
    [ "${PULSO_TEST_NO_SKIP:-}" != 1 ]
}

main "$@"
