import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { CHUNK_BYTES } from '../../src/core/content-digest.ts'
import { readVerified } from '../../src/storage/objects/content-verifier.ts'
import { openS3Store } from '../../src/storage/objects/s3-store.ts'
import { startFaultProxy } from './fault-proxy.ts'
import { startS3Server } from './s3-server.ts'
import { allOf, digestOf, listOf, MB, someBytes, streamOf } from './streams.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { ObjectStore } from '../../src/storage/objects/object-store.ts'
import type { Fault, FaultProxy } from './fault-proxy.ts'

const ATTEMPTS = 3
const BYTES = someBytes(20 * MB)
const CONTENT = digestOf(BYTES)

let server: Awaited<ReturnType<typeof startS3Server>>
let proxy: FaultProxy
/** Asks through the proxy, and behind its back. */
let store: ObjectStore
let direct: ObjectStore

before(async () => {
  server = await startS3Server()
  proxy = await startFaultProxy(server.endpoint)
  const { bucket } = server
  store = await openS3Store({ bucket, endpoint: proxy.endpoint, attempts: ATTEMPTS, idleTimeoutMs: 1000 })
  direct = await openS3Store({ bucket, endpoint: server.endpoint })
  await direct.put('content', streamOf(BYTES))
})
beforeEach(() => proxy.reset())
after(async () => {
  await direct[Symbol.asyncDispose]()
  await store[Symbol.asyncDispose]()
  await proxy[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

async function failsWith(code: ErrorCode, act: Promise<unknown>): Promise<void> {
  await assert.rejects(act, (error: { code?: string; message: string }) => {
    assert.equal(error.code, code, error.message)
    return true
  })
  assert.equal(proxy.pending, 0, 'the fault was met')
}

/** What passes before the error, which must be one. */
async function untilItFails(stream: AsyncIterable<Uint8Array>, code: ErrorCode, message?: RegExp): Promise<Buffer> {
  const passed: Uint8Array[] = []
  const reading = async (): Promise<void> => {
    for await (const piece of stream) passed.push(piece)
  }
  await assert.rejects(reading(), (error: { code?: string; message: string }) => {
    assert.equal(error.code, code, error.message)
    if (message !== undefined) assert.match(error.message, message)
    return true
  })
  assert.equal(proxy.pending, 0, 'the fault was met')
  return Buffer.concat(passed)
}

const PASSING: readonly (readonly [string, Fault])[] = [
  ['500', { kind: 'status', status: 500 }],
  ['503', { kind: 'status', status: 503 }],
  ['silence', { kind: 'silence' }],
  ['a lost answer', { kind: 'lost-answer' }],
]

for (const [name, fault] of PASSING) {
  test(`${name} once does not show: every operation is tried again`, async () => {
    const small = Buffer.from('small')
    const once = (matches: RegExp): void => proxy.inject(fault, matches)
    once(/^PUT .*small/)
    await store.put('small', streamOf(small))
    once(/^GET .*small/)
    assert.deepEqual(await allOf(await store.get('small')), small)
    once(/^HEAD /)
    assert.equal((await store.head('small'))?.size, small.length)
    once(/^GET .*list-type/)
    assert.deepEqual(
      (await listOf(store.list('small'))).map(({ key }) => key),
      ['small'],
    )
    once(/^DELETE /)
    await store.delete('small')
    assert.equal(await direct.head('small'), undefined)
    once(/^POST .*uploads/)
    once(/^PUT .*partNumber=2/)
    once(/^POST .*uploadId/)
    await store.put('large', streamOf(BYTES))
    assert.ok((await allOf(await direct.get('large'))).equals(BYTES))
    assert.equal(proxy.pending, 0, 'every fault was met')
    await direct.delete('large')
    for (const { key, uploadId } of await listOf(direct.unfinishedParts(Date.now() + 60_000))) await direct.abortParts(key, uploadId)
  })

  test(`${name} for good is SLW_STORE_UNAVAILABLE, and leaves nothing that does not come in later`, async () => {
    proxy.inject(fault, /^(?:PUT|GET|HEAD) .*gone/, ATTEMPTS)
    await failsWith('SLW_STORE_UNAVAILABLE', store.put('gone', streamOf(Buffer.alloc(0))))
    proxy.inject(fault, /^(?:PUT|GET|HEAD) .*content/, ATTEMPTS)
    await failsWith('SLW_STORE_UNAVAILABLE', store.get('content'))
    proxy.inject(fault, /^(?:PUT|GET|HEAD) .*content/, ATTEMPTS)
    await failsWith('SLW_STORE_UNAVAILABLE', store.head('content'))
    proxy.inject(fault, /^PUT .*partNumber=2/, ATTEMPTS)
    await failsWith('SLW_STORE_UNAVAILABLE', store.put('broken', streamOf(BYTES)))
    assert.equal(await direct.head('broken'), undefined)
    assert.deepEqual(await listOf(direct.unfinishedParts(Date.now() + 60_000)), [])
  })

  test(`${name} once while a part that lies in a file is sent does not show`, async () => {
    const uploadId = await store.beginParts('spilled')
    proxy.inject(fault, /^PUT .*partNumber=1/)
    const part = await store.putPart('spilled', uploadId, 1, streamOf(BYTES))
    assert.equal(proxy.pending, 0)
    await store.completeParts('spilled', uploadId, [part])
    assert.ok((await allOf(await direct.get('spilled'))).equals(BYTES))
    await direct.delete('spilled')
  })
}

test('a refusal is not asked again', async () => {
  proxy.inject({ kind: 'status', status: 403 }, /./, 1)
  await failsWith('SLW_STORE_UNAVAILABLE', store.get('content'))
  assert.equal(proxy.seen['GET'], 1)
})

test('a server that is not there is SLW_STORE_UNAVAILABLE', async () => {
  const gone = await startFaultProxy(server.endpoint)
  await gone[Symbol.asyncDispose]()
  await using lost = await openS3Store({ bucket: server.bucket, endpoint: gone.endpoint, attempts: 2 })
  await failsWith('SLW_STORE_UNAVAILABLE', lost.head('content'))
})

test('an answer that breaks off is taken up where it ended', async () => {
  for (const bytes of [0, 1, 10 * MB, 19_999_999]) {
    proxy.reset()
    proxy.inject({ kind: 'truncate', bytes }, /^GET .*content/)
    assert.ok((await allOf(await store.get('content'))).equals(BYTES), `after ${bytes}`)
    assert.equal(proxy.seen['GET'], 2)
  }
})

test('a range that breaks off several times is taken up each time', async () => {
  for (const bytes of [1000, 2000, 3000, 4000]) proxy.inject({ kind: 'truncate', bytes }, /^GET .*content/)
  const found = await allOf(await store.get('content', { offset: 5 * MB, length: 10 * MB }))
  assert.ok(found.equals(BYTES.subarray(5 * MB, 15 * MB)))
  assert.equal(proxy.pending, 0)
})

test('an answer that breaks off without end is SLW_STORE_UNAVAILABLE, not a short stream', async () => {
  proxy.inject({ kind: 'truncate', bytes: 1000 }, /^GET .*content/)
  proxy.inject({ kind: 'truncate', bytes: 0 }, /^GET .*content/, ATTEMPTS - 1)
  const passed = await untilItFails(await store.get('content'), 'SLW_STORE_UNAVAILABLE')
  assert.ok(passed.equals(BYTES.subarray(0, passed.length)))
})

test('an object that became another one in the middle is not joined with it', async () => {
  await direct.put('other', streamOf(BYTES))
  proxy.inject({ kind: 'truncate', bytes: 1000 }, /^GET .*other/)
  const stream = await store.get('other')
  await direct.put('other', streamOf(someBytes(20 * MB, 2)))
  const passed = await untilItFails(stream, 'SLW_STORE_UNAVAILABLE', /PreconditionFailed/)
  assert.ok(passed.equals(BYTES.subarray(0, passed.length)))
  await direct.delete('other')
})

test('a changed bit never passes the verified read, and its chunk is named', async () => {
  for (const [at, chunk] of [
    [0, 0],
    [CHUNK_BYTES - 1, 0],
    [CHUNK_BYTES, 1],
    [20 * MB - 1, 2],
  ] as const) {
    proxy.inject({ kind: 'change', at }, /^GET .*content/)
    const passed = await untilItFails(readVerified(store, 'content', CONTENT), 'SLW_STORE_CORRUPT', new RegExp(`content .*chunk ${chunk} `))
    assert.equal(passed.length, chunk * CHUNK_BYTES)
    assert.ok(passed.equals(BYTES.subarray(0, passed.length)))
  }
})

test('a changed bit outside of the range that was asked for, in a chunk of it, is found too', async () => {
  proxy.inject({ kind: 'change', at: 10 }, /^GET .*content/)
  const range = { offset: CHUNK_BYTES + 1000, length: 10 }
  const passed = await untilItFails(readVerified(store, 'content', CONTENT, { range }), 'SLW_STORE_CORRUPT', /chunk 1 /)
  assert.equal(passed.length, 0)
})

test('an answer that is shorter and says so never passes the verified read', async () => {
  for (const bytes of [1, 10 * MB, 20 * MB]) {
    proxy.inject({ kind: 'shorten', bytes }, /^GET .*content/)
    const passed = await untilItFails(readVerified(store, 'content', CONTENT), 'SLW_STORE_CORRUPT')
    assert.ok(passed.equals(BYTES.subarray(0, passed.length)))
  }
})

test('an answer that breaks off passes the verified read when the rest comes', async () => {
  proxy.inject({ kind: 'truncate', bytes: 9 * MB }, /^GET .*content/)
  assert.ok((await allOf(readVerified(store, 'content', CONTENT))).equals(BYTES))
  assert.equal(proxy.pending, 0)
})
