import assert from 'node:assert/strict'
import { link, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { create } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { isSlipwayError } from '../../src/core/errors.ts'
import { openInline } from '../../src/engine/inline.ts'
import { ValueInfoProtoSchema } from '../../src/onnx/generated/onnx_pb.js'
import { inspectOnnx } from '../../src/onnx/inspect.ts'
import { readOnnx } from '../../src/onnx/model.ts'
import { contents } from '../tensor/values.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { buildModel, closing, external, floats, identityModel, instanceSpec, linearModel, node, value, weights } from './build-model.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { OnnxModel } from '../../src/onnx/inspect.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

const refused =
  (code: ErrorCode, message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(isSlipwayError(error), String(error))
    assert.deepEqual([error.code, error.message.match(message) !== null], [code, true], error.message)
    return true
  }

async function inspect(bytes: Uint8Array): Promise<OnnxModel> {
  await using folder = await temporaryFolder()
  return await inspectOnnx(await folder.write('model.onnx', bytes))
}

/** One run of the model as the server would load it. */
async function run(model: OnnxModel, inputs: readonly Tensor[]): Promise<readonly Tensor[]> {
  await using instance = closing(await openInline(instanceSpec(model)))
  return (
    await instance.run(
      inputs,
      model.outputs.map(({ name }) => name),
    )
  ).outputs
}

const fp32 = (name: string, shape: readonly number[], ...values: number[]): Tensor => ({
  name,
  datatype: 'FP32',
  shape,
  data: Float32Array.from(values),
})

describe('reading an ONNX file', () => {
  it('tells what the file says of itself', async () => {
    const model = await inspect(linearModel({ opset: 17, metadata: { author: 'ü' } }))
    assert.deepEqual(model.inputs, [{ name: 'x', datatype: 'FP32', shape: [-1, 2], dimensionNames: ['batch', undefined] }])
    assert.deepEqual(model.outputs, [{ name: 'y', datatype: 'FP32', shape: [-1, 1], dimensionNames: ['batch', undefined] }])
    assert.deepEqual(model.opsets, [
      { domain: 'ai.onnx', version: 17 },
      { domain: 'ai.onnx.ml', version: 3 },
    ])
    assert.deepEqual([model.producer, model.graphName, model.irVersion, model.metadata], ['slipway-test 1', 'g', 8, { author: 'ü' }])
    assert.deepEqual([model.operators, model.parameterCount], [{ MatMul: 1, Add: 1 }, 3])
    assert.deepEqual([model.rewrite.changes, model.rewrittenBytes, model.externalFiles], [[], undefined, []])
  })

  it('a dimension is a size, a name or free, and a shape may be left open altogether', async () => {
    const { inputs } = await inspect(identityModel('FP32', ['rows', -1, 3, 0]))
    assert.deepEqual(inputs[0], {
      name: 'x',
      datatype: 'FP32',
      shape: [-1, -1, 3, 0],
      dimensionNames: ['rows', undefined, undefined, undefined],
    })
    const open = await inspect(identityModel('FP32'))
    assert.deepEqual(open.inputs[0], { name: 'x', datatype: 'FP32', shape: [], dimensionNames: [], anyRank: true })
    const scalar = await inspect(identityModel('INT8', []))
    assert.deepEqual(scalar.inputs[0], { name: 'x', datatype: 'INT8', shape: [], dimensionNames: [] })
  })

  it('weights listed as inputs are not inputs', async () => {
    const listed = (irVersion: number): Uint8Array =>
      linearModel({ irVersion, input: [value('x', 'FP32', [-1, 2]), value('w', 'FP32', [2, 1]), value('b', 'FP32', [1])] })
    assert.deepEqual(
      (await inspect(listed(3))).inputs.map(({ name }) => name),
      ['x'],
    )
    const wide = buildModel({
      input: [value('x', 'FP32', [-1, 100]), value('w', 'FP32', [100, 1])],
      output: [value('y', 'FP32', [-1, 1])],
      node: [node('MatMul', ['x', 'w'], ['y'])],
      initializer: [floats('w', [100, 1], ...Array.from({ length: 100 }, () => 1))],
    })
    const model = await inspect(wide)
    assert.deepEqual(
      model.inputs.map(({ name }) => name),
      ['x'],
    )
  })

  it('files that are no ONNX models are refused, and the message says what they look like', async () => {
    const cases: [string, string | Uint8Array, RegExp][] = [
      ['empty', '', /the file is empty/],
      ['json', '{"model": 1}', /not an ONNX model, it looks like text/],
      ['html', '<html>not found</html>', /looks like text/],
      ['zip', Buffer.from('PK\u0003\u0004\u0014\0\0\0', 'latin1'), /looks like a zip archive \(PyTorch, Keras\)/],
      ['pickle', Buffer.from([0x80, 0x04, 0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0x8c]), /looks like a Python pickle/],
      ['hdf5', Buffer.from('\u0089HDF\r\n\u001a\n', 'latin1'), /looks like HDF5/],
      ['lfs', 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n', /it is a Git LFS pointer: run `git lfs pull`/],
      ['garbage', Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]), /not an ONNX model/],
      ['half a model', linearModel().subarray(0, 60), /not an ONNX model/],
      ['no graph', Buffer.from([0x08, 0x08]), /not an ONNX model.*: it has no graph/],
    ]
    for (const [name, content, message] of cases)
      await assert.rejects(inspect(Buffer.from(content as string)), refused('SLW_MODEL_INVALID', message), name)
  })

  it('whatever happens to its bytes, a model is read or refused', async () => {
    const valid = buildModel({
      input: [value('x', 'BF16', [-1, 2]), value('d', 'FP32', [1])],
      output: [value('y', 'BF16', [-1, 2]), value('p', 'FP32', [-1, 2])],
      node: [
        node('Identity', ['x'], ['y']),
        node('Add', ['d', 'w'], ['q'], { axis: 1n, list: [1, 2] }),
        { ...node('ZipMap', ['q'], ['p'], { classlabels_strings: ['a', 'b'] }), domain: 'ai.onnx.ml' },
      ],
      initializer: [floats('w', [2], 1, 2), floats('d', [1], 3), external('e', [2], { location: 'model.onnx', offset: 0, length: 8 })],
    })
    await using folder = await temporaryFolder()
    const edit = fc.record({ at: fc.nat(valid.length - 1), byte: fc.nat(255), kind: fc.constantFrom('set', 'set', 'insert', 'remove') })
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        const bytes = [...valid]
        for (const { at, byte, kind } of edits) bytes.splice(at, kind === 'insert' ? 0 : 1, ...(kind === 'remove' ? [] : [byte]))
        try {
          await inspectOnnx(await folder.write('model.onnx', Uint8Array.from(bytes)))
        } catch (error) {
          assert.ok(isSlipwayError(error), String((error as Error).stack))
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('rewriting for the runtime', () => {
  it('a ZipMap becomes the probabilities it was made from, and its keys the labels', async () => {
    for (const [labels, expected] of [
      [{ classlabels_strings: ['no', 'yes'] }, ['no', 'yes']],
      [{ classlabels_int64s: [3n, 7n] }, [3, 7]],
    ] as const) {
      const model = await inspect(
        buildModel({
          input: [value('x', 'FP32', [-1, 2])],
          output: [
            create(ValueInfoProtoSchema, {
              name: 'p',
              type: {
                value: {
                  case: 'sequenceType',
                  value: {
                    elemType: {
                      value: {
                        case: 'mapType',
                        value: { keyType: 8, valueType: { value: { case: 'tensorType', value: { elemType: 1 } } } },
                      },
                    },
                  },
                },
              },
            }),
          ],
          node: [node('Softmax', ['x'], ['scores'], { axis: 1n }), { ...node('ZipMap', ['scores'], ['p'], labels), domain: 'ai.onnx.ml' }],
        }),
      )
      assert.deepEqual(model.outputs, [{ name: 'p', datatype: 'FP32', shape: [-1, 2], dimensionNames: [undefined, undefined] }])
      assert.deepEqual([...model.rewrite.labels], [['p', expected]])
      assert.match(model.rewrite.changes[0]!, /ZipMap removed: output "p" is a tensor with 2 probabilities a row/)
      const [probabilities] = await run(model, [fp32('x', [1, 2], 1, 1)])
      assert.deepEqual(contents(probabilities!), { name: 'p', datatype: 'FP32', shape: [1, 2], values: [0.5, 0.5] })
    }
  })

  it('the labels of a classifier are found in its attributes', async () => {
    const classifier = (labels: Readonly<Record<string, readonly string[] | readonly bigint[]>>): Uint8Array =>
      buildModel({
        input: [value('x', 'FP32', [-1, 2])],
        output: [value('label', 'BYTES', [-1]), value('scores', 'FP32', [-1, 2])],
        node: [
          { ...node('LinearClassifier', ['x'], ['label', 'scores'], { ...labels, coefficients: [1, 0, 0, 1] }), domain: 'ai.onnx.ml' },
        ],
      })
    assert.deepEqual((await inspect(classifier({ classlabels_strings: ['a', 'ü'] }))).classLabels, ['a', 'ü'])
    assert.deepEqual((await inspect(classifier({ classlabels_ints: [4n, 2n] }))).classLabels, [4, 2])
    assert.equal((await inspect(linearModel())).classLabels, undefined)
  })

  it('BF16 crosses the edge as FP32 and stays BF16 inside and in the contract', async () => {
    const model = await inspect(
      buildModel({
        input: [value('x', 'BF16', [-1])],
        output: [value('y', 'BF16', [-1]), value('z', 'BF16', [-1])],
        node: [node('Identity', ['x'], ['y']), node('Identity', ['y'], ['z'])],
      }),
    )
    assert.deepEqual(
      [...model.inputs, ...model.outputs].map(({ datatype, name }) => [name, datatype]),
      [
        ['x', 'BF16'],
        ['y', 'BF16'],
        ['z', 'BF16'],
      ],
    )
    assert.equal(model.rewrite.changes.length, 3)
    const x: Tensor = { name: 'x', datatype: 'BF16', shape: [3], data: Uint16Array.of(0x3f80, 0xc2f7, 0x7f80) }
    for (const output of await run(model, [x])) assert.deepEqual(contents(output), { ...(contents(x) as object), name: output.name })
  })

  it('an input with an initialiser is a real input, and its values are the default', async () => {
    const model = await inspect(
      buildModel({
        input: [value('x', 'FP32', [-1]), value('k', 'FP32', [1])],
        output: [value('y', 'FP32', [-1])],
        node: [node('Mul', ['x', 'k'], ['kx']), node('Add', ['kx', 'b'], ['y'])],
        initializer: [floats('k', [1], 3), floats('b', [1], 1)],
      }),
    )
    assert.deepEqual(
      model.inputs.map(({ name }) => name),
      ['x', 'k'],
    )
    assert.deepEqual(contents(model.rewrite.defaults.get('k')!), { name: 'k', datatype: 'FP32', shape: [1], values: [3] })
    const [y] = await run(model, [fp32('x', [2], 1, 2), fp32('k', [1], 10)])
    assert.deepEqual([...(y!.data as Float32Array)], [11, 21])
  })

  it('a default is read wherever the file keeps it: typed fields, text, another file', async () => {
    const withDefault = (k: ReturnType<typeof weights>, datatype: 'FP32' | 'INT64' | 'BYTES'): Uint8Array =>
      buildModel({
        input: [value('k', datatype, [2])],
        output: [value('y', datatype, [2])],
        node: [node('Identity', ['k'], ['y'])],
        initializer: [k],
      })
    const typed = { ...weights('k', 'INT64', [2], new BigInt64Array(0)), int64Data: [5n, -6n] }
    assert.deepEqual((await inspect(withDefault(typed, 'INT64'))).rewrite.defaults.get('k')!.data, BigInt64Array.of(5n, -6n))
    assert.deepEqual((await inspect(withDefault(weights('k', 'BYTES', [2], ['a', 'ü']), 'BYTES'))).rewrite.defaults.get('k')!.data, [
      'a',
      'ü',
    ])
    await using folder = await temporaryFolder()
    await folder.write('k.bin', new Uint8Array(Float32Array.of(7, 8).buffer))
    const path = await folder.write('model.onnx', withDefault(external('k', [2], { location: 'k.bin' }), 'FP32'))
    assert.deepEqual((await inspectOnnx(path)).rewrite.defaults.get('k')!.data, Float32Array.of(7, 8))
  })

  it('what cannot be carried is refused by name', async () => {
    const typed = (name: string, type: object): ReturnType<typeof value> =>
      create(ValueInfoProtoSchema, { name, type: { value: type as never } })
    const tensor = { value: { case: 'tensorType' as const, value: { elemType: 1 } } }
    const cases: [ReturnType<typeof value>, RegExp][] = [
      [value('v', 14, [-1]), /output "v" is a tensor of COMPLEX64/],
      [value('v', 17, [-1]), /output "v" is a tensor of FLOAT8E4M3FN/],
      [value('v', 22, [-1]), /output "v" is a tensor of INT4/],
      [typed('v', { case: 'sequenceType', value: { elemType: tensor } }), /output "v" is a sequence;/],
      [typed('v', { case: 'mapType', value: { keyType: 7, valueType: tensor } }), /output "v" is a map/],
      [typed('v', { case: 'optionalType', value: { elemType: tensor } }), /output "v" is an optional value/],
      [typed('v', { case: 'sparseTensorType', value: { elemType: 1 } }), /output "v" is a sparse tensor/],
      [create(ValueInfoProtoSchema, { name: 'v' }), /output "v" is of no known type/],
    ]
    for (const [output, message] of cases) {
      const bytes = buildModel({ input: [value('x', 'FP32', [-1])], output: [output], node: [node('Identity', ['x'], ['v'])] })
      await assert.rejects(inspect(bytes), refused('SLW_MODEL_UNSUPPORTED', message))
      const asInput = buildModel({ input: [output], output: [value('y', 'FP32', [-1])], node: [node('Identity', ['v'], ['y'])] })
      await assert.rejects(inspect(asInput), refused('SLW_MODEL_UNSUPPORTED', /input "v" is/))
    }
  })
})

describe('data outside the model file', () => {
  const beside = (entries: Readonly<Record<string, string | number>>): Uint8Array =>
    linearModel({ initializer: [external('w', [2, 1], entries), floats('b', [1], 0.5)] })
  const values = new Uint8Array(Float32Array.of(9, 9, 1, 10).buffer)

  it('a file beside the model, or below its folder, is used', async () => {
    for (const [location, more] of [
      ['weights.bin', { offset: 8, length: 8 }],
      ['data/weights.bin', { offset: '8' }],
      ['./weights.bin', { offset: 8, length: 8 }],
    ] as const) {
      await using folder = await temporaryFolder()
      await folder.write(location, values)
      const model = await inspectOnnx(await folder.write('model.onnx', beside({ location, ...more })))
      assert.deepEqual(
        model.externalFiles.map((file) => file.location),
        [location],
      )
      // The runtime finds data under plain names only.
      assert.equal(model.rewrittenBytes === undefined, !location.startsWith('./'))
      const [y] = await run(model, [fp32('x', [2, 2], 1, 2, 3, 4)])
      assert.deepEqual(contents(y!), { name: 'y', datatype: 'FP32', shape: [2, 1], values: [21.5, 43.5] }, location)
    }
  })

  it('a model that has to be rewritten takes its data along', async () => {
    await using folder = await temporaryFolder()
    await folder.write('weights.bin', values)
    const bytes = linearModel({
      initializer: [external('w', [2, 1], { location: 'weights.bin', offset: 8 }), floats('b', [1], 0.5)],
      input: [value('x', 'FP32', ['batch', 2]), value('b', 'FP32', [1])],
    })
    const model = await inspectOnnx(await folder.write('model.onnx', bytes))
    assert.ok(model.rewrittenBytes !== undefined)
    const [y] = await run(model, [fp32('x', [1, 2], 1, 2), fp32('b', [1], 1)])
    assert.deepEqual([...(y!.data as Float32Array)], [22])
  })

  it('a place outside the folder of the model is refused', async () => {
    await using folder = await temporaryFolder()
    await folder.write('secret.bin', values)
    await folder.write('m/inside.bin', values)
    await symlink(join(folder.path, 'secret.bin'), join(folder.path, 'm/link.bin'))
    await symlink(folder.path, join(folder.path, 'm/up'))
    await link(join(folder.path, 'secret.bin'), join(folder.path, 'm/hard.bin'))
    await mkdir(join(folder.path, 'm/folder'))
    const cases: [string, RegExp, ErrorCode?][] = [
      ['../secret.bin', /tensor "w": external data at "\.\.\/secret\.bin" is outside the folder/],
      ['up/../../secret.bin', /outside the folder/],
      [join(folder.path, 'secret.bin'), /outside the folder/],
      [String.raw`..\secret.bin`, /outside the folder/],
      [String.raw`C:\secret.bin`, /outside the folder/],
      ['', /outside the folder/],
      ['inside.bin\0.txt', /outside the folder/],
      ['link.bin', /goes through a symbolic link/],
      ['up/secret.bin', /goes through a symbolic link/],
      ['hard.bin', /is a hard link; copy the file/],
      ['folder', /is not a plain file/],
      ['.', /names no file/],
      ['missing.bin', /needs the file "missing\.bin", which is not beside the model/, 'SLW_MODEL_INVALID'],
    ]
    for (const [location, message, code = 'SLW_MODEL_UNSAFE'] of cases) {
      const path = await folder.write('m/model.onnx', beside({ location, offset: 0, length: 8 }))
      await assert.rejects(inspectOnnx(path), refused(code, message), location)
    }
  })

  it('bytes beyond the end of the file, or sizes that are none, are refused', async () => {
    await using folder = await temporaryFolder()
    await folder.write('weights.bin', values)
    for (const [more, message] of [
      [{ offset: 12, length: 8 }, /bytes 12 to 20 lie beyond the end of "weights\.bin" \(16 bytes\)/],
      [{ offset: 100 }, /beyond the end/],
      [{ offset: -4, length: 8 }, /is not a size/],
      [{ offset: 'x' }, /is not a size/],
      [{ length: 1e300 }, /is not a size/],
    ] as const) {
      const path = await folder.write('model.onnx', beside({ location: 'weights.bin', ...more }))
      await assert.rejects(inspectOnnx(path), refused('SLW_MODEL_UNSAFE', message), JSON.stringify(more))
    }
  })

  it('tensors that claim a size which their data has not are refused', async () => {
    const cases: [ReturnType<typeof weights>, RegExp][] = [
      [{ ...floats('w', [2, 1], 1, 10), dims: [3n, 1n] }, /tensor "w": FP32 \[3, 1\] takes 12 bytes, the file holds 8/],
      [{ ...floats('w', [2, 1]), dims: [2n ** 40n, 2n ** 40n] }, /\[1099511627776, 1099511627776\] is absurd/],
      [{ ...floats('w', [2, 1], 1, 10), dims: [-2n, -1n] }, /dimension -2 is negative/],
    ]
    for (const [w, message] of cases)
      await assert.rejects(inspect(linearModel({ initializer: [w, floats('b', [1], 0.5)] })), refused('SLW_MODEL_UNSAFE', message))
    const constant = node('Constant', [], ['w'], { value: { ...floats('inner', [1], 1), dims: [2n] } })
    await assert.rejects(
      inspect(buildModel({ input: [], output: [value('w', 'FP32', [2])], node: [constant] })),
      refused('SLW_MODEL_UNSAFE', /tensor "inner"/),
    )
  })

  it('a default that claims more values than the file gives is refused, and takes no memory', async () => {
    for (const size of [3n, 2n ** 33n, 2n ** 45n]) {
      const bytes = linearModel({
        input: [value('x', 'FP32', [-1, 2]), value('b', 'FP32', [-1])],
        initializer: [floats('w', [2, 1], 1, 10), { ...floats('b', [1]), dims: [size], floatData: [1] }],
      })
      await assert.rejects(
        inspect(bytes),
        (error: unknown) => isSlipwayError(error) && error.code.startsWith('SLW_MODEL_') && error.message.includes('"b"'),
        String(size),
      )
    }
  })

  it('a model file that is not there is told as such', async () => {
    await assert.rejects(readOnnx('/nonexistent/model.onnx'), /ENOENT|no such file/)
  })
})
