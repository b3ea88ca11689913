/** What a folder is, is decided at the start: an entry that comes later blocks and changes nothing else, and is named. */
import assert from 'node:assert/strict'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { findLayout } from '../../src/model/layout.ts'
import { addingModel, QUESTION } from '../adding-models.ts'
import { ask } from '../asking.ts'
import { serveInChild } from '../child-server.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const MODEL = Buffer.from(addingModel(1))

async function addsOf(url: string, model: string): Promise<number> {
  const { status, text } = await ask(`${url}/v2/models/${model}/infer`, { method: 'POST', body: QUESTION })
  return status === 200 ? JSON.parse(text).outputs[0].data[0] - 1 : status
}

for (const processes of [1, 2])
  it(`a polled root keeps its models, whatever else comes into it (${processes} process(es))`, { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder()
    const root = join(folder.path, 'root')
    await folder.write('root/good/1/model.onnx', MODEL)
    await folder.write('root/other/model.onnx', MODEL)
    await using server = await serveInChild([root, '--poll-ms', '100', '--processes', String(processes)])
    await folder.write('root/loose.onnx', MODEL)
    await folder.write('root/half.onnx', MODEL.subarray(0, 100))
    await folder.write('root/slipway.yaml', '')
    await folder.write('root/MLmodel', 'flavors: {}\n')
    await folder.write('root/2024/model.onnx', MODEL)
    await folder.write('root/New folder/1/model.onnx', MODEL)
    await folder.write('root/empty/readme.txt', 'nothing')
    // What is a change all the same is taken.
    await folder.write('root/good/2/model.onnx', Buffer.from(addingModel(2)))
    await until(async () => (await addsOf(server.url, 'good')) === 2, 'the new version of "good" is served')
    assert.equal(await addsOf(server.url, 'other'), 1)
    await until(async () => (await addsOf(server.url, '2024')) === 1, 'a folder that is called like a number is a model here')
    const health = async () =>
      JSON.parse((await ask(`${server.url}/health`)).text) as { status: string; skipped: { path: string; reason: string }[] }
    await until(async () => (await health()).status === 'ok', 'every process serves all of them')
    const { skipped } = await health()
    assert.deepEqual(skipped.map(({ path }) => path.slice(root.length + 1)).toSorted(), [
      'MLmodel',
      'New folder',
      'empty',
      'half.onnx',
      'loose.onnx',
      'slipway.yaml',
    ])
    assert.match(skipped.find(({ path }) => path.endsWith('New folder'))!.reason, /cannot be the name of a model/)
    assert.match(server.said(), /loose\.onnx/)
    await rename(join(root, 'New folder'), join(root, 'new-folder'))
    await until(async () => (await addsOf(server.url, 'new-folder')) === 1, 'with another name it is served')
  })

it('a start takes a folder of models for that, whatever lies beside them', async () => {
  await using folder = await temporaryFolder()
  const root = join(folder.path, 'root')
  await folder.write('root/good/1/model.onnx', MODEL)
  await folder.write('root/loose.onnx', MODEL)
  await folder.write('root/New folder/model.onnx', MODEL)
  await folder.write('root/slipway.yaml', '')
  const layout = await findLayout({ path: root, versions: 'latest' })
  assert.deepEqual([layout.kind, layout.packages.map(({ name }) => name), layout.skipped.length], ['repository', ['good'], 3])
  // A folder that is described is a package, with whatever it keeps in folders of its own.
  await folder.write('package/slipway.yaml', 'apiVersion: slipway/v1\nkind: Model\nmodel: onnx/model.onnx\n')
  await folder.write('package/onnx/model.onnx', MODEL)
  assert.deepEqual((await findLayout({ path: join(folder.path, 'package'), versions: 'latest' })).kind, 'package')
  await mkdir(join(folder.path, 'nothing'))
  await assert.rejects(findLayout({ path: join(folder.path, 'nothing'), versions: 'latest' }), /the folder is empty/)
  await writeFile(join(folder.path, 'nothing/a.txt'), '')
  await assert.rejects(findLayout({ path: join(folder.path, 'nothing'), versions: 'latest' }), /found a\.txt/)
})
