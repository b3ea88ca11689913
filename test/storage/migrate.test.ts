import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { sql } from 'kysely'
import { MIGRATION_STEPS } from '../../src/core/fail-point.ts'
import { assertMigrated, migrate, migrationStatus } from '../../src/storage/sql/migrate.ts'
import { migrateDatabase, openDatabase } from '../../src/storage/sql/open.ts'
import { openSqlite } from '../../src/storage/sql/sqlite.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { databaseChild, failingChild } from './child.ts'
import { eachEmptyPlace, newPostgres } from './databases.ts'
import { openPlace } from './open-place.ts'
import { STEPS } from './steps.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import type { Database } from '../../src/storage/sql/database.ts'
import type { Migration } from '../../src/storage/sql/migration.ts'

const ALL = STEPS.map(({ name }) => name)

/** Every table of the steps has its one row, and each step is remembered once. */
async function assertAppliedOnce(database: Database): Promise<void> {
  const { rows } = await sql<{ name: string }>`select name from slipway_migrations order by name`.execute(database.read)
  assert.deepEqual(
    rows.map(({ name }) => name),
    ALL,
  )
  for (const n of STEPS.keys()) {
    const { rows: found } = await sql.raw<{ id: string }>(`select id from step_${n + 1}`).execute(database.read)
    assert.deepEqual(found, [{ id: 'row' }])
  }
}

eachEmptyPlace('migrations are applied once and in order, and what is missing is known', async ({ url }) => {
  await using database = await openPlace(url)
  assert.deepEqual((await migrationStatus(database, { migrations: STEPS })).missing, ALL)
  assert.deepEqual(await migrate(database, { migrations: STEPS.slice(0, 3) }), ALL.slice(0, 3))
  assert.deepEqual((await migrationStatus(database, { migrations: STEPS })).missing, ALL.slice(3))
  const told: string[] = []
  assert.deepEqual(await migrate(database, { migrations: STEPS, onApplied: (name) => told.push(name) }), ALL.slice(3))
  assert.deepEqual(told, ALL.slice(3))
  assert.deepEqual(await migrate(database, { migrations: STEPS }), [])
  await assertMigrated(database, { migrations: STEPS })
  await assertAppliedOnce(database)
})

eachEmptyPlace('the migrations of this release make every table that a query can name', async ({ url }) => {
  await using database = await openPlace(url)
  await migrate(database, ROOMS)
  for (const statement of ROOMS.migrations.flatMap(({ statements }) => statements)) {
    const table = /^create table (\w+)/.exec(statement)?.[1]
    if (table !== undefined) await sql`select * from ${sql.table(table)}`.execute(database.read)
  }
  assert.deepEqual(await database.read.selectFrom('counters').select('name').orderBy('name').execute(), [
    { name: 'delivery' },
    { name: 'era' },
    { name: 'event' },
    { name: 'experiment' },
    { name: 'forgotten' },
    { name: 'webhook' },
  ])
})

eachEmptyPlace('a migration that fails leaves nothing of itself, and those before it stay', async ({ url }) => {
  await using database = await openPlace(url)
  const broken: Migration = { name: '0002-broken', statements: ['create table half (id bigint)', 'insert into nowhere values (1)'] }
  await assert.rejects(migrate(database, { migrations: [STEPS[0]!, broken] }), /nowhere/)
  assert.deepEqual((await migrationStatus(database, { migrations: STEPS })).missing, ALL.slice(1))
  await assert.rejects(sql`select * from half`.execute(database.read), /half/)
})

eachEmptyPlace('a migration may change rows by code, in its transaction, and another change under its name is refused', async ({ url }) => {
  await using database = await openPlace(url)
  const doubled = (name: string, fails = false): Migration => ({
    name: '0002-doubled',
    statements: ['alter table step_1 add column twice text'],
    data: {
      name,
      async run(write) {
        for (const { id } of await write.selectFrom('step_1').select('id').execute())
          await write
            .updateTable('step_1')
            .set({ twice: `${id}${id}` })
            .where('id', '=', id)
            .execute()
        if (fails) throw new Error('the disk is full')
      },
    },
  })
  await assert.rejects(migrate(database, { migrations: [STEPS[0]!, doubled('double', true)] }), /the disk is full/)
  await assert.rejects(sql`select twice from step_1`.execute(database.read), /twice/)
  await migrate(database, { migrations: [STEPS[0]!, doubled('double')] })
  const { rows } = await sql`select id, twice from step_1`.execute(database.read)
  assert.deepEqual(rows, [{ id: 'row', twice: 'rowrow' }])
  await assertMigrated(database, { migrations: [STEPS[0]!, doubled('double')] })
  await assert.rejects(assertMigrated(database, { migrations: [STEPS[0]!, doubled('treble')] }), { code: 'SLW_DATABASE_VERSION' })
})

eachEmptyPlace('two migrators at once apply each migration once', async ({ url }) => {
  await using first = databaseChild('migrate', url)
  await using second = databaseChild('migrate', url)
  const both = [first, second]
  for (const child of both) assert.equal(await child.line(), 'ready')
  for (const child of both) child.tell('go')
  const applied = await Promise.all(both.map(async (child) => JSON.parse(await child.line()) as string[]))
  assert.deepEqual(applied.flat().toSorted(), ALL)
  await using database = await openPlace(url)
  await assertAppliedOnce(database)
})

eachEmptyPlace('a migrator that is killed between two migrations is followed by one that does the rest', async ({ url }) => {
  {
    await using child = databaseChild('migrate', url, ALL[4]!)
    assert.equal(await child.line(), 'ready')
    child.tell('go')
    await child.exited
  }
  await using database = await openPlace(url)
  assert.deepEqual((await migrationStatus(database, { migrations: STEPS })).missing, ALL.slice(5))
  assert.deepEqual(await migrate(database, { migrations: STEPS }), ALL.slice(5))
  await assertAppliedOnce(database)
})

for (const step of MIGRATION_STEPS)
  eachEmptyPlace(`a migrator that is killed in the middle of a migration (${step}) leaves nothing of it`, async ({ url }) => {
    {
      await using database = await openPlace(url)
      await migrate(database, { migrations: STEPS.slice(0, 4) })
    }
    {
      await using child = failingChild(`${step}:kill`, 'migrate', url)
      assert.equal(await child.line(), 'ready')
      child.tell('go')
      await child.exited
      await assert.rejects(child.line(), /ended/, 'it was killed before it could tell')
    }
    await using database = await openPlace(url)
    assert.deepEqual((await migrationStatus(database, { migrations: STEPS })).missing, ALL.slice(4))
    await assert.rejects(sql`select * from step_5`.execute(database.read), /step_5/)
    assert.deepEqual(await migrate(database, { migrations: STEPS }), ALL.slice(4))
    await assertAppliedOnce(database)
  })

eachEmptyPlace('a database that is newer than the release is refused, and what the release does not know is named', async ({ url }) => {
  await using database = await openPlace(url)
  await migrate(database, { migrations: STEPS })
  const older = STEPS.slice(0, 6)
  for (const act of [
    () => migrate(database, { migrations: older }),
    () => migrationStatus(database, { migrations: older }),
    () => assertMigrated(database, { migrations: older }),
  ]) {
    await assert.rejects(act, { code: 'SLW_DATABASE_VERSION', message: /0007-step, 0008-step/ })
  }
})

eachEmptyPlace('a migration that has changed since it was applied is refused', async ({ url }) => {
  await using database = await openPlace(url)
  await migrate(database, { migrations: STEPS })
  const changed = STEPS.with(2, { name: ALL[2]!, statements: ['create table another (id bigint)'] })
  await assert.rejects(migrate(database, { migrations: changed }), { code: 'SLW_DATABASE_VERSION', message: /0003-step.*SHA-256/ })
  // Where one statement ends and the next begins counts as well.
  const joined = STEPS.with(2, { name: ALL[2]!, statements: [STEPS[2]!.statements.join('')] })
  await assert.rejects(migrate(database, { migrations: joined }), { code: 'SLW_DATABASE_VERSION' })
})

test('a PostgreSQL that is behind is not opened, and the message says what to run', async () => {
  const url = await newPostgres()
  await assert.rejects(openDatabase(url, ROOMS), { code: 'SLW_DATABASE_VERSION', message: /0001-registry.*slipway migrate/ })
  const names = ROOMS.migrations.map(({ name }) => name)
  assert.deepEqual(await migrateDatabase(url, ROOMS), names)
  assert.deepEqual(await migrateDatabase(url, ROOMS), [])
  await using database = await openDatabase(url, ROOMS)
  assert.equal(database.dialect, 'postgres')
})

test('a new SQLite file is made and migrated when it is opened, and not copied', async () => {
  await using folder = await temporaryFolder()
  await using database = await openDatabase(`sqlite:${join(folder.path, 'slipway.db')}`, ROOMS)
  assert.deepEqual((await migrationStatus(database, ROOMS)).missing, [])
  assert.deepEqual(
    (await readdir(folder.path)).filter((name) => name.includes('backup')),
    [],
  )
})

test('a SQLite file is copied before it is migrated, once and whole, and one that is too new names the copy', async () => {
  await using folder = await temporaryFolder()
  await using database = await openSqlite({ file: join(folder.path, 'slipway.db') })
  await migrate(database, { migrations: STEPS.slice(0, 2) })
  await database.write((transaction) => sql`insert into step_1 (id) values ('precious')`.execute(transaction))
  await migrate(database, { migrations: STEPS })
  const copies = (await readdir(folder.path)).filter((name) => name.includes('backup'))
  assert.equal(copies.length, 1)
  assert.match(copies[0]!, /^slipway\.db\.backup-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-before-0003-step$/)

  await using copy = await openSqlite({ file: join(folder.path, copies[0]!) })
  assert.deepEqual((await migrationStatus(copy, { migrations: STEPS })).missing, ALL.slice(2))
  assert.deepEqual((await sql`select id from step_1 order by id`.execute(copy.read)).rows, [{ id: 'precious' }, { id: 'row' }])

  await assert.rejects(migrate(database, { migrations: STEPS.slice(0, 2) }), (error: Error) =>
    error.message.includes(join(folder.path, copies[0]!)),
  )
})
