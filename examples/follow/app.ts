/**
 * An application whose model comes from a registry and follows its alias: a new champion is loaded beside the old one and takes over
 * between two calls; while the registry is away, the last version goes on, also after a restart of the application. Start a registry
 * with `slipway up` and push a model with `slipway model push examples/churn --name churn --alias champion`.
 * In a project of your own: import from 'slipway'.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { loadModel } from '../../src/index.ts'

const controlPlane = process.env['SLIPWAY_URL'] ?? 'http://127.0.0.1:8480'
const seconds = Number(process.argv[2] ?? 30)
const { inputs: customers } = JSON.parse(await readFile(new URL('../churn/requests.json', import.meta.url), 'utf8')) as { inputs: object[] }

await using model = await loadModel('models:/churn@champion', { controlPlane, follow: 'notification' })
let version = ''
for (const end = Date.now() + seconds * 1000; Date.now() < end; await pause(100)) {
  const { prediction } = (await model.predict(customers[0])) as { prediction: string }
  if (model.version === version) continue
  version = model.version
  console.log(`${model.name} version ${version} answers: ${prediction}`)
}
