"""Seeds of the targets that look at TLS: encrypted streams, answers to the request for TLS, names in certificates."""

import os
import ssl
import subprocess
import tempfile

from corpus_wire import SASL, authentication, error, scram_server, startup, write


def client_hello(alpn, host, maximum=None):
    """The first words of a real client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if alpn:
        context.set_alpn_protocols([alpn])
    if maximum:
        context.maximum_version = maximum
    out = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=host).do_handshake()
    except ssl.SSLWantReadError:
        return out.read()


def stream_tls():
    def seed(name, data, kind=1, pieces=1):
        write("stream_tls", name, bytes([kind, pieces]) + data)

    def talk(name, *actions, pieces=1):
        seed(name, bytes(byte for action in actions for byte in action), kind=0, pieces=pieces)

    client, server, exchange, close, change, move, stop, resume = range(8)
    far = (exchange, 255)
    talk("hello", far, (client, 3), far, (server, 4), far, (close, 0), far, pieces=0)
    talk("much", far, far, (client, 255), (server, 255), (exchange, 3), (client, 200), far, far, pieces=3)
    talk("queued_before", (server, 9), far, far, (client, 9))
    talk("moved", far, far, (client, 90), (exchange, 1), (move, 0), (exchange, 9), (server, 9), far, (move, 0), (client, 5), pieces=2)
    talk("stopped", far, far, (stop, 0), (client, 20), far, (move, 0), far, (resume, 0), far, pieces=2)
    talk("changed", far, far, (client, 20), (change, 9), far)
    talk("changed_hello", (change, 30), far)
    talk("changed_last_words", (exchange, 30), (change, 4), far, pieces=3)
    talk("closed_both_ways", far, far, (client, 7), (close, 0), (server, 30), far, pieces=3)
    hello = client_hello("postgresql", "a.pool.example")
    seed("client_hello", hello)
    seed("client_hello_direct", hello, kind=3)
    seed("client_hello_and_clear_text", hello + startup("user", "app"), pieces=2)
    seed("client_hello_1_2", client_hello(None, "db.example", ssl.TLSVersion.TLSv1_2))
    seed("no_protocol", client_hello(None, "db.example"), kind=3)
    seed("other_protocol", client_hello("http/1.1", "db.example"), kind=3, pieces=3)
    seed("application_data", b"\x17\x03\x03\0\x05hello")
    seed("alert", b"\x15\x03\x03\0\x02\x02\x28")
    seed("clear_text", startup("user", "app"))


def tls_answer():
    def seed(name, data, options=0, pieces=1):
        write("tls_answer", name, bytes([options, pieces]) + data)

    ok = authentication(0)
    for options, how in ((0, "login"), (1, "login_demanded"), (2, "cancel"), (3, "cancel_demanded")):
        for name, data in (("yes", b"S"), ("no", b"N"), ("yes_and_more", b"S" + ok), ("no_and_more", b"N" + SASL), ("letter", b"X"),
                           ("error", error("0A000", "unsupported frontend protocol", "FATAL")), ("old_error", b"Eno such thing\0")):
            seed(f"{how}_{name}", data, options=options)
    seed("http", b"HTTP/1.1 400 Bad Request\r\n\r\n")
    seed("scram_in_the_clear", b"N" + SASL + authentication(11, scram_server()[0]), pieces=0)


def certificate_names():
    def seed(name, *names, host="db.example"):
        data = bytes([0, len(host)]) + host.encode()
        for what, string, text in names:
            data += bytes([what, string, len(text)]) + text
        write("certificate_names", name, data)

    common, dns, mail, uri = range(4)
    utf8, printable, ia5, latin, bmp, universal, visible, octets = range(8)
    seed("common_name", (common, utf8, b"app"))
    seed("all_of_them", (common, utf8, b"app"), (dns, 0, b"db.example"), (mail, 0, b"app@example"), (uri, 0, b"https://db.example"))
    seed("nul", (common, utf8, b"app\0.evil"), (dns, 0, b"db.example\0.evil"), (mail, 0, b"\0"))
    seed("wildcard", (dns, 0, b"*.example"), (dns, 0, b"*"), (dns, 0, b"*."), (dns, 0, b"a*.example"), (dns, 0, b"*.*.example"))
    seed("wildcard_and_dots", (dns, 0, b"*.example"), host=".example")
    seed("wide", (common, bmp, "app\u0142".encode("utf-16-be")), (common, universal, "app".encode("utf-32-be")))
    seed("wide_odd", (common, bmp, b"app"), (common, universal, b"a"))
    seed("surrogates", (common, bmp, b"\xd8\0\xdc\0"), (common, universal, b"\0\x11\0\0"))
    seed("other_strings", (common, latin, b"\xe4"), (common, visible, b"app"), (common, printable, b"app"), (common, octets, b"app"))
    seed("not_utf8", (common, utf8, b"\xff\xfe"), (common, ia5, b"\xc3\x28"))
    seed("empty", (common, utf8, b""), (dns, 0, b""))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=app/CN=b",
                        "-addext", "subjectAltName=DNS:db.example,DNS:*.pool.example,email:app@example,IP:127.0.0.1,otherName:1.2.3.4;UTF8:x",
                        "-keyout", os.path.join(folder, "key"), "-outform", "DER", "-out", os.path.join(folder, "crt")],
                       check=True, capture_output=True)
        with open(os.path.join(folder, "crt"), "rb") as file:
            write("certificate_names", "whole", b"\1" + file.read())
