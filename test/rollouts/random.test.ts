/**
 * Random rollouts under load: whatever people do to them, no request fails that a healthy version could have answered, and each one is
 * answered by a version that was declared then. `npm run soak:rollouts` has a hundred of them.
 */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { planeInProcess } from '../api/in-plane.ts'
import { QUESTION } from '../adding-models.ts'
import { until } from '../fixtures.ts'
import { added, adders, follows } from '../following/following.ts'
import { randomFrom } from '../soak/random.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { RolloutAnswer } from '../../src/contract/rollout-api.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { Plane } from '../api/in-plane.ts'
import type { Random } from '../soak/random.ts'

const COUNT = Number(process.env['SLIPWAY_ROLLOUTS'] ?? 12)
const SEED = Number(process.env['SLIPWAY_SEED'] ?? 1)
/** Endpoints that walk beside each other. */
const ENDPOINTS = ['a', 'b', 'c']
const VERSIONS = [1, 2, 3, 4]
const PER_SECOND = 60
/** After so many commands a walk is brought to its end. */
const COMMANDS_MAX = 12

interface Answer {
  readonly endpoint: string
  readonly began: number
  readonly ended: number
  /** What was answered, or what it failed with. */
  readonly version: number | string
}

/** When versions of an endpoint were declared, and until when they may answer; by the clock of `performance`. */
type Declared = { readonly version: number; readonly from: number; until: number }[]

function load(servers: readonly SlipwayServer[], random: Random): AsyncDisposable & { readonly answers: readonly Answer[] } {
  const answers: Answer[] = []
  const open = new Set<Promise<void>>()
  const ended = new AbortController()
  const ask = async (): Promise<void> => {
    const endpoint = random.pick(ENDPOINTS)
    const began = performance.now()
    let version: number | string
    try {
      const response = await fetch(`${random.pick(servers).url}/v2/models/${endpoint}/infer`, { method: 'POST', body: QUESTION })
      const text = await response.text()
      version =
        response.status === 200
          ? (JSON.parse(text) as { outputs: { data: number[] }[] }).outputs[0]!.data[0]! - 1
          : `${response.status} ${text}`
    } catch (error) {
      version = String((error as Error).cause ?? error)
    }
    answers.push({ endpoint, began, ended: performance.now(), version })
  }
  const since = performance.now()
  const running = (async () => {
    for (let count = 0; !ended.signal.aborted; await pause(15))
      for (const due = ((performance.now() - since) / 1000) * PER_SECOND; count < due; count++) {
        const one: Promise<void> = ask().finally(() => open.delete(one))
        open.add(one)
      }
    await Promise.all(open)
  })()
  return {
    answers,
    async [Symbol.asyncDispose]() {
      ended.abort()
      await running
    },
  }
}

function strategyFrom(random: Random): object {
  const bakes = { bake: '1h', burnIn: '0s', minimumSample: 0, bakeAfter: random.pick(['0s', '100ms', '400ms']) }
  const more = {
    rollbackWindow: random.pick(['0s', '1h']),
    ...(random.below(3) === 0 && { watchAfter: random.pick(['200ms', '1h']) }),
    ...(random.below(3) === 0 && { latency: false }),
  }
  return {
    ...random.pick([
      { strategy: 'all-at-once' },
      { strategy: 'blue-green', bakeAfter: random.pick(['100ms', '500ms']) },
      { strategy: 'canary', steps: [5, 50], ...bakes },
      { strategy: 'canary', steps: [30], ...bakes, bake: '200ms', baseline: random.below(2) === 0 },
      { strategy: 'linear', stepWeight: 40, ...bakes },
      { strategy: 'shadow-then-canary', steps: [20, 60], ...bakes },
      { strategy: 'ab', bakeAfter: '100ms', duration: '1h' },
    ]),
    ...more,
  }
}

/** Walks one endpoint again and again. @returns what happened, a line for each walk */
async function walks(
  { plane, servers }: { readonly plane: Plane; readonly servers: readonly SlipwayServer[] },
  {
    endpoint,
    random,
    count,
    declared,
  }: { readonly endpoint: string; readonly random: Random; readonly count: number; readonly declared: Declared },
): Promise<string[]> {
  const path = `/endpoints/${endpoint}`
  const latest = async (): Promise<RolloutAnswer | undefined> => {
    const { status, body } = await plane.ask('GET', `${path}/rollouts/latest`)
    return status === 200 ? (body as RolloutAnswer) : undefined
  }
  /** Sends something; what does not fit the moment is refused with 409. */
  const send = async (method: string, to: string, body: object): Promise<boolean> => {
    const { status, body: told } = await plane.ask(method, to, body)
    assert.ok(status < 300 || status === 409, `${method} ${to} ${JSON.stringify(body)}: ${status} ${JSON.stringify(told)}`)
    return status < 300
  }
  const declare = (version: number): void => void declared.push({ version, from: performance.now(), until: Infinity })
  let alias = 1
  const move = async (): Promise<void> => {
    alias = random.pick(VERSIONS.filter((one) => one !== alias))
    declare(alias)
    await send('PUT', `/models/${endpoint}/aliases/champion`, { version: alias })
  }
  const inForce = async (): Promise<number> => {
    const { status } = (await plane.ask('GET', path)).body
    return Number(status.revision.variants[0].version)
  }
  const command = (one: string, more: object = {}): Promise<boolean> =>
    send('POST', `${path}/rollouts/latest/commands`, { command: one, ...more })
  const told: string[] = []
  for (let walk = 0; walk < count; walk++) {
    const done: string[] = []
    const rollout = strategyFrom(random)
    declare(alias)
    const spec = { variants: [{ model: `${endpoint}@champion` }], rollout }
    await send('PUT', path, { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name: endpoint }, spec })
    if (random.below(4) === 0) {
      const to = random.pick(VERSIONS)
      declare(to)
      await send('POST', `${path}/rollouts`, { to: String(to) })
    } else await move()
    for (let commands = 0; ;) {
      await pause(50 + random.below(350))
      const now = await latest()
      const isOver = now === undefined || now.endedAt !== undefined
      if (isOver && random.below(3) > 0) break
      if (now?.state === 'waiting' || now?.state === 'loading') {
        if (random.below(12) > 0) continue
      }
      const act = commands++ >= COMMANDS_MAX ? towardsEnd(isOver ? 'over' : now.state) : random.pick(ACTS)
      done.push(`${now?.state ?? 'none'}: ${act}`)
      if (act === 'none') {
        if (isOver && commands > COMMANDS_MAX) break
      } else if (act === 'alias') await move()
      else if (act === 'rollback') {
        for (const version of VERSIONS) declare(version)
        await send('POST', `${path}/rollback`, {})
      } else if (act === 'full') await command('promote', { full: true })
      else {
        if (act === 'retry' && now !== undefined) declare(Number(now.to.version))
        await command(act)
      }
    }
    const version = await inForce()
    let answered: (number | string)[] = []
    await until(
      async () => {
        answered = await Promise.all(servers.flatMap((server) => Array.from({ length: 8 }, () => added(server, endpoint))))
        return answered.every((one) => one === version)
      },
      `${endpoint}: all servers serve version ${version}`,
      // On cores that are not free a version loads at low priority for seconds, and there are others before it.
      90_000,
    ).catch(async (error: unknown) => {
      const { status } = (await plane.ask('GET', path)).body
      const seen = { walk, rollout, done, answered, status, latest: await latest() }
      throw new Error(`${String(error)}\n${JSON.stringify(seen, undefined, 1)}`, { cause: error })
    })
    // Whatever else was declared has no request from here on.
    const now = performance.now()
    for (const one of declared) if (one.version !== version) one.until = Math.min(one.until, now)
    declare(version)
    told.push(`${endpoint}: ${JSON.stringify(rollout)}: ${done.join(', ')}: ${(await latest())?.state ?? 'none'}`)
  }
  return told
}

/** What brings a rollout in some state nearer to its end. */
function towardsEnd(state: RolloutAnswer['state'] | 'over'): string {
  if (state === 'over') return 'none'
  if (state === 'paused') return 'resume'
  return state === 'watching' ? 'promote' : 'full'
}

/** As often as they stand here. */
const ACTS = 'none none none promote promote promote promote full skip pause resume resume abort alias retry rollback'.split(' ')

it(
  `${COUNT} random rollouts under load: every request is answered, by a version that was declared then`,
  { timeout: 60_000 + COUNT * 15_000 },
  async (t) => {
    await using opened = new AsyncDisposableStack()
    const plane = opened.use(await planeInProcess())
    const servers: SlipwayServer[] = []
    for (const name of ['one', 'two']) {
      const folder = opened.use(await temporaryFolder())
      servers.push(opened.use(await follows(plane.url, folder.path, { name })))
    }
    for (const endpoint of ENDPOINTS) {
      await adders(plane, VERSIONS.length, endpoint)
      const spec = { variants: [{ model: `${endpoint}@champion` }] }
      await plane.ask('PUT', `/endpoints/${endpoint}`, { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name: endpoint }, spec })
    }
    for (const server of servers)
      for (const endpoint of ENDPOINTS) await until(async () => (await added(server, endpoint)) === 1, `${endpoint} is served`, 20_000)

    const declared = new Map<string, Declared>(ENDPOINTS.map((endpoint) => [endpoint, []]))
    const since = performance.now()
    for (const one of declared.values()) one.push({ version: 1, from: since, until: Infinity })
    const traffic = load(servers, randomFrom(SEED))
    let told: string[][]
    try {
      told = await Promise.all(
        ENDPOINTS.map((endpoint, index) => {
          const count = Math.floor((COUNT + index) / ENDPOINTS.length)
          return walks({ plane, servers }, { endpoint, random: randomFrom(SEED * 1000 + index), count, declared: declared.get(endpoint)! })
        }),
      )
    } finally {
      await traffic[Symbol.asyncDispose]()
    }
    for (const line of told.flat()) t.diagnostic(line)
    const { answers } = traffic
    t.diagnostic(`${answers.length} requests, longest ${Math.round(Math.max(...answers.map(({ began, ended }) => ended - began)))} ms`)
    const isDeclared = ({ endpoint, version, began, ended }: Answer): boolean =>
      declared.get(endpoint)!.some((one) => one.version === version && one.from <= ended && one.until >= began)
    const wrong = answers.filter((answer) => !isDeclared(answer))
    assert.deepEqual(
      wrong.slice(0, 20).map((one) => ({ ...one, after: one.began - since })),
      [],
      `${wrong.length} of ${answers.length} requests were not answered by a declared version (seed ${SEED})`,
    )
    assert.ok(answers.length > COUNT * 20, `${answers.length} requests were asked`)
    const answeredBy = new Set(answers.map(({ version }) => version))
    assert.deepEqual(answeredBy, new Set(VERSIONS))
  },
)
