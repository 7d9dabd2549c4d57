// node-postgres as applications use it: a pool smaller than the load, queries with parameters, named statements,
// transactions, cursors, errors, settings. Prints "ok"; throws if anything is wrong.
'use strict';

const assert = require('assert');
const fs = require('fs');
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');

const clients = Number(process.env.CLIENTS);
const tenants = Number(process.env.TENANTS);
const prefix = process.env.TAG_PREFIX;
const authority = process.env.PGSSLROOTCERT;   // who has certified the server, which is then to encrypt
const ssl = authority ? { ca: fs.readFileSync(authority) } : false;

async function fails(code, client, ...query) {
  await assert.rejects(client.query(...query), (error) => {
    assert.strictEqual(error.code, code, error.message);
    return true;
  });
}

async function work(client, number, round) {
  const tenant = `tenant_${number % tenants}`;
  const tag = `${prefix}${round} ${number}`;
  await client.query(`set search_path = ${tenant}; set application_name = 'worker ${number}'; set statement_timeout = '25s'`);
  await client.query('insert into orders (tag, amount, numbers, extra) values ($1, $2, $3, $4)', [tag, '12.50', [number, 2], { number }]);
  await fails('23505', client, 'insert into orders (tag) values ($1)', [tag]);
  await fails('42601', client, 'select from from');

  await client.query('begin isolation level repeatable read');
  await client.query('savepoint s');
  await fails('22012', client, 'select 1 / $1::int', [0]);
  await client.query('rollback to s');
  await client.query('update orders set amount = amount + 1 where tag = $1', [tag]);
  await client.query('commit');
  await client.query('begin');
  await client.query('delete from orders where tag = $1', [tag]);
  await client.query('rollback');

  for (let turn = 0; turn < 6; ++turn) {
    const find = { name: 'find', text: 'select (select name from tenant), amount, numbers, extra, $2::int as turn from orders where tag = $1' };
    const { rows } = await client.query({ ...find, values: [tag, turn] });
    assert.deepStrictEqual(rows, [{ name: tenant, amount: '13.50', numbers: [number, 2], extra: { number }, turn }]);
  }
  // Not waited for one by one: they queue in the client.
  const answers = await Promise.all([1, 2, 3].map((each) => client.query('select $1::int + $2 as sum', [each, number])));
  assert.deepStrictEqual(answers.map((each) => each.rows[0].sum), [1, 2, 3].map((each) => each + number));

  await client.query('begin');
  const cursor = client.query(new Cursor('select * from generate_series(1, $1::int) as n', [90]));
  let count = 0;
  for (let rows = await cursor.read(40); rows.length > 0; rows = await cursor.read(40)) count += rows.length;
  assert.strictEqual(count, 90);
  await cursor.close();
  await client.query("set local statement_timeout = '30ms'");
  await fails('57014', client, 'select pg_sleep(20)');
  await client.query('rollback');

  const { rows } = await client.query("select current_setting('application_name') as name, current_setting('statement_timeout') as timeout, current_schema() as schema");
  assert.deepStrictEqual(rows, [{ name: `worker ${number}`, timeout: '25s', schema: tenant }]);
}

async function main() {
  const pool = new Pool({ max: 15, application_name: 'shop', ssl });
  const pooled = async (number) => {
    const client = await pool.connect();
    try {
      await work(client, number, 'pooled');
      await client.query('reset all');
    } finally {
      client.release();
    }
    const { rows } = await pool.query('select $1::text as echo', [`echo ${number}`]);
    assert.deepStrictEqual(rows, [{ echo: `echo ${number}` }]);
  };
  await Promise.all(Array.from({ length: clients }, (_, number) => pooled(number)));
  await pool.end();

  const single = Array.from({ length: clients }, () => new Client({ ssl }));
  await Promise.all(single.map((client) => client.connect()));
  await Promise.all(single.map((client, number) => work(client, number, 'single')));
  await Promise.all(single.map((client) => client.end()));
  console.log('ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
