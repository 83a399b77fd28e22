"""A certificate authority for tests, made with the openssl program."""

import os

from .util import sh, write

_EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
_RSA = ["-newkey", "rsa:2048", "-nodes"]


class Authority:
    """A CA in a folder: .ca is its certificate's file; certificates are made on demand."""

    def __init__(self, folder, name="Test CA"):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.ca = os.path.join(folder, "ca.pem")
        self._key = os.path.join(folder, "ca.key")
        self._serial = 1
        sh(["openssl", "req", "-x509", *_EC, "-keyout", self._key, "-out", self.ca, "-days", "30",
            "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign"])

    def issue(self, name, names=("localhost",), addresses=("127.0.0.1", "::1"), expired=False,
              self_signed=False, emails=(), rsa=False, usage="serverAuth,clientAuth", more="",
              days=30):
        """Make NAME.pem (certificate) and NAME.key; both paths.

        names, addresses, emails: for subjectAltName.  expired: it ran out yesterday.  usage: the extended key
        usage.  more: lines of further extensions.
        """
        cert, key = (os.path.join(self.folder, name + ext) for ext in (".pem", ".key"))
        if os.path.exists(cert):
            return cert, key
        csr = os.path.join(self.folder, name + ".csr")
        sh(["openssl", "req", "-new", *(_RSA if rsa else _EC), "-keyout", key, "-out", csr, "-subj", f"/CN={name}"])
        alt = ",".join([f"DNS:{n}" for n in names] + [f"IP:{a}" for a in addresses] +
                       [f"email:{e}" for e in emails])
        ext = write(os.path.join(self.folder, name + ".ext"),
                    (f"subjectAltName={alt}\n" if alt else "") + "basicConstraints=CA:FALSE\n"
                    f"keyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n" + more)
        self._serial += 1
        who = ["-signkey", key] if self_signed else ["-CA", self.ca, "-CAkey", self._key]
        sh(["openssl", "x509", "-req", "-in", csr, "-out", cert, *who, "-set_serial",
            str(self._serial), "-days", "-1" if expired else str(days), "-extfile", ext])
        return cert, key
