"""clang-tidy with the checks of .clang-tidy, and clang-format, over the tree's C++."""

import concurrent.futures
import json
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build")
PROGRAM = ("engine", "protocol", "pool")
ALL = (*PROGRAM, "tests", "bench")


def sources(root, folders, endings=(".cc",)):
    """Paths of the C++ in these folders."""
    found = []
    for folder in folders:
        for at, _, files in os.walk(os.path.join(root, folder)):
            found += [os.path.join(at, name) for name in files if name.endswith(endings)]
    return sorted(found)


def compiled():
    """Real paths of what the build has a command for."""
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        return {os.path.realpath(os.path.join(each["directory"], each["file"])) for each in json.load(file)}


def check(paths):
    """Runs clang-tidy, as many at a time as there are cores; prints what it says and returns how many files it is about."""
    known = compiled()
    paths = [path for path in paths if os.path.realpath(path) in known]

    def one(path):
        return subprocess.run(["clang-tidy", "-p", BUILD, "--quiet", path], cwd=ROOT, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for path, result in zip(paths, pool.map(one, paths)):
            if result.returncode != 0 or "warning:" in result.stdout:
                bad += 1
                print(result.stdout or f"{path}: clang-tidy failed\n{result.stderr}", flush=True)
    print(f"clang-tidy: {len(paths)} files, {bad} with something to mend", flush=True)
    return bad if paths else 1


def format_all(paths, mend):
    """How many files are not formatted; with `mend` they are then."""
    bad = 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        result = subprocess.run(["clang-format", f"--assume-filename={path}"], input=text, cwd=ROOT, text=True,
                                stdout=subprocess.PIPE, check=True)
        if result.stdout != text:
            bad += 1
            print(f"{os.path.relpath(path, ROOT)}: {'formatted' if mend else 'not formatted'}", flush=True)
            if mend:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(result.stdout)
    print(f"clang-format: {len(paths)} files, {bad} not formatted", flush=True)
    return bad
