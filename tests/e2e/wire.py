"""PostgreSQL's protocol by hand: for what a driver would never send."""

import base64
import hashlib
import hmac
import os
import socket
import struct


def message(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


def startup(user="app", database="postgres", version=196608, **parameters):
    body = struct.pack("!i", version)
    for name, value in {"user": user, "database": database, **parameters}.items():
        if value is not None:
            body += name.encode() + b"\0" + value.encode() + b"\0"
    body += b"\0"
    return struct.pack("!i", len(body) + 4) + body


def query(sql):
    return message(b"Q", sql.encode() + b"\0")


def parse(name, sql):
    return message(b"P", name.encode() + b"\0" + sql.encode() + b"\0\0\0")


def bind(name, portal=""):
    return message(b"B", portal.encode() + b"\0" + name.encode() + b"\0" + b"\0" * 6)


def bind_values(name, portal, values):
    """Binds with parameters as text; None is NULL."""
    body = portal.encode() + b"\0" + name.encode() + b"\0" + struct.pack("!hh", 0, len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value.encode())) + value.encode()
    return message(b"B", body + b"\0\0")


def execute(rows=0, portal=""):
    return message(b"E", portal.encode() + b"\0" + struct.pack("!i", rows))


def cancel_request(key):
    """What another connection says to cancel what the one with this key has asked."""
    return struct.pack("!iiii", 16, 80877102, *key)


SYNC = message(b"S")
FLUSH = message(b"H")
TERMINATE = message(b"X")


class Wire:
    """One connection."""

    def __init__(self, port, timeout=15):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.buffer = b""
        self.key = None
        self.parameters = {}

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next message as (type, body); (None, b"") at the end."""
        while len(self.buffer) < 5 or len(self.buffer) < 1 + struct.unpack("!i", self.buffer[1:5])[0]:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None, b""
            self.buffer += data
        length = 1 + struct.unpack("!i", self.buffer[1:5])[0]
        kind, body = self.buffer[:1], self.buffer[5:length]
        self.buffer = self.buffer[length:]
        return kind, body

    def until(self, *kinds):
        """All messages up to one of these kinds, or to the end."""
        messages = []
        while True:
            messages.append(self.receive())
            if messages[-1][0] is None or messages[-1][0] in kinds:
                return messages

    def ready(self):
        return self.until(b"Z")

    def login(self, password="app-password", **settings):
        self.send(startup(**settings))
        return self.authenticate(password)

    def authenticate(self, password):
        while True:
            kind, body = self.receive()
            if kind == b"R":
                code = struct.unpack("!i", body[:4])[0]
                if code == 10:
                    nonce = base64.b64encode(os.urandom(18)).decode()
                    first = f"n=,r={nonce}"
                    self.send(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first) + 3) + b"n,," + first.encode()))
                elif code == 11:
                    self.send(message(b"p", self.proof(first, body[4:].decode(), password).encode()))
            elif kind == b"K":
                self.key = struct.unpack("!ii", body)
            elif kind == b"S":
                name, value = body.split(b"\0")[:2]
                self.parameters[name.decode()] = value.decode()
            elif kind in (b"Z", b"E", None):
                return kind, body

    @staticmethod
    def proof(first, server_first, password):
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without = f"c=biws,r={fields['r']}"
        signature = hmac.digest(hashlib.sha256(client_key).digest(), f"{first},{server_first},{without}".encode(), "sha256")
        return without + ",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class TlsWire(Wire):
    """A connection encrypted after an SSLRequest, or at once."""

    def __init__(self, port, made, direct=False, host="db.example"):
        super().__init__(port)
        if not direct:
            self.send(SSL_REQUEST)
            assert self.socket.recv(1) == b"S"
        self.socket = made.wrap_socket(self.socket, server_hostname=host)


def error_code(body):
    return next((field[1:].decode() for field in body.split(b"\0") if field[:1] == b"C"), None)


def error_text(body):
    return next((field[1:].decode() for field in body.split(b"\0") if field[:1] == b"M"), None)
