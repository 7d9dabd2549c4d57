"""Scripts for clients of a database: steps that run one after another, each by one client.

A script is written and read as lines, the first with what its clients and weir are started with, then a step a line:

    {"seed": 7, "backends": 3, "shards": 2, "startup": {"application_name": "web"}}
    [0, "query", "set work_mem = '5MB'", []]
    [1, "batch", [["P", "", "select $1::int"], ["B", "", "", ["1"]], ["E", "", 0], ["S"]], []]
    [1, "copy", ["copy items (owner, note) from stdin", "1\\ta\\n"], ["sequence"]]     (null: the client fails the copy)
    [0, "leave", "close", ["leave"]]

A client connects with its first step, and again with the first one after it left. The last part of a step are its effects:
whether the client may keep a backend afterwards. Scripts keep at least one backend free, so that nobody ever waits for one.
"""

import json

BACKENDS = 3
CLIENTS = 12

# Effects that make weir keep a client's backend when its transaction is over, until the client leaves.
PINS = {
    "untracked": "a setting that is no part of a profile: temp_buffers, seed, one whose name the text does not tell",
    "unreadable": "a text behind a change of what decides how it is lexed",
    "private": "a statement prepared in the transaction that changes how literals are read",
    "prepare": "PREPARE, EXECUTE",
    "temporary": "temporary objects",
    "hold": "cursors WITH HOLD",
    "lock": "advisory locks of the session",
    "listen": "LISTEN",
    "call": "DO, CALL, functions of users",
    "unknown": "statements of a kind that nobody knows",
}
# Effects that hold a backend for a time: name -> the effect that ends it.
HOLDS = {
    "begin": "end",       # a transaction
    "open": "sync",       # a batch that was only flushed
    "sequence": None,     # a value may still be read, until the client's next transaction
}
# "no temporary" and the like: that reason is gone, if the client is in no transaction.
PINS_END = True   # a pin ends with its reason


class Held:
    """Who may hold a backend at some point of a script, as far as the effects tell."""

    def __init__(self):
        self.why = {}   # client -> effects

    def step(self, client, effects):
        why = self.why.setdefault(client, set())
        if not why & {"begin", "open"}:
            why.discard("sequence")
        for effect in effects:
            if effect == "leave":
                why.clear()
            elif effect in PINS or effect in HOLDS:
                why.add(effect)
            elif effect.startswith("no "):
                if PINS_END and not why & {"begin", "open"}:
                    why.discard(effect.removeprefix("no "))
            else:
                why -= {hold for hold, end in HOLDS.items() if end == effect}

    def holders(self):
        return sorted(client for client, why in self.why.items() if why)


class Script:
    def __init__(self, seed, steps, backends=BACKENDS, shards=1, startup=None, opaque=False):
        self.seed = seed
        self.steps = steps
        self.backends = backends
        self.shards = shards
        self.startup = startup or {}   # parameters that every client logs in with
        self.opaque = opaque           # whether the world has triggers and the like that change the session

    def clients(self):
        return sorted({step[0] for step in self.steps})

    def with_steps(self, steps):
        return Script(self.seed, steps, self.backends, self.shards, self.startup, self.opaque)

    def starves_nobody(self):
        """Whether one backend is free at all times."""
        held = Held()
        for client, _, _, effects in self.steps:
            held.step(client, effects)
            if len(held.holders()) >= self.backends:
                return False
        return True

    def text(self):
        head = {"seed": self.seed, "backends": self.backends, "shards": self.shards, "startup": self.startup}
        if self.opaque:
            head["opaque"] = True
        return "\n".join(json.dumps(each, ensure_ascii=False) for each in [head, *self.steps]) + "\n"

    @staticmethod
    def read(text):
        lines = [json.loads(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
        head = lines[0]
        return Script(head["seed"], lines[1:], head["backends"], head["shards"], head.get("startup"), head.get("opaque", False))
