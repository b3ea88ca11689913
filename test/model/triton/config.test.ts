import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isSlipwayError } from '../../../src/core/errors.ts'
import { MESSAGES } from '../../../src/model/triton/config-schema.ts'
import { parseTritonConfig } from '../../../src/model/triton/config.ts'
import { reshaped } from '../../../src/model/triton/tensors.ts'
import { ROOT } from '../../fixtures.ts'

const parse = (text: string) => parseTritonConfig(text, 'm/config.pbtxt')

function refused(text: string, message: RegExp): void {
  assert.throws(
    () => parse(text),
    (error) => {
      assert.ok(isSlipwayError(error), String(error))
      assert.equal(error.code, 'SLW_PACKAGE_INVALID')
      assert.match(error.message, message)
      return true
    },
    text,
  )
}

describe('what a config.pbtxt says', () => {
  it('is described field by field', async () => {
    const page = await readFile(join(ROOT, 'docs/reference/triton-config.md'), 'utf8')
    for (const type of ['ModelConfig', 'ModelInput', 'ModelOutput', 'ModelInstanceGroup', 'ModelDynamicBatching'])
      for (const field of Object.keys(MESSAGES[type]!)) assert.ok(page.includes(`\`${field}\``), `${type}.${field}`)
  })

  it('becomes the serving options of its model', () => {
    const { serving, versions, maxBatchSize, remark } = parse(`
      name: "m" backend: "onnxruntime" max_batch_size: 16
      instance_group [ { count: 2 kind: KIND_CPU }, { count: 1 kind: KIND_MODEL } ]
      dynamic_batching {
        preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 250
        priority_levels: 3 default_priority_level: 2
        default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 5000 max_queue_size: 64 allow_timeout_override: true }
      }
      response_cache { enable: true }
      parameters { key: "intra_op_thread_count" value { string_value: "2" } }
      version_policy: { latest { num_versions: 2 } }`)
    assert.deepEqual(serving, {
      maxBatchSize: 16,
      instances: 3,
      preferredBatchSizes: [4, 8],
      maxDelayUs: 250,
      defaultPriority: 2,
      queueTimeoutUs: 5000,
      queueRequests: 64,
      threads: 2,
      cacheMb: 64,
    })
    assert.deepEqual([versions, maxBatchSize, remark], [{ latest: 2 }, 16, undefined])
    assert.deepEqual(parse('version_policy { specific { versions: [1, 3] } }').versions, ['1', '3'])
    assert.equal(parse('version_policy { all { } }').versions, 'all')
    assert.deepEqual(parse('version_policy { latest { } }').versions, { latest: 1 })
    assert.equal(parse('name: "m"').versions, undefined)
  })

  it('has whole shapes and no batches where max_batch_size is 0, and leaves to the model what it does not describe', () => {
    const tensor = '{ name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] }'
    const whole = parse(`input ${tensor} output ${tensor}`)
    assert.deepEqual([whole.serving, whole.inputs[0]?.shape], [{ batching: 'off' }, [-1, 4]])
    const batched = parse(`max_batch_size: 2 input ${tensor} output ${tensor}`)
    assert.deepEqual([batched.serving, batched.inputs[0]?.shape], [{ maxBatchSize: 2 }, [-1, -1, 4]])
    assert.deepEqual([parse(`input ${tensor}`).serving, parse(`input ${tensor}`).maxBatchSize], [{}, undefined])
  })

  it('names what has no effect, with its line', () => {
    assert.equal(
      parse(`parameters { key: "execution_mode" value: { string_value: "1" } }
        optimization { graph { level: 1 } execution_accelerators { gpu_execution_accelerator: [ { name: "tensorrt" } ] } }
        instance_group { rate_limiter { priority: 2 } }
        metric_tags { key: "a" value: "b" }
        parameters { key: "mine" value: { string_value: "1" } }`).remark,
      'm/config.pbtxt: what has no effect here: line 1, parameters: execution_mode: operators of a run go one after the other; line 2, level: graphs are optimised as far as ONNX Runtime can; line 2, gpu_execution_accelerator: tensorrt: models run in the CPU provider of ONNX Runtime; line 3, rate_limiter: instances take what waits as soon as they are free; line 4, metric_tags: metrics have the labels that docs/reference/metrics.md lists; line 5, parameters: mine: no parameter that is known here',
    )
    assert.equal(parse('optimization { graph { level: 0 } priority: PRIORITY_DEFAULT }').remark, undefined)
  })

  it('is refused by name and line where it asks for what is not there', () => {
    const x = (more: string): string => `max_batch_size: 8\ninput {\n name: "x" data_type: TYPE_FP32 dims: [ 4 ]\n${more}}`
    const batching = (more: string): string => `max_batch_size: 8\ndynamic_batching {\n${more} }`
    refused('name: "m"\nbackend: "python"', /^m\/config\.pbtxt: line 2: backend: "python" is not served here; models of onnxruntime/)
    refused('platform: "tensorrt_plan"', /line 1: platform: "tensorrt_plan" is not served here/)
    refused('platform: "ensemble"', /line 1: platform: "ensemble" and ensemble_scheduling belong together/)
    refused('\nsequence_batching { direct { } }', /line 2: sequence_batching: a model that keeps state/)
    refused('\n\nmodel_transaction_policy { decoupled: true }', /line 3: decoupled: /)
    refused(
      'model_operations { op_library_filename: "x.so" }',
      /op_library_filename: libraries with operators of their own are not loaded here/,
    )
    refused('model_repository_agents { agents [ { name: "checksum" } ] }', /model_repository_agents: no agent runs here/)
    refused('batch_input [ { kind: BATCH_ELEMENT_COUNT } ]', /batch_input: .*ragged/)
    refused('instance_group [\n{ kind: KIND_GPU } ]', /line 2: instance_group: KIND_GPU: this release runs models on the CPU only/)
    refused('instance_group [ { gpus: [ 0 ] } ]', /gpus: this release/)
    refused('instance_group [ { passive: true } ]', /passive: /)
    refused('max_batch_size: -1', /max_batch_size: -1 is below 0/)
    refused(x('allow_ragged_batch: true'), /line 4: "x": ragged batches are not formed here/)
    refused(x('is_shape_tensor: true'), /line 4: "x": is_shape_tensor is for models of TensorRT/)
    refused(x('reshape { shape: [ 3 ] }'), /line 4: "x": reshape to \[3\] has another number of elements than dims \[4\]/)
    refused(`${x('')}\ninput { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }`, /line 5: "x" was described on line 2 already/)
    refused('input { name: "x" dims: [ 1 ] }', /"x": data_type is missing/)
    refused('input { name: "x" data_type: TYPE_FP32 }', /"x": dims is missing/)
    refused('input { name: "x" data_type: TYPE_FP32 dims: [ 0 ] }', /dims \[0\] has a size that is neither above 0 nor -1/)
    refused(batching('preserve_ordering: true'), /line 3: dynamic_batching: preserve_ordering: /)
    refused(batching('preferred_batch_size: [ 16 ]'), /preferred_batch_size: 16 is not from 1 to max_batch_size, which is 8/)
    refused(batching('priority_levels: 2'), /default_priority_level: 0 is not from 1 to priority_levels, which is 2/)
    refused(batching('priority_levels: 12 default_priority_level: 5'), /priority_levels: there are 9 here, and not 12/)
    refused(
      batching('priority_levels: 9 default_priority_level: 1'),
      /of 5 or more levels, 5 is that of requests which say none, and not 1/,
    )
    refused(
      batching('priority_queue_policy { key: 1 value { max_queue_size: 1 } }'),
      /priority_queue_policy: all levels of priority share one queue/,
    )
    refused(
      batching('default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 1 }'),
      /line 3: timeout_action: DELAY: a request whose time is over is refused here/,
    )
    refused('parameters { key: "intra_op_thread_count" value { string_value: "many" } }', /"many" is no number of threads/)
    refused('version_policy { specific { } }', /specific: it lists no versions/)
    refused('version_policy { latest { num_versions: 0 } }', /0 versions would be served/)
    refused('default_model_filename: "../x.onnx"', /default_model_filename: "\.\.\/x\.onnx" names no file of the folder/)
    refused(
      'model_warmup { name: "w" inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 4 ] } } }',
      /none of zero_data, random_data and/,
    )
    refused(
      'model_warmup { name: "w" inputs { key: "x" value { data_type: TYPE_FP32 dims: 4 input_data_file: "../a" } } }',
      /names no file in the folder/,
    )
  })

  it('takes a tensor to the shape of the model and back, free dimensions in their order', () => {
    const { inputs } = parse(
      'max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: [ 2, -1, 3, -1 ] reshape { shape: [ 1, 2, -1, 3, 1, -1 ] } }',
    )
    const { shape, modelShape } = inputs[0]!
    assert.deepEqual(modelShape, [-1, 1, 2, -1, 3, 1, -1])
    assert.deepEqual(reshaped([5, 2, 7, 3, 9], { from: shape, to: modelShape! }), [5, 1, 2, 7, 3, 1, 9])
    assert.deepEqual(reshaped([5, 1, 2, 7, 3, 1, 9], { from: modelShape!, to: shape }), [5, 2, 7, 3, 9])
    const one = parse('max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: 1 reshape { shape: [ ] } }').inputs[0]!
    assert.deepEqual(reshaped([5, 1], { from: one.shape, to: one.modelShape! }), [5])
  })
})
