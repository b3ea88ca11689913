import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { it } from 'node:test'
import { addingModel, QUESTION } from '../adding-models.ts'
import { alive, freePort, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { upInChild } from './up-in-child.ts'
import type { AddressInfo } from 'node:net'
import type { ChildControlPlane } from './up-in-child.ts'

/** Registers an adding model as the next version. */
async function register(plane: ChildControlPlane, model: string, added: number): Promise<string> {
  const { body } = await plane.call('POST', 'runs/create', { experiment_id: '0' })
  const run = body['run'].info.run_id as string
  assert.equal(await plane.putFile(`0/${run}/artifacts/model/model.onnx`, addingModel(added)), 200)
  await plane.call('POST', 'registered-models/create', { name: model })
  const made = await plane.call('POST', 'model-versions/create', { name: model, source: `runs:/${run}/model`, run_id: run })
  assert.equal(made.status, 200, JSON.stringify(made.body))
  return made.body['model_version'].version as string
}

async function addedBy(url: string, model: string): Promise<number | undefined> {
  try {
    const response = await fetch(`${url}/v2/models/${model}/infer`, { method: 'POST', body: QUESTION })
    const body = (await response.json()) as { outputs?: { data: number[] }[] }
    return response.status === 200 ? body.outputs![0]!.data[0]! - 1 : undefined
  } catch {
    return undefined
  }
}

it('what the champion alias names is served within moments, and the next one without a failed request', async () => {
  await using folder = await temporaryFolder()
  const port = await freePort()
  const server = `http://127.0.0.1:${port}`
  await using plane = await upInChild(['--data', folder.path, '--server-port', String(port)])
  assert.equal(await register(plane, 'adder', 1), '1')
  assert.equal(await register(plane, 'adder', 2), '2')
  await plane.call('POST', 'registered-models/alias', { name: 'adder', alias: 'champion', version: '1' })
  await until(async () => (await addedBy(server, 'adder')) === 1, 'version 1 is served', 30_000)
  const answers: (number | undefined)[] = []
  const asking = new AbortController()
  const asked = (async () => {
    while (!asking.signal.aborted) answers.push(await addedBy(server, 'adder'))
  })()
  for (const version of [2, 1]) {
    await plane.call('POST', 'registered-models/alias', { name: 'adder', alias: 'champion', version: String(version) })
    await until(() => answers.at(-1) === version, `version ${version} is served`, 30_000)
  }
  asking.abort()
  await asked
  assert.deepEqual(new Set(answers), new Set([1, 2]))
  plane.signal('SIGTERM')
  assert.equal(await plane.exit, 0)
  assert.equal(await addedBy(server, 'adder'), undefined, 'the server ends with the control plane')
})

it('a control plane that was killed comes back with everything, and takes over the server it left behind', async () => {
  await using folder = await temporaryFolder()
  const port = await freePort()
  const server = `http://127.0.0.1:${port}`
  const args = ['--data', folder.path, '--server-port', String(port)]
  let left: number
  {
    await using plane = await upInChild(args)
    await register(plane, 'adder', 1)
    await plane.call('POST', 'registered-models/alias', { name: 'adder', alias: 'champion', version: '1' })
    await until(async () => (await addedBy(server, 'adder')) === 1, 'version 1 is served', 30_000)
    left = Number(await readFile(join(folder.path, 'server.pid'), 'utf8'))
  }
  assert.equal(await addedBy(server, 'adder'), 1, 'the server goes on without its control plane')
  await using plane = await upInChild(args)
  await until(() => !alive(left), 'the server that was left behind ends', 30_000)
  await until(async () => (await addedBy(server, 'adder')) === 1, 'a new one serves', 30_000)
  const found = await plane.call('GET', 'registered-models/alias', { name: 'adder', alias: 'champion' })
  assert.equal(found.body['model_version'].version, '1')
  plane.signal('SIGTERM')
  assert.equal(await plane.exit, 0)
})

it('a second control plane on the same data is refused, with who has it', async () => {
  await using folder = await temporaryFolder()
  await using plane = await upInChild(['--data', folder.path, '--no-server'])
  await assert.rejects(upInChild(['--data', folder.path, '--no-server']), new RegExp(`SLW_DATABASE_IN_USE|${plane.pid}`))
})

it('a port of the server that is taken is said at once, and not when something is to be served', async () => {
  await using folder = await temporaryFolder()
  const socket = createServer()
  await once(socket.listen(0, '127.0.0.1'), 'listening')
  const { port } = socket.address() as AddressInfo
  try {
    const message = new RegExp(`port ${port} .*is in use; choose another with --server-port`)
    await assert.rejects(upInChild(['--data', folder.path, '--server-port', String(port)]), message)
  } finally {
    socket.close()
  }
})

it('a version that runs code when it is loaded is registered, and not served', async () => {
  await using folder = await temporaryFolder()
  await using plane = await upInChild(['--data', folder.path, '--server-port', String(await freePort())])
  const { body } = await plane.call('POST', 'runs/create', { experiment_id: '0' })
  const run = body['run'].info.run_id as string
  await plane.putFile(`0/${run}/artifacts/model/model.pkl`, 'cos\nsystem\n.')
  await plane.call('POST', 'registered-models/create', { name: 'pickled' })
  const made = await plane.call('POST', 'model-versions/create', { name: 'pickled', source: `runs:/${run}/model` })
  assert.equal(made.status, 200)
  await plane.call('POST', 'registered-models/alias', { name: 'pickled', alias: 'champion', version: '1' })
  await until(() => plane.said().includes('runs code when it is loaded'), 'why it is not served is said')
})

it('only who is on this machine gets in without a key, and web pages never', async () => {
  await using folder = await temporaryFolder()
  await using plane = await upInChild(['--data', folder.path, '--no-server'])
  const ask = (headers: Record<string, string>) =>
    fetch(`${plane.url}/api/2.0/mlflow/registered-models/create`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{"name":"x"}',
    }).then((response) => response.status)
  assert.equal(await ask({ origin: 'http://evil.example' }), 403)
  assert.equal(await ask({ origin: 'null' }), 403)
  assert.equal(await ask({ authorization: 'Bearer slw_0000000000_wrong' }), 401)
  assert.equal(await ask({ authorization: 'Basic bWU6d3Jvbmc=' }), 401)
  assert.equal(await ask({ origin: plane.url }), 200)
})

it('an address that others reach is refused while there is no key', async () => {
  await using folder = await temporaryFolder()
  await assert.rejects(upInChild(['--data', folder.path, '--no-server', '--host', '0.0.0.0']), /SLW_HOST_REFUSED|can be reached by others/)
})

it('told by which address clients reach it, it takes large files in parts there', async () => {
  await using folder = await temporaryFolder()
  await using plane = await upInChild(['--data', folder.path, '--no-server', '--public-url', 'https://models.example.org/'])
  const info = (await (await fetch(`${plane.url}/api/3.0/mlflow/server-info`)).json()) as Record<string, unknown>
  assert.equal(info['multipart_uploads_enabled'], true)
  const { body } = await plane.call('POST', 'runs/create', { experiment_id: '0' })
  const response = await fetch(`${plane.url}/api/2.0/mlflow-artifacts/mpu/create/0/${String(body['run'].info.run_id)}/artifacts`, {
    method: 'POST',
    body: '{"path":"a.bin"}',
  })
  const { credentials } = (await response.json()) as { credentials: { url: string }[] }
  assert.ok(credentials[0]!.url.startsWith('https://models.example.org/api/2.0/'), credentials[0]!.url)
  const refused = upInChild(['--data', folder.path, '--no-server', '--public-url', 'nowhere'])
  await assert.rejects(refused, /the public URL nowhere is none/)
})
