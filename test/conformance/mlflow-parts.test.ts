/** The clients of MLflow send large files in parts, and get them in parts from a bucket, where they are told that they can. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { freePort } from '../fixtures.ts'
import { startS3Server } from '../storage/s3-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { startControlPlane } from '../../src/control-plane/start-control-plane.ts'

/** The smallest part that S3 takes. */
const PART = 5 * 1024 * 1024

interface Transfer {
  readonly same: boolean
  /** Addresses of parts. */
  readonly sent: readonly string[]
  readonly got: readonly string[]
}

/** @param asks whether the client is told to send parts; those of MLflow 3 otherwise ask the server whether it takes them */
async function transfer(client: 'mlflow-2' | 'mlflow-3', uri: string, asks: boolean): Promise<Transfer> {
  await using folder = await temporaryFolder()
  const { stdout } = await promisify(execFile)(await pythonEnv(client), [join(import.meta.dirname, 'mlflow', 'parts.py'), folder.path], {
    timeout: 240_000,
    killSignal: 'SIGKILL',
    env: {
      ...process.env,
      MLFLOW_TRACKING_URI: uri,
      MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE: String(2 * PART),
      MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE: String(PART),
      MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE: String(PART),
      // Clients of MLflow 3 ask the server whether it can.
      ...(asks && { MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD: 'true' }),
    },
  })
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Transfer
}

describe('files in parts', { timeout: 900_000 }, () => {
  for (const client of ['mlflow-2', 'mlflow-3'] as const) {
    it(`go through the control plane, which keeps them in a folder: ${client}`, async () => {
      await using folder = await temporaryFolder()
      const port = await freePort()
      const publicUrl = `http://localhost:${port}`
      await using _plane = await startControlPlane({ data: folder.path, port, publicUrl })
      const { same, sent, got } = await transfer(client, publicUrl, client === 'mlflow-2')
      assert.ok(same)
      assert.deepEqual([sent.length, got.length], [3, 0])
      for (const url of sent) assert.ok(url.startsWith(`${publicUrl}/`), url)
    })

    it(`go between the client and the bucket: ${client}`, async () => {
      await using folder = await temporaryFolder()
      await using s3 = await startS3Server()
      await using plane = await startControlPlane({ data: folder.path, port: 0, objects: s3.urlOf('registry'), directTransfers: true })
      const { same, sent, got } = await transfer(client, plane.url, client === 'mlflow-2')
      assert.ok(same)
      assert.deepEqual([sent.length, got.length], [3, client === 'mlflow-2' ? 0 : 3])
      for (const url of [...sent, ...got]) assert.ok(url.startsWith(s3.endpoint), url)
    })
  }

  it('go through the control plane into a bucket that clients need not reach', async () => {
    await using folder = await temporaryFolder()
    await using s3 = await startS3Server()
    await using plane = await startControlPlane({ data: folder.path, port: 0, objects: s3.urlOf('registry') })
    const { same, sent, got } = await transfer('mlflow-3', plane.url, true)
    assert.ok(same)
    assert.deepEqual([sent.length, got.length], [3, 0])
    for (const url of sent) assert.ok(url.startsWith(`${plane.url}/`), url)
  })
})
