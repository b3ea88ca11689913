import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { listDigest } from '../../src/core/list-digest.ts'
import { silentLogger } from '../../src/core/log.ts'
import { SlipwayError } from '../../src/core/errors.ts'
import { Follower } from '../../src/following/follower.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { KeptState } from '../../src/following/kept-state.ts'
import type { FollowedVariant } from '../../src/contract/followed-state.ts'

/** A machine on which a follower serves: its store, what it serves, and the documents of its control plane. */
class Machine {
  readonly folder: string
  /** Version served, by endpoint. */
  readonly served = new Map<string, number>()
  /** Changes in order, as `endpoint=version`. */
  readonly changes: string[] = []
  /** Versions as `endpoint=version` that cannot be loaded, and those whose load waits. */
  readonly broken = new Set<string>()
  readonly held = new Map<string, Promise<void>>()
  /** Holds on versions of the store that were not let go, by digest. */
  readonly holds = new Map<string, number>()
  /** Versions that are in the store. */
  readonly there = new Set<string>()
  /** Latest document; undefined while the control plane does not answer. */
  document: { state: object; etag: string } | undefined
  asked = 0
  /** What was logged as a warning. */
  readonly warned: string[] = []
  /** Whether the control plane keeps those waiting who may wait. */
  hangs = false
  /** How far the clock of the machine is ahead, ms. */
  aheadMs = 0

  constructor(folder: string) {
    this.folder = folder
  }

  declare(generation: number, versions: Readonly<Record<string, number>>, revision = generation, environment = 'default'): void {
    const endpoints = Object.entries(versions).map(([name, version]) => ({
      name,
      labels: {},
      generation: 1,
      revision,
      variants: [{ name: 'main', model: name, version, versionId: '0'.repeat(32), digest: digestOf(name, version), size: 1, serving: {} }],
      routing: { weights: { main: 100 }, salt: 's', segment: 1 },
    }))
    const state = { apiVersion: 'slipway/v1', kind: 'FollowedState', environment, era: 1, generation, endpoints }
    this.document = { state: { ...state, list: listDigest(endpoints) }, etag: String(generation) }
  }

  async start(): Promise<{ follower: Follower; started: Promise<void>; [Symbol.asyncDispose](): Promise<void> }> {
    const client = {
      follow: async (_selection: unknown, known: string | undefined, { waitMs, signal }: { waitMs: number; signal: AbortSignal }) => {
        this.asked++
        if (this.hangs && waitMs > 0) await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('cut off'))))
        if (this.document === undefined) throw new SlipwayError('SLW_UNREACHABLE', 'nobody is there')
        if (known !== this.document.etag) return this.document
        await new Promise((resolve) => setTimeout(resolve, 5))
        return undefined
      },
    }
    const hold = (digest: string) => {
      this.holds.set(digest, (this.holds.get(digest) ?? 0) + 1)
      let over = false
      return {
        folder: `/store/${digest}`,
        fingerprint: digest,
        [Symbol.dispose]: () => {
          assert.ok(!over, `${digest} is let go twice`)
          over = true
          this.holds.set(digest, this.holds.get(digest)! - 1)
        },
      }
    }
    const store = {
      folder: this.folder,
      hold: (digest: string) => Promise.resolve(this.there.has(digest) ? hold(digest) : undefined),
      fetch: ({ digest }: FollowedVariant) => {
        this.there.add(digest)
        return Promise.resolve(hold(digest))
      },
    }
    const follower = new Follower({
      selection: { endpoints: 'all' },
      url: 'http://127.0.0.1:1',
      name: 'test',
      client,
      store,
      change: async (name: string, desired?: { spec: { variants: { version: string }[] } }) => {
        const version = desired?.spec.variants[0]!.version
        const key = `${name}=${version ?? 'none'}`
        this.changes.push(key)
        await this.held.get(key)
        if (this.broken.has(key)) {
          const error = new SlipwayError('SLW_MODEL_INVALID', `${key} cannot be loaded`)
          return { failures: [{ endpoint: name, spec: desired!.spec.variants[0], error, weighted: true }], switches: Promise.resolve([]) }
        }
        if (version === undefined) this.served.delete(name)
        else this.served.set(name, Number(version))
        return { failures: [], switches: Promise.resolve([]) }
      },
      route: () => {},
      live: () => [],
      // Time runs a hundred times as fast for what waits.
      clock: {
        ...systemClock,
        epochMs: () => systemClock.epochMs() + this.aheadMs,
        after: (delayMs: number, callback: () => void) => systemClock.after(delayMs / 100, callback),
      },
      log: { ...silentLogger, warn: (_: object, message: string) => this.warned.push(message) },
      random: () => 0,
    } as never)
    const started = follower.start()
    return { follower, started, [Symbol.asyncDispose]: () => follower[Symbol.asyncDispose]() }
  }

  stateOf(follower: Follower, name: string): string[] {
    const versions = follower.status().endpoints.find((endpoint) => endpoint.name === name)?.versions ?? []
    return versions.map(({ version, state, serves }) => `${version} ${state}${serves ? ' serves' : ''}`)
  }

  get letGo(): boolean {
    return [...this.holds.values()].every((count) => count === 0)
  }
}

function digestOf(name: string, version: number): string {
  return createHash('sha256').update(`${name}=${version}`).digest('hex')
}

/** Lets a version load only when this is disposed of. */
function held(machine: Machine, key: string): Disposable {
  const { promise, resolve } = Promise.withResolvers<void>()
  machine.held.set(key, promise)
  return { [Symbol.dispose]: resolve }
}

it('an endpoint whose load hangs holds up no other, nor an endpoint that goes', { timeout: 20_000 }, async () => {
  await using folder = await temporaryFolder()
  const machine = new Machine(folder.path)
  {
    machine.declare(1, { a: 1, b: 1, c: 1 })
    await using it = await machine.start()
    using release = held(machine, 'a=2')
    await it.started
    assert.deepEqual(Object.fromEntries(machine.served), { a: 1, b: 1, c: 1 })
    machine.declare(2, { a: 2, b: 2, c: 1 })
    await until(() => machine.served.get('b') === 2, 'the other is served')
    machine.declare(3, { a: 2, b: 3 })
    await until(
      () => machine.stateOf(it.follower, 'b').join() === '3 ready serves' && !machine.served.has('c'),
      'the next one, and c is gone',
    )
    assert.deepEqual(machine.stateOf(it.follower, 'a'), ['2 loading', '1 ready serves'])
    // Were the process to end now, the next one would find what has served.
    const kept = (await readdir(folder.path)).find((name) => name.endsWith('.json'))!
    const served = async () => (JSON.parse(await readFile(join(folder.path, kept), 'utf8')) as KeptState).served
    await until(async () => (await served())['b']?.variants[0]?.version === 3, 'it is written down')
    assert.equal((await served())['a']?.variants[0]?.version, 1)
    release[Symbol.dispose]()
    await until(() => machine.served.get('a') === 2, 'it is served in the end')
    const left = new Map([...machine.holds].filter(([, count]) => count > 0))
    assert.deepEqual(left, new Map([digestOf('b', 3), digestOf('a', 2)].map((digest) => [digest, 1])))
  }
  assert.ok(machine.letGo)
})

it('of what was kept, an endpoint whose load hangs keeps neither the others from serving nor the control plane from being heard', async () => {
  await using folder = await temporaryFolder()
  const machine = new Machine(folder.path)
  {
    machine.declare(1, { a: 1, b: 1 })
    await using it = await machine.start()
    await it.started
  }
  machine.served.clear()
  {
    await using it = await machine.start()
    using release = held(machine, 'a=1')
    await until(() => machine.served.get('b') === 1, 'the other one is served')
    assert.deepEqual(machine.stateOf(it.follower, 'a'), ['1 loading'], 'it is not said to serve')
    machine.declare(2, { a: 1, b: 2 })
    await until(() => machine.served.get('b') === 2, 'and what is declared now')
    release[Symbol.dispose]()
    await it.started
    assert.deepEqual(Object.fromEntries(machine.served), { a: 1, b: 2 })
  }
  assert.ok(machine.letGo)
})

it('where the declared version cannot be loaded after a start, the one that served before does', async () => {
  await using folder = await temporaryFolder()
  const machine = new Machine(folder.path)
  machine.broken.add('a=2')
  {
    machine.declare(1, { a: 1 })
    await using it = await machine.start()
    await it.started
    machine.declare(2, { a: 2 })
    await until(() => machine.stateOf(it.follower, 'a').includes('2 failed'), 'it fails')
    assert.deepEqual(machine.stateOf(it.follower, 'a'), ['2 failed', '1 ready serves'])
    assert.match(it.follower.failure()?.message ?? '', /a=2 cannot be loaded/)
    // The files are to blame, and would fail again: they are not tried for ever. Waits are a hundredth of what they are.
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.equal(machine.changes.filter((change) => change === 'a=2').length, 1)
  }
  machine.served.clear()
  machine.changes.length = 0
  machine.document = undefined
  {
    await using it = await machine.start()
    await it.started
    assert.deepEqual(machine.changes.slice(0, 2), ['a=2', 'a=1'])
    assert.deepEqual(Object.fromEntries(machine.served), { a: 1 })
    assert.deepEqual(machine.holds.get(digestOf('a', 2)), 0, 'what failed is let go')
  }
  assert.ok(machine.letGo)
  // What is not in the store any more cannot be tried; what served before is there.
  machine.there.delete(digestOf('a', 2))
  machine.changes.length = 0
  machine.served.clear()
  {
    await using _it = await machine.start()
    await until(() => machine.served.get('a') === 1, 'the one before serves')
    assert.equal(machine.changes[0], 'a=1')
  }
  assert.ok(machine.letGo)
})

it('what was kept and serves as declared is loaded once, and nothing else is held', async () => {
  await using folder = await temporaryFolder()
  const machine = new Machine(folder.path)
  {
    machine.declare(1, { a: 1 })
    await using it = await machine.start()
    await it.started
    // Another revision of the same version changes nothing that is loaded.
    machine.declare(2, { a: 1 })
    await until(() => it.follower.status().endpoints[0]?.revision === 2, 'it is taken over')
    assert.deepEqual(machine.changes, ['a=1'])
  }
  machine.changes.length = 0
  machine.document = undefined
  {
    await using it = await machine.start()
    await it.started
    assert.ok(machine.changes.every((change) => change === 'a=1'))
    assert.deepEqual(machine.stateOf(it.follower, 'a'), ['1 ready serves'])
    await until(() => machine.holds.get(digestOf('a', 1)) === 1, 'one hold is left')
    assert.match(it.follower.failure()?.message ?? '', /nobody is there/)
  }
  assert.ok(machine.letGo)
})

it('what was kept and cannot be loaded is loaded anew by the next document, and served', async () => {
  await using folder = await temporaryFolder()
  const machine = new Machine(folder.path)
  {
    machine.declare(1, { a: 1 })
    await using it = await machine.start()
    await it.started
  }
  machine.served.clear()
  machine.broken.add('a=1')
  machine.document = undefined
  {
    await using it = await machine.start()
    await it.started
    assert.deepEqual(machine.stateOf(it.follower, 'a'), ['1 failed'])
    assert.equal(machine.served.size, 0)
    // What failed serves nothing, also beside another one that fails.
    machine.broken.add('a=2')
    machine.declare(2, { a: 2 })
    await until(() => machine.stateOf(it.follower, 'a').includes('2 failed'), 'the next one fails too')
    assert.deepEqual(machine.stateOf(it.follower, 'a'), ['2 failed'])
    machine.broken.clear()
    // The version is the same, and another revision tries it again.
    machine.declare(3, { a: 1 })
    await until(() => machine.served.get('a') === 1, 'it is served', 10_000)
    await until(() => machine.stateOf(it.follower, 'a').join() === '1 ready serves', 'and said to be')
    await until(() => it.follower.failure() === undefined, 'nothing is wrong any more')
  }
  assert.ok(machine.letGo)
})

it('after a start it is said how long ago the control plane was heard of, by the process before', async () => {
  await using folder = await temporaryFolder()
  const machine = new Machine(folder.path)
  {
    machine.declare(1, { a: 1 })
    await using it = await machine.start()
    await it.started
    assert.ok(it.follower.status().staleSeconds < 30)
    assert.equal(it.follower.failure(), undefined)
  }
  machine.document = undefined
  machine.aheadMs = 600_000
  await using it = await machine.start()
  await it.started
  const { staleSeconds } = it.follower.status()
  assert.ok(staleSeconds >= 600 && staleSeconds < 660, String(staleSeconds))
  machine.declare(2, { a: 1 })
  await until(() => it.follower.status().staleSeconds < 30, 'it is heard of again')
})

it('a document of another environment is none to follow', async () => {
  await using folder = await temporaryFolder()
  const machine = new Machine(folder.path)
  machine.declare(1, { a: 1 })
  await using it = await machine.start()
  await it.started
  machine.declare(2, { a: 2, b: 1 }, 2, 'other')
  await until(() => it.follower.failure() !== undefined, 'it is told of')
  assert.match(it.follower.failure()!.message, /a document of environment "other", "default" is followed/)
  assert.deepEqual(Object.fromEntries(machine.served), { a: 1 })
  machine.declare(3, { a: 3 })
  await until(() => machine.served.get('a') === 3, 'the next one of its own is followed')
  await until(() => it.follower.failure() === undefined, 'nothing is wrong any more')
})

it('who ends while the control plane has not answered has no complaint of it', async () => {
  await using folder = await temporaryFolder()
  const machine = new Machine(folder.path)
  machine.declare(1, { a: 1 })
  {
    await using it = await machine.start()
    await it.started
    const before = machine.asked
    machine.hangs = true
    await until(() => machine.asked > before, 'it waits for an answer')
  }
  assert.deepEqual(machine.warned, [])
})
