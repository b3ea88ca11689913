/** Every block of the guide to clients, run as somebody would who follows it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { rolldown } from 'rolldown'
import { ROOT, serveExamples } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const PAGE = 'docs/guides/clients.md'

it('the guide to clients says what works', { timeout: 100_000 }, async () => {
  await using folder = await temporaryFolder()
  await using server = await serveExamples(['churn'], { serving: { instances: 1 }, environment: {} })
  await symlink(join(ROOT, 'examples'), join(folder.path, 'examples'))
  await symlink(join(ROOT, 'bin/slipway'), join(folder.path, 'slipway'))
  const installed = join(folder.path, 'node_modules/slipway')
  await mkdir(installed, { recursive: true })
  await writeFile(join(installed, 'package.json'), '{"type": "module", "exports": {"./client": "./client.js"}}')
  await (await rolldown({ input: join(ROOT, 'src/client/index.ts') })).write({ file: join(installed, 'client.js') })
  const python = await pythonEnv('clients')
  const text = (await readFile(join(ROOT, PAGE), 'utf8'))
    .replaceAll('http://127.0.0.1:8470', server.url)
    .replaceAll('127.0.0.1:8471', server.grpc!)
  const run = async (command: string, args: readonly string[]): Promise<string> => {
    const env = {
      ...process.env,
      PATH: `${folder.path}:${dirname(process.execPath)}:${process.env['PATH']}`,
      PYTHONPATH: join(ROOT, 'clients/python/src'),
      PYTHONDONTWRITEBYTECODE: '1',
    }
    const { stdout } = await promisify(execFile)(command, args, { cwd: folder.path, env })
    return stdout
  }
  const said: string[] = []
  for (const [, language = '', code = ''] of text.matchAll(/^```(\w+)\n([\s\S]*?)^```/gm)) {
    if (language === 'sh') said.push(await run('bash', ['-euc', code]))
    else if (language === 'python') said.push(await run(python, ['-c', code]))
    else {
      assert.equal(language, 'ts')
      const file = await folder.write(`block-${said.length}.mts`, code)
      said.push(await run(process.execPath, [file]))
    }
  }
  const [typescript = '', fromPython = '', generated = '', tensors = '', fromNumpy = ''] = said
  assert.equal(said.length, 5)
  for (const one of [typescript, fromPython]) assert.match(one, /prediction'?: '(?:churn|stays)'[\s\S]*confidence/)
  assert.doesNotMatch(typescript + fromPython, /because/)
  assert.equal(generated, 'wrote churn.ts\nwrote churn.py\n')
  assert.match(tensors, /^\[ 'label', 'probabilities' \]\n$/)
  assert.equal(fromNumpy, "{'label': (1,), 'probabilities': (1, 2)}\n".repeat(2))
})
