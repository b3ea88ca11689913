import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { openDatabase } from '../../src/storage/sql/open.ts'
import { openPostgres } from '../../src/storage/sql/postgres.ts'
import { openSqlite } from '../../src/storage/sql/sqlite.ts'
import { atCommit } from '../../src/storage/sql/sessions.ts'
import { BEGIN } from '../../src/storage/sql/sqlite-messages.ts'
import { SqliteThread } from '../../src/storage/sql/sqlite-thread.ts'
import { isForeignKeyViolation, isUniqueViolation } from '../../src/storage/sql/statement-error.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { databaseChild } from './child.ts'
import { eachDatabase, ownPostgresServer } from './databases.ts'
import { openPlace } from './open-place.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../../src/storage/sql/database.ts'
import type { Schema } from '../../src/storage/sql/schema.ts'

const MAX = Number.MAX_SAFE_INTEGER

async function put(connection: Kysely<Schema>, name: string, value = 0): Promise<void> {
  await connection.insertInto('counters').values({ name, value }).execute()
}

async function names(database: Database, like = '%'): Promise<string[]> {
  const rows = await database.read.selectFrom('counters').select('name').where('name', 'like', like).orderBy('name').execute()
  return rows.map(({ name }) => name)
}

eachDatabase('a transaction that throws leaves nothing', async (database) => {
  const work = database.write(async (transaction) => {
    await put(transaction, 'a')
    await put(transaction, 'b')
    throw new Error('on purpose')
  })
  await assert.rejects(work, /on purpose/)
  assert.deepEqual(await names(database), ['delivery', 'era', 'event', 'experiment', 'forgotten', 'webhook'])
  await database.write((transaction) => put(transaction, 'a'))
  assert.deepEqual(await names(database, 'a'), ['a'])
})

eachDatabase('readers see nothing of a transaction before it is committed, and do not wait for it', async (database) => {
  await database.write(async (transaction) => {
    await put(transaction, 'a')
    // Within the work: a reader that waited for the writer would wait for itself.
    assert.deepEqual(await names(database, 'a'), [])
    assert.equal((await transaction.selectFrom('counters').select('name').where('name', '=', 'a').execute()).length, 1)
  })
  assert.deepEqual(await names(database, 'a'), ['a'])
})

eachDatabase('what only reads cannot write, and begins no transaction', async (database) => {
  await assert.rejects(put(database.read, 'a'), /read.?only.*insert into "counters"/)
  await assert.rejects(
    database.read.transaction().execute((transaction) => put(transaction, 'a')),
    /Database\.write/,
  )
  assert.deepEqual(await names(database, 'a'), [])
})

eachDatabase('a failed statement names itself and not its parameters', async (database) => {
  const work = database.write((transaction) => sql`insert into nowhere (secret) values (${'hunter2'})`.execute(transaction))
  await assert.rejects(
    work,
    (error: Error) => /nowhere.*insert into nowhere \(secret\)/.test(error.message) && !error.message.includes('hunter2'),
  )
})

eachDatabase('a row that is there already and a row that refers to nothing are told apart', async (database) => {
  const twice = await database.write((transaction) => put(transaction, 'event')).catch((error: unknown) => error)
  assert.ok(isUniqueViolation(twice) && !isForeignKeyViolation(twice))
  const nowhere = await database
    .write((transaction) => transaction.insertInto('run_tags').values({ run_id: 'none', key: 'k', value: 'v' }).execute())
    .catch((error: unknown) => error)
  assert.ok(isForeignKeyViolation(nowhere) && !isUniqueViolation(nowhere))
  assert.ok(isUniqueViolation(new Error('outer', { cause: twice })))
  assert.ok(!isUniqueViolation(new Error('some other')))
})

eachDatabase('work that goes on after a failed statement commits nothing', async (database) => {
  const work = database.write(async (transaction) => {
    await put(transaction, 'a')
    await put(transaction, 'event').catch(() => {})
    return 'done'
  })
  await assert.rejects(work, isUniqueViolation)
  assert.deepEqual(await names(database, 'a'), [])
})

eachDatabase('statements that are run at once are run in the order in which they were asked, all or none', async (database) => {
  const order = await database.write((transaction) => {
    const next = (): Promise<number> =>
      transaction
        .updateTable('counters')
        .set({ value: sql`value + 1` })
        .where('name', '=', 'event')
        .returning('value')
        .executeTakeFirstOrThrow()
        .then(({ value }) => value)
    return Promise.all([next(), put(transaction, 'a'), next(), next()])
  })
  assert.deepEqual(order, [1, undefined, 2, 3])
  const late: Promise<unknown>[] = []
  const work = database.write((transaction) =>
    Promise.all([
      put(transaction, 'b'),
      put(transaction, 'event'),
      put(transaction, 'c'),
      // Asked when the other one has failed, and the transaction with it.
      sleep(50).then(() => late.push(put(transaction, 'd').catch((error: unknown) => error))),
    ]),
  )
  await assert.rejects(work, isUniqueViolation)
  await sleep(100)
  assert.ok((await late[0]) instanceof Error)
  await database.write((transaction) => put(transaction, 'e'))
  assert.deepEqual(await names(database, '_'), ['a', 'e'])
})

eachDatabase('what is left to the commit is run in its place, or nothing is', async (database) => {
  const late = (connection: Transaction<Schema>, name: string, value: number): Promise<void> =>
    atCommit(connection, connection.insertInto('counters').values({ name, value }))
  const seen = await database.write(async (transaction) => {
    await put(transaction, 'a', 1)
    await late(transaction, 'b', 2)
    await atCommit(
      transaction,
      transaction
        .updateTable('counters')
        .set({ value: sql`value + 10` })
        .where('name', 'in', ['a', 'b']),
    )
    // Waited for, and so are those before it.
    const rows = await transaction.selectFrom('counters').select('value').where('name', 'in', ['a', 'b']).orderBy('name').execute()
    await late(transaction, 'c', 3)
    await atCommit(transaction, transaction.updateTable('counters').set({ value: 30 }).where('name', '=', 'c'))
    return rows.map(({ value }) => value)
  })
  assert.deepEqual(seen, [11, 12])
  assert.deepEqual(await names(database, '_'), ['a', 'b', 'c'])
  const { value } = await database.read.selectFrom('counters').select('value').where('name', '=', 'c').executeTakeFirstOrThrow()
  assert.equal(value, 30)
  const withCommit = database.write(async (transaction) => {
    await put(transaction, 'd')
    await late(transaction, 'event', 0)
    await late(transaction, 'f', 0)
  })
  await assert.rejects(withCommit, (error: Error) => isUniqueViolation(error) && /insert into "counters"/.test(error.message))
  const beforeCommit = database.write(async (transaction) => {
    await late(transaction, 'event', 0)
    await put(transaction, 'g').catch(() => {})
  })
  await assert.rejects(beforeCommit, isUniqueViolation)
  const thrown = database.write(async (transaction) => {
    await late(transaction, 'h', 0)
    throw new Error('on purpose')
  })
  await assert.rejects(thrown, /on purpose/)
  let forgotten: Promise<unknown> | undefined
  await database.write(async (transaction) => {
    await late(transaction, 'i', 0)
    // Not waited for, and so too late: it is told so.
    forgotten = sleep(0).then(() => late(transaction, 'j', 0))
    forgotten.catch(() => {})
  })
  await assert.rejects(forgotten!, /after its transaction had ended|already committed/)
  assert.deepEqual(await names(database, '_'), ['a', 'b', 'c', 'i'])
})

test('nothing is written to SQLite outside of a transaction, also where one could not begin', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.path, 'slipway.db')
  const thread = await SqliteThread.open({ file, busyTimeoutMs: 20 })
  const run = (statement: string): Promise<unknown> => thread.ask({ type: 'run', on: 'writer', statement, parameters: [] })
  await run(BEGIN)
  await run('create table t (x)')
  await run('commit')
  const other = new DatabaseSync(file)
  other.exec('begin immediate')
  const asked = [BEGIN, 'insert into t values (1)', 'commit'].map((statement) => run(statement).catch(({ message }: Error) => message))
  assert.match((await Promise.all(asked)).join('; '), /locked.*no transaction.*no transaction/)
  other.exec('rollback')
  other.close()
  await run(BEGIN)
  await run('insert into t values (2)')
  await run('commit')
  await run(BEGIN)
  assert.deepEqual(((await run('select x from t')) as { rows: unknown[] }).rows, [[2]])
  await thread.close()
})

eachDatabase('a statement that comes after the end of its transaction is refused', async (database) => {
  let kept: Transaction<Schema> | undefined
  await database.write(async (transaction) => {
    kept = transaction
    await put(transaction, 'a')
  })
  await assert.rejects(put(kept!, 'b'))
  await database.write((transaction) => put(transaction, 'c'))
  assert.deepEqual(await names(database, '_'), ['a', 'c'])
})

eachDatabase('a transaction within another is refused instead of waiting for itself', async (database) => {
  await assert.rejects(
    database.write(() => database.write((transaction) => put(transaction, 'a'))),
    /within another/,
  )
  await database.write((transaction) => put(transaction, 'b'))
})

eachDatabase('a hundred transactions at once count to a hundred, and each can read', async (database) => {
  const taken = await Promise.all(
    Array.from({ length: 100 }, () =>
      database.write(async (transaction) => {
        await names(database)
        const row = await transaction
          .updateTable('counters')
          .set((counter) => ({ value: counter('value', '+', 1) }))
          .where('name', '=', 'event')
          .returning('value')
          .executeTakeFirstOrThrow()
        return row.value
      }),
    ),
  )
  assert.deepEqual(
    taken.toSorted((a, b) => a - b),
    Array.from({ length: 100 }, (_, n) => n + 1),
  )
})

eachDatabase('two transactions that take the same rows in opposite order both come through', async (database) => {
  const both = async (first: string, second: string): Promise<void> => {
    await database.write(async (transaction) => {
      for (const name of [first, second]) {
        await sql`update counters set value = value + 1 where name = ${name}`.execute(transaction)
        // Long enough for the other to have taken its first.
        await sleep(100)
      }
    })
  }
  await Promise.all([both('event', 'experiment'), both('experiment', 'event')])
  const rows = await database.read.selectFrom('counters').select('value').where('name', 'in', ['event', 'experiment']).execute()
  assert.deepEqual(rows, [{ value: 2 }, { value: 2 }])
})

eachDatabase('numbers come back as the numbers they were', async (database) => {
  const values = [0, 1, -1, 0.1, 1e300, 5e-324, MAX, -MAX, Infinity, -Infinity]
  const whole = [0, -1, MAX, -MAX]
  await database.write(async (transaction) => {
    await sql`create table numbers (at bigint not null, d double precision, b bigint)`.execute(transaction)
    for (const [at, d] of values.entries()) await sql`insert into numbers values (${at}, ${d}, ${whole[at] ?? null})`.execute(transaction)
  })
  const { rows } = await sql<{ d: number; b: number | null }>`select d, b from numbers order by at`.execute(database.read)
  assert.deepEqual(
    rows.map(({ d }) => d),
    values,
  )
  assert.deepEqual(
    rows.slice(0, 4).map(({ b }) => b),
    whole,
  )
  const { rows: sums } = await sql`select count(*) as n, sum(at) as s, avg(at) as a, max(b) as m from numbers`.execute(database.read)
  assert.deepEqual(sums, [{ n: 10, s: 45, a: 4.5, m: MAX }])
})

eachDatabase('a whole number that JavaScript cannot hold is an error and no other number', async (database) => {
  await assert.rejects(sql`select 9007199254740993 as big`.execute(database.read), /9007199254740993.*select 9007199254740993/)
})

eachDatabase('what databases would keep differently is refused before it reaches one', async (database) => {
  for (const value of [undefined, true, NaN, new Date(0), {}, Symbol('s')]) {
    const work = database.write((transaction) => sql`insert into counters values (${'a'}, ${value})`.execute(transaction))
    await assert.rejects(work, /parameter 2 is .*insert into counters/)
  }
  await assert.rejects(
    database.write((transaction) => put(transaction, 'a\0b')),
    { code: 'SLW_INPUT_INVALID' },
  )
  const text = '𝔘nicode "\'`%_\\ \u{1F600}\n'
  await database.write((transaction) => put(transaction, text))
  assert.deepEqual((await names(database)).toSorted(), ['delivery', 'era', 'event', 'experiment', 'forgotten', 'webhook', text].toSorted())
})

eachDatabase('LIKE tells capitals from small letters', async (database) => {
  await database.write((transaction) => put(transaction, 'Event'))
  assert.deepEqual(await names(database, 'Ev%'), ['Event'])
})

eachDatabase('30 000 rows are one transaction', async (database) => {
  await database.write(async (transaction) => {
    for (let from = 0; from < 30_000; from += 1000) {
      const rows = Array.from({ length: 1000 }, (_, n) => ({ name: `row-${from + n}`, value: from + n }))
      await transaction.insertInto('counters').values(rows).execute()
    }
  })
  const { count, sum } = await database.read
    .selectFrom('counters')
    .select(({ fn }) => [fn.countAll<number>().as('count'), fn.sum<number>('value').as('sum')])
    .where('name', 'like', 'row-%')
    .executeTakeFirstOrThrow()
  assert.deepEqual({ count, sum }, { count: 30_000, sum: (30_000 * 29_999) / 2 })
})

eachDatabase('how many rows a statement changed is known', async (database) => {
  const result = await database.write((transaction) => transaction.updateTable('counters').set({ value: 7 }).executeTakeFirstOrThrow())
  assert.equal(result.numUpdatedRows, 6n)
})

eachDatabase('the time of the database goes on and is in milliseconds since 1970', async (database) => {
  const before = await database.now()
  await sleep(20)
  const after = await database.now()
  assert.ok(Number.isInteger(before) && after > before && Math.abs(after - Date.now()) < 60_000)
})

eachDatabase('a database that was closed says so, and can be closed again', async (_, { url }) => {
  const database = await openPlace(url)
  await database[Symbol.asyncDispose]()
  await assert.rejects(names(database), { code: 'SLW_CLOSED' })
  await assert.rejects(
    database.write((transaction) => put(transaction, 'a')),
    { code: 'SLW_CLOSED' },
  )
  await database[Symbol.asyncDispose]()
})

eachDatabase('closing waits for the transaction that runs', async (observer, { url }) => {
  const database = await openPlace(url)
  const writing = database.write(async (transaction) => {
    await put(transaction, 'a')
    await sleep(50)
    await put(transaction, 'b')
  })
  await sleep(0)
  await database[Symbol.asyncDispose]()
  await writing
  assert.deepEqual(await names(observer, '_'), ['a', 'b'])
})

eachDatabase('a process that is killed in the middle of a transaction leaves nothing of it', async (database, { url }) => {
  {
    await using child = databaseChild('half', url)
    assert.equal(await child.line(), 'half')
  }
  assert.deepEqual(await names(database, 'half-%'), [])
  await using again = await openPlace(url)
  await again.write((transaction) => put(transaction, 'half-0'))
  assert.deepEqual(await names(database, 'half-%'), ['half-0'])
})

eachDatabase('what was committed outlives the kill of its process, and transactions are whole', async (database, { url }) => {
  let committed = -1
  {
    await using child = databaseChild('pairs', url)
    while (committed < 50) committed = Number(await child.line())
    // At any moment of a transaction.
    await sleep(Math.random() * 20)
  }
  const [left, right] = [await names(database, 'left-%'), await names(database, 'right-%')]
  assert.deepEqual(
    left.map((name) => name.slice('left-'.length)),
    right.map((name) => name.slice('right-'.length)),
  )
  for (let n = 0; n <= committed; n++) assert.ok(left.includes(`left-${n}`), `the pair ${n} is gone`)
})

test('a second control plane on the same SQLite file is refused and told who has it, also through a link', async () => {
  await using folder = await temporaryFolder()
  const url = `sqlite:${join(folder.path, 'slipway.db')}`
  await using child = databaseChild('open', url)
  assert.equal(await child.line(), 'open')
  await assert.rejects(openDatabase(url, ROOMS), (error: Error & { code: string }) => {
    assert.equal(error.code, 'SLW_DATABASE_IN_USE')
    assert.match(error.message, new RegExp(`process ${child.pid} on \\S+ since \\d{4}-\\d\\d-\\d\\dT`))
    return true
  })
  await assert.rejects(openDatabase(`sqlite:${folder.path}/../${folder.path.split('/').at(-1)}/slipway.db`, ROOMS), {
    code: 'SLW_DATABASE_IN_USE',
  })
  // Killed, it has nothing any more.
  await child[Symbol.asyncDispose]()
  await using database = await openDatabase(url, ROOMS)
  await assert.rejects(openDatabase(url, ROOMS), new RegExp(`process ${process.pid} `))
  assert.deepEqual(await names(database), ['delivery', 'era', 'event', 'experiment', 'forgotten', 'webhook'])
})

test('a SQLite file that was closed is free for the next', async () => {
  await using folder = await temporaryFolder()
  const url = `sqlite:${join(folder.path, 'slipway.db')}`
  for (let times = 0; times < 3; times++) await (await openDatabase(url, ROOMS))[Symbol.asyncDispose]()
  assert.deepEqual((await readdir(folder.path)).toSorted(), ['slipway.db', 'slipway.db.lock'])
})

test('a SQLite database whose thread ends fails what waits, and answers what comes after', async () => {
  await using folder = await temporaryFolder()
  const trigger = join(folder.path, 'now')
  process.env['SLIPWAY_FAIL_POINTS'] = `database.thread:end@${trigger}`
  await using database = await openSqlite({ file: join(folder.path, 'slipway.db') })
  delete process.env['SLIPWAY_FAIL_POINTS']
  await database.write((write) => sql`create table counters (name text primary key, value bigint not null)`.execute(write))
  await writeFile(trigger, '')
  const waiting = [database.now(), database.now(), database.write(async (transaction) => put(transaction, 'a'))]
  for (const result of await Promise.allSettled(waiting)) {
    assert.equal(result.status === 'rejected' && result.reason.code, 'SLW_DATABASE_UNAVAILABLE')
  }
  await Promise.all([1, 2, 3].map((value) => database.write((write) => put(write, `b${value}`))))
  const rows = await database.read.selectFrom('counters').select('name').execute()
  assert.deepEqual(rows.map(({ name }) => name).toSorted(), ['b1', 'b2', 'b3'], 'nothing of what failed is there')

  // One whose thread has ended is not opened again once it is closed.
  process.env['SLIPWAY_FAIL_POINTS'] = `database.thread:end@${trigger}`
  const broken = await openSqlite({ file: join(folder.path, 'broken.db') })
  delete process.env['SLIPWAY_FAIL_POINTS']
  await writeFile(trigger, '')
  await assert.rejects(broken.now(), { code: 'SLW_DATABASE_UNAVAILABLE' })
  await broken[Symbol.asyncDispose]()
  await assert.rejects(broken.now(), { code: 'SLW_CLOSED' })

  const closed = openSqlite({ file: join(folder.path, 'closed.db') })
  await (await closed)[Symbol.asyncDispose]()
  await assert.rejects((await closed).now(), { code: 'SLW_CLOSED' })
})

test('snapshots that somebody who was killed has left are removed when the SQLite file is opened', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.path, 'slipway.db')
  const ours = `.snapshot-17-${randomUUID()}`
  const kept = ['.backup-1', '.snapshot-2025-06-01', `.mine${ours}`]
  for (const name of [ours, `${ours}-wal`, ...kept]) await writeFile(`${file}${name}`, '')
  await (await openDatabase(`sqlite:${file}`, ROOMS))[Symbol.asyncDispose]()
  assert.deepEqual(
    (await readdir(folder.path)).toSorted(),
    ['slipway.db', ...kept.map((name) => `slipway.db${name}`), 'slipway.db.lock'].toSorted(),
  )
})

test('a URL that names no database is refused, and what it holds is not repeated', async () => {
  await using folder = await temporaryFolder()
  for (const url of [
    '',
    'slipway.db',
    'mysql://u:hunter2@h/d',
    'sqlite:',
    'sqlite:///x.db',
    'sqlite::memory:',
    'postgres://u:hunter2@h:port/d',
  ]) {
    await assert.rejects(
      openDatabase(url, ROOMS),
      (error: Error & { code: string }) => error.code === 'SLW_CONFIG_INVALID' && !error.message.includes('hunter2'),
    )
  }
  await assert.rejects(openDatabase(`sqlite:${folder.path}/no/folder.db`, ROOMS), { code: 'SLW_DATABASE_UNAVAILABLE' })
  await writeFile(join(folder.path, 'text.db'), 'this is no database, and long enough to be seen as one: '.repeat(50))
  await assert.rejects(openDatabase(`sqlite:${folder.path}/text.db`, ROOMS), {
    code: 'SLW_DATABASE_UNAVAILABLE',
    message: /text\.db.*SQLITE_NOTADB/,
  })
})

test('a PostgreSQL that does not answer or lets nobody in is unavailable, and its password is not told', async () => {
  const server = await ownPostgresServer()
  const unavailable = [
    server.urlOf('no_such_database'),
    'postgres://someone:hunter2@127.0.0.1:1/d',
    server.urlOf('postgres').replace('postgres@', 'nobody:hunter2@'),
  ]
  for (const url of unavailable) {
    await assert.rejects(
      openPostgres({ url }),
      (error: Error & { code: string }) => error.code === 'SLW_DATABASE_UNAVAILABLE' && !error.message.includes('hunter2'),
    )
  }
})

test('a PostgreSQL that ends fails what runs as unavailable, and is used again when it is back', async () => {
  const server = await ownPostgresServer()
  await using database = await openPostgres({ url: await server.createDatabase('ends') })
  await database.write((transaction) => sql`create table kept (id bigint)`.execute(transaction))
  const work = database.write(async (transaction) => {
    await sql`insert into kept values (1)`.execute(transaction)
    await server.stop('SIGQUIT')
    await sql`insert into kept values (2)`.execute(transaction)
  })
  await assert.rejects(work, { code: 'SLW_DATABASE_UNAVAILABLE' })
  await assert.rejects(database.now(), { code: 'SLW_DATABASE_UNAVAILABLE' })
  await server.start()
  assert.deepEqual((await sql`select * from kept`.execute(database.read)).rows, [])
})
