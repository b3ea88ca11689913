import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { SlipwayError } from '../../core/errors.ts'
import { digestOf } from '../oci.ts'
import { writeBytes } from '../registry/referrers.ts'
import type { BlobSink, Descriptor, Digest } from '../oci.ts'

/** A file of a model: its path in the package, with `/`, where it lies, and its bytes. */
export interface ModelFilePlace {
  readonly path: string
  readonly file: string
  readonly size: number
}

/** What becomes an artifact or an image. */
export interface ModelContents {
  /** Name of the model: a folder of the image. */
  readonly name: string
  readonly version?: string | undefined
  /** By the name of the format, such as `onnx`. */
  readonly format?: string | undefined
  readonly files: readonly ModelFilePlace[]
}

/** As registries take manifests of 4 MiB, in which each file of an artifact has a line. */
const FILES_MAX = 5000

/** Files in the order of their bytes, so that the same model makes the same bytes. @throws SLW_LIMIT_EXCEEDED, SLW_INPUT_INVALID */
export function inOrder({ name, files }: ModelContents): readonly ModelFilePlace[] {
  if (files.length === 0 || files.length > FILES_MAX)
    throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${name} has ${files.length} files; expected 1 to ${FILES_MAX}`)
  return files.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)))
}

/** SHA-256 of a file. */
export async function digestOfFile(file: string): Promise<Digest> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return `sha256:${hash.digest('hex')}`
}

/** Writes a document as a blob. */
export async function writeDocument(sink: BlobSink, mediaType: string, document: unknown): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(document))
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
  await writeBytes(sink, descriptor, bytes)
  return descriptor
}
