import assert from 'node:assert/strict'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startControlPlane } from '../../src/control-plane/start-control-plane.ts'
import { DELIVERY_STEPS, FOLLOW_STEPS } from '../../src/core/fail-point.ts'
import { Histogram, LATENCY_EDGES } from '../../src/contract/statistics/histogram.ts'
import { serveInChild } from '../child-server.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { added, adders, deploy, setAlias } from '../following/following.ts'
import { requestsAt } from '../following/outage.ts'
import { newMigratedPostgres, newPostgres } from '../storage/databases.ts'
import { openPlace } from '../storage/open-place.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { until } from '../fixtures.ts'
import { letGoAll } from './let-go.ts'
import { upInChild } from './up-in-child.ts'
import type { ChildControlPlane } from './up-in-child.ts'
import { writeWindow } from '../../src/contract/observation-window.ts'
import type { WireWindow } from '../../src/contract/observation-window.ts'
import type { Database } from '../../src/storage/sql/database.ts'
import type { Plane } from '../api/in-plane.ts'

/** Windows of one server: three of one request each. */
function windowsOf(server: string): WireWindow[] {
  const histogram = new Histogram(LATENCY_EDGES)
  histogram.observe(0.01)
  const startMs = Math.floor(Date.now() / 10_000) * 10_000
  return [0, 1, 2].map((sequence) =>
    writeWindow({
      key: {
        source: 'online',
        server,
        bootId: 'b',
        sequence,
        endpoint: 'adder',
        variant: 'main',
        model: 'adder',
        version: '1',
        segment: 1,
        startMs: startMs - sequence * 10_000,
        endMs: startMs - sequence * 10_000 + 10_000,
      },
      series: [{ name: 'request_seconds', labels: { protocol: 'v2', code: 200 }, statistic: histogram.snapshot() }],
    }),
  )
}

function reportOf(revision: number): object {
  return {
    apiVersion: 'slipway/v1',
    bootId: 'b',
    release: '0',
    sentAt: Date.now(),
    staleSeconds: 0,
    expiresInMs: 60_000,
    endpoints: [{ name: 'adder', revision: revision + 1, versions: [] }],
  }
}

type Ask = (method: string, path: string, body?: unknown) => Promise<{ status: number; body: any }>

function asker(url: string): Ask {
  return async (method, path, body) => {
    const response = await fetch(`${url}${path}`, {
      method,
      ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
  }
}

/** All that writes, one after the other. @returns what was answered with success */
async function story(ask: Ask): Promise<Set<string>> {
  const done = new Set<string>()
  const steps: readonly (readonly [string, string, string, unknown])[] = [
    [
      'applied',
      'PUT',
      '/api/v1/endpoints/adder',
      {
        apiVersion: 'slipway/v1',
        kind: 'Endpoint',
        metadata: { name: 'adder' },
        spec: { variants: [{ model: 'adder@champion', serving: { instances: 1 } }] },
      },
    ],
    ['moved', 'PUT', '/api/v1/models/adder/aliases/champion', { version: 2 }],
    ['rolled back', 'POST', '/api/v1/endpoints/adder/rollback', {}],
    ['resumed', 'POST', '/api/v1/endpoints/adder/resume', {}],
    ['promoted', 'POST', '/api/v1/models/adder/versions/2/promote', { to: 'production', alias: 'champion' }],
    ['reported', 'PUT', '/api/v1/servers/s/report', reportOf(0)],
    ['windows', 'POST', '/api/v1/servers/s/windows', { sentAt: Date.now(), windows: windowsOf('s') }],
    ['deleted', 'DELETE', '/api/v1/endpoints/spare', undefined],
  ]
  for (const [name, method, path, body] of steps) {
    try {
      const { status } = await ask(method, path, body)
      if (status < 300) done.add(name)
    } catch {
      return done
    }
  }
  return done
}

/** @returns undefined where it comes to the step at its start */
async function upUntil(step: string, args: readonly string[]): Promise<ChildControlPlane | undefined> {
  try {
    return await upInChild(args, { SLIPWAY_FAIL_POINTS: `${step}:kill` })
  } catch (error) {
    assert.match((error as Error).message, /SIGKILL/)
    return undefined
  }
}

/** A step that nobody comes to is no test. */
async function requireEnd(exit: Promise<unknown>, step: string): Promise<void> {
  const late = new Promise<'late'>((resolve) => setTimeout(() => resolve('late'), 20_000).unref())
  assert.notEqual(await Promise.race([exit, late]), 'late', `nothing came to ${step}`)
}

/** Every revision is whole, numbers have no gap, and what is in force is what requests are shared by. */
async function requireConsistent(database: Database): Promise<void> {
  const { read } = database
  for (const { id, name, current_revision: current } of await read.selectFrom('endpoints').selectAll().execute()) {
    const revisions = await read.selectFrom('revisions').selectAll().where('endpoint_id', '=', id).orderBy('number').execute()
    assert.deepEqual(
      revisions.map(({ number }) => number),
      Array.from({ length: current }, (_, index) => index + 1),
      `revisions of ${name}`,
    )
    for (const { number, resolved } of revisions) {
      const versions = await read
        .selectFrom('revision_versions')
        .selectAll()
        .where('endpoint_id', '=', id)
        .where('number', '=', number)
        .execute()
      assert.deepEqual(
        versions.map(({ version_id }) => version_id),
        (JSON.parse(resolved) as { versionId: string }[]).map(({ versionId }) => versionId),
      )
    }
    const routing = await read.selectFrom('routing_states').selectAll().where('endpoint_id', '=', id).executeTakeFirstOrThrow()
    assert.equal(routing.revision, current)
    // Each revision is told of once.
    const events = await read.selectFrom('events').select('after').where('kind', '=', 'endpoint').where('name', '=', name).execute()
    const told = events
      .map(({ after: text }) => (JSON.parse(text ?? '{}') as { revision?: number }).revision)
      .filter((number) => number !== undefined)
    assert.deepEqual(
      told.toSorted((a, b) => a - b),
      revisions.map(({ number }) => number),
    )
  }
  for (const { id, digest } of await read.selectFrom('versions').select(['id', 'digest']).execute()) {
    const files = await read.selectFrom('files').select('path').where('root', '=', `version:${id}`).execute()
    assert.ok(digest === null || files.length > 0, 'a version has its files')
  }
}

/** What every test begins with: two versions, endpoints that follow in different ways, one of which the clock has made due. */
async function fill(options: { data: string; database?: string; objects?: string }): Promise<void> {
  await declareAll(options)
  await using database = await openPlace(options.database ?? `sqlite:${join(options.data, 'slipway.db')}`)
  await database.write(async (write) => {
    await write.updateTable('endpoints').set({ next_follow_at: 1 }).where('name', '=', 'timed').execute()
    // Whoever starts first looks at once, and not when it would be time again.
    await write.deleteFrom('work_items').execute()
  })
}

async function declareAll(options: { data: string; database?: string; objects?: string }): Promise<void> {
  await using plane = await planeInProcess(options)
  await plane.ask('POST', '/environments', { name: 'production' })
  await adders(plane, 2)
  for (const [name, follow] of [
    ['adder', 'notification'],
    ['spare', 'notification'],
    ['timed', { cron: '0 3 * * *' }],
  ] as const)
    assert.equal((await plane.ask('PUT', `/endpoints/${name}`, declared(name, follow))).status, 201)
  await setAlias(plane, 2)
  await setAlias(plane, 1)
}

function declared(name: string, follow: unknown, labels: Record<string, string> = {}): object {
  return {
    apiVersion: 'slipway/v1',
    kind: 'Endpoint',
    metadata: { name, labels },
    spec: { variants: [{ model: 'adder@champion' }], follow },
  }
}

/** What those who were told that it is done may rely on. @param others requests in windows of others */
async function requireKept(url: string, done: ReadonlySet<string>, others = 0): Promise<void> {
  const ask = asker(url)
  const { body: endpoint } = await ask('GET', '/api/v1/endpoints/adder')
  if (done.has('resumed')) assert.equal(endpoint.status.suspended, undefined)
  else if (done.has('rolled back')) assert.notEqual(endpoint.status.suspended, undefined)
  const alias = await ask('GET', '/env/production/api/v1/models/adder/aliases/champion')
  if (done.has('promoted')) assert.equal(alias.body.version, 1)
  if (done.has('windows')) assert.equal(await requestsAt(url), 3 + others)
}

/** The same once more: what was cut off is done, what was done is not done twice. */
async function requireRepeatable(url: string, others = 0): Promise<void> {
  const ask = asker(url)
  const again = await story(ask)
  assert.deepEqual([...again].filter((name) => !['deleted', 'rolled back', 'resumed'].includes(name)).length, 5, [...again].join())
  assert.equal(await requestsAt(url), 3 + others)
  await until(async () => (await ask('GET', '/api/v1/endpoints/timed')).body.status.nextFollowAt > Date.now(), 'the clock goes on')
  const timed = (await ask('GET', '/api/v1/endpoints/timed')).body.status.revision.number
  assert.ok(timed <= 2, `followed once: ${timed}`)
}

describe('a control plane that is killed at any step of declaring, following and hearing', { timeout: 600_000 }, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  before(async () => {
    folder = await temporaryFolder()
    await fill({ data: join(folder.path, 'template') })
  })
  after(async () => {
    await folder[Symbol.asyncDispose]()
  })

  for (const step of DELIVERY_STEPS)
    it(`${step}: nothing is lost, nothing is half there, nothing is done twice (SQLite)`, async () => {
      const data = join(folder.path, step)
      await cp(join(folder.path, 'template'), data, { recursive: true })
      let done = new Set<string>()
      await using killed = await upUntil(step, ['--data', data, '--no-server'])
      if (killed !== undefined) {
        done = await story(asker(killed.url))
        await requireEnd(killed.exit, step)
      }
      await using plane = await upInChild(['--data', data, '--no-server'])
      await requireKept(plane.url, done)
      await requireRepeatable(plane.url)
      plane.signal('SIGTERM')
      await plane.exit
      await using database = await openPlace(`sqlite:${join(data, 'slipway.db')}`)
      await requireConsistent(database)
    })
})

describe('one of two control planes that is killed at any step, while the other one works', { timeout: 900_000 }, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let template = ''
  let objects = ''
  before(async () => {
    folder = await temporaryFolder()
    objects = `file:${join(folder.path, 'objects')}`
    const database = await newMigratedPostgres()
    template = /(\w+)(?:\?|$)/.exec(database)![1]!
    await fill({ data: join(folder.path, 'template'), database, objects })
  })
  after(async () => {
    await folder[Symbol.asyncDispose]()
  })

  for (const step of DELIVERY_STEPS)
    it(`${step}: nothing is lost, nothing is half there, nothing is done twice (PostgreSQL)`, async () => {
      const database = await newPostgres(template)
      const args = ['--data', join(folder.path, step), '--db', database, '--objects', objects, '--no-server']
      await using killed = await upUntil(step, args)
      let done = new Set<string>()
      {
        await using other = await startControlPlane({ data: join(folder.path, `${step}-other`), port: 0, database, objects })
        const ended = new AbortController()
        const work = keepBusy(asker(other.url), ended.signal)
        if (killed !== undefined) {
          done = await story(asker(killed.url))
          await requireEnd(killed.exit, step)
        }
        ended.abort()
        await work
        await requireKept(other.url, done, 3)
        await letGoAll(database)
        await requireRepeatable(other.url, 3)
      }
      await using opened = await openPlace(database)
      await requireConsistent(opened)
    })
})

/** Writes to the same rows, again and again, without a change of what the story is about: labels, reports, windows of another server. */
async function keepBusy(ask: Ask, signal: AbortSignal): Promise<void> {
  for (let turn = 0; turn === 0 || !signal.aborted; turn++)
    await Promise.all([
      ask('PUT', '/api/v1/endpoints/spare', declared('spare', 'notification', { turn: String(turn) })),
      ask('PUT', '/api/v1/servers/other/report', reportOf(turn)),
      ask('POST', '/api/v1/servers/other/windows', { sentAt: Date.now(), windows: windowsOf('other') }),
    ])
}

it('two control planes of one PostgreSQL race, and a server may talk to any of them', { timeout: 300_000 }, async () => {
  await using folder = await temporaryFolder()
  const database = await newMigratedPostgres()
  const objects = `file:${join(folder.path, 'objects')}`
  const open = (name: string) => startControlPlane({ data: join(folder.path, name), port: 0, database, objects })
  await using one = await open('one')
  await using two = await open('two')
  const [askOne, askTwo] = [asker(one.url), asker(two.url)]
  const plane = {
    url: one.url,
    ask: (method: string, path: string, body?: unknown) => fetchPlane(one.url, method, path, body),
  } as unknown as Plane
  await adders(plane, 2)
  await deploy(plane)
  await deploy(plane, 'adder@champion', {})
  const work: Promise<unknown>[] = []
  for (let turn = 0; turn < 20; turn++)
    for (const ask of [askOne, askTwo]) {
      work.push(ask('PUT', '/api/v1/models/adder/aliases/champion', { version: (turn % 2) + 1 }))
      work.push(ask('POST', '/api/v1/endpoints/adder/rollback', {}))
      work.push(ask('POST', '/api/v1/endpoints/adder/resume', {}))
      work.push(ask('POST', '/api/v1/servers/s/windows', { sentAt: Date.now(), windows: windowsOf('s') }))
    }
  await Promise.all(work)
  assert.equal(await requestsAt(two.url), 3, 'sent forty times to two, counted once')
  {
    await using opened = await openPlace(database)
    await requireConsistent(opened)
  }
  await askOne('POST', '/api/v1/endpoints/adder/resume', {})
  await askOne('PUT', '/api/v1/models/adder/aliases/champion', { version: 1 })
  await using server = await serveInChild(['--control-plane', two.url, '--store', join(folder.path, 'store')])
  assert.equal(await added(server), 1)
  await askOne('PUT', '/api/v1/models/adder/aliases/champion', { version: 2 })
  await until(async () => (await added(server)) === 2, 'what one declares, who follows the other serves')
})

async function fetchPlane(url: string, method: string, path: string, body: unknown): Promise<unknown> {
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    ...(body !== undefined && {
      headers: { 'content-type': body instanceof Uint8Array ? 'application/octet-stream' : 'application/json' },
      body: body instanceof Uint8Array ? (body as never) : JSON.stringify(body),
    }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text), headers: response.headers }
}

describe('a server that is killed at any step of following', { timeout: 300_000 }, () => {
  for (const step of FOLLOW_STEPS)
    it(`${step}: starts again with a version that is whole, and has what was declared`, async () => {
      await using folder = await temporaryFolder()
      await using plane = await planeInProcess()
      await adders(plane, 2)
      await deploy(plane)
      const args = ['--control-plane', plane.url, '--store', join(folder.path, 'store'), '--server-name', 's']
      const trigger = join(folder.path, 'now')
      const { writeFile } = await import('node:fs/promises')
      await using server = await serveInChild(args, { SLIPWAY_FAIL_POINTS: `${step}:kill@${trigger}` })
      assert.equal(await added(server), 1)
      await writeFile(trigger, '')
      await setAlias(plane, 2)
      await requireEnd(server.exit, step)
      await using again = await serveInChild(args)
      await until(async () => (await added(again)) === 2, 'it serves what is declared', 30_000)
    })
})
