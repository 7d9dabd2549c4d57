"""Statements that read and change what a session is made of. Each is (text, effects); effects as in differential_script.py.

Scripts run in the world of WORLD, which is made anew for every run. No statement ever waits for another client's: what is
locked, made or changed under a name is the client's own (its number is in the name).
"""

import re

# What exists in every kind of script. Roles belong to the whole server.
ROLES = "create role reader; create role writer; grant reader to writer"
WORLD = """
drop schema if exists play, annex, "odd, name" cascade;
create schema play; create schema annex; create schema "odd, name";
create table play.items (id int generated always as identity, owner int, note text);
create table annex.items (id int, owner int, note text);
insert into annex.items values (1, -1, 'annex');
create table "odd, name".items (id int, owner int, note text);
insert into "odd, name".items values (1, -2, 'odd'), (2, -2, 'odd');
create table play.strict (id int primary key, parent int references play.strict deferrable initially deferred);
create sequence play.numbers;
create function play.twice(int) returns int language sql as 'select $1 * 2';
create procedure play.work(text) language plpgsql as $$ begin perform set_config('work_mem', $1, false); end $$;
create function play.quiet(text) returns text language plpgsql as $$ begin return set_config('work_mem', $1, false); end $$;
create function play.within(text) returns text language sql set work_mem = '2MB' as $$ select current_setting('work_mem') || $1 $$;
create function play.passing(text) returns text language sql as $$ select set_config('work_mem', $1, true) $$;
create function play.act_as(text) returns text language sql as $$ select set_config('role', $1, false) $$;
create function play.scratch() returns void language plpgsql as $$ begin create temp table tt1 (a int, b text); end $$;
create function play.take(bigint) returns void language sql as $$ select pg_advisory_lock($1) $$;
create function play.hear(text) returns void language plpgsql as $$ begin execute 'listen ' || $1; end $$;
create function play.count_up() returns bigint language sql as $$ select nextval('play.numbers') $$;
create function play.keep(text) returns void language plpgsql as $$ begin execute 'prepare p1 as ' || $1; end $$;
grant usage on schema play, annex to reader, writer;
grant select on play.items, annex.items to reader, writer;
grant insert on play.items to writer;
"""
# What changes the session without a word of it in the statements that reach it.
OPAQUE_WORLD = """
create table play.watched (id int, stamp text default play.quiet('6MB'));
create function play.notes() returns trigger language plpgsql as
  $$ begin perform set_config('search_path', 'annex, play', false); return new; end $$;
create trigger notes before insert on play.items for each row when (new.note = 'watched') execute function play.notes();
create view play.seen as select play.quiet('7MB') as was;
create function play.lower(int) returns text language sql as $$ select set_config('extra_float_digits', '0', false) $$;
"""

SETTINGS = {   # name -> values as SET takes them
    "search_path": ["play", "annex", "annex, play", '"odd, name", play', "play, pg_temp", '""', "'play,annex'", "'play', 'annex'",
                    '"$user", annex, play', "nosuch, play"],
    "timezone": ["'UTC'", "'Europe/Berlin'", "-7", "'<+05>-05'", "5.5"],
    "datestyle": ["'ISO, DMY'", "german", "sql, mdy", "'postgres'", "iso, ymd"],
    "intervalstyle": ["iso_8601", "'postgres_verbose'", "sql_standard"],
    "application_name": ["'it''s'", "'a, b \"c\"'", "''", "'ünï'", "e'tab\\there'", "web", "'  spaced  '"],
    "work_mem": ["'5MB'", "'1234kB'", "4096", "'1GB'"],
    "statement_timeout": ["0", "'10min'", "300000"],
    "lock_timeout": ["0", "'10min'"],
    "idle_in_transaction_session_timeout": ["'10min'", "0"],
    "extra_float_digits": ["0", "-3", "3"],
    "bytea_output": ["hex", "escape"],
    "standard_conforming_strings": ["on", "off"],
    "client_encoding": ["'UTF8'", "latin1", "'SQL_ASCII'", "sjis"],
    "client_min_messages": ["warning", "notice", "error"],
    "default_transaction_isolation": ["'repeatable read'", "'read committed'"],
    "default_transaction_read_only": ["on", "off"],
    "enable_seqscan": ["on", "off"],
    "row_security": ["on", "off"],
    "transform_null_equals": ["on", "off"],
    "array_nulls": ["on", "off"],
    "xmloption": ["document", "content"],
    "session_replication_role": ["replica", "origin"],
    "log_min_duration_statement": ["-1", "'1h'"],
    "default_text_search_config": ["'pg_catalog.simple'", "'english'"],
    "plan_cache_mode": ["force_generic_plan", "auto"],
    "app.tenant": ["'t1'", "'it''s'", "'a, b'", "t2", "42", "''", "'  spaced  '"],
    "app.user": ["'u1'", "u2", "'\"quoted\"'"],
}
SPECIAL_SETTINGS = [
    "set time zone 'America/New_York'", "set time zone interval '-08:00' hour to minute", "set time zone local",
    "set names 'latin1'", "set names default", "set session characteristics as transaction read only",
    "set session characteristics as transaction isolation level repeatable read", "set xml option document",
    "set local time zone 'Asia/Tokyo'", "select 'x\\'; set work_mem = '7MB'; select '1'", "set schema 'annex'",
    "set work_mem = '7MB'; set local work_mem = '8MB'", "set local work_mem = '7MB'; set work_mem = '8MB'",
    "select set_config('work_mem', '9MB', false), set_config('app.user', 'u3', false)"]
UNTOLD_SETTINGS = [   # the text does not tell the name, or not to a reader that reads one call at a time
    "select set_config(lower('WORK_MEM'), '6MB', false)", "select set_config(name, :value, false) from pg_settings where name = ':name'",
    "select set_config(':name', current_setting(':name', true), false), set_config('work_mem', '9MB', false)",
    "select set_config(setting_name => 'work_mem', new_value => '3MB', is_local => false)"]
WRONG_SETTINGS = ["work_mem = 'much'", "nosuch = 1", "port = 1", "log_connections = on", "timezone = 'Mars/Phobos'", "work_mem = '1'",
                  "app.tenant. = 1", "client_encoding = 'klingon'", "datestyle = 'iso, nosuch'", "server_version = '1'",
                  "extra_float_digits = 99", "role = nosuch", "search_path = play, 1, 'x'"]
CUSTOM = [name for name in SETTINGS if "." in name]
# What decides how texts are lexed, and how literals are read.
SHAPES_LEXING = re.compile(r"standard_conforming|client_encoding|names|(reset|discard) all|set_config\((?!')", re.I)
SHAPES_LITERALS = re.compile(r"time ?zone|datestyle|intervalstyle|xml|transform_null|array_nulls|(reset|discard) all|set_config\((?!')", re.I)
PROBE_NAME = "select :all_settings"   # in scripts, for the whole of
PROBE = "select concat_ws('|', current_user, session_user, " + ", ".join(
    f"current_setting('{name}')" for name in SETTINGS if name not in CUSTOM) + ")"
LEFT_BEHIND = [   # what a session has beside its settings
    "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
    "select * from pg_listening_channels() order by 1",
    "select name, statement from pg_prepared_statements where from_sql order by 1",
    "select name, is_holdable from pg_cursors where name <> '' order by 1",
    "select relname from pg_class where relnamespace = pg_my_temp_schema() and relkind in ('r', 'v', 'S') order by 1",
]
READS = ["select 1", "select count(*), min(owner) from items", "select '1.1'::float8 / 3, date '2026-02-01', interval '90 minutes'",
         "select timestamptz '2026-02-01 12:00+00', '\\x6162'::bytea", "select null = null, array['a', null]::text[]",
         "select current_user, session_user", "select current_schema(), current_schemas(true)", "show transaction_isolation",
         "show transaction_read_only", "values (1, 'a'), (2, 'b')", "", "select n from generate_series(1, 5) n",
         "select count(*) from tt0", "select count(*) from strict", "select 'it\\'", "table items", "explain (costs off) select 1",
         "copy (select 1, 'a') to stdout", "select pg_notify('ch0', 'by function')", "show search_path", "show app.user"]
ERRORS = ["select 1/0", "select * from nosuch", "select 'a'::int", "select $1", "select items.nosuch from items",
          "create table items (", "drop table nosuch", "close nosuch",
          "fetch 1 from nosuch", "deallocate nosuch", "release nosuch", "rollback to nosuch",
          "select 'open", "vacuum nosuch", "create database nosuch template nosuch2", "select repeat('x', -1)::int",
          "set constraints nosuch deferred", "alter table nosuch add a int", "select 1; select 1/0; select 3",
          "select set_config('nosuch', 'x', false)", "set work_mem = '9MB'; select 1/0", "set app.user = 'never'; select nosuch; select 2"]
ERRORS_OF_WHAT_PINS = [("selec", ["unknown"]), ("execute nosuch", ["prepare"]), ("select nosuch()", ["call"]),
                          ("insert into strict values (null)", ["sequence"])]


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def settings(chance, number):
    text = setting(chance)
    return text, ["untracked"] if any(text.startswith(each.split(":")[0]) for each in UNTOLD_SETTINGS) else []


def setting(chance):
    name = chance.choice(list(SETTINGS) + CUSTOM * 2 + ["search_path", "application_name", "timezone"])
    value = chance.choice(SETTINGS[name])
    raw = value.strip("'").replace("''", "'") if not value.startswith("e'") and value.count("'") in (0, 2, 4) else "utc"
    kind = chance.randrange(14)
    if kind < 4:
        return f"set {chance.choice(['', 'session '])}{name} {chance.choice(['=', 'to'])} {value}"
    if kind < 6:
        return f"set local {name} = {value}"
    if kind < 9:
        is_local = chance.choice(["true", "false", "false"])
        return f"select set_config('{name}', {chance.choice([literal(raw), literal(raw), literal(raw), 'null'])}, {is_local})"
    if kind == 9:
        return chance.choice([f"set {name} to default", f"SET SESSION {name} TO DEFAULT", f"set local {name} to default"])
    if kind == 10:
        return chance.choice(SPECIAL_SETTINGS).replace(":name", name)
    if kind == 11:
        text = chance.choice(UNTOLD_SETTINGS).replace(":value", literal(raw))
        return text.replace(":name", name)
    if kind == 12:
        return "set " + chance.choice(["", "local "]) + chance.choice(WRONG_SETTINGS)
    return chance.choice([f"reset {name}", f"reset {name}", "reset all", "reset time zone", "reset nosuch",
                          "reset session authorization"])


def setting_reads(chance, number):
    name = chance.choice(list(SETTINGS))
    return chance.choice([f"show {name}", f"select current_setting('{name}')", f"select current_setting('{name}', true)",
                          f"select current_setting('{chance.choice(CUSTOM)}', true)", "show time zone", "show session authorization",
                          "select setting, unit, source from pg_settings where name = 'work_mem'"]), []


def roles(chance, number):
    role = chance.choice(["reader", "writer", "app", "none", "nosuch", "'reader'"])
    return chance.choice([
        f"set role {role}", f"set role {role}", f"set local role {role}", "reset role",
        f"set session authorization {chance.choice(['reader', 'writer', 'app', 'default'])}",
        f"set local session authorization {chance.choice(['reader', 'writer'])}", "reset session authorization",
        f"select set_config('role', {chance.choice(['null', literal('reader')])}, false)",
        "select current_user, session_user, current_setting('role')", "select count(*) from strict"]), []


PREPARED_TEXTS = ["select 1", "select $1::int + 1", "select count(*) from items where owner = $1", "select current_setting('search_path')",
                  "insert into items (owner, note) values ($1, 'p')", "select n from generate_series(1, $1) n", "select nosuch",
                  "select current_user, '1.1'::float8 / 3", "select set_config('work_mem', '10MB', false)", "select nextval('numbers')",
                  "select set_config('app.user', $1, false)", "select pg_advisory_lock(77)", "select pg_notify('ch0', $1)"]


def changes(text):
    """What is in a statement by name may change the session when it is executed."""
    return ["call"] if "set_config" in text or "advisory" in text else []


def prepared(chance, number):
    name = chance.choice(["p0", "p1", "p2", '"P x"'])
    text = chance.choice([*PREPARED_TEXTS, f"select {number}"]).replace("77", str(100 + number))
    values = chance.choice(["", "(1)", "(2)", "('x')", "(1, 2)", "(set_config('work_mem', '11MB', false))"])
    return chance.choice([
        (f"prepare {name} as {text}", ["prepare", *changes(text)]), (f"prepare {name} (int) as {text}", ["prepare", *changes(text)]),
        (f"execute {name}{values}", ["prepare", "sequence", *changes(values)]), (f"execute {name}(1)", ["prepare", "sequence"]),
        (f"explain (costs off) execute {name}{values}", ["prepare", "call"]),   # taken for a call
        (f"deallocate {name}", []), (f"deallocate prepare {name}", []), ("deallocate s1", []), ("deallocate all", []),
        (f"create temp table made as execute {name}{values}", ["prepare", "temporary", *changes(values)]), ("deallocate prepare all", [])])


def temporary(chance, number):
    name = chance.choice(["tt0", "tt1"])
    return chance.choice([
        (f"create temp table {name} (a int, b text){chance.choice(['', ' on commit drop', ' on commit delete rows'])}", ["temporary"]),
        (f"create temporary table if not exists {name} as select 1 as a, 'x'::text as b", ["temporary"]),
        ("create temp table items (id int, owner int, note text)", ["temporary"]), (f"select 1 as a into temp {name}", ["temporary"]),
        (f"create temp view tv as select {number} as a", ["temporary"]), ("create temp sequence numbers", ["temporary"]),
        (f"create table pg_temp.{name} (a int)", ["temporary"]), ("drop table pg_temp.items", ["temporary"]),
        (f"drop table {name}", []), (f"insert into {name} values ({number})", ["sequence"]), (f"select count(*) from {name}", []),
        ("select * from tv", []), ("drop view tv", []), ("discard temp", []), (f"alter table {name} add c int", [])])


def cursors(chance, number):
    name = chance.choice(["c0", "c1", '"C x"'])
    scroll = chance.choice(["", "scroll ", "no scroll "])
    return chance.choice([
        (f"declare {name} {scroll}cursor for select n + {number} from generate_series(1, 5) n", []),
        (f"declare {name} {scroll}cursor with hold for select n + {number} from generate_series(1, 5) n", ["hold"]),
        (f"fetch {chance.choice(['', '2', 'all', 'backward 1', 'last'])} from {name}", []), (f"fetch 2 from {name}", []),
        (f"move 1 in {name}", []), (f"close {name}", []), ("close all", [])])


def own_locks(chance, number):
    key = 100 + number
    return chance.choice([
        (f"select pg_advisory_lock({key})", ["lock"]), (f"select pg_advisory_xact_lock({key})", []), (f"select pg_advisory_unlock({key})", ["lock"]),
        ("select pg_advisory_unlock_all()", []), (f"select pg_advisory_lock_shared(7, {number})", ["lock"]), (LEFT_BEHIND[0], [])])


def shared_lock(chance, key):
    """Who gets it depends on all clients; once one that may have it has gone, nobody tries it again."""
    return chance.choice([
        (f"select pg_try_advisory_lock({key})", ["lock"]), (f"select pg_try_advisory_lock_shared({key})", ["lock"]),
        (f"select pg_try_advisory_xact_lock({key})", []), (f"select pg_advisory_unlock({key})", ["lock"]),
        (f"select pg_advisory_unlock_shared({key})", ["lock"])])


def notifications(chance, number):
    name = chance.choice(["ch0", "ch1", '"Ch x"'])
    return chance.choice([(f"listen {name}", ["listen"]), (f"unlisten {name}", []), ("unlisten *", []),
                          (f"notify {name}, 'from {number}'", []), (f"notify {name}", []), (LEFT_BEHIND[1], [])])


def sequences(chance, number):
    return chance.choice([
        ("select nextval('numbers')", ["sequence"]), ("select nextval('play.numbers') from generate_series(1, 2)", ["sequence"]),
        (f"insert into items (owner, note) values ({number}, 'i') returning id", ["sequence"]), ("discard sequences", []),
        (f"select setval('numbers', {100 + number})", ["sequence"])])


def sequence_reads(chance, number):
    return chance.choice(["select currval('numbers')", "select lastval()", "select currval('items_id_seq')",
                          "select currval(pg_get_serial_sequence('play.items', 'id'))"]), ["sequence"]


def writes(chance, number):
    own = f"own_{number}"
    key = number * 100 + chance.randrange(4)
    return chance.choice([
        (f"insert into items (owner, note) values ({number}, 'w'), ({number}, null)", ["sequence"]),
        (f"update items set note = 'u' where owner = {number}", []), (f"delete from items where owner = {number} and note is null", []),
        (f"insert into strict values ({key}, {key + chance.randrange(2)})", ["sequence"]), (f"delete from strict where id = {key}", []),
        (f"create table {own} (a int)", []), (f"create table {own} as select 1 as a, 2 as b", []), (f"drop table if exists {own}", []),
        (f"alter table {own} add c int default 3", []), (f"select * from {own}", []), (f"insert into {own} values (1)", ["sequence"]),
        (f"select count(*) from (select 1 from items where owner = {number} for update) q", [])])


def calls(chance, number):
    return chance.choice([
        "do $$ begin perform set_config('work_mem', '3MB', false); end $$", "call work('8MB')", "select twice(4)", "select quiet('11MB')",
        "do $$ begin execute 'set search_path = annex'; end $$", "do $$ begin raise notice 'a notice'; end $$",
        "do $$ begin raise exception 'no' using errcode = 'P1234'; end $$", "do $$ begin create temp table tt0 (a int, b text); end $$",
        "do $$ begin execute 'prepare p0 as select 77'; end $$", "call nosuch()", "do $$ begin execute 'listen ch1'; end $$",
        f"do $$ begin perform pg_advisory_lock({100 + number}); end $$", "select within('!')", "select passing('12MB')",
        "select act_as('reader')", "select scratch()", f"select take({100 + number})", "select hear('ch0')", "select count_up()",
        "select keep('select 78')", "select play.quiet('13MB') from generate_series(1, 2)"]), ["call"]


def opaque(chance, number):
    return chance.choice([f"insert into items (owner, note) values ({number}, 'watched')", "select * from seen", "insert into watched values (1)",
                          "select lower(1)"]), ["sequence"]


def savepoints(chance, number):
    name = chance.choice(["a", "b"])
    return chance.choice([f"savepoint {name}", f"savepoint {name}", f"rollback to {name}", f"rollback to savepoint {name}", f"release {name}"]), []


BEGINS = ["begin", "begin", "begin isolation level repeatable read", "begin read only", "start transaction", "begin work"]
ENDS = ["commit", "commit", "commit", "rollback", "rollback", "end", "abort"]
CHAINS = ["commit and chain", "rollback and chain"]
IN_TRANSACTION = ["set transaction isolation level repeatable read", "set transaction read only", "set constraints all deferred",
                  "set constraints all immediate", "begin", "show transaction_isolation", "lock table annex.items in access share mode"]
def visit(chance, number):
    """What a client makes, uses and takes away again: steps, one after another."""
    text = chance.choice(PREPARED_TEXTS).replace("77", str(100 + number))
    value = "(1)" if "$1" in text else ""
    return chance.choice([
        [(f"prepare v as {text}", ["prepare", *changes(text)]), (f"execute v{value}", ["sequence"]), ("deallocate v", ["no prepare"])],
        [("prepare v as select 1", ["prepare"]), ("execute v", ["sequence"]), ("deallocate v", ["no prepare"])],
        [("create temp table vt (a int)", ["temporary"]), (f"insert into vt values ({number})", ["sequence"]), ("select * from vt", []),
         ("drop table vt", ["no temporary"])],
        [("declare vc cursor with hold for select n from generate_series(1, 3) n", ["hold"]), ("fetch all from vc", []),
         ("close vc", ["no hold"])],
        [(f"select pg_advisory_lock({200 + number})", ["lock"]), (LEFT_BEHIND[0], []),
         (f"select pg_advisory_unlock({200 + number})", ["no lock"])],
        [("listen vch", ["listen"]), (f"notify vch, 'by {number}'", []), ("unlisten vch", ["no listen"])]])


# What gives back what a session holds: effect -> texts.
RELEASES = {
    "prepare": ["deallocate all", "deallocate prepare all"], "temporary": ["discard temp"], "hold": ["close all"],
    "lock": ["select pg_advisory_unlock_all()"], "listen": ["unlisten *"],
}
DISCARDS = ["discard all", "discard plans", "discard all", "reset all", "deallocate all", "discard temp", "discard sequences"]
