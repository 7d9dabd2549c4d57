"""Makes scripts by chance: a seed gives the same script everywhere."""

import random

import differential_statements as sql
from differential_script import BACKENDS, CLIENTS, Held, Script

# Kinds of actions: name -> how often. What is off is known to differ (README, "Limits as they are today").
WEIGHTS = {
    "settings": 12, "setting reads": 8, "probe": 4, "left behind": 4, "reads": 8, "errors": 4, "roles": 4, "prepared": 7, "temporary": 6,
    "cursors": 5, "own locks": 3, "shared locks": 3, "notifications": 4, "sequences": 4, "sequence reads": 2, "writes": 6, "calls": 2,
    "discards": 2, "seed": 1, "copy": 2, "two phases": 1,
    "fatal": 0,   # sessions that the server ends: weir's clients outlive them, by design
}
# What weir is known to answer otherwise, and is not made therefore: (found in, scripts without it).
KNOWN_FAULTS = {
    "a string that fails after DEALLOCATE or DISCARD ALL": "the statements are gone all the same",
}
OPAQUE = False   # triggers, views, defaults and overloaded built-ins that change settings
OPAQUE_WEIGHT = 6

PLAIN = {"settings": sql.settings, "setting reads": sql.setting_reads, "roles": sql.roles, "prepared": sql.prepared,
         "temporary": sql.temporary, "cursors": sql.cursors, "own locks": sql.own_locks, "notifications": sql.notifications,
         "sequences": sql.sequences, "writes": sql.writes, "calls": sql.calls, "opaque": sql.opaque}
NAMES = ["", "", "", "s1", "s2", "s3"]
PORTALS = ["", "", "", "w1", "w2"]
PARAMETERS = ["1", "2", "x", None, "3"]
BATCH_TEXTS = ["select $1::int", "select $1::text, 1", "select n from generate_series(1, 5) n", "select $1", "insert into items (owner, note) values (-3, $1)",
               "select '1.1'::float8 / 3, current_setting('search_path')", "select count(*) from items", "select 1/0", "", "selec",
               "select * from tt0", "select $2::int, $1::date"]
LOCK_KEYS = [1, 2, 3]


class Session:
    """What is believed of a client."""

    def __init__(self, number):
        self.number = number
        self.forget()

    def forget(self):
        self.connected = False
        self.transaction = False   # at least believed: a script never takes an open one for closed
        self.open = False          # a batch was only flushed
        self.wrote_sequence = False   # with the last step
        self.seeded = False
        self.effects = {}          # of the statements under a protocol-level name
        self.keys = set()


class Maker:
    def __init__(self, seed, weights=None):
        self.chance = random.Random(seed)
        self.weights = dict(WEIGHTS, **(weights or {}))
        if OPAQUE:
            self.weights["opaque"] = OPAQUE_WEIGHT
        for kind in self.chance.sample(sorted(self.weights), self.chance.randrange(6)):
            self.weights[kind] = 0   # scripts of few kinds meet more often what those do to each other
        if self.weights["fatal"]:
            self.weights["shared locks"] = 0   # a session that dies gives its locks back in its own time
        count = self.chance.choice([2, 3, 4, 6, 8, CLIENTS])
        self.sessions = [Session(number) for number in range(count)]
        self.keys = list(LOCK_KEYS)
        self.held = Held()
        self.steps = []
        self.seed = seed

    # Steps.

    def add(self, session, kind, what, effects):
        """Takes a step unless too many would hold a backend after it."""
        before = {client: set(why) for client, why in self.held.why.items()}
        self.held.step(session.number, effects)
        if len(self.held.holders()) >= BACKENDS:
            self.held.why = before
            return False
        effects = list(dict.fromkeys(effects))
        self.steps.append([session.number, kind, what, effects])
        session.connected = kind != "leave"
        session.wrote_sequence = False
        for effect in effects:
            if effect in ("begin", "end"):
                session.transaction = effect == "begin"
            if effect in ("open", "sync"):
                session.open = effect == "open"
        return True

    def leave(self, session):
        if self.add(session, "leave", self.chance.choice(["terminate", "terminate", "close", "reset"]), ["leave"]):
            self.keys = [key for key in self.keys if key not in session.keys]
            session.forget()

    # Statements: (text, effects).

    def statement(self, session, alone=True):
        chance, number = self.chance, session.number
        kinds = [kind for kind in self.weights if kind not in ("fatal", "copy", "two phases")]
        kind = chance.choices(kinds, [self.weights[kind] for kind in kinds])[0]
        if kind in PLAIN:
            text, effects = PLAIN[kind](chance, number)
        elif kind == "probe":
            text, effects = sql.PROBE_NAME, []
        elif kind == "left behind":
            text, effects = chance.choice(sql.LEFT_BEHIND), []
        elif kind == "reads":
            text, effects = chance.choice(sql.READS), []
        elif kind == "errors":
            text, effects = chance.choice([(each, []) for each in sql.ERRORS] + sql.ERRORS_OF_WHAT_PINS)
        elif kind == "discards":
            text, effects = chance.choice(sql.DISCARDS), []
        elif kind == "seed":
            text, effects = ("select random()", []) if session.seeded else ("select setseed(0.25)", ["seed"])
        elif kind == "shared locks":
            text, effects = self.shared_lock(session)
        else:
            text, effects = sql.sequence_reads(chance, number)
            if session.transaction and session.wrote_sequence and alone:
                text = "select lastval()"
            elif session.transaction or not alone:
                text, effects = "select nextval('numbers')", ["sequence"]
        if "app." in text and text.startswith(("show", "select current_setting")) and (
                not alone or session.transaction and "true" not in text):
            text, effects = "select 1", []   # whether it is known is a listed difference, which must not end a transaction
        if not alone and ("deallocate" in text or "discard all" in text) and "a string that fails after DEALLOCATE or DISCARD ALL" in KNOWN_FAULTS:
            text, effects = "select 1", []
        return text, effects

    def shared_lock(self, session):
        if not self.keys:
            return "select 1", []
        key = self.chance.choice(self.keys)
        session.keys.add(key)
        return sql.shared_lock(self.chance, key)

    def query(self, session):
        """One statement, or some in one string."""
        chance = self.chance
        if session.transaction and chance.random() < 0.2:
            text, effects = sql.savepoints(chance, session.number)
        elif session.transaction and chance.random() < 0.05:
            text, effects = chance.choice(sql.IN_TRANSACTION), []
        elif chance.random() < 0.85:
            text, effects = self.statement(session)
        else:
            parts = [self.statement(session, alone=False) for _ in range(chance.randrange(2, 5))]
            if chance.random() < 0.3:
                parts.insert(chance.randrange(len(parts)), (chance.choice(["begin", "commit", "rollback", "savepoint a", "set local work_mem = '6MB'"]),
                                                            ["begin"] if session.transaction else []))
            if any(text in ("begin",) for text, _ in parts):
                parts.append(("select 1", ["begin"]))
            text, effects = "; ".join(part[0] for part in parts), [effect for part in parts for effect in part[1]]
        if self.add(session, "query", text, effects):
            session.wrote_sequence = text == "select nextval('numbers')"
            session.seeded = session.seeded or text.startswith("select setseed") and not session.transaction

    # Batches of the extended protocol.

    def unit(self, session):
        chance = self.chance
        name, portal = chance.choice(NAMES), chance.choice(PORTALS)
        if chance.random() < 0.5:
            text = chance.choice(BATCH_TEXTS)
            effects = ["unknown"] if text == "selec" else ["sequence"]
        else:
            text, effects = self.statement(session, alone=False)
        values = [chance.choice(PARAMETERS) for _ in range(text.count("$") if "$$" not in text else 0)]
        if chance.random() < 0.05:
            values.append("1")
        kind = chance.randrange(10)
        rows = chance.choice([0, 0, 0, 2])
        if kind < 5:
            parts = [["P", name, text], ["B", portal, name, values], ["E", portal, rows]]
            if chance.random() < 0.4:
                parts.insert(2, ["D", "P", portal])
        elif kind == 5:
            parts = [["P", name, text], ["D", "S", name]]
        elif kind == 6:
            parts, text = [["B", portal, name, values], ["E", portal, rows], ["E", portal, 0]], ""
        elif kind == 7:
            parts, text = [["C", chance.choice("SP"), chance.choice([name, portal])]], ""
        elif kind == 8:
            parts, text = [["D", chance.choice("SP"), name]], ""
        else:
            parts = [["P", name, text]]
        known = session.effects.setdefault(name, set())
        if text:
            known.update(effects)
        return parts, sorted(known)

    def batch(self, session):
        chance = self.chance
        parts, effects = [], []
        for _ in range(chance.randrange(1, 5)):
            more, caused = self.unit(session)
            parts, effects = parts + more, effects + caused
            if chance.random() < 0.15:
                parts.append(["S"])
                if chance.random() < 0.3:
                    text, caused = self.statement(session, alone=False)
                    parts, effects = parts + [["Q", text]], effects + caused
        if chance.random() < 0.2:
            self.add(session, "batch", parts + [["H"]], [*effects, "open"])
        else:
            self.add(session, "batch", parts + [["S"]], [*effects, "sync"])

    def control(self, session, text, effects):
        """Begins or ends a transaction, by either protocol."""
        if self.chance.random() < 0.75:
            return self.add(session, "query", text, effects)
        return self.add(session, "batch", [["P", "", text], ["B", "", "", []], ["E", "", 0], ["S"]], effects)

    # What else there is.

    def rare(self, session):
        """An action of a kind that is no statement; whether there was one."""
        chance, number = self.chance, session.number
        everything = sum(self.weights.values())
        if chance.random() * everything < self.weights["copy"]:
            data = chance.choice([f"{number}\tcopied\n", f"{number}\t\\N\n{number}\tb\n", "x\tno number\n", "", None])
            text = chance.choice(["copy items (owner, note) from stdin", "select 1; copy items (owner, note) from stdin; select 2",
                                  "copy nosuch from stdin"])
            self.add(session, "copy", [text, data], ["sequence"])
            return True
        if chance.random() * everything < self.weights["two phases"] and session.transaction:
            if self.control(session, f"prepare transaction ':database {number}'", ["end"]):
                other = chance.choice([each for each in self.sessions if not each.transaction and not each.open])
                self.add(other, "query", f"{chance.choice(['commit', 'rollback'])} prepared ':database {number}'", [])
            return True
        if chance.random() * everything < self.weights["fatal"]:
            text = chance.choice(["set exit_on_error = on", "select pg_terminate_backend(pg_backend_pid())",
                                  "begin; select pg_terminate_backend(pg_backend_pid())"])
            self.add(session, "query", text, ["setting", "begin"])
            return True
        return False

    def step(self, session):
        chance = self.chance
        if session.open:
            if chance.random() < 0.5:
                self.add(session, "batch", [["S"]], ["sync"])
            else:
                self.batch(session)
        elif session.connected and chance.random() < (0.01 if session.transaction else 0.05):
            self.leave(session)
        elif session.transaction and chance.random() < 0.2:
            if chance.random() < 0.1:
                self.control(session, chance.choice(sql.CHAINS), ["begin"])
            else:
                self.control(session, chance.choice(sql.ENDS), ["end"])
        elif not session.transaction and chance.random() < 0.15:
            self.control(session, chance.choice(sql.BEGINS), ["begin"])
        elif not self.rare(session):
            if chance.random() < 0.25:
                self.batch(session)
            else:
                self.query(session)

    def finish(self, session):
        """What is left of the session is looked at."""
        if session.open:
            self.add(session, "batch", [["S"]], ["sync"])
        self.add(session, "query", "rollback", ["end"])
        for text in (sql.PROBE_NAME, *sql.LEFT_BEHIND):
            self.add(session, "query", text, [])

    def script(self):
        session = self.sessions[0]
        for _ in range(self.chance.choice([8, 20, 40, 60])):
            if self.chance.random() < 0.5:
                session = self.chance.choice(self.sessions)
            self.step(session)
        for session in self.sessions:
            if session.connected:
                self.finish(session)
        return Script(self.seed, self.steps, BACKENDS, shards=1 + self.seed % 2)


def make(seed, weights=None):
    return Maker(seed, weights).script()
