"""Short reads of several clients in flight on one backend: each gets its own answer, and nobody waits for a stranger."""

import concurrent.futures
import random

import pytest
from wire import SYNC, Wire, bind_values, cancel_request, error_code, execute, message, parse, query

PIPED = "connection_borrow_timeout = 20\nmax_connections_percent = 6\ndebug_hot_backends = 1\npipeline_max_wait = 0.02\n"


def text_of(messages):
    """The first column of the rows; an error's code in its place."""
    return [body[6:].decode() if kind == b"D" else error_code(body) for kind, body in messages if kind in (b"D", b"E")]


def ask(wire, sql):
    wire.send(query(sql))
    return text_of(wire.ready())


def logged_in(weir, count):
    wires = [Wire(weir.port) for _ in range(count)]
    for wire in wires:
        assert wire.login()[0] == b"Z"
    return wires


def joined(weir):
    return weir.wait_for_log("event=statistics shard=all .* reads_joined=[1-9]\\d* reads_depth=[1-9]")


@pytest.fixture
def piped(start_weir):
    """Two backends, one shard: reads of a kind that is known join on one of them, once the database is known."""
    weir = start_weir(pool=PIPED, proxy="stats_period = 1", engine="shards = 1", endpoint='pipelining = "reads"')
    wire = logged_in(weir, 1)[0]
    while not weir.find(" reads=[1-9]"):
        ask(wire, "select 'a read'")
    wire.close()
    return weir


def make_known(wire, kind):
    for i in range(8):
        ask(wire, kind.format(rows=1, tag=f"known{i}"))


# Quick or slow by its literal: some five million rows take a second.
COUNT = "select '{tag}' from (select generate_series(1, {rows}) as row) as rows having max(row) > 0"


def behind(piped, rows, count=3):
    """A slow read of a kind that is quick else, and quick ones that are sent behind it while it runs."""
    wires = logged_in(piped, count + 1)
    make_known(wires[0], COUNT)
    make_known(wires[0], "select '{tag}'")
    wires[0].send(query(COUNT.format(tag="slow", rows=rows)))
    for number, wire in enumerate(wires[1:]):
        wire.send(query(f"select 'quick{number}'"))
    return wires


def test_every_answer_is_the_askers_own(piped, postgres):
    """Tags of every kind of request, errors among them, while backends are killed and requests cancelled."""
    failures = []

    def client(number):
        chance = random.Random(number)
        wire = logged_in(piped, 1)[0]
        wire.send(parse("named", "select $1::text || ':' || count(*) from generate_series(1, 3)") + SYNC)
        wire.ready()
        killer = postgres.connect() if number == 0 else None   # of one backend after the other
        for turn in range(150):
            if killer is not None and turn % 5 == 0:
                killer.execute("select pg_terminate_backend(pid) from pg_stat_activity "
                               "where client_port is not null and pid <> pg_backend_pid() order by random() limit 1")
            tag = f"c{number}.{turn}"
            how = chance.randrange(5)
            if how == 0:
                data, expected = query(f"select '{tag}'"), [tag]
            elif how == 1:
                data = parse("", "select $1::text") + bind_values("", "", [tag]) + message(b"D", b"P\0") + execute() + SYNC
                expected = [tag]
            elif how == 2:
                data, expected = bind_values("named", "", [tag]) + execute() + SYNC, [tag + ":3"]
            elif how == 3:
                data, expected = query(f"select 1 / (length('{tag}') - {len(tag)})"), ["22012"]
            else:
                data = query(f"select '{tag}' from generate_series(1, {turn + 1})")
                expected = [tag] * (turn + 1)
            wire.send(data)
            if chance.random() < 0.05:
                cancel(piped, wire)
            got = text_of(wire.ready())
            rows = [each for each in got if each != "57014"]
            if got != expected and not (got[-1:] == ["57014"] and rows == expected[:len(rows)]):
                # A reply that has begun when its backend dies ends with that error.
                if got[-1:] not in (["57P01"], ["08006"]) or got[:-1] != expected[:len(got) - 1]:
                    failures.append((data, got, expected))

    with concurrent.futures.ThreadPoolExecutor(16) as clients:
        list(clients.map(client, range(16)))   # raises what they have raised
    assert not failures, failures[:3]
    joined(piped)


def test_nobody_waits_for_a_slow_stranger(piped):
    """Those behind it are sent elsewhere: they have their answers while it still runs."""
    wires = behind(piped, 20_000_000)
    for number, wire in enumerate(wires[1:]):
        assert text_of(wire.ready()) == [f"quick{number}"]
    wires[0].socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        wires[0].socket.recv(1)
    wires[0].socket.setblocking(True)
    piped.wait_for_log("event=statistics shard=all .* reads_repeated=slow:[1-9]")
    assert text_of(wires[0].ready()) == ["slow"]


def test_a_read_outlives_its_backend(piped, postgres):
    """The backend dies before a byte of the reply has come: it is read again, and nobody notices."""
    wires = behind(piped, 5_000_000)
    with postgres.connect() as connection:
        found = ("select pg_terminate_backend(pid) from pg_stat_activity "
                 "where query like '%slow%' and state = 'active' and pid <> pg_backend_pid()")
        while not connection.execute(found).fetchall():
            pass
    assert text_of(wires[0].ready()) == ["slow"]
    for number, wire in enumerate(wires[1:]):
        assert text_of(wire.ready()) == [f"quick{number}"]
    piped.wait_for_log("event=statistics shard=all .* reads_repeated=\\S*lost:[1-9]")


def cancel(weir, wire):
    canceller = Wire(weir.port)
    canceller.send(cancel_request(wire.key))
    assert canceller.receive()[0] is None


def test_a_cancel_hits_the_one_that_is_meant(piped):
    wires = behind(piped, 2_000_000_000)
    cancel(piped, wires[0])
    assert text_of(wires[0].ready()) == ["57014"]
    for number, wire in enumerate(wires[1:]):
        assert text_of(wire.ready()) == [f"quick{number}"]
    assert ask(wires[0], "select 'on'") == ["on"]


def test_who_leaves_in_the_middle_disturbs_nobody(piped):
    wires = behind(piped, 5_000_000)
    wires[0].reset()
    for number, wire in enumerate(wires[1:]):
        assert text_of(wire.ready()) == [f"quick{number}"]


def test_a_reader_that_takes_nothing_holds_nobody_up(piped):
    """Its reply stops the backend; those behind it have theirs from another."""
    wires = logged_in(piped, 3)
    large = "select repeat('x', {size}) from generate_series(1, {rows})"
    for i in range(6):
        ask(wires[0], large.format(size=i, rows=1))
    make_known(wires[0], "select '{tag}'")
    wires[0].send(query(large.format(size=10000, rows=3000)))
    for number, wire in enumerate(wires[1:]):
        wire.send(query(f"select 'quick{number}'"))
    for number, wire in enumerate(wires[1:]):
        assert text_of(wire.ready()) == [f"quick{number}"]
    assert len(text_of(wires[0].ready())) == 3000


def test_what_is_no_plain_read_does_not_join(piped, postgres):
    """Writes run once each, whatever dies; a setting, a lock, a sequence stay their client's."""
    wires = logged_in(piped, 4)
    make_known(wires[0], "select '{tag}'")
    assert ask(wires[1], "set application_name = 'mine'") == []
    assert ask(wires[1], "show application_name") == ["mine"]
    assert ask(wires[2], "show application_name") == [""]
    assert ask(wires[1], "select current_setting('application_name')") == ["mine"]
    assert ask(wires[2], "select current_setting('application_name')") == [""]
    assert ask(wires[3], "select pg_advisory_lock(7)") == [""]
    assert ask(wires[2], "select count(*) from pg_locks where locktype = 'advisory' and objid = 7") == ["1"]
    assert ask(wires[3], "select pg_advisory_unlock(7)") == ["t"]


def test_a_new_function_is_no_plain_read_until_it_is_known(piped, postgres):
    """A function that sets something is called by one client: no other finds it."""
    wires = logged_in(piped, 3)
    make_known(wires[0], "select '{tag}'")
    with postgres.connect() as connection:
        connection.execute("create or replace function leaves_it() returns text language plpgsql as "
                           "$$ begin perform set_config('app.left', 'here', false); return 'left'; end $$")
    for _ in range(3):
        assert ask(wires[0], "select leaves_it()") == ["left"]
        assert ask(wires[1], "select coalesce(current_setting('app.left', true), '')") == [""]


def test_off_is_off(start_weir):
    weir = start_weir(pool=PIPED, proxy="stats_period = 1", engine="shards = 1", endpoint='pipelining = "off"')
    wires = logged_in(weir, 2)
    for wire in wires:
        assert ask(wire, "select 'a'") == ["a"]
    weir.wait_for_log("event=statistics shard=all .* transactions=[1-9]\\d* .* reads=0 reads_joined=0 reads_depth=- reads_repeated=- ")
