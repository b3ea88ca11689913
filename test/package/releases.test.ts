/**
 * Servers, control planes and command lines of a release that was kept (scripts/keep-release.ts) beside those of the sources: whoever
 * upgrades does so one process at a time, in either order.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { mkdir, readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { addingModel } from '../adding-models.ts'
import { serveInChild } from '../child-server.ts'
import { upInChild } from '../control-plane/up-in-child.ts'
import { ROOT, until } from '../fixtures.ts'
import { added } from '../following/following.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const KEPT = join(import.meta.dirname, 'kept')
const OURS = join(ROOT, 'bin/slipway')

/** Unpacks a kept release beside the modules of the repository. @returns its program */
async function unpacked(folder: string, tarball: string): Promise<string> {
  const place = join(folder, tarball.replace(/\.tgz$/, ''))
  await mkdir(place)
  execFileSync('tar', ['-xzf', join(KEPT, tarball), '-C', place])
  await symlink(join(ROOT, 'node_modules'), join(place, 'node_modules'))
  return join(place, 'package/bin/slipway')
}

/** Runs a command of a release to its end. @throws where it ends with anything but 0 */
async function run(program: string, words: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...words])
  return stdout
}

const tarballs = (await readdir(KEPT)).filter((name) => name.endsWith('.tgz'))

it('there is a release that was kept', () => assert.ok(tarballs.length > 0))

for (const tarball of tarballs)
  describe(`${tarball} and the sources`, { timeout: 300_000 }, () => {
    let folder: TemporaryFolder
    let theirs = ''
    before(async () => {
      folder = await temporaryFolder()
      theirs = await unpacked(folder.path, tarball)
      for (const number of [1, 2]) await folder.write(`models/${number}/model.onnx`, addingModel(number))
    })
    after(() => folder[Symbol.asyncDispose]())

    const pairs = [
      { what: 'their server and command line with our control plane', plane: 'ours', server: 'theirs' },
      { what: 'our server and command line with their control plane', plane: 'theirs', server: 'ours' },
    ] as const
    for (const { what, plane: planeOf, server: serverOf } of pairs)
      it(`${what}: push, deploy, follow, report, count, roll back`, async () => {
        const programOf = (whose: 'ours' | 'theirs'): string => (whose === 'ours' ? OURS : theirs)
        const program = programOf(serverOf)
        await using plane = await upInChild(['--data', join(folder.path, planeOf), '--no-server'], {}, programOf(planeOf))
        const there = ['--url', plane.url]
        for (const number of [1, 2])
          await run(program, ['model', 'push', join(folder.path, 'models', String(number)), '--name', 'adder', ...there])
        await run(program, ['alias', 'set', 'adder@champion', '1', ...there])
        await run(program, ['deploy', 'adder@champion', ...there])
        const store = join(folder.path, `store-${serverOf}`)
        await using server = await serveInChild(
          ['--control-plane', plane.url, '--endpoint', 'adder', '--store', store, '--server-name', 'one'],
          {},
          [],
          program,
        )
        assert.equal(await added(server), 1)
        await run(program, ['alias', 'set', 'adder@champion', '2', ...there])
        await until(async () => (await added(server)) === 2, 'the alias is followed')
        await run(program, ['endpoint', 'rollback', 'adder', ...there])
        await until(async () => (await added(server)) === 1, 'the rollback is followed')
        const listed = JSON.parse(await run(program, ['model', 'list', '-o', 'json', ...there])) as unknown
        assert.match(JSON.stringify(listed), /"adder"/)
        const status = async (): Promise<string> => await (await fetch(`${plane.url}/api/v1/endpoints/adder`)).text()
        await until(async () => /"ready"|"Ready"/.test(await status()), 'the control plane has heard what is served')
        const traffic = async (): Promise<number> => {
          const { items } = (await (await fetch(`${plane.url}/api/v1/traffic?endpoint=adder`)).json()) as { items: { requests: number }[] }
          return items.reduce((sum, { requests }) => sum + requests, 0)
        }
        await until(async () => (await traffic()) >= 3, 'the control plane has counted requests', 60_000)
        server.signal('SIGTERM')
        assert.equal(await server.exit, 0)
        plane.signal('SIGTERM')
        assert.equal(await plane.exit, 0)
      })

    it('what their control plane has kept is served by ours, and their server goes on with it', async () => {
      await using plane = await upInChild(['--data', join(folder.path, 'theirs'), '--no-server'])
      await using server = await serveInChild(
        ['--control-plane', plane.url, '--endpoint', 'adder', '--store', join(folder.path, 'store-upgraded'), '--server-name', 'two'],
        {},
        [],
        theirs,
      )
      assert.equal(await added(server), 1)
      await run(theirs, ['endpoint', 'resume', 'adder', '--url', plane.url])
      await until(async () => (await added(server)) === 2, 'the alias is followed again')
    })
  })
