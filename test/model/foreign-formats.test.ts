import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { findLayout } from '../../src/model/layout.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
/** An archive, as far as it is looked at: it begins as one, and lists its files at the end. */
const archive = (...names: string[]): Buffer =>
  bytes(`PK\u0003\u0004${'x'.repeat(5000)}${names.map((name) => `PK\u0001\u0002..${name}`).join('')}`)
const safetensors = (header: string): Buffer => {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, Buffer.from(header), Buffer.alloc(64)])
}

/** First bytes of files that the libraries have written: scikit-learn 1.9, joblib 1.6, XGBoost 2.1, CatBoost 1.2, h5py 3.16, and the formats' descriptions. */
const FILES: readonly (readonly [name: string, content: Buffer, what: RegExp, cure: RegExp])[] = [
  ['model.pkl', bytes('\u0080\u0004\u0095\u0002\u0000'), /a pickle of Python/, /skl2onnx/],
  ['model.joblib', bytes('x\u009C\u008D\u0094'), /a pickle of Python/, /--sandbox-python/],
  ['renamed.bin', bytes('\u0080\u0005\u0095'), /a pickle of Python/, /skl2onnx/],
  ['model.pt', archive('archive/data.pkl', 'archive/version'), /a checkpoint of PyTorch/, /torch\.onnx\.export/],
  ['model.mar', archive('MAR-INF/MANIFEST.json', 'archive/data.pkl'), /an archive of TorchServe/, /torch\.onnx\.export/],
  ['model.keras', archive('metadata.json', 'config.json', 'model.weights.h5'), /a model of Keras/, /format='onnx'/],
  ['model.h5', bytes('\u0089HDF\r\n\u001A\n\u0000'), /an HDF5 file/, /format='onnx'/],
  ['model.gguf', bytes('GGUF\u0003\u0000\u0000\u0000'), /a model in GGUF/, /no way from it to ONNX/],
  ['model.tflite', bytes('\u001C\u0000\u0000\u0000TFL3'), /a model of TensorFlow Lite/, /tf2onnx\.convert --tflite/],
  ['model.safetensors', safetensors('{"w":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}'), /weights in safetensors/, /optimum-cli/],
  ['model.plan', bytes('ftrt\u0000\u0000'), /an engine of TensorRT/, /that it was built from/],
  ['model.bst', bytes('binf\u0000\u0000\u0000?'), /a model of XGBoost in its old binary format/, /save_model\('model\.ubj'\)/],
  ['model.cbm', bytes('CBM1\u0010\u0000'), /a model of CatBoost in its binary format/, /format='json'/],
]

it('formats that are not served are recognised by their content, with the command of the converter', async () => {
  await using folder = await temporaryFolder()
  for (const [name, content, what, cure] of FILES) {
    await folder.write(`${name}-folder/${name}`, content)
    for (const path of [`${name}-folder`, `${name}-folder/${name}`])
      await assert.rejects(findLayout({ path: join(folder.path, path), versions: 'latest' }), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'SLW_MODEL_INVALID')
        assert.match(error.message, what)
        assert.match(error.message, cure)
        return true
      })
  }
  await folder.write('saved/saved_model.pb', '')
  await assert.rejects(findLayout({ path: join(folder.path, 'saved'), versions: 'latest' }), /a SavedModel of TensorFlow.*--saved-model/)
})

it('what is none of them is told as before', async () => {
  await using folder = await temporaryFolder()
  for (const [name, content] of [
    ['notes.txt', bytes('tree of life')],
    ['data.json', bytes('{"rows": []}')],
    ['plain.zip', archive('a.txt')],
    ['empty', Buffer.alloc(0)],
    ['model.json', bytes('{"model": {"learner": 1}}')],
  ] as const) {
    await folder.write(`${name}-folder/${name}`, content)
    await assert.rejects(findLayout({ path: join(folder.path, `${name}-folder/${name}`), versions: 'latest' }), /not an \.onnx file/)
    await assert.rejects(findLayout({ path: join(folder.path, `${name}-folder`), versions: 'latest' }), /no model here; found/)
  }
})
