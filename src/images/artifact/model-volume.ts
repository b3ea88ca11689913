import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { SlipwayError } from '../../core/errors.ts'
import { MEDIA_TYPES } from '../oci.ts'
import { writeManifest } from '../registry/referrers.ts'
import { END_OF_TAR, padding, tarHeader } from '../tar/header.ts'
import { inOrder, writeDocument } from './model-files.ts'
import type { BlobSink, Descriptor, ImageConfig } from '../oci.ts'
import type { ModelContents } from './model-files.ts'

/**
 * Writes a model as a plain image with nothing else in it: one layer, /models/NAME/..., which Kubernetes mounts as a volume (`image:`) and
 * KServe takes as `oci://`. The layer is not compressed, as weights hardly are smaller then; without times, so that the same model is the
 * same image.
 * @returns its manifest
 */
export async function writeModelVolume(sink: BlobSink, model: ModelContents, tag?: string): Promise<Descriptor> {
  const hash = createHash('sha256')
  let size = 0
  for await (const part of archiveOf(model)) {
    hash.update(part)
    size += part.length
  }
  const layer: Descriptor = { mediaType: MEDIA_TYPES.layer, digest: `sha256:${hash.digest('hex')}`, size }
  await sink.write(layer, () => archiveOf(model))
  const config: ImageConfig = {
    // Files are the same on every machine; a platform must be named, and this is what nodes ask for.
    architecture: 'amd64',
    os: 'linux',
    config: {
      Labels: {
        'org.opencontainers.image.title': model.name,
        ...(model.version !== undefined && { 'org.opencontainers.image.version': model.version }),
      },
    },
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
    history: [{ created_by: 'slipway image model', comment: `/models/${model.name}` }],
  }
  const described = await writeDocument(sink, MEDIA_TYPES.config, config)
  return await writeManifest(sink, { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: described, layers: [layer] }, tag)
}

async function* archiveOf(model: ModelContents): AsyncGenerator<Uint8Array> {
  const root = `models/${model.name}`
  const files = inOrder(model)
  const folders = new Set(['models/', `${root}/`])
  for (const { path } of files)
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) folders.add(`${root}/${path.slice(0, at)}/`)
  for (const path of [...folders].toSorted()) yield tarHeader({ path, type: 'directory', mtime: 0 })
  for (const { path, file, size } of files) {
    yield tarHeader({ path: `${root}/${path}`, type: 'file', size, mtime: 0 })
    let count = 0
    for await (const bytes of createReadStream(file, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>) {
      count += bytes.length
      yield bytes
    }
    if (count !== size) throw new SlipwayError('SLW_CONFLICT', `${file} was changed while it was read: ${count} bytes instead of ${size}`)
    yield padding(size)
  }
  yield END_OF_TAR
}
