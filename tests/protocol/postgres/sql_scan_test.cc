// What the text of statements does to a session; every text in every split gives the same verdict.
#include "protocol/postgres/sql_scan.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

namespace weir::postgres {
namespace {

using enum PinReason;

struct Case {
  const char* text;
  PinReason pin;
  uint16_t flags = 0;
};

constexpr uint16_t kReads = Verdict::kPlainRead;
constexpr uint16_t kWrites = Verdict::kWritesSequence;
constexpr uint16_t kDdl = Verdict::kDdl;
constexpr uint16_t kSets = Verdict::kSets;
constexpr uint16_t kNames = Verdict::kNamesStatements;
constexpr uint16_t kRuns = Verdict::kRunsStatement;

const Case kCases[] = {
    {"", kNone},
    {" ; ; ", kNone},
    {"SELECT abalance FROM pgbench_accounts WHERE aid = 123456;", kNone, kReads},
    {"select 1", kNone, kReads},
    {"(select 1) union (select 2)", kNone, kReads},
    {"SELECT 1; SELECT 2", kNone},
    {"UPDATE pgbench_accounts SET abalance = abalance + -4 WHERE aid = 7;", kNone},
    {"INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, 4, "
     "CURRENT_TIMESTAMP);",
     kNone, kWrites},
    {"INSERT INTO s.t(a, b) SELECT x, lower(y) FROM z ON CONFLICT (a) DO UPDATE SET b = excluded.b",
     kNone, kWrites},
    {"BEGIN", kNone},
    {"START TRANSACTION ISOLATION LEVEL SERIALIZABLE", kNone},
    {"END;", kNone},
    {"SAVEPOINT a; RELEASE a; ROLLBACK TO a", kNone},
    {"PREPARE TRANSACTION 'x'", kNone},
    {"COMMIT PREPARED 'x'", kNone},
    {"SET search_path TO x", kNone, kSets},
    {"set\nsession foo = 1", kNone, kSets},
    {"SET ROLE bob", kNone, kSets},
    {"SET SESSION AUTHORIZATION bob", kNone, kSets},
    {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", kNone, kSets},
    {"SET TIME ZONE 'UTC'", kNone, kSets},
    {"SET NAMES 'utf8'", kNone, kSets},
    {"SET work_mem TO DEFAULT", kNone, Verdict::kResets | kSets},
    {"SET LOCAL work_mem TO DEFAULT", kNone, kSets},
    {"SET search_path = \"default\"", kNone, kSets},
    {"SET extra_float_digits = 3", kNone, kSets},
    {"SET LOCAL search_path TO x", kNone, kSets},
    {"SET LOCAL app.tenant = '1'", kNone, kSets},
    {"SET LOCAL standard_conforming_strings = off", kNone, kSets},
    {"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", kNone},
    {"SET CONSTRAINTS ALL DEFERRED", kNone},
    {"SET \"search_path\" TO x", kNone, kSets},
    {"SET\"search_path\"='x'", kNone, kSets},
    {"SET LOCAL \"search_path\" TO x", kNone, kSets},
    {"SET LOCAL \"Standard_conforming_Strings\" = off", kNone, kSets},
    {"RESET ALL", kNone, Verdict::kResets | kSets},
    {"SELECT set_config('search_path', 'x', false)", kNone, kSets},
    {"SELECT set_config('search_path', 'x', true)", kNone, kSets},
    {"SELECT pg_catalog.set_config('search_path', '', true)", kNone, kSets},
    {"SELECT set_config('app.tenant', 'x', true)", kNone, kSets},
    {"SELECT set_config('search_path', 'x', is_local) FROM t", kNone, kSets},
    {"SELECT set_config(name, 'x', true) FROM t", kNone, kSets},
    {"SELECT set_config('a', set_config('b', 'c', false), true)", kNone, kSets},
    {"SELECT set_config('client_encoding', 'SJIS', true)", kNone, kSets},
    {"SELECT \"set_config\"('a', 'b', false)", kNone, kSets},
    {"SELECT pg_advisory_lock(1)", kAdvisoryLock},
    {"SELECT pg_try_advisory_lock_shared(1)", kAdvisoryLock},
    {"SELECT pg_advisory_unlock_all()", kNone},
    {"SELECT pg_advisory_xact_lock(1)", kNone},
    {"SELECT setseed(0.5)", kSeed},
    {"SELECT lo_open(1, 2)", kFunction},
    {"SELECT query_to_xml('set x=1', true, true, '')", kFunction},
    {"SELECT my_function(1)", kFunction},
    {"SELECT public.lower('A')", kFunction},
    {"SELECT pg_catalog.lower('A')", kNone, kReads},
    {"SELECT information_schema._pg_expandarray(i.indkey) FROM pg_index i", kNone, kReads},
    {"SELECT information_schema.lower('A')", kFunction},
    {"SELECT public._pg_expandarray(i.indkey) FROM pg_index i", kFunction},
    {"SELECT nextval('s')", kNone, kWrites},
    {"SELECT currval('s'), lastval()", kNone, Verdict::kReadsSequence},
    // A function of one argument may be called like a field of it.
    {"SELECT (1::bigint).pg_advisory_lock", kAdvisoryLock},
    {"SELECT ((1)).pg_advisory_lock, (2).a", kAdvisoryLock},
    {"SELECT (a).b.\"pg_try_advisory_lock\" FROM t", kAdvisoryLock},
    {"SELECT a[1].setseed, $1.x FROM t", kSeed},
    {"SELECT $1.setseed", kSeed},
    {"SELECT (SELECT 's'::regclass) . /* c */ nextval", kNone, kWrites},
    {"SELECT ('s'::regclass).currval", kNone, Verdict::kReadsSequence},
    {"SELECT (1).pg_advisory_unlock", kNone},
    {"SELECT ('select 1'::text).ts_stat", kFunction},
    {"SELECT (1).lo_creat, (0).lo_unlink", kFunction},
    {"SELECT (0.1).pg_sleep", kNone},
    {"SELECT (a).b, (a).b.c, d[1].e, (f(1)).g FROM t", kFunction},
    {"SELECT (a).b, (a).b.c, d[1].e, (information_schema._pg_expandarray(i.k)).n, $1.f FROM t",
     kNone, kReads},
    {"SELECT (a).b, t.setseed, pg_advisory_lock.nextval FROM pg_advisory_lock", kNone, kReads},
    {"SELECT count(*), sum(x) FILTER (WHERE y > 0) OVER (PARTITION BY z) FROM t", kNone, kReads},
    {"SELECT a FROM t AS u (b, c) WHERE d IN (1, 2) AND EXISTS (SELECT 1)", kNone, kReads},
    {"SELECT * FROM generate_series(1, 3) AS g(x)", kNone, kReads},
    {"SELECT * FROM generate_series(1, 3) g(x), pg_catalog.unnest($1) \"h\" (y)", kNone, kReads},
    {"SELECT * FROM (VALUES (1)) v(x) JOIN json_to_recordset($1) r(a int, b numeric(3)) ON true",
     kNone, kReads},
    {"SELECT * FROM generate_series(1, 3) g(x), set_config('a', 'b', false) h(y)", kNone, kSets},
    {"SELECT * FROM generate_series(1, 3) g(x), f(1)", kFunction},
    {"SELECT * FROM unnest(a) WITH ORDINALITY u(x, y) JOIN b USING (x)", kNone, kReads},
    {"SELECT * FROM unnest(a) WITH ORDINALITY, f(1)", kFunction},
    {"SELECT * FROM unnest(a) WITH ORDINALITY JOIN f(1) ON true", kFunction},
    // Without AS an alias behind a name cannot be told from a call.
    {"SELECT * FROM t u(x)", kFunction},
    // Places where a call could hide.
    {"SELECT now()::timestamp with time zone, set_config('a', 'b', false)", kNone, kSets},
    {"SELECT * FROM generate_series(1, 2) WITH ORDINALITY, set_config('a', 'b', false)", kNone,
     kSets},
    {"SELECT DISTINCT ON (a) set_config('a', 'b', false) FROM t", kNone, kSets},
    {"SELECT DISTINCT ON (a) f(1) FROM t", kFunction},
    {"SELECT DISTINCT ON ((a), lower(b)) f(1) FROM t", kFunction},
    {"SELECT x FROM (SELECT DISTINCT ON (a) \"f\"(1) AS x FROM t) u", kFunction},
    {"SELECT now() AT TIME ZONE set_config('a', 'b', false)", kNone, kSets},
    {"SELECT 'a' LIKE 'b' ESCAPE set_config('a', 'b', false)", kNone, kSets},
    {"SELECT overlay('a' PLACING set_config('a', 'b', false) FROM 1)", kNone, kSets},
    {"SELECT 1 FETCH FIRST set_config('a', 'b', false) ROWS ONLY", kNone, kSets},
    {"SELECT concat(VARIADIC set_config('a', 'b', false))", kNone, kSets},
    {"SELECT 1 OPERATOR(pg_catalog.=) set_config('a', 'b', false)", kNone, kSets},
    {"SELECT 1 OPERATOR(pg_catalog.+) filter(1)", kFunction},
    {"SELECT 1 OPERATOR(a.<->) over(1)", kFunction},
    {"SELECT operator(1)", kFunction},
    {"SELECT operator(a.b)", kFunction},
    {"SELECT operator(a.*) FROM a", kFunction},
    {"SELECT operator(), operator('x'), operator(a.b + 1), operator(+1)", kFunction},
    {"SELECT \"operator\"(a.+)", kFunction},
    {"SELECT a.operator(b.+)", kFunction},
    {"SELECT system('x')", kFunction},
    {"SELECT filter(1)", kFunction},
    {"SELECT join(1)", kFunction},
    {"SELECT a, key(1), range(2) FROM t", kFunction},
    {"SELECT set(1)", kFunction},
    {"UPDATE t SET (a, b) = (1, 2) WHERE c IN (3) AND d LIKE ('x')", kNone},
    {"INSERT INTO t(a) VALUES (1) ON CONFLICT (a) DO UPDATE SET (b, c) = (1, 2)", kNone, kWrites},
    {"SELECT a FROM t JOIN (SELECT 1) AS x ON (true) LEFT JOIN (SELECT 2) AS y USING (a)", kNone,
     kReads},
    {"SELECT a, count(*) FROM t TABLESAMPLE system (10) GROUP BY ROLLUP (a)", kNone, kReads},
    {"SELECT sum(x) FILTER (WHERE a) OVER (ORDER BY b) FROM t GROUP BY (a) ORDER BY (b) LIMIT (3)",
     kNone, kReads},
    {"WITH a AS MATERIALIZED (SELECT 1), b AS NOT MATERIALIZED (SELECT 2) SELECT * FROM a, b",
     kNone, kReads},
    {"SELECT (WITH a(x) AS (SELECT 1) SELECT x FROM a)", kNone, kReads},
    {"EXPLAIN WITH a(x) AS (SELECT 1) SELECT x FROM a", kNone},
    {"SELECT * FROM f(1) g(x)", kFunction},
    {"SELECT x::numeric(10, 2), CAST(y AS varchar(10)) FROM t", kNone, kReads},
    {"WITH a (x) AS (SELECT 1), b(y) AS (SELECT 2) SELECT * FROM a, b", kNone, kReads},
    {"WITH a AS (SELECT 1) SELECT f(1) FROM a", kFunction},
    {"WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t) SELECT sum(n) FROM t",
     kNone, kReads},
    {"WITH x AS (INSERT INTO t(a) VALUES (1) RETURNING a) SELECT a FROM x", kNone, kWrites},
    {"WITH x AS (DELETE FROM t RETURNING a) SELECT a FROM x", kNone},
    {"SELECT 1 FOR UPDATE", kNone},
    {"SELECT a INTO TEMP b FROM c", kTemporaryObject, kDdl},
    {"SELECT a INTO b FROM c", kNone, kDdl},
    {"SELECT 1into temp x", kTemporaryObject, kDdl},
    {"CREATE TEMP TABLE t (a int)", kTemporaryObject, kDdl},
    {"CREATE LOCAL TEMPORARY TABLE t (a int)", kTemporaryObject, kDdl},
    {"CREATE OR REPLACE TEMP VIEW v AS SELECT 1", kTemporaryObject, kDdl},
    {"CREATE TABLE pg_temp.t (a int)", kTemporaryObject, kDdl},
    {"SELECT * FROM pg_temp_3.t", kTemporaryObject},
    {"CREATE TABLE t (id serial primary key, x varchar(20) default now(), check (length(x) > 2))",
     kNone, kDdl},
    {"CREATE TABLE temp (a int)", kNone, kDdl},
    {"CREATE TABLE t AS SELECT f(1)", kFunction, kDdl},
    {"CREATE TABLE t AS EXECUTE x", kNone, kDdl | kWrites | kNames | kRuns},
    {"CREATE INDEX i ON t (lower(a))", kNone, kDdl},
    {"ALTER TABLE t ADD COLUMN b int; DROP TABLE u", kNone, kDdl},
    {"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SET x = 1; SELECT 1 $$", kNone, kDdl},
    {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; "
     "END; SET a = 1",
     kNone, kDdl | kSets},
    {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 1", kNone, kDdl},
    {"PREPARE p AS SELECT 1", kNone, kNames},
    {"PREPARE \"p\" AS SELECT 1", kNone, kNames},
    {"PREPARE \"transaction\" AS SELECT 1", kNone, kNames},
    {"EXECUTE p", kNone, kWrites | kNames | kRuns},
    {"EXECUTE p(set_config('a', 'b', false))", kNone, kWrites | kSets | kNames | kRuns},
    {"EXPLAIN EXECUTE p", kNone, kWrites | kNames | kRuns},
    {"EXPLAIN EXECUTE p(1)", kNone, kWrites | kNames | kRuns},
    {"EXPLAIN ANALYZE VERBOSE EXECUTE p(1)", kNone, kWrites | kNames | kRuns},
    {"EXPLAIN (ANALYZE, COSTS off) EXECUTE p(f(1))", kFunction, kWrites | kNames | kRuns},
    {"EXPLAIN SELECT execute(1)", kFunction, kWrites | kNames | kRuns},
    {"EXPLAIN (SELECT execute(1))", kFunction, kWrites | kNames | kRuns},
    {"SELECT count(*) FROM pg_prepared_statements", kNone, kReads | Verdict::kReadsStatements},
    {"SELECT * FROM pg_catalog.\"pg_prepared_statements\"", kNone,
     kReads | Verdict::kReadsStatements},
    {"EXPLAIN (ANALYZE, COSTS off) SELECT f(1)", kFunction},
    {"EXPLAIN ANALYZE INSERT INTO t(a) VALUES (1)", kNone, kWrites},
    {"DEALLOCATE p", kNone, Verdict::kDeallocate | kNames},
    {"DEALLOCATE \"p\"", kNone, Verdict::kDeallocate | kNames},
    {"DEALLOCATE PREPARE p", kNone, Verdict::kDeallocate | kNames},
    {"DEALLOCATE \"all\"", kNone, Verdict::kDeallocate | kNames},
    {"DEALLOCATE PREPARE \"all\"", kNone, Verdict::kDeallocate | kNames},
    {"DEALLOCATE ALL", kNone, Verdict::kDropsStatements},
    {"DEALLOCATE PREPARE ALL", kNone, Verdict::kDropsStatements | kNames},
    {"DISCARD ALL", kNone,
     Verdict::kDropsStatements | Verdict::kDropsSequences | Verdict::kResets | kSets},
    {"DISCARD SEQUENCES", kNone, Verdict::kDropsSequences},
    {"DECLARE c CURSOR FOR SELECT 1", kNone},
    {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", kHoldCursor},
    {"DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", kNone},
    {"FETCH 3 FROM c; MOVE 1 IN c; CLOSE c; CLOSE ALL", kNone},
    {"LISTEN x", kListen},
    {"NOTIFY x, 'y'; UNLISTEN *", kNone},
    {"LOAD 'x'", kLoad},
    {"DO $$ begin perform 1; end $$", kOpaque},
    {"CALL p(1)", kOpaque},
    {"COPY t (a, b) FROM STDIN", kNone, kWrites},
    {"COPY t (a, b) FROM STDIN (FORMAT csv, FORCE_NULL (a))", kNone, kWrites},
    {"COPY \"t\"(\"a\") FROM STDIN (FORMAT binary)", kNone, kWrites},
    {"COPY t FROM STDIN WHERE f(1)", kFunction, kWrites},
    {"COPY t (a) FROM STDIN (FORMAT csv) WHERE f(1)", kFunction, kWrites},
    {"COPY t (a) FROM STDIN WITH (FORMAT csv) WHERE lower(a) = 'x'", kNone, kWrites},
    {"COPY t (a) TO STDOUT (FORMAT csv, FORCE_QUOTE (a))", kNone},
    {"COPY (SELECT f(1)) TO STDOUT", kFunction},
    {"COPY (SELECT a FROM t) TO STDOUT (FORMAT csv)", kNone},
    {"COPY (INSERT INTO t(a) VALUES (1) RETURNING a) TO STDOUT", kNone, kWrites},
    {"COPY (SELECT a FROM f(1)) TO STDOUT (FORMAT csv)", kFunction},
    {"COPY t TO STDOUT WITH (FORMAT csv)", kNone},
    {"VACUUM (ANALYZE) t; ANALYZE t; CLUSTER; CHECKPOINT", kNone},
    {"TRUNCATE t; LOCK TABLE t IN EXCLUSIVE MODE; COMMENT ON TABLE t IS 'x'", kNone},
    {"FROBNICATE", kUnknownStatement},
    // Quoting and comments.
    {"SELECT 'SET x = 1'", kNone, kReads},
    {"SELECT 'it''s; SET x = 1'", kNone, kReads},
    {"SELECT E'\\'; SET x = 1 --'", kNone, kReads},
    {"SELECT '\\'; SET x = 1 --'", kNone, kSets},
    {"SELECT $$ ; SET x = 1 $$", kNone, kReads},
    {"SELECT $a$ $$ ; SET x = 1 $b$ $a$", kNone, kReads},
    {"SELECT $1, $2::text", kNone, kReads},
    {"SELECT a$b$ FROM t; SET x = 1; SELECT a$b$", kNone, kSets},
    {"-- SET x = 1\nSELECT 1", kNone, kReads},
    {"/* /* */ SET x = 1; */ SELECT 1", kNone, kReads},
    {"/* */ SET x = 1", kNone, kSets},
    {"SELECT 1 --x\n; SET x = 1", kNone, kSets},
    {"SELECT 4 */* c */ 2", kNone, kReads},
    {"SELECT \"a;SET\" FROM t", kNone, kReads},
    {"SELECT 'a'\n'; SET x = 1'", kNone, kReads},
    {"SELECT E'a'\n'\\'; SET x = 1 --'", kNone, kReads},
    // A comment to the end of the line is white space within a string that goes on.
    {"SELECT E'a' -- c\n -- d\n'\\'; SET x = 1 --'", kNone, kReads},
    {"SELECT E'a' --\n'\\'' FOR UPDATE --'", kNone},
    {"SELECT E'a' -- c\n, '\\' FOR UPDATE --'", kNone},
    {"SELECT 'a' -- c\n'\\' FOR UPDATE --'", kNone},
    {"SELECT U&\"\\0073et_config\"('a', 'b', false)", kFunction},
    {"SELECT U&\"\\0061\" FROM t", kUnreadable},
    // What drivers send.
    {"select version()", kNone, kReads},
    {"SELECT current_schema(), pg_backend_pid()", kNone, kReads},
    {"SELECT t.oid, typarray FROM pg_type t WHERE typname = ANY($1) ORDER BY t.oid", kNone, kReads},
    {"SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' "
     "COLLATE "
     "pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid)",
     kNone, kReads},
    {"SELECT a FROM t ORDER BY a USING OPERATOR(pg_catalog.<), b OPERATOR(public.!~~*) (c)", kNone,
     kReads},
    {"SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;", kNone,
     Verdict::kResets | kSets},
};

void ExpectSame(const Case& each, const Verdict& verdict, const std::string& how) {
  EXPECT_EQ(verdict.pin, each.pin) << each.text << how;
  EXPECT_EQ(verdict.flags, each.flags) << each.text << how;
}

// What may be sent behind the reads of others.
const char* const kJoins[] = {
    "SELECT abalance FROM pgbench_accounts WHERE aid = $1",
    "(SELECT 1)",
    "((SELECT 1) UNION ALL (SELECT 2)) ORDER BY 1 LIMIT 1",
    "TABLE t",
    "TABLE ONLY s.t ORDER BY a",
    "VALUES (1, 'a'), (2, 'b')",
    "WITH a AS (SELECT 1), b AS (TABLE a) SELECT * FROM a, b",
    "WITH RECURSIVE a(n) AS (VALUES (1) UNION SELECT n + 1 FROM a) TABLE a",
    ";; SELECT 1;;",
    "/* FOR UPDATE */ SELECT 1 -- FOR UPDATE",
    "SELECT 'FOR UPDATE', $$ INTO t $$, E'\\' FOR UPDATE', \"for\", \"into\" FROM t",
    "SELECT $for$ FOR UPDATE $for$",
    "SELECT t.for, t.into, t.update FROM t",
    "SELECT a AS \"FOR\" FROM \"insert\" WHERE \"delete\" = 1",
    "SELECT formula, information, updates FROM forms",
    "SELECT pg_backend_pid(), current_setting('a.b', true), now(), random(), version()",
    "SELECT pg_try_advisory_lock FROM t",
    "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace",
    "SELECT name, setting FROM pg_settings",
    "SELECT count(*) FROM pg_stat_activity",
    "SELECT a OPERATOR(pg_catalog.=) 1 FROM t",
    "SELECT a FROM t TABLESAMPLE system (1) REPEATABLE (2)",
    "SELECT x::numeric(10, 2), CASE WHEN a THEN b END FROM t",
    "SELECT lower(a), count(*) FROM t GROUP BY ROLLUP (1) HAVING max(b) > 2",
    "SELECT EXISTS (SELECT FROM t WHERE a = ANY ($1) AND b IN (1, 2) AND c LIKE 'x%')",
    "SELECT a -> 'b', a ->> 'c', a #> '{d}' FROM t",
};

TEST(SqlScanTest, WhatMayJoin) {
  for (const char* text : kJoins) EXPECT_TRUE(MayJoin(Scan(text, {}))) << text;
}

const char* const kJoinsNot[] = {
    "",
    ";",
    "SELECT 1; SELECT 2",
    "SELECT 1; COMMIT",
    "BEGIN; SELECT 1",
    "SHOW search_path",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "EXECUTE p",
    "PREPARE p AS SELECT 1",
    "DECLARE c CURSOR FOR SELECT 1",
    "FETCH c",
    "COPY t TO STDOUT",
    "COPY (SELECT 1) TO STDOUT",
    "CALL p()",
    "DO 'BEGIN END'",
    "NOTIFY a",
    "LOCK t",
    "INSERT INTO t VALUES (1)",
    "UPDATE t SET a = 1",
    "DELETE FROM t",
    "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
    "CREATE TABLE t AS SELECT 1",
    "REFRESH MATERIALIZED VIEW v",
    "VACUUM",
    // Rows are locked, at any depth.
    "SELECT * FROM t FOR UPDATE",
    "SELECT * FROM t FOR/**/UPDATE",
    "SELECT * FROM t\nfor\nshare",
    "SELECT * FROM t FOR NO KEY UPDATE OF t NOWAIT",
    "SELECT * FROM t FOR KEY SHARE SKIP LOCKED",
    "TABLE t FOR UPDATE",
    "(SELECT * FROM t FOR UPDATE)",
    "SELECT (SELECT a FROM t LIMIT 1 FOR SHARE)",
    "WITH a AS (SELECT * FROM t FOR UPDATE) SELECT * FROM a",
    "SELECT 1FOR UPDATE",
    "SELECT .5for update",
    "SELECT $1FOR UPDATE",
    "SELECT 'a'FOR UPDATE",
    "SELECT \"a\"for update",
    "SELECT a.*FOR UPDATE",
    "SELECT $$a$$FOR UPDATE",
    "SELECT a[1]for update",
    "SELECT * FROM t -- x\rFOR UPDATE",
    "SELECT * FROM t /* /* */ */ FOR UPDATE",
    "SELECT 4 */* c */ 2 FOR UPDATE",
    "SELECT '\\' FOR UPDATE --'",
    "SELECT E'\\\\' FOR UPDATE --'",
    "SELECT $a$ $b$ $a$ FOR UPDATE --$b$",
    "SELECT a$b$ FROM t FOR UPDATE --$b$",
    // What else writes.
    "SELECT 1 INTO t",
    "SELECT a INTO TEMP t FROM u",
    "SELECT a INTO UNLOGGED t FROM u",
    "WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a",
    "WITH a AS (UPDATE t SET b = 1 RETURNING *) SELECT * FROM a",
    "WITH a AS (SELECT 1), b AS (DELETE FROM t RETURNING *) SELECT * FROM b",
    "WITH a AS (MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE) SELECT 1",
    "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
    "(WITH a AS (DELETE FROM t RETURNING *) TABLE a)",
    // A keyword as a name counts as what it looks like.
    "SELECT a AS for FROM t",
    "SELECT substring(a FROM 1 FOR 2) FROM t",
    // Functions that do something, or that nobody knows.
    "SELECT f(1)",
    "SELECT s.lower('A')",
    "SELECT * FROM f(1)",
    "SELECT nextval('s')",
    "SELECT currval('s')",
    "SELECT lastval()",
    "SELECT setval('s', 1)",
    "SELECT set_config('a.b', 'c', true)",
    "SELECT setseed(0.5)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_try_advisory_xact_lock_shared(1)",
    "SELECT pg_advisory_unlock(1)",
    "SELECT pg_advisory_unlock_all()",
    "SELECT pg_notify('a', 'b')",
    "SELECT \"pg_notify\"('a', 'b')",
    "SELECT pg_catalog . pg_notify('a', 'b')",
    "SELECT pg_sleep(1)",
    "SELECT pg_sleep_for('1 s')",
    "SELECT pg_sleep_until(now())",
    "SELECT pg_cancel_backend(1)",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    "SELECT pg_reload_conf()",
    "SELECT pg_switch_wal()",
    "SELECT pg_stat_reset()",
    "SELECT pg_stat_reset_shared('wal')",
    "SELECT txid_current()",
    "SELECT pg_current_xact_id()",
    "SELECT pg_export_snapshot()",
    "SELECT lo_create(0)",
    "SELECT lo_get(1)",
    "SELECT loread(0, 1)",
    "SELECT dblink('', 'SELECT 1')",
    "SELECT query_to_xml('SELECT 1', true, true, '')",
    "SELECT * FROM ts_stat('SELECT 1')",
    // The session's own.
    "SELECT * FROM pg_prepared_statements",
    "SELECT * FROM pg_catalog.pg_cursors",
    "SELECT * FROM pg_cursor()",
    "SELECT * FROM pg_temp.t",
    "SELECT U&\"\\0061\" FROM t",
};

TEST(SqlScanTest, WhatMayNotJoin) {
  for (const char* text : kJoinsNot) EXPECT_FALSE(MayJoin(Scan(text, {}))) << text;
}

TEST(SqlScanTest, VerdictsOfTexts) {
  for (const Case& each : kCases) ExpectSame(each, Scan(each.text, {}), "");
}

// Where it is executed, only its name stands in the text.
TEST(SqlScanTest, WhatAStatementByNameDoesIsSeenWhenItIsPrepared) {
  const std::pair<const char*, PinSet> cases[] = {
      {"PREPARE p AS SELECT lower('x'), nextval('s')", 0},
      {"PREPARE p (numeric(3, 1), box(2)) AS INSERT INTO t (a, b) VALUES ($1, $2)", 0},
      {"PREPARE p AS WITH x (a) AS (SELECT 1), y (b) AS (SELECT 2) SELECT * FROM x, y", 0},
      {"PREPARE p AS SELECT f(1)", Only(kFunction)},
      {"PREPARE p AS SELECT set_config('a', 'b', false)", Only(kFunction)},
      {"PREPARE p (int) AS (SELECT set_config('a', 'b', false))", Only(kFunction)},
      {"PREPARE p AS SELECT 1 AS with, pg_advisory_lock(1)", Only(kFunction)},
      {"PREPARE p AS UPDATE t SET a = setseed(1)", Only(kSeed)},
      {"PREPARE p AS SELECT 1; SELECT pg_advisory_lock(1)", Only(kAdvisoryLock)},
      {"EXECUTE p(1, lower('x'))", 0},
      {"EXECUTE p(f(1))", Only(kFunction)},
      {"CREATE TABLE t AS EXECUTE p(pg_advisory_lock(1))", Only(kAdvisoryLock)},
  };
  for (const auto& [text, pins] : cases) EXPECT_EQ(Scan(text, {}).pins, pins) << text;
}

TEST(SqlScanTest, EverySplitGivesTheSame) {
  for (const Case& each : kCases) {
    const std::string_view text = each.text;
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      SqlScanner scanner;
      scanner.Begin({});
      scanner.Feed(engine::AsBytes(text.substr(0, cut)));
      scanner.Feed(engine::AsBytes(text.substr(cut)));
      ExpectSame(each, scanner.Finish(), " cut at " + std::to_string(cut));
    }
  }
}

TEST(SqlScanTest, WithoutStandardStringsABackslashEscapes) {
  EXPECT_EQ(Scan("SELECT '\\'; SET x = 1 --'", {.standard_conforming_strings = false}).flags,
            kReads);
  EXPECT_EQ(Scan("SELECT 'a\\\\'; SET x = 1", {.standard_conforming_strings = false}).flags, kSets);
}

TEST(SqlScanTest, AnEncodingThatEndsInAsciiIsNotRead) {
  EXPECT_EQ(Scan("SELECT '\x83\x5c'; SELECT 1", {.ascii_trailing_bytes = true}).pin, kUnreadable);
  EXPECT_EQ(Scan("SELECT E'\\\x83\\'; SET a = 1; --'", {.ascii_trailing_bytes = true}).pin,
            kUnreadable);
  EXPECT_EQ(Scan("SELECT 'plain'", {.ascii_trailing_bytes = true}).pin, kNone);
}

TEST(SqlScanTest, Digests) {
  EXPECT_EQ(Digest("SET search_path TO a, 'b',c", {}), "set search_path to $1,$2,$3");
  EXPECT_EQ(Digest("SELECT set_config('x', 'secret', false)", {}),
            "select set_config ($1,$2,false)");
  EXPECT_EQ(Digest("SELECT 1 WHERE a = 'x'", {}), "select $1 where a = $2");
  EXPECT_LE(Digest("SELECT " + std::string(100000, 'x'), {}).size(), 1100u);
}

TEST(SqlScanTest, DeallocatedNames) {
  EXPECT_EQ(DeallocatedName("DEALLOCATE foo", {}), "foo");
  EXPECT_EQ(DeallocatedName("deallocate prepare \"Bar\";", {}), "Bar");
  EXPECT_EQ(DeallocatedName("DEALLOCATE 1 foo", {}), "");
  EXPECT_EQ(DeallocatedName("DEALLOCATE foo 'a'", {}), "");
}

}  // namespace
}  // namespace weir::postgres
