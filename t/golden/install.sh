#!/bin/bash
# "make install" puts everything where it belongs and "make uninstall" takes all of it away.
#
#	t/golden/install.sh BUILD_DIR
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build/rel}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/install.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
rc=0

result() {
	if [ "$1" -eq 0 ]; then
		echo "ok $2"
	else
		echo "not ok $2"
		rc=1
	fi
}

run() {
	make -s BUILD="${build%/*}" V="${build##*/}" DESTDIR="$tmp/root" "$@" >"$tmp/out" 2>&1 ||
	    { cat "$tmp/out"; return 1; }
}

value() {
	sed -n "s/^$1 := //p" config.mk
}

run install
result $? install_succeeds
prefix=$tmp/root$(value PREFIX)

missing=0
for file in sbin/postern bin/gwctl bin/gwkeyctl "bin/$(value KEYCTL_NAME)" \
    libexec/postern/{smtpd,pop3d,filterd,cryptod,policyd,queued,deliverd,anvild,dnsd,keyd,logd}; do
	[ -x "$prefix/$file" ] || { echo "no $file"; missing=1; }
done
for file in "$prefix"/lib/{sysusers.d/postern.conf,tmpfiles.d/postern.conf} \
    "$prefix"/lib/systemd/system/postern{,@}.service \
    "$prefix"/share/bash-completion/completions/{gwctl,gwkeyctl,"$(value KEYCTL_NAME)"} \
    "$tmp/root$(value SYSCONFDIR)/postern/postern.conf.example"; do
	[ -s "$file" ] || { echo "no $file"; missing=1; }
done
result $missing every_file_is_installed

! grep -rl '@[A-Z]*@' "$prefix/lib" "$tmp/root$(value SYSCONFDIR)"
result $? no_placeholder_is_left

bad=0
for page in man/*.[1-8]; do
	name=$(basename "$page")
	find "$prefix/share/man" -name "*${name#master}" | grep -q . || { echo "no $name"; bad=1; }
done
result $bad every_manual_page_is_installed

run uninstall && left=$(find "$tmp/root" ! -type d) && [ -z "$left" ]
result $? uninstall_leaves_no_file
exit $rc
