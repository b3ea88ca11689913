/** Who gets the new version where it is not chance between two: beside a fresh copy of the one before, and by audience. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { planeInProcess } from '../api/in-plane.ts'
import { until } from '../fixtures.ts'
import { decide, deciders, judges } from '../following/deciding-models.ts'
import { follows } from '../following/following.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { RolloutAnswer } from '../../src/contract/rollout-api.ts'
import type { Range } from '../../src/contract/ranges.ts'

async function judging(rollout: object) {
  await using opened = new AsyncDisposableStack()
  const plane = opened.use(await planeInProcess())
  const folder = opened.use(await temporaryFolder())
  await deciders(plane, { threshold: 0.5 }, { threshold: 0.501 })
  await judges(plane, [{ model: 'judge/1' }])
  const server = opened.use(await follows(plane.url, folder.path))
  const status = async () => (await plane.ask('GET', '/endpoints/judge')).body.status
  const latest = async (): Promise<RolloutAnswer> => (await plane.ask('GET', '/endpoints/judge/rollouts/latest')).body as RolloutAnswer
  await until(async () => (await decide(server.url, 0.3)).status === 200, 'the first version serves')
  const started = await plane.ask('POST', '/endpoints/judge/rollouts', { to: '2', rollout })
  assert.equal(started.status, 201, JSON.stringify(started.body))
  const held = opened.move()
  return {
    status,
    latest,
    async command(command: string): Promise<RolloutAnswer> {
      const { status: told, body } = await plane.ask('POST', '/endpoints/judge/rollouts/latest/commands', { command })
      assert.equal(told, 200, JSON.stringify(body))
      return body as RolloutAnswer
    },
    async reaches(state: string): Promise<RolloutAnswer> {
      let last: RolloutAnswer | undefined
      await until(async () => (last = await latest()).state === state, `a rollout that is ${state}`, 20_000)
      return last!
    },
    /** Waits until the server shares out by the present routing, and has no version loaded beside those of it. */
    async applied(...variants: string[]): Promise<void> {
      let seen: unknown
      const wanted = JSON.stringify(variants)
      await until(
        async () => {
          const { routing, servers } = await status()
          const [report] = servers as { segment: number; versions: { variant: string }[] }[]
          seen = report
          return report!.segment === routing.segment && JSON.stringify(report!.versions.map(({ variant }) => variant).toSorted()) === wanted
        },
        `the server has ${wanted}`,
        20_000,
      ).catch((error: unknown) => {
        throw new Error(`it has ${JSON.stringify(seen)}`, { cause: error })
      })
    },
    /** How many requests each variant answered. */
    async ask(count: number, headers: Record<string, string> = {}): Promise<Record<string, number>> {
      const answers = await Promise.all(Array.from({ length: count }, () => decide(server.url, 0.3, headers)))
      const by: Record<string, number> = {}
      for (const { status: told, variant } of answers) {
        const name = told === 200 ? variant! : `status ${told}`
        by[name] = (by[name] ?? 0) + 1
      }
      return by
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

it('a fresh copy of the version before has the share of the new one, and is what that is compared with', async () => {
  await using it = await judging({ steps: [20], baseline: true, bake: '1h', burnIn: '0s', minimumSample: 0, latency: false })
  await it.reaches('progressing')
  await it.applied('main', 'main-baseline', 'main-r2')
  const { routing } = await it.status()
  assert.deepEqual(routing.weights, { main: 60, 'main-baseline': 20, 'main-r2': 20 })
  const points = (variant: string): number =>
    (routing.ranges as Range[]).filter((one) => one.variant === variant).reduce((sum, { from, until: end }) => sum + end - from, 0)
  assert.deepEqual([points('main'), points('main-baseline'), points('main-r2')], [6000, 2000, 2000])
  const by = await it.ask(300)
  assert.deepEqual(Object.keys(by).toSorted(), ['main', 'main-baseline', 'main-r2'])
  let counted: RolloutAnswer['evidence']
  await until(
    async () => {
      counted = (await it.latest()).evidence
      return (counted?.segments ?? []).some(({ exposures }) => exposures > 0)
    },
    'the windows arrive',
    30_000,
  )
  const [errors] = counted!.metrics
  assert.deepEqual([errors!.metric, errors!.base.exposures, errors!.candidate.exposures], ['errors', by['main-baseline'], by['main-r2']])
  assert.deepEqual(
    counted!.segments
      .filter(({ metric }) => metric === 'errors')
      .map(({ arm, share }) => `${arm} ${share}`)
      .toSorted(),
    ['base 0.5', 'candidate 0.5'],
  )
  assert.equal((await it.command('abort')).state, 'aborted')
  await it.applied('main')
  assert.deepEqual((await it.status()).routing.weights, { main: 100 })
  assert.deepEqual(await it.ask(50), { main: 50 })
})

it('an audience gets the new version, and nobody else does; no verdict is given, and a person puts it in force', async () => {
  const audience = [{ header: 'x-tester', is: 'yes' }]
  await using it = await judging({ strategy: 'ab', audience, duration: '3s', bakeAfter: '1h', burnIn: '0s' })
  await it.reaches('progressing')
  await it.applied('main', 'main-r2')
  const tester = { 'x-tester': 'yes' }
  assert.deepEqual(await it.ask(40), { main: 40 })
  assert.deepEqual(await it.ask(40, tester), { 'main-r2': 40 })
  assert.deepEqual(await it.ask(10, { 'x-tester': 'no' }), { main: 10 })
  const paused = await it.reaches('paused')
  assert.deepEqual([paused.pausedFor, paused.verdict, paused.weight], ['approval', 'no data', 0])
  assert.match(paused.waitsFor!, /a person has to promote it/)
  // It stays as it was until then.
  assert.deepEqual([await it.ask(20), await it.ask(20, tester)], [{ main: 20 }, { 'main-r2': 20 }])
  const all = await it.command('promote')
  assert.deepEqual([all.state, all.weight], ['baking', 100])
  await it.applied('main', 'main-r2')
  assert.deepEqual(await it.ask(20), { 'main-r2': 20 })
  assert.equal((await it.command('promote')).state, 'promoted')
  await it.applied('main')
  const { revision } = await it.status()
  assert.equal(revision.variants[0].version, 2)
  assert.deepEqual([await it.ask(20), await it.ask(20, tester)], [{ main: 20 }, { main: 20 }])
})

it('a fresh copy is refused where a step leaves it no share', async () => {
  await using plane = await planeInProcess()
  for (const rollout of [{ strategy: 'linear' }, { strategy: 'ab', share: 60 }, { steps: [20, 60] }]) {
    const spec = { variants: [{ model: 'judge/1' }], rollout: { ...rollout, baseline: true } }
    const document = { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name: 'judge' }, spec }
    const { status, body } = await plane.ask('PUT', '/endpoints/judge', document)
    assert.equal(status, 400, JSON.stringify(body))
    assert.match(body.detail, /spec\.rollout\.baseline: .* more than 50 percent leave it none/)
  }
})
