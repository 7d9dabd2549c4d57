"""What seeds are made of: messages of the protocol, and where they are written."""

import base64
import hashlib
import hmac
import os
import struct

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
NONCE = base64.b64encode(bytes(18)).decode()  # the targets' entropy is zeros


def write(target, name, data):
    os.makedirs(os.path.join(CORPUS, target), exist_ok=True)
    with open(os.path.join(CORPUS, target, name), "wb") as file:
        file.write(data)


def message(kind, body=b""):
    return kind + struct.pack(">I", len(body) + 4) + body


def z(*texts):
    return b"".join(text.encode() + b"\0" for text in texts)


def startup(*pairs, version=3 << 16, end=b"\0"):
    body = struct.pack(">I", version) + z(*pairs) + end
    return struct.pack(">I", len(body) + 4) + body


def request(code, body=b""):
    return struct.pack(">II", len(body) + 8, code) + body


SSL, GSS, CANCEL = 80877103, 80877104, 80877102


def sasl_first(text, mechanism="SCRAM-SHA-256", length=None):
    return message(b"p", z(mechanism) + struct.pack(">I", len(text) if length is None else length) + text.encode())


def authentication(code, data=b""):
    return message(b"R", struct.pack(">I", code) + data)


def row(*values):
    return message(b"D", struct.pack(">H", len(values)) +
                   b"".join(struct.pack(">I", len(value)) + value.encode() for value in values))


def error(code, text, severity="ERROR"):
    return message(b"E", b"S" + z(severity) + b"V" + z(severity) + b"C" + z(code) + b"M" + z(text) + b"\0")


READY = message(b"Z", b"I")
SASL = authentication(10, b"SCRAM-SHA-256\0\0")


def scram_server(iterations=1):
    """The server's two messages, signed for the password and salt of the target."""
    salted = hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 1)
    server_first = f"r={NONCE}server,s={base64.b64encode(b'salt').decode()},i={iterations}"
    auth = f"n=,r={NONCE},{server_first},c=biws,r={NONCE}server"
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    signature = base64.b64encode(hmac.digest(server_key, auth.encode(), "sha256")).decode()
    return server_first.encode(), f"v={signature}".encode()
