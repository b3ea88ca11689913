import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { CUSTOMER, example, freePort, ROOT } from '../fixtures.ts'
import { lambdaEmulator } from '../lambda/emulator.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { guideInShell } from './guide-in-shell.ts'

const page = await readFile(join(ROOT, 'docs/guides/clouds.md'), 'utf8')
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, block = '']) => block)

it('the guide to the containers of clouds works from its first command to its last', { timeout: 200_000 }, async () => {
  const found = blocks('sh')
  assert.equal(found.length, 4)
  // Each is a container of its own, with a port of its own.
  const ports = await Promise.all(found.map(() => freePort()))
  const commands = found.map((block, index) => block.replaceAll(/\b(?:8080|5001)\b/g, String(ports[index]))).join('\nwait\n')
  const { code, said } = await guideInShell(commands.replaceAll('kill $SERVE', 'echo; kill $SERVE'), {
    ends: '${SERVE:-}',
    limitS: 150,
    environment: { SLIPWAY_SHUTDOWN_PAUSE_MS: '0' },
  })
  assert.equal(code, 0, said.slice(-4000))
  assert.match(said, /^the end$/m)
  assert.match(said, /\{"prediction":"churn","confidence":[\d.]+/)
  assert.match(said, /"BatchStrategy":"MULTI_RECORD"/)
  assert.match(said, /\{"models":\[\{"modelName":"c1"/)
  assert.match(said, /\{"predictions":\["churn"\]\}/)
  assert.match(said, /Healthy\["churn"\]/)
})

it('the bootstrap of the guide answers the calls of Lambda', { timeout: 100_000 }, async () => {
  const bootstrap = blocks('text').find((block) => block.startsWith('#!/bin/sh'))
  assert.ok(bootstrap !== undefined)
  await using folder = await temporaryFolder()
  await using lambda = await lambdaEmulator()
  await chmod(await folder.write('bootstrap', bootstrap), 0o755)
  await mkdir(join(folder.path, 'node_modules'))
  await symlink(process.execPath, join(folder.path, 'node'))
  await symlink(ROOT, join(folder.path, 'node_modules/slipway'))
  await symlink(example('churn'), join(folder.path, 'model'))
  const env = { ...process.env, AWS_LAMBDA_RUNTIME_API: lambda.address, LAMBDA_TASK_ROOT: folder.path }
  const child = spawn(join(folder.path, 'bootstrap'), { env, stdio: 'ignore' })
  const { body } = await lambda.invoke(CUSTOMER)
  assert.equal((JSON.parse(body.toString()) as { prediction: string }).prediction, 'churn')
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})
