import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder } from '../../core/cache-folder.ts'
import { SlipwayError } from '../../core/errors.ts'
import { bytesFile, filesOf } from './files.ts'
import type { ImageFile } from './files.ts'

/** What the package.json of Slipway keeps in an image: nothing that only its development needs. */
const DROPPED = new Set(['devDependencies', 'scripts', 'files', 'peerDependencies', 'peerDependenciesMeta'])
const BUILD_MS = 300_000
/** Compiled code of sources that were changed since is removed after this time. */
const KEPT_MS = 7 * 24 * 60 * 60 * 1000

/**
 * The files of Slipway itself: those of the installed package, or of a checkout, whose sources are compiled for it once and kept in the cache.
 * @param root folder of its package.json
 * @param below path of its folder in the image
 */
export async function slipwayFiles(root: string, below: string): Promise<ImageFile[]> {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Record<string, unknown>
  const kept = Object.fromEntries(Object.entries(manifest).filter(([name]) => !DROPPED.has(name)))
  const code = (await isFolder(join(root, 'src'))) ? await compiled(root) : join(root, 'dist')
  if (!(await isFolder(code)))
    throw new SlipwayError('SLW_DEPENDENCY_MISSING', `${root} holds no code of Slipway: neither src nor dist is there`)
  const keeps = (path: string): boolean => !/\.d\.ts$|\.map$|(?:^|\/)__pycache__$/.test(path)
  return [
    ...(await filesOf(code, `${below}/dist`, { keeps })),
    ...(await filesOf(join(root, 'bin'), `${below}/bin`)),
    bytesFile(`${below}/package.json`, `${JSON.stringify(kept, undefined, 2)}\n`),
    bytesFile(`${below}/LICENSE`, await readFile(join(root, 'LICENSE'))),
  ]
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )

/** The compiled code of a checkout, by the digest of its sources. */
async function compiled(root: string): Promise<string> {
  const hash = createHash('sha256')
  const sources = (await readdir(join(root, 'src'), { recursive: true })).filter((name) => /\.(?:[jt]s|py)$/.test(name)).toSorted()
  for (const name of [...sources.map((one) => join('src', one)), 'scripts/build.ts', 'tsconfig.json', 'tsconfig.build.json'])
    hash
      .update(`${name}\0`)
      .update(await readFile(join(root, name)))
      .update('\0')
  const folder = join(cacheFolder('compiled'), hash.digest('hex').slice(0, 32))
  if (await isFolder(folder)) return folder
  const child = spawn(process.execPath, [join(root, 'scripts/build.ts'), folder], { stdio: ['ignore', 'pipe', 'pipe'], timeout: BUILD_MS })
  const output: Buffer[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => output.push(bytes))
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  child.once('error', reject).once('close', resolve)
  if ((await promise) === 0) {
    await removeOld(cacheFolder('compiled'))
    return folder
  }
  await rm(folder, { recursive: true, force: true })
  const said = Buffer.concat(output).toString('utf8').trim().slice(-2000)
  throw new SlipwayError(
    'SLW_DEPENDENCY_MISSING',
    `${root} is a checkout, whose sources could not be compiled (npm ci brings what that needs): ${said}`,
  )
}

async function removeOld(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const found = await stat(join(folder, name)).catch(() => undefined)
    if (found !== undefined && Date.now() - found.mtimeMs > KEPT_MS) await rm(join(folder, name), { recursive: true, force: true })
  }
}
