#!/usr/bin/env bash
#
# mariadb.sh brings the MariaDB server that tests need, beside what install.sh brings.
#
# Below ${TOWLINE_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/towline/servers}/mariadb:
#
#   installed      stamp: recipe number and server version; present only when the rest is whole
#   root/          what mariadbd and its tools need of Debian 12, unpacked and not configured, entered by chroot
#   root/var/lib/towline/template   an initialised datadir; a server starts from a copy of it
#
# The script may be run again at any time, and twice at once, as install.sh. It needs root and apt; without them it
# says so and ends with 0, and tests that need MariaDB are skipped, or fail where servers are required.
#
# Settings: TOWLINE_SERVERS, TOWLINE_DEBIAN_MIRROR as for install.sh

set -euo pipefail

# Raise it when the layout or the template changes: older installs are then replaced.
readonly RECIPE=1
readonly RELEASE=bookworm # has MariaDB 10.11
readonly PACKAGES=mariadb-server-core,mariadb-client-core

exec </dev/null
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

installed() { [[ -r $HOME_DIR/installed && $(head -n 1 "$HOME_DIR/installed") == "recipe $RECIPE" ]]; }

report() { say "MariaDB is ready in $HOME_DIR ($(sed -n 2p "$HOME_DIR/installed"))"; }

# make_template root: initialises the template datadir, as mariadb-install-db does. The template has root@'%' without
# a password, because servers run with skip-name-resolve. It has no time zones by name. It runs as a condition, where
# "set -e" is not in force.
make_template() {
	local root=$1 data=$1/var/lib/towline share=$1/usr/share/mysql file
	mkdir -p "$data/run" "$data/template/mysql" || return
	{
		printf '%s;\n' 'CREATE DATABASE IF NOT EXISTS mysql' 'USE mysql'
		for file in mysql_system_tables mysql_performance_tables mysql_system_tables_data maria_add_gis_sp_bootstrap; do
			cat "$share/$file.sql" || return
		done
		printf '%s;\n' "FLUSH PRIVILEGES" "CREATE OR REPLACE USER root@'%' IDENTIFIED BY ''" \
			"GRANT ALL PRIVILEGES ON *.* TO root@'%' WITH GRANT OPTION"
	} >"$data/init.sql"
	chroot "$root" mariadbd --no-defaults --bootstrap --user=root --datadir=/var/lib/towline/template \
		--innodb-log-file-size=64M --skip-log-bin <"$data/init.sql" || return
	rm -f "$data/init.sql"
}

install_mariadb() {
	unpack_server MariaDB "half a minute, 350 MB" "$RELEASE" "$PACKAGES" || return 0
	step "initialise the template datadir" make_template "$PARTIAL/root"
	settle "$RECIPE" "$(chroot "$PARTIAL/root" mariadbd --no-defaults --version)"
}

SERVERS=$(servers_dir)
LOG=$SERVERS/mariadb.log
HOME_DIR=$SERVERS/mariadb
PARTIAL=$SERVERS/mariadb.partial

install_once "$SERVERS/mariadb.lock" installed report install_mariadb
