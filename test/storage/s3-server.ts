import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pythonEnv } from '../../scripts/python-env.ts'
import { s3Server } from '../../scripts/s3-server.ts'
import { freePort } from '../fixtures.ts'
import { startChild } from '../observe/child.ts'
import { temporaryFolder } from '../temporary-folder.ts'

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string
  /** A bucket of it. */
  readonly bucket: string
  /** Of objects that begin so in the bucket, as `--objects` takes it. */
  urlOf(prefix: string): string
}

/** What the SDK's chain of credentials finds first. */
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'slipway', AWS_SECRET_ACCESS_KEY: 'slipway-secret' } as const

/** versitygw with the folder in which it keeps objects, each as a file. */
export interface VersityServer extends S3Server {
  /** Those of the bucket. */
  readonly folder: string
}

/** versitygw, with its objects in a temporary folder. This process, and those it starts, may ask it from now on. */
export async function startS3Server(): Promise<VersityServer> {
  await using opened = new AsyncDisposableStack()
  const binary = await s3Server()
  const folder = opened.use(await temporaryFolder())
  const bucket = 'objects'
  await mkdir(join(folder.path, bucket))
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const { AWS_ACCESS_KEY_ID: access, AWS_SECRET_ACCESS_KEY: secret } = CREDENTIALS
  const args = ['--port', `127.0.0.1:${port}`, '--access', access, '--secret', secret, '--quiet', '--keep-alive', 'posix', folder.path]
  opened.use(await startChild(binary, args, () => listens(endpoint)))
  Object.assign(process.env, CREDENTIALS)
  const held = opened.move()
  return { ...at(endpoint, bucket), folder: join(folder.path, bucket), [Symbol.asyncDispose]: () => held.disposeAsync() }
}

/** moto, which keeps objects in memory and does not check signatures: another reading of the protocol. */
export async function startMoto(): Promise<S3Server> {
  await using opened = new AsyncDisposableStack()
  const python = await pythonEnv('s3')
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  opened.use(await startChild(python, ['-m', 'moto.server', '--host', '127.0.0.1', '--port', String(port)], () => listens(endpoint)))
  Object.assign(process.env, CREDENTIALS)
  const bucket = 'objects'
  const made = await fetch(`${endpoint}/${bucket}`, { method: 'PUT' })
  if (!made.ok) throw new Error(`moto made no bucket: ${await made.text()}`)
  await made.arrayBuffer()
  const held = opened.move()
  return { ...at(endpoint, bucket), [Symbol.asyncDispose]: () => held.disposeAsync() }
}

function at(endpoint: string, bucket: string): Omit<S3Server, keyof AsyncDisposable> {
  return { endpoint, bucket, urlOf: (prefix) => `s3://${bucket}/${prefix}?endpoint=${endpoint}&region=us-east-1` }
}

async function listens(url: string): Promise<boolean> {
  return await fetch(url).then(
    () => true,
    () => false,
  )
}
