/**
 * NVIDIA's own client for Triton, and requests, as they come from PyPI, against this server. What they check stands in
 * triton_client.py; each fact there is a test here.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { LogOutput, openLogger } from '../../src/server/log-output.ts'
import { startServer } from '../../src/server/start-server.ts'
import { told } from './told.ts'

const SCRIPT = join(import.meta.dirname, 'triton_client.py')
const CHECKS_TIMEOUT_MS = 120_000
const ADMIN_TOKEN = 'a-token-of-some-length'

let python: string
let folder: string

before(async () => {
  python = await pythonEnv('conformance')
  folder = await mkdtemp(join(tmpdir(), 'slipway-triton-'))
  await run('models', folder)
})
after(() => rm(folder, { recursive: true }))

describe('tritonclient.http, unmodified', () => {
  it('finds the server to be as Triton is', async (t) => {
    const files = (await readdir(folder)).filter((file) => file !== 'slow.onnx')
    await using server = await startServer({
      models: files.map((file) => ({ path: join(folder, file) })),
      port: 0,
      serving: { instances: 1 },
      environment: { SLIPWAY_ADMIN_TOKEN: ADMIN_TOKEN },
      logger: openLogger(new LogOutput('/dev/null'), 'info'),
    })
    await told(t, await run('check', new URL(server.url).host), 33)
  })

  it('and requests are told to come back when the queue is full', async (t) => {
    await using server = await startServer({
      models: [{ path: join(folder, 'slow.onnx') }],
      port: 0,
      serving: { queueRequests: 1, instances: 1, inlineMaxUs: 0 },
    })
    await told(t, await run('full', new URL(server.url).host), 4)
  })
})

async function run(command: string, argument: string): Promise<string> {
  const { stdout } = await promisify(execFile)(python, [SCRIPT, command, argument], {
    timeout: CHECKS_TIMEOUT_MS,
    env: { ...process.env, ADMIN_TOKEN },
  })
  return stdout
}
