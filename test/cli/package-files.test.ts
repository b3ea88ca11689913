import assert from 'node:assert/strict'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { localVersion } from '../../src/cli/model/package-files.ts'
import { addingModel } from '../adding-models.ts'
import { temporaryFolder } from '../temporary-folder.ts'

it('whatever MLflow has written can be sent, also what no server would know how to serve', async () => {
  await using folder = await temporaryFolder()
  const sent = async (name: string): Promise<string[]> => (await localVersion(`${folder.path}/${name}`)).files.map(({ path }) => path)
  await folder.write('keras/MLmodel', 'flavors: { keras: {} }\n')
  await folder.write('keras/data/model.keras', 'weights')
  assert.deepEqual(await sent('keras'), ['MLmodel', 'data/model.keras'])
  await folder.write('two/MLmodel', 'flavors: {}\n')
  for (const name of ['a', 'b']) await folder.write(`two/${name}.onnx`, addingModel(1))
  assert.deepEqual(await sent('two'), ['MLmodel', 'a.onnx', 'b.onnx'])
  await folder.write('one/MLmodel', 'flavors: { onnx: {} }\n')
  await folder.write('one/model.onnx', 'garbage')
  await assert.rejects(sent('one'), { code: 'SLW_MODEL_INVALID' })
})

it('links that lead out of the folder are refused by name, unless they are meant', async () => {
  await using folder = await temporaryFolder()
  const inside = (path: string): string => join(folder.path, path)
  await folder.write('blobs/secret', 'root:x:0:0')
  await folder.write('blobs/model', addingModel(1))
  await folder.write('m/1/model.onnx', addingModel(1))
  await folder.write('m/1/notes.txt', 'of this version')
  await symlink('notes.txt', inside('m/1/alias.txt'))
  const paths = async (path: string, followLinks?: boolean): Promise<string[]> =>
    (await localVersion(inside(path), followLinks)).files.map((file) => file.path)
  assert.deepEqual(await paths('m/1'), ['alias.txt', 'model.onnx', 'notes.txt'], 'within the folder they are followed')
  await symlink(inside('blobs/secret'), inside('m/1/passwd'))
  await assert.rejects(paths('m/1'), { code: 'SLW_MODEL_UNSAFE', message: /m\/1\/passwd is a link to .*blobs\/secret.*--follow-links/ })
  assert.deepEqual(await paths('m/1', true), ['alias.txt', 'model.onnx', 'notes.txt', 'passwd'])
  // Whoever names a link means what it leads to.
  await symlink(inside('blobs/model'), inside('named.onnx'))
  assert.deepEqual(await paths('named.onnx'), ['named.onnx'])
  await symlink(inside('m/1'), inside('linked'))
  await assert.rejects(paths('linked'), { code: 'SLW_MODEL_UNSAFE' })
})
