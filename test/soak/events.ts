import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processTree } from '../../src/cli/tune/process-memory.ts'
import { addingModel } from '../adding-models.ts'
import { ADMIN } from '../child-server.ts'
import { post } from '../fixtures.ts'
import { burst, slowClients } from './clients.ts'
import type { Answer } from '../fixtures.ts'
import type { Asker } from './clients.ts'
import type { SoakModel } from './fleet.ts'
import type { Random } from './random.ts'

/** What events act on. */
export interface Day extends Asker {
  readonly fleet: readonly SoakModel[]
  readonly random: Random
  readonly pid: number
  readonly logFile: string
  hangUp(): void
}

interface Health {
  readonly models: readonly {
    readonly name: string
    readonly version: string
    readonly phase: string
    readonly failures?: readonly { readonly version: string }[]
    readonly instances: readonly { readonly state: string; readonly last_failure?: { readonly at: string } }[]
  }[]
}

/** How long a change may take that waits behind other loads on a busy machine. */
const SETTLE_MS = 60_000

async function healthOf(day: Day, model: SoakModel): Promise<Health['models'][number] | undefined> {
  const { models } = (await (await fetch(`${day.url}/health`)).json()) as Health
  return models.find(({ name }) => name === model.name)
}

async function settle(day: Day, what: string, fact: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + SETTLE_MS
  while (!(await fact())) {
    if (Date.now() > end) throw new Error(`still not so after ${SETTLE_MS / 1000} s: ${what}`)
    await sleep(50)
    day.signal.throwIfAborted()
  }
}

/** Waits until the wanted version is the one that is asked, and says so to whoever judges the answers. */
async function settleVersion(day: Day, model: SoakModel): Promise<void> {
  await settle(
    day,
    `${model.name} serves version ${model.wanted}`,
    async () => (await healthOf(day, model))?.version === String(model.wanted),
  )
  model.onlyPossible(model.wanted)
}

/** Whoever is told that the process was killed while it loaded asks once more. */
async function administer(day: Day, path: string, body: unknown): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(`${day.url}${path}`, { method: 'POST', headers: ADMIN, body: JSON.stringify(body) })
    const text = await response.text()
    if (response.status === 200) return
    const killed = response.status === 422 && text.includes('ended while it loaded (killed: SIGKILL)')
    if (!killed || attempt === 3) throw new Error(`POST ${path} ${JSON.stringify(body)}: ${response.status} ${text}`)
  }
}

type Act = (day: Day, model: SoakModel) => Promise<void>

const dropVersion: Act = async (day, model) => {
  await model.addVersion()
  if (model.pinned === undefined) await settleVersion(day, model)
  // As whoever deploys does: the last three are kept.
  for (const version of model.versions.slice(0, -3)) if (version !== model.pinned) await model.removeVersion(version)
}

const dropBroken: Act = async (day, model) => {
  const bytes = day.random.pick(['garbage', addingModel(0).subarray(0, 150)])
  const version = await model.addBroken(bytes)
  if (model.pinned === undefined)
    await settle(
      day,
      `${model.name} tells that version ${version} is broken`,
      async () => (await healthOf(day, model))?.failures?.some((failure) => failure.version === String(version)) === true,
    )
  await rename(join(model.folder, String(version)), join(model.folder, `.broken-${version}`))
  await rm(join(model.folder, `.broken-${version}`), { recursive: true })
}

const removeServed: Act = async (day, model) => {
  if (model.pinned !== undefined || model.versions.length < 2) {
    await dropVersion(day, model)
    return
  }
  const over = model.trouble('removal')
  const gone = model.wanted
  model.allow(model.versions.at(-2)!)
  await model.removeVersion(gone)
  await settleVersion(day, model)
  over()
}

const switchVersion: Act = async (day, model) => {
  const target = day.random.pick(model.versions)
  model.pinned = target
  model.allow(target)
  await administer(day, `/admin/models/${model.name}/switch`, { version: String(target) })
  await settleVersion(day, model)
}

const backToPolicy: Act = async (day, model) => {
  model.pinned = undefined
  model.allow(model.wanted)
  await administer(day, `/admin/models/${model.name}/switch`, { version: 'policy' })
  await settleVersion(day, model)
}

const unloadAndLoad: Act = async (day, model) => {
  const over = model.trouble('unload')
  await administer(day, `/v2/repository/models/${model.name}/unload`, {})
  await sleep(day.random.below(1500))
  // A pin outlives both.
  model.allow(model.wanted)
  await administer(day, `/v2/repository/models/${model.name}/load`, {})
  over()
  await settleVersion(day, model)
}

/** Which model the process belonged to is told by its health. One that was still being loaded is in no health. */
async function killInstance(day: Day): Promise<void> {
  const victims = processTree(day.pid).slice(1)
  if (victims.length === 0) return
  const overs = day.fleet.filter((model) => model.isolation === 'process').map((model) => ({ model, over: model.trouble('kill') }))
  const at = Date.now()
  try {
    process.kill(day.random.pick(victims), 'SIGKILL')
  } catch {
    // It has ended by itself meanwhile.
  }
  // Until then any of them may have been hit, also one that was still being loaded, which backs off; from then on, the one that its
  // health names.
  await sleep(3000)
  for (const { model, over } of overs) {
    const hit = (await healthOf(day, model))?.instances.some(({ last_failure: last }) => Date.parse(last?.at ?? '') >= at - 5) === true
    if (!hit) over()
    else
      void settle(day, `the instance of ${model.name} is replaced`, async () => {
        const now = await healthOf(day, model)
        return now === undefined || now.phase !== 'ready' || now.instances.every(({ state }) => state === 'ready')
      })
        .catch(() => {})
        .finally(over)
  }
}

async function burstOn(day: Day): Promise<void> {
  const model = day.fleet[day.random.below(3)]!
  const over = model.trouble('burst')
  await burst(day, model, day.random, 200)
  await sleep(500)
  over()
}

/** Some of their questions are large: a model with a latency goal may refuse others meanwhile. */
async function slowClientsOn(day: Day): Promise<void> {
  const model = day.random.pick(day.fleet.slice(0, 10))
  const over = model.trouble('burst')
  await slowClients(day, model, day.random)
  await sleep(500)
  over()
}

async function rotateLog(day: Day): Promise<void> {
  await rename(day.logFile, `${day.logFile}.1`)
  day.hangUp()
  await settle(day, 'a new log is begun', () => Promise.resolve(existsSync(day.logFile)))
}

async function changeLogLevel(day: Day): Promise<void> {
  await administer(day, '/admin/log', { level: day.random.pick(['debug', 'info', 'warn']) })
}

async function scrape(day: Day): Promise<void> {
  for (const path of ['/metrics', '/health', '/v2/repository/index', '/openapi.json']) {
    const response = await fetch(`${day.url}${path}`, { method: path.includes('index') ? 'POST' : 'GET' })
    const text = await response.text()
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text.slice(0, 300)}`)
  }
}

/** A question that is no question: refused, and nobody is harmed. */
async function askNonsense(day: Day): Promise<void> {
  const { name, isolation } = day.random.pick(day.fleet)
  const answer: Answer = await post(`${day.url}/models/${name}/predict`, day.random.pick(['{"a":', '[1,2]', '{"x":["a",2,3,4]}']))
  // A process that was killed, while it loaded or after, is told to whoever asks.
  const { code = '' } = answer.body as { code?: string }
  const killed = isolation === 'process' && ['SLW_LOAD_FAILED', 'SLW_MODEL_NOT_READY'].includes(code)
  if (answer.status !== 400 && answer.status !== 404 && !killed)
    throw new Error(`nonsense was answered ${answer.status}: ${JSON.stringify(answer.body)}`)
}

const OF_A_MODEL: readonly (readonly [name: string, weight: number, act: Act])[] = [
  ['new version', 6, dropVersion],
  ['broken version', 2, dropBroken],
  ['served version removed', 2, removeServed],
  ['switch', 3, switchVersion],
  ['back to policy', 3, backToPolicy],
  ['unload and load', 2, unloadAndLoad],
]

const OF_THE_SERVER: readonly (readonly [name: string, weight: number, act: (day: Day) => Promise<void>])[] = [
  ['instance killed', 3, killInstance],
  ['burst', 1, burstOn],
  ['slow clients', 2, slowClientsOn],
  ['log rotated', 1, rotateLog],
  ['log level', 1, changeLogLevel],
  ['reload', 1, (day) => Promise.resolve(day.hangUp())],
  ['scrape', 4, scrape],
  ['nonsense', 2, askNonsense],
]

/** What goes on at once. */
const AT_ONCE = 4

/** Things happen, one after the other and beside each other, until the day is over. @returns how often each did */
export async function happen(day: Day, failures: string[]): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>()
  const going = new Set<Promise<void>>()
  const serverBusy = new Set<string>()
  const all = [...OF_A_MODEL, ...OF_THE_SERVER]
  const total = all.reduce((sum, [, weight]) => sum + weight, 0)
  while (!day.signal.aborted) {
    let point = day.random.below(total)
    const chosen = all.find(([, weight]) => (point -= weight) < 0)!
    const [name] = chosen
    const start = (): Promise<void> | undefined => {
      const ofModel = OF_A_MODEL.find(([other]) => other === name)
      if (ofModel !== undefined) {
        // Mostly those that are asked often.
        const free = day.fleet.slice(0, day.random.pick([5, 15, day.fleet.length])).filter((model) => !model.busy)
        if (free.length === 0) return undefined
        const model = day.random.pick(free)
        model.busy = true
        return ofModel[2](day, model).finally(() => (model.busy = false))
      }
      if (serverBusy.has(name)) return undefined
      serverBusy.add(name)
      return OF_THE_SERVER.find(([other]) => other === name)![2](day).finally(() => serverBusy.delete(name))
    }
    const act = start()
    if (act !== undefined) {
      counts.set(name, (counts.get(name) ?? 0) + 1)
      const watched: Promise<void> = act
        .catch((error: unknown) => {
          if (!day.signal.aborted) failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`)
        })
        .finally(() => going.delete(watched))
      going.add(watched)
    }
    await sleep(200 + day.random.below(800), undefined, { signal: day.signal }).catch(() => {})
    while (going.size >= AT_ONCE) await Promise.race(going)
  }
  await Promise.all(going)
  return counts
}
