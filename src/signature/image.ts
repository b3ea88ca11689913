import { messageOf, SlipwayError } from '../core/errors.ts'
import { allocate, elementCount, setNumber } from '../tensor/tensor.ts'
import { imageChannels, imageRowShape } from './signature.ts'
import type { Signature } from './signature.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Sharp } from 'sharp'

/** A picture that claims more pixels than this is refused before it is unpacked. */
const PIXELS_MAX = 50_000_000

type SharpModule = (input: Uint8Array, options: object) => Sharp

let sharp: SharpModule | undefined

/** The one place that loads sharp. */
async function loadSharp(): Promise<SharpModule> {
  try {
    sharp ??= (await import('sharp')).default as unknown as SharpModule
    return sharp
  } catch (error) {
    throw new SlipwayError(
      'SLW_DEPENDENCY_MISSING',
      `reading pictures needs the package sharp (${messageOf(error)}); install it with: npm install sharp`,
    )
  }
}

/** A picture as people send it, and its place in the request. */
export interface Picture {
  readonly bytes: Uint8Array
  readonly path: string
}

export function isPicture(bytes: Uint8Array): boolean {
  const png = bytes[0] === 0x89 && bytes[1] === 0x50 && bytes[2] === 0x4e && bytes[3] === 0x47
  return png || (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff)
}

/**
 * Decodes, resizes and normalises PNG or JPEG pictures as the signature declares: value = (pixel * scale - mean) / std.
 * @throws SLW_INPUT_INVALID naming the picture
 */
export async function encodeImages(signature: Signature, pictures: readonly Picture[]): Promise<Tensor[]> {
  const { image } = signature
  if (image === undefined) throw new SlipwayError('SLW_INPUT_INVALID', 'this model declares no image input; send tensors or rows')
  const spec = signature.inputs.find((input) => input.name === image.input)
  if (spec === undefined) throw new SlipwayError('SLW_INTERNAL', `image input "${image.input}" is missing`)
  const channels = imageChannels(image)
  const layout = image.layout ?? 'nchw'
  const rowShape = imageRowShape(image)
  const size = elementCount(rowShape)
  const data = allocate(spec.datatype, pictures.length * size)
  const pixels = await Promise.all(pictures.map((picture) => readPixels(picture, image, channels)))
  const scale = image.scale ?? 1 / 255
  for (const [index, raw] of pixels.entries()) {
    for (let pixel = 0; pixel < image.width * image.height; pixel++) {
      for (let channel = 0; channel < channels; channel++) {
        const source = image.channels === 'bgr' ? channels - 1 - channel : channel
        const value =
          (raw[pixel * channels + source]! * scale - (image.mean?.[channel] ?? image.mean?.[0] ?? 0)) /
          (image.std?.[channel] ?? image.std?.[0] ?? 1)
        const place = layout === 'nchw' ? channel * image.width * image.height + pixel : pixel * channels + channel
        setNumber(data, spec.datatype, index * size + place, value)
      }
    }
  }
  return [{ name: spec.name, datatype: spec.datatype, shape: [pictures.length, ...rowShape], data }]
}

async function readPixels(picture: Picture, image: NonNullable<Signature['image']>, channels: number): Promise<Uint8Array> {
  const fail = (message: string): SlipwayError =>
    new SlipwayError('SLW_INPUT_INVALID', `${picture.path}: ${message}`, { issues: [{ path: picture.path, message }] })
  if (!isPicture(picture.bytes)) throw fail('not a PNG or JPEG picture')
  const decode = await loadSharp()
  try {
    const fit = { stretch: 'fill', cover: 'cover', contain: 'contain' } as const
    const decoded = decode(picture.bytes, { limitInputPixels: PIXELS_MAX, failOn: 'error' })
      .rotate()
      .flatten({ background: '#000' })
      .toColourspace('srgb')
      .resize(image.width, image.height, { fit: fit[image.resize ?? 'stretch'], background: '#000' })
    const { data, info } = await decoded.raw().toBuffer({ resolveWithObject: true })
    if (info.channels === channels) return data
    if (channels === 1 && info.channels === 3)
      return Uint8Array.from(
        { length: data.length / 3 },
        (_, pixel) => (data[3 * pixel]! * 19_595 + data[3 * pixel + 1]! * 38_470 + data[3 * pixel + 2]! * 7471 + 32_768) >> 16,
      )
    throw new Error(`decoded to ${info.channels} channels, expected ${channels}`)
  } catch (error) {
    throw fail(`the picture cannot be read: ${messageOf(error)}`)
  }
}
