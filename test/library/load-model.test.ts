import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { isSlipwayError, loadModel } from '../../src/index.ts'
import { CUSTOMER, example, post, ROOT, serveExamples } from '../fixtures.ts'

describe('the library', () => {
  it('answers as the server does', async () => {
    await using model = await loadModel(example('churn'), { instances: 1 })
    await using server = await serveExamples(['churn'], { serving: { instances: 1 } })
    const { body } = await post(`${server.url}/predict`, CUSTOMER)
    assert.deepEqual(JSON.parse(JSON.stringify(await model.predict(CUSTOMER))), body)
  })

  it('calls at the same time share batches, and each gets its own answer', async () => {
    await using model = await loadModel(example('churn'), { instances: 1, inlineMaxUs: 0 })
    const customers = Array.from({ length: 50 }, (_, index) => ({ ...CUSTOMER, tenure_months: index % 72 }))
    const together = await Promise.all(customers.map((customer) => model.predict(customer)))
    const oneByOne = []
    for (const customer of customers) oneByOne.push(await model.predict(customer))
    assert.deepEqual(together, oneByOne)
  })

  it('takes tensors, pictures and candidates', async () => {
    await using churn = await loadModel(join(example('churn'), 'model.onnx'), { instances: 1 })
    const [probabilities] = await churn.infer([{ name: 'customers', datatype: 'FP32', shape: [2, 10], data: new Float32Array(20) }], {
      outputs: ['probabilities'],
    })
    assert.deepEqual(probabilities?.shape, [2, 2])
    await using digits = await loadModel(example('digits'), { instances: 1 })
    assert.equal(String((await digits.predict(await readFile(join(example('digits'), 'digit-3.png'))))['prediction']), '3')
  })

  it('a wrong value is a SlipwayError with a code and a place', async () => {
    await using model = await loadModel(example('churn'), { instances: 1 })
    await assert.rejects(
      model.predict({ ...CUSTOMER, plan: 'gold' }),
      (error) => isSlipwayError(error) && error.code === 'SLW_INPUT_INVALID' && error.issues?.[0]?.path === 'inputs[0].plan',
    )
  })

  it('after close it refuses, closing twice is fine, and an aborted call is given up', async () => {
    const model = await loadModel(example('churn'), { instances: 1 })
    await assert.rejects(model.predict(CUSTOMER, { signal: AbortSignal.abort() }))
    await model.close()
    await model.close()
    await assert.rejects(model.predict(CUSTOMER), (error) => isSlipwayError(error) && error.code === 'SLW_CLOSED')
  })

  it('the example application runs', async () => {
    const { stdout } = await promisify(execFile)('sh', [join(ROOT, 'scripts/node'), join(ROOT, 'examples/embed/app.ts')])
    assert.match(stdout, /customer 1: (call|leave in peace)/)
    assert.match(stdout, /a mistake is named/)
  })
})
