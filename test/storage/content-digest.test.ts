import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { CHUNK_BYTES, ContentDigester, contentId } from '../../src/core/content-digest.ts'
import { chunksAround, ContentVerifier, readVerified } from '../../src/storage/objects/content-verifier.ts'
import { openFileStore } from '../../src/storage/objects/file-store.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { allOf, digestOf, MB, someBytes, streamOf } from './streams.ts'

const BYTES = someBytes(20 * MB)
const CONTENT = digestOf(BYTES)
const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

/** The error says so. */
const corrupt = (message: RegExp) => (error: { code?: string; message: string }) => {
  assert.equal(error.code, 'SLW_STORE_CORRUPT', error.message)
  assert.match(error.message, message)
  return true
}

test('the content id is what the format says', () => {
  const chunks = [0, 1, 2].map((index) => sha256(BYTES.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES)))
  assert.deepEqual(CONTENT.chunks, chunks)
  assert.equal(CONTENT.size, 20 * MB)
  assert.equal(CONTENT.sha256, undefined, 'of several chunks the digest of the whole would be a second pass over it')
  assert.equal(CONTENT.id, sha256(`slipway-content-v1\n20000000\n${chunks[0]}\n${chunks[1]}\n${chunks[2]}`))
})

test('known contents have known ids, for ever', () => {
  assert.deepEqual(digestOf(Buffer.alloc(0)), {
    id: sha256('slipway-content-v1\n0\n'),
    size: 0,
    sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    chunks: [],
  })
  assert.equal(digestOf(Buffer.alloc(0)).id, '45e8652a63638378e103a55b456a88709cd07fa9ff87b5de3f05f1c2558996a1')
  assert.equal(digestOf(Buffer.from('slipway')).id, '22547b4299e50b2fbc19af20ca9439aba4f8d3fbdcf384f1eac0045f99581ba2')
})

test('how a stream is cut into buffers does not matter', () => {
  for (const pieceBytes of [1_000_003, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 17 * MB]) {
    const digester = new ContentDigester()
    for (let at = 0; at < BYTES.length; at += pieceBytes) digester.update(BYTES.subarray(at, at + pieceBytes))
    assert.deepEqual(digester.finish(), CONTENT)
  }
})

test('a content of whole chunks has no empty chunk at its end', () => {
  const { chunks, id } = digestOf(BYTES.subarray(0, 2 * CHUNK_BYTES))
  assert.equal(chunks.length, 2)
  assert.equal(id, contentId(2 * CHUNK_BYTES, CONTENT.chunks.slice(0, 2)))
})

async function verifiedBytes(verifier: ContentVerifier, stream: AsyncIterable<Uint8Array>, ...chunks: number[]): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const chunk of verifier.verified(stream, ...chunks)) pieces.push(...chunk)
  return Buffer.concat(pieces)
}

test('a verified stream is the same bytes, in pieces of any size', async () => {
  const verifier = new ContentVerifier(CONTENT, 'it')
  for (const pieceBytes of [65_536, 1_000_003, CHUNK_BYTES, 20 * MB])
    assert.ok((await verifiedBytes(verifier, streamOf(BYTES, pieceBytes))).equals(BYTES))
  assert.ok((await verifiedBytes(verifier, streamOf(BYTES.subarray(CHUNK_BYTES)), 1, 2)).equals(BYTES.subarray(CHUNK_BYTES)))
})

test('a stream that is not the content is refused, and the chunk is named', async () => {
  const verifier = new ContentVerifier(CONTENT, 'object x')
  const changed = Buffer.from(BYTES)
  changed[CHUNK_BYTES + 5]! ^= 1
  const swapped = Buffer.concat([
    BYTES.subarray(CHUNK_BYTES, 2 * CHUNK_BYTES),
    BYTES.subarray(0, CHUNK_BYTES),
    BYTES.subarray(2 * CHUNK_BYTES),
  ])
  await assert.rejects(verifiedBytes(verifier, streamOf(changed)), corrupt(/object x .*chunk 1 /))
  await assert.rejects(verifiedBytes(verifier, streamOf(swapped)), corrupt(/chunk 0 /))
  await assert.rejects(verifiedBytes(verifier, streamOf(BYTES.subarray(0, -1))), corrupt(/ends after \d+ bytes of chunk 2/))
  await assert.rejects(verifiedBytes(verifier, streamOf(BYTES.subarray(0, CHUNK_BYTES))), corrupt(/chunk 1/))
  await assert.rejects(
    verifiedBytes(verifier, streamOf(Buffer.concat([BYTES, Buffer.from('x')]))),
    corrupt(/behind the last byte of chunk 2/),
  )
  await assert.rejects(verifiedBytes(new ContentVerifier(digestOf(Buffer.alloc(0)), 'it'), streamOf(Buffer.from('x'))), corrupt(/it/))
})

test('a list of digests that is not the one of the id is refused before anything is read', () => {
  const other = CONTENT.chunks.with(1, CONTENT.chunks[0]!)
  for (const content of [
    { ...CONTENT, chunks: other },
    { ...CONTENT, chunks: CONTENT.chunks.slice(0, 2) },
    { ...CONTENT, size: CONTENT.size - 1 },
    { ...CONTENT, size: CONTENT.size + CHUNK_BYTES },
  ])
    assert.throws(() => new ContentVerifier(content, 'it'), corrupt(/list of chunk digests of it/))
})

test('the chunks around a range are the fewest that have its bytes', () => {
  fc.assert(
    fc.property(fc.nat(5 * CHUNK_BYTES), fc.nat(5 * CHUNK_BYTES), fc.nat(5 * CHUNK_BYTES), (size, from, most) => {
      const offset = Math.min(from, size)
      const length = Math.min(most, size - offset)
      const around = chunksAround({ offset, length }, size)
      assert.equal(around.offset, around.firstChunk * CHUNK_BYTES)
      if (length === 0) return assert.deepEqual([around.chunkCount, around.length], [0, 0])
      const end = around.offset + around.length
      assert.ok(around.offset <= offset && offset < around.offset + CHUNK_BYTES)
      assert.ok(offset + length <= end && end - (offset + length) < CHUNK_BYTES && end <= size)
      assert.equal(around.chunkCount, Math.ceil(around.length / CHUNK_BYTES))
    }),
  )
})

test('a verified read gives exactly the bytes asked for', async () => {
  await using folder = await temporaryFolder()
  await using store = await openFileStore(folder.path)
  await store.put('content', streamOf(BYTES))
  await store.put('empty', streamOf(Buffer.alloc(0)))
  for (const [offset, length] of [
    [0, 1],
    [0, undefined],
    [CHUNK_BYTES - 1, 2],
    [CHUNK_BYTES, CHUNK_BYTES],
    [CHUNK_BYTES - 1, CHUNK_BYTES + 2],
    [20 * MB - 1, 1],
    [20 * MB, undefined],
    [5, 0],
    [2 * CHUNK_BYTES + 1, undefined],
  ] as const) {
    const range = { offset, ...(length !== undefined && { length }) }
    const end = length === undefined ? undefined : offset + length
    assert.ok((await allOf(readVerified(store, 'content', CONTENT, { range }))).equals(BYTES.subarray(offset, end)), `${offset}, ${length}`)
  }
  assert.ok((await allOf(readVerified(store, 'content', CONTENT))).equals(BYTES))
  const empty = digestOf(Buffer.alloc(0))
  assert.equal((await allOf(readVerified(store, 'empty', empty))).length, 0)
  assert.equal((await allOf(readVerified(store, 'empty', empty, { range: { offset: 0 } }))).length, 0)
  await assert.rejects(allOf(readVerified(store, 'content', CONTENT, { range: { offset: 20 * MB, length: 1 } })), {
    code: 'SLW_RANGE_INVALID',
  })
  await assert.rejects(allOf(readVerified(store, 'absent', CONTENT)), { code: 'SLW_NOT_FOUND' })
})

test('an object that is another one than the content is found corrupt, whatever range is asked for', async () => {
  await using folder = await temporaryFolder()
  await using store = await openFileStore(folder.path)
  await store.put('short', streamOf(BYTES.subarray(0, 9 * MB)))
  await store.put('long', streamOf(Buffer.concat([BYTES, BYTES])))
  await assert.rejects(allOf(readVerified(store, 'short', CONTENT)), corrupt(/chunk 1/))
  await assert.rejects(allOf(readVerified(store, 'short', CONTENT, { range: { offset: 10 * MB } })), corrupt(/short is too short/))
  await assert.rejects(allOf(readVerified(store, 'long', CONTENT)), corrupt(/chunk 2/))
})
