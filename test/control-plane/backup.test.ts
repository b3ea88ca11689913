import assert from 'node:assert/strict'
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { sql } from 'kysely'
import { migrateDatabase } from '../../src/storage/sql/open.ts'
import { addingModel } from '../adding-models.ts'
import { slipway } from '../cli/slipway.ts'
import { newPostgres } from '../storage/databases.ts'
import { openPlace } from '../storage/open-place.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { upInChild } from './up-in-child.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import type { Database } from '../../src/storage/sql/database.ts'
import type { ChildControlPlane } from './up-in-child.ts'

/** A run with a file, two versions, an alias, a key. */
async function fill(plane: ChildControlPlane): Promise<void> {
  const { body } = await plane.call('POST', 'runs/create', { experiment_id: '0', tags: [{ key: 'ü', value: '💡' }] })
  const run = body['run'].info.run_id as string
  assert.equal(await plane.putFile(`0/${run}/artifacts/model/model.onnx`, addingModel(1)), 200)
  await plane.call('POST', 'runs/log-batch', {
    run_id: run,
    metrics: Array.from({ length: 900 }, (_, step) => ({ key: 'loss', value: step / 3, timestamp: step, step })),
  })
  await plane.call('POST', 'runs/log-metric', { run_id: run, key: 'bad', value: 'NaN', timestamp: 1 })
  await plane.call('POST', 'registered-models/create', { name: 'm' })
  for (let count = 0; count < 2; count++)
    assert.equal((await plane.call('POST', 'model-versions/create', { name: 'm', source: `runs:/${run}/model`, run_id: run })).status, 200)
  await plane.call('POST', 'registered-models/alias', { name: 'm', alias: 'live', version: '2' })
}

async function rowsOf(database: Database): Promise<Record<string, unknown[]>> {
  const all: Record<string, unknown[]> = {}
  for (const { name, key } of ROOMS.tables) {
    if (key === undefined) continue
    const { rows } = await sql`select * from ${sql.table(name)}`.execute(database.read)
    all[name] = (rows as Record<string, unknown>[])
      // Each restoring begins an era of its own, under an identity of its own.
      .filter((row) => !(name === 'counters' && row['name'] === 'era') && name !== 'identities')
      .map((row) => JSON.stringify(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1))))
      .toSorted()
    void key
  }
  return all
}

async function modelBytes(url: string): Promise<Buffer> {
  return Buffer.from(await (await fetch(`${url}/api/v1/models/m/versions/2/files/model.onnx`)).arrayBuffer())
}

it('every table is backed up, or is known not to be', async () => {
  await using folder = await temporaryFolder()
  const url = `sqlite:${join(folder.path, 'x.db')}`
  await migrateDatabase(url, ROOMS)
  await using database = await openPlace(url)
  const { rows } = await sql<{ name: string }>`select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'`.execute(
    database.read,
  )
  const known = [...ROOMS.tables.map(({ name }) => name), 'slipway_migrations']
  assert.deepEqual(rows.map(({ name }) => name).toSorted(), known.toSorted())
  for (const { name, key } of ROOMS.tables) {
    if (key === undefined) continue
    const { rows: columns } = await sql<{ name: string; pk: number }>`select name, pk from pragma_table_info(${name})`.execute(
      database.read,
    )
    assert.deepEqual(
      columns
        .filter(({ pk }) => pk > 0)
        .map(({ name: column }) => column)
        .toSorted(),
      [...key].toSorted(),
      name,
    )
  }
})

it('what was backed up while it ran is restored into a new folder and into PostgreSQL, and from there back', async () => {
  await using folder = await temporaryFolder()
  const [data, file] = [join(folder.path, 'data'), join(folder.path, 'backup.tar')]
  let before: Record<string, unknown[]>
  {
    await using plane = await upInChild(['--data', data, '--no-server'])
    await fill(plane)
    const made = await slipway(['backup', file, '--url', plane.url])
    assert.equal(made.code, 0, made.stderr)
    assert.match(made.stdout, /metrics +901\n/)
    assert.match(made.stdout, /bytes of 1 files/)
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    // What comes later is not in it.
    await plane.call('POST', 'registered-models/create', { name: 'later' })
    const running = await slipway(['restore', file, '--data', data, '--replace'])
    assert.equal(running.code, 6)
    assert.match(running.stderr, /SLW_DATABASE_IN_USE/)
    plane.signal('SIGTERM')
    await plane.exit
  }
  const taken = await slipway(['restore', file, '--data', data])
  assert.equal(taken.code, 6)
  assert.match(taken.stderr, /has something in it/)
  const restored = join(folder.path, 'restored')
  const done = await slipway(['restore', file, '--data', restored])
  assert.equal(done.code, 0, done.stderr)
  {
    await using plane = await upInChild(['--data', restored, '--no-server'])
    assert.equal((await plane.call('GET', 'registered-models/get', { name: 'later' })).status, 404)
    assert.equal((await plane.call('GET', 'registered-models/alias', { name: 'm', alias: 'live' })).body['model_version'].version, '2')
    assert.ok((await modelBytes(plane.url)).equals(Buffer.from(addingModel(1))))
    plane.signal('SIGTERM')
    await plane.exit
  }
  {
    await using database = await openPlace(`sqlite:${join(restored, 'slipway.db')}`)
    before = await rowsOf(database)
  }
  const replaced = await slipway(['restore', file, '--data', data, '--replace'])
  assert.equal(replaced.code, 0, replaced.stderr)
  assert.ok((await readdir(folder.path)).some((name) => name.startsWith('data.before-')))

  const postgres = await newPostgres()
  const objects = `file:${join(folder.path, 'elsewhere')}`
  const into = await slipway(['restore', file, '--db', postgres, '--objects', objects, '--data', join(folder.path, 'p')])
  assert.equal(into.code, 0, into.stderr)
  await using database = await openPlace(postgres)
  assert.deepEqual(await rowsOf(database), before)
  const full = await slipway(['restore', file, '--db', postgres, '--objects', objects, '--data', join(folder.path, 'p')])
  assert.equal(full.code, 6)
  assert.match(full.stderr, /not empty/)
  await using plane = await upInChild(['--data', join(folder.path, 'p'), '--no-server', '--db', postgres, '--objects', objects])
  assert.ok((await modelBytes(plane.url)).equals(Buffer.from(addingModel(1))))
  const second = join(folder.path, 'second.tar')
  assert.equal((await slipway(['backup', second, '--url', plane.url])).code, 0)
  const back = join(folder.path, 'back')
  assert.equal((await slipway(['restore', second, '--data', back])).code, 0)
  await using again = await openPlace(`sqlite:${join(back, 'slipway.db')}`)
  assert.deepEqual(await rowsOf(again), before)
})

it('what is no backup, was cut off or was changed is refused, and nothing is half restored', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.path, 'backup.tar')
  {
    await using plane = await upInChild(['--data', join(folder.path, 'data'), '--no-server'])
    await fill(plane)
    assert.equal((await slipway(['backup', file, '--url', plane.url])).code, 0)
  }
  const whole = await readFile(file)
  const target = join(folder.path, 'target')
  const refuse = async (what: RegExp): Promise<void> => {
    const { code, stderr } = await slipway(['restore', file, '--data', target])
    assert.notEqual(code, 0)
    assert.match(stderr, what)
    assert.deepEqual(
      (await readdir(folder.path)).filter((name) => name === 'target'),
      [],
    )
  }
  for (const share of [0.1, 0.5, 0.9, 0.97]) {
    await writeFile(file, whole)
    await truncate(file, Math.floor((whole.length * share) / 512) * 512)
    await refuse(/not whole|no backup/)
  }
  await writeFile(file, 'hello')
  await refuse(/no backup/)
  await writeFile(file, '')
  await refuse(/no backup/)
  await writeFile(file, whole.toString('latin1').replace('"slipway-backup-v1"', '"slipway-backup-v9"'), 'latin1')
  await refuse(/no backup/)
  // A name that leads out of the store is no key.
  await writeFile(file, whole.toString('latin1').replaceAll('objects/', '../../aa'), 'latin1')
  await refuse(/no backup/)
  await writeFile(file, whole.toString('latin1').replace(/"0001-registry",/, '"9999-registry",'), 'latin1')
  await refuse(/does not know|no backup/)
})

describe('a restore that is killed', { concurrency: 2 }, () => {
  for (const step of ['restore.read', 'restore.object', 'restore.table', 'restore.filled'])
    it(`at ${step}: there is nothing, and the next one brings everything`, async () => {
      await using folder = await temporaryFolder()
      const [file, target] = [join(folder.path, 'backup.tar'), join(folder.path, 'target')]
      {
        await using plane = await upInChild(['--data', join(folder.path, 'data'), '--no-server'])
        await fill(plane)
        assert.equal((await slipway(['backup', file, '--url', plane.url])).code, 0)
      }
      // It is gone once it has been acted on.
      const armed = async () => ({ SLIPWAY_FAIL_POINTS: `${step}:kill@${await folder.write('now', '')}` })
      const killed = await slipway(['restore', file, '--data', target], undefined, await armed())
      assert.notEqual(killed.code, 0, killed.stdout)
      assert.ok(!(await readdir(folder.path)).includes('target'))
      const postgres = await newPostgres()
      const args = ['restore', file, '--db', postgres, '--objects', `file:${join(folder.path, 'o')}`, '--data', join(folder.path, 'p')]
      assert.notEqual((await slipway(args, undefined, await armed())).code, 0)
      // Filled is filled: the transaction was committed.
      if (step !== 'restore.filled') assert.equal((await slipway(args)).code, 0)
      await using database = await openPlace(postgres)
      assert.equal((await database.read.selectFrom('metrics').select('key').execute()).length, 901)
      assert.equal((await slipway(['restore', file, '--data', target])).code, 0)
      await using plane = await upInChild(['--data', target, '--no-server'])
      assert.ok((await modelBytes(plane.url)).equals(Buffer.from(addingModel(1))))
    })
})

it('files that are damaged in the backup are found before anything is restored, unless that is meant', async () => {
  await using folder = await temporaryFolder()
  const [data, file] = [join(folder.path, 'data'), join(folder.path, 'backup.tar')]
  {
    await using plane = await upInChild(['--data', data, '--no-server'])
    await fill(plane)
    const { code, stderr } = await slipway(['backup', file, '--url', plane.url])
    assert.equal(code, 0, stderr)
  }
  const archive = await readFile(file)
  const model = Buffer.from(addingModel(1))
  const at = archive.indexOf(model.subarray(0, 64))
  assert.ok(at > 0)
  archive[at + 70]! ^= 1
  await writeFile(file, archive)
  const [other, third] = [join(folder.path, 'other'), join(folder.path, 'third')]
  const refused = await slipway(['restore', file, '--data', other])
  assert.notEqual(refused.code, 0)
  assert.match(
    refused.stderr,
    /1 files are not as they were when the backup was made, and nothing was restored: .*model\.onnx.*--with-damaged/,
  )
  assert.equal((await readdir(folder.path)).includes('other'), false)
  const forced = await slipway(['restore', file, '--data', third, '--with-damaged'])
  assert.notEqual(forced.code, 0)
  assert.match(forced.stderr, /damaged: .*model\.onnx/)
  await using plane = await upInChild(['--data', third, '--no-server'])
  assert.equal((await plane.call('GET', 'registered-models/get', { name: 'm' })).status, 200)
})
