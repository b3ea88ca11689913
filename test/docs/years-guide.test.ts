import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { it } from 'node:test'
import { freePort, ROOT } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'

it('the guide to running a server for years works from its first command to its last', async () => {
  await using folder = await temporaryFolder()
  await symlink(join(ROOT, 'examples'), join(folder.path, 'examples'))
  await symlink(join(ROOT, 'bin/slipway'), join(folder.path, 'slipway'))
  const port = await freePort()
  const page = await readFile(join(ROOT, 'docs/guides/years.md'), 'utf8')
  const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map((block) => block[1]).join('\n')
  assert.ok(commands.split('\n').length > 30)
  // A command that never comes to its end must not outlive the test, nor the server an error half-way.
  const script = `set -eu\ntrap 'kill -9 \${SERVER:-} 2>/dev/null || true' EXIT\n${commands
    .replaceAll('127.0.0.1:8470', `127.0.0.1:${port}`)
    .replaceAll(/^slipway admin .*$/gm, (line) => `${line} --url http://127.0.0.1:${port}`)
    .replace('slipway serve models', `slipway serve models --port ${port} --drain-pause 100ms`)}\necho the end`
  const file = await folder.write('guide.sh', script)
  await writeFile(file, script)
  const env = { ...process.env, PATH: `${folder.path}:${dirname(process.execPath)}:${process.env['PATH']}` }
  const child = spawn('timeout', ['90', 'bash', '-x', file], { cwd: folder.path, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const code = await new Promise((resolve) => child.once('close', resolve))
  assert.equal(code, 0, said.slice(-4000))
  assert.match(said, /^the end$/m)
})
