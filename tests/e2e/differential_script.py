"""Scripts for clients of a database: steps that run one after another, each by one client.

A script is written and read as lines, the first with what weir is started with, then a step a line:

    {"seed": 7, "backends": 5, "shards": 2}
    [0, "query", "set work_mem = '5MB'", ["setting"]]
    [1, "batch", [["P", "", "select $1::int"], ["B", "", "", ["1"]], ["E", "", 0], ["S"]], []]
    [1, "copy", ["copy items (owner, note) from stdin", "1\\ta\\n"], ["sequence"]]     (null: the client fails the copy)
    [0, "leave", "close", ["leave"]]

A client connects with its first step, and again with the first one after it left. The last part of a step are its effects:
whether the client may keep a backend afterwards. Scripts keep at least one backend free, so that nobody ever waits for one.
"""

import json

BACKENDS = 5
CLIENTS = 12

# Effects that make weir keep a client's backend when its transaction is over, until the client leaves.
PINS = {
    "setting": True,      # SET, set_config(..., false); SET LOCAL of what shapes the lexer, or is custom
    "local": False,       # SET LOCAL and set_config(..., true) of all else
    "role": True,
    "prepare": True,      # PREPARE, EXECUTE
    "temporary": True,
    "hold": True,         # cursors WITH HOLD
    "lock": True,         # advisory locks of the session
    "listen": True,
    "seed": True,
    "call": True,         # DO, CALL, functions of users
    "unknown": True,      # statements of a kind that nobody knows
}
# The other effects: "begin" and "end" of a transaction, "open" and "sync" of a batch that only flushed, "leave", and
# "sequence": a value may still be read, so the backend may be kept until the client's next step.


class Held:
    """Who may hold a backend at some point of a script, as far as the effects tell."""

    def __init__(self):
        self.why = {}

    def step(self, client, effects):
        why = self.why.setdefault(client, set())
        why.discard("sequence")
        for effect in effects:
            if effect == "leave":
                why.clear()
            elif effect in ("end", "sync"):
                why.discard({"end": "begin", "sync": "open"}[effect])
            elif PINS.get(effect, True):
                why.add(effect)

    def holders(self):
        return {client for client, why in self.why.items() if why}


class Script:
    def __init__(self, seed, steps, backends=BACKENDS, shards=1):
        self.seed = seed
        self.steps = steps
        self.backends = backends
        self.shards = shards

    def clients(self):
        return sorted({step[0] for step in self.steps})

    def with_steps(self, steps):
        return Script(self.seed, steps, self.backends, self.shards)

    def starves_nobody(self):
        """Whether one backend is free at all times."""
        held = Held()
        for client, _, _, effects in self.steps:
            held.step(client, effects)
            if len(held.holders()) >= self.backends:
                return False
        return True

    def text(self):
        head = {"seed": self.seed, "backends": self.backends, "shards": self.shards}
        return "\n".join(json.dumps(each, ensure_ascii=False) for each in [head, *self.steps]) + "\n"

    @staticmethod
    def read(text):
        lines = [json.loads(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
        return Script(lines[0]["seed"], lines[1:], lines[0]["backends"], lines[0]["shards"])
