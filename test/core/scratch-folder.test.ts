import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { openScratchFolder } from '../../src/core/scratch-folder.ts'
import { ROOT, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'

it('a scratch folder goes with its process, and is taken from no other', async () => {
  await using folder = await temporaryFolder()
  const root = join(folder.path, 'scratch')
  const module = join(ROOT, 'src/core/scratch-folder.ts')
  const other = spawn(
    process.execPath,
    [
      '-e',
      `import(${JSON.stringify(module)}).then(async (m) => console.log((await m.openScratchFolder(${JSON.stringify(root)})).path)); setInterval(() => {}, 1000)`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let said = ''
  other.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  await until(() => said.includes('\n'), 'the other process has one')
  const theirs = said.trim()
  await writeFile(join(theirs, 'a-file'), 'x')
  // As earlier releases left them: without a lock.
  await mkdir(join(root, 'version-abc'))
  {
    await using ours = await openScratchFolder(root)
    assert.notEqual(ours.path, theirs)
    await writeFile(join(ours.path, 'b-file'), 'y')
    assert.ok(existsSync(join(theirs, 'a-file')), 'it runs')
    assert.equal(existsSync(join(root, 'version-abc')), false)
    const exited = new Promise((resolve) => other.once('exit', resolve))
    other.kill('SIGKILL')
    await exited
  }
  assert.ok(existsSync(join(theirs, 'a-file')), 'nobody has looked since')
  await using next = await openScratchFolder(root)
  const names = new Set((await readdir(root)).map((name) => join(root, name.split('.', 1)[0]!)))
  assert.deepEqual(names, new Set([next.path]), 'nothing is left of the others')
})
