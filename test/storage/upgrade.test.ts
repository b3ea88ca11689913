/** Rows as an earlier release has written them, kept: this release takes each of them over, whichever database they are in. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { sql } from 'kysely'
import { migrate } from '../../src/storage/sql/migrate.ts'
import { slipway } from '../cli/slipway.ts'
import { upInChild } from '../control-plane/up-in-child.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { newPostgres } from './databases.ts'
import { openPlace } from './open-place.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'

const KEPT = join(import.meta.dirname, 'kept')
/** Migrations since the rows that were kept last: when others follow them in a later release, rows of this one are kept too. */
const NEW = new Set([
  '0006-once',
  '0007-identity',
  '0008-location',
  '0009-held-for',
  '0010-speakers',
  '0011-ranges',
  '0012-evidence',
  '0013-feedback',
  '0013-records',
  '0014-notifications',
  '0014-rollouts',
  '0014-routing',
  '0014-gates',
])
const RELEASED = ROOMS.migrations.map(({ name }) => name).filter((name) => !NEW.has(name))

/** What the database of that release held: a statement each, such as `INSERT INTO "runs" VALUES(...);`, whose texts may have lines. */
async function rowsOf(file: string): Promise<string[]> {
  const lines = (await readFile(join(KEPT, file), 'utf8')).trim().split(/\n(?=INSERT INTO ")/)
  const order: readonly string[] = ROOMS.tables.filter(({ key }) => key !== undefined).map(({ name }) => name)
  const tableOf = (line: string): string => /^INSERT INTO "(\w+)"/.exec(line)![1]!
  // What migrations put there themselves, and what belongs to processes, is left out.
  const rows = lines.filter((line) => order.includes(tableOf(line)) && tableOf(line) !== 'counters')
  const counters = lines.filter((line) => tableOf(line) === 'counters')
  const sets = counters.map((line) =>
    line.replace(/^INSERT INTO "counters" VALUES\('(\w+)',(\d+)\);$/, "update counters set value = $2 where name = '$1';"),
  )
  return [...rows.toSorted((a, b) => order.indexOf(tableOf(a)) - order.indexOf(tableOf(b))), ...sets]
}

async function fill(url: string, file: string): Promise<void> {
  await using database = await openPlace(url)
  const last = ROOMS.migrations.findIndex(({ name }) => file === `${name}.sql`)
  await migrate(database, { migrations: ROOMS.migrations.slice(0, last + 1) })
  const rows = await rowsOf(file)
  await database.write(async (write) => {
    for (const row of rows) await sql.raw(row).execute(write)
  })
}

/** What that release was asked, and its answers. */
async function look(data: string, release: string, more: readonly string[]): Promise<void> {
  await using plane = await upInChild(['--data', data, '--no-server', ...more])
  if (release >= '0002') await lookAtPolicies(plane.url)
  if (release >= '0003') await lookAtLists(plane.url)
  if (release >= '0004') await lookAtEndpoints(plane.url)
  const alias = await plane.call('GET', 'registered-models/alias', { name: 'kept-model', alias: 'champion' })
  assert.equal(alias.body['model_version'].version, '2')
  const experiment = (await plane.call('GET', 'experiments/get-by-name', { experiment_name: 'kept' })).body['experiment']
  const { runs } = (await plane.call('POST', 'runs/search', { experiment_ids: [experiment.experiment_id] })).body
  assert.deepEqual(
    [runs[0].info.run_name, runs[0].data.metrics[0].value, runs[0].data.params],
    ['first', 0.8, [{ key: 'lr', value: '0.1' }]],
  )
  assert.ok(runs[0].data.tags.some(({ key, value }: { key: string; value: string }) => key === 'ü' && value === '💡'))
  const version = (await (await fetch(`${plane.url}/api/v1/models/kept-model/versions/2`)).json()) as Record<string, any>
  assert.deepEqual([version['servable'], version['resourceVersion'], version['scan'], version['approval'].state], ['no', 1, [], 'none'])
  const then = (await (await fetch(`${plane.url}/api/v1/models/kept-model/aliases/champion/history`)).json()) as { version: number }
  assert.equal(then.version, 2)
  const made = await plane.call('POST', 'model-versions/create', { name: 'kept-model', source: 's3://b/x' })
  assert.equal(made.body['model_version'].version, '4', 'numbers go on')
}

/** Three versions, of which one was deleted. */
async function lookAtLists(url: string): Promise<void> {
  const { items, total } = (await (await fetch(`${url}/api/v1/models/listed/versions`)).json()) as Record<string, any>
  const found = items.map(({ version, tags, aliases }: Record<string, any>) => [version, tags['n'], ...aliases])
  assert.deepEqual(
    [total, found],
    [
      2,
      [
        [3, '3', 'champion'],
        [1, '1'],
      ],
    ],
  )
}

/** An endpoint of two revisions, as a server reported of it. */
async function lookAtEndpoints(url: string): Promise<void> {
  const { metadata, status } = (await (await fetch(`${url}/api/v1/endpoints/gated`)).json()) as Record<string, any>
  const { revision, routing, servers } = status
  assert.deepEqual([metadata.labels, revision.number, revision.variants[0].version], [{ team: 'ä' }, 2, 1])
  assert.deepEqual([routing.weights, routing.segment, servers], [{ main: 100 }, 2, []])
}

/** A model with a policy, and its version, which is signed and approved. */
async function lookAtPolicies(url: string): Promise<void> {
  const model = (await (await fetch(`${url}/api/v1/models/gated`)).json()) as Record<string, any>
  assert.deepEqual(model['policy'], { gatedAliases: ['champion'], approval: true, signedBy: ['release'] })
  assert.deepEqual(model['aliases'], { champion: 1 })
  const version = (await (await fetch(`${url}/api/v1/models/gated/versions/1`)).json()) as Record<string, any>
  const { items: signatures } = (await (await fetch(`${url}/api/v1/models/gated/versions/1/signatures`)).json()) as Record<string, any>
  const { servable, approval, tags } = version
  assert.deepEqual([servable, approval.state, approval.by, tags], ['yes', 'approved', 'local', { team: 'a' }])
  assert.deepEqual(
    signatures.map(({ signer }: { signer: string }) => signer),
    ['release'],
  )
}

it('rows of every release since the first are kept', async () => {
  assert.deepEqual(
    (await readdir(KEPT)).toSorted(),
    RELEASED.map((name) => `${name}.sql`),
  )
})

for (const name of RELEASED) {
  it(`a SQLite file of ${name} is taken over when it is opened, after a copy`, async () => {
    await using folder = await temporaryFolder()
    await fill(`sqlite:${join(folder.path, 'slipway.db')}`, `${name}.sql`)
    await look(folder.path, name, [])
    assert.ok((await readdir(folder.path)).some((file) => file.startsWith('slipway.db.backup-')))
  })

  it(`a PostgreSQL database of ${name} is taken over by slipway migrate`, async () => {
    await using folder = await temporaryFolder()
    const url = await newPostgres()
    await fill(url, `${name}.sql`)
    const refused = upInChild(['--data', folder.path, '--no-server', '--db', url])
    await assert.rejects(refused, /slipway migrate --db/)
    const migrated = await slipway(['migrate', '--db', url])
    assert.equal(migrated.code, 0, migrated.stderr)
    await look(folder.path, name, ['--db', url])
  })
}

for (const kind of ['SQLite', 'PostgreSQL'])
  it(`copies of files elsewhere, registered by an earlier release in ${kind}, keep the place`, async () => {
    await using folder = await temporaryFolder()
    const url = kind === 'SQLite' ? `sqlite:${join(folder.path, 'slipway.db')}` : await newPostgres()
    await fill(url, '0005-seams.sql')
    const { id: run } = await withRunOnBucket(url)
    const copies = ['models:/listed/1', 'models:/listed/4', `runs:/${run}/model`, 'models:/listed/2']
    await insertVersions(url, copies)
    await using database = await openPlace(url)
    await migrate(database, { migrations: ROOMS.migrations })
    const { rows } = await sql<{ location: string | null; digest: string | null }>`
      select location, digest from versions where number > 3 and model_id = (select id from models where name = 'listed') order by number`.execute(
      database.read,
    )
    assert.deepEqual(rows, [
      { location: 's3://b/v1', digest: null },
      { location: 's3://b/v1', digest: null },
      { location: `s3://b/runs/${run}/artifacts/model`, digest: null },
      // The original lies in the trash, and is still there.
      { location: 's3://b/v2', digest: null },
    ])
  })

/** Moves the artifacts of the kept run to a bucket. */
async function withRunOnBucket(url: string): Promise<{ id: string }> {
  await using database = await openPlace(url)
  const { rows } = await sql<{ id: string }>`select id from runs limit 1`.execute(database.read)
  const { id } = rows[0]!
  await database.write((write) => sql`update runs set artifact_uri = ${`s3://b/runs/${id}/artifacts`} where id = ${id}`.execute(write))
  return { id }
}

/** Adds versions with these sources to the kept model `listed`, as the release before this one registered them. */
async function insertVersions(url: string, sources: readonly string[]): Promise<void> {
  await using database = await openPlace(url)
  const { rows } = await sql<Record<string, unknown>>`
    select versions.* from versions inner join models on models.id = model_id where name = 'listed' and number = 1`.execute(database.read)
  await database.write(async (write) => {
    for (const [index, source] of sources.entries()) {
      const empty = source.startsWith('runs:/') && { digest: 'of no files', size: 0 }
      const row = { ...rows[0]!, id: `copy-${index}`, number: 4 + index, source, ...empty }
      const columns = sql.join(Object.keys(row).map((name) => sql.ref(name)))
      await sql`insert into versions (${columns}) values (${sql.join(Object.values(row))})`.execute(write)
    }
  })
}
