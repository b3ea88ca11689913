import assert from 'node:assert/strict'
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { localVersion } from '../../src/cli/model/package-files.ts'
import { isSlipwayError } from '../../src/core/errors.ts'
import { fingerprintOf } from '../../src/model/fingerprint.ts'
import { packageDigest, readPackage } from '../../src/model/package.ts'
import { buildModel, external, floats, linearModel, node, value } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ModelPackage } from '../../src/model/package.ts'

const at = (path: string): Promise<ModelPackage> => readPackage({ name: 'given', version: '1', path })

const invalid =
  (message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(isSlipwayError(error), String(error))
    assert.equal(error.code, 'SLW_PACKAGE_INVALID')
    assert.match(error.message, message)
    return true
  }

/** The digest of a package of these files. */
async function digestOf(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  await using folder = await temporaryFolder()
  for (const [name, content] of Object.entries(files)) await folder.write(name, content)
  return await packageDigest(await at(folder.path))
}

describe('a model package', () => {
  it('of texts is one too where the model file alone is named: what makes it that lies beside it', async () => {
    await using folder = await temporaryFolder()
    const ids = buildModel({
      input: [value('input_ids', 'INT64', ['n', 'length'])],
      output: [value('y', 'INT64', ['n', 'length'])],
      node: [node('Identity', ['input_ids'], ['y'])],
    })
    const path = await folder.write('m/model.onnx', ids)
    assert.equal((await at(path)).text, undefined)
    const before = await fingerprintOf(path)
    await folder.write('m/tokenizer.json', '{}')
    await folder.write('m/config.json', '{}')
    assert.deepEqual((await at(path)).text?.paths, ['tokenizer.json', 'config.json'])
    assert.notEqual(await fingerprintOf(path), before)
    const { files } = await localVersion(path)
    assert.deepEqual(files.map((file) => file.path).toSorted(), ['config.json', 'model.onnx', 'tokenizer.json'])
  })

  it('is a file with nothing declared, or a folder whose slipway.yaml has its say', async () => {
    await using folder = await temporaryFolder()
    const file = await folder.write('m/model.onnx', linearModel())
    await folder.write('m/slipway.yaml', 'name: churn\nversion: "7"\nfeatures:\n  - { name: a, type: number }\n')
    const bare = await at(file)
    assert.deepEqual([bare.name, bare.version, bare.document, bare.modelPath, bare.file.inputs[0]?.name], ['given', '1', {}, file, 'x'])
    const declared = await at(join(folder.path, 'm'))
    assert.deepEqual(
      [declared.name, declared.version, declared.modelPath, declared.document.features?.[0]?.name],
      ['churn', '7', file, 'a'],
    )
    assert.equal(declared.modelBytes, linearModel().length)
  })

  it('a numbered version without a slipway.yaml of its own has that of the folder above', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/slipway.yaml', 'description: above\n')
    await folder.write('m/1/model.onnx', linearModel())
    await folder.write('m/2/model.onnx', linearModel())
    await folder.write('m/2/slipway.yaml', 'description: own\n')
    const descriptions = await Promise.all(
      ['1', '2'].map(async (version) => (await at(join(folder.path, 'm', version))).document.description),
    )
    assert.deepEqual(descriptions, ['above', 'own'])
  })

  it('errors of slipway.yaml name file, line and column, all of them, with what was meant', async () => {
    await using folder = await temporaryFolder()
    await folder.write('model.onnx', linearModel())
    const file = await folder.write(
      'slipway.yaml',
      '# churn\nname: churn\nfeatuers: []\nfeatures:\n  - name: a\n    type: nummer\n  - { name: b, type: number, mnimum: 1 }\nserving:\n    maxBatchSize: 0\n',
    )
    await assert.rejects(at(folder.path), (error: Error) => {
      const lines = error.message.split('\n')
      assert.deepEqual(lines.map((line) => line.slice(file.length + 1, line.indexOf(' ') - 1)).toSorted(), ['3:1', '6:5', '7:30', '9:5'])
      assert.ok(lines.every((line) => line.startsWith(`${file}:`)))
      return (
        invalid(/:3:1: featuers: unknown key; did you mean "features"\?/)(error) &&
        invalid(/:6:5: features\[0\]\.type: must be one of \["number","integer"/)(error) &&
        invalid(/features\[1\]\.mnimum: unknown key; did you mean "minimum"\?/)(error) &&
        invalid(/:9:5: serving\.maxBatchSize: must be >= 1/)(error)
      )
    })
  })

  it('a slipway.yaml that is no YAML, or hides more than it shows, is refused like any other', async () => {
    await using folder = await temporaryFolder()
    await folder.write('model.onnx', linearModel())
    const bomb = Array.from(
      { length: 9 },
      (_, level) => `a${level}: &a${level} [${Array.from({ length: 9 }, () => (level === 0 ? '1' : `*a${level - 1}`)).join()}]`,
    ).join('\n')
    for (const [text, message] of [
      ['name: [1\n', /slipway\.yaml:\d+:\d+: /],
      ['name: a\nname: b\n', /slipway\.yaml:2:1: Map keys must be unique/],
      ['name: *missing\n', /slipway\.yaml:\d+:\d+: .*alias/i],
      [bomb, /slipway\.yaml:\d+:\d+: .*alias/i],
      ['- a\n- b\n', /slipway\.yaml:1:1: /],
    ] as const) {
      await folder.write('slipway.yaml', text)
      await assert.rejects(at(folder.path), invalid(message), text.slice(0, 40))
    }
  })

  it('"model:" names a file of the package, and must where there are several', async () => {
    await using folder = await temporaryFolder()
    await folder.write('outside.onnx', linearModel())
    await folder.write('m/a.onnx', linearModel())
    await folder.write('m/b.onnx', linearModel())
    const path = join(folder.path, 'm')
    await assert.rejects(at(path), invalid(/2 \.onnx files \(a\.onnx, b\.onnx\); name one with "model:" in slipway\.yaml/))
    await folder.write('m/slipway.yaml', 'model: b.onnx\n')
    assert.equal((await at(path)).modelPath, join(path, 'b.onnx'))
    for (const [model, message] of [
      ['c.onnx', /"c\.onnx" is not a file of the package/],
      ['../outside.onnx', /"\.\.\/outside\.onnx" is outside the package/],
      ['.', /is not a file of the package/],
    ] as const) {
      await folder.write('m/slipway.yaml', `model: ${model}\n`)
      await assert.rejects(at(path), invalid(message), model)
    }
    await mkdir(join(folder.path, 'empty'))
    await assert.rejects(at(join(folder.path, 'empty')), invalid(/empty: no \.onnx file/))
  })
})

describe('the digest of a package', () => {
  const model = linearModel()
  const yaml = 'name: churn\nversion: "7"\nanswer: { task: regression }\n'

  it('does not change with how the model is served, where it lies, or how its YAML is written', async () => {
    const digest = await digestOf({ 'model.onnx': model, 'slipway.yaml': yaml })
    assert.match(digest, /^sha256:[0-9a-f]{64}$/)
    assert.equal(await digestOf({ 'model.onnx': model, 'slipway.yaml': `${yaml}serving: { maxBatchSize: 4, instances: 2 }\n` }), digest)
    assert.equal(await digestOf({ 'model.onnx': model, 'slipway.yaml': `# a comment\n${yaml}\n`, 'readme.md': 'x' }), digest)
  })

  it('changes with the model, its external data, and what is declared of it', async () => {
    const weights = (last: number): Uint8Array => new Uint8Array(Float32Array.of(1, last).buffer)
    const outside = linearModel({ initializer: [external('w', [2, 1], { location: 'w.bin' }), floats('b', [1], 0.5)] })
    const digests = await Promise.all([
      digestOf({ 'model.onnx': model, 'slipway.yaml': yaml }),
      digestOf({ 'model.onnx': model, 'slipway.yaml': `${yaml}description: x\n` }),
      digestOf({ 'model.onnx': linearModel({ opset: 16 }), 'slipway.yaml': yaml }),
      digestOf({ 'other.onnx': model, 'slipway.yaml': yaml }),
      digestOf({ 'model.onnx': outside, 'w.bin': weights(10), 'slipway.yaml': yaml }),
      digestOf({ 'model.onnx': outside, 'w.bin': weights(11), 'slipway.yaml': yaml }),
    ])
    assert.equal(new Set(digests).size, digests.length)
  })

  it('changes with what a config.pbtxt says of tensors and labels, and not with how it has the model served', async () => {
    const config = 'max_batch_size: 8 output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] label_filename: "names.txt" }'
    const files = { 'model.onnx': linearModel(), 'config.pbtxt': config, 'names.txt': 'a' }
    const digest = await digestOf(files)
    assert.equal(await digestOf({ ...files, 'config.pbtxt': `${config} dynamic_batching { }` }), digest)
    assert.notEqual(await digestOf({ ...files, 'names.txt': 'b' }), digest)
    assert.notEqual(await digestOf({ ...files, 'config.pbtxt': config.replace('[ 1 ]', '[ 1, 1 ] reshape { shape: [ 1 ] }') }), digest)
  })

  it('is that of the folder wherever it is moved', async () => {
    await using folder = await temporaryFolder()
    await folder.write('a/model.onnx', model)
    const before = await packageDigest(await at(join(folder.path, 'a')))
    await rename(join(folder.path, 'a'), join(folder.path, 'b'))
    assert.equal(await packageDigest(await at(join(folder.path, 'b'))), before)
  })
})
