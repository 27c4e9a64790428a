#!/usr/bin/env bash
#
# peers.sh brings the tools that benchmarks compare Towline with.
#
# Below ${TOWLINE_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/towline/servers}/peers:
#
#   root/                       a small Debian root, entered by chroot, with mydumper, myloader, sysbench and a JRE
#   root/opt/debezium-server/   Debezium Server, from the Maven repository that mvn is configured with
#
# Each of the two is left alone when it is there. What cannot be had is named, and the benchmarks do without it; the
# exit code is 0 then too. It needs root and apt, as install.sh does, and 2 GB of space.
#
# Settings: TOWLINE_SERVERS, TOWLINE_DEBIAN_MIRROR as for install.sh

set -euo pipefail

readonly DEBEZIUM=3.6.0.Final
readonly PACKAGES=(mydumper sysbench openjdk-21-jre-headless)

exec </dev/null
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_root() {
	local mirror partial=$ROOT.partial
	ensure_debootstrap
	fetch_proxy
	mirror=$(debian_mirror) || return
	discard "$partial"
	step "make a Debian $SUITE root for peers (a minute, 500 MB)" debootstrap --variant=minbase "$SUITE" "$partial" "$mirror" || return
	step "install ${PACKAGES[*]}" install_in_root "$partial" "${PACKAGES[@]}" || return
	sync -f "$partial"
	mv -T "$partial" "$ROOT"
}

# maven: runs mvn of this machine, or that of the root, with a repository in a folder of the root.
maven() {
	if command -v mvn >/dev/null; then
		mvn -B -q -Dmaven.repo.local="$ROOT$REPO" "$@"
		return
	fi
	[[ -x $ROOT/usr/bin/mvn ]] || install_in_root "$ROOT" maven || return
	if [[ -r ${HOME:-/root}/.m2/settings.xml ]]; then
		mkdir -p "$ROOT/root/.m2" && cp "${HOME:-/root}/.m2/settings.xml" "$ROOT/root/.m2/" || return
	fi
	HOME=/root chroot "$ROOT" mvn -B -q -Dmaven.repo.local="$REPO" "$@"
}

# fetch_debezium: gets the archive into the repository. Its pom names a parent that is not published with it and of
# which nothing is needed; an empty one takes its place.
fetch_debezium() {
	local parent=$ROOT$REPO/io/debezium/debezium-server/$DEBEZIUM
	mkdir -p "$parent" || return
	printf '<project><modelVersion>4.0.0</modelVersion><groupId>io.debezium</groupId><artifactId>debezium-server</artifactId><version>%s</version><packaging>pom</packaging></project>\n' \
		"$DEBEZIUM" >"$parent/debezium-server-$DEBEZIUM.pom" || return
	maven org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get -Dtransitive=false \
		-Dartifact="io.debezium:debezium-server-dist:$DEBEZIUM:tar.gz"
}

install_debezium() {
	local partial=$ROOT/opt/debezium.partial archive
	rm -rf "$partial" "${ROOT:?}$REPO"
	step "fetch Debezium Server $DEBEZIUM (a minute, 800 MB)" fetch_debezium || return
	archive=$ROOT$REPO/io/debezium/debezium-server-dist/$DEBEZIUM/debezium-server-dist-$DEBEZIUM.tar.gz
	mkdir -p "$partial"
	step "unpack it" tar -xzf "$archive" -C "$partial" --strip-components=1 || return
	rm -rf "${ROOT:?}$REPO"
	sync -f "$partial"
	mv -T "$partial" "$ROOT/opt/debezium-server"
}

SERVERS=$(servers_dir)
LOG=$SERVERS/peers.log
ROOT=$SERVERS/peers/root
REPO=/opt/maven-repository

if [[ -d $ROOT/opt/debezium-server ]]; then
	say "the peers are ready in $SERVERS/peers"
	exit 0
fi
if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
	say "the peers are not installed: that needs root and apt (Debian); benchmarks do without them"
	exit 0
fi
mkdir -p "$SERVERS/peers"
exec 9>"$SERVERS/peers.lock"
flock 9
: >"$LOG"
if [[ ! -d $ROOT ]] && ! make_root; then
	say "the Debian root for peers cannot be made; benchmarks do without them"
	exit 0
fi
if [[ ! -d $ROOT/opt/debezium-server ]] && ! install_debezium; then
	say "Debezium Server cannot be had; benchmarks do without it"
	exit 0
fi
say "the peers are ready in $SERVERS/peers; took $SECONDS s"
