# Sourced by ./check, ./try, t/bench/run, t/fuzz/run and t/soak, with the top of the tree as the working directory.
# shellcheck shell=sh

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Packages of the purposes named as arguments that are not installed, separated by spaces.
setup_missing() {
	for purpose in "$@"; do
		sed -n "s/^$purpose: *//p" t/packages
	done | tr ' ' '\n' | sort -u | while read -r pkg; do
		[ -n "$pkg" ] || continue
		status=$(dpkg-query -W -f '${Status}' "$pkg" 2>/dev/null) || status=
		[ "$status" = 'install ok installed' ] || printf '%s ' "$pkg"
	done
}

# One quiet apt-get run.  The mail servers among the packages are peers of the tests, not
# services of this machine: they must not start when they are installed.
setup_apt() {
	log=$(mktemp "${TMPDIR:-/tmp}/postern-apt.XXXXXX")
	policy=
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		policy=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	# shellcheck disable=SC2086
	trap 'rm -f $policy "$log"' EXIT
	trap 'exit 130' INT TERM
	rc=0
	export DEBIAN_FRONTEND=noninteractive
	{
		apt-get -q update &&
		{ ! command -v debconf-set-selections ||
		    echo 'postfix postfix/main_mailer_type select No configuration' |
		    debconf-set-selections; } &&
		apt-get -q -y --no-install-recommends -o Dpkg::Lock::Timeout=120 install "$@"
	} >"$log" 2>&1 </dev/null || rc=$?
	[ $rc -eq 0 ] || tail -n 30 "$log" >&2
	# shellcheck disable=SC2086
	rm -f $policy "$log"
	trap - EXIT INT TERM
	[ $rc -eq 0 ] || die "apt-get failed (its output is above)"
}

# Install what the purposes named as arguments need.
setup_packages() {
	command -v dpkg-query >/dev/null || {
		say "no dpkg here: taking for granted that the packages in t/packages are installed"
		return 0
	}
	missing=$(setup_missing "$@")
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		say "packages are missing; as root, run:"
		say "  apt-get install --no-install-recommends ${missing% }"
		exit 1
	fi
	say "installing packages: ${missing% }"
	# shellcheck disable=SC2086
	setup_apt $missing
}

# Run ./configure when its result is missing or older than itself.
setup_configure() {
	if [ ! -e config.mk ] || [ -n "$(find configure -newer config.mk)" ]; then
		./configure
	fi
}
