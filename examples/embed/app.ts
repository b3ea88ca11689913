/**
 * An application with a model inside: a shop that decides which customers get a call before they leave. No server runs; the model is a
 * file beside the program, answered by the same engine that `slipway serve` uses. In a project of your own: import from 'slipway'.
 */
import { readFile } from 'node:fs/promises'
import { isSlipwayError, loadModel } from '../../src/index.ts'

interface Customer {
  readonly [feature: string]: unknown
}

const here = new URL('.', import.meta.url)
const { inputs: customers } = JSON.parse(await readFile(new URL('../churn/requests.json', here), 'utf8')) as { inputs: Customer[] }

await using model = await loadModel(new URL('../churn', here).pathname)
console.log(`${model.name} version ${model.version}: ${customers.length} customers`)

// Asked one by one, as an application would, but all at once: they share batches.
const answers = await Promise.all(customers.map((customer) => model.predict(customer)))
for (const [index, answer] of answers.entries()) {
  const { prediction, confidence } = answer as { prediction: string; confidence: number }
  console.log(
    `customer ${index + 1}: ${prediction === 'churn' ? 'call' : 'leave in peace'} (${prediction}, ${(confidence * 100).toFixed(0)} %)`,
  )
}

try {
  await model.predict({ ...customers[0], plan: 'gold' })
} catch (error) {
  if (!isSlipwayError(error)) throw error
  console.log(`a mistake is named: ${error.message}`)
}
