/**
 * Keeps the package of the present sources for the tests of other releases (test/package/releases.test.ts), which run it beside the
 * sources of their day: `scripts/node scripts/keep-release.ts` writes test/package/kept/slipway-VERSION.tgz. Run it with each release;
 * the one before the last may go.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const kept = join(root, 'test/package/kept', `slipway-${version}.tgz`)
const folder = mkdtempSync(join(tmpdir(), 'slipway-keep-'))

function run(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status ?? error?.message}`)
}

try {
  run(process.execPath, [join(root, 'scripts/package.ts'), folder])
  run('tar', ['-xzf', `slipway-${version}.tgz`])
  // Pages, guides and declarations are for people: programs of another release do not ask for them.
  const left = ['--exclude=package/dist/assets/swagger-ui', '--exclude=*.d.ts', '--exclude=package/docs', '--exclude=package/examples']
  run('tar', ['-czf', kept, '--sort=name', '--owner=0', '--group=0', ...left, 'package'])
  console.log(kept)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
