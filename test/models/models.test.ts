import assert from 'node:assert/strict'
import { it } from 'node:test'
import { placeOf } from '../../src/models/version-source.ts'
import { judgeByNames } from '../../src/models/servable.ts'
import { filesBelow, listFolder, requireTreePath } from '../../src/files/file-trees.ts'
import { treeDigest } from '../../src/core/content-digest.ts'
import { addFile, ANNA, eachRegistry, NOBODY, OWNER } from './in-registry.ts'
import type { Registry } from './registry.ts'

const RUN = '0123456789abcdef0123456789abcdef'

async function runWithModel(registry: Registry, database: Parameters<typeof addFile>[0]): Promise<string> {
  const run = await registry.runs.create(ANNA, { experimentId: '0' })
  await addFile(database, `run:${run.id}`, 'model/model.onnx', 'weights')
  await addFile(database, `run:${run.id}`, 'model/MLmodel', 'flavors: {}')
  await addFile(database, `run:${run.id}`, 'models/else.txt', 'else')
  return run.id
}

eachRegistry('a version is a copy of what the run holds now, whatever becomes of the run', async (registry, database) => {
  const run = await runWithModel(registry, database)
  await registry.models.create(ANNA, { name: 'm' })
  const source = `mlflow-artifacts:/0/${run}/artifacts/model`
  const version = await registry.versions.create(ANNA, 'm', { source, runId: run, tags: [{ key: 'k', value: '1' }] })
  assert.deepEqual([version.number, version.servable, version.size, version.runId], [1, true, 18, run])
  await addFile(database, `run:${run}`, 'model/model.onnx', 'other weights')
  const files = await filesBelow(database.read, `version:${version.id}`)
  assert.deepEqual(
    files.map(({ path, size }) => [path, size]),
    [
      ['MLmodel', 11],
      ['model.onnx', 7],
    ],
  )
  assert.equal(version.digest, treeDigest(files))
  const again = await registry.versions.create(ANNA, 'm', { source, runId: run })
  assert.equal(again.number, 2)
  assert.notEqual(again.digest, version.digest)
  const copy = await registry.versions.create(ANNA, 'm', { source: 'models:/m/1' })
  assert.deepEqual([copy.number, copy.digest, copy.provenance.parentVersion, copy.runId], [3, version.digest, 'm/1', run])
})

eachRegistry('a version keeps the place of files elsewhere, whatever is renamed or deleted later', async (registry) => {
  const { experiments, runs, loggedModels, models, versions } = registry
  const { id: experimentId } = await experiments.create(ANNA, { name: 'on a bucket', artifactLocation: 's3://bucket/e/' })
  const run = await runs.create(ANNA, { experimentId })
  const made = await loggedModels.create(ANNA, { experimentId })
  for (const name of ['a', 'b', 'c']) await models.create(ANNA, { name })
  await versions.create(ANNA, 'a', { source: 's3://bucket/model' })
  const places = {
    'models:/a/1': 's3://bucket/model',
    'models:/b/1': 's3://bucket/model',
    [`runs:/${run.id}/model`]: `s3://bucket/e/${run.id}/artifacts/model`,
    [`runs:/${run.id}`]: `s3://bucket/e/${run.id}/artifacts`,
    [`models:/${made.id}`]: `s3://bucket/e/models/${made.id}/artifacts`,
  }
  for (const source of Object.keys(places)) await versions.create(ANNA, 'b', { source })
  await versions.create(ANNA, 'c', { source: 'models:/b/5' })
  await models.rename(ANNA, 'a', 'renamed')
  await models.delete(ANNA, 'renamed')
  await loggedModels.delete(ANNA, made.id)
  for (const [index, location] of Object.values(places).entries()) {
    const found = await versions.get(ANNA, 'b', String(index + 1))
    assert.deepEqual([found.location, found.digest, found.size, found.servable], [location, undefined, undefined, false])
  }
  assert.equal((await versions.get(ANNA, 'c', '1')).location, Object.values(places)[4])
})

eachRegistry('what is no business of a caller is refused as a source', async (registry, database) => {
  const run = await runWithModel(registry, database)
  await registry.models.create(ANNA, { name: 'm' })
  const own = `mlflow-artifacts:/0/${run}/artifacts`
  for (const source of ['/etc/passwd', 'file:///etc', './x', 'mlflow-artifacts:/etc', `${own}/../../x`, `${own}/%2e%2e/x`, 'models:/m/1/x'])
    await assert.rejects(registry.versions.create(ANNA, 'm', { source }), { code: 'SLW_INPUT_INVALID' }, source)
  for (const source of ['http://other/x', `mlflow-artifacts://other/0/${run}/artifacts`])
    await assert.rejects(registry.versions.create(ANNA, 'm', { source }), { code: 'SLW_INPUT_INVALID' }, source)
  for (const source of [`runs:/${RUN}/model`, `mlflow-artifacts:/0/${RUN}/artifacts/model`, 'models:/m/9', `models:/m-${RUN}`])
    await assert.rejects(registry.versions.create(ANNA, 'm', { source }), { code: 'SLW_NOT_FOUND' }, source)
  const elsewhere = await registry.versions.create(ANNA, 'm', { source: 's3://bucket/model' })
  assert.deepEqual([elsewhere.servable, elsewhere.digest], [false, undefined])
  assert.match(elsewhere.servableReason ?? '', /not with this registry/)
  assert.equal(elsewhere.number, 1, 'a refused registration takes no number')
})

eachRegistry('numbers of a name are never used again, neither after a deletion nor a renaming', async (registry) => {
  const { models, versions } = registry
  const source = 's3://bucket/model'
  await models.create(ANNA, { name: 'm' })
  await versions.create(ANNA, 'm', { source })
  await versions.create(ANNA, 'm', { source })
  await versions.delete(ANNA, 'm', '2')
  await assert.rejects(versions.get(ANNA, 'm', '2'), { code: 'SLW_NOT_FOUND' })
  assert.equal((await versions.create(ANNA, 'm', { source })).number, 3)
  await models.delete(ANNA, 'm')
  await models.create(ANNA, { name: 'm' })
  assert.equal((await versions.create(ANNA, 'm', { source })).number, 4)
  await models.create(ANNA, { name: 'other' })
  assert.equal((await versions.create(ANNA, 'other', { source })).number, 1)
  await models.delete(ANNA, 'other')
  await models.rename(ANNA, 'm', 'other')
  assert.equal((await versions.get(ANNA, 'other', '4')).model, 'other')
  assert.equal((await versions.create(ANNA, 'other', { source })).number, 5)
})

eachRegistry('versions that are registered at once get different numbers without gaps', async ({ models, versions }) => {
  await models.create(ANNA, { name: 'm' })
  const made = await Promise.all(Array.from({ length: 12 }, () => versions.create(ANNA, 'm', { source: 's3://bucket/model' })))
  assert.deepEqual(
    made.map(({ number }) => number).toSorted((a, b) => a - b),
    Array.from({ length: 12 }, (_, index) => index + 1),
  )
})

eachRegistry('an alias moves, goes with its version, and may be protected', async ({ models, versions, aliases }) => {
  await models.create(ANNA, { name: 'm' })
  for (const source of ['s3://b/1', 's3://b/2', 's3://b/3']) await versions.create(ANNA, 'm', { source })
  await aliases.set(ANNA, 'm', { alias: 'champion', version: '1' }, NOBODY)
  await aliases.set(ANNA, 'm', { alias: 'champion', version: '2' }, NOBODY)
  assert.equal((await aliases.resolve(ANNA, 'm', 'champion'))?.number, 2)
  assert.deepEqual((await models.get(ANNA, 'm')).aliases, [{ alias: 'champion', version: 2 }])
  assert.deepEqual((await versions.get(ANNA, 'm', '2')).aliases, ['champion'])
  await versions.delete(ANNA, 'm', '2')
  assert.equal(await aliases.resolve(ANNA, 'm', 'champion'), undefined)
  await assert.rejects(aliases.set(ANNA, 'm', { alias: 'champion', version: '2' }, NOBODY), { code: 'SLW_NOT_FOUND' })
  for (const alias of ['latest', 'LATEST', 'v1', 'V22', '', 'a b', 'a/b'])
    await assert.rejects(aliases.set(ANNA, 'm', { alias, version: '1' }, NOBODY), { code: 'SLW_INPUT_INVALID' }, alias)

  await models.update(ANNA, 'm', { protectedAliases: ['champion'] })
  await assert.rejects(aliases.set(ANNA, 'm', { alias: 'champion', version: '1' }, NOBODY), { code: 'SLW_FORBIDDEN' })
  await aliases.set(ANNA, 'm', { alias: 'champion', version: '1' }, OWNER)
  await assert.rejects(aliases.remove(ANNA, 'm', { alias: 'champion' }, NOBODY), { code: 'SLW_FORBIDDEN' })
  await assert.rejects(versions.delete(ANNA, 'm', '1'), { code: 'SLW_CONFLICT' })
  await assert.rejects(models.delete(ANNA, 'm'), { code: 'SLW_CONFLICT' })
  assert.equal((await aliases.resolve(ANNA, 'm', 'champion'))?.number, 1, 'a refused deletion takes no alias')
  await aliases.remove(ANNA, 'm', { alias: 'champion' }, OWNER)
  await models.delete(ANNA, 'm')
})

eachRegistry('stages of older clients: one version of each is the latest', async ({ models, versions }) => {
  await models.create(ANNA, { name: 'm' })
  for (const source of ['s3://b/1', 's3://b/2', 's3://b/3']) await versions.create(ANNA, 'm', { source })
  await versions.moveToStage(ANNA, 'm', '1', { stage: 'production', archiveOthers: false })
  await versions.moveToStage(ANNA, 'm', '2', { stage: 'Production', archiveOthers: true })
  const stages = (await models.get(ANNA, 'm')).latestVersions.map(({ number, stage }) => [number, stage])
  assert.deepEqual(stages, [
    [1, 'Archived'],
    [3, 'None'],
    [2, 'Production'],
  ])
  await assert.rejects(versions.moveToStage(ANNA, 'm', '1', { stage: 'gone', archiveOthers: false }), { code: 'SLW_INPUT_INVALID' })
  await assert.rejects(versions.moveToStage(ANNA, 'm', '1', { stage: 'None', archiveOthers: true }), { code: 'SLW_INPUT_INVALID' })
})

eachRegistry(
  'every change of the registry is an event, with who did it and what was before',
  async ({ models, versions, aliases }, database) => {
    await models.create(ANNA, { name: 'm' })
    await versions.create({ ...ANNA, reason: 'nightly' }, 'm', { source: 's3://b/1' })
    await versions.create(ANNA, 'm', { source: 's3://b/2' })
    await aliases.set(ANNA, 'm', { alias: 'champion', version: '1' }, NOBODY)
    await aliases.set({ ...ANNA, actor: 'bob' }, 'm', { alias: 'champion', version: '2' }, NOBODY)
    await assert.rejects(models.create(ANNA, { name: 'm' }))
    const events = await database.read.selectFrom('events').selectAll().orderBy('sequence').execute()
    assert.deepEqual(
      events.map(({ sequence, kind, name, action, actor }) => [sequence, kind, name, action, actor]),
      [
        [1, 'model', 'm', 'created', 'anna'],
        [2, 'version', 'm/1', 'created', 'anna'],
        [3, 'version', 'm/2', 'created', 'anna'],
        [4, 'alias', 'm@champion', 'created', 'anna'],
        [5, 'alias', 'm@champion', 'updated', 'bob'],
      ],
    )
    assert.equal(events[1]?.reason, 'nightly')
    assert.deepEqual([events[4]?.before, events[4]?.after], ['{"version":1}', '{"version":2}'])
  },
)

eachRegistry('whoever reads events by number misses none, however many are written at once', async ({ models }, database) => {
  const seen: number[] = []
  const writing = Promise.all(Array.from({ length: 25 }, (_, index) => models.create(ANNA, { name: `m${index}` })))
  for (let last = 0; last < 25;) {
    const rows = await database.read.selectFrom('events').select('sequence').where('sequence', '>', last).orderBy('sequence').execute()
    for (const { sequence } of rows) {
      assert.equal(sequence, last + 1, 'a later number was there before an earlier one')
      last = sequence
      seen.push(sequence)
    }
  }
  await writing
  assert.equal(seen.length, 25)
})

eachRegistry('a folder is listed one level deep', async (registry, database) => {
  const run = await runWithModel(registry, database)
  assert.deepEqual(await listFolder(database.read, `run:${run}`), [
    { name: 'model', directory: true, size: undefined },
    { name: 'models', directory: true, size: undefined },
  ])
  assert.deepEqual(await listFolder(database.read, `run:${run}`, 'model'), [
    { name: 'MLmodel', directory: false, size: 11 },
    { name: 'model.onnx', directory: false, size: 7 },
  ])
  assert.deepEqual(await listFolder(database.read, `run:${run}`, 'model/model.onnx'), [])
})

it('a path inside a tree never leads out of it', () => {
  for (const path of ['', '/a', 'a/', 'a//b', '../a', 'a/../b', './a', 'a\\b', 'a\0b'])
    assert.throws(() => requireTreePath(path), { code: 'SLW_INPUT_INVALID' }, JSON.stringify(path))
  assert.equal(requireTreePath('a/b c/ü.txt'), 'a/b c/ü.txt')
})

it('places of files are those of runs, logged models and versions, and no others', () => {
  assert.deepEqual(placeOf(`/0/${RUN}/artifacts/a/b`), { root: `run:${RUN}`, path: 'a/b' })
  assert.deepEqual(placeOf(`mine/${RUN}/artifacts`), { root: `run:${RUN}`, path: '' })
  assert.deepEqual(placeOf(`0/models/m-${RUN}/artifacts/MLmodel`), { root: `model:m-${RUN}`, path: 'MLmodel' })
  assert.deepEqual(placeOf(`versions/${RUN}/x`), { root: `version:${RUN}`, path: 'x' })
  assert.equal(placeOf('0/x/artifacts/y'), undefined)
})

it('what runs code when it is loaded is not served, and why is said', () => {
  const judge = (...paths: string[]) => judgeByNames(paths.map((path) => ({ path, contentId: '', size: 1 })))
  assert.deepEqual(judge('MLmodel', 'model.onnx'), { servable: true, scan: [] })
  assert.match(judge('MLmodel', 'model.pkl').reason ?? '', /model\.pkl is a pickle, which runs code/)
  assert.match(judge('model.skops').reason ?? '', /skops/)
  assert.match(judge('data/model.pth').reason ?? '', /PyTorch/)
  assert.match(judge('readme.md').reason ?? '', /no model\.onnx/)
  assert.match(judgeByNames([]).reason ?? '', /no files/)
})
