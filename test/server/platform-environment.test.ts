import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { readConfig } from '../../src/server/config.ts'
import { slipway } from '../cli/slipway.ts'
import { example } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ReadConfig } from '../../src/server/config.ts'

const NOWHERE = { exists: () => false, memoryBytes: () => 1024 ** 3 }
const IN_SAGEMAKER = { ...NOWHERE, exists: (path: string) => path === '/opt/ml/model' }

function read(environment: Record<string, string>, more: Partial<Parameters<typeof readConfig>[0]> = {}): ReadConfig {
  return readConfig({ file: undefined, flags: {}, environment, surroundings: NOWHERE, ...more })
}

describe('a container that a platform starts', () => {
  it('is one of SageMaker by its variables, or by its folder where nobody names a model', () => {
    const { options, platform, origins } = read({
      SAGEMAKER_BIND_TO_PORT: '9090',
      SAGEMAKER_MAX_PAYLOAD_IN_MB: '25',
      SAGEMAKER_MODEL_SERVER_WORKERS: '3',
      SAGEMAKER_MODEL_SERVER_TIMEOUT: '50',
    })
    assert.deepEqual(options, {
      host: '0.0.0.0',
      insecure: true,
      port: 9090,
      dialects: 'sagemaker',
      limits: { bodyBytes: 25 * 1024 ** 2 },
      serving: { instances: 3, requestTimeoutMs: 50_000 },
    })
    assert.deepEqual(platform.models, [{ path: '/opt/ml/model' }])
    assert.equal(origins.find(({ key }) => key === 'port')?.origin, 'platform SageMaker (SAGEMAKER_BIND_TO_PORT)')
    assert.equal(origins.find(({ key }) => key === 'host')?.origin, 'platform SageMaker')
    assert.deepEqual(
      [read({}, { surroundings: IN_SAGEMAKER }).options.port, read({}, { surroundings: IN_SAGEMAKER, modelsNamed: true }).options.port],
      [8080, undefined],
    )
    assert.equal(read({ MODEL_PATH: 'm' }, { surroundings: IN_SAGEMAKER }).options.host, undefined)
  })

  it('has room for many models of SageMaker, and a budget by which it refuses', () => {
    const { options, platform } = read({ SAGEMAKER_MULTI_MODEL: 'true' })
    assert.equal(options.dialects, 'sagemaker-multi-model')
    assert.deepEqual(options.modelRoots, ['/opt/ml/models'])
    assert.equal(options.memoryBudgetMb, 716)
    assert.deepEqual(platform.models, [])
    assert.equal(read({ SAGEMAKER_MULTI_MODEL: 'false' }).options.dialects, 'sagemaker')
  })

  it('is one of Vertex AI, at the routes and the port that it is told', () => {
    const { options, platform } = read({
      AIP_MODE: 'PREDICTION',
      AIP_HTTP_PORT: '8085',
      AIP_HEALTH_ROUTE: '/v1/endpoints/7/deployedModels/8',
      AIP_PREDICT_ROUTE: '/v1/endpoints/7/deployedModels/8:predict',
      AIP_STORAGE_URI: '/models/churn',
    })
    assert.deepEqual(options.vertex, {
      healthRoute: '/v1/endpoints/7/deployedModels/8',
      predictRoute: '/v1/endpoints/7/deployedModels/8:predict',
    })
    assert.deepEqual([options.port, options.dialects, options.host], [8085, 'vertex', '0.0.0.0'])
    assert.deepEqual(platform.models, [{ path: '/models/churn' }])
    assert.deepEqual(read({ AIP_MODE: 'TRAINING', AIP_HTTP_PORT: '8085' }).options, {})
  })

  it('is one of Azure Machine Learning by the folder of its model', () => {
    const { options, platform } = read({ AZUREML_MODEL_DIR: '/var/azureml-app/azureml-models/churn/1' })
    assert.deepEqual([options.port, options.dialects, options.insecure], [5001, 'azureml', true])
    assert.deepEqual(platform.models, [{ path: '/var/azureml-app/azureml-models/churn/1' }])
  })

  it('is told otherwise by anything: the file, a variable of Slipway, a flag', async () => {
    await using folder = await temporaryFolder()
    const file = join(folder.path, 'server.yaml')
    await writeFile(file, 'port: 1\ninsecure: false\nserving: { instances: 1 }\nmodels: [{ path: a, serving: { instances: 4 } }]\n')
    const { options } = read(
      { SAGEMAKER_BIND_TO_PORT: '9090', SAGEMAKER_MODEL_SERVER_WORKERS: '9', SLIPWAY_DIALECTS: 'sagemaker,v2' },
      { file, flags: { host: '127.0.0.1' } },
    )
    assert.deepEqual(
      [options.port, options.insecure, options.host, options.dialects, options.serving?.instances, options.models?.[0]?.serving?.instances],
      [1, false, '127.0.0.1', 'sagemaker,v2', 1, 4],
    )
    const { warnings, options: rest } = read({ SAGEMAKER_BIND_TO_PORT: 'x' })
    assert.match(warnings.join(), /SAGEMAKER_BIND_TO_PORT: "x" is no whole number above 0, and ignored/)
    assert.equal(rest.port, 8080)
  })
})

describe('slipway in such a container', () => {
  it('says what to do with a model that lies in a bucket', async () => {
    const { code, stderr } = await slipway(['serve'], '', { AIP_MODE: 'PREDICTION', AIP_STORAGE_URI: 'gs://bucket/churn' })
    assert.equal(code, 2)
    assert.match(stderr, /AIP_STORAGE_URI is gs:\/\/bucket\/churn: nothing is downloaded from there here\. Put the model into the image/)
  })

  it('shows where each setting came from', async () => {
    const { stdout } = await slipway(['config', 'view', '--show-origin'], '', { AZUREML_MODEL_DIR: example('churn') })
    assert.match(stdout, /port\s+5001\s+platform Azure Machine Learning/)
    assert.match(stdout, /dialects\s+\S+\s+platform Azure Machine Learning/)
    assert.match(stdout, /models\s+\S+examples\/churn\s+platform Azure Machine Learning/)
  })
})
