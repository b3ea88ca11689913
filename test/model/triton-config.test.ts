import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { ignoredTritonConfig } from '../../src/model/triton-config.ts'
import { addingModel } from '../adding-models.ts'
import { serveInChild } from '../child-server.ts'
import { added } from '../server/served.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const CONFIG = `name: "adder"
platform: "onnxruntime_onnx"   # max_batch_size: 1
max_batch_size: 8
input [
  { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }
]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching { max_queue_delay_microseconds: 100 }
parameters { key: "a { b: " value { string_value: "c" } }
parameters { key: "d" value { string_value: "e" } }
metric_tags { key: 'it is "{"' value: 'v' }
cc_model_filenames { key: "k" value: "v" }
`

it('lines of a config.pbtxt that are not acted on are named, with the place where the same is said here', async () => {
  await using folder = await temporaryFolder()
  await folder.write('models/adder/config.pbtxt', CONFIG)
  await folder.write('models/adder/1/model.onnx', addingModel(1))
  const said = await ignoredTritonConfig(join(folder.path, 'models/adder/1'))
  assert.deepEqual(
    [...(said ?? '').matchAll(/line (\d+), (\w+): ([^.]*)/g)].map(([, line, name]) => [Number(line), name]),
    [
      [3, 'max_batch_size'],
      [8, 'instance_group'],
      [9, 'dynamic_batching'],
      [10, 'parameters'],
      [12, 'metric_tags'],
      [13, 'cc_model_filenames'],
    ],
  )
  assert.match(said ?? '', /adder\/config\.pbtxt is not acted on\. line 3, max_batch_size: "serving: \{ maxBatchSize: /)
  assert.match(said ?? '', /cc_model_filenames: nothing here does the same$/)
  assert.equal(await ignoredTritonConfig(join(folder.path, 'models/adder/1/model.onnx')), said)
  await folder.write('plain/model.onnx', addingModel(1))
  assert.equal(await ignoredTritonConfig(join(folder.path, 'plain')), undefined)
  await folder.write('plain/config.pbtxt', 'name: "plain"\ninput [ { name: "x" } ]\n')
  assert.equal(await ignoredTritonConfig(join(folder.path, 'plain')), undefined, 'it says what the model says')
  // A folder of Triton is served as it is, and the log says so.
  await using server = await serveInChild([join(folder.path, 'models'), '--instances', '1'])
  assert.equal(await added(server, 'adder'), 1)
  assert.match(server.said(), /config\.pbtxt is not acted on\. line 3, max_batch_size/)
})
