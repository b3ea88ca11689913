import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { planeInProcess, push } from '../api/in-plane.ts'
import { example, ROOT, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'

it('the example application that follows an alias answers with the next version between two calls', { timeout: 120_000 }, async () => {
  await using plane = await planeInProcess()
  await using home = await temporaryFolder()
  const files = Object.fromEntries(
    await Promise.all(['model.onnx', 'slipway.yaml'].map(async (name) => [name, await readFile(join(example('churn'), name))] as const)),
  )
  await plane.ask('POST', '/models', { name: 'churn' })
  for (const note of ['first', 'second'])
    assert.equal((await push(plane, 'churn', { ...files, 'note.txt': Buffer.from(note) })).status, 201)
  const move = async (version: number): Promise<void> => {
    assert.equal((await plane.ask('PUT', '/models/churn/aliases/champion', { version })).status, 200)
  }
  await move(1)
  const child = spawn('sh', [join(ROOT, 'scripts/node'), join(ROOT, 'examples/follow/app.ts'), '20'], {
    env: { ...process.env, SLIPWAY_URL: plane.url, HOME: home.path, XDG_CACHE_HOME: undefined },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = once(child, 'close')
  const says = (line: RegExp): Promise<void> => until(() => line.test(said) || child.exitCode !== null, `${line}: ${said}`, 60_000)
  await says(/^churn version 1 answers: (?:churn|stays)$/m)
  await move(2)
  await says(/^churn version 2 answers: (?:churn|stays)$/m)
  assert.deepEqual(await ended, [0, null], said)
  assert.equal(said.trim().split('\n').length, 2, said)
})
