"""Clients over raw sockets, one message at a time: TRUST or SCRAM logins, in the clear or over TLS."""

import asyncio
import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct

from harness import PASSWORD

KEYS = {}


def startup(user="app"):
    body = struct.pack("!i", 196608) + b"user\0" + user.encode() + b"\0database\0postgres\0\0"
    return struct.pack("!i", len(body) + 4) + body


def message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


def proof(first, server_first, password=PASSWORD):
    fields = dict(part.split("=", 1) for part in server_first.split(","))
    salt = (fields["s"], fields["i"], password)
    if salt not in KEYS:
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt[0]), int(salt[1]))
        KEYS[salt] = hmac.digest(salted, b"Client Key", "sha256")
    client_key = KEYS[salt]
    without = f"c=biws,r={fields['r']}"
    signature = hmac.digest(hashlib.sha256(client_key).digest(), f"{first},{server_first},{without}".encode(), "sha256")
    return f"{without},p={base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()}".encode()


def conversation(user="app", password=PASSWORD):
    """A login, whoever carries its bytes: yields (what to send, how many bytes are wanted then), until it is in. Raises if it is
    refused."""
    send, first = startup(user), ""
    while True:
        head = yield send, 5
        body = yield b"", struct.unpack("!i", head[1:])[0] - 4
        send = b""
        if head[:1] == b"E":
            raise PermissionError(body)
        if head[:1] == b"Z":
            return
        if head[:1] != b"R":
            continue
        code = struct.unpack("!i", body[:4])[0]
        if code == 10:
            first = f"n=,r={base64.b64encode(os.urandom(18)).decode()}"
            send = message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first) + 3) + b"n,," + first.encode())
        elif code == 11:
            send = message(b"p", proof(first, body[4:].decode(), password))


async def login(port):
    """(reader, writer) of a client that is logged in."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    talk = conversation()
    send, wanted = next(talk)
    while True:
        writer.write(send)
        try:
            send, wanted = talk.send(await reader.readexactly(wanted))
        except StopIteration:
            return reader, writer


def connect(port):
    return socket.create_connection(("127.0.0.1", port), 30)


def login_blocking(connection, *who, sending=None):
    """Over a socket that is connected. `sending` is called when something is about to be sent."""
    talk = conversation(*who)
    send, wanted = next(talk)
    while True:
        if send:
            if sending:
                sending()
            connection.sendall(send)
        data = b""
        while len(data) < wanted:
            part = connection.recv(wanted - len(data))
            if not part:
                raise ConnectionError("closed by the peer")
            data += part
        try:
            send, wanted = talk.send(data)
        except StopIteration:
            return


def tls_context():
    """Of clients that verify nothing: that would be their own work."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["postgresql"])
    return context


def login_tls(port, context):
    """A socket that is logged in over direct TLS."""
    connection = context.wrap_socket(connect(port), server_hostname="bench")
    login_blocking(connection)
    return connection
