import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFile, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { it } from 'node:test'
import { pythonEnv } from '../../scripts/python-env.ts'
import { freePort, ROOT } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'

it('the guide to the registry works from its first command to its last, its Python too', async () => {
  await using folder = await temporaryFolder()
  await symlink(join(ROOT, 'examples'), join(folder.path, 'examples'))
  await symlink(join(ROOT, 'bin/slipway'), join(folder.path, 'slipway'))
  const [port, serverPort] = [await freePort(), await freePort()]
  const python = await pythonEnv('mlflow-3')
  const page = (await readFile(join(ROOT, 'docs/guides/registry.md'), 'utf8'))
    .replaceAll('127.0.0.1:8480', `127.0.0.1:${port}`)
    .replaceAll('127.0.0.1:8470', `127.0.0.1:${serverPort}`)
    .replace('slipway up --data registry', `slipway up --data registry --port ${port} --server-port ${serverPort}`)
  const blocks = [...page.matchAll(/^```(sh|python)\n([\s\S]*?)^```/gm)].map(([, language, text = '']) =>
    language === 'sh' ? text : `${python} - <<'PYTHON'\n${text}PYTHON\n`,
  )
  assert.equal(blocks.length, 9)
  // A command that never comes to its end must not outlive the test, nor the registry an error half-way.
  const script = await folder.write(
    'guide.sh',
    `set -eu\ntrap 'kill \${UP:-} 2>/dev/null || true' EXIT\n${blocks.join('\n')}\necho the end\n`,
  )
  const env = {
    ...process.env,
    SLIPWAY_URL: `http://127.0.0.1:${port}`,
    PATH: `${folder.path}:${dirname(process.execPath)}:${process.env['PATH']}`,
  }
  const child = spawn('timeout', ['240', 'bash', script], { cwd: folder.path, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const code = await new Promise((resolve) => child.once('close', resolve))
  assert.equal(code, 0, said.slice(-4000))
  assert.match(said, /^the end$/m)
  assert.match(said, /\[0 1 2 3 4\]/, 'the model that was loaded predicts')
  assert.match(said, /exit code 3/)
  assert.match(said, /refused with 3/)
  assert.match(said, /churn@champion pointed to churn\/2 at /)
})
