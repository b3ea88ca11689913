import { spawn } from 'node:child_process'
import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { createTarDecoder } from 'modern-tar'
import { cacheFolder } from '../../core/cache-folder.ts'
import { SlipwayError } from '../../core/errors.ts'
import { bytesFile, modeOf } from './files.ts'
import type { Platform } from '../oci.ts'
import type { ImageFile } from './files.ts'

/** What Node, ONNX Runtime and TLS need of a system. */
const PACKAGES = ['base-files', 'ca-certificates', 'libc6', 'libgcc-s1', 'libstdc++6', 'netbase', 'tzdata'] as const
/** The user that images run as; of distroless, which policies know. */
export const NONROOT = 65_532
const APT_MS = 300_000
/** Lists of packages of another architecture are fetched again after this time. */
const LISTS_MS = 12 * 60 * 60 * 1000
/** Folders that Debian's layout has as links into /usr (UsrMerge). */
const MERGED = ['bin', 'lib', 'lib32', 'lib64', 'libx32', 'sbin'] as const
const UNUSED =
  /^usr\/(?:share\/(?:bug|doc-base|gcc|gdb|info|lintian|locale|man|pixmaps|base-files)\/|share\/zoneinfo\/(?:posix|right)\/|sbin\/|lib\/[^/]+\/(?:gconv|audit)\/|share\/doc\/(?!.*\/copyright$))/
const CERTIFICATES = 'usr/share/ca-certificates/mozilla/'

const DATABASES: readonly ImageFile[] = [
  bytesFile(
    'etc/passwd',
    `root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:${NONROOT}:${NONROOT}:nonroot:/home/nonroot:/sbin/nologin\n`,
  ),
  bytesFile('etc/group', `root:x:0:\nnobody:x:65534:\nnonroot:x:${NONROOT}:\n`),
  bytesFile('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'),
  { path: 'home/nonroot', content: { kind: 'directory' }, mode: 0o700, owner: NONROOT },
  { path: 'tmp', content: { kind: 'directory' }, mode: 0o1777 },
]

export interface DebianBase {
  readonly files: readonly ImageFile[]
  /** Packages by name and version. */
  readonly packages: readonly string[]
}

/**
 * A base of a few packages of Debian, as the machine's own apt brings them: their files without documentation, the bundle of
 * certificates that a script of theirs would make, and for each package its record below /var/lib/dpkg/status.d, where scanners look.
 * @throws SLW_DEPENDENCY_MISSING without apt; SLW_UNREACHABLE where a package cannot be had
 */
export async function debianBase({ architecture }: Platform): Promise<DebianBase> {
  const archives = await download(architecture)
  const files = new Map<string, ImageFile>()
  const packages: string[] = []
  for (const archive of archives) {
    const control = (await told('dpkg-deb', ['--field', archive])).toString('utf8')
    const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(control)?.[1] ?? ''
    packages.push(`${field('Package')}@${field('Version')}`)
    for (const file of await filesIn(archive)) files.set(file.path, file)
    files.set(`record ${archive}`, bytesFile(`var/lib/dpkg/status.d/${field('Package')}`, control))
  }
  for (const name of MERGED)
    if ([...files.keys()].some((path) => path.startsWith(`usr/${name}/`)))
      files.set(name, { path: name, content: { kind: 'symlink', target: `usr/${name}` } })
  const certificates = [...files.values()]
    .filter(({ path }) => path.startsWith(CERTIFICATES) && path.endsWith('.crt'))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
  for (const { path } of certificates) files.delete(path)
  const bundle = Buffer.concat(certificates.flatMap(({ content }) => (content.kind === 'bytes' ? [content.bytes] : [])))
  for (const file of [...DATABASES, bytesFile('etc/ssl/certs/ca-certificates.crt', bundle)]) files.set(file.path, file)
  return { files: [...files.values()], packages: packages.toSorted() }
}

/** @returns paths of the archives, in the order of their names */
async function download(architecture: string): Promise<string[]> {
  const folder = join(cacheFolder('debian'), architecture)
  await mkdir(folder, { recursive: true })
  const own = (await told('dpkg', ['--print-architecture'])).toString('utf8').trim()
  const settings = own === architecture ? [] : await otherLists(architecture)
  const uris = (await told('apt-get', [...settings, 'download', '--print-uris', ...PACKAGES], folder)).toString('utf8')
  const names = [...uris.matchAll(/^'[^']+' (\S+) /gm)].map(([, name]) => name!)
  const there = new Set(await readdir(folder))
  if (names.some((name) => !there.has(name)) || names.length === 0)
    await told('apt-get', [...settings, '--quiet', '-o', 'APT::Sandbox::User=root', 'download', ...PACKAGES], folder)
  const versions = names.length === 0 ? await readdir(folder) : names
  return versions.toSorted().map((name) => join(folder, name))
}

/** Lists of packages of another architecture, beside those of the machine. */
async function otherLists(architecture: string): Promise<string[]> {
  const root = join(cacheFolder('debian'), `apt-${architecture}`)
  for (const name of ['lists/partial', 'archives/partial']) await mkdir(join(root, name), { recursive: true })
  const settings = [
    `APT::Architecture=${architecture}`,
    `APT::Architectures=${architecture}`,
    `Dir::State::lists=${join(root, 'lists')}`,
    `Dir::Cache::archives=${join(root, 'archives')}`,
    'Dir::State::status=/dev/null',
    'APT::Sandbox::User=root',
  ].flatMap((setting) => ['-o', setting])
  // Nobody else brings these up to date.
  const lists = join(root, 'lists')
  const [names, { mtimeMs }] = await Promise.all([readdir(lists), stat(lists)])
  if (!names.some((name) => name.includes('Packages')) || Date.now() - mtimeMs > LISTS_MS)
    await told('apt-get', [...settings, '--quiet', 'update'])
  return settings
}

async function filesIn(archive: string): Promise<ImageFile[]> {
  const tar = await told('dpkg-deb', ['--fsys-tarfile', archive])
  const entries = Readable.toWeb(Readable.from([tar])).pipeThrough(
    createTarDecoder({ strict: true }) as never,
  ) as unknown as AsyncIterable<{
    readonly header: { readonly name: string; readonly type?: string; readonly mode?: number; readonly linkname?: string }
    readonly body: ReadableStream<Uint8Array>
  }>
  const found: ImageFile[] = []
  const contents = new Map<string, ImageFile['content']>()
  for await (const { header, body } of entries) {
    const path = merged(header.name.replace(/^\.?\//, '').replace(/\/$/, ''))
    const bytes = await bytesOf(body)
    const content = contentOf(header, bytes, contents)
    if (content === undefined || (MERGED as readonly string[]).includes(path) || path === '') continue
    contents.set(path, content)
    if (!UNUSED.test(content.kind === 'directory' ? `${path}/` : path))
      found.push({ path, content, ...(content.kind === 'bytes' && { mode: modeOf(header.mode ?? 0o644) }) })
  }
  return found
}

function contentOf(
  { type = 'file', linkname = '' }: { readonly type?: string; readonly linkname?: string },
  bytes: Uint8Array,
  before: ReadonlyMap<string, ImageFile['content']>,
): ImageFile['content'] | undefined {
  if (type === 'file') return { kind: 'bytes', bytes }
  if (type === 'directory') return { kind: 'directory' }
  if (type === 'symlink') return { kind: 'symlink', target: linkname }
  return type === 'link' ? before.get(merged(linkname.replace(/^\.?\//, ''))) : undefined
}

/** A path as it is with the links of UsrMerge. */
function merged(path: string): string {
  const [first = ''] = path.split('/')
  return (MERGED as readonly string[]).includes(first) && path !== first ? `usr/${path}` : path
}

async function bytesOf(body: ReadableStream<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts)
}

/** What a program of Debian writes. */
async function told(program: string, args: readonly string[], folder?: string): Promise<Buffer> {
  const child = spawn(program, args, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: APT_MS,
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  })
  const [output, errors]: [Buffer[], Buffer[]] = [[], []]
  child.stdout.on('data', (bytes: Buffer) => output.push(bytes))
  child.stderr.on('data', (bytes: Buffer) => errors.push(bytes))
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  child.once('error', reject).once('close', resolve)
  const code = await promise.catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    throw new SlipwayError(
      'SLW_DEPENDENCY_MISSING',
      `${program} is not on this machine, and the base "debian" is assembled of its packages: name a base of your own by --base (an OCI layout, a tarball of docker save, a reference)`,
    )
  })
  if (code === 0) return Buffer.concat(output)
  const said = Buffer.concat(errors).toString('utf8').trim().slice(-1000)
  throw new SlipwayError(
    'SLW_UNREACHABLE',
    `${program} ${args.at(-1) ?? ''} could not bring what the base "debian" consists of (apt-get update may help): ${said}`,
  )
}
