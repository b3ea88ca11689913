import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { planeInProcess } from '../api/in-plane.ts'

const SCRIPT = `
import mlflow, sys, tempfile, os
from mlflow import MlflowClient
mlflow.set_tracking_uri(sys.argv[1])
with mlflow.start_run() as run:
    mlflow.log_metric("accuracy", 0.5)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "note.txt")
        open(path, "w").write("of " + sys.argv[2])
        mlflow.log_artifact(path, "model")
client = MlflowClient()
client.create_registered_model("m")
version = client.create_model_version("m", f"runs:/{run.info.run_id}/model", run.info.run_id)
client.set_registered_model_alias("m", "champion", version.version)
found = client.get_model_version_by_alias("m", "champion")
print(found.version, [m.name for m in client.search_registered_models()], len(mlflow.search_runs()), open(client.download_artifacts(run.info.run_id, "model/note.txt")).read())
`

it("MLflow's unmodified client keeps to the environment of its address", { timeout: 300_000 }, async () => {
  const python = await pythonEnv('mlflow-3')
  await using plane = await planeInProcess()
  await plane.ask('POST', '/environments', { name: 'staging' })
  for (const [uri, name] of [
    [plane.url, 'default'],
    [`${plane.url}/env/staging`, 'staging'],
  ] as const) {
    const { stdout } = await promisify(execFile)(python, ['-c', SCRIPT, uri, name], {
      env: { ...process.env, GIT_PYTHON_REFRESH: 'quiet' },
    })
    assert.equal(stdout.trim().split('\n').at(-1), `1 ['m'] 1 of ${name}`)
  }
})
