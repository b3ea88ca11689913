/** The client for Python: built as a wheel, installed, and doing what clients/behaviour.json says with nothing beside the standard library. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { freePort, ROOT } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { scriptedServer } from './scripted-server.ts'
import type { ScriptedServer } from './scripted-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const CLIENT = join(ROOT, 'clients/python')

describe('the client for Python', { timeout: 100_000 }, () => {
  let python = ''
  let server: ScriptedServer
  let folder: TemporaryFolder
  let installed = ''

  before(async () => {
    python = await pythonEnv('clients')
    server = await scriptedServer()
    folder = await temporaryFolder()
    // Building leaves files beside the sources.
    const sources = join(folder.path, 'sources')
    await cp(CLIENT, sources, { recursive: true, filter: (path) => !path.includes('__pycache__') })
    const offline = ['--quiet', '--disable-pip-version-check', '--no-deps', '--no-index']
    await run(['-m', 'pip', 'wheel', ...offline, '--no-build-isolation', '--wheel-dir', folder.path, sources])
    const wheel = (await readdir(folder.path)).find((name) => name.endsWith('.whl'))
    assert.equal(wheel, 'slipway_client-0.1.0-py3-none-any.whl')
    installed = join(folder.path, 'installed')
    await run(['-m', 'pip', 'install', ...offline, '--target', installed, join(folder.path, wheel)])
  })
  after(async () => {
    await server[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  async function run(args: readonly string[], more: NodeJS.ProcessEnv = {}, command = python): Promise<string> {
    const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...more }
    const { stdout, stderr } = await promisify(execFile)(command, args, { cwd: folder.path, env }).catch(
      (error: Error & { stdout?: string; stderr?: string }) => assert.fail(`${error.message}\n${error.stdout}${error.stderr}`),
    )
    return stdout + stderr
  }

  const behaves = async (command: string, ...only: readonly string[]): Promise<string> =>
    await run(
      ['-m', 'unittest', 'discover', '-s', join(CLIENT, 'tests'), '-p', 'test_behaviour.py', ...only],
      {
        PYTHONPATH: installed,
        SLIPWAY_SCRIPTED_SERVER: server.url,
        SLIPWAY_NOWHERE: `http://127.0.0.1:${await freePort()}`,
      },
      command,
    )

  it('reads and writes arrays of numpy', async () => {
    assert.match(await behaves(python, '-k', 'Tensors'), /Ran 4 tests[\s\S]*OK$/m)
  })

  it('does what the table says, with the standard library alone', async () => {
    const said = await behaves('python3')
    assert.match(said, /Ran 9 tests[\s\S]*OK/)
  })

  it('says that it is typed, which generate.test.ts checks', async () => {
    assert.ok((await readdir(join(installed, 'slipway_client'))).includes('py.typed'))
  })

  it('is written as Python 3.9 reads it', async () => {
    const program =
      'import ast, pathlib, sys\nfor path in pathlib.Path(sys.argv[1]).rglob("*.py"):\n    ast.parse(path.read_text(), str(path), feature_version=(3, 9))'
    await run(['-c', program, join(installed, 'slipway_client')])
  })
})
