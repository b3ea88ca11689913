import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { compareSignatures } from '../../src/contract/compatibility.ts'
import type { Compatibility, SignatureDiff } from '../../src/contract/compatibility.ts'
import type { SignatureDocument } from '../../src/contract/signature-document.ts'

const BASE: SignatureDocument = {
  inputs: [
    { name: 'x', datatype: 'FP32', shape: [-1, 4] },
    { name: 'k', datatype: 'INT64', shape: [1], optional: true },
  ],
  outputs: [
    { name: 'label', datatype: 'INT64', shape: [-1] },
    { name: 'scores', datatype: 'FP32', shape: [-1, 3] },
  ],
  features: [
    { name: 'age', type: 'integer', minimum: 0, maximum: 100 },
    { name: 'plan', type: 'category', categories: ['a', 'b'] },
    { name: 'note', type: 'string', default: '' },
  ],
  task: 'classification',
  labels: ['yes', 'no'],
}

/** Members that `undefined` takes away. */
type Change = { readonly [Key in keyof SignatureDocument]?: SignatureDocument[Key] | undefined }

const changed = (change: Change): SignatureDocument => ({ ...BASE, ...change }) as SignatureDocument

const feature = (index: number, change: object): Change => ({
  features: BASE.features!.map((one, at) => (at === index ? { ...one, ...change } : one)),
})
const input = (change: object): Change => ({ inputs: [{ ...BASE.inputs[0]!, ...change }, BASE.inputs[1]!] })
const output = (change: object): Change => ({ outputs: [BASE.outputs[0]!, { ...BASE.outputs[1]!, ...change }] })

const CASES: readonly (readonly [what: string, after: Change, effect: Compatibility, path?: string])[] = [
  ['the same', {}, 'compatible'],
  ['an input takes any number of columns now', input({ shape: [-1, -1] }), 'additive', 'inputs.x.shape'],
  ['an input takes any shape now', input({ anyRank: true, shape: [] }), 'additive', 'inputs.x.shape'],
  ['an input takes another number of columns', input({ shape: [-1, 5] }), 'breaking', 'inputs.x.shape'],
  ['an input takes one row only now', input({ shape: [1, 4] }), 'breaking', 'inputs.x.shape'],
  ['an input has another rank', input({ shape: [-1, 4, 1] }), 'breaking', 'inputs.x.shape'],
  ['an input is of another datatype', input({ datatype: 'FP64' }), 'breaking', 'inputs.x.datatype'],
  ['an input may be left out now', input({ optional: true }), 'additive', 'inputs.x.optional'],
  ['an input is gone', { inputs: [BASE.inputs[0]!] }, 'breaking', 'inputs.k'],
  [
    'an input that had a default must be there',
    { inputs: [BASE.inputs[0]!, { name: 'k', datatype: 'INT64', shape: [1] }] },
    'breaking',
    'inputs.k.optional',
  ],
  ['a new input must be there', { inputs: [...BASE.inputs, { name: 'z', datatype: 'FP32', shape: [1] }] }, 'breaking', 'inputs.z'],
  [
    'a new input may be left out',
    { inputs: [...BASE.inputs, { name: 'z', datatype: 'FP32', shape: [1], optional: true }] },
    'additive',
    'inputs.z',
  ],
  ['an output is new', { outputs: [...BASE.outputs, { name: 'why', datatype: 'BYTES', shape: [-1] }] }, 'additive', 'outputs.why'],
  ['an output is gone', { outputs: [BASE.outputs[0]!] }, 'breaking', 'outputs.scores'],
  ['an output may have any number of columns now', output({ shape: [-1, -1] }), 'breaking', 'outputs.scores.shape'],
  ['an output is of another datatype', output({ datatype: 'FP64' }), 'breaking', 'outputs.scores.datatype'],
  ['a feature takes more', feature(0, { maximum: 120 }), 'additive', 'features.age.range'],
  ['a feature takes less', feature(0, { maximum: 90 }), 'breaking', 'features.age.range'],
  ['a feature has limits now', feature(2, { minimum: 3 }), 'breaking', 'features.note.range'],
  ['an integer may be any number now', feature(0, { type: 'number' }), 'additive', 'features.age.type'],
  ['a number is a text now', feature(0, { type: 'string' }), 'breaking', 'features.age.type'],
  ['a category is new', feature(1, { categories: ['a', 'b', 'c'] }), 'additive', 'features.plan.categories'],
  ['categories stand in another order', feature(1, { categories: ['b', 'a'] }), 'compatible'],
  ['a category is gone', feature(1, { categories: ['a'] }), 'breaking', 'features.plan.categories'],
  ['a feature may be left out now', feature(0, { default: 30 }), 'additive', 'features.age.default'],
  [
    'a feature must be there now',
    { features: [BASE.features![0]!, BASE.features![1]!, { name: 'note', type: 'string' }] },
    'breaking',
    'features.note.default',
  ],
  ['a feature is gone', { features: BASE.features!.slice(0, 2) }, 'breaking', 'features.note'],
  ['a new feature with a default', { features: [...BASE.features!, { name: 'n', type: 'number', default: 0 }] }, 'additive', 'features.n'],
  ['a new feature without one', { features: [...BASE.features!, { name: 'n', type: 'number' }] }, 'breaking', 'features.n'],
  ['a label is new', { labels: ['yes', 'no', 'perhaps'] }, 'additive', 'labels'],
  ['labels stand in another order', { labels: ['no', 'yes'] }, 'breaking', 'labels'],
  ['answers are those of another task', { task: 'regression' }, 'breaking', 'task'],
  ['pictures too', { image: true }, 'additive', 'image'],
  ['a feature is a list of values now', feature(0, { length: 3 }), 'breaking', 'features.age.length'],
  ['a text is one of a list now', feature(2, { categories: ['x'] }), 'breaking', 'features.note.categories'],
  ['rows have no named features any more', { features: undefined }, 'breaking', 'features'],
  ['labels are not named any more', { labels: undefined }, 'breaking', 'labels'],
  ['a label is gone', { labels: ['yes'] }, 'breaking', 'labels'],
  ['an answer may be of any shape now', output({ shape: [], anyRank: true }), 'breaking', 'outputs.scores.shape'],
  ['an answer has one row now', output({ shape: [1, 3] }), 'compatible', 'outputs.scores.shape'],
  ['an answer is left out at times, which the signature does not say of answers', output({ optional: true }), 'compatible'],
]

/** What people read of a change, in both directions: they decide by it. */
const MESSAGES: readonly (readonly [after: Change, there: readonly string[], back: readonly string[]])[] = [
  [{ inputs: [BASE.inputs[0]!] }, ['input "k" is gone'], ['input "k" is new']],
  [
    { inputs: [...BASE.inputs, { name: 'z', datatype: 'FP32', shape: [1] }] },
    ['input "z" is new, and requests must have it'],
    ['input "z" is gone'],
  ],
  [{ outputs: [BASE.outputs[0]!] }, ['output "scores" is gone'], ['output "scores" is new']],
  [input({ shape: [], anyRank: true }), ['"x" was [-1, 4], is [...]'], ['"x" was [...], is [-1, 4]']],
  [output({ shape: [1, 3] }), ['"scores" was [-1, 3], is [1, 3]'], ['"scores" was [1, 3], is [-1, 3]']],
  [{ image: true }, ['takes pictures now'], ['pictures are not understood any more']],
  [{ features: undefined }, ['rows with named features are not understood any more'], ['rows have named features now']],
  [{ labels: undefined }, ['labels are not named any more'], ['labels are named now']],
  [
    { features: [...BASE.features!, { name: 'n', type: 'number' }] },
    ['feature "n" is new, and rows must have it'],
    ['feature "n" is gone'],
  ],
  [{ features: [...BASE.features!, { name: 'n', type: 'number', default: 0 }] }, ['feature "n" is new'], ['feature "n" is gone']],
  [feature(0, { length: 3 }), ['feature "age" had 1 values, has 3'], ['feature "age" had 3 values, has 1']],
  [
    feature(1, { categories: ['b', 'c'] }),
    ['feature "plan" does not take "a" any more', 'feature "plan" takes "c" now'],
    ['feature "plan" does not take "c" any more', 'feature "plan" takes "a" now'],
  ],
  [feature(1, { categories: undefined }), [], ['feature "plan" takes "a", "b" only']],
]

describe('two signatures', () => {
  for (const [what, after, effect, path] of CASES)
    it(`${what}: ${effect}`, () => {
      const { compatibility, changes } = compareSignatures(BASE, changed(after))
      assert.equal(compatibility, effect, JSON.stringify(changes))
      if (path !== undefined)
        assert.ok(
          changes.some((change) => change.path === path && change.effect === effect),
          JSON.stringify(changes),
        )
      for (const { message } of changes) assert.ok(message.length > 10, message)
    })

  it('nothing is known without one of them', () => {
    assert.equal(compareSignatures(undefined, BASE).compatibility, 'unknown')
    assert.equal(compareSignatures(BASE, undefined).compatibility, 'unknown')
  })

  it('each change is said in words, and no other', () => {
    for (const [after, there, back] of MESSAGES) {
      const other = changed(after)
      const said = (diff: SignatureDiff): string[] => diff.changes.map(({ message }) => message)
      assert.deepEqual([said(compareSignatures(BASE, other)), said(compareSignatures(other, BASE))], [there, back])
    }
  })

  it('what neither names is no change', () => {
    const { labels: _, features: __, ...bare } = BASE
    assert.deepEqual(compareSignatures(bare, bare), { compatibility: 'compatible', changes: [] })
  })

  it('pictures, or shapes of any rank, that stay are no change', () => {
    for (const same of [changed({ image: true }), changed(input({ shape: [], anyRank: true }))])
      assert.deepEqual(compareSignatures(same, same), { compatibility: 'compatible', changes: [] })
  })

  it('a shape takes those of its own rank alone, and one of any rank is taken by its like', () => {
    const shapes = [{ shape: [] }, { shape: [-1] }, { shape: [-1, -1] }, { shape: [], anyRank: true }]
    const effects = (from: object): Compatibility[] =>
      shapes.map((to) => compareSignatures(changed(input(from)), changed(input(to))).compatibility)
    assert.deepEqual(shapes.map(effects), [
      ['compatible', 'breaking', 'breaking', 'additive'],
      ['breaking', 'compatible', 'breaking', 'additive'],
      ['breaking', 'breaking', 'compatible', 'additive'],
      ['breaking', 'breaking', 'breaking', 'compatible'],
    ])
  })

  it('a limit that moves breaks in one direction alone', () => {
    const limits = (minimum: number): SignatureDocument => changed(feature(0, { minimum, maximum: 100 }))
    const [low, high] = [limits(0), limits(10)]
    assert.deepEqual([compareSignatures(low, high).compatibility, compareSignatures(high, low).compatibility], ['breaking', 'additive'])
    const from = compareSignatures(
      changed(feature(0, { maximum: undefined })),
      changed(feature(0, { minimum: undefined, maximum: undefined })),
    )
    assert.deepEqual([from.compatibility, from.changes.length], ['additive', 1])
  })

  it('what is taken away breaks, what it was before adds: there and back is never compatible twice', () => {
    for (const [what, after, effect] of CASES) {
      if (effect !== 'additive') continue
      const back = compareSignatures(changed(after), BASE).compatibility
      assert.equal(back, 'breaking', what)
    }
  })
})
