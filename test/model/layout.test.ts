import assert from 'node:assert/strict'
import { symlink } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { describe, it } from 'node:test'
import { isSlipwayError } from '../../src/core/errors.ts'
import { findLayout, findPackages } from '../../src/model/layout.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { VersionPolicy } from '../../src/model/layout.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

async function folderWith(...files: string[]): Promise<TemporaryFolder> {
  const folder = await temporaryFolder()
  for (const file of files) await folder.write(file, '')
  return folder
}

/** Name, version and place of every model that is found. */
async function found(folder: TemporaryFolder, path = '.', more: { name?: string; versions?: VersionPolicy } = {}): Promise<string[]> {
  const packages = await findPackages({ path: join(folder.path, path), versions: 'latest', ...more })
  return packages.map((location) => `${location.name} ${location.version} ${relative(folder.path, location.path)}`)
}

const refused =
  (code: ErrorCode, message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(isSlipwayError(error), String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  }

describe('models at a path', () => {
  it('a file is a model named after itself', async () => {
    await using folder = await folderWith('churn-v2.onnx')
    assert.deepEqual(await found(folder, 'churn-v2.onnx'), ['churn-v2 1 churn-v2.onnx'])
    assert.deepEqual(await found(folder, 'churn-v2.onnx', { name: 'churn' }), ['churn 1 churn-v2.onnx'])
  })

  it('a folder with slipway.yaml, or with exactly one model, is a package', async () => {
    await using folder = await folderWith('a/slipway.yaml', 'a/one.onnx', 'a/two.onnx', 'b/only.onnx', 'b/.hidden.onnx', 'b/readme.md')
    assert.deepEqual([...(await found(folder, 'a')), ...(await found(folder, 'b', { name: 'B' }))], ['a 1 a', 'B 1 b'])
  })

  it('of numbered versions the latest by number is served, or all, or those that are listed', async () => {
    await using folder = await folderWith(
      'm/2/model.onnx',
      'm/10/model.onnx',
      'm/9/model.onnx',
      'm/notes/x.txt',
      'm/11/empty.txt',
      'm/slipway.yaml',
    )
    assert.deepEqual(await found(folder, 'm'), ['m 10 m/10'])
    assert.deepEqual(await found(folder, 'm', { versions: 'all' }), ['m 2 m/2', 'm 9 m/9', 'm 10 m/10'])
    assert.deepEqual(await found(folder, 'm', { versions: ['9', '2'] }), ['m 2 m/2', 'm 9 m/9'])
    await assert.rejects(
      found(folder, 'm', { versions: ['2', '3'] }),
      refused('SLW_CONFIG_INVALID', /model "m" has no version 3; found 2, 9, 10/),
    )
  })

  it('a volume of KServe has the model, its versions, or a folder of models, also through links of a mount', async () => {
    await using folder = await folderWith(
      'one/models/model.onnx',
      'one/models/model-settings.json',
      'versions/models/1/model.onnx',
      'versions/models/2/model.onnx',
      'many/models/churn/config.pbtxt',
      'many/models/churn/1/model.onnx',
      'mounted/models/..2026/churn.onnx',
    )
    await symlink('..2026', join(folder.path, 'mounted/models/..data'))
    await symlink('..data/churn.onnx', join(folder.path, 'mounted/models/churn.onnx'))
    assert.deepEqual(await found(folder, 'one/models', { name: 'isvc' }), ['isvc 1 one/models'])
    assert.deepEqual(await found(folder, 'versions/models', { name: 'isvc' }), ['isvc 2 versions/models/2'])
    assert.deepEqual(await found(folder, 'many/models'), ['churn 1 many/models/churn/1'])
    assert.deepEqual(await found(folder, 'mounted/models'), ['models 1 mounted/models'])
  })

  it('of a folder of Triton the file is served that its configuration names, and a version may have nothing', async () => {
    await using folder = await folderWith(
      'r/m/1/model.onnx',
      'r/m/1/other.onnx',
      'r/m/2/mine.onnx',
      'r/m/2/model.onnx',
      'r/e/1/.keep',
      'r/d/model.onnx',
      'r/d/x.onnx',
    )
    const models = async (): Promise<string[]> =>
      (await findPackages({ path: join(folder.path, 'r') })).map(({ name, version, path, parts = [] }) =>
        `${name} ${version} ${relative(folder.path, path)} ${parts.join()}`.trim(),
      )
    await folder.write('r/d/config.pbtxt', '')
    assert.deepEqual(await models(), ['d 1 r/d'], 'nobody says which file it is')
    await folder.write('r/m/config.pbtxt', 'version_policy { all { } }')
    await folder.write('r/e/config.pbtxt', 'name: "ensemble" platform: "ensemble" ensemble_scheduling { step { model_name: "m" } }')
    assert.deepEqual(await models(), ['d 1 r/d', 'ensemble 1 r/e/1 m', 'm 1 r/m/1', 'm 2 r/m/2'])
    await folder.write('r/m/config.pbtxt', 'default_model_filename: "mine.onnx"')
    assert.deepEqual(await models(), ['d 1 r/d', 'ensemble 1 r/e/1 m', 'm 2 r/m/2'])
  })

  it('a model of the Hub of Hugging Face lies in the folder onnx, below the files that describe it', async () => {
    await using folder = await folderWith(
      'hub/onnx/model.onnx',
      'hub/onnx/model_quantized.onnx',
      'hub/tokenizer.json',
      'hub/1_Pooling/config.json',
      'many/encoder/onnx/model.onnx',
      'many/encoder/config.json',
      'many/versions/2/onnx/model.onnx',
      'many/versions/2/config.json',
      'repo/onnx/model.onnx',
      'repo/other/model.onnx',
    )
    assert.deepEqual(await found(folder, 'hub'), ['hub 1 hub'])
    assert.deepEqual(await found(folder, 'many'), ['encoder 1 many/encoder', 'versions 2 many/versions/2'])
    assert.deepEqual(await found(folder, 'repo'), ['onnx 1 repo/onnx', 'other 1 repo/other'], 'a model may have this name')
  })

  it('a repository is a folder of models; what holds none, hidden folders and dangling links are passed over', async () => {
    await using folder = await folderWith(
      'b/model.onnx',
      'a/1/model.onnx',
      'a/2/model.onnx',
      'docs/readme.md',
      '.git/model.onnx',
      'file.txt',
    )
    await symlink(join(folder.path, 'nowhere'), join(folder.path, 'dangling'))
    assert.deepEqual(await found(folder), ['a 2 a/2', 'b 1 b'])
    await assert.rejects(
      found(folder, '.', { name: 'x' }),
      refused('SLW_CONFIG_INVALID', /holds several models, so the name "x" fits none of them/),
    )
  })

  it('a model is called as its document says, and a name that is taken or impossible is skipped with the reason', async () => {
    await using folder = await folderWith('single/model.onnx', 'many/1/model.onnx', 'many/2/model.onnx', 'repo/a/model.onnx')
    for (const name of ['b', 'c', 'd']) await folder.write(`repo/${name}/model.onnx`, '')
    await folder.write('single/slipway.yaml', 'name: churn\n')
    await folder.write('many/slipway.yaml', 'name: churn\n')
    await folder.write('repo/a/slipway.yaml', 'name: first\n')
    await folder.write('repo/b/slipway.yaml', 'name: first\n')
    await folder.write('repo/c/slipway.yaml', 'name: no name\n')
    await folder.write('repo/d/slipway.yaml', 'name: [broken\n')
    assert.deepEqual(await found(folder, 'single'), ['churn 1 single'])
    assert.deepEqual(await found(folder, 'single', { name: 'given' }), ['given 1 single'])
    assert.deepEqual(await found(folder, 'many'), ['churn 2 many/2'])
    const { packages, skipped } = await findLayout({ path: join(folder.path, 'repo'), versions: 'latest' })
    assert.deepEqual(
      packages.map(({ name }) => name),
      ['first', 'd'],
    )
    assert.match(skipped[0]?.reason ?? '', /the name "first" is that of .*\/repo\/a/)
    assert.match(skipped[1]?.reason ?? '', /"no name" cannot be the name of a model/)
    await folder.write('single/slipway.yaml', 'name: renamed\n')
    assert.deepEqual(await found(folder, 'single'), ['renamed 1 single'])
  })

  it('nothing to serve says what was found instead', async () => {
    await using folder = await folderWith(
      'two/a.onnx',
      'two/b.onnx',
      'other/readme.md',
      'weights.pt',
      'many/1',
      ...Array.from({ length: 12 }, (_, index) => `many/f${index}`),
    )
    await folder.write('empty/.keep', '')
    const cases: [string, ErrorCode, RegExp][] = [
      ['missing', 'SLW_PATH_NOT_FOUND', /missing: no such file or folder/],
      ['weights.pt', 'SLW_MODEL_INVALID', /weights\.pt: not an \.onnx file/],
      ['empty', 'SLW_MODEL_INVALID', /no model here; the folder is empty\. Expected an \.onnx file/],
      ['two', 'SLW_MODEL_INVALID', /found 2 \.onnx files \(a\.onnx, b\.onnx\): which one\?/],
      ['other', 'SLW_MODEL_INVALID', /found readme\.md\. Expected/],
      ['many', 'SLW_MODEL_INVALID', /and 5 more/],
    ]
    for (const [path, code, message] of cases) await assert.rejects(found(folder, path), refused(code, message), path)
  })

  it('a name that no URL could carry is refused, and the cure is told', async () => {
    await using folder = await folderWith('my model.onnx', 'good/model.onnx', 'sub/bad name/model.onnx')
    await assert.rejects(
      found(folder, 'my model.onnx'),
      refused('SLW_CONFIG_INVALID', /"my model" cannot be the name of a model .*NAME=PATH/),
    )
    await assert.rejects(found(folder, 'good', { name: '../x' }), refused('SLW_CONFIG_INVALID', /"\.\.\/x" cannot be the name/))
    await assert.rejects(found(folder, 'sub'), refused('SLW_CONFIG_INVALID', /"bad name" cannot be the name/))
    assert.deepEqual(await found(folder, 'my model.onnx', { name: 'my-model' }), ['my-model 1 my model.onnx'])
  })
})
