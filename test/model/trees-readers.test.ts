import assert from 'node:assert/strict'
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { loadModel } from '../../src/library/load-model.ts'
import { readCatboost } from '../../src/model/formats/trees/catboost.ts'
import { checkEnsemble } from '../../src/model/formats/trees/ensemble.ts'
import { readJson } from '../../src/model/formats/trees/json.ts'
import { layOut } from '../../src/model/formats/trees/lay-out.ts'
import { readLightgbm } from '../../src/model/formats/trees/lightgbm.ts'
import { readUbjson } from '../../src/model/formats/trees/ubjson.ts'
import { readXgboost } from '../../src/model/formats/trees/xgboost.ts'
import { findLayout } from '../../src/model/layout.ts'
import { readPackage } from '../../src/model/package.ts'
import { buildSignature } from '../../src/signature/signature.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** Written by trees/make-samples.py. */
const sample = (name: string): string => join(import.meta.dirname, 'trees/samples', name)
const expected = JSON.parse(await readFile(sample('expected.json'), 'utf8')) as {
  readonly row: { readonly usage: number; readonly age: number; readonly plan: string }
  readonly xgboost: number
  readonly lightgbm: number
  readonly catboost: number
  readonly stopped: number
  readonly best: number
}
const NONE: ReadonlySet<string> = new Set()

/** A file with parts replaced; each has to be there. */
async function changed(name: string, ...changes: readonly (readonly [from: string, to: string])[]): Promise<Buffer> {
  let text = await readFile(sample(name), 'utf8')
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `${name} holds ${from}`)
    text = text.replace(from, to)
  }
  return Buffer.from(text)
}

/** Probability of the second class for one row. */
async function second(path: string, row: unknown): Promise<number> {
  await using model = await loadModel(path, { instances: 1 })
  const { probabilities } = (await model.predict(row)) as { probabilities: Record<string, number> }
  return Object.values(probabilities)[1]!
}

describe('a file of XGBoost, LightGBM or CatBoost is a model by itself, with the names and categories of its table', () => {
  const { row } = expected
  const near = (value: number, wanted: number): void => assert.ok(Math.abs(value - wanted) < 1e-6, `${value}, expected ${wanted}`)

  it('XGBoost, as UBJSON and as JSON', async () => {
    for (const name of ['churn.ubj', 'churn.json']) near(await second(sample(name), row), expected.xgboost)
  })

  it('LightGBM', async () => near(await second(sample('churn.txt'), row), expected.lightgbm))

  it('CatBoost, with the names of its classes', async () => {
    await using model = await loadModel(sample('churn-cat.json'), { instances: 1 })
    const answer = (await model.predict({ usage: row.usage, age: row.age })) as {
      prediction: string
      probabilities: Record<string, number>
    }
    assert.equal(answer.prediction, 'stays')
    near(answer.probabilities['stays']!, expected.catboost)
  })

  it('with early stopping, what the scikit-learn interface has saved stops at the best iteration, and inspection says so', async () => {
    const { file } = await readPackage({ name: 'stopped', version: '1', path: sample('stopped.ubj') })
    assert.equal(file.about['trees'], expected.best + 1)
    assert.match(String(file.about['notes']), new RegExp(`iteration ${expected.best + 1} the best: the first ${expected.best + 1} of`))
    await using model = await loadModel(sample('stopped.ubj'), { instances: 1 })
    const { prediction } = (await model.predict({ usage: row.usage, age: row.age })) as { prediction: number }
    near(prediction, expected.stopped)
  })

  it('a value of no category is named, and null is what is missing', async () => {
    await using model = await loadModel(sample('churn.ubj'), { instances: 1 })
    await assert.rejects(async () => await model.predict({ ...row, plan: 'gold' }), /"gold" is not one of "basic", "plus", "pro"/)
    await assert.rejects(async () => await model.predict({ usage: 1, age: 30 }), /plan: missing/)
    const answer = (await model.predict({ usage: null, age: 30, plan: null })) as { prediction: number }
    assert.ok([0, 1].includes(answer.prediction))
  })
})

it('they are found as bare files, in folders, in numbered versions, and beside the MLmodel of MLflow; other files are not taken for them', async () => {
  await using folder = await temporaryFolder()
  const put = async (name: string, to: string): Promise<void> => {
    await mkdir(join(folder.path, to, '..'), { recursive: true })
    await copyFile(sample(name), join(folder.path, to))
  }
  await put('churn.ubj', 'models/a/1/model.ubj')
  await put('churn.json', 'models/a/2/model.json')
  await put('churn.txt', 'models/b/model.txt')
  await put('churn-cat.json', 'models/c/anything.json')
  await put('churn.ubj', 'models/d/model.xgb')
  await folder.write('models/d/MLmodel', 'flavors: { xgboost: { data: model.xgb } }\n')
  await folder.write('models/d/requirements.txt', 'xgboost\n')
  await folder.write('models/d/input_example.json', '{"inputs": [[1]]}')
  await folder.write('models/e/notes.txt', 'tree of life')
  await folder.write('models/e/data.json', '{"model": {"learner": 1}}')
  const { packages, skipped } = await findLayout({ path: join(folder.path, 'models'), versions: 'all' })
  assert.deepEqual(
    packages.map(({ name, version }) => `${name} ${version}`),
    ['a 1', 'a 2', 'b 1', 'c 1', 'd 1'],
  )
  assert.deepEqual(
    skipped.map(({ path }) => path),
    [join(folder.path, 'models/e')],
  )
  const formats = await Promise.all(packages.map(async (location) => (await readPackage(location)).file.format))
  assert.deepEqual(formats, ['xgboost', 'xgboost', 'lightgbm', 'catboost', 'xgboost'])
  // The content decides, and not the name.
  await put('churn.ubj', 'saved.model')
  const { packages: bare } = await findLayout({ path: join(folder.path, 'saved.model'), versions: 'latest' })
  assert.equal((await readPackage(bare[0]!)).file.format, 'xgboost')
  await put('churn.txt', 'models/b/other.txt')
  await assert.rejects(readPackage({ name: 'b', version: '1', path: join(folder.path, 'models/b') }), /no \.onnx file|2 models of LightGBM/)
})

it('slipway.yaml has the last word on names, and says which of several files it is', async () => {
  await using folder = await temporaryFolder()
  await folder.write('m/a.ubj', await readFile(sample('stopped.ubj')))
  await folder.write('m/b.ubj', await readFile(sample('stopped.ubj')))
  await folder.write(
    'm/slipway.yaml',
    'model: b.ubj\nfeatures:\n  - { name: kWh, type: number, minimum: 0 }\n  - { name: years, type: integer }\n',
  )
  const { file, document, modelPath } = await readPackage({ name: 'm', version: '1', path: join(folder.path, 'm') })
  assert.match(modelPath, /b\.ubj$/)
  const { features, answer } = buildSignature({ file, document, source: 'slipway.yaml' })
  assert.deepEqual(
    features?.map(({ spec }) => spec.name),
    ['kWh', 'years'],
  )
  assert.equal(answer.task, 'regression')
})

describe('what would not be the same is refused by name', () => {
  const cases: readonly (readonly [what: string, read: () => Promise<unknown>, code: string, words: RegExp])[] = [
    [
      'a linear booster',
      async () => readXgboost(await readFile(sample('linear.json'))),
      'SLW_MODEL_UNSUPPORTED',
      /"gblinear", a linear model/,
    ],
    ['linear trees', async () => readLightgbm(await readFile(sample('linear.txt'))), 'SLW_MODEL_UNSUPPORTED', /linear_tree/],
    [
      'categories of CatBoost',
      async () => readCatboost(await readFile(sample('categories-cat.json'))),
      'SLW_MODEL_UNSUPPORTED',
      /categorical features/,
    ],
    [
      'an objective of XGBoost',
      async () => readXgboost(await changed('churn.json', ['binary:logistic', 'binary:own'])),
      'SLW_MODEL_UNSUPPORTED',
      /objective is "binary:own"; known are/,
    ],
    [
      'an objective of LightGBM',
      async () => readLightgbm(await changed('churn.txt', ['objective=binary', 'objective=own'])),
      'SLW_MODEL_UNSUPPORTED',
      /objective is "own"; known are/,
    ],
    [
      'a loss of CatBoost',
      async () => readCatboost(await changed('churn-cat.json', ['Logloss', 'Own'])),
      'SLW_MODEL_UNSUPPORTED',
      /loss function is "Own"/,
    ],
    [
      'a version of LightGBM',
      async () => readLightgbm(await changed('churn.txt', ['version=v4', 'version=v9'])),
      'SLW_MODEL_UNSUPPORTED',
      /version "v9"/,
    ],
    [
      'a file cut off',
      async () => readLightgbm((await readFile(sample('churn.txt'))).subarray(0, 900)),
      'SLW_MODEL_INVALID',
      /ends after|missing|expected/,
    ],
    [
      'UBJSON cut off',
      async () => readXgboost((await readFile(sample('churn.ubj'))).subarray(0, 900)),
      'SLW_MODEL_INVALID',
      /no UBJSON: byte/,
    ],
    [
      'JSON cut off',
      async () => readXgboost((await readFile(sample('churn.json'))).subarray(0, 900)),
      'SLW_MODEL_INVALID',
      /no JSON: byte \d+/,
    ],
    [
      'a tree with a circle',
      async () => checkEnsemble(readXgboost(await changed('churn.json', ['"left_children":[1', '"left_children":[0']))),
      'SLW_MODEL_INVALID',
      /comes to split 0 twice/,
    ],
    [
      'a feature that is not there',
      async () => checkEnsemble(readLightgbm(await changed('churn.txt', ['max_feature_idx=2', 'max_feature_idx=0']))),
      'SLW_MODEL_INVALID',
      /feature \d of 1/,
    ],
  ]
  for (const [what, read, code, words] of cases)
    it(what, async () => {
      await assert.rejects(read, (error: Error & { code?: string }) => {
        assert.equal(error.code, code, error.message)
        assert.match(error.message, words)
        return true
      })
    })
})

describe('files that ask for more than they are cost nothing', () => {
  const tree = (fields: string): Buffer =>
    Buffer.from(
      `tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\nfeature_names=Column_0\n\nTree=0\n${fields}\nis_linear=0\n\nend of trees\n`,
    )
  const list = (count: number, of: (index: number) => number): string => Array.from({ length: count }, (_, index) => of(index)).join(' ')

  it('as many sums as trees: time grows as the file does', () => {
    const timeOf = (sums: number): number => {
      const trees = Array.from({ length: sums }, (_, index) => `Tree=${index}\nnum_leaves=1\nnum_cat=0\nleaf_value=${index}\n`).join('\n')
      const head = `tree\nversion=v4\nnum_class=${sums}\nnum_tree_per_iteration=${sums}\nmax_feature_idx=0\nobjective=multiclass\n`
      const model = readLightgbm(Buffer.from(`${head}\n${trees}\nend of trees\n`))
      const begun = performance.now()
      assert.equal(layOut(model).roots.length, sums)
      return performance.now() - begun
    }
    timeOf(4000)
    const [few, many] = [timeOf(4000), timeOf(64_000)]
    assert.ok(many < 100 * few, `${few} ms, and ${many} ms for 16 times as many`)
  })

  it('a tree so deep that loading it would end the process', () => {
    const chain = (splits: number): Buffer =>
      tree(
        `num_leaves=${splits + 1}\nnum_cat=0\nsplit_feature=${list(splits, () => 0)}\nthreshold=${list(splits, (index) => index)}\n` +
          `decision_type=${list(splits, () => 0)}\nleft_child=${list(splits, (index) => ~index)}\n` +
          `right_child=${list(splits, (index) => (index + 1 < splits ? index + 1 : ~splits))}\nleaf_value=${list(splits + 1, (index) => index)}`,
      )
    checkEnsemble(readLightgbm(chain(2000)))
    assert.throws(() => checkEnsemble(readLightgbm(chain(3000))), { code: 'SLW_MODEL_UNSAFE', message: /2048 questions/ })
  })

  it('sets of millions of categories', () => {
    const words = 200_000
    const set = tree(
      `num_leaves=2\nnum_cat=1\nsplit_feature=0\nthreshold=0\ndecision_type=1\nleft_child=-1\nright_child=-2\nleaf_value=0 1\n` +
        `cat_boundaries=0 ${words}\ncat_threshold=${list(words, () => 0x55555555)}`,
    )
    assert.throws(() => readLightgbm(set), { code: 'SLW_MODEL_UNSAFE', message: /splits in all trees/ })
  })

  it('counts beyond the end, lists in lists, and more values than a model has', () => {
    const count = (bytes: string): Buffer => Buffer.concat([Buffer.from(bytes), Buffer.from('7fffffffffffffff', 'hex'), Buffer.alloc(64)])
    for (const bytes of ['[$d#L', '[#L', '[$T#L', '[$[#L', '{L', 'SL'])
      assert.throws(() => readUbjson(count(bytes), NONE), { code: 'SLW_MODEL_INVALID' }, bytes)
    for (const bytes of ['[', '{"a":', '[['])
      assert.throws(() => readJson(Buffer.from(bytes.repeat(100_000)), NONE), { code: 'SLW_MODEL_UNSAFE', message: /deep/ })
    assert.throws(() => readUbjson(Buffer.from('['.repeat(100_000)), NONE), { code: 'SLW_MODEL_UNSAFE', message: /deep/ })
    assert.throws(() => readJson(Buffer.from(`[${'[],'.repeat(2_100_000)}[]]`), NONE), { code: 'SLW_MODEL_UNSAFE', message: /more than/ })
    assert.throws(() => readUbjson(Buffer.from(`[${'Z'.repeat(2_100_000)}]`), NONE), { code: 'SLW_MODEL_UNSAFE', message: /more than/ })
  })
})

it('JSON is what the platform reads, and the words for numbers that XGBoost writes beside; what is skipped is null', () => {
  const read = (text: string): unknown => plain(readJson(Buffer.from(text), new Set(['skip'])))
  for (const text of [
    '{"a":[1,-2.5,1e-45,3e38,0,-0],"b":"\\u00e4\\"\\n","c":[true,null,{}],"d":[[],[1]]}',
    ' [ ] ',
    '"x"',
    '123456789012345678',
  ])
    assert.deepEqual(read(text), JSON.parse(text))
  assert.deepEqual(read('[NaN,Infinity,-Infinity]'), [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
  assert.deepEqual(read('{"skip":[1,{"]":"}"}],"a":1}'), { skip: null, a: 1 })
  for (const text of ['', '[1', '[1,]', '{"a"1}', '{a:1}', 'tru', '[1 2]', '"\\q"', '-', '1e', '{} x', '{"skip":'])
    assert.throws(() => read(text), { code: 'SLW_MODEL_INVALID' }, text)
})

function plain(value: unknown): unknown {
  if (value instanceof Float64Array) return [...value]
  if (Array.isArray(value)) return value.map(plain)
  return value instanceof Map ? Object.fromEntries([...value].map(([key, one]) => [key, plain(one)])) : value
}
