import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { openScratchFolder } from '../../core/scratch-folder.ts'
import { digestOf, MEDIA_TYPES } from '../oci.ts'
import { openBase } from './base.ts'
import { NODE_CPUS, productionDependencies } from './dependencies.ts'
import { keptLayers } from './kept-layers.ts'
import { writeLayer } from './layer.ts'
import { nodeFiles } from './node.ts'
import { imageSettings, MODELS_FOLDER, SLIPWAY_FOLDER } from './settings.ts'
import { slipwayFiles } from './slipway.ts'
import type { BlobSink, Descriptor, Digest, ImageConfig, Index, Manifest, Platform } from '../oci.ts'
import type { Base, BaseChoice } from './base.ts'
import type { ImageFile } from './files.ts'
import type { Compression, Layer } from './layer.ts'

/** A model of an image. */
export interface ImageModel {
  readonly name: string
  /** Number in the registry that it comes from; undefined: it comes from a path. */
  readonly version?: number
  /** Of its files, as the registry has it. */
  readonly digest: string
  readonly files: readonly { readonly path: string; readonly file: string; readonly size: number }[]
}

export interface BuildOptions {
  /** At least one; of different names. */
  readonly models: readonly ImageModel[]
  readonly base: BaseChoice
  /** More than one: an index of images. */
  readonly platforms: readonly Platform[]
  readonly compression: Compression
  /** Seconds since 1970 that everything is of. */
  readonly mtime: number
  readonly gpu: boolean
  /** Programs of Node for other platforms than this one. */
  readonly node: readonly string[]
  /** Folder of Slipway's package.json. */
  readonly root: string
  /** Folder in which compressed layers are kept for later builds. Undefined: none are kept. */
  readonly cache: string | undefined
  /** Folder of temporary files. */
  readonly scratch: string
  readonly sink: BlobSink
  readonly tag?: string | undefined
}

/** What a layer is, and how large. */
export interface BuiltLayer {
  readonly name: 'base' | 'node' | 'dependencies' | 'slipway' | 'model'
  readonly what: string
  readonly mediaType: string
  readonly digest: Digest
  readonly diffId: Digest
  /** Bytes as they are sent. */
  readonly size: number
  /** Bytes before they were compressed; undefined for layers of a base, which were not read. */
  readonly unpacked: number | undefined
}

export interface BuiltImage {
  readonly platform: Platform
  readonly manifest: Descriptor
  /** The manifest that it stands on; undefined where the base is assembled. */
  readonly base: { readonly name: string; readonly digest: Digest } | undefined
  readonly layers: readonly BuiltLayer[]
  /** Optional packages that its platform would have, and that are not installed on this machine. */
  readonly missing: readonly string[]
}

export interface Built {
  /** Of the manifest, or of the index where there are several platforms. */
  readonly descriptor: Descriptor
  readonly images: readonly BuiltImage[]
}

/** zlib's own default; models hardly shrink, and are read by every start of a node. */
const LEVEL = { gzip: 6, zstd: 10 } as const
const MODEL_LEVEL = 1

/**
 * Builds an image, and writes it: base, Node, dependencies, Slipway, model, from what changes least to what changes most.
 * @throws SLW_USAGE, SLW_DEPENDENCY_MISSING, SLW_NOT_FOUND
 */
export async function buildImage(options: BuildOptions): Promise<Built> {
  const { models, platforms, gpu, base, scratch, sink, tag, root, mtime, compression } = options
  refuseTwice(models.map(({ name }) => name))
  if (gpu && base === 'debian')
    throw new SlipwayError(
      'SLW_USAGE',
      '--gpu needs the libraries of CUDA and cuDNN, which Debian does not have: name an image that has them by --base',
    )
  await using folder = await openScratchFolder(scratch)
  const kept = options.cache === undefined ? undefined : keptLayers(options.cache)
  const layerOf = (files: readonly ImageFile[], level: number = LEVEL[compression]): Promise<Layer> =>
    writeLayer(files, sink, { compression, level, mtime, scratch: folder.path, kept })
  // These two are of no platform.
  const [slipway, model] = await Promise.all([layerOf(await slipwayFiles(root, SLIPWAY_FOLDER)), layerOf(modelFiles(models), MODEL_LEVEL)])
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  const described: Described = { ...options, version, layerOf, shared: { slipway, model } }
  const images: BuiltImage[] = []
  const isAlone = platforms.length === 1
  for (const platform of platforms) {
    const { image, bytes } = await imageFor(platform, described)
    await sink.writeManifest(image.manifest, bytes, isAlone ? tag : undefined)
    images.push(image)
  }
  const [only] = images
  if (isAlone && only !== undefined) return { descriptor: only.manifest, images }
  const index: Index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.index,
    manifests: images.map(({ manifest }) => manifest),
    annotations: labelsOf(described, undefined),
  }
  const bytes = Buffer.from(JSON.stringify(index))
  const descriptor: Descriptor = { mediaType: MEDIA_TYPES.index, digest: digestOf(bytes), size: bytes.length }
  await sink.writeManifest(descriptor, bytes, tag)
  return { descriptor, images }
}

interface Described extends BuildOptions {
  /** Of Slipway. */
  readonly version: string
  readonly layerOf: (files: readonly ImageFile[]) => Promise<Layer>
  /** Layers that are the same on every platform. */
  readonly shared: { readonly slipway: Layer; readonly model: Layer }
}

async function imageFor(platform: Platform, described: Described): Promise<{ readonly image: BuiltImage; readonly bytes: Buffer }> {
  const { models, gpu, node, root, mtime, sink, version, layerOf, shared } = described
  const base = await openBase(described.base, platform)
  const { files, packages, missing } = await productionDependencies(root, SLIPWAY_FOLDER, { platform, gpu })
  const named = async (name: BuiltLayer['name'], what: string, layer: Layer | Promise<Layer>): Promise<BuiltLayer> => {
    const { descriptor, diffId, size } = await layer
    return { name, what, mediaType: descriptor.mediaType, digest: descriptor.digest, diffId, size: descriptor.size, unpacked: size }
  }
  const nodeProgram = await nodeFiles(platform, root, node)
  const [below, ...own] = await Promise.all([
    base.source === undefined ? named('base', base.name, layerOf(base.files)) : undefined,
    named('node', 'the program of Node', layerOf(nodeProgram)),
    named('dependencies', `${packages.length} packages`, layerOf(files)),
    named('slipway', `Slipway ${version}`, shared.slipway),
    named('model', models.map(titleOf).join(', '), shared.model),
  ])
  const inherited = base.layers.map(({ descriptor, diffId }) => ({
    name: 'base' as const,
    what: base.name,
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    diffId,
    size: descriptor.size,
    unpacked: undefined,
  }))
  await copyLayers(base, sink)
  const layers = [...inherited, ...(below === undefined ? [] : [below]), ...own]
  const labels = labelsOf(described, base)
  const created = new Date(mtime * 1000).toISOString().replace('.000Z', 'Z')
  const config: ImageConfig = {
    created,
    ...platform,
    config: imageSettings({
      base,
      modelPath: modelPath(models),
      labels,
      environment: gpu ? ['NVIDIA_VISIBLE_DEVICES=all', 'NVIDIA_DRIVER_CAPABILITIES=compute,utility'] : [],
    }),
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: [...base.history, ...own.map(({ name, what }) => ({ created, created_by: `slipway build: ${name}, ${what}` }))],
  }
  const place = await writeJson(sink, config, MEDIA_TYPES.config)
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: place,
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
    annotations: labels,
  }
  const bytes = Buffer.from(JSON.stringify(manifest))
  const descriptor: Descriptor = { mediaType: MEDIA_TYPES.manifest, digest: digestOf(bytes), size: bytes.length, platform }
  const standsOn = base.digest === undefined ? undefined : { name: base.name, digest: base.digest }
  return { image: { platform, manifest: descriptor, base: standsOn, layers, missing }, bytes }
}

/** Layers of a base are taken as they are. */
async function copyLayers({ layers, source }: Base, sink: BlobSink): Promise<void> {
  for (const { descriptor } of layers)
    if (source !== undefined && !(await sink.has(descriptor.digest))) await sink.write(descriptor, () => source.open(descriptor))
}

async function writeJson(sink: BlobSink, value: unknown, mediaType: string): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(value))
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
  await sink.write(descriptor, async function* () {
    yield await Promise.resolve(bytes)
  })
  return descriptor
}

/**
 * Labels, which are annotations of the manifest as well: those of OCI (image-spec 1.1.1, "Pre-Defined Annotation Keys"), and which models
 * are in it. They name nobody's machine.
 */
function labelsOf({ models, mtime, version }: Described, base: Base | undefined): Readonly<Record<string, string>> {
  const digests = base?.digest
  return {
    'org.opencontainers.image.created': new Date(mtime * 1000).toISOString().replace('.000Z', 'Z'),
    'org.opencontainers.image.title': models.map(({ name }) => name).join(', '),
    'org.opencontainers.image.description': `Slipway ${version} with ${models.map(titleOf).join(', ')}`,
    ...(models.length === 1 && models[0]!.version !== undefined && { 'org.opencontainers.image.version': String(models[0]!.version) }),
    ...(base !== undefined && { 'org.opencontainers.image.base.name': base.name }),
    ...(digests !== undefined && { 'org.opencontainers.image.base.digest': digests }),
    'dev.slipway.version': version,
    'dev.slipway.model.name': models.map(({ name }) => name).join(','),
    'dev.slipway.model.version': models.map((model) => model.version ?? '').join(','),
    'dev.slipway.model.digest': models.map(({ digest }) => digest).join(','),
  }
}

const titleOf = ({ name, version }: ImageModel): string => (version === undefined ? name : `${name}/${version}`)

/** A version lies in a folder of its number, so that the server answers with it. */
export function modelFiles(models: readonly ImageModel[]): ImageFile[] {
  return models.flatMap(({ name, version, files }) =>
    files.map(({ path, file, size }) => ({
      path: [MODELS_FOLDER, name, ...(version === undefined ? [] : [String(version)]), path].join('/'),
      content: { kind: 'file' as const, file, size },
    })),
  )
}

export function modelPath(models: readonly ImageModel[]): string {
  return models.length === 1 ? `${MODELS_FOLDER}/${models[0]!.name}` : MODELS_FOLDER
}

function refuseTwice(names: readonly string[]): void {
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice !== undefined) throw new SlipwayError('SLW_USAGE', `two models are called ${twice}; an image has each once`)
}

/** Platforms from a list such as `linux/amd64,linux/arm64`. @throws SLW_USAGE */
export function readPlatforms(text: string): Platform[] {
  const found = text.split(',').map((one): Platform => {
    const [, architecture] = /^linux\/(amd64|arm64)(?:\/v8)?$/.exec(one.trim()) ?? []
    if (architecture === undefined)
      throw new SlipwayError(
        'SLW_USAGE',
        `--platform ${one}: expected ${Object.keys(NODE_CPUS)
          .map((name) => `linux/${name}`)
          .join(' or ')}, or both with a comma`,
      )
    return { os: 'linux', architecture, ...(architecture === 'arm64' && { variant: 'v8' }) }
  })
  if (new Set(found.map(({ architecture }) => architecture)).size !== found.length)
    throw new SlipwayError('SLW_USAGE', `--platform ${text} names a platform twice`)
  return found
}
