import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { s3Server } from '../../scripts/s3-server.ts'
import { freePort, startChild } from '../observe/child.ts'
import { temporaryFolder } from '../temporary-folder.ts'

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string
  /** A bucket of it. */
  readonly bucket: string
}

/** What the SDK's chain of credentials finds first. */
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'slipway', AWS_SECRET_ACCESS_KEY: 'slipway-secret' } as const

/** A real S3 server with its objects in a temporary folder. This process, and those it starts, may ask it from now on. */
export async function startS3Server(): Promise<S3Server> {
  await using opened = new AsyncDisposableStack()
  const binary = await s3Server()
  const folder = opened.use(await temporaryFolder())
  const bucket = 'objects'
  await mkdir(join(folder.path, bucket))
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const { AWS_ACCESS_KEY_ID: access, AWS_SECRET_ACCESS_KEY: secret } = CREDENTIALS
  const args = ['--port', `127.0.0.1:${port}`, '--access', access, '--secret', secret, '--quiet', '--keep-alive', 'posix', folder.path]
  const listens = (): Promise<boolean> =>
    fetch(endpoint).then(
      () => true,
      () => false,
    )
  opened.use(await startChild(binary, args, listens))
  Object.assign(process.env, CREDENTIALS)
  const held = opened.move()
  return { endpoint, bucket, [Symbol.asyncDispose]: () => held.disposeAsync() }
}
