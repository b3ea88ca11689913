/**
 * Builds what is published: JavaScript and declarations in dist/, and the files that go with them.
 *
 *     scripts/node scripts/build.ts [FOLDER]   # another folder; it is put in place whole
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const root = new URL('..', import.meta.url).pathname
const target = process.argv[2] ?? join(root, 'dist')
const dist = `${target}.${process.pid}`

const compiler = spawnSync(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json'), '--outDir', dist],
  {
    stdio: 'inherit',
  },
)
if (compiler.status !== 0) process.exit(compiler.status ?? 1)
cpSync(join(root, 'src/engine/python'), join(dist, 'engine/python'), { recursive: true, filter: (path) => !path.endsWith('__pycache__') })
for (const generated of ['onnx/generated', 'serving/observe/tracing/generated'])
  cpSync(join(root, 'src', generated), join(dist, generated), { recursive: true })
const swagger = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))
const assets = join(dist, 'assets/swagger-ui')
mkdirSync(assets, { recursive: true })
for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js', 'LICENSE']) cpSync(join(swagger, file), join(assets, file))
// Another process may have made the same folder in the meantime.
if (process.argv[2] === undefined) rmSync(target, { recursive: true, force: true })
if (existsSync(target)) rmSync(dist, { recursive: true, force: true })
else renameSync(dist, target)
