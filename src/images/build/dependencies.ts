import { readFile, realpath, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { filesOf } from './files.ts'
import type { Platform } from '../oci.ts'
import type { ImageFile } from './files.ts'

interface PackageJson {
  readonly name: string
  readonly version: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
}

export interface Dependencies {
  readonly files: readonly ImageFile[]
  /** Packages by name and version. */
  readonly packages: readonly string[]
  /** Optional packages that this platform would have, and that are not installed here. */
  readonly missing: readonly string[]
}

export interface DependencyOptions {
  readonly platform: Platform
  /** Whether the libraries of ONNX Runtime for CUDA and TensorRT stay. */
  readonly gpu: boolean
}

/** Names of Node for the architectures of images. */
export const NODE_CPUS: Readonly<Record<string, string>> = { amd64: 'x64', arm64: 'arm64' }
const RUNTIME = 'onnxruntime-node'
/** Node itself has a layer of its own. */
const NODE_PACKAGES = /^node-(?:linux|darwin|win)-/
/** What its script of installation needs, which has run. */
const OF_INSTALLATION: Readonly<Record<string, readonly string[]>> = { [RUNTIME]: ['adm-zip', 'global-agent'] }
const GPU_LIBRARY = /libonnxruntime_providers_(?:cuda|tensorrt|shared)\.so$/

/**
 * What runs beside Slipway: the packages that its package.json asks for, and theirs, each where Node finds it from whoever asks. They
 * are copied as they are installed here, and no package of the machine's own registry is asked.
 * @param root folder of Slipway's package.json
 * @param below path in the image of the folder that Slipway lies in
 * @throws SLW_DEPENDENCY_MISSING for what is not installed
 */
export async function productionDependencies(root: string, below: string, options: DependencyOptions): Promise<Dependencies> {
  const { platform, gpu } = options
  /** Folders of the packages, by their path in the image, such as `node_modules/a/node_modules/b`. */
  const placed = new Map<string, { readonly folder: string; readonly manifest: PackageJson }>()
  const missing = new Set<string>()
  const waiting: { readonly at: string; readonly folder: string; readonly manifest: PackageJson }[] = [
    { at: '', folder: root, manifest: await manifestOf(root) },
  ]
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const { at, folder, manifest } = next
    const optional = manifest.optionalDependencies ?? {}
    // npm writes what is optional among the dependencies, too.
    for (const name of Object.keys({ ...manifest.dependencies, ...optional }).toSorted()) {
      if (NODE_PACKAGES.test(name) || OF_INSTALLATION[manifest.name]?.includes(name) === true) continue
      const found = await resolved(name, folder)
      if (found === undefined) {
        if (!(name in optional))
          throw new SlipwayError(
            'SLW_DEPENDENCY_MISSING',
            `the package ${name}, which ${manifest.name} needs, is not installed in ${folder}`,
          )
        if (isWanted(name, platform)) missing.add(name)
        continue
      }
      const its = await manifestOf(found)
      if (!suits(its, platform)) continue
      const seen = visible(placed, at, name)
      if (seen?.folder === found) continue
      const place = seen === undefined ? `node_modules/${name}` : `${at}/node_modules/${name}`
      placed.set(place, { folder: found, manifest: its })
      waiting.push({ at: place, folder: found, manifest: its })
    }
  }
  const files: ImageFile[] = []
  for (const [at, { folder, manifest }] of placed) {
    const keeps = manifest.name === RUNTIME ? (path: string) => keepsOfRuntime(path, platform, gpu) : keepsOfPackage
    files.push(
      ...(await filesOf(folder, `${below}/${at}`, {
        keeps: (path, isFolder) => (isFolder ? keeps(`${path}/`) : keeps(path)),
        followLinks: true,
      })),
    )
  }
  if (gpu && !files.some(({ path }) => GPU_LIBRARY.test(path)))
    throw new SlipwayError(
      'SLW_DEPENDENCY_MISSING',
      `--gpu: ${RUNTIME} is installed here without its libraries for CUDA (libonnxruntime_providers_cuda.so); install it with ONNXRUNTIME_NODE_INSTALL=cuda12 npm install ${RUNTIME}, and build again`,
    )
  return {
    files,
    packages: [...placed.values()].map(({ manifest }) => `${manifest.name}@${manifest.version}`).toSorted(),
    missing: [...missing].toSorted(),
  }
}

/** The package of that name that a module in a folder of the image would find. */
function visible<T>(placed: ReadonlyMap<string, T>, at: string, name: string): T | undefined {
  for (let from = at; ;) {
    const found = placed.get(from === '' ? `node_modules/${name}` : `${from}/node_modules/${name}`)
    if (found !== undefined || from === '') return found
    const end = from.lastIndexOf('/node_modules/')
    from = end === -1 ? '' : from.slice(0, end)
  }
}

/** As Node looks for a package: in the folders `node_modules` beside and above. */
async function resolved(name: string, from: string): Promise<string | undefined> {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name)
    if ((await stat(join(candidate, 'package.json')).catch(() => undefined)) !== undefined) return await realpath(candidate)
    if (dirname(folder) === folder) return undefined
  }
}

async function manifestOf(folder: string): Promise<PackageJson> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as PackageJson
}

function suits({ os, cpu, libc }: PackageJson, platform: Platform): boolean {
  const allows = (list: readonly string[] | undefined, value: string): boolean =>
    list === undefined || (list.includes(value) ? true : list.every((one) => one.startsWith('!')) && !list.includes(`!${value}`))
  return allows(os, 'linux') && allows(cpu, NODE_CPUS[platform.architecture] ?? platform.architecture) && allows(libc, 'glibc')
}

/** By its name, as nothing else of it is here: packages of one platform are called after it. */
function isWanted(name: string, { architecture }: Platform): boolean {
  const [, system, cpu] = /(linuxmusl|linux|darwin|win32|freebsd|android|wasm32|webcontainers)(?:-(.+))?$/.exec(name) ?? []
  return system === undefined || (system === 'linux' && (cpu === undefined || cpu === NODE_CPUS[architecture]))
}

const LICENCE = /(?:^|\/)(?:licen[cs]e|copying|notice|copyright|third[-_]?party)[^/]*$/i
/** Of TypeScript, of tools, and for readers. */
const UNUSED = /\.(?:[cm]?ts|tsx|map|md|markdown|flow|tsbuildinfo|gyp|gypi|cc|h|hpp)$/i
/** Only at the top of a package: deeper, the same names are of code that runs. */
const UNUSED_FOLDERS = /^(?:test|tests|__tests__|docs?|examples?|benchmarks?|bench|coverage|\.github|\.vscode)\//

function keepsOfPackage(path: string): boolean {
  if (path === 'node_modules/') return false
  if (LICENCE.test(path)) return true
  return !UNUSED.test(path) && !UNUSED_FOLDERS.test(path)
}

function keepsOfRuntime(path: string, { architecture }: Platform, gpu: boolean): boolean {
  if (/^(?:script|lib)\//.test(path)) return false
  const [, system, cpu] = /^bin\/napi-v\d+\/([^/]+)\/(?:([^/]+)\/)?/.exec(path) ?? []
  if (system !== undefined && (system !== 'linux' || (cpu !== undefined && cpu !== NODE_CPUS[architecture]))) return false
  if (/libonnxruntime_providers_/.test(path)) return gpu
  return keepsOfPackage(path)
}
