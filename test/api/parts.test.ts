/** Files in parts, as MLflow's clients send large ones, seen from the wire. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { it } from 'node:test'
import { planeInProcess } from './in-plane.ts'
import type { Plane } from './in-plane.ts'

const PART = 5 * 1024 * 1024

interface Begun {
  readonly upload_id: string
  readonly credentials: readonly { readonly part_number: number; readonly url: string; readonly headers: Record<string, string> }[]
}

const ROOT = '/api/2.0/mlflow-artifacts'

async function newRun({ url }: Plane): Promise<string> {
  const response = await fetch(`${url}/api/2.0/mlflow/runs/create`, { method: 'POST', body: '{"experiment_id":"0"}' })
  return ((await response.json()) as { run: { info: { run_id: string } } }).run.info.run_id
}

async function askParts({ url }: Plane, what: string, folder: string, fields: object): Promise<{ status: number; body: any }> {
  const response = await fetch(`${url}${ROOT}/mpu/${what}/${folder}`, { method: 'POST', body: JSON.stringify(fields) })
  return { status: response.status, body: await response.json() }
}

async function send(url: string, body: Uint8Array): Promise<{ status: number; etag: string }> {
  const response = await fetch(url, { method: 'PUT', body: body as never })
  await response.arrayBuffer()
  return { status: response.status, etag: response.headers.get('etag') ?? '' }
}

async function read({ url }: Plane, path: string): Promise<Buffer | number> {
  const response = await fetch(`${url}${ROOT}/artifacts/${path}`)
  const bytes = Buffer.from(await response.arrayBuffer())
  return response.status === 200 ? bytes : response.status
}

it('parts that come in any order, and twice, become the file', async () => {
  await using plane = await planeInProcess()
  const folder = `0/${await newRun(plane)}/artifacts/deep/er`
  const content = randomBytes(2 * PART + 1000)
  const { status, body } = await askParts(plane, 'create', folder, { path: 'C:\\home\\me\\large.bin', num_parts: 3 })
  assert.equal(status, 200)
  const { upload_id: id, credentials } = body as Begun
  const parts = []
  for (const { part_number: number, url } of credentials.toReversed()) {
    const bytes = content.subarray((number - 1) * PART, number * PART)
    if (number === 2) await send(url, randomBytes(PART))
    parts.push({ part_number: number, etag: (await send(url, bytes)).etag, url })
  }
  assert.equal(await read(plane, `${folder}/large.bin`), 404, 'it is not there before it is complete')
  const complete = { path: '/tmp/large.bin', upload_id: id, parts }
  assert.deepEqual(await askParts(plane, 'complete', folder, complete), { status: 200, body: {} })
  assert.deepEqual(await read(plane, `${folder}/large.bin`), content)
  assert.deepEqual(await askParts(plane, 'complete', folder, complete), { status: 200, body: {} }, 'the first answer may have been lost')
  assert.equal((await send(credentials[0]!.url, content)).status, 404, 'its addresses are closed')
  // The same bytes by the other way are the same content.
  const whole = await fetch(`${plane.url}${ROOT}/artifacts/${folder}/whole.bin`, { method: 'PUT', body: content as never })
  assert.equal(whole.status, 200)
  const { rows } = await contentsOf(plane)
  assert.equal(rows, 1)
})

async function contentsOf({ plane }: Plane): Promise<{ rows: number }> {
  return { rows: (await plane.services.ground.database.read.selectFrom('contents').select('id').execute()).length }
}

it('the same file in parts twice, and at once, is one content', async () => {
  await using plane = await planeInProcess()
  const folder = `0/${await newRun(plane)}/artifacts`
  const content = randomBytes(20 * PART)
  const begin = async (path: string): Promise<{ path: string; upload_id: string; parts: object[] }> => {
    const { upload_id: id, credentials } = (await askParts(plane, 'create', folder, { path, num_parts: 2 })).body as Begun
    const parts = []
    for (const { part_number: number, url } of credentials)
      parts.push({ part_number: number, etag: (await send(url, content.subarray((number - 1) * 10 * PART, number * 10 * PART))).etag })
    return { path, upload_id: id, parts }
  }
  const [one, two] = [await begin('one.txt'), await begin('two.txt')]
  const answers = await Promise.all([one, one, two, two].map((fields) => askParts(plane, 'complete', folder, fields)))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 200],
  )
  for (const name of ['one.txt', 'two.txt']) assert.deepEqual(await read(plane, `${folder}/${name}`), content)
  assert.equal((await contentsOf(plane)).rows, 1)
  for (const fields of [one, two]) {
    const elsewhere = await askParts(plane, 'complete', folder, { ...fields, path: 'three.txt' })
    assert.equal(elsewhere.status, 404, 'an upload that is done is done for its own place')
    assert.equal((await askParts(plane, 'abort', folder, fields)).status, 200)
    assert.equal((await askParts(plane, 'complete', folder, fields)).status, 200, 'what is done stays done')
    assert.deepEqual(await read(plane, `${folder}/${fields.path}`), content)
  }
})

it('what is wrong with an upload in parts is told, and changes nothing', async () => {
  await using plane = await planeInProcess()
  const run = await newRun(plane)
  const folder = `0/${run}/artifacts`
  const begun = (await askParts(plane, 'create', folder, { path: 'a.bin', num_parts: 2 })).body as Begun
  const { upload_id: id } = begun
  const { url } = begun.credentials[0]!
  const { etag } = await send(url, Buffer.from('a'))
  const ask = async (what: string, where: string, fields: object): Promise<[number, string]> => {
    const { status, body } = await askParts(plane, what, where, fields)
    return [status, body.error_code]
  }
  const parts = [{ part_number: 1, etag }]
  const foreign = url.replace(/secret=./, (match) => (match.endsWith('x') ? 'secret=y' : 'secret=x'))
  assert.equal((await send(foreign, Buffer.from('b'))).status, 403)
  assert.equal((await send(url.replace(/\?.*/, ''), Buffer.from('b'))).status, 403)
  assert.equal((await send(url.replace('/1?', '/10001?'), Buffer.from('b'))).status, 400)
  assert.equal((await send(url.replace('/1?', '/one?'), Buffer.from('b'))).status, 400)
  assert.equal((await send(url.replace(id, '0'.repeat(32)), Buffer.from('b'))).status, 404)
  for (const count of [0, -1, 10_001, 'many'])
    assert.equal((await ask('create', folder, { path: 'a.bin', num_parts: count }))[0], 400, String(count))
  assert.deepEqual(await ask('create', folder, {}), [400, 'INVALID_PARAMETER_VALUE'])
  assert.equal((await ask('create', `${folder}/..`, { path: 'a.bin' }))[0], 400)
  assert.equal((await ask('create', folder, { path: '..' }))[0], 400)
  assert.equal((await ask('create', `0/${'0'.repeat(32)}/artifacts`, { path: 'a.bin' }))[0], 404)
  assert.equal((await ask('create', `versions/${'0'.repeat(32)}`, { path: 'a.bin' }))[0], 403)
  assert.deepEqual(await ask('complete', folder, { path: 'b.bin', upload_id: id, parts }), [404, 'RESOURCE_DOES_NOT_EXIST'])
  for (const wrong of [[], [{ part_number: 2, etag }], [{ part_number: 1, etag: 'none' }], [{ part_number: 1 }]])
    assert.equal((await ask('complete', folder, { path: 'a.bin', upload_id: id, parts: wrong }))[0], 400, JSON.stringify(wrong))
  assert.deepEqual(await ask('abort', folder, { path: 'b.bin', upload_id: id }), [200, undefined as never], 'there is none to that place')
  assert.deepEqual(await ask('complete', folder, { path: 'a.bin', upload_id: id, parts }), [200, undefined as never], 'and it went on')
  const other = (await askParts(plane, 'create', folder, { path: 'c.bin', num_parts: 1 })).body as Begun
  assert.equal((await ask('abort', folder, { path: 'c.bin', upload_id: other.upload_id }))[0], 200)
  assert.equal((await send(other.credentials[0]!.url, Buffer.from('c'))).status, 404)
  assert.equal((await ask('complete', folder, { path: 'c.bin', upload_id: other.upload_id, parts }))[0], 404)
})

it('an upload that is aborted while it is completed is done, and stays', async () => {
  await using plane = await planeInProcess()
  const folder = `0/${await newRun(plane)}/artifacts`
  const { upload_id: id, credentials } = (await askParts(plane, 'create', folder, { path: 'a.bin', num_parts: 1 })).body as Begun
  const content = randomBytes(20 * PART)
  const { etag } = await send(credentials[0]!.url, content)
  const completing = askParts(plane, 'complete', folder, { path: 'a.bin', upload_id: id, parts: [{ part_number: 1, etag }] })
  await new Promise((resolve) => setTimeout(resolve, 20))
  const aborted = await askParts(plane, 'abort', folder, { path: 'a.bin', upload_id: id })
  assert.deepEqual([aborted.status, (await completing).status], [200, 200])
  assert.deepEqual(await read(plane, `${folder}/a.bin`), content)
})

it('parts go to the address by which clients reach the control plane', async () => {
  await using plane = await planeInProcess({ publicUrl: 'https://models.example.org/slipway/' })
  const folder = `0/${await newRun(plane)}/artifacts`
  const { credentials } = (await askParts(plane, 'create', folder, { path: 'a.bin', num_parts: 1 })).body as Begun
  assert.match(credentials[0]!.url, /^https:\/\/models\.example\.org\/slipway\/api\/2\.0\/mlflow-artifacts\/mpu\/parts\/\w+\/1\?secret=/)
  assert.deepEqual(await capabilities(plane), [true, false])
  await assert.rejects(planeInProcess({ publicUrl: 'models.example.org' }), { code: 'SLW_CONFIG_INVALID' })
})

async function capabilities({ url }: Plane): Promise<unknown[]> {
  const info = (await (await fetch(`${url}/api/3.0/mlflow/server-info`)).json()) as Record<string, unknown>
  return [info['multipart_uploads_enabled'], info['multipart_downloads_enabled']]
}

it('a control plane without a bucket signs no downloads', async () => {
  await using plane = await planeInProcess({ directTransfers: true })
  const folder = `0/${await newRun(plane)}/artifacts`
  await fetch(`${plane.url}${ROOT}/artifacts/${folder}/a.txt`, { method: 'PUT', body: 'a' })
  const answer = await fetch(`${plane.url}${ROOT}/presigned/${folder}/a.txt`)
  assert.equal(answer.status, 501)
  assert.deepEqual(await capabilities(plane), [false, false])
})
