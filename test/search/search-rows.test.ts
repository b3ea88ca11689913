import assert from 'node:assert/strict'
import { isSlipwayError } from '../../src/core/errors.ts'
import { filterQuery } from '../../src/search/compile.ts'
import { parseFilter } from '../../src/search/filter.ts'
import type { SearchKind } from '../../src/search/kinds.ts'
import { parseLoggedModelOrder, parseOrder } from '../../src/search/order.ts'
import type { LoggedModelOrder, OrderTerm } from '../../src/search/order.ts'
import { pageOf } from '../../src/search/page.ts'
import { eachDatabase } from '../storage/databases.ts'
import type { Database } from '../../src/storage/sql/database.ts'
import { insertRun, insertThings, makeThings, plainSearch, randomness } from './search-objects.ts'
import type { DatasetFilter } from './search-objects.ts'

const SEED = Number(process.env['SLIPWAY_SEED'] ?? 20_240_817)

const PATTERNS = [
  '%',
  '_',
  'a%',
  '%b',
  'a_b',
  'A_B',
  '%a%',
  'a%b',
  '%\\%',
  'a\\_b',
  'a*b',
  '%*%',
  'a?b',
  '[ab]',
  '%[%',
  '%]',
  '',
  '🦊',
  '__',
  "it's",
]

function texts(left: string): readonly string[] {
  const values = ['a', 'A', '', 'ab', 'a%b', 'Ähre', '文字', 'a\\b', 'true', 'nobody has this']
  return [
    ...values.flatMap((value) => [`${left} = '${value}'`, `${left} != "${value}"`]),
    ...PATTERNS.flatMap((pattern) => [`${left} LIKE "${pattern}"`, `${left} ILIKE "${pattern}"`]),
  ]
}

function numbers(left: string, values: readonly (string | number)[]): readonly string[] {
  return values.flatMap((value) => ['=', '!=', '<', '<=', '>', '>='].map((operator) => `${left} ${operator} ${value}`))
}

const TIMES = [0, 1_700_000_000_002, 1e3]
const METRICS = [0, 1, -1, 0.1, '0.30000000000000004', '1e300', '1e999', '-1.7976931348623157e308', 42]

const FILTERS: Readonly<Record<SearchKind, readonly string[]>> = {
  runs: [
    '',
    ...texts('tags.a'),
    ...texts('tags.`k e.y`'),
    ...texts('params.lr'),
    ...texts('run_name'),
    ...numbers('metrics.acc', METRICS),
    ...numbers('metrics.`val loss`', [0, 0.1]),
    ...numbers('start_time', [...TIMES, '1700000000001.5', '1e30', '-1e30']),
    ...numbers('end_time', TIMES),
    'tags.a IS NULL',
    'tags.a IS NOT NULL',
    'params.`opt im` IS NULL',
    'params.nothing IS NULL',
    'params.nothing IS NOT NULL',
    "status = 'FINISHED'",
    "status ILIKE 'f%'",
    "user_id != 'me'",
    "user_id = ''",
    "artifact_uri LIKE '%a1%'",
    "run_id IN ('a0', 'B1', 'c2', 'a3', 'B3', 'c3')",
    "run_id NOT IN ('a0', 'B1', 'c2')",
    "run_id = 'a1'",
    "dataset.name = 'mnist0'",
    "dataset.name ILIKE 'MNIST_'",
    "dataset.name LIKE 'MNIST_'",
    "dataset.name IN ('iris0', 'iris1')",
    "dataset.name NOT IN ('iris0')",
    "dataset.digest != 'd1'",
    "dataset.context = 'train'",
    "dataset.context != 'train'",
    "dataset.context LIKE 'T%'",
    "dataset.context = 'a%b'",
    "dataset.context IN ('train', 'Test')",
    "dataset.name = 'mnist0' AND dataset.context = 'Test'",
  ],
  experiments: [
    '',
    ...texts('tags.a'),
    ...texts('name'),
    ...numbers('creation_time', TIMES.map(Math.trunc)),
    ...numbers('last_update_time', [1_700_000_000_001]),
    "experiment_id = '7'",
    "experiment_id = '007'",
    "experiment_id != '7'",
    "experiment_id IN ('0', '7', '14', '3')",
    "experiment_id NOT IN ('0', '7')",
    'tags.a IS NULL',
    'tags.B IS NOT NULL',
  ],
  models: [
    '',
    ...texts('tags.a'),
    ...texts('name'),
    "name IN ('a0', 'A1', 'ab2')",
    "name NOT IN ('a0', 'A1')",
    ...['=', '!='].flatMap((operator) =>
      ['true', 'false', 'other'].map((value) => `tags.\`mlflow.prompt.is_prompt\` ${operator} '${value}'`),
    ),
    "tags.`mlflow.prompt.is_prompt` LIKE 'true'",
    "tags.`mlflow.prompt.is_prompt` = 'true' AND tags.a != 'a'",
    "tags.a != 'a' AND tag.`mlflow.prompt.is_prompt` != 'true'",
  ],
  versions: [
    '',
    ...texts('tags.a'),
    ...texts('run_id'),
    ...numbers('version_number', [1, 2, 3]),
    "version_number = '2'",
    "name LIKE 'a%'",
    "name ILIKE '%1%'",
    "run_id IN ('a1', 'B2')",
    "run_id IN ('a1', '')",
    "run_id NOT IN ('a1')",
    "source_path LIKE 's3://%'",
    "source_path ILIKE 's3://%'",
    "source_path != 'models:/m-1'",
    "tags.`mlflow.prompt.is_prompt` = 'true'",
    "tag.`mlflow.prompt.is_prompt` != 'true' AND version_number > 1",
  ],
  loggedModels: [
    '',
    ...texts('tags.a'),
    ...texts('params.lr'),
    ...texts('name'),
    ...numbers('metrics.acc', METRICS),
    ...numbers('metrics.f1', [0, 1]),
    ...numbers('creation_timestamp', [...TIMES, '1700000000001.5']),
    ...numbers('last_updated_timestamp', [1_700_000_000_001]),
    "name IN ('a', 'A', '')",
    "params.lr IN ('a', 'b')",
    "tags.B NOT IN ('a', 'b')",
    "model_type != 'Agent'",
    "model_type = ''",
    "status = 'READY'",
    "status IN ('READY', 'PENDING')",
    "status LIKE 'R%'",
    "source_run_id = 'a1'",
    "artifact_location LIKE '%m-1%'",
    'metrics.acc > 0 AND metrics.f1 <= 1',
  ],
}

const ORDERS: Readonly<Record<SearchKind, readonly (readonly OrderTerm[])[]>> = {
  runs: [
    [],
    ['start_time'],
    ['end_time DESC'],
    ['end_time ASC', 'run_id DESC'],
    ['run_name'],
    ['run_name DESC', 'status'],
    ['metrics.acc'],
    ['metrics.acc DESC'],
    ['metrics.`val loss` DESC', 'metrics.acc', 'start_time ASC'],
    ['params.lr'],
    ['params.lr DESC', 'tags.a'],
    ['tags.`k e.y` DESC'],
    ['tags.nothing', 'user_id'],
    ['artifact_uri DESC'],
    ['run_id DESC'],
  ].map((orderBy) => parseOrder('runs', orderBy)),
  experiments: [
    [],
    ['name'],
    ['name DESC'],
    ['experiment_id'],
    ['experiment_id DESC'],
    ['creation_time DESC', 'last_update_time'],
    ['last_update_time', 'name DESC'],
  ].map((orderBy) => parseOrder('experiments', orderBy)),
  models: [
    [],
    ['name DESC'],
    ['timestamp'],
    ['last_updated_timestamp DESC'],
    ['creation_timestamp', 'last_updated_timestamp DESC', 'name DESC'],
  ].map((orderBy) => parseOrder('models', orderBy)),
  versions: [
    [],
    ['name'],
    ['name DESC'],
    ['version_number'],
    ['version_number DESC', 'name DESC'],
    ['creation_timestamp', 'last_updated_timestamp DESC'],
  ].map((orderBy) => parseOrder('versions', orderBy)),
  loggedModels: (
    [
      [],
      [{ field_name: 'creation_timestamp' }],
      [{ field_name: 'name', ascending: false }],
      [{ field_name: 'model_type' }, { field_name: 'status', ascending: false }, { field_name: 'source_run_id' }],
      [{ field_name: 'metrics.acc' }],
      [{ field_name: 'metrics.acc', ascending: false }],
      [{ field_name: 'metrics.acc', dataset_name: 'd' }],
      [{ field_name: 'metrics.acc', ascending: false, dataset_name: 'd', dataset_digest: '1' }],
      [{ field_name: 'last_updated_timestamp' }, { field_name: 'model_id', ascending: false }],
    ] satisfies LoggedModelOrder[][]
  ).map((orderBy) => parseLoggedModelOrder(orderBy)),
}

const KINDS = Object.keys(FILTERS) as SearchKind[]

interface Asked {
  readonly filter?: string
  readonly order?: readonly OrderTerm[]
  readonly datasets?: readonly DatasetFilter[]
  readonly maxResults?: number
  readonly pageToken?: string
}

/** The ids of one page, as the registry would ask for it. */
async function search(database: Database, kind: SearchKind, asked: Asked): Promise<{ ids: readonly string[]; next: string | undefined }> {
  const { read: tables, dialect } = database
  const filter = {
    kind,
    dialect,
    clauses: parseFilter(kind, asked.filter ?? ''),
    ...(asked.datasets === undefined ? {} : { datasets: asked.datasets }),
  }
  const order = asked.order ?? ORDERS[kind][0]!
  const page = {
    kind,
    dialect,
    maxResults: asked.maxResults ?? 1000,
    ...(asked.pageToken === undefined ? {} : { pageToken: asked.pageToken }),
    among: [asked.filter],
  }
  const found = await ask()
  for (const row of found.rows) assert.deepEqual(Object.keys(row), ['id'])
  return { ids: found.rows.map(({ id }) => id), next: found.nextPageToken }

  function ask() {
    switch (kind) {
      case 'runs':
        return pageOf(filterQuery(tables.selectFrom('runs').select('runs.id'), filter), order, page)
      case 'experiments':
        return pageOf(filterQuery(tables.selectFrom('experiments').select('experiments.id'), filter), order, page)
      case 'models':
        return pageOf(filterQuery(tables.selectFrom('models').select('models.id'), filter), order, page)
      case 'versions': {
        const versions = tables.selectFrom('versions').innerJoin('models', 'models.id', 'versions.model_id').select('versions.id')
        return pageOf(filterQuery(versions, filter), order, page)
      }
      case 'loggedModels':
        return pageOf(filterQuery(tables.selectFrom('logged_models').select('logged_models.id'), filter), order, page)
    }
  }
}

async function walk(database: Database, kind: SearchKind, asked: Asked): Promise<readonly string[]> {
  const ids: string[] = []
  let pageToken = ''
  for (;;) {
    const page = await search(database, kind, { ...asked, pageToken })
    ids.push(...page.ids)
    if (page.next === undefined) return ids
    assert.equal(page.ids.length, asked.maxResults, 'only the last page may be short')
    pageToken = page.next
  }
}

function isRefusal(error: unknown): boolean {
  return isSlipwayError(error) && error.code === 'SLW_INPUT_INVALID' && error.message.startsWith('Invalid page token')
}

console.log(`seed ${SEED}`)

for (const kind of KINDS) {
  eachDatabase(`filters of ${kind} find the rows that a plain reading finds`, async (database) => {
    const things = makeThings(SEED)
    await database.write((tables) => insertThings(tables, things))
    const filters = FILTERS[kind].filter((text) => text !== '')
    const below = randomness(SEED)
    const pairs = Array.from({ length: 100 }, () => `${filters[below(filters.length)]} AND ${filters[below(filters.length)]}`)
    const order = ORDERS[kind][0]!
    let telling = 0
    for (const filter of [...FILTERS[kind], ...pairs]) {
      const expected = plainSearch(kind, things[kind], { clauses: parseFilter(kind, filter), order })
      assert.deepEqual((await search(database, kind, { filter })).ids, expected, filter)
      if (expected.length > 0 && expected.length < things[kind].length) telling++
    }
    assert.ok(telling > filters.length / 3, `only ${telling} filters told rows apart`)
  })

  eachDatabase(`orders of ${kind} are those of a plain reading, whatever the size of the pages`, async (database) => {
    const things = makeThings(SEED + 1)
    await database.write((tables) => insertThings(tables, things))
    for (const order of ORDERS[kind]) {
      const expected = plainSearch(kind, things[kind], { clauses: [], order })
      for (const maxResults of [1, 7, expected.length, 1000])
        assert.deepEqual(await walk(database, kind, { order, maxResults }), expected, `${JSON.stringify(order)}, ${maxResults} to a page`)
    }
  })
}

eachDatabase('logged models are found by what they were measured on', async (database) => {
  const things = makeThings(SEED)
  await database.write((tables) => insertThings(tables, things))
  const order = ORDERS.loggedModels[0]!
  for (const datasets of [[{ name: 'd' }], [{ name: 'd', digest: '1' }], [{ name: 'd', digest: '2' }, { name: 'e' }], [{ name: 'none' }]])
    for (const filter of ['', 'metrics.acc > 0', "metrics.acc != 1 AND name != 'a'", "params.lr = 'a'"]) {
      const expected = plainSearch('loggedModels', things.loggedModels, {
        clauses: parseFilter('loggedModels', filter),
        order,
        datasets,
      })
      assert.deepEqual(
        (await search(database, 'loggedModels', { filter, datasets })).ids,
        expected,
        `${filter} on ${JSON.stringify(datasets)}`,
      )
    }
})

eachDatabase('a status of a logged model may be written with or without its prefix', async (database) => {
  await database.write((tables) => insertThings(tables, makeThings(SEED)))
  const plain = await search(database, 'loggedModels', { filter: "status IN ('READY')" })
  assert.deepEqual(await search(database, 'loggedModels', { filter: "status = 'LOGGED_MODEL_READY'" }), plain)
  assert.ok(plain.ids.length > 0)
  const [some] = plain.ids
  await database.write((tables) =>
    tables.updateTable('logged_models').set({ status: 'LOGGED_MODEL_UPLOAD_FAILED' }).where('id', '=', some!).execute(),
  )
  const failed = await search(database, 'loggedModels', { filter: "status = 'FAILED'" })
  assert.deepEqual(failed.ids, [some])
  for (const filter of ["status LIKE 'F%'", "status LIKE 'LOGGED_MODEL_UPLOAD_%'", "status ILIKE '%upload%'"])
    assert.deepEqual(await search(database, 'loggedModels', { filter }), failed, filter)
  await assert.rejects(search(database, 'loggedModels', { filter: "status = 'BROKEN'" }), /Unknown model status in filter: 'BROKEN'/)
  const others = await search(database, 'loggedModels', { filter: "status NOT IN ('READY', 'LOGGED_MODEL_UPLOAD_FAILED')" })
  const ids = new Set([...plain.ids, ...failed.ids])
  assert.ok(others.ids.every((id) => !ids.has(id)))
})

eachDatabase('rows that come and go between two pages hide none of the others and show none twice', async (database) => {
  const things = makeThings(SEED)
  await database.write((tables) => insertThings(tables, things))
  const order = parseOrder('runs', ['metrics.acc DESC', 'params.lr'])
  const before = plainSearch('runs', things.runs, { clauses: [], order })
  const first = await search(database, 'runs', { order, maxResults: 30 })
  // One that belongs to the first page, one that goes from it, and the very one that the second page begins behind.
  const best = {
    ...things.runs[0]!,
    id: 'new',
    points: [{ key: 'acc', value: 1.7976931348623157e308, timestamp: 1, step: 1, dataset: '', digest: '' }],
  }
  await database.write((tables) => insertRun(tables, best))
  await database.write((tables) => tables.deleteFrom('runs').where('id', 'in', [before[3]!, before[29]!]).execute())
  assert.deepEqual(first.ids, before.slice(0, 30))
  assert.deepEqual((await search(database, 'runs', { order, pageToken: first.next! })).ids, before.slice(30))
  assert.ok((await search(database, 'runs', { order, maxResults: 30 })).ids.includes('new'))
})

eachDatabase('a token of another order, a changed one and none at all are told apart from a page', async (database) => {
  await database.write((tables) => insertThings(tables, makeThings(SEED)))
  const order = parseOrder('runs', ['metrics.acc'])
  const { next } = await search(database, 'runs', { order, maxResults: 5 })
  assert.ok(next !== undefined)
  assert.match(next, /^[\w-]+$/)
  await assert.rejects(search(database, 'runs', { order: parseOrder('runs', ['metrics.f1']), pageToken: next }), isRefusal)
  await assert.rejects(search(database, 'runs', { order: parseOrder('runs', ['metrics.acc DESC']), pageToken: next }), isRefusal)
  await assert.rejects(search(database, 'experiments', { pageToken: next }), isRefusal)
  await assert.rejects(search(database, 'runs', { order, filter: "status = 'FAILED'", pageToken: next }), isRefusal)
  const content = JSON.parse(Buffer.from(next, 'base64url').toString()) as unknown[]
  for (let place = 0; place < content.length; place++)
    for (const value of [['x'], {}, 'not a number', '', '1e999999', 'a\0b', 12]) {
      const forged = Buffer.from(JSON.stringify(content.with(place, value))).toString('base64url')
      // Any text is a place among texts, and infinity one among numbers; what matters is that the database is asked nothing that it cannot answer.
      await search(database, 'runs', { order, pageToken: forged }).catch((error: unknown) => assert.ok(isRefusal(error), String(error)))
    }
  for (const forged of [
    '!',
    'eyJvZmZzZXQiOiA1fQ==',
    Buffer.from('[]').toString('base64url'),
    Buffer.from('null').toString('base64url'),
    'x'.repeat(1_000_001),
  ])
    await assert.rejects(search(database, 'runs', { order, pageToken: forged }), isRefusal)
})

eachDatabase('pages of no rows, or of half a row, are refused', async (database) => {
  for (const maxResults of [0, -1, 1.5, Number.NaN])
    await assert.rejects(search(database, 'runs', { maxResults }), { message: /^Invalid value for max_results/ })
})

eachDatabase('the largest filters that are accepted can be run', async (database) => {
  const things = makeThings(SEED)
  await database.write((tables) => insertThings(tables, things))
  const ids = Array.from({ length: 9000 }, (_, index) => `'${index === 0 ? things.runs[0]!.id : `x${index}`}'`)
  const filter = [`run_id IN (${ids.join(', ')})`, ...Array.from({ length: 99 }, (_, index) => `tags.t${index} IS NULL`)].join(' AND ')
  assert.deepEqual((await search(database, 'runs', { filter })).ids, [things.runs[0]!.id])
  assert.deepEqual((await search(database, 'runs', { filter: `tags.a LIKE '${'[é'.repeat(8000)}'` })).ids, [])
  const order = parseOrder(
    'runs',
    Array.from({ length: 20 }, (_, index) => `tags.t${index}`),
  )
  const expected = plainSearch('runs', things.runs, { clauses: [], order })
  assert.deepEqual(await walk(database, 'runs', { order, maxResults: 25 }), expected)
})
