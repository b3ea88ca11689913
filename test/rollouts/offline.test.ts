/** What a rollout is judged by is what clients saw, whatever becomes of servers; and whoever works the verdict out again has the same. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { planeInProcess } from '../api/in-plane.ts'
import { serveInChild } from '../child-server.ts'
import { until } from '../fixtures.ts'
import { decide, deciders, judges } from '../following/deciding-models.ts'
import { follows } from '../following/following.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { judge, resolveJudge } from '../../src/judge/index.ts'
import { cutOff } from './cut-off.ts'
import type { RolloutAnswer, RolloutEvidence } from '../../src/contract/rollout-api.ts'
import type { Evidence, Judgement } from '../../src/judge/index.ts'

/** Only the new version fails, so that what is shown against it grows with each failure, in whatever order windows come. */
const ERRORS = { tolerate: 10, ruleOut: 20, cap: false, clusters: 'never' } as const
const ROLLOUT = { steps: [20, 50], bake: '1h', burnIn: '0s', minimumSample: 0, latency: false, outputs: false, errors: ERRORS }
const WINDOW_MS = 10_000

/** One request, as a client noted it: chance assigned each of them. */
interface Note {
  readonly server: string
  /** Percent of the new version when it was asked. */
  readonly share: number
  readonly arm: 'base' | 'candidate'
  readonly failed: boolean
}

/** So many requests at once, of which some make version 2 fail. */
async function ask(
  { name, url }: { name: string; url: string },
  { count, share, failing }: { count: number; share: number; failing: number },
): Promise<Note[]> {
  return await Promise.all(
    Array.from({ length: count }, async (_, index): Promise<Note> => {
      const { status, variant } = await decide(url, index % failing === failing - 1 ? 0.95 : 0.3)
      // Version 1 never fails.
      const failed = status !== 200
      return { server: name, share, arm: failed || variant !== 'main' ? 'candidate' : 'base', failed }
    }),
  )
}

type Counted = Pick<RolloutEvidence['segments'][number], 'share' | 'arm' | 'events' | 'exposures'>

function counted(notes: readonly Note[]): Counted[] {
  return [...Map.groupBy(notes, ({ share, arm }) => `${share} ${arm}`).values()].map((some) => ({
    share: some[0]!.share / 100,
    arm: some[0]!.arm,
    events: some.filter(({ failed }) => failed).length,
    exposures: some.length,
  }))
}

const sorted = (counts: readonly Counted[]): Counted[] => counts.toSorted((a, b) => a.share - b.share || (a.arm < b.arm ? -1 : 1))

/** What the judge says of notes alone, with the options that the rollout was started with. */
function judgedOffline(notes: readonly Note[]): Judgement {
  const rows = counted(notes).map(({ share, arm, events, exposures }): Evidence => ({
    metric: 'errors',
    interval: { fromMs: 0, untilMs: 1 },
    segment: String(share),
    arm,
    k: events,
    exposures,
    share,
  }))
  return judge(resolveJudge({ minimumSample: 0, metrics: { errors: ERRORS } }), rows)
}

it('one server is killed, one is cut off and late: counts are those of the clients, and the verdict is the one worked out from their notes', async (t) => {
  await using folder = await temporaryFolder()
  await using plane = await planeInProcess()
  await using way = await cutOff(plane.url)
  await deciders(plane, { threshold: 0.5 }, { threshold: 0.5, failsFrom: 0.9 })
  await judges(plane, [{ model: 'judge/1' }])
  await using steady = await follows(plane.url, join(folder.path, 'a'), { name: 'steady' })
  await using late = await follows(way.url, join(folder.path, 'c'), { name: 'late' })
  await using killed = await serveInChild(['--control-plane', plane.url, '--store', join(folder.path, 'b'), '--server-name', 'killed'])
  const servers = {
    steady: { name: 'steady', url: steady.url },
    late: { name: 'late', url: late.url },
    killed: { name: 'killed', url: killed.url },
  }
  const command = async (one: string): Promise<void> => {
    const { status, body } = await plane.ask('POST', '/endpoints/judge/rollouts/latest/commands', { command: one })
    assert.equal(status, 200, JSON.stringify(body))
  }
  const latest = async (): Promise<RolloutAnswer> => (await plane.ask('GET', '/endpoints/judge/rollouts/latest')).body as RolloutAnswer
  /** Waits until all servers share out by the present routing. */
  const applied = async (): Promise<void> =>
    await until(
      async () => {
        const { status } = (await plane.ask('GET', '/endpoints/judge')).body
        const { routing, servers: reports } = status as { routing: { segment: number }; servers: { segment?: number }[] }
        return reports.length === 3 && reports.every(({ segment }) => segment === routing.segment)
      },
      'all servers share out by the present routing',
      30_000,
    )
  const seen = async (): Promise<Counted[]> =>
    ((await latest()).evidence?.segments ?? [])
      .filter(({ metric }) => metric === 'errors')
      .map(({ share, arm, events, exposures }) => ({ share, arm, events, exposures }))
  const total = (counts: readonly Counted[]): number => counts.reduce((sum, { exposures }) => sum + exposures, 0)
  const arrive = async (notes: readonly Note[]): Promise<void> => {
    await until(async () => total(await seen()) >= notes.length, `${notes.length} requests are counted`, 45_000)
    assert.deepEqual(sorted(await seen()), sorted(counted(notes)))
  }

  const started = await plane.ask('POST', '/endpoints/judge/rollouts', { to: '2', rollout: ROLLOUT })
  assert.equal(started.status, 201, JSON.stringify(started.body))
  await until(async () => (await latest()).state === 'progressing', 'the first step', 30_000)
  await applied()
  const notes: Note[] = []
  for (const server of Object.values(servers)) notes.push(...(await ask(server, { count: 80, share: 20, failing: 20 })))
  await command('promote')
  await applied()
  await command('pause')
  for (const server of Object.values(servers)) notes.push(...(await ask(server, { count: 80, share: 50, failing: 20 })))
  await arrive(notes)

  // No window is cut between what it answers now and its end: that was in its memory alone.
  await until(() => Date.now() % WINDOW_MS > 1000 && Date.now() % WINDOW_MS < 5000, 'the begin of a window', 2 * WINDOW_MS)
  way.cut()
  const lost = await ask(servers.killed, { count: 40, share: 50, failing: 20 })
  killed.signal('SIGKILL')
  await killed.exit
  const cutOffNotes = await ask(servers.late, { count: 80, share: 50, failing: 20 })
  notes.push(...(await ask(servers.steady, { count: 80, share: 50, failing: 20 })))
  await arrive(notes)
  await pause(WINDOW_MS)
  assert.equal(total(await seen()), notes.length, 'nothing comes from who is cut off')
  way.mend()
  notes.push(...cutOffNotes)
  await arrive(notes)

  const { state, pausedFor, verdict, evidence } = await latest()
  assert.deepEqual([state, pausedFor, verdict], ['paused', 'person', 'inconclusive'])
  const [offline] = judgedOffline(notes).metrics
  const product = evidence!.metrics.find(({ metric }) => metric === 'errors')!
  t.diagnostic(`${notes.length} requests, ${lost.length} lost with a server; p ${product.p}: ${product.sentence}`)
  assert.equal(product.verdict, offline!.verdict)
  assert.ok(Math.abs(product.p - offline!.p) < 1e-9, `${product.p} is ${offline!.p}`)
  assert.deepEqual(
    [product.base, product.candidate],
    [offline!.base, offline!.candidate].map(({ k, exposures }) => ({ events: k, exposures })),
  )

  // More of the same turns it back, though it is paused; and the notes say so, too.
  notes.push(...(await ask(servers.steady, { count: 200, share: 50, failing: 4 })))
  notes.push(...(await ask(servers.late, { count: 200, share: 50, failing: 4 })))
  await until(async () => (await latest()).state === 'rolled back', 'it is turned back', 30_000)
  assert.equal(judgedOffline(notes).verdict, 'fail')
  const turned = (await latest()).evidence!
  assert.equal(turned.verdict, 'fail')
})
