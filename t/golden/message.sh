#!/bin/bash
# The message engine against GnuPG and Sequoia, both ways: their output read by us, ours by them.
#
#	t/golden/message.sh BUILD_DIR		where golden/pgp_message is, as build/rel
#
# One line per case, "ok NAME" or "not ok NAME"; exit 1 when one failed.
set -u

pm=$(realpath "${1:?usage: message.sh BUILD_DIR}")/golden/pgp_message
[ -x "$pm" ] || { echo "message.sh: $pm is not there; make golden" >&2; exit 2; }
work=$(mktemp -d) || exit 2
export GNUPGHOME=$work/gnupg
mkdir -m 700 "$GNUPGHOME"
cd "$work" || exit 2
trap 'gpgconf --kill all >/dev/null 2>&1; rm -rf "$work"' EXIT

failed=0

# The last command's exit code as the verdict on a case.
verdict() {
	if [ "$1" -eq 0 ]; then
		echo "ok $2"
	else
		echo "not ok $2"
		failed=1
		sed 's/^/# /' log | tail -5
	fi
}

run() {	# NAME COMMAND...
	local name=$1
	shift
	"$@" >log 2>&1
	verdict $? "$name"
}

gpg() {
	command gpg --batch --quiet --no-tty --trust-model always --no-auto-check-trustdb \
	    --pinentry-mode loopback --passphrase '' --yes "$@"
}

make_keys() {
	gpg --quick-gen-key 'Robert <robert@example.org>' rsa3072 sign,cert never &&
	    fpr=$(gpg --with-colons -k robert@example.org | awk -F: '/^fpr/ {print $10; exit}') &&
	    gpg --quick-add-key "$fpr" rsa3072 encr never &&
	    gpg --quick-gen-key 'Alice <alice@example.org>' ed25519 sign,cert never &&
	    fpr=$(gpg --with-colons -k alice@example.org | awk -F: '/^fpr/ {print $10; exit}') &&
	    gpg --quick-add-key "$fpr" cv25519 encr never &&
	    for k in robert alice; do
		gpg --export "$k@example.org" >"$k.pub" &&
		    gpg --export-secret-keys "$k@example.org" >"$k.sec" || return 1
	    done &&
	    sq key generate --userid 'Sepp <sepp@example.org>' --export sepp.sec &&
	    sq key extract-cert -o sepp.pub sepp.sec &&
	    gpg --import sepp.pub sepp.sec
}

make_data() {
	for n in 0 1 8191 8192 8193 102400; do
		head -c "$n" /dev/urandom >"data.$n"
	done
	# Text that compresses, without white space at line ends, LF and CRLF.
	seq -f 'line %.0f of a letter to whom it may concern' 1 3000 >text.lf
	sed 's/$/\r/' text.lf >text.crlf
	# 20 MiB of moderate entropy: random blocks that come again.
	head -c 2097152 /dev/urandom >block
	cat block block block block block block block block block block >data.20M
}

# What pgp_message printed must say that all is well.
said_good() {	# FILE SIGNATURES
	grep -q '^status ok' "$1" && [ "$(grep -c '^signature good' "$1")" -eq "$2" ] &&
	    [ "$(grep -c '^signature' "$1")" -eq "$2" ]
}

we_open() {	# KEY SIGNER MESSAGE WANT [SIGNATURES]
	"$pm" decrypt -k "$1.sec" -c "$2.pub" "$3" got >said || { cat said; return 1; }
	cat said
	cmp got "$4" && said_good said "${5:-1}"
}

gpg_opens() {	# MESSAGE WANT
	gpg --status-fd 1 -o got --decrypt "$1" >status || return 1
	cmp got "$2" && grep -q '^\[GNUPG:\] GOODSIG' status
}

from_gpg() {	# KEY SIZE COMPRESSION ARMOR
	gpg -r "$1@example.org" -u "$1@example.org" -s -e --compress-algo "$3" $4 -o in "data.$2" &&
	    we_open "$1" "$1" in "data.$2"
}

to_gpg() {	# KEY SIZE OPTIONS
	"$pm" encrypt -r "$1.pub" -s "$1.sec" $3 "data.$2" out && gpg_opens out "data.$2"
}

both_ways() {
	local compress=(none zip zlib) k n i=0 armor
	for k in robert alice; do
		for n in 0 1 8191 8192 8193 102400; do
			armor=$([ $((i % 2)) -eq 0 ] && echo --armor)
			c=${compress[$((i % 3))]}
			run "gpg->us $k $n $c $armor" from_gpg $k $n "$c" "$armor"
			run "us->gpg $k $n z$((i % 3)) $armor" to_gpg $k $n \
			    "-z $((i % 3)) ${armor:+-a} $([ $((i % 4)) -lt 2 ] && echo -n)"
			i=$((i + 1))
		done
	done
	run "gpg->us alice 20M zlib" from_gpg alice 20M zlib ""
	run "gpg->us alice 20M none --armor" from_gpg alice 20M none --armor
	run "us->gpg alice 20M armor" to_gpg alice 20M -a
	run "us->gpg robert 20M" to_gpg robert 20M -n
}

with_sq() {
	local k n
	for k in robert alice sepp; do
		for n in 0 8192 102400; do
			sq_seals() {
				rm -f in.sq
				sq encrypt --recipient-cert $k.pub --signer-key $k.sec \
				    --compression "$1" -o in.sq "data.$n" &&
				    we_open $k $k in.sq "data.$n"
			}
			sq_opens() {
				"$pm" encrypt -r $k.pub -s $k.sec $1 "data.$n" out &&
				    rm -f got &&
				    sq decrypt --recipient-key $k.sec --signer-cert $k.pub -n 1 \
					-o got out && cmp got "data.$n"
			}
			run "sq->us $k $n zip" sq_seals zip
			run "sq->us $k $n none" sq_seals none
			run "us->sq $k $n" sq_opens ""
			run "us->sq $k $n zlib armor" sq_opens "-z 2 -a"
		done
	done
	sq_opens_big() {
		"$pm" encrypt -r sepp.pub -s sepp.sec -n data.20M out && rm -f got &&
		    sq decrypt --recipient-key sepp.sec --signer-cert sepp.pub -n 1 -o got out &&
		    cmp got data.20M
	}
	run "us->sq sepp 20M" sq_opens_big
}

texts() {
	text_from_gpg() {
		gpg -r alice@example.org -u robert@example.org -s -e --textmode --armor -o in "$1" &&
		    we_open alice robert in text.crlf && grep -q '^mode t' said
	}
	text_to_gpg() {	# gpg makes the line ends those of its system
		"$pm" encrypt -r alice.pub -s robert.sec -t -a "$1" out && gpg_opens out text.lf
	}
	run "gpg->us textmode of LF" text_from_gpg text.lf
	run "gpg->us textmode of CRLF" text_from_gpg text.crlf
	run "us->gpg text of LF" text_to_gpg text.lf
	run "us->gpg text of CRLF" text_to_gpg text.crlf
	name() {
		"$pm" encrypt -r alice.pub -s robert.sec -f 'naïve name.txt' text.lf out &&
		    gpg --list-packets out | grep -q 'name="na'
	}
	run "us->gpg file name" name
}

recipients() {
	several_from_gpg() {
		gpg -r robert@example.org "$1" alice@example.org -r sepp@example.org \
		    -u robert@example.org -u alice@example.org -s -e -o in text.lf || return 1
		local k
		cat robert.pub alice.pub >both.pub
		for k in robert alice sepp; do
			we_open $k both in text.lf 2 || return 1
		done
	}
	run "gpg->us three recipients, two signers" several_from_gpg -r
	run "gpg->us one of them hidden" several_from_gpg -R
	several_to_gpg() {
		"$pm" encrypt -r robert.pub -r alice.pub -r sepp.pub -s robert.sec -s alice.sec \
		    text.lf out && gpg_opens out text.lf &&
		    [ "$(grep -c GOODSIG status)" -eq 2 ] &&
		    sq decrypt --recipient-key sepp.sec --signer-cert alice.pub -n 1 out |
		    cmp - text.lf
	}
	run "us->gpg,sq three recipients, two signers" several_to_gpg
	only_signed() {
		gpg -u alice@example.org --sign "$@" -o in text.lf && we_open robert alice in text.lf
	}
	run "gpg->us signed only" only_signed
	run "gpg->us signed only, armored, uncompressed" only_signed --armor -z 0
	we_only_sign() {
		"$pm" encrypt -s alice.sec -z 1 text.lf out && gpg_opens out text.lf
	}
	run "us->gpg signed only" we_only_sign
	protected() {
		command gpg --batch --quiet --pinentry-mode loopback --passphrase 'so secret' \
		    --yes --quick-gen-key 'Carol <carol@example.org>' rsa3072 sign,cert,encr never &&
		    command gpg --batch --pinentry-mode loopback --passphrase 'so secret' --yes \
			--armor --export-secret-keys carol@example.org >carol.sec &&
		    gpg --export carol@example.org >carol.pub &&
		    gpg -r carol@example.org -e -o in text.lf &&
		    "$pm" decrypt -p 'so secret' -k carol.sec in got && cmp got text.lf &&
		    ! "$pm" decrypt -p 'wrong' -k carol.sec in got
	}
	run "a key with a passphrase" protected
}

hidden() {
	nobody_named() {
		gpg -r robert@example.org -r alice@example.org -r sepp@example.org --throw-keyids \
		    -u robert@example.org -s -e -o in text.lf || return 1
		local k
		for k in robert alice sepp; do
			we_open $k robert in text.lf || return 1
		done
		"$pm" decrypt -k sepp.sec -k alice.sec -k robert.sec -c robert.pub in got >said &&
		    cat said && cmp got text.lf && said_good said 1
	}
	run "gpg->us nobody named" nobody_named
	one_of_many() {
		gpg --quick-gen-key 'Dora <dora@example.org>' ed25519 sign,cert never || return 1
		local fpr i sub
		fpr=$(gpg --with-colons -k dora@example.org | awk -F: '/^fpr/ {print $10; exit}')
		for i in cv25519 rsa2048 cv25519 nistp256 cv25519; do
			gpg --quick-add-key "$fpr" $i encr never || return 1
		done
		gpg --export-secret-keys dora@example.org >dora.sec
		gpg --export dora@example.org >dora.pub
		for sub in $(gpg --with-colons -k dora@example.org |
		    awk -F: '/^sub/ {s = 1} /^fpr/ && s {print $10}'); do
			gpg -R sepp@example.org -R "$sub!" -R robert@example.org \
			    -u dora@example.org -s -e -o in text.lf &&
			    we_open dora dora in text.lf || return 1
		done
	}
	run "gpg->us hidden, to any of a consumer's five keys" one_of_many
	not_ours() {
		gpg -R sepp@example.org -R robert@example.org -e -o in text.lf
		"$pm" decrypt -k alice.sec in got >said
		cat said
		grep -q '^status failed' said && ! cmp -s got text.lf
	}
	run "gpg->us hidden, to others" not_ours
	subkeys_only() {
		gpg --export-secret-subkeys alice@example.org >sub.sec &&
		    gpg -r alice@example.org -u alice@example.org -s -e -o in text.lf &&
		    "$pm" decrypt -k sub.sec -c alice.pub in got >said && cat said &&
		    cmp got text.lf && said_good said 1
	}
	run "a key without its primary's secret part" subkeys_only
}

curves() {
	local k
	for k in nistp256 nistp384 nistp521 brainpoolP256r1 brainpoolP384r1 brainpoolP512r1; do
		curve_key() {
			gpg --quick-gen-key "Curva <$k@example.org>" $k sign,cert never &&
			    fpr=$(gpg --with-colons -k $k@example.org |
				awk -F: '/^fpr/ {print $10; exit}') &&
			    gpg --quick-add-key "$fpr" $k encr never &&
			    gpg --export "$k@example.org" >"$k.pub" &&
			    gpg --export-secret-keys "$k@example.org" >"$k.sec"
		}
		run "gpg makes $k" curve_key
		for n in 0 8193 102400; do
			run "gpg->us $k $n" from_gpg $k $n zlib ""
			run "us->gpg $k $n" to_gpg $k $n "-z 2 -a"
		done
		curve_detached() {
			gpg -u $k@example.org -b -o sig text.lf &&
			    "$pm" verify -c $k.pub sig text.lf >said && cat said &&
			    said_good said 1 && "$pm" sign -s $k.sec text.lf sig &&
			    gpg --verify sig text.lf
		}
		run "gpg->us->gpg detached $k" curve_detached
		[ "${k#brainpool}" = $k ] || continue # which Sequoia does not do
		curve_sq() {
			rm -f in.sq got
			sq encrypt --recipient-cert $k.pub --signer-key $k.sec -o in.sq text.lf &&
			    we_open $k $k in.sq text.lf &&
			    "$pm" encrypt -r $k.pub -s $k.sec text.lf out && rm -f got &&
			    sq decrypt --recipient-key $k.sec --signer-cert $k.pub -n 1 -o got out &&
			    cmp got text.lf
		}
		run "sq->us->sq $k" curve_sq
	done
}

old_mail() {
	local c
	for c in 3DES CAST5 BLOWFISH TWOFISH CAMELLIA256 AES192; do
		old() {
			gpg -r alice@example.org -u alice@example.org -s -e --cipher-algo $c \
			    --allow-old-cipher-algos -o in text.lf ||
			    gpg -r alice@example.org -u alice@example.org -s -e --cipher-algo $c \
				-o in text.lf || return 1
			we_open alice alice in text.lf
		}
		run "gpg->us cipher $c" old
	done
	for c in SHA224 SHA384 SHA512; do
		hash() {
			gpg -u robert@example.org --digest-algo $c -s -o in text.lf &&
			    we_open robert robert in text.lf
		}
		run "gpg->us digest $c" hash
	done
	sha1() {
		gpg -u robert@example.org --digest-algo SHA1 -s -o in text.lf &&
		    "$pm" decrypt -c robert.pub in got >said && cat said &&
		    grep -q '^signature weak' said && cmp got text.lf
	}
	run "gpg->us digest SHA1 is weak" sha1
	for c in 0 1 8192 102400 20M; do
		run "gpg->us bzip2 $c" from_gpg alice $c bzip2 ""
	done
	bzip2_of_text() {
		gpg -r alice@example.org -u robert@example.org --compress-algo bzip2 -s -e --armor \
		    -o in text.lf && we_open alice robert in text.lf
	}
	run "gpg->us bzip2 of text" bzip2_of_text
	bomb() {
		head -c 50000000 /dev/zero >zeros
		gpg -r alice@example.org --compress-algo zlib -z 9 -e -o in zeros
		"$pm" decrypt -x 100 -k alice.sec in got >said
		cat said
		grep -q '^status limit' said && [ "$(stat -c %s got)" -lt 10000000 ]
	}
	run "gpg->us expansion is bounded" bomb
	bzip2_bomb() {
		gpg -r alice@example.org --compress-algo bzip2 -e -o in zeros
		"$pm" decrypt -x 100 -k alice.sec in got >said
		cat said
		grep -q '^status limit' said && [ "$(stat -c %s got)" -lt 10000000 ]
	}
	run "gpg->us expansion of bzip2 is bounded" bzip2_bomb
}

detached() {
	local k o
	for k in robert alice; do
		for o in "" "--armor" "--textmode"; do
			gpg_signs() {
				gpg -u $k@example.org -b $o -o sig text.lf &&
				    "$pm" verify -c $k.pub sig text.lf >said && cat said &&
				    said_good said 1 &&
				    "$pm" verify -c $k.pub sig data.8191 >said &&
				    grep -q '^signature bad' said
			}
			run "gpg->us detached $k $o" gpg_signs
			we_sign() {
				"$pm" sign -s $k.sec ${o:+-${o:2:1}} text.lf sig &&
				    gpg --verify sig text.lf && ! gpg --verify sig data.8191 &&
				    sq verify --signer-cert $k.pub --detached sig text.lf
			}
			run "us->gpg,sq detached $k $o" we_sign
		done
	done
	two() {
		"$pm" sign -s robert.sec -s alice.sec -a text.lf sig && gpg --verify sig text.lf
	}
	run "us->gpg two detached signatures" two
	two_from_gpg() {
		gpg -u robert@example.org -u alice@example.org -b -o sig data.20M &&
		    cat robert.pub alice.pub >both.pub &&
		    "$pm" verify -c both.pub sig data.20M >said && cat said && said_good said 2
	}
	run "gpg->us two detached signatures of 20M" two_from_gpg
	from_sq() {
		rm -f sig.sq
		sq sign --detached --signer-key sepp.sec -o sig.sq data.102400 &&
		    "$pm" verify -c sepp.pub sig.sq data.102400 >said && cat said &&
		    said_good said 1 &&
		    "$pm" verify -c alice.pub sig.sq data.102400 | grep -q '^signature unknown-key'
	}
	run "sq->us detached" from_sq
	notarised() {
		rm -f one.sq two.sq three.sq
		sq sign --signer-key sepp.sec -o one.sq text.lf &&
		    sq sign --append --signer-key alice.sec -o two.sq one.sq &&
		    we_open robert both two.sq text.lf 2 &&
		    sq sign --notarize --signer-key alice.sec -o three.sq one.sq &&
		    "$pm" decrypt -c both.pub three.sq got >said && cat said &&
		    cmp got text.lf && grep -q '^signature good' said &&
		    grep -q '^signature unsupported' said
	}
	gpg --export sepp@example.org alice@example.org >both.pub
	run "sq->us signatures side by side and over each other" notarised
}

cleartext() {
	printf 'dash\n-- \n- item\n-----BEGIN PGP x\nFrom me\nblanks at the end  \n\n' >dashes.lf
	printf 'dash\r\n--\r\n- item\r\n-----BEGIN PGP x\r\nFrom me\r\nblanks at the end\r\n\r\n' \
	    >dashes.want
	clear_from_gpg() {	# TEXT WANT
		gpg -u alice@example.org --clear-sign -o in "$1" &&
		    "$pm" clearverify -c alice.pub in got >said && cat said && said_good said 1 &&
		    cmp got "$2" && sed 's/$/\r/' in >in.crlf &&
		    "$pm" clearverify -c alice.pub in.crlf got >said && said_good said 1 &&
		    cmp got "$2"
	}
	run "gpg->us clear-signed" clear_from_gpg text.lf text.crlf
	run "gpg->us clear-signed dashes" clear_from_gpg dashes.lf dashes.want
	clear_from_sq() {
		rm -f in.sq
		sq sign --cleartext-signature --signer-key robert.sec -o in.sq text.lf &&
		    "$pm" clearverify -c robert.pub in.sq got >said && cat said &&
		    said_good said 1 && cmp got text.crlf
	}
	run "sq->us clear-signed" clear_from_sq
	altered() {
		gpg -u alice@example.org --clear-sign -o in text.lf &&
		    sed -i 's/line 17 /line 71 /' in &&
		    "$pm" clearverify -c alice.pub in got | grep -q '^signature bad'
	}
	run "gpg->us clear-signed, altered" altered
}

make_data
if ! make_keys >log 2>&1; then
	verdict 1 "keys are made"
	exit 1
fi
both_ways
with_sq
texts
recipients
hidden
curves
old_mail
detached
cleartext
exit $failed
