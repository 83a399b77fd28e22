#ifndef OPENPGP_LIMITS_H
#define OPENPGP_LIMITS_H

/* Every bound on OpenPGP input, with its one reason. */

#define PGP_WINDOW (64 * 1024) /* octets read at once from what is not in memory */
#define PGP_DEPTH_MAX 8 /* packets inside packets: nobody nests deeper than 3 in good faith */
#define PGP_INFLATE_MAX 2 /* compressed packets inside each other: 48 KiB each, of bzip2 4 MiB */
#define PGP_PKESK_MAX 1024 /* recipients of one message: each may cost an RSA operation */
#define PGP_PKESK_BODY_MAX 4096 /* octets: RSA of 16,384 bit and some */
#define PGP_TRIES_MAX 64 /* unwrapped session keys of one message: 20 hidden recipients, 3 keys */
#define PGP_PROBES 2 /* session keys that are tried on the whole message when there are several */
#define PGP_SIGS_MAX 16 /* signatures of one message that are looked at; more is malformed */
#define PGP_MSG_SIG_MAX 8192 /* octets of one signature packet in a message */
#define PGP_SKIP_MAX 256 /* packets that mean nothing (marker, padding, unknown) in a row */
#define PGP_CHUNK_MIN 512 /* first partial length, RFC 4880, 4.2.2.4 */
#define PGP_FILENAME_MAX 255 /* octets, the format's own */
#define PGP_MEM_PACKET_MAX (1024 * 1024) /* octets of one packet parsed in memory */

#define PGP_ARMOR_LINE_MAX 1000 /* octets without line end: RFC 5322 allows mail 998 */
#define PGP_ARMOR_PREFACE_MAX (64 * 1024) /* octets of other text before a block begins */
#define PGP_ARMOR_HEADERS_MAX 64 /* "Key: value" lines */
#define PGP_CLEAR_LINE_MAX (64 * 1024) /* octets of one line of clear-signed text */
#define PGP_SIG_BLOB_MAX                                                                           \
	(192 * 1024) /* octets of a detached signature: PGP_SIGS_MAX large ones                    \
		      */

#endif
