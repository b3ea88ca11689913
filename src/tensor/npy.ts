/** Arrays in the format of NumPy's `save` (numpy/lib/_format_impl.py, versions 1 to 3), for the datatypes that tensors have. */
import { SlipwayError } from '../core/errors.ts'
import { allocate, elementCount } from './tensor.ts'
import type { Datatype, TypedTensorData } from './datatype.ts'
import type { Tensor } from './tensor.ts'

const MAGIC = Buffer.from('\u0093NUMPY', 'latin1')
/** Longest header that is read: one of an array of plain numbers has about a hundred bytes. */
const HEADER_BYTES_MAX = 64 * 1024
const DIMENSIONS_MAX = 32
const HEADER_ALIGNMENT = 64

const TYPES: Readonly<Record<string, Datatype>> = {
  b1: 'BOOL',
  i1: 'INT8',
  i2: 'INT16',
  i4: 'INT32',
  i8: 'INT64',
  u1: 'UINT8',
  u2: 'UINT16',
  u4: 'UINT32',
  u8: 'UINT64',
  f2: 'FP16',
  f4: 'FP32',
  f8: 'FP64',
}
const DESCRIPTORS = new Map(Object.entries(TYPES).map(([descriptor, datatype]) => [datatype, descriptor]))

function invalid(message: string): SlipwayError {
  return new SlipwayError('SLW_BAD_REQUEST', `NPY: ${message}`)
}

/**
 * Reads one array of numbers or truth values, in C order, of either byte order.
 * @param elementsMax elements that it may have
 * @throws SLW_BAD_REQUEST, SLW_LIMIT_EXCEEDED
 */
export function readNpy(bytes: Buffer, name: string, elementsMax: number): Tensor {
  const { header, end } = headerOf(bytes)
  const { descriptor, shape } = describe(header)
  const [, order = '', kind = ''] = /^([<>|=])([a-z]\d+)$/i.exec(descriptor) ?? []
  const datatype = TYPES[kind]
  if (datatype === undefined) throw invalid(`an array of ${JSON.stringify(descriptor)} is not read; numbers and truth values are`)
  const count = elementCount(shape)
  if (count > elementsMax)
    throw new SlipwayError('SLW_LIMIT_EXCEEDED', `NPY: the array has ${count} elements, limits.elements is ${elementsMax}`)
  const size = Number(kind.slice(1))
  const found = bytes.length - end
  if (found !== count * size)
    throw invalid(`shape (${shape.join(', ')}) of ${descriptor} takes ${count * size} bytes, there are ${found} behind the header`)
  const data = allocate(datatype, count) as TypedTensorData
  const copy = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  bytes.copy(copy, 0, end)
  if (order === '>' && size > 1) swap(copy, size)
  // NumPy writes 0 and 1 alone; any other byte is true to it.
  if (datatype === 'BOOL') for (let index = 0; index < copy.length; index++) copy[index] = copy[index] === 0 ? 0 : 1
  return { name, datatype, shape, data }
}

function swap(bytes: Buffer, size: number): void {
  if (size === 2) bytes.swap16()
  else if (size === 4) bytes.swap32()
  else bytes.swap64()
}

function headerOf(bytes: Buffer): { readonly header: string; readonly end: number } {
  if (bytes.length < 10 || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw invalid('the body does not begin as a file of numpy.save')
  const version = bytes[6]!
  if (version < 1 || version > 3) throw invalid(`version ${version}.${bytes[7]} is not read; 1 to 3 are`)
  const start = version === 1 ? 10 : 12
  if (bytes.length < start) throw invalid('the header is cut off')
  const length = version === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8)
  if (length > HEADER_BYTES_MAX) throw invalid(`the header has ${length} bytes, more than ${HEADER_BYTES_MAX}`)
  const end = start + length
  if (bytes.length < end) throw invalid('the header is cut off')
  return { header: bytes.toString(version === 3 ? 'utf8' : 'latin1', start, end), end }
}

/** The header is a literal of Python: a dict with these three keys, in any order. */
const ENTRY = /\s*(['"])(\w+)\1\s*:\s*(?:(['"])([^'"\\]*)\3|(True|False)|\(([\d\sL,]*)\))\s*(,|(?=\}))/y

function describe(header: string): { readonly descriptor: string; readonly shape: readonly number[] } {
  const text = header.trim()
  if (!text.startsWith('{') || !text.endsWith('}')) throw invalid('the header is no dict of Python')
  const found = new Map<string, string>()
  ENTRY.lastIndex = 1
  for (let match = ENTRY.exec(text); match !== null; match = ENTRY.exec(text)) {
    const [, , key = '', , string, truth, tuple] = match
    if (found.has(key)) throw invalid(`the header has "${key}" twice`)
    found.set(key, string ?? truth ?? `(${tuple ?? ''}`)
    if (found.size > 3) break
    const at = ENTRY.lastIndex
    if (/^\s*\}$/.test(text.slice(at))) return described(found)
  }
  if (/'descr'\s*:\s*\[/.test(text)) throw invalid('an array of records is not read; one of numbers is')
  throw invalid('the header is not understood; expected descr, fortran_order and shape')
}

function described(found: ReadonlyMap<string, string>): { readonly descriptor: string; readonly shape: readonly number[] } {
  const descriptor = found.get('descr')
  const order = found.get('fortran_order')
  const tuple = found.get('shape')
  if (descriptor === undefined || order === undefined || tuple?.startsWith('(') !== true)
    throw invalid('the header is not understood; expected descr, fortran_order and shape')
  if (order === 'True') throw invalid('the array is in Fortran order; send numpy.ascontiguousarray(array)')
  const sizes = tuple
    .slice(1)
    .split(',')
    .map((size) => size.trim())
  if (sizes.at(-1) === '') sizes.pop()
  if (sizes.length > DIMENSIONS_MAX) throw invalid(`the array has ${sizes.length} dimensions, more than ${DIMENSIONS_MAX}`)
  const shape = sizes.map((size) => (/^\d{1,15}L?$/.test(size) ? Number.parseInt(size, 10) : Number.NaN))
  if (shape.some((size) => Number.isNaN(size))) throw invalid(`the shape (${sizes.join(', ')}) is none`)
  return { descriptor, shape }
}

/** An array as `numpy.save` writes it, version 1. @throws SLW_BAD_REQUEST for texts and BF16, which NumPy has no plain type for */
export function writeNpy({ name, datatype, shape, data }: Tensor): Buffer {
  const kind = DESCRIPTORS.get(datatype)
  if (kind === undefined || Array.isArray(data)) throw invalid(`output "${name}" is ${datatype}, for which there is no array; ask for JSON`)
  const descriptor = `${kind.endsWith('1') ? '|' : '<'}${kind}`
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`
  const literal = `{'descr': '${descriptor}', 'fortran_order': False, 'shape': ${tuple}, }`
  const start = MAGIC.length + 4
  const length = Math.ceil((start + literal.length + 1) / HEADER_ALIGNMENT) * HEADER_ALIGNMENT - start
  const head = Buffer.alloc(start + length, ' ')
  MAGIC.copy(head)
  head[6] = 1
  head[7] = 0
  head.writeUInt16LE(length, 8)
  head.write(literal, start, 'latin1')
  head[head.length - 1] = 0x0a
  return Buffer.concat([head, Buffer.from(data.buffer, data.byteOffset, data.byteLength)])
}
