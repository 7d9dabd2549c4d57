"""Random requests get the server's own answers, whatever weir does to names and statements on the way."""

import random

from wire import SYNC, Wire, bind, error_code, error_text, execute, message, parse, query

TEXTS = ["select 1", "select 'two'", "select $1", "select 1/0", "selec", "begin", "commit", "rollback", "deallocate all",
         "discard all", "deallocate a", "deallocate b", ""]
NAMES = ["", "a", "b", "c"]
SEEDS = 100
CLIENTS = 3


def requests(chance):
    """Some batches, sent at once: (bytes, how many times the server will be ready, what was sent)."""
    sent, ready, batch = [], 0, False
    for _ in range(chance.randrange(1, 25)):
        kind, name, text = chance.choice("QPPPBBBDEEECSS"), chance.choice(NAMES), chance.choice(TEXTS)
        if kind == "S" or kind == "Q" and batch:
            sent.append(("S", SYNC))
            ready += 1
        if kind == "Q":
            sent.append((f"Q {text}", query(text)))
            ready += 1
        elif kind == "P":
            # A DEALLOCATE of one name is looked for in a Query, and in the unnamed statement when it is parsed.
            text = "select 3" if text in ("deallocate a", "deallocate b") else text
            sent.append((f"P {name} {text}", parse(name, text)))
        elif kind == "B":
            sent.append((f"B {name}", bind(name)))
        elif kind == "E":
            sent.append(("E", execute()))
        elif kind in "DC":
            sent.append((f"{kind} {name}", message(kind.encode(), b"S" + name.encode() + b"\0")))
        batch = kind not in "SQ"
    sent.append(("S", SYNC))
    return b"".join(data for _, data in sent), ready + 1, [what for what, _ in sent]


def answers(wire, ready):
    got = []
    while ready > 0:
        kind, body = wire.receive()
        assert kind is not None, got
        if kind in (b"N", b"S"):
            continue
        got.append((kind, error_code(body), error_text(body)) if kind == b"E" else (kind, body))
        ready -= kind == b"Z"
    return got


def same(direct, through, status):
    """Whether the answers agree. In a failed transaction a statement that a failed DEALLOCATE ALL has made weir forget
    cannot be prepared again: then the error is another one, and the rest is not looked at (None)."""
    for ours, theirs in zip(through, direct):
        if ours != theirs:
            return None if status == b"E" and ours[:2] == (b"E", "25P02") else False
        status = ours[1] if ours[0] == b"Z" else status
    return len(direct) == len(through)


def test_random_requests_get_the_servers_answers(start_weir, postgres):
    weir = start_weir(pool='max_connections_percent = 25\nconnection_borrow_timeout = 20\ndebug_borrow = "rotate"')
    let_off = 0
    for seed in range(SEEDS):
        chance = random.Random(seed)
        pairs = [(Wire(postgres.port), Wire(weir.port)) for _ in range(CLIENTS)]
        for pair in pairs:
            for wire in pair:
                wire.login()
        history = [[] for _ in pairs]
        status = [b"I" for _ in pairs]
        for _ in range(4):
            sent = [requests(chance) for _ in pairs]
            for pair, (data, _, _) in zip(pairs, sent):
                for wire in pair:
                    wire.send(data)
            for client, (direct, through) in enumerate(pairs):
                _, ready, what = sent[client]
                expected, got = answers(direct, ready), answers(through, ready)
                history[client].append(what)
                if status[client] is None:
                    continue
                agreed = same(expected, got, status[client])
                assert agreed is not False, (seed, client, history[client], expected, got)
                let_off += agreed is None
                status[client] = got[-1][1] if agreed else None
        for pair in pairs:
            for wire in pair:
                wire.close()
    assert let_off < SEEDS * CLIENTS / 20
