"""A real OCSP responder: HTTP in front of "openssl ocsp"."""

import http.server
import os
import threading

from .util import sh, write

EXPIRES = "491231235959Z"  # of certificates, in the index; nobody looks at it
REVOKED = "260101000000Z,keyCompromise"


class Responder:
    """Answers for certificates of an authority (certs.Authority), signed by a delegated certificate.

    authority   whose certificates they are
    port        on loopback; it is kept while the responder is away

    .aia is what an issued certificate says to be asked about here, .asked what was asked: serial numbers.
    """

    def __init__(self, authority, folder, port):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.authority, self.port = folder, authority, port
        self.aia = f"authorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/ocsp\n"
        self.asked = []
        self.lock = threading.Lock()
        self._signer = authority.issue("ocsp-signer", names=(), addresses=(), usage="OCSPSigning")
        self._states = {}
        self._count = 0
        self._server = None
        self.start()

    def start(self):
        if self._server is None:
            self._server = Server(("127.0.0.1", self.port), Handler)
            self._server.responder = self
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """Be away: connections are refused."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def good(self, cert):
        self._know(cert, f"V\t{EXPIRES}\t")

    def revoked(self, cert):
        self._know(cert, f"R\t{EXPIRES}\t{REVOKED}")

    def times(self, cert):
        """How often a certificate was asked for."""
        serial = int(serial_of(cert), 16)
        with self.lock:
            return self.asked.count(serial)

    def _know(self, cert, line):
        serial = serial_of(cert)
        with self.lock:
            self._states[serial] = f"{line}\t{serial}\tunknown\t/CN={serial}\n"

    def answer(self, request):
        """The DER of the response to the DER of a request."""
        with self.lock:
            self._count += 1
            n = self._count
            index = "".join(self._states.values())
        path = [os.path.join(self.folder, f"{n}.{kind}") for kind in ("index", "request", "response")]
        write(path[0], index)
        write(path[1], request)
        text = sh(["openssl", "ocsp", "-index", path[0], "-CA", self.authority.ca, "-rsigner", self._signer[0],
                   "-rkey", self._signer[1], "-nmin", "600", "-reqin", path[1], "-respout", path[2], "-req_text"])
        with self.lock:
            for line in text.stdout.decode().split("\n"):
                if "Serial Number:" in line:
                    self.asked.append(int(line.rpartition(":")[2].strip(), 16))
        with open(path[2], "rb") as f:
            return f.read()


def serial_of(cert):
    """The serial number of a certificate's file, hexadecimal."""
    return sh(["openssl", "x509", "-in", cert, "-noout", "-serial"]).stdout.decode().strip().partition("=")[2]


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    responder = None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):  # pylint: disable=invalid-name
        body = self.server.responder.answer(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):  # pylint: disable=arguments-differ
        pass
