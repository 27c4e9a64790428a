#!/usr/bin/env bash
#
# redis.sh brings the Redis that tests of the store of offsets need.
#
# Below ${TOWLINE_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/towline/servers}/redis:
#
#   installed      stamp: recipe number and server version; present only when the rest is whole
#   root/          what redis-server needs of Debian 12, unpacked and not configured, entered by chroot
#
# The script may be run again at any time, and twice at once, as install.sh. It needs root and apt; without them it
# says so and ends with 0, and tests that need Redis are skipped, or fail where servers are required.
#
# Settings: TOWLINE_SERVERS, TOWLINE_DEBIAN_MIRROR as for install.sh

set -euo pipefail

# Raise it when the layout changes: older installs are then replaced.
readonly RECIPE=1
readonly RELEASE=bookworm # has Redis 7.0

exec </dev/null
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

installed() { [[ -r $HOME_DIR/installed && $(head -n 1 "$HOME_DIR/installed") == "recipe $RECIPE" ]]; }

report() { say "Redis is ready in $HOME_DIR ($(sed -n 2p "$HOME_DIR/installed"))"; }

install_redis() {
	unpack_server Redis "some seconds, 150 MB" "$RELEASE" redis-server || return 0
	mkdir -p "$PARTIAL/root/var/lib/towline"
	settle "$RECIPE" "$(chroot "$PARTIAL/root" redis-server --version)"
}

SERVERS=$(servers_dir)
LOG=$SERVERS/redis.log
HOME_DIR=$SERVERS/redis
PARTIAL=$SERVERS/redis.partial

install_once "$SERVERS/redis.lock" installed report install_redis
