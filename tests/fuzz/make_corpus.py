#!/usr/bin/python3
"""Writes the seeds of the fuzz targets: tests/fuzz/corpus/TARGET/NAME. Inputs that fuzzing has found lie beside them.

The first bytes of an input are what its target says (options, how bytes are cut); the rest is on the wire.
"""

import base64
import struct
import sys

sys.dont_write_bytecode = True
import corpus_auth  # noqa: E402
from corpus_tls import certificate_names, stream_tls, tls_answer
from corpus_wire import (CANCEL, GSS, NONCE, READY, SASL, SSL, authentication, error, message, request,
                         row, sasl_first, scram_server, startup, write, z)


def client_login():
    def seed(name, data, options=2, pieces=1):
        write("client_login", name, bytes([options, pieces]) + data)

    app = startup("user", "app", "database", "db", "application_name", "x")
    first = sasl_first("n,,n=,r=abcdef")
    final = message(b"p", f"c=biws,r=abcdef{NONCE},p={base64.b64encode(bytes(32)).decode()}".encode())
    seed("startup_trust", app, options=3)
    seed("startup_options", startup("user", "app", "options", "-c x=1 --y=2", "replication", "database"))
    seed("scram_wrong_proof", app + first + final)
    seed("scram_unknown_user", app + first + final, options=0)
    seed("scram_final_before_first", app + final + first)
    seed("scram_first_twice", app + first + first)
    seed("scram_channel_binding", app + sasl_first("p=tls-unique,,n=,r=abcdef"))
    seed("scram_no_nonce", app + sasl_first("n,,n=,r="))
    seed("scram_plus", app + sasl_first("n,,n=,r=x", mechanism="SCRAM-SHA-256-PLUS"))
    seed("scram_length_beyond_body", app + sasl_first("n,,n=,r=x", length=2**31))
    # How the user logs in is in the two highest bits; 8: TLS is offered, 16: with a certificate of the user.
    tls = request(SSL) + app
    bound = base64.b64encode(b"p=tls-server-end-point,," + b"a hash of 32 bytes, or something").decode()
    plus = sasl_first("p=tls-server-end-point,,n=,r=abcdef", mechanism="SCRAM-SHA-256-PLUS")
    proof = base64.b64encode(bytes(32)).decode()
    seed("plus_wrong_proof", tls + plus + message(b"p", f"c={bound},r=abcdef{NONCE},p={proof}".encode()), options=10)
    seed("plus_wrong_binding", tls + plus + message(b"p", f"c=biws,r=abcdef{NONCE},p={proof}".encode()), options=10)
    seed("plus_downgrade", tls + sasl_first("y,,n=,r=abcdef"), options=10)
    seed("plus_without_data", tls + sasl_first("n,,n=,r=abcdef", mechanism="SCRAM-SHA-256-PLUS"), options=10)
    seed("plus_other_type", tls + sasl_first("p=tls-unique,,n=,r=abcdef", mechanism="SCRAM-SHA-256-PLUS"), options=10)
    seed("md5_wrong", app + message(b"p", z("md5" + "0" * 32)), options=0x42)
    seed("md5_scram_answer", app + first, options=0x42)
    seed("md5_no_end", app + message(b"p", b"md5"), options=0x42)
    seed("scram_md5_answer", app + message(b"p", z("md5" + "0" * 32)))
    seed("certificate", tls, options=0x9a)
    seed("certificate_of_another", request(SSL) + startup("user", "other"), options=0x9a)
    seed("certificate_in_the_clear", app, options=0x92)
    seed("token", tls + message(b"p", z("a good token")), options=0xca)
    seed("token_wrong", tls + message(b"p", z("a bad token")), options=0xca)
    seed("token_empty", tls + message(b"p", z("")), options=0xca)
    seed("token_too_long", tls + message(b"p", z("x" * 8193)), options=0xca)
    seed("token_twice", tls + message(b"p", z("a good token")) * 2, options=0xca)
    seed("token_in_the_clear", app + message(b"p", z("a good token")), options=0xc2)
    seed("second_startup_in_scram", app + startup("user", "postgres"))
    seed("second_startup_after_sasl_first", app + first + startup("user", "postgres") + final)
    seed("query_before_proof", app + message(b"Q", z("SELECT 1")))
    seed("password_too_early", message(b"p", z("secret")))
    seed("password_4k", app + message(b"p", b"x" * 4096 + b"\0"))
    seed("password_8k", app + message(b"p", b"x" * 8191 + b"\0"))
    seed("password_too_long", app + message(b"p", b"x" * 9000))
    seed("ssl_then_startup", request(SSL) + request(GSS) + app)
    seed("ssl_with_startup_behind", request(SSL) + app, options=6)
    seed("ssl_twice", request(SSL) + request(SSL))
    seed("ssl_with_body", request(SSL, b"x"))
    seed("cancel", request(CANCEL, struct.pack(">II", 5, 6)))
    seed("cancel_short", request(CANCEL, b"\0\0"))
    seed("cancel_long_key", request(CANCEL, bytes(256)))
    seed("startup_2_0", startup("user", "app", version=2 << 16))
    seed("startup_3_2", startup("user", "app", "_pq_.x", "1", "_pq_.y", "2", version=3 << 16 | 2))
    seed("startup_no_user", startup("database", "x"))
    seed("startup_empty_user", startup("user", ""))
    seed("startup_no_terminator", startup("user", "app", end=b""))
    seed("startup_half_pair", startup("user"))
    seed("startup_bytes_behind_terminator", startup("user", "app", end=b"\0x"))
    seed("startup_long", startup("user", "app", "options", "x" * 9900))
    seed("startup_truncated", app[:-5])
    for name, length in [("0", 0), ("3", 3), ("7", 7), ("10001", 10001), ("2_31", 2**31), ("2_32", 2**32 - 1)]:
        seed(f"startup_length_{name}", struct.pack(">II", length, 3 << 16) + bytes(8))
        seed(f"password_length_{name}", app + b"p" + struct.pack(">I", length) + bytes(8))
    seed("http", b"GET / HTTP/1.1\r\n\r\n")


def server_login():
    def seed(name, data, options=1, pieces=1):
        write("server_login", name, bytes([options, pieces]) + data)

    first, final = scram_server()
    proof = SASL + authentication(11, first) + authentication(12, final) + authentication(0)
    report = message(b"S", z("TimeZone", "UTC")) + message(b"K", bytes(8)) + READY
    facts = message(b"T", b"xx") + row("100", "3", "0") + message(b"C", z("SELECT 1")) + READY
    seed("scram", proof + report + facts)
    seed("scram_init_query", proof + report + facts + message(b"C", z("SET")) + READY, options=9)
    seed("scram_wrong_signature", SASL + authentication(11, first) + authentication(12, b"v=AAAA") + authentication(0))
    seed("scram_ok_without_signature", SASL + authentication(11, first) + authentication(0) + report)
    seed("scram_final_before_continue", SASL + authentication(12, final) + authentication(11, first))
    seed("scram_sasl_twice", SASL + SASL)
    seed("scram_iterations_0", SASL + authentication(11, scram_server(0)[0]))
    seed("scram_iterations_2_31", SASL + authentication(11, scram_server(2**31)[0]))
    seed("scram_no_mechanism", authentication(10, b"SCRAM-SHA-256-PLUS\0\0"))
    both = authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
    seed("plus_offered", both, options=97)
    seed("plus_offered_in_the_clear", both, options=33)
    seed("plus_not_offered", SASL, options=97)
    seed("plus_demanded_not_offered", SASL, options=96)
    seed("password", authentication(3) + authentication(0) + report + facts, options=128)
    seed("password_twice", authentication(3) + authentication(3), options=128)
    seed("md5_then_password", authentication(5, b"salt") + authentication(3), options=130)
    seed("md5", authentication(5, b"salt") + authentication(0) + report + facts, options=2)
    seed("md5_short_salt", authentication(5, b"sa"), options=2)
    seed("trust", authentication(0) + report + facts, options=4)
    seed("trust_replication", authentication(0) + report, options=20)
    seed("trust_refused", authentication(0) + report + facts)
    seed("clear_text", authentication(3))
    seed("gss", authentication(7))
    seed("ok_twice", authentication(0) + authentication(0) + report, options=4)
    seed("error", error("28P01", "password authentication failed", "FATAL"))
    seed("error_in_init_query", authentication(0) + report + facts + error("42601", "syntax error"), options=12)
    seed("error_without_fields", message(b"E"))
    seed("copy_in_init_query", authentication(0) + report + facts + message(b"G", bytes(3)), options=12)
    seed("facts_null", authentication(0) + report + message(b"D", struct.pack(">HI", 1, 2**32 - 1)) + READY, options=4)
    seed("facts_not_a_number", authentication(0) + report + row("99999999999", "-1", "x") + READY, options=4)
    seed("parameters_again", authentication(0) + message(b"S", z("a", "1")) + message(b"S", z("a", "2")) +
         message(b"S", z("b")) + report + facts, options=4)
    seed("notice_behind_the_end", authentication(0) + report + facts + message(b"N", b"\0"), options=4)
    seed("half_a_message_behind_the_end", authentication(0) + report + facts + b"N\0\0", options=4)
    for name, length in [("0", 0), ("3", 3), ("70000", 70000), ("2_31", 2**31)]:
        seed(f"length_{name}", b"R" + struct.pack(">I", length) + bytes(16))


def login_pair():
    for options in (*range(4), 4, 5, 6, 8, 12, 13, 16, 17, 18, 20, 28):
        write("login_pair", f"untouched_{options}", bytes([options, 0]))
    for at in range(6):
        for name, what in [("change", b"\3\x13\x50"), ("insert", b"\x08\x18\4-PLU"), ("cut", b"\4\x18")]:
            write("login_pair", f"{name}_encrypted_at_{at}", bytes([12 if at % 2 else 4, at]) + bytes(at) + what)
        for name, what in [("drop", b"\1"), ("twice", b"\2"), ("change", b"\3\x20\1"), ("cut", b"\4\x08"),
                           ("second_startup", b"\5"), ("garbage", b"\6\4xxxx"), ("again", b"\7\0"), ("ok", b"\x09")]:
            write("login_pair", f"{name}_at_{at}", bytes([at % 2, at]) + bytes(at) + what)


def scram():
    def seed(name, options, first, final=b""):
        write("scram", name, bytes([options, len(first)]) + first + final)

    seed("server", 0, b"n,,n=,r=abc", f"c=biws,r=abc{NONCE},p={base64.b64encode(bytes(32)).decode()}".encode())
    # The option's third digit to base 3: bound, PLUS chosen; or the client's flag.
    flag = b"p=tls-server-end-point,,"
    bound = base64.b64encode(flag + b"a hash of the certificate").decode()
    seed("server_plus", 9, flag + b"n=,r=abc", f"c={bound},r=abc{NONCE},p={base64.b64encode(bytes(32)).decode()}".encode())
    seed("server_plus_other_data", 9, flag + b"n=,r=abc", f"c=biws,r=abc{NONCE},p=AAAA".encode())
    seed("server_downgrade", 3, b"y,,n=,r=abc")
    seed("server_extension", 0, b"n,,m=x,n=,r=abc")
    seed("client_y", 4, scram_server()[0], scram_server()[1])
    seed("client_plus", 7, scram_server()[0], scram_server()[1])
    key = base64.b64encode(bytes(32)).decode()
    seed("verifier", 2, b"", f"SCRAM-SHA-256$4096:c2FsdA==${key}:{key}".encode())
    seed("verifier_no_iterations", 2, b"", f"SCRAM-SHA-256$:c2FsdA==${key}:{key}".encode())
    seed("verifier_short_key", 2, b"", f"SCRAM-SHA-256$1:c2FsdA==$c2FsdA==:{key}".encode())
    seed("server_y", 0, b"y,,n=app,r=abc,ext=1", f"c=eSws,r=abc{NONCE},p=AAAA".encode())
    seed("server_authzid", 0, b"n,a=other,n=,r=abc")
    seed("server_no_proof", 0, b"n,,n=,r=abc", b"c=biws")
    seed("client", 1, scram_server()[0], scram_server()[1])
    seed("client_short_nonce", 1, f"r={NONCE},s=c2FsdA==,i=4096".encode(), b"v=AAAA")
    seed("client_iterations", 1, f"r={NONCE}x,s=c2FsdA==,i=4294967297".encode(), b"v=AAAA")
    seed("client_empty_salt", 1, f"r={NONCE}x,s=,i=1".encode(), b"v=AAAA")
    seed("base64", 2, b"", b"QUJDRA==")
    seed("base64_padding", 2, b"", b"====")
    seed("saslprep", 2, b"", "a\u00a0b\u00adc\ufb01".encode())
    seed("saslprep_long", 2, b"", "\ufdfa".encode() * 40)


def messages():
    def seed(name, data):
        write("messages", name, data)

    seed("error", error("42P01", "relation does not exist")[5:])
    seed("two_severities", b"S" + z("FATAL") + b"VFATAL\0SERROR\0C57P01\0M\0\0")
    seed("no_end", b"SERROR")
    seed("empty_field", b"S\0\0")
    seed("server_name", b"__weir_s12")
    seed("server_name_too_great", b"__weir_s4294967296")


def steps(*parts):
    return b"".join(parts)


def client(*data):
    data = b"".join(data)
    return b"\0" + struct.pack(">H", len(data)) + data


def server(*data):
    data = b"".join(data)
    return b"\1" + struct.pack(">H", len(data)) + data


JOIN, PART, YIELD, REFUSE, LOST, CLIENT_GONE, OWN, TRIM, ASK = (bytes([step]) for step in range(2, 11))


def query(text):
    return message(b"Q", z(text))


def parse(name, text):
    return message(b"P", z(name, text) + b"\0\0")


def bind(name, portal=""):
    return message(b"B", z(portal, name) + bytes(6))


def describe(name):
    return message(b"D", b"S" + z(name))


def close(name):
    return message(b"C", b"S" + z(name))


EXECUTE = message(b"E", bytes(5))
SYNC = message(b"S")
FLUSH = message(b"H")


def complete(tag):
    return message(b"C", z(tag))


def exchange():
    def seed(name, *parts, limits=0, pieces=1):
        write("exchange", name, bytes([limits, pieces]) + b"".join(parts))

    done = complete("SELECT 1") + READY
    seed("query", client(query("SELECT 1")), JOIN, server(message(b"T", b"c"), message(b"D", b"r"), done), PART)
    seed("queries_in_one", client(query("SELECT 1"), query("SELECT 2")), JOIN, server(done, done), PART)
    seed("yield", client(query("SELECT 1"), query("SELECT 2")), YIELD, JOIN, server(done), PART, JOIN)
    seed("prepared", client(parse("a", "SELECT $1"), bind("a"), describe("a"), EXECUTE, SYNC), JOIN,
         server(message(b"1"), message(b"2"), message(b"t", b"\0\0"), message(b"n"), done), PART,
         client(bind("a"), EXECUTE, close("a"), SYNC), JOIN, server(message(b"2"), done))
    seed("prepared_limit", client(*[parse(name, "SELECT " + name) for name in "abcd"], SYNC), JOIN,
         server(message(b"1") * 2, message(b"3"), message(b"1"), message(b"3"), message(b"1"), READY), limits=2)
    seed("batch_of_many", client(parse("", "SELECT 1"), *[bind("") + EXECUTE] * 60, SYNC), JOIN,
         server(message(b"1"), *[message(b"2") + complete("SELECT 1")] * 60, READY))
    seed("error_up_to_sync", client(parse("", "SELEC"), FLUSH), JOIN, server(error("42601", "x")),
         client(bind(""), EXECUTE, query("SELECT 1"), SYNC), server(READY))
    seed("error_names_own_name", client(parse("mine", "SELECT 1"), SYNC), JOIN, server(message(b"1"), READY),
         client(parse("mine", "SELECT 2"), SYNC), server(error("42P05", 'statement "__weir_s1" exists'), READY))
    seed("no_sync_in_transaction", client(query("BEGIN"), parse("", "SELECT 1"), bind(""), EXECUTE, FLUSH), JOIN,
         server(complete("BEGIN"), message(b"Z", b"T"), message(b"1"), message(b"2"), complete("SELECT 1")),
         CLIENT_GONE, server(message(b"Z", b"T")))
    seed("portal_with_row_limit", client(parse("", "SELECT 1"), bind(""), EXECUTE, EXECUTE, SYNC), JOIN,
         server(message(b"1"), message(b"2"), message(b"D", b"r"), message(b"s"), message(b"D", b"r"), done))
    seed("copy_in", client(query("COPY t FROM STDIN")), JOIN, server(message(b"G", bytes(3))),
         client(message(b"d", b"1\n"), message(b"c")), server(complete("COPY 1"), READY))
    seed("copy_in_sync_ahead", client(parse("", "COPY t FROM STDIN"), bind(""), EXECUTE, SYNC), JOIN,
         server(message(b"1"), message(b"2"), message(b"G", bytes(3))),
         client(message(b"d", b"1\n"), message(b"c"), SYNC), server(complete("COPY 1"), READY))
    seed("copy_in_blind", client(query("COPY t FROM STDIN"), message(b"d", b"1\n"), message(b"c"), SYNC), JOIN,
         server(message(b"G", bytes(3)), complete("COPY 1"), READY, READY))
    seed("copy_fail", client(query("COPY t FROM STDIN"), message(b"f", z("no"))), JOIN,
         server(message(b"G", bytes(3)), error("57014", "x"), READY))
    seed("copy_out", client(query("COPY t TO STDOUT")), JOIN,
         server(message(b"H", bytes(3)), message(b"d", b"1\n"), message(b"c"), complete("COPY 1"), READY))
    seed("function_call", client(message(b"F", bytes(10))), JOIN, server(message(b"V", bytes(4)), READY))
    seed("empty_query", client(query("")), JOIN, server(message(b"I"), READY))
    seed("deallocate", client(parse("a", "SELECT 1"), SYNC), JOIN, server(message(b"1"), READY),
         client(query('DEALLOCATE PREPARE "a"')), server(complete("DEALLOCATE"), READY),
         client(parse("", "DEALLOCATE a"), bind(""), EXECUTE, SYNC), server(message(b"1"), error("26000", "x"), READY))
    seed("discard_all", client(parse("a", "SELECT 1"), query("DISCARD ALL"), bind("a"), SYNC), JOIN,
         server(message(b"1"), complete("DISCARD ALL"), READY))
    seed("sequences_of_another", client(query("SELECT nextval('s')")), JOIN, server(done), PART, CLIENT_GONE,
         client(query("SELECT currval('s')")), JOIN,
         server(message(b"1"), message(b"2"), complete("DISCARD SEQUENCES"), message(b"3"), READY), server(done))
    seed("long_text", client(query("SELECT '" + "x" * 200 + "'")), JOIN, server(done), limits=1)
    seed("long_parse", client(parse("a", "SELECT '" + "x" * 200 + "'"), SYNC), JOIN, limits=1)
    seed("refused", client(parse("", "SELECT 1")), REFUSE, client(bind(""), EXECUTE, SYNC))
    seed("server_lost", client(parse("", "SELECT 1"), bind(""), FLUSH), JOIN, server(message(b"1")), LOST,
         client(EXECUTE, SYNC))
    seed("server_lost_in_a_row", client(query("SELECT 1")), JOIN, server(message(b"D", b"rrrr")[:-2]), LOST)
    seed("server_lost_in_a_message", client(query("SELECT 1")[:-2]), JOIN, LOST, client(query("SELECT 1")))
    seed("client_gone_in_a_message", client(message(b"B", z("", "x") + bytes(20000))[:17000]), JOIN, CLIENT_GONE)
    seed("own_statement", OWN, server(message(b"1"), message(b"2"), complete("SELECT 1"), message(b"3"), READY))
    seed("fatal", client(query("SELECT 1")), JOIN, server(error("57P01", "going down", "FATAL")))
    seed("notices", server(message(b"N", b"\0"), message(b"S", z("client_encoding", "SJIS")), message(b"A", b"x")),
         client(query("SELECT '\x83\\'")), JOIN, server(done), TRIM)
    seed("a_ready_too_many", client(query("SELECT 1")), JOIN, server(done, READY))
    seed("malformed_behind_a_reply", client(query("SELECT 1")), JOIN, server(message(b"D", b"r"), b"C\0\0\0\3"))
    seed("more_behind_a_fatal_error", client(query("SELECT 1")), JOIN,
         server(error("57P01", "going down", "FATAL"), message(b"D", b"r"), b"!\0\0\0\4"))
    seed("a_row_for_nobody", server(message(b"D", b"r")))
    seed("unknown_type", client(message(b"!", b"x")))
    seed("terminate", client(message(b"X")))
    seed("parse_without_nul", client(message(b"P", b"x")), JOIN)
    seed("bind_without_nul", client(message(b"B", b"x")), JOIN)
    seed("describe_empty", client(message(b"D")), JOIN)
    seed("reserved_name", client(parse("__weir_s1", "SELECT 1")), JOIN)
    for name, length in [("0", 0), ("3", 3), ("2_30", 2**30), ("2_31", 2**31)]:
        seed(f"client_length_{name}", client(b"Q" + struct.pack(">I", length) + bytes(8)), JOIN)
        seed(f"server_length_{name}", server(b"N" + struct.pack(">I", length) + bytes(8)))


def own_reply(*values):
    """How a server answers a statement of weir's own."""
    return message(b"1") + message(b"2") + row(*values) + complete("SELECT 1") + message(b"3") + READY


def exchange_settings():
    def seed(name, *parts, limits=0, pieces=1):
        write("exchange", "settings_" + name, bytes([limits, pieces]) + b"".join(parts))

    # A client that has made a setting of its own and lets the backend go.
    made = (client(query("SET work_mem = '9MB'")) + JOIN + server(complete("SET"), READY) + ASK +
            server(own_reply("9MB")) + server(own_reply("4MB")) + PART)
    fenced = message(b"1") + message(b"2")
    select = client(query("SELECT 1")) + JOIN
    done = complete("SELECT 1") + READY
    seed("made", made, select, server(done), PART)
    seed("taken_back", made, CLIENT_GONE, select, server(fenced, row("on", "4MB", "off"), done, done), PART)
    seed("replayed", made, CLIENT_GONE, made, LOST)
    seed("fence_ends_the_session", made, CLIENT_GONE, select, server(fenced, error("22023", "x", "FATAL")), LOST,
         client(query("RESET work_mem"), query("SELECT 1")), JOIN, server(complete("RESET"), READY))
    seed("fence_does_not_hold", made, CLIENT_GONE, select, server(error("53200", "x"), READY, done))
    seed("role_is_waited_for", client(query("SET ROLE bob")), JOIN, server(complete("SET"), READY), ASK,
         server(own_reply("bob")), server(own_reply("none")), CLIENT_GONE, select,
         server(own_reply("x")), server(own_reply("x")), server(done), PART)
    seed("refused", client(query("SET ROLE bob")), JOIN, server(complete("SET"), READY), CLIENT_GONE, select,
         server(message(b"1"), error("22023", "no such role"), READY, own_reply("x")), client(query("SELECT 2")))
    seed("defaults_denied", client(query("SET log_statement = 'all'")), JOIN, server(error("42501", "x"), READY), ASK,
         server(own_reply("none")), server(fenced, error("42501", "x"), READY), server(message(b"3"), own_reply("t")), PART)
    seed("answer_of_too_few", client(query("SET a.b = 1; RESET ALL")), JOIN, server(complete("SET"), complete("RESET"), READY),
         ASK, server(own_reply()), PART)
    seed("lexing_is_waited_for", client(query("SET standard_conforming_strings = off"), query("SELECT '\\'; SET x = 1 --'")),
         JOIN, server(complete("SET"), message(b"S", z("standard_conforming_strings", "off")), READY))
    seed("private_parse", client(query("BEGIN"), query("SET LOCAL TIME ZONE 'UTC'"), parse("a", "SELECT 1"), bind("a"), SYNC),
         JOIN, server(complete("BEGIN"), message(b"Z", b"T"), complete("SET"), message(b"Z", b"T"), message(b"1")))


def exchange_model():
    import random
    for seed in range(24):
        source = random.Random(seed)
        write("exchange_model", f"random_{seed:02}", bytes([seed % 4, seed]) + source.randbytes(300))
    for seed in range(24):
        source = random.Random(1000 + seed)
        options = 4 | seed % 4 | (seed // 4 % 4) << 3
        write("exchange_model", f"settings_{seed:02}", bytes([options, seed]) + source.randbytes(300))
    # A client's step is 0 (sends), 2 (its bytes move), 4 (the first server's move).
    batch = bytes([0, 1, 1, 11, 0, 3, 1, 0, 5, 0, 7])
    write("exchange_model", "prepared", bytes([0, 3]) + batch + bytes([2, 0]) + bytes([4] * 12))


def sql():
    texts = {
        "select": "SELECT a, count(*) FROM t AS u (b) WHERE c IN (1, 2) GROUP BY (a);",
        "set": "SET search_path TO \x01",
        "set_quoted": "SET \x01 = 1",
        "set_local": "SET LOCAL \x01 TO 1; SET SESSION \x01 = 2",
        "prepare": "PREPARE \x01 AS SELECT 1; EXECUTE \x01",
        "deallocate": "DEALLOCATE PREPARE ALL",
        "create_temp": "CREATE TEMP TABLE \x01 AS SELECT f(1)",
        "create_function": "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 2 END; END; SET a = 1",
        "with": "WITH RECURSIVE \x01(n) AS (VALUES (1) UNION ALL SELECT n FROM \x01) SELECT sum(n) FROM \x01",
        "set_config": "SELECT set_config('search_path', 'x', true), pg_catalog.set_config('a', 'b', false)",
        "set_config_names": "SELECT SET_CONFIG ( 'App.' , 'x' , true ), set_config(, 'b', false)",
        "set_default": "SET  TO DEFAULT; RESET .b; RESET ALL; DISCARD ALL",
        "set_special": "SET ROLE ; SET SESSION AUTHORIZATION DEFAULT; SET NAMES 'x'; SET SCHEMA 'x'; SET XML OPTION CONTENT",
        "set_session": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET SESSION TIME ZONE LOCAL; RESET TIME ZONE",
        "set_quoted_dot": "SET \"a.b\". = 1; SET LOCAL .\"c\" = 1; SET \"role\" = 'x'",
        "functions": "SELECT \x01(1), pg_advisory_lock(1), nextval('s'), currval('s')",
        "strings": "SELECT 'it''s', E'\\'', $a$ $$ $a$, U&'\\0041', B'1', X'f' 'x'\n'y'",
        "comments": "/* /* */ */ SELECT 1 -- x\n + /* */ 2 */* x */ 3",
        "open_string": "SELECT 'x",
        "open_comment": "SELECT 1 /* x",
        "open_dollar": "SELECT $a$ x $a",
        "dollar": "SELECT $1, a$b$, $1a",
        "unicode_name": "SELECT U&\"\\0061\" FROM t",
        "operators": "SELECT 1 OPERATOR(pg_catalog.=) 2, a ->> 'b', -1 @> - 2 <= 3",
        "copy": "COPY \x01 (a) FROM STDIN; COPY (SELECT f(1)) TO STDOUT",
        "declare": "DECLARE \x01 CURSOR WITH HOLD FOR SELECT 1",
        "explain": "EXPLAIN (ANALYZE) EXECUTE \x01",
        "deep": "SELECT " + "(" * 300 + "1" + ")" * 300,
        "deep_comment": "/*" * 300 + "*/" * 300 + " SET a = 1",
        "long_word": "SELECT " + "x" * 200,
        "many_statements": "SELECT 1;" * 300,
        "encoding": "SELECT '\u8868\\'; SET a = 1 --'",
        "nul": "SELECT 1\0SET a = 1",
    }
    for name, text in texts.items():
        data = text.encode()
        write("sql_scan", name, bytes([2 if name == "encoding" else 0, 1]) + data)
        write("sql_digest", name, b"\0\x08my \"name" + data)
    write("sql_scan", "backslashes", b"\1\1SELECT '\\'; SET a = 1 --'")
    write("sql_digest", "deallocate_name", b"\0\3a\"bDEALLOCATE a;")
    write("sql_digest", "deallocate_more", b"\0\1aDEALLOCATE a b")
    write("sql_digest", "set", b"\0\1aSET a TO 'x', b")


def config():
    def seed(name, text):
        write("config", name, text.encode())

    whole = '[[endpoint]]\nlisten = "127.0.0.1:1"\n[[target]]\nhost = "h"\n[[auth]]\n\x01\n'
    seed("least", whole)
    seed("values", "[proxy]\nidle_client_timeout = 1.5\ndebug_logging = true\n[connection_pool]\n"
         'statement_scan_limit = "64KiB"\nmax_connections_percent = 80\n[engine]\nbuffer_memory = 1048576\n' + whole)
    seed("two_endpoints", '[[endpoint]]\nname = "b"\nlisten = "unix:/tmp:6000"\n' + whole.replace('"127.0.0.1:1"', '"[::1]:2"'))
    seed("addresses", "".join(f'[[endpoint]]\nname="{i}"\nlisten={address}\n' for i, address in
                              enumerate(['"1"', '":1"', '"[::1"', '"x:99999"', '"unix:"', '"a:b:c"', '"0.0.0.0:0"'])) + whole)
    seed("access", whole + '[[access]]\naddress = "10.0.0.0/8"\nuser = ["a", "all"]\ndatabase = "sameuser"\nmethod = "password"\n'
         '[[access]]\naddress = "fd00::/8"\ntls = "any"\nmethod = "reject"\n[[access]]\naddress = "unix"\nmethod = "iam"\n')
    seed("access_wrong", whole + '[[access]]\naddress = "10.0.0.0/33"\nuser = ["", "+a"]\ndatabase = []\ntls = "x"\n')
    seed("iam", whole + '[iam]\naccount_id = "1"\nregion = "a b"\nverifier = "x"\n[[iam.principal]]\nentry = "x"\n[iam.principal.x]\n')
    seed("limits", whole + "max_client_connections = 5\nclient_connection_rate = -1\n")
    seed("unknown", "[prozy]\n[proxy]\nnam = 1\n[tls]\n")
    seed("types", '[proxy]\nname = 1\nrequire_tls = "x"\nidle_client_timeout = "1"\n[connection_pool]\n'
         "custom_settings = [1]\nstatement_scan_limit = -1\n")
    seed("ranges", "[proxy]\nidle_client_timeout = 0\nstats_period = inf\nclient_lifetime = nan\n[connection_pool]\n"
         'max_connections_percent = 101\nstatement_scan_limit = "18446744073709551615GiB"\n')
    seed("too_great", "[connection_pool]\nmax_connections_percent = 101\n" + whole)
    seed("not_tables", "proxy = 1\nendpoint = []\ntarget = [1]\nauth = {}\n")
    seed("inline", 'proxy = { name = "x", name.y = 1 }\nproxy.stats_period = 1\n')
    seed("syntax", "[proxy\n")
    seed("no_key", "[:proxy]\n")
    seed("beyond_ascii", "x = \u3042\n")
    seed("beyond_ascii_in_no_string", "x = 1a'b\"c\u3042\n\"\n")
    seed("not_utf8", "x = \udcff".encode("utf-8", "surrogateescape").decode("latin-1"))
    seed("deep_array", "x = " + "[" * 2000 + "]" * 2000)
    seed("deep_keys", "a." * 2000 + "a = 1")
    seed("deep_tables", "x = " + "{a=" * 2000 + "1" + "}" * 2000)
    seed("aws", whole + '[aws]\ncredentials = ["metadata", "x"]\nregion = "r"\nsecrets_manager_endpoint = "http://a"\nsecret_refresh_period = 5\n')
    seed("secret_arn", whole.replace("\1", 'secret_arn = "arn:aws:secretsmanager:r:111122223333:secret:a"'))
    seed("server_auth", whole.replace("[[auth]]", 'server_auth = "iam"\ntls_mode = "verify-full"\n[[auth]]') + '[aws]\nregion = "r"\n')
    seed("dates", "x = 1979-05-27T07:32:00Z\ny = 0x7fffffffffffffffff\nz = 1e400\n")


def pg_hba():
    def seed(name, text):
        write("pg_hba", name, text.encode())

    seed("kinds", "local all all trust\nhost a,b app 10.0.0.0/8 md5\nhostssl all all all cert\nhostnossl all all fd00::/8 reject\n")
    seed("mask", "host all all 10.0.0.0 255.0.0.0 scram-sha-256 # x\n")
    seed("quotes", 'local "a ""b",c"d e"f "all","+x" trust\nlocal "open x\n')
    seed("continued", "local all \\\n all trust\n# x \\\nlocal\nlocal a b md5\\")
    seed("keywords", "local all,sameuser,replication,samerole all trust\nlocal all +a,@b,/c peer\n")
    seed("include", "include x\ninclude_dir y\n@z\n")
    seed("options", "hostssl all all ::1/128 cert clientcert=verify-full map=x\n")
    seed("addresses", "host all all samehost md5\nhost all all db.example md5\nhost all all 1.2.3.4/33 md5\nhost all all ::ffff:1.2.3.4/96 md5\n")
    seed("short", "host\nhost all\nhost all all\nhost all all all\nlocal all all\n")
    seed("nul", "local all all\0trust\n,,\t,\n")


for make in (stream_tls, tls_answer, certificate_names, pg_hba, client_login, server_login, login_pair, scram, messages, exchange, exchange_settings, exchange_model, sql, config):
    make()
for make in corpus_auth.ALL:
    make(write)
