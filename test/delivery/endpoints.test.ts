import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contradictionsIn, resolveSpec } from '../../src/contract/endpoint.ts'
import { nextFollow } from '../../src/delivery/next-follow.ts'
import { Delivery } from '../../src/delivery/delivery.ts'
import { planOf, unsupported } from '../../src/delivery/targets.ts'
import { ANNA } from '../models/in-registry.ts'
import { declared, eachDelivery } from './in-delivery.ts'
import type { EndpointSpec } from '../../src/contract/endpoint.ts'
import type { Declaration } from '../../src/delivery/endpoints.ts'
import type { DeclaredEndpoint } from '../../src/delivery/read-endpoints.ts'
import type { Database } from '../../src/storage/sql/database.ts'
import type { World } from './in-delivery.ts'

const served = ({ revision }: DeclaredEndpoint): string =>
  `r${revision.number} ${revision.variants.map(({ model, version }) => `${model}/${version}`).join()}`

/** `churn` with two versions, and an endpoint that follows `champion`, which is the first. */
async function churn({ version, set, delivery }: World, more: Partial<EndpointSpec> = {}): Promise<void> {
  await version('churn')
  await version('churn')
  await set('churn@champion', 1)
  await delivery.endpoints.apply(ANNA, declared('churn', 'churn@champion', more))
}

eachDelivery('an endpoint that is declared resolves to a version, and the same declaration changes nothing', async (world) => {
  const { delivery, registry } = world
  await churn(world)
  const endpoint = await delivery.endpoints.get(ANNA, 'churn')
  assert.equal(served(endpoint), 'r1 churn/1')
  assert.deepEqual([endpoint.generation, endpoint.revision.cause, endpoint.revision.createdBy], [1, 'apply', 'anna'])
  assert.deepEqual(endpoint.routing.weights, { main: 100 })
  const again = await delivery.endpoints.apply(ANNA, declared('churn', 'churn@champion'))
  assert.deepEqual([again.change, again.after.resourceVersion], ['unchanged', endpoint.resourceVersion])
  const [event] = await registry.history.list(ANNA, { kind: 'endpoint' }, { limit: 5 })
  assert.deepEqual([event?.action, event?.name, event?.actor], ['created', 'churn', 'anna'])
})

eachDelivery('an alias that moves makes a revision in the same transaction', async (world) => {
  const { delivery, set } = world
  await churn(world)
  const before = await delivery.states.generation()
  await set('churn@champion', 2)
  const endpoint = await delivery.endpoints.get(ANNA, 'churn')
  assert.deepEqual([served(endpoint), endpoint.revision.cause, endpoint.generation], ['r2 churn/2', 'alias', 1])
  assert.equal(endpoint.routing.segment, 2)
  assert.ok((await delivery.states.generation()) > before)
  // An alias that is set to what it points to already is no move.
  await set('churn@champion', 2)
  assert.equal(served(await delivery.endpoints.get(ANNA, 'churn')), 'r2 churn/2')
})

eachDelivery('a rollback returns to what was served, moves no alias, and following waits for resume', async (world) => {
  const { delivery, registry, set, version } = world
  await churn(world)
  await set('churn@champion', 2)
  const { after } = await delivery.endpoints.rollback({ ...ANNA, reason: 'too many errors' }, 'churn')
  assert.deepEqual(
    [served(after), after.revision.rolledBackTo, after.suspended?.by, after.suspended?.reason],
    ['r3 churn/1', 1, 'anna', 'too many errors'],
  )
  assert.equal((await registry.aliases.resolve(ANNA, 'churn', 'champion'))?.number, 2)
  // What a file says again does not undo it.
  assert.equal((await delivery.endpoints.apply(ANNA, declared('churn', 'churn@champion'))).change, 'unchanged')
  // Another setting takes hold, and the version stays.
  const changed = await delivery.endpoints.apply(ANNA, {
    ...declared('churn', 'churn@champion'),
    spec: { variants: [{ model: 'churn@champion', serving: { instances: 2 } }] },
  })
  assert.deepEqual([served(changed.after), changed.after.suspended?.revision], ['r4 churn/1', 1])
  await assert.rejects(delivery.endpoints.sync(ANNA, 'churn'), /slipway endpoint resume churn/)
  const resumed = await delivery.endpoints.resume(ANNA, 'churn')
  assert.deepEqual([served(resumed.after), resumed.after.suspended], ['r5 churn/2', undefined])
  // The same by an alias that somebody moves.
  await delivery.endpoints.rollback(ANNA, 'churn')
  await set('churn@champion', await version('churn'))
  const moved = await delivery.endpoints.get(ANNA, 'churn')
  assert.deepEqual([served(moved), moved.suspended], ['r7 churn/3', undefined])
})

eachDelivery('who rolls back twice goes further back, and to a number exactly there', async (world) => {
  const { delivery, set, version } = world
  await churn(world)
  await set('churn@champion', 2)
  await set('churn@champion', await version('churn'))
  assert.equal(served((await delivery.endpoints.rollback(ANNA, 'churn')).after), 'r4 churn/2')
  assert.equal(served((await delivery.endpoints.rollback(ANNA, 'churn')).after), 'r5 churn/1')
  await assert.rejects(delivery.endpoints.rollback(ANNA, 'churn'), /no revision before this one that served anything else/)
  assert.equal(served((await delivery.endpoints.rollback(ANNA, 'churn', { to: 3 })).after), 'r6 churn/3')
  await assert.rejects(delivery.endpoints.rollback(ANNA, 'churn', { to: 99 }), { code: 'SLW_NOT_FOUND' })
})

eachDelivery('a rollback moves the alias where it is told to', async (world) => {
  const { delivery, registry, set } = world
  await churn(world)
  await set('churn@champion', 2)
  const { after } = await delivery.endpoints.rollback(ANNA, 'churn', { moveAlias: { protect: false } })
  assert.equal((await registry.aliases.resolve(ANNA, 'churn', 'champion'))?.number, 1)
  // Alias and endpoint agree, so there is nothing to be suspended for.
  assert.deepEqual([served(after), after.suspended], ['r3 churn/1', undefined])
})

eachDelivery('nothing is kept of a dry run', async (world) => {
  const { delivery, set, version } = world
  await churn(world)
  const generation = await delivery.states.generation()
  const { change, after } = await delivery.endpoints.apply(ANNA, declared('churn', 'churn/2'), { dryRun: true })
  assert.deepEqual([change, served(after)], ['configured', 'r2 churn/2'])
  assert.equal(await delivery.states.generation(), generation)
  await set('churn@champion', 2)
  assert.equal(served((await delivery.endpoints.rollback(ANNA, 'churn', { dryRun: true })).after), 'r3 churn/1')
  assert.equal(served(await delivery.endpoints.get(ANNA, 'churn')), 'r2 churn/2')
  await version('new')
  await delivery.endpoints.apply(ANNA, declared('new', 'new/1'), { dryRun: true })
  await assert.rejects(delivery.endpoints.get(ANNA, 'new'), /there is no endpoint "new"/)
})

eachDelivery('what a kept revision serves cannot be deleted, and an alias alone keeps nothing', async (world) => {
  const { delivery, registry, set, version } = world
  await churn(world)
  await set('churn@champion', 2)
  await assert.rejects(registry.versions.delete(ANNA, 'churn', '1'), (error: Error & { code: string; issues: { message: string }[] }) => {
    assert.equal(error.code, 'SLW_CONFLICT')
    assert.deepEqual(
      error.issues.map(({ message }) => message),
      ['revision 1 of endpoint churn'],
    )
    return true
  })
  await assert.rejects(registry.models.delete(ANNA, 'churn'), /revision 2 of endpoint churn \(in force\)/)
  await set('churn@next', await version('churn'))
  await registry.versions.delete(ANNA, 'churn', '3')
  // Ten revisions later nobody returns to the first one.
  for (let number = 0; number < 10; number++) await set('churn@champion', await version('churn'))
  await registry.versions.delete(ANNA, 'churn', '1')
  await assert.rejects(delivery.endpoints.rollback(ANNA, 'churn', { to: 1 }), /revision 1 served churn\/1, which was deleted/)
  await registry.versions.restore(ANNA, 'churn', '1')
  assert.equal(served((await delivery.endpoints.rollback(ANNA, 'churn', { to: 1 })).after), 'r13 churn/1')
})

eachDelivery('what a server says it serves is kept however old it is, as long as the server is heard of', async (world) => {
  const { delivery, registry, set, version, clock } = world
  await churn(world)
  const digest = (await delivery.endpoints.get(ANNA, 'churn')).revision.variants[0]!.digest
  for (let number = 0; number < 10; number++) await set('churn@champion', await version('churn'))
  await delivery.servers.report(ANNA, 'edge', reportOf(1, digest), undefined)
  await assert.rejects(registry.versions.delete(ANNA, 'churn', '1'), /revision 1 of endpoint churn/)
  clock.pass(61_000)
  await registry.versions.delete(ANNA, 'churn', '1')
})

eachDelivery('what follows by hand or by the clock waits for it', async (world) => {
  const { delivery, set, version, clock } = world
  await churn(world, { follow: 'manual' })
  await set('churn@champion', 2)
  assert.equal(served(await delivery.endpoints.get(ANNA, 'churn')), 'r1 churn/1')
  assert.equal(served((await delivery.endpoints.sync(ANNA, 'churn')).after), 'r2 churn/2')
  assert.equal((await delivery.endpoints.sync(ANNA, 'churn')).change, 'unchanged')
  const { after } = await delivery.endpoints.apply(
    ANNA,
    declared('churn', 'churn@champion', { follow: { cron: '0 3 * * *', timeZone: 'Europe/Berlin' } }),
  )
  const due = after.nextFollowAt!
  assert.ok(due > clock.epochMs())
  await set('churn@champion', await version('churn'))
  await delivery.endpoints.followDue()
  assert.equal(served(await delivery.endpoints.get(ANNA, 'churn')), 'r3 churn/2')
  clock.pass(due - clock.epochMs() + 1)
  await delivery.endpoints.followDue()
  const followed = await delivery.endpoints.get(ANNA, 'churn')
  assert.deepEqual([served(followed), followed.revision.cause, followed.revision.createdBy], ['r4 churn/3', 'cron', 'slipway'])
  assert.equal(followed.nextFollowAt, nextFollow({ cron: '0 3 * * *', timeZone: 'Europe/Berlin' }, due))
})

eachDelivery(
  'what may not be served is refused with all that stands in the way, and an alias that moves there is not followed',
  async (world) => {
    const { delivery, registry, set, version } = world
    await version('churn', 0)
    await set('churn@champion', 1)
    await assert.rejects(delivery.endpoints.apply(ANNA, declared('churn', 'churn@champion')), /churn\/1 cannot be served: it is a pickle/)
    await version('churn')
    await version('churn', 5)
    await set('churn@champion', 2)
    await delivery.endpoints.apply(ANNA, declared('churn', 'churn@champion'))
    await assert.rejects(delivery.endpoints.apply(ANNA, declared('churn', 'churn/3')), (error: Error & { code: string }) => {
      assert.equal(error.code, 'SLW_CONTRACT_BREAKING')
      assert.match(error.message, /churn\/3 after churn\/2: "x" was \[-1, 4\], is \[-1, 5\].*--allow-breaking/)
      return true
    })
    assert.equal(served((await delivery.endpoints.apply(ANNA, declared('churn', 'churn/3'), { allowBreaking: true })).after), 'r2 churn/3')
    await delivery.endpoints.apply(ANNA, declared('churn', 'churn@champion'), { allowBreaking: true })
    await registry.models.update(ANNA, 'churn', { policy: { gatedAliases: ['live'], approval: true } })
    const number = await version('churn')
    await set('churn@champion', number)
    const held = await delivery.endpoints.get(ANNA, 'churn')
    assert.deepEqual([served(held), held.heldBack?.code], ['r3 churn/2', 'SLW_POLICY_REFUSED'])
    const { conditions } = (await delivery.statusOf(ANNA, [held]))[0]!
    const following = conditions.find(({ type }) => type === 'Following')!
    assert.equal(following.reason, 'HeldBack')
    assert.match(following.message, /slipway model approve churn\/4/)
    await registry.versions.judge(ANNA, 'churn', String(number), { approval: 'approved', reason: 'seen' })
    assert.equal(served((await delivery.endpoints.sync(ANNA, 'churn')).after), 'r4 churn/4')
  },
)

eachDelivery('which version was declared at a moment, who put it there, and what each server said', async (world) => {
  const { delivery, set, clock } = world
  const before = clock.epochMs()
  await churn(world)
  const first = clock.epochMs()
  await delivery.servers.report(
    ANNA,
    's1',
    reportOf(1, (await delivery.endpoints.get(ANNA, 'churn')).revision.variants[0]!.digest),
    undefined,
  )
  const reported = clock.epochMs()
  await set('churn@champion', 2)
  assert.equal((await delivery.at(ANNA, 'churn', before)).revision, undefined)
  const then = await delivery.at(ANNA, 'churn', first)
  assert.deepEqual(
    [then.revision?.variants[0]?.version, then.revision?.variants[0]?.weight, then.revision?.createdBy, then.servers.length],
    [1, 100, 'anna', 0],
  )
  assert.deepEqual(
    (await delivery.at(ANNA, 'churn', reported)).servers.map(({ server, versions }) => [server, versions[0]?.state]),
    [['s1', 'ready']],
  )
  const last = clock.epochMs()
  await delivery.endpoints.delete(ANNA, 'churn')
  assert.equal((await delivery.at(ANNA, 'churn', last)).revision?.variants[0]?.version, 2)
  assert.equal((await delivery.at(ANNA, 'churn', clock.epochMs())).revision, undefined)
  await assert.rejects(delivery.at(ANNA, 'other', last), /there never was an endpoint "other"/)
})

eachDelivery('the document for servers says what is in force, at one moment', async (world) => {
  const { delivery, set } = world
  await churn(world)
  const states = delivery.states
  const first = await states.text('default', {}, { generation: await states.generation() })
  const state = JSON.parse(first.text)
  const { digest, versionId } = (await delivery.endpoints.get(ANNA, 'churn')).revision.variants[0]!
  assert.deepEqual(
    [state.kind, state.endpoints[0].name, state.endpoints[0].revision, state.endpoints[0].variants[0].digest],
    ['FollowedState', 'churn', 1, digest],
  )
  await set('churn@champion', 2)
  const next = await states.text('default', { names: ['churn'] }, { generation: await states.generation() })
  assert.notEqual(next.etag, first.etag)
  assert.equal(JSON.parse(next.text).endpoints[0].variants[0].version, 2)
  assert.deepEqual(JSON.parse((await states.text('default', { names: ['other'] }, { generation: 0 })).text).endpoints, [])
  const { manifest } = await states.manifest(ANNA, versionId)
  assert.deepEqual([manifest.digest, manifest.files.map(({ path }) => path)], [digest, ['width-4']])
  assert.deepEqual(await states.contentOf(ANNA, manifest.files[0]!.contentId), { size: manifest.files[0]!.size, models: ['churn'] })
  await assert.rejects(states.manifest({ ...ANNA, environment: 'other' }, versionId), { code: 'SLW_NOT_FOUND' })
  await assert.rejects(states.contentOf({ ...ANNA, environment: 'other' }, manifest.files[0]!.contentId), { code: 'SLW_NOT_FOUND' })
})

eachDelivery('of two who change an endpoint that they have both seen the second is refused', async (world) => {
  const { delivery } = world
  await churn(world)
  const { resourceVersion } = await delivery.endpoints.get(ANNA, 'churn')
  const scope = { ...ANNA, resourceVersion }
  await delivery.endpoints.apply(scope, declared('churn', 'churn/2'))
  await assert.rejects(delivery.endpoints.apply(scope, declared('churn', 'churn/1')), { code: 'SLW_PRECONDITION_FAILED' })
  const seen = { ...ANNA, resourceVersion: (await delivery.endpoints.get(ANNA, 'churn')).resourceVersion }
  await delivery.endpoints.delete(ANNA, 'churn')
  await assert.rejects(delivery.endpoints.apply(seen, declared('churn', 'churn/1')), { code: 'SLW_PRECONDITION_FAILED' })
})

eachDelivery('aliases that move and documents that are applied at once leave the endpoint where the alias points', async (world) => {
  const { delivery, set } = world
  await churn(world)
  const work: Promise<unknown>[] = []
  for (let turn = 0; turn < 12; turn++) {
    work.push(set('churn@champion', (turn % 2) + 1))
    work.push(delivery.endpoints.apply(ANNA, { ...declared('churn', 'churn@champion'), labels: { turn: String(turn) } }))
    work.push(delivery.endpoints.apply(ANNA, declared('churn', turn % 3 === 0 ? 'churn/1' : 'churn@champion')))
  }
  await Promise.all(work)
  await delivery.endpoints.apply(ANNA, declared('churn', 'churn@champion'))
  const endpoint = await delivery.endpoints.get(ANNA, 'churn')
  const alias = await world.registry.aliases.resolve(ANNA, 'churn', 'champion')
  assert.equal(endpoint.revision.variants[0]?.version, alias?.number)
  const numbers = (await delivery.endpoints.revisions(ANNA, 'churn', { limit: 100 })).revisions.map(({ number }) => number)
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => numbers.length - index),
    'no number is missing or twice',
  )
})

function reportOf(revision: number, digest: string) {
  return {
    apiVersion: 'slipway/v1' as const,
    bootId: 'b',
    release: '0',
    sentAt: 0,
    staleSeconds: 0,
    expiresInMs: 60_000,
    endpoints: [
      {
        name: 'churn',
        revision,
        versions: [{ variant: 'main', model: 'churn', version: 1, digest, state: 'ready' as const, serves: true }],
      },
    ],
  }
}

test('variants have names of their own, and together all of the traffic', () => {
  const messages = (...variants: EndpointSpec['variants']): string[] =>
    contradictionsIn({ variants }).map(({ path, message }) => `${path}: ${message}`)
  assert.deepEqual(messages({ model: 'a/1' }), [])
  assert.deepEqual(messages({ model: 'a/1', weight: 99.99 }, { name: 'b', model: 'a/2', weight: 0.01 }), [])
  assert.deepEqual(messages({ model: 'a/1', weight: 50 }), ['spec.variants: weight 50: the only variant has all the traffic, 100'])
  assert.deepEqual(messages({ model: 'a/1', weight: 50 }, { name: 'b', model: 'a/2' }), [
    'spec.variants: the weights add up to 150, not to 100; a variant without one has 100, or 0 with `shadow` or `match`',
  ])
  assert.deepEqual(messages({ model: 'a/1', weight: 50 }, { name: 'main', model: 'a/2', weight: 50 }), [
    'spec.variants[1].name: "main" is the name of another variant',
  ])
})

test('what this release cannot do is refused by name', () => {
  const spec: EndpointSpec = {
    variants: [
      { model: 'a/1', weight: 90 },
      { name: 'b', model: 'a/2', weight: 10 },
    ],
    target: 'lambda',
    replicas: 3,
  }
  const paths = (given: EndpointSpec): string[] => unsupported(given, resolveSpec(given)).map(({ path }) => path)
  assert.deepEqual(paths(spec), ['spec.target'])
  assert.deepEqual(paths({ variants: [{ model: 'a/1' }], replicas: 2 }), ['spec.replicas'])
  assert.deepEqual(paths({ variants: [{ model: 'a/1' }], overlays: { local: { replicas: 2 } } }), ['spec.overlays.local.replicas'])
  // What another target would have is kept, and does not count here.
  assert.deepEqual(paths({ variants: [{ model: 'a/1' }], overlays: { kubernetes: { replicas: 5 } } }), [])
  assert.deepEqual(paths({ variants: [{ model: 'a/1' }], autoscaling: { minReplicas: 1, maxReplicas: 2 } }), ['spec.autoscaling'])
  assert.deepEqual(paths({ variants: [{ model: 'a/1' }], target: 'kubernetes' }), ['spec.kubernetes.images.main'])
  assert.deepEqual(paths({ variants: [{ model: 'a/1' }], target: 'kubernetes', kubernetes: { image: 'a:1' }, replicas: 3 }), [])
})

eachDelivery(
  'a page of endpoints asks the database as often for one as for many, and pages follow in the order of names',
  async (world) => {
    const { database, delivery, registry, version } = world
    await version('churn')
    const names = ['Zoo', 'a', 'a-1', 'b', 'c', 'd', 'e']
    for (const name of names) await delivery.endpoints.apply(ANNA, declared(name, 'churn/1'))
    let statements = 0
    const counted = {
      dialect: database.dialect,
      read: database.read.withPlugin({
        transformQuery: ({ node }) => {
          statements++
          return node
        },
        transformResult: ({ result }) => Promise.resolve(result),
      }),
    } as Database
    const counting = new Delivery({ ...registry.ground, database: counted })
    const asked = async (limit: number, after?: string): Promise<[string[], number]> => {
      statements = 0
      const { endpoints } = await counting.endpoints.page(ANNA, limit, after)
      await counting.statusOf(ANNA, endpoints)
      return [endpoints.map(({ name }) => name), statements]
    }
    const [all, often] = await asked(100)
    assert.deepEqual(all, names)
    assert.deepEqual(await asked(1), [['Zoo'], often])
    assert.deepEqual(await asked(2, 'a-1'), [['b', 'c'], often])
    assert.equal((await delivery.endpoints.page(ANNA, 2, 'c')).total, 7)
  },
)

eachDelivery('what a declaration changes at its target is told before it is made', async (world) => {
  const { delivery, set } = world
  await churn(world)
  const steps = async (spec: EndpointSpec): Promise<string[]> => {
    const { before, after } = await delivery.endpoints.apply(ANNA, { name: 'churn', labels: {}, spec }, { dryRun: true })
    return planOf(before, after).map((step) => step.replace(/[\d.]+ MB/, 'N MB'))
  }
  assert.deepEqual(await steps({ variants: [{ model: 'churn/2' }] }), [
    'each server that follows loads churn/2 (N MB) in the place of churn/1',
  ])
  assert.deepEqual(await steps({ variants: [{ name: 'other', model: 'churn/2' }] }), [
    'each server that follows loads churn/2 (N MB)',
    'each server that follows ends churn/1',
  ])
  await set('churn@champion', 2)
  assert.deepEqual(await steps({ variants: [{ model: 'churn/2' }] }), [])
})

test('times of a cron line keep to the clocks of their zone', () => {
  const at = (text: string): number => Date.parse(text)
  assert.equal(nextFollow('notification', 0), undefined)
  assert.equal(nextFollow({ cron: '0 3 * * *' }, at('2026-01-01T03:00:00Z')), at('2026-01-02T03:00:00Z'))
  // In Berlin 03:00 is 02:00 UTC in winter and 01:00 UTC in summer.
  const berlin = { cron: '0 3 * * *', timeZone: 'Europe/Berlin' }
  assert.equal(nextFollow(berlin, at('2026-03-28T12:00:00Z')), at('2026-03-29T01:00:00Z'))
  assert.equal(nextFollow(berlin, at('2026-10-24T12:00:00Z')), at('2026-10-25T02:00:00Z'))
  assert.throws(() => nextFollow({ cron: 'often' }, 0), /expected five fields/)
  assert.throws(() => nextFollow({ cron: '0 3 * * *', timeZone: 'Mars/Base' }, 0), { code: 'SLW_INPUT_INVALID' })
  assert.throws(() => nextFollow({ cron: '* * * * * *' }, 0), { code: 'SLW_INPUT_INVALID' })
})

eachDelivery('what a reference means is looked up anew, also where no endpoint has changed', async (world) => {
  const { delivery, version, registry } = world
  const { states } = delivery
  await version('churn')
  const ask = async (): Promise<{ etag: string; meant: { variant?: { version: number }; refused?: string } }> => {
    const { text, etag } = await states.text('default', { names: [], references: ['churn/2'] }, { generation: await states.generation() })
    return { etag, meant: JSON.parse(text).references[0] }
  }
  const before = await ask()
  assert.match(before.meant.refused ?? '', /churn/)
  assert.equal((await ask()).etag, before.etag)
  await version('churn')
  const there = await ask()
  assert.equal(there.meant.variant?.version, 2)
  assert.notEqual(there.etag, before.etag)
  await registry.models.update(ANNA, 'churn', { policy: { gatedAliases: ['champion'], approval: true } })
  const unapproved = await ask()
  assert.match(unapproved.meant.refused ?? '', /approv/)
})

eachDelivery('a rollback returns to no version of a model that was deleted', async (world) => {
  const { delivery, version, set, registry } = world
  await churn(world)
  await version('next')
  await version('next')
  await set('next@champion', 1)
  await delivery.endpoints.apply(ANNA, declared('churn', 'next@champion'))
  for (let turn = 0; turn < 10; turn++) await set('next@champion', turn % 2 === 0 ? 2 : 1)
  await registry.models.delete(ANNA, 'churn')
  await assert.rejects(delivery.endpoints.rollback(ANNA, 'churn', { to: 1 }), {
    code: 'SLW_CONFLICT',
    message: /model "churn" was deleted/,
  })
})

eachDelivery('variants of an endpoint understand what the first one does', async ({ delivery, version }) => {
  for (const width of [4, 4, 5]) await version('churn', width)
  const two = (other: string): Declaration => ({
    ...declared('churn', 'churn/1'),
    spec: {
      variants: [
        { name: 'main', model: 'churn/1', weight: 95 },
        { name: 'next', model: other, weight: 5 },
      ],
    },
  })
  await assert.rejects(delivery.endpoints.apply(ANNA, two('churn/3')), (error: Error & { code: string }) => {
    assert.equal(error.code, 'SLW_CONTRACT_BREAKING')
    assert.match(error.message, /churn\/3 beside churn\/1: "x" was \[-1, 4\], is \[-1, 5\]/)
    return true
  })
  // In whatever order they are declared, where one is there already.
  await delivery.endpoints.apply(ANNA, declared('churn', 'churn/1'))
  const turned = { ...two('churn/3'), spec: { variants: two('churn/3').spec.variants.toReversed() } }
  await assert.rejects(delivery.endpoints.apply(ANNA, turned), { code: 'SLW_CONTRACT_BREAKING' })
  const renamed = { ...declared('churn', 'churn/3'), spec: { variants: [{ name: 'other', model: 'churn/3' }] } }
  await assert.rejects(delivery.endpoints.apply(ANNA, renamed), { code: 'SLW_CONTRACT_BREAKING' })
  const { after } = await delivery.endpoints.apply(ANNA, two('churn/2'))
  assert.deepEqual(
    after.revision.variants.map(({ name, version: number, weight }) => [name, number, weight]),
    [
      ['main', 1, 95],
      ['next', 2, 5],
    ],
  )
  assert.equal((await delivery.endpoints.apply(ANNA, two('churn/3'), { allowBreaking: true })).change, 'configured')
})

eachDelivery(
  'shares that somebody has moved stay when an alias moves, and go where a declaration has others',
  async ({ delivery, version, set }) => {
    for (let count = 0; count < 3; count++) await version('churn')
    await set('churn@champion', 1)
    const two = (next: number): Declaration => ({
      ...declared('churn', 'churn@champion'),
      spec: {
        variants: [
          { name: 'main', model: 'churn@champion', weight: 100 - next },
          { name: 'next', model: 'churn/3', weight: next },
        ],
      },
    })
    await delivery.endpoints.apply(ANNA, two(5))
    await delivery.routing.set(ANNA, 'churn', { weights: { main: 60, next: 40 } })
    const weights = async () => (await delivery.endpoints.get(ANNA, 'churn')).routing.weights
    await set('churn@champion', 2)
    assert.equal((await delivery.endpoints.get(ANNA, 'churn')).revision.variants[0]!.version, 2)
    assert.deepEqual(await weights(), { main: 60, next: 40 })
    await delivery.endpoints.apply(ANNA, { ...two(5), labels: { team: 'a' } })
    assert.deepEqual(await weights(), { main: 60, next: 40 })
    await delivery.endpoints.apply(ANNA, two(10))
    assert.deepEqual(await weights(), { main: 90, next: 10 })
    // What somebody returns to is what there was, and not what has gone wrong since.
    await delivery.routing.set(ANNA, 'churn', { weights: { main: 0, next: 1 } })
    assert.deepEqual(await weights(), { main: 0, next: 100 }, 'they are percent, whatever they add up to')
    await set('churn@champion', 1)
    await delivery.endpoints.rollback(ANNA, 'churn')
    assert.deepEqual(await weights(), { main: 90, next: 10 })
  },
)

eachDelivery('a revision is served beside the one in force only where it could be', async ({ delivery, version }) => {
  for (const width of [5, 4, 4]) await version('churn', width)
  await delivery.endpoints.apply(ANNA, declared('churn', 'churn/1'))
  await delivery.endpoints.apply(ANNA, declared('churn', 'churn/2'), { allowBreaking: true })
  await assert.rejects(delivery.routing.set(ANNA, 'churn', { beside: 1, weights: { main: 50, 'main-r1': 50 } }), {
    code: 'SLW_CONTRACT_BREAKING',
  })
  await delivery.endpoints.apply(ANNA, declared('churn', 'churn/3'))
  await delivery.routing.set(ANNA, 'churn', { beside: 2, weights: { main: 950, 'main-r2': 50 } })
  assert.deepEqual((await delivery.endpoints.get(ANNA, 'churn')).routing.weights, { main: 95, 'main-r2': 5 })
})
