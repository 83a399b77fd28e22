"""What Mozilla's programs keep in a profile: trusted authorities (cert9.db), passwords (logins.json)."""

import base64
import ctypes
import json
import os
import ssl
import time
import uuid

from pt.util import read, write


class _Item(ctypes.Structure):
    _fields_ = [("type", ctypes.c_uint), ("data", ctypes.c_void_p), ("len", ctypes.c_uint)]


class _Trust(ctypes.Structure):
    _fields_ = [("ssl", ctypes.c_uint), ("email", ctypes.c_uint), ("object_signing", ctypes.c_uint)]


def _item(data):
    """A SECItem with these octets, which it keeps alive."""
    item = _Item(0, None, len(data))
    item.kept = ctypes.create_string_buffer(data, len(data))
    item.data = ctypes.cast(item.kept, ctypes.c_void_p)
    return item


def _library():
    """libnss3, with the results of what returns pointers declared."""
    nss = ctypes.CDLL("libnss3.so")
    for name in ("PK11_GetInternalKeySlot", "CERT_NewTempCertificate", "CERT_GetDefaultCertDB"):
        getattr(nss, name).restype = ctypes.c_void_p
    return nss


def _must(status, what):
    if status != 0:
        raise RuntimeError(f"libnss3: {what} failed")


class Store:
    """The stores of a profile, made anew; a context manager, since libnss3 has one at a time."""

    def __init__(self, folder):
        self._folder, self._nss = folder, _library()

    def __enter__(self):
        _must(self._nss.NSS_InitReadWrite(b"sql:" + os.fsencode(self._folder)), "NSS_InitReadWrite")
        self._slot = ctypes.c_void_p(self._nss.PK11_GetInternalKeySlot())
        _must(self._nss.PK11_InitPin(self._slot, b"", b""), "PK11_InitPin")
        return self

    def __exit__(self, *_exc):
        self._nss.PK11_FreeSlot(self._slot)
        _must(self._nss.NSS_Shutdown(), "NSS_Shutdown")

    def trust(self, ca):
        """Trust the authority in a PEM file for servers."""
        der = ssl.PEM_cert_to_DER_cert(read(ca).decode("ascii"))
        item = _item(der)
        base = ctypes.c_void_p(self._nss.CERT_GetDefaultCertDB())
        cert = ctypes.c_void_p(self._nss.CERT_NewTempCertificate(base, ctypes.byref(item), None, 0, 1))
        if not cert:
            raise RuntimeError(f"{ca}: no certificate")
        _must(self._nss.PK11_ImportCert(self._slot, cert, ctypes.c_ulong(0), b"Test CA", 0), "PK11_ImportCert")
        trust = _Trust()
        _must(self._nss.CERT_DecodeTrustString(ctypes.byref(trust), b"CT,,"), "CERT_DecodeTrustString")
        _must(self._nss.CERT_ChangeCertTrust(base, cert, ctypes.byref(trust)), "CERT_ChangeCertTrust")
        self._nss.CERT_DestroyCertificate(cert)

    def _seal(self, text):
        plain, key, out = _item(text.encode()), _Item(0, None, 0), _Item(0, None, 0)
        _must(self._nss.PK11SDR_Encrypt(ctypes.byref(key), ctypes.byref(plain), ctypes.byref(out), None),
              "PK11SDR_Encrypt")
        sealed = ctypes.string_at(out.data, out.len)
        self._nss.SECITEM_FreeItem(ctypes.byref(out), 0)
        return base64.b64encode(sealed).decode()

    def passwords(self, rows):
        """Keep passwords: rows of (origin as "smtp://localhost", login, password)."""
        now = int(time.time() * 1000)
        logins = [{
            "id": n, "hostname": origin, "httpRealm": origin, "formSubmitURL": None, "usernameField": "",
            "passwordField": "", "encryptedUsername": self._seal(login), "encryptedPassword": self._seal(password),
            "guid": "{%s}" % uuid.uuid4(), "encType": 1, "timeCreated": now, "timeLastUsed": now,
            "timePasswordChanged": now, "timesUsed": 1} for n, (origin, login, password) in enumerate(rows, 1)]
        write(os.path.join(self._folder, "logins.json"), json.dumps(
            {"nextId": len(logins) + 1, "logins": logins, "potentiallyVulnerablePasswords": [],
             "dismissedBreachAlertsByLoginGUID": {}, "version": 3}), 0o600)
