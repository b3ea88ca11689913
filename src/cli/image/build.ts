import { stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { API_VERSION } from '../../contract/schema.ts'
import { cacheFolder } from '../../core/cache-folder.ts'
import { packageRoot } from '../../core/entry.ts'
import { SlipwayError } from '../../core/errors.ts'
import { openScratchFolder } from '../../core/scratch-folder.ts'
import { formatBytes, formatMs } from '../../core/units.ts'
import { buildImage, readPlatforms } from '../../images/build/build.ts'
import { writeDockerfile } from '../../images/build/dockerfile.ts'
import { copyImage } from '../../images/copy.ts'
import { createLayoutFolder } from '../../images/layout/folder.ts'
import { openLayout } from '../../images/layout/layout.ts'
import { createLayoutTarball } from '../../images/layout/write-tarball.ts'
import { digestOf } from '../../images/oci.ts'
import { parseReference, referenceText } from '../../images/registry/reference.ts'
import { openRegistry } from '../../images/registry/registry.ts'
import { withCredentials } from '../credentials.ts'
import { note, print, style, table } from '../output.ts'
import { attachAttestations } from './attest.ts'
import { FOLLOW_LINKS, imageModel } from './models.ts'
import { asksImages, namedOptions, progressNotes } from './registry-options.ts'
import { sourceDate } from './source-date.ts'
import type { Command } from 'commander'
import type { BaseChoice } from '../../images/build/base.ts'
import type { Built, BuiltImage, ImageModel } from '../../images/build/build.ts'
import type { LayoutFolder } from '../../images/layout/folder.ts'
import type { Reference } from '../../images/registry/reference.ts'
import type { Registry, RegistryOptions } from '../../images/registry/registry.ts'
import type { ContextOptions } from '../control-plane/contexts.ts'
import type { ImageRegistryOptions } from './registry-options.ts'

interface BuildCommandOptions extends ContextOptions, ImageRegistryOptions {
  readonly tag?: string
  readonly output?: string
  readonly push?: string
  readonly base: string
  readonly platform?: string
  readonly compression: string
  readonly node?: readonly string[]
  readonly gpu?: boolean
  readonly followLinks?: boolean
  readonly attest: boolean
  readonly dockerfile?: string
  readonly cache: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  withCredentials(asksImages(command, { sends: true }), 'file with an API key of the control plane; or SLIPWAY_API_KEY')
    .argument('<models...>', 'model files or folders, or versions of the control plane: MODEL@ALIAS, MODEL/NUMBER')
    .option('--tag <name:tag>', 'name of the image. Default: that of the model, and its version or "latest"')
    .option('--output <path>', 'folder in the layout of OCI, or x.tar for docker load and podman load. Default: NAME.oci')
    .option('--push <reference>', 'send it to a registry, HOST/NAME:TAG, without keeping it here')
    .option('--base <base>', '"debian", an OCI layout, a tarball of an image, or a reference', 'debian')
    .option('--no-attest', 'push without bills of materials (SPDX, CycloneDX) and provenance, which hang on the image otherwise')
    .option('--platform <list>', 'linux/amd64, linux/arm64, or both with a comma. Default: that of this machine')
    .option('--compression <gzip|zstd>', 'of layers; some older runtimes do not know zstd', 'gzip')
    .option('--node <file...>', 'the program of Node for another platform than this one')
    .option('--follow-links', FOLLOW_LINKS)
    .option('--gpu', 'keep the libraries of ONNX Runtime for CUDA; the base has to bring CUDA')
    .option('--dockerfile <folder>', 'write a Dockerfile and what it copies, for builders of others; build nothing')
    .option('--no-cache', 'compress every layer again. Default: those that an earlier build made are taken')
    .option('--url <url>', 'the control plane; default: that of the context, else http://127.0.0.1:8480')
    .option('--context <name>', 'which control plane, as `slipway context` knows them')
    .option('--environment <name>', 'which environment of it; default: its first')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway build models/churn --output churn.tar\n  slipway build churn@champion --push registry.example/churn:3\n\nThe same input makes the same bytes; SOURCE_DATE_EPOCH (seconds since 1970) is the time of every file. Default: 0.',
    )
    .action(build)
}

async function build(names: readonly string[], options: BuildCommandOptions): Promise<void> {
  const began = performance.now()
  const startedMs = Date.now()
  const { compression } = options
  if (compression !== 'gzip' && compression !== 'zstd')
    throw new SlipwayError('SLW_USAGE', `--compression ${compression}: expected gzip or zstd`)
  const pushed = options.push === undefined ? undefined : parseReference(options.push)
  if (pushed?.digest !== undefined)
    throw new SlipwayError('SLW_USAGE', `--push ${options.push}: what is built now has another digest; give a tag`)
  if (options.output !== undefined && /\.(tgz|gz|zst)$/.test(options.output))
    throw new SlipwayError(
      'SLW_USAGE',
      `--output ${options.output}: archives of images are not compressed, as their layers are; name it x.tar`,
    )
  const aside = ['push', 'output', 'gpu'].filter((name) => options[name as 'push'] !== undefined)
  if (options.dockerfile !== undefined && aside.length > 0)
    throw new SlipwayError('SLW_USAGE', `--dockerfile writes a folder for another builder, and takes no --${aside.join(', --')}`)
  const platforms = readPlatforms(options.platform ?? `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`)
  const mtime = sourceDate() ?? 0
  const known = await namedOptions(options)
  // Not below /tmp, which is memory on many machines; what an interrupted build left goes with the next one.
  await using work = await openScratchFolder(cacheFolder('builds'))
  const folder = work.path
  await using base = await openBaseChoice(options.base, known, pushed)
  const registry = pushed === undefined ? undefined : openTarget(pushed, known, base.reference)
  // A registry that does not answer, or not to us, is known before a minute of work.
  await registry?.has(digestOf(Buffer.from('{}')))
  const models: ImageModel[] = []
  for (const name of names)
    models.push(
      await imageModel(name, { folder: join(folder, 'models'), context: options, isServed: true, followLinks: options.followLinks }),
    )
  if (options.dockerfile !== undefined) {
    await writeDockerfile(options.dockerfile, { models, platform: platforms[0]!, root: packageRoot() })
    print(join(options.dockerfile, 'Dockerfile'))
    return
  }
  const { name, tag } = imageName(options.tag, models)
  const path = options.output ?? (pushed === undefined ? `${models[0]!.name}.oci` : undefined)
  const isTarball = path?.endsWith('.tar') === true
  const layout = await createLayoutFolder(path === undefined || isTarball ? join(folder, 'image') : path)
  const built = await buildImage({
    models,
    base: base.choice,
    platforms,
    compression,
    mtime,
    gpu: options.gpu === true,
    node: options.node ?? [],
    root: packageRoot(),
    cache: options.cache ? cacheFolder('layers') : undefined,
    scratch: join(folder, 'scratch'),
    sink: layout,
    tag,
  })
  if (isTarball) await writeTarball(path, { layout, built, name: `${name}:${tag}`, tag, mtime })
  if (pushed !== undefined && registry !== undefined) {
    await copyImage(layout, registry, built.descriptor, { tag: pushed.tag ?? tag })
    if (options.attest)
      await attachAttestations(registry, layout, {
        name: `${pushed.host}/${pushed.repository}`,
        built,
        models,
        parameters: {
          models: names,
          base: options.base,
          platforms: platforms.map(({ architecture }) => architecture),
          compression,
          gpu: options.gpu === true,
        },
        startedMs,
      })
  }
  const places = [
    ...(path === undefined ? [] : [isTarball ? path : `${path}:${tag}`]),
    ...(pushed === undefined ? [] : [referenceText({ ...pushed, tag: pushed.tag ?? tag })]),
  ]
  report({ built, places, ms: performance.now() - began, options })
}

interface Tarball {
  readonly layout: LayoutFolder
  readonly built: Built
  readonly name: string
  readonly tag: string
  readonly mtime: number
}

async function writeTarball(path: string, { layout, built, name, tag, mtime }: Tarball): Promise<void> {
  await using sink = await createLayoutTarball(path, { names: [name], mtime })
  // One after the other, so that their order in the archive is the same each time.
  await copyImage(layout, sink, built.descriptor, { tag, concurrency: 1 })
  await sink.finish()
}

/** Layers of a base that lies there need not be sent. */
function openTarget(pushed: Reference, known: RegistryOptions, base: Reference | undefined): Registry {
  const mountFrom = base !== undefined && base.host === pushed.host ? [base.repository] : []
  return openRegistry(pushed, { ...known, onProgress: progressNotes('sent'), mountFrom })
}

interface OpenBase extends AsyncDisposable {
  readonly choice: BaseChoice
  /** Where it lies in a registry. */
  readonly reference?: Reference
}

/**
 * `debian`, a path, a path with the tag of an image, or a reference.
 * @param known of the registry that the options are for
 * @param pushed where the image goes
 */
async function openBaseChoice(name: string, known: RegistryOptions, pushed: Reference | undefined): Promise<OpenBase> {
  if (name === 'debian') return { choice: 'debian', [Symbol.asyncDispose]: () => Promise.resolve() }
  const isThere = (path: string): Promise<boolean> =>
    stat(path).then(
      () => true,
      () => false,
    )
  const [, path, tag] = (await isThere(name)) ? [undefined, name] : (/^(.+):([^:/]+)$/.exec(name) ?? [])
  if (path !== undefined && (await isThere(path))) {
    const source = await openLayout(path)
    // Images name nobody's folders, and are the same bytes wherever their base lies.
    return {
      choice: { name: `${basename(resolve(path))}${tag === undefined ? '' : `:${tag}`}`, source, tag },
      [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
    }
  }
  if (/^[./]/.test(name)) throw new SlipwayError('SLW_PATH_NOT_FOUND', `--base ${name}: no such file or folder`)
  const reference = parseReference(name)
  // Credentials and --plain-http of options are for the registry that is pushed to; another has those that Docker, Podman or AWS know.
  const isSame = pushed === undefined || pushed.host === reference.host
  const registry = openRegistry(reference, isSame ? known : {})
  const source = { ...registry, resolve: async (at?: string) => (await registry.resolve(at)).descriptor }
  return { choice: { name, source }, reference, [Symbol.asyncDispose]: () => Promise.resolve() }
}

/** @throws SLW_USAGE */
function imageName(given: string | undefined, models: readonly ImageModel[]): { readonly name: string; readonly tag: string } {
  const [first] = models
  const [, name, tag] = /^([a-z0-9][a-z0-9._/-]*)(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?$/.exec(given ?? first!.name.toLowerCase()) ?? []
  if (name === undefined)
    throw new SlipwayError('SLW_USAGE', `--tag ${given ?? first!.name}: expected NAME or NAME:TAG, in small letters, such as churn:3`)
  return { name, tag: tag ?? (models.length === 1 && first?.version !== undefined ? String(first.version) : 'latest') }
}

interface Report {
  readonly built: Built
  readonly places: readonly string[]
  readonly ms: number
  readonly options: BuildCommandOptions
}

const sizeOf = ({ layers }: BuiltImage): number => layers.reduce((sum, { size }) => sum + size, 0)

function report({ built, places, ms, options }: Report): void {
  const { descriptor, images } = built
  for (const { platform, missing } of images)
    if (missing.length > 0) note(`linux/${platform.architecture}: not installed on this machine, and left out: ${missing.join(', ')}`)
  if (options.gpu === true) note('the libraries for CUDA are in it; this release of slipway serve runs models on the CPU only')
  if (options.json === true) {
    print(
      JSON.stringify(
        {
          apiVersion: API_VERSION,
          kind: 'BuiltImage',
          digest: descriptor.digest,
          mediaType: descriptor.mediaType,
          places,
          images: images.map((image) => ({
            platform: image.platform,
            digest: image.manifest.digest,
            size: sizeOf(image),
            layers: image.layers,
            missing: image.missing,
          })),
          ms: Math.round(ms),
        },
        undefined,
        2,
      ),
    )
    return
  }
  for (const image of images) {
    const { layers, platform } = image
    if (images.length > 1) print(style('bold', `linux/${platform.architecture}`))
    const rows = layers.map(({ name, what, size, unpacked, digest }) => [
      name,
      formatBytes(size),
      unpacked === undefined ? '' : formatBytes(unpacked),
      digest.slice(7, 19),
      what,
    ])
    print(table([...rows, ['total', formatBytes(sizeOf(image)), '', '', '']], ['layer', 'compressed', 'unpacked', 'digest', 'what']))
  }
  print(`${descriptor.digest} in ${formatMs(ms)}`)
  for (const place of places) print(place)
}
