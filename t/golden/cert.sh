#!/bin/bash
# Keys and certificates against gpg and sq: what they make we evaluate as they do, what we make
# they take.  Usage: t/golden/cert.sh BUILD_DIR; one line per case, exit 1 when one failed.
set -u
build=${1:?usage: cert.sh BUILD_DIR}
prog=$(realpath "$build/golden/pgp_cert")
dir=$(mktemp -d "${TMPDIR:-/tmp}/cert.XXXXXX")
export GNUPGHOME=$dir/home
mkdir -m 700 "$GNUPGHOME"
trap 'gpgconf --kill all; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
printf "allow-loopback-pinentry\ns2k-count 65536\n" >"$GNUPGHOME/gpg-agent.conf"
failed=0

ok() { echo "ok $1"; }
no() {
	echo "not ok $1"
	[ -s diff ] && sed 's/^/# /' diff
	failed=1
}
check() { # name, command...: the command must succeed
	local name=$1
	shift
	: >diff
	if "$@" >diff 2>&1; then ok "$name"; else no "$name"; fi
}
g() { gpg --batch --quiet --no-tty --pinentry-mode loopback --passphrase '' --trust-model always "$@" 2>>gpg.log; }
then_() { # time, gpg arguments: as if it were then
	local t=$1
	shift
	g --faked-system-time "$t!" "$@"
}
fpr() { gpg --batch --with-colons --list-keys "$1" 2>/dev/null | awk -F: '$1 == "fpr" { print $10; exit }'; }
subfpr() { # user id, which subkey from 1
	gpg --batch --with-colons --list-keys "$1" 2>/dev/null |
		awk -F: -v n="$2" '$1 == "sub" { i++ } $1 == "fpr" && i == n { print $10; exit }'
}

# What gpg says, in the words of "pgp_cert show".
gpg_says() {
	gpg --batch --with-colons --fixed-list-mode --list-keys "$1" 2>/dev/null | awk -F: '
	function state(v) { return v == "r" ? "revoked" : v == "e" ? "expired" : "ok" }
	function caps(s,  o) { gsub(/[A-Z?]/, "", s); o = ""
		if (s ~ /e/) o = o "e"; if (s ~ /s/) o = o "s"; if (s ~ /c/) o = o "c"; if (s ~ /a/) o = o "a"
		return o }
	$1 == "pub" || $1 == "sub" { line = " algo " $4 " bits " $3 " created " $6 " expires " ($7 == "" ? 0 : $7) " " state($2) " " caps($12); what = $1 }
	$1 == "fpr" { print what " " $10 line }
	$1 == "uid" { gsub(/\\x3a/, ":", $10); print "uid " ($2 == "r" ? "revoked" : "ok") " " $10 }' | sort
}
we_say() { "$prog" show "$1" | grep -E '^(pub|sub|uid|unusable)' | sed 's/^\(uid [a-z]*\)\*/\1/' | sort; }
same() { # name, user id
	g --export "$2" >key.pgp
	gpg_says "$2" >theirs
	we_say key.pgp >ours
	diff theirs ours >diff && [ -s ours ] && ok "$1" || no "$1"
}
says() { # name, file, pattern: a line of ours
	"$prog" show "$2" >diff
	if grep -Eq "$3" diff; then ok "$1"; else no "$1"; fi
}
uses() { # name, file, address, pattern
	"$prog" uses "$2" "$3" >diff 2>&1
	if grep -Eq "$4" diff; then ok "$1"; else no "$1"; fi
}

# ---- theirs ----
g --quick-gen-key 'Carl Curve <carl@example.org>' ed25519 cert never
g --quick-add-key "$(fpr carl@example.org)" ed25519 sign never
g --quick-add-key "$(fpr carl@example.org)" cv25519 encr 2y
same 'gpg: Curve25519 with subkeys' carl@example.org
uses 'gpg: its subkeys are used' key.pgp carl@example.org "^encrypt $(subfpr carl@example.org 2)"

g --quick-gen-key 'Rita RSA <rita@example.org>' rsa3072 default 1y
g --quick-add-key "$(fpr rita@example.org)" rsa3072 encr 1y
same 'gpg: RSA-3072, primary signs' rita@example.org
uses 'gpg: the signing primary is used' key.pgp rita@example.org "^sign $(fpr rita@example.org)"

then_ 20200101T000000 --quick-gen-key 'Xena <xena@example.org>' ed25519 cert 1y
then_ 20200101T000000 --quick-add-key "$(fpr xena@example.org)" cv25519 encr never
same 'gpg: expired key' xena@example.org
uses 'gpg: expired key refused with its date' key.pgp xena@example.org 'expired on 2020-12-31'
then_ 20210601T000000 --quick-set-expire "$(fpr xena@example.org)" 20y
same 'gpg: expiry put off by a newer self-signature' xena@example.org
cp key.pgp xena.new

g --quick-gen-key 'Sven <sven@example.org>' ed25519 cert never
f=$(fpr sven@example.org)
g --quick-add-key "$f" cv25519 encr never
g --quick-add-key "$f" ed25519 sign never
g --quick-add-key "$f" cv25519 encr never
printf 'key 1\nrevkey\ny\n1\n\ny\nsave\n' | g --command-fd 0 --expert --edit-key "$f" >/dev/null
same 'gpg: revoked subkey, another instead' sven@example.org
uses 'gpg: the other subkey is used' key.pgp sven@example.org "^encrypt $(subfpr sven@example.org 3)"
[ "$("$prog" uses key.pgp sven@example.org | grep -c ^encrypt)" = 1 ] && ok 'gpg: and not the revoked one' ||
	no 'gpg: and not the revoked one'

then_ 20240101T000000 --quick-gen-key 'Otto <otto@example.org>' ed25519 cert never
f=$(fpr otto@example.org)
then_ 20240101T000000 --quick-add-key "$f" cv25519 encr 1y
then_ 20241201T000000 --quick-add-key "$f" cv25519 encr never
same 'gpg: expired subkey and a new one' otto@example.org
uses 'gpg: the new subkey is used' key.pgp otto@example.org "^encrypt $(subfpr otto@example.org 2)"

g --quick-gen-key 'Uma One <uma@example.org>' ed25519 cert never
f=$(fpr uma@example.org)
g --quick-add-key "$f" cv25519 encr never
g --quick-add-uid "$f" 'Uma Zwei (privat) <uma@other.test>'
g --quick-add-uid "$f" $'Uma Dr\xc3\xa4i <uma@third.test>'
g --quick-revoke-uid "$f" 'Uma Zwei (privat) <uma@other.test>'
same 'gpg: three user ids, one revoked' uma@example.org
uses 'gpg: a revoked address is not found' key.pgp uma@other.test '^no such address'
printf 'setpref AES128 SHA256 ZIP\ny\nsave\n' | g --command-fd 0 --edit-key "$f" >/dev/null
sleep 1
g --quick-set-primary-uid "$f" $'Uma Dr\xc3\xa4i <uma@third.test>'
same 'gpg: changed preferences, other primary user id' uma@example.org
says 'gpg: primary user id as marked' key.pgp 'uid ok\* .*<uma@third.test>'
says 'gpg: ciphers as set' key.pgp '^ciphers AES( 3DES)?$'
says 'gpg: hashes as set' key.pgp '^hashes SHA256( SHA1)?$'

g --quick-gen-key 'Rex <rex@example.org>' ed25519 cert never
f=$(fpr rex@example.org)
g --quick-add-key "$f" cv25519 encr never
g --export "$f" >rex.before
sed 's/^:---/---/' "$GNUPGHOME/openpgp-revocs.d/$f.rev" >rex.rev
g --import rex.rev
g --export rex@example.org >key.pgp
gpg_says rex@example.org | grep -v ^uid >theirs
we_say key.pgp | grep -v ^uid >ours
diff theirs ours >diff && ok 'gpg: revoked key' || no 'gpg: revoked key'
uses 'gpg: revoked key refused' key.pgp rex@example.org 'not encrypted: key [0-9A-F]* was revoked'
check 'merge: a copy without the revocation' "$prog" merge key.pgp rex.before merged.pgp
uses 'merge: leaves it revoked' merged.pgp rex@example.org 'was revoked'
"$prog" merge merged.pgp rex.before merged2.pgp
check 'merge: twice gives the same' cmp merged.pgp merged2.pgp

g --quick-gen-key 'Nina <nina@example.org>' secp256k1 default never
g --export nina@example.org >key.pgp
says 'gpg: a curve that we do not do is told' key.pgp '^unusable: .*ECDSA.* unsupported curve'

curves='nistp256 nistp384 nistp521 brainpoolP256r1 brainpoolP384r1 brainpoolP512r1'
for curve in $curves; do
	g --quick-gen-key "Curva <$curve@example.org>" "$curve" sign,cert never
	g --quick-add-key "$(fpr "$curve@example.org")" "$curve" encr never
	same "gpg: $curve" "$curve@example.org"
	uses "gpg: $curve is used" key.pgp "$curve@example.org" "^encrypt $(subfpr "$curve@example.org" 1)"
	g --export-secret-keys "$curve@example.org" >"$curve.sec"
	check "gpg: secret key on $curve" "$prog" import "$curve.sec" -
done

g --export >ring.pgp
[ "$("$prog" show ring.pgp | grep -c ^pub)" = 13 ] && ok 'gpg: a whole keyring' || no 'gpg: a whole keyring'
g --armor --export carl@example.org >carl.asc
says 'gpg: armoured' carl.asc "^pub $(fpr carl@example.org)"

for who in carl rita; do
	g --export-secret-keys $who@example.org >$who.sec
	check "gpg: unprotected secret key of $who" "$prog" import $who.sec -
done
# A key that is protected from birth: S2K as gpg-agent writes it.
gpg --batch -q --pinentry-mode loopback --passphrase word --quick-gen-key 'Paul <paul@example.org>' \
	ed25519 cert never 2>>gpg.log
gpg --batch -q --pinentry-mode loopback --passphrase word --quick-add-key \
	"$(fpr paul@example.org)" cv25519 encr never 2>>gpg.log
gpg --batch -q --pinentry-mode loopback --passphrase word --armor --export-secret-keys \
	paul@example.org >paul.asc 2>>gpg.log
check 'gpg: protected secret key, armoured' "$prog" import paul.asc word
"$prog" import paul.asc other >diff 2>&1
grep -q 'wrong passphrase' diff && ok 'gpg: wrong passphrase told' || no 'gpg: wrong passphrase told'
"$prog" import paul.asc - >diff 2>&1
grep -q 'none was given' diff && ok 'gpg: missing passphrase told' || no 'gpg: missing passphrase told'
g --export-secret-subkeys carl@example.org >sub.sec
"$prog" import sub.sec - >diff 2>&1
grep -q '^missing 1 ' diff && ok 'gpg: secret subkeys without their primary' ||
	no 'gpg: secret subkeys without their primary'
check 'export: under another passphrase' "$prog" export paul.asc word neu paul.new
check 'export: and back' "$prog" import paul.new neu

if command -v sq >/dev/null; then
	sq key generate --userid 'Quinn <quinn@example.org>' --export quinn.sec >/dev/null 2>&1
	sq key extract-cert -o quinn.pub quinn.sec 2>/dev/null
	g --import quinn.pub
	gpg_says quinn@example.org >theirs
	we_say quinn.pub >ours
	diff theirs ours >diff && [ -s ours ] && ok 'sq: its key' || no 'sq: its key'
	check 'sq: its secret key' "$prog" import quinn.sec -
fi

# ---- ours ----
echo 'a few words' >plain
for type in ed25519 rsa $curves; do
	"$prog" make $type pass $type.pub $type.sec "Own $type <$type@Own.test>" "$type@second.test"
	g --import $type.pub
	gpg_says "$type@Own.test" >theirs
	we_say $type.pub >ours
	diff theirs ours >diff && [ -s ours ] && ok "ours: gpg evaluates $type alike" ||
		no "ours: gpg evaluates $type alike"
	check "ours: gpg encrypts to $type" g --yes -o msg -r "$type@second.test" -e plain
	check "ours: gpg imports the secret $type" gpg --batch -q --pinentry-mode loopback \
		--passphrase pass --import $type.sec
	gpg --batch -q --pinentry-mode loopback --passphrase pass -d msg >out 2>>gpg.log
	check "ours: gpg decrypts with $type" cmp plain out
	gpg --batch -q --yes --pinentry-mode loopback --passphrase pass -u "$type@second.test" \
		-o sig -b plain 2>>gpg.log
	check "ours: gpg signs with $type" gpg --batch -q --verify sig plain
	gpg --batch -q --pinentry-mode loopback --passphrase pass --export-secret-keys \
		"$type@second.test" >back.sec 2>>gpg.log
	check "ours: $type comes back from gpg" "$prog" import back.sec pass
	# Sequoia does no brainpool.
	if command -v sq >/dev/null && [ "${type#brainpool}" = $type ]; then
		sq inspect $type.pub >sq.out 2>/dev/null
		grep -q 'Key flags: transport encryption' sq.out && ! grep -q 'Invalid\|Bad' sq.out &&
			ok "ours: sq inspects $type" || no "ours: sq inspects $type"
		rm -f sq.msg
		check "ours: sq encrypts to $type" sq encrypt --recipient-cert $type.pub -o sq.msg plain
		gpg --batch -q --pinentry-mode loopback --passphrase pass -d sq.msg >out 2>>gpg.log
		check "ours: gpg reads what sq wrote to $type" cmp plain out
	fi
	sub=$("$prog" uses $type.pub "$type@second.test" | awk '/^encrypt/ { print $2 }')
	top=$("$prog" show $type.pub | awk '/^pub/ { print $2 }')
	check "ours: revoke the subkey of $type" "$prog" revoke $type.sec pass "$sub" 1 'a new one' rev.pub
	g --import rev.pub
	gpg_says "$type@second.test" >theirs
	we_say rev.pub >ours
	diff theirs ours >diff && grep -q revoked ours && ok "ours: gpg sees the subkey revoked" ||
		no "ours: gpg sees the subkey revoked"
	check "ours: revoke $type" "$prog" revoke $type.sec pass "$top" 2 lost rev.pub
	g --import rev.pub
	gpg --batch --with-colons --list-keys "$top" 2>/dev/null | grep -q ^pub:r &&
		ok "ours: gpg sees $type revoked" || no "ours: gpg sees $type revoked"
	uses "ours: we see $type revoked" rev.pub "$type@second.test" 'was revoked'
done
exit $failed
