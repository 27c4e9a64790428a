#!/usr/bin/env bash
#
# clients.sh brings kafka-connect-cli, a client of Kafka Connect's REST API, for the tests of ours, into a Python
# environment of its own: ${TOWLINE_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/towline/servers}/kafka-connect-cli
#
# Python's venv is installed with apt where it is missing, as root. The script may be run again at any time, and twice
# at once, as install.sh. Without venv it says so and ends with 0; the tests that need the client are skipped then, or
# fail where servers are required.

set -euo pipefail

readonly CLIENT=kafka-connect-cli==0.2.5

exec </dev/null
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

BASE=${TOWLINE_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/towline/servers}
readonly BASE HOME_DIR=$BASE/kafka-connect-cli LOG=$BASE/kafka-connect-cli.log
mkdir -p "$BASE"
exec 9>"$HOME_DIR.lock"
flock 9

if [[ -r $HOME_DIR/installed && $(<"$HOME_DIR/installed") == "$CLIENT" ]]; then
	say "kafka-connect-cli is ready in $HOME_DIR"
	exit 0
fi

make_venv() { rm -rf "$HOME_DIR" && command -v python3 >/dev/null && python3 -m venv "$HOME_DIR" >>"$LOG" 2>&1; }

get_venv() {
	((EUID == 0)) && command -v apt-get >/dev/null || return
	step "refresh the package lists" apt-get -o DPkg::Lock::Timeout=300 update || true
	step "install Python's venv" apt_install python3-venv
}

if ! make_venv && ! { get_venv && make_venv; }; then
	rm -rf "$HOME_DIR"
	say "there is no Python with venv (python3-venv), so kafka-connect-cli is not installed and its test cannot run"
	exit 0
fi
step "install kafka-connect-cli" "$HOME_DIR/bin/pip" install --no-input --disable-pip-version-check "$CLIENT" ||
	die "kafka-connect-cli cannot be installed"
printf '%s\n' "$CLIENT" >"$HOME_DIR/installed"
say "kafka-connect-cli is ready in $HOME_DIR"
