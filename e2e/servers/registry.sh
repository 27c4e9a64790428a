#!/usr/bin/env bash
#
# registry.sh brings Apicurio Registry, a registry of schemas that speaks Confluent's API, for the tests of ours.
#
# It installs into ${TOWLINE_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/towline/servers}/registry:
#
#   registry/installed   stamp: recipe number and version; present only when the rest is whole
#   registry/java        the path of the java that runs it
#   registry/app/        the program, from the Maven repository that mvn is configured with
#
# java (17 or later) and mvn are those on the PATH, which rocketmq.sh sees to. As with install.sh it may be run again at
# any time, two runs at once are safe, and a killed run leaves nothing that looks installed. Where it cannot be had it
# says so and ends with 0, and leaves registry.missing; the test that needs it is skipped then.
#
# Settings: TOWLINE_SERVERS  where to install

set -euo pipefail

# Raise it when the layout changes: older installs are then replaced.
readonly RECIPE=1
readonly VERSION=2.6.13.Final

exec </dev/null
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

installed() { installed_for_java; }

report() { say "the registry of schemas is ready in $HOME_DIR ($(sed -n 2p "$HOME_DIR/installed"))"; }

missing() {
	say "$1, so the test with another registry of schemas cannot run"
	printf '%s\n' "$1" >"$HOME_DIR.missing"
}

fetch() {
	local archive=$PARTIAL/repository/io/apicurio/apicurio-registry-app/$VERSION/apicurio-registry-app-$VERSION-all.tar.gz
	mvn -B -q -Dmaven.repo.local="$PARTIAL/repository" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get \
		-Dtransitive=false -Dartifact="io.apicurio:apicurio-registry-app:$VERSION:tar.gz:all" || return
	mkdir -p "$PARTIAL/app" && tar -xzf "$archive" -C "$PARTIAL/app" || return
	mv "$PARTIAL/app/apicurio-registry-app-$VERSION-runner.jar" "$PARTIAL/app/runner.jar" || return
	rm -rf "$PARTIAL/repository"
}

install_registry() {
	: >"$LOG"
	rm -rf "$PARTIAL" "$HOME_DIR" "$HOME_DIR.missing"
	if ! has_java 17 || ! command -v mvn >/dev/null; then
		missing "there is no java 17 or no mvn"
		return
	fi
	mkdir -p "$PARTIAL"
	if ! step "fetch Apicurio Registry $VERSION (140 MB)" fetch; then
		missing "Apicurio Registry $VERSION cannot be had from the Maven repository that mvn is configured with"
		return
	fi
	readlink -f "$(command -v java)" >"$PARTIAL/java"
	settle "$RECIPE" "Apicurio Registry $VERSION"
}

SERVERS=$(servers_dir)
LOG=$SERVERS/registry.log
HOME_DIR=$SERVERS/registry
PARTIAL=$SERVERS/registry.partial

install_once "$SERVERS/registry.lock" installed report install_registry
