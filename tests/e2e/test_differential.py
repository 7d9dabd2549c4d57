"""Random scripts of several clients are answered through weir as they are without it; and what looks for differences finds them."""

import pytest

import differential
from differential_maker import WEIGHTS, make
from differential_run import Comparison
from differential_script import Script
from differential_shrink import shrink

SCRIPTS = 150
REPEATED_SCRIPTS = 25


@pytest.fixture(scope="module")
def server():
    server = differential.Server()
    yield server
    server.close()


def test_scripts_are_answered_as_without_weir(server):
    campaign = differential.Campaign(server)
    good = campaign.run(1, SCRIPTS)
    assert good, campaign.story(seconds=20)
    assert campaign.played == SCRIPTS and campaign.steps > 30 * SCRIPTS
    assert sum(campaign.let_pass.values()) < SCRIPTS / 5, campaign.summary()


def test_scripts_repeat(server):
    """Without weir nothing differs: what a script is answered depends on the script alone."""
    campaign = differential.Campaign(server, "direct")
    assert campaign.run(1, REPEATED_SCRIPTS), campaign.story(seconds=20)


@pytest.mark.parametrize("kind", ["settings", "temporary", "notifications"])
def test_what_leaks_is_found_and_made_small(server, kind):
    """A pooler that minds nothing but transactions differs, for every kind of state, within few scripts."""
    weights = {each: 8 * (each in (kind, "left behind", "probe")) for each in WEIGHTS}
    campaign = differential.Campaign(server, "naive", lambda seed: make(seed, weights))
    assert not campaign.run(1, 30)
    script, comparison = campaign.failed
    lane = server.lane()
    small = differential.smaller(lane, script, comparison, "naive", 10)
    server.free.append(lane)
    assert len(small.steps) <= 12, small.text()
    assert lane.compare(small, "naive").differs()


def test_a_script_is_read_as_it_is_written():
    for seed in range(1, 50):
        script = make(seed)
        again = Script.read("# what failed\n" + script.text())
        assert (again.seed, again.steps, again.backends, again.shards) == (seed, script.steps, script.backends, script.shards)
        assert (again.startup, again.opaque) == (script.startup, script.opaque)
        assert script.starves_nobody()


def test_what_is_made_small_still_fails_and_starves_nobody():
    """The one that fails: client 1 sets, client 2 shows."""
    def fails(script):
        tried.append(script)
        texts = [(client, what) for client, kind, what, _ in script.steps if kind == "query"]
        return (1, "set work_mem = '5MB'") in texts and (2, "show work_mem") in texts
    tried = []
    steps = [[client, "query", f"select {number}", ["begin"] if number % 2 else ["end"]] for number in range(30) for client in range(6)]
    steps[40:40] = [[1, "query", "set work_mem = '5MB'", ["untracked"]]]
    steps[100:100] = [[2, "query", "show work_mem", []]]
    script = Script(1, steps, backends=7)
    small = shrink(script, fails)
    assert [(step[0], step[2]) for step in small.steps] == [(1, "set work_mem = '5MB'"), (2, "show work_mem")]
    assert all(each.starves_nobody() for each in tried)
    assert not Script(1, [[client, "query", "begin", ["begin"]] for client in range(3)], backends=3).starves_nobody()


@pytest.mark.parametrize("effects, holds", [
    (["temporary"], True), (["temporary", "no temporary"], False), (["temporary", "hold", "no temporary"], True),
    (["begin", "temporary", "no temporary", "end"], True), (["sequence"], True), (["begin", "sequence", "end"], True),
    (["call", "no call", "leave"], False), (["open", "sync"], False), ([], False),
])
def test_who_holds_a_backend_is_known(effects, holds):
    assert Script(1, [[0, "query", "select 1", effects]], backends=1).starves_nobody() is not holds


@pytest.mark.parametrize("text, direct, through, differs", [
    ("select 1", [["D", ["1"]], ["Z", "I"]], [["D", ["1"]], ["Z", "I"]], False),
    ("select 1", [["D", ["1"]], ["Z", "I"]], [["D", ["2"]], ["Z", "I"]], True),
    ("select 1", [["D", ["1"]], ["Z", "I"]], [["S", "a"], ["D", ["1"]], ["Z", "I"]], True),
    ("select lastval()", [["D", ["1"]], ["Z", "I"]], [["E", ["C55000"]], ["Z", "I"]], False),
    ("select lastval()", [["D", ["1"]], ["Z", "I"]], [["D", ["2"]], ["Z", "I"]], True),
    ("select lastval()", [["D", ["1"]], ["Z", "T"]], [["E", ["C55000"]], ["Z", "E"]], True),
    ("select nextval()", [["D", ["1"]], ["Z", "I"]], [["E", ["C55000"]], ["Z", "I"]], True),
    ("show app.tenant", [["E", ["C42704"]], ["Z", "I"]], [["D", [""]], ["Z", "I"]], False),
    ("show app.tenant", [["E", ["C42704"]], ["Z", "I"]], [["D", ["t1"]], ["Z", "I"]], True),
    ("show app.tenant", [["D", ["t1"]], ["Z", "I"]], [["D", [""]], ["Z", "I"]], True),
    ("show app.tenant", [["D", [None]], ["Z", "T"]], [["D", [""]], ["Z", "T"]], False),
    ("select n", [["E", ["C08P01"]], ["Z", "E"]], [["E", ["C25P02"]], ["Z", "E"]], False),
    ("select n", [["E", ["C08P01"]], ["Z", "I"]], [["E", ["C25P02"]], ["Z", "I"]], True),
    ("select n", [["t", ""], ["n", ""], ["Z", "E"]], [["E", ["C25P02"]], ["Z", "E"]], False),
    ("select n", [["E", ["C08P01"]]], [["E", ["C25P02"]]], False),
    ("select n", [["2", ""], ["D", ["1"]]], [["E", ["C25P02"]]], True),
    ("drop table pg_temp.t", [["n", ""], ["E", ["C3F000"]]], [["n", ""], ["E", ["C42P01"]]], False),
    ("select n", [["t", ""], ["n", ""], ["Z", "E"]], [["n", ""], ["E", ["C25P02"]], ["Z", "E"]], True),
    ("select n", [["C", "ROLLBACK"], ["Z", "I"]], [["E", ["C25P02"]], ["Z", "E"]], True),
    ("select n", [["D", ["1"]], ["Z", "E"]], [["E", ["C25P02"]], ["Z", "E"]], True),
    ("select current_schemas(true)", [["D", ["{play}"]], ["Z", "I"]], [["D", ["{pg_temp_N,play}"]], ["Z", "I"]], False),
    ("select current_schemas(true)", [["D", ["{pg_temp_N,play}"]], ["Z", "I"]], [["D", ["{play}"]], ["Z", "I"]], False),
    ("select current_schemas(true)", [["D", ["{a,play}"]], ["Z", "I"]], [["D", ["{play}"]], ["Z", "I"]], True),
    ("drop table pg_temp.t", [["E", ["C3F000"]], ["Z", "I"]], [["E", ["C42P01"]], ["Z", "I"]], False),
    ("select current_schemas(true); drop table pg_temp.t", [["D", ["{play}"]], ["E", ["C3F000"]]],
     [["D", ["{pg_temp_N,play}"]], ["E", ["C42P01"]]], False),
    ("select current_schemas(true); drop table pg_temp.t", [["D", ["{play}"]], ["E", ["C3F000"]]],
     [["D", ["{pg_temp_N,a}"]], ["E", ["C42P01"]]], True),
    ("drop table t", [["E", ["C3F000"]], ["Z", "I"]], [["E", ["C42P01"]], ["Z", "I"]], True),
    ("select 1", [["D", ["1"]], ["Z", "I"]], [["closed"]], True),
    ("show nosuch", [["E", ["C42704"]], ["Z", "I"]], [["D", [""]], ["Z", "I"]], True),
    ("set time zone local; select 1", [["D", ["1"]], ["Z", "I"]], [["D", ["2"]], ["Z", "I"]], False),
    ("set time zone utc; select 1", [["D", ["1"]], ["Z", "I"]], [["D", ["2"]], ["Z", "I"]], True),
])
def test_only_what_is_listed_is_let_pass(text, direct, through, differs):
    comparison = Comparison(Script(1, [[0, "query", text, []]]), [direct], [through])
    assert comparison.differs() is differs


@pytest.mark.parametrize("next_direct, next_through, differs", [
    ([["E", ["C25P02"]]], [], None),                       # the one skips, the other does not: until the Sync
    ([["E", ["C25P02"]], ["Z", "E"]], [["Z", "E"]], None),
    ([["E", ["C25P02"]], ["Z", "E"]], [["Z", "I"]], 1),
    ([["1", ""], ["Z", "E"], ["D", ["1"]]], [["Z", "E"], ["D", ["2"]]], 1),
])
def test_behind_an_error_that_is_let_pass_nothing_is_compared_up_to_the_sync(next_direct, next_through, differs):
    script = Script(1, [[0, "batch", [["D", "S", ""], ["H"]], []], [0, "batch", [["P", "", "select 1"], ["S"]], []]])
    first = [["t", ""], ["n", ""]], [["E", ["C25P02"]]]
    assert Comparison(script, [first[0], next_direct], [first[1], next_through]).step == differs
    other = Script(1, [script.steps[0], [1, *script.steps[1][1:]]])
    assert Comparison(other, [first[0], next_direct], [first[1], next_through]).step == 1
