"""Random scripts of several clients are answered through weir as they are without it; and what looks for differences finds them."""

import pytest

import differential
from differential_maker import WEIGHTS, make
from differential_run import Comparison
from differential_script import Script
from differential_shrink import shrink

SCRIPTS = 250
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
    assert sum(campaign.let_pass.values()) < SCRIPTS / 10, campaign.summary()


def test_scripts_repeat(server):
    """Without weir nothing differs: what a script is answered depends on the script alone."""
    campaign = differential.Campaign(server, "direct")
    assert campaign.run(1, REPEATED_SCRIPTS), campaign.story(seconds=20)


@pytest.mark.parametrize("kind", ["settings", "roles", "prepared", "temporary", "notifications", "shared locks", "cursors"])
def test_what_leaks_is_found_and_made_small(server, kind):
    """A pooler that minds nothing but transactions differs, for every kind of state, within few scripts."""
    weights = {each: 8 * (each in (kind, "left behind", "probe")) for each in WEIGHTS}
    campaign = differential.Campaign(server, "naive", lambda seed: make(seed, weights))
    assert not campaign.run(1, 30)
    script, comparison = campaign.failed
    lane = server.lane()
    small = differential.smaller(lane, script, comparison, "naive", 15)
    server.free.append(lane)
    assert len(small.steps) <= 8, small.text()
    assert lane.compare(small, "naive").differs()


def test_a_script_is_read_as_it_is_written():
    for seed in range(1, 50):
        script = make(seed)
        again = Script.read("# what failed\n" + script.text())
        assert (again.seed, again.steps, again.backends, again.shards) == (seed, script.steps, script.backends, script.shards)
        assert script.starves_nobody()


def test_what_is_made_small_still_fails_and_starves_nobody():
    """The one that fails: client 1 sets, client 2 shows."""
    def fails(script):
        tried.append(script)
        texts = [(client, what) for client, kind, what, _ in script.steps if kind == "query"]
        return (1, "set work_mem = '5MB'") in texts and (2, "show work_mem") in texts
    tried = []
    steps = [[client, "query", f"select {number}", ["begin"] if number % 2 else ["end"]] for number in range(30) for client in range(6)]
    steps[40:40] = [[1, "query", "set work_mem = '5MB'", ["setting"]]]
    steps[100:100] = [[2, "query", "show work_mem", []]]
    script = Script(1, steps, backends=7)
    small = shrink(script, fails)
    assert [(step[0], step[2]) for step in small.steps] == [(1, "set work_mem = '5MB'"), (2, "show work_mem")]
    assert all(each.starves_nobody() for each in tried)
    assert not Script(1, [[client, "query", "begin", ["begin"]] for client in range(3)], backends=3).starves_nobody()


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
    ("show nosuch", [["E", ["C42704"]], ["Z", "I"]], [["D", [""]], ["Z", "I"]], True),
])
def test_only_what_is_listed_is_let_pass(text, direct, through, differs):
    comparison = Comparison(Script(1, [[0, "query", text, []]]), [direct], [through])
    assert comparison.differs() is differs
