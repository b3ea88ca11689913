/** Rollouts as people start, hold, hasten and undo them, over servers that follow. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import { until } from '../fixtures.ts'
import { added, follows, setAlias } from '../following/following.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { world } from './world.ts'
import type { AddressInfo } from 'node:net'

/** Both loaded, one switch, a short time in which the version before stays loaded. */
const SWITCH = { strategy: 'blue-green', bakeAfter: '300ms' }
/** Steps that nothing but a person takes. */
const HELD = { strategy: 'canary', steps: [10, 40], bake: '1h', bakeAfter: '1h' }

async function weights(plane: { ask: (method: string, path: string) => Promise<{ body: any }> }): Promise<Record<string, number>> {
  return (await plane.ask('GET', '/endpoints/adder')).body.status.routing.weights
}

describe('a rollout', () => {
  it('begins as an alias moves where the endpoint has one, goes to servers that have the version loaded, and ends in force', async () => {
    await using it = await world({ serverCount: 2 })
    await it.declare(SWITCH)
    await until(async () => (await it.answers()).every((one) => one === 1), 'the first version serves')
    await setAlias(it.plane, 2)
    const { transitions = [], ...rollout } = await it.reaches('promoted')
    assert.deepEqual([rollout.from.version, rollout.to.version, rollout.weight], ['1', '2', 100])
    assert.deepEqual(
      transitions.map(({ state, weight }) => [state, weight]),
      [
        ['waiting', 0],
        ['loading', 0],
        ['baking', 100],
        ['promoted', 100],
      ],
    )
    await until(async () => (await it.answers()).every((one) => one === 2), 'the second version serves')
    const { status } = (await it.plane.ask('GET', '/endpoints/adder')).body
    assert.deepEqual([status.revision.number, status.routing.weights], [2, { main: 100 }])
    const { items } = (await it.plane.ask('GET', '/events?kind=rollout')).body as { items: { after: { state: string } }[] }
    assert.deepEqual(items.map(({ after }) => after.state).toReversed(), ['waiting', 'loading', 'baking', 'promoted'])
  })

  it('is none for the first version of an endpoint, for another declaration of the same one, and where no strategy is declared', async () => {
    await using it = await world()
    await it.declare(SWITCH)
    assert.equal((await it.plane.ask('GET', '/endpoints/adder/rollouts/latest')).status, 404)
    await it.declare({ ...SWITCH, bakeAfter: '400ms' })
    assert.equal((await it.plane.ask('GET', '/endpoints/adder/rollouts/latest')).status, 404)
    await it.declare(undefined)
    await setAlias(it.plane, 2)
    assert.equal((await it.plane.ask('GET', '/endpoints/adder/rollouts/latest')).status, 404)
    assert.equal((await it.plane.ask('GET', '/endpoints/adder')).body.status.revision.number, 4)
  })

  it('is aborted at once: the desired state is the revision of before, and aliases are not followed until somebody says so', async () => {
    await using it = await world({ serverCount: 3 })
    await it.declare(HELD)
    await until(async () => (await it.answers()).every((one) => one === 1), 'the first version serves')
    const before = (await it.plane.ask('GET', '/endpoints/adder')).body.status
    await setAlias(it.plane, 2)
    await it.reaches('progressing')
    assert.deepEqual(await weights(it.plane), { main: 90, 'main-r2': 10 })
    await until(
      async () =>
        (await it.plane.ask('GET', '/endpoints/adder')).body.status.servers.every((one: { segment: number }) => one.segment === 3),
      'all servers share out by it',
    )
    const asked = performance.now()
    const { status, body } = await it.command('abort')
    assert.deepEqual([status, body.state, body.weight], [200, 'aborted', 0])
    await until(
      async () =>
        (await it.plane.ask('GET', '/endpoints/adder')).body.status.servers.every((one: { segment: number }) => one.segment === 4),
      'no server gives it requests',
    )
    const tookMs = performance.now() - asked
    assert.ok(tookMs < 20_000, `${tookMs} ms`)
    const after = (await it.plane.ask('GET', '/endpoints/adder')).body.status
    assert.deepEqual(after.revision, before.revision)
    assert.deepEqual(after.routing.weights, before.routing.weights)
    assert.match(after.conditions[1].message, /rolled back to revision 1 by local/)
    assert.equal((await it.command('abort')).status, 409)
    assert.equal((await it.command('resume')).body.code, 'SLW_CONFLICT')
    // To follow again is to walk again.
    await it.plane.ask('POST', '/endpoints/adder/resume', {})
    const again = await it.reaches('progressing')
    assert.deepEqual([again.number, again.to.version], [2, '2'])
  })

  it('is paused, resumed, hastened step by step, and to the end at once', async () => {
    await using it = await world()
    await it.declare(HELD)
    await setAlias(it.plane, 2)
    await it.reaches('progressing')
    assert.equal((await it.command('pause')).body.pausedFor, 'person')
    assert.match((await it.command('skip')).body.detail, /it is paused: resume it first/)
    assert.equal((await it.command('resume')).body.state, 'progressing')
    const { body: second } = await it.command('skip')
    assert.deepEqual([second.step, second.weight], [1, 40])
    assert.deepEqual(await weights(it.plane), { main: 60, 'main-r2': 40 })
    const { body: all } = await it.command('promote')
    assert.deepEqual([all.state, all.weight], ['baking', 100])
    const { body: promoted } = await it.command('promote')
    assert.equal(promoted.state, 'promoted')
    await setAlias(it.plane, 3)
    await it.reaches('progressing')
    assert.equal((await it.command('promote', { full: true })).body.weight, 100)
    assert.equal((await it.command('promote')).body.state, 'promoted')
    assert.deepEqual(await weights(it.plane), { main: 100 })
  })

  it('gives way to a newer version, whose servers have no request of the one between; it can be tried again', async () => {
    await using it = await world()
    await it.declare(HELD)
    await setAlias(it.plane, 2)
    await it.reaches('progressing')
    await setAlias(it.plane, 3)
    assert.deepEqual(await weights(it.plane), { main: 100 })
    const newer = await it.reaches('progressing')
    assert.deepEqual([newer.from.version, newer.to.version, newer.number], ['1', '3', 2])
    const { items } = (await it.plane.ask('GET', '/endpoints/adder/rollouts')).body as { items: { state: string }[] }
    assert.deepEqual(
      items.map(({ state }) => state),
      ['progressing', 'superseded'],
    )
    await it.command('abort')
    const { status, body } = await it.command('retry')
    assert.deepEqual([status, body.number, body.to.version, body.state], [200, 3, '3', 'waiting'])
    await it.reaches('progressing')
    assert.equal((await it.command('retry')).body.code, 'SLW_CONFLICT')
  })

  it('is started to a version by whoever may, and the alias goes with it once it is promoted', async () => {
    await using it = await world()
    await it.declare(undefined)
    const started = await it.start({ to: '2', rollout: SWITCH, onPromoted: { alias: 'champion' } })
    assert.deepEqual([started.state, started.onPromoted], ['waiting', { alias: 'champion' }])
    await it.reaches('promoted')
    assert.equal((await it.plane.ask('GET', '/models/adder/aliases/champion')).body.version, 2)
    const { status } = (await it.plane.ask('GET', '/endpoints/adder')).body
    assert.deepEqual([status.revision.number, status.revision.cause, status.suspended], [2, 'rollout', undefined])
    const again = await it.plane.ask('POST', '/endpoints/adder/rollouts', { to: '2' })
    assert.match(again.body.detail, /adder\/2 is in force already/)
  })

  it('needs no steps to a version that was in force a short while ago', async () => {
    await using it = await world()
    await it.declare(SWITCH)
    await setAlias(it.plane, 2)
    await it.reaches('promoted')
    await it.declare({ ...HELD, bakeAfter: '100ms' })
    await setAlias(it.plane, 1)
    const back = await it.reaches('promoted')
    assert.deepEqual([back.number, back.stages, back.to.version], [2, [], '1'])
    await setAlias(it.plane, 3)
    assert.equal((await it.reaches('progressing')).stages.length, 2)
  })

  it('waits for its gates before any server loads the version, and tells what for', async () => {
    await using it = await world()
    await it.declare({ ...SWITCH, gates: ['approval'] })
    await until(async () => (await it.answers())[0] === 1, 'the first version serves')
    await setAlias(it.plane, 2)
    await until(async () => (await it.latest()).waitsFor?.includes('slipway model approve adder/2') === true, 'what it waits for')
    assert.equal((await it.plane.ask('GET', '/endpoints/adder')).body.status.servers[0].versions.length, 1)
    assert.match((await it.command('promote')).body.detail, /it waits for .*slipway model approve adder\/2/)
    await it.plane.ask('PUT', '/models/adder/versions/2/approval', { state: 'approved' })
    await it.reaches('promoted')
  })

  it('takes no step in a freeze, and is undone in it', async () => {
    await using it = await world()
    // From each full minute on for two: always.
    await it.declare({ ...SWITCH, freeze: [{ cron: '* * * * *', duration: '2m' }] })
    await setAlias(it.plane, 2)
    await until(async () => (await it.latest()).waitsFor?.startsWith('the end of the freeze') === true, 'the freeze is told')
    assert.equal((await it.command('abort')).body.state, 'aborted')
  })

  it('owns the routing: shares are not moved by hand meanwhile; a rollback of the endpoint turns it back', async () => {
    await using it = await world()
    await it.declare(HELD)
    await setAlias(it.plane, 2)
    await it.reaches('progressing')
    const moved = await it.plane.ask('POST', '/endpoints/adder/routing', { weights: { main: 100 } })
    assert.deepEqual([moved.status, moved.body.code], [409, 'SLW_CONFLICT'])
    assert.match(moved.body.detail, /shared out by rollout 1 to adder\/2/)
    const { status, body } = await it.plane.ask('POST', '/endpoints/adder/rollback', {})
    assert.equal(status, 200, JSON.stringify(body))
    assert.equal((await it.latest()).state, 'aborted')
    assert.deepEqual(await weights(it.plane), { main: 100 })
    assert.equal((await it.answers())[0], 1)
  })

  it('is passed over where it was turned back: a rollback of the endpoint returns to what was in force before', async () => {
    await using it = await world({ serverCount: 0 })
    await it.declare({ strategy: 'canary', steps: [10], gates: ['approval'] })
    await setAlias(it.plane, 2)
    const inForce = async (): Promise<number> => (await it.plane.ask('GET', '/endpoints/adder/history')).body.revision.number
    assert.equal(await inForce(), 1)
    assert.equal((await it.command('abort')).body.state, 'aborted')
    assert.equal(await inForce(), 1, 'the history says so, too')
    await it.declare(undefined, 'adder/3')
    assert.equal(await inForce(), 3)
    const { status, body } = await it.plane.ask('POST', '/endpoints/adder/rollback', {})
    assert.equal(status, 200, JSON.stringify(body))
    const { revision } = body.endpoint?.status ?? (await it.plane.ask('GET', '/endpoints/adder')).body.status
    assert.deepEqual([revision.rolledBackTo, revision.variants[0].version], [1, 1])
    // Whoever names it gets it.
    const named = await it.plane.ask('POST', '/endpoints/adder/rollback', { to: 2 })
    assert.equal(named.status, 200, JSON.stringify(named.body))
    assert.equal((await it.plane.ask('GET', '/endpoints/adder')).body.status.revision.variants[0].version, 2)
  })

  it('goes back to the version before, at once, also from a version that is in force and still watched', async () => {
    await using it = await world()
    await it.declare({ ...SWITCH, watchAfter: '1h' })
    await setAlias(it.plane, 2)
    await it.reaches('watching')
    await until(async () => (await it.answers())[0] === 2, 'it is in force')
    assert.equal((await it.command('abort')).body.state, 'aborted')
    await until(async () => (await it.answers())[0] === 1, 'the version before serves again')
    const { status } = (await it.plane.ask('GET', '/endpoints/adder')).body
    assert.deepEqual([status.revision.number, status.revision.cause, status.revision.rolledBackTo], [3, 'rollback', 1])
  })

  it('gives a server that comes later the present step', async () => {
    await using it = await world()
    await using folder = await temporaryFolder()
    await it.declare({ ...HELD, steps: [50] })
    await setAlias(it.plane, 2)
    await it.reaches('progressing')
    await using late = await follows(it.plane.url, folder.path, { name: 'late' })
    await until(async () => {
      const answers = await Promise.all(Array.from({ length: 40 }, () => added(late)))
      return answers.includes(1) && answers.includes(2)
    }, 'it shares the requests out, too')
  })

  it('keeps what was shown against a version when it is tried again, and forgets it where somebody says so', async () => {
    await using it = await world()
    await it.declare(HELD)
    await setAlias(it.plane, 2)
    await it.reaches('progressing')
    await it.command('abort')
    const { database } = it.plane.plane.services.ground
    const peaksOf = async (number: number): Promise<unknown> => {
      const row = await database.read.selectFrom('rollouts').select('peaks').where('number', '=', number).executeTakeFirstOrThrow()
      return JSON.parse(row.peaks)
    }
    await database.write((write) => write.updateTable('rollouts').set({ peaks: '{"errors":{"fail":2,"pass":3}}' }).execute())
    // What has passed is to pass again.
    assert.equal((await it.command('retry')).status, 200)
    assert.deepEqual(await peaksOf(2), { errors: { fail: 2, pass: 0 } })
    await it.command('abort')
    await it.command('retry', { anew: true })
    assert.deepEqual(await peaksOf(3), {})
    await it.command('abort')
    // Other limits are another question.
    await database.write((write) => write.updateTable('rollouts').set({ peaks: '{"errors":{"fail":2,"pass":3}}' }).execute())
    await it.start({ to: '2', rollout: { ...HELD, errors: { tolerate: 3 } } })
    assert.deepEqual(await peaksOf(4), {})
  })

  it('asks monitoring of others: what it cannot say holds a step up, and what it calls bad turns the version back', async () => {
    let value: string | undefined
    const prometheus = createServer((request, response) => {
      const asked = decodeURIComponent(new URL(request.url!, 'http://x').searchParams.get('query') ?? '')
      const nowS = Date.now() / 1000
      const result = value === undefined ? [] : [{ metric: {}, value: [nowS, asked.includes('timestamp(') ? String(nowS) : value] }]
      response.end(JSON.stringify({ status: 'success', data: { resultType: 'vector', result } }))
    })
    await new Promise<void>((resolve) => prometheus.listen(0, '127.0.0.1', resolve))
    using _ending = { [Symbol.dispose]: () => prometheus.close().closeAllConnections() }
    const url = `http://127.0.0.1:${(prometheus.address() as AddressInfo).port}`
    await using it = await world({ allowPrivateAddresses: true })
    const checks = [{ name: 'gateway', prometheus: { url, query: 'errors{version="{{version}}"}' }, failWhen: '> 0.01' }]
    await it.declare({ ...HELD, checks })
    await setAlias(it.plane, 2)
    await until(async () => (await it.latest()).evidence?.checks[0] !== undefined, 'the check is asked')
    assert.ok(['no data', 'error'].includes((await it.latest()).evidence!.checks[0]!.verdict))
    assert.match((await it.latest()).evidence!.checks[0]!.query, /errors\{version="2"\}/)
    value = '0.5'
    const { transitions = [] } = await it.reaches('rolled back')
    assert.match(transitions.at(-1)?.reason ?? '', /check gateway: the value is 0\.5, which is > 0\.01 and so bad/)
  })

  it('is refused with what is wrong: steps that fall, fields of other strategies, versions that are not there', async () => {
    await using it = await world()
    const refused = async (rollout: object): Promise<string> => {
      const spec = { variants: [{ model: 'adder@champion' }], rollout }
      const document = { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name: 'adder' }, spec }
      const { status, body } = await it.plane.ask('PUT', '/endpoints/adder', document)
      assert.equal(status, 400, JSON.stringify(body))
      return body.detail
    }
    assert.match(await refused({ steps: [20, 10] }), /spec\.rollout\.steps\[1\]: 10 is not more than the step before, 20/)
    assert.match(
      await refused({ strategy: 'canary', stepWeight: 5 }),
      /spec\.rollout\.stepWeight: belongs to linear; the strategy is canary/,
    )
    assert.match(
      await refused({ errors: { tolerate: 2, ruleOut: 1.5 } }),
      /spec\.rollout\.errors\.ruleOut: must be more than tolerate, which is 2/,
    )
    assert.match(await refused({ labels: { role: 'guardrail' } }), /independentOfPrediction: true/)
    assert.match(await refused({ bake: 'soon' }), /bake/)
    assert.match(await refused({ freeze: [{ cron: 'never', duration: '1h' }] }), /freeze\[0\].*"never"/)
    await it.declare(undefined)
    for (const [to, code] of [
      ['9', 'SLW_NOT_FOUND'],
      ['nobody', 'SLW_NOT_FOUND'],
      ['a:b', 'SLW_INPUT_INVALID'],
      ['1', 'SLW_CONFLICT'],
    ] as const)
      assert.equal((await it.plane.ask('POST', '/endpoints/adder/rollouts', { to })).body.code, code, to)
  })
})
