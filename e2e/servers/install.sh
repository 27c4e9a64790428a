#!/usr/bin/env bash
#
# install.sh brings the real servers that tests, benchmarks and the demo need.
#
# It installs MySQL into ${TOWLINE_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/towline/servers}/mysql:
#
#   mysql/installed      stamp: recipe number and server version; present only when the rest is whole
#   mysql/root/          a small Debian root with mysqld and its tools, entered by chroot
#   mysql/root/var/lib/towline/template   an initialised datadir; a server starts from a copy of it
#
# The root gets pt-online-schema-change of the Percona Toolkit as well, for the tests of online schema changes.
#
# Where a root cannot be made (not root, no apt) a mysqld >= 8.0 found on the machine is used:
#
#   mysql/host           the path of that mysqld
#   mysql/data/template  the initialised datadir
#
# The script may be run again at any time: what is whole is left alone, what is half done is redone.
# Two runs at once are safe: the second waits for the first. Everything is built under a temporary
# name and renamed when whole, so a killed run never leaves something that looks installed.
#
# Settings: TOWLINE_SERVERS        where to install
#           TOWLINE_DEBIAN_MIRROR  a Debian mirror, when the one apt is configured with has no sid

set -euo pipefail

# Raise it when the layout or the template changes: older installs are then replaced.
readonly RECIPE=1
readonly PACKAGES=mysql-server-core,mysql-client-core,tzdata
readonly TOOLKIT=usr/bin/pt-online-schema-change

exec </dev/null
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

installed() { [[ -r $HOME_DIR/installed && $(head -n 1 "$HOME_DIR/installed") == "recipe $RECIPE" ]]; }

# complete: MySQL is there, and in a Debian root the toolkit too.
complete() { installed && [[ ! -d $HOME_DIR/root || -x $HOME_DIR/root/$TOOLKIT ]]; }

# add_toolkit: installs the Percona Toolkit beside a MySQL that is there already, and may be in use.
add_toolkit() {
	fetch_proxy
	step "install the Percona Toolkit" install_in_root "$HOME_DIR/root" percona-toolkit ||
		die "percona-toolkit cannot be installed in $HOME_DIR/root, so there is no pt-online-schema-change for its tests"
}

report() { say "MySQL is ready in $HOME_DIR ($(sed -n 2p "$HOME_DIR/installed"))"; }

# make_template data seen prefix...: initialises <data>/template. The programs see the folder <data> as
# <seen>, and are run with the prefix that follows (chroot and its root, or nothing). It runs as a
# condition, where "set -e" is not in force: every step must return its own failure.
#
# The template has root@'%' without a password, because servers run with skip-name-resolve, and the
# time zone tables, so that zones can be given by name.
make_template() {
	local data=$1 seen=$2
	shift 2
	mkdir -p "$data/run" || return
	printf '%s\n' "CREATE USER 'root'@'%' IDENTIFIED BY '';" \
		"GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;" \
		"GRANT PROXY ON ''@'' TO 'root'@'%' WITH GRANT OPTION;" \
		"USE mysql;" >"$data/init.sql" || return
	"$@" mysql_tzinfo_to_sql /usr/share/zoneinfo >>"$data/init.sql" || return
	"$@" mysqld --no-defaults --initialize-insecure "${AS_ROOT[@]}" \
		--datadir="$seen/template" --init-file="$seen/init.sql" \
		--disable-log-bin --innodb-redo-log-capacity=64M || return
	# Every copy must get a uuid of its own, and spare redo files are made anew when missing.
	rm -f "$data/init.sql" "$data/template/auto.cnf" "$data"/template/'#innodb_redo'/*_tmp
}

# publish version: stamps the partial install and gives it its name.
publish() {
	printf 'recipe %s\n%s\n' "$RECIPE" "$1" >"$PARTIAL/installed"
	sync -f "$PARTIAL"
	mv -T "$PARTIAL" "$HOME_DIR"
}

install_debian_root() {
	local mirror root=$PARTIAL/root
	ensure_debootstrap
	fetch_proxy
	mirror=$(debian_mirror) ||
		die "none of the archive sites that apt is configured with has Debian $SUITE;" \
			"set TOWLINE_DEBIAN_MIRROR to a Debian mirror and run this again"
	step "install MySQL from Debian $SUITE (about a minute, 600 MB)" \
		debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$root" "$mirror" ||
		die "debootstrap of Debian $SUITE failed; when the mirror is at fault, set TOWLINE_DEBIAN_MIRROR to another"
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
	step "initialise the template datadir" \
		make_template "$root/var/lib/towline" /var/lib/towline chroot "$root"
	publish "$(chroot "$root" mysqld --version)"
}

# host_mysqld: the mysqld of this machine, when it is a MySQL of 8.0 or later.
host_mysqld() {
	local path version
	path=$(command -v mysqld) || return 1
	version=$("$path" --no-defaults --version) || return 1
	[[ $version != *MariaDB* && $version =~ Ver\ ([0-9]+)\. && ${BASH_REMATCH[1]} -ge 8 ]] || return 1
	readlink -f "$path"
}

install_host_mysqld() {
	local path=$1
	say "using the mysqld of this machine: $path"
	mkdir -p "$PARTIAL"
	printf '%s\n' "$path" >"$PARTIAL/host"
	step "initialise the template datadir" make_template "$PARTIAL/data" "$PARTIAL/data"
	publish "$("$path" --no-defaults --version)"
}

install_mysql() {
	local path
	: >"$LOG"
	discard "$PARTIAL"
	discard "$HOME_DIR"
	if ((EUID == 0)) && command -v apt-get >/dev/null; then
		install_debian_root
	elif path=$(host_mysqld); then
		install_host_mysqld "$path"
	elif [[ -n ${TOWLINE_TEST_MYSQL:-} ]]; then
		say "no server installed (this needs root and apt); tests that share a server use TOWLINE_TEST_MYSQL"
	else
		die "MySQL cannot be installed: that needs root and apt (Debian), and no mysqld of 8.0 or later is on the PATH." \
			"Run 'make servers' as root, or put a MySQL 8.0+ mysqld on the PATH," \
			"or set TOWLINE_TEST_MYSQL to a server with admin rights, such as root:password@tcp(127.0.0.1:3306)/"
	fi
}

SERVERS=$(servers_dir)
LOG=$SERVERS/install.log
HOME_DIR=$SERVERS/mysql
PARTIAL=$SERVERS/mysql.partial
AS_ROOT=()
((EUID != 0)) || AS_ROOT=(--user=root)

install_missing() {
	installed || install_mysql
	if installed && ! complete; then
		add_toolkit
	fi
}

install_once "$SERVERS/install.lock" complete report install_missing
