import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import sharp from 'sharp'
import { encodeImages } from '../../src/signature/image.ts'
import { prepareQuestion, readRequest, requestOf } from '../../src/signature/request.ts'
import { refused, signatureOf, spec } from './signature-of.ts'
import type { ImageSpec } from '../../src/contract/model-package.ts'
import type { Signature } from '../../src/signature/signature.ts'
import type { Datatype } from '../../src/tensor/datatype.ts'

/** Two pixels side by side: one reddish, one blueish. */
const PIXELS = Uint8Array.of(200, 100, 50, 10, 20, 240)
const png = await sharp(PIXELS, { raw: { width: 2, height: 1, channels: 3 } })
  .png()
  .toBuffer()

const reading = (image: Partial<ImageSpec> = {}, datatype: Datatype = 'FP32'): Signature =>
  signatureOf({ inputs: [spec('x', datatype, undefined)] }, { image: { width: 2, height: 1, scale: 1, ...image } })

async function values(signature: Signature, bytes: Uint8Array = png): Promise<[shape: readonly number[], values: number[]]> {
  const [tensor] = await encodeImages(signature, [{ bytes, path: 'body' }])
  return [tensor!.shape, Array.from(tensor!.data as Float32Array, (value) => Math.round(value * 1e4) / 1e4)]
}

describe('a picture', () => {
  it('becomes a tensor of the declared layout', async () => {
    assert.deepEqual(await values(reading()), [
      [1, 3, 1, 2],
      [200, 10, 100, 20, 50, 240],
    ])
    assert.deepEqual(await values(reading({ layout: 'nhwc' })), [
      [1, 1, 2, 3],
      [200, 100, 50, 10, 20, 240],
    ])
    assert.deepEqual(await values(reading({ layout: 'flat' })), [
      [1, 6],
      [200, 100, 50, 10, 20, 240],
    ])
    assert.deepEqual(await values(reading({ layout: 'nhwc' }, 'UINT8')), [
      [1, 1, 2, 3],
      [200, 100, 50, 10, 20, 240],
    ])
  })

  it('has its colours in the declared order, or none', async () => {
    assert.deepEqual((await values(reading({ layout: 'nhwc', channels: 'bgr' })))[1], [50, 100, 200, 240, 20, 10])
    const [shape, gray] = await values(reading({ channels: 'gray' }))
    // The weights of ITU-R 601, as Pillow, torchvision and OpenCV turn colours into gray.
    assert.deepEqual(
      [shape, gray.map((value) => Math.abs(value - 124.4) <= 1.5 || Math.abs(value - 42.1) <= 1.5)],
      [
        [1, 1, 1, 2],
        [true, true],
      ],
      gray.join(),
    )
  })

  it('is scaled, centred and divided per channel', async () => {
    assert.deepEqual(
      (await values(reading({ layout: 'nhwc', scale: 0.01, mean: [1, 0.5, 0], std: [2, 1, 0.5] })))[1],
      [0.5, 0.5, 1, -0.45, -0.3, 4.8],
    )
    const { scale: _scale, ...rest } = reading({ layout: 'flat' }).image!
    assert.equal((await values({ ...reading(), image: rest }))[1][0], Math.round((200 / 255) * 1e4) / 1e4)
  })

  it('is resized by stretching, cropping or padding', async () => {
    const wide = await sharp({ create: { width: 40, height: 20, channels: 3, background: '#fff' } })
      .png()
      .toBuffer()
    const bars = async (resize: NonNullable<ImageSpec['resize']>): Promise<number[]> =>
      (await values(reading({ width: 4, height: 4, channels: 'gray', resize }), wide))[1]
    assert.deepEqual(
      await bars('stretch'),
      Array.from({ length: 16 }, () => 255),
    )
    assert.deepEqual(
      await bars('cover'),
      Array.from({ length: 16 }, () => 255),
    )
    assert.deepEqual(await bars('contain'), [0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0])
  })

  it('may be gray, have 16 bits, an alpha channel or a palette, or be a JPEG', async () => {
    const raw = sharp(PIXELS, { raw: { width: 2, height: 1, channels: 3 } })
    const forms = {
      alpha: await raw.clone().ensureAlpha().png().toBuffer(),
      sixteen: await raw.clone().toColourspace('rgb16').png().toBuffer(),
      palette: await raw.clone().png({ palette: true }).toBuffer(),
    }
    for (const [form, bytes] of Object.entries(forms)) {
      const [shape, found] = await values(reading({ layout: 'flat' }), bytes)
      assert.deepEqual(shape, [1, 6])
      for (const [index, value] of found.entries()) assert.ok(Math.abs(value - PIXELS[index]!) <= 2, `${form}: ${found.join()}`)
    }
    const gray = await sharp(Uint8Array.of(7, 99), { raw: { width: 2, height: 1, channels: 1 } })
      .png()
      .toBuffer()
    assert.deepEqual((await values(reading({ layout: 'flat' }), gray))[1], [7, 7, 7, 99, 99, 99])
    const jpeg = await sharp({ create: { width: 2, height: 1, channels: 3, background: '#808080' } })
      .jpeg()
      .toBuffer()
    for (const value of (await values(reading(), jpeg))[1]) assert.ok(Math.abs(value - 128) <= 2)
  })

  it('stands raw in a body, or as base64 in JSON, alone or in a list', async () => {
    const signature = reading({ layout: 'flat' })
    const b64 = png.toString('base64')
    const bodies: [unknown, boolean][] = [
      [b64, false],
      [{ image: b64 }, false],
      [{ b64 }, false],
      [{ x: b64 }, false],
      [`data:image/png;base64,${b64}`, false],
      [[b64, { image: b64 }], true],
      [{ inputs: [{ image: b64 }] }, true],
    ]
    for (const [body, many] of bodies) {
      const request = requestOf(body, signature)
      assert.equal(request.many, many)
      const { inputs, rows } = await prepareQuestion(signature, request)
      assert.deepEqual(inputs[0]!.shape, [rows, 6])
      assert.deepEqual([...(inputs[0]!.data as Float32Array).subarray(0, 6)], [...PIXELS])
    }
    for (const type of ['image/png', 'application/octet-stream'])
      assert.equal((await prepareQuestion(signature, readRequest(png, type, signature))).rows, 1)
  })

  it('that cannot be read is refused with its place', async () => {
    const signature = reading()
    const broken = Buffer.from(png)
    broken.fill(0, 20, 40)
    const encoded = async (body: unknown): Promise<unknown> => prepareQuestion(signature, requestOf(body, signature))
    await assert.rejects(
      encodeImages(signature, [{ bytes: broken, path: 'body' }]),
      refused('SLW_INPUT_INVALID', { body: 'the picture cannot be read' }),
    )
    await assert.rejects(
      encodeImages(signature, [{ bytes: png.subarray(0, 50), path: 'body' }]),
      refused('SLW_INPUT_INVALID', { body: 'the picture cannot be read' }),
    )
    await assert.rejects(
      encodeImages(signature, [{ bytes: Buffer.from('GIF89a'), path: 'body' }]),
      refused('SLW_INPUT_INVALID', { body: 'not a PNG or JPEG picture' }),
    )
    await assert.rejects(
      encoded([png.toString('base64'), { image: broken.toString('base64') }]),
      refused('SLW_INPUT_INVALID', { 'inputs[1].image': 'cannot be read' }),
    )
    for (const body of ['not base64!', 7, { picture: 'x' }, null])
      await assert.rejects(encoded(body), refused('SLW_INPUT_INVALID', /inputs\[0\](\.image)?: expected a picture as base64 text/))
    await assert.rejects(
      encodeImages(signatureOf({ inputs: [spec('x', 'FP32', [-1])] }), [{ bytes: png, path: 'body' }]),
      refused('SLW_INPUT_INVALID', /declares no image input/),
    )
  })

  it('that claims more pixels than fit in memory is refused before it is unpacked', async () => {
    const huge = Buffer.from(png)
    // Width and height in the PNG header, and its checksum.
    huge.writeUInt32BE(60_000, 16)
    huge.writeUInt32BE(60_000, 20)
    const { crc32 } = await import('node:zlib')
    huge.writeUInt32BE(crc32(huge.subarray(12, 29)), 29)
    await assert.rejects(encodeImages(reading(), [{ bytes: huge, path: 'body' }]), refused('SLW_INPUT_INVALID', /pixel limit/))
  })
})
