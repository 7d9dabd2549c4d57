"""Makes scripts by chance: a seed gives the same script everywhere."""

import random

import differential_statements as sql
from differential_script import BACKENDS, CLIENTS, PINS, Held, Script

# Kinds of statements and other actions: name -> how often.
WEIGHTS = {
    "settings": 14, "setting reads": 8, "probe": 4, "left behind": 4, "reads": 8, "errors": 4, "roles": 4, "prepared": 7,
    "temporary": 6, "cursors": 5, "own locks": 3, "shared locks": 3, "notifications": 4, "sequences": 4, "sequence reads": 2,
    "writes": 6, "calls": 3, "discards": 2, "seed": 1, "copy": 2, "two phases": 1, "visits": 3,
    # What differs, and is not made therefore:
    # temp_buffers, which the server refuses to change where somebody has used temporary tables
    "opaque": 0,   # triggers, views, defaults, overloaded built-ins that change the session are not seen (README, "Limits")
    "fatal": 0,    # weir's clients outlive sessions that the server ends, by design
}
NO_STATEMENTS = ("fatal", "copy", "two phases", "visits")
# A string that fails behind a DEALLOCATE or DISCARD ALL in it: weir takes the statements for gone all the same.
KEEPS_DEALLOCATE_ALONE = True
STARTUPS = [{}, {}, {}, {"application_name": "web"}, {"options": "-c work_mem=5MB -c search_path=annex,play -c timezone=Asia/Tokyo"},
            {"datestyle": "sql, dmy", "extra_float_digits": "0", "options": "-c app.tenant=base"}]

MADE = {"settings": sql.settings, "setting reads": sql.setting_reads, "roles": sql.roles, "prepared": sql.prepared,
        "temporary": sql.temporary, "cursors": sql.cursors, "own locks": sql.own_locks, "notifications": sql.notifications,
        "sequences": sql.sequences, "writes": sql.writes, "calls": sql.calls, "opaque": sql.opaque}
CHOSEN = {"probe": [sql.PROBE_NAME], "left behind": sql.LEFT_BEHIND, "reads": sql.READS, "discards": sql.DISCARDS}
NAMES = ["", "", "", "s1", "s2", "s3"]
PORTALS = ["", "", "", "w1", "w2"]
PARAMETERS = ["1", "2", "x", None, "3"]
BATCH_TEXTS = ["select $1::int", "select $1::text, 1", "select n from generate_series(1, 5) n", "select $1",
               "insert into items (owner, note) values (-3, $1)", "select '1.1'::float8 / 3, current_setting('search_path')",
               "select count(*) from items", "select 1/0", "", "selec", "select * from tt0", "select $2::int, $1::date",
               "select '2026-02-01 12:00'::timestamptz, '1 day 2 hours'::interval", "select set_config('app.user', $1, false)",
               "select set_config($1, $2, false)"]
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
        self.shaped = False        # how literals are read was changed in the transaction
        self.many_bytes = False    # an encoding was named whose characters may end with an ASCII byte
        self.effects = {}          # of the statements under a protocol-level name
        self.keys = set()


class Maker:
    def __init__(self, seed, weights=None):
        self.chance = random.Random(seed)
        self.weights = dict(WEIGHTS, **(weights or {}))
        kinds = sorted(kind for kind in self.weights if self.weights[kind])
        # Scripts of few kinds meet more often what those do to each other.
        left_out = self.chance.choice([0, 1, 2, 3, 4, 5, max(0, len(kinds) - 4)])
        for kind in self.chance.sample(kinds, min(left_out, len(kinds) - 1)):
            self.weights[kind] = 0
        self.weights["reads"] = self.weights["reads"] or 1
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

    def let_go(self, session):
        """A step towards a session that holds no backend."""
        why = [effect for effect in PINS if effect in self.held.why[session.number]]
        if session.open:
            self.add(session, "batch", [["S"]], ["sync"])
        elif session.transaction:
            self.control(session, self.chance.choice(sql.ENDS), ["end"])
        elif why and self.chance.random() < 0.3:
            releases = {**sql.RELEASES, "all": ["discard all"]}
            effect = self.chance.choice([each for each in why if each in releases] + ["all"])
            self.add(session, "query", self.chance.choice(releases[effect]),
                     [f"no {each}" for each in sql.RELEASES if effect in (each, "all")])
        else:
            self.leave(session)

    # Statements: (text, effects).

    def statement(self, session, alone=True):
        chance = self.chance
        kinds = [kind for kind in self.weights if kind not in NO_STATEMENTS]
        kind = chance.choices(kinds, [self.weights[kind] for kind in kinds])[0]
        if kind in MADE:
            text, effects = MADE[kind](chance, session.number)
        elif kind in CHOSEN:
            text, effects = chance.choice(CHOSEN[kind]), []
        elif kind == "errors":
            text, effects = chance.choice([(each, []) for each in sql.ERRORS] + sql.ERRORS_OF_WHAT_PINS)
        elif kind == "seed":
            text, effects = ("select random()", []) if session.seeded else ("select setseed(0.25)", ["untracked"])
        elif kind == "shared locks":
            text, effects = self.shared_lock(session)
        else:
            text, effects = self.sequence_read(session, alone)
        if self.known_to_differ(session, text, alone):
            return "select 1", []
        return text, effects

    def known_to_differ(self, session, text, alone):
        """A difference that is let pass (differential_run.py) must be the whole answer: no transaction or string may end by it."""
        if "app." in text and text.startswith(("show", "select current_setting")):
            if not alone or session.transaction and "true" not in text:
                return True
        return KEEPS_DEALLOCATE_ALONE and not alone and ("deallocate" in text or "discard all" in text)

    def sequence_read(self, session, alone):
        text, effects = sql.sequence_reads(self.chance, session.number)
        if session.transaction and session.wrote_sequence and alone:
            return "select lastval()", effects
        if session.transaction or not alone:
            return "select nextval('numbers')", effects
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
            text, effects = self.string(session)
        effects = effects + self.effects_of_reading(session, [text], named=False)
        if self.add(session, "query", text, effects):
            session.wrote_sequence = text == "select nextval('numbers')"
            session.seeded = session.seeded or text.startswith("select setseed") and not session.transaction

    def string(self, session):
        """Some statements in one string."""
        chance = self.chance
        parts = [self.statement(session, alone=False) for _ in range(chance.randrange(2, 5))]
        if chance.random() < 0.3:
            text = chance.choice(["begin", "commit", "rollback", "savepoint a", "set local work_mem = '6MB'"])
            parts.insert(chance.randrange(len(parts)), (text, ["begin"] if session.transaction else []))
        if any(text == "begin" for text, _ in parts):
            parts.append(("select 1", ["begin"]))
        return "; ".join(part[0] for part in parts), [effect for part in parts for effect in part[1]]

    def effects_of_reading(self, session, texts, named, batch=False):
        """Effects of changing how texts and their literals are read. `named`: a named statement may be parsed behind that."""
        everything = "\n".join(texts)
        effects = []
        session.shaped = bool(sql.SHAPES_LITERALS.search(everything)) or session.shaped and (session.transaction or session.open)
        if session.shaped and named:
            effects.append("private")
        if "pg_temp" in everything:
            effects.append("temporary")   # whatever for
        if batch and sql.SHAPES_LEXING.search(everything):
            effects.append("unreadable")
        session.many_bytes = session.many_bytes or "sjis" in everything
        if session.many_bytes and not everything.isascii():
            effects.append("unreadable")
        return effects

    # Batches of the extended protocol.

    def unit(self, session):
        chance = self.chance
        name, portal = chance.choice(NAMES), chance.choice(PORTALS)
        if chance.random() < 0.5:
            text = chance.choice(BATCH_TEXTS)
            effects = {"selec": ["unknown"], "select set_config($1, $2, false)": ["untracked"]}.get(text, ["sequence"])
        else:
            text, effects = self.statement(session, alone=False)
        values = [chance.choice(PARAMETERS) for _ in range(text.count("$") if "$$" not in text else 0)]
        if text.startswith("select set_config($1"):
            values = [chance.choice(["work_mem", "app.tenant", "nosuch"]), chance.choice(["5MB", "x"])]
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
        for _ in range(chance.choice([1, 1, 2, 2, 3, 4, 12])):
            more, caused = self.unit(session)
            parts, effects = parts + more, effects + caused
            if chance.random() < 0.15:
                parts.append(["S"])
                if chance.random() < 0.3:
                    text, caused = self.statement(session, alone=False)
                    parts, effects = parts + [["Q", text]], effects + caused
        texts = [part[-1] for part in parts if part[0] in "PQ"]
        named = any(part[0] == "P" and part[1] for part in parts)
        effects += self.effects_of_reading(session, texts, named, batch=True)
        last, effect = chance.choice([("S", "sync")] * 4 + [("H", "open")])
        self.add(session, "batch", parts + [[last]], [*effects, effect])

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
        if chance.random() * everything < self.weights["visits"] and not session.transaction:
            self.visit(session)
            return True
        if chance.random() * everything < self.weights["two phases"] and session.transaction:
            if self.control(session, f"prepare transaction ':database {number}'", ["end"]):
                other = chance.choice([each for each in self.sessions if not each.transaction and not each.open])
                self.add(other, "query", f"{chance.choice(['commit', 'rollback'])} prepared ':database {number}'", [])
            return True
        if chance.random() * everything < self.weights["fatal"]:
            text = chance.choice(["set exit_on_error = on", "select pg_terminate_backend(pg_backend_pid())",
                                  "begin; select pg_terminate_backend(pg_backend_pid())"])
            self.add(session, "query", text, ["untracked", "begin"])
            return True
        return False

    def visit(self, session):
        """Makes something and takes it away again."""
        kept = self.held.why.get(session.number, set()) & set(PINS)
        for text, effects in sql.visit(self.chance, session.number):
            self.add(session, "query", text, [each for each in effects if each.removeprefix("no ") not in kept])

    def step(self, session):
        chance = self.chance
        holders = self.held.holders()
        if len(holders) == BACKENDS - 1 and session.number not in holders and chance.random() < 0.4:
            self.let_go(self.sessions[chance.choice(holders)])
        elif session.open:
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
        return Script(self.seed, self.steps, BACKENDS, shards=1 + self.seed % 2, startup=self.chance.choice(STARTUPS),
                      opaque=self.weights["opaque"] > 0)


def make(seed, weights=None):
    return Maker(seed, weights).script()
