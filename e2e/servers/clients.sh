#!/usr/bin/env bash
#
# clients.sh brings programs of others that speak to Towline, for its tests, each into a Python environment of its own,
# ${TOWLINE_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/towline/servers}/NAME:
#
#   kafka-connect-cli   a client of Kafka Connect's REST API
#   confluent-kafka     Confluent's client of registries of schemas, which reads Avro
#
# Python's venv is installed with apt where it is missing, as root. The script may be run again at any time, and twice
# at once, as install.sh. Without venv it says so and ends with 0; the tests that need a client are skipped then, or
# fail where servers are required.

set -euo pipefail

exec </dev/null
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

BASE=${TOWLINE_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/towline/servers}
readonly BASE LOG=$BASE/clients.log
mkdir -p "$BASE"
exec 9>"$BASE/clients.lock"
flock 9

get_venv() {
	((EUID == 0)) && command -v apt-get >/dev/null || return
	step "refresh the package lists" apt-get -o DPkg::Lock::Timeout=300 update || true
	step "install Python's venv" apt_install python3-venv
}

make_venv() { rm -rf "$1" && command -v python3 >/dev/null && python3 -m venv "$1" >>"$LOG" 2>&1; }

# client name requirement: installs one.
client() {
	local home=$BASE/$1
	if [[ -r $home/installed && $(<"$home/installed") == "$2" ]]; then
		say "$1 is ready in $home"
		return
	fi
	if ! make_venv "$home" && ! { get_venv && make_venv "$home"; }; then
		rm -rf "$home"
		say "there is no Python with venv (python3-venv), so $1 is not installed and its test cannot run"
		return
	fi
	step "install $1" "$home/bin/pip" install --no-input --disable-pip-version-check "$2" || die "$1 cannot be installed"
	printf '%s\n' "$2" >"$home/installed"
	say "$1 is ready in $home"
}

client kafka-connect-cli kafka-connect-cli==0.2.5
client confluent-kafka 'confluent-kafka[avro]==2.16.1'
