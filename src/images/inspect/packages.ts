import { eachFile } from './tree.ts'
import type { FoundImage } from './find-image.ts'
import type { ReadImage, ReadOptions } from './read-image.ts'

export interface NpmPackage {
  readonly name: string
  readonly version: string
  /** An SPDX expression, or whatever its package.json says. */
  readonly licence: string | undefined
  /** Of its package.json in the image. */
  readonly path: string
  /** SHA-256 of that file, in hex. */
  readonly sha256: string | undefined
}

export interface DebianPackage {
  readonly name: string
  readonly version: string
  readonly architecture: string
  /** What it was built from, by which advisories know it. */
  readonly source: string
  readonly sourceVersion: string
  readonly path: string
}

/** A model that Slipway serves from the image. */
export interface ModelInImage {
  readonly name: string
  readonly version: string | undefined
  /** As the registry of models has it. */
  readonly digest: string | undefined
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[]
}

/** Everything in an image that has a name and a version. Each list is sorted. */
export interface Packages {
  readonly npm: readonly NpmPackage[]
  readonly debian: readonly DebianPackage[]
  /** What its os-release calls it: `debian`, `ubuntu`, `alpine`. */
  readonly system: string | undefined
  /** Number of the release of Debian: `13`. */
  readonly debianRelease: string | undefined
  /** Version of Node, as its program says, and where that lies. */
  readonly node: readonly { readonly version: string; readonly path: string; readonly sha256: string | undefined }[]
  readonly models: readonly ModelInImage[]
}

const INSTALLED = /(?:^|\/)node_modules\/(?:@[^/]+\/)?[^/@][^/]*\/package\.json$/
const OWN = /^(?!.*(?:^|\/)node_modules\/).*(?:^|\/)package\.json$/
const DPKG_STATUS = /^var\/lib\/dpkg\/status$/
/** Of images that have no dpkg: a record for each package. */
const DPKG_RECORD = /^var\/lib\/dpkg\/status\.d\/[^/]+$/
const OS_RELEASE = /^(?:usr\/lib|etc)\/os-release$/
const NODE_PROGRAM = /(?:^|\/)bin\/node(?:js)?$/
/** Where its program says that it comes from (process.release.sourceUrl). */
const NODE_VERSION = /\/release\/v(\d+\.\d+\.\d+[\w.-]*?)\/node-v\1\.tar\.gz/
/** Bytes of the end of a part that may begin what ends in the next. */
const OVERLAP = 256

/** What has to be read so that `packagesOf` finds it. */
export function packageReading(): {
  readonly options: Pick<ReadOptions, 'wants' | 'watches'>
  readonly nodeVersions: ReadonlyMap<string, string>
} {
  const nodeVersions = new Map<string, string>()
  return {
    nodeVersions,
    options: {
      wants: (path) => [INSTALLED, OWN, DPKG_STATUS, DPKG_RECORD, OS_RELEASE].some((form) => form.test(path)),
      watches: (path) => (NODE_PROGRAM.test(path) ? watchNode((version) => nodeVersions.set(path, version)) : undefined),
    },
  }
}

function watchNode(found: (version: string) => void): (part: Uint8Array) => void {
  let rest = ''
  return (part) => {
    const text = rest + Buffer.from(part).toString('latin1')
    const [, version] = NODE_VERSION.exec(text) ?? []
    if (version !== undefined) found(version)
    rest = text.slice(-OVERLAP)
  }
}

/** @param nodeVersions of `packageReading`, which read the image */
export function packagesOf({ image, tree, kept }: ReadImage, nodeVersions: ReadonlyMap<string, string>): Packages {
  const npm: NpmPackage[] = []
  const debian: DebianPackage[] = []
  const node: { version: string; path: string; sha256: string | undefined }[] = []
  let debianRelease: string | undefined
  let system: string | undefined
  const models = modelsOf(image)
  const files: { path: string; bytes: number; sha256: string }[] = []
  const modelFolder = (image.config.config?.Env ?? [])
    .find((pair) => pair.startsWith('MODEL_PATH='))
    ?.slice('MODEL_PATH='.length)
    .replace(/^\/+/, '')
  eachFile(tree.root, (path, { type, size, sha256, path: own }) => {
    if (type !== 'file') return
    const bytes = kept.get(path)
    if (bytes !== undefined && path.endsWith('package.json')) {
      const found = npmPackage(bytes, path, sha256)
      if (found !== undefined) npm.push(found)
    } else if (bytes !== undefined && OS_RELEASE.test(path)) {
      system ??= fieldOf(bytes, 'ID')
      debianRelease ??= releaseOf(bytes)
    } else if (bytes !== undefined && !path.endsWith('.md5sums')) debian.push(...debianPackages(bytes, path))
    const version = NODE_PROGRAM.test(path) ? nodeVersions.get(own) : undefined
    if (version !== undefined) node.push({ version, path, sha256 })
    if (
      modelFolder !== undefined &&
      modelFolder !== '' &&
      sha256 !== undefined &&
      (path === modelFolder || path.startsWith(`${modelFolder}/`))
    )
      files.push({ path, bytes: size, sha256 })
  })
  const named =
    models.length === 0 && files.length > 0
      ? [{ name: modelFolder?.split('/').at(-1) ?? 'model', version: undefined, digest: undefined }]
      : models
  return {
    npm: npm.toSorted((a, b) => by(a.name, b.name) || by(a.version, b.version) || by(a.path, b.path)),
    debian: debian.toSorted((a, b) => by(a.name, b.name) || by(a.version, b.version)),
    system,
    debianRelease,
    node,
    models: named.map((model) => ({
      ...model,
      files: named.length === 1 ? files : files.filter(({ path }) => path.split('/').includes(model.name)),
    })),
  }
}

const by = (a: string, b: string): number => (a < b ? -1 : a === b ? 0 : 1)

function npmPackage(bytes: Buffer, path: string, sha256: string | undefined): NpmPackage | undefined {
  let value: { name?: unknown; version?: unknown; license?: unknown; licenses?: unknown } | null
  try {
    value = JSON.parse(bytes.toString('utf8')) as typeof value
  } catch {
    // A package.json of tests, say, which Node would not read either.
    return undefined
  }
  const { name, version, license, licenses } = value ?? {}
  if (typeof name !== 'string' || typeof version !== 'string' || name === '' || version === '') return undefined
  const old = (Array.isArray(licenses) ? (licenses[0] as unknown) : license) as { type?: unknown } | string | null | undefined
  const licence = typeof old === 'string' ? old : typeof old?.type === 'string' ? old.type : undefined
  return { name, version, licence, path, sha256 }
}

/** Paragraphs of fields, as deb-control(5) has them; of those that dpkg keeps only what is installed. */
function debianPackages(bytes: Buffer, path: string): DebianPackage[] {
  return bytes
    .toString('utf8')
    .split(/\n\s*\n/)
    .flatMap((paragraph) => {
      const field = (name: string): string | undefined => new RegExp(`^${name}: *(.+)$`, 'm').exec(paragraph)?.[1]?.trim()
      const [name, version, status] = [field('Package'), field('Version'), field('Status')]
      if (name === undefined || version === undefined || (status !== undefined && !/ (?:installed|hold)$/.test(status))) return []
      const [, source = name, sourceVersion = version] = /^(\S+)(?: \((\S+)\))?$/.exec(field('Source') ?? name) ?? []
      return [{ name, version, architecture: field('Architecture') ?? 'all', source, sourceVersion, path }]
    })
}

/** Number of the release of Debian; undefined for other systems. */
function releaseOf(bytes: Buffer): string | undefined {
  return fieldOf(bytes, 'ID') === 'debian' ? fieldOf(bytes, 'VERSION_ID') : undefined
}

function fieldOf(bytes: Buffer, name: string): string | undefined {
  return new RegExp(`^${name}=["']?([^"'\n]*)["']?$`, 'm').exec(bytes.toString('utf8'))?.[1]
}

/** What the labels of `slipway build` say. */
function modelsOf({
  config,
}: FoundImage): { readonly name: string; readonly version: string | undefined; readonly digest: string | undefined }[] {
  const list = (label: string): string[] => (config.config?.Labels?.[`dev.slipway.model.${label}`] ?? '').split(',')
  const [names, versions, digests] = [list('name'), list('version'), list('digest')]
  return names.flatMap((name, at) => (name === '' ? [] : [{ name, version: versions[at] || undefined, digest: digests[at] || undefined }]))
}
