/** New versions walk into production, and back, over three servers, by what happens to requests. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { planeInProcess, push } from '../api/in-plane.ts'
import { until } from '../fixtures.ts'
import { addingModel } from '../adding-models.ts'
import { decidingModel } from '../following/deciding-models.ts'
import { follows } from '../following/following.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { load } from './load.ts'
import type { RolloutAnswer } from '../../src/contract/rollout-api.ts'
import type { Plane } from '../api/in-plane.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { Asked, Load } from './load.ts'

const DESCRIBED = Buffer.from('answer:\n  task: classification\n')
/** The step at which a bad version is to be found is the first. */
const CANARY = { steps: [5, 50], bake: '5m', bakeAfter: '1s', burnIn: '0s', minimumSample: 50, latency: { edgeMs: 1000 } }

/** Requests wait so long for company that they are slow. */
const WAITING = { maxDelayUs: 400_000 }

interface Walk {
  readonly traffic: Load
  readonly latest: () => Promise<RolloutAnswer>
  readonly ends: (withinMs: number) => Promise<RolloutAnswer>
}

interface Walking {
  readonly name: string
  /** Default: the first, one that adds, with other settings. */
  readonly second?: Uint8Array
  readonly rollout: object
  readonly perSecond: number
}

/** An endpoint whose second version walks in while clients ask all servers. */
async function walk({ plane, servers, opened }: World, { name, second, rollout, perSecond }: Walking): Promise<Walk> {
  const endpoint = `/endpoints/${name}`
  await plane.ask('POST', '/models', { name })
  if (second === undefined) await push(plane, name, { 'model.onnx': Buffer.from(addingModel(1)) })
  else
    for (const bytes of [decidingModel({ threshold: 0.5 }), second])
      await push(plane, name, { 'model.onnx': Buffer.from(bytes), 'slipway.yaml': DESCRIBED })
  const apply = async (spec: object): Promise<void> => {
    const { status, body } = await plane.ask('PUT', endpoint, { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name }, spec })
    assert.ok(status < 300, JSON.stringify(body))
  }
  await apply({ variants: [{ model: `${name}/1` }] })
  await until(
    async () =>
      (await plane.ask('GET', endpoint)).body.status.servers.filter((one: any) => one.versions[0]?.serves === true).length ===
      servers.length,
    'the first version serves',
  )
  const urls = servers.map(({ url }) => url)
  // The one that adds takes rows together, so that they can wait for each other.
  const adding = {
    path: `/v2/models/${name}/infer`,
    given: { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }] },
  }
  const traffic = opened.use(load(urls, perSecond, second === undefined ? adding : { path: `/models/${name}/predict` }))
  if (second === undefined) await apply({ variants: [{ model: `${name}/1`, serving: WAITING }], rollout })
  else {
    const started = await plane.ask('POST', `${endpoint}/rollouts`, { to: '2', rollout })
    assert.equal(started.status, 201, JSON.stringify(started.body))
  }
  const latest = async (): Promise<RolloutAnswer> => (await plane.ask('GET', `${endpoint}/rollouts/latest`)).body as RolloutAnswer
  return {
    traffic,
    latest,
    async ends(withinMs) {
      let last: RolloutAnswer | undefined
      try {
        await until(async () => (last = await latest()).endedAt !== undefined, `the end of ${name}`, withinMs)
      } catch (error) {
        throw new Error(JSON.stringify(last), { cause: error })
      }
      return last!
    },
  }
}

interface World {
  readonly plane: Plane
  readonly servers: readonly SlipwayServer[]
  readonly opened: AsyncDisposableStack
}

async function threeServers(opened: AsyncDisposableStack): Promise<World> {
  const plane = opened.use(await planeInProcess())
  const servers: SlipwayServer[] = []
  for (const name of ['a', 'b', 'c']) {
    const folder = opened.use(await temporaryFolder())
    servers.push(opened.use(await follows(plane.url, folder.path, { name })))
  }
  return { plane, servers, opened }
}

/** The part of all requests that failed until a minute after the first that the new version failed at. */
function failedShare(asked: readonly Asked[]): number {
  const first = asked.find(({ status }) => status !== 200)
  if (first === undefined) return 0
  const some = asked.filter(({ at }) => at <= first.at + 60_000)
  return some.filter(({ status }) => status !== 200).length / some.length
}

const lastReason = ({ transitions = [] }: RolloutAnswer): string => transitions.at(-1)?.reason ?? ''

describe('over three servers', () => {
  it('an equal version is promoted; one that errs and one that always fails are turned back before a hundredth of the requests failed', async () => {
    await using opened = new AsyncDisposableStack()
    const world = await threeServers(opened)
    // Caps that a few hundred requests without a failure show.
    const equal = { ...CANARY, steps: [50], bake: '1s', errors: { cap: 0.1 }, latency: { edgeMs: 1000, cap: 0.1 } }
    const [good, errs, fails] = await Promise.all([
      walk(world, { name: 'good', second: decidingModel({ threshold: 0.501 }), rollout: equal, perSecond: 40 }),
      walk(world, { name: 'errs', second: decidingModel({ threshold: 0.5, failsFrom: 0.9 }), rollout: CANARY, perSecond: 60 }),
      walk(world, { name: 'fails', second: decidingModel({ threshold: 0.5, failsFrom: 0.01 }), rollout: CANARY, perSecond: 90 }),
    ])

    const failed = await fails.ends(40_000)
    assert.equal(failed.state, 'rolled back')
    assert.match(lastReason(failed), /a server has taken fails\/2 out by itself: [abc]: 10 requests failed, one after the other/)
    const erring = await errs.ends(120_000)
    assert.equal(erring.state, 'rolled back')
    assert.match(lastReason(erring), /errors: .* that it goes wrong more often is shown/)
    const promoted = await good.ends(90_000)
    assert.equal(promoted.state, 'promoted', lastReason(promoted))
    assert.equal(good.traffic.asked.filter(({ status }) => status !== 200).length, 0)
    // The minute after the first failure is over for both.
    const firstMs = Math.max(...[errs, fails].map(({ traffic }) => traffic.asked.find(({ status }) => status !== 200)!.at))
    await until(() => Date.now() > firstMs + 60_000, 'a minute after the first failure', 60_000)
    for (const { traffic } of [errs, fails]) {
      const share = failedShare(traffic.asked)
      assert.ok(share > 0 && share < 0.01, `${(100 * share).toFixed(2)} % of the requests failed`)
    }
    const since = () => errs.traffic.asked.filter(({ at }) => at > erring.endedAt! + 2000)
    await until(() => since().length > 50, 'requests after it was turned back', 30_000)
    const after = since()
    assert.ok(
      after.every(({ variant, status }) => variant === 'main' && status === 200),
      'nothing stays degraded',
    )
  })

  it('one that is slower, one whose labels are worse and one whose classes collapse are turned back; without traffic there is no verdict', async () => {
    await using opened = new AsyncDisposableStack()
    const world = await threeServers(opened)
    const judged = { ...CANARY, steps: [10, 50], bake: '5m' }
    const [slow, labels, collapse, silent] = await Promise.all([
      walk(world, { name: 'slow', rollout: { ...judged, latency: { edgeMs: 200 }, outputs: false }, perSecond: 15 }),
      walk(world, {
        name: 'labels',
        second: decidingModel({ threshold: 0.2 }),
        rollout: { ...judged, outputs: false, labels: { independentOfPrediction: true } },
        perSecond: 30,
      }),
      walk(world, { name: 'collapse', second: decidingModel({ threshold: 0 }), rollout: judged, perSecond: 40 }),
      walk(world, { name: 'silent', second: decidingModel({ threshold: 0.4 }), rollout: { ...judged, freshness: '5s' }, perSecond: 0 }),
    ])
    // What is true is 1 from 0.5 on, and told at once.
    let told = 0
    const tell = async (): Promise<void> => {
      const some = labels.traffic.asked.slice(told).filter(({ receipt }) => receipt !== undefined)
      told = labels.traffic.asked.length
      if (some.length === 0) return
      const feedback = some.map(({ receipt, x }) => ({ id: receipt!, label: x >= 0.5 ? 1 : 0 }))
      const { status, body } = await world.plane.ask('POST', '/feedback', { feedback })
      assert.deepEqual([status, body.refused], [200, []])
    }
    await until(async () => (await silent.latest()).state === 'paused', 'without traffic it is paused', 30_000)
    const paused = await silent.latest()
    assert.deepEqual([paused.pausedFor, paused.verdict], ['no data', 'no data'])
    assert.match(paused.waitsFor ?? '', /no requests were seen yet/)
    await until(
      async () => {
        await tell()
        return (await labels.latest()).endedAt !== undefined
      },
      'the labels turn it back',
      60_000,
    ).catch(async (error: unknown) => {
      throw new Error(JSON.stringify(await labels.latest()), { cause: error })
    })
    assert.match(lastReason(await labels.latest()), /wrong labels: .* is shown/)
    const slower = await slow.ends(90_000)
    assert.deepEqual([slower.state, slower.edgeMs], ['rolled back', 200])
    assert.match(lastReason(slower), /slower than 200 ms: .* is shown/)
    const collapsed = await collapse.ends(90_000)
    assert.equal(collapsed.state, 'rolled back')
    assert.match(
      lastReason(collapsed),
      /outputs: the new version answers otherwise: .*class 1 is 100\.0 % of its answers, and (4|5)\d\.\d % of those before/,
    )
  })
})
