import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { freePort, ROOT, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { upInChild } from './up-in-child.ts'

const run = promisify(execFile)

/** A data scientist's afternoon. */
const TRAIN = `
import mlflow
from mlflow.models import infer_signature
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

X, y = load_digits(return_X_y=True)
model = LogisticRegression(max_iter=50).fit(X, y)
with mlflow.start_run():
    mlflow.sklearn.log_model(model, name="model", registered_model_name="digits", signature=infer_signature(X, y), pip_requirements=[])
mlflow.MlflowClient().set_registered_model_alias("digits", "champion", "1")
print(model.predict(X[:1]).tolist(), X[:1].tolist())
`

it('what MLflow logs of scikit-learn is served once the policy of its model allows the sandbox, and by servers that have one', async () => {
  await using folder = await temporaryFolder()
  const python = await pythonEnv('mlflow-3')
  const port = await freePort()
  await using started = new AsyncDisposableStack()
  const plane = await upInChild(['--data', folder.path, '--server-port', String(port), '--sandbox-python', python])
  // With its server, which one that is killed leaves behind.
  started.defer(async () => {
    plane.signal('SIGTERM')
    await plane.exit
  })
  const environment = { ...process.env, MLFLOW_TRACKING_URI: plane.url, GIT_PYTHON_REFRESH: 'quiet' }
  const { stdout } = await run(python, ['-W', 'ignore', '-c', TRAIN], { env: environment })
  const [answers, question] = stdout.trim().split('\n').at(-1)!.split('] ')
  const slipway = async (...args: string[]): Promise<string> =>
    (await run(join(ROOT, 'bin/slipway'), args, { env: { ...process.env, SLIPWAY_URL: plane.url } })).stdout

  const version = JSON.parse(await slipway('model', 'show', 'digits/1', '-o', 'json'))
  assert.equal(version.servable, 'no')
  assert.match(
    version.servableReason,
    /^model\.skops is a skops archive of scikit-learn, which runs code .*slipway model update NAME --sandbox yes$/,
  )
  assert.deepEqual(version.scan.at(-1).check, 'sandbox')
  await folder.write(
    'endpoint.yaml',
    'apiVersion: slipway/v1\nkind: Endpoint\nmetadata: { name: read }\nspec: { variants: [{ model: digits@champion }] }\n',
  )
  await assert.rejects(
    slipway('apply', '-f', join(folder.path, 'endpoint.yaml')),
    /digits\/1 cannot be served: model\.skops is a skops archive/,
  )

  await slipway('model', 'update', 'digits', '--sandbox', 'yes')
  const ask = async (): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${port}/models/digits/predict`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: JSON.parse(question!)[0] }),
    }).catch(() => undefined)
    return response?.status === 200 ? await response.json() : undefined
  }
  await until(async () => (await ask()) !== undefined, 'the model is served', 60_000)
  assert.deepEqual(await ask(), { prediction: JSON.parse(`${answers}]`)[0] })
  await slipway('apply', '-f', join(folder.path, 'endpoint.yaml'))
  await assert.rejects(slipway('model', 'update', 'digits', '--sandbox', 'no'), /is kept for .*these serve it/)
})
