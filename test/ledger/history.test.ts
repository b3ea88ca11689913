import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { beginOnce, freeOnce } from '../../src/ledger/once.ts'
import { FEED_LENGTH } from '../../src/ledger/history.ts'
import { listTrash } from '../../src/models/trash.ts'
import { addFile, ANNA, eachRegistry, NOBODY } from '../models/in-registry.ts'
import type { Once } from '../../src/ledger/scope.ts'
import type { Registry } from '../models/registry.ts'

const SOURCE = 's3://bucket/model'

async function modelWith(registry: Registry, name: string, versions: number): Promise<void> {
  await registry.models.create(ANNA, { name })
  for (let count = 0; count < versions; count++) await registry.versions.create(ANNA, name, { source: SOURCE })
}

eachRegistry('what an alias pointed to at a moment is known, through moves, renamings and deletions', async (registry, _, clock) => {
  const { aliases, history, models, versions } = registry
  await modelWith(registry, 'old', 3)
  const moments: [at: number, name: string, version: number | undefined][] = []
  const note = (name: string, version: number | undefined): void => void moments.push([clock.epochMs(), name, version])
  note('old', undefined)
  await aliases.set({ ...ANNA, reason: 'first' }, 'old', { alias: 'live', version: '1' }, NOBODY)
  note('old', 1)
  await aliases.set(ANNA, 'old', { alias: 'live', version: '2' }, NOBODY)
  note('old', 2)
  await models.rename(ANNA, 'old', 'new')
  note('new', 2)
  await aliases.set(ANNA, 'new', { alias: 'live', version: '3' }, NOBODY)
  note('new', 3)
  await versions.delete(ANNA, 'new', '3')
  note('new', undefined)
  await aliases.set(ANNA, 'new', { alias: 'live', version: '1' }, NOBODY)
  note('new', 1)
  await models.delete(ANNA, 'new')
  note('new', undefined)
  for (const [at, , version] of moments) assert.equal((await history.aliasAt(ANNA, 'new', 'live', at)).version, version, `at ${at}`)
  const first = await history.aliasAt(ANNA, 'new', 'live', moments[1]![0])
  assert.deepEqual([first.since?.actor, first.since?.reason, first.since?.after], ['anna', 'first', { version: 1 }])
  assert.equal((await history.aliasAt(ANNA, 'nothing', 'live', clock.epochMs())).since, undefined)
  assert.equal((await history.aliasAt({ ...ANNA, environment: 'other' }, 'new', 'live', clock.epochMs())).version, undefined)
})

eachRegistry('a feed misses nothing and tells nothing twice while many write', async (registry, database) => {
  await modelWith(registry, 'm', 1)
  const { history, models } = registry
  const seen: number[] = []
  const writing = new AbortController()
  const reading = (async () => {
    for (let after = 0; !writing.signal.aborted || after < (await history.last());) {
      const upTo = await history.last()
      const events = await history.after(ANNA, after, {}, { limit: 7, upTo })
      seen.push(...events.map(({ sequence }) => sequence))
      after = events.at(-1)?.sequence ?? after
      if (events.length === 0) await pause(1)
    }
  })()
  await Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      for (let count = 0; count < 15; count++) await models.setTag(ANNA, 'm', { key: `k${writer}`, value: String(count) })
    }),
  )
  // A transaction that fails takes no number away.
  await assert.rejects(models.setTag(ANNA, 'gone', { key: 'k', value: '' }), { code: 'SLW_NOT_FOUND' })
  writing.abort()
  await reading
  const all = await database.read.selectFrom('events').select('sequence').orderBy('sequence').execute()
  assert.deepEqual(
    seen,
    all.map(({ sequence }) => sequence),
  )
  assert.deepEqual(
    seen,
    seen.map((_, index) => index + 1),
  )
})

eachRegistry('a feed that is too far behind, or ahead of a database that was restored, says so', async ({ history }) => {
  const ask = (sequence: number, upTo: number) => history.after(ANNA, sequence, {}, { limit: 1, upTo })
  await assert.rejects(ask(6, 5), { code: 'SLW_FEED_EXPIRED' })
  await assert.rejects(ask(0, FEED_LENGTH + 1), { code: 'SLW_FEED_EXPIRED' })
  assert.deepEqual(await ask(1, FEED_LENGTH + 1), [])
})

eachRegistry('of two who have seen the same version of a row one is refused', async (registry) => {
  const { models, versions, aliases } = registry
  await modelWith(registry, 'm', 2)
  const { resourceVersion } = await models.get(ANNA, 'm')
  const results = await Promise.allSettled(
    ['a', 'b'].map((description) => models.update({ ...ANNA, resourceVersion }, 'm', { description })),
  )
  assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  const refusals = results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as { code: string }).code] : []))
  assert.deepEqual(refusals, ['SLW_PRECONDITION_FAILED'])
  assert.equal((await models.get(ANNA, 'm')).resourceVersion, resourceVersion + 1)
  const version = await versions.get(ANNA, 'm', '1')
  await versions.update({ ...ANNA, resourceVersion: version.resourceVersion }, 'm', '1', { tags: { a: '1' } })
  await assert.rejects(versions.update({ ...ANNA, resourceVersion: version.resourceVersion }, 'm', '1', { tags: { a: null } }), {
    code: 'SLW_PRECONDITION_FAILED',
  })
  assert.deepEqual((await versions.update(ANNA, 'm', '1', { tags: { a: null, b: '2' } })).tags, [{ key: 'b', value: '2' }])

  await aliases.set(ANNA, 'm', { alias: 'live', version: '1', expected: 'none' }, NOBODY)
  const moves = await Promise.allSettled(
    [2, 2].map((to) => aliases.set(ANNA, 'm', { alias: 'live', version: String(to), expected: 1 }, NOBODY)),
  )
  assert.deepEqual(moves.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  await assert.rejects(aliases.remove(ANNA, 'm', { alias: 'live', expected: 1 }, NOBODY), { code: 'SLW_PRECONDITION_FAILED' })
})

eachRegistry('a request that is made twice is executed once, however close together', async (registry, database, clock) => {
  const { ground } = registry
  await modelWith(registry, 'm', 0)
  const once = (key: string, more: Partial<Once> = {}): Once => ({ caller: 'anna', key, digest: 'd', attempt: randomUUID(), ...more })
  const create = async (own: Once): Promise<string> => {
    const earlier = await beginOnce(ground, own)
    if (earlier !== undefined) return 'earlier'
    await registry.versions.create({ ...ANNA, once: own }, 'm', { source: SOURCE })
    return 'created'
  }
  const results = await Promise.allSettled([1, 2, 3].map(() => create(once('k'))))
  assert.equal(results.filter((result) => result.status === 'fulfilled' && result.value === 'created').length, 1)
  assert.equal((await database.read.selectFrom('versions').select('id').execute()).length, 1)
  assert.deepEqual(await beginOnce(ground, once('k')), { answer: undefined, object: { kind: 'version', name: 'm/1' } })
  await assert.rejects(beginOnce(ground, once('k', { digest: 'other' })), { code: 'SLW_IDEMPOTENCY_CONFLICT' })
  assert.equal(await beginOnce(ground, once('k', { caller: 'bea' })), undefined, 'the same key of another caller is another key')

  // An attempt that has changed nothing yet stands in the way of a repetition for a while, and is then taken over for good.
  const slow = once('k2')
  assert.equal(await beginOnce(ground, slow), undefined)
  await assert.rejects(beginOnce(ground, once('k2')), { code: 'SLW_CONFLICT' })
  clock.pass(31_000)
  assert.equal(await create(once('k2')), 'created')
  await assert.rejects(registry.versions.create({ ...ANNA, once: slow }, 'm', { source: SOURCE }), { code: 'SLW_CONFLICT' })
  assert.equal((await database.read.selectFrom('versions').select('id').execute()).length, 2)

  // A refused request leaves no key, one that has changed something keeps it.
  for (const [unless, free] of [
    ['never', true],
    ['changed', false],
  ] as const) {
    const key = `k-${unless}`
    await create(once(key))
    const own = once(key)
    await database.write((write) => write.updateTable('idempotency_keys').set({ attempt: own.attempt }).where('key', '=', key).execute())
    await freeOnce(ground, own, unless)
    assert.equal((await beginOnce(ground, once(key))) === undefined, free)
  }
})

eachRegistry('what lies in the trash comes back, and a name that was taken meanwhile stands in the way', async (registry) => {
  const { models, versions, aliases } = registry
  await modelWith(registry, 'm', 2)
  await aliases.set(ANNA, 'm', { alias: 'live', version: '2' }, NOBODY)
  const { resourceVersion } = await versions.get(ANNA, 'm', '2')
  await versions.delete(ANNA, 'm', '2')
  const ground = registry.ground
  const [gone] = await listTrash(ground, ANNA)
  assert.deepEqual([gone?.kind, gone?.name], ['version', 'm/2'])
  const back = await versions.restore(ANNA, 'm', '2')
  assert.deepEqual([back.number, back.aliases], [2, []])
  assert.ok(back.resourceVersion > resourceVersion + 1, 'it has changed twice since')
  await assert.rejects(versions.restore(ANNA, 'm', '2'), { code: 'SLW_NOT_FOUND' })

  const { id } = await models.get(ANNA, 'm')
  await models.delete(ANNA, 'm')
  await modelWith(registry, 'm', 1)
  assert.deepEqual(
    (await models.get(ANNA, 'm')).latestVersions.map(({ number }) => number),
    [3],
    'numbers go on',
  )
  await assert.rejects(models.restore(ANNA, id), { code: 'SLW_ALREADY_EXISTS' })
  await models.rename(ANNA, 'm', 'm2')
  assert.equal((await models.restore(ANNA, id)).name, 'm')
  assert.equal(
    (await versions.create(ANNA, 'm', { source: SOURCE })).number,
    4,
    'a number of the name that was given meanwhile is not given again',
  )
  await assert.rejects(models.restore({ ...ANNA, environment: 'other' }, id), { code: 'SLW_NOT_FOUND' })
  assert.deepEqual(await listTrash(ground, ANNA), [])
})

eachRegistry('a version knows the metrics, data and code of its run as they were', async (registry, database) => {
  const { runs, runData, models, versions } = registry
  const run = await runs.create(ANNA, { experimentId: '0', tags: [{ key: 'mlflow.source.git.commit', value: 'abc123' }] })
  const point = { timestamp: 1, step: 0 }
  await runData.log(ANNA, run.id, {
    metrics: [
      { key: 'auc', value: 0.9, ...point },
      { key: 'bad', value: Number.NaN, ...point },
    ],
    params: [],
    tags: [],
  })
  await addFile(database, `run:${run.id}`, 'model/MLmodel', 'x')
  await models.create(ANNA, { name: 'm' })
  const version = await versions.create(ANNA, 'm', { source: `runs:/${run.id}/model`, metrics: { extra: 1 } })
  await runData.log(ANNA, run.id, { metrics: [{ key: 'auc', value: 0.1, timestamp: 2, step: 1 }], params: [], tags: [] })
  const kept = await versions.get(ANNA, 'm', String(version.number))
  assert.deepEqual(
    [kept.metrics, kept.provenance],
    [
      { auc: 0.9, extra: 1 },
      { runId: run.id, codeCommit: 'abc123' },
    ],
  )
})
