/**
 * KServe's own client and model server, and CloudEvents, as they come from PyPI, against this server. What they check stands in
 * kserve_client.py; each fact there is a test here.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { startServer } from '../../src/server/start-server.ts'
import { told } from './told.ts'
import { freePort, until } from '../fixtures.ts'
import { servedModels } from '../protocol/served-models.ts'

const SCRIPT = join(import.meta.dirname, 'kserve_client.py')
const FACTS = 39

it("KServe's clients find the server to be as KServe's is", { timeout: 100_000 }, async (t) => {
  const python = await pythonEnv('kserve')
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await servedModels())
  const port = await freePort()
  const theirs = `http://127.0.0.1:${port}`
  const child = spawn(python, [SCRIPT, 'serve', String(port), folder.path], { stdio: 'ignore' })
  opened.defer(async () => {
    const ended = child.exitCode === null ? once(child, 'exit') : undefined
    child.kill('SIGKILL')
    await ended
  })
  await until(
    () =>
      fetch(theirs).then(
        ({ ok }) => ok,
        () => false,
      ),
    'a server of KServe',
    60_000,
  )
  await folder.write('broken/1/model.onnx', 'no model')
  const server = opened.use(await startServer({ models: [{ path: folder.path }], port: 0, dialects: 'v2,kserve-v1' }))
  const { stdout } = await promisify(execFile)(python, [SCRIPT, 'check', server.url, theirs], { timeout: 90_000 })
  await told(t, stdout, FACTS)
})
