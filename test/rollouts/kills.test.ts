/** Control planes that are killed in the middle of a rollout, that race for one, and that are lost. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { planeInProcess } from '../api/in-plane.ts'
import { upInChild } from '../control-plane/up-in-child.ts'
import { freePort, until } from '../fixtures.ts'
import { added, adders, follows } from '../following/following.ts'
import { ROLLOUT_STEPS } from '../../src/core/fail-point.ts'
import { newMigratedPostgres } from '../storage/databases.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { RolloutAnswer } from '../../src/contract/rollout-api.ts'
import type { Plane } from '../api/in-plane.ts'

const SWITCH = { strategy: 'canary', steps: [50], bake: '1h', bakeAfter: '100ms' }
const endpoint = (rollout?: object) => ({
  apiVersion: 'slipway/v1',
  kind: 'Endpoint',
  metadata: { name: 'adder' },
  spec: { variants: [{ model: 'adder/1' }], ...(rollout !== undefined && { rollout }) },
})

async function ask(url: string, method: string, path: string, body?: object): Promise<any> {
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  return await response.json()
}

/** Walks an endpoint to its second version, whatever ends the control plane, and back where `undo` says so. @returns how often it was killed */
async function walkAt(step: string, undo: boolean): Promise<{ kills: number; rollout: RolloutAnswer }> {
  await using folder = await temporaryFolder()
  const data = join(folder.path, 'data')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const trigger = join(folder.path, 'now')
  {
    await using plane = await planeInProcess({ data, port })
    await adders(plane, 2)
    await plane.ask('PUT', '/endpoints/adder', endpoint())
  }
  await using server = await follows(url, folder.path)
  const up = async () =>
    await upInChild(['--data', data, '--port', String(port), '--no-server'], { SLIPWAY_FAIL_POINTS: `${step}:kill@${trigger}` })
  let plane = await up()
  await using _ending = { [Symbol.asyncDispose]: () => plane[Symbol.asyncDispose]() }
  await until(async () => (await added(server)) === 1, 'the first version serves', 20_000)
  let kills = 0
  let seen: string | undefined = ''
  let killedIn: string | undefined = ''
  const ended = new Set(['promoted', 'aborted'])
  let rollout: RolloutAnswer
  for (let look = 0; ; look++) {
    assert.ok(look < 600, 'it ends')
    try {
      rollout = (await ask(url, 'GET', '/endpoints/adder/rollouts/latest')) as RolloutAnswer
      // Each step ends it once, and is taken the next time.
      if (rollout.state !== killedIn) await writeFile(trigger, '')
      seen = rollout.state
      if (ended.has(rollout.state)) break
      if (rollout.state === undefined) await ask(url, 'POST', '/endpoints/adder/rollouts', { to: '2', rollout: SWITCH })
      else if (rollout.state === 'progressing')
        await ask(url, 'POST', '/endpoints/adder/rollouts/latest/commands', { command: undo ? 'abort' : 'promote' })
      await new Promise((resolve) => setTimeout(resolve, 50))
    } catch {
      assert.equal(await plane.exit, 'SIGKILL', plane.said())
      kills++
      killedIn = seen
      plane = await up()
    }
  }
  await allRequests(server, undo ? 1 : 2)
  return { kills, rollout }
}

/** Versions that many requests at once were answered by. */
async function answersOf(server: { url: string }): Promise<Set<number | string>> {
  return new Set(await Promise.all(Array.from({ length: 40 }, () => added(server))))
}

/** Waits until a server gives all requests to one version: one answer says nothing while two versions share them. */
async function allRequests(server: { url: string }, wanted: number): Promise<void> {
  const alone = async (): Promise<boolean> => {
    const answers = await answersOf(server)
    return answers.size === 1 && answers.has(wanted)
  }
  await until(alone, `the server answers as version ${wanted} alone`, 20_000)
}

describe('a control plane that is killed', () => {
  /** How often each step is come to on the way, at least. */
  const times = { 'rollout.begun': 1, 'rollout.routed': 3, 'rollout.back': 1, 'rollout.forced': 1, 'rollout.noted': 5 } as const
  for (const step of ROLLOUT_STEPS)
    it(`at ${step}: the rollout goes on where it was, and ends`, { timeout: 120_000 }, async () => {
      const undo = step === 'rollout.back'
      const { kills, rollout } = await walkAt(step, undo)
      // At least: a step that was taken but not yet seen here may be come to again.
      assert.ok(kills >= times[step], `${kills} kills`)
      assert.equal(rollout.state, undo ? 'aborted' : 'promoted')
      assert.deepEqual(
        rollout.transitions?.map(({ state }) => state),
        ['waiting', 'loading', 'progressing', ...(undo ? ['aborted'] : ['baking', 'promoted'])],
      )
    })
})

it('two replicas race for each step, and each is taken once', { timeout: 120_000 }, async () => {
  await using folder = await temporaryFolder()
  const more = { database: await newMigratedPostgres(), objects: `file:${join(folder.path, 'objects')}` }
  await using one = await planeInProcess({ ...more })
  await using other = await planeInProcess({ ...more })
  await adders(one, 2)
  await one.ask('PUT', '/endpoints/adder', endpoint())
  await using server = await follows(other.url, folder.path)
  await until(async () => (await added(server)) === 1, 'the first version serves', 20_000)
  for (const to of [2, 1, 2]) {
    const started = await one.ask('POST', '/endpoints/adder/rollouts', { to: String(to), rollout: { ...SWITCH, rollbackWindow: '0s' } })
    assert.equal(started.status, 201, JSON.stringify(started.body))
    const latest = async (plane: Plane): Promise<RolloutAnswer> =>
      (await plane.ask('GET', `/endpoints/adder/rollouts/${started.body.number}`)).body as RolloutAnswer
    await until(async () => (await latest(other)).state === 'progressing', 'the first step', 20_000)
    // Both are told at once: one takes the step, and the other is told that it was taken, or goes on from there.
    const answers = await Promise.all(
      [one, other].map((plane) => plane.ask('POST', '/endpoints/adder/rollouts/latest/commands', { command: 'promote' })),
    )
    assert.ok(answers.some(({ status }) => status === 200))
    await until(async () => (await latest(one)).state === 'promoted', 'the end', 20_000)
    assert.deepEqual(
      (await latest(other)).transitions?.map(({ state }) => state),
      ['waiting', 'loading', 'progressing', 'baking', 'promoted'],
    )
    await until(async () => (await added(server)) === to, 'the server follows', 20_000)
  }
  const { items } = (await one.ask('GET', '/events?kind=rollout&limit=100')).body as { items: unknown[] }
  assert.equal(items.length, 15)
})

it('a server that has heard nothing for too long gives all requests to the version before, and goes on once it hears again', async () => {
  await using folder = await temporaryFolder()
  const data = join(folder.path, 'data')
  const port = await freePort()
  let held = await planeInProcess({ data, port })
  await using _ending = { [Symbol.asyncDispose]: () => held[Symbol.asyncDispose]() }
  await adders(held, 2)
  await held.ask('PUT', '/endpoints/adder', endpoint())
  await using server = await follows(held.url, folder.path)
  await held.ask('POST', '/endpoints/adder/rollouts', { to: '2', rollout: { ...SWITCH, rollbackAfter: '3s' } })
  await until(async () => (await answersOf(server)).size === 2, 'both share the requests', 20_000)
  await held[Symbol.asyncDispose]()
  // It holds for a while.
  assert.equal((await answersOf(server)).size, 2)
  await until(async () => (await answersOf(server)).size === 1, 'it goes back', 20_000)
  assert.deepEqual([...(await answersOf(server))], [1])
  held = await planeInProcess({ data, port })
  await until(async () => (await answersOf(server)).size === 2, 'both share the requests again', 40_000)
})
