#!/usr/bin/python3
"""Builds weir and runs every test. Ends with one line: N passed, M failed.

tools/test              all
tools/test unit         the gtest programs, the checks of the tree, and whether the benchmarks run
tools/test e2e [ARGS]   the end-to-end tests; ARGS go to pytest
"""

import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build")


def run(*command):
    """Runs a step that must succeed."""
    result = subprocess.run(command, cwd=ROOT)
    if result.returncode != 0:
        print(f"tools/test: {' '.join(command)} failed", flush=True)
        print("0 passed, 1 failed")
        sys.exit(1)


def build():
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        run("meson", "setup", BUILD, ROOT)
    run("ninja", "-C", BUILD)


def count(report):
    """(passed, failed) of a JUnit report; a program that left none has failed."""
    try:
        cases = list(xml.parse(report).getroot().iter("testcase"))
    except (OSError, xml.ParseError):
        return 0, 1
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    skipped = sum(1 for case in cases if case.find("skipped") is not None)
    return len(cases) - failed - skipped, failed


def unit_tests():
    """The gtest programs, one after another: (passed, failed)."""
    passed = failed = 0
    programs = []
    for folder, _, files in os.walk(os.path.join(BUILD, "tests")):
        programs += [os.path.join(folder, name) for name in files
                     if name.endswith("_tests") and os.access(os.path.join(folder, name), os.X_OK)]
    for program in sorted(programs):
        with tempfile.TemporaryDirectory() as scratch:
            report = os.path.join(scratch, "report.xml")
            result = subprocess.run([program, f"--gtest_output=xml:{report}", "--gtest_brief=1"],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
            good, bad = count(report)
            if result.returncode != 0:
                bad = max(bad, 1)
                print(result.stdout, flush=True)
            print(f"{os.path.relpath(program, BUILD)}: {good} passed, {bad} failed", flush=True)
            passed, failed = passed + good, failed + bad
    return passed, failed


def pytest(folder, *args):
    with tempfile.TemporaryDirectory() as scratch:
        report = os.path.join(scratch, "report.xml")
        environment = dict(os.environ, WEIR=os.path.join(BUILD, "pool", "weir"), PYTHONDONTWRITEBYTECODE="1")
        result = subprocess.run(["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short",
                                 f"--junit-xml={report}", os.path.join(ROOT, folder), *args], env=environment, cwd=ROOT)
        good, bad = count(report)
        return good, max(bad, 1) if result.returncode not in (0, 5) else bad


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    if what not in ("all", "unit", "e2e"):
        sys.exit(__doc__)
    build()
    passed = failed = 0
    steps = []
    if what in ("all", "unit"):
        steps += [unit_tests, lambda: pytest("tests/tools"), lambda: pytest("tests/bench")]
    if what in ("all", "e2e"):
        steps.append(lambda: pytest("tests/e2e", *sys.argv[2:]))
    for step in steps:
        good, bad = step()
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


main()
