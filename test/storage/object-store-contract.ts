import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allOf, failingStream, generatedStream, listOf, MB, sha256Of, someBytes, streamOf } from './streams.ts'
import type { TestContext } from 'node:test'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { ObjectStore, UploadedPart } from '../../src/storage/objects/object-store.ts'

/** A folder or a prefix of a bucket that nothing else uses. */
export interface Place extends AsyncDisposable {
  /** Opens the store that lies there; the same one each time. */
  open(): Promise<ObjectStore>
}

/** The least size of a part that is not the last. */
const PART_BYTES = 5 * 1024 * 1024

async function put(store: ObjectStore, key: string, bytes: Uint8Array): Promise<void> {
  await store.put(key, streamOf(bytes))
}

async function text(store: ObjectStore, key: string): Promise<string> {
  return (await allOf(await store.get(key))).toString()
}

async function keys(store: ObjectStore, prefix = ''): Promise<string[]> {
  return (await listOf(store.list(prefix))).map(({ key }) => key).toSorted()
}

const failsWith = async (code: ErrorCode, act: Promise<unknown>): Promise<void> => {
  await assert.rejects(act, (error: { code?: string; message: string }) => {
    assert.equal(error.code, code, error.message)
    return true
  })
}

const inAnHour = (): number => Date.now() + 3_600_000

type Fact = (name: string, holds: (context: TestContext) => Promise<void>) => void

/**
 * What every object store does. Called inside a `describe`.
 * @param lacking facts that a server is known not to keep to, and why; they are tried and shown as to do
 */
export function objectStoreContract(newPlace: () => Promise<Place>, lacking: Readonly<Record<string, string>> = {}): void {
  const unknown = new Set(Object.keys(lacking))
  const fact: Fact = (name, holds) => {
    const todo = lacking[name]
    unknown.delete(name)
    test(name, todo === undefined ? {} : { todo }, holds)
  }
  wholeObjects(fact, newPlace)
  ranges(fact, newPlace)
  uploadsInParts(fact, newPlace)
  assert.deepEqual([...unknown], [], 'what is lacking is named as here')
}

function wholeObjects(fact: Fact, newPlace: () => Promise<Place>): void {
  fact('what was put is what is got, from nothing to 20 MB', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    for (const size of [0, 1, 65_537, 8 * 1024 * 1024 - 1, 8 * 1024 * 1024, 8 * 1024 * 1024 + 1, 20 * MB]) {
      const bytes = someBytes(size)
      await put(store, `sizes/${size}`, bytes)
      assert.equal((await store.head(`sizes/${size}`))?.size, size)
      assert.ok((await allOf(await store.get(`sizes/${size}`))).equals(bytes), `${size} bytes`)
    }
  })

  fact('a stream may come in pieces of any size', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const bytes = someBytes(18 * MB)
    for (const [name, pieceBytes] of [
      ['large', 18 * MB],
      ['odd', 1_234_567],
    ] as const) {
      await store.put(name, streamOf(bytes, pieceBytes))
      assert.ok((await allOf(await store.get(name))).equals(bytes), name)
    }
    await store.put('tiny', streamOf(bytes.subarray(0, 1000), 1))
    assert.ok((await allOf(await store.get('tiny'))).equals(bytes.subarray(0, 1000)))
  })

  fact('what is there is there after the store was opened again', async () => {
    await using place = await newPlace()
    {
      await using store = await place.open()
      await put(store, 'kept', Buffer.from('kept'))
    }
    await using again = await place.open()
    assert.equal(await text(again, 'kept'), 'kept')
  })

  fact('a stream that fails half-way leaves nothing, and its error is the one thrown', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const error = new Error('the client went away')
    for (const size of [0, 100, 12 * MB, 20 * MB]) {
      await assert.rejects(store.put('broken', failingStream(size, error)), (thrown) => thrown === error)
      assert.equal(await store.head('broken'), undefined)
    }
    assert.deepEqual(await keys(store), [])
    assert.deepEqual(await listOf(store.unfinishedParts(inAnHour())), [])
  })

  fact('a put that is cancelled while its stream is silent ends and leaves nothing', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const { promise: silent, resolve: endSilence } = Promise.withResolvers<void>()
    async function* stalled(): AsyncGenerator<Uint8Array> {
      yield someBytes(9 * MB)
      controller.abort()
      await silent
    }
    const controller = new AbortController()
    await failsWith('SLW_CANCELLED', store.put('stalled', stalled(), controller.signal))
    endSilence()
    assert.equal(await store.head('stalled'), undefined)
    assert.deepEqual(await listOf(store.unfinishedParts(inAnHour())), [])
  })

  fact('a get that is cancelled throws instead of ending early', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    await store.put('long', generatedStream(20 * MB))
    const controller = new AbortController()
    const reading = async (): Promise<void> => {
      for await (const piece of await store.get('long', undefined, controller.signal)) if (piece.length > 0) controller.abort()
    }
    await failsWith('SLW_CANCELLED', reading())
  })

  fact('of two puts under one key at once, one is there whole', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const both = [someBytes(9 * MB, 1), someBytes(9 * MB, 2)] as const
    await Promise.all(both.map((bytes) => put(store, 'contested', bytes)))
    const found = await allOf(await store.get('contested'))
    assert.ok(both.some((bytes) => bytes.equals(found)))
  })

  fact('puts of different keys at once do not mix', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const names = Array.from({ length: 12 }, (_, number) => `at-once/${number}`)
    await Promise.all(names.map((name, seed) => put(store, name, someBytes(MB + seed, seed))))
    for (const [seed, name] of names.entries()) assert.ok((await allOf(await store.get(name))).equals(someBytes(MB + seed, seed)), name)
  })

  fact('what is missing is not found, and deleting it is no error', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    assert.equal(await store.head('missing'), undefined)
    await failsWith('SLW_NOT_FOUND', store.get('missing'))
    await failsWith('SLW_NOT_FOUND', store.get('missing', { offset: 1, length: 0 }))
    await store.delete('missing')
    await put(store, 'there', Buffer.from('there'))
    await store.delete('there')
    await store.delete('there')
    assert.equal(await store.head('there'), undefined)
    await failsWith('SLW_NOT_FOUND', store.get('there'))
  })

  fact('a list has every object whose key begins so, also more than a page of them', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const names = Array.from({ length: 1005 }, (_, number) => `many/${String(number).padStart(4, '0')}`)
    for (let at = 0; at < names.length; at += 15)
      await Promise.all(names.slice(at, at + 15).map((name) => put(store, name, Buffer.from(name))))
    await put(store, 'manyother', Buffer.from('other'))
    assert.deepEqual(await keys(store, 'many/'), names)
    assert.deepEqual(await keys(store, 'many/000'), names.slice(0, 10))
    assert.equal((await keys(store)).length, 1006)
    assert.deepEqual(await keys(store, 'none'), [])
    const [first] = await listOf(store.list('many/0000'))
    const head = await store.head('many/0000')
    assert.equal(first?.size, 'many/0000'.length)
    assert.ok(Math.abs(first.modifiedAtMs - Date.now()) < 60_000 && Math.abs(first.modifiedAtMs - (head?.modifiedAtMs ?? 0)) < 1000)
  })

  fact('what is no key is refused before anything is touched', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    for (const key of ['', '..', '../out', 'a/../b', '/a', 'a/', 'a//b', 'a b', 'a_b', 'a.b', 'a\\b', 'a\0', 'é', 'x'.repeat(201)]) {
      await failsWith('SLW_INPUT_INVALID', put(store, key, Buffer.from('x')))
      await failsWith('SLW_INPUT_INVALID', store.get(key))
      await failsWith('SLW_INPUT_INVALID', store.head(key))
      await failsWith('SLW_INPUT_INVALID', store.delete(key))
      await failsWith('SLW_INPUT_INVALID', store.beginParts(key))
    }
    await failsWith('SLW_INPUT_INVALID', keys(store, '../'))
    await put(store, 'x'.repeat(200), Buffer.from('x'))
    assert.deepEqual(await keys(store), ['x'.repeat(200)])
  })

  fact('a store that was closed says so', async () => {
    await using place = await newPlace()
    const store = await place.open()
    await store[Symbol.asyncDispose]()
    await store[Symbol.asyncDispose]()
    await failsWith('SLW_CLOSED', put(store, 'late', Buffer.from('late')))
    await failsWith('SLW_CLOSED', store.get('late'))
    await failsWith('SLW_CLOSED', keys(store))
  })
}

function ranges(fact: Fact, newPlace: () => Promise<Place>): void {
  fact('a range is exactly the bytes asked for', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const bytes = someBytes(100_000)
    await put(store, 'ranged', bytes)
    for (const [offset, length] of [
      [0, 1],
      [0, 100_000],
      [0, undefined],
      [1, undefined],
      [99_999, 1],
      [99_999, undefined],
      [65_535, 2],
      [500, 70_000],
      [0, 0],
      [100_000, 0],
      [100_000, undefined],
    ] as const) {
      const found = await allOf(await store.get('ranged', { offset, ...(length !== undefined && { length }) }))
      assert.ok(found.equals(bytes.subarray(offset, length === undefined ? undefined : offset + length)), `${offset}, ${length}`)
    }
  })

  fact('a range that is not all there is refused, not shortened', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    await put(store, 'short', Buffer.from('0123456789'))
    await put(store, 'empty', Buffer.alloc(0))
    for (const [key, offset, length] of [
      ['short', 10, 1],
      ['short', 9, 2],
      ['short', 0, 11],
      ['short', 11, undefined],
      ['short', 11, 0],
      ['short', -1, 2],
      ['short', 0, -1],
      ['short', 0.5, 1],
      ['empty', 0, 1],
      ['empty', 1, undefined],
    ] as const)
      await failsWith('SLW_RANGE_INVALID', store.get(key, { offset, ...(length !== undefined && { length }) }))
    assert.equal((await allOf(await store.get('empty', { offset: 0 }))).length, 0)
  })

  fact('a reader may stop in the middle', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    await store.put('left', generatedStream(20 * MB))
    for (let round = 0; round < 60; round++)
      for await (const piece of await store.get('left')) {
        assert.ok(piece.length > 0)
        break
      }
    assert.equal((await store.head('left'))?.size, 20 * MB)
  })
}

function uploadsInParts(fact: Fact, newPlace: () => Promise<Place>): void {
  const part = (number: number): Buffer => someBytes(number === 3 ? 1234 : PART_BYTES + number, number)
  const whole = Buffer.concat([part(1), part(2), part(3)])

  async function putParts(store: ObjectStore, uploadId: string, numbers: readonly number[]): Promise<UploadedPart[]> {
    const parts: UploadedPart[] = []
    for (const number of numbers) parts.push(await store.putPart('joined', uploadId, number, streamOf(part(number))))
    return parts
  }

  fact('parts arrive in any order, also after the store was opened again, and become one object', async () => {
    await using place = await newPlace()
    const parts: UploadedPart[] = []
    let uploadId = ''
    {
      await using store = await place.open()
      uploadId = await store.beginParts('joined')
      parts.push(...(await putParts(store, uploadId, [3, 1])))
      assert.equal(await store.head('joined'), undefined)
    }
    await using again = await place.open()
    parts.push(...(await putParts(again, uploadId, [2])))
    assert.deepEqual(await listOf(again.unfinishedParts(inAnHour())), [{ key: 'joined', uploadId }])
    await again.completeParts('joined', uploadId, parts)
    assert.ok((await allOf(await again.get('joined'))).equals(whole))
    assert.deepEqual(await listOf(again.unfinishedParts(inAnHour())), [])
    assert.deepEqual(await keys(again), ['joined'])
  })

  fact('parts that arrive at once, one of them twice, become one object', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const uploadId = await store.beginParts('joined')
    const parts = await Promise.all([1, 2, 3].map((number) => store.putPart('joined', uploadId, number, streamOf(part(number)))))
    parts[1] = await store.putPart('joined', uploadId, 2, streamOf(part(2)))
    await store.completeParts('joined', uploadId, parts)
    assert.ok((await allOf(await store.get('joined'))).equals(whole))
  })

  fact('a part larger than what is held in memory arrives whole', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const bytes = someBytes(20 * MB)
    const uploadId = await store.beginParts('big')
    const parts = [await store.putPart('big', uploadId, 1, streamOf(bytes))]
    await store.completeParts('big', uploadId, parts)
    assert.ok((await allOf(await store.get('big'))).equals(bytes))
  })

  fact('an upload of one empty part is an empty object', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const uploadId = await store.beginParts('nothing')
    await store.completeParts('nothing', uploadId, [await store.putPart('nothing', uploadId, 1, streamOf(Buffer.alloc(0)))])
    assert.equal((await store.head('nothing'))?.size, 0)
  })

  fact('an upload with a missing, wrong or doubled part is not completed, and may be later', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const uploadId = await store.beginParts('joined')
    const parts = await putParts(store, uploadId, [1, 3])
    const [first, third] = parts as [UploadedPart, UploadedPart]
    const absent = { ...first, partNumber: 2 }
    for (const wrong of [
      [],
      [first, third],
      [first, absent, third],
      [first, first],
      [{ ...first, etag: '0'.repeat(32) }],
      [{ ...first, etag: '../key' }],
      [{ ...first, partNumber: 0 }],
    ])
      await failsWith('SLW_INPUT_INVALID', store.completeParts('joined', uploadId, wrong))
    assert.equal(await store.head('joined'), undefined)
    parts.push(...(await putParts(store, uploadId, [2])))
    await store.completeParts('joined', uploadId, parts)
    assert.ok((await allOf(await store.get('joined'))).equals(whole))
  })

  fact('who completes twice is told twice that it is done', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const uploadId = await store.beginParts('joined')
    const parts = await putParts(store, uploadId, [1, 2, 3])
    await store.completeParts('joined', uploadId, parts)
    await store.completeParts('joined', uploadId, parts)
    assert.equal(await sha256Of(await store.get('joined')), await sha256Of(streamOf(whole)))
  })

  fact('an upload that was aborted is gone, and aborting it again is no error', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const uploadId = await store.beginParts('joined')
    const parts = await putParts(store, uploadId, [1])
    await store.abortParts('joined', uploadId)
    await store.abortParts('joined', uploadId)
    assert.deepEqual(await listOf(store.unfinishedParts(inAnHour())), [])
    // Small: a server that says so before it has read a large one may close the connection before the answer is read.
    await failsWith('SLW_NOT_FOUND', store.putPart('joined', uploadId, 2, streamOf(part(2).subarray(0, 1000))))
    await failsWith('SLW_NOT_FOUND', store.completeParts('joined', uploadId, parts))
    assert.equal(await store.head('joined'), undefined)
  })

  fact('an upload belongs to its key', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const uploadId = await store.beginParts('mine')
    const mine = await store.putPart('mine', uploadId, 1, streamOf(Buffer.from('mine')))
    await failsWith('SLW_NOT_FOUND', store.putPart('yours', uploadId, 1, streamOf(Buffer.from('yours'))))
    await failsWith('SLW_NOT_FOUND', store.completeParts('yours', uploadId, [mine]))
    await store.abortParts('yours', uploadId)
    await store.completeParts('mine', uploadId, [mine])
    assert.equal(await text(store, 'mine'), 'mine')
  })

  fact('a part whose stream fails is no part, and a part has a number from 1 to 10 000', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const uploadId = await store.beginParts('joined')
    const error = new Error('the client went away')
    await assert.rejects(store.putPart('joined', uploadId, 1, failingStream(MB, error)), (thrown) => thrown === error)
    await assert.rejects(store.putPart('joined', uploadId, 1, failingStream(20 * MB, error)), (thrown) => thrown === error)
    for (const number of [0, -1, 1.5, 10_001])
      await failsWith('SLW_INPUT_INVALID', store.putPart('joined', uploadId, number, streamOf(Buffer.from('x'))))
    await failsWith('SLW_INPUT_INVALID', store.completeParts('joined', uploadId, [{ partNumber: 1, etag: '0'.repeat(32) }]))
  })

  fact('unfinished are the uploads that were begun before then', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    const begun = await Promise.all(['one', 'one', 'two'].map(async (key) => ({ key, uploadId: await store.beginParts(key) })))
    const byId = (uploads: readonly { uploadId: string }[]): unknown => uploads.toSorted((a, b) => (a.uploadId < b.uploadId ? -1 : 1))
    assert.deepEqual(byId(await listOf(store.unfinishedParts(inAnHour()))), byId(begun))
    assert.deepEqual(await listOf(store.unfinishedParts(Date.now() - 3_600_000)), [])
  })

  fact('who has a signed request needs nothing else', async (context) => {
    await using place = await newPlace()
    await using store = await place.open()
    if (store.presignPart === undefined || store.presignGet === undefined) {
      assert.equal(store.kind, 'file')
      context.diagnostic('a folder cannot be reached by others')
      return
    }
    const uploadId = await store.beginParts('joined')
    const parts: UploadedPart[] = []
    for (const partNumber of [1, 2, 3]) {
      const { url, headers } = await store.presignPart('joined', uploadId, partNumber, 60)
      const answer = await fetch(url, { method: 'PUT', headers, body: new Uint8Array(part(partNumber)) })
      assert.equal(answer.status, 200, await answer.text())
      parts.push({ partNumber, etag: answer.headers.get('etag') ?? '' })
    }
    await store.completeParts('joined', uploadId, parts)
    const { url, headers } = await store.presignGet('joined', 60)
    const answer = await fetch(url, { headers })
    assert.ok(Buffer.from(await answer.arrayBuffer()).equals(whole))
  })

  fact('a signed request that was changed is refused', async () => {
    await using place = await newPlace()
    await using store = await place.open()
    await put(store, 'hidden', Buffer.from('hidden'))
    const signed = await store.presignGet?.('other', 60)
    if (signed === undefined) return assert.equal(store.kind, 'file')
    const answer = await fetch(signed.url.replace('other', 'hidden'), { headers: signed.headers })
    assert.equal(answer.status, 403, await answer.text())
  })
}
