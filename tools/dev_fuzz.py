#!/usr/bin/python3
"""Builds the fuzz targets with clang and libFuzzer in build-fuzz/, and runs them.

fuzz --list                   the targets
fuzz TARGET --minutes M       one target, for M minutes; what it finds and its corpus stay in build-fuzz/found/TARGET
fuzz --replay                 all corpora once (tests/fuzz/corpus)
fuzz --seconds N              all corpora once, then each target for N seconds
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build-fuzz")
CORPUS = os.path.join(ROOT, "tests", "fuzz", "corpus")

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
# Bytes of an input, where the usual length is not the right one.
LENGTHS = {"client_login": 12000, "server_login": 8192, "exchange": 20000, "config": 8192, "secret": 8192, "iam_token": 9000}
LENGTH = 4096
# A single input that takes longer is a fault, too.
INPUT_SECONDS = 20
MEMORY_MB = 2048


def targets():
    return sorted(name[:-len("_fuzz.cc")] for name in os.listdir(os.path.join(ROOT, "tests", "fuzz"))
                  if name.endswith("_fuzz.cc"))


def build():
    """True if the targets are built."""
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        compiler = "ccache clang++" if shutil.which("ccache") else "clang++"
        arguments = [f"-Dcpp_args={['-fsanitize=fuzzer-no-link'] + SANITIZERS}", f"-Dcpp_link_args={SANITIZERS}"]
        setup = ["meson", "setup", BUILD, ROOT, "-Dbuildtype=plain", "-Doptimization=1", "-Ddebug=true",
                 "-Db_lundef=false"] + arguments
        if subprocess.run(setup, env=dict(os.environ, CC="clang", CXX=compiler), cwd=ROOT,
                          stdout=subprocess.DEVNULL).returncode != 0:
            shutil.rmtree(BUILD, ignore_errors=True)
            return False
    result = subprocess.run(["ninja", "-C", BUILD, "fuzz"], cwd=ROOT, stdout=subprocess.PIPE, text=True, errors="replace")
    if result.returncode != 0:
        print(result.stdout[-6000:])
    return result.returncode == 0


def command(target, found, folders, *options):
    program = os.path.join(BUILD, "tests", "fuzz", "fuzz_" + target)
    dictionary = os.path.join(ROOT, "tests", "fuzz", "dictionaries", target)
    extra = [f"-dict={dictionary}"] if os.path.exists(dictionary) else []
    return [program, f"-artifact_prefix={found}/", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MB}",
            f"-max_len={LENGTHS.get(target, LENGTH)}", *extra, *options, *folders]


def environment():
    return dict(os.environ, ASAN_OPTIONS="abort_on_error=0:allocator_may_return_null=1",
                UBSAN_OPTIONS="print_stacktrace=1")


def run_briefly(target, seconds):
    """The corpus, then new inputs for some seconds (0: none). True if nothing was found."""
    seeds = os.path.join(CORPUS, target)
    if not os.path.isdir(seeds) or not os.listdir(seeds):
        print(f"fuzz: {target} has no corpus in {seeds}", flush=True)
        return False
    with tempfile.TemporaryDirectory() as scratch:
        fresh = os.path.join(scratch, "corpus")
        os.mkdir(fresh)
        options = [f"-max_total_time={seconds}"] if seconds > 0 else ["-runs=0"]
        with open(os.path.join(scratch, "log"), "w+", encoding="utf-8", errors="replace") as log:
            try:
                status = subprocess.run(command(target, scratch, [fresh, seeds], *options), stdout=log, cwd=scratch,
                                        stderr=subprocess.STDOUT, env=environment(), timeout=120 + seconds).returncode
            except subprocess.TimeoutExpired:
                status = "timeout"
            log.seek(0)
            text = log.read()
        runs = re.findall(r"^#(\d+)", text, re.MULTILINE)
        print(f"fuzz/{target}: {runs[-1] if runs else 0} inputs, {'ok' if status == 0 else 'FAILED'}", flush=True)
        if status == 0:
            return True
        print(text[-6000:])
        keep(target, scratch)
        return False


def keep(target, scratch):
    """What was found is kept where it can be looked at."""
    folder = os.path.join(BUILD, "found", target)
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(scratch):
        if re.match(r"(crash|timeout|oom|leak)-", name):
            shutil.copy(os.path.join(scratch, name), folder)
            print(f"fuzz: kept {os.path.join(folder, name)}; mend it and put it into {os.path.join(CORPUS, target)}")


def check(seconds):
    """(passed, failed): each target is one test."""
    if not build():
        print("fuzz: the build with clang failed; tools/setup installs it", flush=True)
        return 0, 1
    results = [run_briefly(target, seconds) for target in targets()]
    return results.count(True), results.count(False)


def run_long(target, minutes):
    folder = os.path.join(BUILD, "found", target)
    corpus = os.path.join(folder, "corpus")
    os.makedirs(corpus, exist_ok=True)
    options = [f"-max_total_time={int(minutes * 60)}", "-print_final_stats=1"]
    seeds = os.path.join(CORPUS, target)
    return subprocess.run(command(target, folder, [corpus, seeds], *options), env=environment(), cwd=folder).returncode


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("target", nargs="?", choices=targets(), metavar="TARGET")
    what.add_argument("--list", action="store_true")
    what.add_argument("--replay", action="store_true")
    what.add_argument("--seconds", type=int)
    parser.add_argument("--minutes", type=float, default=1)
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(targets()))
        return 0
    if options.target is None:
        passed, failed = check(options.seconds or 0)
        print(f"{passed} passed, {failed} failed")
        return 1 if failed or not passed else 0
    if not build():
        print("fuzz: the build with clang failed; tools/setup installs it")
        return 1
    return 1 if run_long(options.target, options.minutes) != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
