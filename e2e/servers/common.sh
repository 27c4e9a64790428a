# shellcheck shell=bash
#
# common.sh holds what the install scripts of this folder share: it is sourced by them. They set LOG, the file that
# gets the output of commands.

readonly SUITE=sid

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
# Debian keeps debootstrap, chroot and mysqld in sbin, which not every PATH has.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() { printf 'servers: %s\n' "$*"; }

die() {
	printf 'servers: %s\n' "$@" >&2
	exit 1
}

# step "text" command...: runs a command, its output to the log; says how long it took.
step() {
	local text=$1 began=$SECONDS rc=0
	shift
	say "$text ..."
	printf '\n== %s\n' "$text" >>"$LOG"
	"$@" >>"$LOG" 2>&1 || rc=$?
	if ((rc != 0)); then
		printf 'servers: %s: failed after %d s with status %d; the end of %s:\n' \
			"$text" $((SECONDS - began)) "$rc" "$LOG" >&2
		tail -n 20 "$LOG" >&2
		return "$rc"
	fi
	say "$text: done in $((SECONDS - began)) s"
}

# discard folder: deletes a folder that may hold a half-made root. A killed debootstrap leaves /proc
# mounted in it, and a delete must not walk into that.
discard() {
	local dir=$1 mount
	[[ -e $dir ]] || return 0
	while read -r mount; do
		umount -l "$mount"
	done < <(awk -v d="$dir/" 'index($2, d) == 1 { print $2 }' /proc/self/mounts | sort -r)
	rm -rf --one-file-system "$dir"
}

# apt_sites: the archive sites that apt is configured with, one per line, mirror lists resolved.
apt_sites() {
	local site
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | awk '!seen[$0]++' |
		while read -r site; do
			case $site in
			mirror+file:*) awk 'NF && $1 !~ /^#/ { sub("/+$", "", $1); print $1 }' \
				"$(sed -E 's|^mirror\+file:/*|/|' <<<"$site")" ;;
			*) printf '%s\n' "$site" ;;
			esac
		done
}

# fetch_proxy: debootstrap knows nothing of apt's proxy setting, so hand it over.
fetch_proxy() {
	local TOWLINE_PROXY=
	[[ -z ${http_proxy:-} ]] || return 0
	eval "$(apt-config shell TOWLINE_PROXY Acquire::http::Proxy)"
	if [[ -n $TOWLINE_PROXY && $TOWLINE_PROXY != DIRECT ]]; then
		export http_proxy=$TOWLINE_PROXY
	fi
}

# debian_mirror [suite]: the first configured site that carries the suite.
debian_mirror() {
	local site suite=${1:-$SUITE}
	if [[ -n ${TOWLINE_DEBIAN_MIRROR:-} ]]; then
		printf '%s\n' "$TOWLINE_DEBIAN_MIRROR"
		return
	fi
	while read -r site; do
		if wget -q --tries=3 --timeout=30 -O /dev/null "$site/dists/$suite/InRelease"; then
			printf '%s\n' "$site"
			return
		fi
	done < <(apt_sites)
	return 1
}

apt_install() {
	apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
}

# install_in_root root package...: installs packages in a Debian root. Those with Java need /proc.
install_in_root() {
	local root=$1 rc=0
	shift
	cp /etc/resolv.conf "$root/etc/resolv.conf" || return
	apt-config dump Acquire >"$root/etc/apt/apt.conf.d/90host" || return
	mount -t proc proc "$root/proc" || return
	{ chroot "$root" apt-get update && chroot "$root" apt-get install -y --no-install-recommends "$@"; } || rc=$?
	umount -l "$root/proc"
	rm -rf "$root"/var/cache/apt/archives/*.deb
	return "$rc"
}

# unpack root release mirror packages: what packages, separated by commas, and those that they depend on hold, without
# running any of their scripts: that takes half of the time and gives no more than a few files. It runs as a condition,
# where "set -e" is not in force: every step returns its own failure.
unpack() {
	local root=$1 release=$2 mirror=$3 packages=$4 deb
	debootstrap --foreign --variant=minbase --include="$packages" "$release" "$root" "$mirror" || return
	for deb in "$root"/var/cache/apt/archives/*.deb; do
		dpkg-deb -x "$deb" "$root" || return
	done
	printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd" || return
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/debootstrap "$root"/usr/share/{doc,man,locale}
}

ensure_debootstrap() {
	if command -v debootstrap >/dev/null && command -v wget >/dev/null; then
		return
	fi
	# One broken third-party source fails the update and yet leaves the lists we need:
	# whether debootstrap can be installed is what decides.
	step "refresh the package lists" apt-get -o DPkg::Lock::Timeout=300 update || true
	step "install debootstrap" apt_install debootstrap wget debian-archive-keyring ||
		die "debootstrap cannot be installed; install it by hand and run this again"
}

# unpack_server name how_long release packages: unpacks a server of a Debian release below $PARTIAL/root, in place of
# what is there and of what is installed in $HOME_DIR. Without root and apt it says so and fails.
unpack_server() {
	local name=$1 how_long=$2 release=$3 packages=$4 mirror
	: >"$LOG"
	discard "$PARTIAL"
	discard "$HOME_DIR"
	if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
		say "$name cannot be installed (this needs root and apt); tests that need it will not run"
		return 1
	fi
	ensure_debootstrap
	fetch_proxy
	mirror=$(debian_mirror "$release") ||
		die "none of the archive sites that apt is configured with has Debian $release;" \
			"set TOWLINE_DEBIAN_MIRROR to a Debian mirror and run this again"
	step "unpack $name from Debian $release ($how_long)" unpack "$PARTIAL/root" "$release" "$mirror" "$packages" ||
		die "$name of Debian $release cannot be had; when the mirror is at fault, set TOWLINE_DEBIAN_MIRROR to another"
}

# settle recipe version: makes what lies in $PARTIAL the installed one.
settle() {
	printf 'recipe %s\n%s\n' "$1" "$2" >"$PARTIAL/installed"
	sync -f "$PARTIAL"
	mv -T "$PARTIAL" "$HOME_DIR"
}

# has_java N: whether the java on the PATH is N or later.
has_java() {
	local line
	command -v java >/dev/null || return 1
	line=$(java -version 2>&1 | head -n 1) || return 1
	[[ $line =~ \"([0-9]+)[.\"] && ${BASH_REMATCH[1]} -ge $1 ]]
}

# installed_for_java: whether $HOME_DIR is whole, by recipe $RECIPE, and the java that it is for still there.
installed_for_java() {
	[[ -r $HOME_DIR/installed && $(head -n 1 "$HOME_DIR/installed") == "recipe $RECIPE" && -x $(cat "$HOME_DIR/java") ]]
}

# servers_dir: the folder that everything is installed below.
servers_dir() {
	local dir=${TOWLINE_SERVERS:-${XDG_CACHE_HOME:-${HOME:?set HOME or TOWLINE_SERVERS}/.cache}/towline/servers}
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd -P)
	[[ $dir != *[[:space:]]* ]] || die "the folder '$dir' has a space in its name; set TOWLINE_SERVERS to one without"
	printf '%s\n' "$dir"
}

# install_once lock have report install...: runs install unless have says that it is there. One install runs
# at a time; whoever comes meanwhile waits for it. What there is in the end, report tells.
install_once() {
	local lock=$1 have=$2 report=$3
	shift 3
	if "$have"; then
		"$report"
		return
	fi
	exec 9>"$lock"
	if ! flock -n 9; then
		say "another install is under way; waiting for it"
		flock 9
	fi
	"$have" || "$@"
	if installed; then
		"$report"
		say "took $SECONDS s in all"
	fi
}
