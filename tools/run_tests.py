#!/usr/bin/python3
"""Builds weir and runs every test. Ends with one line: N passed, M failed; and how many were skipped, if any.

tools/test              all
tools/test unit         the gtest programs, the checks of the tree, and whether the benchmarks run
tools/test sim          the simulator: seeds, whether they repeat, and whether it finds what it is there to find
tools/test fuzz         the fuzz targets: their corpora, then a few seconds each
tools/test e2e [ARGS]   the end-to-end tests; ARGS go to pytest
tools/test regress      a part of PostgreSQL's own regression suite, on backends that change (tools/dev regress: all of it)
tools/test sanitizers   what of both is worth most, under ASan with UBSan and under TSan (tools/dev asan, tsan: all of it)
tools/test tidy         clang-tidy over the program's sources
"""

import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

sys.dont_write_bytecode = True
import dev_fuzz  # noqa: E402
import sanitizers  # noqa: E402
import tidy  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build")
FUZZ_SECONDS = 2  # for each target
SEEDS = 1000      # of the simulator
REPEATED_SEEDS = 40
SKIPPED = []      # names of the tests that could not run here; pytest says why


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


def cases_of(report):
    """The test cases of a JUnit report; None if the program has left none."""
    try:
        return list(xml.parse(report).getroot().iter("testcase"))
    except (OSError, xml.ParseError):
        return None


def count(report):
    """(passed, failed) of a JUnit report; a program that left none has failed."""
    cases = cases_of(report)
    if cases is None:
        return 0, 1
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    skipped = [case.get("name", "") for case in cases if case.find("skipped") is not None]
    SKIPPED.extend(skipped)
    return len(cases) - failed - len(skipped), failed


def unit_programs(build):
    programs = []
    for folder, _, files in os.walk(os.path.join(build, "tests")):
        programs += [os.path.join(folder, name) for name in files
                     if name.endswith("_tests") and os.access(os.path.join(folder, name), os.X_OK)]
    return sorted(programs)


def unit_tests(build=BUILD, programs=None, around=(), environment=None):
    """The gtest programs, one after another, each behind the words `around`: (passed, failed)."""
    passed = failed = 0
    for program in programs or unit_programs(build):
        with tempfile.TemporaryDirectory() as scratch:
            report = os.path.join(scratch, "report.xml")
            result = subprocess.run([*around, program, f"--gtest_output=xml:{report}", "--gtest_brief=1"],
                                    env=dict(os.environ, **(environment or {})),
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
            good, bad = count(report)
            if result.returncode != 0:
                bad = max(bad, 1)
                print(result.stdout, flush=True)
            print(f"{os.path.relpath(program, ROOT)}: {good} passed, {bad} failed", flush=True)
            passed, failed = passed + good, failed + bad
    return passed, failed


def pytest(folder, *args, build=BUILD, around=(), environment=None, names=()):
    """Python tests: (passed, failed). `names`: only those whose name begins so; none may be missing."""
    with tempfile.TemporaryDirectory() as scratch:
        report = os.path.join(scratch, "report.xml")
        whole = dict(os.environ, WEIR=os.path.join(build, "pool", "weir"), PYTHONDONTWRITEBYTECODE="1", **(environment or {}))
        if names:
            args = [*args, "-k", " or ".join(names)]
        result = subprocess.run([*around, "/usr/bin/python3", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--tb=short",
                                 f"--junit-xml={report}", os.path.join(ROOT, folder), *args], env=whole, cwd=ROOT)
        good, bad = count(report)
        ran = [case.get("name", "") for case in cases_of(report) or []]
        for name in names:
            if not any(each.startswith(name) for each in ran):
                print(f"tools/test: no test {name} in {folder}", flush=True)
                bad += 1
        return good, max(bad, 1) if result.returncode not in (0, 5) else bad


def simulate(*args, build=BUILD, around=(), environment=None):
    """(whether it ended well, what it printed)"""
    result = subprocess.run([*around, os.path.join(build, "tests", "sim", "sim"), *args], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", env=dict(os.environ, **(environment or {})))
    if result.returncode != 0:
        print(result.stdout[-20000:], flush=True)
    return result.returncode == 0, result.stdout


def simulator():
    """Seeds, each a test; that they repeat bit for bit in another process; every deliberate fault, each a test."""
    good, out = simulate("--seeds", "1", str(SEEDS))
    print(f"simulator: {out.strip() if good else 'a seed failed'}", flush=True)
    passed, failed = (SEEDS, 0) if good else (0, 1)
    runs = [simulate("--seeds", "1", str(REPEATED_SEEDS)) for _ in range(2)]
    if all(run[0] for run in runs) and runs[0][1] == runs[1][1]:
        passed += 1
    else:
        print("simulator: the same seeds went another way in another process", flush=True)
        failed += 1
    good, out = simulate("--recorded-mutants")
    found = re.search(r"^(\d+) passed, (\d+) failed$", out, re.MULTILINE)
    mutants = (int(found.group(1)), int(found.group(2))) if found else (0, 1)
    print(f"simulator: {mutants[0]} deliberate faults found, {mutants[1]} not", flush=True)
    return passed + mutants[0], failed + mutants[1]


def sanitized(sanitizer, everything=False, args=()):
    """Unit and end-to-end tests in a sanitizer's build: (passed, failed). Every report of it is a failure."""
    sanitizer.build(run, ["all"] if everything else sanitizer.targets)
    programs = None if everything else [os.path.join(sanitizer.folder, "tests", each) for each in sanitizer.programs]
    how = {"build": sanitizer.folder, "around": sanitizer.around(), "environment": sanitizer.environment()}
    left_out = ["-k", " and ".join(f"not {name}" for name in sanitizer.without)] if everything and sanitizer.without else []
    passed, failed = unit_tests(programs=programs, **how)
    good, bad = pytest("tests/e2e", *left_out, *args, names=() if everything else sanitizer.tests, **how)
    if sanitizer.seeds:
        well, _ = simulate("--seeds", "1", str(sanitizer.seeds), **how)
        good, bad = good + (sanitizer.seeds if well else 0), bad + (0 if well else 1)
    findings = sanitizer.findings()
    for text in findings:
        print(text, flush=True)
    print(f"{sanitizer.name}: {passed + good} passed, {failed + bad} failed, {len(findings)} reports", flush=True)
    return passed + good, failed + bad + len(findings)


def clang_tidy():
    """One test: nothing to mend in the program's sources (tools/dev tidy looks at all)."""
    return (0, 1) if tidy.check(tidy.sources(ROOT, tidy.PROGRAM)) else (1, 0)


def regress():
    """Where the suite's source cannot be had its tests count as skipped."""
    import dev_regress   # it needs this module
    passed, failed, skipped = dev_regress.fast()
    SKIPPED.extend(skipped)
    return passed, failed


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    if what not in ("all", "unit", "sim", "fuzz", "e2e", "regress", "sanitizers", "tidy"):
        sys.exit(__doc__)
    if what != "fuzz":
        build()
    passed = failed = 0
    steps = []
    if what in ("all", "unit"):
        steps += [unit_tests, lambda: pytest("tests/tools"), lambda: pytest("tests/bench")]
    if what in ("all", "sim"):
        steps.append(simulator)
    if what in ("all", "fuzz"):
        steps.append(lambda: dev_fuzz.check(FUZZ_SECONDS))
    if what in ("all", "tidy"):
        steps.append(clang_tidy)
    if what in ("all", "e2e"):
        steps.append(lambda: pytest("tests/e2e", *sys.argv[2:]))
    if what in ("all", "regress"):
        steps.append(regress)
    if what in ("all", "sanitizers"):
        steps += [lambda: sanitized(sanitizers.ASAN), lambda: sanitized(sanitizers.TSAN)]
    for step in steps:
        good, bad = step()
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed" + (f", {len(SKIPPED)} skipped" if SKIPPED else ""))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
