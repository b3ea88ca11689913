/** Clients send to the bucket and read from it themselves, and what lies between fails: no file is there that is not whole, and none is lost. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, beforeEach, describe, it } from 'node:test'
import { planeInProcess } from '../api/in-plane.ts'
import { startFaultProxy } from '../storage/fault-proxy.ts'
import { startS3Server } from '../storage/s3-server.ts'
import type { Plane } from '../api/in-plane.ts'
import type { FaultProxy } from '../storage/fault-proxy.ts'

const PART = 5 * 1024 * 1024
const ROOT = '/api/2.0/mlflow-artifacts'

interface Begun {
  readonly path: string
  readonly id: string
  readonly urls: readonly string[]
}

describe('direct transfers', () => {
  let server: Awaited<ReturnType<typeof startS3Server>>
  let proxy: FaultProxy
  let plane: Plane
  let folder: string
  let count = 0
  const content = randomBytes(PART + 100_000)

  before(async () => {
    server = await startS3Server()
    proxy = await startFaultProxy(server.endpoint)
    plane = await planeInProcess({
      objects: `s3://${server.bucket}/direct?endpoint=${proxy.endpoint}&region=us-east-1`,
      directTransfers: true,
    })
    const made = await fetch(`${plane.url}/api/2.0/mlflow/runs/create`, { method: 'POST', body: '{"experiment_id":"0"}' })
    const { run } = (await made.json()) as { run: { info: { run_id: string } } }
    folder = `0/${run.info.run_id}/artifacts`
  })
  beforeEach(() => proxy.reset())
  after(async () => {
    await plane[Symbol.asyncDispose]()
    await proxy[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  async function ask(what: string, fields: object): Promise<{ status: number; body: any }> {
    const response = await fetch(`${plane.url}${ROOT}/mpu/${what}/${folder}`, { method: 'POST', body: JSON.stringify(fields) })
    return { status: response.status, body: await response.json() }
  }

  async function begin(): Promise<Begun> {
    const path = `file-${++count}.bin`
    const { status, body } = await ask('create', { path, num_parts: 2 })
    assert.equal(status, 200)
    const urls = (body.credentials as { url: string }[]).map(({ url }) => url)
    // They are the bucket's own, by which nothing passes through the control plane.
    for (const url of urls) assert.ok(url.startsWith(proxy.endpoint), url)
    return { path, id: body.upload_id, urls }
  }

  /** @returns the ETag; undefined where the part did not arrive */
  async function put(url: string, bytes: Uint8Array): Promise<string | undefined> {
    try {
      const response = await fetch(url, { method: 'PUT', body: bytes as never })
      await response.arrayBuffer()
      return response.ok ? (response.headers.get('etag') ?? undefined) : undefined
    } catch {
      return undefined
    }
  }

  const pieces = [content.subarray(0, PART), content.subarray(PART)]
  async function putAll({ urls }: Begun): Promise<{ part_number: number; etag: string }[]> {
    const parts = []
    for (const [index, url] of urls.entries()) parts.push({ part_number: index + 1, etag: (await put(url, pieces[index]!))! })
    return parts
  }

  async function complete({ path, id }: Begun, parts: readonly object[]): Promise<number> {
    return (await ask('complete', { path, upload_id: id, parts })).status
  }

  /** What clients find: by the control plane, and by the address of the bucket. */
  async function found({ path }: Begun): Promise<{ whole: Buffer | number; direct: Buffer | number }> {
    const read = async (url: string): Promise<Buffer | number> => {
      const response = await fetch(url)
      const bytes = Buffer.from(await response.arrayBuffer())
      return response.status === 200 ? bytes : response.status
    }
    const signed = await fetch(`${plane.url}${ROOT}/presigned/${folder}/${path}`)
    const { url } = (await signed.json()) as { url: string }
    return {
      whole: await read(`${plane.url}${ROOT}/artifacts/${folder}/${path}`),
      direct: signed.status === 200 ? await read(url) : signed.status,
    }
  }

  const MISSING = { whole: 404, direct: 404 }
  const WHOLE = { whole: content, direct: content }

  for (const [what, fault] of [
    ['is refused', { kind: 'status', status: 503 }],
    ['arrives without an answer', { kind: 'lost-answer' }],
  ] as const)
    it(`a part that ${what} is sent again, and nothing is there before`, async () => {
      const begun = await begin()
      proxy.inject(fault, /^PUT .*partNumber=2/)
      const [first, lost] = [await put(begun.urls[0]!, pieces[0]!), await put(begun.urls[1]!, pieces[1]!)]
      assert.equal(lost, undefined)
      assert.deepEqual(await found(begun), MISSING)
      const second = await put(begun.urls[1]!, pieces[1]!)
      const parts = [first, second].map((etag, index) => ({ part_number: index + 1, etag }))
      assert.equal(await complete(begun, parts), 200)
      assert.deepEqual(await found(begun), WHOLE)
    })

  it('parts that never came are no file, nor are others in their place', async () => {
    const begun = await begin()
    const first = await put(begun.urls[0]!, pieces[0]!)
    const parts = [first, first].map((etag, index) => ({ part_number: index + 1, etag }))
    assert.equal(await complete(begun, parts), 400)
    assert.deepEqual(await found(begun), MISSING)
  })

  it('a bucket that fails while parts are joined leaves no file, and joins them when it is asked again', async () => {
    const begun = await begin()
    const parts = await putAll(begun)
    proxy.inject({ kind: 'status', status: 500 }, /^POST .*uploadId=/, 50)
    assert.ok((await complete(begun, parts)) >= 500)
    assert.deepEqual(await found(begun), MISSING)
    proxy.reset()
    assert.equal(await complete(begun, parts), 200)
    assert.deepEqual(await found(begun), WHOLE)
  })

  for (const [what, fault, met] of [
    ['parts that are joined by a bucket that is not heard', { kind: 'lost-answer' }, /^POST .*uploadId=/],
    ['what is read back and the bucket cuts off', { kind: 'truncate', bytes: 70_000 }, /^GET /],
    ['what is read back and the bucket says is shorter', { kind: 'shorten', bytes: 5 }, /^GET /],
  ] as const)
    it(`${what} becomes no file of fewer bytes, and the whole one when it is asked again`, async () => {
      const begun = await begin()
      const parts = await putAll(begun)
      proxy.inject(fault, met, 50)
      const status = await complete(begun, parts)
      proxy.reset()
      if (status !== 200) {
        assert.deepEqual(await found(begun), MISSING)
        assert.equal(await complete(begun, parts), 200)
      }
      assert.deepEqual(await found(begun), WHOLE)
    })

  it('what the bucket changes while it is read back is noticed by whoever reads it', async () => {
    const begun = await begin()
    const parts = await putAll(begun)
    proxy.inject({ kind: 'change', at: 1000 }, /^GET /)
    const status = await complete(begun, parts)
    proxy.reset()
    assert.equal(status, 200)
    // The digest is that of what was read, and the bytes have another: an error, and not wrong bytes in silence.
    await assert.rejects(async () => {
      const response = await fetch(`${plane.url}${ROOT}/artifacts/${folder}/${begun.path}`)
      if (!response.ok) throw new Error(String(response.status))
      await response.arrayBuffer()
    })
  })

  it('addresses of an upload that is done, or was given up, change nothing any more', async () => {
    const begun = await begin()
    const parts = await putAll(begun)
    assert.equal(await complete(begun, parts), 200)
    for (const url of begun.urls) assert.equal(await put(url, randomBytes(PART)), undefined)
    assert.equal(await complete(begun, parts), 200, 'the answer may have been lost')
    assert.deepEqual(await found(begun), WHOLE)
    const given = await begin()
    await putAll(given)
    assert.equal((await ask('abort', { path: given.path, upload_id: given.id })).status, 200)
    for (const url of given.urls) assert.equal(await put(url, randomBytes(PART)), undefined)
    assert.deepEqual(await found(given), MISSING)
  })

  it('an address is for its part of its upload alone', async () => {
    const [one, other] = [await begin(), await begin()]
    const [url] = one.urls as [string]
    const elsewhere = new URL(url)
    const [uploadId, key] = [new URL(other.urls[0]!).searchParams.get('uploadId')!, new URL(other.urls[0]!).pathname]
    const changed = (act: (at: URL) => void): string => {
      const at = new URL(elsewhere)
      act(at)
      return at.href
    }
    for (const forged of [
      changed((at) => at.searchParams.set('partNumber', '2')),
      changed((at) => at.searchParams.set('uploadId', uploadId)),
      changed((at) => (at.pathname = key)),
      changed((at) => at.searchParams.set('X-Amz-Expires', '9999999')),
      changed((at) => at.searchParams.delete('X-Amz-Signature')),
    ])
      assert.equal(await put(forged, pieces[0]!), undefined, forged)
    assert.notEqual(await put(url, pieces[0]!), undefined)
  })
})
