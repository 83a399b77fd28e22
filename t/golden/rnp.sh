#!/bin/bash
# The message engine against rnp, both ways: keys of every kind that rnp and we make, messages
# from nothing to 2 MiB, encrypted, signed, both, clear-signed, detached; bzip2.
#
#	t/golden/rnp.sh BUILD_DIR		where golden/pgp_message and golden/pgp_cert are
#
# One line per case, "ok NAME" or "not ok NAME"; exit 1 when one failed.
set -u

bin=$(realpath "${1:?usage: rnp.sh BUILD_DIR}")/golden
pm=$bin/pgp_message
pc=$bin/pgp_cert
[ -x "$pm" ] && [ -x "$pc" ] || { echo "rnp.sh: $bin is not there; make golden" >&2; exit 2; }
work=$(mktemp -d) || exit 2
cd "$work" || exit 2
trap 'rm -rf "$work"' EXIT
export HOME=$work
mkdir -m 700 home

failed=0

run() {	# NAME COMMAND...
	local name=$1
	shift
	if "$@" >log 2>&1; then
		echo "ok $name"
	else
		echo "not ok $name"
		failed=1
		sed 's/^/# /' log | tail -5
	fi
}

rnp() {
	command rnp --homedir home --password word --notty --overwrite "$@"
}

rnpkeys() {
	command rnpkeys --homedir home --notty --overwrite "$@"
}

# Menu choices of rnpkeys --expert, by the name that we have for the curve.
choices() {
	case $1 in
	rsa) printf '1\n3072\n' ;;
	ed25519) printf '22\n' ;;
	nistp256) printf '19\n1\n' ;;
	nistp384) printf '19\n2\n' ;;
	nistp521) printf '19\n3\n' ;;
	brainpoolP256r1) printf '19\n4\n' ;;
	brainpoolP384r1) printf '19\n5\n' ;;
	brainpoolP512r1) printf '19\n6\n' ;;
	esac
}

# Most keys are left unprotected, for protection is slow on purpose.
rnp_makes() {	# KIND
	local word=
	[ "$1" != nistp384 ] || word=word
	choices "$1" | rnpkeys --password "$word" --generate-key --expert --userid "$1@rnp.test" &&
	    rnpkeys --password "$word" --export-key --secret --output "rnp.$1.sec" "$1@rnp.test" &&
	    rnpkeys --export-key --output "rnp.$1.pub" "$1@rnp.test" &&
	    "$pc" import "rnp.$1.sec" "${word:--}"
}

we_make() {	# KIND
	"$pc" make "$1" word "own.$1.pub" "own.$1.sec" "Own <$1@own.test>" &&
	    rnpkeys --password word --import-keys "own.$1.sec"
}

# What pgp_message printed must say that all is well.
said_good() {	# FILE SIGNATURES
	grep -q '^status ok' "$1" && [ "$(grep -c '^signature good' "$1")" -eq "$2" ] &&
	    [ "$(grep -c '^signature' "$1")" -eq "$2" ]
}

from_rnp() {	# WHOSE KIND DATA SIGNED RNP-OPTIONS...
	local key=$1.$2 uid=$2@$1.test data=$3 signed=$4
	shift 4
	[ "$signed" -eq 0 ] || set -- --sign --userid "$uid" "$@"
	rnp --encrypt --recipient "$uid" "$@" --output in "$data" || return 1
	"$pm" decrypt -p word -k "$key.sec" -c "$key.pub" in got >said
	cat said
	cmp got "$data" && said_good said "$signed"
}

to_rnp() {	# WHOSE KIND DATA OPTIONS...
	local key=$1.$2 data=$3
	shift 3
	"$pm" encrypt -p word -r "$key.pub" "$@" "$data" out || return 1
	rm -f got
	rnp --decrypt --output got out >said 2>&1 || { cat said; return 1; }
	cat said
	cmp got "$data" || return 1
	case " $* " in
	*" -s "*) grep -q 'Good signature' said ;;
	esac
}

signed_only() {	# WHOSE KIND
	local key=$1.$2 uid=$2@$1.test
	rnp --sign --userid "$uid" --output in text && "$pm" decrypt -c "$key.pub" in got >said &&
	    cat said && cmp got text && said_good said 1 || return 1
	"$pm" encrypt -p word -s "$key.sec" -z 2 text out && rnp --verify out
}

detached() {	# WHOSE KIND
	local key=$1.$2 uid=$2@$1.test
	rnp --sign --detach --armor --userid "$uid" --output sig data.8193 || return 1
	"$pm" verify -c "$key.pub" sig data.8193 >said
	cat said
	said_good said 1 || return 1
	"$pm" verify -c "$key.pub" sig text | grep -q '^signature bad' || return 1
	"$pm" sign -p word -s "$key.sec" -a data.8193 sig &&
	    rnp --verify --source data.8193 sig && ! rnp --verify --source text sig
}

cleartext() {	# WHOSE KIND
	local key=$1.$2 uid=$2@$1.test
	rnp --clearsign --userid "$uid" --output in text || return 1
	"$pm" clearverify -c "$key.pub" in got >said
	cat said
	# rnp adds an empty line
	said_good said 1 && tr -d '\r' <got | head -n 3000 | cmp - text || return 1
	sed -i 's/line 17 /line 71 /' in
	"$pm" clearverify -c "$key.pub" in got | grep -q '^signature bad'
}

for n in 0 1 8193 2097152; do
	head -c "$n" /dev/urandom >"data.$n"
done
seq -f 'line %.0f of a letter to whom it may concern' 1 3000 >text

kinds='rsa ed25519 nistp256 nistp384 nistp521 brainpoolP256r1 brainpoolP384r1 brainpoolP512r1'
for kind in $kinds; do
	run "rnp makes $kind, we take it" rnp_makes $kind
	for n in 0 1 8193 2097152; do
		run "rnp->us $kind $n" from_rnp rnp $kind data.$n 1 --zlib
		run "us->rnp $kind $n" to_rnp rnp $kind data.$n -s rnp.$kind.sec
	done
	run "rnp->us $kind encrypted only, bzip2" from_rnp rnp $kind text 0 --bzip --armor
	run "us->rnp $kind encrypted only, armour" to_rnp rnp $kind text -a -z 1
	run "rnp and us $kind signed only" signed_only rnp $kind
	run "rnp and us $kind detached" detached rnp $kind
	run "rnp->us $kind clear-signed" cleartext rnp $kind
	# What we export is protected as slowly as can be.
	run "we make $kind, rnp takes it" we_make $kind
	run "rnp->us with our $kind" from_rnp own $kind text 1
	run "us->rnp with our $kind" to_rnp own $kind text -s own.$kind.sec
done
for c in bzip zip zlib; do
	run "rnp->us $c of 2 MiB" from_rnp rnp nistp256 data.2097152 1 --$c -z 9
	run "rnp->us $c of text" from_rnp rnp nistp256 text 1 --$c
done
several() {
	rnp --encrypt --sign --userid nistp384@rnp.test --recipient rsa@rnp.test \
	    --recipient nistp521@own.test --recipient brainpoolP256r1@own.test --output in text ||
	    return 1
	local k
	for k in rnp.rsa own.nistp521 own.brainpoolP256r1; do
		"$pm" decrypt -p word -k $k.sec -c rnp.nistp384.pub in got >said || return 1
		cmp got text && said_good said 1 || return 1
	done
}
run "rnp->us three recipients of three kinds" several
exit $failed
