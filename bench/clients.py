"""Many light clients over raw sockets: TRUST or SCRAM logins, one query at a time."""

import asyncio
import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
import subprocess

from harness import PASSWORD

KEYS = {}


def startup():
    body = struct.pack("!i", 196608) + b"user\0app\0database\0postgres\0\0"
    return struct.pack("!i", len(body) + 4) + body


def message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


def proof(first, server_first):
    fields = dict(part.split("=", 1) for part in server_first.split(","))
    salt = (fields["s"], fields["i"])
    if salt not in KEYS:
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), base64.b64decode(salt[0]), int(salt[1]))
        KEYS[salt] = hmac.digest(salted, b"Client Key", "sha256")
    client_key = KEYS[salt]
    without = f"c=biws,r={fields['r']}"
    signature = hmac.digest(hashlib.sha256(client_key).digest(), f"{first},{server_first},{without}".encode(), "sha256")
    return f"{without},p={base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()}".encode()


async def login(port):
    """(reader, writer) of a client that is logged in."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(startup())
    first = ""
    while True:
        head = await reader.readexactly(5)
        body = await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
        if head[:1] == b"E":
            raise RuntimeError(body)
        if head[:1] == b"Z":
            return reader, writer
        if head[:1] != b"R":
            continue
        code = struct.unpack("!i", body[:4])[0]
        if code == 10:
            first = f"n=,r={base64.b64encode(os.urandom(18)).decode()}"
            writer.write(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first) + 3) + b"n,," + first.encode()))
        elif code == 11:
            writer.write(message(b"p", proof(first, body[4:].decode())))


def certify(servers):
    """A certificate for nobody in particular, as an option of weir's."""
    certificate, key = (os.path.join(servers.folder, name) for name in ("bench.crt", "bench.key"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bench",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    os.chmod(key, 0o600)
    return f'[[certificate]]\ncertificate_file = "{certificate}"\nkey_file = "{key}"\n'


def tls_context():
    """Of clients that verify nothing: that would be their own work."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["postgresql"])
    return context


def login_tls(port, context, session=None):
    """A socket that is logged in over direct TLS, resumed from a session if there is one."""
    connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="bench", session=session)
    file = connection.makefile("rb", buffering=0)

    def exactly(count):
        data = b""
        while len(data) < count:
            data += file.read(count - len(data))
        return data
    connection.sendall(startup())
    first = ""
    while True:
        head = exactly(5)
        body = exactly(struct.unpack("!i", head[1:])[0] - 4)
        if head[:1] == b"E":
            raise RuntimeError(body)
        if head[:1] == b"Z":
            return connection
        if head[:1] != b"R":
            continue
        code = struct.unpack("!i", body[:4])[0]
        if code == 10:
            first = f"n=,r={base64.b64encode(os.urandom(18)).decode()}"
            connection.sendall(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first) + 3) + b"n,," + first.encode()))
        elif code == 11:
            connection.sendall(message(b"p", proof(first, body[4:].decode())))
