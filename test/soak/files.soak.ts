/**
 * A large file goes into a control plane and comes back, in one piece and in parts, while its memory is watched:
 *
 *     npm run soak:files [-- --gigabytes 5 --objects s3]
 *
 * Fails where the bytes differ, or where the control plane grew by more than 64 MB above what it had when it was idle.
 */
import { createHash } from 'node:crypto'
import { request } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { upInChild } from '../control-plane/up-in-child.ts'
import { residentMb } from '../keep-alive-load.ts'
import { startS3Server } from '../storage/s3-server.ts'
import { generatedStream, MB } from '../storage/streams.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { helpFrom } from '../../scripts/help.ts'
import type { ChildControlPlane } from '../control-plane/up-in-child.ts'

helpFrom(import.meta.filename)

const LIMIT_MB = 64
const PART = 100 * MB
const WATCH_EVERY_MS = 50

const { values } = parseArgs({ options: { gigabytes: { type: 'string', default: '5' }, objects: { type: 'string', default: 'file' } } })
const size = Number(values.gigabytes) * 1000 * MB

/** Sends a stream whose length is known, as clients of MLflow do. @returns the ETag */
async function put(url: string, body: AsyncIterable<Uint8Array>, length: number): Promise<string> {
  const sending = request(url, { method: 'PUT', headers: { 'content-length': length } })
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  sending.on('response', (response) => {
    response.resume()
    if (response.statusCode === 200) resolve(response.headers.etag ?? '')
    else reject(new Error(`PUT ${url}: ${response.statusCode}`))
  })
  sending.on('error', reject)
  await pipeline(Readable.from(body, { objectMode: false }), sending)
  return await promise
}

async function digestOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const bytes of stream) hash.update(bytes)
  return hash.digest('hex')
}

async function get(url: string): Promise<string> {
  const response = await fetch(url)
  if (response.status !== 200 || response.body === null) throw new Error(`GET ${url}: ${response.status}`)
  return await digestOf(response.body)
}

async function sendInParts(plane: ChildControlPlane, folder: string): Promise<void> {
  const ask = async (what: string, fields: object): Promise<Record<string, any>> => {
    const response = await fetch(`${plane.url}/api/2.0/mlflow-artifacts/mpu/${what}/${folder}`, {
      method: 'POST',
      body: JSON.stringify({ path: 'parts.bin', ...fields }),
    })
    if (response.status !== 200) throw new Error(`${what}: ${response.status} ${await response.text()}`)
    return (await response.json()) as Record<string, any>
  }
  const count = Math.ceil(size / PART)
  const { upload_id: id, credentials } = await ask('create', { num_parts: count })
  const parts: object[] = []
  for (let number = 1; number <= count; number++) {
    const length = Math.min(PART, size - (number - 1) * PART)
    parts.push({ part_number: number, etag: await put(credentials[number - 1].url, generatedStream(length), length) })
  }
  await ask('complete', { upload_id: id, parts })
}

async function* inParts(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size; at += PART) yield* generatedStream(Math.min(PART, size - at))
}

await using folder = await temporaryFolder()
await using s3 = values.objects === 's3' ? await startS3Server() : undefined
const objects = s3 === undefined ? [] : ['--objects', s3.urlOf('soak')]
await using plane = await upInChild(['--data', folder.path, '--no-server', ...objects])
const { body } = await plane.call('POST', 'runs/create', { experiment_id: '0' })
const artifacts = `0/${String(body['run'].info.run_id)}/artifacts`
const urlOf = (name: string): string => `${plane.url}/api/2.0/mlflow-artifacts/artifacts/${artifacts}/${name}`

/** @returns MB by which the control plane grew at most */
async function watched(what: string, act: () => Promise<unknown>): Promise<number> {
  let most = 0
  const watch = setInterval(() => (most = Math.max(most, residentMb(plane.pid))), WATCH_EVERY_MS)
  const began = performance.now()
  try {
    await act()
  } finally {
    clearInterval(watch)
  }
  const seconds = (performance.now() - began) / 1000
  console.log(`${what.padEnd(24)} ${(size / MB / seconds).toFixed(0).padStart(5)} MB/s, ${Math.round(most - idleMb)} MB above idle`)
  return most - idleMb
}

let failed = false
const check = (fact: boolean, what: string): void => {
  if (fact) return
  failed = true
  console.log(`FAILED  ${what}`)
}

// What any transfer needs once.
await put(urlOf('warm.bin'), generatedStream(20 * MB), 20 * MB)
await get(urlOf('warm.bin'))
const idleMb = residentMb(plane.pid)
console.log(`${values.gigabytes} GB, objects in ${values.objects === 's3' ? 'S3' : 'a folder'}, ${Math.round(idleMb)} MB when idle`)
let [whole, parts] = ['', '']
const grown = [
  await watched('up, in one piece', () => put(urlOf('whole.bin'), generatedStream(size), size)),
  await watched('down', async () => (whole = await get(urlOf('whole.bin')))),
  await watched(`up, parts of ${PART / MB} MB`, () => sendInParts(plane, artifacts)),
  await watched('down', async () => (parts = await get(urlOf('parts.bin')))),
]
check(whole === (await digestOf(generatedStream(size))), 'the file that was sent whole came back with other bytes')
check(parts === (await digestOf(inParts())), 'the file that was sent in parts came back with other bytes')
check(Math.max(...grown) <= LIMIT_MB, `the control plane grew by more than ${LIMIT_MB} MB`)
process.exitCode = failed ? 1 : 0
