#!/usr/bin/env bash
#
# rocketmq.sh brings the RocketMQ that tests and benchmarks need.
#
# It installs into ${TOWLINE_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/towline/servers}/rocketmq:
#
#   rocketmq/installed   stamp: recipe number and version; present only when the rest is whole
#   rocketmq/java        the path of the java that runs it
#   rocketmq/lib/        name server, broker and tools with all that they need, from the Maven repository that mvn
#                        is configured with
#
# java (11 or later) and mvn are those on the PATH; what is missing is installed with apt, as root. As with install.sh
# it may be run again at any time, two runs at once are safe, and a killed run leaves nothing that looks installed.
#
# Settings: TOWLINE_SERVERS  where to install

set -euo pipefail

# Raise it when the layout changes: older installs are then replaced.
readonly RECIPE=1
readonly VERSION=5.5.0

exec </dev/null
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

installed() { installed_for_java; }

report() { say "RocketMQ is ready in $HOME_DIR ($(sed -n 2p "$HOME_DIR/installed"))"; }

# ensure_tools: installs from the distribution what is missing of java and mvn. A broken source of
# packages fails the update and yet leaves the lists that are needed: whether the packages come is what decides.
ensure_tools() {
	local packages=()
	has_java 11 || packages+=(default-jre-headless)
	command -v mvn >/dev/null || packages+=(maven)
	((${#packages[@]})) || return 0
	if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
		die "RocketMQ cannot be installed: ${packages[*]} must be there, and installing that needs root and apt (Debian)." \
			"Put java 11 or later and mvn on the PATH, or run 'make servers' as root"
	fi
	step "refresh the package lists" apt-get -o DPkg::Lock::Timeout=300 update || true
	step "install ${packages[*]}" apt_install "${packages[@]}" ||
		die "${packages[*]} cannot be installed; install it by hand and run this again"
}

write_pom() {
	printf '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>\n'
	printf '<groupId>towline</groupId><artifactId>rocketmq</artifactId><version>1</version><packaging>pom</packaging>\n<dependencies>\n'
	printf '<dependency><groupId>org.apache.rocketmq</groupId><artifactId>%s</artifactId><version>'"$VERSION"'</version></dependency>\n' \
		rocketmq-namesrv rocketmq-broker rocketmq-tools
	printf '</dependencies></project>\n'
}

# fetch: mvn tries again what a registry that is busy did not give at once.
fetch() {
	local try
	for try in 1 2 3; do
		if mvn -B -q -f "$PARTIAL/pom.xml" -Dmaven.repo.local="$PARTIAL/repository" \
			org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
			-DincludeScope=runtime -DoutputDirectory="$PARTIAL/lib"; then
			return 0
		fi
		echo "attempt $try failed"
		sleep $((5 * try))
	done
	return 1
}

install_rocketmq() {
	: >"$LOG"
	rm -rf "$PARTIAL" "$HOME_DIR"
	ensure_tools
	mkdir -p "$PARTIAL"
	write_pom >"$PARTIAL/pom.xml"
	step "fetch RocketMQ $VERSION (a minute, 100 MB)" fetch ||
		die "RocketMQ $VERSION cannot be had from the Maven repository that mvn is configured with"
	rm -rf "$PARTIAL/repository"
	readlink -f "$(command -v java)" >"$PARTIAL/java"
	settle "$RECIPE" "RocketMQ $VERSION"
}

SERVERS=$(servers_dir)
LOG=$SERVERS/rocketmq.log
HOME_DIR=$SERVERS/rocketmq
PARTIAL=$SERVERS/rocketmq.partial

install_once "$SERVERS/rocketmq.lock" installed report install_rocketmq
