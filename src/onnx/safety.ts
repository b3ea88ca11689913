import { lstat, realpath, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../core/errors.ts'
import { DATATYPES, datatypeOfOnnx } from '../tensor/datatype.ts'
import { tensors } from './model.ts'
import type { ModelProto, TensorProto } from './model.ts'

const EXTERNAL = 1

/** A file beside the model with values of tensors. */
export interface ExternalFile {
  /** As the model names it, relative to its folder. */
  readonly location: string
  /** The file itself, links followed. */
  readonly path: string
}

/** A part of such a file that holds the values of one tensor. */
export interface ExternalData extends ExternalFile {
  readonly tensor: string
  /** The tensor itself, as names are unique in their graph only. */
  readonly proto: TensorProto
  readonly offset: number
  readonly length: number | undefined
}

/**
 * Refuses a model that reaches outside its folder or claims sizes that its data cannot have. External data must be a plain file below the
 * folder of the model: no absolute path, no "..", no symbolic or hard link. Except in a cache of links, where the model itself is a link:
 * there external data may be a link to a file that lies in the same folder as the file of the model.
 * @returns the tensors in external files
 * @throws SLW_MODEL_UNSAFE
 */
export async function checkSafety(model: ModelProto, path: string): Promise<ExternalData[]> {
  const named: Omit<ExternalData, 'path'>[] = []
  for (const tensor of tensors(model)) {
    checkSize(tensor, path)
    if ((tensor.dataLocation as number) === EXTERNAL) named.push(externalOf(tensor, path))
  }
  const files = new Map<string, { readonly path: string; readonly size: number }>()
  const external: ExternalData[] = []
  for (const part of named) {
    let file = files.get(part.location)
    if (file === undefined) {
      file = await plainFile(part, path)
      files.set(part.location, file)
    }
    const { size } = file
    external.push({ ...part, path: file.path })
    if (part.offset + (part.length ?? 0) > size) {
      throw unsafe(
        path,
        part.tensor,
        `bytes ${part.offset} to ${part.offset + (part.length ?? 0)} lie beyond the end of "${part.location}" (${size} bytes)`,
      )
    }
  }
  return external
}

function unsafe(path: string, tensor: string, what: string): SlipwayError {
  return new SlipwayError('SLW_MODEL_UNSAFE', `${path}: tensor "${tensor}": ${what}`)
}

function checkSize(tensor: TensorProto, path: string): void {
  let count = 1
  for (const dim of tensor.dims) {
    if (dim < 0n) throw unsafe(path, tensor.name, `dimension ${dim} is negative`)
    count *= Number(dim)
  }
  const datatype = datatypeOfOnnx(tensor.dataType)
  if (datatype === undefined || datatype === 'BYTES') return
  const expected = count * DATATYPES[datatype].bytes
  if (expected > Number.MAX_SAFE_INTEGER) throw unsafe(path, tensor.name, `shape [${tensor.dims.join(', ')}] is absurd`)
  if (tensor.rawData !== undefined && tensor.rawData.length > 0 && tensor.rawData.length !== expected) {
    throw unsafe(
      path,
      tensor.name,
      `${datatype} [${tensor.dims.join(', ')}] takes ${expected} bytes, the file holds ${tensor.rawData.length}`,
    )
  }
}

function externalOf(tensor: TensorProto, path: string): Omit<ExternalData, 'path'> {
  const entries = new Map(tensor.externalData.map((entry) => [entry.key, entry.value]))
  const location = entries.get('location') ?? ''
  const parts = location.split('/')
  if (
    location === '' ||
    location.startsWith('/') ||
    location.includes('\\') ||
    location.includes('\0') ||
    /^[A-Za-z]:/.test(location) ||
    parts.includes('..')
  ) {
    throw unsafe(path, tensor.name, `external data at ${JSON.stringify(location)} is outside the folder of the model`)
  }
  const offset = Number(entries.get('offset') ?? 0)
  const length = entries.has('length') ? Number(entries.get('length')) : undefined
  if (!Number.isSafeInteger(offset) || offset < 0 || (length !== undefined && (!Number.isSafeInteger(length) || length < 0))) {
    throw unsafe(path, tensor.name, 'offset or length of its external data is not a size')
  }
  return { tensor: tensor.name, proto: tensor, location, offset, length }
}

type Named = Pick<ExternalData, 'tensor' | 'location'>

async function plainFile(part: Named, path: string): Promise<{ readonly path: string; readonly size: number }> {
  let at = dirname(path)
  const steps = part.location.split('/').filter((step) => step !== '' && step !== '.')
  for (const [index, step] of steps.entries()) {
    at = join(at, step)
    const found = await lstat(at).catch(() => undefined)
    if (found === undefined)
      throw new SlipwayError(
        'SLW_MODEL_INVALID',
        `${path}: tensor "${part.tensor}" needs the file "${part.location}", which is not beside the model`,
      )
    const isLast = index === steps.length - 1
    if (found.isSymbolicLink()) {
      if (isLast) return await linkedFile(at, part, path)
      throw unsafe(path, part.tensor, `external data "${part.location}" goes through a symbolic link`)
    }
    if (!isLast) continue
    if (!found.isFile()) throw unsafe(path, part.tensor, `external data "${part.location}" is not a plain file`)
    if (found.nlink > 1) throw unsafe(path, part.tensor, `external data "${part.location}" is a hard link; copy the file`)
    return { path: at, size: found.size }
  }
  throw unsafe(path, part.tensor, 'external data names no file')
}

/** Caches of model hubs link every file of a model to one folder of blobs: a link that leads elsewhere is refused. */
async function linkedFile(link: string, part: Named, path: string): Promise<{ readonly path: string; readonly size: number }> {
  const [target, model] = [await realpath(link).catch(() => undefined), await realpath(path)]
  if (target === undefined) throw unsafe(path, part.tensor, `external data "${part.location}" goes through a symbolic link to nothing`)
  if (model === path || dirname(target) !== dirname(model))
    throw unsafe(path, part.tensor, `external data "${part.location}" goes through a symbolic link out of the folder of the model`)
  const found = await stat(target)
  if (!found.isFile()) throw unsafe(path, part.tensor, `external data "${part.location}" is not a plain file`)
  return { path: target, size: found.size }
}
