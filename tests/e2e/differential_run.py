"""Plays a script (differential_script.py) and compares what its clients were told."""

import json
import re
import struct
import typing

from differential_statements import PROBE, PROBE_NAME
from wire import TERMINATE, Wire, bind_values, execute, message, parse, query

ANSWER_SECONDS = 10
FIRST_OID_OF_USERS = 16384
# Messages that end the answer to one of the extended protocol; an error ends all of them.
ENDS = {"P": b"1", "B": b"2", "DS": b"Tn", "DP": b"Tn", "E": b"CIs", "C": b"3"}
# Of an ErrorResponse or NoticeResponse: where in the server's source it was raised is not compared.
FIELDS_LEFT_OUT = b"FLR"


def encoded(part, database):
    """A message of a batch as bytes."""
    kind = part[0]
    if kind == "Q":
        return query(spelled_out(part[1], database))
    if kind == "P":
        return parse(part[1], spelled_out(part[2], database))
    if kind == "B":
        return bind_values(part[2], part[1], part[3])
    if kind == "E":
        return execute(part[2], part[1])
    if kind in "DC":
        return message(kind.encode(), part[1].encode() + part[2].encode() + b"\0")
    return message(kind.encode())


def spelled_out(text, database):
    return text.replace(PROBE_NAME, PROBE).replace(":database", database)


def same_name(text):
    """The number of the schema of temporary objects is the server's choice."""
    return re.sub(r"pg_temp_\d+", "pg_temp_N", text)


def told(kind, body):
    """A message as it is compared: [type, text], without what differs from run to run."""
    if kind in (b"E", b"N"):
        fields = [field.decode("latin-1") for field in body.split(b"\0") if field and field[:1] not in FIELDS_LEFT_OUT]
        return [kind.decode(), [same_name(field) for field in fields]]
    if kind == b"T":
        return ["T", columns(body)]
    if kind == b"D":
        return ["D", values(body)]
    if kind == b"A":
        return ["A", body[4:].decode("latin-1")]   # the process id in front is the server's own
    return [kind.decode(), body.decode("latin-1")]


def values(body):
    """Of a DataRow."""
    at, found = 2, []
    for _ in range(struct.unpack("!h", body[:2])[0]):
        length = struct.unpack("!i", body[at:at + 4])[0]
        found.append(None if length < 0 else same_name(body[at + 4:at + 4 + length].decode("latin-1")))
        at += 4 + max(0, length)
    return found


def columns(body):
    """Of a RowDescription: objects of users get another oid in every run."""
    at, found = 2, []
    for _ in range(struct.unpack("!h", body[:2])[0]):
        end = body.index(b"\0", at)
        _, number, kind, size, modifier, form = struct.unpack("!ihihih", body[end + 1:end + 19])
        found.append([body[at:end].decode("latin-1"), number, kind if kind < FIRST_OID_OF_USERS else "of users", size, modifier, form])
        at = end + 19
    return found


class Client:
    """One connection and what is known of it."""

    def __init__(self, port, database, startup):
        self.wire = Wire(port, ANSWER_SECONDS)
        self.database = database
        self.answer = []
        self.heard = []          # notifications come when they come: told with the answer that ends outside a transaction
        self.skipping = False    # an error in a batch: the server waits for Sync
        self.status = b"I"
        self.copy = None
        kind, body = self.wire.login(database=database, **startup)
        if kind == b"Z":
            self.answer.append(["connected", self.wire.parameters])
        else:
            self.answer.append(told(kind, body) if kind else ["closed"])
            self.wire.close()
            self.wire = None

    def linked(self):
        return self.status != b"I" or self.skipping

    def until(self, kinds):
        """Reads up to a message of these kinds: its kind, None at the end of the connection."""
        while True:
            try:
                kind, body = self.wire.receive()
            except OSError:
                kind, body = None, b""
                self.answer.append(["no answer"])
            if kind is None:
                self.gone()
                return None
            if kind == b"A":
                self.heard.append(told(kind, body))
                continue
            self.answer.append(told(kind, body))
            if kind == b"G":
                self.send_copy()
            if kind == b"Z":
                self.status = body
            if kind in kinds:
                return kind

    def send_copy(self):
        if self.copy is None:
            self.wire.send(message(b"f", b"no data\0"))
        else:
            self.wire.send(message(b"d", self.copy.encode()) + message(b"c"))

    def gone(self):
        self.answer.append(["closed"])
        self.wire.close()
        self.wire = None

    def play(self, kind, what):
        """One step; its answer."""
        if kind == "leave":
            return self.leave(what)
        if kind == "copy":
            kind, what, self.copy = "query", what[0], what[1]
        parts = [["Q", what]] if kind == "query" else what
        try:
            self.wire.send(b"".join(encoded(part, self.database) for part in parts))
        except OSError:
            self.gone()
        for part in parts:
            if self.wire is None:
                break
            self.read(part)
        self.copy = None
        if self.status == b"I":
            self.answer += self.heard
            self.heard = []
        answer, self.answer = self.answer, []
        return answer

    def read(self, part):
        kind = part[0] + part[1] if part[0] == "D" else part[0]
        if kind == "S":
            self.skipping = False
            self.until((b"Z",))
        elif kind == "H" or self.skipping:
            return
        elif kind == "Q":
            self.until((b"Z",))
        elif self.until([bytes([each]) for each in ENDS[kind]] + [b"E"]) == b"E":
            self.skipping = True

    def leave(self, how):
        if how == "reset":
            self.wire.reset()
        else:
            if how == "terminate":
                self.wire.send(TERMINATE)
                self.until(())
            if self.wire is not None:
                self.wire.close()
        self.wire = None
        return []


class Connections:
    """A connection of its own for every client."""

    def __init__(self, port, database, startup):
        self.port = port
        self.database = database
        self.startup = startup
        self.clients = {}

    def of(self, number):
        client = self.clients.get(number)
        if client is None or client.wire is None:
            client = self.clients[number] = Client(self.port, self.database, self.startup)
        return client

    def play(self, number, kind, what):
        if kind == "leave" and (number not in self.clients or self.clients[number].wire is None):
            return []
        client = self.of(number)
        return client.play(kind, what) if client.wire is not None else client.answer

    def close(self):
        """Every client says goodbye; the server's end is waited for."""
        for client in self.clients.values():
            if client.wire is not None:
                client.leave("terminate")


class SharedConnections(Connections):
    """The simplest of poolers, which minds nothing but transactions: what a comparison must find fault with."""

    def __init__(self, port, database, startup, connections):
        super().__init__(port, database, startup)
        self.turn = 0
        self.count = connections
        self.linked = {}   # client -> connection
        self.greeting = []
        self.greeted = set()

    def play(self, number, kind, what):
        at = self.linked.get(number)
        if kind == "leave":
            self.greeted.discard(number)
            if at is None:
                return []
        while at is None or (self.linked.get(number) != at and at in self.linked.values()):
            self.turn = (self.turn + 1) % self.count
            at = self.turn
        answer = super().play(at, kind, what)
        if answer and answer[0][0] == "connected":
            self.greeting = [answer.pop(0)]
        if number not in self.greeted:
            answer = self.greeting + answer
        if kind != "leave":
            self.greeted.add(number)
        client = self.clients[at]
        self.linked.pop(number, None)
        if client.wire is not None and (client.linked() or kind == "batch" and what[-1] != ["S"]):
            self.linked[number] = at
        return answer


def play(script, connections):
    """What each step was answered."""
    try:
        return [connections.play(client, kind, what) for client, kind, what, _ in script.steps]
    finally:
        connections.close()


class Tolerated(typing.NamedTuple):
    reason: str
    applies: typing.Callable[[str, list, list], bool]   # (text, direct answer, answer through weir)


def rows(answer):
    return [each[1] for each in answer if each[0] == "D"]


def alone_outside(answer):
    """A single statement outside a transaction: what it says changes nothing that comes later."""
    return answer[-1] == ["Z", "I"] and sum(each[0] == "Z" for each in answer) == 1


def failed_with(answer, code):
    return any(kind == "E" and f"C{code}" in body[0] for kind, *body in answer)


def reads_unknown_setting_as_empty(text, direct, through):
    unknown = failed_with(direct, "42704") and alone_outside(direct) or rows(direct) == [[None]]
    return "app." in text and unknown and rows(through) == [[""]] and direct[-1] == through[-1]


def forgets_a_sequence_value(text, direct, through):
    return (("currval" in text or "lastval" in text) and alone_outside(direct) and alone_outside(through)
            and failed_with(through, "55000"))


def requests(answer):
    """The answer cut behind every ReadyForQuery."""
    cut = [[]]
    for each in answer:
        cut[-1].append(each)
        if each[0] == "Z":
            cut.append([])
    return cut


def tells_the_failed_transaction(text, direct, through):
    """Requests differ alone in a transaction that has failed before, and by this error; nothing ran, and it does not end."""
    def stands_for(ours, theirs):
        end = [["Z", "E"]] if ours[-1][0] == "Z" else []   # none behind a Flush
        before = ours[:len(ours) - len(end) - 1]
        rest = theirs[len(before):]
        return (failed_with(ours[len(before):][:1], "25P02") and ours[len(before) + 1:] == end and theirs[:len(before)] == before
                and rest[len(rest) - len(end):] == end and all(kind in ("t", "n", "T", "1", "2", "3", "E", "Z") for kind, *_ in rest))
    ours, theirs = requests(through), requests(direct)
    return len(ours) == len(theirs) and all(our and stands_for(our, their) for our, their in zip(ours, theirs) if our != their)


TEMPORARY_SCHEMA = "pg_temp_N"


def has_another_temporary_schema(text, direct, through):
    """In what current_schemas(true) tells, and in the error for a temporary relation that there is not."""
    codes = ("3F000", "42P01")
    both = [without_temporary_schema(answer) for answer in (direct, through)]
    if any(failed_with(direct, ours) and failed_with(through, theirs) for ours, theirs in (codes, codes[::-1])):
        without = [[each for each in answer if not any(failed_with([each], code) for code in codes)] for answer in both]
        return "pg_temp" in text and without[0] == without[1]
    return both[0] == both[1]


def without_temporary_schema(answer):
    return [[kind, *[[value and value.replace(TEMPORARY_SCHEMA + ",", "") for value in row] for row in body]] if kind == "D" else
            [kind, *body] for kind, *body in answer]


def tells_another_source(text, direct, through):
    """In what pg_settings tells of a setting that the client began with."""
    return "pg_settings" in text and with_one_source(direct) == with_one_source(through)


def with_one_source(answer):
    return [[kind, *[["session" if value == "client" else value for value in row] for row in body]] if kind == "D" else [kind, *body]
            for kind, *body in answer]


def resets_to_the_servers_own(text, direct, through):
    """Within one text, what it resets is what the server begins with until the text has ended; so is what set_config(name, NULL)
    answers. Then the client's own base holds, and it may be told what it knows."""
    lower = text.lower()
    if not re.search(r"\breset\b|\bdefault\b|time zone local|discard all|set_config\(.*null", lower):
        return False
    reports = [[each for each in answer if each[0] != "S"] for answer in (direct, through)]
    if reports[0] == reports[1]:
        return True
    rows = [[each for each in answer if each[0] not in "SD"] for answer in (direct, through)]
    return rows[0] == rows[1] and bool(re.search(r"set_config\(.*null|(reset|default|time zone local)\b.*;", lower, re.DOTALL))


def refuses_to_go_on_behind_a_reset(answer):
    return any(kind == "E" and "C0A000" in body[0] and any("began with a setting of its own" in each for each in body[0])
               for kind, *body in answer if body)


FAILED_TRANSACTION = "A statement that the backend lacks cannot be parsed there in a failed transaction: 25P02 stands for the answer."
# Every difference that is let pass, and why. What is not here must be the same, byte for byte, but for process ids, oids of
# what users made, and places in the server's source.
TOLERATED = [
    Tolerated("A custom setting that another client made reads '' and is no error: the server never forgets its name.",
              reads_unknown_setting_as_empty),
    Tolerated("currval and lastval may be error 55000 where a direct connection has a value: the client's own value or none.",
              forgets_a_sequence_value),
    Tolerated(FAILED_TRANSACTION, tells_the_failed_transaction),
    Tolerated("A backend keeps its schema of temporary objects when it has become empty: current_schemas(true) and errors tell of it.",
              has_another_temporary_schema),
    Tolerated("pg_settings tells 'session' as the source of what the client began with: weir has set it, the server's login had not.",
              tells_another_source),
    Tolerated("Within one text a reset goes to what the server begins with; the client's own base holds from the text's end on.",
              resets_to_the_servers_own),
]


def without_common(answer, other):
    """The answer without the messages at the beginning that both have, but the last of them if it is short."""
    same = next((at for at, (ours, theirs) in enumerate(zip(answer or [], other or [])) if ours != theirs),
                min(len(answer or []), len(other or [])))
    if same == 0:
        return answer
    return ["...", *([] if answer[same - 1][0] == "connected" else [answer[same - 1]]), *answer[same:]]


def from_ready(answer):
    """From the first ReadyForQuery on; nothing if there is none."""
    return answer[next((at for at, each in enumerate(answer) if each[0] == "Z"), len(answer)):]


class Comparison:
    """The first difference of two runs, and what was let pass before it."""

    def __init__(self, script, direct, through):
        self.step = None
        self.let_pass = []
        self.direct = self.through = None
        unread = set()   # clients one of whose sides waits for a Sync that the other has not to wait for
        for number, (ours, theirs) in enumerate(zip(through, direct)):
            client = script.steps[number][0]
            if client in unread:
                ours, theirs = from_ready(ours), from_ready(theirs)
                if ours or theirs:
                    unread.discard(client)
            if ours == theirs:
                continue
            text = json.dumps(script.steps[number][2])
            # What a reset has become is told when its text has been answered: perhaps in front of the next answer.
            if any(each.startswith("Within one text") for each in self.let_pass):
                ours = ours[next((at for at, each in enumerate(ours) if each[0] != "S"), 0):]
                if ours == theirs:
                    continue
            # A text of several statements may differ for two of the reasons.
            pairs = [(theirs, ours)] + [(with_one_source(theirs), with_one_source(ours))] * ("pg_settings" in text)
            reason = next((each.reason for each in TOLERATED if any(each.applies(text, *pair) for pair in pairs)), None)
            if reason is None and refuses_to_go_on_behind_a_reset(ours):
                # Nothing of it has run: from here on the two are in different states.
                self.let_pass.append("A text that goes on behind a reset of what its client began with is refused.")
                return
            if reason is None:
                self.step, self.direct, self.through = number, theirs, ours
                return
            self.let_pass.append(reason)
            if reason == FAILED_TRANSACTION and ours[-1][0] != "Z":
                unread.add(client)

    def differs(self):
        return self.step is not None

    def text(self):
        return (f"step {self.step + 1} differs\n  direct:  {without_common(self.direct, self.through)}\n"
                f"  through: {without_common(self.through, self.direct)}\n")
