import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { SlipwayError } from '../../src/core/errors.ts'
import { Credentials } from '../../src/following/credentials.ts'
import { StateFile } from '../../src/following/kept-state.ts'
import { ManualClock } from '../core/manual-clock.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const DAY = 24 * 3600_000
const URL_OF = 'http://127.0.0.1:1'

/** Credentials of a server that joins, and what its control plane was asked. */
function joining(folder: string, clock: ManualClock, address: object = {}) {
  const asked: string[] = []
  let made = 0
  let refusal: SlipwayError | undefined
  const client = {
    join: (server: string, token: string, { again }: { again: boolean }) => {
      asked.push(`join ${server} by ${token}${again ? ' again' : ''}`)
      return Promise.resolve({ key: `key-${++made}`, expiresAt: clock.epochMs() + DAY })
    },
    rotate: (server: string, key: string) => {
      asked.push(`rotate ${key} of ${server}`)
      return refusal === undefined ? Promise.resolve({ key: `key-${++made}`, expiresAt: clock.epochMs() + DAY }) : Promise.reject(refusal)
    },
  }
  const credentials = new Credentials({
    address: { url: URL_OF, joinToken: () => Promise.resolve('token'), ...address },
    client,
    server: 'one',
    folder,
    bootId: 'b',
    clock,
  } as never)
  return {
    credentials,
    asked,
    refuse: (code?: 'SLW_UNAUTHENTICATED' | 'SLW_UNREACHABLE') => (refusal = code && new SlipwayError(code, 'no')),
  }
}

it('a key that was given is used as it is', async () => {
  await using folder = await temporaryFolder()
  const { credentials, asked } = joining(folder.path, new ManualClock(), { apiKey: 'given' })
  assert.equal(await credentials.key(), 'given')
  assert.equal(await joining(folder.path, new ManualClock(), { apiKey: () => Promise.resolve('read') }).credentials.key(), 'read')
  assert.equal(await joining(folder.path, new ManualClock(), { joinToken: undefined }).credentials.key(), undefined)
  assert.deepEqual(asked, [])
})

it('a server joins once, replaces its key before that ends, and joins again when the key was taken away', async () => {
  await using folder = await temporaryFolder()
  const clock = new ManualClock()
  const { credentials, asked, refuse } = joining(folder.path, clock)
  assert.deepEqual(await Promise.all([credentials.key(), credentials.key()]), ['key-1', 'key-1'])
  assert.equal(await credentials.key(), 'key-1')
  assert.deepEqual(asked.splice(0), ['join one by token'])
  // A control plane that does not answer is no reason to give the key up.
  clock.advance(DAY - 1)
  refuse('SLW_UNREACHABLE')
  assert.equal(await credentials.key(), 'key-1')
  refuse()
  assert.equal(await credentials.key(), 'key-2')
  assert.deepEqual(asked.splice(0), ['rotate key-1 of one', 'rotate key-1 of one'])
  await credentials.refused('another')
  assert.equal(await credentials.key(), 'key-2')
  await credentials.refused('key-2')
  assert.equal(await credentials.key(), 'key-3')
  assert.deepEqual(asked.splice(0), ['join one by token again'])
  clock.advance(DAY)
  refuse('SLW_UNAUTHENTICATED')
  assert.equal(await credentials.key(), 'key-4')
  assert.deepEqual(asked.splice(0), ['rotate key-3 of one', 'join one by token again'])
})

it('a key is used again after a restart, and is for one control plane and one environment', async () => {
  await using folder = await temporaryFolder()
  const clock = new ManualClock()
  await joining(folder.path, clock).credentials.key()
  const kept = JSON.parse(await readFile(join(folder.path, 'key-one.json'), 'utf8')) as { replaceAt: number }
  assert.ok(kept.replaceAt > clock.epochMs() && kept.replaceAt < clock.epochMs() + DAY, 'before it ends')
  const again = joining(folder.path, clock)
  assert.equal(await again.credentials.key(), 'key-1')
  assert.deepEqual(again.asked, [])
  for (const elsewhere of [{ url: 'http://127.0.0.1:2' }, { environment: 'other' }]) {
    const other = joining(folder.path, clock, elsewhere)
    await other.credentials.key()
    assert.deepEqual(other.asked, ['join one by token'], JSON.stringify(elsewhere))
    await joining(folder.path, clock).credentials.key()
  }
  await writeFile(join(folder.path, 'key-one.json'), '{"url":')
  const cut = joining(folder.path, clock)
  await cut.credentials.key()
  assert.deepEqual(cut.asked, ['join one by token'])
})

it('what is kept of one control plane is nothing to another, and a file that was cut off is none', async () => {
  await using folder = await temporaryFolder()
  const state = { apiVersion: 'slipway/v1', kind: 'FollowedState', environment: 'default', era: 1, generation: 2, endpoints: [] } as const
  const file = new StateFile(folder.path, 'one')
  assert.equal(await file.read(URL_OF), undefined)
  await file.write({ url: URL_OF, etag: 'e', state, served: {} } as never)
  await file.heard(Date.now())
  await file.heard(1_700_000_000_000)
  const found = await new StateFile(folder.path, 'one').read(URL_OF)
  assert.deepEqual([found?.kept.etag, found?.heardAtMs], ['e', 1_700_000_000_000])
  assert.equal(await new StateFile(folder.path, 'one').read('http://127.0.0.1:2'), undefined)
  assert.equal(await new StateFile(folder.path, 'two').read(URL_OF), undefined)
})
