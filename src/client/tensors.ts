import { SlipwayClientError } from './client-error.ts'
import { ARRAYS } from './datatypes.ts'
import type { Datatype, Tensor } from './datatypes.ts'

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

/**
 * The values of a tensor as they travel: little-endian elements one after the other, BOOL one byte, BYTES with a 4-byte length before each
 * (Triton's binary tensor data extension; the raw contents of the gRPC service are the same).
 * @throws SLW_CONFIG_INVALID where the data are not those of the datatype and the shape
 */
export function bytesOf(tensor: Tensor): Uint8Array<ArrayBuffer> {
  const { name, datatype, shape, data } = tensor
  const count = shape.reduce((product, dimension) => product * dimension, 1)
  const array = ARRAYS[datatype]
  const expected = array?.name ?? 'Array'
  const found = (data as object | undefined)?.constructor?.name ?? typeof data
  if (found !== expected || data.length !== count)
    throw new SlipwayClientError(
      'SLW_CONFIG_INVALID',
      `input "${name}": ${datatype} [${shape.join(', ')}] takes ${expected === 'Array' ? 'a list' : `a ${expected}`} of ${count}, found ${found} of ${data?.length}`,
    )
  if (datatype === 'BYTES') return bytesOfTexts(data)
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)
  return LITTLE_ENDIAN ? bytes : swapped(bytes, data.BYTES_PER_ELEMENT)
}

function bytesOfTexts(texts: readonly string[]): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder()
  const contents = texts.map((text) => encoder.encode(text))
  const all = new Uint8Array(contents.reduce((sum, content) => sum + 4 + content.length, 0))
  const view = new DataView(all.buffer)
  let at = 0
  for (const content of contents) {
    view.setUint32(at, content.length, true)
    all.set(content, at + 4)
    at += 4 + content.length
  }
  return all
}

function swapped(bytes: Uint8Array<ArrayBuffer>, width: number): Uint8Array<ArrayBuffer> {
  const copy = bytes.slice()
  for (let start = 0; start < copy.length; start += width) copy.subarray(start, start + width).reverse()
  return copy
}

/** The inverse of {@link bytesOf}: a view of the bytes where they lie well. @throws Error saying what does not fit */
export function tensorOf(
  { name, datatype, shape }: { readonly name: string; readonly datatype: string; readonly shape: readonly number[] },
  bytes: Uint8Array<ArrayBuffer>,
): Tensor {
  if (!Object.hasOwn(ARRAYS, datatype)) throw new Error(`output "${name}": there is no datatype "${datatype}"`)
  const count = shape.reduce((product, dimension) => product * dimension, 1)
  const array = ARRAYS[datatype as Datatype]
  if (array === undefined) return { name, datatype: 'BYTES', shape, data: textsOf(bytes, name, count) }
  const width = array.BYTES_PER_ELEMENT
  if (bytes.length !== count * width)
    throw new Error(`output "${name}": ${datatype} [${shape.join(', ')}] is ${count * width} bytes, found ${bytes.length}`)
  const lies = LITTLE_ENDIAN && bytes.byteOffset % width === 0
  const own = lies ? bytes : LITTLE_ENDIAN ? bytes.slice() : swapped(bytes, width)
  return { name, datatype, shape, data: new array(own.buffer, own.byteOffset, count) } as unknown as Tensor
}

function textsOf(bytes: Uint8Array<ArrayBuffer>, name: string, count: number): string[] {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const texts: string[] = []
  let at = 0
  while (at + 4 <= bytes.length) {
    const length = view.getUint32(at, true)
    if (at + 4 + length > bytes.length) break
    texts.push(decoder.decode(bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  if (texts.length !== count || at !== bytes.length) throw new Error(`output "${name}": expected ${count} texts in ${bytes.length} bytes`)
  return texts
}
