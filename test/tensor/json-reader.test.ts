import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isSlipwayError } from '../../src/core/errors.ts'
import { REQUEST_LIMIT_DEFAULTS } from '../../src/protocol/limits.ts'
import { readV2Request } from '../../src/protocol/v2/request.ts'
import { JsonReader, parseJson } from '../../src/tensor/json-reader.ts'
import { tensorDataToJson } from '../../src/tensor/json-writer.ts'
import { elementCount } from '../../src/tensor/tensor.ts'
import { ALL_DATATYPES, contents, smallShape, tensorOf } from './values.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { Datatype, TensorData } from '../../src/tensor/datatype.ts'
import type { V2Request } from '../../src/protocol/v2/request.ts'

function read(text: string, datatype: Datatype, shape: readonly number[]): TensorData {
  const reader = new JsonReader(Buffer.from(text))
  reader.path = 'inputs[0].data'
  const data = reader.readTensorData(datatype, shape)
  reader.end()
  return data
}

const readRequest = (body: string | Uint8Array): V2Request => readV2Request(Buffer.from(body), undefined, REQUEST_LIMIT_DEFAULTS, [])

const refused =
  (message: RegExp, code: ErrorCode = 'SLW_BAD_REQUEST') =>
  (error: unknown): boolean => {
    assert.ok(isSlipwayError(error), String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  }

describe('numbers in JSON', () => {
  const digits = (min: number, max: number): fc.Arbitrary<string> =>
    fc.string({ unit: fc.nat(9).map(String), minLength: min, maxLength: max })
  const written = fc
    .record({
      sign: fc.constantFrom('', '-'),
      whole: fc.oneof(
        fc.constant('0'),
        digits(1, 25).map((text) => text.replace(/^0+(?=.)/, '')),
      ),
      fraction: fc.oneof(
        fc.constant(''),
        digits(1, 25).map((text) => `.${text}`),
      ),
      exponent: fc.oneof(
        { weight: 2, arbitrary: fc.constant('') },
        { weight: 1, arbitrary: fc.tuple(fc.constantFrom('e', 'E', 'e+', 'e-'), fc.nat(340)).map(([e, n]) => `${e}${n}`) },
      ),
    })
    .map(({ exponent, fraction, sign, whole }) => sign + whole + fraction + exponent)
  const double = fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .chain((value) => fc.constantFrom(String(value), value.toPrecision(17), value.toExponential(6), value.toPrecision(7)))
  const float = fc.float({ noNaN: true, noDefaultInfinity: true }).chain((value) => fc.constantFrom(String(value), value.toPrecision(9)))
  // Where float32 rounding is hardest: at, and next to, the middle between two neighbours.
  const middle = fc
    .tuple(fc.float({ min: Math.fround(1e-6), max: Math.fround(1e6), noNaN: true }), fc.integer({ min: 15, max: 17 }))
    .map(([value, precision]) => {
      const next = new Float32Array(new Uint32Array([new Uint32Array(Float32Array.of(value).buffer)[0]! + 1]).buffer)[0]!
      return ((value + next) / 2).toPrecision(precision)
    })
  const texts = fc.array(fc.oneof(written, double, float, middle), { minLength: 1, maxLength: 12 })
  const separators = fc.constantFrom(',', ', ', ' , ', ',\n\t')

  it('FP64 elements are the doubles that JavaScript reads, FP32 elements those rounded once more', () =>
    fc.assert(
      fc.property(texts, separators, (numbers, separator) => {
        const text = `[${numbers.join(separator)}]`
        assert.deepEqual(read(text, 'FP64', [numbers.length]), Float64Array.from(numbers, Number), text)
        assert.deepEqual(new Float32Array(read(text, 'FP32', [numbers.length]) as Float32Array), Float32Array.from(numbers, Number), text)
        assert.deepEqual(numbers.map((number) => parseJson(Buffer.from(number))).map(Number), numbers.map(Number))
      }),
      { numRuns: 4000 },
    ))

  it('a long number just beside the middle of two floats goes to the nearer one', () => {
    for (const text of [
      '1.0000001788139343',
      '1.00000017881393432',
      '100000017.88139343e-8',
      '1.0000000596046447',
      '16777217.0000000001',
      '16777216.9999999999',
    ]) {
      assert.deepEqual([...(read(`[${text}]`, 'FP32', [1]) as Float32Array)], [Math.fround(Number(text))], text)
    }
  })

  it('the words of Python and Triton for what JSON cannot say are numbers', () => {
    const text = '[NaN, Infinity, -Infinity,-NaN,Inf,-Inf]'
    const expected = [Number.NaN, Infinity, -Infinity, Number.NaN, Infinity, -Infinity]
    for (const datatype of ['FP32', 'FP64'] as const) assert.deepEqual([...(read(text, datatype, [6]) as Float64Array)], expected)
    for (const datatype of ['FP16', 'BF16'] as const)
      assert.deepEqual(
        (contents({ name: 'x', datatype, shape: [6], data: read(text, datatype, [6]) }) as { values: unknown }).values,
        expected,
      )
    assert.deepEqual(parseJson(Buffer.from(text)), expected)
  })

  it('64-bit integers keep every digit', () =>
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { maxLength: 8 }), (values) => {
        assert.deepEqual(read(`[${values.join()}]`, 'INT64', [values.length]), BigInt64Array.from(values))
        const unsigned = values.map((value) => BigInt.asUintN(64, value))
        assert.deepEqual(read(`[${unsigned.join()}]`, 'UINT64', [values.length]), BigUint64Array.from(unsigned))
        for (const value of values) assert.equal(BigInt(parseJson(Buffer.from(String(value))) as number | bigint), value)
      }),
    ))

  it('an integer may be written with a point or an exponent, and is exact or refused', () => {
    assert.deepEqual(read('[1.0, 1e3, -0, 4.2E1]', 'INT64', [4]), BigInt64Array.of(1n, 1000n, 0n, 42n))
    assert.deepEqual(read('[1.0, 1e3, -0, 4.2E1]', 'INT16', [4]), Int16Array.of(1, 1000, 0, 42))
    for (const [text, exact] of [
      ['9007199254740993.0', 9_007_199_254_740_993n],
      ['123456789012345678e1', 1_234_567_890_123_456_780n],
    ] as const) {
      try {
        assert.deepEqual(read(`[${text}]`, 'INT64', [1]), BigInt64Array.of(exact))
      } catch (error) {
        refused(/inputs\[0\]\.data: /)(error)
      }
    }
  })

  it('what does not fit an integer datatype is refused, however long it is', () => {
    const cases: [Datatype, string, RegExp][] = [
      ['INT8', '128', /128 is outside INT8/],
      ['UINT8', '-1', /-1 is outside UINT8/],
      ['UINT32', '4294967296', /outside UINT32/],
      ['INT64', '9223372036854775808', /9223372036854775808 is outside INT64/],
      ['UINT64', '-1', /-1 is outside UINT64/],
      ['INT32', '1.5', /expected an integer, found 1\.5/],
      ['INT64', '1.5', /expected an integer, found 1\.5/],
      ['INT64', 'NaN', /expected an integer, found NaN/],
      ['INT32', 'Infinity', /expected an integer, found Infinity/],
      ['BOOL', '2', /expected true or false/],
      ['BOOL', '"true"', /expected true or false/],
      ['FP32', '"1"', /expected a number, found "\\""/],
      ['FP32', 'null', /expected a number, found "n"/],
      ['BYTES', '1', /expected a string, found "1"/],
      ['BYTES', String.raw`"a\u0000b"`, /a text with a NUL character/],
    ]
    for (const [datatype, value, message] of cases) assert.throws(() => read(`[${value}]`, datatype, [1]), refused(message), value)
    const long = '9'.repeat(50_000)
    assert.throws(
      () => read(`[${long}]`, 'INT64', [1]),
      (error: Error) => refused(/INT64/)(error) && error.message.length < 500,
    )
  })

  it('what is no number in JSON is none here', () => {
    for (const text of [
      '01',
      '-',
      '+1',
      '.5',
      '1.',
      '1e',
      '1e+',
      '0x10',
      '1_000',
      '--1',
      'nan',
      'Infinit',
      '1 2',
      '00.5',
      '-.5',
      '1.2.3',
      '123456789012345678901.',
    ]) {
      for (const datatype of ['FP32', 'FP64', 'INT64', 'INT8'] as const)
        assert.throws(() => read(`[${text}]`, datatype, [1]), refused(/inputs\[0\]\.data: .* at byte \d+/), `${datatype} ${text}`)
    }
  })
})

describe('tensors in JSON', () => {
  function nested(values: readonly string[], shape: readonly number[]): string {
    const [, ...inner] = shape
    if (shape.length === 0) return values[0]!
    const step = elementCount(inner)
    return `[${Array.from({ length: shape[0]! }, (_, index) => nested(values.slice(index * step, (index + 1) * step), inner)).join(', ')}]`
  }

  it('every datatype comes back as it was written, flat and nested', () =>
    fc.assert(
      fc.property(fc.constantFrom(...ALL_DATATYPES), smallShape, (datatype, shape) => {
        const tensor = tensorOf(datatype, shape)
        const values = Array.from({ length: elementCount(shape) }, (_, index) =>
          tensorDataToJson({ ...tensor, shape: [1], data: tensor.data.slice(index, index + 1) }).slice(1, -1),
        )
        for (const text of [`[${values.join()}]`, tensorDataToJson(tensor), nested(values, shape)]) {
          assert.deepEqual(contents({ ...tensor, data: read(text, datatype, shape) }), contents(tensor), text)
        }
      }),
      { numRuns: 400 },
    ))

  it('lists that do not fit the shape are refused, with the place', () => {
    const cases: [number[], string, RegExp][] = [
      [[3], '[1,2]', /1 more value expected/],
      [[3], '[     ]', /3 more values expected/],
      [[3], '[1,2,]', /expected a number, found "\]"/],
      [[2], '[1,2,3]', /more than 2 values/],
      [[2], '[[1,2]]', /expected a number, found "\["/],
      [[2, 2], '[[1,2],[3]]', /1 more value expected/],
      [[2, 2], '[[1,2]]', /expected ",", found "\]"/],
      [[2, 2], '[[1,2],[3,4],[5,6]]', /more than 2 values/],
      [[2, 2], '[[1,2,3],[4]]', /more than 2 values/],
      [[2, 2], '[1,2,[3,4]]', /expected a number, found "\["/],
      [[2, 2], '[[1,2],3,4]', /expected "\[", found "3"/],
      [[0], '[1]', /shape \[0\] has no values/],
      [[2, 0], '[[],[],[]]', /does not fit 3 nested arrays/],
      [[], '[1,2]', /more than 1 values/],
      [[1], '1', /expected "\[", found "1"/],
      [[1], '{"0":1}', /expected "\[", found "\{"/],
      [[2], '[1,2', /found the end/],
      [[2], '', /more than the body can hold|found the end/],
    ]
    for (const [shape, text, message] of cases) {
      for (const datatype of ['FP32', 'INT8'] as const)
        assert.throws(
          () => read(text, datatype, shape),
          (error: Error) => refused(message)(error) && error.message.startsWith('inputs[0].data: '),
          text,
        )
    }
  })

  it('a shape asks for no more memory than the body could fill', () => {
    assert.throws(
      () => read('[1]', 'FP64', [1_000_000_000]),
      refused(/inputs\[0\]\.data: shape \[1000000000\] asks for 1000000000 values, more than the body can hold/),
    )
    assert.throws(() => read('[1]', 'BYTES', [2 ** 40, 2 ** 40]), refused(/more than the body can hold/))
  })

  it('a shape whose sizes multiply to no number is refused, and later requests are read as before', () => {
    const body = (shape: string): string => `{"inputs":[{"name":"x","datatype":"FP32","shape":${shape},"data":[]}]}`
    for (const shape of ['[1e308,1e308,0]', '[0,1e308,1e308]', '[1e400,0]'])
      assert.throws(() => readRequest(body(shape)), refused(/inputs\[0\]/, 'SLW_BAD_REQUEST'), shape)
    assert.deepEqual(new Float32Array(read('[1,2,3]', 'FP32', [3]) as Float32Array), Float32Array.of(1, 2, 3))
  })

  it('nesting beyond the limit is refused before the stack ends, by every way of reading', () => {
    const deep = '['.repeat(100_000)
    for (const way of [
      () => parseJson(Buffer.from(deep)),
      () => parseJson(Buffer.from('{"a":'.repeat(100_000))),
      () => new JsonReader(Buffer.from(deep)).skipValue(),
      () =>
        read(
          deep,
          'FP32',
          Array.from({ length: 70 }, () => 1),
        ),
      () =>
        read(
          deep,
          'FP32',
          Array.from({ length: 70 }, () => 0),
        ),
      () => readRequest(`{"parameters":${deep}`),
    ]) {
      assert.throws(way, refused(/nested deeper than 64 levels at byte \d+/, 'SLW_LIMIT_EXCEEDED'))
    }
    const atLimit = `${'['.repeat(64)}1${']'.repeat(64)}`
    assert.deepEqual(
      read(
        atLimit,
        'FP64',
        Array.from({ length: 64 }, () => 1),
      ),
      Float64Array.of(1),
    )
    assert.ok(Array.isArray(parseJson(Buffer.from(atLimit))))
  })

  it('the keys of an input may come in any order', () => {
    const members = [
      '"name":"x"',
      '"datatype":"INT64"',
      '"shape":[2,2]',
      '"data":[[1,9007199254740993],[-3,4]]',
      '"parameters":{"a":1}',
      '"other":[{"data":null}]',
    ]
    const orders = fc.shuffledSubarray(members, { minLength: members.length })
    fc.assert(
      fc.property(orders, fc.boolean(), (order, idFirst) => {
        const inputs = `"inputs":[{${order.join(', ')}}]`
        const { id, inputs: tensors } = readRequest(idFirst ? `{"id":"7",${inputs}}` : ` {${inputs} , "id" : "7"} `)
        assert.equal(id, '7')
        assert.deepEqual(tensors, [
          { name: 'x', datatype: 'INT64', shape: [2, 2], data: BigInt64Array.of(1n, 9_007_199_254_740_993n, -3n, 4n) },
        ])
      }),
    )
  })
})

describe('JSON documents', () => {
  it('any document is read as JSON.parse reads it', () =>
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(0, 2), (text, indent) => {
        const spaced = JSON.stringify(JSON.parse(text), undefined, indent)
        const found = parseJson(Buffer.from(spaced))
        assert.deepEqual(
          JSON.parse(JSON.stringify(found, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value))),
          JSON.parse(spaced),
        )
      }),
      { numRuns: 500 },
    ))

  it('text comes with all its escapes, and keys are never properties of an object', () => {
    assert.deepEqual(parseJson(Buffer.from(String.raw`["\u00e9\n\"\\\/\ud83d\ude00", "é", "",  "🚀"]`)), ['é\n"\\/😀', 'é', '', '🚀'])
    const object = parseJson(Buffer.from('{"__proto__": 1, "constructor": 2}')) as Record<string, unknown>
    assert.deepEqual(Object.entries(object), [
      ['__proto__', 1],
      ['constructor', 2],
    ])
    assert.equal(parseJson(Buffer.from('\uFEFF 1')), 1)
  })

  it('a text that recurs is never mistaken for another', () =>
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 5 }), { maxLength: 50 }), (texts) => {
        assert.deepEqual(parseJson(Buffer.from(JSON.stringify(texts))), texts)
      }),
    ))

  it('broken documents are refused at the byte where they break', () => {
    const cases: [string | Buffer, RegExp][] = [
      ['', /found the end at byte 0/],
      ['{"a":1', /found the end/],
      ['{"a" 1}', /expected ":", found "1" at byte 5/],
      ['{"a":1,}', /expected a key, found "\}" at byte 7/],
      ['{a:1}', /expected a key, found "a" at byte 1/],
      ['[1 2]', /expected ",", found "2" at byte 3/],
      ['[1,]', /expected a number, found "\]" at byte 3/],
      ['tru', /expected a value, found "t"/],
      ['1 x', /expected the end, found "x" at byte 2/],
      ['"abc', /the string does not end/],
      ['"a\nb"', /a control character in a string must be escaped/],
      [String.raw`"\x"`, /not valid UTF-8, or has a wrong escape/],
      [Buffer.from([0x22, 0xff, 0xfe, 0x22]), /not valid UTF-8/],
    ]
    for (const [text, message] of cases) assert.throws(() => parseJson(Buffer.from(text as string)), refused(message), String(text))
  })

  it('nothing but a SlipwayError is ever thrown, whatever the bytes', () => {
    const valid = Buffer.from(
      String.raw`{"id":"4\u00e9ü","parameters":{"priority":1},"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1.5,-2e-3],[NaN,12345678901234567890]]},{"name":"b","datatype":"BYTES","shape":[1],"data":["ü\n"]},{"data":[true,0],"shape":[2,1],"datatype":"BOOL","name":"c"},{"name":"d","shape":[1],"datatype":"INT64","data":[9007199254740993]}],"outputs":[{"name":"y"}]}`,
    )
    const edits = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('[]{},:"\\0-.eEN')))), {
      maxLength: 6,
    })
    const mutated = fc.tuple(edits, fc.nat(valid.length), fc.nat(20)).map(([changes, cut, removed]) => {
      const bytes = Buffer.concat([valid.subarray(0, cut), valid.subarray(cut + removed)])
      for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte
      return bytes
    })
    const quiet = (way: () => unknown): void => {
      try {
        way()
      } catch (error) {
        assert.ok(isSlipwayError(error), String(error))
      }
    }
    fc.assert(
      fc.property(
        fc.oneof(
          { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)) },
          { weight: 4, arbitrary: mutated },
        ),
        fc.constantFrom(...ALL_DATATYPES),
        (bytes, datatype) => {
          quiet(() => parseJson(bytes))
          quiet(() => readRequest(bytes))
          quiet(() => new JsonReader(bytes).skipValue())
          quiet(() => new JsonReader(bytes.subarray(bytes.indexOf('['))).readTensorData(datatype, [1, 2]))
        },
      ),
      { numRuns: 3000 },
    )
  })
})
