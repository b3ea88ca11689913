import assert from 'node:assert/strict'
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
