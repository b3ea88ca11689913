/**
 * A registry with much in it: `sh scripts/node bench/registry/large.ts [VERSIONS] [POINTS] [sqlite|postgres]` (100 000, 10 000 000, SQLite). Fills a
 * database, serves it, asks first pages and searches, and prints how long they take and how much memory the control plane has. Asserts
 * nothing; docs/benchmarks.md says how to read it.
 */
import { sql } from 'kysely'
import { join } from 'node:path'
import { migrate } from '../../src/storage/sql/migrate.ts'
import { upInChild } from '../../test/control-plane/up-in-child.ts'
import { residentMb } from '../../test/keep-alive-load.ts'
import { openPlace } from '../../test/storage/open-place.ts'
import { startPostgres } from '../../test/storage/postgres-server.ts'
import { temporaryFolder } from '../../test/temporary-folder.ts'
import { median } from '../table.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import { helpFrom } from '../../scripts/help.ts'
import type { RawBuilder } from 'kysely'

helpFrom(import.meta.filename)

const [versions = 100_000, points = 10_000_000] = process.argv.slice(2, 4).map(Number)
const [dialect = 'sqlite'] = process.argv.slice(4)
const MODELS = 100
const RUNS = 1000
const ROUNDS = 60
const WARM_UP = 10

/** Numbers from 0, as a table. */
function numbers(count: number) {
  return sql`with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < ${sql.lit(count)})`
}

async function fill(url: string): Promise<void> {
  await using database = await openPlace(url)
  await migrate(database, ROOMS)
  /** The id of a run: 32 hexadecimal digits. */
  const id = (number: string): RawBuilder<unknown> =>
    sql.raw(database.dialect === 'sqlite' ? `printf('%032x', ${number})` : `lpad(to_hex(${number}), 32, '0')`)
  await database.write(async (write) => {
    const run = async (statement: ReturnType<typeof sql>): Promise<void> => void (await statement.execute(write))
    await run(sql`insert into experiments values ('0', 'default', 'Default', 'mlflow-artifacts:/0', 'active', 1, 1, null)`)
    await run(
      sql`${numbers(RUNS)} insert into runs select ${id('i')}, '0', 'run-' || i, 'anna', 'FINISHED', i, i + 1, 'mlflow-artifacts:/0/' || ${id('i')} || '/artifacts', 'active', null from n`,
    )
    await run(
      sql`${numbers(points)} insert into metrics select ${id(`i % ${RUNS}`)}, 'm' || (i / ${sql.lit(RUNS)} % 10), i, i / ${sql.lit(RUNS * 10)}, i * 0.5, 0 from n`,
    )
    await run(
      sql`${numbers(RUNS * 10)} insert into latest_metrics select ${id('i / 10')}, 'm' || (i % 10), i, i, (i * 7919) % 1000 / 1000.0, 0 from n`,
    )
    await run(sql`${numbers(RUNS)} insert into params select ${id('i')}, 'lr', '0.' || (i % 100) from n`)
    await run(
      sql`${numbers(MODELS)} insert into models (id, environment, name, description, protected_aliases, created_at, updated_at) select 'model' || i, 'default', 'model-' || i, '', '[]', i, i from n`,
    )
    await run(sql`${numbers(MODELS)} insert into model_names select 'default', 'model-' || i, ${sql.lit(versions / MODELS)} from n`)
    await run(sql`${numbers(versions)} insert into versions (id, model_id, number, source, stage, status, servable, approval, provenance, metrics, scan, created_by, created_at, updated_at)
      select 'version' || i, 'model' || (i % ${sql.lit(MODELS)}), i / ${sql.lit(MODELS)} + 1, 's3://b/' || i, 'None', 'READY', 0, 'none', '{}', '{}', '[]', 'anna', i, i from n`)
    await run(sql`${numbers(versions)} insert into version_tags select 'version' || i, 'team', 't' || (i % 50) from n`)
  })
  // What its own upkeep does within a minute.
  if (database.dialect === 'postgres') await sql`vacuum (analyze)`.execute(database.read)
}

interface Asked {
  readonly what: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: object
  /** The goal, in milliseconds at the 95th percentile. */
  readonly goalMs: number
}

const ASKED: readonly Asked[] = [
  { what: 'first page of models', method: 'GET', path: '/api/v1/models?limit=100', goalMs: 20 },
  { what: 'first page of all versions', method: 'GET', path: '/api/v1/versions?limit=50', goalMs: 20 },
  { what: 'first page of versions of a model', method: 'GET', path: '/api/v1/models/model-7/versions?limit=50', goalMs: 20 },
  { what: 'MLflow: first page of models', method: 'GET', path: '/api/2.0/mlflow/registered-models/search?max_results=100', goalMs: 20 },
  {
    what: 'MLflow: versions of a model',
    method: 'GET',
    path: `/api/2.0/mlflow/model-versions/search?max_results=100&filter=${encodeURIComponent("name='model-7'")}`,
    goalMs: 100,
  },
  {
    what: 'versions by tag',
    method: 'GET',
    path: `/api/v1/versions?limit=50&filter=${encodeURIComponent("tags.team = 't7'")}`,
    goalMs: 100,
  },
  {
    what: 'a version by source',
    method: 'GET',
    path: `/api/v1/versions?limit=50&filter=${encodeURIComponent("source_path LIKE 's3://b/9999%'")}`,
    goalMs: 100,
  },
  {
    what: 'MLflow: runs by metric, best first',
    method: 'POST',
    path: '/api/2.0/mlflow/runs/search',
    body: { experiment_ids: ['0'], filter: 'metrics.m3 > 0.9', order_by: ['metrics.m3 DESC'], max_results: 50 },
    goalMs: 100,
  },
  {
    what: 'MLflow: history of a metric, 1000 points',
    method: 'GET',
    path: `/api/2.0/mlflow/metrics/get-history?run_id=${'0'.repeat(31)}7&metric_key=m3&max_results=1000`,
    goalMs: 100,
  },
]

await using folder = await temporaryFolder()
await using postgres = dialect === 'postgres' ? await startPostgres() : undefined
const url = postgres === undefined ? `sqlite:${join(folder.path, 'slipway.db')}` : await postgres.createDatabase('large')
const began = performance.now()
await fill(url)
console.log(`${versions} versions and ${points} points on ${dialect}, filled in ${Math.round((performance.now() - began) / 1000)} s`)
await using plane = await upInChild(['--data', folder.path, '--db', url, '--no-server'])
const idleMb = residentMb(plane.pid)
for (const { what, method, path, body, goalMs } of ASKED) {
  const times: number[] = []
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    const start = performance.now()
    const response = await fetch(`${plane.url}${path}`, { method, ...(body !== undefined && { body: JSON.stringify(body) }) })
    const text = await response.text()
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`)
    if (round >= 0) times.push(performance.now() - start)
  }
  const p95 = times.toSorted((a, b) => a - b)[Math.floor(ROUNDS * 0.95)]!
  const verdict = p95 <= goalMs ? 'ok' : 'missed'
  console.log(
    `${what.padEnd(44)} p50 ${median(times).toFixed(1).padStart(7)} ms  p95 ${p95.toFixed(1).padStart(7)} ms  goal for p95 ${goalMs} ms  ${verdict}`,
  )
}
console.log(
  `memory of the control plane: ${Math.round(idleMb)} MB at first, ${Math.round(residentMb(plane.pid))} MB after ${(WARM_UP + ROUNDS) * ASKED.length} requests`,
)
