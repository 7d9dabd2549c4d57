"""Makes a failing script small: it must go on failing, in whatever way."""

import time


def without_client(steps, client):
    return [step for step in steps if step[0] != client]


def shorter(step):
    """The same step with less in it, if it has parts."""
    client, kind, what, effects = step
    if kind == "batch" and len(what) > 2:
        for at in range(len(what) - 1):
            yield [client, kind, what[:at] + what[at + 1:], effects]
    if kind == "query" and ";" in what and "$$" not in what:
        parts = what.split("; ")
        for at in range(len(parts)):
            yield [client, kind, "; ".join(parts[:at] + parts[at + 1:]), effects]


class Shrinker:
    def __init__(self, fails, seconds):
        self.fails = fails       # Script -> whether it still fails
        self.deadline = time.monotonic() + seconds
        self.tries = 0

    def takes(self, script):
        if not script.steps or not script.starves_nobody() or time.monotonic() > self.deadline:
            return False
        self.tries += 1
        return self.fails(script)

    def clients(self, script):
        for client in script.clients():
            less = script.with_steps(without_client(script.steps, client))
            if self.takes(less):
                script = less
        return script

    def steps(self, script):
        """Drops runs of steps, from half of them down to single ones."""
        size = max(1, len(script.steps) // 2)
        while True:
            at = len(script.steps)
            while at > 0:
                less = script.with_steps(script.steps[:max(0, at - size)] + script.steps[at:])
                if self.takes(less):
                    script = less
                at -= size
            if size == 1:
                return script
            size //= 2

    def parts(self, script):
        """Drops parts of steps."""
        at = 0
        while at < len(script.steps):
            for step in shorter(script.steps[at]):
                less = script.with_steps([*script.steps[:at], step, *script.steps[at + 1:]])
                if self.takes(less):
                    script = less
                    break
            else:
                at += 1
        return script

    def shrink(self, script):
        while True:
            size = len(script.text())
            script = self.parts(self.steps(self.clients(script)))
            if len(script.text()) == size or time.monotonic() > self.deadline:
                return script


def shrink(script, fails, last_step=None, seconds=60):
    """What comes behind the first difference has no part in it."""
    shrinker = Shrinker(fails, seconds)
    if last_step is not None:
        less = script.with_steps(script.steps[:last_step + 1])
        if shrinker.takes(less):
            script = less
    return shrinker.shrink(script)
