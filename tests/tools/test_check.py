"""The check of the tree finds what it is for."""

import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHECK = os.path.join(ROOT, "tools", "check")
FOLDERS = ("engine", "protocol", "pool", "tests", "bench", "tools")


_loader = importlib.machinery.SourceFileLoader("weir_check", CHECK)
_check = importlib.util.module_from_spec(importlib.util.spec_from_loader("weir_check", _loader))
sys.path.insert(0, os.path.dirname(CHECK))
_loader.exec_module(_check)


def run(folder):
    found = _check.look_at(str(folder))
    return len(found.problems), "\n".join(found.told())


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the tree, for all tests: each puts back what it has changed."""
    root = tmp_path_factory.mktemp("tree")
    for folder in FOLDERS:
        shutil.copytree(os.path.join(ROOT, folder), root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(os.path.join(ROOT, "README.md"), root)
    return root


@pytest.fixture
def with_lines(tree):
    """Checks the copy with lines added to a file, which may be a new one."""
    def look(path, lines):
        file = tree / path
        before = file.read_text(encoding="utf-8") if file.exists() else None
        file.write_text(lines + "\n" if before is None else before + "\n" + lines + "\n", encoding="utf-8")
        try:
            return run(tree)
        finally:
            file.unlink()
            if before is not None:
                file.write_text(before, encoding="utf-8")
    return look


def test_the_tree_is_clean():
    result = subprocess.run(["/usr/bin/python3", CHECK], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout


def test_a_broken_tree_is_told_by_the_exit_status(tree):
    file = tree / "engine" / "broken.h"
    file.write_text("int x = 0;\n", encoding="utf-8")
    result = subprocess.run(["/usr/bin/python3", CHECK, str(tree)], capture_output=True, text=True, timeout=60)
    file.unlink()
    assert result.returncode == 1 and "engine/broken.h:1: a header begins with a comment" in result.stdout


def test_every_exception_is_printed_with_its_reason():
    _, out = run(ROOT)
    assert "allowed: protocol/postgres/sql_lexer.h: function length: one switch over the lexer's states" in out
    assert "allowed: engine/mailbox.cc: shared state: the queue between shards and the sleeping flag" in out
    assert "allowed: engine/uring.cc: a socket: it stands behind Io" in out


ADDED = [
    ("engine/stream.cc", '#include "pool/core/pool.h"', "engine/ must not include pool/core/pool.h"),
    ("protocol/postgres/replies.cc", '#include "engine/stream.h"', "must not include engine/stream.h"),
    ("pool/core/pool.cc", '#include "pool/session/pin.h"', "must not include pool/session/pin.h"),
    ("pool/core/pool.cc", '#include "tests/pool/core/scripted.h"', "must not include tests/pool/core/scripted.h"),
    ("pool/core/pool.cc", "#include <liburing.h>", "liburing.h is included by"),
    ("pool/core/pool.cc", '#include "board.h"', "board.h: say it from the top of the tree"),
    ("protocol/postgres/replies.cc", "#include <sys/socket.h>", "knows no socket, clock, file or thread: no sys/socket.h"),
    ("pool/session/pin.cc", "#include <chrono>", "knows no socket, clock, file or thread: no chrono"),
    ("pool/session/pin.cc", "std::function<void()> f;", "allocates"),
    ("engine/stream.cc", "static thread_local int x;", "threads share nothing"),
    ("engine/stream.cc", "void f() { usleep(1); }", "sleeping"),
    ("engine/stream.cc", "void f() { std::this_thread::sleep_for(x); }", "sleeping"),
    ("engine/stream.cc", "void f() { assert(x); }", "CHECK stays in the program"),
    ("engine/stream.cc", "__attribute__((no_sanitize(\"thread\"))) void f();", "the sanitizers see everything"),
    ("engine/stream.cc", "// line\n" * 600, "more than 500"),
    ("engine/stream.cc", "void LongFunction(int a) {\n" + "  a = a;\n" * 80 + "}", "a function of"),
    ("engine/stream.cc", "Long::Long(int a,\n           int b)\n    : a_(a),\n      b_(b) {\n" + "  a = a;\n" * 80 + "}", "a function of 84 lines"),
    ("engine/stream.cc", "int Long(int a) noexcept {\n  if (a) {\n  }\n" + "  a = a;\n" * 80 + "}", "a function of 83 lines"),
    ("tests/engine/chunk_test.cc", "TEST(Chunk, Long) {\n" + "  a = a;\n" * 80 + "}", "a function of"),
    ("tests/engine/chunk_test.cc", "// line\n" * 800, "more than 700"),
    ("tools/run_demo.py", "# line\n" * 600, "more than 500"),
    ("tools/run_demo.py", "def long():\n" + "    pass\n" * 80, "a function of"),
    ("engine/stream.cc", "void f(int fd) { ::send(fd, nullptr, 0, 0); }", "a socket: engine::Io is the only door"),
    ("pool/proxy.cc", "void f(int fd) { epoll_wait(fd, nullptr, 0, 0); }", "a socket: engine::Io is the only door"),
    ("engine/shard.cc", "void f() { io_uring_submit(nullptr); }", "io_uring: engine::Io is the only door to the ring"),
    ("pool/proxy.cc", "void f(int fd) { close(fd); }", "a descriptor: a shard calls nothing that may block"),
    ("pool/session/pin.cc", "void f() { std::ifstream file; }", "a file: a shard reads no files"),
    ("pool/session/pin.cc", 'void f() { std::printf("x"); }', "the console: what a shard has to say"),
    ("pool/proxy.cc", "void f() { std::thread([] {}).detach(); }", "a thread: shards are the threads"),
    ("engine/stream.cc", "Nanos f() { return MonotonicNow(); }", "a clock: a shard has one time a tick"),
    ("pool/session/pin.cc", "long f() { return time(nullptr); }", "a clock: a shard has one time a tick"),
    ("pool/core/pool.cc", "int f() { return std::rand(); }", "chance: chance comes from"),
    ("pool/proxy.cc", 'void f() { std::getenv("X"); }', "the environment: options come from"),
    ("pool/core/pool.cc", "Backend* f() { return new Backend(); }", "memory by hand: ownership is visible"),
    ("pool/core/pool.cc", "void f(Backend* b) { delete b; }", "memory by hand: ownership is visible"),
    ("pool/config/config.h", "inline void f() { try { } catch (...) { } }", "catching: a library that throws is fenced"),
    ("engine/stream.cc", "int counter = 0;", "a mutable static"),
    ("engine/stream.cc", "std::vector<int> things;", "a mutable static"),
    ("engine/stream.cc", "int f() {\n  static int calls = 0;\n  return ++calls;\n}", "a mutable static"),
    ("engine/stream.h", "inline int counter{0};", "a mutable static"),
    ("pool/core/pool.cc", "int f(BackendState s) {\n  switch (s) {\n    case BackendState::kIdle: {\n      return 1;\n    }\n"
     "    default:\n      return 0;\n  }\n}", "a default in a switch over our own enum (BackendState::kIdle)"),
    ("pool/core/routes.cc", "void Routes::F() {\n  for (const auto& [text, route] : by_text_) Use(route);\n}", "by_text_ is a hash table"),
    ("pool/core/routes.cc", "auto Routes::F() { return by_text_.begin(); }", "by_text_ is a hash table"),
    ("pool/core/routes.cc", "int F() {\n  absl::flat_hash_map<int, std::vector<int>> seen;\n  for (auto& each : seen) Use(each);\n}",
     "seen is a hash table"),
    ("pool/session/client_session.cc", "void ClientSession::Sneak() {\n  state_ = ClientState::kIdle;\n}", "state_ is written by Move only"),
    ("pool/core/pool.cc", 'bool f() { return WEIR_FAULT("never_declared_anywhere"); }', "no file of tests/sim names it"),
    ("pool/core/pool.cc", "bool f() { return WEIR_FAULT(kName); }", "the name is a literal"),
    ("pool/core/new_room.cc", "// Nothing.", "new_room.cc is in no meson.build"),
    ("tests/engine/new_test.cc", "// Tests of nothing.", "new_test.cc is in no meson.build"),
    ("tests/engine/new_test.cc", "#include <gtest/gtest.h>", "there is no engine/new.h: tests mirror the tree"),
    ("pool/core/new_room.h", "#pragma once", "a header begins with a comment"),
    ("pool/core/new_room.h", "// A room.", "no #pragma once"),
    ("pool/core/NewRoom.h", "// A room.\n#pragma once", "snake_case"),
    ("engine/stream.cc", "// TO" "DO: later", "nothing is left to be done"),
    ("engine/stream.cc", "int f();  // NOLINT", "NOLINT(check): reason"),
    ("engine/stream.cc", "int f();  // NOLINT(misc-x)", "NOLINT(check): reason"),
    ("tests/e2e/test_queries.py", "def test_x():\n    time.sl" "eep(1)", "it does not sleep"),
    ("tests/engine/chunk_test.cc", "void f() { std::this_thread::sl" "eep_for(x); }", "it does not sleep"),
    ("pool/metrics/metrics.def", 'COUNTER(NeverCounted, "x")', "NeverCounted is never counted"),
    ("pool/config/options.def", 'OPTION(proxy, never_read, Bool, false, 0, 1, 1, "x")', "never_read is never read"),
    ("protocol/postgres/pins.def", 'PIN(kNeverGiven, "x", "x", "x", "", false)', "kNeverGiven is never given"),
    ("protocol/postgres/pins.def", 'PIN(kLoad, "more", "x", "y", "", false)', "lacks the row | `more` | x | y | closed |"),
    ("protocol/postgres/pins.def", 'PIN(kLoad, "more", "x")', "not every PIN is five values"),
]


@pytest.mark.parametrize("path, lines, expected", ADDED)
def test_what_breaks_a_rule(with_lines, path, lines, expected):
    problems, out = with_lines(path, lines)
    assert problems and expected in out, out


@pytest.mark.parametrize("path, lines", [
    ("engine/stream.cc", "// send(fd); throw; TextMap; default: never sleep(1)\nconst char kText[] = \"throw new sleep(1)\";"),
    ("engine/stream.cc", "static constexpr int kSeats = 3;\nstatic int Count(int a);\nconst int kOther = 1'000;"),
    ("engine/stream.cc", "int F(uint8_t c) {\n  switch (c) {\n    case 'a':\n      return 1;\n    default:\n      return 0;\n  }\n}"),
    ("pool/core/routes.cc", "const Route* Routes::F() { return by_text_.find(x)->second; }"),
    ("engine/stream.cc", "int f();  // NOLINT(misc-x): a reason"),
    ("engine/stream.cc", "Stream& operator=(const Stream&) = delete;"),
    ("tests/data.sql", "-- TO" "DO\n" * 900),
    ("tests/e2e/test_queries.py", 'def test_x(weir):\n    weir.connect().execute("select pg_sleep(1)")'),
])
def test_what_breaks_none(with_lines, path, lines):
    problems, out = with_lines(path, lines)
    assert not problems, out


@pytest.mark.parametrize("path, text, expected", [
    ("engine/chunk.cc", "free", "engine/chunk.cc:1: it is listed for memory by hand and has none"),
    ("engine/shards.h", "std::function", r"the exception (std::function\b) is needed no more"),
    ("engine/mailbox.cc", "memory_order", "engine/mailbox.cc:1: it is listed for shared state and has none"),
])
def test_what_needs_no_exception_gets_none(tree, path, text, expected):
    file = tree / path
    before = file.read_text(encoding="utf-8")
    try:
        file.write_text("// nothing of it", encoding="utf-8")
        problems, out = run(tree)
        assert text in before and problems and expected in out, out
    finally:
        file.write_text(before, encoding="utf-8")
