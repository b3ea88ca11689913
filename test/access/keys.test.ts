import assert from 'node:assert/strict'
import { after, before, it } from 'node:test'
import { Keys } from '../../src/access/keys.ts'
import { createIds } from '../../src/core/ids.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { ManualClock } from '../core/manual-clock.ts'
import type { Plane } from '../api/in-plane.ts'

const SCOPE = { environment: 'default', actor: 'test' }
const DAY = 24 * 3600_000

let plane: Plane
let clock: ManualClock
let keys: Keys

before(async () => {
  plane = await planeInProcess()
  clock = new ManualClock()
  keys = new Keys({ database: plane.plane.services.ground.database, clock, newId: createIds() })
})

after(async () => {
  await plane[Symbol.asyncDispose]()
})

const holds = async (key: string): Promise<boolean> => (await keys.verify(key)) !== undefined

it('a key that is made in place of another lives as long as that did, and the other a little longer', async () => {
  const { key, info } = await keys.create(SCOPE, { name: 'rotated', scopes: ['viewer'], expiresAt: clock.epochMs() + 10 * DAY })
  clock.advance(4 * DAY)
  const next = await keys.rotate(SCOPE, info.id, 3600_000)
  assert.equal(next.info.expiresAt, clock.epochMs() + 10 * DAY)
  assert.deepEqual([next.info.name, next.info.scopes], ['rotated', ['viewer']])
  clock.advance(3600_000 - 1)
  assert.deepEqual([await holds(key), await holds(next.key)], [true, true])
  clock.advance(1)
  assert.deepEqual([await holds(key), await holds(next.key)], [false, true])
  await assert.rejects(keys.rotate(SCOPE, info.id, 0), { code: 'SLW_NOT_FOUND' }, 'it has ended')
  await keys.revoke(SCOPE, next.info.id)
  await assert.rejects(keys.rotate(SCOPE, next.info.id, 0), { code: 'SLW_NOT_FOUND' }, 'it was revoked')
  const forEver = await keys.create(SCOPE, { name: 'for ever', scopes: ['viewer'] })
  const after = await keys.rotate(SCOPE, forEver.info.id, 1000)
  assert.equal(after.info.expiresAt, undefined)
})

it('the token of a person is replaced by that person alone', async () => {
  const { id: personId } = await plane.plane.services.people.signedIn({
    issuer: 'i',
    subject: 's',
    name: 'n',
    email: undefined,
    groups: [],
  })
  const { info } = await keys.create(SCOPE, { name: 'token', scopes: ['viewer'], personId })
  await assert.rejects(keys.rotate(SCOPE, info.id, 0), { code: 'SLW_CONFLICT' })
})

it('a key that is revoked ends alone, and that of a server with those that were made in its place', async () => {
  const [one, other] = [
    await keys.create(SCOPE, { name: 'twin', scopes: ['viewer'] }),
    await keys.create(SCOPE, { name: 'twin', scopes: ['viewer'] }),
  ]
  await keys.revoke(SCOPE, one.info.id)
  assert.deepEqual([await holds(one.key), await holds(other.key)], [false, true])
  const first = await keys.ofServer(SCOPE, 'a', { instead: 'all' })
  const firstId = (await keys.list()).find(({ name }) => name === 'server a')!.id
  const second = await keys.ofServer(SCOPE, 'a', { instead: firstId })
  const neighbour = await keys.ofServer(SCOPE, 'b', { instead: 'all' })
  assert.deepEqual([await holds(first.key), await holds(second.key)], [true, true], 'for a while')
  assert.equal(first.expiresAt, clock.epochMs() + DAY)
  await keys.revoke(SCOPE, firstId)
  assert.deepEqual([await holds(first.key), await holds(second.key), await holds(neighbour.key)], [false, false, true])
  // Who joins under a name ends what was there under it, in that environment.
  const again = await keys.ofServer(SCOPE, 'b', { instead: 'all' })
  const elsewhere = await keys.ofServer({ ...SCOPE, environment: 'other' }, 'b', { instead: 'all' })
  assert.deepEqual([await holds(neighbour.key), await holds(again.key), await holds(elsewhere.key)], [false, true, true])
  const recorded = await plane.ask('GET', '/events?limit=1000', undefined, { authorization: `Bearer ${other.key}` })
  const ofB = (recorded.body.items as { name: string; action: string; before?: unknown }[]).filter(({ name }) => name === 'server b')
  assert.deepEqual(
    ofB.filter(({ before: earlier }) => earlier !== undefined).length,
    1,
    'what ended with it is on record, and nothing where nothing did',
  )
})

it('that there is no key is believed for a second, and that there is one for ever', async () => {
  await using empty = await planeInProcess()
  const { database } = empty.plane.services.ground
  const time = new ManualClock()
  const mine = new Keys({ database, clock: time, newId: createIds() })
  const elsewhere = new Keys({ database, clock: time, newId: createIds() })
  assert.equal(await mine.any(), false)
  const { info } = await elsewhere.create(SCOPE, { name: 'first', scopes: ['admin'] })
  assert.equal(await mine.any(), false)
  time.advance(1001)
  assert.equal(await mine.any(), true)
  await elsewhere.revoke(SCOPE, info.id)
  time.advance(1001)
  assert.equal(await mine.any(), true, 'access does not become open again')
})

it('who comes in, and who does not', async () => {
  const { access } = plane.plane.services
  const { key } = await keys.create(SCOPE, { name: 'enters', scopes: ['viewer'] })
  const come = async (headers: Record<string, string>, method = 'GET'): Promise<string> => {
    try {
      return (await access.identityOf({ headers: { host: new URL(plane.url).host, ...headers }, method } as never)).name
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`
  assert.equal(await come({ authorization: `Bearer ${key}` }), 'enters')
  assert.equal(await come({ authorization: `bearer ${key}` }), 'enters')
  assert.equal(await come({ authorization: basic(`anybody:${key}`) }), 'enters')
  for (const authorization of [
    `Digest ${key}`,
    basic(`anybody:${key}x`),
    `Token ${Buffer.from(`a:${key}`).toString('base64')}`,
    'Bearer',
    key,
  ])
    assert.equal(await come({ authorization }), 'SLW_UNAUTHENTICATED', authorization)
  assert.equal(await come({}), 'SLW_UNAUTHENTICATED')
  // A page of another site, with whatever credential, and a name that leads here.
  const site = new URL(plane.url)
  assert.equal(await come({ authorization: `Bearer ${key}`, origin: site.origin }), 'enters')
  for (const origin of ['https://evil.example', 'null', `${site.protocol}//${site.hostname}:1`])
    assert.equal(await come({ authorization: `Bearer ${key}`, origin }), 'SLW_HOST_NOT_ALLOWED', origin)
  assert.equal(await come({ authorization: `Bearer ${key}`, host: 'evil.example' }), 'SLW_HOST_NOT_ALLOWED')
})

it('an admin of some models or environments is none of everything', async () => {
  const make = async (name: string, more: object): Promise<Record<string, string>> => {
    const { key } = await keys.create(SCOPE, { name, scopes: ['admin'], ...more })
    return { authorization: `Bearer ${key}` }
  }
  const wanted = { name: 'wanted', scopes: ['viewer'] }
  const asked = async (as: Record<string, string>): Promise<number> => (await plane.ask('POST', '/keys', wanted, as)).status
  assert.equal(await asked(await make('all', {})), 201)
  assert.equal(await asked(await make('some models', { models: ['a*'] })), 403)
  assert.equal(await asked(await make('one environment', { environments: ['default'] })), 403)
})
