"""Messages: making them and taking them apart.  Octets with CRLF throughout."""

import email
import email.policy
import zlib


def crlf(text):
    """Lines of a str or bytes with CRLF."""
    data = text.encode("utf-8") if isinstance(text, str) else text
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def lf(data):
    return data.replace(b"\r\n", b"\n")


def plain(sender, to, subject="A letter", body="Hello.\n", extra=""):
    """A small text message.  extra: more header lines."""
    to = to if isinstance(to, str) else ", ".join(to)
    return crlf(f"From: {sender}\nTo: {to}\nSubject: {subject}\n"
                f"Date: Mon, 02 Nov 2026 10:00:00 +0000\nMessage-ID: <{zlib.crc32((sender + subject + body).encode()):08x}@example.test>\n"
                f"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n{extra}\n{body}")


def split_head(data):
    """(header with its last line end, body)."""
    head, sep, body = data.partition(b"\r\n\r\n")
    return (head + b"\r\n", body) if sep else (data, b"")


def pgp_encrypted(gpg, data, to, sign=None, outer_subject=None):
    """The PGP/MIME (RFC 3156) form of a message: the body with its Content-* fields goes inside."""
    head, body = split_head(crlf(data))
    inner, outer = [], []
    for field in _fields(head):
        name = field.split(b":")[0].lower()
        if name == b"subject" and outer_subject is not None:
            field = b"Subject: " + outer_subject.encode() + b"\r\n"
        if name.startswith(b"content-"):
            inner.append(field)
        else:
            outer.append(field)
    part = b"".join(inner) + b"\r\n" + body
    armor = crlf(gpg.encrypt(part, to, sign=sign))
    return (b"".join(outer)
            + b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n'
              b' boundary="=-sealed"\r\n\r\n'
              b"--=-sealed\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n"
              b"--=-sealed\r\nContent-Type: application/octet-stream; name=\"encrypted.asc\"\r\n\r\n"
            + armor + b"\r\n--=-sealed--\r\n")


def pgp_signed(gpg, data, key):
    """The multipart/signed (RFC 3156) form of a message."""
    head, body = split_head(crlf(data))
    inner = [f for f in _fields(head) if f.lower().startswith(b"content-")]
    outer = [f for f in _fields(head) if not f.lower().startswith(b"content-")]
    part = b"".join(inner) + b"\r\n" + body
    signature = crlf(gpg.sign(part, key))
    return (b"".join(outer)
            + b'Content-Type: multipart/signed; micalg=pgp-sha256;\r\n'
              b' protocol="application/pgp-signature"; boundary="=-signed"\r\n\r\n'
              b"--=-signed\r\n" + part + b"\r\n--=-signed\r\n"
              b"Content-Type: application/pgp-signature; name=\"signature.asc\"\r\n\r\n"
            + signature + b"\r\n--=-signed--\r\n")


def _fields(head):
    """Header fields with their folded lines."""
    fields = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] += line + b"\r\n"
        elif line:
            fields.append(line + b"\r\n")
    return fields


def header(data, name):
    """Unfolded values of a header field, in order."""
    head, _ = split_head(crlf(data))
    found = []
    for field in _fields(head):
        n, _, value = field.partition(b":")
        if n.strip().lower() == name.lower().encode():
            found.append(value.replace(b"\r\n", b"").strip().decode("utf-8", "replace"))
    return found


def verdict(data):
    """What the gateway says of a fetched message."""
    return "; ".join(header(data, "X-Postern-Verdict"))


def parse(data):
    return email.message_from_bytes(data, policy=email.policy.SMTP)


def is_pgp_encrypted(data):
    return parse(data).get_content_type() == "multipart/encrypted"


def open_pgp(gpg, data):
    """Open a multipart/encrypted message with gpg: (octets of the inner part, status lines)."""
    m = parse(data)
    assert m.get_content_type() == "multipart/encrypted", m.get_content_type()
    parts = list(m.iter_parts()) if hasattr(m, "iter_parts") else m.get_payload()
    assert parts[0].get_content_type() == "application/pgp-encrypted"
    return gpg.decrypt(parts[1].get_payload(decode=True))


def check_signed(gpg, data):
    """Verify a multipart/signed message with gpg: (octets of the signed part, status lines)."""
    m = parse(data)
    assert m.get_content_type() == "multipart/signed", m.get_content_type()
    boundary = b"--" + m.get_boundary().encode()
    _, body = split_head(data)
    pieces = (b"\r\n" + body).split(b"\r\n" + boundary)
    part = pieces[1].partition(b"\r\n")[2]
    signature = m.get_payload()[1].get_payload(decode=True)
    return part, gpg.verify(part, signature)
