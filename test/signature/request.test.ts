import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { csvText, rowsFromCsv } from '../../src/signature/csv.ts'
import { checkGolden } from '../../src/signature/golden.ts'
import { prepareQuestion, readRequest, requestOf } from '../../src/signature/request.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { fp32, refused, signatureOf, spec } from './signature-of.ts'
import type { Signature } from '../../src/signature/signature.ts'
import type { Answer } from '../../src/signature/answer.ts'
import type { GoldenExample } from '../../src/contract/model-package.ts'

const wide = signatureOf({ inputs: [spec('x', 'FP32', [-1, 2])] })
const narrow = signatureOf({ inputs: [spec('x', 'FP32', [-1, 1])] })
const featured = signatureOf(
  { inputs: [spec('x', 'FP32', [-1, 2])] },
  {
    features: [
      { name: 'a', type: 'number' },
      { name: 'b', type: 'category', categories: ['1', 'x'], encode: 'index' },
    ],
  },
)
const fixed = signatureOf({ inputs: [spec('x', 'FP32', [2])] })

describe('what a person sends', () => {
  it('is one row or a list of rows, bare or under "inputs"', () => {
    const cases: [Signature, unknown, unknown[], boolean][] = [
      [featured, { a: 1, b: 'x' }, [{ a: 1, b: 'x' }], false],
      [featured, [{ a: 1, b: 'x' }], [{ a: 1, b: 'x' }], true],
      [featured, [1, 'x'], [[1, 'x']], false],
      [featured, [[1, 'x']], [[1, 'x']], true],
      [wide, [1, 2], [[1, 2]], false],
      [
        wide,
        [
          [1, 2],
          [3, 4],
        ],
        [
          [1, 2],
          [3, 4],
        ],
        true,
      ],
      [wide, [], [], true],
      [narrow, [1, 2], [1, 2], true],
      [narrow, 1, [1], false],
      [fixed, [1, 2], [[1, 2]], false],
    ]
    for (const [signature, sent, rows, many] of cases) {
      for (const body of [sent, { inputs: sent }]) {
        const request = requestOf(body, signature)
        assert.deepEqual([request.rows, request.many, request.path], [rows, many, 'inputs'], JSON.stringify(body))
      }
    }
  })

  it('a body in the form of another server is told ours', () => {
    for (const key of ['instances', 'dataframe_split', 'dataframe_records'])
      assert.throws(() => requestOf({ [key]: [[1, 2]] }, wide), refused('SLW_BAD_REQUEST', { [key]: 'unknown key' }))
    assert.throws(
      () => requestOf({ instances: [] }, wide),
      /belongs to the bodies of TensorFlow Serving and KServe v1; here rows are in "inputs"/,
    )
  })

  it('an input that is itself called "inputs" is taken as such, and nothing unknown may stand beside the wrapper', () => {
    assert.deepEqual(requestOf({ inputs: 3 }, signatureOf({ inputs: [spec('inputs', 'FP32', [-1])] })).rows, [{ inputs: 3 }])
    assert.throws(() => requestOf({ inputs: [1, 2], rows: 1 }, wide), refused('SLW_BAD_REQUEST', { rows: 'unknown key' }))
  })

  it('is read by its content type', () => {
    const read = (body: string, type?: string): unknown[] => [...readRequest(Buffer.from(body), type, wide).rows]
    for (const type of [undefined, 'application/json', 'Application/JSON; charset=utf-8', 'application/x-www-form-urlencoded'])
      assert.deepEqual(read('[[1,2]]', type), [[1, 2]])
    assert.deepEqual(read('c1,c2\n1,2\n', 'text/csv'), [[1, 2]])
    assert.throws(
      () => read('<a/>', 'text/xml'),
      refused('SLW_UNSUPPORTED_MEDIA_TYPE', /"text\/xml" is not one of application\/json, text\/csv/),
    )
    assert.throws(() => read(''), refused('SLW_BAD_REQUEST', /the body is empty/))
    assert.throws(() => read('{'), refused('SLW_BAD_REQUEST', /at byte 1/))
  })
})

describe('CSV', () => {
  const read = (text: string, signature: Signature): Record<string, unknown>[] =>
    rowsFromCsv(text, signature).map((row) => (Array.isArray(row) ? row : { ...row }))

  it('has a header line; cells of numbers are numbers, of categories text, and empty ones null as in JSON', () => {
    assert.deepEqual(read('\uFEFFa, b\r\n1.5,1\r\n\r\n,"x"\r\n1e3,\r\n', featured), [
      { a: 1.5, b: '1' },
      { a: null, b: 'x' },
      { a: 1000, b: null },
    ])
    assert.deepEqual(
      read('a,b\nNaN,x\ntrue,x\nword,x\n-Infinity,x\ninf,x\n-INF,x\n0x1F,x\n1_000,x\n.5,x\n', featured).map(({ a }) => a),
      [Number.NaN, true, 'word', -Infinity, Infinity, -Infinity, '0x1F', '1_000', 0.5],
    )
  })

  it('where no features are declared, the cells in their order are the row, whatever the header', () => {
    for (const header of ['u,v', '2,1', '10,9', 'u,u'])
      assert.deepEqual(
        read(`${header}\n1,2\n3,\n`, wide),
        [
          [1, 2],
          [3, null],
        ],
        header,
      )
    assert.deepEqual(read('x\n1\n2\n', narrow), [{ x: 1 }, { x: 2 }])
    assert.deepEqual(read('t\n007\n', signatureOf({ inputs: [spec('t', 'BYTES', [-1])] })), [{ t: '007' }])
  })

  it('keeps the digits of large integers, and reads every other way to write a number', () => {
    const cells = ['9007199254740993', '-18446744073709551616', '1e20', '123456789012345678901.5', '9007199254740993.0', '1E400']
    assert.deepEqual(
      read(`x\n${cells.join('\n')}\n`, narrow).map(({ x }) => x),
      [9_007_199_254_740_993n, -(2n ** 64n), 1e20, 123_456_789_012_345_680_000, 2 ** 53, Infinity],
    )
  })

  it('is read in the encoding that is named, and what does not decode is refused', () => {
    const latin = Buffer.from('city\nK\u00f6ln\n', 'latin1')
    assert.throws(() => csvText(latin), refused('SLW_BAD_REQUEST', /not UTF-8.*charset=iso-8859-1/))
    for (const charset of ['iso-8859-1', 'ISO-8859-1', 'latin1', 'windows-1252']) assert.equal(csvText(latin, charset), 'city\nKöln\n')
    assert.throws(() => csvText(latin, 'klingon'), refused('SLW_UNSUPPORTED_MEDIA_TYPE', /"klingon" is not known/))
    const city = signatureOf({ inputs: [spec('city', 'BYTES', [-1])] })
    for (const type of ['text/csv; charset=iso-8859-1', 'text/csv;charset="latin1"'])
      assert.deepEqual(
        readRequest(latin, type, city).rows.map((row) => (row as { city: string }).city),
        ['Köln'],
      )
    assert.throws(() => readRequest(latin, 'text/csv', city), refused('SLW_BAD_REQUEST', /not UTF-8/))
  })

  it('that cannot be read is refused with its line', () => {
    assert.throws(() => read('a,b\n1,2\n1,2,3\n', featured), refused('SLW_BAD_REQUEST', /CSV: .*line 3/))
    assert.throws(() => read('a,b\n1,"2\n', featured), refused('SLW_BAD_REQUEST', /CSV: /))
    for (const empty of ['', 'a,b\n'])
      assert.throws(() => read(empty, featured), refused('SLW_BAD_REQUEST', /expected a header line and at least one row/))
  })
})

describe('one path from a request to its answers', () => {
  it('asks for the outputs that answers are made of, and keeps the items of a ranking', async () => {
    const ids = spec('ids', 'INT64', [-1, 2])
    const signature = signatureOf(
      { inputs: [ids], outputs: [spec('s', 'FP32', [-1, 2]), spec('other', 'FP32', [-1])] },
      { answer: { scores: 's', items: 'ids' } },
    )
    const { inputs, rows, outputs, answer } = await prepareQuestion(signature, requestOf([[7, 8]], signature))
    assert.deepEqual([rows, outputs], [1, ['s']])
    // A run takes the memory of its inputs away.
    structuredClone(0, { transfer: [(inputs[0]!.data as BigInt64Array).buffer as ArrayBuffer] })
    const answers = answer([fp32('s', [1, 2], 0.25, 0.5)])
    assert.deepEqual(
      [answers, rows],
      [
        [
          {
            prediction: [
              { item: 8, score: 0.5 },
              { item: 7, score: 0.25 },
            ],
          },
        ],
        1,
      ],
    )
  })
})

describe('golden examples', () => {
  const run = (answers: Answer[]) => () => Promise.resolve(answers)
  const checked = (golden: GoldenExample, ...answers: Answer[]): Promise<void> => checkGolden([golden], wide, '.', run(answers))
  const answer = { prediction: 'yes', confidence: 0.75, probabilities: { no: 0.25, yes: 0.75 }, list: [{ item: 1, score: 2 }] }

  it('hold where the answer has what is expected, or more', async () => {
    for (const expect of [
      answer,
      { prediction: 'yes' },
      { confidence: 0.750_05 },
      { probabilities: { yes: 0.75 } },
      { list: [{ item: 1 }] },
      {},
    ])
      await checked({ input: [1, 2], expect }, answer)
    await checked(
      {
        input: [
          [1, 2],
          [3, 4],
        ],
        expect: [{ confidence: 1 }, {}],
        tolerance: 0.25,
      },
      answer,
      answer,
    )
  })

  it('fail with their name, the place, and both values', async () => {
    const cases: [GoldenExample, RegExp][] = [
      [{ input: [1, 2], expect: { prediction: 'no' } }, /golden example "golden\[0\]": prediction is "yes", expected "no"/],
      [
        { name: 'high', input: [1, 2], expect: { probabilities: { yes: 0.76 } } },
        /"high": probabilities\.yes is 0\.75, expected 0\.76 \(tolerance 0\.0001\)/,
      ],
      [{ input: [1, 2], expect: { list: [{ item: 1 }, { item: 2 }] } }, /list is \[\{"item":1,"score":2\}\], expected/],
      [{ input: [1, 2], expect: { missing: { deep: 1 } } }, /missing\.deep is nothing, expected 1/],
      [{ input: [[1, 2]], expect: [{ list: [{ score: 3 }] }] }, /\[0\]\.list\[0\]\.score is 2, expected 3/],
      [{ input: [1, 2], expect: 'yes' }, /the answer is \{"prediction"/],
    ]
    for (const [golden, message] of cases) await assert.rejects(checked(golden, answer), refused('SLW_GOLDEN_FAILED', message))
    await assert.rejects(
      checked({ input: [1, 2], expect: { confidence: 1 } }, { confidence: Number.NaN }),
      refused('SLW_GOLDEN_FAILED', /confidence is NaN/),
    )
  })

  it('that name a picture which is not there say so', async () => {
    await using folder = await temporaryFolder()
    await assert.rejects(checkGolden([{ file: 'missing.png', expect: {} }], wide, folder.path, run([])), /missing\.png/)
  })
})
