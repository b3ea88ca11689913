/** npm run check: format, lint with types, types, layers, dead code, copied code, generated references. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { checkReferences } from './generate-reference.ts'
import { checkLayers } from './layers.ts'

const root = new URL('..', import.meta.url).pathname
const node = process.execPath
const bin = (path: string): string => join(root, 'node_modules', path)

const steps: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ['format', node, bin('oxfmt/bin/oxfmt'), '--check', 'src', 'test', 'scripts', 'bench', 'examples'],
  ['lint', node, bin('oxlint/bin/oxlint'), 'src', 'test', 'scripts', 'bench', 'examples'],
  ['types', node, bin('typescript/bin/tsc'), '-p', root],
  ['dead code', node, bin('knip/bin/knip.js'), '--no-config-hints'],
  [
    'copied code',
    node,
    bin('jscpd/bin/jscpd'),
    'src',
    '--min-lines',
    '12',
    '--min-tokens',
    '90',
    '--threshold',
    '0',
    '--silent',
    '--ignore',
    '**/generated/**',
  ],
]

const failed: string[] = []
for (const [name, command, ...args] of steps) {
  const started = performance.now()
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'}  ${name} (${seconds} s)`)
  if (status === 0) continue
  failed.push(name)
  console.log(`${stdout}${stderr}`.trimEnd())
}
const wrong = checkLayers()
console.log(wrong.length === 0 ? 'ok    layers' : `FAIL  layers\n${wrong.join('\n')}`)
if (wrong.length > 0) failed.push('layers')
const stale = await checkReferences()
console.log(
  `${stale.length === 0 ? 'ok  ' : 'FAIL'}  references are fresh${stale.length === 0 ? '' : `: run npm run docs (${stale.join(', ')})`}`,
)
if (stale.length > 0) failed.push('references')
if (failed.length > 0) {
  console.error(`check failed: ${failed.join(', ')}`)
  process.exitCode = 1
}
