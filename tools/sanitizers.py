"""Builds of weir that watch themselves, each in a folder of its own.

asan   AddressSanitizer and UndefinedBehaviorSanitizer: memory, leaks, arithmetic, wrong types
tsan   ThreadSanitizer: what threads share without saying so

What ASan and TSan say goes to build-NAME/reports; a test run with a report in it has failed, whatever the tests say. UBSan
writes to standard error and ends the program with an error.
"""

import glob
import os
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Sanitizer:
    def __init__(self, name, *, sanitize, flags, environment, programs, tests, without=(), seeds=0):
        self.name = name
        self.sanitize = sanitize
        self.flags = flags              # of the compiler, beside -fsanitize
        self.options = environment      # variable of the runtime -> its options
        self.programs = programs        # unit tests that tools/test runs; None: all
        self.tests = tests              # end-to-end tests that tools/test runs, by name
        self.without = without          # end-to-end tests that cannot run with it
        self.seeds = seeds              # of the simulator
        self.folder = os.path.join(ROOT, f"build-{name}")
        self.reports = os.path.join(self.folder, "reports")

    @property
    def targets(self):
        """What ninja makes for tools/test."""
        simulator = ["tests/sim/sim"] if self.seeds else []
        return ["pool/weir"] + [f"tests/{each}" for each in self.programs] + simulator

    def build(self, run, targets):
        """With `run` for the commands. -O1 and -g1: fast enough, and a report has its lines. Warnings are the plain build's."""
        options = [f"-Db_sanitize={self.sanitize}", "-Db_lundef=false", "-Dwerror=false", "-Doptimization=1",
                   f"-Dcpp_args=-g1 -fno-omit-frame-pointer {self.flags}"]
        made_with = os.path.join(self.folder, "made_with")
        if not os.path.exists(made_with) or open(made_with, encoding="ascii").read() != "\n".join(options):
            shutil.rmtree(self.folder, ignore_errors=True)
            run("meson", "setup", self.folder, ROOT, *options)
            with open(made_with, "w", encoding="ascii") as file:
                file.write("\n".join(options))
        run("ninja", "-C", self.folder, *targets)
        shutil.rmtree(self.reports, ignore_errors=True)
        os.mkdir(self.reports)

    def around(self):
        """What a command begins with: without random addresses, which the runtimes of g++ 12 and 13 cannot always bear."""
        prefix = ["setarch", os.uname().machine, "-R"]
        try:
            allowed = subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL).returncode == 0
        except OSError:
            allowed = False
        return prefix if allowed else []   # a container may forbid it

    def environment(self):
        return {variable: f"{options}:log_path={self.reports}/{variable.lower()}" for variable, options in self.options.items()}

    def findings(self):
        """Texts of what has been reported since the build."""
        texts = []
        for path in sorted(glob.glob(os.path.join(self.reports, "*"))):
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
            # The simulator's shards have stacks of their own, and tell ASan so.
            if [line for line in text.splitlines() if line.strip() and "makecontext/swapcontext" not in line]:
                texts.append(text)
        return texts


ASAN = Sanitizer(
    "asan", sanitize="address,undefined",
    # NDEBUG_SANITIZER: the packaged Abseil is built without, and its tables would have another layout (Abseil 2023 on).
    # vptr: it probes memory through a pipe, and misfires where a test uses up the descriptors.
    flags="-fno-sanitize-recover=undefined -fno-sanitize=vptr -DNDEBUG_SANITIZER",
    environment={"ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1"
                                 ":quarantine_size_mb=16",
                 "UBSAN_OPTIONS": "print_stacktrace=1"},
    seeds=100,
    programs=("engine/base/engine_base_tests", "engine/engine_tests", "protocol/postgres/postgres_tests",
              "pool/config/pool_config_tests", "pool/metrics/pool_metrics_tests", "pool/core/pool_core_tests",
              "pool/session/pool_session_tests"),
    tests=("test_every_answer_carries_its_questions_tag[4-rotate", "test_every_answer_carries_its_questions_tag[2-rotate",
           "test_server_killed_in_mid_transaction", "test_clients_are_held_while_the_server_restarts",
           "test_a_terminated_backend", "test_vanishing_clients", "test_garbage_instead_of_a_startup_packet",
           "test_malformed_messages_after_login", "test_slow_readers_do_not_disturb_others", "test_sighup_reloads",
           "test_two_thousand_wait_for_one_backend_behind_stalled_readers", "test_copy_both_ways",
           "test_cancel_of_a_running_query", "test_cancel_of_a_waiting_query", "test_large_results_and_large_queries",
           "test_a_statement_prepared_once_runs_on_any_backend", "test_a_setting_follows_its_client",
           "test_a_setting_that_becomes_invalid", "test_a_fenced_replay_that_fails", "test_what_init_query_has_set",
           "test_what_is_parsed_under_settings_of_a_transaction"),
    # The check of a virtual call asks by a pipe whether memory can be read: without a descriptor it takes every object for
    # a wrong one.
    without=("test_descriptor_exhaustion",))

TSAN = Sanitizer(
    "tsan", sanitize="thread",
    # -Wno-tsan: it does not model FullFence. No data is handed over by that alone: it orders the sleeping flag and the board
    # against the queues, whose cells are acquired and released.
    flags="-Wno-tsan",
    environment={"TSAN_OPTIONS": "second_deadlock_stack=1:history_size=4"},
    programs=("engine/engine_tests",),
    tests=("test_every_answer_carries_its_questions_tag[4-rotate", "test_every_answer_carries_its_questions_tag[2-rotate",
           "test_a_thousand_clients_over_five_backends", "test_a_hundred_replays", "test_thousands_of_settings",
           "test_a_burst_of_logins", "test_sighup_reloads", "test_the_statistics_line",
           "test_clients_are_held_while_the_server_restarts"))

ALL = {each.name: each for each in (ASAN, TSAN)}
