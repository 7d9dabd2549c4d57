#!/usr/bin/python3
"""What a developer runs beside tools/test.

Every command is a line of COMMANDS: its name, its arguments, what it does, and the function that does it with the words
behind the name and returns the exit status.
"""

import os
import subprocess
import sys
import textwrap
import typing

sys.dont_write_bytecode = True
import run_tests  # noqa: E402
import sanitizers  # noqa: E402
import tidy  # noqa: E402

ROOT = run_tests.ROOT
TOOLS = os.path.join(ROOT, "tools")


def sanitize(name, args):
    """All tests in a sanitizer's build, and the simulator in it."""
    passed, failed = run_tests.sanitized(sanitizers.ALL[name], everything=True, args=args)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def run_tidy(args):
    run_tests.build()
    return 1 if tidy.check([os.path.abspath(each) for each in args] or tidy.sources(ROOT, tidy.ALL)) else 0


def run_format(args):
    mend = "--fix" in args
    paths = [os.path.abspath(each) for each in args if each != "--fix"] or tidy.sources(ROOT, tidy.ALL, (".cc", ".h"))
    return 1 if tidy.format_all(paths, mend) and not mend else 0


def simulate(args):
    """Builds the simulator and hands the words on to it."""
    run_tests.build()
    return subprocess.run([os.path.join(run_tests.BUILD, "tests", "sim", "sim"), *args]).returncode


def differential(args):
    run_tests.build()
    return subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "tests", "e2e", "differential.py"), *args]).returncode


def script(name, args):
    """A script of tools/ with the same words."""
    path = os.path.join(TOOLS, name)
    if not os.path.exists(path):
        sys.exit(f"tools/dev: this tree has no tools/{name}")
    return subprocess.run(["/usr/bin/python3", path, *args], cwd=ROOT).returncode


class Command(typing.NamedTuple):
    name: str
    arguments: str
    what: str
    run: typing.Callable[[list], int]


COMMANDS = [
    Command("asan", "[PYTEST ARGS]", "Builds with AddressSanitizer and UndefinedBehaviorSanitizer in build-asan and runs every unit"
            " test, every end-to-end test and the simulator.", lambda args: sanitize("asan", args)),
    Command("tsan", "[PYTEST ARGS]", "Builds with ThreadSanitizer in build-tsan and runs every unit test and every end-to-end test.",
            lambda args: sanitize("tsan", args)),
    Command("tidy", "[FILES]", "clang-tidy with the checks of .clang-tidy; all sources, tests too, if no file is named.", run_tidy),
    Command("format", "[--fix] [FILES]", "Says which files clang-format would change, and with --fix changes them.", run_format),
    Command("sim", "--seed N [--verbose] | --seeds FIRST COUNT | --minutes M", "Runs the simulator: one seed, twice; some; or as many as fit"
            " into the time.", simulate),
    Command("sim-mutants", "", "Switches every deliberate fault on and shows that the simulator finds it.",
            lambda args: simulate(["--mutants", *args])),
    Command("regress", "[--tests A,B] [--rotate] [--keep]", "PostgreSQL's own regression suite through weir, test by test beside a direct"
            " connection; --help says more.", lambda args: script("dev_regress.py", args)),
    Command("differential", "--scripts N --seed S | --script FILE | --help", "Random scripts of several clients: they must be answered through"
            " weir as they are without it. The first that is not is made small and printed.", differential),
    Command("fuzz", "[ARGS]", "The fuzzers; tools/dev fuzz --help says which.", lambda args: script("dev_fuzz.py", args)),
]


def usage():
    lines = ["tools/dev COMMAND [ARGUMENTS]", ""]
    for command in COMMANDS:
        lines.append(f"{command.name} {command.arguments}".rstrip())
        lines += textwrap.wrap(command.what, 100, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def main():
    words = sys.argv[1:]
    if not words or words[0] in ("--help", "-h", "help"):
        print(usage())
        return 0 if words else 2
    for command in COMMANDS:
        if command.name == words[0]:
            return command.run(words[1:])
    print(f"tools/dev: there is no command {words[0]}\n\n{usage()}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
